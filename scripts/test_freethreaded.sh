#!/bin/sh
# Runs the Python tests of tests/unit and tests/flask on a CPython without the GIL.
#
#   scripts/test_freethreaded.sh [PYTHON]
#
# PYTHON is that of freethreaded_venv.sh. Where there is no cryptography, the files of
# scripts/freethreaded_without.txt and the tests with the mark `cryptography` are left out. PYTEST_ARGS
# is for pytest, and FTA_THREAD_SECONDS the time of each test with threads.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tests=$("$here/freethreaded_venv.sh" "$@")/bin/python

cd "$here/.."
"$tests" -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --editable .

# Asked without PYTHON_GIL=0, with which nothing turns the GIL on.
env -u PYTHON_GIL "$tests" -W error -c '
import sys, flask_tenant_auth._core
sys.exit("the import of the core has turned the GIL on" if sys._is_gil_enabled() else 0)'

marks='not soak'
without=
if ! "$tests" -c 'import cryptography' 2>/dev/null; then
    marks='not soak and not cryptography'
    without=$(sed '/^#/d; s/^/--ignore=/' scripts/freethreaded_without.txt)
fi
# The package refuses a 3.14 whose threads inherit the context of a request.
export PYTHON_GIL=0 PYTHON_THREAD_INHERIT_CONTEXT=0
# shellcheck disable=SC2086  # words, on purpose
exec "$tests" -X faulthandler -m pytest -q -p no:cacheprovider -m "$marks" $without \
    ${PYTEST_ARGS:-tests/unit tests/flask}
