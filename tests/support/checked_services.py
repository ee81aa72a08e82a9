"""A service as `flask auth check --url` wants it, and one that is wrong in one way for each check.

gunicorn serves `application`: each service is below its name, as in /nosniff/api/accounts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import jwt
from flask import Flask, request
from werkzeug.debug import DebuggedApplication
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from apps import SECRET, bare_app
from flask_tenant_auth import (
    TenantAuth,
    get_tenant_context,
    public_route,
    verify_resource_access,
    verify_role,
    verify_tenant_context,
)

ORIGIN = "https://app.example.com"
FIELDS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
}
WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]


def checked_app(**config: Any) -> Flask:
    """The app whose service passes, and which says of itself what the service must be."""
    settings: dict[str, Any] = {
        "FLASK_ENV": "production",
        "JWT_AUDIENCE": "mail",
        "JWT_ISSUER": "https://login.example",
        "CORS_ORIGINS": ORIGIN,
        # One process asks many times in a minute.
        "AUTH_FAILURE_LIMIT": "100000 per minute",
        "RATELIMIT_DEFAULT": "100000 per minute",
        "AUTH_CONSOLE_ROUTE": "/console",
        "AUTH_CONSOLE_PERMISSION": "console:open",
    }
    app = bare_app(**{**settings, **config})
    TenantAuth(app)
    app.get("/", endpoint="page")(public_route(lambda: "<!doctype html><title>Mail</title>"))
    app.get("/api/accounts", endpoint="accounts")(verify_tenant_context(accounts))
    app.get("/api/admin", endpoint="admin")(verify_role("admin")(lambda: {"users": []}))
    notes = "/api/tenants/<uuid:tenant_id>/notes"
    app.get(notes, endpoint="notes")(verify_tenant_context(own_notes))

    @app.after_request
    def protect_browsers(response: Any) -> Any:
        response.headers.update(FIELDS)
        return response

    return app


def accounts() -> dict[str, Any]:
    return {"tenant": get_tenant_context()[0]}


def own_notes(tenant_id: Any) -> Any:
    """The notes of the user with the id of the tenant."""
    verify_resource_access(str(tenant_id), str(tenant_id))
    return {"notes": [str(tenant_id)]}


@dataclass(frozen=True)
class Wrong:
    """How a service is wrong: settings, a change of its app, or a WSGI layer around it."""

    config: dict[str, Any] = field(default_factory=dict)
    change: Callable[[Flask], object] | None = None
    layer: Callable[[WSGI], WSGI] | None = None

    def service(self) -> WSGI:
        app = checked_app(**self.config)
        if self.change is not None:
            self.change(app)
        return app if self.layer is None else self.layer(app)


# Layers, as a proxy or another library is one


def fields_changed(change: Callable[[str, dict[str, str]], object]) -> Callable[[WSGI], WSGI]:
    """A layer that changes the header fields of answers; it is given the status, too."""

    def around(inner: WSGI) -> WSGI:
        def layer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
                changed = dict(fields)
                change(status, changed)
                return start_response(status, list(changed.items()), exc_info)

            return inner(environ, start)

        return layer

    return around


def without(name: str) -> Callable[[WSGI], WSGI]:
    return fields_changed(lambda _status, fields: fields.pop(name, None))


def with_field(name: str, value: str) -> Callable[[WSGI], WSGI]:
    return fields_changed(lambda _status, fields: fields.update({name: value}))


def with_second_origin(inner: WSGI) -> WSGI:
    def layer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
            more = [("Access-Control-Allow-Origin", ORIGIN)]
            return start_response(status, fields + more, exc_info)

        return inner(environ, start)

    return layer


def limited_once(inner: WSGI) -> WSGI:
    """A limit that ends in a second, and denies one request."""
    limited: list[str] = []

    def layer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/api/accounts" and not limited:
            limited.append("once")
            start_response("429 Too Many Requests", [("Retry-After", "1")])
            return []
        return inner(environ, start_response)

    return layer


def error_pages(inner: WSGI) -> WSGI:
    """A proxy that writes pages of its own for errors."""

    def layer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        page = []

        def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if status.startswith("401"):
                page.append(b"<html>401 Authorization Required</html>")
                body_fields = ("Content-Type", "Content-Length")
                fields = [each for each in fields if each[0] not in body_fields]
                fields.append(("Content-Type", "text/html"))
            return start_response(status, fields, exc_info)

        body = inner(environ, start)
        return page or body

    return layer


def cache_of_users(inner: WSGI) -> WSGI:
    """A cache that keeps what users are shown by the path alone."""
    kept: dict[str, tuple[str, list[tuple[str, str]], bytes]] = {}

    def layer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in kept:
            answer: list[Any] = []
            body = b"".join(inner(environ, lambda *begin: answer.append(begin[:2])))
            if not answer[0][0].startswith("200") or "HTTP_AUTHORIZATION" not in environ:
                start_response(*answer[0])
                return [body]
            kept[path] = (*answer[0], body)
        status, fields, body = kept[path]
        start_response(status, fields)
        return [body]

    return layer


def _part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def accepting(bad: Callable[[str, set[str]], bool]) -> Callable[[WSGI], WSGI]:
    """A layer that takes some bad tokens for good ones: it signs their claims anew.

    It is given the signatures of all tokens that have come before, too.
    """

    def around(inner: WSGI) -> WSGI:
        seen: set[str] = set()

        def layer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
            if token.count(".") == 2 and token != "not.a.token":
                if bad(token, seen):
                    claims = _part(token, 1)
                    claims.pop("changed", None)
                    signed = jwt.encode(claims, SECRET, "HS256")
                    environ["HTTP_AUTHORIZATION"] = f"Bearer {signed}"
                seen.add(token.split(".")[2])
            return inner(environ, start_response)

        return layer

    return around


def _is_signed_by_nobody_known(token: str, _seen: set[str]) -> bool:
    if not token.split(".")[2] or "changed" in _part(token, 1):
        return False
    try:
        jwt.decode(token, SECRET, ["HS256"], audience="mail")
    except jwt.InvalidSignatureError:
        return True
    except jwt.InvalidTokenError:
        pass
    return False


def _first_tenant_again() -> Callable[[], dict[str, Any]]:
    kept: list[str] = []

    def view() -> dict[str, Any]:
        kept.append(get_tenant_context()[0])
        return {"tenant": kept[0]}

    return verify_tenant_context(view)


def _replace(endpoint: str, view: Any) -> Callable[[Flask], object]:
    return lambda app: app.view_functions.update({endpoint: view})


@verify_tenant_context
def accounts_of_header() -> dict[str, Any]:
    return {"tenant": request.headers.get("X-Tenant-ID") or get_tenant_context()[0]}


def quoting(inner: WSGI) -> WSGI:
    """A service that denies each token, and quotes it in all that the command may print."""

    def layer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        if not token:
            return inner(environ, start_response)
        fields = [
            ("Content-Type", "application/json"),
            ("WWW-Authenticate", f"Bearer {token}"),
            ("Cache-Control", f"public, {token}"),
        ]
        start_response("401 Unauthorized", fields)
        return [json.dumps({"error": "x", "message": f"{token} is not valid"}).encode()]

    return layer


def failing_for_users(inner: WSGI) -> WSGI:
    """A service that fails where a user asks, and so shows nobody anything."""

    def layer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/api/") and "HTTP_AUTHORIZATION" in environ:
            environ = {**environ, "HTTP_AUTHORIZATION": "Bearer not.a.token"}

            def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
                return start_response("500 Internal Server Error", fields, exc_info)

            return inner(environ, start)
        return inner(environ, start_response)

    return layer


def open_metrics(app: Flask) -> None:
    app.get("/metrics", endpoint="metrics")(public_route(lambda: "requests_total 7\n"))


# By the name of the service: the one check that finds it, and what the advice names.
WRONG: dict[str, tuple[str, str, Wrong]] = {
    "nosniff": ("nosniff", "nosniff", Wrong(layer=without("X-Content-Type-Options"))),
    "frames": ("frames", "frame-ancestors", Wrong(layer=without("Content-Security-Policy"))),
    "any-frame": (
        "frames",
        "frame-ancestors",
        Wrong(
            layer=fields_changed(
                lambda _status, fields: fields.update(
                    {"X-Frame-Options": "DENY", "Content-Security-Policy": "frame-ancestors *"}
                )
            )
        ),
    ),
    "powered": ("versions", "X-Powered-By", Wrong(layer=with_field("X-Powered-By", "PHP/8.1"))),
    "debugger": ("debugger", "FLASK_DEBUG", Wrong(layer=DebuggedApplication)),
    "open": ("closed", "stands between", Wrong(change=_replace("accounts", dict))),
    "gone": (
        "closed",
        "--url with the prefix",
        Wrong(change=_replace("accounts", lambda: NotFound().get_response())),
    ),
    "pages": ("denial-json", "proxy_intercept_errors", Wrong(layer=error_pages)),
    "challenge": ("challenge", "WWW-Authenticate", Wrong(layer=without("WWW-Authenticate"))),
    "no-reason": (
        "challenge",
        "error.headers",
        Wrong(layer=fields_changed(lambda s, f: f.update({"WWW-Authenticate": "Bearer"}))),
    ),
    "other-key": ("token-accepted", "JWT_SECRET_KEY", Wrong({"JWT_SECRET_KEY": "k" * 64})),
    "no-fields": (
        "limit-headers",
        "RATELIMIT_HEADERS_ENABLED",
        Wrong({"RATELIMIT_HEADERS_ENABLED": False}),
    ),
    "cached": (
        "cache-control",
        "private",
        Wrong(layer=with_field("Cache-Control", "public, max-age=60")),
    ),
    "revalidated": (
        "cache-control",
        "private",
        Wrong(layer=with_field("Cache-Control", "max-age=60, must-revalidate")),
    ),
    "failing": ("token-accepted", "the log", Wrong(layer=failing_for_users)),
    "remembered": (
        "shared-answers",
        "Authorization",
        Wrong(change=lambda app: _replace("accounts", _first_tenant_again())(app)),
    ),
    "any-tenant": (
        "own-path",
        "verify_resource_access",
        Wrong(change=_replace("notes", verify_tenant_context(lambda tenant_id: {"notes": []}))),
    ),
    "development": (
        "identity-headers",
        "AUTH_TRUSTED_GATEWAYS",
        Wrong({"FLASK_ENV": "development"}),
    ),
    "gateway": (
        "identity-headers",
        "AUTH_TRUSTED_GATEWAYS",
        Wrong({"AUTH_TRUSTED_GATEWAYS": "127.0.0.0/8"}),
    ),
    "header": (
        "identity-headers",
        "get_tenant_context()",
        Wrong(change=_replace("accounts", accounts_of_header)),
    ),
    "proxies": ("forwarded-for", "ProxyFix", Wrong(layer=lambda inner: ProxyFix(inner, x_for=1))),
    "leeway": ("token-expired", "JWT_LEEWAY", Wrong({"JWT_LEEWAY": 86400})),
    "unsigned": (
        "token-unsigned",
        "verify tokens",
        Wrong(layer=accepting(lambda token, _seen: not token.split(".")[2])),
    ),
    "any-key": (
        "token-foreign-key",
        "JWT_ALGORITHM",
        Wrong(layer=accepting(_is_signed_by_nobody_known)),
    ),
    "by-signature": (
        "token-changed",
        "verified tokens only",
        Wrong(layer=accepting(lambda token, seen: token.split(".")[2] in seen)),
    ),
    "audiences": (
        "token-audience",
        "JWT_AUDIENCE",
        Wrong({"JWT_AUDIENCE": "mail, https://another.example"}),
    ),
    "issuers": ("token-issuer", "JWT_ISSUER", Wrong({"JWT_ISSUER": None})),
    "vary": ("cors-listed", "Vary", Wrong(layer=without("Vary"))),
    "credentials": (
        "cors-listed",
        "CORS_SUPPORTS_CREDENTIALS",
        Wrong({"CORS_SUPPORTS_CREDENTIALS": True}),
    ),
    "all-origins": ("cors-foreign", "CORS_ORIGINS", Wrong({"CORS_ORIGINS": "*"})),
    "preflight": (
        "cors-preflight",
        "CORS_ALLOW_HEADERS",
        Wrong({"CORS_ALLOW_HEADERS": "Content-Type"}),
    ),
    "metrics": ("metrics", "AUTH_METRICS_ROUTE", Wrong(change=open_metrics)),
    "console": (
        "console",
        "AUTH_PERMISSIONS",
        Wrong({"AUTH_PERMISSIONS": {"user": ["console:open"], "admin": []}}),
    ),
    "open-console": (
        "console",
        "AUTH_CONSOLE_PERMISSION",
        Wrong(change=_replace("tenant_auth_console", lambda: "<title>Console</title>")),
    ),
    "hsts": (
        "hsts",
        "Strict-Transport-Security",
        Wrong(layer=without("Strict-Transport-Security")),
    ),
    "short-hsts": (
        "hsts",
        "Strict-Transport-Security",
        Wrong(layer=with_field("Strict-Transport-Security", "max-age=60; includeSubDomains")),
    ),
}
OTHERS: dict[str, Wrong] = {
    "good": Wrong(),
    # As many requests a minute as an app lets pass that sets nothing.
    "defaults": Wrong({"AUTH_FAILURE_LIMIT": None, "RATELIMIT_DEFAULT": None}),
    "cache": Wrong(layer=cache_of_users),
    "quoting": Wrong(layer=quoting),
    "remembered-too": Wrong(change=lambda app: _replace("accounts", _first_tenant_again())(app)),
    "forbidding": Wrong(change=_replace("accounts", verify_role("admin")(accounts))),
    "two-origins": Wrong(layer=with_second_origin),
    "limited-once": Wrong(layer=limited_once),
    "one-day": Wrong({"AUTH_FAILURE_LIMIT": "3 per day"}),
}


def services() -> WSGI:
    """All of them, each below its name."""
    made = {f"/{name}": wrong.service() for name, (_, _, wrong) in WRONG.items()}
    made |= {f"/{name}": wrong.service() for name, wrong in OTHERS.items()}
    return DispatcherMiddleware(NotFound(), made)
