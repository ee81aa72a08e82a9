"""An e-mail service for many tenants: an example of an application with flask_tenant_auth.

An account is a mailbox that the service would fetch mail from. It belongs to a user, and a user
belongs to a tenant.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.sansio.response import Response

from flask_tenant_auth import TenantAuth

from . import accounts, database, development, frontend, health, logins, users
from .password_cipher import PasswordCipher

CONSOLE_PERMISSION = "console:open"
INSTANCE = Path(__file__).parent / "instance"


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application. config has precedence over the environment.

    DATABASE_URL        SQLAlchemy's URL of a SQLite or PostgreSQL; default: a file in instance/
    MAIL_PASSWORD_KEY   the Fernet key that encrypts mail passwords; without it an account with a
                        password is a 400
    All settings of flask_tenant_auth apply too.
    """
    app = Flask(__name__, instance_path=str(INSTANCE), static_folder=None)
    app.config.from_mapping(
        DATABASE_URL=os.environ.get("DATABASE_URL") or f"sqlite:///{INSTANCE}/email.sqlite3",
        MAIL_PASSWORD_KEY=os.environ.get("MAIL_PASSWORD_KEY", ""),
        MAX_CONTENT_LENGTH=16 * 1024,
        # The front end has its tokens in cookies, other clients in the Authorization header.
        AUTH_TOKEN_LOCATIONS="headers,cookies",  # noqa: S106 - no secret
        AUTH_SESSION_ROUTES="/auth",
        # What examples/monitoring watches. Nobody reads it but AUTH_TRUSTED_GATEWAYS.
        AUTH_METRICS_ROUTE="/metrics",
        # For operators: whoever has a token that names this permission.
        AUTH_CONSOLE_ROUTE="/console",
        AUTH_CONSOLE_PERMISSION=CONSOLE_PERMISSION,
    )
    app.config.from_mapping(config or {})
    app.json.sort_keys = False  # type: ignore[attr-defined]  # id first

    auth = TenantAuth(app)
    auth.session_loader(users.role_at_refresh)
    database.init_app(app)
    app.cli.add_command(users.add_user_command)
    app.extensions["password_cipher"] = PasswordCipher(app.config["MAIL_PASSWORD_KEY"])
    app.register_error_handler(HTTPException, as_json)
    app.after_request(protect_browsers)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(frontend.blueprint)
    app.register_blueprint(logins.blueprint, url_prefix="/auth")
    app.register_blueprint(accounts.blueprint, url_prefix="/api/v1")
    if app.extensions["tenant_auth"].settings.development:
        app.register_blueprint(development.blueprint, url_prefix="/api/v1/test")
    return app


def protect_browsers(response: Response) -> Response:
    """Let browsers guess no media type, and caches keep no answer of a user.

    What a view has said itself stays.
    """
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def as_json(error: HTTPException) -> Response:
    """Give an error a JSON body. Its headers (Allow, for example) stay."""
    response = error.get_response()
    if not response.is_json and error.code is not None and error.code >= 400:
        titles = {400: "Invalid request", 404: "Not found"}
        body = {"error": titles.get(error.code, error.name), "message": error.description}
        response.data = json.dumps(body)
        response.content_type = "application/json"
    return response
