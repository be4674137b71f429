# TLS: a certificate authority of our own with one certificate for each kind of fault, served by
# openssl s_server and asked by OpenSSL, curl, Python, Node.js, Go and Java where they are there.
# shellcheck shell=bash disable=SC2154
install openssl curl python3

cd "$work" || exit
quiet() { "$@" 2>/dev/null; }
quiet openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=Example Root' -keyout ca.key -out ca.crt
quiet openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=shop.example -keyout self.key -out self.crt

# NAME SUBJECT-ALTERNATIVE-NAME START END: a certificate signed by the authority.
sign() {
  quiet openssl req -newkey rsa:2048 -nodes -subj "/CN=$1.example" -keyout "$1.key" -out "$1.csr"
  mkdir -p db && : >db/index && echo 01 >db/serial
  cat >db/ca.cnf <<CNF
[ca]
default_ca = own
[own]
database = $work/db/index
serial = $work/db/serial
new_certs_dir = $work/db
default_md = sha256
policy = any
unique_subject = no
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
subjectAltName = $2
CNF
  quiet openssl ca -batch -config db/ca.cnf -cert ca.crt -keyfile ca.key -in "$1.csr" -out "$1.crt" \
    -startdate "$3" -enddate "$4" -notext
}
sign good DNS:localhost,IP:127.0.0.1 20200101000000Z 20490101000000Z
sign expired DNS:localhost,IP:127.0.0.1 20200101000000Z 20210101000000Z
sign early DNS:localhost,IP:127.0.0.1 20480101000000Z 20490101000000Z
sign other DNS:other.example 20200101000000Z 20490101000000Z

# A TLS server with these options while the command runs; `$port` is its port.
with_server() { # OPTIONS COMMAND...
  local options=$1
  shift
  # shellcheck disable=SC2086
  openssl s_server -accept "$port" -www $options >server.log 2>&1 &
  local server=$!
  wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
  "$@"
  kill $server
  wait $server 2>/dev/null
  cat server.log
}
port=$(free_port)
url=https://localhost:$port/
cat >ask.py <<'PY'
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2] if len(sys.argv) > 2 else None)
try:
    urllib.request.urlopen(sys.argv[1], context=context, timeout=5)
except Exception as error:
    print(f"{type(error).__module__}.{type(error).__name__}: {error}")
PY
cat >ask.js <<'JS'
const [url, ca] = process.argv.slice(2);
const options = ca ? { ca: require("fs").readFileSync(ca) } : {};
require("https").get(url, options, () => {}).on("error", e => console.error(e));
JS
cat >ask.go <<'GO'
package main

import (
	"crypto/tls"
	"crypto/x509"
	"log"
	"net/http"
	"os"
)

func main() {
	pool := x509.NewCertPool()
	if len(os.Args) > 2 {
		pem, _ := os.ReadFile(os.Args[2])
		pool.AppendCertsFromPEM(pem)
	}
	http.DefaultTransport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
	if _, err := http.Get(os.Args[1]); err != nil {
		log.Print(err)
	}
}
GO
# Go takes long to compile, and is not needed for the rest.
if command -v go >/dev/null; then quiet env GOCACHE="$work/go" GOFLAGS= go build -o ask ask.go; fi

# Asks in every language.
ask() { # URL [CA]
  curl -sS -m 5 -o /dev/null ${2:+--cacert "$2"} "$1"
  python3 ask.py "$@"
  if command -v node >/dev/null; then node ask.js "$@"; fi
  if [ -x ask ]; then ./ask "$@"; fi
  openssl s_client -connect "localhost:${url//[^0-9]/}" ${2:+-CAfile "$2"} </dev/null 2>&1 | grep -a 'erif'
}

provoke tls-certificate-expired with_server '-cert expired.crt -key expired.key' ask "$url" ca.crt
provoke tls-certificate-not-yet-valid with_server '-cert early.crt -key early.key' ask "$url" ca.crt
provoke tls-certificate-self-signed with_server '-cert self.crt -key self.key' ask "$url"
provoke tls-certificate-self-signed with_server '-cert good.crt -key good.key -cert_chain ca.crt' ask "$url"
provoke tls-issuer-unknown with_server '-cert good.crt -key good.key' ask "$url"
provoke certificate-rejected with_server '-cert good.crt -key good.key' ask "$url"
provoke tls-name-mismatch with_server '-cert other.crt -key other.key' ask "$url" ca.crt
provoke tls-name-mismatch with_server '-cert other.crt -key other.key' \
  curl -sS -m 5 --cacert ca.crt "https://127.0.0.1:$port/"

