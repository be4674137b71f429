# memcached: what the server and its clients say when it is in trouble.
install memcached python3

port=$(free_port)
serve() {
  memcached -u nobody -l 127.0.0.1 -p "$port" "$@" &
  server=$!
  sleep 1
}
finish() {
  kill -TERM "$server"
  wait "$server" 2>/dev/null
}
# Sends lines and shows the answers.
say() {
  python3 - "$port" "$@" <<'PYTHON'
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for line in sys.argv[2:]:
    if line.startswith("big:"):
        n = int(line[4:])
        s.sendall(b"set big 0 0 %d\r\n" % n + b"x" * n + b"\r\n")
    else:
        s.sendall(line.encode() + b"\r\n")
    time.sleep(0.2)
    print(s.recv(65536).decode(errors="replace").rstrip())
PYTHON
}

too_large() {
  serve
  say big:1100000
  finish
}
provoke memcached-item-too-large too_large

full_without_eviction() {
  serve -m 4 -M -v
  python3 - "$port" <<'PYTHON'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
seen = set()
for i in range(400):
    s.sendall(b"set k%d 0 0 100000\r\n" % i + b"x" * 100000 + b"\r\n")
    answer = s.recv(4096).decode().strip()
    if answer not in seen:
        seen.add(answer)
        print(answer)
PYTHON
  finish
}
provoke memcached-memory-full full_without_eviction

as_root() { timeout 3 memcached -l 127.0.0.1 -p "$port"; }
provoke memcached-start-user-refused as_root

unknown_user() { timeout 3 memcached -u nobody-of-that-name -l 127.0.0.1 -p "$port"; }
provoke memcached-start-user-refused unknown_user

few_files() {
  # As a user that may not raise the limit itself.
  runuser -u nobody -- bash -c "ulimit -n 64; timeout 3 memcached -l 127.0.0.1 -p $port -c 4096"
}
provoke memcached-few-file-descriptors few_files

too_many() {
  serve -t 1 -c 30 -v -o maxconns_fast
  python3 - "$port" <<'PYTHON'
import socket, sys, time
open_ones = []
for _ in range(60):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.settimeout(0.3)
    open_ones.append(s)
    try:
        answer = s.recv(200)
        if answer:
            print(answer.decode().strip())
    except OSError:
        pass
PYTHON
  finish
  serve -t 1 -c 30 -v -o no_maxconns_fast
  python3 - "$port" <<'PYTHON'
import socket, sys, time
open_ones = []
for _ in range(60):
    open_ones.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
time.sleep(2)
PYTHON
  finish
}
provoke memcached-connections-full too_many

key_too_long() {
  serve
  say "get $(printf 'k%.0s' $(seq 300))"
  say "set $(printf 'k%.0s' $(seq 300)) 0 0 1"
  finish
}
provoke memcached-command-not-understood key_too_long

locked() {
  # Too little memory may be locked.
  runuser -u nobody -- bash -c "ulimit -l 64; timeout 3 memcached -l 127.0.0.1 -p $port -k"
}
provoke memcached-memory-not-locked locked

in_use() {
  serve
  timeout 3 memcached -u nobody -l 127.0.0.1 -p "$port"
  timeout 3 memcached -u nobody -l 192.0.2.1 -p "$port"
  finish
}
provoke memcached-cannot-listen in_use
