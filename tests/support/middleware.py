"""A WSGI middleware of the core that adds nothing to the application it wraps."""

from __future__ import annotations

from typing import Any

from flask_tenant_auth._core import CorsRules
from flask_tenant_auth.flask.state import AppState


def middleware_arguments(inner: Any, state: AppState) -> dict[str, Any]:
    """The arguments of the middleware's constructor; a test replaces those that it is about."""
    return {
        "inner": inner,
        "state": state,
        "key": state.start_response_key,
        "answer": lambda start_response, *answer: start_response.send(*answer),
        "replace": lambda body, _start_response: body,
        "late_body": lambda body, _start_response: body,
        "cors": CorsRules(resources=(), origins=(), fields=()),
        "audit_log": None,
        "log": print,
        "limit_fields": False,
    }
