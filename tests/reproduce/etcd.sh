# etcd: what the server and etcdctl say when the server is in trouble.
install etcd-server etcd-client

export ETCDCTL_API=3
client=$(free_port) peer=$(free_port)

# A single member with its data in $1, until `finish`; it writes JSON lines as version 3.5 does.
member() {
  local dir=$1
  shift
  etcd --logger=zap --log-outputs=stderr --name one --data-dir "$dir" \
    --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "one=http://127.0.0.1:$peer" "$@" &
  server=$!
}
serve() {
  folder=$(mktemp -d "$work/XXXXXX")
  chmod 700 "$folder"
  member "$folder/data" "$@"
  wait_for ask endpoint health
}
finish() {
  kill -CONT "${1:-$server}"
  kill -KILL "${1:-$server}"
  wait "${1:-$server}" 2>/dev/null
}
ask() { etcdctl --endpoints "127.0.0.1:$client" "$@"; }

space() {
  serve --quota-backend-bytes 2000000
  for i in $(seq 12); do
    head -c 400000 /dev/zero | tr '\0' x | ask put "key$i"
  done
  ask alarm list
  finish
}
provoke etcd-space-exceeded space

too_large() {
  serve --max-request-bytes 1000
  head -c 4000 /dev/zero | tr '\0' x | ask put key
  finish
}
provoke etcd-request-too-large too_large

compacted() {
  serve
  for i in 1 2 3 4 5 6; do ask put k "$i"; done
  ask compact 5
  ask get k --rev 2
  ask watch k --rev 2 &
  sleep 1
  kill $!
  finish
}
provoke etcd-revision-compacted compacted

alone() {
  # One of three: no majority, no leader.
  folder=$(mktemp -d "$work/XXXXXX")
  timeout 12 etcd --logger=zap --log-outputs=stderr --name one --data-dir "$folder/data" \
    --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "one=http://127.0.0.1:$peer,two=http://127.0.0.1:1,three=http://127.0.0.1:2" &
  sleep 7
  ask put a b
  ask --command-timeout 3s get a
  wait
}
provoke etcd-no-quorum alone
provoke etcd-peer-unreachable alone

# Three members; $members holds their process ids, ${peers[@]} and ${clients[@]} their ports.
three() {
  members=() peers=() clients=()
  local all='' name i
  for name in a b c; do
    peers+=("$(free_port)") clients+=("$(free_port)")
    all+=",$name=http://127.0.0.1:${peers[-1]}"
  done
  folder=$(mktemp -d "$work/XXXXXX")
  i=0
  for name in a b c; do
    etcd --logger=zap --log-outputs=stderr --name "$name" --data-dir "$folder/$name" \
      --listen-client-urls "http://127.0.0.1:${clients[i]}" --advertise-client-urls "http://127.0.0.1:${clients[i]}" \
      --listen-peer-urls "http://127.0.0.1:${peers[i]}" --initial-advertise-peer-urls "http://127.0.0.1:${peers[i]}" \
      --initial-cluster "${all#,}" "$@" &
    members+=($!)
    ((i += 1))
  done
  client=${clients[0]}
  wait_for ask endpoint health
}
end_three() {
  kill -CONT "${members[@]}"
  kill -KILL "${members[@]}"
  wait "${members[@]}" 2>/dev/null
}
leader_lost() {
  three
  # Freeze the two others: the first loses its leader or steps down.
  kill -STOP "${members[1]}" "${members[2]}"
  sleep 8
  ask --command-timeout 2s put a b
  ask endpoint health
  end_three
}
provoke etcd-leader-lost leader_lost
removed() {
  three
  local id
  id=$(ask member list | grep ', a, ' | cut -d, -f1)
  client=${clients[1]}
  # Members take no change of membership in their first seconds.
  sleep 6
  ask member remove "$id"
  sleep 3
  kill -KILL "${members[0]}"
  wait "${members[0]}" 2>/dev/null
  sleep 1
  etcd --logger=zap --log-outputs=stderr --name a --data-dir "$folder/a" \
    --listen-client-urls "http://127.0.0.1:${clients[0]}" --advertise-client-urls "http://127.0.0.1:${clients[0]}" \
    --listen-peer-urls "http://127.0.0.1:${peers[0]}" --initial-advertise-peer-urls "http://127.0.0.1:${peers[0]}" &
  sleep 3
  kill -KILL $!
  end_three
}
provoke etcd-member-removed removed
other_cluster() {
  # A member that is started anew with an empty folder under another token.
  three
  kill -KILL "${members[0]}"
  wait "${members[0]}" 2>/dev/null
  sleep 1
  rm -rf "$folder/a"
  timeout 8 etcd --logger=zap --log-outputs=stderr --name a --data-dir "$folder/a" \
    --listen-client-urls "http://127.0.0.1:${clients[0]}" --advertise-client-urls "http://127.0.0.1:${clients[0]}" \
    --listen-peer-urls "http://127.0.0.1:${peers[0]}" --initial-advertise-peer-urls "http://127.0.0.1:${peers[0]}" \
    --initial-cluster "a=http://127.0.0.1:${peers[0]},b=http://127.0.0.1:${peers[1]},c=http://127.0.0.1:${peers[2]}" \
    --initial-cluster-token other
  client=${clients[1]}
  end_three
}
provoke etcd-cluster-id-mismatch other_cluster
empty_folder() {
  # A member whose data were lost, started again as if nothing had happened.
  three
  kill -KILL "${members[0]}"
  wait "${members[0]}" 2>/dev/null
  sleep 1
  rm -rf "$folder/a"
  timeout 8 etcd --logger=zap --log-outputs=stderr --name a --data-dir "$folder/a" \
    --listen-client-urls "http://127.0.0.1:${clients[0]}" --advertise-client-urls "http://127.0.0.1:${clients[0]}" \
    --listen-peer-urls "http://127.0.0.1:${peers[0]}" --initial-advertise-peer-urls "http://127.0.0.1:${peers[0]}" \
    --initial-cluster "a=http://127.0.0.1:${peers[0]},b=http://127.0.0.1:${peers[1]},c=http://127.0.0.1:${peers[2]}"
  client=${clients[1]}
  end_three
}
provoke etcd-member-data-lost empty_folder
already_bootstrapped() {
  three
  kill -KILL "${members[0]}"
  wait "${members[0]}" 2>/dev/null
  sleep 1
  rm -rf "$folder/a"
  client=${clients[1]}
  ask member remove "$(ask member list | grep ', a, ' | cut -d, -f1)"
  timeout 8 etcd --logger=zap --log-outputs=stderr --name a --data-dir "$folder/a" \
    --listen-client-urls "http://127.0.0.1:${clients[0]}" --advertise-client-urls "http://127.0.0.1:${clients[0]}" \
    --listen-peer-urls "http://127.0.0.1:${peers[0]}" --initial-advertise-peer-urls "http://127.0.0.1:${peers[0]}" \
    --initial-cluster "a=http://127.0.0.1:${peers[0]},b=http://127.0.0.1:${peers[1]},c=http://127.0.0.1:${peers[2]}" \
    --initial-cluster-state existing
  end_three
}
provoke etcd-member-removed already_bootstrapped

