"""No window hands out more than its limit, whatever dies, stops, is cut off or loses its clock."""

from __future__ import annotations

import pytest

from .run import Plan, Result, run
from .schedule import CONTROLS, Options

LANES = 2
WITHOUT_LEASES = tuple(name for name in CONTROLS if name != "slow host")


def told_by(result: Result) -> str:
    return f"seed {result.seed}: {result.faulty}, undecided {result.undecided}"


def test_random_schedules_of_faults_admit_no_more_than_the_limits() -> None:
    result = run(Plan(seed=1, schedules=10, lanes=LANES), Options(redis_steps="forwards"))
    assert not result.faulty, told_by(result)
    assert not result.undecided, told_by(result)
    assert result.counts["allowed"] > 0 < result.counts["uncounted"]


# The positive controls: a judge that lets these pass would let anything pass.
@pytest.fixture(scope="module")
def with_controls() -> Result:
    options = Options(redis_steps="none", controls=WITHOUT_LEASES)
    return run(Plan(seed=2, schedules=3 * len(WITHOUT_LEASES), lanes=LANES), options)


@pytest.mark.parametrize("control", WITHOUT_LEASES)
def test_what_no_limiter_survives_is_found(with_controls: Result, control: str) -> None:
    assert with_controls.found[control] > 0
