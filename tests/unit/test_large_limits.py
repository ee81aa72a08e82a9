"""Limits up to the largest, in the table that the processes of a host share."""

from __future__ import annotations

import uuid

import pytest

from flask_tenant_auth._core import STRATEGIES, Identity, Limit, Limiter, parse_rates

SOMEBODY = Identity(str(uuid.UUID(int=1)), str(uuid.UUID(int=2)))
BOUNDARIES = [1, 2, 1023, 1024, 2**23 - 1, 2**23, 2**30 - 1, 2**30, 2**31 - 2, 2**31 - 1]
PERIODS = ["day", "year", "5 years"]


def left_after(limiter: Limiter, text: str, costs: list[int]) -> list[int | None]:
    """What remains of the limit after each cost; None where the hit is denied."""
    rate = parse_rates(text)[0]
    decisions = [
        limiter.hit([Limit(rate, scope="large", per="user", cost=cost)], SOMEBODY, "")
        for cost in costs
    ]
    assert {decision.limit for decision in decisions} == {rate.limit}
    return [decision.remaining if decision.allowed else None for decision in decisions]


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("limit", BOUNDARIES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_window_allows_exactly_the_limit(strategy: str, limit: int, period: str) -> None:
    limiter = Limiter(prefix="tests", strategy=strategy, shared=False, shm_bytes=2**16)
    half = limit // 2
    left = left_after(limiter, f"{limit} per {period}", [limit - half, max(half, 1), max(half, 1)])
    assert left[0] == half
    if strategy == "gcra":  # Time has paid for a part of the first hit.
        assert left[1] is None or left[1] <= limit // 100
    else:
        assert left[1] == (0 if half else None)
    assert left[2] is None


@pytest.mark.parametrize("limit", [2**23, 2**31 - 1])
@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "gcra"])
def test_the_last_requests_of_a_large_limit_are_counted_one_by_one(
    strategy: str, limit: int
) -> None:
    limiter = Limiter(prefix="tests", strategy=strategy, shared=False, shm_bytes=2**16)
    left = left_after(limiter, f"{limit} per 5 years", [limit - 3, 1, 1, 1, 1])
    assert left == [3, 2, 1, 0, None]
