# The Linux kernel: what it writes to its ring buffer when memory, disks, file systems and network
# tables give way. Disks are images on loop devices, networks are namespaces of their own.
install iptables e2fsprogs xfsprogs btrfs-progs gcc libc6-dev iproute2 iputils-ping python3

# What the kernel wrote since this began and a pattern of it.
said() { sleep 0.5; dmesg | awk -v from="$before" '{ line = $0; sub(/^\[ */, "", line); if (line + 0 >= from) print }' | grep -aE "$1"; }
# kernel PATTERN COMMAND...: provokes and shows what the kernel said of it.
kernel() {
  local pattern=$1 before
  before=$(cut -d ' ' -f 1 /proc/uptime)
  shift
  "$@" >/dev/null 2>&1
  said "$pattern" | head -n 12
}
# An image with a file system, mounted at $work/NAME.
disk() {
  truncate -s "$2" "$work/$1.img"
  "${@:3}" "$work/$1.img"
  mkdir -p "$work/$1"
}
at_end 'for mounted in "$work"/*/; do umount -l "$mounted"; done; for image in "$work"/*.img; do losetup -j "$image" | cut -d: -f1 | xargs -r -n1 losetup -d; done'

group_memory_kill() {
  mkdir -p /sys/fs/cgroup/memory 2>/dev/null
  local group=/sys/fs/cgroup/memory/selfheal-$$ limit=memory.limit_in_bytes
  [ -e /sys/fs/cgroup/cgroup.controllers ] && group=/sys/fs/cgroup/selfheal-$$ limit=memory.max
  mkdir "$group"
  echo 20M >"$group/$limit"
  sh -c "echo \$\$ >$group/cgroup.procs; exec python3 -c 'b = bytearray(80 << 20)'"
  rmdir "$group"
}
provoke kernel-oom-cgroup kernel 'oom|Memory cgroup|invoked|Killed' group_memory_kill
many_forks() {
  local group=/sys/fs/cgroup/pids/selfheal-$$
  [ -e /sys/fs/cgroup/cgroup.controllers ] && group=/sys/fs/cgroup/selfheal-$$
  mkdir "$group"
  echo 2 >"$group/pids.max"
  sh -c "echo \$\$ >$group/cgroup.procs; sleep 0.1 & sleep 0.1 & sleep 0.1 & wait"
  wait_for rmdir "$group"
}
provoke kernel-pids-limit kernel 'pids controller' many_forks

cat >"$work/faults.c" <<'C'
#include <signal.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    volatile int zero = 0;
    switch (argv[1][0]) {
    case 's': *(volatile int *)8 = 1; break;
    case 'd': return 1 / zero;
    case 'u': __builtin_trap();
    case 'g': *(volatile char *)0x8000000000000000ULL = 1; break;
    case 'j': ((void (*)(void))0x10)(); break;
    }
    return 0;
}
C
gcc -O0 -o "$work/faults" "$work/faults.c"
for fault in s j; do provoke kernel-segfault kernel 'segfault|general protection|traps:' "$work/faults" $fault; done
for fault in u g; do provoke kernel-trap kernel 'segfault|general protection|traps:' "$work/faults" $fault; done

