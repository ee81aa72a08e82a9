#!/bin/sh
# Installs the system packages that this project needs and this machine lacks.
#
#   scripts/install_packages.sh run     what building and running takes
#   scripts/install_packages.sh test    that, and what the tests take
#
# Each need is a check and the Debian/Ubuntu packages that meet it; only needs
# whose check fails are installed, so a second run does nothing, and a library
# or a Python that came from elsewhere counts. It never asks a question.
set -eu

purpose=${1:-run}
python=${PYTHON:-python3}
packages=

# need CHECK PACKAGE...: the packages are wanted when the check fails.
need() {
    check=$1
    shift
    if ! eval "$check" >/dev/null 2>&1; then
        packages="$packages $*"
    fi
}

python_can() {
    "$python" -c "$1"
}

postgresql_server() {
    command -v initdb || ls /usr/lib/postgresql/*/bin/initdb
}

libfuzzer() {
    ls "$(clang -print-file-name="libclang_rt.fuzzer-$(uname -m).a")" ||
        ls "$(clang -print-file-name=libclang_rt.fuzzer.a)"
}

# --- The list -----------------------------------------------------------------

# The C library's headers come with Python's, but a Python from elsewhere does
# not bring them: asking the compiler is the one test that is right for both.
need 'echo "#include <stdio.h>" | cc -E -' gcc libc6-dev
need 'command -v make' make
need 'command -v pkg-config' pkg-config
need 'pkg-config --exists libjwt' libjwt-dev
need 'pkg-config --exists openssl' libssl-dev
need 'pkg-config --exists hiredis' libhiredis-dev
need 'python_can "import venv, ensurepip"' python3 python3-venv
need 'python_can "import os, sysconfig as s; os.stat(s.get_path(\"include\") + \"/Python.h\")"' \
    python3-dev
# The example prints curl lines to try.
need 'command -v curl' curl

if [ "$purpose" = test ]; then
    need 'command -v redis-server' redis-server
    need 'postgresql_server' postgresql
    need 'command -v valgrind' valgrind
    # Brings the sanitizers for the extension, which Python loads before all else.
    need 'test -f "$(gcc -print-file-name=libasan.so)"' gcc
    need 'command -v wrk' wrk
    need 'command -v openssl' openssl
    need 'command -v pgrep' procps
    need 'command -v clang' clang
    need 'command -v luac5.1' lua5.1
    need 'command -v luacheck' lua-check
    # Its runtime is a package of its own, or, where there is no such package,
    # comes with clang itself.
    need 'libfuzzer' libclang-rt-dev
fi

# --- What to do about it ------------------------------------------------------

if [ -z "$packages" ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing here, by the names that Debian and Ubuntu give them:$packages" >&2
    echo "Please install their counterparts, then run make again. With Homebrew:" >&2
    echo "  brew install pkg-config libjwt openssl@3 hiredis redis postgresql" >&2
    exit 1
fi

if [ "$(id -u)" -eq 0 ]; then
    as_root=env
elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root='sudo env'
else
    echo "These system packages are missing, and installing them takes root:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends$packages" >&2
    echo "Please have that run by root (or by a user with sudo), then run make again." >&2
    exit 1
fi

echo "Installing system packages:$packages"
apt_get() {
    # A package manager that is busy elsewhere (unattended upgrades) is waited for.
    $as_root DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
        apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Without the newest lists, what is known may do; without any, the next step tells.
apt_get update || true
known=
for package in $packages; do
    if [ "$package" != libclang-rt-dev ] || apt-cache show "$package" >/dev/null 2>&1; then
        known="$known $package"
    fi
done
# shellcheck disable=SC2086  # a list of words, on purpose
if ! apt_get install --no-install-recommends $known; then
    cat "$log" >&2
    echo "apt-get could not install:$known" >&2
    exit 1
fi
