#!/bin/bash
# run-systemd-test.sh: run a test script against a real, throw-away systemd.
#
#   run-systemd-test.sh [options] UNIT_FILE TEST_SCRIPT [ARG...]
#
#   UNIT_FILE     a unit file; copied to /etc/systemd/system/ of the guest ("-" for none)
#   TEST_SCRIPT   absolute path, as seen in the guest's root; the guest's root is a
#                 writable overlay of the host's, so host paths are the same there
#   -u FILE       one more unit file, or a NAME.d folder of drop-ins (repeatable)
#   -c SRC:DST    copy SRC to DST in the guest (repeatable)
#   -e NAME       pass this environment variable on to the test script (repeatable)
#   -b PATH       bind-mount host PATH read-write (results folder; repeatable)
#   -t SECONDS    limit for the test script (default 120; exit status 124 past it)
#   -j FILE       write the guest's journal (JSON lines, whole fields) to FILE afterwards;
#                 without it a failing test's last 200 lines go to stderr
#   -r DIR        boot this tree (mmdebstrap, debootstrap) and not the host's root: another
#                 systemd version; the host's paths are not there then (use -c, -b)
#   -C            also delegate the v1 controllers (hybrid layout): makes MemoryMax=,
#                 TasksMax=, CPUQuota= bite on a host whose controllers sit in cgroup v1
#   -v            PID 1's log and boot status on stderr (takes a pty from `script`)
#
# Exit status: the test script's; 125 when the guest itself did not come up.
# Needs: root, systemd >= 244 installed, util-linux >= 2.36, overlayfs, a mounted cgroup2.
# Nothing outside the new namespaces is changed but for one cgroup (removed at exit).
set -euo pipefail

KEEP_WANTS="systemd-journald.service systemd-tmpfiles-setup.service
systemd-sysusers.service dbus.socket dbus.service"

if [ "${1:-}" = --stage2 ]; then            # PID 1 of the new pid namespace
    . "$2"                                   # WORK CG LOWER HYBRID UNITS COPIES BINDS TTY
    read -r pid _ < /proc/self/stat          # the old /proc: our pid on the host
    echo "$pid" > "$WORK/pid"
    echo 0 > "$CG/cgroup.procs"
    for c in $HYBRID; do
        v1=/sys/fs/cgroup/$c
        case $c in *cpuset*)                 # a new cpuset has no CPUs until it is given some
            for f in cpus mems; do cat "$v1/cpuset.$f" > "$v1/${CG##*/}/cpuset.$f"; done ;;
        esac
        echo 0 > "$v1/${CG##*/}/cgroup.procs"
    done
    exec unshare --cgroup -- "$BASH" "$0" --stage3 "$2"   # cgroup ns root = $CG
fi

