# shellcheck shell=bash disable=SC2154  # its settings are slurm.sh's
# Part of slurm.sh: slurmdbd on a MariaDB of its own (ACCT=dbd), or a small `sacct` (ACCT=shim).

DBD_PORT=$((PORT + 2)) DB_PORT=$((PORT + 3))
SHIM=/usr/local/bin/sacct

start_accounting() {
    start_database
    runs slurmdbd || start_slurmdbd
    add_accounts
}

stop_accounting() {
    stop_daemon slurmdbd
    stop_daemon mariadbd
    remove_shim
}

sql() { # STATEMENTS
    mariadb --no-defaults --socket="$ROOT/mysql/socket" -e "$1" >/dev/null 2>&1
}

start_database() {
    runs mariadbd && return
    install -d -o mysql -g mysql "$ROOT/mysql"
    [ -d "$ROOT/mysql/mysql" ] || mariadb-install-db --no-defaults --user=mysql \
        --datadir="$ROOT/mysql" --skip-test-db >"$LOG/mariadb-install.log" 2>&1
    setsid mariadbd --no-defaults --user=mysql --datadir="$ROOT/mysql" \
        --socket="$ROOT/mysql/socket" --pid-file="$ROOT/mysql/pid" \
        --bind-address=127.0.0.1 --port="$DB_PORT" --skip-name-resolve \
        --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
        </dev/null >"$LOG/mariadbd.log" 2>&1 &
    echo $! >"$RUN/mariadbd.pid"
    await "$UP_S" sql "select 1" || fail "MariaDB does not answer: see $LOG/mariadbd.log"
}

start_slurmdbd() {
    local password
    password=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
    sql "create database if not exists slurm_acct_db;
         create or replace user slurm@'127.0.0.1' identified by '$password';
         grant all on slurm_acct_db.* to slurm@'127.0.0.1'"
    (umask 077 && slurmdbd_conf "$password" >"$CONF_DIR/slurmdbd.conf")
    slurmdbd
    await "$UP_S" slurmdbd_answers || fail "slurmdbd does not answer: see $LOG/slurmdbd.log"
}

slurmdbd_answers() {
    timeout 5 sacctmgr -n show cluster >/dev/null 2>&1
}

slurmdbd_conf() { # PASSWORD
    cat <<X
$WRITTEN_BY
AuthType=auth/munge
DbdHost=$HOST
DbdAddr=$HOST
DbdPort=$DBD_PORT
CommunicationParameters=NoInAddrAny
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DB_PORT
StorageUser=slurm
StoragePass=$1
StorageLoc=slurm_acct_db
LogFile=$LOG/slurmdbd.log
PidFile=$RUN/slurmdbd.pid
X
}

add_accounts() { # who submits needs one; the account `root` comes with the cluster
    local user
    change add cluster repghost
    change add qos few
    change modify qos few set MaxSubmitJobsPerUser="$FEW"
    for user in root ${SUDO_USER:-}; do
        change add user "$user" account=root
        change modify user "$user" set qos=normal,few
    done
}

change() { # WHAT...: fails where nothing changes
    sacctmgr -iQ "$@" >/dev/null || true
}

remove_shim() {
    ! grep -qs "$WRITTEN_BY" "$SHIM" || rm "$SHIM"
}

set_shim() { # submitit asks `sacct -o JobID,State,NodeList --parsable2 -j ID [-j ID ...]`
    if [ "$ACCT" != shim ]; then
        remove_shim
        return
    fi
    cat >"$SHIM" <<X
#!/usr/bin/env bash
$WRITTEN_BY
jobs=
while [ \$# -gt 0 ]; do
    [ "\$1" != -j ] || { jobs=\$jobs,\$2 && shift; }
    shift
done
echo 'JobID|State|NodeList'
squeue -h -t all -o '%i|%T|%N' -j "\${jobs#,}" 2>/dev/null || true
X
    chmod 755 "$SHIM"
}
