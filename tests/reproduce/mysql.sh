# Provokes MariaDB's troubles in servers of our own; MariaDB stands for the MySQL family.
install mariadb-server mariadb-client python3-pymysql python3-mysqldb golang-go golang-github-go-sql-driver-mysql-dev \
  openjdk-17-jdk-headless libmariadb-java

my=$work/my
mkdir "$my" && chown mysql: "$my"

# Runs a command as the database's user.
as() { (cd "$my" && exec setpriv --reuid=mysql --regid=mysql --init-groups env HOME="$my" TMPDIR="$my" "$@"); }

as mariadb-install-db --no-defaults --datadir="$my/fresh" --auth-root-authentication-method=normal --skip-test-db \
  --innodb-log-file-size=8M >"$work/install.log" 2>&1

# Makes the data folder NAME from the fresh one, and finds it a port.
folder() {
  [ -d "$my/$1" ] || cp -a "$my/fresh" "$my/$1"
  [ -s "$my/$1.port" ] || free_port >"$my/$1.port"
}

# The server program itself, in the foreground, on the folder NAME; options follow.
run() {
  local name=$1
  shift
  as mariadbd --no-defaults --datadir="$my/$name" --port="$(cat "$my/$name.port")" --bind-address=127.0.0.1 \
    --socket="$my/$name.sock" --pid-file="$my/$name.pid" --innodb-log-file-size=8M --innodb-flush-log-at-trx-commit=2 \
    --innodb-buffer-pool-size=32M --lc-messages-dir=/usr/share/mysql --log-warnings=4 "$@"
}

ready() { as mariadb-admin --no-defaults -u root -S "$my/$1.sock" ping | grep -q alive; }

# Starts the server NAME in the background and waits until it takes connections.
start() {
  local name=$1
  folder "$name"
  run "$@" >>"$my/$name.log" 2>&1 &
  wait_for ready "$name"
}

stop() {
  local pid
  pid=$(cat "$my/$1.pid" 2>/dev/null) || return 0
  kill "-${2:-KILL}" "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  rm -f "$my/$1.pid"
}
at_end 'cut -d " " -f 2 /proc/mounts | grep "^$my/" | xargs -r umount -l'
at_end 'for pid in "$my"/*.pid; do stop "$(basename "$pid" .pid)"; done'

# Starts the server NAME, which is to end by itself, and says what it says.
refuses() {
  folder "$1"
  run "$@" &
  local left=300
  while kill -0 $! 2>/dev/null && ((left--)); do sleep 0.1; done
  [ "$left" -gt 0 ] || stop "$1"
}

client() { as mariadb --no-defaults -S "$my/$1.sock" "${@:2}"; }

# Each argument after NAME is a statement of one session, which goes on after errors.
sql() {
  local name=$1
  shift
  printf '%s;\n' "$@" | (cd "$my" && setpriv --reuid=mysql --regid=mysql --init-groups mariadb --no-defaults --force \
    -S "$my/$name.sock" -u "${user:-root}" -D "${database:-shop}" --show-warnings)
}

# Runs a command, then says what the server NAME logged meanwhile.
heard() {
  local log=$my/$1.log before
  before=$(wc -c <"$log")
  shift
  "$@"
  tail -c "+$((before + 1))" "$log"
}
logged() { grep -q -e "$2" "$my/$1.log"; }

small_volume() {
  mkdir -p "$my/$1"
  mount -t tmpfs -o "size=$2,uid=$(stat -c %u "$my"),gid=$(stat -c %g "$my"),mode=700" none "$my/$1"
}

# --- statements against the common server ---

start main --max-connections=12 --innodb-lock-wait-timeout=1 --log-bin=bin --server-id=1 --innodb-print-all-deadlocks=1 \
  --max-allowed-packet=1M --local-infile=0 --secure-file-priv="$work" --max-prepared-stmt-count=5 --wait-timeout=60
