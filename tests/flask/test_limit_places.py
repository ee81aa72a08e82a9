"""Which limits count, where several places declare some: the nearest, or several together."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from flask.views import MethodView

from apps import TENANT, USER, bare_app, bearer, make_app
from flask_tenant_auth import (
    ConfigurationError,
    Identity,
    TenantAuth,
    exempt_blueprint,
    limit_blueprint,
    rate_limit,
    rate_limit_exempt,
    verify_tenant_context,
)
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.limit.declarations import declaration_of
from servers import Redis


def view() -> str:
    return "in"


def statuses(app: Flask, path: str, times: int, method: str = "GET", **arguments: Any) -> list[int]:
    client = app.test_client()
    return [client.open(path, method=method, **arguments).status_code for _ in range(times)]


def rates_of(app: Flask, endpoint: str, method: str = "GET") -> list[object]:
    """Return the texts of the limits that have counted a route."""
    return [rule.limit for rule in state_of(app).plans.made[endpoint, method].rules]


class TestOverrideDefaults:
    def app(self, *arguments: dict[str, Any], **config: Any) -> Flask:
        app = make_app(**({"RATELIMIT_DEFAULT": "3 per minute"} | config))
        limited: Any = view
        for each in arguments:
            limited = rate_limit(**each)(limited)
        app.route("/", endpoint="index", methods=["GET", "POST"])(limited)
        app.get("/other", endpoint="other")(view)
        return app

    def test_a_limit_that_does_not_override_counts_beside_the_default(self) -> None:
        app = self.app({"limit": "2 per minute", "override_defaults": False})
        assert statuses(app, "/", 3) == [200, 200, 429]
        assert statuses(app, "/other", 2) == [200, 429]

    def test_the_default_denies_as_well_and_nothing_is_counted_then(self) -> None:
        app = self.app({"limit": "9 per minute", "override_defaults": False})
        assert statuses(app, "/other", 2) == [200, 200]
        response = app.test_client().get("/")
        assert response.headers["X-RateLimit-Limit"] == "3"
        assert statuses(app, "/", 2) == [429, 429]
        limits = state_of(app).plans.made["index", "GET"].limits
        assert limits is not None
        left = [state_of(app).limiter.peek([each], None, "127.0.0.1").remaining for each in limits]
        assert left == [8, 0]

    def test_one_that_overrides_is_enough(self) -> None:
        app = self.app(
            {"limit": "9 per minute", "override_defaults": False}, {"limit": "8 per minute"}
        )
        assert statuses(app, "/", 9) == [200] * 8 + [429]
        assert rates_of(app, "index") == ["8 per minute", "9 per minute"]

    def test_a_limit_of_another_method_overrides_nothing(self) -> None:
        app = self.app({"limit": "1 per minute", "methods": ["POST"]})
        assert statuses(app, "/", 4) == [200] * 3 + [429]
        assert statuses(app, "/", 2, "POST") == [200, 429]

    def test_the_tenants_default_counts_too(self) -> None:
        app = self.app(
            {"limit": "9 per minute", "override_defaults": False},
            RATELIMIT_DEFAULT="8 per minute",
            RATELIMIT_TENANT_DEFAULT="2 per minute",
        )
        assert statuses(app, "/", 3, headers=bearer()) == [200, 200, 429]
        assert rates_of(app, "index") == ["9 per minute", "8 per minute", "2 per minute"]

    def test_methods_of_a_class_and_the_class_are_one_declaration(self) -> None:
        class Items(MethodView):
            decorators = (rate_limit("9 per minute", override_defaults=False),)

            @rate_limit("2 per minute", override_defaults=False)
            def get(self) -> str:
                return "in"

        app = make_app(RATELIMIT_DEFAULT="8 per minute")
        app.add_url_rule("/", view_func=Items.as_view("items"))
        assert statuses(app, "/", 3) == [200, 200, 429]
        assert rates_of(app, "items") == ["9 per minute", "2 per minute", "8 per minute"]

    def test_an_exempt_view_has_no_default_whatever_it_says(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="1 per minute")
        app.get("/")(rate_limit_exempt(view))
        assert statuses(app, "/", 3) == [200] * 3

    def test_more_limits_together_than_can_be_counted_name_the_endpoint(self) -> None:
        app = self.app(
            {"limit": ";".join(["9 per minute"] * 9), "override_defaults": False},
            RATELIMIT_DEFAULT=";".join(["9 per minute"] * 8),
        )
        with pytest.raises(ConfigurationError, match=r"index: .* at most 16 together"):
            statuses(app, "/", 1)
        assert statuses(app, "/other", 1) == [200]


class TestDefaults:
    def app(self, default: Any, **config: Any) -> Flask:
        app = make_app(RATELIMIT_DEFAULT=default, **config)
        app.route("/", endpoint="index", methods=["GET", "POST"])(view)
        app.get("/other", endpoint="other")(lambda: "in")
        return app

    def test_a_default_takes_the_arguments_of_the_decorator(self) -> None:
        app = self.app(
            {
                "limit": lambda: "7 per minute",
                "per": lambda: request.args["key"],
                "cost": lambda: int(request.args["cost"]),
                "exempt_when": lambda: "exempt" in request.args,
                "deduct_when": lambda response: "free" not in request.args,
            }
        )
        assert statuses(app, "/?key=a&cost=4", 1) + statuses(app, "/other?key=a&cost=4", 1) == [
            *(200, 429),
        ]
        assert statuses(app, "/?key=b&cost=7&free", 3) == [200] * 3
        assert statuses(app, "/?key=a&cost=9&exempt", 3) == [200] * 3
        assert statuses(app, "/missing?key=c&cost=7", 2) == [404, 429]

    def test_several_are_a_list_and_count_apart(self) -> None:
        app = self.app([{"limit": "3 per minute", "methods": ["POST"]}, "3 per minute"])
        assert statuses(app, "/", 4, "POST") == [200] * 3 + [429]
        assert statuses(app, "/", 1) == [429]
        app = self.app([{"limit": "2 per minute", "methods": ["POST"]}])
        assert statuses(app, "/", 9) + statuses(app, "/missing", 9) == [200] * 9 + [404] * 9
        assert statuses(app, "/missing", 3, "POST") == [404, 404, 429]

    def test_json_text_of_a_dict_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RATELIMIT_TENANT_DEFAULT", '{"limit": "4 per hour", "cost": 2}')
        app = self.app("")
        assert statuses(app, "/", 3, headers=bearer()) == [200, 200, 429]
        assert [rule.per for rule in state_of(app).plans.made["index", "GET"].rules] == ["tenant"]

    def test_the_tenants_share_can_stand_there(self) -> None:
        default = {"limit": "4 per minute", "fair_share": 0.5}
        app = self.app("", RATELIMIT_TENANT_DEFAULT=default)
        assert statuses(app, "/", 3, headers=bearer()) == [200, 200, 429]

    def test_flask_auth_check_shows_them(self) -> None:
        app = self.app([{"limit": "9 per hour", "cost": 3}, "8 per minute"])
        output = app.test_cli_runner().invoke(args=["auth", "check"]).output
        assert "9 per hour per user (cost 3); 8 per minute per user" in output
        assert "RATELIMIT_DEFAULT=" in output
        shown = app.test_cli_runner().invoke(
            args=["auth", "limits", "show", "--address", "127.0.0.1"]
        )
        assert "default: 9 per 1 hour" in shown.output
        assert "default 1: 8 per 1 minute" in shown.output

    @pytest.mark.parametrize(
        ("default", "says"),
        [
            ({"per": "user"}, "a dict of arguments has no 'limit'"),
            ({"limit": "often"}, "often"),
            ({"limit": "5/minute", "pre": "user"}, "'pre' is no argument of rate_limit"),
            ([5], "a dict of arguments, not int"),
            (5, "a dict of arguments, not int"),
            ('{"limit": ', "must be JSON text"),
            (lambda one, two: "5/minute", "limit must be a callable"),
        ],
    )
    def test_what_cannot_be_meant_stops_the_app(self, default: Any, says: str) -> None:
        with pytest.raises(ConfigurationError, match=f"RATELIMIT_DEFAULT:? .*{says}"):
            self.app(default)


class TestEndpoints:
    def app(self, endpoints: Any, **config: Any) -> Flask:
        app = make_app(
            **{"RATELIMIT_DEFAULT": "3 per minute", "RATELIMIT_ENDPOINTS": endpoints} | config
        )
        app.route("/own", endpoint="own", methods=["GET", "POST"])(rate_limit("4 per minute")(view))
        app.get("/plain", endpoint="plain")(view)
        app.get("/free", endpoint="free")(rate_limit_exempt(view))
        return app

    def test_the_configuration_replaces_what_the_code_declares(self) -> None:
        app = self.app({"own": "2 per minute", "free": "1 per minute", "plain": "5 per minute"})
        assert statuses(app, "/own", 3) == [200, 200, 429]
        assert statuses(app, "/free", 2) == [200, 429]
        assert statuses(app, "/plain", 6) == [200] * 5 + [429]

    def test_a_larger_limit_replaces_a_decorator_too(self) -> None:
        app = self.app({"own": "6 per minute"})
        assert statuses(app, "/own", 7) == [200] * 6 + [429]

    def test_beside_the_code_where_it_says_so(self) -> None:
        app = self.app({"own": {"limit": "2 per minute", "override_defaults": False}})
        assert statuses(app, "/own", 3) == [200, 200, 429]
        assert rates_of(app, "own") == ["2 per minute", "4 per minute"]

    @pytest.mark.parametrize("nothing", ["", []])
    def test_empty_is_for_no_limit(self, nothing: Any) -> None:
        app = self.app({"own": nothing, "plain": nothing})
        for path in ("/own", "/plain"):
            assert statuses(app, path, 9) == [200] * 9
        response = app.test_client().get("/own")
        assert "X-RateLimit-Limit" not in response.headers

    def test_json_text_is_read(self) -> None:
        app = self.app('{"own": {"limit": "9 per minute", "cost": 4, "methods": ["POST"]}}')
        assert statuses(app, "/own", 3, "POST") == [200, 200, 429]
        assert statuses(app, "/own", 5) == [200] * 4 + [429]

    def test_every_argument_of_the_decorator_works(self) -> None:
        app = self.app(
            {
                "plain": [
                    {"limit": "4 per minute", "per": "tenant", "fair_share": 0.5},
                    {
                        "limit": lambda: "7 per minute",
                        "per": lambda: request.args["key"],
                        "cost": lambda: int(request.args["cost"]),
                        "exempt_when": lambda: "exempt" in request.args,
                        "deduct_when": lambda response: "free" not in request.args,
                        "scope": "shared",
                    },
                ]
            }
        )
        one, two = bearer(), bearer(user_id="123e4567-e89b-42d3-a456-426614174000")
        assert statuses(app, "/plain?key=a&cost=1", 3, headers=one) == [200, 200, 429]
        assert statuses(app, "/plain?key=a&cost=9&exempt", 1, headers=two) == [200]
        assert statuses(app, "/plain?key=b&cost=7&free", 1, headers=two) == [200]
        app = self.app({"plain": {"limit": "7 per minute", "cost": lambda: 7, "scope": "s"}})
        assert statuses(app, "/plain", 2) == [200, 429]

    def test_endpoints_of_one_scope_share_a_count(self) -> None:
        shared = {"limit": "2 per minute", "scope": "both"}
        app = self.app({"own": shared, "plain": shared})
        assert statuses(app, "/own", 1) + statuses(app, "/plain", 2) == [200, 200, 429]

    def test_endpoints_without_a_scope_have_counts_of_their_own(self) -> None:
        app = self.app({"own": "1 per minute", "plain": "1 per minute"})
        for path in ("/own", "/plain"):
            assert statuses(app, path, 2) == [200, 429]

    @pytest.mark.parametrize(
        ("endpoints", "says"),
        [
            ("own=5/minute", "must be JSON text"),
            ('{"own": "5/minute", "own": "6/minute"}', "a name is there twice"),
            (["own"], "must be a dict"),
            ({5: "5/minute"}, "names that are text"),
            ({"own": 5}, "for 'own', not int"),
            ({"own": None}, "for 'own', not NoneType"),
            ({"own": {"per": "user"}}, "own: a dict of arguments has no 'limit'"),
            ({"own": "often"}, "own: .*often"),
            ({"own": {"limit": "5/minute", "pre": "user"}}, "own: 'pre' is no argument"),
            ({"own": {"limit": "5/minute", "per": "planet"}}, "own: per must be one of"),
            ({"own": {"limit": "5/minute", "cost": 6}}, "own: cost must be"),
            ({"own": ["5/minute", ""]}, "own: .*rate"),
        ],
    )
    def test_what_cannot_be_meant_stops_the_app(self, endpoints: Any, says: str) -> None:
        with pytest.raises(ConfigurationError, match=f"RATELIMIT_ENDPOINTS:? .*{says}"):
            self.app(endpoints)

    def test_a_name_that_is_no_endpoint_stops_every_request_and_is_named(self) -> None:
        app = self.app({"onw": "5 per minute"})
        for path in ("/plain", "/own"):
            with pytest.raises(
                ConfigurationError, match=r"'onw', which is no endpoint .* the nearest is 'own'"
            ):
                statuses(app, path, 1)
        result = app.test_cli_runner().invoke(args=["auth", "check"])
        assert result.exit_code == 1
        assert "Problem: RATELIMIT_ENDPOINTS names 'onw'" in result.output

    def test_flask_auth_check_shows_them(self) -> None:
        app = self.app({"own": {"limit": lambda: "5 per minute", "per": "tenant"}})
        result = app.test_cli_runner().invoke(args=["auth", "check"])
        assert "limit by callable per tenant" in result.output
        assert 'RATELIMIT_ENDPOINTS={"own"' in result.output

    def test_a_static_view_can_have_a_limit_there(self) -> None:
        app = self.app({"static": "1 per minute"})
        assert statuses(app, "/static/none.css", 2) == [404, 429]

    def test_two_routes_to_one_view_have_one_budget(self) -> None:
        """Or each further route would be further guesses."""
        app = make_app(RATELIMIT_ENDPOINTS={"a": "2 per minute", "b": "2 per minute"})
        app.add_url_rule("/a", "a", view)
        app.add_url_rule("/b", "b", view)
        assert statuses(app, "/a", 1) + statuses(app, "/b", 2) == [200, 200, 429]


class TestBlueprints:
    def register(self, app: Flask, *nested: Blueprint) -> Flask:
        """Register each blueprint in the one before it, and the first one in the app."""
        for outer, inner in pairwise(nested):
            outer.register_blueprint(inner)
        app.register_blueprint(nested[0])
        return app

    def blueprint(self, name: str = "b") -> Blueprint:
        made = Blueprint(name, __name__, url_prefix=f"/{name}")
        made.route("/", endpoint="index", methods=["GET", "POST"])(view)
        made.get("/own", endpoint="own")(rate_limit("4 per minute")(view))
        return made

    def test_each_route_has_the_limit_and_a_count_of_its_own(self) -> None:
        blueprint = self.blueprint()
        limit_blueprint(blueprint, "2 per minute")
        blueprint.get("/later", endpoint="later")(lambda: "in")
        app = self.register(make_app(RATELIMIT_DEFAULT="1 per minute"), blueprint)
        for path in ("/b/", "/b/later"):
            assert statuses(app, path, 3) == [200, 200, 429]
        assert statuses(app, "/b/own", 5) == [200] * 4 + [429]

    def test_tenantauth_may_come_after_the_blueprint(self) -> None:
        blueprint = self.blueprint()
        limit_blueprint(blueprint, "2 per minute")
        app = self.register(bare_app(), blueprint)
        TenantAuth(app)
        assert statuses(app, "/b/", 3) == [200, 200, 429]

    def test_with_a_scope_its_routes_share_a_count(self) -> None:
        blueprint = self.blueprint()
        blueprint.get("/more", endpoint="more")(lambda: "in")
        limit_blueprint(blueprint, "2 per minute", scope="all of it")
        app = self.register(make_app(), blueprint)
        blueprint_of_others = Blueprint("o", __name__)
        blueprint_of_others.get("/o")(lambda: "in")
        limit_blueprint(blueprint_of_others, "2 per minute", scope="all of it")
        app.register_blueprint(blueprint_of_others)
        found = statuses(app, "/b/", 1) + statuses(app, "/b/more", 1) + statuses(app, "/o", 1)
        assert found == [200, 200, 429]

    def test_other_routes_are_not_limited_by_it(self) -> None:
        blueprint, other = self.blueprint(), self.blueprint("o")
        limit_blueprint(blueprint, "1 per minute")
        app = self.register(make_app(RATELIMIT_DEFAULT="3 per minute"), blueprint)
        app.register_blueprint(other)
        app.get("/plain", endpoint="plain")(lambda: "in")
        assert statuses(app, "/b/", 2) == [200, 429]
        assert statuses(app, "/o/", 2) + statuses(app, "/plain", 2) == [200, 200, 200, 429]

    def test_the_innermost_blueprint_counts(self) -> None:
        outer, inner = self.blueprint("o"), self.blueprint("i")
        limit_blueprint(outer, "3 per minute")
        limit_blueprint(inner, "2 per minute")
        app = self.register(make_app(), outer, inner)
        assert statuses(app, "/o/i/", 3) == [200, 200, 429]
        assert statuses(app, "/o/", 4) == [200] * 3 + [429]

    def test_the_outer_one_limits_a_nested_one_without_limits(self) -> None:
        blueprints = [self.blueprint(name) for name in "abc"]
        limit_blueprint(blueprints[0], "2 per minute")
        app = self.register(make_app(), *blueprints)
        assert statuses(app, "/a/b/c/", 3) == [200, 200, 429]

    def test_without_overriding_all_of_them_and_the_default_count(self) -> None:
        blueprints = [self.blueprint(name) for name in "ab"]
        for blueprint, limit in zip(blueprints, ("8 per minute", "7 per minute"), strict=True):
            limit_blueprint(blueprint, limit, override_defaults=False)
        blueprints[1].get("/x", endpoint="x")(
            rate_limit("9 per minute", override_defaults=False)(lambda: "in")
        )
        app = self.register(make_app(RATELIMIT_DEFAULT="2 per minute"), *blueprints)
        assert statuses(app, "/a/b/x", 3) == [200, 200, 429]
        assert rates_of(app, "a.b.x") == [
            *("9 per minute", "7 per minute", "8 per minute", "2 per minute"),
        ]

    def test_nested_blueprints_of_one_name_count_apart(self) -> None:
        outer, inner = self.blueprint("b"), self.blueprint("b")
        for blueprint in (outer, inner):
            limit_blueprint(blueprint, "2 per minute", override_defaults=False)
        app = self.register(make_app(RATELIMIT_DEFAULT=""), outer, inner)
        assert statuses(app, "/b/b/", 3) == [200, 200, 429]

    def test_several_calls_add_limits(self) -> None:
        blueprint = self.blueprint()
        limit_blueprint(blueprint, "9 per minute")
        limit_blueprint(blueprint, "1 per minute", methods=["POST"])
        app = self.register(make_app(), blueprint)
        assert statuses(app, "/b/", 2, "POST") == [200, 429]
        assert statuses(app, "/b/", 2) == [200, 200]
        assert rates_of(app, "b.index") == ["9 per minute"]
        assert rates_of(app, "b.index", "POST") == ["9 per minute", "1 per minute"]

    def test_every_argument_of_the_decorator_works(self) -> None:
        blueprint = self.blueprint()
        limit_blueprint(
            blueprint,
            lambda: "7 per minute",
            per=lambda: request.args["key"],
            cost=lambda: int(request.args["cost"]),
            exempt_when=lambda: "exempt" in request.args,
            deduct_when=lambda response: "free" not in request.args,
        )
        app = self.register(make_app(), blueprint)
        assert statuses(app, "/b/?key=a&cost=4", 2) == [200, 429]
        assert statuses(app, "/b/?key=b&cost=7&free", 3) == [200] * 3
        assert statuses(app, "/b/?key=a&cost=9&exempt", 3) == [200] * 3

    def test_automatic_options_and_static_files_are_not_counted(self, tmp_path: Path) -> None:
        blueprint = Blueprint(
            "b", __name__, url_prefix="/b", static_folder=str(tmp_path), static_url_path="/files"
        )
        blueprint.get("/")(view)
        limit_blueprint(blueprint, "1 per minute")
        app = self.register(make_app(), blueprint)
        assert statuses(app, "/b/", 3, "OPTIONS") == [200] * 3
        assert statuses(app, "/b/files/none.css", 3) == [404] * 3
        assert statuses(app, "/b/", 2) == [200, 429]

    def test_the_configuration_is_nearer_than_the_blueprint(self) -> None:
        blueprint = self.blueprint()
        limit_blueprint(blueprint, "2 per minute")
        app = self.register(make_app(RATELIMIT_ENDPOINTS={"b.index": "3 per minute"}), blueprint)
        assert statuses(app, "/b/", 4) == [200] * 3 + [429]

    def test_a_blueprint_may_be_of_two_apps_and_under_two_names(self) -> None:
        blueprint = self.blueprint()
        limit_blueprint(blueprint, "2 per minute")
        for _ in range(2):
            app = self.register(make_app(), blueprint)
            app.register_blueprint(blueprint, url_prefix="/again", name="again")
            assert statuses(app, "/b/", 2) == [200, 200]
            assert statuses(app, "/again/", 3) == [200, 200, 429]

    def test_without_tenantauth_it_is_a_500_that_names_the_function(self) -> None:
        blueprint = self.blueprint()
        limit_blueprint(blueprint, "2 per minute")
        app = self.register(bare_app(), blueprint)
        app.get("/plain", endpoint="plain")(view)
        with pytest.raises(
            RuntimeError, match=r"limit_blueprint .* without TenantAuth: .* b.index"
        ):
            statuses(app, "/b/", 1)
        assert statuses(app, "/plain", 1) == [200]

    def test_a_registered_blueprint_is_an_error(self) -> None:
        blueprint = self.blueprint()
        self.register(make_app(), blueprint)
        for late in (
            lambda: limit_blueprint(blueprint, "2/minute"),
            lambda: exempt_blueprint(blueprint),
        ):
            with pytest.raises(AssertionError, match="already been registered"):
                late()

    def test_flask_auth_check_shows_the_limit_and_nothing_in_front_of_the_view(self) -> None:
        blueprint = Blueprint("b", __name__)
        blueprint.get("/")(verify_tenant_context(view))
        limit_blueprint(blueprint, "2 per minute", per="tenant")
        app = self.register(make_app(), blueprint)
        result = app.test_cli_runner().invoke(args=["auth", "check", "--strict"])
        assert "[authenticated]  2 per minute per tenant" in result.output
        assert "behind" not in result.output

    def test_openapi_says_that_it_is_limited(self) -> None:
        from apispec import APISpec

        from flask_tenant_auth.openapi import describe_security

        blueprint = self.blueprint()
        limit_blueprint(blueprint, "2 per minute")
        app = self.register(make_app(RATELIMIT_DEFAULT=""), blueprint)
        spec = APISpec(title="t", version="1", openapi_version="3.0.3")
        spec.path("/b/", operations={"get": {"responses": {"200": {"description": "in"}}}})
        described = describe_security(spec, app).to_dict()
        assert "429" in described["paths"]["/b/"]["get"]["responses"]


def test_all_limits_of_a_request_are_one_round_trip_to_redis(redis: Redis) -> None:
    app = make_app(
        REDIS_URL=redis.url,
        RATELIMIT_STORE_TIMEOUT_MS=10_000,
        RATELIMIT_DEFAULT="95 per minute",
        RATELIMIT_TENANT_DEFAULT=lambda: "96 per minute",
        RATELIMIT_ENDPOINTS={"b.index": {"limit": "99 per minute", "override_defaults": False}},
    )
    blueprint = Blueprint("b", __name__)
    limit_blueprint(blueprint, "98 per minute", override_defaults=False, cost=lambda: 2)
    limited = rate_limit("97 per minute", override_defaults=False, per=lambda: "key")(view)
    blueprint.get("/", endpoint="index")(limited)
    app.register_blueprint(blueprint)
    assert statuses(app, "/", 1, headers=bearer()) == [200]
    before = redis.scripts_run()
    assert statuses(app, "/", 5, headers=bearer()) == [200] * 5
    assert redis.scripts_run() == before + 5
    plan = state_of(app).plans.made["b.index", "GET"]
    assert len(plan.rules) == 5
    limits, custom, _ = plan.resolve(None)
    left = state_of(app).limiter.peek(limits, Identity(TENANT, USER), "127.0.0.1", custom)
    assert left.remaining == 98 - 6 * 2


class TestExemptBlueprint:
    def app(self, **config: Any) -> tuple[Flask, Blueprint, Blueprint]:
        outer = Blueprint("o", __name__, url_prefix="/o")
        inner = Blueprint("i", __name__, url_prefix="/i")
        for each in (outer, inner):
            each.get("/")(lambda: "in")
            each.get("/own", endpoint="own")(rate_limit("2 per minute")(lambda: "in"))
        return make_app(**({"RATELIMIT_DEFAULT": "1 per minute"} | config)), outer, inner

    def test_its_routes_and_those_inside_have_no_default(self) -> None:
        app, outer, inner = self.app()
        exempt_blueprint(outer)
        outer.register_blueprint(inner)
        app.register_blueprint(outer)
        assert statuses(app, "/o/", 3) + statuses(app, "/o/i/", 3) == [200] * 6

    def test_a_view_keeps_its_own_limit(self) -> None:
        app, outer, _ = self.app()
        exempt_blueprint(outer)
        app.register_blueprint(outer)
        assert statuses(app, "/o/own", 3) == [200, 200, 429]

    def test_an_exempt_blueprint_in_a_limited_one_is_exempt(self) -> None:
        app, outer, inner = self.app()
        limit_blueprint(outer, "1 per minute")
        exempt_blueprint(inner)
        outer.register_blueprint(inner)
        app.register_blueprint(outer)
        assert statuses(app, "/o/i/", 3) == [200] * 3
        assert statuses(app, "/o/", 2) == [200, 429]

    def test_a_limited_blueprint_in_an_exempt_one_is_limited(self) -> None:
        app, outer, inner = self.app()
        exempt_blueprint(outer)
        limit_blueprint(inner, "2 per minute", override_defaults=False)
        outer.register_blueprint(inner)
        app.register_blueprint(outer)
        assert statuses(app, "/o/i/", 3) == [200, 200, 429]

    def test_it_works_without_tenantauth(self) -> None:
        blueprint = Blueprint("b", __name__)
        blueprint.get("/")(view)
        exempt_blueprint(blueprint)
        app = bare_app()
        app.register_blueprint(blueprint)
        assert statuses(app, "/", 2) == [200, 200]

    def test_exempt_and_limited_exclude_each_other(self) -> None:
        one, two = Blueprint("one", __name__), Blueprint("two", __name__)
        limit_blueprint(one, "1 per minute")
        with pytest.raises(ValueError, match="exclude each other"):
            exempt_blueprint(one)
        exempt_blueprint(two)
        with pytest.raises(ValueError, match="exclude each other"):
            limit_blueprint(two, "1 per minute")

    @pytest.mark.parametrize("wrong", [None, "api", Flask("x"), view])
    def test_what_is_no_blueprint_is_a_type_error(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="limit_blueprint takes a Blueprint"):
            limit_blueprint(wrong, "1 per minute")
        with pytest.raises(TypeError, match="exempt_blueprint takes a Blueprint"):
            exempt_blueprint(wrong)

    @pytest.mark.parametrize(
        ("arguments", "error", "says"),
        [
            ({"limit": "often"}, ValueError, "often"),
            ({"per": "planet"}, ValueError, "per must be one of"),
            ({"cost": 0}, ValueError, "cost"),
            ({"override_defaults": 1}, TypeError, "override_defaults"),
            ({"pre": "user"}, TypeError, "pre"),
        ],
    )
    def test_arguments_that_are_not_valid_raise_and_limit_nothing(
        self, arguments: dict[str, Any], error: type[Exception], says: str
    ) -> None:
        blueprint = Blueprint("b", __name__)
        with pytest.raises(error, match=says):
            limit_blueprint(blueprint, **({"limit": "5 per minute"} | arguments))
        assert declaration_of(blueprint).rules == ()
