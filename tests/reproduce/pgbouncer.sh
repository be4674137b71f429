# Provokes PgBouncer's troubles between psql and a PostgreSQL of our own.
install pgbouncer postgresql-15

bin=/usr/lib/postgresql/15/bin
pool=$work/pool
mkdir "$pool" && chown postgres: "$pool"

as() { (cd "$pool" && exec setpriv --reuid=postgres --regid=postgres --init-groups env PATH="$bin:$PATH" LC_ALL=C.UTF-8 HOME="$pool" PGCONNECT_TIMEOUT=10 "$@"); }

as initdb -D "$pool/data" --no-sync -U postgres -A trust >"$work/initdb.log"
server=$(free_port)
printf 'host all right 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n' >"$pool/data/pg_hba.conf"
as pg_ctl -D "$pool/data" -w -l "$pool/server.log" -o "-p $server -c listen_addresses=127.0.0.1 -c unix_socket_directories=" start >/dev/null
at_end 'as pg_ctl -D "$pool/data" -m immediate stop'
direct() { as psql -X -q -h 127.0.0.1 -p "$server" -U postgres -d postgres -c "$1"; }
direct "create role right login password 'right'"
direct "create role app login"

# Writes the configuration NAME, with further lines from standard input.
configure() {
  free_port >"$pool/$1.port"
  printf '"app" ""\n"admin" "admin"\n"right" "md5%s"\n"wrong" "x"\n' "$(printf 'rightright' | md5sum | cut -d ' ' -f 1)" >"$pool/users.txt"
  {
    printf '[databases]\npostgres = host=127.0.0.1 port=%s\naway = host=127.0.0.1 port=%s dbname=postgres\nnowhere = host=no-such-host.invalid\n' "$server" "$(free_port)"
    printf '[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\nunix_socket_dir =\nauth_type = trust\nauth_file = %s\nadmin_users = admin\npidfile = %s\n' "$(cat "$pool/$1.port")" "$pool/users.txt" "$pool/$1.pid"
    cat
  } >"$pool/$1.ini"
}
run() { as pgbouncer "$pool/$1.ini"; }
client() { as psql -X -q -h 127.0.0.1 -p "$(cat "$pool/$1.port")" -U "${user:-app}" -d "${database:-postgres}" -c "$2"; }
ready() { PGPASSWORD=admin user=admin database=pgbouncer client "$1" "show version"; }
start() {
  configure "$1"
  run "$1" >>"$pool/$1.log" 2>&1 &
  wait_for ready "$1"
}
stop() { kill "$(cat "$pool/$1.pid")"; }
at_end 'for pid in "$pool"/*.pid; do stop "$(basename "$pid" .pid)"; done'
heard() { "${@:2}"; cat "$pool/$1.log"; : >"$pool/$1.log"; }

start main <<<'max_client_conn = 4
default_pool_size = 1
query_wait_timeout = 1
server_connect_timeout = 2
server_login_retry = 1'
: >"$pool/main.log"
busy() { client main "select pg_sleep(3)" & sleep 0.5; client main "select 1"; wait; }
provoke pgbouncer-pool-exhausted heard main busy
crowd() { for _ in 1 2 3 4 5 6; do client main "select pg_sleep(0.5)" & done; wait; }
provoke pgbouncer-clients-full heard main crowd
provoke pgbouncer-database-missing heard main eval 'database=orders client main "select 1"'
provoke pgbouncer-startup-parameter heard main eval 'PGOPTIONS="-c search_path=x" client main "select 1"'
away() { database=away client main "select 1"; database=nowhere client main "select 1"; }
provoke pgbouncer-server-unreachable heard main away
disabled() { user=admin database=pgbouncer client main "disable postgres"; client main "select 1"; user=admin database=pgbouncer client main "enable postgres"; }
provoke pgbouncer-database-disabled heard main disabled
killed() { client main "select pg_sleep(5)" & sleep 0.7; direct "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep(5)%'"; wait; }
provoke pgbouncer-server-lost heard main killed
login() { user=right client main "select 1"; }
provoke pgbouncer-server-login-refused heard main login
provoke pgbouncer-port-in-use eval 'configure second </dev/null; cp "$pool/main.port" "$pool/second.port"; sed -i "s/^listen_port.*/listen_port = $(cat "$pool/main.port")/" "$pool/second.ini"; run second'
provoke pgbouncer-admin-refused heard main eval 'user=app database=pgbouncer client main "show pools"'

start strict <<<'auth_type = md5'
: >"$pool/strict.log"
provoke pgbouncer-login-refused heard strict eval 'user=stranger PGPASSWORD=x client strict "select 1"; user=right PGPASSWORD=no client strict "select 1"'

provoke pgbouncer-config-invalid eval 'configure broken <<<"max_client_cnn = 4"; run broken; echo "[pgbouncer" >"$pool/torn.ini"; run torn; run missing'
provoke pgbouncer-config-invalid eval 'configure mode <<<"pool_mode = transactions"; run mode'
auth_file() {
  configure users <<<"auth_file = $pool/nowhere.txt"
  run users >"$pool/users.log" 2>&1 &
  wait_for grep 'process up' "$pool/users.log"
  client users "select 1"
  stop users
  wait
  cat "$pool/users.log"
}
provoke pgbouncer-auth-file-missing auth_file
provoke pgbouncer-tls-invalid eval 'configure tls <<<"client_tls_sslmode = require
client_tls_key_file = $pool/nowhere.key
client_tls_cert_file = $pool/nowhere.crt"; run tls'
provoke pgbouncer-run-as-root bash -c "cd /; pgbouncer '$pool/main.ini'"