main() { heard main sql main "$@"; }
database=mysql sql main "create database shop" "create user app@localhost identified by 'right'" "grant select on shop.* to app@localhost"
sql main "create table t(id tinyint auto_increment primary key, n int, name varchar(3) not null)" "insert into t(n, name) values (1, 'a'), (2, 'b')" \
  "create table parent(id int primary key)" "create table child(p int, foreign key (p) references parent(id))"

deadlock() {
  sql main begin "update t set n = 5 where id = 1" "select sleep(0.5)" "update t set n = 5 where id = 2" &
  sql main begin "update t set n = 6 where id = 2" "select sleep(0.5)" "update t set n = 6 where id = 1" &
  wait
}
provoke mysql-lock-wait heard main deadlock
lock_wait() { sql main begin "update t set n = 5 where id = 1" "select sleep(2)" & sql main "select sleep(0.3)" "update t set n = 7 where id = 1"; wait; }
provoke mysql-lock-wait heard main lock_wait
metadata() { sql main begin "select * from t" "select sleep(2)" & sql main "select sleep(0.3)" "set lock_wait_timeout = 1" "alter table t add column z int"; wait; }
provoke mysql-lock-wait heard main metadata

for _ in 1 2 3; do provoke mysql-login-refused heard main client main -u app -pwrong shop -e 'select 1'; done
provoke mysql-login-refused heard main client main -u nobody shop -e 'select 1'
provoke mysql-permission-missing heard main client main -u app -pright --force shop -e 'insert into t values (9, 9, 9); drop table t; create database x; use mysql; set global max_connections = 5; select load_file("/etc/passwd"); flush logs'
provoke mysql-database-missing eval 'database=orders sql main "select 1"; sql main "use billing"'
provoke mysql-schema-missing main "select * from invoices" "select total from t" "insert into t(total) values (1)" "drop table nothing" "alter table t drop column nothing" "call nothing()"
provoke mysql-migration-repeated main "create table t(i int)" "alter table t add column n int" "create index i on t(n)" "create index i on t(n)" "create database shop" "create user app@localhost"
provoke mysql-duplicate-key main "insert into t(id, n, name) values (1, 1, 'a')"
provoke mysql-value-range main "insert into t(id, n, name) values (127, 1, 'a')" "insert into t(n, name) values (1, 'b')"
provoke mysql-constraint-violation main "insert into child values (4)" "insert into parent values (1)" "insert into child values (1)" "delete from parent" "insert into t(n, name) values (1, null)"
provoke mysql-value-invalid main "insert into t(id, n, name) values (50, 'abc', 'a')" "insert into t(id, n, name) values (51, 1, 'longer')" "insert into t(id, n, name) values (500, 1, 'a')" \
  "insert into t(id, n) values (52, 1)" "create table d(d datetime)" "insert into d values ('2024-99-99')" "insert into d values ('0000-00-00 00:00:00')" "select cast('a' as int) from t where 1 / 0 group by 1"
provoke mysql-charset main "create table l(x varchar(10)) charset latin1" "set names utf8mb4" "insert into l values ('日本')" "create table u(x varchar(10)) charset utf8mb3" "insert into u values ('😀')" \
  "select _utf8mb4'a' collate utf8mb4_general_ci = _utf8mb4'b' collate utf8mb4_bin" "create table v(x int) collate utf8mb4_0900_ai_ci"
