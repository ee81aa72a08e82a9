"""The answer of a denial: raised while Flask dispatches the request, else returned."""

from __future__ import annotations

from flask import Response, after_this_request

from .._core import Decision, Identity
from ..errors import AuthError, create_auth_response
from .context import current_request, record_of
from .denials import Denial, error_of, report_denial, report_exceeded
from .state import current_app

# What a view that is called directly answers instead: the documented pair, the answer to OPTIONS,
# or the False that Flask-SocketIO takes for "connection refused".
Answer = tuple[dict[str, str], int] | Response | bool


def deny(denial: Denial, identity: Identity | None) -> Answer:
    """Deny the current request: raise the denial, or return it where nobody dispatches."""
    request = current_request()
    report_denial(denial, request, None if request is None else record_of(request), identity)
    return raised_or_returned(error_of(denial))


def raised_or_returned(error: AuthError) -> Answer:
    """Raise a denial while Flask dispatches the request; return it to whoever else has called.

    Flask-SocketIO calls its handlers itself, and takes every answer to "connect" but False for
    consent.
    """
    request = current_request()
    if request is not None:
        headers = error.required_headers()
        if headers:
            _answer_with(headers, error.status_code)
        if record_of(request).dispatched:
            raise error
        event = getattr(request, "event", None)
        if isinstance(event, dict) and event.get("message") == "connect":
            return False
    return create_auth_response(error.message, error.status_code)


def _answer_with(headers: list[tuple[str, str]], status: int) -> None:
    """Add headers to the answer of this request, if it leaves with the status they belong to.

    An error handler that writes another body need not think of them.
    """

    def add_headers(response: Response) -> Response:
        if response.status_code == status:
            for name, value in headers:
                response.headers.setdefault(name, value)
        return response

    after_this_request(add_headers)


def deny_limited(decision: Decision, identity: Identity | None) -> Answer:
    """Deny the current request with the 429 of a limit."""
    request = current_request()
    record = None if request is None else record_of(request)
    app = current_app._get_current_object()
    return raised_or_returned(report_exceeded(app, request, record, decision, identity))
