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
