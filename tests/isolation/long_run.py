"""Runs a part of a long run, and lists the features that a long run lacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from servers import PostgreSQL as Server

from .compare import Report
from .databases import PostgreSQL, SQLite, World
from .features import FEATURES, POSTGRESQL_FEATURES
from .run import Runner

# In a run of LONG statements each feature has to occur OFTEN times, and with rows at least once.
LONG, OFTEN = 20_000, 5
WITHOUT_ROWS = ("attack: ", "text: ", "get: of others", "bulk update of others' rows")


@contextmanager
def world_of(dialect: str) -> Iterator[World]:
    logging.getLogger("flask_tenant_auth").setLevel(logging.ERROR)  # each unscoped() is a warning
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # warns of each failed executemany()
    if dialect == "sqlite":
        world: World = SQLite()
        yield world
        world.close()
    else:
        with Server() as server:
            world = PostgreSQL(server.url)
            yield world
            world.close()


def run_part(
    dialect: str, seed: int, parts: list[tuple[int, int]], control: bool, smaller: bool
) -> tuple[Report, dict[str, tuple[int, str]]]:
    """Run some of the statements. Return the counts and one failure of each kind."""
    found: dict[str, tuple[int, str]] = {}
    with world_of(dialect) as world:
        runner = Runner(world, seed, control)
        for first, count in parts:
            runner.run(count, first)
        for finding in runner.findings:
            kind = f"{finding.difference.kind} by {finding.difference.case.name}"
            if kind not in found and not control:
                text = str(finding)
                if smaller:
                    text += f"\n\nmade smaller:\n{runner.smaller(finding)}"
                found[kind] = (finding.number, text)
    return runner.report, found


def missing_features(dialect: str, report: Report) -> list[str]:
    """Return the features that a long run lacks."""
    if report.cases < LONG:
        return []
    expected = FEATURES | (POSTGRESQL_FEATURES if dialect == "postgresql" else set())
    return sorted(
        name
        for name in expected
        if report.features[name] < OFTEN
        or (not report.nonempty[name] and not name.startswith(WITHOUT_ROWS))
    )
