"""No process ends by a signal, or hangs, where threads use at its end what owns a resource."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import exits
from exit_runs import ORDINARY, SOAK, failures_of
from flask_tenant_auth import _core
from paths import ROOT
from servers import Redis

# Each module with a finalizer, a function at the exit or a thread, and who uses it there. None: it
# has its reason beside it.
USERS: dict[str, str | None] = {
    "alerts/alerts.py": "app",
    "alerts/outbox.py": "Outbox",
    "ending.py": "app",
    "flask/live_sessions.py": "app",
    "flask/state.py": "app",
    "keys/jwk_sets.py": "app with a silent provider",
    "limit/denied.py": "app",
    "limit/leases.py": "app with Redis",
    "probe/load.py": None,  # the threads of a command, which waits for them
    "sessions/follower.py": "app",
    "sessions/sql_database.py": "store in memory",
    "sessions/sql_deadlines.py": "store in PostgreSQL",
    "timed_exchange.py": "app with a silent provider",
}
# A test with PostgreSQL plays it.
HERE = sorted(set(exits.OBJECTS) - {"store in PostgreSQL"})
OWNING = r"\bEnding\(|atexit\.register\b|threading\.Thread\("


def test_the_list_has_all_that_owns_a_resource() -> None:
    package = ROOT / "flask_tenant_auth"
    found = {
        str(each.relative_to(package))
        for each in package.rglob("*.py")
        if re.search(OWNING, each.read_text("utf-8"))
    }
    assert found == set(USERS)
    assert {each for each in USERS.values() if each is not None} <= set(exits.OBJECTS)
    closing = {name for name in dir(_core) if hasattr(getattr(_core, name), "close")}
    assert closing <= set(exits.OBJECTS)


def test_each_process_ends_well_while_threads_go_on(redis: Redis, tmp_path: Path) -> None:
    assert failures_of(tmp_path, ORDINARY, HERE, redis_url=redis.url) == []


@pytest.mark.soak
def test_many_processes_end_well_while_threads_go_on(redis: Redis, tmp_path: Path) -> None:
    assert failures_of(tmp_path, SOAK, HERE, redis_url=redis.url) == []
