# shellcheck shell=bash disable=SC2154  # its settings are slurm.sh's
# Part of slurm.sh: processes (each daemon writes its pid into $RUN), packages, munge.

fail() {
    echo "slurm.sh: $*" >&2
    exit 1
}

comm() { # PID: the name of its program
    cat "/proc/$1/comm" 2>/dev/null || true
}

is_gone() { # PID: true for a zombie too, which the first process here may be slow to reap
    ! grep -q '^State:[[:space:]]*[^Z[:space:]]' "/proc/$1/status" 2>/dev/null
}

runs() { # DAEMON [NODE]: its pid file names a living process of that name
    local pid
    pid=$(cat "$RUN/$1${2:+.$2}.pid" 2>/dev/null) || return 1
    ! is_gone "$pid" && [ "$(comm "$pid")" = "$1" ]
}

await() { # SECONDS COMMAND...: repeat the command until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

stop_daemon() { # DAEMON [NODE]
    local file=$RUN/$1${2:+.$2}.pid pid
    if runs "$@"; then
        pid=$(cat "$file")
        kill "$pid" 2>/dev/null || true
        await 10 is_gone "$pid" || kill -9 "$pid" 2>/dev/null || true
        await 5 is_gone "$pid" || fail "$1 (pid $pid) does not end"
    fi
    rm -f "$file"
}

install_packages() { # NAMES
    mkdir -p "$LOG"
    # shellcheck disable=SC2086  # several names
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends $1; } >"$LOG/apt.log" 2>&1 ||
        fail "could not install $1: see $LOG/apt.log"
}

name_this_host() { # the daemons look their own host's name up; not every container knows it
    getent hosts "$HOST" >/dev/null || echo "127.0.0.1 $HOST" >>/etc/hosts
}

munge_works() {
    munge -n </dev/null 2>/dev/null | unmunge >/dev/null 2>&1
}

start_munge() { # one serves every cluster of this machine
    munge_works && return
    [ -s /etc/munge/munge.key ] || head -c 1024 /dev/urandom >/etc/munge/munge.key
    chown munge:munge /etc/munge/munge.key
    chmod 400 /etc/munge/munge.key
    install -d -o munge -g munge -m 755 /run/munge
    install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge
    rm -f /run/munge/munge.socket.2*
    setpriv --reuid=munge --regid=munge --clear-groups munged --pid-file=/run/munge/munged.pid
    await "$UP_S" munge_works || fail "munged does not answer: see /var/log/munge/munged.log"
    cp /run/munge/munged.pid "$RUN/munged.pid"
}

stop_munge() {
    grep -lxs slurmctld /proc/[0-9]*/comm >/dev/null || stop_daemon munged
}
