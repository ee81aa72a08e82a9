"""Log ins of several hosts: their failures are counted in Redis, and given back there."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from flask import Flask, request
from redis import Redis as Client

from apps import make_app
from flask_tenant_auth import AuthError, login_limit
from flask_tenant_auth._core import STRATEGIES, Limit, Limiter, Rate
from flask_tenant_auth.flask.state import state_of
from servers import Redis


def host(redis: Redis, strategy: str, asked: list[int]) -> Flask:
    """An app as it runs on one of several hosts."""
    app = make_app(
        REDIS_URL=redis.url,
        RATELIMIT_KEY_PREFIX="logins",
        RATELIMIT_STRATEGY=strategy,
        RATELIMIT_STORE_TIMEOUT_MS=5000,
        RATELIMIT_DEFAULT="",
        AUTH_FAILURE_LIMIT="",
    )

    @app.post("/login")
    @login_limit("5 per 15 minutes", key="email", address_limit="99 per minute", scope="login")
    def login() -> Any:
        asked.append(1)
        time.sleep(0.05)
        if request.get_json()["password"] != "right":
            raise AuthError("Wrong")
        return {"ok": True}

    return app


def post(app: Flask, password: str) -> int:
    body = {"email": "ann@red.example", "password": password}
    return app.test_client().post("/login", json=body).status_code


@pytest.fixture
def clean(redis: Redis) -> Redis:
    with Client.from_url(redis.url) as client:
        client.flushall()
    return redis


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_of_a_burst_on_two_hosts_the_budget_reaches_the_views(clean: Redis, strategy: str) -> None:
    asked: list[int] = []
    hosts = [host(clean, strategy, asked), host(clean, strategy, asked)]
    statuses: list[int] = []
    barrier = threading.Barrier(14)

    def guess(number: int) -> None:
        barrier.wait()
        statuses.append(post(hosts[number % 2], "wrong"))

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted_in = [state_of(app).limiter.status() for app in hosts]
    assert [each["changes"] for each in counted_in] == [0, 0], counted_in
    assert sorted(statuses) == [401] * 5 + [429] * 9
    assert len(asked) == 5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_success_on_one_host_makes_room_on_the_other_at_once(clean: Redis, strategy: str) -> None:
    one, other = host(clean, strategy, []), host(clean, strategy, [])
    assert [post(one, "wrong") for _ in range(4)] == [401] * 4
    began = threading.Event()
    found: list[int] = []

    def log_in() -> None:
        began.set()
        found.append(post(one, "right"))

    thread = threading.Thread(target=log_in)
    thread.start()
    began.wait()
    time.sleep(0.02)
    # Whether it is limited now or not, nobody remembers it.
    post(other, "wrong")
    thread.join()
    assert found == [200]
    assert [post(other, "right") for _ in range(7)] == [200] * 7


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_given_back_on_one_host_is_there_on_the_other(clean: Redis, strategy: str) -> None:
    def limiter() -> Limiter:
        return Limiter(
            prefix="p", strategy=strategy, redis_url=clean.url, timeout_ms=5000, shared=False
        )

    one, other = limiter(), limiter()
    limits = [Limit(Rate(2, 3600), scope="s", per="address")]
    taken = [one.reserve(limits, None, "192.0.2.1") for _ in range(2)]
    assert all(each.decision.store == "redis" for each in taken)
    assert not other.reserve(limits, None, "192.0.2.1").decision.allowed
    assert taken[0].give_back()
    time.sleep(0.01)  # gcra: time pays for what passed in between
    back = other.reserve(limits, None, "192.0.2.1")
    assert back.decision.allowed
    assert taken[0].give_back()  # nothing more
    assert not other.reserve(limits, None, "192.0.2.1").decision.allowed
    # After a reset nothing of before is given back.
    one.reset(limits, None, "192.0.2.1")
    assert other.hit(limits, None, "192.0.2.1").remaining == 1
    assert taken[1].give_back()
    assert back.give_back()
    assert other.peek(limits, None, "192.0.2.1").remaining == 1


def test_what_redis_has_counted_stays_counted_while_it_is_away(clean: Redis) -> None:
    limiter = Limiter(prefix="p", redis_url=clean.url, timeout_ms=5000, shared=False)
    limits = [Limit(Rate(2, 3600), scope="s", per="address")]
    reservation = limiter.reserve(limits, None, "192.0.2.1")
    limiter.close()  # from now on this limiter leaves Redis alone
    assert not reservation.give_back()
    with Client.from_url(clean.url) as client:
        assert len(client.keys("{fta:p}*")) == 1
