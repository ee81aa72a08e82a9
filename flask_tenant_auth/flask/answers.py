"""The answer to a denied request.

While Flask dispatches a request, a denial is raised as `AuthError`: no wrapper, schema or
serializer between the decorator and Flask can make another answer of it, and error handlers are
asked. Where a view is called directly, by a test or by other code, the denial is returned as the
documented pair ``({"error": ..., "message": ...}, status)``.
"""

from __future__ import annotations

from collections.abc import Iterable

from flask import Response, after_this_request

from .._core import Identity
from ..errors import (
    JSON_TYPE,
    PROBLEM_TYPE,
    AuthError,
    ConfigurationError,
    create_auth_response,
)
from ..identity.denials import Denial, error_of
from ..limit.exceeded import Exceeded
from .denials import report_denial, report_exceeded
from .records import current_request, keep_reason, record_of
from .state import current_app, state_of

# What a view that is called directly returns in place of its own answer: the documented pair, the
# answer to OPTIONS, or the False that Flask-SocketIO takes for "connection refused".
Answer = tuple[dict[str, str], int] | Response | bool


def deny(denial: Denial, identity: Identity | None) -> Answer:
    """Deny the current request: raise the denial, or return it where nobody dispatches."""
    request = current_request()
    report_denial(denial, request, None if request is None else record_of(request), identity)
    return raise_or_return(error_of(denial))


def deny_limited(exceeded: Exceeded) -> Answer:
    """Deny the current request with the 429 of a limit."""
    request = current_request()
    record = None if request is None else record_of(request)
    app = current_app._get_current_object()
    return raise_or_return(report_exceeded(app, request, record, exceeded))


def raise_or_return(error: AuthError) -> Answer:
    """Raise a denial while Flask dispatches the request; return it to every other caller.

    Flask-SocketIO calls its handlers itself. It takes every answer to "connect" but False for
    consent.
    """
    request = current_request()
    if request is not None:
        _complete_answer(error)
        if record_of(request).dispatched:
            raise error
        event = getattr(request, "event", None)
        if isinstance(event, dict) and event.get("message") == "connect":
            return False
    return create_auth_response(error.message, error.status_code)


def note_error(error: AuthError) -> None:
    """Note an `AuthError` that leaves a view or a hook: its reason, and what its answer needs."""
    keep_reason(error)
    if current_request() is not None:
        _complete_answer(error)


def _complete_answer(error: AuthError) -> None:
    """Complete the answer of this request, if it leaves with the status of this error.

    So an error handler that writes another body does not have to add the header fields. A library
    that writes the documented JSON itself (Flask-RESTful, Flask-RESTX) does not know of problems.
    """
    headers, is_problem = error.headers, error.content_type == PROBLEM_TYPE
    if not headers and not is_problem:
        return

    def complete(response: Response) -> Response:
        if response.status_code == error.code:
            add_headers(response, headers)
            if is_problem and _is_documented_json(response, error):
                response.set_data(error.get_body())
                response.mimetype = PROBLEM_TYPE
        return response

    after_this_request(complete)


def _is_documented_json(response: Response, error: AuthError) -> bool:
    """Whether the body of a response is the documented JSON of an error, and nothing else."""
    if response.mimetype != JSON_TYPE or response.is_streamed:
        return False
    documented, _ = create_auth_response(error.message, error.status_code)
    return bool(response.get_json(silent=True) == documented)


def add_headers(response: Response, headers: Iterable[tuple[str, str]]) -> None:
    """Add header fields to a response; those that it has already stay as they are."""
    present = {name.lower() for name, _ in response.headers}
    for name, value in headers:
        if name.lower() not in present:
            response.headers.add(name, value)


def _app_writes_problems() -> bool:
    """Whether the running app has set AUTH_PROBLEM_JSON; an app that cannot be read has not."""
    if not current_app:
        return False
    try:
        state = state_of(current_app._get_current_object())
    except ConfigurationError:
        return False
    return state.settings.auth_problem_json


AuthError.app_writes_problems = staticmethod(_app_writes_problems)
