# Provokes PostgreSQL's troubles in servers of our own: one common server, and one each where the
# trouble needs a broken data folder, odd settings, a full file system or a standby.
install postgresql-15 python3-psycopg2 python3-asyncpg golang-go golang-github-lib-pq-dev golang-github-jackc-pgx-v4-dev \
  openjdk-17-jdk-headless libpostgresql-jdbc-java

bin=/usr/lib/postgresql/15/bin
pg=$work/pg
mkdir "$pg" && chown postgres: "$pg"

# Runs a command as the database's user.
as() { (cd "$pg" && exec setpriv --reuid=postgres --regid=postgres --init-groups \
  env PATH="$bin:$PATH" LC_ALL=C.UTF-8 HOME="$pg" PGCONNECT_TIMEOUT=10 "$@"); }

as initdb -D "$pg/fresh" --no-sync -U postgres -A trust -E UTF8 --locale=C.UTF-8 >"$work/initdb.log"

# Makes the data folder NAME from the fresh one, and finds it a port.
folder() {
  [ -d "$pg/$1" ] || cp -a "$pg/fresh" "$pg/$1"
  [ -s "$pg/$1.port" ] || free_port >"$pg/$1.port"
}
port() { cat "$pg/$1.port"; }

# The server program itself, in the foreground, on the folder NAME; options follow.
run() {
  local name=$1
  shift
  as postgres -D "$pg/$name" -p "$(port "$name")" -c listen_addresses=127.0.0.1 -c fsync=off \
    -c unix_socket_directories= -c log_line_prefix='%m [%p] ' -c autovacuum_naptime=1h \
    -c shared_buffers=8MB -c max_wal_size=64MB -c min_wal_size=32MB "$@"
}

ready() { as pg_isready -q -h 127.0.0.1 -p "$(port "$1")"; }

# Starts the server NAME in the background and waits until it takes connections.
start() {
  local name=$1
  folder "$name"
  run "$@" >>"$pg/$name.log" 2>&1 &
  wait_for ready "$name"
}

stop() { as pg_ctl -D "$pg/$1" -m "${2:-immediate}" -w stop >/dev/null 2>&1; }
at_end 'cut -d " " -f 2 /proc/mounts | grep "^$pg/" | xargs -r umount -l'
at_end 'for folder in "$pg"/*/postmaster.pid; do stop "$(basename "$(dirname "$folder")")"; done'

# Starts the server NAME, which is to end by itself, and says what it says.
refuses() {
  folder "$1"
  run "$@" &
  local left=300
  while kill -0 $! 2>/dev/null && ((left--)); do sleep 0.1; done
  [ "$left" -gt 0 ] || stop "$1"
}

# Each argument after NAME is a statement of one session.
sql() {
  local name=$1 statements=()
  shift
  for statement in "$@"; do statements+=(-c "$statement"); done
  as psql -X -q -h 127.0.0.1 -p "$(port "$name")" -U "${user:-postgres}" -d "${database:-postgres}" "${statements[@]}"
}

# Runs a command, then says what the server NAME logged meanwhile.
heard() {
  local log=$pg/$1.log before
  before=$(wc -c <"$log")
  shift
  "$@"
  tail -c "+$((before + 1))" "$log"
}

logged() { grep -q -e "$2" "$pg/$1.log"; }
waits() { [ "$(sql "$1" "copy (select count(*) from pg_locks where not granted) to stdout")" != 0 ]; }

# A file system of its own, of that size.
small_volume() {
  mkdir -p "$pg/$1"
  mount -t tmpfs -o "size=$2,uid=$(stat -c %u "$pg"),gid=$(stat -c %g "$pg"),mode=700" none "$pg/$1"
}

# --- statements against the common server ---

start main -c log_lock_waits=on -c deadlock_timeout=200ms -c max_connections=30 -c max_locks_per_transaction=10 \
  -c log_checkpoints=on -c wal_level=replica -c max_prepared_transactions=0 -c temp_file_limit=4MB
main() { heard main sql main "$@"; }
sql main "create table orders(id serial primary key, customer int not null, code smallint, note text)" \
  "insert into orders(customer) select 1 from generate_series(1, 20)" \
  "create role app login" "create database shop" "create table small(id smallserial primary key)" \
  "create table parent(id int primary key)" "create table child(parent int references parent(id), n int check (n > 0))"

deadlock() {
  sql main begin "update orders set customer = 2 where id = 1" "select pg_sleep(0.5)" "update orders set customer = 2 where id = 2" &
  sql main begin "update orders set customer = 2 where id = 2" "select pg_sleep(0.5)" "update orders set customer = 2 where id = 1" &
  wait
}
provoke postgresql-deadlock heard main deadlock

blocked() {
  sql main begin "lock table orders" "select pg_sleep(1)" &
  sql main "select pg_sleep(0.3)" "select count(*) from orders" &
  wait
}
provoke postgresql-sessions-blocked heard main blocked