ext4_damaged() {
  disk ext4 32M mkfs.ext4 -q -F -b 1024 -e continue
  mount -o loop "$work/ext4.img" "$work/ext4" && mkdir "$work/ext4/folder" && touch "$work/ext4/folder/a" && umount "$work/ext4"
  local block
  block=$(debugfs -R 'blocks /folder' "$work/ext4.img" 2>/dev/null | awk '{print $1}')
  dd if=/dev/urandom of="$work/ext4.img" bs=1024 seek="$block" count=1 conv=notrunc
  mount -o loop "$work/ext4.img" "$work/ext4"
  ls -l "$work/ext4/folder"; touch "$work/ext4/folder/b"
  umount "$work/ext4"
}
provoke kernel-ext4-error kernel 'EXT4-fs .*(error|warning)' ext4_damaged
goes_read_only() {
  mount -o loop,errors=remount-ro "$work/ext4.img" "$work/ext4"
  ls -l "$work/ext4/folder"; touch "$work/ext4/folder/b"
  umount "$work/ext4"
}
provoke kernel-remounted-read-only kernel 'emount|Aborting|abort' goes_read_only
disk_shrinks() {
  disk gone 64M mkfs.ext4 -q -F
  mount -o loop "$work/gone.img" "$work/gone"
  dd if=/dev/urandom of="$work/gone/data" bs=1M count=30 conv=fsync
  truncate -s 1M "$work/gone.img"
  echo 3 >/proc/sys/vm/drop_caches
  cat "$work/gone/data"
  dd if=/dev/zero of="$work/gone/more" bs=1M count=8 conv=fsync
  ls -lR "$work/gone"; touch "$work/gone/new"; sync -f "$work/gone"; sleep 6
  umount "$work/gone"
}
provoke kernel-io-error kernel 'I/O error|Buffer' disk_shrinks
disk_fills_below() {
  mkdir -p "$work/small"
  mount -t tmpfs -o size=20m tmpfs "$work/small"
  truncate -s 64M "$work/small/thin.img"
  mkfs.ext4 -q -F "$work/small/thin.img"
  mkdir -p "$work/thin"
  mount -o loop "$work/small/thin.img" "$work/thin"
  dd if=/dev/urandom of="$work/thin/data" bs=1M count=40 conv=fsync
  sleep 6
  umount "$work/thin"
  umount "$work/small"
}
provoke kernel-io-error kernel 'error, dev|I/O error|Buffer' disk_fills_below
beyond_end() {
  disk cut 32M mkfs.ext4 -q -F
  truncate -s 16M "$work/cut.img"
  mount -o loop "$work/cut.img" "$work/cut"
  truncate -s 4M "$work/any.img"
  mkdir -p "$work/any"
  mount -t ext4 -o loop "$work/any.img" "$work/any"
  mount -t xfs -o loop "$work/any.img" "$work/any"
}
provoke kernel-mount-refused kernel 'EXT4|XFS|geometry|VFS|beyond' beyond_end
xfs_shuts_down() {
  disk xfs 320M mkfs.xfs -q -f
  mount -o loop "$work/xfs.img" "$work/xfs"
  touch "$work/xfs/a"
  xfs_io -x -c 'shutdown' "$work/xfs"
  touch "$work/xfs/b"
  umount "$work/xfs"
}
provoke kernel-xfs-shutdown kernel 'XFS' xfs_shuts_down
xfs_damaged() {
  disk xbad 320M mkfs.xfs -q -f
  mount -o loop "$work/xbad.img" "$work/xbad" && umount "$work/xbad"
  xfs_db -x -c 'sb 0' -c 'addr rootino' -c 'write -d core.mode 0' -c 'write -d core.format 7' "$work/xbad.img"
  dd if=/dev/urandom of="$work/xbad.img" bs=512 seek=128 count=8 conv=notrunc
  mount -o loop "$work/xbad.img" "$work/xbad"; ls "$work/xbad"; umount "$work/xbad"
  dd if=/dev/urandom of="$work/xbad.img" bs=1 seek=200 count=100 conv=notrunc
  mount -o loop "$work/xbad.img" "$work/xbad"
}
provoke kernel-xfs-corruption kernel 'XFS' xfs_damaged
btrfs_damaged() {
  disk btrfs 256M mkfs.btrfs -q -f -m single -d single
  mount -o loop "$work/btrfs.img" "$work/btrfs"
  dd if=/dev/zero bs=1M count=8 | tr '\0' 'Q' >"$work/btrfs/data"
  sync -f "$work/btrfs"; umount "$work/btrfs"
  python3 - "$work/btrfs.img" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as image:
    data = image.read()
    place = data.find(b"Q" * 4096)
    image.seek(place + 100)
    image.write(b"X" * 50)
PYTHON
  mount -o loop "$work/btrfs.img" "$work/btrfs"; cat "$work/btrfs/data" >/dev/null; umount "$work/btrfs"
}
provoke kernel-btrfs-corruption kernel 'BTRFS (warning|error|critical)' btrfs_damaged
task_hangs() {
  disk frozen 32M mkfs.ext4 -q -F
  mount -o loop "$work/frozen.img" "$work/frozen"
  local old
  old=$(cat /proc/sys/kernel/hung_task_timeout_secs)
  echo 3 >/proc/sys/kernel/hung_task_timeout_secs
  fsfreeze --freeze "$work/frozen"
  touch "$work/frozen/waits" &
  sleep 9
  fsfreeze --unfreeze "$work/frozen"
  echo "$old" >/proc/sys/kernel/hung_task_timeout_secs
  wait
  umount "$work/frozen"
}
provoke kernel-task-hung kernel 'blocked for|hung_task|state:D|Tainted' task_hangs
overlay_refused() {
  mkdir -p "$work/o/lower" "$work/o/upper" "$work/o/work" "$work/o/m1" "$work/o/m2" "$work/o/m3"
  mount -t overlay overlay -o "lowerdir=$work/o/missing,upperdir=$work/o/upper,workdir=$work/o/work" "$work/o/m1"
  mount -t overlay overlay -o "lowerdir=$work/o/lower,upperdir=$work/o/upper,workdir=$work/o/work" "$work/o/m1"
  mount -t overlay overlay -o "lowerdir=$work/o/lower,upperdir=$work/o/upper,workdir=$work/o/work" "$work/o/m2"
  mkdir "$work/o/m1/u" "$work/o/m1/w"
  mount -t overlay overlay -o "lowerdir=$work/o/lower,upperdir=$work/o/m1/u,workdir=$work/o/m1/w" "$work/o/m2"
  mkdir "$work/o/l2"; mount -t overlay overlay -o "lowerdir=$work/o/m1:$work/o/l2" "$work/o/m2"
  mount -t overlay overlay -o "lowerdir=$work/o/m2:$work/o/l2" "$work/o/m3"
  umount "$work/o/m3"; umount "$work/o/m2"; umount "$work/o/m2"; umount "$work/o/m1"
}
provoke kernel-overlay-refused kernel 'overlayfs' overlay_refused

