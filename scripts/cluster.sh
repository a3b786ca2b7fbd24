#!/usr/bin/env bash
# A cluster on one machine, for the tests: hosts with ssh, and a Slurm over two of them. It needs root.
#
#   scripts/cluster.sh up N        hosts h1 to hN at 10.77.0.11 and on; this machine is `head`, 10.77.0.1
#   scripts/cluster.sh slurm       slurmctld here, slurmd on h1 and h2
#   scripts/cluster.sh exec hK CMD…    a command on a host
#   scripts/cluster.sh cut K | mend K | poweroff K | boot K      the host's cable, and its power; boot starts slurmd again
#   scripts/cluster.sh down        everything ends, and nothing is left
#
# CLUSTER names the folder for its files, which must not be below /tmp: each host has a /tmp of its own.
#
# A host is a namespace of networks, names, mounts and processes: what its first process leaves ends with it, as power does.
# It is entered by nsenter, since `ip netns exec` would hide /sys/fs/cgroup, without which slurmd does not start.
set -euo pipefail

readonly lab=${CLUSTER:?names the folder for the files of the cluster}
readonly bridge=lcslbr
export SLURM_CONF=$lab/slurm.conf

namespace() { echo "lcsl-h$1"; }
pid_of() { cat "$lab/h$1.pid"; }

# wait_for SECONDS COMMAND…: until the command succeeds
wait_for() {
    local tries=$(($1 * 20))
    shift
    for _ in $(seq "$tries"); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    echo "cluster: this did not happen in time: $*" >&2
    return 1
}

reaches_ssh() { timeout 1 bash -c "</dev/tcp/10.77.0.1$1/22"; }

