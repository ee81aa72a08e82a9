"""tests/interpreters in roots with mod_wsgi and uWSGI; `make test-interpreters` runs this.

Each system has both servers for its own Python. FTA_SUITES="bookworm trixie" chooses suites;
FTA_CACHE keeps downloads elsewhere than below build/.
"""

from __future__ import annotations

import re

import pytest

from bare_roots import SUITES, directory_of, made_root

BUILD = ("gcc", "libc6-dev", "pkg-config", "python3-dev", "python3-venv")
LIBRARIES = ("libjwt-dev", "libssl-dev", "libhiredis-dev")
SERVERS = (
    *("apache2-bin", "libapache2-mod-wsgi-py3"),
    *("uwsgi-core", "uwsgi-plugin-python3", "redis-server"),
)


@pytest.mark.parametrize("suite", SUITES)
def test_two_interpreters_of_one_process_stay_right(suite: str) -> None:
    directory = directory_of(f"{suite}-interpreters")
    root = made_root(suite, directory, "root", *BUILD, *LIBRARIES, *SERVERS)
    root.succeeds(
        "python3 -m venv /venv && /venv/bin/pip install -q --editable /checkout 'pytest>=8'"
    )
    said = root.succeeds(
        "FTA_INTERPRETERS=1 /venv/bin/python -m pytest -q -p no:cacheprovider tests/interpreters"
    )
    assert re.search(r"^\d\d passed in ", said, re.MULTILINE), said[-2000:]
    root.remove()
