#!/bin/sh
# Builds a free-threaded CPython, for the tests without the GIL.
#
#   scripts/make_freethreaded.sh [VERSION [tsan]]
#
# VERSION is 3.13, from Debian 13's source, or 3.14, from Ubuntu 26.04's. The interpreter is
# build/freethreaded/VERSION/bin/python3 (with FTA_CACHE set, below that directory). It takes four
# minutes of two cores, once: if it is there already, nothing is done. With `tsan` it is
# VERSION-tsan/bin/python3: that one, and each extension that it builds, has ThreadSanitizer. What
# CPython itself suppresses is then in VERSION-tsan/suppressions.txt.
#
# The source is the upstream archive that the distribution holds. apt reads its name and its SHA256
# from the distribution's signed index, with settings of its own: nothing of this machine's apt is
# changed, and no root is needed. FTA_DEBIAN_MIRROR and FTA_UBUNTU_MIRROR name other mirrors.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${FTA_CACHE:-$here/../build}/freethreaded"
cache=$(cd "${FTA_CACHE:-$here/../build}/freethreaded" && pwd)
version=${1:-3.13}
flavour=${2-}
prefix=$cache/$version${flavour:+-$flavour}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}

case $version in
3.13)
    mirror=${FTA_DEBIAN_MIRROR:-http://deb.debian.org/debian}
    suite=trixie
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    ;;
3.14)
    mirror=${FTA_UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
    suite=resolute
    keyring=$cache/ubuntu-archive-keyring.gpg
    ;;
*)
    echo "make_freethreaded.sh: unknown version $version; 3.13 or 3.14" >&2
    exit 2
    ;;
esac
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

# Only one index and the keys of its distribution are believed.
private_apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
        -o Dir::Cache="$work" -o APT::Sandbox::User="$(id -un)" "$@"
}

download() {
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    : >"$work/status"
    [ "$suite" != resolute ] || "$here/get_ubuntu_keyring.sh" "$keyring"
    echo "deb-src [signed-by=$keyring] $mirror $suite main" >"$work/sources.list"
    private_apt update && private_apt source --print-uris "python$version" >"$work/uris" || return 1
    # Of the source package only the upstream archive: 'URI' FILE BYTES SHA256:DIGEST.
    # shellcheck disable=SC2046  # words, on purpose
    set -- $(grep "_[0-9.]*\.orig\.tar\.xz'" "$work/uris" | tr -d "'")
    [ $# -eq 4 ] && /usr/lib/apt/apt-helper download-file "$1" "$work/$2" "$4"
}

archive=$(ls "$cache"/python"$version"_*.orig.tar.xz 2>/dev/null | tail -n 1)
if [ -z "$archive" ]; then
    run download
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
