#!/bin/sh
# Runs the tests of the core with threads under ThreadSanitizer, on a CPython without the GIL.
#
#   scripts/tsan_freethreaded.sh [TEST...]
#
# The interpreter has ThreadSanitizer too (make_freethreaded.sh), and so does the core that it builds,
# below build/tsan-python. Suppressed is what CPython itself suppresses, and what
# tests/sanitized/tsan_python.txt says. A core without locks is built beside it: its race must be
# found, or this run would mean nothing. FTA_THREAD_SECONDS is the time of each test with threads.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
cache=${FTA_CACHE:-$PWD/build}/freethreaded
[ $# -gt 0 ] || set -- tests/unit/test_core_shared.py tests/unit/test_core_changes.py \
    tests/unit/test_core_threads.py tests/unit/test_core_interpreters.py
"$here/make_freethreaded.sh" 3.13 tsan
venv=$("$here/freethreaded_venv.sh")
prefix=$cache/3.13-tsan
# The packages are those of the other build. Its core is not: an editable one is not on this path.
packages=$(echo "$venv"/lib/python3.*/site-packages)

without_aslr=
! setarch -R true 2>/dev/null || without_aslr='setarch -R'

# under_tsan FOLDER COMMAND...: runs Python, with the build in a folder; reports go into it.
under_tsan() {
    folder=$1
    shift
    rm -f "$folder"/report.*
    env PYTHON_GIL=0 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$folder:$packages" FTA_TSAN="$folder" \
        TSAN_OPTIONS="suppressions=$suppressions exitcode=0 log_path=$folder/report" \
        $without_aslr "$prefix/bin/python3" "$@"
}

# build FOLDER FLAGS: the core, and the Python files of this tree beside it.
build() {
    folder=$1
    mkdir -p "$folder"
    rm -rf "$folder/flask_tenant_auth"
    CFLAGS=$2 TSAN_OPTIONS=report_bugs=0 PYTHONPATH=$packages $without_aslr "$prefix/bin/python3" \
        setup.py -q build --build-lib "$folder" --build-temp "$folder/objects" >"$folder/log" 2>&1 || {
        tail -n 40 "$folder/log" >&2
        exit 1
    }
}

# -P and pythonpath: not the root of this checkout, whose package is another build.
pytest='-P -m pytest -q -p no:cacheprovider -o pythonpath=tests/support'

tsan=$PWD/build/tsan-python
suppressions=$tsan/suppressions.txt
mkdir -p "$tsan"
cat "$prefix/suppressions.txt" tests/sanitized/tsan_python.txt >"$suppressions"
echo "Building the core with ThreadSanitizer" >&2
# setuptools takes CFLAGS for all of the interpreter's flags, among which is -fsanitize.
flags="-O1 -g -fno-omit-frame-pointer -fsanitize=thread"
build "$tsan" "$flags"
# setup.py tries the flags on a program that does not look for Python.h.
include=$("$prefix/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("include"))')
build "$tsan/without-locks" "$flags -I$include -include $PWD/tests/sanitized/without_locks.h"

under_tsan "$tsan/without-locks" -P tests/sanitized/member_race.py >"$tsan/without-locks/log" 2>&1 || true
if ! cat "$tsan"/without-locks/report.* 2>/dev/null | grep -q 'data race.*member_\|#0 fta_member_'; then
    tail -n 40 "$tsan/without-locks/log" >&2
    echo "tsan_freethreaded.sh: the race of a core without locks was not found" >&2
    exit 1
fi
echo "The race of a core without locks is found"

# shellcheck disable=SC2016
under_tsan "$tsan" -P -c '
import os, flask_tenant_auth._core as core
assert core.__file__.startswith(os.environ["FTA_TSAN"]), core.__file__'
result=0
# shellcheck disable=SC2086
under_tsan "$tsan" $pytest "$@" || result=1
for report in "$tsan"/report.*; do
    [ -e "$report" ] || continue
    cat "$report"
    result=1
done
exit $result
