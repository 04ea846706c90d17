#!/usr/bin/env bash
# A real PostgreSQL on loopback for the tests, in a cluster of its own beside whatever runs here.
# Installs Debian's postgresql where it is missing; needs no systemd. Safe to run again.
#   bash tests/services/postgres.sh start | stop | status | crash
# The tests connect as the role `repghost` (it may create databases) to 127.0.0.1:5433.
# From the environment: PGPASSWORD=only-for-tests, which the role gets at each start; PGPORT=5433.
set -euo pipefail

if [ "$(id -u)" -ne 0 ]; then exec sudo --preserve-env=PGPASSWORD,PGPORT bash "$0" "$@"; fi
CLUSTER=repghost ROLE=repghost
APT_LOG=/var/log/repghost-postgres-apt.log
PORT=${PGPORT:-5433} PASSWORD=${PGPASSWORD:-only-for-tests}
unset PGPORT PGPASSWORD # for the script's own connections, which are through the socket

fail() {
    echo "postgres.sh: $*" >&2
    exit 1
}

install_missing() {
    command -v pg_ctlcluster >/dev/null && [ -n "$(version)" ] && return
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends postgresql; } >"$APT_LOG" 2>&1 ||
        fail "could not install postgresql: see $APT_LOG"
}

version() { # the newest that is installed; empty without any
    find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort -n | tail -n 1
}

create() {
    [ -e "/etc/postgresql/$(version)/$CLUSTER" ] && return
    pg_createcluster "$(version)" "$CLUSTER" --port="$PORT" --start-conf=manual \
        --locale=C.UTF-8 --encoding=UTF8 >/dev/null
}

is_up() {
    pg_isready -q -h 127.0.0.1 -p "$PORT"
}

start() {
    install_missing
    create
    pg_ctlcluster "$(version)" "$CLUSTER" status >/dev/null ||
        pg_ctlcluster "$(version)" "$CLUSTER" start \
            -o "-p $PORT -c listen_addresses=127.0.0.1 -c fsync=off"
    is_up || fail "does not answer on 127.0.0.1:$PORT: see /var/log/postgresql"
    make_role
    status
}

make_role() { # the password goes through the environment: a command line can be read by others
    cd / # a folder that postgres may enter
    ROLE_PASSWORD=$PASSWORD setpriv --reuid=postgres --regid=postgres --init-groups \
        psql -q -X -p "$PORT" -d postgres -v ON_ERROR_STOP=1 -v role="$ROLE" <<'SQL'
\set password `printenv ROLE_PASSWORD`
SELECT format('CREATE ROLE %I', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN CREATEDB PASSWORD :'password';
SQL
}

stop() {
    if command -v pg_ctlcluster >/dev/null && is_up; then
        pg_ctlcluster "$(version)" "$CLUSTER" stop -m fast
    fi
}

crash() { # kill -9 of every process: as if the power failed, but for the kernel's own buffers
    local data
    data=$(pg_conftool -s "$(version)" "$CLUSTER" show data_directory)
    local main
    main=$(head -n 1 "$data/postmaster.pid")
    pkill -KILL -P "$main" || true
    kill -KILL "$main"
    while kill -0 "$main" 2>/dev/null; do sleep 0.05; done
}

status() {
    is_up || fail "does not answer on 127.0.0.1:$PORT: bash tests/services/postgres.sh start"
    echo "ready: $ROLE@127.0.0.1:$PORT"
}

case "${1:-start}" in
    start | stop | status | crash) "${1:-start}" ;;
    *) fail "$1: allowed are start, stop, status, crash" ;;
esac
