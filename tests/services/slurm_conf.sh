# shellcheck shell=bash disable=SC2154  # its settings are slurm.sh's
# Part of slurm.sh: the files below /etc/slurm.

node_names() {
    seq -f "node%.0f" "$NODES"
}

configure() { # another configuration cannot read this one's state: begin with none
    local written
    is_configured && return
    stop_slurm
    rm -rf "${ROOT:?}"/{state,spool}
    mkdir -p "$ROOT"/{state,spool} "$LOG" "$CONF_DIR"
    written=$(conf "$(next_job_id)")
    echo "$written" >"$SLURM_CONF"
    echo "CgroupPlugin=cgroup/v1" >"$CONF_DIR/cgroup.conf" # or slurmd looks for one and ends
    configure_gpus
}

is_configured() {
    [ -e "$ROOT/state/clustername" ] &&
        [ "$(conf "$(first_job_id)")" = "$(cat "$SLURM_CONF" 2>/dev/null)" ]
}

first_job_id() { # of the cluster before
    sed -n 's/^FirstJobId=//p' "$SLURM_CONF" 2>/dev/null || true
}

next_job_id() { # never start again: who kept an old job's id must not meet another job
    local by_clock=$(($(date +%s) % 60000000)) after_last
    after_last=$(($(first_job_id) + 10000))
    if [ "$after_last" -gt "$by_clock" ] && [ "$after_last" -lt 66000000 ]; then
        echo "$after_last"
    else
        echo "$by_clock"
    fi
}

configure_gpus() { # a GPU is a link to /dev/null; a job gets its number in CUDA_VISIBLE_DEVICES
    local devices=$ROOT/dev
    rm -f "$CONF_DIR/gres.conf"
    [ "$GPUS" -gt 0 ] || return 0
    mkdir -p "$devices"
    seq -f "$devices/gpu%.0f" 0 $((GPUS - 1)) | xargs -n 1 ln -sf /dev/null
    echo "NodeName=node[1-$NODES] Name=gpu File=$devices/gpu[0-$((GPUS - 1))]" \
        >"$CONF_DIR/gres.conf"
}

gpus() { # TEXT: it, where there are any
    [ "$GPUS" -eq 0 ] || echo "$1"
}

accounting() {
    if [ "$ACCT" = dbd ]; then
        echo "AccountingStorageType=accounting_storage/slurmdbd"
        echo "AccountingStorageHost=$HOST"
        echo "AccountingStoragePort=$DBD_PORT"
        echo "AccountingStorageEnforce=associations,limits,qos"
    else
        echo "AccountingStorageType=accounting_storage/none"
    fi
}

conf() { # FIRST_JOB_ID
    cat <<X
$WRITTEN_BY
ClusterName=repghost
FirstJobId=$1

# The daemons listen where this machine's name points to: loopback, but in some containers the
# address of the container. Every node is a slurmd on this machine with a port of its own.
SlurmctldHost=$HOST
SlurmctldPort=$PORT
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
$(gpus GresTypes=gpu)
NodeName=node[1-$NODES] NodeHostname=$HOST NodeAddr=$HOST Port=[$((PORT + 101))-$((PORT + 100 + NODES))] CPUs=$CPUS RealMemory=$MEM_MB $(gpus "Gres=gpu:$GPUS") State=UNKNOWN
SlurmdParameters=config_overrides
ReturnToService=2

# What a container allows: no cgroups. A job above its --mem is killed by the look at /proc.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=$((MEM_MB / CPUS))

# Tests do not wait: a requeued job is held as long as its credential lives, a dead node's job
# waits for SlurmdTimeout, and the scheduler looks at once.
AuthInfo=cred_expire=5
SlurmdTimeout=20
KillWait=5
InactiveLimit=0
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,sched_interval=1,batch_sched_delay=0,bf_interval=2

MaxArraySize=$MAX_ARRAY_SIZE
MaxJobCount=$MAX_JOB_COUNT
MinJobAge=300
$(accounting)

StateSaveLocation=$ROOT/state
SlurmdSpoolDir=$ROOT/spool/%n
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/slurmd.%n.pid
SlurmctldLogFile=$LOG/slurmctld.log
SlurmdLogFile=$LOG/slurmd.%n.log
MailProg=/bin/true
MpiDefault=none
PropagateResourceLimits=NONE

# A job in "high" takes the place of one in "low", which gets its signal, 5 s, and the queue.
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=5 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=high Nodes=ALL MaxTime=INFINITE PriorityTier=9 PreemptMode=OFF
X
}
