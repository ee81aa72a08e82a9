"""Apps that count for the console, and requests of them."""

from __future__ import annotations

from typing import Any

from flask import Flask, abort

from apps import bare_app
from flask_tenant_auth import TenantAuth, public_route, rate_limit, verify_tenant_context


def app_of_views(**config: Any) -> Flask:
    """An app whose views but one have a limit of one request per hour, in each place for it."""
    app = bare_app(**config)
    TenantAuth(app)
    once = rate_limit("1 per hour")
    views = {
        "me": verify_tenant_context(lambda: "in"),
        "once": verify_tenant_context(once(lambda: "in")),
        "inner": once(verify_tenant_context(lambda: "in")),
        "open": public_route(once(lambda: "in")),
        "callable": verify_tenant_context(rate_limit(lambda: "1 per hour")(lambda: "in")),
        "own": verify_tenant_context(lambda: abort(429)),
    }
    for name, view in views.items():
        app.get(f"/{name}", endpoint=name)(view)
    return app


def console_app(**config: Any) -> Flask:
    """Such an app with a console."""
    route = {"AUTH_CONSOLE_ROUTE": "/console", "AUTH_CONSOLE_PERMISSION": "console:open"}
    return app_of_views(**route | config)


def shared_app(prefix: str) -> Flask:
    """An app that shares its limits and its counters with those of the same prefix."""
    return console_app(TESTING=False, FLASK_ENV="development", RATELIMIT_KEY_PREFIX=prefix)


def ask(app: Flask, path: str, times: int, **options: Any) -> list[int]:
    """The statuses of some requests."""
    client = app.test_client()
    return [client.get(path, **options).status_code for _ in range(times)]
