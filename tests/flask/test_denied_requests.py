"""RATELIMIT_DENIED: who is limited too often is denied before the token is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, abort

from apps import OTHER_TENANT, SECRET, TENANT, bare_app, bearer, error_of, make_app
from flask_tenant_auth import (
    ConfigurationError,
    RateLimitExceeded,
    TenantAuth,
    _core,
    concurrency_limit,
    login_limit,
    rate_limit,
    rate_limit_block,
    rate_limit_exempt,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth._core import STRATEGIES
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.signals import rate_limit_exceeded
from servers import Redis, free_port

OTHER = {"REMOTE_ADDR": "192.0.2.9"}


def view() -> str:
    return "in"


def limiting_app(denied: str = "3 per hour", **config: Any) -> Flask:
    app = make_app(**({"RATELIMIT_DENIED": denied, "RATELIMIT_DEFAULT": "99 per minute"} | config))
    app.get("/once", endpoint="once")(rate_limit("1 per day")(view))
    app.get("/other", endpoint="other")(view)
    app.get("/me", endpoint="me")(verify_tenant_context(view))
    app.get("/free", endpoint="free")(rate_limit_exempt(view))
    return app


def statuses(app: Flask, path: str, times: int = 1, **arguments: Any) -> list[int]:
    client = app.test_client()
    return [client.get(path, **arguments).status_code for _ in range(times)]


class TestDenied:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_after_so_many_429s_every_counted_route_is_denied(self, strategy: str) -> None:
        app = limiting_app(RATELIMIT_STRATEGY=strategy)
        assert statuses(app, "/once", 3) == [200, 429, 429]
        assert statuses(app, "/other") == [200]
        assert statuses(app, "/once") == [429]
        for path in ("/once", "/other", "/missing", "/me"):
            assert statuses(app, path, headers=bearer()) == [429], path

    def test_another_address_is_not_denied(self) -> None:
        app = limiting_app("1 per hour")
        assert statuses(app, "/once", 2) == [200, 429]
        assert statuses(app, "/other", 2) == [429] * 2
        assert statuses(app, "/other", 2, environ_base=OTHER) == [200] * 2

    def test_an_address_is_one_client_however_it_is_written(self) -> None:
        app = limiting_app("1 per hour")
        first = {"REMOTE_ADDR": "2001:db8::1"}
        assert statuses(app, "/once", 2, environ_base=first) == [200, 429]
        for address, status in (("[2001:db8::2]:443", 429), ("2001:db8:0:1::1", 200)):
            assert statuses(app, "/other", environ_base={"REMOTE_ADDR": address}) == [status]

    def test_requests_without_an_address_are_not_counted_by_it(self) -> None:
        app = limiting_app("1 per hour")
        assert statuses(app, "/once", 3, environ_base={"REMOTE_ADDR": ""}) == [200, 429, 429]
        assert statuses(app, "/other", environ_base={"REMOTE_ADDR": ""}) == [200]

    def test_the_answer_is_the_documented_one(self) -> None:
        app = limiting_app("1 per hour")
        statuses(app, "/once", 2)
        response = app.test_client().get("/other")
        assert error_of(response) == (429, "1 per 1 hour")
        assert 3590 <= int(response.headers["Retry-After"]) <= 3600
        assert response.headers["X-RateLimit-Limit"] == "1"
        assert response.headers["X-RateLimit-Remaining"] == "0"

    def test_the_token_is_not_looked_at(self) -> None:
        tenants: list[str] = []

        def keys(tenant_id: str, _kid: str | None) -> str:
            tenants.append(tenant_id)
            return SECRET

        app = limiting_app("1 per hour", JWT_TENANT_KEYS=keys)
        assert statuses(app, "/me", headers=bearer(TENANT)) == [200]
        assert set(tenants) == {TENANT}
        statuses(app, "/once", 2)
        assert statuses(app, "/me", headers=bearer(OTHER_TENANT)) == [429]
        assert set(tenants) == {TENANT}
        assert statuses(app, "/me", headers=bearer(OTHER_TENANT), environ_base=OTHER) == [200]
        assert set(tenants) == {TENANT, OTHER_TENANT}

    def test_it_ends_after_its_period_whatever_is_sent_meanwhile(self) -> None:
        app = limiting_app("1 per minute")
        statuses(app, "/once", 2)
        assert statuses(app, "/other", 50) == [429] * 50
        _core.shift_clock(60, 60)
        assert statuses(app, "/other") == [200]

    def test_views_without_a_limit_static_files_and_preflights_pass(self) -> None:
        app = limiting_app("1 per hour")
        statuses(app, "/once", 2)
        assert statuses(app, "/free", 2) == [200, 200]
        assert statuses(app, "/static/none.css") == [404]
        assert app.test_client().options("/other").status_code == 200
        assert statuses(app, "/other") == [429]

    def test_exempt_requests_pass(self) -> None:
        app = limiting_app("1 per hour", RATELIMIT_EXEMPT_NETWORKS="127.0.0.0/8")
        app.get("/login", endpoint="login")(
            login_limit("1 per hour", key="email", methods=["GET"])(lambda: abort(401))
        )
        assert statuses(app, "/login?email=a", 3) == [401, 429, 429]
        assert statuses(app, "/other") == [200]


class TestWhatCounts:
    def test_failed_authentications_count_once_they_are_429(self) -> None:
        app = limiting_app("2 per hour", AUTH_FAILURE_LIMIT="2 per hour")
        assert statuses(app, "/me", 4) == [401, 401, 429, 429]
        assert statuses(app, "/other", headers=bearer()) == [429]

    def test_log_ins_count_once_they_are_429(self) -> None:
        app = limiting_app("1 per hour", AUTH_FAILURE_LIMIT="")
        app.get("/login", endpoint="login")(
            login_limit("1 per hour", key="email", methods=["GET"])(lambda: ("", 401))
        )
        assert statuses(app, "/login?email=a", 2) == [401, 429]
        assert statuses(app, "/other") == [429]

    def test_other_denials_do_not_count(self) -> None:
        app = limiting_app("1 per hour", AUTH_FAILURE_LIMIT="")
        app.get("/admin", endpoint="admin")(verify_role("admin")(view))
        app.get("/own", endpoint="own")(lambda: ("", 429))
        assert statuses(app, "/me", 3) == [401] * 3
        assert statuses(app, "/admin", 3, headers=bearer()) == [403] * 3
        assert statuses(app, "/own", 3) == [429] * 3
        assert statuses(app, "/other") == [200]

    def test_a_429_of_a_concurrency_limit_does_not_count(self) -> None:
        app = limiting_app("1 per hour")
        app.get("/busy", endpoint="busy")(concurrency_limit(0, per="address")(view))
        assert statuses(app, "/busy", 3) == [429] * 3
        assert statuses(app, "/other") == [200]

    def test_a_block_does_not_count(self) -> None:
        app = limiting_app("1 per hour")

        @app.get("/block")
        def block() -> str:
            with rate_limit_block("1 per hour", key="block"):
                return "in"

        assert statuses(app, "/block", 3) == [200, 429, 429]
        assert statuses(app, "/other") == [200]

    def test_it_is_told_with_its_own_limit(self) -> None:
        app, scopes = limiting_app("1 per hour"), []

        def note(_sender: Flask, limit: Any, key: str, **_more: Any) -> None:
            scopes.append((limit.scope, key))

        with rate_limit_exceeded.connected_to(note):
            statuses(app, "/once", 3)
        assert [scope for scope, _ in scopes] == ["once view 0", "denied requests"]
        assert {key for _, key in scopes} == {"127.0.0.1"}

    def test_a_handler_of_the_app_writes_it(self) -> None:
        app = limiting_app("1 per hour")
        app.register_error_handler(RateLimitExceeded, lambda error: ("own", 429))
        statuses(app, "/once", 2)
        assert app.test_client().get("/other").text == "own"


class TestStores:
    def test_without_the_setting_nothing_is_opened(self) -> None:
        app = limiting_app("")
        assert statuses(app, "/once", 9) == [200] + [429] * 8
        assert state_of(app).denied is None

    def test_while_limits_are_off_nothing_is_opened(self) -> None:
        app = limiting_app(RATELIMIT_ENABLED="off")
        assert statuses(app, "/once", 9) == [200] * 9
        assert "denied" not in vars(state_of(app))

    def test_reset_limits_forgets_it(self) -> None:
        app, auth = bare_app(RATELIMIT_DENIED="1 per hour"), TenantAuth()
        auth.init_app(app)
        app.get("/once", endpoint="once")(rate_limit("1 per day")(view))
        for _ in range(2):
            assert statuses(app, "/once", 2) == [200, 429]
            assert statuses(app, "/missing") == [429]
            auth.reset_limits()

    def test_where_testing_is_set_after_init_it_is_of_this_app_alone(self) -> None:
        prefix = f"late-{free_port()}"
        config = {"TESTING": False, "FLASK_ENV": "development", "RATELIMIT_KEY_PREFIX": prefix}
        for _ in range(2):
            app = limiting_app("1 per hour", **config)
            app.config["TESTING"] = True
            assert statuses(app, "/once", 2) == [200, 429]
            assert statuses(app, "/other") == [429]

    def test_without_tenantauth_nobody_is_denied_by_it(self) -> None:
        app = bare_app(RATELIMIT_DENIED="1 per hour")
        app.get("/once", endpoint="once")(rate_limit("1 per day")(view))
        app.get("/other", endpoint="other")(rate_limit("9 per day")(view))
        assert statuses(app, "/once", 3) == [200, 429, 429]
        assert statuses(app, "/other") == [200]

    def test_two_apps_count_apart(self) -> None:
        for _ in range(2):
            app = limiting_app("1 per hour")
            assert statuses(app, "/once", 2) == [200, 429]
            assert statuses(app, "/other") == [429]

    def test_apps_of_one_prefix_on_this_host_count_together(self) -> None:
        prefix = f"denied-{free_port()}"
        config = {"TESTING": False, "FLASK_ENV": "development", "RATELIMIT_KEY_PREFIX": prefix}
        first, second = (limiting_app("1 per hour", **config) for _ in range(2))
        assert statuses(first, "/once", 2) == [200, 429]
        assert statuses(second, "/other") == [429]

    def test_it_costs_no_command_of_redis(self, redis: Redis) -> None:
        commands = {}
        for denied in ("", "2 per hour"):
            app = limiting_app(
                denied,
                REDIS_URL=redis.url,
                RATELIMIT_STORE_TIMEOUT_MS=10_000,
                RATELIMIT_KEY_PREFIX=f"p{denied}",
            )
            statuses(app, "/other")
            before = redis.scripts_run()
            assert statuses(app, "/other", 5) == [200] * 5
            assert statuses(app, "/once", 3) == [200, 429, 429]
            assert statuses(app, "/other", 5) == [429 if denied else 200] * 5
            commands[denied] = redis.scripts_run() - before
        assert commands["2 per hour"] < commands[""]

    def test_a_value_that_is_no_limit_stops_the_app(self) -> None:
        with pytest.raises(ConfigurationError, match="RATELIMIT_DENIED"):
            TenantAuth(bare_app(RATELIMIT_DENIED="often"))


class TestCommands:
    def test_they_show_it_and_let_an_address_in_again(self) -> None:
        app = limiting_app("2 per hour")
        statuses(app, "/once", 3)
        run = app.test_cli_runner().invoke
        shown = run(args=["auth", "limits", "show", "--address", "127.0.0.1"]).output
        assert "denied requests: 2 per 1 hour per=address remaining=0" in shown
        assert statuses(app, "/other") == [429]
        assert (
            "reset 4 limits"
            in run(args=["auth", "limits", "reset", "--address", "127.0.0.1"]).output
        )
        assert statuses(app, "/other") == [200]
        of_user = run(args=["auth", "limits", "show", "--tenant", TENANT])
        assert "denied requests" not in of_user.output
