# What programs write when the system refuses them: errno in the words of several languages and tools.
install perl python3 gcc libc6-dev busybox-static e2fsprogs coreutils locales cron bash

cd "$work" || return
python() { /usr/bin/python3 -c "$1"; }
# Runs a command as a user without rights.
plain() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
# Runs a command with a mount namespace of its own, that is gone with it.
apart() { unshare --mount --ipc --uts bash -c "$1"; }

provoke disk-full apart '
  mkdir -p m; mount -t tmpfs -o size=64k tmpfs m
  cp /bin/bash m/; python3 -c "open(\"m/x\", \"wb\").write(b\"x\" * 100000)"; perl -e "open F, q(>), q(m/y) or die qq($!\n); print F q(x) x 99999; close F or die qq(close: $!\n)"
  echo hello >/dev/full; dd if=/dev/zero of=m/z bs=1M count=1'
provoke disk-full apart '
  mkdir -p m; mount -t tmpfs -o nr_inodes=4 tmpfs m; for n in 1 2 3 4 5 6; do touch "m/$n"; done; mkdir m/d'
provoke files-too-many bash -c 'ulimit -n 16; python3 -c "
held = []
while True: held.append(open(\"/dev/null\"))"; perl -e "while (1) { open my \$f, q(<), q(/dev/null) or die qq(open: \$!\n); push @f, \$f }"
  node -e "const fs = require(\"fs\"); for (;;) fs.openSync(\"/dev/null\")"; cat <(cat <(cat <(cat <(cat <(cat <(cat /dev/null))))))'
provoke allocation-failed bash -c 'ulimit -v 200000; python3 -c "b = bytearray(10**9)"; perl -e "my \$x = q(x) x 1e9"; dd if=/dev/zero of=/dev/null bs=1G count=1'
: >secret; chmod 600 secret
provoke permission-denied plain cat secret
provoke permission-denied plain /usr/bin/python3 -c 'open("secret")'
provoke permission-denied plain perl -e 'open F, "<", "secret" or die "secret: $!\n"'
provoke permission-denied plain mkdir /forbidden
provoke operation-not-permitted plain chown 0 secret
provoke operation-not-permitted plain date -s 2030-01-01
provoke operation-not-permitted plain /usr/bin/python3 -c 'import os; os.setuid(0)'
provoke file-system-read-only apart 'mkdir -p ro; mount -t tmpfs -o ro tmpfs ro; touch ro/x; python3 -c "open(\"ro/x\", \"w\")"; mkdir ro/d; perl -e "open F, q(>), q(ro/x) or die qq(open: $!\n)"'
input_output_error() {
  truncate -s 64M io.img
  mkfs.ext4 -q -F io.img; mkdir -p io; mount -o loop io.img io
  dd if=/dev/urandom of=io/data bs=1M count=30 conv=fsync 2>/dev/null
  truncate -s 2M io.img; echo 3 >/proc/sys/vm/drop_caches
  cat io/data >/dev/null; python3 -c 'open("io/data", "rb").read()'; cp io/data /dev/null
  umount -l io
}
provoke input-output-error input_output_error
cp /bin/sleep busy; ./busy 3 & provoke text-file-busy bash -c 'echo x >busy; python3 -c "open(\"busy\", \"wb\")"; cp /bin/true busy'
provoke symlink-loop bash -c 'ln -s loop-b loop-a; ln -s loop-a loop-b; cat loop-a; python3 -c "open(\"loop-a\")"; cd loop-a'
provoke name-too-long bash -c 'touch "$(printf "%0300d" 0)"; python3 -c "open(\"x\" * 300)"; mkdir "$(printf "%0260d" 0)"'
provoke argument-list-too-long bash -c '/bin/true $(seq 1 500000); python3 -c "import subprocess; subprocess.run([\"/bin/true\"] + [\"x\" * 100] * 50000)"'
fork_refused() {
  # A user of its own, so that nobody else is counted.
  setpriv --reuid 64999 --regid 64999 --clear-groups bash -c 'ulimit -u 3
    sleep 2 & sleep 2 & sleep 2 & sleep 2 & wait'
  setpriv --reuid 64998 --regid 64998 --clear-groups bash -c 'ulimit -u 3; exec /usr/bin/python3 -c "
import threading, time
for _ in range(9): threading.Thread(target=time.sleep, args=(1,)).start()"'
  setpriv --reuid 64997 --regid 64997 --clear-groups bash -c 'ulimit -u 2; exec /usr/bin/python3 -c "
import os
for _ in range(9): os.fork() or os._exit(0) if False else os.fork()"' 2>&1 | tail -n 2
}
provoke process-limit fork_refused
provoke inotify-limit python '
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
held = []
while True:
    fd = libc.inotify_init()
    if fd < 0:
        raise OSError(ctypes.get_errno(), "inotify_init: " + os.strerror(ctypes.get_errno()))
    held.append(fd)'
watches() {
  local old
  old=$(cat /proc/sys/fs/inotify/max_user_watches)
  command -v node >/dev/null && {
    mkdir -p many; (cd many && seq 1 300 | xargs mkdir)
    echo 100 >/proc/sys/fs/inotify/max_user_watches
    node -e 'const fs = require("fs"); for (let n = 1; n <= 300; n++) fs.watch("many/" + n)'
    tail -f /dev/null --pid=1 & local tail=$!; sleep 0.2; kill $tail
    echo "$old" >/proc/sys/fs/inotify/max_user_watches
  }
}
provoke inotify-limit watches
few_watchers() { unshare -Ur sh -c 'echo 1 >/proc/sys/user/max_inotify_instances; node -e "const { Worker } = require(\"worker_threads\"); require(\"fs\").watch(\".\"); new Worker(\"require(\\\"fs\\\").watch(\\\".\\\")\", { eval: true })"'; }
command -v node >/dev/null && provoke inotify-limit few_watchers
provoke shared-memory-small apart 'mount -t tmpfs -o size=64k tmpfs /dev/shm; python3 -c "
from multiprocessing import shared_memory
m = shared_memory.SharedMemory(create=True, size=1 << 20)
m.buf[:] = b\"x\" * len(m.buf)"; dd if=/dev/zero of=/dev/shm/x bs=1M count=1; python3 -c "
import os
with open(\"/dev/shm/PostgreSQL.1\", \"wb\") as f: os.posix_fallocate(f.fileno(), 0, 1 << 20)"'
provoke locale-missing env LC_ALL=xx_XX.UTF-8 perl -e 1
provoke locale-missing env LC_ALL=xx_XX.UTF-8 bash -c 'true'
provoke locale-missing env LC_ALL=xx_XX.UTF-8 /usr/bin/python3 -c 'import locale; locale.setlocale(locale.LC_ALL, "")'
provoke time-zone-missing python 'import zoneinfo; zoneinfo.ZoneInfo("Mars/Olympus")'
cat >library.c <<'C'
int answer(void) { return 42; }
C
cat >uses.c <<'C'
int answer(void);
int main(void) { return answer(); }
C
gcc -shared -fPIC -o libanswer.so library.c && gcc -o uses uses.c -L. -lanswer
provoke shared-library-missing ./uses
provoke shared-library-missing env LD_PRELOAD=/nowhere/libjemalloc.so.2 /bin/true
echo 'int other(void) { return 1; }' | gcc -shared -fPIC -o libanswer.so -xc -
provoke shared-library-mismatch env LD_LIBRARY_PATH=. ./uses
newer_libc() {
  # A program that asks for a version of the C library that there is not: the name in its table changed.
  echo 'int main(void) { return 0; }' | gcc -o newer -xc -
  sed 's/GLIBC_2\.34/GLIBC_2.99/' newer >newest && chmod 755 newest
  python3 - <<'PYTHON'
import struct
data = bytearray(open("newest", "rb").read())
def hash_of(name):
    h = 0
    for c in name.encode():
        h = (h << 4) + c
        g = h & 0xF0000000
        h ^= g >> 24
        h &= ~g & 0xFFFFFFFF
    return h
old, new = struct.pack("<I", hash_of("GLIBC_2.34")), struct.pack("<I", hash_of("GLIBC_2.99"))
open("newest", "wb").write(bytes(data).replace(old, new))
PYTHON
  ./newest
}
provoke glibc-too-old newer_libc
printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\267\0\1\0\0\0' >arm; head -c 200 /dev/zero >>arm; chmod 755 arm
provoke executable-wrong-format bash -c './arm; python3 -c "import subprocess; subprocess.run([\"./arm\"])"; exec ./arm'
provoke executable-wrong-format busybox env ./arm
cat >heap.c <<'C'
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    char *volatile a = malloc(32), *volatile b = malloc(32);
    switch (argv[1][0]) {
    case 'd': free(a); free(b); free(a); break;
    case 'i': free(a + 8); break;
    case 'o': memset(a, 'x', 64); free(b); free(a); malloc(1 << 20); break;
    case 't': memset(a + 32, 'x', 5000); malloc(1 << 16); break;
    case 's': { volatile char small[4]; for (int n = 0; n < atoi(argv[2]); n++) small[n] = 'x'; break; }
    case 'f': { char *volatile s = malloc(4); strcpy(s, argv[3]); break; }
    }
    return 0;
}
C
gcc -O2 -fstack-protector-all -D_FORTIFY_SOURCE=2 -o heap heap.c 2>/dev/null
for fault in d i o t; do provoke heap-corrupted ./heap $fault; done
provoke stack-smashed ./heap s 64
provoke heap-corrupted ./heap f x aaaaaaaaaaaaaaaaaaaaaaaa
crashes() {
  echo 'int main(void) { *(volatile int *)8 = 1; }' | gcc -o segv -xc -
  echo 'int main(void) { __builtin_trap(); }' | gcc -o ill -xc -
  echo '#include <stdlib.h>
int main(void) { abort(); }' | gcc -o abrt -xc -
  bash -c './segv; true'; bash -c './ill; true'; bash -c './abrt; true'; bash -c './segv | cat; true'
  python3 -X faulthandler -c 'import ctypes; ctypes.string_at(8)'
}
provoke process-crashed crashes
provoke cron-job-failing bash -c 'cron -h; crontab /nonexistent; echo "99 * * * * true" | crontab -'
provoke device-busy apart 'mkdir -p busy-mount; mount -t tmpfs tmpfs busy-mount; cd busy-mount; umount ../busy-mount; rmdir ../busy-mount; python3 -c "import os; os.rmdir(\"../busy-mount\")"'
provoke file-too-large bash -c 'ulimit -f 4; python3 -c "open(\"large\", \"wb\").write(b\"x\" * 100000)"; (trap "" XFSZ; dd if=/dev/zero of=large bs=1k count=99)'
provoke temporary-folder-unusable apart 'mount -o bind / /mnt; for folder in /tmp /var/tmp /usr/tmp; do mkdir -p $folder; mount -t tmpfs -o ro tmpfs $folder; done
  cd /proc; env -u TMPDIR /usr/bin/python3 -c "import tempfile; tempfile.gettempdir()"; bash -c "cat <<< x"'
