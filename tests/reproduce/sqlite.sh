# Provokes SQLite's troubles in databases of our own, through Python's module and the command line.
install sqlite3 python3

db=$work/db
mkdir "$db" && chmod 777 "$db"

# Runs a Python program that reports what SQLite says; the database's folder is its first argument.
python() { (cd "$db" && /usr/bin/python3 -c "
import sqlite3, sys, os
def try_(*args, **options):
    try:
        connection = args[0] if isinstance(args[0], sqlite3.Connection) else sqlite3.connect(args[0], timeout=0.1, **options)
        for statement in args[1:]:
            connection.execute(statement).fetchall()
        connection.commit()
        return connection
    except sqlite3.Error as error:
        print(f'{type(error).__module__}.{type(error).__name__}: {error}')
        if not isinstance(args[0], sqlite3.Connection) and 'connection' in locals():
            connection.close()
$1"); }
shell() { (cd "$db" && sqlite3 "$@"); }
fresh() { rm -f "$db/$1"*; shell "$1" "create table t(id integer primary key, name text not null unique, p int references t(id), check (id < 1000)); insert into t(name) values ('a'), ('b')" "${@:2}"; }

fresh app.db
locked() {
  python "
a = sqlite3.connect('app.db'); a.execute('begin immediate')
try_('app.db', 'insert into t(name) values (\'c\')')
try_('app.db', 'pragma journal_mode = wal')"
  shell app.db 'begin exclusive' '.shell sqlite3 app.db "select * from t"'
}
provoke sqlite-locked locked
table_locked() { python "
a = try_('file:x?mode=memory&cache=shared', 'create table t(i int)', 'insert into t values (1)', uri=True)
a.execute('insert into t values (2)')
try_('file:x?mode=memory&cache=shared', 'select * from t', uri=True)
b = sqlite3.connect('app.db'); c = b.execute('select * from t'); c.fetchone()
try_(b, 'drop table t')"; }
provoke sqlite-table-locked table_locked

damaged() {
  fresh bad.db
  shell bad.db "create table big(x); with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) insert into big select hex(randomblob(100)) from n; create index bi on big(x)"
  dd if=/dev/urandom of="$db/bad.db" bs=4096 seek=5 count=100 conv=notrunc status=none
  shell bad.db "select count(*), max(x) from big" "pragma integrity_check(5)"
  python "try_('bad.db', 'select x from big order by x')"
}
provoke sqlite-damaged damaged
not_database() { echo 'this is some text and not a database, as anybody can see who looks at it' >"$db/text.db"; shell text.db "select 1 from t"; python "try_('text.db', 'select * from t')"; }
provoke sqlite-not-a-database not_database
full() {
  mkdir "$db/small" && mount -t tmpfs -o size=200k none "$db/small"
  python "
try_('small/full.db', 'create table t(x)', 'insert into t values (zeroblob(1000000))')
try_('app.db', 'pragma max_page_count = 3', 'create table u(x)', 'insert into u values (zeroblob(100000))')"
  shell small/cli.db "create table t(x); insert into t values (zeroblob(1000000))"
  umount "$db/small"
}
at_end 'cut -d " " -f 2 /proc/mounts | grep "^$db/" | xargs -r umount -l'
provoke sqlite-full full
read_only() {
  fresh ro.db
  chmod 444 "$db/ro.db"
  (cd "$db" && setpriv --reuid=nobody --clear-groups sqlite3 ro.db "insert into t(name) values ('x')")
  python "try_('file:ro.db?mode=ro', 'insert into t(name) values (\'x\')', uri=True)"
  mkdir "$db/closed" && cp "$db/app.db" "$db/closed" && chmod 666 "$db/closed/app.db" && chmod 555 "$db/closed"
  (cd "$db/closed" && setpriv --reuid=nobody --clear-groups sqlite3 app.db "insert into t(name) values ('x')")
  (cd "$db" && /usr/bin/python3 -c "
import sqlite3, os
a = sqlite3.connect('moved.db'); a.execute('create table t(i)'); a.commit(); a.execute('insert into t values (1)'); a.commit()
os.remove('moved.db')
a.execute('insert into t values (2)'); a.commit()")
}
provoke sqlite-read-only read_only
cannot_open() { python "
try_('missing/app.db', 'select 1')
try_('file:nowhere.db?mode=ro', 'select 1', uri=True)
try_('/', 'select 1')"; shell missing/x.db "create table t(i)"; }
provoke sqlite-cannot-open cannot_open
missing() { shell app.db "select * from invoices"; shell app.db "select total from t"; shell app.db "insert into t(total) values (1)"; python "
try_('app.db', 'select * from invoices')
try_('app.db', 'select total from t')
try_('app.db', 'insert into t(total) values (1)')
try_('app.db', 'select nosuch(1)')"; }
provoke sqlite-schema-missing missing
repeated() { python "
try_('app.db', 'create table t(i)')
try_('app.db', 'create index i on t(id)', 'create index i on t(id)')
try_('app.db', 'alter table t add column name text')"; shell app.db "create table t(i)"; }
provoke sqlite-migration-repeated repeated
constraint() { python "
try_('app.db', 'insert into t(name) values (\'a\')')
try_('app.db', 'insert into t(id, name) values (1, \'z\')')
try_('app.db', 'insert into t(name) values (null)')
try_('app.db', 'insert into t(id, name) values (5000, \'y\')')
try_('app.db', 'pragma foreign_keys = on', 'insert into t(name, p) values (\'q\', 99)')"; shell app.db "insert into t(name) values ('a')"; }
provoke sqlite-constraint constraint
syntax() { python "
try_('app.db', 'selct 1')
try_('app.db', 'select * from t where')
try_('app.db', 'select (1')"; shell app.db "select * frm t"; }
provoke sqlite-syntax-error syntax
limits() { python "
try_('app.db', 'select ' + '+'.join(['1'] * 3000))
try_('app.db', 'select zeroblob(3000000000)')
try_('app.db', 'select ' + ','.join(['1'] * 3000))
try:
    sqlite3.connect(':memory:').execute('select 1 where 1 in (' + ','.join(['?'] * 300000) + ')', [1] * 300000)
except sqlite3.Error as error:
    print(f'sqlite3.{type(error).__name__}: {error}')"; }
provoke sqlite-limit-reached limits
thread() { (cd "$db" && /usr/bin/python3 -c "
import sqlite3, threading
a = sqlite3.connect('app.db')
def use():
    a.execute('select 1')
t = threading.Thread(target=use); t.start(); t.join()
a.close()
a.execute('select 1')"); }
provoke sqlite-connection-misused thread
extension() { python "
a = sqlite3.connect('app.db'); a.enable_load_extension(True)
try:
    a.load_extension('mod_spatialite')
except sqlite3.Error as error:
    print(f'sqlite3.{type(error).__name__}: {error}')
try_('app.db', 'create virtual table v using vec0(x)')"; shell app.db ".load mod_spatialite"; shell app.db "create virtual table v using vec0(x)"; }
provoke sqlite-extension-missing extension
in_transaction() { python "
try_('app.db', 'begin', 'begin')
try_('app.db', 'commit')
a = sqlite3.connect('app.db', isolation_level=None); a.execute('begin')
try_(a, 'vacuum')
try_('app.db', 'rollback')"; }
provoke sqlite-transaction-state in_transaction
encoding() { python "
a = sqlite3.connect('app.db'); a.execute('create table if not exists e(x)'); a.execute('insert into e values (cast(x\'ff41\' as text))'); a.commit()
try_('app.db', 'select x from e')"; }
provoke sqlite-text-undecodable encoding
newer() { fresh newer.db; printf '\x09' | dd of="$db/newer.db" bs=1 seek=19 conv=notrunc status=none; printf '\x09' | dd of="$db/newer.db" bs=1 seek=18 conv=notrunc status=none; shell newer.db "select * from t"; fresh schema.db; shell schema.db "pragma writable_schema = on; insert into sqlite_master values ('table', 'x', 'x', 3, 'create table x(i) nonsense')"; shell schema.db "select * from t"; python "try_('schema.db', 'select * from t')"; }
provoke sqlite-schema-unreadable newer
