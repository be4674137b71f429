# nginx: each case is a configuration of a few lines and the requests that bring out the trouble.
# shellcheck shell=bash disable=SC2154,SC2016
install nginx openssl curl python3 php-fpm

# Below the range from which the kernel takes the ports of outgoing connections.
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
tls_port=$(low_port)
back=$(low_port)
page=http://127.0.0.1:$port
mkdir -p "$work"/www/empty "$work"/www/secret "$work"/nginx
echo ok >"$work"/www/index.html
head -c 3000000 /dev/zero >"$work"/www/large
chmod 600 "$work"/www/secret

for name in one two; do
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=shop.example \
    -keyout "$work/$name.key" -out "$work/$name.crt" 2>/dev/null
done

# A server behind nginx that misbehaves as the path says.
cat >"$work"/back.py <<'PY'
import http.server, socket, struct, sys, time

class Back(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.rsplit("/", 1)[1]
        if path == "close":
            self.wfile.write(b"")
        elif path == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()
        elif path == "slow":
            time.sleep(4)
        elif path == "invalid":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nBad\x00Header: 1\r\n\r\n")
        elif path == "greeting":
            self.wfile.write(b"220 mail.example ESMTP\r\n")
        elif path == "cookies":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: " + b"a" * 20000 + b"\r\n\r\n")
        elif path == "large":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + bytes(30000000))
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
        self.close_connection = True
    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Back).serve_forever()
PY
python3 "$work"/back.py "$back" 2>/dev/null &
at_end "kill $!"
wait_for curl -s "http://127.0.0.1:$back/"

# nginx with TOP in its main part, HTTP in its http part and SERVER in its server part, while the
# command runs; it says everything on standard error. TOP, EVENTS and LISTEN may be overridden.
with_nginx() { # HTTP SERVER COMMAND...
  local http=$1 server=$2
  shift 2
  cat >"$work"/nginx/nginx.conf <<CONF
daemon off;
pid $work/nginx/nginx.pid;
error_log stderr ${LEVEL:-warn};
${TOP-user root; worker_processes 1;}
events { ${EVENTS-} }
http {
  access_log off;
  ${http}
  server { listen ${LISTEN-127.0.0.1:$port}; root $work/www; ${server} }
}
CONF
  # A signal for one that has not set up its handlers yet would be lost.
  rm -f "$work"/nginx/nginx.pid
  $RUNNER nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" &
  local nginx=$!
  until [ -s "$work"/nginx/nginx.pid ] || ! kill -0 $nginx; do sleep 0.1; done 2>/dev/null
  sleep 0.3
  "$@" >/dev/null 2>&1
  kill -TERM $nginx 2>/dev/null
  wait $nginx
}
RUNNER=
get() { for path in "$@"; do curl -s -m 8 -o /dev/null "$page$path"; done; }
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

# Opens COUNT connections and keeps them for two seconds.
crowd() {
  python3 - "$port" "$1" <<'PY'
import socket, sys, time
crowd = []
for _ in range(int(sys.argv[2])):
    one = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2)
    one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
    crowd.append(one)
time.sleep(2)
PY
}

EVENTS='worker_connections 10;' provoke nginx-connections-full with_nginx '' '' crowd 30
TOP='user root; worker_processes 1; worker_rlimit_nofile 20;' EVENTS='worker_connections 100;' \
  provoke nginx-files-full with_nginx '' '' crowd 40

proxied="location / { proxy_pass http://127.0.0.1:$back; proxy_read_timeout 1s; }"
provoke upstream-failing with_nginx '' "$proxied" get /close /reset
provoke upstream-failing with_nginx '' 'location / { proxy_pass http://127.0.0.1:1; }' get /
provoke upstream-failing with_nginx \
  'upstream app { server 127.0.0.1:1 max_fails=1; server 127.0.0.2:1 max_fails=1; }' \
  'location / { proxy_pass http://app; }' get / /
provoke upstream-timeout with_nginx '' "$proxied" get /slow
provoke nginx-upstream-header-too-big with_nginx '' "$proxied" get /cookies
provoke nginx-upstream-header-invalid with_nginx '' "$proxied" get /invalid /greeting
provoke nginx-response-buffered with_nginx '' "$proxied" \
  curl -s --limit-rate 300k -m 3 "$page/large"
provoke nginx-body-too-large with_nginx 'client_max_body_size 1k;' '' \
  curl -s --data-binary "@$work/www/large" "$page/"

TOP='user nobody nogroup;' provoke nginx-file-denied with_nginx '' '' get /secret/page /secret/
provoke nginx-index-missing with_nginx '' '' get /empty/
provoke nginx-redirect-cycle with_nginx '' 'error_page 404 /missing.html; try_files $uri /index.php;
  location = /index.php { try_files /none /index.php; }' get /
provoke nginx-redirect-cycle with_nginx '' 'location / { rewrite ^ /again$uri; }' get /
provoke nginx-access-rule with_nginx '' 'location / { deny all; }' get /
printf 'anna:{PLAIN}right\n' >"$work"/htpasswd
provoke nginx-password-refused with_nginx '' \
  "location / { auth_basic shop; auth_basic_user_file $work/htpasswd; }" \
  eval "curl -s -u anna:wrong $page/; curl -s -u otto:wrong $page/"

parallel() { curl -s -Z --parallel-immediate --parallel-max "$1" -m 6 "$page/slow?${2-}[1-$1]"; }
provoke nginx-requests-limited with_nginx 'limit_req_zone $remote_addr zone=perip:64k rate=1r/s;' \
  'limit_req zone=perip burst=2 nodelay;' get / / / / / /
provoke nginx-requests-limited with_nginx 'limit_conn_zone $remote_addr zone=all:64k;' \
  "limit_conn all 2; $proxied" parallel 8
