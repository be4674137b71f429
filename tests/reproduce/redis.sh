# Redis: what the server and its clients say when it is in trouble.
install redis-server redis-tools python3 openssl

data=$work/redis
mkdir -p "$data"
port=$(free_port)

# A server on $port in a new empty folder, until `stop_redis`; it speaks to standard output.
serve() {
  folder=$(mktemp -d "$data/XXXXXX")
  chmod 777 "$folder"
  run_in "$folder" "$@"
}
run_in() {
  local dir=$1
  shift
  (cd "$dir" && exec redis-server --port "$port" --dir "$dir" --save '' --logfile '' "$@") &
  server=$!
  wait_for redis-cli -p "$port" ping
}
stop_redis() {
  kill -CONT "${1:-$server}"
  kill -KILL "${1:-$server}"
  wait "${1:-$server}" 2>/dev/null
}
# A server that is expected to give up by itself.
dies_in() {
  local dir=$1
  shift
  cd "$dir" && timeout 20 redis-server --port "$port" --dir "$dir" --save '' --logfile '' "$@"
}
ask() { redis-cli -p "$port" "$@"; }
# A second server that follows the first; its own lines go to $1.
follow() {
  second=$(free_port)
  local dir
  dir=$(mktemp -d "$data/XXXXXX")
  (cd "$dir" && exec redis-server --port "$second" --dir "$dir" --save '' --logfile '' \
    --replicaof 127.0.0.1 "$port" "${@:2}") >"$1" 2>&1 &
  follower=$!
  wait_for redis-cli -p "$second" ping
}

overcommit() { serve; stop_redis; }
provoke redis-overcommit-off overcommit

backlog() { serve --tcp-backlog 65000; stop_redis; }
provoke redis-backlog-small backlog

few_files() {
  # Below 1024 the program raises nothing and lowers maxclients instead.
  (
    ulimit -n 200
    serve --maxclients 10000
    stop_redis
  )
}
provoke redis-few-file-descriptors few_files

write_some() { for i in $(seq 50); do ask set "key:$i" "value $i"; done >/dev/null; }