cancelled() {
  sql main "set statement_timeout = '50ms'" "select pg_sleep(1)"
  sql main "set idle_in_transaction_session_timeout = '50ms'" begin "\! sleep 0.3" "select 1"
  sql main begin "lock table orders" "select pg_sleep(1)" &
  sql main "select pg_sleep(0.3)" "set lock_timeout = '100ms'" "select count(*) from orders"
  wait
}
provoke postgresql-statements-cancelled heard main cancelled
provoke postgresql-idle-session-ended heard main sql main "set idle_session_timeout = '50ms'" "\! sleep 0.3" "select 1"

serialization() {
  sql main "begin isolation level repeatable read" "select count(*) from orders" "select pg_sleep(0.5)" "update orders set customer = 3 where id = 3" &
  sql main "select pg_sleep(0.2)" "update orders set customer = 4 where id = 3"
  wait
}
provoke postgresql-serialization-failure heard main serialization

provoke postgresql-schema-missing main "select * from invoices" "select total from orders" "select public.nosuch(1)" \
  "insert into orders(total) values (1)" "select * from billing.invoices" "create table billing.x()"
provoke postgresql-migration-repeated main "create table orders()" "alter table orders add column note text" \
  "create index orders_pkey on orders(id)" "create type mood as enum ('a')" "create type mood as enum ('a')" "create role app" "create schema public"
provoke postgresql-key-behind main "select setval('orders_id_seq', 1)" "insert into orders(customer) values (1)" \
  "insert into orders(customer) values (1)"
provoke postgresql-constraint-violation main "insert into orders(customer) values (null)" "insert into child values (99, 1)" \
  "insert into child values (null, 0)" "insert into parent values (7)" "insert into child values (7, 1)" "delete from parent"
provoke postgresql-number-range main "select 2147483647 + 1" "insert into orders(customer, code) values (1, 40000)" \
  "select 99999::numeric(3, 1)" "insert into orders(customer) values (3000000000)" "select 10 / 0"
provoke postgresql-value-invalid main "create table names(name varchar(3))" "insert into names values ('longer')" "select 'abc'::text::int" \
  "select '2024-99-01'::date" "select 'x'::uuid"
provoke postgresql-sequence-exhausted main "select setval('small_id_seq', 32767)" "insert into small default values"
provoke postgresql-prepared-clash main "prepare s1 as select 1" "prepare s1 as select 1" "deallocate s1" "execute s1"
provoke postgresql-plan-outdated main "create table plan(a int)" "prepare p as select * from plan" "execute p" \
  "alter table plan add column b int" "execute p"
provoke postgresql-transaction-aborted main begin "select 1 / 0" "select 1" "select 2" "insert into parent values (1)"
provoke postgresql-syntax-error main "selct 1" "select * frm orders" "select (1" "select 'abc"
provoke postgresql-encoding main "select E'\\xff'" "select convert_from('\\xe282', 'UTF8')" "set client_encoding = latin1" "select U&'\\20ac'" \
  "select convert_from('\\x00', 'UTF8')" 
provoke postgresql-limit-reached main "create function f(int) returns int language sql as 'select f(\$1 + 1)'" \
  "create function g(n int) returns int language plpgsql as 'begin return g(n + 1); end'" "select g(1)" \
  "create table wide(t text)" "create index on wide(t)" "insert into wide select string_agg(md5(i::text), '') from generate_series(1, 400) i"
provoke postgresql-memory-request main "select length(string_agg(repeat('x', 100000000), '')) from generate_series(1, 20)" \
  "select repeat(repeat('x', 1000000), 2000)"
provoke postgresql-lock-table-full main "do \$\$ begin for i in 1..5000 loop execute format('create table l%s()', i); end loop; end \$\$"
provoke postgresql-temp-file-limit main "set work_mem = '64kB'" "select count(*) from (select i from generate_series(1, 1000000) i order by -i) x"
provoke postgresql-temp-files-large main "set temp_file_limit = -1" "set log_temp_files = 0" "set work_mem = '64kB'" \
  "select count(x) from (select repeat('x', 200) || i as x from generate_series(1, 700000) i order by x) t"
