#!/bin/sh
# Runs the tests in Debian forky, once with each libjwt that it has: 1.17 and 3.3.
#
#   scripts/test_newest.sh [ARGUMENT...]
#
# The arguments are those of pytest; without any, all tests are run as by `make test`. The C tests are
# run before, plain and under the sanitizers. FTA_LIBJWT=libjwt-dev or libjwt14-dev chooses one. The
# roots come from scripts/make_root.sh, so only root can do this. The logs are in build/newest. It
# ends with 1 if a test failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$here/../build/newest
cache=${FTA_CACHE:-$here/../build}/roots
mkdir -p "$out" "$cache/pip-root"
failed=0

for name in ${FTA_LIBJWT:-libjwt-dev libjwt14-dev}; do
    root=$out/$name
    log=$out/$name.log
    rm -rf "$root"
    # make installs all else, by the same list as on any system.
    packages="make python3-dev python3-venv ca-certificates git $name"
    # Its libjwt.pc names them, and the package brings neither.
    [ "$name" = libjwt-dev ] || packages="$packages libjansson-dev libgnutls28-dev"
    # shellcheck disable=SC2086  # a list of words, on purpose
    "$here/make_root.sh" forky "$root" $packages
    run() {
        "$here/run_in_root.sh" --bind "$cache/pip-root:/var/cache/pip" \
            --set PIP_CACHE_DIR=/var/cache/pip --in /checkout "$@"
    }
    mkdir -p "$root/checkout"
    "$here/run_in_root.sh" --checkout /checkout "$root" true
    result=passed
    run --set "FTA_LIBJWT=$name" "$root" sh -eux -c '
        make packages-test
        # It has not been replaced by the other one.
        [ "$(dpkg-query -W -f "\${Status}" "$FTA_LIBJWT")" = "install ok installed" ]
        pkg-config --modversion libjwt openssl
        FTA_WERROR=1 make .venv/.built .venv/.group-test .venv/.group-lint test-c asan
        if [ $# -gt 0 ]; then
            .venv/bin/python -m pytest -q -p no:cacheprovider "$@"
        else
            .venv/bin/python scripts/run_tests.py "$(nproc)"
        fi' sh "$@" >"$log" 2>&1 || result=FAILED
    "$here/keep_packages.sh" "$root/var/cache/apt/archives" "$cache/forky-debs"
    [ "$result" = passed ] || failed=1
    version=$(run "$root" pkg-config --modversion libjwt)
    tests=$(tail -n 1 "$log")
    echo "libjwt $version: $result ($tests)"
    [ "$result" = FAILED ] || rm -rf "$root"
done
exit $failed
