# Docker, containerd and runc: what they say of containers that cannot start, of images they cannot
# get, and what the engine writes when its own host fails it. Uses the engine that answers, or starts
# one of its own where a case breaks the engine itself.
install busybox-static docker.io iptables iproute2 openssl python3 e2fsprogs

name=selfheal-reproduce-$$
image=$name:test
at_end docker rmi -f "$image"
at_end 'docker ps -aq --filter label='"$name"' | xargs -r docker rm -fv'

root_of_image() {
  mkdir -p "$work/image/bin" "$work/image/etc"
  cp "$(command -v busybox)" "$work/image/bin/busybox"
  local applet
  for applet in sh sleep cat dd ls true; do ln -sf busybox "$work/image/bin/$applet"; done
  echo 'echo hello' >"$work/image/bin/not-executable"
  printf '#!/bin/missing-shell\necho hello\n' >"$work/image/bin/bad-shebang"
  # The head of a program for ARM64 (machine 0xb7).
  { printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\267\0\1\0\0\0'; head -c 200 /dev/zero; } >"$work/image/bin/arm"
  chmod 755 "$work/image/bin/bad-shebang" "$work/image/bin/arm"
  echo hello >"$work/image/etc/motd"
  tar -C "$work/image" -c . | docker import - "$image"
}
root_of_image >/dev/null || { echo "no Docker engine answers" >&2; return 1; }

# Creates a container, tries to start it and shows what Docker keeps as its start error.
starts() {
  local made
  made=$(docker create --label "$name" "$@") || return
  docker start "$made"
  sleep 0.3
  docker inspect --format '{{.State.Error}}' "$made"
  docker logs "$made"
  docker rm -fv "$made" >/dev/null
}

# Runs a container to its end and shows what it and Docker say, and the exit code.
runs() { docker run --rm --label "$name" "$@"; echo "exit code $?"; }

provoke container-command-not-found starts "$image" no-such-program
provoke container-command-not-found starts "$image" /opt/app/no-such-program
provoke container-interpreter-missing starts "$image" bad-shebang
provoke container-command-not-executable starts "$image" /bin/not-executable
provoke container-command-not-executable starts "$image" /etc
provoke container-wrong-architecture starts "$image" arm
provoke container-wrong-architecture runs "$image" sh -c /bin/arm
port_taken() {
  local port made
  port=$(free_port)
  made=$(docker run -d --label "$name" -p "127.0.0.1:$port:80" "$image" sleep 60)
  starts -p "127.0.0.1:$port:80" "$image" sleep 1
  docker rm -f "$made" >/dev/null
  python3 -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); time.sleep(8)' "$port" &
  local other=$!
  sleep 1
  starts -p "127.0.0.1:$port:80" "$image" sleep 1
  kill $other
}
provoke container-port-taken port_taken
provoke container-address-not-here starts -p 192.0.2.1:8080:80 "$image" sleep 1
provoke container-mount-source-missing starts --mount "type=bind,source=$work/nowhere,target=/data" "$image" sleep 1
mount_removed() {
  local made
  mkdir "$work/soon-gone"
  made=$(docker create --label "$name" --mount "type=bind,source=$work/soon-gone,target=/data" "$image" sleep 1)
  rmdir "$work/soon-gone"
  docker start "$made"
  docker inspect --format '{{.State.Error}}' "$made"
  docker rm -f "$made" >/dev/null
}
provoke container-mount-source-missing mount_removed
mkdir -p "$work/a-folder"; echo x >"$work/a-file"
provoke container-mount-kind-mismatch starts -v "$work/a-folder:/etc/motd" "$image" sleep 1
provoke container-mount-kind-mismatch starts -v "$work/a-file:/etc" "$image" sleep 1
network_gone() {
  local made
  docker network create "$name" >/dev/null
  made=$(docker create --label "$name" --network "$name" "$image" sleep 1)
  docker network rm "$name" >/dev/null
  docker start "$made"
  docker inspect --format '{{.State.Error}}' "$made"
  docker rm -f "$made" >/dev/null
  starts --network no-such-network "$image" sleep 1
}
provoke container-network-missing network_gone
peer_gone() {
  local made peer
  peer=$(docker create --label "$name" "$image" sleep 60)
  made=$(docker create --label "$name" --network "container:$peer" "$image" sleep 1)
  docker start "$made"
  docker inspect --format '{{.State.Error}}' "$made"
  docker rm -f "$peer" >/dev/null
  docker start "$made"
  docker inspect --format '{{.State.Error}}' "$made"
  docker rm -f "$made" >/dev/null
}
provoke container-network-peer-gone peer_gone
pool_full() {
  docker network create --subnet 10.253.77.0/29 "$name-small" >/dev/null
  local n
  for n in 1 2 3 4 5 6; do docker run -d --label "$name" --network "$name-small" "$image" sleep 60 >/dev/null || break; done
  starts --network "$name-small" "$image" sleep 1
  docker ps -q --filter "label=$name" | xargs -r docker rm -f >/dev/null
  docker network rm "$name-small" >/dev/null
}
provoke network-addresses-exhausted pool_full
subnet_overlap() {
  docker network create --subnet 10.253.77.0/29 "$name-one" >/dev/null
  docker network create --subnet 10.253.77.0/24 "$name-two"
  starts --network "$name-one" --ip 10.99.99.9 "$image" sleep 1
  local made
  made=$(docker run -d --label "$name" --network "$name-one" --ip 10.253.77.3 "$image" sleep 60)
  starts --network "$name-one" --ip 10.253.77.3 "$image" sleep 1
  docker rm -f "$made" >/dev/null
  docker network rm "$name-one" "$name-two" >/dev/null
}
provoke network-subnet-overlap subnet_overlap
provoke container-device-missing starts --device /dev/no-such-device "$image" sleep 1
provoke container-gpu-missing starts --gpus all "$image" sleep 1
provoke container-memory-limit-invalid starts --memory 4m "$image" sleep 1
provoke container-memory-limit-invalid starts --memory 64m --memory-swap 32m "$image" sleep 1
provoke container-cpu-limit-invalid starts --cpus 99 "$image" sleep 1
provoke container-cpu-limit-invalid starts --cpuset-cpus 99 "$image" sleep 1
provoke container-user-missing starts --user nobody-here "$image" sleep 1
provoke container-user-missing starts --user 0:no-such-group "$image" sleep 1
provoke container-workdir-invalid starts --workdir /etc/motd "$image" sleep 1
provoke container-ulimit-refused starts --ulimit nofile=99999999999:99999999999 "$image" sleep 1
provoke container-sysctl-refused starts --sysctl kernel.shm_rmid_forced=7 "$image" sleep 1
provoke container-sysctl-refused starts --sysctl kernel.hostname=x "$image" sleep 1
provoke container-sysctl-refused starts --network host --sysctl net.core.somaxconn=1024 "$image" sleep 1
provoke container-sysctl-refused starts --sysctl net.ipv4.no_such_setting=1 "$image" sleep 1
provoke container-runtime-unknown starts --runtime no-such-runtime "$image" sleep 1
provoke container-seccomp-profile-invalid starts --security-opt seccomp="$work/no-profile.json" "$image" sleep 1
echo '{"defaultAction":"NO_SUCH_ACTION"}' >"$work/profile.json"
provoke container-seccomp-profile-invalid starts --security-opt "seccomp=$work/profile.json" "$image" sleep 1
provoke container-name-taken docker create --name "$name-same" --label "$name" "$image" sleep 1
provoke container-name-taken docker create --name "$name-same" --label "$name" "$image" sleep 1
provoke container-log-driver-failing starts --log-driver fluentd --log-opt fluentd-address=127.0.0.1:1 "$image" sleep 1
provoke container-log-driver-failing starts --log-driver syslog --log-opt syslog-address=tcp://127.0.0.1:1 "$image" sleep 1
provoke container-log-driver-failing starts --log-driver gelf --log-opt gelf-address=tcp://127.0.0.1:1 "$image" sleep 1
provoke container-volume-driver-missing docker volume create --driver no-such-driver "$name"
provoke container-mountpoint-read-only starts -v "$work/a-folder:/data:ro" -v "$work/a-file:/data/sub" "$image" sleep 1
health_check_missing() {
  local made
  made=$(docker run -d --label "$name" --health-cmd 'curl -f http://localhost/' --health-interval 1s --health-retries 1 "$image" sleep 60)
  wait_for sh -c "docker inspect --format '{{.State.Health.Status}}' $made | grep -q unhealthy"
  docker inspect --format '{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}' "$made"
  docker exec "$made" curl -f http://localhost/
  docker rm -f "$made" >/dev/null
}
provoke container-health-check-broken health_check_missing
health_check_slow() {
  local made
  made=$(docker run -d --label "$name" --health-cmd 'sleep 30' --health-interval 1s --health-timeout 1s --health-retries 1 "$image" sleep 60)
  wait_for sh -c "docker inspect --format '{{.State.Health.Status}}' $made | grep -q unhealthy"
  docker inspect --format '{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}' "$made"
  docker rm -f "$made" >/dev/null
}
provoke container-health-check-slow health_check_slow
provoke docker-engine-unreachable env -u DOCKER_CONTEXT DOCKER_HOST=unix:///nowhere/docker.sock docker ps
provoke docker-engine-unreachable env -u DOCKER_CONTEXT DOCKER_HOST=tcp://127.0.0.1:1 docker ps
provoke docker-socket-refused setpriv --reuid 65534 --clear-groups docker ps
provoke docker-api-version python3 -c '
import http.client, socket
for version in ("1.99", "1.5"):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect("/var/run/docker.sock")
    connection.request("GET", f"/v{version}/info")
    print("Error response from daemon:", connection.getresponse().read().decode())'

