#!/usr/bin/env bash
# A real SLURM of several simulated nodes on this machine: no systemd, no cgroups.
# Safe to run again: what runs with the same settings is left running, jobs included.
#
#   NODES=4 CPUS=2 GPUS=0 ACCT=none bash tests/services/slurm.sh start
#   bash tests/services/slurm.sh stop | restart | status
#   bash tests/services/slurm.sh stop-node 3         # its slurmd only: its jobs go on unseen
#   bash tests/services/slurm.sh kill-node 3         # as if its power failed: its jobs die too
#   bash tests/services/slurm.sh start-node 3
#   bash tests/services/slurm.sh stop-controller | start-controller | restart-controller
#
# Settings, from the environment (a start with others ends all jobs and begins an empty cluster):
#   NODES=4 CPUS=2 GPUS=0 MEM_MB=16000   the nodes, named node1 to node4, and what each has
#   ACCT=none            without accounting: `sacct` fails, as on many real clusters
#   ACCT=shim            the same, and a `sacct` that answers from squeue (for plain submitit)
#   ACCT=dbd             slurmdbd on MariaDB; adds the QOS `few`, of at most FEW=4 jobs per user
#   MAX_ARRAY_SIZE=1001  one more than the largest index of a job array
#   MAX_JOB_COUNT=10000  jobs that the controller takes: the submit limit without accounting
#   SLURM_CONF=/etc/slurm/slurm.conf LAB_ROOT=/var/lib/repghost-slurm LAB_PORT=6817
#                        change all three for a second cluster beside the first
set -euo pipefail

KEPT=NODES,CPUS,GPUS,MEM_MB,ACCT,FEW,MAX_ARRAY_SIZE,MAX_JOB_COUNT,SLURM_CONF,LAB_ROOT,LAB_PORT
if [ "$(id -u)" -ne 0 ] && [ "${1:-start}" != status ]; then
    exec sudo --preserve-env="$KEPT" bash "$0" "$@"
fi
PATH=$PATH:/usr/sbin:/sbin

NODES=${NODES:-4} CPUS=${CPUS:-2} GPUS=${GPUS:-0} MEM_MB=${MEM_MB:-16000} ACCT=${ACCT:-none}
FEW=${FEW:-4} MAX_ARRAY_SIZE=${MAX_ARRAY_SIZE:-1001} MAX_JOB_COUNT=${MAX_JOB_COUNT:-10000}
ROOT=${LAB_ROOT:-/var/lib/repghost-slurm} PORT=${LAB_PORT:-6817}
export SLURM_CONF=${SLURM_CONF:-/etc/slurm/slurm.conf}
CONF_DIR=$(dirname "$SLURM_CONF") RUN=$ROOT/run LOG=$ROOT/log HOST=$(hostname -s)
WRITTEN_BY="# Written by tests/services/slurm.sh"
UP_S=60 # how long to wait for a daemon or for the nodes

if [ "${1:-start}" != status ] && [ -z "${HOLDS_LOCK:-}" ]; then # one command at a time
    mkdir -p "$RUN"
    HOLDS_LOCK=1 exec flock -o "$ROOT/lock" bash "$0" "$@" # -o: no daemon inherits the lock
fi
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/slurm_daemons.sh"
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/slurm_conf.sh"
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/slurm_accounting.sh"

check_settings() {
    case $ACCT in none | shim | dbd) ;; *) fail "ACCT=$ACCT: allowed are none, shim, dbd" ;; esac
    if [ -s "$SLURM_CONF" ] && ! grep -q "$WRITTEN_BY" "$SLURM_CONF"; then
        fail "$SLURM_CONF belongs to another cluster: set SLURM_CONF, LAB_ROOT and LAB_PORT"
    fi
}

install_missing() {
    local packages="slurm-wlm munge" programs="slurmctld slurmd munged sbatch" program
    if [ "$ACCT" = dbd ]; then
        packages="$packages slurmdbd mariadb-server"
        programs="$programs slurmdbd mariadbd"
    fi
    for program in $programs; do
        command -v "$program" >/dev/null || install_packages "$packages"
    done
}

