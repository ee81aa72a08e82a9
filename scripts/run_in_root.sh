#!/bin/sh
# Runs a command in a root directory that scripts/make_root.sh made.
#
#   scripts/run_in_root.sh [OPTION...] DIRECTORY COMMAND [ARGUMENT...]
#
#   --bind SOURCE:TARGET   SOURCE of this machine is at TARGET in there, for reading and writing
#   --checkout TARGET      the files of this checkout are copied to TARGET first (not what git
#                          ignores: no build, no .venv); what was at TARGET stays beside them
#   --user NAME            the command is run by this user of the root (root)
#   --in TARGET            the command's working directory (/)
#   --set NAME=VALUE       a variable of its environment
#
# /proc, /dev and /sys are mounted in a mount namespace of the command's own: when the command ends,
# or this script is killed (SIGKILL, or a signal to the process group), nothing stays mounted, and
# no process is left. The environment is new, but for the variables of proxies and of pip.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
binds=
checkout=
user=root
directory=/
settings=
while [ $# -gt 0 ]; do
    case $1 in
    --bind) binds="$binds $2" ;;
    --checkout) checkout=$2 ;;
    --user) user=$2 ;;
    --in) directory=$2 ;;
    --set) settings="$settings
$2" ;;
    *) break ;;
    esac
    shift 2
done
if [ $# -lt 2 ] || [ ! -d "$1/usr" ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
root=$(cd "$1" && pwd)
shift

if [ -n "$checkout" ]; then
    mkdir -p "$root$checkout"
    (
        cd "$here/.."
        # A file that was removed and is still in the index is not copied.
        git ls-files -z --cached --others --exclude-standard |
            tar --null --files-from=- --ignore-failed-read -cf - 2>/dev/null
    ) | tar --no-same-owner -C "$root$checkout" -xf -
    owner=$(awk -F: -v user="$user" '$1 == user { print $3 ":" $4 }' "$root/etc/passwd")
    chown -R "$owner" "$root$checkout"
fi

# Passed: proxies, and pip's settings but for PIP_FIND_LINKS, which names directories of this machine.
# A certificate file is passed where make_root.sh copied it.
passed=$(env | grep -E '^(https?|no)_proxy=|^(HTTPS?|NO)_PROXY=|^PIP_[A-Z_]+=' |
    grep -v '^PIP_FIND_LINKS=' || true)
bundle=/etc/ssl/certs/ca-certificates.crt
if [ -f "$root$bundle" ] && [ -n "${SSL_CERT_FILE-}${PIP_CERT-}" ]; then
    passed="$passed
SSL_CERT_FILE=$bundle"
fi
home=$(awk -F: -v user="$user" '$1 == user { print $6 }' "$root/etc/passwd")
if [ -z "$home" ]; then
    echo "run_in_root.sh: $root has no user $user" >&2
    exit 2
fi

export FTA_ROOT="$root" FTA_BINDS="$binds" FTA_USER="$user" FTA_IN="$directory"
export FTA_ENVIRONMENT="PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=$home
USER=$user
LANG=C.UTF-8
TERM=${TERM-dumb}
$passed$settings"
# The first process of the new namespace waits for the command, and its end is the end of all.
exec unshare --mount --pid --fork --kill-child sh -eu -c '
    # A mount of its own, because unshare --mount needs one at / and the tests call it in there.
    mount --bind "$FTA_ROOT" "$FTA_ROOT"
    mkdir -p "$FTA_ROOT/proc" "$FTA_ROOT/sys" "$FTA_ROOT/dev"
    mount -t proc proc "$FTA_ROOT/proc"
    mount --rbind /sys "$FTA_ROOT/sys"
    mount --rbind /dev "$FTA_ROOT/dev"
    # Shared memory and processes are of this root alone.
    mount -t tmpfs -o mode=1777 shm "$FTA_ROOT/dev/shm"
    for bind in $FTA_BINDS; do
        mkdir -p "$FTA_ROOT${bind#*:}"
        mount --bind "${bind%%:*}" "$FTA_ROOT${bind#*:}"
    done
    cat /etc/resolv.conf >"$FTA_ROOT/etc/resolv.conf" 2>/dev/null || true
    # One variable a line.
    IFS="
"
    set -f
    # shellcheck disable=SC2086
    # Not exec: the first process of a namespace ignores the signals that it does not handle.
    chroot "$FTA_ROOT" env -i $FTA_ENVIRONMENT sh -c '\''
        cd "$1" && shift
        if [ "$USER" = root ]; then exec "$@"; fi
        exec setpriv --reuid="$USER" --regid="$(id -g "$USER")" --init-groups "$@"'\'' \
        sh "$FTA_IN" "$@" && exit 0 || exit $?' sh "$@"
