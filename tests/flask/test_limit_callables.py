"""Callables of limits: what they may return, what they may read, and what happens if they fail."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, abort, g, request

from apps import OTHER_TENANT, TENANT, USER, bare_app, bearer, make_app
from flask_tenant_auth import AuthError, ConfigurationError, Identity, TenantAuth, rate_limit
from flask_tenant_auth._core import STRATEGIES
from flask_tenant_auth.flask.state import state_of


def counted_app(*, hooked: bool = True, limit: Any = "10 per minute", **arguments: Any) -> Flask:
    app = make_app() if hooked else bare_app()
    app.get("/", endpoint="index")(rate_limit(limit, **arguments)(lambda: "in"))
    return app


def statuses(app: Flask, *paths: str, **arguments: Any) -> list[int]:
    client = app.test_client()
    return [client.get(path, **arguments).status_code for path in paths]


def cost_in_query() -> int:
    return int(request.args["cost"])


class TestCost:
    @pytest.mark.parametrize("hooked", [True, False])
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_callable_says_what_a_request_costs(self, strategy: str, *, hooked: bool) -> None:
        app = bare_app(RATELIMIT_STRATEGY=strategy)
        if hooked:
            TenantAuth(app)
        app.get("/")(rate_limit("10 per hour", cost=cost_in_query)(lambda: "in"))
        assert statuses(app, "/?cost=7", "/?cost=4", "/?cost=3", "/?cost=1") == [200, 429, 200, 429]

    def test_it_gets_the_identity(self) -> None:
        app = counted_app(cost=lambda identity: 1 if identity else 6)
        assert statuses(app, "/", "/") == [200, 429]
        assert statuses(app, *["/"] * 11, headers=bearer()) == [200] * 10 + [429]

    def test_a_cost_of_0_is_not_counted(self) -> None:
        app = counted_app(limit="1 per minute", cost=cost_in_query)
        assert statuses(app, "/?cost=0", "/?cost=0", "/?cost=1", "/?cost=0", "/?cost=1") == [
            *(200, 200, 200, 200),
            429,
        ]

    @pytest.mark.parametrize("cost", [11, 2**31, 2**70])
    def test_a_cost_over_the_limit_is_denied_and_counts_nothing(self, cost: int) -> None:
        app = counted_app(cost=cost_in_query)
        response = app.test_client().get(f"/?cost={cost}")
        assert response.status_code == 429
        assert response.headers["Retry-After"] == "60"
        assert statuses(app, "/?cost=10", "/?cost=1") == [200, 429]

    def test_other_limits_of_the_view_are_not_counted_by_it_either(self) -> None:
        app = make_app()
        limited: Any = rate_limit("3 per minute", cost=cost_in_query)(lambda: "in")
        app.get("/")(rate_limit("2 per minute", per="address")(limited))
        assert statuses(app, "/?cost=4", "/?cost=1", "/?cost=1", "/?cost=1") == [429, 200, 200, 429]

    @pytest.mark.parametrize(
        ("cost", "error"), [("3", TypeError), (1.0, TypeError), (True, TypeError), (-1, ValueError)]
    )
    def test_what_is_no_cost_is_a_500(self, cost: Any, error: type[Exception]) -> None:
        app = counted_app(cost=lambda: cost)
        with pytest.raises(error, match="the cost of a request"):
            statuses(app, "/")

    def test_deduct_when_gives_the_cost_back(self) -> None:
        app = make_app()
        app.get("/<int:status>")(
            rate_limit(
                "10 per hour",
                cost=cost_in_query,
                deduct_when=lambda answer: answer.status_code > 299,
            )(lambda status: ("", status))
        )
        assert statuses(app, "/200?cost=9", "/404?cost=9", "/404?cost=2") == [200, 404, 429]

    def test_a_fair_share_holds_for_it(self) -> None:
        app = counted_app(per="tenant", fair_share=0.5, cost=cost_in_query)
        assert statuses(app, "/?cost=5", "/?cost=1", headers=bearer()) == [200, 429]

    def test_many_costs_do_not_grow_without_bound(self) -> None:
        from flask_tenant_auth.limit.declarations import declaration_of

        view: Any = rate_limit("9999 per minute", cost=cost_in_query)(lambda: "in")
        app = make_app()
        app.get("/")(view)
        statuses(app, *(f"/?cost={cost}" for cost in range(1, 600)))
        (rule,) = declaration_of(view).rules
        assert 0 < len(rule._prepared) <= 256

    def test_commands_show_and_reset_what_was_counted(self) -> None:
        app = counted_app(cost=cost_in_query)
        assert statuses(app, "/?cost=4", headers=bearer()) == [200]
        run, client = app.test_cli_runner().invoke, ["--tenant", TENANT, "--user", USER]
        assert "cost by callable" in run(args=["auth", "check"]).output
        assert "remaining=6" in run(args=["auth", "limits", "show", *client]).output
        run(args=["auth", "limits", "reset", *client])
        assert "remaining=6" not in run(args=["auth", "limits", "show", *client]).output


class TestTenantDefault:
    def test_a_callable_says_the_limit_of_each_tenant(self) -> None:
        def plan(identity: Identity | None) -> str | None:
            if identity is None:
                return None
            return "3 per minute" if identity.tenant_id == TENANT else "1 per minute"

        app = make_app(RATELIMIT_DEFAULT="", RATELIMIT_TENANT_DEFAULT=plan)
        app.get("/")(lambda: "in")
        assert statuses(app, *["/"] * 4, headers=bearer()) == [200, 200, 200, 429]
        assert statuses(app, *["/"] * 2, headers=bearer(OTHER_TENANT)) == [200, 429]
        assert statuses(app, *["/"] * 4) == [200] * 4

    def test_a_fair_share_divides_it(self) -> None:
        app = make_app(
            RATELIMIT_DEFAULT="",
            RATELIMIT_TENANT_DEFAULT=lambda: "4 per minute",
            RATELIMIT_FAIR_SHARE=0.5,
        )
        app.get("/")(lambda: "in")
        assert statuses(app, *["/"] * 3, headers=bearer()) == [200, 200, 429]

    def test_one_of_two_arguments_stops_the_app(self) -> None:
        with pytest.raises(ConfigurationError, match="TENANT_DEFAULT: limit must be a callable"):
            make_app(RATELIMIT_TENANT_DEFAULT=lambda one, two: "1 per minute")


class TestHooks:
    """Which functions have run when a callable of a limit is called."""

    def order_of(self, app: Flask, blueprint: Blueprint, auth: TenantAuth | None) -> list[str]:
        """Return the functions that have run before a callable, of all that are registered."""
        ran: list[str] = []

        def note(name: str) -> Callable[..., None]:
            return lambda *_: ran.append(name)

        found: list[str] = []
        app.before_request(note("before"))
        if auth is not None:
            auth.init_app(app)
        app.before_request(note("after"))
        app.url_value_preprocessor(note("values"))
        blueprint.before_request(note("blueprint"))
        blueprint.url_value_preprocessor(note("values of the blueprint"))

        def limit() -> str:
            found.extend(ran)
            return "9 per minute"

        blueprint.get("/")(rate_limit(limit)(lambda: "in"))
        app.register_blueprint(blueprint)
        assert statuses(app, "/") == [200]
        return found

    def test_values_and_earlier_functions_of_the_app_have_run(self) -> None:
        found = self.order_of(bare_app(), Blueprint("b", __name__), TenantAuth())
        assert found == ["values", "values of the blueprint", "before"]

    def test_without_tenantauth_all_have_run(self) -> None:
        found = self.order_of(bare_app(), Blueprint("b", __name__), None)
        assert found == ["values", "values of the blueprint", "before", "after", "blueprint"]

    def test_a_callable_reads_what_an_earlier_function_has_set(self) -> None:
        app = bare_app()
        app.before_request(lambda: setattr(g, "plan", f"{request.args['n']} per minute"))
        TenantAuth(app)
        app.get("/")(rate_limit(lambda: g.plan)(lambda: "in"))
        assert statuses(app, "/?n=1", "/?n=1", "/?n=2", "/?n=2", "/?n=2") == [
            *(200, 429),
            *(200, 200, 429),
        ]


def broken(*_: object) -> Any:
    raise KeyError("plan")


async def awaited(_identity: object = None) -> Any:
    return True


class TestFailures:
    @pytest.mark.parametrize("argument", ["limit", "per", "cost", "exempt_when", "deduct_when"])
    def test_an_async_callable_is_an_error(self, argument: str) -> None:
        """An async `exempt_when` exempted every request, and an async `per` was a new key each."""
        arguments: dict[str, Any] = {"limit": "1 per minute", argument: awaited}
        with pytest.raises(TypeError, match=f"{argument} must be .*not async"):
            rate_limit(**arguments)
        if argument == "limit":
            with pytest.raises(ConfigurationError, match=r"RATELIMIT_DEFAULT: limit .* not async"):
                make_app(RATELIMIT_DEFAULT=awaited)

    @pytest.mark.parametrize("argument", ["limit", "per", "cost", "exempt_when", "deduct_when"])
    def test_a_callable_that_turns_out_to_be_async_is_a_500_each_time(self, argument: str) -> None:
        """Not every callable that returns a coroutine is known as an async function."""
        app = counted_app(**{"limit": "9 per minute", argument: lambda _: awaited()})
        app.config["PROPAGATE_EXCEPTIONS"] = False
        assert statuses(app, "/") == [500]
        assert statuses(app, "/") == [500]

    @pytest.mark.parametrize("hooked", [True, False])
    @pytest.mark.parametrize(
        "arguments",
        [
            {"limit": broken},
            {"limit": lambda: "often"},
            {"limit": lambda: 5},
            {"per": broken},
            {"cost": broken},
            {"cost": lambda: -1},
            {"exempt_when": broken},
            {"deduct_when": broken},
        ],
    )
    def test_a_callable_that_fails_is_a_500_and_logged_with_the_endpoint(
        self, arguments: dict[str, Any], caplog: pytest.LogCaptureFixture, *, hooked: bool
    ) -> None:
        app = counted_app(hooked=hooked, **arguments)
        app.config["PROPAGATE_EXCEPTIONS"] = False
        with caplog.at_level(logging.ERROR, "flask_tenant_auth"):
            assert statuses(app, "/") == [500]
        (record,) = [each for each in caplog.records if each.name.startswith("flask_tenant_auth")]
        assert "of index failed with" in record.getMessage()
        assert record.levelno == logging.ERROR

    def test_a_default_that_fails_is_logged_with_the_endpoint(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app(RATELIMIT_DEFAULT=broken, PROPAGATE_EXCEPTIONS=False)
        app.get("/", endpoint="index")(lambda: "in")
        assert statuses(app, "/", "/missing") == [500, 500]
        assert "'limit by callable per user' of index failed with KeyError" in caplog.text
        assert "of requests without a route failed with KeyError" in caplog.text

    @pytest.mark.parametrize("error", [lambda: abort(403), AuthError("Not now", 403)])
    def test_an_http_error_of_a_callable_is_the_answer(
        self, error: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def deny() -> str:
            if isinstance(error, AuthError):
                raise error
            raise error()

        app = counted_app(limit=deny)
        assert statuses(app, "/") == [403]
        assert ("failed with" in caplog.text) is not isinstance(error, AuthError)

    def test_nothing_is_counted(self) -> None:
        app = make_app(PROPAGATE_EXCEPTIONS=False)
        limited: Any = rate_limit("1 per minute", per=lambda: request.args["key"])(lambda: "in")
        app.get("/")(rate_limit("2 per minute", per="address")(limited))
        assert statuses(app, "/", "/", "/", "/?key=a", "/?key=b", "/?key=c") == [
            *[400] * 3,
            *(200, 200, 429),
        ]
        assert state_of(app).settings.ratelimit_enabled