provoke mysql-syntax-error main "selct 1" "select * frm t" "select (1"
provoke mysql-row-too-large main "create table w(a varchar(20000), b varchar(20000), c varchar(20000), d varchar(20000)) charset latin1" "create table k(a varchar(2000), primary key(a)) charset utf8mb4"
big() { sql main "create table big(x longblob)"; head -c 3000000 /dev/zero | tr '\0' 'x' | (printf "insert into big values ('"; cat; printf "');\n") | client main -u root shop --max-allowed-packet=16M; }
provoke mysql-packet-too-large heard main big
provoke mysql-packet-too-large main "select length(repeat('x', 5000000))"
provoke mysql-read-only eval 'sql main "set global read_only = 1"; heard main client main -u app -pright shop -e "insert into t values (8, 8, 8)"; sql main "create user w@localhost" "grant all on shop.* to w@localhost"; heard main client main -u w shop -e "insert into t values (8, 8, 8)"; sql main "set global read_only = 0"'
provoke mysql-file-option main "select * from t into outfile '/tmp/x.csv'" "load data local infile '/etc/passwd' into table t" "load data infile '/etc/passwd' into table t"
provoke mysql-prepared-exhausted main "prepare a from 'select 1'" "prepare b from 'select 1'" "prepare c from 'select 1'" "prepare d from 'select 1'" "prepare e from 'select 1'" "prepare f from 'select 1'"
provoke mysql-statement-timeout main "set max_statement_time = 0.2" "select sleep(2), t.* from t" "select benchmark(100000000000, md5('a'))"
user_limit() {
  sql main "create user few@localhost with max_user_connections 1" "create user rate@localhost with max_queries_per_hour 1"
  client main -u few -e 'select sleep(1)' &
  sleep 0.4
  client main -u few -e 'select 1'
  client main -u rate -e 'select 1; select 2'
  wait
}
provoke mysql-user-connections-full heard main user_limit
provoke mysql-plugin-missing heard main eval 'client main -u root --default-auth=caching_sha2_password --plugin-dir=/nowhere -e "select 1"; sql main "install soname '"'"'ha_rocksdb'"'"'" "create table r(i int) engine=rocksdb" "create table f(i int) engine=federated"; client main -u root --default-auth=auth_gssapi_client --plugin-dir=/nowhere -e "select 1"; sql main "create user sha@localhost identified via caching_sha2_password"'
gone() {
  sql main "set wait_timeout = 1" "select 1" "\! sleep 2" "select 2"
}
provoke mysql-client-gone-away heard main gone
aborted() {
  as python3 - "$my/main.sock" <<'PY'
import socket, sys
for _ in range(3):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1000); s.close()
PY
  (sql main "select sleep(30)" & echo $! >"$work/client"; wait) &
  client main -u root -e 'set wait_timeout = 1; system sleep 2'
  local id
  sleep 0.5
  id=$(client main -N -u root -e "select id from information_schema.processlist where info like 'select sleep(30)%'")
  client main -u root -e "kill $id"
  wait
}
provoke mysql-connection-aborted heard main aborted
provoke mysql-client-lost cat "$out/mysql/mysql-connection-aborted.log"
provoke mysql-client-unreachable eval 'client nowhere -u root -e "select 1"; as mariadb --no-defaults -h 127.0.0.1 -P "$(free_port)" -u root -e "select 1"; as mariadb --no-defaults -h no-such-host.invalid -u root -e "select 1"'
provoke mysql-client-tls as mariadb --no-defaults -h 127.0.0.1 -P "$(cat "$my/main.port")" -u root --ssl --ssl-verify-server-cert -e "select 1"
crowd() {
  for _ in $(seq 1 13); do sql main "select sleep(2)" & done
  sleep 1
  user=app sql main "select 1"
  client main -u app -pright -e 'select 1'
  wait
}
provoke mysql-too-many-connections heard main crowd
crashed_table() {
  sql main "create table m(i int primary key, x varchar(100)) engine=myisam" "insert into m select seq, repeat('x', 90) from seq_1_to_10000" "flush tables"
  as truncate -s 100 "$my/main/shop/m.MYD"
  as truncate -s 1024 "$my/main/shop/m.MYI"
  sql main "select * from m where i = 5" "check table m"
  sql main "create table a(i int primary key) engine=aria" "insert into a select seq from seq_1_to_10000" "flush tables"
  dd if=/dev/urandom of="$my/main/shop/a.MAI" bs=8192 seek=1 count=2 conv=notrunc status=none
  sql main "select count(*) from a where i > 5" "select * from a where i = 500"
  sql main "create table g(i int)" "insert into g values (1)" "flush tables"
  rm "$my/main/shop/g.frm"
}
provoke mysql-table-crashed heard main crashed_table
sort_memory() { sql main "set sort_buffer_size = 1024" "set max_session_mem_used = 8192" "select * from t order by name" "select seq from seq_1_to_100000 order by -seq"; }
provoke mysql-session-memory heard main sort_memory
provoke mysql-value-range main "set binlog_format = statement" "set sql_log_bin = 1" "insert into t(id, n, name) select 60 + seq, uuid_short(), 'u' from seq_1_to_2 limit 1"
killed() { kill -KILL "$(cat "$my/main.pid")"; sleep 1; : >"$my/main.log"; rm -f "$my/main.pid"; start main; cat "$my/main.log"; }
provoke mysql-crash-recovery killed
stop main TERM