start() {
    local node
    check_settings
    install_missing
    name_this_host
    start_munge
    configure
    set_shim
    [ "$ACCT" != dbd ] || start_accounting
    start_controller
    for node in $(node_names); do start_node "$node"; done
    await_nodes
    status
}

start_controller() {
    runs slurmctld || slurmctld
    await "$UP_S" controller_answers || fail "slurmctld does not answer: see $LOG/slurmctld.log"
}

controller_answers() { # this one: another cluster may have the port
    runs slurmctld && timeout 5 scontrol ping 2>/dev/null | grep -q "is UP"
}

start_node() { # NODE
    runs slurmd "$1" || slurmd -N "$1"
}

await_nodes() { # one that was down for long needs to be told to go on
    await 5 nodes_are_up && return
    scontrol update "nodename=node[1-$NODES]" state=resume 2>/dev/null || true
    await "$UP_S" nodes_are_up || fail "not all nodes are up: see $LOG"
}

nodes_are_up() {
    local up node
    for node in $(node_names); do runs slurmd "$node" || return 1; done
    up=$(timeout 5 sinfo -h -N -p main -o %t | grep -cE '^(idle|mix|alloc|comp)$')
    [ "$up" = "$NODES" ]
}

kill_node() { # NODE: its slurmd, then the steps before what they run, which they would report
    local jobs pid
    stop_daemon slurmd "$1"
    jobs=$(jobs_on "$1")
    for pid in $(steps_of "$jobs") $jobs; do kill -9 "$pid" 2>/dev/null || true; done
}

jobs_on() { # NODE: the pids of what this cluster's jobs run there
    { grep -lzxFs "SLURMD_NODENAME=$1" /proc/[0-9]*/environ |
        xargs -r grep -lzxFs "SLURM_CONF=$SLURM_CONF" | cut -d/ -f3; } || true
}

steps_of() { # PIDS: the slurmstepd above them
    local pid parent
    for pid in $1; do
        parent=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null) || continue
        [ "$(comm "$parent")" != slurmstepd ] || echo "$parent"
    done
}

end_jobs() {
    squeue -h -o %A 2>/dev/null | sort -u | xargs -r scancel 2>/dev/null || true
    await 10 queue_is_empty || true # what is left dies with its node
}

queue_is_empty() {
    [ -z "$(timeout 5 squeue -h 2>/dev/null)" ]
}

stop() { # its state goes too: the next cluster has no jobs of this one
    ! controller_answers || end_jobs
    stop_slurm
    stop_accounting
    stop_munge
    rm -rf "${ROOT:?}"/{state,spool}
}

stop_slurm() {
    local file
    stop_daemon slurmctld
    for file in "$RUN"/slurmd.*.pid; do
        [ ! -e "$file" ] || kill_node "$(basename "$file" .pid | cut -d. -f2)"
    done
}

status() {
    controller_answers || fail "slurmctld does not answer"
    sinfo -N -p main -o '%N %c %m %G %t %E'
}

node() { # NUMBER: its name
    case " $(seq -s ' ' "$NODES") " in
        *" $1 "*) echo "node$1" ;;
        *) fail "node '$1': allowed are 1 to $NODES" ;;
    esac
}

case "${1:-start}" in
    start) start ;;
    stop) stop ;;
    restart) stop && start ;;
    status) status ;;
    stop-node) name=$(node "${2:-}") && stop_daemon slurmd "$name" ;;
    kill-node) name=$(node "${2:-}") && kill_node "$name" ;;
    start-node) name=$(node "${2:-}") && start_node "$name" ;;
    stop-controller) stop_daemon slurmctld ;;
    start-controller) start_controller ;;
    restart-controller) stop_daemon slurmctld && start_controller ;;
    *) fail "$1: allowed are start, stop, restart, status, stop-node N, kill-node N, start-node N," \
        "stop-controller, start-controller, restart-controller" ;;
esac
