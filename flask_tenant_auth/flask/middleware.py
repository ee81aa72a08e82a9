"""The WSGI layer around an app: the headers of limits and CORS, and the 429 in place of a 401.

It is around `app.wsgi_app` and not an after_request hook, for two reasons. Every answer passes it,
also one that no hook gets. And a header takes a tenth of the time that it takes on a Response,
which checks and copies each header several times.

The core's `Middleware` completes each answer and sends it. It asks this module about two things: a
failed authentication, which counts, and a body whose app calls start_response late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .._core import AuditLog, CorsRules, Middleware, RequestRecord, StartResponse
from ..alerts.alert import Event
from ..audit import logger
from ..errors import ConfigurationError
from ..trail.keys import chain_keys
from .counting import count_unauthorized
from .denials import report_exceeded
from .records import RECORD, current_request

if TYPE_CHECKING:
    from flask import Response
    from flask.app import Flask

    from ..config.settings import Settings
    from ..limit.exceeded import Exceeded
    from .state import AppState


def middleware_of(app: Flask, state: AppState, cors: CorsRules) -> Middleware:
    """Return the new outermost layer of an app.

    :raises ConfigurationError: when the file of AUDIT_LOG cannot be opened.
    """
    settings = state.settings
    path = settings.audit_log
    audit_log = None if path is None else open_audit_log(path, settings)
    failures = _Failures(app)
    return Middleware(
        inner=app.wsgi_app,
        state=state,
        key=state.start_response_key,
        failure=failures.answer,
        replace=failures.replace,
        late_body=lambda body, start_response: _LateBody(body, start_response, failures.replace),
        cors=cors,
        audit_log=audit_log,
        log=_audit_events(state, audit_log),
        limit_fields=settings.ratelimit_headers_enabled,
        ietf_fields=settings.ratelimit_ietf_headers_enabled,
        metrics=state.metrics,
    )


def open_audit_log(path: str, settings: Settings) -> AuditLog:
    """Open AUDIT_LOG, whose lines are a chain if AUDIT_CHAIN says so.

    :raises ConfigurationError: where it cannot be opened.
    """
    keys = chain_keys(settings) if settings.audit_chain else ()
    try:
        return AuditLog(path, keys)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"AUDIT_LOG cannot be opened: {error}") from None


def _audit_events(state: AppState, audit_log: AuditLog | None) -> Callable[[str], None]:
    """Return what is called with a sentence when lines of AUDIT_LOG are lost, and when no more."""
    lost = 0

    def log(event: str) -> None:
        nonlocal lost
        logger.error("The audit log %s: %s", state.settings.audit_log, event)
        if state.alerts is not None and audit_log is not None and audit_log.lost > lost:
            lost = audit_log.lost
            state.alerts.note(Event(name="audit_lost"))

    return log


class _Failures:
    """The answers to failed authentications, and the 429 in place of one too many."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def answer(
        self,
        start_response: StartResponse,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: Any,
    ) -> Callable[[bytes], object]:
        """Send a 401 that a decorator, a view or a middleware answers, unless it is one too many.

        The 401 of a decorator is counted already, and is not counted again.
        """
        record, environ = start_response.record, start_response.environ
        exceeded = count_unauthorized(record, environ.get("REMOTE_ADDR") or "", record.reason or "")
        if exceeded is not None:
            start_response.replacement = self._too_many_failures(record, environ, exceeded)
            return _discard
        return start_response.send(status, headers, exc_info)

    def replace(self, body: Iterable[bytes], start_response: StartResponse) -> Iterable[bytes]:
        """Send another answer in place of the app's, of which nothing was sent."""
        close = getattr(body, "close", None)
        if close is not None:
            close()
        instead, start_response.replacement = start_response.replacement, None
        start_response.replaced = True
        return body if instead is None else instead(start_response.environ, start_response)

    def _too_many_failures(
        self, record: RequestRecord, environ: dict[str, Any], exceeded: Exceeded
    ) -> Response:
        """Return the 429 in place of a 401; an error handler of the app may write it."""
        app = self._app
        request = current_request()
        # A middleware answers by itself, or after the request: no handler can be called.
        handled = request is not None and request.__dict__.get(RECORD) is record
        if not handled:
            request = app.request_class(environ, populate_request=False)
        error = report_exceeded(app, request, record, exceeded)
        if handled:
            return app.make_response(app.handle_user_exception(error))
        # There may be no app context any more that says it.
        error.problem_json = record.state.settings.auth_problem_json
        return error.get_response()  # type: ignore[return-value]


class _LateBody:
    """The body of an app that calls start_response only while it is read: a generator.

    The answer in its place, if any, is known with its first part or at its end.
    """

    def __init__(
        self,
        body: Iterable[bytes],
        start_response: StartResponse,
        replace: Callable[[Iterable[bytes], StartResponse], Iterable[bytes]],
    ) -> None:
        self._body = body
        self._parts: Iterator[bytes] | None = None
        self._start_response = start_response
        self._replace = replace

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._parts is None:
            self._parts = iter(self._body)
        try:
            part = next(self._parts)
        except StopIteration:
            if self._start_response.replacement is None:
                self._start_response.leave()
                raise
            part = b""
        if self._start_response.replacement is None:
            return part
        self._body = self._replace(self._body, self._start_response)
        self._parts = iter(self._body)
        return next(self._parts)

    def close(self) -> None:
        self._start_response.leave()
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def _discard(_body: bytes) -> None:
    """Drop the body that an app writes for an answer that is not sent."""
