"""A WSGI middleware of the core that adds nothing to the application it wraps."""

from __future__ import annotations

from typing import Any

from apps import make_app
from flask_tenant_auth._core import CorsRules, Middleware
from flask_tenant_auth.flask.state import AppState, state_of


def middleware_arguments(inner: Any, state: AppState) -> dict[str, Any]:
    """The arguments of the middleware's constructor; a test replaces those that it is about."""
    return {
        "inner": inner,
        "state": state,
        "key": state.start_response_key,
        "failure": lambda start_response, *answer: start_response.send(*answer),
        "replace": lambda body, _start_response: body,
        "late_body": lambda body, _start_response: body,
        "cors": cors_rules(),
        "audit_log": None,
        "log": print,
        "limit_fields": False,
        "ietf_fields": False,
        "metrics": None,
    }


def sent_headers(environ: dict[str, Any], headers: Any, cors: CorsRules) -> Any:
    """What a server gets of a response with these headers, from an app with these CORS rules."""
    sent: list[Any] = []

    def inner(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", headers)
        return []

    arguments = middleware_arguments(inner, state_of(make_app())) | {"cors": cors}
    Middleware(**arguments)(environ, lambda _status, fields: sent.append(fields))
    return sent[0]


def cors_rules(**given: Any) -> CorsRules:
    """The rules of an app with these settings, and none else."""
    arguments: dict[str, Any] = {
        "resources": (),
        "origins": (),
        "methods": (),
        "allow_headers": (),
        "expose_headers": (),
        "max_age": 0,
        "credentials": False,
    }
    return CorsRules(**(arguments | given))