# Exit codes as Docker tells them; runbooks know them by a check, not by a line.
ends_with() {
  local wanted=$1
  shift
  docker run --rm --label "$name" "$@" >/dev/null 2>&1
  local code=$?
  [ $code = "$wanted" ] || echo "  the exit code is $code, not $wanted: ${*: -1}"
}
ends_with 127 "$image" sh -c no-such-program
ends_with 126 "$image" sh -c /bin/not-executable
for signal in 1:HUP 2:INT 4:ILL 5:TRAP 6:ABRT 7:BUS 8:FPE 9:KILL 11:SEGV 13:PIPE 15:TERM 24:XCPU 25:XFSZ 31:SYS; do
  ends_with $((128 + ${signal%:*})) --init "$image" sh -c "kill -${signal#*:} \$\$"
done

# States as Docker tells them; runbooks know them by a check as well.
is_told() {
  local wanted=$1 how=$2 made told left=30
  shift 2
  made=$(docker run -d --label "$name" "$@") || return
  [ "$wanted" != paused ] || docker pause "$made" >/dev/null
  # shellcheck disable=SC2086
  until told=$(docker $how "$made" 2>/dev/null) && [[ $told =~ ^($wanted)$ ]]; do
    ((left--)) || { echo "  Docker tells $told, not $wanted: ${*: -1}"; break; }
    sleep 0.2
  done
  docker rm -f "$made" >/dev/null
}
is_told paused 'inspect --format={{.State.Status}}' "$image" sleep 60
is_told '9[0-9].*%' 'stats --no-stream --format={{.MemPerc}}' -m 24m --tmpfs /held "$image" \
  sh -c 'dd if=/dev/zero of=/held/it bs=1M count=23; sleep 60'
