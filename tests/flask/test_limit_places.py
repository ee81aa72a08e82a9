"""Which limits count, where several places declare some: the nearest, or several together."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.views import MethodView

from apps import bearer, make_app
from flask_tenant_auth import ConfigurationError, rate_limit, rate_limit_exempt
from flask_tenant_auth.flask.state import state_of


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
        from flask import request

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
            ({"own": {"per": "user"}}, "no \"limit\" in a dict of 'own'"),
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