if [ "${1:-}" = --stage3 ]; then
    . "$2"
    mnt() { mount -n "$@"; }
    O=nosuid,nodev,noexec
    mnt -t tmpfs -o mode=755 tmpfs "$WORK/fs"
    mkdir "$WORK/fs/upper" "$WORK/fs/work" "$WORK/fs/root"
    r=$WORK/fs/root
    mnt -t overlay -o "lowerdir=$LOWER,upperdir=$WORK/fs/upper,workdir=$WORK/fs/work" overlay "$r"

    # what systemd expects of a container manager (CONTAINER_INTERFACE.md)
    mnt -t proc -o $O proc "$r/proc"
    mnt --bind "$r/proc/sys" "$r/proc/sys"
    mnt --bind "$r/proc/sys/net" "$r/proc/sys/net"        # own net ns: may stay writable
    mnt -o remount,bind,ro "$r/proc/sys"
    [ ! -e "$r/proc/sysrq-trigger" ] || mnt --bind /dev/null "$r/proc/sysrq-trigger"
    mnt -t sysfs -o ro,$O sysfs "$r/sys"                  # read-only /sys: no udev, no modprobe
    if [ -z "$HYBRID" ]; then
        mnt -t cgroup2 -o $O cgroup2 "$r/sys/fs/cgroup"
    else
        mnt -t tmpfs -o mode=755 tmpfs "$r/sys/fs/cgroup"
        mkdir "$r/sys/fs/cgroup/unified"
        mnt -t cgroup2 -o $O cgroup2 "$r/sys/fs/cgroup/unified"
        for c in $HYBRID; do
            mkdir "$r/sys/fs/cgroup/$c"
            case $c in systemd) o=none,name=systemd ;; *) o=$c ;; esac
            mnt -t cgroup -o "$O,$o" "$c" "$r/sys/fs/cgroup/$c"
        done
        mnt -o remount,ro tmpfs "$r/sys/fs/cgroup"
    fi
    mnt -t tmpfs -o mode=755,nosuid tmpfs "$r/dev"
    for d in null zero full random urandom tty; do
        : > "$r/dev/$d"; mnt --bind "/dev/$d" "$r/dev/$d"
    done
    mkdir "$r/dev/pts" "$r/dev/shm" "$r/dev/mqueue"
    mnt -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$r/dev/pts"
    mnt -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$r/dev/shm"
    mnt -t mqueue -o $O mqueue "$r/dev/mqueue"
    ln -s pts/ptmx "$r/dev/ptmx"; ln -s /proc/self/fd "$r/dev/fd"
    for i in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${i%:*}" "$r/dev/${i#*:}"; done
    if [ -n "$TTY" ]; then : > "$r/dev/console"; mnt --bind "$(tty)" "$r/dev/console"; fi
    mnt -t tmpfs -o mode=755,nosuid,nodev tmpfs "$r/run"

    # a bare system: none of the host's enabled units, few of the stock ones
    rm -rf "$r"/etc/systemd/{system,system.conf.d,journald.conf.d}
    mkdir -p "$r"/etc/systemd/{system,journald.conf.d}
    for w in "$r"/usr/lib/systemd/system/*.wants/*; do
        case " ${KEEP_WANTS//$'\n'/ } " in *" ${w##*/} "*) ;; *) rm -f "$w" ;; esac
    done
    rm -f "$r/etc/fstab" "$r/etc/hostname"; : > "$r/etc/fstab"
    tr -d - < /proc/sys/kernel/random/uuid > "$r/etc/machine-id.new"
    mv "$r/etc/machine-id.new" "$r/etc/machine-id"
    printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nAudit=no\nReadKMsg=no\n' \
        > "$r/etc/systemd/journald.conf.d/test.conf"
    mkdir -p "$r/etc/tmpfiles.d"; ln -sf /dev/null "$r/etc/tmpfiles.d/tmp.conf"   # it would empty /tmp
    ln -s /dev/null "$r/etc/systemd/system/tmp.mount"             # and this would hide it (Debian 13)
    while read -r f; do [ -z "$f" ] || cp -RL "$f" "$r/etc/systemd/system/"; done <<< "$UNITS"
    while read -r f; do
        [ -z "$f" ] && continue
        mkdir -p "$(dirname "$r${f#*:}")"; cp -a "${f%%:*}" "$r${f#*:}"
    done <<< "$COPIES"
    while read -r f; do
        [ -z "$f" ] && continue
        [ -e "$r$f" ] || if [ -d "$f" ]; then mkdir -p "$r$f"; else mkdir -p "$r${f%/*}"; : > "$r$f"; fi
        mnt --bind "$f" "$r$f"
    done <<< "$BINDS"

    cd "$r"; pivot_root . .; umount -n -l .               # drop every host mount
    mnt --make-rshared /
    hostname luad-test
    log=(--log-target=journal --show-status=0)
    [ -z "$TTY" ] || log=(--log-target=console --show-status=1)
    # what has no namespace (clock, modules, raw I/O, kernel log) the guest may not touch
    exec env -i container=luad-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-syslog,-wake_alarm,-block_suspend \
        /lib/systemd/systemd --system --unit=multi-user.target "${log[@]}"
fi

# ---- stage 1: on the host ---------------------------------------------------
die() { cat "$WORK/err" >&2 2>/dev/null || :; echo "run-systemd-test: $*" >&2; exit 125; }
WORK=
LOWER=/ UNITS= COPIES= BINDS= HYBRID= TTY= journal= limit=120 passenv=() nl=$'\n'
while getopts u:c:e:b:t:j:r:Cv o; do
    case $o in
        u) UNITS+=$(realpath "$OPTARG")$nl ;;
        c) COPIES+=$(realpath "${OPTARG%%:*}"):${OPTARG#*:}$nl ;;
        e) if [ -n "${!OPTARG+x}" ]; then passenv+=("$OPTARG=${!OPTARG}"); fi ;;
        b) BINDS+=$(realpath "$OPTARG")$nl ;;
        t) limit=$OPTARG ;;
        j) journal=$OPTARG ;;
        r) LOWER=$(realpath "$OPTARG") ;;
        C) HYBRID=all ;;
        v) TTY=1 ;;
        *) die "see the head of $0" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || die "usage: $0 [options] UNIT_FILE TEST_SCRIPT [ARG...]"