# --- start ---

provoke mysql-option-unknown refuses option --innodb-bufer-pool-size=1G
provoke mysql-option-unknown refuses option --innodb-file-format=Barracuda --query-cache-sizes=1
provoke mysql-option-unknown refuses option --character-set-server=utf9
start busy
provoke mysql-already-running eval 'cp "$my/busy.port" "$my/second.port"; free_port >"$my/x.port"; (run x --datadir="$my/busy" --innodb-open-files=10) & other=$!; for _ in $(seq 1 1200); do kill -0 $other 2>/dev/null || break; sleep 0.1; done; kill $other'
provoke mysql-port-in-use eval 'folder taken; cp "$my/busy.port" "$my/taken.port"; refuses taken'
stop busy
provoke mysql-run-as-root bash -c "cd /; mariadbd --no-defaults --datadir=$my/fresh"
folder owner && chown -R nobody "$my/owner"
provoke mysql-data-folder-refused refuses owner
mkdir "$my/empty" && chown mysql: "$my/empty"
provoke mysql-system-tables-missing refuses empty
provoke mysql-port-in-use refuses sock --socket="$my/nowhere/my.sock"
provoke mysql-memory-at-start eval '(ulimit -v 2000000; refuses memory --innodb-buffer-pool-size=64G)'
provoke mysql-files-limited eval '(ulimit -n 100; folder files; run files >"$my/files.log" 2>&1 & wait_for ready files; sql files "show tables"; cat "$my/files.log"; stop files)'

# --- InnoDB ---

start inno
database=mysql sql inno "create database shop"
sql inno "create table t(i int primary key, x varchar(500))" "insert into t select seq, repeat('x', 400) from seq_1_to_5000" "create table gone(i int)" "insert into gone values (1)"
stop inno TERM
cp -a "$my/inno" "$my/redo"
cp -a "$my/inno" "$my/header"
cp -a "$my/inno" "$my/nolog"
cp -a "$my/inno" "$my/newer"
cp -a "$my/inno" "$my/recovery"
cp -a "$my/inno" "$my/aria"
cp -a "$my/inno" "$my/system"
for page in 5 6 7 8 9 10 11 12; do dd if=/dev/urandom of="$my/inno/shop/t.ibd" bs=16384 seek=$page count=1 conv=notrunc status=none; done
rm "$my/inno/shop/gone.ibd"
: >"$my/inno.log"
start inno
provoke mysql-tablespace-missing heard inno sql inno "select * from gone"
provoke mysql-page-damaged heard inno sql inno "select count(x) from t" "check table t"
stop inno
provoke mysql-redo-damaged eval 'dd if=/dev/urandom of="$my/redo/ib_logfile0" bs=512 count=40 conv=notrunc status=none; refuses redo'
provoke mysql-redo-damaged eval 'rm "$my/nolog/ib_logfile0"; refuses nolog'
provoke mysql-system-tablespace-damaged eval 'dd if=/dev/urandom of="$my/header/ibdata1" bs=16384 count=8 conv=notrunc status=none; refuses header'
provoke mysql-system-tablespace-damaged eval 'as truncate -s 5M "$my/system/ibdata1"; refuses system'
provoke mysql-forced-recovery eval 'start recovery --innodb-force-recovery=4; sql recovery "insert into t values (9999, 1)" "create table n(i int)"; cat "$my/recovery.log"; stop recovery'
provoke mysql-aria-log-damaged eval 'dd if=/dev/urandom of="$my/aria/aria_log_control" bs=1 count=200 conv=notrunc status=none; refuses aria'
upgrade() { folder old; start old; sql old "alter table mysql.user rename to mysql.x"; client old -u root -e "drop table mysql.proc; alter table mysql.global_priv drop column priv"; stop old TERM; : >"$my/old.log"; refuses old; }
provoke mysql-system-tables-missing upgrade