is_told '(1[5-9]|2[0-9]).*%' 'stats --no-stream --format={{.CPUPerc}}' --cpus 0.2 "$image" sh -c 'while :; do :; done'

# What follows breaks an engine, so it has one of its own.
own_engine() {
  "$root/scripts/with-docker" bash -c '
    engine=$(dirname "${DOCKER_HOST#unix://}")
    tar -C "'"$work"'/image" -c . | docker import - box >/dev/null
    '"$1"'
    grep -E "'"$2"'" "$engine/dockerd.log" | tail -n 8'
}
provoke docker-iptables-chain-missing own_engine '
  iptables -t nat -F PREROUTING; iptables -t nat -F OUTPUT; iptables -t nat -F DOCKER; iptables -t nat -X DOCKER
  docker run -p 8080:80 box true
  docker network create other' 'iptables'
provoke network-pools-exhausted own_engine '
  for n in $(seq 40); do docker network create "n$n" >/dev/null || break; done' 'address pools|non-overlapping'
provoke runc-create-failed starts "$image" no-such-program
provoke docker-layer-missing own_engine '
  made=$(docker create box true); rm -rf "$engine"/data-overlay2/overlay2/*/diff; docker start "$made"
  docker inspect --format "{{.State.Error}}" "$made"' 'overlay'
provoke container-ignores-stop own_engine '
  docker run -d --name deaf box sleep 600; docker stop -t 1 deaf; docker inspect --format "{{.State.ExitCode}}" deaf' 'signal|force'
provoke container-dead own_engine '
  docker run --name stuck box sh -c "echo x >/held"
  held=$(ls "$engine"/data-overlay2/overlay2/*/diff/held); chattr +i "$held"
  docker rm stuck; docker inspect --format "{{.State.Status}}" stuck; chattr -i "$held"' 'remove|level=error'
# The engine sees no process but its own: it has a process namespace.
processes_named='for entry in /proc/[0-9]*; do [ "$(cat "$entry/comm" 2>/dev/null)" = "$1" ] && echo "${entry#/proc/}"; done'
# A shim that was killed, and whose program cannot clear up after it; only the engine's own mounts see that.
provoke containerd-shim-died own_engine '
  docker run -d --name orphan box sleep 600
  named() { '"$processes_named"'; }
  mount --bind /bin/false "$(command -v containerd-shim-runc-v2)"
  kill -9 $(named containerd-shim)
  sleep 2; docker inspect --format "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}" orphan; docker exec orphan true' 'shim disc|dead shim'
provoke containerd-unreachable own_engine '
  named() { '"$processes_named"'; }
  kill -KILL $(named containerd); docker run --rm box true; sleep 1' 'containerd.sock: connect|failed to .*containerd'
