"""Limits: what counts, for whom, together with what, and what is told."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, request
from flask.views import MethodView
from werkzeug.routing import Rule

from apps import (
    OTHER_TENANT,
    OTHER_USER,
    TENANT,
    USER,
    bare_app,
    bearer,
    error_of,
    identity_headers,
    make_app,
)
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    Identity,
    TenantAuth,
    _core,
    acting_as,
    public_route,
    rate_limit,
    rate_limit_exempt,
    verify_tenant_context,
)
from flask_tenant_auth.config.settings import Settings
from flask_tenant_auth.flask.extension import state_of
from servers import Redis, free_port
from waiting import until

# A window begins with its first request, and a test may take a second.
# Of a minute that has begun, on a machine that may be busy.
A_MINUTE = [str(left) for left in range(40, 61)]


def view() -> str:
    return "in"


def statuses(app: Flask, path: str, times: int, method: str = "GET", **kwargs: Any) -> list[int]:
    client = app.test_client()
    return [client.open(path, method=method, **kwargs).status_code for _ in range(times)]


class TestDefault:
    def test_each_user_has_fifty_requests_a_minute(self) -> None:
        app = make_app()
        app.get("/")(view)
        assert statuses(app, "/", 52, headers=bearer()) == [200] * 50 + [429] * 2
        assert statuses(app, "/", 1, headers=bearer(user_id=OTHER_USER)) == [200]
        assert statuses(app, "/", 1, headers=bearer(tenant_id=OTHER_TENANT)) == [200]
        assert statuses(app, "/", 1) == [200]

    def test_headers_and_token_are_the_same_user(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="2 per minute")
        app.get("/")(view)
        for headers in (bearer(), identity_headers()):
            assert statuses(app, "/", 1, headers=headers) == [200]
        assert statuses(app, "/", 1, headers=bearer()) == [429]

    def test_routes_without_their_own_limit_share_one(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="3 per minute")
        app.get("/a", endpoint="a")(view)
        app.get("/b", endpoint="b")(view)
        app.get("/c", endpoint="c")(rate_limit("2 per minute")(view))
        client = app.test_client()
        paths = ["/a", "/b", "/missing", "/a", "/c", "/c", "/c"]
        assert [client.get(each).status_code for each in paths] == [
            *(200, 200, 404, 429),
            *(200, 200, 429),
        ]

    def test_requests_without_a_route_are_counted(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="2 per minute")
        client = app.test_client()
        assert [client.get(f"/{n}").status_code for n in range(3)] == [404, 404, 429]

    def test_options_and_static_files_are_not_counted(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="1 per minute")
        app.get("/")(view)
        assert statuses(app, "/", 3, method="OPTIONS") == [200] * 3
        assert statuses(app, "/static/none.css", 3) == [404] * 3
        assert statuses(app, "/", 2) == [200, 429]

    @pytest.mark.parametrize(
        "register",
        [
            lambda app, blueprint: blueprint.add_url_rule("/x", "static", view),
            lambda app, blueprint: app.add_url_rule("/b/x", "b.static", view),
            lambda app, blueprint: app.add_url_rule("/b/x", "static", view),
            lambda app, blueprint: blueprint.add_url_rule(
                "/x", "static", type("V", (MethodView,), {"get": staticmethod(view)}).as_view("v")
            ),
            lambda app, blueprint: blueprint.add_url_rule("/x", "static", lambda **_: "in"),
        ],
        ids=["of a blueprint", "dotted", "of the app", "a class", "a lambda"],
    )
    def test_a_view_is_counted_whatever_its_endpoint_is_called(self, register: Any) -> None:
        """The name `static` took the limit from a view of a blueprint."""
        app = Flask(f"app_{uuid.uuid4().hex}", static_folder=None)
        app.config |= bare_app(RATELIMIT_DEFAULT="1 per minute").config
        TenantAuth(app)
        blueprint = Blueprint("b", __name__, url_prefix="/b")
        register(app, blueprint)
        app.register_blueprint(blueprint)
        assert statuses(app, "/b/x", 2) == [200, 429]

    def test_the_static_views_that_flask_adds_are_not_counted(self, tmp_path: Path) -> None:
        app = Flask(
            f"app_{uuid.uuid4().hex}", static_folder=str(tmp_path), static_url_path="/static"
        )
        app.config |= bare_app(RATELIMIT_DEFAULT="1 per minute").config
        TenantAuth(app)
        outer = Blueprint("outer", __name__, url_prefix="/o", static_folder=str(tmp_path))
        inner = Blueprint(
            "inner",
            __name__,
            url_prefix="/i",
            static_folder=str(tmp_path),
            static_url_path="/files",
        )
        outer.register_blueprint(inner)
        app.register_blueprint(outer)
        app.get("/")(view)
        for path in ("/static/a.css", f"/o/{tmp_path.name}/a.css", "/o/i/files/a.css"):
            assert statuses(app, path, 3) == [404] * 3, path
        assert statuses(app, "/", 2) == [200, 429]

    def test_a_static_view_that_the_app_has_changed_is_counted(self, tmp_path: Path) -> None:
        class Changed(Flask):
            def send_static_file(self, filename: str) -> Any:
                return super().send_static_file(filename)

        def wrapped(app: Flask) -> None:
            own = app.view_functions["static"]
            app.view_functions["static"] = lambda **arguments: own(**arguments)

        for kind, change in ((Changed, lambda app: None), (Flask, wrapped)):
            app = kind(f"app_{uuid.uuid4().hex}", static_folder=str(tmp_path), static_url_path="/s")
            app.config |= bare_app(RATELIMIT_DEFAULT="1 per minute").config
            TenantAuth(app)
            change(app)
            assert statuses(app, "/s/a.css", 2) == [404, 429], kind

    @pytest.mark.parametrize("text", ["100/min", "5/s", "10 per week", "10/2 hours", "9/h|1/s"])
    def test_usual_spellings_of_rates_are_accepted(self, text: str) -> None:
        app = make_app(RATELIMIT_DEFAULT=text)
        app.get("/")(view)
        assert statuses(app, "/", 1) == [200]

    def test_a_rate_of_zero_limits_everybody(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="0 per minute")
        app.get("/")(view)
        app.get("/open", endpoint="open")(rate_limit("1 per minute")(view))
        for headers in ({}, bearer()):
            before = time.time()
            answer = app.test_client().get("/", headers=headers)
            after = time.time()
            assert error_of(answer) == (429, "0 per 1 minute")
            assert answer.headers["Retry-After"] == "60"
            assert answer.headers["X-RateLimit-Limit"] == "0"
            assert answer.headers["X-RateLimit-Remaining"] == "0"
            assert before + 59 <= int(answer.headers["X-RateLimit-Reset"]) <= after + 61
        assert statuses(app, "/open", 2) == [200, 429]

    def test_a_rate_that_cannot_be_read_names_the_key_and_the_forms(self) -> None:
        with pytest.raises(ConfigurationError, match=r"RATELIMIT_DEFAULT .*'5/s'.*week \(w\)"):
            make_app(RATELIMIT_DEFAULT="5/fortnight")
        with pytest.raises(ValueError, match=r"min or month is expected; write a rate as"):
            rate_limit("5/m")

    def test_head_is_counted_with_get(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("2 per minute", methods=["GET"])(view))
        assert statuses(app, "/", 2, method="HEAD") == [200, 200]
        assert statuses(app, "/", 1) == [429]

    @pytest.mark.parametrize("config", [{"RATELIMIT_ENABLED": False}, {"RATELIMIT_DEFAULT": ""}])
    def test_an_empty_or_disabled_limit_counts_nothing(self, config: dict[str, Any]) -> None:
        app = make_app(**config)
        app.get("/")(view)
        assert statuses(app, "/", 60) == [200] * 60
        assert "X-RateLimit-Limit" not in app.test_client().get("/").headers

    def test_an_exempt_view_is_not_limited(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="1 per minute")
        app.get("/")(rate_limit_exempt(view))
        assert statuses(app, "/", 3) == [200] * 3

    def test_disabled_limits_disable_the_decorator(self) -> None:
        app = bare_app(RATELIMIT_ENABLED="off")
        app.get("/")(rate_limit("1 per minute")(view))
        assert statuses(app, "/", 3) == [200] * 3

    def test_an_invalid_token_is_counted_by_address(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="2 per minute")
        app.get("/")(view)
        assert statuses(app, "/", 1, headers={"Authorization": "Bearer a.b.c"}) == [200]
        assert statuses(app, "/", 2) == [200, 429]

    def test_a_callable_decides_the_limit(self) -> None:
        def plan(identity: Identity | None) -> str:
            return "1 per minute" if identity is None else "2 per minute"

        app = make_app(RATELIMIT_DEFAULT=plan)
        app.get("/")(view)
        assert statuses(app, "/", 2) == [200, 429]
        assert statuses(app, "/", 3, headers=bearer()) == [200, 200, 429]


class TestDecorator:
    def test_a_limited_request_gets_the_documented_response(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("1 per minute")(view))
        client = app.test_client()
        before = _core.now()
        assert client.get("/").headers["X-RateLimit-Remaining"] == "0"
        response = client.get("/")
        after = _core.now()
        assert error_of(response) == (429, "1 per 1 minute")
        assert response.headers["Retry-After"] in A_MINUTE
        assert response.headers["X-RateLimit-Limit"] == "1"
        assert response.headers["X-RateLimit-Remaining"] == "0"
        reset = int(response.headers["X-RateLimit-Reset"])
        assert before + 59 <= reset <= after + 61

    def test_the_next_window_begins_with_the_full_limit(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("1 per minute")(view))
        assert statuses(app, "/", 2) == [200, 429]
        _core.shift_clock(60, 60)
        assert statuses(app, "/", 2) == [200, 429]

    def test_each_view_has_its_own_count(self) -> None:
        app = make_app()
        for name in "ab":
            app.get(f"/{name}", endpoint=name)(rate_limit("1 per minute")(view))
        assert statuses(app, "/a", 2) == [200, 429]
        assert statuses(app, "/b", 2) == [200, 429]

    def test_views_of_one_scope_share_a_count(self) -> None:
        app = make_app()
        for name in "ab":
            app.get(f"/{name}", endpoint=name)(rate_limit("2 per minute", scope="search")(view))
        client = app.test_client()
        assert [client.get(f"/{name}").status_code for name in "abab"] == [200, 200, 429, 429]

    def test_stacked_limits_count_all_or_nothing(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("2 per minute")(rate_limit("3 per hour")(view)))
        assert statuses(app, "/", 4) == [200, 200, 429, 429]
        _core.shift_clock(60, 60)
        assert statuses(app, "/", 2) == [200, 429]

    def test_several_rates_in_one_text_all_count(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("2 per minute; 3 per hour")(view))
        assert statuses(app, "/", 3) == [200, 200, 429]
        assert app.test_client().get("/").headers["X-RateLimit-Limit"] == "2"

    def test_two_equal_rules_of_one_view_do_not_add_up(self) -> None:
        app = make_app()
        app.route("/", methods=["GET", "POST"])(
            rate_limit("2 per minute", methods=["GET"])(
                rate_limit("2 per minute", methods=["post"])(view)
            )
        )
        assert statuses(app, "/", 3) == [200, 200, 429]
        assert statuses(app, "/", 3, method="POST") == [200, 200, 429]

    @pytest.mark.parametrize(
        ("methods", "counted"),
        [
            (["GET"], {"GET", "HEAD"}),
            (["HEAD"], {"HEAD"}),
            (["HEAD", "GET"], {"GET", "HEAD"}),
            (["POST"], {"POST"}),
        ],
    )
    @pytest.mark.parametrize("hooked", [True, False])
    def test_head_is_counted_where_get_or_head_is_named(
        self, methods: list[str], counted: set[str], *, hooked: bool
    ) -> None:
        app = make_app(RATELIMIT_DEFAULT="") if hooked else bare_app()
        app.add_url_rule(
            "/",
            "index",
            rate_limit("2 per hour", methods=methods)(view),
            methods=["GET", "HEAD", "POST"],
        )
        limited = set()
        for method in ("GET", "HEAD", "POST"):
            with app.app_context():
                limiter = state_of(app).limiter
                (limit,) = _core.parse_rates("2 per hour")
                counter = _core.Limit(limit, scope=f"index {view.__qualname__} 0", per="user")
                limiter.reset([counter], None, "127.0.0.1")
            if 429 in statuses(app, "/", 3, method):
                limited.add(method)
        assert limited == counted

    @pytest.mark.parametrize("hooked", [True, False])
    def test_a_view_that_is_registered_twice_has_one_budget(self, *, hooked: bool) -> None:
        """Or each further route to /login would be further guesses."""
        app = make_app() if hooked else bare_app()
        login = rate_limit("3 per hour", per="address")(view)
        app.add_url_rule("/v1/login", "z_login", login)
        app.add_url_rule("/login", "login", login)
        pages = Blueprint("pages", __name__)
        pages.get("/search", endpoint="search")(rate_limit("3 per hour")(view))
        app.register_blueprint(pages, url_prefix="/a")
        app.register_blueprint(pages, url_prefix="/b", name="b")
        # A positive control: another view, of the same function and limit.
        app.get("/other", endpoint="other")(rate_limit("3 per hour", per="address")(view))
        for first, second in (("/login", "/v1/login"), ("/a/search", "/b/search")):
            assert statuses(app, first, 2) == [200, 200]
            assert statuses(app, second, 2) == [200, 429]
            assert statuses(app, first, 1) == [429]
        assert statuses(app, "/other", 4) == [200, 200, 200, 429]

    def test_methods_that_are_not_named_have_the_default(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="3 per minute")
        app.route("/", methods=["GET", "POST"])(rate_limit("1 per minute", methods=["POST"])(view))
        assert statuses(app, "/", 4) == [200, 200, 200, 429]
        assert statuses(app, "/", 2, method="POST") == [200, 429]

    def test_a_request_counts_its_cost(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("10 per minute", cost=4)(view))
        assert statuses(app, "/", 3) == [200, 200, 429]

    def test_per_decides_whether_tenants_or_addresses_are_counted(self) -> None:
        app = make_app()
        app.get("/t", endpoint="t")(rate_limit("2 per minute", per="tenant")(view))
        app.get("/a", endpoint="a")(rate_limit("2 per minute", per="address")(view))
        for user in (USER, OTHER_USER):
            assert statuses(app, "/t", 1, headers=bearer(user_id=user)) == [200]
            assert statuses(app, "/a", 1, headers=bearer(user_id=user)) == [200]
        assert statuses(app, "/t", 1, headers=bearer()) == [429]
        assert statuses(app, "/t", 1, headers=bearer(OTHER_TENANT)) == [200]
        assert statuses(app, "/a", 1, headers=bearer(OTHER_TENANT)) == [429]
        other = {"REMOTE_ADDR": "192.0.2.9"}
        assert statuses(app, "/a", 1, environ_overrides=other) == [200]

    @pytest.mark.parametrize(
        "per",
        [
            lambda: request.headers.get("X-Key"),
            lambda identity: request.headers.get("X-Key"),
            lambda *anything: request.headers.get("X-Key"),
        ],
    )
    def test_per_may_be_a_callable(self, per: Callable[..., Any]) -> None:
        app = make_app()
        app.get("/")(rate_limit("1 per minute", per=per)(view))
        for key in ("a", "b", "é", "x" * 5000):
            assert statuses(app, "/", 2, headers={"X-Key": key}) == [200, 429]
        assert statuses(app, "/", 2) == [200, 429]
        assert statuses(app, "/", 1, headers={"X-Key": ""}) == [429]

    def test_each_plan_has_its_own_limit(self) -> None:
        plans = {TENANT: "3 per minute", OTHER_TENANT: None}

        def plan(identity: Identity | None) -> str | None:
            return "1 per minute" if identity is None else plans[identity.tenant_id]

        app = make_app()
        app.get("/")(rate_limit(plan)(view))
        assert statuses(app, "/", 2) == [200, 429]
        assert statuses(app, "/", 4, headers=bearer()) == [200, 200, 200, 429]
        assert statuses(app, "/", 4, headers=bearer(OTHER_TENANT)) == [200] * 4

    def test_a_malformed_plan_is_a_500(self) -> None:
        app = make_app()
        app.get("/")(rate_limit(lambda: "often")(view))
        with pytest.raises(ValueError, match="often"):
            app.test_client().get("/")

    def test_a_plan_that_is_no_text_is_a_500(self) -> None:
        app = make_app()
        app.get("/")(rate_limit(lambda: 7)(view))  # type: ignore[arg-type, return-value]
        with pytest.raises(TypeError, match="must be text or None"):
            app.test_client().get("/")

    def test_a_builtin_may_be_the_callable(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("1 per minute", per=type)(view))
        assert statuses(app, "/", 2, headers=bearer()) == [200, 429]
        assert statuses(app, "/", 1, headers=bearer(user_id=OTHER_USER)) == [429]

    def test_many_plans_do_not_grow_without_bound(self) -> None:
        numbers = iter(range(1, 2000))
        rule: Any = rate_limit(lambda: f"{next(numbers)} per minute")(view)
        app = make_app()
        app.get("/")(rule)
        assert set(statuses(app, "/", 600)) <= {200, 429}
        from flask_tenant_auth.limit.declarations import declaration_of

        (kept,) = declaration_of(rule).rules
        assert len(kept._prepared) <= 256

    def test_exempt_when_exempts_a_request(self) -> None:
        app = make_app()
        exempt = rate_limit(
            "1 per minute", exempt_when=lambda identity: identity and identity.role == "admin"
        )
        app.get("/")(exempt(view))
        assert statuses(app, "/", 3, headers=bearer(role="admin")) == [200] * 3
        assert statuses(app, "/", 2, headers=bearer()) == [200, 429]

    def test_methods_of_a_class_have_their_own_limits(self) -> None:
        class Items(MethodView):
            decorators: ClassVar[list[Callable[..., Any]]] = [rate_limit("5 per minute")]

            @rate_limit("1 per minute")
            def get(self) -> str:
                return "in"

            @rate_limit("1 per minute")
            def post(self) -> str:
                return "in"

        app = make_app()
        app.add_url_rule("/", view_func=Items.as_view("items"))
        assert statuses(app, "/", 2) == [200, 429]
        assert statuses(app, "/", 2, method="POST") == [200, 429]
        assert statuses(app, "/", 1, method="HEAD") == [429]

    def test_a_limit_below_a_decorator_without_wraps_counts(self) -> None:
        """Then the hook counts the default, and the decorator its own rule when it runs."""
        limited = rate_limit("1 per minute")(view)
        app = make_app()
        app.get("/")(lambda: limited())
        assert statuses(app, "/", 2) == [200, 429]
        headers = app.test_client().get("/").headers
        assert headers["X-RateLimit-Limit"] == "1"
        (retry_after,) = headers.getlist("Retry-After")
        assert retry_after in A_MINUTE

    def test_a_rule_counts_once_a_request(self) -> None:
        app = make_app()
        limited = rate_limit("2 per minute")(view)
        app.get("/")(lambda: limited() and limited())
        assert statuses(app, "/", 3) == [200, 200, 429]

    def test_the_order_of_the_decorators_does_not_matter(self) -> None:
        app = make_app()
        one = rate_limit("1 per minute")
        app.get("/a", endpoint="a")(one(verify_tenant_context(view)))
        app.get("/b", endpoint="b")(verify_tenant_context(one(view)))
        for path in ("/a", "/b"):
            assert statuses(app, path, 2, headers=bearer()) == [200, 429]
            assert statuses(app, path, 1, headers=bearer(user_id=OTHER_USER)) == [200]

    def test_a_call_outside_of_a_request_is_not_counted(self) -> None:
        limited = rate_limit("1 per minute")(view)
        with acting_as(TENANT, USER):
            assert [limited(), limited()] == ["in", "in"]

    def test_exactly_the_limit_passes_with_many_threads(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("50 per minute")(view))

        def ask(_: int) -> int:
            return app.test_client().get("/", headers=headers).status_code

        headers = bearer()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(ask, range(120)))
        assert found.count(200) == 50
        assert found.count(429) == 70

    @pytest.mark.parametrize("strategy", ["sliding-window-counter", "gcra"])
    def test_each_strategy_lets_exactly_the_limit_through(self, strategy: str) -> None:
        app = make_app(RATELIMIT_STRATEGY=strategy)
        app.get("/")(rate_limit("5 per minute")(view))
        assert statuses(app, "/", 7) == [200] * 5 + [429] * 2


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "error", "says"),
        [
            ({"limit": "often"}, ValueError, "often"),
            ({"limit": ""}, ValueError, "rate"),
            ({"limit": "0 minutes"}, ValueError, "0 minutes"),
            ({"limit": 5}, TypeError, "limit"),
            ({"limit": None}, TypeError, "limit"),
            ({"limit": lambda a, b: "1 per minute"}, TypeError, "limit"),
            ({"per": "planet"}, ValueError, "per"),
            ({"per": "custom"}, ValueError, "per"),
            ({"per": None}, TypeError, "per"),
            ({"per": lambda a, b: ""}, TypeError, "per"),
            ({"cost": 0}, ValueError, "cost"),
            ({"cost": 11}, ValueError, "cost"),
            ({"cost": 10**30}, ValueError, "cost"),
            ({"cost": 1.5}, TypeError, "cost"),
            ({"cost": True}, TypeError, "cost"),
            ({"cost": lambda a, b: 1}, TypeError, "cost"),
            ({"methods": "GET"}, TypeError, "methods"),
            ({"methods": []}, ValueError, "methods"),
            ({"methods": [1]}, TypeError, "methods"),
            ({"methods": 7}, TypeError, "methods"),
            ({"scope": 7}, TypeError, "scope"),
            ({"scope": " "}, ValueError, "scope"),
            ({"scope": "x" * 300}, ValueError, "scope"),
            ({"scope": "a\udc80b"}, ValueError, "scope"),
            ({"exempt_when": True}, TypeError, "exempt_when"),
            ({"override_defaults": 1}, TypeError, "override_defaults"),
            ({"override_defaults": None}, TypeError, "override_defaults"),
            ({"exempt_when": lambda a, b: True}, TypeError, "exempt_when"),
            ({"fair_share": 0.5}, ValueError, "fair_share"),
            ({"fair_share": 0, "per": "tenant"}, ValueError, "fair_share"),
            ({"fair_share": 1.5, "per": "tenant"}, ValueError, "fair_share"),
            ({"fair_share": "half", "per": "tenant"}, TypeError, "fair_share"),
            ({"fair_share": float("nan"), "per": "tenant"}, ValueError, "fair_share"),
        ],
    )
    def test_arguments_that_are_not_valid_raise_where_they_are_applied(
        self, arguments: dict[str, Any], error: type[Exception], says: str
    ) -> None:
        with pytest.raises(error, match=says):
            rate_limit(**({"limit": "10 per minute"} | arguments))

    def test_more_limits_than_can_be_counted_raise(self) -> None:
        limited: Any = view
        for _ in range(8):
            limited = rate_limit("5 per minute; 9 per hour")(limited)
        with pytest.raises(ValueError, match="at most 16 limits"):
            rate_limit("1 per minute")(limited)
        app = make_app()
        app.get("/")(limited)
        assert statuses(app, "/", 6) == [200] * 5 + [429]

    @pytest.mark.parametrize(("own", "tenants", "share"), [(16, 1, 1), (0, 9, 0.5), (2, 8, 0.9)])
    def test_more_default_limits_than_can_be_counted_raise(
        self, own: int, tenants: int, share: float
    ) -> None:
        """Every request was a 500."""

        def app(own: int) -> Flask:
            return make_app(
                RATELIMIT_DEFAULT="; ".join(["99 per minute"] * own),
                RATELIMIT_TENANT_DEFAULT="; ".join(["99 per minute"] * tenants),
                RATELIMIT_FAIR_SHARE=share,
            )

        with pytest.raises(ConfigurationError, match="RATELIMIT_DEFAULT and RATELIMIT_TENANT"):
            app(own)
        if own:
            fine = app(own - 1 if tenants == 1 else own - 2)
            fine.get("/")(view)
            assert statuses(fine, "/", 1) == [200]

    def test_exempt_and_limited_exclude_each_other(self) -> None:
        with pytest.raises(ValueError, match="exclude each other"):
            rate_limit_exempt(rate_limit("1 per minute")(view))
        with pytest.raises(ValueError, match="exclude each other"):

            @rate_limit("1 per minute")
            @rate_limit_exempt
            def both() -> None: ...

    def test_long_names_of_endpoints_are_counted(self) -> None:
        app = make_app()
        names = ("x" * 300, "x" * 299 + "y")
        for name in names:
            app.get(f"/{name}", endpoint=name)(rate_limit("1 per minute")(view))
        for name in names:
            assert statuses(app, f"/{name}", 2) == [200, 429]


class TestFairShare:
    def test_one_user_leaves_the_rest_to_the_others(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("10 per minute", per="tenant", fair_share=0.5)(view))
        noisy, other = bearer(), bearer(user_id=OTHER_USER)
        assert statuses(app, "/", 8, headers=noisy) == [200] * 5 + [429] * 3
        assert statuses(app, "/", 6, headers=other) == [200] * 5 + [429]
        third = bearer(user_id="00000000-0000-4000-8000-000000000003")
        assert statuses(app, "/", 1, headers=third) == [429]

    def test_half_of_an_odd_limit_leaves_the_larger_half(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("5 per minute", per="tenant", fair_share=0.5)(view))
        assert statuses(app, "/", 5, headers=bearer()) == [200] * 2 + [429] * 3
        app = make_app()
        app.get("/")(rate_limit("1 per minute", per="tenant", fair_share=0.5)(view))
        assert statuses(app, "/", 2, headers=bearer()) == [200, 429]

    def test_the_configured_share_limits_each_user(self) -> None:
        app = make_app(
            RATELIMIT_DEFAULT="", RATELIMIT_TENANT_DEFAULT="4 per minute", RATELIMIT_FAIR_SHARE=0.5
        )
        app.get("/")(view)
        assert statuses(app, "/", 3, headers=bearer()) == [200, 200, 429]
        assert statuses(app, "/", 3, headers=bearer(user_id=OTHER_USER)) == [200, 200, 429]
        assert statuses(app, "/", 1, headers=bearer(OTHER_TENANT)) == [200]


def test_a_right_password_passes_a_login_view_without_its_own_limit() -> None:
    """As docs/security.md says: the view runs before its 401 is counted."""
    app = make_app(AUTH_FAILURE_LIMIT="2 per hour", RATELIMIT_DEFAULT="")

    def login() -> Any:
        return ("in", 200) if request.args["guess"] == "right" else ("wrong", 401)

    app.post("/login", endpoint="login")(login)
    app.post("/limited", endpoint="limited")(rate_limit("3 per hour", per="address")(login))
    assert statuses(app, "/login?guess=wrong", 3, "POST") == [401, 401, 429]
    assert statuses(app, "/login?guess=right", 1, "POST") == [200]
    assert statuses(app, "/limited?guess=right", 4, "POST") == [200, 200, 200, 429]


class TestFailures:
    @pytest.fixture
    def app(self) -> Flask:
        app = make_app(AUTH_FAILURE_LIMIT="3 per minute", RATELIMIT_DEFAULT="")
        app.get("/")(verify_tenant_context(view))
        return app

    def test_a_401_becomes_a_429_above_the_limit(self, app: Flask) -> None:
        bad = {"Authorization": "Bearer a.b.c"}
        assert statuses(app, "/", 5, headers=bad) == [401] * 3 + [429] * 2
        response = app.test_client().get("/", headers=bad)
        assert error_of(response) == (429, "3 per 1 minute")
        assert response.headers["Retry-After"] in A_MINUTE
        assert "WWW-Authenticate" not in response.headers

    def test_a_valid_token_is_never_limited_by_failures(self, app: Flask) -> None:
        statuses(app, "/", 5)
        assert statuses(app, "/", 5, headers=bearer()) == [200] * 5

    def test_all_addresses_of_one_ipv6_network_share_a_limit(self, app: Flask) -> None:
        """Whoever rented one server could guess from another address each time."""
        client = app.test_client()

        def guess(address: str) -> int:
            overrides = {"REMOTE_ADDR": address}
            return client.get("/", environ_overrides=overrides).status_code

        assert [guess(f"2001:db8:0:7::{number}") for number in range(1, 7)] == [401] * 3 + [429] * 3
        assert guess("2001:db8:0:8::1") == 401

    def test_each_address_has_its_own_limit(self, app: Flask) -> None:
        statuses(app, "/", 5)
        assert statuses(app, "/", 1, environ_overrides={"REMOTE_ADDR": "192.0.2.9"}) == [401]

    def test_only_401_responses_count(self, app: Flask) -> None:
        assert statuses(app, "/", 5, headers=identity_headers("x")) == [400] * 5
        assert statuses(app, "/", 1) == [401]

    def test_a_401_of_a_view_counts_too(self, app: Flask) -> None:
        app.post("/login")(lambda: ("wrong", 401))
        assert statuses(app, "/login", 4, method="POST") == [401] * 3 + [429]

    def test_an_empty_failure_limit_counts_no_failures(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="", RATELIMIT_DEFAULT="")
        app.get("/")(verify_tenant_context(view))
        assert statuses(app, "/", 40) == [401] * 40

    def test_the_default_limit_is_the_documented_one(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="")
        app.get("/")(verify_tenant_context(view))
        assert statuses(app, "/", 31) == [401] * 30 + [429]


class TestHeaders:
    def test_headers_can_be_turned_off(self) -> None:
        app = make_app(RATELIMIT_HEADERS_ENABLED=False)
        app.get("/")(rate_limit("1 per minute")(view))
        client = app.test_client()
        for response in (client.get("/"), client.get("/")):
            assert "X-RateLimit-Limit" not in response.headers
        assert response.headers["Retry-After"] in A_MINUTE

    def test_ietf_headers_have_all_limits(self) -> None:
        app = make_app(RATELIMIT_IETF_HEADERS_ENABLED=True)
        app.get("/")(rate_limit("5 per second; 100 per hour")(view))
        headers = app.test_client().get("/").headers
        assert headers["RateLimit-Policy"] == '"1";q=5;w=1, "2";q=100;w=3600'
        assert headers["RateLimit"].startswith('"1";r=4;t=')
        assert headers["X-RateLimit-Remaining"] == "4"

    def test_ietf_headers_are_off_by_default(self) -> None:
        app = make_app()
        app.get("/")(view)
        assert "RateLimit" not in app.test_client().get("/").headers

    def test_headers_are_of_the_limit_with_the_least_remaining(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("100 per minute", per="address")(rate_limit("3 per hour")(view)))
        headers = app.test_client().get("/").headers
        assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("3", "2")


def test_a_plan_is_made_once_and_unknown_paths_share_one() -> None:
    app = make_app()
    app.get("/", endpoint="root")(view)
    client = app.test_client()
    for path in ("/", "/", "/x", "/y"):
        client.get(path)
        client.open("/", method="QUERY")
    assert list(state_of(app).plans.made) == [("root", "GET"), ("", "GET")]


LIMITS = [_core.Limit(rate, scope="flood", per="address") for rate in _core.parse_rates("5/hour")]


class TestStores:
    """What the layer says of the stores. Which of them counts is the core's affair."""

    @staticmethod
    def limited(redis_url: str, **config: Any) -> Flask:
        # Redis has longer than a request would wait: the machine may be busy with other tests.
        app = make_app(REDIS_URL=redis_url, **{"RATELIMIT_STORE_TIMEOUT_MS": 5000} | config)
        app.get("/")(rate_limit("2 per minute")(view))
        return app

    def test_a_redis_that_is_away_is_logged_once_and_fails_no_request(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = self.limited(f"redis://:hunter2@127.0.0.1:{free_port()}/0")
        assert statuses(app, "/", 3, headers=bearer()) == [200, 200, 429]
        told = [record for record in caplog.records if "Redis" in record.getMessage()]
        assert [record.levelname for record in told] == ["WARNING"]
        assert "is away" in told[0].getMessage()
        assert "RATELIMIT_ON_STORE_ERROR=memory" in told[0].getMessage()
        assert "hunter2" not in caplog.text

    def test_a_full_table_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        app = self.limited("", RATELIMIT_SHM_BYTES=2**16)
        for n in range(6000):
            state_of(app).hit(LIMITS, None, f"192.0.2.{n}")
        told = [record for record in caplog.records if "table is full" in record.getMessage()]
        assert len(told) == 1
        assert "RATELIMIT_SHM_BYTES (now 65536)" in told[0].getMessage()
        assert statuses(app, "/", 3, headers=bearer()) == [200, 200, 429]

    @pytest.mark.parametrize(("policy", "status"), [("allow", 200), ("deny", 429)])
    def test_on_store_error_decides_without_a_store(self, policy: str, status: int) -> None:
        app = self.limited(f"redis://127.0.0.1:{free_port()}/0", RATELIMIT_ON_STORE_ERROR=policy)
        assert statuses(app, "/", 4, headers=bearer()) == [status] * 4

    def test_two_apps_count_together_in_redis(self, redis: Redis) -> None:
        prefix = f"meeting {uuid.uuid4()}"
        apps = [self.limited(redis.url, RATELIMIT_KEY_PREFIX=prefix) for _ in "ab"]
        found = [statuses(app, "/", 2, headers=bearer()) for app in apps]
        assert found == [[200, 200], [429, 429]]

    def test_a_redis_that_is_back_is_logged_too(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "flask_tenant_auth")
        with Redis() as server:
            app = self.limited(server.url)
            assert statuses(app, "/", 1) == [200]
            server.stop()
            assert set(statuses(app, "/", 3)) <= {200, 429}
            server.start()

            def answers_again() -> bool:
                statuses(app, "/", 1, headers=bearer(user_id=str(uuid.uuid4())))
                return "answers again" in caplog.text

            until(answers_again, "Redis answers again")
        told = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
        assert ["away" in line for line in told[:2]] == [True, False]


def test_a_route_of_any_method_keeps_no_plan_for_unknown_methods() -> None:
    """A flood of requests, each with a method of its own, made the app keep something for each."""
    app = make_app()
    app.url_map.add(Rule("/", endpoint="root"))
    app.endpoint("root")(rate_limit("9 per minute")(view))
    client = app.test_client()
    answers = [client.open("/", method=f"M{number}").status_code for number in range(12)]
    assert answers == [200] * 9 + [429] * 3
    assert client.get("/").status_code == 429
    assert list(state_of(app).plans.made) == [("root", "GET")]


def test_a_file_or_link_of_another_user_is_not_used(tmp_path: Path) -> None:
    """What has the name of our counters, is ours and is no file stops the app."""
    name = f"app_{uuid.uuid4().hex}"

    def path_of_counters(prefix: str) -> Path:
        app = Flask(name)
        app.config |= bare_app(TESTING=False, RATELIMIT_KEY_PREFIX=prefix).config
        TenantAuth(app)
        limiter = state_of(app).limiter
        path = Path(limiter.status()["path"])
        limiter.close()
        return path

    planted = path_of_counters("a")
    precious = tmp_path / "precious"
    precious.write_text("precious")
    planted.symlink_to(precious)
    try:
        with pytest.raises(ConfigurationError, match=r"KEY_PREFIX 'a' .*another prefix"):
            path_of_counters("a")
        assert precious.read_text() == "precious"
        assert path_of_counters("b") != planted
    finally:
        planted.unlink()
    assert path_of_counters("a").name.rpartition("-")[0] == planted.name.rpartition("-")[0]


BAD_TOKEN = {"Authorization": "Bearer a.b.c"}


def test_options_that_a_view_answers_is_counted() -> None:
    """A view that takes OPTIONS could be called by it without limit, and passwords be guessed."""
    app = make_app(RATELIMIT_DEFAULT="4 per minute", CORS_ORIGINS="app.example.com")
    called: list[str] = []

    def login() -> str:
        called.append("login")
        return "checked"

    app.route("/api/login", methods=["POST", "OPTIONS"], endpoint="login")(
        rate_limit("2 per hour", per="address")(login)
    )
    app.route("/api/own", methods=["GET", "OPTIONS"], endpoint="own")(
        verify_tenant_context(rate_limit("3 per minute")(view))
    )
    app.get("/api/automatic", endpoint="automatic")(rate_limit("1 per hour")(view))
    assert statuses(app, "/api/login", 3, "OPTIONS") == [200, 200, 429]
    assert called == ["login"] * 2
    assert statuses(app, "/api/own", 4, "OPTIONS", headers=bearer()) == [200] * 3 + [429]
    assert statuses(app, "/api/own", 9, "OPTIONS") == [200] * 9  # told the methods, by no view
    assert statuses(app, "/api/automatic", 9, "OPTIONS") == [200] * 9  # by Flask
    preflight = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    assert statuses(app, "/api/login", 9, "OPTIONS", headers=preflight) == [200] * 9
    assert called == ["login"] * 2
    assert statuses(app, "/missing", 6, "OPTIONS") == [404] * 4 + [429] * 2


def test_only_what_counts_a_view_denies_it() -> None:
    """The 429 of a failed authentication was caught, and denied the view all the same."""
    app = make_app(AUTH_FAILURE_LIMIT="1 per minute")

    @app.before_request
    def try_to_authenticate() -> None:
        with suppress(AuthError):
            verify_tenant_context(view)()

    app.get("/")(rate_limit("4 per minute")(view))
    assert statuses(app, "/", 5, headers=BAD_TOKEN) == [200] * 4 + [429]


@pytest.mark.parametrize("guarded", ["get", "options"])
def test_options_of_a_class_is_counted_unless_its_handler_asks_for_an_identity(
    guarded: str,
) -> None:
    """A verified ``get`` beside it answers no OPTIONS request."""
    app = make_app(RATELIMIT_DEFAULT="2 per minute")

    class Views(MethodView):
        def get(self) -> str:
            return "in"

        def options(self) -> str:
            return "in"

    setattr(Views, guarded, verify_tenant_context(getattr(Views, guarded)))
    app.add_url_rule("/class", view_func=Views.as_view("class"))
    found = statuses(app, "/class", 4, "OPTIONS")
    assert found == ([200, 200, 429, 429] if guarded == "get" else [200] * 4)


@pytest.mark.parametrize(
    ("config", "last"),
    [
        ({"RATELIMIT_ENDPOINTS": {"api.class": "1 per minute"}}, 429),
        ({"RATELIMIT_DENIED": "1 per minute"}, 429),
        ({}, 200),
    ],
)
def test_options_of_a_class_is_counted_by_the_limits_of_the_configuration(
    config: dict[str, Any], last: int
) -> None:
    app = make_app(**({"RATELIMIT_DEFAULT": "99 per minute"} | config))
    api = Blueprint("api", __name__)

    class Views(MethodView):
        @verify_tenant_context
        def get(self) -> str:
            return "in"

        def options(self) -> str:
            return "in"

    api.add_url_rule("/class", view_func=Views.as_view("class"))
    app.register_blueprint(api)
    app.get("/once", endpoint="once")(rate_limit("1 per day", per="address")(view))
    assert statuses(app, "/once", 3)[:2] == [200, 429]
    assert statuses(app, "/class", 2, "OPTIONS")[1] == last


class TestFailuresByOptions:
    """Tokens could be tried by OPTIONS without limit, where the view answers OPTIONS itself."""

    @staticmethod
    def app(**config: Any) -> Flask:
        app = make_app(AUTH_FAILURE_LIMIT="2 per minute", CORS_ORIGINS="app.example.com", **config)
        app.get("/api/automatic", endpoint="automatic")(verify_tenant_context(view))
        app.route("/api/own", methods=["GET", "OPTIONS"], endpoint="own")(
            verify_tenant_context(view)
        )
        app.get("/api/public", endpoint="public")(view)
        return app

    @pytest.mark.parametrize("path", ["/api/automatic", "/api/own", "/missing"])
    def test_options_with_bad_tokens_count_as_failures(self, path: str) -> None:
        app = self.app()
        found = statuses(app, path, 3, "OPTIONS", headers=BAD_TOKEN)
        assert found == [404 if path == "/missing" else 200] * 2 + [429]
        assert statuses(app, "/api/own", 1, headers=BAD_TOKEN) == [429]
        # Another address, and good tokens, go on.
        elsewhere = {"REMOTE_ADDR": "192.0.2.9"}
        other = statuses(
            app, "/api/own", 1, "OPTIONS", headers=BAD_TOKEN, environ_overrides=elsewhere
        )
        assert other == [200]
        for method in ("GET", "OPTIONS"):
            assert statuses(app, "/api/own", 3, method, headers=bearer()) == [200] * 3

    def test_a_view_without_an_identity_counts_no_failure(self) -> None:
        app = self.app()
        for method in ("GET", "OPTIONS"):
            assert statuses(app, "/api/public", 5, method, headers=BAD_TOKEN) == [200] * 5
        assert statuses(app, "/api/own", 1, "OPTIONS", headers=BAD_TOKEN) == [200]

    @pytest.mark.parametrize("guard", [verify_tenant_context, public_route])
    def test_a_hook_or_a_method_of_a_class_counts_failures(self, guard: Any) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="2 per minute")

        class Views(MethodView):
            @guard  # type: ignore[untyped-decorator]
            def post(self) -> str:
                return "in"

            def get(self) -> str:
                return "in"

        inner = Blueprint("inner", __name__)
        inner.before_request(guard(lambda: None))
        inner.get("/guarded")(view)
        app.register_blueprint(inner)
        app.add_url_rule("/class", view_func=Views.as_view("class"))
        paths = ("/guarded", "/class")
        found = [statuses(app, path, 2, "OPTIONS", headers=BAD_TOKEN) for path in paths]
        limited = guard is verify_tenant_context
        assert found == [[200] * 2, [429] * 2 if limited else [200] * 2]

    def test_each_failure_counts_once(self) -> None:
        """In the hook and in the decorator alike."""
        app = self.app()
        assert statuses(app, "/api/own", 1, "OPTIONS", headers=BAD_TOKEN) == [200]
        assert statuses(app, "/api/own", 2, headers=BAD_TOKEN) == [401, 429]

    def test_a_limited_options_request_gets_the_documented_response(self) -> None:
        client = self.app().test_client()
        answers = [client.options("/api/own", headers=BAD_TOKEN) for _ in range(3)]
        assert error_of(answers[-1]) == (429, "2 per 1 minute")
        assert int(answers[-1].headers["Retry-After"]) >= 1

    def test_a_preflight_has_no_token_and_is_no_failure(self) -> None:
        app = self.app()
        preflight = {
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        for path in ("/api/own", "/api/automatic"):
            assert statuses(app, path, 5, "OPTIONS", headers=preflight) == [200] * 5
            assert statuses(app, path, 5, "OPTIONS") == [200] * 5
        assert statuses(app, "/api/own", 3, headers=BAD_TOKEN) == [401, 401, 429]

    def test_a_preflight_with_an_invalid_token_is_a_failure(self) -> None:
        headers = {
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "GET",
            **BAD_TOKEN,
        }
        assert statuses(self.app(), "/api/own", 3, "OPTIONS", headers=headers) == [200, 200, 429]

    def test_the_decorator_counts_failures_without_tenant_auth(self) -> None:
        app = bare_app(AUTH_FAILURE_LIMIT="2 per minute")
        app.route("/", methods=["GET", "OPTIONS"])(verify_tenant_context(view))
        assert statuses(app, "/", 3, "OPTIONS", headers=BAD_TOKEN) == [200, 200, 429]
        assert statuses(app, "/", 1, headers=BAD_TOKEN) == [429]

    @pytest.mark.parametrize("config", [{"AUTH_FAILURE_LIMIT": ""}, {"RATELIMIT_ENABLED": False}])
    def test_failures_are_not_counted_where_the_limit_is_empty(
        self, config: dict[str, Any]
    ) -> None:
        app = make_app(**config)
        app.route("/", methods=["GET", "OPTIONS"])(verify_tenant_context(view))
        assert statuses(app, "/", 40, "OPTIONS", headers=BAD_TOKEN) == [200] * 40


class TestAddresses:
    @pytest.mark.parametrize(
        "written",
        [
            ["192.0.2.1", "192.0.2.1:50312", "192.0.2.1:50313", "[192.0.2.1]:1"],
            ["192.0.2.1", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:50312", "::ffff:c000:201"],
            ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:50312", "2001:DB8:0:0:0:0:0:1"],
            ["fe80::1", "fe80::1%eth0", "[fe80::1%25eth0]:50312", "fe80::2%eth1"],
        ],
    )
    def test_an_address_is_one_client_however_it_is_written(self, written: list[str]) -> None:
        """Behind a proxy that adds the port, each connection was a client of its own."""
        app = make_app(RATELIMIT_DEFAULT="3 per minute", AUTH_FAILURE_LIMIT="3 per minute")
        app.get("/open", endpoint="open")(view)
        app.get("/closed", endpoint="closed")(rate_limit_exempt(verify_tenant_context(view)))

        def ask(path: str, address: str) -> int:
            overrides = {"REMOTE_ADDR": address}
            return app.test_client().get(path, environ_overrides=overrides).status_code

        assert [ask("/open", address) for address in written] == [200, 200, 200, 429]
        assert [ask("/closed", address) for address in written] == [401, 401, 401, 429]
        for other in ("192.0.2.2", "192.0.2.2:50312", "[2001:db8:0:1::1]:50312"):
            assert ask("/open", other) == 200
            assert ask("/closed", other) == 401


def prefix_of(name: str) -> str:
    app = Flask(name)
    app.testing = True
    return Settings.from_app(app).ratelimit_key_prefix


@pytest.mark.parametrize("name", ["x" * 255, "x" * 256, "\u20ac" * 100], ids=len)
def test_an_app_with_a_long_name_counts_under_a_prefix_of_its_own(name: str) -> None:
    prefix = prefix_of(name)
    assert len(prefix.encode()) <= 255
    assert (prefix == name) is (len(name.encode()) <= 255)
    assert prefix != prefix_of(name[1:] + "y")
