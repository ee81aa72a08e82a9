"""Two apps of one process, each in an interpreter of its own: tests/interpreters serves them.

Nothing is imported here that another interpreter of the process could not import as well.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from flask import Flask

from flask_tenant_auth import (
    TenantAuth,
    create_session,
    current_identity,
    public_route,
    rate_limit,
    revoke_session,
    verify_tenant_context,
)

TENANT = "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4"
USER = "550e8400-e29b-41d4-a716-446655440000"
LIMIT = 100


def interpreter_app(name: str, *, prefix: str, redis_url: str, audit_log: str) -> Flask:
    """An app with a secret, counters, sessions and an audit log of its own."""
    app = Flask(name)
    app.config.update(
        AUDIT_LOG=audit_log,
        AUTH_FAILURE_LIMIT="100000 per minute",
        AUTH_SESSION_STORE=redis_url,
        FLASK_ENV="production",
        JWT_SECRET_KEY=f"the secret of the {name} app, which has more than 32 octets",
        RATELIMIT_DEFAULT="100000 per minute",
        RATELIMIT_KEY_PREFIX=f"{prefix} {name}",
        RATELIMIT_SHM_BYTES=2**17,
        REDIS_URL="",
    )
    TenantAuth(app)

    def served() -> dict[str, Any]:
        return {"app": name, "process": os.getpid(), "interpreter": id(sys.modules)}

    @app.post("/begin")
    @public_route
    def begin() -> Any:
        return create_session(TENANT, USER)._asdict()

    @app.post("/end")
    @verify_tenant_context
    def end() -> Any:
        session_id = current_identity.session_id
        assert session_id is not None
        revoke_session(session_id)
        return served()

    @app.get("/who")
    @verify_tenant_context
    def who() -> Any:
        return served() | {"user": current_identity.user_id}

    @app.get("/limited")
    @public_route
    @rate_limit(f"{LIMIT} per hour", per="address")
    def limited() -> Any:
        return served()

    return app
