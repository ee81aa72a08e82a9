"""Where answers leave an app: the headers of limits and CORS, and the 429 in place of a 401.

This stands around `app.wsgi_app`, and not in an after_request hook, for two reasons. Every answer
passes here, also one that no hook sees. And a header costs a tenth of what it costs on a Response,
which checks and copies each of them several times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ._core import Decision, fields_overlap
from .context import Visit
from .cors import Cors, HeaderList
from .decorators import refuse_repeated_failure
from .limits import ietf_headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask, Response

    from .state import AppState


class Edge:
    """The outermost layer of one app."""

    def __init__(self, app: Flask, state: AppState, cors: Cors) -> None:
        self._app = app
        self._inner: WSGIApplication = app.wsgi_app
        self._state = state
        self._cors = cors
        self._legacy = state.settings.ratelimit_headers_enabled
        self._ietf = state.settings.ratelimit_ietf_headers_enabled

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        visit = environ[self._state.visit_key] = Visit(self._state)
        cors = self._cors
        instead: Response | None = None

        def start(status: str, headers: HeaderList, *exc_info: Any) -> Callable[[bytes], object]:
            nonlocal instead
            if status.startswith("401"):
                refusal = refuse_repeated_failure(visit)
                if refusal is not None:
                    instead = self._app.make_response(refusal)
                    return _discard
            added = cors.headers(environ, headers) if cors.enabled else []
            if visit.decision is not None:
                added = added + self._limit_headers(visit, visit.decision)
            return start_response(status, merged(headers, added), *exc_info)

        parts = self._inner(environ, start)
        if instead is None:
            return parts
        close = getattr(parts, "close", None)
        if close is not None:
            close()
        return instead(environ, start)

    def _limit_headers(self, visit: Visit, decision: Decision) -> HeaderList:
        headers = decision.headers if self._legacy else []
        if self._ietf:
            headers += ietf_headers(decision, visit.limits)
        if not decision.allowed:
            headers.append(("Retry-After", str(decision.retry_after)))
        return headers


def _discard(_body: bytes) -> None:
    """Take what an app writes of an answer that is not sent."""


def merged(headers: HeaderList, added: HeaderList) -> HeaderList:
    """Return both; a field that both have is the added one, but for Vary, whose names unite."""
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
    """Return one Vary of several: each name once, as first written; ``*`` stands for all."""
    united: dict[str, str] = {}
    for name in ",".join([*values, names]).split(","):
        united.setdefault(name.strip().lower(), name.strip())
    united.pop("", None)
    return "*" if "*" in united else ", ".join(united.values())
