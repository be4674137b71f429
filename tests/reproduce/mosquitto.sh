# Mosquitto: what the broker and its clients say when it is in trouble.
install mosquitto mosquitto-clients openssl python3

port=$(free_port)
serve() {
  mosquitto -c "$1" -v &
  server=$!
  wait_for python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))"
}
finish() {
  kill -KILL "$server"
  wait "$server" 2>/dev/null
}
conf() {
  printf '%s\n' "$@" >"$work/mosquitto.conf"
  chmod 644 "$work/mosquitto.conf"
  echo "$work/mosquitto.conf"
}

local_only() {
  mosquitto -p "$port" -v &
  server=$!
  sleep 1
  mosquitto_pub -h "$(hostname -I | cut -d' ' -f1)" -p "$port" -t a -m b
  finish
}
provoke mosquitto-local-only local_only

login() {
  printf 'app:secret\n' >"$work/passwords"
  chmod 600 "$work/passwords"
  chown mosquitto "$work/passwords"
  mosquitto_passwd -U "$work/passwords"
  serve "$(conf "listener $port 127.0.0.1" "allow_anonymous false" "password_file $work/passwords" 'user root')"
  mosquitto_pub -p "$port" -t a -m b
  mosquitto_pub -p "$port" -u app -P wrong -t a -m b
  mosquitto_pub -p "$port" -V 5 -u app -P wrong -t a -m b
  finish
}
provoke mosquitto-login-refused login
rights() {
  printf 'user app\ntopic read news/#\n' >"$work/rights"
  serve "$(conf "listener $port 127.0.0.1" "allow_anonymous false" "password_file $work/passwords" "acl_file $work/rights" 'user root')"
  mosquitto_pub -p "$port" -u app -P secret -V 5 -q 1 -t other -m b
  mosquitto_pub -p "$port" -u app -P secret -q 1 -t other -m b
  timeout 2 mosquitto_sub -p "$port" -u app -P secret -V 5 -t other
  finish
}
provoke mosquitto-not-permitted rights
same_name() {
  serve "$(conf "listener $port 127.0.0.1" "allow_anonymous true")"
  for _ in 1 2; do
    timeout 3 mosquitto_sub -p "$port" -i sensor -t a &
    sleep 0.5
  done
  wait %2 %3
  finish
}
provoke mosquitto-client-id-taken same_name
silent() {
  serve "$(conf "listener $port 127.0.0.1" "allow_anonymous true")"
  mosquitto_sub -p "$port" -i sensor -k 5 -t a &
  sleep 1
  kill -STOP $!
  sleep 12
  kill -KILL $!
  finish
}
provoke mosquitto-client-silent silent
full() {
  serve "$(conf "listener $port 127.0.0.1" "allow_anonymous true" "max_queued_messages 5" "max_inflight_messages 1")"
  timeout 1 mosquitto_sub -p "$port" -i away -c -q 1 -t a
  for i in $(seq 20); do mosquitto_pub -p "$port" -q 1 -t a -m "$i"; done
  finish
}
provoke mosquitto-queue-full full
bad_config() {
  timeout 3 mosquitto -c "$(conf "listener $port" "no_such_setting 1")"
  timeout 3 mosquitto -c "$(conf "listener many")"
  timeout 3 mosquitto -c "$(conf "listener $port" "password_file $work/absent")"
  timeout 3 mosquitto -c "$work/absent.conf"
}
provoke mosquitto-config-invalid bad_config
tls() {
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key.pem" -out "$work/certificate.pem" -subj /CN=localhost -days 2 2>/dev/null
  chmod 644 "$work/key.pem"
  serve "$(conf "listener $port 127.0.0.1" "allow_anonymous true" "certfile $work/certificate.pem" "keyfile $work/key.pem" 'user root')"
  mosquitto_pub -p "$port" -t a -m b
  mosquitto_pub -p "$port" --capath /etc/ssl/certs -t a -m b
  timeout 3 curl -sk "https://127.0.0.1:$port/"
  finish
  timeout 3 mosquitto -c "$(conf "listener $port" "certfile $work/absent.pem" "keyfile $work/key.pem")"
}
provoke mosquitto-tls-mismatch tls
stored() {
  mkdir -p "$work/store"
  chmod 777 "$work/store"
  local file
  file=$(conf "listener $port 127.0.0.1" "allow_anonymous true" "persistence true" "persistence_location $work/store/" 'user root')
  serve "$file"
  mosquitto_pub -p "$port" -r -q 1 -t a -m b
  kill -TERM "$server"
  wait "$server"
  printf 'rubbish rubbish rubbish' | dd of="$work/store/mosquitto.db" bs=1 seek=10 conv=notrunc status=none
  timeout 3 mosquitto -c "$file"
  printf 'nonsense' >"$work/store/mosquitto.db"
  timeout 3 mosquitto -c "$file"
}
provoke mosquitto-store-damaged stored
unwritable() {
  mkdir -p "$work/readonly"
  chmod 755 "$work/readonly"
  timeout -s TERM 3 mosquitto -c "$(conf "listener $port 127.0.0.1" "allow_anonymous true" "persistence true" "persistence_location $work/readonly/" "autosave_interval 1" 'user nobody')" -v &
  sleep 1
  mosquitto_pub -p "$port" -r -q 1 -t a -m b
  wait
}
provoke mosquitto-store-unwritable unwritable
http() {
  serve "$(conf "listener $port 127.0.0.1" "allow_anonymous true")"
  timeout 3 curl -s "http://127.0.0.1:$port/"
  finish
}
provoke mosquitto-protocol-mismatch http