cut_short() {
  serve --appendonly yes
  write_some
  stop_redis
  local file
  file=$(ls "$folder"/appendonlydir/*.incr.aof)
  truncate -s -7 "$file"
  run_in "$folder" --appendonly yes
  stop_redis
}
provoke redis-aof-cut-short cut_short

aof_damaged() {
  serve --appendonly yes
  write_some
  stop_redis
  local file
  file=$(ls "$folder"/appendonlydir/*.incr.aof)
  # Where the length of a command's argument should stand.
  sed -i '0,/^\$6\r$/s//rubbish\r/' "$file"
  dies_in "$folder" --appendonly yes
}
provoke redis-aof-damaged aof_damaged
aof_cut_refused() {
  serve --appendonly yes
  write_some
  stop_redis
  truncate -s -7 "$folder"/appendonlydir/*.incr.aof
  dies_in "$folder" --appendonly yes --aof-load-truncated no
}
provoke redis-aof-damaged aof_cut_refused

saved() {
  serve
  write_some
  ask save >/dev/null
  stop_redis >/dev/null
}
newer_snapshot() {
  saved >/dev/null 2>&1
  printf 'REDIS0099' | dd of="$folder/dump.rdb" bs=1 conv=notrunc status=none
  dies_in "$folder"
}
provoke redis-snapshot-too-new newer_snapshot

damaged_snapshot() {
  saved >/dev/null 2>&1
  cp "$folder/dump.rdb" "$work/good.rdb"
  truncate -s -60 "$folder/dump.rdb"
  dies_in "$folder"
  cp "$work/good.rdb" "$folder/dump.rdb"
  printf 'GARBAGE00' | dd of="$folder/dump.rdb" bs=1 conv=notrunc status=none
  dies_in "$folder"
  cp "$work/good.rdb" "$folder/dump.rdb"
  sed -i 's/value 30/value 31/' "$folder/dump.rdb"
  dies_in "$folder"
}
provoke redis-snapshot-damaged damaged_snapshot

unreadable() {
  saved >/dev/null 2>&1
  chmod 000 "$folder/dump.rdb"
  chown -R nobody "$folder"
  chown root "$folder/dump.rdb"
  (cd "$folder" && exec runuser -u nobody -- timeout 20 redis-server --port "$port" --dir "$folder" --save '')
}
provoke redis-data-unreadable unreadable
unreadable_aof() {
  serve --appendonly yes >/dev/null 2>&1
  write_some
  stop_redis >/dev/null 2>&1
  chmod 000 "$folder"/appendonlydir/*
  (cd "$folder" && exec runuser -u nobody -- timeout 20 redis-server --port "$port" --dir "$folder" --save '' --appendonly yes)
}
provoke redis-data-unreadable unreadable_aof

aof_unwritable() {
  local full=$work/full
  mkdir -p "$full"
  mount -t tmpfs -o size=256k,mode=777 none "$full"
  run_in "$full" --appendonly yes
  head -c 400000 /dev/zero | tr '\0' x | ask -x set big
  ask set more 1
  wait_for sh -c "redis-cli -p $port set k v | grep -q MISCONF"
  ask set more 2
  stop_redis
  umount "$full"
}
provoke redis-aof-write-failing aof_unwritable
aof_unwritable_always() {
  local full=$work/full
  mount -t tmpfs -o size=256k,mode=777 none "$full"
  run_in "$full" --appendonly yes --appendfsync always
  head -c 400000 /dev/zero | tr '\0' x | ask -x set big
  wait "$server"
  umount "$full"
}
provoke redis-aof-write-failing aof_unwritable_always

rewrite_failing() {
  serve --appendonly yes
  write_some
  chmod 700 "$folder"
  rm -rf "$folder/appendonlydir"
  : >"$folder/appendonlydir"
  ask bgrewriteaof
  sleep 2
  stop_redis
}
provoke redis-aof-rewrite-failing rewrite_failing

read_only() {
  serve >/dev/null
  follow "$work/follower.log"
  redis-cli -p "$second" set a b
  stop_redis "$follower"
  stop_redis
}
provoke redis-readonly read_only

long_script() {
  serve --busy-reply-threshold 100
  ask eval 'while true do end' 0 >/dev/null 2>&1 &
  sleep 1
  ask get a
  ask script kill
  stop_redis
}
provoke redis-script-busy long_script

cluster() {
  # The usual port of the bus, 10000 higher, may lie beyond the last port.
  bus=$(free_port)
  serve --cluster-enabled yes --cluster-require-full-coverage yes --cluster-port "$bus"
}
not_covered() {
  cluster
  ask set a b
  ask cluster addslots 0 1 2 >/dev/null
  sleep 3
  ask set a b
  ask config set cluster-require-full-coverage no
  sleep 1
  ask set a b
  stop_redis
}
provoke redis-cluster-down not_covered
cross_slot() {
  cluster >/dev/null
  ask cluster addslotsrange 0 16383
  wait_for sh -c "redis-cli -p $port set a b | grep -q OK"
  ask mset a 1 b 2
  stop_redis >/dev/null
}
provoke redis-cross-slot cross_slot
moved() {
  cluster >/dev/null
  ask cluster addslotsrange 0 8000 >/dev/null
  local first=$port first_bus=$bus first_server=$server
  port=$(free_port)
  cluster >/dev/null
  ask cluster addslotsrange 8001 16383 >/dev/null
  ask cluster meet 127.0.0.1 "$first" "$first_bus" >/dev/null
  wait_for sh -c "redis-cli -p $port set a b | grep -q OK"
  redis-cli -p "$first" set a b
  redis-cli -p "$first" set foo b
  stop_redis
  stop_redis "$first_server"
}
provoke redis-moved moved

lonely() {
  serve --min-replicas-to-write 1 >/dev/null
  ask set a b
  stop_redis
}
provoke redis-too-few-replicas lonely

follow_nobody() {
  serve --replicaof 127.0.0.1 1 --replica-serve-stale-data no
  sleep 2
  ask get a
  stop_redis
}
provoke redis-replica-link-down follow_nobody
follow_frozen() {
  serve >/dev/null
  follow "$work/follower.log" --repl-timeout 2
  wait_for grep -q 'Finished with success' "$work/follower.log"
  kill -STOP "$server"
  wait_for grep -q 'MASTER timeout' "$work/follower.log"
  kill -CONT "$server"
  stop_redis "$follower"
  stop_redis
  cat "$work/follower.log"
}
provoke redis-replica-link-down follow_frozen
masterdown() {
  serve --replicaof 127.0.0.1 1 --replica-serve-stale-data no >/dev/null
  ask get a
  stop_redis
}
provoke redis-replica-stale masterdown

follow_unknown() {
  serve --requirepass correct >/dev/null
  follow "$work/follower.log" --masterauth wrong
  sleep 2
  stop_redis "$follower"
  cat "$work/follower.log"
  follow "$work/follower.log"
  sleep 2
  stop_redis "$follower"
  stop_redis
  head -n 40 "$work/follower.log"
}
provoke redis-replica-login-refused follow_unknown

frozen_follower() {
  serve --repl-timeout 2 --repl-ping-replica-period 1
  follow "$work/follower.log"
  wait_for grep -q 'Finished with success' "$work/follower.log"
  kill -STOP "$follower"
  sleep 5
  stop_redis "$follower"
  stop_redis
}
provoke redis-replica-dropped frozen_follower

slow_reader() {
  serve --client-output-buffer-limit 'normal 100kb 0 0'
  head -c 90000 /dev/zero | tr '\0' x | ask -x set big
  python3 - "$port" <<'PYTHON'
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.sendall(b"GET big\r\n" * 2000)
time.sleep(2)
PYTHON
  stop_redis
}
provoke redis-output-buffer slow_reader

protected() {
  serve --bind '0.0.0.0' --protected-mode yes >/dev/null
  redis-cli -h "$(hostname -I | cut -d' ' -f1)" -p "$port" ping
  stop_redis
}
provoke redis-protected-mode protected

cross_protocol() {
  serve
  timeout 2 curl -s -d x "http://127.0.0.1:$port/"
  timeout 2 curl -s "http://127.0.0.1:$port/"
  stop_redis
}
provoke redis-http-request cross_protocol

no_address() { dies_in "$data" --bind 192.0.2.1; }
provoke redis-bind-address no_address

crashed() {
  serve
  kill -SEGV "$server"
  wait "$server"
}
provoke redis-crashed crashed

not_permitted() {
  serve >/dev/null
  ask acl setuser app on '>secret' '~app:*' '&app' +get +set +publish >/dev/null
  redis-cli -p "$port" --user app --pass secret --no-auth-warning flushall
  redis-cli -p "$port" --user app --pass secret --no-auth-warning get other
  redis-cli -p "$port" --user app --pass secret --no-auth-warning publish news x
  stop_redis
}
provoke redis-not-permitted not_permitted

replies() {
  serve >/dev/null
  ask evalsha ffffffffffffffffffffffffffffffffffffffff 0
  stop_redis
}
provoke redis-script-missing replies
wrong_type() {
  serve >/dev/null
  ask set name text >/dev/null
  ask lpush name x
  stop_redis
}
provoke redis-wrong-type wrong_type
unknown_command() {
  serve >/dev/null
  ask json.set doc . '{}'
  ask FT.SEARCH idx x
  ask hexpire h 10 FIELDS 1 f
  ask set a b KEEPTTLS
  stop_redis
}
provoke redis-command-unknown unknown_command
database_index() {
  serve --databases 1 >/dev/null
  ask select 3
  stop_redis
}
provoke redis-database-index database_index

tls() {
  local key=$work/key.pem certificate=$work/certificate.pem secure
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$key" -out "$certificate" -subj /CN=localhost -days 2 2>/dev/null
  secure=$(free_port)
  serve --tls-port "$secure" --tls-cert-file "$certificate" --tls-key-file "$key" --tls-ca-cert-file "$certificate" --loglevel verbose
  timeout 3 redis-cli -p "$secure" ping
  timeout 3 redis-cli -p "$secure" --tls --cacert "$certificate" ping
  stop_redis
}
provoke redis-tls-mismatch tls

# Sentinel: the first server as the one watched, three watchers on ports of their own.
watchers() {
  local quorum=$1
  for name in 1 2; do
    watcher=$(free_port)
    cat >"$data/watcher$name.conf" <<CONF
port $watcher
dir $data
sentinel monitor cache 127.0.0.1 $port $quorum
sentinel down-after-milliseconds cache 1000
sentinel failover-timeout cache 3000
CONF
    redis-server "$data/watcher$name.conf" --sentinel >"$work/watcher$name.log" 2>&1 &
    pids+=($!)
  done
}
watched_down() {
  local pids=()
  serve >/dev/null
  watchers "$1"
  sleep 3
  stop_redis
  sleep 6
  kill -KILL "${pids[@]}"
  cat "$work"/watcher*.log
}
provoke redis-sentinel-master-down watched_down 1
provoke redis-sentinel-failover-stuck watched_down 2
tilted() {
  local pids=()
  serve >/dev/null
  watchers 1
  sleep 3
  kill -STOP "${pids[@]}"
  sleep 4
  kill -CONT "${pids[@]}"
  sleep 2
  stop_redis
  kill -KILL "${pids[@]}"
  cat "$work"/watcher*.log
}
provoke redis-sentinel-tilt tilted

# The ones whose checks show them; what clients are told is worth as much.
memory_full() {
  serve --maxmemory 1mb >/dev/null
  ask set a b
  stop_redis
}
snapshot_failing() {
  serve --save 1 1
  rm -rf "$folder"
  ask set a b
  sleep 3
  ask bgsave
  sleep 1
  ask set a b
  stop_redis
}
provoke redis-snapshot-failing snapshot_failing
told_to_client() {
  memory_full
  serve --maxclients 1 >/dev/null
  (sleep 2 | redis-cli -p "$port") >/dev/null &
  sleep 1
  ask ping
  stop_redis
  serve --requirepass correct >/dev/null
  ask ping
  redis-cli -p "$port" -a wrong ping
  stop_redis
}
provoke redis-client-refused told_to_client
config_invalid() { dies_in "$data" --maxmemory lots; }
provoke redis-config-invalid config_invalid
