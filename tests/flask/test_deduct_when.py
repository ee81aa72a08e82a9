"""``deduct_when``: the response decides whether a request counts, and a burst cannot pass."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from flask import Flask, request

from apps import bare_app, make_app
from flask_tenant_auth import AuthError, rate_limit
from flask_tenant_auth._core import STRATEGIES
from flask_tenant_auth.flask.state import state_of


def app_of(app: Flask | None = None, **arguments: Any) -> Flask:
    app = make_app(AUTH_FAILURE_LIMIT="") if app is None else app

    @app.get("/")
    @rate_limit(
        "3 per hour",
        per="address",
        **({"deduct_when": lambda response: response.status_code == 404} | arguments),
    )
    def view() -> Any:
        time.sleep(float(request.args.get("sleep", 0)))
        return "", int(request.args["status"])

    return app


def statuses(app: Flask, *wanted: int) -> list[int]:
    client = app.test_client()
    return [client.get(f"/?status={status}").status_code for status in wanted]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_what_the_response_says_is_counted(strategy: str) -> None:
    app = app_of(make_app(RATELIMIT_STRATEGY=strategy))
    assert statuses(app, *[200] * 10, 404, 404, 200, 404, 200, 404) == [
        *[200] * 10,
        *(404, 404, 200, 404),
        *(429, 429),
    ]


def test_it_works_without_tenantauth() -> None:
    assert statuses(app_of(bare_app()), 200, 200, 200, 200, 404, 404, 404, 404) == [
        *[200] * 4,
        *(404, 404, 404, 429),
    ]


def test_a_burst_does_not_pass_in_between() -> None:
    app = app_of()
    found: list[int] = []
    barrier = threading.Barrier(20)

    def ask() -> None:
        barrier.wait()
        found.append(app.test_client().get("/?status=404&sleep=0.2").status_code)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [404] * 3 + [429] * 17


def test_headers_say_what_remains_after_the_response() -> None:
    client = app_of().test_client()
    for status, remaining in ((200, "3"), (404, "2"), (200, "2"), (404, "1")):
        response = client.get(f"/?status={status}")
        assert response.headers["X-RateLimit-Remaining"] == remaining, status


def test_other_limits_of_the_view_count_every_request() -> None:
    app = make_app()

    @app.get("/")
    @rate_limit("4 per hour", per="address")
    @rate_limit(
        "2 per hour", per="address", deduct_when=lambda response: response.status_code > 299
    )
    @rate_limit("9 per hour; 99 per day", per=lambda: "key", deduct_when=lambda response: False)
    def view() -> Any:
        return "", int(request.args["status"])

    assert statuses(app, 200, 200, 404, 404, 200) == [200, 200, 404, 404, 429]
    limiter = state_of(app).limiter
    plan = state_of(app).plans.made["view", "GET"]
    limits, custom, deductions = plan.resolve(None)
    left = {
        limit.rate.limit: limiter.peek([limit], None, "127.0.0.1", custom[:1]).remaining
        for limit in limits
    }
    assert left == {4: 0, 2: 0, 9: 9, 99: 99}
    assert [(each.start, each.stop) for each in deductions] == [(1, 2), (2, 4)]


def test_a_denial_of_the_view_is_a_response_too() -> None:
    app = make_app(AUTH_FAILURE_LIMIT="")

    @app.get("/")
    @rate_limit(
        "2 per hour", per="address", deduct_when=lambda response: response.status_code == 401
    )
    def view() -> Any:
        raise AuthError("Wrong")

    client = app.test_client()
    assert [client.get("/").status_code for _ in range(3)] == [401, 401, 429]


def test_a_deduct_when_that_raises_leaves_the_request_counted() -> None:
    app = app_of(deduct_when=lambda response: 1 / 0)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert statuses(app, 200, 200, 200, 200) == [500, 500, 500, 429]


@pytest.mark.parametrize("wrong", [5, "x", lambda: True, lambda a, b: True])
def test_a_deduct_when_that_takes_no_response_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="deduct_when"):
        rate_limit("1 per day", deduct_when=wrong)


def test_an_async_deduct_when_is_a_type_error() -> None:
    async def deduct(_response: object) -> bool:
        return False

    with pytest.raises(TypeError, match="not async"):
        rate_limit("1 per day", deduct_when=deduct)  # type: ignore[arg-type]


def test_flask_auth_check_says_that_the_response_decides() -> None:
    app = app_of()
    result = app.test_cli_runner().invoke(args=["auth", "check"])
    assert "by response" in result.output


def test_after_a_failure_the_answer_to_the_error_decides_nothing() -> None:
    app = app_of(deduct_when=lambda response: response.status_code == 200 and 1 / 0)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert statuses(app, 200, 200, 200, 200) == [500, 500, 500, 429]
