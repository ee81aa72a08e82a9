#!/bin/sh
# Runs the Python tests of tests/unit and tests/flask on a CPython without the GIL.
#
#   scripts/test_freethreaded.sh [PYTHON]
#
# PYTHON is a free-threaded interpreter, such as python3.14t. Without it, make_freethreaded.sh builds
# one. scripts/freethreaded_without.txt has the tests that are left out. PYTEST_ARGS is for pytest, and
# FTA_THREAD_SECONDS the time of each test with threads.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${FTA_CACHE:-$here/../build}/freethreaded
[ -n "${1-}" ] || "$here/make_freethreaded.sh"
python=${1:-$cache/3.13/bin/python3}

if ! "$python" -c 'import sys, sysconfig; sys.exit(not sysconfig.get_config_var("Py_GIL_DISABLED"))'; then
    echo "test_freethreaded.sh: $python is no free-threaded CPython" >&2
    exit 1
fi
mkdir -p "$cache"
venv=$(cd "$cache" && pwd)/venv-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')
tests=$venv/bin/python

cd "$here/.."
if [ ! -e "$venv/.made" ]; then
    echo "Making $venv" >&2
    "$python" -m venv "$venv"
    "$tests" -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1' 'setuptools>=77'
    "$tests" -m pip install -q --disable-pip-version-check --group freethreaded
    touch "$venv/.made"
fi
"$tests" -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --editable .

# Asked without PYTHON_GIL=0, with which nothing turns the GIL on.
env -u PYTHON_GIL "$tests" -W error -c '
import sys, flask_tenant_auth._core
sys.exit("the import of the core has turned the GIL on" if sys._is_gil_enabled() else 0)'

# shellcheck disable=SC2046,SC2086  # words, on purpose
PYTHON_GIL=0 exec "$tests" -X faulthandler -m pytest -q -p no:cacheprovider \
    $(sed 's/^/--ignore=/' scripts/freethreaded_without.txt) ${PYTEST_ARGS:-tests/unit tests/flask}
