# Caddy: each case is a Caddyfile of a few lines and the requests that bring out the trouble.
# shellcheck shell=bash disable=SC2154
install caddy curl python3 openssl

low_port() {
  python3 -c 'import random, socket
while True:
    try:
        s = socket.socket()
        s.bind(("127.0.0.1", random.randrange(12000, 30000)))
        break
    except OSError:
        pass
print(s.getsockname()[1])'
}
port=$(low_port)
back=$(low_port)
page=http://127.0.0.1:$port
export HOME=$work XDG_DATA_HOME=$work/data XDG_CONFIG_HOME=$work/config
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=shop.example -keyout "$work/one.key" -out "$work/one.crt" 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=shop.example -keyout "$work/two.key" -out "$work/two.crt" 2>/dev/null

cat >"$work"/back.py <<'PY'
import http.server, sys, time

class Back(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.rsplit("/", 1)[1]
        if path == "slow":
            time.sleep(4)
        elif path == "sick":
            self.wfile.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nno\n")
        elif path == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\nok\n")
        elif path != "close":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
        self.close_connection = True
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Back).serve_forever()
PY
python3 "$work"/back.py "$back" 2>/dev/null &
at_end "kill $!"
wait_for curl -s "http://127.0.0.1:$back/"

# Caddy with these global options and this site while the command runs.
with_caddy() { # GLOBAL SITE COMMAND...
  printf '{\nadmin off\nauto_https disable_redirects\n%s\n}\n%s {\n%s\n}\n' "$1" "${SITE-$page}" "$2" >"$work"/Caddyfile
  shift 2
  ${RUNNER-} caddy run --config "$work"/Caddyfile --adapter caddyfile &
  local caddy=$!
  sleep 1.5
  "$@" >/dev/null 2>&1
  kill -TERM $caddy 2>/dev/null
  wait $caddy
}
get() { for path in "$@"; do curl -s -m 8 -o /dev/null "$page$path"; done; }

provoke caddy-backend-down with_caddy '' 'reverse_proxy 127.0.0.1:1' get /
provoke caddy-backend-broke-off with_caddy '' "reverse_proxy 127.0.0.1:$back" get /close /half
provoke caddy-backend-slow with_caddy '' "reverse_proxy 127.0.0.1:$back {
transport http {
response_header_timeout 1s
}
}" get /slow
provoke caddy-backend-name-unknown with_caddy '' 'reverse_proxy app.invalid:80' get /
provoke caddy-backend-unhealthy with_caddy '' "reverse_proxy 127.0.0.1:$back {
health_uri /sick
health_interval 300ms
}" eval 'sleep 1; get /'
provoke caddy-backend-unhealthy with_caddy '' "reverse_proxy 127.0.0.1:1 {
health_uri /
health_interval 300ms
}" eval 'sleep 1; get /'
provoke caddy-config-invalid with_caddy '' 'no_such_directive' true
provoke caddy-config-invalid with_caddy '' 'reverse_proxy {' true
SITE=http://127.0.0.1:$back provoke caddy-cannot-listen with_caddy '' "bind 127.0.0.1
respond ok" true
SITE=http://192.0.2.7:$port provoke caddy-cannot-listen with_caddy '' 'bind 192.0.2.7
respond ok' true
SITE=http://127.0.0.1:80 RUNNER='setpriv --reuid=65534 --regid=65534 --clear-groups' \
  provoke caddy-cannot-listen with_caddy '' 'bind 127.0.0.1
respond ok' true
SITE=https://shop.example:$port provoke caddy-certificate-unusable with_caddy 'http_port 12999' \
  "tls $work/one.crt $work/two.key" true
SITE=https://shop.example:$port provoke caddy-certificate-unusable with_caddy 'http_port 12999' \
  "tls $work/missing.crt $work/two.key" true
SITE=https://shop.example:$port provoke caddy-issuance-failed with_caddy "http_port 12999
acme_ca https://127.0.0.1:1/directory" 'respond ok' sleep 2
mkdir -p "$work"/locked
chmod 700 "$work"/locked
SITE=https://shop.example:$port RUNNER='setpriv --reuid=65534 --regid=65534 --clear-groups' \
  provoke caddy-storage-unwritable with_caddy "http_port 12999
storage file_system $work/locked
local_certs
skip_install_trust" 'respond ok' sleep 2
