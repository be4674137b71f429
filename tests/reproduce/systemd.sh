# systemd: what its first process says of units. It runs as process 1 of namespaces of its own, with
# a few units of ours and nothing of this machine's.
install systemd util-linux bsdutils coreutils

units=$work/units
mkdir "$units"
# unit NAME "lines of [Unit]" "lines of [Service]"
unit() { printf '[Unit]\nDefaultDependencies=no\n%s\n[Service]\n%s\n' "$2" "$3" >"$units/$1.service"; }
unit no-program '' 'ExecStart=/usr/bin/not-there'
unit no-right '' 'ExecStart=/etc/passwd'
unit no-user '' $'User=nobody-here\nExecStart=/bin/true'
unit no-folder '' $'WorkingDirectory=/not/there\nExecStart=/bin/true'
unit no-environment '' $'EnvironmentFile=/not/there\nExecStart=/bin/true'
unit fails '' 'ExecStart=/bin/sh -c "exit 3"'
unit crashes '' 'ExecStart=/bin/sh -c "kill -SEGV $$$$"'
unit loops 'StartLimitBurst=2' $'ExecStart=/bin/false\nRestart=always\nRestartSec=100ms'
unit slow '' $'Type=notify\nExecStart=/bin/sleep 30\nTimeoutStartSec=1'
unit deaf '' $'ExecStart=/bin/sh -c "trap : TERM; while :; do sleep 1; done"\nRuntimeMaxSec=1\nTimeoutStopSec=1'
unit silent '' $'Type=notify\nNotifyAccess=all\nWatchdogSec=1\nExecStart=/bin/sh -c "systemd-notify --ready; sleep 30"'
unit needed '' $'Type=oneshot\nExecStart=/bin/false'
unit needs $'Requires=needed.service\nAfter=needed.service' 'ExecStart=/bin/true'
unit misspelt '' $'ExecStart=/bin/true\nRestrat=always\nRestart=sometimes'
unit empty '' 'Restart=always'
{
  printf '[Unit]\nDefaultDependencies=no\nWants='
  for file in "$units"/*.service; do printf '%s ' "$(basename "$file")"; done
  echo
} >"$units/selfheal.target"
cat >"$work/boot" <<'BOOT'
mount --make-rprivate /
mount --bind "$1" /etc/systemd/system
for folder in /run /tmp /lib/systemd/system-generators; do mount -t tmpfs tmpfs $folder; done
mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
mount --bind "$(tty)" /dev/console
exec env container=other /lib/systemd/systemd --system --unit=selfheal.target --log-target=console --log-level=info --show-status=no --log-color=no
BOOT
# Runs it for eight seconds in a control group of its own.
boot() {
  local group=/sys/fs/cgroup/systemd/selfheal-$$
  mkdir -p "$group" 2>/dev/null && echo $BASHPID >"$group/cgroup.procs"
  timeout -k 1 8 script -qec "unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child --mount-proc bash '$work/boot' '$units'" /dev/null |
    tr -d '\r' >"$work/console"
}
( boot )
at_end "find /sys/fs/cgroup/systemd/selfheal-$$ -depth -type d -exec rmdir {} +"
# What it said of these words.
says() { grep -aE "$1" "$work/console" | tail -n 8; }
provoke systemd-unit-failed says 'fails.service|loops.service: Main'
provoke systemd-start-limit says 'repeated too quickly'
provoke systemd-exec-failed says 'no-(program|right).service'
provoke systemd-user-missing says 'no-user.service'
provoke systemd-folder-missing says 'no-folder.service'
provoke systemd-environment-missing says 'no-environment.service'
provoke systemd-start-timeout says 'slow.service'
provoke systemd-stop-timeout says 'deaf.service'
provoke systemd-watchdog says 'silent.service'
provoke systemd-dependency-failed says 'needs.service'
provoke systemd-crashed says 'crashes.service'
provoke systemd-unit-invalid says '(misspelt|empty).service'