# The first process of a host: its files, its ssh, and then nothing until the power goes.
readonly first_process='
    hostname "$1"
    mount --make-rprivate /
    mount --bind "$2/hosts" /etc/hosts
    mount -t tmpfs tmpfs /dev/shm
    # Programs that lie below /tmp stay where they are.
    if [[ $3 == /tmp/* ]]; then
        mkdir -p /run/lcsl-programs
        mount --bind "$3" /run/lcsl-programs
    fi
    mount -t tmpfs tmpfs /tmp
    if [[ $3 == /tmp/* ]]; then
        mkdir -p "$3"
        mount --bind /run/lcsl-programs "$3"
    fi
    mkdir -p /run/sshd
    /usr/sbin/sshd -f "$2/sshd_config"
    while :; do sleep 3600; done
'

boot() {
    local outer first net
    # Not within the background command: its shell would have a child for it, which is not the first process of the host.
    net=/run/netns/$(namespace "$1")
    nsenter --net="$net" unshare --uts --mount --pid --fork --mount-proc \
        bash -c "$first_process" host "h$1" "$lab" "$PWD" >"$lab/h$1.log" 2>&1 </dev/null &
    outer=$!
    has_first() { first=$(awk '{ print $1 }' "/proc/$outer/task/$outer/children") && [ -n "$first" ]; }
    wait_for 20 has_first
    echo "$first" >"$lab/h$1.pid"
    wait_for 30 reaches_ssh "$1"
}

in_host() {
    local host=$1
    shift
    nsenter -t "$(cat "$lab/$host.pid")" -n -u -m -p -- "$@"
}

write_files() {
    mkdir -p "$lab"
    [ -e "$lab/id" ] || ssh-keygen -q -t ed25519 -N '' -f "$lab/id"
    [ -e "$lab/hostkey" ] || ssh-keygen -q -t ed25519 -N '' -f "$lab/hostkey"
    cp "$lab/id.pub" "$lab/authorized_keys"
    cat >"$lab/sshd_config" <<END
Port 22
HostKey $lab/hostkey
AuthorizedKeysFile $lab/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
UseDNS no
LogLevel ERROR
END
}

up() {
    local k
    write_files
    ip link add "$bridge" type bridge
    ip addr add 10.77.0.1/24 dev "$bridge"
    ip link set "$bridge" up
    {
        echo '127.0.0.1 localhost'
        echo '10.77.0.1 head'
        for k in $(seq "$1"); do echo "10.77.0.1$k h$k"; done
    } >"$lab/hosts"
    for k in $(seq "$1"); do
        ip netns add "$(namespace "$k")"
        ip link add "lcslv$k" type veth peer name eth0 netns "$(namespace "$k")"
        ip link set "lcslv$k" master "$bridge" up
        ip -n "$(namespace "$k")" addr add "10.77.0.1$k/24" dev eth0
        ip -n "$(namespace "$k")" link set eth0 up
        ip -n "$(namespace "$k")" link set lo up
        boot "$k"
    done
}

# cred_expire decides how long a requeued job waits: 5 is the least that Slurm takes, below it the usual two minutes count.
write_slurm_conf() {
    local k
    mkdir -p "$lab"/{state,log,run,dev}
    for k in 0 1; do [ -e "$lab/dev/gpu$k" ] || mknod "$lab/dev/gpu$k" c 1 3; done
    cat >"$lab/slurm.conf" <<END
ClusterName=lcsl
SlurmctldHost=head(10.77.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation=$lab/state
SlurmdSpoolDir=$lab/spool/%n
SlurmctldPidFile=$lab/run/slurmctld.pid
SlurmdPidFile=$lab/run/slurmd.%n.pid
SlurmctldLogFile=$lab/log/slurmctld.log
SlurmdLogFile=$lab/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=pmix
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=10
InactiveLimit=0
KillWait=10
GresTypes=gpu
NodeName=h[1-2] NodeAddr=10.77.0.1[1-2] CPUs=4 RealMemory=4000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
END
    echo "NodeName=h[1-2] Name=gpu File=$lab/dev/gpu[0-1]" >"$lab/gres.conf"
}

start_slurmd() {
    mkdir -p "$lab/spool/$1"
    in_host "$1" env SLURM_CONF="$SLURM_CONF" slurmd
}

nodes_are_idle() { [ "$(sinfo -h -p main -t idle -o %D)" = 2 ]; }

slurm() {
    write_slurm_conf
    if ! munge -n >/dev/null 2>&1; then
        install -d -o munge -g munge -m 755 /run/munge
        install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge
        runuser -u munge -- munged
    fi
    unshare --uts bash -c 'hostname head; exec slurmctld'
    start_slurmd h1
    start_slurmd h2
    wait_for 30 nodes_are_idle
}

down() {
    local file k
    [ ! -e "$lab/run/slurmctld.pid" ] || kill "$(cat "$lab/run/slurmctld.pid")" 2>/dev/null || true
    for file in "$lab"/h*.pid; do
        [ -e "$file" ] || continue
        kill -9 "$(cat "$file")" 2>/dev/null || true
        rm -f "$file"
    done
    # A host that did not come up has no number, and stands in the way of the next one all the same.
    for file in /run/netns/"$(namespace '')"*; do
        [ -e "$file" ] || continue
        k=${file##*"$(namespace '')"}
        ip link del "lcslv$k" 2>/dev/null || true
        ip netns del "$(namespace "$k")" 2>/dev/null || true
        umount -l "$file" 2>/dev/null || true
        rm -f "$file"
    done
    ip link del "$bridge" 2>/dev/null || true
    rm -rf "${lab:?}/state" "$lab/spool" "$lab/run"
}

command=$1
shift
case $command in
    up) up "$1" ;;
    slurm) slurm ;;
    exec) in_host "$@" ;;
    cut) ip link set "lcslv$1" down ;;
    mend) ip link set "lcslv$1" up ;;
    poweroff) kill -9 "$(pid_of "$1")" ;;
    boot)
        boot "$1"
        [ ! -e "$SLURM_CONF" ] || start_slurmd "h$1"
        ;;
    down) down ;;
    *)
        echo "cluster: unknown command '$command'" >&2
        exit 2
        ;;
esac
