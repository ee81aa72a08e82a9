"""Random statements against a database that holds the identity's rows alone.

`make isolation` runs many more of them. A failure says its seed and its statement's number:
`python -m tests.isolation --dialect sqlite --seed SEED --first NUMBER --statements 1` repeats it.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .choices import shrink
from .features import FEATURES, POSTGRESQL_FEATURES

ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("SEED") or 9)
STATEMENTS = {"sqlite": 800, "postgresql": 200}


def observe(dialect: str) -> dict[str, Any]:
    """Run random statements, and return what was seen.

    In a process of its own: all models of a process are in one catalogue of scoped tables, and
    those of other tests have names of tables that these have as well.
    """
    from .long_run import world_of
    from .run import Runner

    with world_of(dialect) as world:
        runner = Runner(world, SEED)
        runner.run(STATEMENTS[dialect])
        failures = [runner.smaller(each, attempts=100) for each in runner.findings[:1]]
        control = Runner(world, SEED, control=True)
        control.run(40)
        made = []
        for seed in (3, 3, 4):
            again = Runner(world, seed)
            again.run(8)
            made.append((again.report.executions, again.report.answered, again.report.features))
    return {
        "dialect": dialect,
        "report": SimpleNamespace(**vars(runner.report)),
        "failing": len(runner.findings),
        "failures": [str(each) for each in failures],
        "control": (len(control.findings), control.report.cases),
        "made": made,
    }


@pytest.fixture(scope="module")
def observing() -> Iterator[dict[str, Future[dict[str, Any]]]]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield {dialect: pool.submit(observe, dialect) for dialect in STATEMENTS}


@pytest.fixture(scope="module", params=list(STATEMENTS))
def seen(
    request: pytest.FixtureRequest, observing: dict[str, Future[dict[str, Any]]]
) -> SimpleNamespace:
    return SimpleNamespace(**observing[request.param].result())


def test_random_statements_answer_as_if_only_own_rows_existed(seen: SimpleNamespace) -> None:
    """And no row of anybody else changes."""
    if seen.failing:
        pytest.fail(
            f"seed {SEED}, {seen.dialect}: {seen.failing} statements fail; "
            f"the first:\n{seen.failures[0]}",
            pytrace=False,
        )


def test_hardly_a_random_statement_is_refused(seen: SimpleNamespace) -> None:
    """Attacks and SQL written as text aside, plain SQLAlchemy's statements are answered."""
    assert sum(seen.report.refused_needlessly.values()) < 0.02 * seen.report.executions


def test_most_features_occur_in_a_short_run(seen: SimpleNamespace) -> None:
    expected = FEATURES | (POSTGRESQL_FEATURES if seen.dialect == "postgresql" else set())
    missing = {name for name in expected if not seen.report.features[name]}
    # A short run has most of them; `make isolation` fails unless it has all.
    assert len(missing) < 0.3 * len(expected), missing


def test_most_random_statements_return_or_change_rows(seen: SimpleNamespace) -> None:
    """A statement that returns nothing proves nothing."""
    assert seen.report.nonempty_cases > 0.5 * seen.report.compared


def test_few_random_statements_are_wrong_on_plain_sqlalchemy(seen: SimpleNamespace) -> None:
    assert seen.report.invalid < 0.15 * seen.report.executions


def test_without_isolation_the_answers_differ(seen: SimpleNamespace) -> None:
    """Positive control: the comparison finds what isolation is there to prevent."""
    findings, cases = seen.control
    assert findings > 0.4 * cases


def test_the_same_seed_makes_the_same_statements(seen: SimpleNamespace) -> None:
    first, again, other = seen.made
    assert first == again
    assert first != other


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


def test_a_failing_script_of_choices_is_made_small() -> None:
    small = shrink(list(range(40)), lambda script: sum(each >= 7 for each in script) >= 3)
    assert len(small) == 3
    assert all(7 <= each < 14 for each in small)