provoke docker-engine-config-invalid own_engine '
  echo "{ \"debug\": true, }" >"$engine/bad.json"; dockerd --config-file "$engine/bad.json"
  echo "{ \"debugging\": true }" >"$engine/bad.json"; dockerd --config-file "$engine/bad.json"
  echo "{ \"hosts\": [\"unix:///tmp/x.sock\"] }" >"$engine/bad.json"; dockerd --config-file "$engine/bad.json" -H unix:///tmp/y.sock' nothing-else
# A second engine beside the first, in its namespaces.
second_engine='second() { timeout -k 1 8 dockerd -H unix:///run/second.sock --pidfile /run/second.pid --exec-root /run/second --bridge none --iptables=false "$@" 2>&1 | grep -E "level=(error|fatal)|failed|daemon"; }'
provoke docker-storage-driver-failing own_engine "$second_engine"'
  second --data-root "$engine/second" --storage-driver no-such
  second --data-root "$engine/second" --storage-driver btrfs
  second --data-root "$engine/second" --storage-driver zfs' nothing-else
provoke docker-engine-already-runs own_engine "$second_engine"'
  dockerd --pidfile "$engine/docker.pid" 2>&1 | tail -n 1
  second --data-root "$engine/data-overlay2" --containerd "$engine/exec/containerd/containerd.sock"' nothing-else
provoke docker-disk-full own_engine '
  mkdir /run/tiny; mount -t tmpfs -o size=24m tmpfs /run/tiny
  dockerd -H unix:///run/second.sock --pidfile /run/second.pid --exec-root /run/second --data-root /run/tiny --bridge none --iptables=false >/run/second.log 2>&1 &
  until docker -H unix:///run/second.sock version >/dev/null 2>&1; do sleep 0.2; done
  export DOCKER_HOST=unix:///run/second.sock
  head -c 40000000 /dev/zero >/run/zeros
  tar -C /run -c zeros | docker import - big
  '"tar -C '$work'/image -c . | docker import - box"' >/dev/null
  docker run --network none -d --name talker box sh -c "while :; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; done"
  sleep 3; docker run --network none box sh -c "dd if=/dev/zero of=/fill bs=1024k count=30"
  docker create box; docker run --network none --name other box true
  timeout -k 1 5 docker rm -f talker
  grep -E "no space" /run/second.log | tail -n 6
  kill $(cat /run/second.pid); wait' nothing-else

cat >"$work/registry.py" <<'PYTHON'
import http.server, json, ssl, sys

class Registry(http.server.BaseHTTPRequestHandler):
    """A registry that says no, in the ways of the distribution specification."""
    def do_GET(self):
        code, error, header = 200, None, {}
        if "/missing/" in self.path:
            code, error = 404, ("MANIFEST_UNKNOWN", "manifest unknown")
        elif "/limited/" in self.path:
            code, error = 429, ("TOOMANYREQUESTS", "You have reached your pull rate limit.")
        elif "/private/" in self.path:
            code, error = 401, ("UNAUTHORIZED", "authentication required")
        elif "/denied/" in self.path:
            code, error = 403, ("DENIED", "requested access to the resource is denied")
        body = json.dumps({"errors": [{"code": error[0], "message": error[1]}]} if error else {}).encode()
        self.send_response(code)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_HEAD = do_GET
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Registry)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PYTHON
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=registry.example -addext subjectAltName=IP:192.0.2.2 \
  -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
cat "$work/key.pem" "$work/cert.pem" >"$work/both.pem"
registry='ip address add 192.0.2.2/32 dev lo; python3 '"$work"'/registry.py 5000 & python3 '"$work"'/registry.py 5443 '"$work"'/both.pem &
  until python3 -c "import socket; [socket.create_connection((\"localhost\", port)).close() for port in (5000, 5443)]" 2>/dev/null; do sleep 0.1; done'
provoke image-not-found own_engine "$registry"'
  docker pull localhost:5000/missing/app:1.2; docker run --pull never no-such-image:1 true
  docker create no-such-image:1' 'level=error'
provoke registry-rate-limit own_engine "$registry"'
  docker pull localhost:5000/limited/app:1.2' 'level=(error|info).*(limit|toomany)'
provoke registry-login-refused own_engine "$registry"'
  docker pull localhost:5000/private/app:1.2; docker pull localhost:5000/denied/app:1.2' 'level=(error|info).*(den|unauth)'
provoke registry-certificate-rejected own_engine "$registry"'
  docker pull 192.0.2.2:5443/any/app:1.2; docker pull 192.0.2.2:5000/any/app:1.2' 'level=error'
provoke registry-unreachable own_engine "$registry"'
  docker pull localhost:1/app; docker pull registry.invalid/app' 'level=error'
