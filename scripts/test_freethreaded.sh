#!/bin/sh
# Runs the Python tests of tests/unit and tests/flask on a CPython without the GIL.
#
#   scripts/test_freethreaded.sh [PYTHON]
#
# PYTHON is that of freethreaded_venv.sh. scripts/freethreaded_without.txt has the files that are left
# out, and the tests with the mark not_freethreaded are as well. PYTEST_ARGS is for pytest, and
# FTA_THREAD_SECONDS the time of each test with threads.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tests=$("$here/freethreaded_venv.sh" "$@")/bin/python

cd "$here/.."
"$tests" -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --editable .

# Asked without PYTHON_GIL=0, with which nothing turns the GIL on.
env -u PYTHON_GIL "$tests" -W error -c '
import sys, flask_tenant_auth._core
sys.exit("the import of the core has turned the GIL on" if sys._is_gil_enabled() else 0)'

# shellcheck disable=SC2046,SC2086  # words, on purpose
PYTHON_GIL=0 exec "$tests" -X faulthandler -m pytest -q -p no:cacheprovider \
    -m 'not soak and not not_freethreaded' \
    $(sed 's/#.*//; s/^./--ignore=&/' scripts/freethreaded_without.txt) ${PYTEST_ARGS:-tests/unit tests/flask}
