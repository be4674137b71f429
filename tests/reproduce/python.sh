# shellcheck shell=bash
# The interpreter of Debian and the frameworks packaged for it.
install python3 python3-pip python3-venv gunicorn uwsgi-core uwsgi-plugin-python3 python3-django python3-sqlalchemy \
  celery python3-redis uvicorn python3-urllib3 curl gcc || return
cd "$work" || return
py=/usr/bin/python3
say() { printf '%s\n' "$@" >case.py; }
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }

provoke python-recursion $py -c 'def f(n): return f(n + 1)
f(0)'
provoke python-shared-library-missing $py -c 'import ctypes; ctypes.CDLL("libabsent.so.3")'
broken_extension() {
  echo 'int absent_call(void) { return 1; }' >dep.c
  echo 'extern int absent_call(void); void *PyInit_native(void) { absent_call(); return 0; }' >native.c
  gcc -shared -fPIC -o libdep.so dep.c && gcc -shared -fPIC -o native.so native.c -L. -ldep && rm libdep.so
  $py -c 'import native'
  gcc -shared -fPIC -o native.so native.c
  $py -c 'import native'
}
provoke python-shared-library-missing broken_extension
plain_locale() { env LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 $py "$@"; }
provoke python-locale-ascii plain_locale -c 'print("caf\u00e9")'
printf 'caf\303\251\n' >utf8.txt
provoke python-locale-ascii plain_locale -c 'open("utf8.txt").read()'
printf 'caf\351 au lait\n' >latin.txt
provoke python-text-undecodable env LC_ALL=C.UTF-8 $py -c 'open("latin.txt").read()'
provoke python-text-undecodable env LC_ALL=C.UTF-8 $py -c 'b"\xff\xfe{".decode()'
provoke python-crashed-native $py -X faulthandler -c 'import ctypes; ctypes.string_at(0)'
provoke python-installation-broken env PYTHONHOME=/nowhere $py -c 'pass'
provoke python-package-not-installable $py -m pip install --no-index --break-system-packages absent-package
provoke python-package-not-installable $py -m pip install --no-index absent-package
leak() { $py -c 'import multiprocessing, multiprocessing.resource_tracker, os
locks = [multiprocessing.get_context("spawn").Semaphore() for _ in range(3)]
multiprocessing.resource_tracker.ensure_running()
os._exit(1)'; sleep 1; }
provoke python-semaphores-leaked leak

provoke asyncio-exception-lost $py -c 'import asyncio
async def work(): raise ValueError("boom")
async def main():
    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)
asyncio.run(main())'
provoke asyncio-exception-lost $py -c 'import asyncio
async def main():
    asyncio.get_running_loop().create_future().set_exception(ValueError("boom"))
asyncio.run(main())'
provoke asyncio-never-awaited $py -c 'import asyncio
async def work(): pass
async def main(): work()
asyncio.run(main())'
provoke asyncio-loop-misused $py -c 'import asyncio
async def main(): pass
loop = asyncio.new_event_loop(); loop.close(); loop.run_until_complete(main())'
provoke asyncio-loop-misused $py -c 'import asyncio
async def main(): asyncio.run(asyncio.sleep(0))
asyncio.run(main())'
provoke asyncio-loop-misused $py -c 'import asyncio
one = asyncio.new_event_loop(); future = one.create_future()
async def main(): await future
asyncio.run(main())'
provoke asyncio-loop-blocked env PYTHONASYNCIODEBUG=1 $py -c 'import asyncio, time
async def main(): time.sleep(0.3)
asyncio.run(main())'

cat >app.py <<'PY'
import os, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(20)
    if environ["PATH_INFO"] == "/die":
        os.kill(os.getpid(), 9)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
PY
echo 'import absent_module' >broken.py
# Starts a server (a program, no function: signals are for it), asks it for a path, stops it.
served() {
  local port=$1 path=$2
  shift 2
  "$@" &
  local pid=$!
  sleep 2
  curl -s -m 5 "http://127.0.0.1:$port$path" >/dev/null
  sleep 2
  kill -INT $pid
  sleep 1
  kill -9 $pid
} 2>&1
port=$(free_port)
provoke gunicorn-worker-timeout served "$port" /slow gunicorn -b "127.0.0.1:$port" --timeout 2 app:application
provoke gunicorn-worker-killed served "$port" /die gunicorn -b "127.0.0.1:$port" app:application
provoke gunicorn-boot-failed timeout 10 gunicorn -b "127.0.0.1:$port" broken:application
provoke gunicorn-boot-failed timeout 10 gunicorn -b "127.0.0.1:$port" app:absent
taken() { $py -m http.server -b 127.0.0.1 "$port" >/dev/null 2>&1 & sleep 1; timeout 10 gunicorn -b "127.0.0.1:$port" app:application; kill %1; }
provoke gunicorn-port-taken taken
port=$(free_port)
uwsgi_app=(uwsgi --plugin python3 --http-socket "127.0.0.1:$port" --master --processes 1 --need-app --module app)
provoke uwsgi-harakiri served "$port" /slow "${uwsgi_app[@]}" --harakiri 1
provoke uwsgi-worker-died served "$port" /die "${uwsgi_app[@]}"
provoke uwsgi-app-missing timeout 10 uwsgi --plugin python3 --http-socket "127.0.0.1:$port" --module broken --need-app
provoke uwsgi-app-missing timeout -s INT 3 uwsgi --plugin python3 --http-socket "127.0.0.1:$port" --module broken
flood() {
  "${uwsgi_app[@]}" --listen 8 &
  sleep 2
  for _ in $(seq 30); do curl -s -m 5 "http://127.0.0.1:$port/slow" & done
  sleep 5
  kill -9 %1
} 2>&1
provoke uwsgi-queue-full flood
echo 'raise RuntimeError("no settings")' >failing.py
cat >asgi.py <<'PY'
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "database away"})
PY
provoke uvicorn-start-failed timeout 10 uvicorn absent:app --port "$port"
provoke uvicorn-start-failed timeout 10 uvicorn asgi:app --port "$port"
provoke uvicorn-start-failed timeout 10 uvicorn app:nothing --port "$port"

