#!/bin/sh
# Builds a free-threaded CPython 3.13 from Debian 13's source, for the tests without the GIL.
#
#   scripts/make_freethreaded.sh [tsan]
#
# The interpreter is build/freethreaded/3.13/bin/python3 (with FTA_CACHE set, below that directory). It
# takes four minutes of two cores, once: if it is there already, nothing is done. With `tsan` it is
# 3.13-tsan/bin/python3: that one, and each extension that it builds, has ThreadSanitizer. What CPython
# itself suppresses is then in 3.13-tsan/suppressions.txt.
#
# The source is the upstream archive that Debian holds. apt reads its name and its SHA256 from Debian's
# signed index, with settings of its own: nothing of this machine's apt is changed, and no root is
# needed. FTA_DEBIAN_MIRROR names another mirror.
set -eu

suite=trixie
version=3.13

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${FTA_CACHE:-$here/../build}/freethreaded"
cache=$(cd "${FTA_CACHE:-$here/../build}/freethreaded" && pwd)
flavour=${1-}
prefix=$cache/$version${flavour:+-$flavour}
mirror=${FTA_DEBIAN_MIRROR:-http://deb.debian.org/debian}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}

case $flavour in
'') options= ;;
# GCC's ThreadSanitizer does not know the fences that CPython uses.
tsan) options="--with-thread-sanitizer --without-ensurepip CC=${CLANG:-clang}" ;;
*)
    echo "make_freethreaded.sh: unknown argument $flavour" >&2
    exit 2
    ;;
esac
[ ! -e "$prefix/.made" ] || exit 0

# Its runtime fails on kernels with more random address bits than it knows.
without_aslr=
if [ "$flavour" = tsan ] && setarch -R true 2>/dev/null; then
    without_aslr='setarch -R'
fi

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

archive=$(ls "$cache"/python"$version"_*.orig.tar.xz 2>/dev/null | tail -n 1)
if [ -z "$archive" ]; then
    (run download)
    mv "$work"/python"$version"_*.orig.tar.xz "$cache"
    archive=$(ls "$cache"/python"$version"_*.orig.tar.xz)
fi
echo "Building a free-threaded CPython $version${flavour:+ with $flavour}: four minutes of two cores, once" >&2
mkdir "$work/source"
run tar -xf "$archive" --strip-components=1 -C "$work/source"
cd "$work/source"
# shellcheck disable=SC2086  # words, on purpose
run $without_aslr ./configure --prefix="$prefix" --disable-gil --disable-test-modules $options
# shellcheck disable=SC2086
TSAN_OPTIONS=report_bugs=0 run $without_aslr make -s -j"$jobs"
rm -rf "$prefix"
# It is slow with ThreadSanitizer, so it compiles only the top folder of its library.
# shellcheck disable=SC2086
TSAN_OPTIONS=report_bugs=0 run $without_aslr make -s install ${flavour:+COMPILEALL_OPTS=-l}
[ "$flavour" != tsan ] || cp Tools/tsan/suppressions_free_threading.txt "$prefix/suppressions.txt"
touch "$prefix/.made"
