"""Who sent a request and what was decided, on the span of OpenTelemetry and in Sentry's scope.

Only where these libraries are installed. Both are told ids, roles and words, and nothing that a
client has sent.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flask import request_started

from ..audit import logger
from ..signals import request_authenticated
from .records import RECORD, current_request

if TYPE_CHECKING:
    from flask import Response
    from flask.app import Flask

    from .._core import Identity, RequestRecord

# Where an attribute has a name in the semantic conventions of OpenTelemetry, that one.
USER, ROLE = "enduser.id", "enduser.role"
TENANT = "flask_tenant_auth.tenant_id"
DENIED = "flask_tenant_auth.denied"  # the reason
LIMIT, REMAINING, LIMITED = (
    f"flask_tenant_auth.limit.{name}" for name in ("rate", "remaining", "exceeded")
)


# The scope of Sentry that names the user of a request. All apps of a process share what Sentry has.
_scope_with_user: ContextVar[Any] = ContextVar("flask_tenant_auth scope", default=None)


def add_traces(app: Flask) -> None:
    """Tell the libraries that are installed of each request of an app."""
    if _is_installed("opentelemetry.trace"):
        app.after_request(_span_hook(import_module("opentelemetry.trace")))
    if _is_installed("sentry_sdk"):
        # The app holds them: a signal has weak references only.
        set_user, forget_user = receivers = _sentry_receivers()
        app.extensions["tenant_auth_sentry"] = receivers
        request_authenticated.connect(set_user, app)
        request_started.connect(forget_user, app)


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its package is not there
        return False


def _span_hook(trace: Any) -> Callable[[Response], Response]:
    """Return the hook that completes the span of a request, which ends after it."""

    def describe(response: Response) -> Response:
        try:
            span = trace.get_current_span()
            if span.is_recording():
                request = current_request()
                record = None if request is None else request.__dict__.get(RECORD)
                if record is not None:
                    span.set_attributes(attributes_of(record))
        except Exception as error:  # noqa: BLE001 - no request fails for it
            logger.error("OpenTelemetry was not told who sent a request: %r", error)
        return response

    return describe


def attributes_of(record: RequestRecord) -> dict[str, str | int | bool]:
    """Return what is known of a request, as attributes of a span."""
    attributes: dict[str, str | int | bool] = {}
    identity: Identity | None = record.identity or record.subject
    if identity is not None:
        attributes |= {
            USER: identity.user_id,
            TENANT: identity.tenant_id,
            ROLE: identity.role,
        }
    if record.reason is not None:
        attributes[DENIED] = record.reason
    decision = record.decision
    if decision is not None:
        attributes |= {
            LIMIT: str(decision.rate),
            REMAINING: decision.remaining,
            LIMITED: not decision.allowed,
        }
    return attributes


def _sentry_receivers() -> tuple[Callable[..., None], Callable[..., None]]:
    """Return what sets Sentry's user, and what forgets it as the next request starts.

    Sentry's own integration of Flask gives each request a scope. Without it, a thread has one for
    all of its requests, and the user of one would be named in the events of the next.
    """

    def set_user(_app: Flask, identity: Identity) -> None:
        try:
            sentry = import_module("sentry_sdk")
            if sentry.get_client().is_active():
                scope = sentry.get_isolation_scope()
                _scope_with_user.set(scope)
                scope.set_user(
                    {
                        "id": identity.user_id,
                        "tenant_id": identity.tenant_id,
                        "role": identity.role,
                    }
                )
        except Exception as error:  # noqa: BLE001 - no request is denied for it
            logger.error("Sentry was not told who sent a request: %r", error)

    def forget_user(_app: Flask) -> None:
        before = _scope_with_user.get()
        if before is None:
            return
        try:
            _scope_with_user.set(None)
            if import_module("sentry_sdk").get_isolation_scope() is before:
                before.set_user(None)
        except Exception as error:  # noqa: BLE001 - likewise
            logger.error("Sentry may name the user of the request before: %r", error)

    return set_user, forget_user
