# NATS: what the server and its clients say when it is in trouble.
install nats-server python3 openssl

port=$(free_port)
serve() {
  nats-server -a 127.0.0.1 -p "$port" "$@" &
  server=$!
  wait_for python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))"
}
finish() {
  kill -KILL "${1:-$server}"
  wait "${1:-$server}" 2>/dev/null
}
# Speaks the protocol: each argument is a line, `wait:N` waits; shows what the server answers.
say() {
  python3 - "$port" "$@" <<'PYTHON'
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.settimeout(1)
def show():
    try:
        for line in s.recv(65536).decode(errors="replace").splitlines():
            if not line.startswith(("INFO", "PONG", "PING")):
                print(line[:300])
    except OSError as e:
        pass
show()
for line in sys.argv[2:]:
    if line.startswith("wait:"):
        time.sleep(float(line[5:]))
    else:
        try:
            s.sendall(line.encode() + b"\r\n")
        except OSError as e:
            print(e)
    show()
PYTHON
}
hello='CONNECT {"verbose":false,"pedantic":false,"lang":"python3","version":"1","protocol":1}'

login() {
  serve --user app --pass secret
  say 'CONNECT {"user":"app","pass":"wrong","lang":"python3","version":"1","protocol":1}' PING
  finish
  cat >"$work/users.conf" <<'CONF'
authorization { users = [ { user: app, password: secret, permissions: { publish: "app.>", subscribe: "app.>" } } ] }
CONF
  serve -c "$work/users.conf"
  say 'CONNECT {"user":"app","pass":"wrong","lang":"python3","version":"1","protocol":1}' PING
  finish
}
provoke nats-login-refused login
permissions() {
  serve -c "$work/users.conf"
  say 'CONNECT {"user":"app","pass":"secret","lang":"python3","version":"1","protocol":1}' 'PUB other.thing 1' x 'SUB secrets.> 1' PING
  finish
}
provoke nats-not-permitted permissions

slow() {
  printf 'write_deadline: "100ms"\nmax_pending: 2000000\n' >"$work/slow.conf"
  serve -c "$work/slow.conf"
  python3 - "$port" <<'PYTHON'
import socket, sys, time
def client():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.connect(("127.0.0.1", int(sys.argv[1])))
    s.recv(4096)
    s.sendall(b'CONNECT {"verbose":false,"lang":"python3","version":"1","protocol":1}\r\n')
    return s
reader, writer = client(), client()
reader.sendall(b"SUB a 1\r\nPING\r\n")
time.sleep(0.5)
body = b"x" * 100000
try:
    for _ in range(200):
        writer.sendall(b"PUB a 100000\r\n" + body + b"\r\n")
except OSError:
    pass
time.sleep(1)
PYTHON
  finish
}
provoke nats-slow-consumer slow

connections() {
  printf 'max_connections: 2\n' >"$work/few.conf"
  serve -c "$work/few.conf"
  python3 - "$port" <<'PYTHON'
import socket, sys, time
kept = []
for _ in range(5):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    kept.append(s)
    s.settimeout(0.3)
    s.sendall(b'CONNECT {"verbose":false,"lang":"python3","version":"1","protocol":1}\r\nPING\r\n')
    try:
        while True:
            text = s.recv(4096).decode()
            if not text:
                break
            for line in text.splitlines():
                if line.startswith("-ERR"):
                    print(line)
    except OSError:
        pass
PYTHON
  finish
}
provoke nats-connections-full connections

payload() {
  printf 'max_payload: 1000\n' >"$work/small.conf"
  serve -c "$work/small.conf"
  say "$hello" 'PUB a 2000' "$(printf 'x%.0s' $(seq 2000))" PING
  finish
}
provoke nats-payload-too-large payload

stale() {
  printf 'ping_interval: "300ms"\nping_max: 1\n' >"$work/ping.conf"
  serve -c "$work/ping.conf" -DV
  say "$hello" PING wait:2 wait:1
  finish
}
provoke nats-stale-connection stale

http() {
  serve
  timeout 3 curl -s "http://127.0.0.1:$port/"
  say 'GET / HTTP/1.1' 'Host: x' ''
  finish
}
provoke nats-protocol-mismatch http
secure() {
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key.pem" -out "$work/certificate.pem" -subj /CN=localhost -days 2 2>/dev/null
  serve --tls --tlscert "$work/certificate.pem" --tlskey "$work/key.pem"
  say "$hello" PING
  finish
}
provoke nats-protocol-mismatch secure

config() {
  printf 'port: 4222\nno_such_setting: 1\n' >"$work/bad.conf"
  timeout 5 nats-server -c "$work/bad.conf"
  printf 'port: "many"\nauthorization { users = [\n' >"$work/bad.conf"
  timeout 5 nats-server -c "$work/bad.conf"
  timeout 5 nats-server -c "$work/absent.conf"
  timeout 5 nats-server --no-such-flag
}
provoke nats-config-invalid config

