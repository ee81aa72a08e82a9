#!/bin/sh
# Installs the system packages that this project needs and this machine lacks.
#
#   scripts/install_packages.sh run     what is needed to build and run
#   scripts/install_packages.sh test    the same, and what the tests need
#   scripts/install_packages.sh wheels  what is needed to build wheels, without the libraries that
#                                       are built for them
#   scripts/install_packages.sh roots   only what makes the roots of other systems
#
# Each need is a check and the Debian/Ubuntu packages that satisfy it. Packages
# are installed only where the check fails. A second run therefore does nothing,
# and a library or a Python from another source is used. It asks no questions.
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

# packages_of NEED SYSTEM: the packages of a need, from the table that setup.py reads too.
table=$(dirname "$0")/packages.txt
packages_of() {
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
        version=3 # no Python yet: the system's, whatever it is
    awk -F'|' -v need="$1" -v manager="$2" -v version="$version" '
        BEGIN { column["apt"] = 2; column["dnf"] = 3; column["apk"] = 4; column["brew"] = 5 }
        { name = $1; gsub(/ /, "", name) }
        name == need {
            text = $column[manager]
            gsub("[{]python[}]", version, text)
            gsub(/  +/, " ", text)
            gsub(/^ | $/, "", text)
            print text
        }
    ' "$table"
}

# needs NEED CHECK: the same, for a need of the table.
missing=
built=
[ "$purpose" != wheels ] || built='libjwt hiredis'
needs() {
    case " $built " in *" $1 "*) return ;; esac
    if ! eval "$2" >/dev/null 2>&1; then
        missing="$missing $1"
        packages="$packages $(packages_of "$1" apt)"
    fi
}

python_can() {
    "$python" -c "$1"
}

# Where there is no pkg-config yet, a library is known by the file that pkg-config would read. What is
# there must not be installed again: Debian's libjwt-dev removes libjwt14-dev.
pc_folders=/usr/local/lib/pkgconfig:/usr/local/lib/*/pkgconfig:/usr/lib/pkgconfig
pc_folders=$pc_folders:/usr/lib/*/pkgconfig:/usr/lib64/pkgconfig:/usr/share/pkgconfig
pc_folders=${PKG_CONFIG_PATH-}:${PKG_CONFIG_LIBDIR-$pc_folders}

# Prints the path of the file of a library, or fails.
pc_file() (
    IFS=:
    for folder in $pc_folders; do
        if [ -f "$folder/$1.pc" ]; then
            echo "$folder/$1.pc"
            exit 0
        fi
    done
    exit 1
)

has_library() {
    if command -v pkg-config >/dev/null; then
        pkg-config --exists "$1"
    else
        pc_file "$1" >/dev/null
    fi
}

# The libraries without which pkg-config does not know libjwt, though it is there.
required_by_libjwt() {
    if ! command -v pkg-config >/dev/null; then
        file=$(pc_file libjwt) || return 0
        requires=$(awk 'sub(/^Requires:/, "") { gsub(/[<>=!]+ *[^ ,]+/, ""); gsub(/,/, " "); print }' "$file")
        for name in $requires; do
            pc_file "$name" >/dev/null || echo "$name"
        done
        return
    fi
    pkg-config --print-errors --exists libjwt 2>&1 |
        sed -n "/'virtual:world'/d; s/^Package '\(.*\)', required by '.*', not found\$/\1/p"
}

