# DNS: a name server of our own that answers as the name asked for says, and the programs that ask it.
# shellcheck shell=bash disable=SC2154
install unbound dnsmasq-base bind9-dnsutils python3 curl libc-bin

# Programs that read /etc/resolv.conf get another one in a mount namespace of their own.
with_resolver() { # LINES COMMAND...
  printf '%b' "$1" >"$work"/resolv.conf
  shift
  # shellcheck disable=SC2016
  unshare -m sh -c 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"' sh "$work"/resolv.conf "$@"
}

cat >"$work"/names.py <<'PY'
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    query, client = server.recvfrom(512)
    code = 3 if b"gone" in query else 2 if b"broken" in query else 5
    if b"silent" not in query:
        server.sendto(query[:2] + bytes([0x81, 0x80 | code]) + query[4:6] + bytes(6) + query[12:], client)
PY
python3 "$work"/names.py 127.53.0.1 &
at_end "kill $!"
wait_for dig +time=1 +tries=1 @127.53.0.1 gone.example

look() { # NAME
  python3 -c 'import socket, sys
try:
    socket.getaddrinfo(sys.argv[1], 80)
except OSError as error:
    print(f"{type(error).__module__}.{type(error).__name__}: {error}")' "$1"
  curl -sS -m 20 "http://$1/"
  ping -c 1 "$1"
  if command -v node >/dev/null; then node -e 'require("dns").resolve4(process.argv[1], e => console.error(e))' "$1"; fi
  if [ -x "$work"/look ]; then "$work"/look "$1"; fi
  dig +time=1 +tries=1 "$1"
}
cat >"$work"/look.go <<'GO'
package main

import (
	"log"
	"net"
	"os"
)

func main() {
	if _, err := net.LookupHost(os.Args[1]); err != nil {
		log.Print(err)
	}
}
GO
if command -v go >/dev/null; then
  (cd "$work" && GOCACHE="$work/go" GOFLAGS='' CGO_ENABLED=0 go build -o look look.go) 2>/dev/null
fi

ours='nameserver 127.53.0.1\noptions timeout:1 attempts:1\n'
provoke dns-name-does-not-exist with_resolver "$ours" bash -c "$(declare -f look); work=$work look gone.example"
provoke dns-server-fails with_resolver "$ours" bash -c "$(declare -f look); work=$work look broken.example"
provoke dns-server-refuses with_resolver "$ours" bash -c "$(declare -f look); work=$work look other.example"
provoke dns-server-silent with_resolver "$ours" bash -c "$(declare -f look); work=$work look silent.example"
provoke dns-server-unreachable with_resolver 'nameserver 127.53.0.9\noptions timeout:1 attempts:1\n' \
  bash -c "$(declare -f look); work=$work look shop.example"
provoke dns-name-malformed with_resolver "$ours" bash -c "$(declare -f look); work=$work look shop..example"
provoke dns-name-malformed with_resolver "$ours" bash -c "$(declare -f look); work=$work look $(printf 'a%.0s' {1..70}).example"

# dnsmasq and unbound as servers.
provoke dns-server-cannot-start timeout 3 dnsmasq -d -C /dev/null --port 53 --listen-address=127.53.0.1 --bind-interfaces
provoke dns-server-cannot-start timeout 3 dnsmasq -d -C /dev/null --port 53 --listen-address=192.0.2.7 --bind-interfaces
forward() {
  timeout 12 dnsmasq -d --log-facility=- -C /dev/null --no-resolv --no-hosts --port 5399 --listen-address=127.0.0.1 --bind-interfaces \
    --dns-forward-max=5 --server=127.53.0.1 &
  sleep 1
  for n in {1..40}; do dig +time=1 +tries=1 -p 5399 @127.0.0.1 "silent$n.example" >/dev/null & done
  sleep 3
  kill %1
}
provoke dnsmasq-queries-full forward
provoke dns-server-cannot-start dnsmasq -d -C <(echo no-such-option)
printf 'server:\n  no-such-option: yes\n' >"$work"/bad.conf
provoke dns-server-cannot-start unbound -d -c "$work"/bad.conf
printf 'server:\n  interface: 127.0.0.1@5398\n  username: ""\n  chroot: ""\n  use-syslog: no\n  logfile: ""\n  do-daemonize: no\n  pidfile: ""\n  auto-trust-anchor-file: "%s/root.key"\n' "$work" >"$work"/anchor.conf
echo nonsense >"$work"/root.key
provoke dns-server-cannot-start timeout 3 unbound -d -c "$work"/anchor.conf
printf 'server:\n  interface: 192.0.2.7@5398\n  username: ""\n  chroot: ""\n  use-syslog: no\n  pidfile: ""\n' >"$work"/listen.conf
provoke dns-server-cannot-start timeout 3 unbound -d -c "$work"/listen.conf
