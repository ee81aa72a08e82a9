"""No session is lost or has two lives, whatever is killed at whatever moment of a refresh."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_tenant_auth.sessions.sessions import SessionDenied
from servers import PostgreSQL

from .kills import kill_postgresql, kill_redis, kill_workers


def test_a_worker_is_killed_with_sqlite(tmp_path: Path) -> None:
    assert kill_workers(f"sqlite:///{tmp_path}/s.db", 25, seed=1).unanswered > 0


def test_a_worker_is_killed_with_postgresql() -> None:
    with PostgreSQL() as server:
        assert kill_workers(server.url, 25, seed=1).unanswered > 0


def test_postgresql_is_killed() -> None:
    assert kill_postgresql(4, seed=1).kills == 4


def test_redis_is_killed() -> None:
    assert kill_redis(25, seed=1).unanswered > 0


def test_a_redis_that_keeps_nothing_is_found() -> None:
    """The positive control."""
    with pytest.raises(SessionDenied, match="session_unknown"):
        kill_redis(25, seed=1, keeps=False)


@pytest.mark.soak
def test_a_thousand_kills(tmp_path: Path) -> None:
    told = kill_workers(f"sqlite:///{tmp_path}/s.db", 1000, seed=2)
    assert 0 < told.advanced < told.unanswered
    with PostgreSQL() as server:
        told = kill_workers(server.url, 1000, seed=3)
        assert 0 < told.advanced < told.unanswered
    told = kill_redis(300, seed=5)
    assert 0 < told.advanced < told.unanswered < told.kills
    # PostgreSQL answers some microseconds after it has stored: no kill can be counted on to come
    # between the two. That of the worker, above, has the same effect.
    told = kill_postgresql(200, seed=4)
    assert 0 < told.unanswered < told.kills
