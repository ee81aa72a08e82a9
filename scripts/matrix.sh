#!/bin/sh
# Builds the package with gcc and with clang, with each Python of each system, and runs the tests
# of the core that need no server. Prints a line for each: system, compiler, Python, result.
#
#   scripts/matrix.sh [SUITE...]      bookworm trixie forky jammy noble
#
# Warnings are errors (FTA_WERROR=1). The roots come from scripts/make_root.sh, so only root can do
# this. The logs are in build/matrix. It ends with 1 if a combination failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$here/../build/matrix
mkdir -p "$out"
[ $# -gt 0 ] || set -- bookworm trixie forky jammy noble
cache=${FTA_CACHE:-$here/../build}/roots
failed=0
declared=$(sed -n 's/.*Python :: \(3\.[0-9]*\)".*/python\1/p' "$here/../pyproject.toml")

printf '%-10s %-12s %-8s %-8s %-8s %s\n' system compiler Python libjwt OpenSSL result
for suite; do
    root=$out/$suite
    rm -rf "$root"
    "$here/make_root.sh" "$suite" "$root" gcc libc6-dev clang pkg-config python3-dev python3-venv \
        libjwt-dev libssl-dev libhiredis-dev ca-certificates
    # Some systems have more than one Python. Those that the package declares are tried.
    pythons=
    for python in $declared; do
        if "$here/run_in_root.sh" --set DEBIAN_FRONTEND=noninteractive "$root" apt-get install \
            -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$python-dev" "$python-venv" \
            >"$out/$suite-packages.log" 2>&1; then
            pythons="$pythons $python"
        fi
    done
    "$here/keep_packages.sh" "$root/var/cache/apt/archives" "$cache/$suite-debs"
    mkdir -p "$cache/pip-root"
    run() {
        "$here/run_in_root.sh" --bind "$cache/pip-root:/var/cache/pip" \
            --set PIP_CACHE_DIR=/var/cache/pip --in /checkout "$@"
    }
    mkdir -p "$root/checkout"
    "$here/run_in_root.sh" --checkout /checkout "$root" true
    libjwt=$(run "$root" pkg-config --modversion libjwt)
    openssl=$(run "$root" pkg-config --modversion openssl)
    for python in $pythons; do
        # What the tests need is the same with each compiler.
        if ! run "$root" sh -eux -c '
            "$1" -m venv /venv
            /venv/bin/pip install -q --upgrade pip "setuptools>=77"
            /venv/bin/pip install -q --group test' sh "$python" >"$out/$suite-$python.log" 2>&1; then
            printf '%-10s %-12s %-8s %s\n' "$suite" - "${python#python}" 'FAILED before the build'
            failed=1
            continue
        fi
        for compiler in gcc clang; do
            log=$out/$suite-$compiler-$python.log
            version=$(run "$root" "$compiler" -dumpfullversion -dumpversion)
            result=passed
            run --set FTA_WERROR=1 --set "CC=$compiler" "$root" sh -eux -c '
                rm -rf build
                /venv/bin/pip install -q --force-reinstall --no-deps --no-cache-dir .
                # The package that is tested is the one that was built, not the checkout.
                rm -rf /tests && mkdir /tests
                cp -r tests pyproject.toml examples csrc /tests/
                cd /tests
                /venv/bin/python -c "import flask_tenant_auth._core as core; print(core.__file__)"
                /venv/bin/python -m pytest -q -p no:cacheprovider tests/unit/test_core_*.py \
                    tests/unit/test_token_rules.py' >"$log" 2>&1 || result=FAILED
            tests=$(sed -n 's/^\([0-9]* passed\).*/\1/p' "$log" | tail -n 1)
            [ "$result" = passed ] || failed=1
            printf '%-10s %-12s %-8s %-8s %-8s %s\n' "$suite" "$compiler $version" \
                "${python#python}" "$libjwt" "$openssl" "$result${tests:+ ($tests)}"
        done
        rm -rf "$root/venv"
    done
    rm -rf "$root"
done
exit $failed
