"""Random statements against a database that holds the identity's rows alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from servers import PostgreSQL as Server

from .databases import PostgreSQL, SQLite, World
from .run import Runner


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Each use of unscoped() is a warning."""
    caplog.set_level(logging.ERROR, "flask_tenant_auth")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "sqlite":
        world: World = SQLite()
    else:
        server: Server = request.getfixturevalue("postgresql")
        world = PostgreSQL(server.url)
    yield world
    world.close()


def test_without_isolation_the_answers_differ(world: World) -> None:
    """Positive control: the comparison finds what isolation is there to prevent."""
    runner = Runner(world, seed=1, control=True)
    runner.run(150)
    assert len(runner.findings) > 0.4 * runner.report.cases