# --- full volumes ---

full() {
  small_volume full 60m
  cp -a "$my/fresh/." "$my/full"
  start full --innodb-file-per-table=1
  database=mysql sql full "create database shop"
  heard full sql full "create table big(x longtext)" "insert into big select repeat('x', 100000) from seq_1_to_2000"
  sql full "create table m(x longtext) engine=myisam"
  timeout 15 bash -c "printf '%s' 'insert into shop.m select repeat(char(65), 100000) from seq_1_to_2000' | mariadb --no-defaults -S $my/full.sock -u root"
  tail -n 5 "$my/full.log"
  stop full
}
provoke mysql-disk-full full
temporary() {
  small_volume tmp 4m
  start temp --tmpdir="$my/tmp" --sort-buffer-size=32K --tmp-memory-table-size=16K
  database=mysql sql temp "create database shop"
  heard temp sql temp "select seq, repeat('x', 200) x from seq_1_to_200000 order by x, seq limit 100000, 1" "select count(*) from (select distinct repeat(seq, 50) from seq_1_to_200000) d"
  stop temp
}
provoke mysql-temp-full temporary

# --- replication ---

start source --log-bin=bin --server-id=1
database=mysql sql source "create database shop" "create user repl identified by 'repl'" "grant replication slave on *.* to repl"
sql source "create table t(i int primary key)" "insert into t values (1)"
start replica --server-id=2 --log-bin=bin --slave-net-timeout=5
database=mysql sql replica "create database shop"
follow() {
  sql replica "stop slave" "reset slave" "change master to master_host = '127.0.0.1', master_port = $(cat "$my/source.port"), master_user = '${1:-repl}', master_password = 'repl', master_connect_retry = 1, master_log_file = '${2:-bin.000001}', master_log_pos = ${3:-4}" "start slave"
}
position() { client source -u root -N -e "show master status" | cut -f 1,2; }
replica_fails() { : >"$my/replica.log"; "$@"; cat "$my/replica.log"; sql replica "stop slave"; }
read -r file at <<<"$(position)"
sql replica "create table t(i int primary key)" "insert into t values (2)"
duplicate() { follow repl "$file" "$at"; sql source "insert into t values (2)"; wait_for logged replica 'Error_code: 1062\|Duplicate entry'; }
provoke mysql-replica-conflict replica_fails duplicate
absent() { read -r file at <<<"$(position)"; follow repl "$file" "$at"; sql source "set binlog_format = row" "delete from t where i = 1"; wait_for logged replica '1032'; }
provoke mysql-replica-conflict replica_fails absent
purged() { follow repl bin.000099 4; wait_for logged replica '1236'; }
provoke mysql-binlog-missing replica_fails purged
refused() { follow nobody; wait_for logged replica 'error connecting\|Access denied'; }
provoke mysql-replica-cut-off replica_fails refused
same_id() { sql replica "set global server_id = 1"; follow; wait_for logged replica 'equal MySQL server ids\|equal MariaDB server ids\|server ids'; sql replica "set global server_id = 2"; }
provoke mysql-server-ids-equal replica_fails same_id
away() { read -r file at <<<"$(position)"; follow repl "$file" "$at"; sql replica "select sleep(1)"; stop source; wait_for logged replica 'error reconnecting\|error connecting'; }
provoke mysql-replica-cut-off replica_fails away
stop replica
binlog_full() {
  small_volume logs 3m
  start binlog --log-bin="$my/logs/bin" --server-id=1
  database=mysql sql binlog "create database shop"
  sql binlog "create table t(x longtext)"
  : >"$my/binlog.log"
  (timeout 15 mariadb --no-defaults -S "$my/binlog.sock" -u root shop -e "set binlog_format = row; insert into t select repeat('x', 100000) from seq_1_to_100")
  cat "$my/binlog.log"
  stop binlog
}
provoke mysql-disk-full binlog_full