long=$(printf 'x%.0s' {1..200})
provoke nginx-zone-full with_nginx 'limit_conn_zone $args zone=all:32k;' "limit_conn all 2; $proxied" \
  parallel 150 "$long"

provoke nginx-resolver-missing with_nginx '' \
  'set $app app.internal; location / { proxy_pass http://$app; }' get /
dns=$(free_port)
python3 - "$dns" <<'PY' &
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    query, client = server.recvfrom(512)
    code = 3 if b"gone" in query else 2
    if b"silent" not in query:
        server.sendto(query[:2] + bytes([0x81, 0x80 | code]) + query[4:6] + bytes(6) + query[12:], client)
PY
at_end "kill $!"
provoke nginx-name-not-resolved with_nginx "resolver 127.0.0.1:$dns ipv6=off; resolver_timeout 1s;" \
  'location ~ ^/(.*)$ { proxy_pass http://$1.internal; }' get /gone /broken /silent

LISTEN=192.0.2.7:$port provoke nginx-address-missing with_nginx '' '' true
chmod 700 "$work"/nginx
chmod 755 "$work"/nginx
RUNNER=as_nobody TOP='worker_processes 1;' provoke nginx-start-not-permitted with_nginx '' '' true
RUNNER=as_nobody TOP='worker_processes 1;' provoke nginx-start-not-permitted \
  with_nginx 'client_body_temp_path /var/cache/client_temp;' '' true
RUNNER='setpriv --bounding-set -chown --inh-caps -chown' TOP='user nobody nogroup;' \
  provoke nginx-start-not-permitted with_nginx "client_body_temp_path $work/body;" '' true
TOP='user no_such_user;' provoke nginx-user-unknown with_nginx '' '' true
LISTEN="127.0.0.1:$tls_port ssl" provoke nginx-key-mismatch with_nginx '' \
  "ssl_certificate $work/one.crt; ssl_certificate_key $work/two.key;" true
LISTEN="127.0.0.1:$tls_port ssl" provoke nginx-stapling-ignored with_nginx '' \
  "ssl_certificate $work/one.crt; ssl_certificate_key $work/one.key; ssl_stapling on;" true
provoke nginx-names-hash-full with_nginx "server_names_hash_bucket_size 32; server { listen 127.0.0.1:$port; }" \
  "server_name $(printf 'n%.0s' {1..120}).shop.example;" true
provoke nginx-names-hash-full with_nginx 'types_hash_max_size 32; types_hash_bucket_size 32; include /etc/nginx/mime.types;' '' true
TOP='load_module /usr/lib/nginx/modules/no_such_module.so;' \
  provoke nginx-module-unloadable with_nginx '' '' true
provoke nginx-name-claimed-twice with_nginx \
  "server { listen 127.0.0.1:$port; server_name shop.example; }" 'server_name shop.example;' true

provoke nginx-config-invalid with_nginx 'serverr {}' '' true
provoke nginx-config-invalid with_nginx 'include missing.conf;' 'listen 80' true
provoke nginx-config-invalid with_nginx '' 'ssl_certificate missing.pem; ssl_certificate_key missing.pem; listen 127.0.0.1:1 ssl;' true
provoke nginx-config-invalid with_nginx "server { listen 127.0.0.1:$port default_server; }
  server { listen 127.0.0.1:$port default_server; }" '' true

kill_worker() { pkill -P "$(cat "$work"/nginx/nginx.pid)" "-$1"; sleep 0.5; }
provoke nginx-worker-killed with_nginx '' '' kill_worker KILL
provoke nginx-worker-crashed with_nginx '' '' kill_worker SEGV
provoke nginx-worker-crashed with_nginx '' '' kill_worker ABRT

openssl s_server -quiet -accept "$tls_port" -cert "$work"/one.crt -key "$work"/one.key \
  -servername shop.example -servername_fatal -cert2 "$work"/two.crt -key2 "$work"/two.key &>/dev/null &
at_end "kill $!"
wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$tls_port"
provoke nginx-upstream-sni with_nginx '' \
  "location / { proxy_pass https://127.0.0.1:$tls_port; proxy_ssl_server_name on; proxy_ssl_name other.example; }" get /

# PHP behind a socket.
fastcgi="include /etc/nginx/fastcgi_params; fastcgi_pass unix:$work/php.sock;"
provoke nginx-socket-missing with_nginx '' "location / { $fastcgi }" get /
python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$work"/php.sock
provoke nginx-socket-missing with_nginx '' "location / { $fastcgi }" get /
chmod 600 "$work"/php.sock
TOP='user nobody nogroup;' provoke nginx-socket-missing with_nginx '' "location / { $fastcgi }" get /
rm "$work"/php.sock
cat >"$work"/php-fpm.conf <<CONF
[global]
error_log = $work/php.log
[www]
user = root
listen = $work/php.sock
listen.mode = 0666
listen.backlog = 1
pm = static
pm.max_children = 1
CONF
fpm=$(basename "$(command -v /usr/sbin/php-fpm[0-9]*)")
"$fpm" -R -F -y "$work"/php-fpm.conf &>/dev/null &
at_end "kill $!"
wait_for test -S "$work"/php.sock
provoke nginx-php-script-unknown with_nginx '' \
  "location / { $fastcgi fastcgi_param SCRIPT_FILENAME /nowhere\$fastcgi_script_name; }" get /index.php
echo '<?php sleep(2);' >"$work"/www/sleep.php
provoke nginx-socket-full with_nginx '' \
  "location / { $fastcgi fastcgi_param SCRIPT_FILENAME \$document_root/sleep.php; }" \
  curl -s -Z --parallel-immediate --parallel-max 30 -m 6 "$page/?[1-30]"