old_client() { openssl s_client -connect "localhost:$port" -tls1_1 -cipher DEFAULT@SECLEVEL=0 </dev/null 2>&1 | grep -a 'error:\|alert'; }
provoke tls-version-refused with_server '-cert good.crt -key good.key -tls1_3' old_client
provoke tls-version-refused with_server '-cert good.crt -key good.key -tls1_3' \
  curl -sS -m 5 -k --tls-max 1.2 "$url"
provoke tls-version-refused with_server '-cert good.crt -key good.key -tls1_1 -cipher DEFAULT@SECLEVEL=0' ask "$url" ca.crt
provoke tls-no-shared-cipher with_server '-cert good.crt -key good.key -tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384' \
  curl -sS -m 5 -k --tls-max 1.2 --ciphers ECDHE-RSA-CHACHA20-POLY1305 "$url"
provoke tls-handshake-refused with_server '-cert good.crt -key good.key -tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384' \
  curl -sS -m 5 -k --tls-max 1.2 --ciphers ECDHE-RSA-CHACHA20-POLY1305 "$url"
provoke tls-name-unrecognized with_server \
  '-cert good.crt -key good.key -servername shop.example -servername_fatal -cert2 other.crt -key2 other.key' ask "$url" ca.crt
provoke tls-client-certificate-missing with_server '-cert good.crt -key good.key -CAfile ca.crt -Verify 1 -verify_return_error' \
  ask "$url" ca.crt
provoke tls-client-certificate-missing with_server '-cert good.crt -key good.key -CAfile ca.crt -Verify 1 -verify_return_error' \
  curl -sS -m 5 --cacert ca.crt --cert self.crt --key self.key "$url"
provoke tls-peer-distrusts-us with_server '-cert self.crt -key self.key' ask "$url"
provoke tls-key-mismatch openssl s_server -accept "$port" -cert good.crt -key other.key
provoke tls-key-mismatch with_server '-cert good.crt -key good.key' curl -sS -k -m 5 --cert good.crt --key other.key "$url"
provoke tls-key-mismatch python3 -c 'import ssl; ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain("good.crt", "other.key")'

# Plain HTTP where TLS is expected, and the other way round.
plain() {
  python3 -m http.server --bind 127.0.0.1 "$port" &>/dev/null &
  local server=$!
  wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
  ask "$url"
  kill $server
}
provoke tls-wrong-protocol plain
provoke tls-wrong-protocol with_server '-cert good.crt -key good.key' curl -sS -m 5 "http://localhost:$port/"

# A connection that ends inside the handshake.
cut() {
  python3 - "$port" <<'PY' &
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    connection.recv(1000)
    connection.close()
PY
  local server=$!
  wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
  ask "$url"
  kill $server
}
provoke tls-handshake-cut cut

# Files that are no PEM, and keys that are too small for today.
echo nonsense >broken.pem
provoke tls-file-unreadable python3 -c 'import ssl; ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain("broken.pem", "broken.pem")'
provoke tls-file-unreadable openssl s_server -accept "$port" -cert broken.pem -key broken.pem
provoke tls-file-unreadable with_server '-cert good.crt -key good.key' curl -sS -m 5 --cacert broken.pem "$url"
provoke tls-file-unreadable with_server '-cert good.crt -key good.key' curl -sS -m 5 --cert broken.pem "$url"
provoke tls-roots-missing with_server '-cert good.crt -key good.key' curl -sS -m 5 --cacert missing.pem "$url"
quiet openssl req -x509 -newkey rsa:1024 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout weak.key -out weak.crt
provoke tls-key-too-small openssl s_server -accept "$port" -cert weak.crt -key weak.key
provoke tls-key-too-small python3 -c 'import ssl; ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain("weak.crt", "weak.key")'
provoke tls-key-too-small with_server '-cert weak.crt -key weak.key -cipher DEFAULT@SECLEVEL=0' ask "$url" weak.crt
cd "$root" || exit
