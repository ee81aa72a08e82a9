#!/bin/sh
# Makes the root directory of a bare Debian or Ubuntu, for builds and tests on another system.
#
#   scripts/make_root.sh SUITE DIRECTORY [PACKAGE...]
#
# SUITE is bookworm, trixie or forky (Debian), jammy or noble (Ubuntu). DIRECTORY must not exist.
# It gets apt, what apt needs, and the packages. What apt downloads, and the bare root itself, are
# kept below build/roots (with FTA_CACHE set, below that directory), so a second root takes seconds.
# scripts/run_in_root.sh runs commands in it.
#
# As root. FTA_DEBIAN_MIRROR and FTA_UBUNTU_MIRROR name other mirrors. A root reaches the network as
# this machine does: run_in_root.sh passes the proxies, and the certificates of a local authority
# and the settings of apt and pip that name a proxy are copied.
set -eu

if [ $# -lt 2 ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
suite=$1
root=$2
shift 2

here=$(cd "$(dirname "$0")" && pwd)
cache=${FTA_CACHE:-$here/../build}/roots
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
debian=${FTA_DEBIAN_MIRROR:-http://deb.debian.org/debian}
ubuntu=${FTA_UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}

# The script is debootstrap's, for suites that are newer than this machine's debootstrap.
case $suite in
bookworm | trixie | forky)
    mirror=$debian
    script=sid
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    components=main
    ;;
jammy | noble)
    mirror=$ubuntu
    script=gutsy
    keyring=$cache/ubuntu-archive-keyring.gpg
    components=main,universe
    ;;
*)
    echo "make_root.sh: unknown suite $suite; bookworm, trixie, forky, jammy or noble" >&2
    exit 2
    ;;
esac
if [ -e "$root" ]; then
    echo "make_root.sh: $root exists" >&2
    exit 2
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "make_root.sh: only root can make a root directory; try sudo $0" >&2
    exit 1
fi
"$here/install_packages.sh" roots

archive=$cache/$suite-$(dpkg --print-architecture).tar
debs=$cache/$suite-debs
mkdir -p "$debs"

sources() {
    list=$(echo "$components" | tr , ' ')
    echo "deb $mirror $suite $list"
    case $suite in
    forky) ;; # not released: it has no updates
    jammy | noble)
        echo "deb $mirror $suite-updates $list"
        echo "deb $mirror $suite-security $list"
        ;;
    *)
        echo "deb $mirror $suite-updates $list"
        echo "deb $mirror-security $suite-security $list"
        ;;
    esac
}

# Makes the archive. Two that do it at once do not meet: each has a directory of its own, and the
# last one to finish replaces the archive whole.
make_archive() {
    case $suite in jammy | noble) "$here/get_ubuntu_keyring.sh" "$keyring" ;; esac
    made=$(mktemp -d "$cache/making-XXXXXX")
    trap 'rm -rf "$made"' EXIT
    trap 'exit 1' INT TERM HUP
    echo "Making a bare root of $suite" >&2
    if ! debootstrap --variant=minbase --force-check-gpg --keyring="$keyring" \
        --components="$components" "$suite" "$made/root" "$mirror" \
        "/usr/share/debootstrap/scripts/$script" >"$made/log" 2>&1; then
        tail -n 40 "$made/log" "$made/root/debootstrap/debootstrap.log" >&2 || true
        exit 1
    fi
    sources >"$made/root/etc/apt/sources.list"
    # minbase holds what is downloaded; the archives are kept outside of the root.
    rm -f "$made"/root/var/cache/apt/archives/*.deb "$made/root/etc/apt/apt.conf.d/docker-clean"
    tar --numeric-owner --one-file-system -C "$made/root" -cf "$made/root.tar" .
    mv "$made/root.tar" "$archive"
    rm -rf "$made"
    trap - EXIT INT TERM HUP
}

[ -f "$archive" ] || make_archive

mkdir -p "$root"
tar --numeric-owner -C "$root" -xf "$archive"

# The network of this machine: certificates of a local authority, and proxies.
if ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then
    mkdir -p "$root/usr/local/share/ca-certificates"
    cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
fi
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$root/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
fi
[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
for file in $(grep -lE '^Acquire::(http|https|Check)' /etc/apt/apt.conf.d/* 2>/dev/null || true); do
    cp "$file" "$root/etc/apt/apt.conf.d/"
done

# The packages that were downloaded before, as links: apt checks each one, and locks only its own.
printf 'APT::Keep-Downloaded-Packages "true";\n' >"$root/etc/apt/apt.conf.d/99keep"
"$here/keep_packages.sh" "$debs" "$root/var/cache/apt/archives"

# A root that lacks a package that was asked for is no root.
if [ $# -gt 0 ]; then
    "$here/run_in_root.sh" --set DEBIAN_FRONTEND=noninteractive "$root" sh -eu -c '
        apt-get -qq update
        apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"' sh "$@" \
        >"$root.log" 2>&1 || {
        tail -n 40 "$root.log" >&2
        echo "make_root.sh: could not install: $*" >&2
        rm -rf "$root" "$root.log"
        exit 1
    }
    rm -f "$root.log"
    "$here/keep_packages.sh" "$root/var/cache/apt/archives" "$debs"
fi