provoke postgresql-read-only main "set default_transaction_read_only = on" "insert into parent values (2)" "create table q()" "delete from orders"
provoke postgresql-permission-missing heard main eval 'user=app sql main "select * from orders" "create table mine()" "select nextval('"'orders_id_seq'"')" "create database b" "create schema s" "alter table orders add x int" "select pg_read_file('"'/etc/passwd'"')"'
provoke postgresql-extension-missing main "create extension timescaledb" "load 'vector'" "create extension postgis"
provoke postgresql-preload-needed main "create extension pg_stat_statements" "select * from pg_stat_statements"
provoke postgresql-prepared-transactions-off main begin "insert into parent values (3)" "prepare transaction 'x'"
provoke postgresql-wal-level-low main "select pg_create_logical_replication_slot('debezium', 'pgoutput')"
# A drop waits 5 s for the other sessions to go.
in_use() { database=shop sql main "select pg_sleep(8)" & sql main "select pg_sleep(0.3)" "drop database shop" "alter database shop rename to x"; wait; }
provoke postgresql-database-in-use heard main in_use
provoke postgresql-database-missing heard main eval 'database=orders sql main "select 1"; database=nothing sql main "select 1"'
provoke postgresql-role-missing heard main eval 'user=nobody sql main "select 1"; user=root sql main "select 1"; sql main "grant select on orders to reporting"'
login_off() { sql main "create role archive" "create database closed allow_connections false"; user=archive sql main "select 1"; database=closed sql main "select 1"; }
provoke postgresql-login-disabled heard main login_off
role_limit() {
  sql main "create role few login connection limit 1" "create database narrow connection limit 1" "grant all on database narrow to few"
  user=few sql main "select pg_sleep(1)" &
  user=app database=narrow sql main "select pg_sleep(1)" &
  sql main "select pg_sleep(0.3)"
  user=few sql main "select 1"
  user=app database=narrow sql main "select 1"
  wait
}
provoke postgresql-role-connections-full heard main role_limit
sorted() {
  sql main "create database words template template0 locale_provider icu icu_locale 'de'" "update pg_database set datcollversion = '67.1' where datname = 'words'"
  database=words sql main "select 1"
}
provoke postgresql-collation-changed heard main sorted
foreign() {
  printf 'GET / HTTP/1.1\r\n\r\n' | timeout 5 bash -c "cat >/dev/tcp/127.0.0.1/$(port main)"
  printf '\x00\x00\x00\x08\x00\x01\x00\x00' | timeout 5 bash -c "cat >/dev/tcp/127.0.0.1/$(port main)"
  wait_for logged main 'unsupported frontend protocol'
}
provoke postgresql-foreign-protocol heard main foreign
lost() {
  as python3 - "$(port main)" <<'PY'
import socket, struct, sys
def connect():
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    body = struct.pack("!I", 196608) + b"user\0postgres\0database\0postgres\0\0"
    s.sendall(struct.pack("!I", len(body) + 4) + body)
    while not s.recv(65536).endswith(b"Z\0\0\0\5I"):
        pass
    return s
def query(s, text):
    s.sendall(b"Q" + struct.pack("!I", len(text) + 5) + text.encode() + b"\0")
s = connect(); query(s, "begin"); s.recv(65536); s.close()
s = connect(); query(s, "select repeat('x', 1000) from generate_series(1, 1000000)"); s.recv(10)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
s = connect(); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
PY
  wait_for logged main 'unexpected EOF'
  wait_for logged main 'could not receive data'
}
provoke postgresql-client-gone heard main lost
client_cut() {
  sql main "select pg_sleep(5)" & 
  wait_for eval "sql main 'copy (select pid from pg_stat_activity where query ~ \$\$^select pg_sleep\$\$) to stdout' | grep -q ."
  sql main "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep(5)%'"
  wait
}
provoke postgresql-client-cut-off heard main client_cut
provoke postgresql-client-no-socket as psql -X -h /var/run/nowhere -U postgres -c "select 1"
provoke postgresql-client-no-tls as psql -X "host=127.0.0.1 port=$(port main) user=postgres sslmode=require" -c "select 1"
provoke postgresql-checkpoints-frequent heard main sql main "set temp_file_limit = -1" "create table bulk as select repeat('x', 500) as x from generate_series(1, 900000)" "drop table bulk" "select pg_sleep(0.5)"
crash() {
  sql main "select pg_sleep(20)" &
  local pid
  wait_for eval "sql main 'copy (select pid from pg_stat_activity where query ~ \$\$^select pg_sleep\\(20\$\$) to stdout' >'$work/victim' && grep -q . '$work/victim'"
  kill -9 "$(cat "$work/victim")"
  wait
  wait_for ready main
}
provoke postgresql-process-killed heard main crash
stop main fast

# --- settings and connections ---

