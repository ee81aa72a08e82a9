"""The WSGI layer around an app: the headers of limits and CORS, and the 429 in place of a 401.

It is around `app.wsgi_app` and not an after_request hook, for two reasons. Every answer passes it,
also one that no hook gets. And a header takes a tenth of the time that it takes on a Response,
which checks and copies each header several times.

The core's `Middleware` completes ordinary answers by itself, from what `Cors` has prepared. This
module completes all others in the same way: denials, preflights, and answers that have such headers
already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .._core import AuditLog, Decision, Middleware, RequestRecord, StartResponse, fields_overlap
from ..audit import logger
from ..cors import Cors, HeaderList
from ..errors import ConfigurationError
from ..limit.headers import ietf_headers
from .counting import count_unauthorized
from .denials import report_exceeded
from .records import RECORD, current_request

if TYPE_CHECKING:
    from flask import Flask, Response

    from .state import AppState


def middleware_of(app: Flask, state: AppState, cors: Cors) -> Middleware:
    """Return the new outermost layer of an app.

    :raises ConfigurationError: when the file of AUDIT_LOG cannot be opened.
    """
    path = state.settings.audit_log
    # With the fields of the IETF's draft, every answer is completed in Python.
    cors_rules = None if state.settings.ratelimit_ietf_headers_enabled else cors.rules
    completion = _Completion(app, state, cors)
    return Middleware(
        inner=app.wsgi_app,
        state=state,
        key=state.start_response_key,
        answer=completion.answer,
        replace=completion.replace,
        late_body=lambda body, start_response: _LateBody(body, start_response, completion.replace),
        cors=cors_rules,
        audit_log=None if path is None else _open_audit_log(path),
        log=lambda event: logger.error("The audit log %s: %s", path, event),
        limit_fields=state.settings.ratelimit_headers_enabled,
    )


def _open_audit_log(path: str) -> AuditLog:
    try:
        return AuditLog(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"AUDIT_LOG cannot be opened: {error}") from None


class _Completion:
    """What the core's `Middleware` calls: the answers that it does not complete by itself."""

    def __init__(self, app: Flask, state: AppState, cors: Cors) -> None:
        self._app = app
        self._cors = cors
        self._legacy = state.settings.ratelimit_headers_enabled
        self._ietf = state.settings.ratelimit_ietf_headers_enabled

    def answer(
        self, start_response: StartResponse, status: str, headers: HeaderList, exc_info: Any
    ) -> Callable[[bytes], object]:
        """Complete an answer and send it: what start_response does (PEP 3333)."""
        record, environ = start_response.record, start_response.environ
        if start_response.code == 401 and not start_response.sent and not start_response.replaced:
            # The 401 of a decorator is counted already. This one is of a view or of a middleware.
            decision = count_unauthorized(record, environ.get("REMOTE_ADDR") or "")
            if decision is not None:
                start_response.replacement = self._too_many_failures(record, environ, decision)
                return _discard
        added = self._cors.headers(environ, headers) if self._cors.enabled else []
        if record.decision is not None:
            added = added + self._limit_headers(record, record.decision)
        return start_response.send(status, merged(headers, added), exc_info)

    def replace(self, body: Iterable[bytes], start_response: StartResponse) -> Iterable[bytes]:
        """Send another answer in place of the app's, of which nothing was sent."""
        close = getattr(body, "close", None)
        if close is not None:
            close()
        instead, start_response.replacement = start_response.replacement, None
        start_response.replaced = True
        return body if instead is None else instead(start_response.environ, start_response)

    def _too_many_failures(
        self, record: RequestRecord, environ: dict[str, Any], decision: Decision
    ) -> Response:
        """Return the 429 in place of a 401; an error handler of the app may write it."""
        app = self._app
        request = current_request()
        # A middleware answers by itself, or after the request: no handler can be called.
        handled = request is not None and request.__dict__.get(RECORD) is record
        if not handled:
            request = app.request_class(environ, populate_request=False)
        error = report_exceeded(app, request, record, decision, None)
        if handled:
            return app.make_response(app.handle_user_exception(error))
        return error.get_response()  # type: ignore[return-value]

    def _limit_headers(self, record: RequestRecord, decision: Decision) -> HeaderList:
        headers = decision.headers if self._legacy else []
        if self._ietf:
            headers += ietf_headers(decision, record.limits)
        if not decision.allowed:
            headers.append(("Retry-After", str(decision.retry_after)))
        return headers


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


def merged(headers: HeaderList, added: HeaderList) -> HeaderList:
    """Return both. The added one replaces a field of its name; the names of Vary are joined."""
    if not fields_overlap(headers, added):
        return headers + added
    vary = [value for name, value in headers if name.lower() == "vary"]
    fields = {name.lower() for name, _ in added}
    kept = [each for each in headers if each[0].lower() not in fields]
    if not vary or "vary" not in fields:
        return kept + added
    return kept + [
        (name, _united(vary, value)) if name == "Vary" else (name, value) for name, value in added
    ]


def _united(values: list[str], names: str) -> str:
    """Return one Vary of several: each name once, as first written; ``*`` replaces all."""
    united: dict[str, str] = {}
    for name in ",".join([*values, names]).split(","):
        united.setdefault(name.strip().lower(), name.strip())
    united.pop("", None)
    return "*" if "*" in united else ", ".join(united.values())