cat >settings.py <<'PY'
SECRET_KEY = "only for this test"
DEBUG = False
ALLOWED_HOSTS = ["shop.example"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "django.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
LOGGING = {"version": 1, "disable_existing_loggers": False,
           "handlers": {"out": {"class": "logging.StreamHandler"}}, "root": {"handlers": ["out"]}}
PY
cat >urls.py <<'PY'
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("", lambda request: HttpResponse("hello"))]
PY
cat >visit.py <<'PY'
import sys, django
django.setup()
from django.test import Client
client = Client(enforce_csrf_checks=True, HTTP_HOST=sys.argv[1])
if sys.argv[2] == "get":
    client.get("/")
else:
    client.post("/", secure=True, HTTP_REFERER="https://other.example/")
    client.post("/")
    client.cookies["csrftoken"] = "a" * 64
    client.post("/", {"csrfmiddlewaretoken": "b" * 64})
PY
django() { env DJANGO_SETTINGS_MODULE="${settings:-settings}" PYTHONPATH=. $py "$@"; }
provoke django-host-refused django visit.py 10.0.0.9:8000 get
provoke django-csrf-refused django visit.py shop.example post
provoke django-migrations-pending django -c 'import django; django.setup()
from django.contrib.auth.models import User
User.objects.count()'
devserver() { timeout -s INT 5 env PYTHONUNBUFFERED=1 DJANGO_SETTINGS_MODULE=settings PYTHONPATH=. $py -m django runserver --noreload "127.0.0.1:$(free_port)"; }
provoke django-migrations-pending devserver
sed 's/^SECRET_KEY.*/SECRET_KEY = ""/' settings.py >keyless.py
settings=keyless provoke django-settings-missing django -c 'from django.conf import settings; settings.SECRET_KEY'
provoke django-settings-missing $py -c 'from django.conf import settings; settings.DEBUG'

provoke sqlalchemy-pool-exhausted $py -c 'from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool
engine = create_engine("sqlite:///pool.db", poolclass=QueuePool, pool_size=1, max_overflow=1, pool_timeout=1)
kept = [engine.connect() for _ in range(3)]'
provoke sqlalchemy-session-unusable $py -c 'from sqlalchemy import Column, Integer, create_engine
from sqlalchemy.orm import Session, declarative_base
Base = declarative_base()
class Item(Base):
    __tablename__ = "item"
    id = Column(Integer, primary_key=True)
engine = create_engine("sqlite://"); Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add_all([Item(id=1)]); session.flush(); session.expunge_all()
    session.add(Item(id=1))
    try: session.flush()
    except Exception: pass
    session.query(Item).all()'

cat >tasks.py <<'PY'
import os, time
from celery import Celery
app = Celery("tasks")
app.conf.update(broker_url="filesystem://", broker_transport_options={
    "data_folder_in": "queue", "data_folder_out": "queue", "store_processed": False})
@app.task
def die(): os.kill(os.getpid(), 9)
@app.task(time_limit=2, soft_time_limit=1)
def slow():
    until = time.time() + 30
    while time.time() < until:
        try: time.sleep(30)
        except Exception: pass
PY
celery_run() {
  mkdir -p queue
  $py -m celery -A tasks worker --concurrency 1 --loglevel INFO --without-gossip --without-mingle &
  sleep 4
  $py -c "import tasks; $1"
  sleep 6
  kill -TERM %1
  sleep 2
  kill -9 %1
} 2>&1
export C_FORCE_ROOT=1
provoke celery-worker-lost celery_run 'tasks.die.delay()'
provoke celery-time-limit celery_run 'tasks.slow.delay()'
provoke celery-task-unregistered celery_run 'tasks.app.send_task("tasks.absent")'
provoke celery-broker-away timeout 12 $py -m celery -b amqp://guest:guest@127.0.0.1:1// -A tasks worker --concurrency 1
redis_away() { sed 's/broker_url="filesystem:.*/broker_url="redis:\/\/127.0.0.1:1\/0")/' tasks.py | sed '/data_folder_in/d' >away.py; timeout 12 $py -m celery -A away worker --concurrency 1; }
provoke celery-broker-away redis_away

small_pool() {
  $py -m http.server -b 127.0.0.1 "$port" >/dev/null 2>&1 &
  sleep 1
  $py -c "import logging, threading, urllib3
logging.basicConfig()
pool = urllib3.HTTPConnectionPool('127.0.0.1', $port, maxsize=1)
threads = [threading.Thread(target=pool.request, args=('GET', '/')) for _ in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]"
  kill %1
}
provoke urllib3-pool-small small_pool
provoke python-exception $py -c '1 / 0'
provoke python-module-missing $py -c 'import absent_module'
provoke python-module-missing env -u DATABASE_URL $py -c 'import os; os.environ["DATABASE_URL"]'
provoke python-config-unreadable $py -c 'import json; json.loads("{\"port\": }")'