start crowd -c max_connections=5 -c superuser_reserved_connections=2 -c idle_session_timeout=0
crowd() {
  sql crowd "create role app login"
  for _ in 1 2 3 4 5; do sql crowd "select pg_sleep(2)" & done
  sql crowd "select pg_sleep(0.5)"
  user=app sql crowd "select 1"
  sql crowd "select 1"
  wait
}
provoke postgresql-too-many-connections heard crowd crowd
stop crowd
# The same in the other forms in which a server may write its log.
prefixed() {
  start "$1" -c max_connections=3 -c superuser_reserved_connections=1 -c log_line_prefix="$2" "${@:3}"
  sql "$1" "create role app login"
  sql "$1" "select pg_sleep(2)" &
  sql "$1" "select pg_sleep(2)" &
  sql "$1" "select pg_sleep(0.5)"
  user=app sql "$1" "select 1"
  sql "$1" "select pg_sleep(1)" &
  user=app sql "$1" "select 1"
  stop "$1" fast
  cat "$pg/$1.log"
}
provoke postgresql-too-many-connections prefixed debian '%m [%p] %q%u@%d '
provoke postgresql-too-many-connections prefixed pgbadger '%t [%p]: user=%u,db=%d,app=%a,client=%h '
provoke postgresql-too-many-connections prefixed rds '%t:%r:%u@%d:[%p]:'
mkdir "$pg/logs" && chown postgres: "$pg/logs"
collected() {
  prefixed collected '' -c logging_collector=on -c log_destination=csvlog,jsonlog -c log_directory="$pg/logs"
  cat "$pg/logs"/*.csv "$pg/logs"/*.json
}
provoke postgresql-too-many-connections collected
provoke postgresql-client-refused cat "$out/postgresql/postgresql-too-many-connections.log"

login() {
  start login -c password_encryption=scram-sha-256
  sql login "create role app login password 'right'" "set password_encryption = 'md5'" "create role old login password 'right'"
  printf 'host all postgres 127.0.0.1/32 trust\nhost all app,old 127.0.0.1/32 scram-sha-256\n' >"$pg/login/pg_hba.conf"
  sql login "select pg_reload_conf()"
  wait_for logged login 'received SIGHUP'
}
login
for _ in 1 2 3; do provoke postgresql-login-refused heard login env PGPASSWORD=wrong bash -c "exec psql -X -h 127.0.0.1 -p $(port login) -U app -d postgres -c 'select 1'"; done
provoke postgresql-client-password-wrong cat "$out/postgresql/postgresql-login-refused.log"
provoke postgresql-hba-missing heard login eval 'user=stranger sql login "select 1"'
provoke postgresql-scram-mismatch heard login env PGPASSWORD=right psql -X -h 127.0.0.1 -p "$(port login)" -U old -d postgres -c 'select 1'
provoke postgresql-client-no-password as psql -X -w -h 127.0.0.1 -p "$(port login)" -U app -d postgres -c 'select 1'
stop login

folder peer && printf 'local all all peer\n' >"$pg/peer/pg_hba.conf"
start peer -c unix_socket_directories="$pg"
provoke postgresql-peer-refused heard peer env PGCONNECT_TIMEOUT=5 psql -X -h "$pg" -p "$(port peer)" -U app -d postgres -c 'select 1'
stop peer

folder broken && echo 'shared_bufers = 1GB' >>"$pg/broken/postgresql.conf"
provoke postgresql-config-invalid refuses broken
folder hba && echo 'hots all all all trust' >"$pg/hba/pg_hba.conf"
provoke postgresql-config-invalid refuses hba
provoke postgresql-option-unknown refuses option -c shared_bufers=1GB
provoke postgresql-option-unknown refuses option -c max_connections=many
provoke postgresql-option-unknown refuses option -c work_mem=1kB
provoke postgresql-memory-at-start refuses memory -c shared_buffers=4000GB
provoke postgresql-memory-at-start refuses memory -c huge_pages=on -c shared_buffers=64MB
provoke postgresql-extension-missing refuses library -c shared_preload_libraries=timescaledb
files() { ulimit -n 40; refuses files; }
provoke postgresql-files-exhausted files

start busy
provoke postgresql-already-running run busy
folder port && cp "$pg/busy.port" "$pg/port.port"
provoke postgresql-port-in-use refuses port
stop busy

tls() {
  folder tls
  as openssl req -x509 -newkey rsa:2048 -nodes -keyout "$pg/tls/server.key" -out "$pg/tls/server.crt" -days 1 -subj /CN=db >/dev/null 2>&1
  chmod 644 "$pg/tls/server.key"
}
tls
provoke postgresql-tls-files refuses tls -c ssl=on
provoke postgresql-tls-files refuses tls -c ssl=on -c ssl_cert_file=missing.crt
chmod 600 "$pg/tls/server.key"
start tls -c ssl=on
handshake() {
  as openssl req -x509 -newkey rsa:2048 -nodes -keyout "$pg/other.key" -out "$pg/other.crt" -days 1 -subj /CN=other >/dev/null 2>&1
  as psql -X "host=127.0.0.1 port=$(port tls) user=postgres sslmode=verify-ca sslrootcert=$pg/other.crt" -c "select 1"
  as psql -X "host=127.0.0.1 port=$(port tls) user=postgres sslmode=verify-ca sslrootcert=$pg/nowhere.crt" -c "select 1"
  wait_for logged tls 'could not accept SSL'
}
provoke postgresql-tls-handshake heard tls handshake
stop tls

# --- the data folder ---

folder mode && chmod 755 "$pg/mode"
provoke postgresql-data-folder-refused refuses mode
folder owner && chown nobody "$pg/owner"
provoke postgresql-data-folder-refused as postgres -D "$pg/owner"
mkdir "$pg/volume" && chown root: "$pg/volume"
provoke postgresql-data-folder-refused as initdb -D "$pg/volume"
mkdir "$pg/used" "$pg/used/lost+found" && chown -R postgres: "$pg/used"
provoke postgresql-data-folder-not-empty as initdb -D "$pg/used"
provoke postgresql-run-as-root bash -c "cd /; $bin/postgres -D $pg/fresh; $bin/initdb -D $work/root"
provoke postgresql-user-unknown bash -c "cd /; setpriv --reuid=54321 --regid=54321 --clear-groups $bin/initdb -D $work/unknown; mkdir -m 777 $work/unknown; setpriv --reuid=54321 --regid=54321 --clear-groups $bin/initdb -D $work/unknown"
folder version && echo 14 >"$pg/version/PG_VERSION"
provoke postgresql-version-mismatch refuses version
locale() { start locale; sql locale "update pg_database set datcollate = 'xx_YY.utf8', datctype = 'xx_YY.utf8'"; heard locale sql locale "select 1"; stop locale; }
provoke postgresql-locale-missing locale
provoke postgresql-locale-missing as initdb -D "$pg/nolocale" --locale=xx_YY.utf8
socket() { folder socket; refuses socket -c unix_socket_directories="$pg/nowhere"; }
provoke postgresql-socket-folder socket
folder control && as truncate -s 0 "$pg/control/global/pg_control"
provoke postgresql-control-damaged refuses control
folder nocontrol && rm "$pg/nocontrol/global/pg_control"
provoke postgresql-control-damaged refuses nocontrol
folder notdata && rm "$pg/notdata/PG_VERSION"
provoke postgresql-data-folder-incomplete refuses notdata
folder nocheckpoint && rm -f "$pg"/nocheckpoint/pg_wal/0*
provoke postgresql-checkpoint-missing refuses nocheckpoint
label() { folder label; printf 'START WAL LOCATION: 0/9000028 (file 000000010000000000000009)\nCHECKPOINT LOCATION: 0/9000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-21 04:00:00 UTC\nLABEL: nightly\nSTART TIMELINE: 1\n' >"$pg/label/backup_label"; refuses label; }
provoke postgresql-backup-incomplete label
shared_memory() {
  start orphan
  local backend
  backend=$(ps -o pid= --ppid "$(head -n 1 "$pg/orphan/postmaster.pid")" | head -n 1)
  kill -STOP "$backend"
  kill -9 "$(head -n 1 "$pg/orphan/postmaster.pid")"
  refuses orphan
  kill -9 "$backend"
}
provoke postgresql-orphans-left shared_memory

start damaged
sql damaged "create table t(id int primary key, x text)" "alter table t alter x set storage external" \
  "insert into t select i, repeat('x', 5000) from generate_series(1, 50) i" "create table gone(i int)" "insert into gone values (1)" \
  "create table bad(i int)" "insert into bad select generate_series(1, 1000)" "create table short(i int)" "insert into short select generate_series(1, 1000)" \
  "create table xact(i int)" "insert into xact values (1)"
where() { sql damaged "copy (select pg_relation_filepath('$1')) to stdout"; }
index=$(where t_pkey) gone=$(where gone) bad=$(where bad) short=$(where short) xact=$(where xact)
toast=$(sql damaged "copy (select pg_relation_filepath(reltoastrelid) from pg_class where relname = 't') to stdout")
stop damaged fast
dd if=/dev/zero of="$pg/damaged/$index" bs=8192 count=1 seek=1 conv=notrunc status=none
as truncate -s 0 "$pg/damaged/$toast"
as truncate -s 409600 "$pg/damaged/$toast"
rm "$pg/damaged/$gone"
dd if=/dev/urandom of="$pg/damaged/$bad" bs=8192 count=1 conv=notrunc status=none
start damaged
damaged() { heard damaged sql damaged "$@"; }
provoke postgresql-data-damaged damaged "select count(*) from bad"
provoke postgresql-file-missing damaged "select count(*) from gone"
provoke postgresql-index-damaged damaged "set enable_seqscan = off" "select id from t where id = 7"
provoke postgresql-toast-missing damaged "select length(x || 'a') from t"
stop damaged fast
clog() {
  as pg_resetwal -f -x 40000000 "$pg/damaged" >/dev/null
  : >"$pg/damaged.log"
  start damaged
  cat "$pg/damaged.log"
}
provoke postgresql-transaction-status-missing clog
sums() {
  as initdb -D "$pg/sums" --no-sync -k -U postgres -A trust >/dev/null
  start sums
  sql sums "create table t(i int)" "insert into t select generate_series(1, 1000)"
  local file
  file=$(sql sums "copy (select pg_relation_filepath('t')) to stdout")
  stop sums fast
  printf 'xxxx' | dd of="$pg/sums/$file" bs=1 seek=4000 conv=notrunc status=none
  start sums
  heard sums sql sums "select count(*) from t"
  stop sums
}
provoke postgresql-data-damaged sums

wraparound() {
  local limit=$1
  rm -rf "$pg/wrap" && folder wrap
  start wrap -c max_prepared_transactions=1
  # An old prepared transaction keeps the emergency vacuum from helping.
  sql wrap begin "create table old()" "prepare transaction 'forgotten'" checkpoint
  local oldest
  oldest=$(sql wrap "copy (select min(datfrozenxid::text::bigint) from pg_database) to stdout")
  stop wrap fast
  local next=$((oldest + 2147483647 - limit))
  next=$((next / 1048576 * 1048576))
  as pg_resetwal -x "$next" -u "$oldest" "$pg/wrap" >/dev/null
  as dd if=/dev/zero of="$pg/wrap/pg_xact/$(printf %04X $((next / 1048576)))" bs=262144 count=1 status=none
  : >"$pg/wrap.log"
  start wrap -c autovacuum=off -c max_prepared_transactions=1
  heard wrap sql wrap "create table x()" "create table y()"
  cat "$pg/wrap.log"
  stop wrap
}
provoke postgresql-wraparound-near wraparound 20000000
provoke postgresql-wraparound-stopped wraparound 2000000

# --- full volumes ---

full() {
  small_volume full 80m
  cp -a "$pg/fresh/." "$pg/full"
  small_volume space 8m
  start full
  sql full "create tablespace t location '$pg/space'" "create table big(x text) tablespace t"
  heard full sql full "insert into big select repeat('x', 1000) from generate_series(1, 20000)"
  stop full
}
provoke postgresql-disk-full full
wal_full() {
  folder walfull
  mv "$pg/walfull/pg_wal" "$pg/walfull.wal"
  small_volume walfull/pg_wal 20m
  cp -a "$pg/walfull.wal/." "$pg/walfull/pg_wal"
  start walfull
  heard walfull sql walfull "create table log(x text)" "alter table log alter x set storage external" \
    "insert into log select repeat('x', 3000) from generate_series(1, 10000)"
  stop walfull
}
provoke postgresql-wal-disk-full wal_full
shm() {
  folder shm
  export -f run as port free_port
  unshare -m bash -c "pg=$pg bin=$bin; mount -t tmpfs -o size=2m,mode=1777 none /dev/shm; run shm -c max_parallel_workers_per_gather=2 -c dynamic_shared_memory_type=posix" >"$pg/shm.log" 2>&1 &
  wait_for ready shm
  sql shm "create table a as select i from generate_series(1, 200000) i" "create table b as select i from generate_series(1, 200000) i" "analyze a" "analyze b"
  heard shm sql shm "set parallel_setup_cost = 0" "set parallel_tuple_cost = 0" "set min_parallel_table_scan_size = 0" "set work_mem = '64MB'" \
    "select count(*) from a join b using (i)"
  stop shm
}
provoke postgresql-shm-full shm
hungry() {
  folder hungry
  (ulimit -v 400000; run hungry) >"$pg/hungry.log" 2>&1 &
  wait_for ready hungry
  heard hungry sql hungry "set work_mem = '2GB'" "select count(*) from (select i, count(*) from generate_series(1, 9000000) i group by i) x"
  stop hungry
}
provoke postgresql-out-of-memory hungry

# --- maintenance and archiving ---

archive() {
  start archive -c archive_mode=on -c archive_command='test -d /nowhere && cp %p /nowhere/%f'
  : >"$pg/archive.log"
  sql archive "create table t()" "select pg_switch_wal()"
  wait_for logged archive 'archiving write-ahead log file .* failed too many times'
  cat "$pg/archive.log"
  stop archive
}
provoke postgresql-archiving-fails archive
vacuum() {
  start vacuum -c autovacuum_naptime=1s -c autovacuum_vacuum_cost_delay=100 -c autovacuum_vacuum_cost_limit=1 -c deadlock_timeout=50ms -c autovacuum_vacuum_threshold=1
  sql vacuum "create table t(i int)" "insert into t select generate_series(1, 100000)" "delete from t where i % 2 = 0"
  wait_for eval "sql vacuum 'copy (select 1 from pg_stat_progress_vacuum) to stdout' | grep -q 1"
  heard vacuum sql vacuum begin "lock table t"
  stop vacuum
}
provoke postgresql-autovacuum-cancelled vacuum
recovering() {
  start recovering -c max_wal_size=2GB
  sql recovering "create table t as select repeat('x', 500) from generate_series(1, 400000)"
  stop recovering
  : >"$pg/recovering.log"
  run recovering -c log_startup_progress_interval=20ms -c recovery_init_sync_method=fsync -c fsync=on >>"$pg/recovering.log" 2>&1 &
  until ready recovering; do sql recovering "select 1"; done
  cat "$pg/recovering.log"
  stop recovering
}
provoke postgresql-starting-up recovering
provoke postgresql-recovery-long cat "$pg/recovering.log"
smart() {
  start smart
  sql smart "select pg_sleep(2)" &
  wait_for eval "sql smart 'copy (select 1 from pg_stat_activity where query ~ \$\$^select pg_sleep\$\$) to stdout' | grep -q 1"
  kill -TERM "$(head -n 1 "$pg/smart/postmaster.pid")"
  wait_for logged smart smart
  sql smart "select 1"
  cat "$pg/smart.log"
  wait
}
provoke postgresql-smart-shutdown smart
slow() { start slow -c log_min_duration_statement=0; heard slow sql slow "select pg_sleep(10.1)"; stop slow; }
provoke postgresql-statement-slow slow

# --- replication ---

start primary -c wal_level=logical -c max_slot_wal_keep_size=32MB -c max_replication_slots=2 -c max_wal_senders=3 -c wal_keep_size=0 -c synchronous_commit=on -c hot_standby=on
primary() { heard primary sql primary "$@"; }
sql primary "create table t(i int primary key)" "insert into t select generate_series(1, 1000)"
as pg_basebackup -h 127.0.0.1 -p "$(port primary)" -U postgres -D "$pg/standby" -R -c fast 2>/dev/null
cp -a "$pg/standby" "$pg/late"
cp -a "$pg/standby" "$pg/small"
cp -a "$pg/standby" "$pg/fork2"
start standby -c max_standby_streaming_delay=100ms
provoke postgresql-standby-settings-low eval 'start small -c max_connections=50 -c max_wal_senders=2 -c max_locks_per_transaction=30; wait_for logged small "insufficient"; cat "$pg/small.log"; stop small'
conflict() {
  sql standby "begin isolation level repeatable read" "select count(*) from t" "select pg_sleep(4)" "select count(*) from t" &
  sql standby "select pg_sleep(0.3)"
  sql primary "delete from t where i > 10" "vacuum t"
  wait
}
provoke postgresql-replica-conflict heard standby conflict
provoke postgresql-read-only heard standby sql standby "insert into t values (5000)" "create table u()"
provoke postgresql-slot-in-use eval 'sql primary "select pg_create_physical_replication_slot('"'one'"')"; as timeout 5 pg_receivewal -h 127.0.0.1 -p "$(port primary)" -U postgres -S one -D "$pg" --no-loop & wait_for eval "sql primary \"copy (select 1 from pg_replication_slots where active) to stdout\" | grep -q 1"; heard primary as timeout 5 pg_receivewal -h 127.0.0.1 -p "$(port primary)" -U postgres -S one -D "$pg" --no-loop; wait'
provoke postgresql-slots-exhausted primary "select pg_create_physical_replication_slot('two')" "select pg_create_physical_replication_slot('three')"
provoke postgresql-slot-missing heard primary as timeout 5 pg_receivewal -h 127.0.0.1 -p "$(port primary)" -U postgres -S nosuch -D "$pg" --no-loop
senders() {
  for _ in 1 2 3; do as timeout 3 pg_receivewal -h 127.0.0.1 -p "$(port primary)" -U postgres -D "$pg" --no-loop & done
  sql primary "select pg_sleep(1)"
  as pg_receivewal -h 127.0.0.1 -p "$(port primary)" -U postgres -D "$pg" --no-loop
  wait
}
provoke postgresql-slots-exhausted heard primary senders
sql primary "select pg_drop_replication_slot('two')" "select pg_drop_replication_slot('one')"
sync() {
  sql primary "alter system set synchronous_standby_names = 'away'" "select pg_reload_conf()" "select pg_sleep(0.5)"
  sql primary "insert into t values (7000)" &
  wait_for eval "sql primary \"copy (select 1 from pg_stat_activity where wait_event = 'SyncRep') to stdout\" | grep -q 1"
  sql primary "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"
  wait
  sql primary "alter system reset synchronous_standby_names" "select pg_reload_conf()"
}
provoke postgresql-synchronous-standby-missing heard primary sync
slot() {
  sql primary "select pg_create_logical_replication_slot('debezium', 'test_decoding')"
  for _ in 1 2 3 4 5 6; do sql primary "create table if not exists fill(x text)" "insert into fill select repeat('x', 1000) from generate_series(1, 15000)" "select pg_switch_wal()" checkpoint; done
  sql primary "select * from pg_logical_slot_get_changes('debezium', null, null)" "select pg_drop_replication_slot('debezium')"
}
provoke postgresql-slot-wal-lost heard primary slot
late() { start late; wait_for logged late 'already been removed'; cat "$pg/late.log"; stop late; }
provoke postgresql-wal-segment-removed heard primary late
apply() {
  sql primary "create database source"
  database=source sql primary "create table t(i int primary key)" "create publication p for table t" "select pg_create_logical_replication_slot('s', 'pgoutput')"
  sql primary "create database shop"
  local database=shop
  sql primary "create table t(i int primary key)" "insert into t values (1)"
  sql primary "create subscription s connection 'host=127.0.0.1 port=$(port primary) user=postgres dbname=source' publication p with (create_slot = false, copy_data = false)"
  database=source; sql primary "insert into t values (1)"
  wait_for logged primary 'logical replication worker.* exited'
  database=shop; sql primary "alter subscription s disable" "alter subscription s set (slot_name = none)" "drop subscription s"
}
provoke postgresql-subscription-failing heard primary apply
timeline() {
  start fork2
  as pg_ctl -D "$pg/fork2" -w promote >/dev/null
  sql fork2 "insert into t values (9999)" checkpoint
  stop fork2 fast
  touch "$pg/fork2/standby.signal" && chown postgres: "$pg/fork2/standby.signal"
  : >"$pg/fork2.log"
  start fork2
  wait_for logged fork2 'timeline'
  cat "$pg/fork2.log"
  stop fork2
}
provoke postgresql-timeline-diverged timeline
sender_timeout() {
  sql primary "alter system set wal_sender_timeout = '500ms'" "select pg_reload_conf()"
  local into=$pg/received
  as mkdir "$into"
  as sh -c 'echo $$ >receiver.pid; exec "$0" "$@"' pg_receivewal -h 127.0.0.1 -p "$(port primary)" -U postgres -D "$into" --no-loop &
  wait_for eval "sql primary \"copy (select count(*) from pg_stat_replication where application_name = 'pg_receivewal') to stdout\" | grep -q 1"
  kill -STOP "$(cat "$pg/receiver.pid")"
  wait_for logged primary 'due to replication timeout'
  kill -KILL "$(cat "$pg/receiver.pid")"
  sql primary "alter system reset wal_sender_timeout" "select pg_reload_conf()"
}
provoke postgresql-replication-timeout heard primary sender_timeout
stop primary
provoke postgresql-standby-cut-off eval 'wait_for logged standby "could not connect to the primary\|could not receive data from WAL"; wait_for logged standby "connection to server"; tail -n 15 "$pg/standby.log"'
stop standby
target() {
  start backup -c wal_level=replica
  as pg_basebackup -h 127.0.0.1 -p "$(port backup)" -U postgres -D "$pg/restored" -c fast 2>/dev/null
  stop backup
  touch "$pg/restored/recovery.signal"
  chown postgres: "$pg/restored/recovery.signal"
  refuses restored
  refuses restored -c restore_command=false -c recovery_target_time='2035-01-01 00:00:00'
}
provoke postgresql-recovery-target-missed target

# --- what clients of several languages say ---

mkdir "$work/clients"
cat >"$work/clients/psycopg.py" <<'PY'
import os, psycopg2
connection = psycopg2.connect(os.environ["URL"])
connection.cursor().execute(os.environ["SQL"])
PY
cat >"$work/clients/asynchronous.py" <<'PY'
import asyncio, asyncpg, os
async def main():
    connection = await asyncpg.connect(os.environ["URL"], timeout=5)
    await connection.execute(os.environ["SQL"])
asyncio.run(main())
PY
cat >"$work/clients/pq.go" <<'GO'
package main

import (
	"database/sql"
	"log"
	"os"

	_ "github.com/lib/pq"
)

func main() {
	db, err := sql.Open("postgres", os.Getenv("URL"))
	if err == nil {
		_, err = db.Exec(os.Getenv("SQL"))
	}
	log.Println(err)
}
GO
cat >"$work/clients/pgx.go" <<'GO'
package main

import (
	"context"
	"log"
	"os"

	"github.com/jackc/pgx/v4"
)

func main() {
	connection, err := pgx.Connect(context.Background(), os.Getenv("URL"))
	if err == nil {
		_, err = connection.Exec(context.Background(), os.Getenv("SQL"))
	}
	log.Println(err)
}
GO
cat >"$work/clients/Client.java" <<'JAVA'
import java.sql.*;

public class Client {
  public static void main(String[] none) {
    try (Connection c = DriverManager.getConnection("jdbc:" + System.getenv("JDBC")); Statement s = c.createStatement()) {
      s.execute(System.getenv("SQL"));
    } catch (SQLException e) {
      System.err.println(e);
    }
  }
}
JAVA
for driver in pq pgx; do
  (cd "$work/clients" && GOPATH=/usr/share/gocode GO111MODULE=off GOFLAGS='' GOCACHE="$work/go" go build -o "$driver" "$driver.go")
done
javac -d "$work/clients" "$work/clients/Client.java"

# Lets each client send the statement $1 to the port $2; `login` is user:password, `base` the database.
clients() {
  local query="${base:-postgres}?sslmode=${ssl:-disable}" login=${login:-app:right}
  export SQL=$1 URL="postgres://$login@127.0.0.1:$2/$query"
  export JDBC="postgresql://127.0.0.1:$2/$query&user=${login%:*}&password=${login#*:}"
  timeout 20 /usr/bin/python3 "$work/clients/psycopg.py"
  timeout 20 /usr/bin/python3 "$work/clients/asynchronous.py"
  timeout 20 "$work/clients/pq"
  timeout 20 "$work/clients/pgx"
  timeout 20 java -cp "$work/clients:/usr/share/java/postgresql.jar" Client
}
start served -c max_connections=5 -c superuser_reserved_connections=1 -c temp_file_limit=4MB
sql served "create role app login password 'right'" "create role shut nologin" "create role few login connection limit 0"
at_served() { clients "$1" "$(port served)"; }
provoke postgresql-client-unreachable clients "select 1" "$(free_port)"
provoke postgresql-database-missing eval 'base=orders at_served "select 1"'
provoke postgresql-role-missing eval 'login=nobody:right at_served "select 1"'
provoke postgresql-login-disabled eval 'login=shut:right at_served "select 1"'
provoke postgresql-role-connections-full eval 'login=few:right at_served "select 1"'
provoke postgresql-client-no-tls eval 'ssl=require at_served "select 1"'
provoke postgresql-statements-cancelled at_served "set statement_timeout = '100ms'; select pg_sleep(3)"
provoke postgresql-temp-file-limit at_served "select * from generate_series(1, 10000000) g order by -g"
provoke postgresql-read-only at_served "set default_transaction_read_only = on; create table x(i int)"
provoke postgresql-read-only env PGOPTIONS='-c default_transaction_read_only=on' psql -X "host=127.0.0.1 port=$(port served) user=postgres target_session_attrs=read-write" -c 'select 1'
provoke postgresql-client-cut-off at_served "select pg_terminate_backend(pg_backend_pid())"
printf 'host all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n' >"$pg/served/pg_hba.conf"
sql served "select pg_reload_conf()" "select pg_sleep(0.5)"
provoke postgresql-client-password-wrong eval 'login=app:wrong at_served "select 1"'
provoke postgresql-hba-missing eval 'login=stranger:right at_served "select 1"'
for _ in 1 2 3 4; do sql served "select pg_sleep(60)" >/dev/null 2>&1 & done
sql served "select pg_sleep(0.5)"
provoke postgresql-client-refused at_served "select 1"
kill -TERM "$(head -n 1 "$pg/served/postmaster.pid")"
wait_for logged served 'smart shutdown'
provoke postgresql-client-refused at_served "select 1"
stop served
