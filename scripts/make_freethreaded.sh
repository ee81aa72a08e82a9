#!/bin/sh
# Builds a free-threaded CPython 3.13 from Debian 13's source, for the tests without the GIL.
#
#   scripts/make_freethreaded.sh
#
# The interpreter is build/freethreaded/3.13/bin/python3 (with FTA_CACHE set, below that directory). It
# takes four minutes of two cores, once: if it is there already, nothing is done.
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
prefix=$cache/$version
mirror=${FTA_DEBIAN_MIRROR:-http://deb.debian.org/debian}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}

[ ! -e "$prefix/.made" ] || exit 0

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

echo "Building a free-threaded CPython $version: four minutes of two cores, once" >&2
run download
mkdir "$work/source"
run tar -xf "$work"/python"$version"_*.orig.tar.xz --strip-components=1 -C "$work/source"
cd "$work/source"
run ./configure --prefix="$prefix" --disable-gil --disable-test-modules
run make -s -j"$jobs"
rm -rf "$prefix"
run make -s install
touch "$prefix/.made"
