"""`rate_limit_block`: a block of code is counted, in a request and outside of one."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask

from apps import SECRET, bare_app, bearer, error_of, make_app
from flask_tenant_auth import (
    AuthError,
    RateLimitExceeded,
    TenantAuth,
    concurrency_limit,
    public_route,
    rate_limit,
    rate_limit_block,
)
from flask_tenant_auth._core import STRATEGIES, Decision
from flask_tenant_auth.signals import rate_limit_exceeded


def runs(limit: str = "2 per hour", key: str = "key", cost: int = 1) -> bool:
    """Whether a block runs."""
    ran = False
    with suppress(RateLimitExceeded), rate_limit_block(limit, key=key, cost=cost) as decision:
        ran = isinstance(decision, Decision) and decision.allowed
    return ran


def catches_a_block() -> None:
    runs("1 per hour")


class TestOutsideARequest:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_block_runs_within_its_limit_only(self, strategy: str) -> None:
        with bare_app(RATELIMIT_STRATEGY=strategy).app_context():
            assert [runs() for _ in range(4)] == [True, True, False, False]

    def test_the_limit_and_the_key_say_what_is_counted_together(self) -> None:
        with make_app().app_context():
            assert [runs(key="red") for _ in range(3)] == [True, True, False]
            assert runs(key="blue")
            assert runs("3 per hour", key="red")
            assert not runs("9 per hour; 2 per hour", key="red")

    def test_keys_of_any_length_and_script_are_different_keys(self) -> None:
        with make_app().app_context():
            for key in ("x" * 5000, "x" * 5001, "é", "e", "\ud800"):
                assert [runs("1 per hour", key) for _ in range(2)] == [True, False], key

    def test_a_block_counts_its_cost_and_all_limits_or_none(self) -> None:
        with make_app().app_context():
            assert [runs("5 per hour", cost=cost) for cost in (3, 3, 2, 1)] == [
                *(True, False, True, False),
            ]
            both = "1 per hour; 3 per day"
            assert [runs(both, "both") for _ in range(2)] == [True, False]
            with rate_limit_block("3 per day", key="both") as decision:
                assert decision is not None
                assert decision.remaining == 1

    def test_the_block_is_counted_though_it_raises(self) -> None:
        with make_app().app_context():
            with pytest.raises(KeyError), rate_limit_block("1 per hour", key="key"):
                raise KeyError
            assert not runs("1 per hour")

    def test_nothing_is_counted_while_limits_are_off(self) -> None:
        with make_app(RATELIMIT_ENABLED="off").app_context():
            for _ in range(3):
                with rate_limit_block("1 per hour", key="key") as decision:
                    assert decision is None

    def test_limits_that_are_turned_off_before_the_first_request_count_nothing(self) -> None:
        app = make_app()
        app.config["RATELIMIT_ENABLED"] = False
        with app.app_context():
            for _ in range(3):
                with rate_limit_block("1 per hour", key="key") as decision:
                    assert decision is None

    def test_two_apps_count_apart(self) -> None:
        for _ in range(2):
            with make_app().app_context():
                assert [runs("1 per hour") for _ in range(2)] == [True, False]

    def test_without_an_app_the_environment_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        monkeypatch.setenv("REDIS_URL", "")
        monkeypatch.setenv("RATELIMIT_KEY_PREFIX", f"block-{uuid.uuid4()}")
        assert [runs("2 per hour") for _ in range(3)].count(False) == 1

    def test_a_burst_of_threads_runs_exactly_the_limit(self) -> None:
        app, found, barrier = make_app(), [], threading.Barrier(16)

        def ask() -> None:
            barrier.wait()
            with app.app_context():
                found.append(runs("5 per hour"))

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found.count(True) == 5

    def test_it_is_told_with_its_key_and_without_an_endpoint(self) -> None:
        breaches: list[dict[str, Any]] = []

        def note(_sender: Flask, **arguments: Any) -> None:
            breaches.append(arguments)

        with rate_limit_exceeded.connected_to(note), make_app().app_context():
            runs("1 per hour", "mails")
            runs("1 per hour", "mails")
        (breach,) = breaches
        assert (breach["key"], breach["endpoint"], breach["identity"]) == ("mails", None, None)


class TestInARequest:
    def app(self, *, hooked: bool = True) -> Flask:
        app = make_app() if hooked else bare_app()

        @app.get("/")
        def index() -> str:
            with rate_limit_block("1 per hour", key="reports"):
                return "in"

        @app.get("/caught")
        @rate_limit("9 per hour")
        def caught() -> str:
            return "in" if runs("1 per hour", "reports") else "later"

        return app

    @pytest.mark.parametrize("hooked", [True, False])
    def test_the_error_is_a_429(self, *, hooked: bool) -> None:
        client = self.app(hooked=hooked).test_client()
        assert client.get("/").text == "in"
        response = client.get("/", headers=bearer())
        assert error_of(response) == (429, "1 per 1 hour")
        assert 3590 <= int(response.headers["Retry-After"]) <= 3600
        if hooked:
            assert response.headers["X-RateLimit-Limit"] == "1"
            assert response.headers["X-RateLimit-Remaining"] == "0"

    def test_a_view_may_catch_it(self) -> None:
        client = self.app().test_client()
        assert [client.get("/caught").text for _ in range(2)] == ["in", "later"]

    @pytest.mark.parametrize("hooked", [True, False])
    def test_a_caught_block_leaves_the_limits_of_the_request_as_they_are(
        self, *, hooked: bool
    ) -> None:
        app = make_app() if hooked else bare_app()

        app.before_request(catches_a_block)

        @app.get("/")
        @rate_limit("3 per hour")
        def index() -> str:
            runs("1 per hour", "reports")
            return "in"

        client = app.test_client()
        answers = [client.get("/") for _ in range(4)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        assert error_of(answers[-1]) == (429, "3 per 1 hour")
        if hooked:
            assert {each.headers["X-RateLimit-Limit"] for each in answers} == {"3"}
            remaining = [each.headers["X-RateLimit-Remaining"] for each in answers]
            assert remaining == ["2", "1", "0", "0"]

    def test_a_block_caught_before_the_limits_count_does_not_deny_the_view(self) -> None:
        app = bare_app()
        app.before_request(catches_a_block)
        TenantAuth(app)
        app.get("/", endpoint="index")(rate_limit("9 per hour")(lambda: "in"))
        answers = [app.test_client().get("/") for _ in range(3)]
        assert [each.status_code for each in answers] == [200] * 3
        assert [each.headers["X-RateLimit-Remaining"] for each in answers] == ["8", "7", "6"]

    @pytest.mark.parametrize("checked", [True, False])
    @pytest.mark.parametrize("handled", [RateLimitExceeded, AuthError, 429, None])
    def test_the_429_has_the_fields_of_the_block_that_denies(
        self, handled: type[Exception] | int | None, *, checked: bool
    ) -> None:
        """Of the last one: the view has caught that of the others."""
        app = make_app(RATELIMIT_DEFAULT="99 per day")
        if handled is not None:
            app.register_error_handler(handled, lambda _error: ("own", 429))

        def index() -> str:
            runs("1 per day", "caught")
            with rate_limit_block("2 per hour", key="reports"):
                return "in"

        app.get("/")(public_route(index) if checked else index)
        answers = [app.test_client().get("/") for _ in range(3)]
        assert [each.status_code for each in answers] == [200, 200, 429]
        assert [each.headers["X-RateLimit-Limit"] for each in answers] == ["99", "99", "2"]
        assert 3590 <= int(answers[-1].headers["Retry-After"]) <= 3600

    def test_a_429_of_another_kind_has_no_fields_of_a_caught_block(self) -> None:
        """Nobody knows when one of the running requests ends, so there is no Retry-After."""
        app = make_app()
        app.before_request(catches_a_block)
        app.get("/", endpoint="index")(concurrency_limit(0)(lambda: "in"))
        answers = [app.test_client().get("/") for _ in range(2)]
        for answer in answers:
            assert error_of(answer) == (429, "0 at once")
            assert answer.headers["X-RateLimit-Limit"] == "50"
            assert "Retry-After" not in answer.headers

    def test_an_exemption_of_requests_does_not_hold_for_it(self) -> None:
        app = make_app(RATELIMIT_EXEMPT_NETWORKS="127.0.0.0/8")

        @app.get("/")
        def index() -> str:
            with rate_limit_block("1 per hour", key="reports"):
                return "in"

        assert [app.test_client().get("/").status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"limit": "often"}, ValueError, "often"),
        ({"limit": ""}, ValueError, "rate"),
        ({"limit": lambda: "1 per hour"}, TypeError, "limit must be a str"),
        ({"limit": ["1 per hour"]}, TypeError, "limit must be a str"),
        ({"key": None}, TypeError, "key must be a str"),
        ({"key": 5}, TypeError, "key must be a str"),
        ({"key": " "}, ValueError, "key must say"),
        ({"cost": 0}, ValueError, "cost"),
        ({"cost": 3}, ValueError, "cost"),
        ({"cost": True}, TypeError, "cost"),
        ({"cost": 1.0}, TypeError, "cost"),
        ({"cost": lambda: 1}, TypeError, "cost"),
    ],
)
def test_arguments_that_are_not_valid_raise_at_once(
    arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        rate_limit_block(**({"limit": "2 per hour", "key": "key"} | arguments))
