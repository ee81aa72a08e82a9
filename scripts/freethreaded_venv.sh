#!/bin/sh
# Makes the environment of the tests without the GIL, and prints its directory.
#
#   scripts/freethreaded_venv.sh [PYTHON]
#
# PYTHON is a free-threaded interpreter, such as python3.14t, or a version that make_freethreaded.sh
# builds; without it, 3.13. The packages are those of the group `freethreaded`; this one is not among
# them.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${FTA_CACHE:-$here/../build}/freethreaded
python=${1:-3.13}
case $python in
3.1?)
    "$here/make_freethreaded.sh" "$python"
    python=$cache/$python/bin/python3
    ;;
esac

if ! "$python" -c 'import sys, sysconfig; sys.exit(not sysconfig.get_config_var("Py_GIL_DISABLED"))'; then
    echo "freethreaded_venv.sh: $python is no free-threaded CPython" >&2
    exit 1
fi
mkdir -p "$cache"
venv=$(cd "$cache" && pwd)/venv-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')
if ! cmp -s "$here/../pyproject.toml" "$venv/.made"; then
    echo "Making $venv" >&2
    "$python" -m venv "$venv"
    cd "$here/.."
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1' 'setuptools>=77'
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --prefer-binary \
        --only-binary pydantic-core --group freethreaded
    cp pyproject.toml "$venv/.made"
fi
echo "$venv"