postgresql_server() {
    command -v initdb || ls /usr/lib/postgresql/*/bin/initdb
}

libfuzzer() {
    ls "$(clang -print-file-name="libclang_rt.fuzzer-$(uname -m).a")" ||
        ls "$(clang -print-file-name=libclang_rt.fuzzer.a)"
}

# --- The list -----------------------------------------------------------------

if [ "$purpose" = roots ]; then
    need 'command -v debootstrap' debootstrap
    need 'command -v unshare' util-linux
    need 'command -v git' git
    need 'test -f /usr/share/keyrings/debian-archive-keyring.gpg' debian-archive-keyring
else

# Debian's python3-dev brings the headers of the C library, a Python from another
# source does not. Asking the compiler is right for both.
needs compiler 'echo "#include <stdio.h>" | cc -E -'
needs make 'command -v make'
needs pkg-config 'command -v pkg-config'
needs libjwt 'has_library libjwt || required_by_libjwt | grep -q .'
needs jansson '! required_by_libjwt | grep -qx jansson'
needs gnutls '! required_by_libjwt | grep -qx gnutls'
needs openssl 'has_library openssl'
needs hiredis 'has_library hiredis'
needs venv 'python_can "import venv, ensurepip"'
needs Python.h 'python_can "import os, sysconfig as s; os.stat(s.get_path(\"include\") + \"/Python.h\")"'
# The example prints curl lines to try.
needs curl 'command -v curl'

fi

[ "$purpose" != wheels ] || needs advzip 'command -v advzip'
if [ "$purpose" = wheels ] && command -v apt-get >/dev/null 2>&1; then
    # The sources of the libraries come from Debian.
    need 'test -f /usr/share/keyrings/debian-archive-keyring.gpg' debian-archive-keyring
    need 'command -v readelf' binutils
fi

if [ "$purpose" = test ]; then
    need 'command -v redis-server' redis-server
    need 'postgresql_server' postgresql
    need 'command -v valgrind' valgrind
    # gcc has the sanitizer runtime that is preloaded into Python.
    need 'test -f "$(gcc -print-file-name=libasan.so)"' gcc
    need 'command -v wrk' wrk
    need 'command -v openssl' openssl
    need 'command -v chromium' chromium
    need 'command -v pgrep' procps
    need 'ls /lib/systemd/systemd-journald' systemd
    need 'command -v clang' clang
    need 'command -v luac5.1' lua5.1
    need 'command -v promtool' prometheus
    need 'pkg-config --exists lua5.1' liblua5.1-0-dev
    need 'command -v luacheck' lua-check
    # libFuzzer is a package of its own. Where there is none, clang brings it.
    need 'libfuzzer' libclang-rt-dev
fi

# --- The installation ---------------------------------------------------------

if [ -z "$packages" ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
    echo "These packages are missing (their names in Debian and Ubuntu):$packages" >&2
    echo "Install them with this system's package manager, then run make again." >&2
    for command in 'dnf install' 'apk add' 'brew install'; do
        names=
        for need in $missing; do
            names="$names $(packages_of "$need" "${command%% *}")"
        done
        [ -z "$names" ] || echo "  $command$names" >&2
    done
    exit 1
fi

if [ "$(id -u)" -eq 0 ]; then
    as_root=env
elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root='sudo env'
else
    echo "These system packages are missing, and only root can install them:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends$packages" >&2
    echo "Run that command as root, then run make again." >&2
    exit 1
fi

echo "Installing system packages:$packages"
apt_get() {
    # Waits while another process (unattended upgrades, for example) holds the lock.
    $as_root DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
        apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1
}
log=$(mktemp)
policy=
trap 'rm -f "$log"; [ -z "$policy" ] || $as_root rm -f "$policy"' EXIT
# The tests start their own servers. So no service starts here: Debian's policy-rc.d says so while
# packages are installed, unless this system has one of its own.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
# If the update fails, older lists may do. Without any list, the installation fails.
apt_get update || true
known=
absent=
for package in $packages; do
    case $package in
    chromium)
        # Ubuntu has it as a snap only, and apt would install another package of a like name.
        if apt-cache policy chromium | grep -q 'Candidate: [0-9]'; then
            known="$known $package"
        else
            absent=chromium
        fi
        ;;
    libclang-rt-dev)
        ! apt-cache show "$package" >/dev/null 2>&1 || known="$known $package"
        ;;
    *) known="$known $package" ;;
    esac
done
# shellcheck disable=SC2086  # a list of words, on purpose
if [ -n "$known" ] && ! apt_get install --no-install-recommends $known; then
    cat "$log" >&2
    echo "apt-get could not install:$known" >&2
    exit 1
fi
if [ -n "$absent" ]; then
    echo "The tests need chromium, and this system has no package of it. On Ubuntu:" >&2
    echo "  snap install chromium" >&2
    echo "Run make again when the command chromium is found." >&2
    exit 1
fi
