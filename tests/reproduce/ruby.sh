# shellcheck shell=bash
# Ruby, Bundler, Puma, Unicorn and the parts of Rails that Debian packages.
install ruby bundler puma unicorn ruby-rails ruby-activerecord ruby-sqlite3 ruby-rack curl || return
cd "$work" || return
rb() { /usr/bin/ruby "$@"; }

provoke ruby-exception rb -e 'def load(user) = user.name
load(nil)'
provoke ruby-exception rb -e 'Integer("x")'
provoke ruby-exception rb -e '"a".freeze << "b"'
provoke ruby-gem-missing rb -e 'require "absent_gem"'
printf 'source "https://rubygems.org"\ngem "absent_gem"\n' >Gemfile
provoke ruby-gem-missing bundle exec --gemfile Gemfile ruby -e 1
provoke ruby-gem-missing bundle install --local
provoke ruby-gem-missing rb -e 'require "bundler/setup"'
printf 'source "https://rubygems.org"\nruby "9.9.9"\n' >Gemfile
provoke ruby-version-unfit bundle exec ruby -e 1
rm -f Gemfile Gemfile.lock
little_memory() { (ulimit -v 600000; rb -e 'a = []; loop { a << "x" * 50_000_000 }'); }
provoke ruby-out-of-memory little_memory
provoke ruby-stack-too-deep rb -e 'def f = f
f'
provoke ruby-encoding env LC_ALL=C /usr/bin/ruby -e '"caf\xc3\xa9".force_encoding("US-ASCII") =~ /\w+ /'
provoke ruby-encoding rb -e '"é" + "\xff".b'
provoke ruby-encoding rb -e '"a\xff".encode("UTF-16")'
provoke ruby-crashed rb -e 'Process.kill(:SEGV, $$); sleep 1'

echo 'run ->(env) { sleep(env["PATH_INFO"] == "/slow" ? 60 : 0); [200, {}, ["hello"]] }' >config.ru
echo $$ >server.pid
provoke rails-pid-file-left rackup -P server.pid -o 127.0.0.1 -p "$(free_port)"
port=$(free_port)
asked() {
  local path=$1
  shift
  "$@" &
  local pid=$!
  wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
  curl -sk -m 3 "$path" >/dev/null
  sleep "${after:-1}"
  local workers
  workers=$(pgrep -P $pid)
  kill -TERM $pid
  sleep 2
  # A worker that was stopped outlives its master and keeps the port.
  # shellcheck disable=SC2086
  kill -9 $pid $workers
} 2>&1
provoke puma-tls-to-plain-port asked "https://127.0.0.1:$port/" puma -b "tcp://127.0.0.1:$port" config.ru
echo 'workers 1; worker_timeout 6; worker_check_interval 1 rescue 0; before_fork {}; on_worker_boot { Thread.new { sleep 4; Process.kill(:STOP, $$) } }' >puma.rb
after=16 provoke puma-worker-timeout asked "http://127.0.0.1:$port/" puma -C puma.rb -b "tcp://127.0.0.1:$port" config.ru
port=$(free_port)
printf 'timeout 3\nworker_processes 1\nlisten "127.0.0.1:%s"\n' "$port" >unicorn.rb
after=10 provoke unicorn-worker-timeout asked "http://127.0.0.1:$port/slow" unicorn -c unicorn.rb config.ru

cat >record.rb <<'RB'
require "active_record"
ActiveRecord::Base.establish_connection(adapter: "sqlite3", database: "app.sqlite3", pool: 1, checkout_timeout: 1)
RB
provoke activerecord-pool-exhausted rb -r ./record -e 'ActiveRecord::Base.connection
Thread.new { ActiveRecord::Base.connection }.join'
mkdir -p db/migrate
echo 'class First < ActiveRecord::Migration[6.1]; def change; create_table(:items); end; end' >db/migrate/20260101000000_first.rb
provoke rails-migrations-pending rb -r ./record -e 'ActiveRecord::Migration.check_pending!'
provoke rails-migrations-pending rb -r ./record -e 'class Item < ActiveRecord::Base; end
Item.first'
cat >app.rb <<'RB'
require "rails"
require "action_controller/railtie"
require "logger"
class Shop < Rails::Application
  config.root = __dir__
  config.eager_load = false
  config.hosts << "shop.example"
  config.logger = Logger.new($stdout)
end
RB
provoke rails-secret-missing env RAILS_ENV=production /usr/bin/ruby -r ./app -e 'Rails.application.initialize!; Rails.application.secret_key_base'
mkdir -p config
printf 'x--y--z' >config/credentials.yml.enc
printf '%032d' 1 >config/wrong.key
provoke rails-decryption-failed env RAILS_ENV=production RAILS_MASTER_KEY=00000000000000000000000000000001 /usr/bin/ruby -r ./app -e 'Rails.application.credentials.secret'
provoke rails-secret-missing env RAILS_ENV=production /usr/bin/ruby -r ./app -e 'Rails.application.config.require_master_key = true; Rails.application.initialize!'
provoke rails-host-blocked env RAILS_ENV=development SECRET_KEY_BASE=x /usr/bin/ruby -r ./app -e 'Rails.application.initialize!
require "rack/mock"
Rack::MockRequest.new(Rails.application).get("http://other.example/")'
