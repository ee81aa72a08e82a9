"""Apps for tests, with counters of their own and no settings of this machine."""

from __future__ import annotations

import itertools
import json
import os
import time
from typing import Any

import jwt
from flask import Flask, abort
from werkzeug.test import TestResponse

from flask_tenant_auth import (
    TenantAuth,
    public_route,
    rate_limit,
    verify_role,
    verify_tenant_context,
)

TENANT = "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4"
OTHER_TENANT = "0d9f8e7d-6c5b-4a39-9827-16f5e4d3c2b1"
USER = "550e8400-e29b-41d4-a716-446655440000"
OTHER_USER = "123e4567-e89b-42d3-a456-426614174000"
SECRET = "a secret of the tests that is long enough for HS512, being over 64 bytes"

_numbers = itertools.count()


def bare_app(**config: Any) -> Flask:
    """An app without TenantAuth: testing, without Redis, with a name of its own."""
    app = Flask(f"app_{os.getpid()}_{next(_numbers)}")
    app.config.update(
        {"TESTING": True, "REDIS_URL": "", "JWT_SECRET_KEY": SECRET, "RATELIMIT_SHM_BYTES": 2**17}
        | config
    )
    return app


def add_denying_views(app: Flask) -> None:
    """Views that deny: without a token, without a role, over a limit, and always."""
    app.get("/me", endpoint="me")(verify_tenant_context(lambda: "in"))
    app.get("/admin", endpoint="admin")(verify_role("admin")(lambda: "in"))
    app.get("/limited", endpoint="limited")(public_route(rate_limit("1 per hour")(lambda: "in")))
    app.get("/denies", endpoint="denies")(public_route(lambda: abort(401)))


def make_app(**config: Any) -> Flask:
    """An app with TenantAuth."""
    app = bare_app(**config)
    TenantAuth(app)
    return app


def production_app(**config: Any) -> Flask:
    """An app with TenantAuth, in production."""
    return make_app(FLASK_ENV="production", **config)


def token(tenant_id: str = TENANT, user_id: str = USER, role: str = "user", **claims: Any) -> str:
    """A token that PyJWT makes. A claim that is None is left out."""
    now = int(time.time())
    payload = {
        "tenant_id": tenant_id,
        "user_id": user_id,
        "role": role,
        "iat": now,
        "exp": now + 3600,
    } | claims
    return jwt.encode({k: v for k, v in payload.items() if v is not None}, SECRET, "HS256")


def nested_payload() -> bytes:
    """The claims of a token as JSON, with nested values, until the year 2100."""
    nested = [[1], {"a": ["b"]}]
    claims = {"tenant_id": TENANT, "user_id": USER, "exp": 4102444800, "list": nested}
    return json.dumps(claims).encode()


def bearer(*args: Any, **kwargs: Any) -> dict[str, str]:
    """The Authorization header with a token of `token`."""
    return {"Authorization": f"Bearer {token(*args, **kwargs)}"}


def identity_headers(tenant_id: str = TENANT, user_id: str = USER, **more: str) -> dict[str, str]:
    return {"X-Tenant-ID": tenant_id, "X-User-ID": user_id} | more


def error_of(response: TestResponse) -> tuple[int, str]:
    """The status and the message of a denial, after a check that it is the documented JSON."""
    assert response.mimetype == "application/json"
    body = response.get_json()
    titles = {
        400: "Invalid request",
        401: "Unauthorized",
        403: "Forbidden",
        429: "Rate limit exceeded",
        500: "Internal server error",
        503: "Service unavailable",
    }
    assert set(body) == {"error", "message"}
    assert body["error"] == titles[response.status_code]
    return response.status_code, body["message"]
