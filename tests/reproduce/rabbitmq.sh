# RabbitMQ: what the server and its clients say when it is in trouble.
install rabbitmq-server python3 python3-pika openssl

node=$(free_port) amqp=$(free_port)
export HOME=$work RABBITMQ_NODENAME="case$node@localhost" RABBITMQ_NODE_PORT=$amqp RABBITMQ_DIST_PORT=$node \
  RABBITMQ_LOGS=- RABBITMQ_ENABLED_PLUGINS_FILE=$work/plugins RABBITMQ_CONF_ENV_FILE=$work/none \
  ERL_CRASH_DUMP=$work/crash.dump RABBITMQ_PID_FILE=$work/pid ERL_EPMD_ADDRESS=127.0.0.1
echo '[].' >"$work/plugins"
programs=/usr/lib/rabbitmq/bin

# A server with the settings given as lines, in a new folder, until `finish`.
serve() {
  folder=$(mktemp -d "$work/XXXXXX")
  again "$@"
}
again() {
  printf '%s\n' 'loopback_users = none' "$@" >"$folder/rabbitmq.conf"
  RABBITMQ_MNESIA_BASE=$folder RABBITMQ_LOG_BASE=$folder RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf \
    "$programs/rabbitmq-server" &
  server=$!
  wait_for python3 -c "import socket; socket.create_connection(('127.0.0.1', $amqp))"
}
finish() {
  pkill -KILL -P "$server"
  kill -KILL "$server"
  wait "$server" 2>/dev/null
  sleep 1
}
control() { "$programs/rabbitmqctl" "$@"; }
# Speaks AMQP with the statements given; `c` is a connection, `h` a channel.
speak() {
  /usr/bin/python3 - "$amqp" "$1" "${2:-guest}" "${3:-guest}" "${4:-/}" <<'PYTHON' 2>&1 | tail -n 3
import pika, sys, time
port, code, user, password, vhost = sys.argv[1:]
c = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(port), vhost, pika.PlainCredentials(user, password), heartbeat=0, connection_attempts=1, blocked_connection_timeout=3))
h = c.channel()
exec(code)
PYTHON
}

memory() {
  serve 'vm_memory_high_watermark.absolute = 20MiB'
  sleep 3
  speak 'h.queue_declare("q"); h.basic_publish("", "q", b"x"); c.process_data_events(5); h.basic_publish("", "q", b"x"); c.process_data_events(5)'
  finish
}
provoke rabbitmq-memory-alarm memory
disk() {
  serve 'disk_free_limit.absolute = 900000GB'
  sleep 3
  finish
}
provoke rabbitmq-disk-alarm disk

clients() {
  serve
  speak 'pass' nobody wrong
  speak 'pass' guest wrong
  finish
}
provoke rabbitmq-login-refused clients
several() {
  serve
  control add_user app secret >/dev/null
  control set_permissions app '^app-' '^app-' '^app-' >/dev/null
  $1
  finish
}
rights() {
  speak 'h.queue_declare("other")' app secret
  speak 'h.queue_declare("app-1"); h.basic_publish("app-x", "k", b"x"); c.process_data_events(1)' app secret
  speak 'h.exchange_declare("other")' app secret
}
provoke rabbitmq-not-permitted several rights
vhost() {
  speak 'pass' guest guest nowhere
  speak 'pass' app secret /
  control add_vhost closed >/dev/null
  speak 'pass' app secret closed
}
provoke rabbitmq-vhost-refused several vhost
mismatch() {
  speak 'h.queue_declare("q", durable=True); h.queue_declare("q", durable=False)'
  speak 'h.queue_declare("q", durable=True, arguments={"x-message-ttl": 1000})'
  speak 'h.exchange_declare("e", "direct"); h.exchange_declare("e", "topic")'
}
provoke rabbitmq-declared-differently several mismatch
absent() {
  speak 'h.queue_declare("absent", passive=True)'
  speak 'h.basic_publish("absent", "k", b"x"); c.process_data_events(1)'
  speak 'h.queue_bind("q", "absent")'
}
provoke rabbitmq-not-found several absent
twice() {
  speak 'h.queue_declare("q"); h.basic_publish("", "q", b"x"); m = h.basic_get("q")[0]; h.basic_ack(m.delivery_tag); h.basic_ack(m.delivery_tag); c.process_data_events(1)'
}
provoke rabbitmq-delivery-tag-unknown several twice
exclusive() {
  speak 'h.queue_declare("mine", exclusive=True); d = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(port))); d.channel().queue_declare("mine", passive=True)'
  speak 'h.queue_declare("one"); h.basic_consume("one", lambda *a: None, exclusive=True); h.basic_consume("one", lambda *a: None)'
}
provoke rabbitmq-queue-locked several exclusive
large() {
  serve 'max_message_size = 1000'
  speak 'h.queue_declare("q"); h.basic_publish("", "q", b"x" * 5000); c.process_data_events(1)'
  finish
}
provoke rabbitmq-message-too-large large

