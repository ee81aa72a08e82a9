"""The record of a request: what is known of it so far, on the request object itself."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import flask
from flask.app import Flask

from .._core import RequestRecord, ServedRequest, open_record
from ..errors import AuthError
from ..identity.lent import lent_identity
from .state import state_of

if TYPE_CHECKING:
    from types import FrameType

    from flask import Request

    from ..sessions.store import Session

# The attribute of a Request object that holds its record. No other request finds it there, even one
# that is made from the same environ.
RECORD = "_tenant_auth_record"
# The context variable behind Flask's proxies. It is read directly, because every request reads it
# several times and the proxy takes as long as the rest of this module.
_flask_context = cast("ContextVar[Any]", flask.request.__wrapped__)  # type: ignore[attr-defined]
# The steps that nearly every request takes, in the core.
served = ServedRequest(context=_flask_context, lent=lent_identity, attribute=RECORD)


def current_request() -> Request | None:
    """Return the request being served: the object, not its proxy."""
    context = _flask_context.get(None)
    if context is None:
        return None
    try:
        request: Request = context.request
    except RuntimeError:  # an app context without a request, where Flask has one type for both
        return None
    return request


def json_object_in(request: Request, *, of_any_type: bool = False) -> dict[str, Any]:
    """Return the JSON object that a request has as its body; an empty one for any other body.

    :param of_any_type: also read a body that the Content-Type does not call JSON.
    """
    try:
        body = request.get_json(force=of_any_type, silent=True)
    except RecursionError:  # nested too deep: `silent` does not cover this
        return {}
    return body if isinstance(body, dict) else {}


def record_of(request: Request) -> RequestRecord:
    """Return the record of the current request.

    Its `dispatched` says whether Flask dispatches the request now. Then an exception becomes the
    answer.
    """
    record: RequestRecord | None = request.__dict__.get(RECORD)
    if record is None or not record.dispatched:
        return _record_by_callers(record, request)
    return record


def _record_by_callers(record: RequestRecord | None, request: Request) -> RequestRecord:
    """Return the record of a request that was not seen in dispatch so far.

    Only a request that Flask dispatches takes the response that the app's WSGI layer waits for. It
    takes it at the first use of its record in dispatch: code that runs earlier, such as a session
    interface, may have begun the record. Every other request is authenticated by itself: one that
    is pushed by hand, on an environ or a copy of it, or by Flask-SocketIO for an event.
    """
    if is_dispatched_by_flask(request):
        state = state_of(_flask_context.get().app) if record is None else record.state
        record = open_record(state, request.environ, state.start_response_key, record)
        record.dispatched = True
    elif record is None:
        record = RequestRecord(state_of(_flask_context.get().app))
    request.__dict__[RECORD] = record
    return record


def is_dispatched_by_flask(request: Request) -> bool:
    """Whether Flask dispatches this request among the callers of the running code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_method_of_app(frame, "full_dispatch_request"):
            dispatched = _request_dispatched_in(frame)
            return dispatched is None or dispatched is request
        frame = frame.f_back
    return False


def _is_method_of_app(frame: FrameType, name: str) -> bool:
    return frame.f_code.co_name == name and isinstance(frame.f_locals.get("self"), Flask)


def _request_dispatched_in(dispatch: FrameType) -> Request | None:
    """Return the request of a call of `full_dispatch_request`; None where a test has called it."""
    context = dispatch.f_locals.get("ctx")
    frame = dispatch.f_back
    while context is None and frame is not None:
        if _is_method_of_app(frame, "full_dispatch_request"):
            break
        if _is_method_of_app(frame, "wsgi_app"):
            context = frame.f_locals.get("ctx")
            break
        frame = frame.f_back
    return None if context is None else cast("Request", context.request)


# The attribute of a Request object that holds the session that began in it.
_SESSION = "_tenant_auth_session"


def note_session(session: Session) -> None:
    """Note that a session has begun in the current request: its user has logged in."""
    request = current_request()
    if request is not None:
        request.__dict__[_SESSION] = session


def noted_session(request: Request) -> Session | None:
    """Return the session that has begun in a request."""
    session: Session | None = request.__dict__.get(_SESSION)
    return session


def keep_reason(error: AuthError) -> None:
    """Keep the reason of an `AuthError` that leaves as the answer, unless there is one."""
    request = current_request()
    if request is not None:
        record = record_of(request)
        if record.reason is None:
            record.reason = error.reason
