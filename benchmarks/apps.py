"""The stacks: one small API on bare Flask, on flask_tenant_auth and on each peer.

Each stack does the same work for a request: a bearer token verified, tenant and user checked to
be UUIDs, the role checked, one limit counted for each user and sent in X-RateLimit headers, CORS
for one origin, one audit line if the logger is enabled. `check_that_it_works` checks this before
anything is timed.

The peers run in the fastest form that their documentation offers. Where there are two forms, both
were timed and the faster one is used:

- PyJWT: the key as bytes, algorithms and required claims given once (functools.partial).
- Flask-JWT-Extended: header only, no user lookup, one verify_jwt_in_request a request.
- Flask-Limiter: fixed window, `default_limits` (20 us faster than the decorator), `memory://` or
  redis-py with hiredis as its parser.
- Flask-Cors: one origin as a plain string, no regular expression.
- Their audit line is built only if the logger is enabled.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask, abort, g, request
from werkzeug.test import EnvironBuilder

SECRET = "a-secret-of-the-benchmarks-with-more-than-32-bytes"
ORIGIN = "https://app.example.com"
TENANT = str(uuid.UUID(int=0x5EED_0000_0000_4000_8000_0000_0000_0001))
USER = str(uuid.UUID(int=0x5EED_0000_0000_4000_8000_0000_0000_0002))
PATH = "/api/accounts"
NO_LIMIT = "8000000 per minute"  # counted, never reached
LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
AUDIT_LINE = 'Request: method=%s endpoint=%s user_id=%s tenant_id=%s role=%s ip=%s user_agent="%s"'

is_uuid = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def claims(role: str = "user") -> dict[str, Any]:
    now = int(time.time())
    return {
        "tenant_id": TENANT,
        "user_id": USER,
        "role": role,
        "iat": now,
        "exp": now + 86400,
    }


def add_view(app: Flask, protect: Callable[..., Any] = lambda view: view, path: str = PATH) -> None:
    def accounts() -> dict[str, object]:
        return {"accounts": [], "total": 0}

    app.add_url_rule(path, f"accounts{path}", protect(accounts))


def bare(store: str = "", limit: str = NO_LIMIT) -> Flask:
    """Flask and the view alone: every stack has this cost."""
    app = Flask("bench_bare")
    add_view(app)
    return app


def ours(store: str = "", limit: str = NO_LIMIT, **config: Any) -> Flask:
    from flask_tenant_auth import TenantAuth, verify_role, verify_tenant_context

    app = Flask("bench_ours")
    app.config.update(
        FLASK_ENV="production",
        JWT_SECRET_KEY=SECRET,
        REDIS_URL=store,
        RATELIMIT_DEFAULT=limit,
        # What an earlier run has counted outlives its process.
        RATELIMIT_KEY_PREFIX=f"bench-{os.getpid()}",
        CORS_ORIGINS=ORIGIN,
        JWT_DEFAULT_ROLE="",  # an unknown role is denied, as the peers do
    )
    app.config.update(config)
    TenantAuth(app)
    add_view(app, lambda view: verify_tenant_context(verify_role("user", "admin")(view)))
    return app


def needs_role(role_of: Callable[[], str], *roles: str) -> Callable[..., Any]:
    def protect(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def protected(*args: Any, **kwargs: Any) -> Any:
            if role_of() not in roles:
                abort(403)
            return view(*args, **kwargs)

        return protected

    return protect


def add_limits_and_cors(app: Flask, store: str, limit: str, who: Callable[[], str]) -> None:
    from flask_cors import CORS
    from flask_limiter import Limiter

    Limiter(
        who,
        app=app,
        storage_uri=store or "memory://",
        strategy="fixed-window",
        default_limits=[limit],
        headers_enabled=True,
    )
    CORS(app, origins=[ORIGIN], expose_headers=LIMIT_HEADERS, max_age=600)


def audit(logger: logging.Logger, identity: dict[str, Any]) -> None:
    if logger.isEnabledFor(logging.INFO):
        logger.info(
            AUDIT_LINE,
            request.method,
            request.path,
            identity["user_id"],
            identity["tenant_id"],
            identity["role"],
            request.remote_addr,
            request.headers.get("User-Agent", ""),
        )


def pyjwt_stack(store: str = "", limit: str = NO_LIMIT) -> Flask:
    """PyJWT, Flask-Limiter, Flask-Cors."""
    import jwt

    app = Flask("bench_pyjwt")
    logger = logging.getLogger("bench_pyjwt")
    decode = functools.partial(
        jwt.decode, key=SECRET.encode(), algorithms=["HS256"], options={"require": ["exp"]}
    )

    @app.before_request
    def authenticate() -> None:
        header = request.headers.get("Authorization", "")
        if not header.startswith("Bearer "):
            abort(401)
        try:
            identity = decode(header[7:])
        except jwt.InvalidTokenError:
            abort(401)
        if not (is_uuid(identity["tenant_id"]) and is_uuid(identity["user_id"])):
            abort(400)
        g.identity = identity
        audit(logger, identity)

    add_limits_and_cors(app, store, limit, lambda: g.identity["user_id"])
    add_view(app, needs_role(lambda: g.identity["role"], "user", "admin"))
    return app


def flask_jwt_extended_stack(store: str = "", limit: str = NO_LIMIT) -> Flask:
    """Flask-JWT-Extended, Flask-Limiter, Flask-Cors."""
    from flask_jwt_extended import JWTManager, get_jwt, verify_jwt_in_request

    app = Flask("bench_flask_jwt_extended")
    logger = logging.getLogger("bench_flask_jwt_extended")
    app.config.update(JWT_SECRET_KEY=SECRET, JWT_TOKEN_LOCATION="headers")
    JWTManager(app)

    @app.before_request
    def authenticate() -> None:
        verify_jwt_in_request()
        identity = get_jwt()
        if not (is_uuid(identity["tenant_id"]) and is_uuid(identity["user_id"])):
            abort(400)
        audit(logger, identity)

    add_limits_and_cors(app, store, limit, lambda: get_jwt()["user_id"])
    add_view(app, needs_role(lambda: get_jwt()["role"], "user", "admin"))
    return app


def token_of_flask_jwt_extended(role: str) -> str:
    from flask_jwt_extended import create_access_token

    names = {"tenant_id": TENANT, "user_id": USER, "role": role}
    with flask_jwt_extended_stack().app_context():
        return str(create_access_token(USER, additional_claims=names))


def token_of_pyjwt(role: str) -> str:
    import jwt

    return jwt.encode(claims(role), SECRET, algorithm="HS256")


@dataclass(frozen=True)
class Stack:
    name: str
    title: str
    make: Callable[..., Flask]
    token: Callable[[str], str]
    logger: str = ""


BARE = Stack("bare", "bare Flask", bare, token_of_pyjwt)
OURS = Stack("ours", "flask_tenant_auth", ours, token_of_pyjwt, "flask_tenant_auth")
PEERS = (
    Stack(
        "pyjwt_stack",
        "PyJWT + Flask-Limiter + Flask-Cors",
        pyjwt_stack,
        token_of_pyjwt,
        "bench_pyjwt",
    ),
    Stack(
        "flask_jwt_extended_stack",
        "Flask-JWT-Extended + Flask-Limiter + Flask-Cors",
        flask_jwt_extended_stack,
        token_of_flask_jwt_extended,
        "bench_flask_jwt_extended",
    ),
)
STACKS = (OURS, *PEERS)


HEADERS = {
    "Origin": ORIGIN,
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
}


def headers_for(stack: Stack, role: str = "user") -> dict[str, str]:
    return {**HEADERS, "Authorization": f"Bearer {stack.token(role)}"}


def wsgi_call(app: Flask, headers: dict[str, str], path: str = PATH) -> Callable[[], object]:
    """Return a request as a WSGI server makes it: a new environ, the body read, then closed."""
    template = EnvironBuilder(path, headers=headers).get_environ()
    template["REMOTE_ADDR"] = "192.0.2.7"

    def call() -> tuple[str, list[tuple[str, str]], bytes]:
        answer: list[Any] = []

        def start_response(status: str, sent: list[tuple[str, str]], exc_info: Any = None) -> None:
            answer.append(status)
            answer.append(sent)

        parts = app(template.copy(), start_response)
        body = b"".join(parts)
        parts.close()  # type: ignore[attr-defined]
        return answer[0], answer[1], body

    return call


def check_that_it_works(stack: Stack, store: str = "") -> None:
    """Raise if a stack skips a part of the work."""
    app = stack.make(store, limit="2 per hour")
    good = headers_for(stack)
    forged = {**good, "Authorization": good["Authorization"][:-6] + "AAAAAA"}
    status, sent, _ = wsgi_call(app, good)()
    shown = dict(sent)
    checks = {
        "a valid token is accepted": status == "200 OK",
        "the CORS header is sent": shown.get("Access-Control-Allow-Origin") == ORIGIN,
        "the limit is sent": shown.get("X-RateLimit-Limit") == "2",
        "the rest is sent": shown.get("X-RateLimit-Remaining") == "1",
        "the reset is sent": int(shown.get("X-RateLimit-Reset", 0)) > time.time(),
        "an invalid token is denied": wsgi_call(app, forged)()[0][:3] in ("401", "422"),
        "a request without a token is denied": wsgi_call(app, {})()[0][:3] == "401",
        "a wrong role is denied": wsgi_call(app, headers_for(stack, "guest"))()[0][:1] == "4",
        "the limit is enforced": [wsgi_call(app, good)()[0][:3] for _ in range(3)][-1] == "429",
    }
    failed = [what for what, passed in checks.items() if not passed]
    if failed:
        raise AssertionError(f"{stack.title}: failed: {'; '.join(failed)}")