unacked() {
  serve 'consumer_timeout = 1000' 'log.console.level = info'
  speak 'h.queue_declare("q", durable=True); h.basic_publish("", "q", b"x"); h.basic_consume("q", lambda *a: None)
for _ in range(65): c.process_data_events(1); time.sleep(1)'
  finish
}
provoke rabbitmq-consumer-too-slow unacked
abrupt() {
  serve 'heartbeat = 2'
  /usr/bin/python3 - "$amqp" <<'PYTHON' &
import pika, sys, time
c = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1]), heartbeat=2))
time.sleep(60)
PYTHON
  local silent=$!
  sleep 10
  kill -KILL "$silent"
  finish
}
provoke rabbitmq-heartbeat-missed abrupt
hung_up() {
  serve
  speak 'import os; os._exit(1)'
  sleep 1
  finish
}
provoke rabbitmq-client-vanished hung_up
http() {
  serve
  curl -s -m 3 "http://127.0.0.1:$amqp/"
  sleep 1
  finish
}
provoke rabbitmq-protocol-mismatch http
timeout_login() {
  serve 'handshake_timeout = 1000'
  /usr/bin/python3 -c "import socket, time; s = socket.create_connection(('127.0.0.1', $amqp)); time.sleep(3)"
  finish
}
provoke rabbitmq-protocol-mismatch timeout_login

cookie() {
  serve
  HOME=$folder bash -c "printf OTHERCOOKIE >'$folder/.erlang.cookie'; chmod 400 '$folder/.erlang.cookie'"
  HOME=$folder control -n "$RABBITMQ_NODENAME" status
  finish
  sleep 1
  HOME=$folder bash -c "chmod 644 '$folder/.erlang.cookie'"
  (HOME=$folder RABBITMQ_MNESIA_BASE=$folder RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf timeout 90 "$programs/rabbitmq-server")
}
provoke rabbitmq-cookie-refused cookie
twin() {
  serve
  (RABBITMQ_MNESIA_BASE=$folder RABBITMQ_NODE_PORT=$(free_port) RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf timeout 90 "$programs/rabbitmq-server")
  finish
}
provoke rabbitmq-node-name-taken twin
bad_config() {
  folder=$(mktemp -d "$work/XXXXXX")
  printf 'no.such.setting = 1\n' >"$folder/rabbitmq.conf"
  (RABBITMQ_MNESIA_BASE=$folder RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf timeout 90 "$programs/rabbitmq-server")
  printf 'listeners.tcp.default = many many\n' >"$folder/rabbitmq.conf"
  (RABBITMQ_MNESIA_BASE=$folder RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf timeout 90 "$programs/rabbitmq-server")
}
provoke rabbitmq-config-invalid bad_config
port_taken() {
  python3 -c "import socket, time; s = socket.socket(); s.bind(('0.0.0.0', $amqp)); s.listen(); time.sleep(120)" &
  local holder=$!
  sleep 1
  folder=$(mktemp -d "$work/XXXXXX")
  : >"$folder/rabbitmq.conf"
  (RABBITMQ_MNESIA_BASE=$folder RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf timeout 90 "$programs/rabbitmq-server")
  kill "$holder"
}
provoke rabbitmq-port-taken port_taken
few_files() {
  (ulimit -n 120; serve; speak 'import socket, time; l = [socket.create_connection(("127.0.0.1", int(port))) for _ in range(90)]; time.sleep(2)'; finish)
}
provoke rabbitmq-few-file-descriptors few_files
damaged() {
  serve
  speak 'h.queue_declare("q", durable=True)'
  finish
  find "$folder" -name 'schema.DAT' -exec sh -c 'printf rubbish > "$1"' _ {} \;
  find "$folder" -name '*.DCD' -exec sh -c 'printf rubbish > "$1"' _ {} \;
  # It leaves a dump where it stands.
  cd "$folder"
  RABBITMQ_MNESIA_BASE=$folder RABBITMQ_LOG_BASE=$folder RABBITMQ_CONFIG_FILE=$folder/rabbitmq.conf timeout 90 "$programs/rabbitmq-server"
}
provoke rabbitmq-store-damaged damaged
