#!/usr/bin/env bash
# A real adb server on loopback for the tests, on a port of its own beside a developer's server.
# Installs Debian's adb where it is missing. Safe to run again.
#   bash tests/services/adb.sh start | stop | status
# It looks for no phone on USB and no emulator: it sees what the tests connect, and nothing else.
# From the environment: ADB_PORT=5038.
set -euo pipefail

PORT=${ADB_PORT:-5038}
OWN=${TMPDIR:-/tmp}/repghost-adb-$(id -u)-$PORT # its log, and the key that it shows to phones
APT_LOG=${TMPDIR:-/tmp}/repghost-adb-apt-$(id -u).log

fail() {
    echo "adb.sh: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_missing() {
    command -v adb >/dev/null && return
    { as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends adb; } >"$APT_LOG" 2>&1 ||
        fail "could not install adb: see $APT_LOG"
}

is_up() { # asks the port itself: every adb command would start a server that is not there
    local answer
    exec 3<>"/dev/tcp/127.0.0.1/$PORT" || return 1
    printf '000chost:version' >&3
    IFS= read -r -t 5 -n 4 -u 3 answer || true
    exec 3>&-
    [ "$answer" = OKAY ]
} 2>/dev/null

start() {
    install_missing
    mkdir -p "$OWN"
    is_up || HOME=$OWN ADB_USB=0 ADB_MDNS=0 ADB_LOCAL_TRANSPORT_MAX_PORT=0 \
        adb -P "$PORT" start-server >"$OWN/start.log" 2>&1 || true
    is_up || fail "does not answer on 127.0.0.1:$PORT: see $OWN/start.log"
    status
}

stop() {
    if is_up; then adb -P "$PORT" kill-server; fi
}

status() {
    is_up || fail "does not answer on 127.0.0.1:$PORT: bash tests/services/adb.sh start"
    echo "ready: adb server at 127.0.0.1:$PORT"
}

case "${1:-start}" in
    start | stop | status) "${1:-start}" ;;
    *) fail "$1: allowed are start, stop, status" ;;
esac
