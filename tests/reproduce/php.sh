# shellcheck shell=bash
# PHP on the command line, its own web server, and PHP-FPM asked over FastCGI.
install php-cli php-fpm php-mysql libfcgi-bin curl || return
cd "$work" || return
code() { php -d display_errors=stderr -d log_errors=0 -r "$@"; }
logged() { php -d display_errors=0 -d log_errors=1 -d html_errors=0 -r "$@"; }

for how in code logged; do
  provoke php-memory-exhausted $how 'ini_set("memory_limit", "8M"); $a = []; while (true) $a[] = str_repeat("x", 100000);'
  provoke php-time-exceeded $how 'set_time_limit(1); while (true);'
  provoke php-exception $how 'throw new RuntimeException("no settings");'
  provoke php-exception $how '$a = null; $a->load();'
  provoke php-parse-error $how 'if (;'
  provoke php-extension-missing $how 'imagecreate(1, 1);'
  provoke php-extension-missing $how 'new PDO("pgsql:host=127.0.0.1");'
  provoke php-extension-missing $how 'new Redis();'
  provoke php-database-unreachable $how 'new PDO("mysql:host=127.0.0.1;port=1");'
  provoke php-database-unreachable $how 'new PDO("mysql:host=localhost");'
  provoke php-database-unreachable $how 'new mysqli("127.0.0.1", "a", "b", "c", 1);'
  provoke php-headers-sent $how 'echo "x\n"; flush(); header("A: b");'
  provoke php-session-unwritable $how 'ini_set("session.save_path", "/nowhere"); session_start();'
  provoke php-file-missing $how 'require "vendor/autoload.php";'
done
provoke php-extension-missing php -d extension=absent -r '1;'
provoke php-opcache-no-memory bash -c 'ulimit -v 400000; php -d opcache.enable_cli=1 -d opcache.memory_consumption=900 -r "1;"'

port=$(free_port)
echo '<?php echo "ok";' >index.php
upload() {
  php -d post_max_size=1M -d upload_max_filesize=1M -d max_input_vars=5 -d log_errors=1 -S "127.0.0.1:$port" -t . &
  sleep 1
  head -c 2000000 /dev/zero | curl -s --data-binary @- "http://127.0.0.1:$port/index.php"
  curl -s -d 'a=1&b=2&c=3&d=4&e=5&f=6&g=7' "http://127.0.0.1:$port/index.php"
  kill %1
}
provoke php-upload-too-large upload

fpm_port=$(free_port)
cat >fpm.conf <<CONF
[global]
error_log = /dev/stderr
daemonize = no
process_control_timeout = 1
[www]
user = nobody
group = nogroup
listen = 127.0.0.1:$fpm_port
pm = dynamic
pm.max_children = 2
pm.start_servers = 1
pm.min_spare_servers = 1
pm.max_spare_servers = 1
request_terminate_timeout = 4
request_slowlog_timeout = 1
slowlog = $work/slow.log
catch_workers_output = yes
CONF
echo '<?php sleep(30);' >slow.php
# Deep enough for the stack of the program itself.
echo '<?php function f($n) { return preg_replace_callback("/a/", fn() => f($n + 1), "a"); } ini_set("memory_limit", -1); f(1);' >deep.php
fetch() { SCRIPT_FILENAME=$work/$1 SCRIPT_NAME=/$1 REQUEST_METHOD=GET cgi-fcgi -bind -connect "127.0.0.1:$fpm_port"; }
fpm() {
  php-fpm8.2 -F -R -y fpm.conf &
  sleep 2
  "$@"
  kill -TERM %1
  sleep 1
} 2>&1
busy() { for _ in 1 2 3 4; do fetch slow.php >/dev/null & done; sleep 3; }
slow() { fetch slow.php & sleep 7; }
absent() { fetch absent.php; fetch fpm.conf; }
crash() { fetch slow.php & sleep 1; pkill -SEGV -P "$(jobs -p %1)"; sleep 1; }
provoke php-fpm-children-exhausted fpm busy
provoke php-fpm-request-too-slow fpm slow
provoke php-fpm-script-refused fpm absent
provoke php-fpm-child-died fpm crash
taken() { fpm timeout 5 php-fpm8.2 -F -R -y fpm.conf; }
provoke php-fpm-start-failed taken
provoke php-fpm-start-failed bash -c "sed '/^\[www\]/,\$d' fpm.conf >empty.conf; php-fpm8.2 -F -R -y empty.conf"
provoke php-fpm-start-failed bash -c "sed 's/^pm.max_children.*/pm.max_children = none/' fpm.conf >bad.conf; php-fpm8.2 -F -R -y bad.conf"