# A network of two namespaces: $a has 10.9.0.1, $b has 10.9.0.2.
a=selfheal-a-$$ b=selfheal-b-$$
at_end "ip netns delete $a; ip netns delete $b"
ip netns add "$a"; ip netns add "$b"
ip link add va netns "$a" type veth peer name vb netns "$b"
ip -n "$a" address add 10.9.0.1/16 dev va; ip -n "$b" address add 10.9.0.2/16 dev vb
ip -n "$a" link set va up; ip -n "$b" link set vb up; ip -n "$a" link set lo up; ip -n "$b" link set lo up
in_a() { ip netns exec "$a" "$@"; }
in_b() { ip netns exec "$b" "$@"; }
syn_flood() {
  # The clients never see the answer to their SYN, so every connection stays half open.
  in_b iptables -A INPUT -p tcp --tcp-flags SYN,ACK SYN,ACK -j DROP
  in_a python3 -c '
import socket, time
server = socket.create_server(("10.9.0.1", 8080), backlog=8)
time.sleep(4)' &
  sleep 1
  in_b python3 -c '
import socket, time
clients = []
for _ in range(300):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("10.9.0.1", 8080))
    clients.append(client)
time.sleep(1)'
  wait
}
provoke kernel-syn-flood kernel 'TCP|SYN' syn_flood
martians() {
  in_b sysctl -qw net.ipv4.conf.all.log_martians=1 net.ipv4.conf.vb.log_martians=1 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.vb.rp_filter=1
  ip -n "$a" address add 172.31.7.7/32 dev va
  in_a ping -c 2 -W 1 -I 172.31.7.7 10.9.0.2
}
provoke kernel-martian kernel 'martian|ll header' martians
duplicate_address() {
  ip -n "$a" address add 2001:db8::7/64 dev va nodad
  ip -n "$b" address add 2001:db8::7/64 dev vb
  sleep 3
}
provoke kernel-duplicate-address kernel 'duplicate address' duplicate_address
network_loop() {
  in_a sh -c 'ip link add br0 type bridge; ip link add l1 type veth peer name l2; ip link set l1 master br0; ip link set l2 master br0
    ip link set l1 up; ip link set l2 up; ip link set br0 up; ip address add 10.8.0.1/24 dev br0; sleep 1; ping -c 1 -W 1 10.8.0.9; sleep 1; ip link delete l1; ip link delete br0'
}
provoke kernel-network-loop kernel 'own address' network_loop
seccomp_kill() {
  cat >"$work/seccomp.c" <<'C'
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    syscall(SYS_getpid);
    return 0;
}
C
  gcc -o "$work/seccomp" "$work/seccomp.c" && "$work/seccomp"
}
provoke kernel-seccomp-kill kernel 'audit|seccomp|sig=' seccomp_kill
files_run_out() {
  local used old
  old=$(cat /proc/sys/fs/file-max)
  read -r used _ </proc/sys/fs/file-nr
  # Only programs without privileges are held to it; for half a second.
  echo $((used + 2000)) >/proc/sys/fs/file-max
  timeout 1 setpriv --reuid 65534 --clear-groups /usr/bin/python3 -c '
import resource, os
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = []
while True:
    held.append(os.open("/dev/null", 0))'
  echo "$old" >/proc/sys/fs/file-max
}
provoke kernel-file-max kernel 'file-max' files_run_out
