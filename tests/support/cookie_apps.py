"""Apps whose tokens are in cookies: with a log in, and views that read and write."""

from __future__ import annotations

from typing import Any

from flask import Flask, jsonify, request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from apps import TENANT, USER, bare_app
from flask_tenant_auth import (
    TenantAuth,
    current_identity,
    public_route,
    rate_limit,
    rate_limit_exempt,
    set_session_cookies,
    verify_tenant_context,
)
from flask_tenant_auth.flask.sessions import create_session
from flask_tenant_auth.flask.state import state_of
from memory_session_store import MemorySessionStore

LISTED = "https://app.example.test"
HTTPS = "https://api.example.test"


def cookie_app(**config: Any) -> tuple[Flask, MemorySessionStore]:
    """A production app with cookies, unless config says otherwise, and its store of sessions."""
    app = bare_app(
        **{
            "FLASK_ENV": "production",
            "AUTH_TOKEN_LOCATIONS": "cookies",
            "AUTH_SESSION_ROUTES": "/auth",
            "AUTH_SESSION_STORE": "sqlite://",
            "CORS_ORIGINS": LISTED,
            "CORS_SUPPORTS_CREDENTIALS": True,
            "CORS_RESOURCES": "/api/, /auth/",
        }
        | config
    )
    TenantAuth(app)
    state: Any = state_of(app)
    state.session_store = store = MemorySessionStore()

    @app.post("/api/login")
    @public_route
    def login() -> Any:
        tokens = create_session(TENANT, request.args.get("user", USER), "user")
        response = jsonify(session_id=tokens.session_id)
        set_session_cookies(response, tokens)
        return response

    @app.get("/api/me")
    @verify_tenant_context
    def me() -> Any:
        return {"user_id": current_identity.user_id, "session_id": current_identity.session_id}

    @app.route("/api/notes", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    @verify_tenant_context
    @rate_limit_exempt
    def notes() -> Any:
        return {}

    @app.route("/api/open", methods=["GET", "POST"])
    @public_route
    @rate_limit("3 per hour", per="address")
    def open_view() -> Any:
        return {}

    return app, store


def https_client(app: Flask, *, jar: bool = True) -> FlaskClient:
    """A client that speaks HTTPS, as the page of that very host does.

    Without a jar it sends the Cookie header that a test writes, which a jar would replace.
    """
    client = app.test_client(use_cookies=jar)
    client.environ_base = {
        **client.environ_base,
        "wsgi.url_scheme": "https",
        "HTTP_HOST": HTTPS.removeprefix("https://"),
        "HTTP_SEC_FETCH_SITE": "same-origin",
    }
    return client


def cookies_of(response: TestResponse) -> dict[str, str]:
    """The values of Set-Cookie by the name of the cookie."""
    lines = response.headers.getlist("Set-Cookie")
    return {line.partition("=")[0]: line for line in lines}


def value_of(line: str) -> str:
    """The value of a cookie in a Set-Cookie."""
    return line.partition("=")[2].partition(";")[0]