# Asks JetStream's interface: pairs of subject and body.
ask() {
  python3 - "$port" "$@" <<'PYTHON'
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.settimeout(2)
s.recv(4096)
s.sendall(b'CONNECT {"verbose":false,"lang":"python3","version":"1","protocol":1,"headers":true}\r\nSUB inbox 1\r\n')
seen = set()
for subject, body in zip(sys.argv[2::2], sys.argv[3::2]):
    body = b"x" * int(body[2:]) if body.startswith("x:") else body.encode()
    try:
        s.sendall(b"PUB %s inbox %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        for line in s.recv(65536).decode(errors="replace").splitlines():
            if '"error"' in line or line.startswith("-ERR"):
                print(line[:300])
    except OSError as problem:
        print(problem)
PYTHON
}
orders='{"name":"orders","subjects":["orders.>"],"storage":"file"}'
full() {
  printf 'jetstream { store_dir: "%s", max_file_store: 500000, max_memory_store: 1000000 }\n' "$work/js" >"$work/js.conf"
  serve -c "$work/js.conf"
  ask '$JS.API.STREAM.CREATE.orders' "$orders" orders.a x:100000 orders.a x:100000 orders.a x:100000 orders.a x:100000 \
    orders.a x:100000 orders.a x:100000 orders.a x:100000 \
    '$JS.API.STREAM.CREATE.large' '{"name":"large","subjects":["large.>"],"storage":"memory","max_bytes":900000000}'
  finish
}
provoke nats-jetstream-storage full
disk_full() {
  mkdir -p "$work/full"
  mount -t tmpfs -o size=1m none "$work/full"
  printf 'jetstream { store_dir: "%s", max_file_store: 100000000, max_memory_store: 1000000 }\n' "$work/full" >"$work/js.conf"
  serve -c "$work/js.conf"
  # shellcheck disable=SC2046
  ask '$JS.API.STREAM.CREATE.orders' "$orders" $(for _ in $(seq 30); do echo orders.a x:100000; done)
  finish
  umount "$work/full"
}
provoke nats-jetstream-storage disk_full
refused() {
  printf 'jetstream { store_dir: "%s" }\n' "$work/js2" >"$work/js.conf"
  serve -c "$work/js.conf"
  ask '$JS.API.STREAM.CREATE.three' '{"name":"three","subjects":["three.>"],"num_replicas":3}' \
    '$JS.API.STREAM.INFO.absent' '' '$JS.API.STREAM.CREATE.orders' "$orders" \
    '$JS.API.STREAM.CREATE.again' '{"name":"again","subjects":["orders.*"]}' \
    '$JS.API.STREAM.CREATE.orders' '{"name":"orders","subjects":["others.>"],"storage":"memory"}' \
    '$JS.API.CONSUMER.INFO.orders.absent' ''
  finish
}
provoke nats-jetstream-refused refused
unwritable() {
  mkdir -m 755 "$work/closed"
  printf 'jetstream { store_dir: "%s" }\n' "$work/closed" >"$work/js.conf"
  chmod 644 "$work/js.conf"
  runuser -u nobody -- timeout 5 nats-server -a 127.0.0.1 -p "$port" -c "$work/js.conf"
}
provoke nats-jetstream-not-started unwritable
damaged() {
  local body='{"name":"orders","subjects":["orders.>"],"storage":"file"}'
  mkdir "$work/store"
  printf 'jetstream { store_dir: "%s" }\n' "$work/store" >"$work/js.conf"
  serve -c "$work/js.conf"
  say "$hello" 'SUB inbox 1' "PUB \$JS.API.STREAM.CREATE.orders inbox ${#body}" "$body" 'PUB orders.a inbox 1' x PING
  finish
  find "$work/store" -name meta.inf -exec sh -c 'echo rubbish > "$1"' _ {} \;
  serve -c "$work/js.conf"
  sleep 1
  finish
}
provoke nats-stream-not-recovered damaged
no_quorum() {
  second=$(free_port)
  printf 'server_name: one\njetstream { store_dir: "%s" }\ncluster { name: c, listen: "127.0.0.1:%s", routes: ["nats://127.0.0.1:1", "nats://127.0.0.1:2"] }\n' "$work/alone" "$second" >"$work/cluster.conf"
  serve -c "$work/cluster.conf"
  sleep 14
  say 'CONNECT {"verbose":false,"lang":"python3","version":"1","protocol":1,"headers":true,"no_responders":true}' 'SUB inbox 1' "PUB \$JS.API.INFO inbox 0" '' PING wait:3
  finish
}
provoke nats-jetstream-no-quorum no_quorum
