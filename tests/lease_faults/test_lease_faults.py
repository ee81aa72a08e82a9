"""No window hands out more than its limit, whatever dies, stops, is cut off or loses its clock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flask_tenant_auth._core import Limit, Limiter, parse_rates
from servers import Redis

from .host import ADDRESS
from .proxy import Proxy
from .run import Plan, Result, run
from .schedule import CONTROLS, Options

LANES = 2
LEASES = (0.0, 0.5)  # of a host, one of these


@contextmanager
def proxied(redis: Redis) -> Iterator[Proxy]:
    """A proxy in a thread of its own."""
    loop, proxy = asyncio.new_event_loop(), Proxy(redis.port)
    loop.run_until_complete(proxy.open())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(proxy.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def limiter(port: int) -> Iterator[Limiter]:
    made = Limiter(
        prefix="faults",
        shared=False,
        redis_url=f"redis://127.0.0.1:{port}",
        timeout_ms=2000,
        on_store_error="deny",
    )
    try:
        yield made
    finally:
        made.close()


def told_by(result: Result) -> str:
    return f"seed {result.seed}: {result.faulty}"


def test_random_schedules_of_faults_admit_no_more_than_the_limits() -> None:
    result = run(Plan(seed=1, schedules=10, lanes=LANES), Options(leases=LEASES))
    assert not result.faulty, told_by(result)
    assert result.counts["allowed"] > 0 < result.counts["uncounted"]


def test_a_reservation_is_given_back_once_though_the_answer_is_lost(redis: Redis) -> None:
    """The connection closes after Redis has given back, so nobody knows whether it has."""
    (rate,) = parse_rates("2 per hour")
    limits = [Limit(rate, scope="given back", per="address")]
    with proxied(redis) as proxy, limiter(proxy.port) as far, limiter(redis.port) as near:
        reservation = far.reserve(limits, None, ADDRESS)
        assert reservation.decision.allowed
        assert near.hit(limits, None, ADDRESS).allowed
        proxy.lost_answers = 1
        reservation.give_back()
        assert [near.hit(limits, None, ADDRESS).allowed for _ in range(2)] == [True, False]


# The positive controls: a judge that lets these pass would let anything pass.
@pytest.fixture(scope="module")
def with_controls() -> Result:
    options = Options(controls=tuple(CONTROLS))
    return run(Plan(seed=2, schedules=len(CONTROLS), lanes=LANES), options)


@pytest.mark.parametrize("control", CONTROLS)
def test_what_no_limiter_survives_is_found(with_controls: Result, control: str) -> None:
    assert with_controls.found[control] > 0
