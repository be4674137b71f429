# systemd: what its manager, its journal and its tools write. A manager for one user runs beside
# whatever the machine itself was started with.
install systemd dbus dbus-user-session gcc libc6-dev

export XDG_RUNTIME_DIR="$work/run"
mkdir -p "$XDG_RUNTIME_DIR" "$work/config/systemd/user"
export XDG_CONFIG_HOME="$work/config" SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=info SYSTEMD_COLORS=0
unit() { cat >"$XDG_CONFIG_HOME/systemd/user/$1"; }
