# Apache httpd: each case is a configuration of a few lines and the requests that bring out the trouble.
# shellcheck shell=bash disable=SC2154,SC2016
install apache2 openssl curl python3

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
mods=/usr/lib/apache2/modules
mkdir -p "$work"/www/{empty,locked,override,cgi}
chmod 711 "$work"; echo ok >"$work"/www/index.html
chmod 711 "$work"/www
chmod 700 "$work"/www/locked
echo 'NoSuchDirective on' >"$work"/www/override/.htaccess
for name in one two; do
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=shop.example \
    -keyout "$work/$name.key" -out "$work/$name.crt" 2>/dev/null
done

cat >"$work"/back.py <<'PY'
import http.server, sys, time

class Back(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.rsplit("/", 1)[1]
        if path == "slow":
            time.sleep(5)
        elif path == "large":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: " + b"a" * 20000 + b"\r\n\r\n")
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

# httpd with these lines while the command runs; MPM and MODULES may be overridden.
with_httpd() { # LINES COMMAND...
  local lines=$1 module
  shift
  {
    echo "ServerRoot $work"
    echo "PidFile $work/httpd.pid"
    echo "Mutex file:$work default"
    for module in "mpm_${MPM-event}" authz_core authz_host dir mime alias autoindex rewrite headers reqtimeout auth_basic authn_core authn_file authz_user ${MODULES-}; do
      echo "LoadModule ${module}_module $mods/mod_$module.so"
    done
    echo "TypesConfig /etc/mime.types"
    echo "ErrorLog /dev/stderr"
    echo "Listen ${LISTEN-127.0.0.1:$port}"
    [ -z "${NAME-localhost}" ] || echo "ServerName ${NAME-localhost}"
    echo "User www-data"
    echo "Group www-data"
    echo "DocumentRoot $work/www"
    echo "$lines"
  } >"$work"/httpd.conf
  rm -f "$work"/httpd.pid
  # A session of its own: prefork passes the signal to end on to its whole process group.
  setsid apache2 -D FOREGROUND -f "$work"/httpd.conf &
  local httpd=$!
  until [ -s "$work"/httpd.pid ] || ! kill -0 $httpd; do sleep 0.1; done 2>/dev/null
  sleep 0.7
  "$@" >/dev/null 2>&1
  kill -TERM $httpd 2>/dev/null
  wait $httpd
}
get() { for path in "$@"; do curl -s -m 8 -o /dev/null "$page$path"; done; }
proxy="ProxyPass / http://127.0.0.1:$back/"

NAME='' provoke apache-name-unknown with_httpd '' true
LISTEN=192.0.2.7:80 provoke apache-cannot-listen with_httpd '' true
LISTEN=127.0.0.1:$back provoke apache-cannot-listen with_httpd '' true
provoke apache-config-invalid apache2 -t -C "ServerRoot $work" -f /dev/null -c 'NoSuchDirective on'
provoke apache-config-invalid with_httpd 'SSLEngine on' true
provoke apache-config-invalid with_httpd '<Directory />' true
provoke apache-config-invalid with_httpd "Include $work/missing.conf" true
provoke apache-module-unloadable with_httpd "LoadModule php_module $mods/libphp.so" true
MODULES='socache_shmcb ssl' provoke apache-certificate-unusable with_httpd \
  "SSLEngine on
SSLCertificateFile $work/one.crt
SSLCertificateKeyFile $work/two.key" true
MODULES='socache_shmcb ssl' provoke apache-certificate-unusable with_httpd \
  "SSLEngine on
SSLCertificateFile $work/missing.crt" true
MODULES='socache_shmcb ssl' provoke apache-certificate-name with_httpd \
  "SSLEngine on
SSLCertificateFile $work/one.crt
SSLCertificateKeyFile $work/one.key" true

# Holds COUNT connections open for six seconds.
crowd() {
  python3 - "$port" "$1" <<'PY'
import socket, sys, time
crowd = []
for _ in range(int(sys.argv[2])):
    one = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2)
    one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
    crowd.append(one)
time.sleep(6)
PY
}
MPM=prefork provoke apache-workers-full with_httpd 'StartServers 2
MinSpareServers 1
MaxRequestWorkers 3
ServerLimit 3' crowd 20
provoke apache-workers-full with_httpd 'StartServers 1
ServerLimit 2
ThreadsPerChild 2
ThreadLimit 2
MinSpareThreads 1
MaxSpareThreads 4
MaxRequestWorkers 4' crowd 40

provoke apache-directory-forbidden with_httpd '<Location />
Options -Indexes
</Location>' get /empty/
provoke apache-denied-by-rule with_httpd '<Location />
Require all denied
</Location>' get /
provoke apache-file-denied with_httpd '' get /locked/page
provoke apache-htaccess-invalid with_httpd "<Directory $work/www>
AllowOverride All
</Directory>" get /override/page
provoke apache-redirect-loop with_httpd 'RewriteEngine on
<Location />
RewriteRule ^(.*)$ /again [PT]
</Location>' get /x
provoke apache-redirect-loop with_httpd "<Directory $work/www>
RewriteEngine on
RewriteRule ^(.*)$ /again/\$1 [L]
</Directory>" get /x
echo 'anna:$apr1$x$wrong' >"$work"/htpasswd
provoke apache-password-refused with_httpd "<Location />
AuthType Basic
AuthName shop
AuthUserFile $work/htpasswd
Require valid-user
</Location>" eval "curl -s -u anna:wrong $page/; curl -s -u otto:wrong $page/"

MODULES='proxy proxy_http' provoke apache-backend-down with_httpd 'ProxyPass / http://127.0.0.1:1/' get / /
MODULES='proxy proxy_http' provoke apache-backend-broke-off with_httpd "$proxy" get /close
MODULES='proxy proxy_http' provoke apache-backend-broke-off with_httpd "$proxy
ProxyTimeout 1" get /slow
MODULES='proxy proxy_http' provoke apache-proxy-module-missing with_httpd 'ProxyPass / fcgi://127.0.0.1:9000/' get /
MODULES='proxy proxy_http' provoke apache-backend-name-unknown with_httpd 'ProxyPass / http://app.invalid/' get /
MODULES='proxy proxy_fcgi' provoke apache-php-socket-missing with_httpd \
  "ProxyPass / unix:$work/php.sock|fcgi://localhost/" get /
fpm=$(basename "$(command -v /usr/sbin/php-fpm[0-9]*)" 2>/dev/null)
if [ -n "$fpm" ]; then
  printf '[global]\nerror_log = %s/php.log\n[www]\nuser = root\nlisten = %s/fpm.sock\nlisten.mode = 0666\npm = static\npm.max_children = 1\n' "$work" "$work" >"$work"/fpm.conf
  "$fpm" -R -F -y "$work"/fpm.conf &>/dev/null &
  at_end "kill $!"
  wait_for test -S "$work"/fpm.sock
  MODULES='proxy proxy_fcgi' provoke apache-php-script-unknown with_httpd \
    "ProxyPass / unix:$work/fpm.sock|fcgi://localhost/nowhere/" get /index.php
fi

kill_child() { pkill -P "$(cat "$work"/httpd.pid)" "-$1"; sleep 1.5; }
provoke apache-child-crashed with_httpd '' kill_child SEGV