[ "$1" = - ] || UNITS+=$(realpath "$1")$nl
shift
[ "$(id -u)" = 0 ] || die "needs root"
[ -x /lib/systemd/systemd ] || die "systemd is not installed"
cg2=$(findmnt -rn -t cgroup2 -o TARGET | head -n1)
[ -n "$cg2" ] || die "no cgroup2 mount"

rmtree() {                                   # a cgroup, or our work folder: nothing but folders matters
    case $1 in /tmp/*) rm -rf --one-file-system "$1" ;;
        *) find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || : ;; esac
}
for d in "$cg2"/luad-test.* /sys/fs/cgroup/*/luad-test.* /tmp/luad-test.*; do
    [ ! -d "$d" ] || [ -e "/proc/${d##*.}" ] || rmtree "$d"   # left by a run that was SIGKILLed
done
name=luad-test.$$ CG=$cg2/luad-test.$$ child= pid=
WORK=/tmp/$name; mkdir -m 700 "$WORK"
cleanup() {
    rc=$?; trap - EXIT INT TERM HUP
    # `unshare` is our own child; the guest's PID 1 dies with it, and all of the guest with that
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || :
    wait 2>/dev/null || :
    for _ in {1..100}; do
        grep -qs '^populated 1' "$CG/cgroup.events" || break
        sleep 0.05
    done
    rmtree "$CG"
    for c in $HYBRID; do rmtree "/sys/fs/cgroup/$c/$name"; done
    rmtree "$WORK"
    exit "$rc"
}
trap cleanup EXIT; trap 'exit 130' INT; trap 'exit 143' TERM HUP
mkdir "$WORK/fs" "$CG"
if [ -n "$HYBRID" ]; then
    HYBRID=$(findmnt -rn -t cgroup -o TARGET | sed 's|.*/||' | tr '\n' ' ')
    for c in $HYBRID; do mkdir "/sys/fs/cgroup/$c/$name"; done
fi
declare -p WORK CG LOWER HYBRID UNITS COPIES BINDS TTY > "$WORK/conf"

launch=(setpriv --pdeathsig KILL -- unshare --fork --kill-child=KILL --pid --mount
        --uts --ipc --net -- "$BASH" "$(realpath "$0")" --stage2 "$WORK/conf")
if [ -n "$TTY" ]; then
    setpriv --pdeathsig KILL -- script -qefc "${launch[*]}" /dev/null < /dev/null >&2 &
else
    "${launch[@]}" < /dev/null 2> "$WORK/err" &
fi
child=$!
guest() { nsenter -t "$pid" -m -u -i -n -p -C -- "$@"; }
for _ in {1..300}; do                        # up to 15 s for PID 1 to listen
    kill -0 "$child" 2>/dev/null || die "the guest died while starting"
    [ -n "$pid" ] || [ ! -s "$WORK/pid" ] || read -r pid < "$WORK/pid"
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ] &&
       [ -S "/proc/$pid/root/run/systemd/private" ]; then break; fi
    sleep 0.05
done
state=$(timeout -k 1 30 nsenter -t "$pid" -m -u -i -n -p -C -- \
    systemctl is-system-running --wait) || :
case $state in running | degraded) ;; *) die "the guest is '$state', not running" ;; esac
[ "$state" = running ] || guest systemctl --failed --no-pager >&2

rc=0
timeout -k 5 "$limit" nsenter -t "$pid" -m -u -i -n -p -C -- env -i \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 SYSTEMD_PAGER= \
    "${passenv[@]}" "$@" <&0 &               # in the background, so that a signal is acted on at once
wait "$!" || rc=$?
if [ -n "$journal" ]; then
    guest journalctl --sync; guest journalctl --no-pager -q --all -o json > "$journal" || :
fi
if [ "$rc" != 0 ] && [ -z "$journal" ]; then
    guest journalctl --no-pager -q -o short-monotonic -n 200 >&2 || :
fi
exit "$rc"
