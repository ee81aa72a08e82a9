"""Random statements against a database that holds the identity's rows alone.

`make isolation` runs many more of them. A failure says its seed and its statement's number:
`python -m tests.isolation --dialect sqlite --seed SEED --first NUMBER --statements 1` repeats it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import PostgreSQL as Server

from .choices import shrink
from .databases import PostgreSQL, SQLite, World
from .features import FEATURES, POSTGRESQL_FEATURES
from .run import Runner

ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("SEED") or 9)
STATEMENTS = {"sqlite": 800, "postgresql": 200}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    # Each use of unscoped() is a warning.
    logger = logging.getLogger("flask_tenant_auth")
    level = logger.level
    logger.setLevel(logging.ERROR)
    if request.param == "sqlite":
        world: World = SQLite()
    else:
        server: Server = request.getfixturevalue("postgresql")
        world = PostgreSQL(server.url)
    yield world
    world.close()
    logger.setLevel(level)


@pytest.fixture(scope="module")
def runner(world: World) -> Runner:
    runner = Runner(world, SEED)
    runner.run(STATEMENTS[world.dialect])
    return runner


def test_random_statements_answer_as_if_there_were_only_own_rows(runner: Runner) -> None:
    """And no row of anybody else changes."""
    if runner.findings:
        pytest.fail(
            f"seed {SEED}, {runner.world.dialect}: {len(runner.findings)} statements fail; "
            f"the first:\n{runner.smaller(runner.findings[0], attempts=100)}",
            pytrace=False,
        )


def test_hardly_a_random_statement_is_refused(runner: Runner) -> None:
    """Attacks and SQL written as text aside, plain SQLAlchemy's statements are answered."""
    assert sum(runner.report.refused_needlessly.values()) < 0.02 * runner.report.executions


def test_most_features_occur_in_a_short_run(runner: Runner) -> None:
    expected = FEATURES | (POSTGRESQL_FEATURES if runner.world.dialect == "postgresql" else set())
    missing = {name for name in expected if not runner.report.features[name]}
    # A short run has most of them; `make isolation` fails unless it has all.
    assert len(missing) < 0.3 * len(expected), missing


def test_most_random_statements_return_or_change_rows(runner: Runner) -> None:
    """A statement that returns nothing proves nothing."""
    assert runner.report.nonempty_cases > 0.5 * runner.report.compared


def test_few_random_statements_are_wrong_on_plain_sqlalchemy(runner: Runner) -> None:
    assert runner.report.invalid < 0.15 * runner.report.executions


def test_without_isolation_the_answers_differ(world: World) -> None:
    """Positive control: the comparison finds what isolation is there to prevent."""
    runner = Runner(world, SEED, control=True)
    runner.run(40)
    assert len(runner.findings) > 0.4 * runner.report.cases


@pytest.mark.parametrize("left_out", ["tag", "email"])
def test_a_class_whose_scope_is_left_out_is_found(left_out: str) -> None:
    """Positive control: one mistake in the models, in a process of its own."""
    arguments = ["--statements", "50", "--seed", str(SEED), "--all", "--as-found"]
    found = subprocess.run(
        [sys.executable, "-m", "tests.isolation", *arguments],
        cwd=ROOT,
        env={**os.environ, "ISOLATION_SABOTAGE": left_out},
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1, found.stdout + found.stderr
    assert "leak" in found.stdout
    assert left_out in found.stdout


def test_the_same_seed_makes_the_same_statements(world: World) -> None:
    def statements(seed: int) -> tuple[int, int, Counter[str]]:
        runner = Runner(world, seed)
        runner.run(8)
        return runner.report.executions, runner.report.answered, runner.report.features

    assert statements(3) == statements(3)
    assert statements(3) != statements(4)


def test_a_failing_script_of_choices_is_made_small() -> None:
    small = shrink(list(range(40)), lambda script: sum(each >= 7 for each in script) >= 3)
    assert len(small) == 3
    assert all(7 <= each < 14 for each in small)
