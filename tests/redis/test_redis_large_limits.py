"""Limits up to the largest, in Redis. test_redis_script.py holds the script against the core."""

from __future__ import annotations

import pytest

from flask_tenant_auth._core import STRATEGIES, Limit, Limiter, parse_rates
from servers import Redis

BOUNDARIES = [1, 2, 2**23 - 1, 2**23, 2**31 - 2, 2**31 - 1]


@pytest.mark.parametrize("limit", BOUNDARIES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_window_in_redis_allows_exactly_the_limit(
    redis: Redis, strategy: str, limit: int
) -> None:
    counter = Limiter(
        prefix=f"large {limit}",
        strategy=strategy,
        shared=False,
        redis_url=redis.url,
        timeout_ms=20_000,
    )
    (rate,) = parse_rates(f"{limit} per 5 years")
    half = limit // 2
    left = []
    for cost in (limit - half, max(half, 1), max(half, 1)):
        decision = counter.hit([Limit(rate, scope=strategy, cost=cost)], None, "192.0.2.1")
        assert decision.store == "redis"
        assert decision.limit == limit
        left.append(decision.remaining if decision.allowed else None)
    assert left[0] == half
    if strategy == "gcra":  # Time has paid for a part of the first hit.
        assert left[1] is None or left[1] <= limit // 100
    else:
        assert left[1] == (0 if half else None)
    assert left[2] is None
