#!/bin/sh
# Install luad as a system service: the program, its user, its folders, its unit. Run it as root in a checkout
# (`make install` does). Run it again to upgrade.
#
#   systemd/install.sh                     everything; starts the service, or restarts it
#   systemd/install.sh --program           only the program, in a venv of its own
#   systemd/install.sh --service           only the service, for an installed program
#   systemd/install.sh --worker            a worker of nodes on other machines, not the service
#   systemd/install.sh --prefix /srv/luad  another place than /opt/luad
#
# The unit of the worker is always there, and is restarted if it runs; only --worker enables and starts it.
#
# It leaves the files of administrators alone: job files, settings, drop-ins (`systemctl edit luad`).
# Without make and a checkout: `luad systemd print --out DIR` writes the same files.
#
#   install -Dm644 luad.service /etc/systemd/system/luad.service      is the most important step
set -eu
umask 022

prefix=/opt/luad
program=yes
service=yes
unit=luad
extra=
while [ $# -gt 0 ]; do
    case $1 in
    --program) service=no ;;
    --service) program=no ;;
    --worker) unit=luad-worker extra='[cluster]' ;;
    --prefix) prefix=${2:?--prefix needs a folder}; shift ;;
    *) echo "install.sh: unknown option $1 (see the head of this file)" >&2; exit 2 ;;
    esac
    shift
done
case $prefix in
/root | /root/* | /home | /home/*)
    echo "install.sh: the service cannot see $prefix (ProtectHome); choose another --prefix" >&2
    exit 2 ;;
/tmp | /tmp/* | /var/tmp | /var/tmp/*)
    echo "install.sh: the service cannot see $prefix (PrivateTmp); choose another --prefix" >&2
    exit 2 ;;
/*) ;;
*) echo "install.sh: --prefix must be an absolute path, not $prefix" >&2; exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "install.sh: $*"; }

# Find a Python that the user luad can run, so none below /root, /home or /tmp.
find_python() {
    for each in ${PYTHON:-} /usr/bin/python3 /usr/local/bin/python3 /usr/bin/python3.1[1-9]; do
        real=$(readlink -f "$each" 2>/dev/null) || continue
        case $real in /root/* | /home/* | /tmp/* | /var/tmp/*) continue ;; esac
        "$each" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        echo "$each"
        return
    done
    echo "install.sh: luad needs Python 3.11 or later with venv, outside /root, /home and /tmp" >&2
    echo "  hint: apt-get install python3 python3-venv, or PYTHON=/path/to/python3 make install" >&2
    return 1
}

if [ "$program" = yes ]; then
    if [ ! -x "$prefix/bin/pip" ]; then
        python=$(find_python)
        say "making a venv in $prefix ($python)"
        "$python" -m venv "$prefix"
    fi
    say "installing luad into $prefix"
    "$prefix/bin/pip" install -q --disable-pip-version-check "$here/..$extra"
fi
[ "$service" = yes ] || exit 0

if [ ! -x "$prefix/bin/luad" ]; then
    echo "install.sh: $prefix/bin/luad does not exist; run install.sh without --service" >&2
    exit 1
fi

# The command on the PATH. A file that is not this link stays.
link=/usr/local/bin/luad
if [ -L "$link" ] || [ ! -e "$link" ]; then
    mkdir -p "${link%/*}"
    ln -sfn "$prefix/bin/luad" "$link"
else
    say "$link is not a link to luad, and stays as it is; add $prefix/bin to PATH"
fi

install_file() { # source, target
    mkdir -p "${2%/*}"
    sed "s|/opt/luad/bin/luad|$prefix/bin/luad|g" "$1" > "$2.new"
    chmod 644 "$2.new"
    mv "$2.new" "$2"
}
for each in luad.service luad.socket luad-worker.service; do
    install_file "$here/$each" "/etc/systemd/system/$each"
done
install_file "$here/sysusers.d/luad.conf" /etc/sysusers.d/luad.conf
install_file "$here/tmpfiles.d/luad.conf" /etc/tmpfiles.d/luad.conf
systemd-sysusers /etc/sysusers.d/luad.conf
systemd-tmpfiles --create /etc/tmpfiles.d/luad.conf
systemctl daemon-reload
systemctl enable -q "$unit.service"
for each in luad luad-worker; do
    if systemctl -q is-active "$each.service"; then
        say "restarting $each"
        systemctl restart "$each.service"
    elif [ "$each" = "$unit" ]; then
        say "starting $each"
        systemctl start "$each.service"
    fi
done
say "$unit runs: $("$link" --version 2>/dev/null || "$prefix/bin/luad" --version);  systemctl status $unit"
