# What programs write when the network refuses them, in the words of several languages and tools.
# Networks are namespaces of their own.
install iproute2 iptables iputils-ping python3 perl curl openssl netcat-openbsd bind9-dnsutils

net=selfheal-net-$$
at_end "ip netns delete $net"
ip netns add "$net"
# Runs a command in a network of its own: loopback, and a link to nobody with a default route.
ip -n "$net" link set lo up
ip -n "$net" link add dead0 type veth peer name dead1
ip -n "$net" address add 10.9.1.1/24 dev dead0
ip -n "$net" link set dead0 up; ip -n "$net" link set dead1 up
within() { ip netns exec "$net" "$@"; }
python() { within /usr/bin/python3 -c "$1"; }

# A server that does to its clients what its argument says.
cat >"$work/server.py" <<'PYTHON'
import socket, struct, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[2])))
while True:
    client, _ = server.accept()
    if sys.argv[1] == "reset":
        client.recv(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    elif sys.argv[1] == "close":
        client.recv(4096)
        client.close()
    elif sys.argv[1] == "silent":
        held = globals().setdefault("held", [])
        held.append(client)
    elif sys.argv[1] == "garbage":
        client.recv(4096)
        client.sendall(b"220 mail.example ESMTP\r\n")
        client.close()
PYTHON
port=20000
serve() {
  port=$((port + 1))
  within /usr/bin/python3 "$work/server.py" "$1" "$port" &
  at_end "kill $!"
  sleep 0.5
}
serve reset; reset_port=$port
serve close; close_port=$port
serve silent; silent_port=$port
serve garbage; garbage_port=$port

provoke connection-reset within curl -sS "http://127.0.0.1:$reset_port/"
provoke connection-reset python "import socket
s = socket.create_connection(('127.0.0.1', $reset_port)); s.sendall(b'x' * 20); print(s.recv(10)); s.recv(10)"
provoke connection-reset python "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$reset_port/')"
provoke connection-reset within node -e "require('http').get('http://127.0.0.1:$reset_port/')"
provoke broken-pipe python "import socket, time
s = socket.create_connection(('127.0.0.1', $close_port)); s.sendall(b'x'); time.sleep(0.3); s.sendall(b'x'); time.sleep(0.3); s.sendall(b'x')"
provoke broken-pipe within perl -e '$SIG{PIPE} = "IGNORE"; use IO::Socket::INET; $s = IO::Socket::INET->new("127.0.0.1:'$close_port'"); for (1..3) { syswrite($s, "x") // die "write: $!\n"; select undef, undef, undef, 0.3 }'
provoke dependency-refused within curl -sS http://127.0.0.1:1/
provoke dependency-refused python "import socket; socket.create_connection(('127.0.0.1', 1))"
provoke dependency-refused within node -e "require('net').connect(1, '127.0.0.1')"
provoke name-not-resolved within curl -sS http://nohost.invalid/
provoke name-not-resolved python "import socket; socket.getaddrinfo('nohost.invalid', 80)"
provoke name-not-resolved within node -e "require('http').get('http://nohost.invalid/')"
provoke connection-closed-early within curl -sS "http://127.0.0.1:$close_port/"
provoke connection-closed-early python "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$close_port/')"
provoke connection-closed-early within node -e "require('http').get('http://127.0.0.1:$close_port/')"
provoke connect-timeout within curl -sS --connect-timeout 1 http://10.9.1.250/
within iptables -A OUTPUT -p tcp --dport 9 -j DROP
provoke connect-timeout within curl -sS --connect-timeout 1 http://127.0.0.1:9/
within sysctl -qw net.ipv4.tcp_syn_retries=1
provoke connect-timeout python "import socket; socket.create_connection(('127.0.0.1', 9))"
provoke connect-timeout within node -e "require('net').connect(9, '127.0.0.1')"
provoke connect-timeout within nc -w 1 -v 127.0.0.1 9
provoke no-route python "import socket; socket.create_connection(('198.51.100.1', 80))"
provoke no-route within curl -sS http://198.51.100.1/
provoke no-route python "import socket; socket.create_connection(('10.9.1.77', 80))"
provoke no-route within ping -c 1 198.51.100.1
within iptables -A OUTPUT -p tcp --dport 7777 -j REJECT --reject-with icmp-host-prohibited
ports_run_out() {
  within sysctl -qw net.ipv4.ip_local_port_range="40000 40009"
  python "import socket
held = []
while True: held.append(socket.create_connection(('127.0.0.1', $silent_port)))"
  within node -e "for (let n = 0; n < 20; n++) require('net').connect($silent_port, '127.0.0.1')"
  python "import socket
held = []
while True:
    s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); held.append(s)"
  within sysctl -qw net.ipv4.ip_local_port_range="32768 60999"
}
provoke ports-exhausted ports_run_out
provoke bind-address-missing python "import socket; socket.create_server(('192.0.2.55', 8080))"
provoke bind-address-missing within node -e "require('http').createServer().listen(8080, '192.0.2.55')"
provoke bind-address-missing within nc -l 192.0.2.55 8080
provoke port-privileged within setpriv --reuid 65534 --clear-groups --inh-caps=-all /usr/bin/python3 -c "import socket; socket.create_server(('127.0.0.1', 81))"
provoke port-privileged within setpriv --reuid 65534 --clear-groups --inh-caps=-all node -e "require('http').createServer().listen(81)"
provoke port-privileged within setpriv --reuid 65534 --clear-groups --inh-caps=-all nc -l 127.0.0.1 81
provoke proxy-refused within env http_proxy=http://127.0.0.1:1 curl -sS http://example.org/
provoke proxy-refused within env https_proxy=http://127.0.0.1:$garbage_port curl -sS https://example.org/
provoke proxy-refused within env https_proxy=http://proxy.invalid:3128 curl -sS https://example.org/
cat >"$work/proxy.py" <<'PYTHON'
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = server.accept()
    client.recv(4096)
    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
    client.close()
PYTHON
within /usr/bin/python3 "$work/proxy.py" 20100 &
at_end "kill $!"
sleep 0.5
provoke proxy-refused within env https_proxy=http://127.0.0.1:20100 curl -sS https://example.org/
provoke proxy-refused within env https_proxy=http://127.0.0.1:20100 /usr/bin/python3 -c "import urllib.request; urllib.request.urlopen('https://example.org/')"
message_too_long() {
  within ip link set dead0 mtu 1400
  python "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 10, 2)
s.sendto(b'x' * 1450, ('10.9.1.2', 9))"
  within ping -c 1 -M do -s 1450 10.9.1.2
}
provoke packet-too-long message_too_long
provoke protocol-mismatch within curl -sS "http://127.0.0.1:$garbage_port/"
provoke protocol-mismatch within curl -sS "https://127.0.0.1:$garbage_port/"
provoke protocol-mismatch python "import http.client; c = http.client.HTTPConnection('127.0.0.1', $garbage_port); c.request('GET', '/'); c.getresponse()"
provoke protocol-mismatch within node -e "require('http').get('http://127.0.0.1:$garbage_port/')"
provoke address-in-use python "import socket; socket.create_server(('127.0.0.1', $silent_port))"
provoke address-in-use within nc -l 127.0.0.1 "$silent_port"
