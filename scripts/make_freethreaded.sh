#!/bin/sh
# Builds a free-threaded CPython from Debian's source, for the tests without the GIL.
#
#   scripts/make_freethreaded.sh VERSION [tsan]
#
# VERSION is 3.13 (Debian 13's source) or 3.14 (Debian forky's). The interpreter is
# build/freethreaded/VERSION/bin/python3, with tsan build/freethreaded/VERSION-tsan/bin/python3, which
# is built with ThreadSanitizer. With FTA_CACHE set, below that directory. It takes ten minutes of two
# cores, once: if it is there already, nothing is done.
#
# The source is the upstream archive that Debian holds. apt reads its name and its SHA256 from Debian's
# signed index, with settings of its own: nothing of this machine's apt is changed, and no root is
# needed. FTA_DEBIAN_MIRROR names another mirror.
set -eu

case "${1-} ${2-}" in
'3.13 ' | '3.13 tsan') suite=trixie ;;
'3.14 ' | '3.14 tsan') suite=forky ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
version=$1
flavour=${2-}

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${FTA_CACHE:-$here/../build}/freethreaded"
cache=$(cd "${FTA_CACHE:-$here/../build}/freethreaded" && pwd)
prefix=$cache/$version${flavour:+-$flavour}
mirror=${FTA_DEBIAN_MIRROR:-http://deb.debian.org/debian}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}

[ ! -x "$prefix/bin/python3" ] || exit 0

work=$(mktemp -d "$cache/making-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# run COMMAND...: quiet, but shows the end of the log if the command fails.
run() {
    if ! "$@" >"$work/log" 2>&1; then
        tail -n 40 "$work/log" >&2
        echo "make_freethreaded.sh: failed: $*" >&2
        exit 1
    fi
}

# Only Debian's index and Debian's keys are believed.
private_apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
        -o Dir::Cache="$work" -o APT::Sandbox::User="$(id -un)" "$@"
}

download() {
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    : >"$work/status"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
        >"$work/sources.list"
    private_apt update && cd "$work" && private_apt source --download-only "python$version"
}

echo "Building a free-threaded CPython $version${flavour:+ with ThreadSanitizer}: ten minutes, once" >&2
run download
mkdir "$work/source"
run tar -xf "$work"/python"$version"_*.orig.tar.xz --strip-components=1 -C "$work/source"

# A ThreadSanitizer from before 2024 fails on kernels with more random address bits.
no_aslr=
if [ "$flavour" = tsan ] && setarch -R true 2>/dev/null; then
    no_aslr='setarch -R'
fi
cd "$work/source"
run ./configure --prefix="$prefix" --disable-gil --disable-test-modules ${flavour:+--with-thread-sanitizer}
# shellcheck disable=SC2086  # words, on purpose
run $no_aslr make -s -j"$jobs"
# shellcheck disable=SC2086
run $no_aslr make -s install