# --- what clients of several languages say ---

mkdir "$work/clients"
cat >"$work/clients/client.py" <<'PY'
import importlib, os, sys
driver = importlib.import_module(sys.argv[1])
connection = driver.connect(host="127.0.0.1", port=int(os.environ["PORT"]), user=os.environ["NAME"],
                            password=os.environ["WORD"], database=os.environ["BASE"], connect_timeout=5)
connection.cursor().execute(os.environ["SQL"])
PY
cat >"$work/clients/client.go" <<'GO'
package main

import (
	"database/sql"
	"log"
	"os"

	_ "github.com/go-sql-driver/mysql"
)

func main() {
	env := os.Getenv
	db, err := sql.Open("mysql", env("NAME")+":"+env("WORD")+"@tcp(127.0.0.1:"+env("PORT")+")/"+env("BASE"))
	if err == nil {
		_, err = db.Exec(env("SQL"))
	}
	log.Println(err)
}
GO
cat >"$work/clients/Client.java" <<'JAVA'
import java.sql.*;

public class Client {
  public static void main(String[] none) {
    String url = "jdbc:mariadb://127.0.0.1:" + System.getenv("PORT") + "/" + System.getenv("BASE");
    try (Connection c = DriverManager.getConnection(url, System.getenv("NAME"), System.getenv("WORD"));
        Statement s = c.createStatement()) {
      s.execute(System.getenv("SQL"));
    } catch (SQLException e) {
      System.err.println(e);
    }
  }
}
JAVA
(cd "$work/clients" && GOPATH=/usr/share/gocode GO111MODULE=off GOFLAGS='' GOCACHE="$work/go" go build -o client client.go)
javac -d "$work/clients" "$work/clients/Client.java"

# Lets each client send the statement $1 to the port $2, as user `name` with password `word`.
clients() {
  export SQL=$1 PORT=$2 NAME=${name:-shop} WORD=${word:-right} BASE=${base:-shop}
  timeout 20 /usr/bin/python3 "$work/clients/client.py" pymysql
  timeout 20 /usr/bin/python3 "$work/clients/client.py" MySQLdb
  timeout 20 "$work/clients/client"
  timeout 20 java -cp "$work/clients:/usr/share/java/mariadb-java-client.jar" Client
}
start served --max-connections=10 --innodb-lock-wait-timeout=1
database=mysql sql served "create database shop" "create user shop identified by 'right'" "grant all on shop.* to shop"
sql served "create table t(id int primary key, n int)" "insert into t values (1, 1)"
at_served() { clients "$1" "$(cat "$my/served.port")"; }
provoke mysql-client-unreachable clients "select 1" "$(free_port)"
for _ in 1 2 3; do provoke mysql-login-refused eval 'word=wrong at_served "select 1"'; done
provoke mysql-permission-missing eval 'base=billing at_served "select 1"'
provoke mysql-schema-missing at_served "select * from nothing"
provoke mysql-duplicate-key at_served "insert into t values (1, 1)"
provoke mysql-statement-timeout at_served "set statement max_statement_time=0.2 for select sleep(3), t.* from t"
provoke mysql-client-lost at_served "kill connection_id()"
provoke mysql-read-only eval 'sql served "set global read_only = 1"; at_served "insert into t values (7, 7)"; sql served "set global read_only = 0"'
hold() { sql served begin "update t set n = 5 where id = 1" "select sleep(20)" & sleep 0.5; at_served "update t set n = 6 where id = 1"; wait; }
provoke mysql-lock-wait hold
occupied() { for _ in $(seq 1 11); do sql served "select sleep(15)" & done; sleep 1; at_served "select 1"; wait; }
provoke mysql-too-many-connections occupied
cut() { at_served "select sleep(30), t.* from t" & sleep 4; stop served; wait; }
provoke mysql-client-lost cut
barred() {
  start barred --skip-name-resolve
  database=mysql sql barred "delete from global_priv where host <> 'localhost'" "flush privileges"
  clients "select 1" "$(cat "$my/barred.port")"
  stop barred
}
provoke mysql-host-blocked barred
