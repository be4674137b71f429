# HAProxy: each case is a configuration of a few lines and the requests that bring out the trouble.
# shellcheck shell=bash disable=SC2154
install haproxy openssl curl python3

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
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=shop.example -keyout "$work/one.key" -out "$work/one.crt" 2>/dev/null

cat >"$work"/back.py <<'PY'
import http.server, sys, time

class Back(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.rsplit("/", 1)[1].split("?")[0]
        if path == "slow":
            time.sleep(4)
        elif path == "invalid":
            self.wfile.write(b"220 mail.example ESMTP\r\n\r\n")
        elif path == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\nok\n")
        elif path == "sick":
            self.wfile.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nno\n")
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

# HAProxy with these global lines, frontend lines and backend lines while the command runs; it logs
# to standard output as in a container.
with_haproxy() { # GLOBAL FRONTEND BACKEND COMMAND...
  cat >"$work"/haproxy.cfg <<CONF
global
  log stdout format raw daemon
  $1
defaults
  mode http
  log global
  option httplog
  timeout connect 1s
  timeout client 1s
  timeout server 1s
  retries 1
  ${DEFAULTS-}
frontend web
  bind ${BIND-127.0.0.1:$port}
  $2
  default_backend app
backend app
  $3
CONF
  shift 3
  setsid ${RUNNER-} haproxy -db -f "$work"/haproxy.cfg &
  local haproxy=$!
  sleep 1
  "$@" >/dev/null 2>&1
  kill -TERM $haproxy 2>/dev/null
  wait $haproxy
}
get() { for path in "$@"; do curl -s -m 8 -o /dev/null "$page$path"; done; }
up="server one 127.0.0.1:$back"

provoke haproxy-server-down with_haproxy '' '' "$up check inter 200ms
  server two 127.0.0.1:1 check inter 200ms fall 2" sleep 2
provoke haproxy-server-down with_haproxy '' '' "option httpchk GET /sick
  $up check inter 200ms fall 2" sleep 2
provoke haproxy-backend-empty with_haproxy '' '' 'server two 127.0.0.1:1 check inter 200ms fall 2' eval 'sleep 2; get /'
provoke haproxy-connect-failed with_haproxy '' '' 'server two 127.0.0.1:1' get /
provoke haproxy-server-slow with_haproxy '' '' "$up" get /slow
provoke haproxy-server-broke-off with_haproxy '' '' "$up" get /close /half
provoke haproxy-response-invalid with_haproxy '' '' "$up" get /invalid
half() { exec 3<>"/dev/tcp/127.0.0.1/$port"; printf 'GET / HTTP/1.1\r\n' >&3; sleep 2; }
provoke haproxy-request-cut with_haproxy '' '' "$up" half
bad() { exec 3<>"/dev/tcp/127.0.0.1/$port"; printf 'GET / x HTTP/1.1\r\nA B\r\n\r\n' >&3; sleep 1; }
provoke haproxy-request-cut with_haproxy '' '' "$up" bad
many() { curl -s -Z --parallel-immediate --parallel-max 12 -m 6 "$page/slow?[1-12]"; }
DEFAULTS='timeout queue 300ms' provoke haproxy-queue-full with_haproxy '' '' "$up maxconn 1" many

provoke haproxy-config-invalid with_haproxy 'no-such-keyword' '' "$up" true
provoke haproxy-config-invalid with_haproxy '' 'use_backend missing' "$up" true
BIND=192.0.2.7:80 provoke haproxy-cannot-bind with_haproxy '' '' "$up" true
BIND=127.0.0.1:$back provoke haproxy-cannot-bind with_haproxy '' '' "$up" true
BIND=127.0.0.1:80 RUNNER='setpriv --reuid=65534 --regid=65534 --clear-groups' \
  provoke haproxy-cannot-bind with_haproxy '' '' "$up" true
BIND="127.0.0.1:$port ssl crt $work/one.crt" provoke haproxy-certificate-unusable with_haproxy '' '' "$up" true
BIND="127.0.0.1:$port ssl crt $work/missing.pem" provoke haproxy-certificate-unusable with_haproxy '' '' "$up" true
provoke haproxy-name-unknown with_haproxy '' '' 'server two app.invalid:80 check' true
RUNNER='prlimit --nofile=100:100' provoke haproxy-files-too-few with_haproxy 'maxconn 4000' '' "$up" true
provoke haproxy-handshake-failed eval "cat $work/one.crt $work/one.key >$work/one.pem; BIND='127.0.0.1:$port ssl crt $work/one.pem' with_haproxy '' '' '$up' curl -s $page/"
