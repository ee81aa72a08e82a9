#!/bin/sh
# Runs the tests in Debian forky, once with each libjwt that it has: 1.17 and 3.3.
#
#   scripts/test_newest.sh [ARGUMENT...]
#
# The arguments are those of pytest; without any, all tests are run but those of the browser. The C
# tests are run before, plain and under the sanitizers. The roots come from scripts/make_root.sh, so
# only root can do this. The logs are in build/newest. It ends with 1 if a test failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$here/../build/newest
cache=${FTA_CACHE:-$here/../build}/roots
mkdir -p "$out" "$cache/pip-root"
[ $# -gt 0 ] || set -- --ignore=tests/browser tests
failed=0

for packages in libjwt-dev 'libjwt14-dev libjansson-dev libgnutls28-dev'; do
    name=${packages%% *}
    root=$out/$name
    log=$out/$name.log
    rm -rf "$root"
    # shellcheck disable=SC2086  # a list of words, on purpose
    "$here/make_root.sh" forky "$root" gcc libc6-dev make pkg-config python3-dev python3-venv \
        libssl-dev libhiredis-dev ca-certificates curl git procps openssl redis-server postgresql \
        clang $packages
    "$here/run_in_root.sh" --checkout /checkout "$root" true
    version=$("$here/run_in_root.sh" "$root" pkg-config --modversion libjwt)
    result=passed
    "$here/run_in_root.sh" --bind "$cache/pip-root:/var/cache/pip" \
        --set PIP_CACHE_DIR=/var/cache/pip --in /checkout "$root" sh -eux -c '
            FTA_WERROR=1 make .venv/.built .venv/.group-test test-c
            # The newest gcc warns of more under the sanitizers, in tests that use longjmp.
            make asan
            .venv/bin/python -m pytest -q -p no:cacheprovider "$@"' sh "$@" >"$log" 2>&1 ||
        result=FAILED
    [ "$result" = passed ] || failed=1
    tests=$(tail -n 1 "$log")
    echo "libjwt $version: $result ($tests)"
    [ "$result" = FAILED ] || rm -rf "$root"
done
exit $failed
