"""Apps with sessions on a SQLite file, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from apps import TENANT, USER, bare_app
from flask_tenant_auth import (
    TenantAuth,
    create_session,
    current_identity,
    public_route,
    refresh_session,
    verify_tenant_context,
)
from flask_tenant_auth.flask.sessions import SessionTokens
from flask_tenant_auth.flask.state import AppState, state_of


def session_app(folder: Path, **config: Any) -> Flask:
    """An app that begins and refreshes sessions, and tells who asks."""
    settings = {
        "AUTH_SESSION_STORE": f"sqlite:///{folder}/sessions.db",
        "RATELIMIT_DEFAULT": "100000 per minute",
    }
    app = bare_app(**settings | config)
    TenantAuth(app)

    @app.post("/refresh")
    @public_route
    def refresh() -> Any:
        return refresh_session(request.get_data(as_text=True))._asdict()

    @app.get("/who")
    @verify_tenant_context
    def who() -> Any:
        return {
            "user": current_identity.user_id,
            "role": current_identity.role,
            "session": current_identity.session_id,
        }

    return app


def live_state(app: Flask) -> AppState:
    """The state of an app."""
    state = state_of(app)
    assert state is not None
    return state


def begin(app: Flask, user: str = USER, role: str = "user", **more: Any) -> SessionTokens:
    """Begin a session, outside of a request."""
    with app.app_context():
        return create_session(TENANT, user, role, **more)


def ask(client: FlaskClient, access_token: str) -> TestResponse:
    """Ask who asks."""
    return client.get("/who", headers={"Authorization": f"Bearer {access_token}"})


def refresh(client: FlaskClient, refresh_token: str) -> TestResponse:
    """Refresh a session."""
    return client.post("/refresh", data=refresh_token)