damaged_database() {
  serve
  for i in $(seq 20); do ask put "key$i" "value $i"; done >/dev/null
  finish
  head -c 9000 /dev/zero | dd of="$folder/data/member/snap/db" bs=1 conv=notrunc status=none
  member "$folder/data"
  sleep 4
  finish
}
provoke etcd-database-damaged damaged_database

locked() {
  serve
  timeout 25 etcd --logger=zap --log-outputs=stderr --name one --data-dir "$folder/data" \
    --listen-client-urls "http://127.0.0.1:$(free_port)" --advertise-client-urls "http://127.0.0.1:1" \
    --listen-peer-urls "http://127.0.0.1:$(free_port)"
  finish
}
provoke etcd-database-locked locked

open_folder() {
  folder=$(mktemp -d "$work/XXXXXX")
  mkdir "$folder/data"
  chmod 777 "$folder/data"
  member "$folder/data"
  wait_for ask endpoint health
  finish
}
provoke etcd-folder-permissions open_folder
foreign_folder() {
  folder=$(mktemp -d "$work/XXXXXX")
  chmod 755 "$folder"
  mkdir -m 700 "$folder/data"
  runuser -u nobody -- timeout 5 etcd --logger=zap --log-outputs=stderr --name one --data-dir "$folder/data"
}
provoke etcd-folder-permissions foreign_folder

# The disk is slow: every flush takes 1.2 s.
slow_disk() {
  folder=$(mktemp -d "$work/XXXXXX")
  chmod 700 "$folder"
  strace -f -qq -e trace=fdatasync,fsync -e inject=fdatasync,fsync:delay_exit=1200000 -o /dev/null \
    etcd --logger=zap --log-outputs=stderr --name one --data-dir "$folder/data" \
    --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "one=http://127.0.0.1:$peer" &
  server=$!
  wait_for ask endpoint health
  ask put a b
  ask put a c
  sleep 1
  kill -KILL "$(pgrep -P "$server")"
  wait "$server" 2>/dev/null
}
install strace
provoke etcd-disk-slow slow_disk
provoke etcd-request-slow slow_disk

login() {
  serve
  ask user add root:secret
  ask role add root
  ask user grant-role root root
  ask user add app:secret
  ask auth enable
  ask get a
  ask --user app:wrong get a
  ask --user app:secret put a b
  finish
}
provoke etcd-login-refused login
