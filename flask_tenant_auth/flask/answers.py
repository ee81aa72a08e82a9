"""The answer to a denied request.

While Flask dispatches a request, a denial is raised as `AuthError`: no wrapper, schema or
serializer between the decorator and Flask can make another answer of it, and error handlers are
asked. Where a view is called directly, by a test or by other code, the denial is returned as the
documented pair ``({"error": ..., "message": ...}, status)``.
"""

from __future__ import annotations

from flask import Response, after_this_request

from .._core import Decision, Identity
from ..errors import AuthError, create_auth_response
from ..identity.denials import Denial, error_of
from .denials import report_denial, report_exceeded
from .records import current_request, record_of
from .state import current_app

# What a view that is called directly returns in place of its own answer: the documented pair, the
# answer to OPTIONS, or the False that Flask-SocketIO takes for "connection refused".
Answer = tuple[dict[str, str], int] | Response | bool


def deny(denial: Denial, identity: Identity | None) -> Answer:
    """Deny the current request: raise the denial, or return it where nobody dispatches."""
    request = current_request()
    report_denial(denial, request, None if request is None else record_of(request), identity)
    return raise_or_return(error_of(denial))


def deny_limited(decision: Decision, identity: Identity | None) -> Answer:
    """Deny the current request with the 429 of a limit."""
    request = current_request()
    record = None if request is None else record_of(request)
    app = current_app._get_current_object()
    return raise_or_return(report_exceeded(app, request, record, decision, identity))


def raise_or_return(error: AuthError) -> Answer:
    """Raise a denial while Flask dispatches the request; return it to every other caller.

    Flask-SocketIO calls its handlers itself. It takes every answer to "connect" but False for
    consent.
    """
    request = current_request()
    if request is not None:
        headers = error.required_headers()
        if headers:
            _add_to_answer(headers, error.status_code)
        if record_of(request).dispatched:
            raise error
        event = getattr(request, "event", None)
        if isinstance(event, dict) and event.get("message") == "connect":
            return False
    return create_auth_response(error.message, error.status_code)


def _add_to_answer(headers: list[tuple[str, str]], status: int) -> None:
    """Add headers to the answer of this request, if it leaves with the status they belong to.

    So an error handler that writes another body does not have to add them.
    """

    def add_headers(response: Response) -> Response:
        if response.status_code == status:
            for name, value in headers:
                response.headers.setdefault(name, value)
        return response

    after_this_request(add_headers)
