"""Where answers leave an app: the headers of limits and CORS, and the 429 in place of a 401.

This stands around `app.wsgi_app`, and is no after_request hook, for two reasons. Every answer
passes here, also one that no hook sees. And a header costs a tenth of what it costs on a Response,
which checks and copies each of them several times.

The core's `Edge` completes ordinary answers by itself, from what `Cors` has prepared. What is here
says the same for all others: refusals, preflights, and answers that have such headers already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ._core import AuditLog, Decision, Edge, Visit, fields_overlap
from .audit import logger
from .cors import Cors, HeaderList
from .decorators import refuse_repeated_failure
from .errors import ConfigurationError
from .limits import ietf_headers

if TYPE_CHECKING:
    from flask import Flask

    from .state import AppState


def edge_of(app: Flask, state: AppState, cors: Cors) -> Edge:
    """Return the new outermost layer of an app.

    :raises ConfigurationError: when the file of AUDIT_LOG cannot be opened.
    """
    path = state.settings.audit_log
    prepared = cors.prepared and not state.settings.ratelimit_ietf_headers_enabled
    unusual = _Unusual(app, state, cors)
    return Edge(
        inner=app.wsgi_app,
        state=state,
        key=state.visit_key,
        answer=unusual.answer,
        exchange=unusual.exchange,
        subtrees=cors.subtrees,
        paths=cors.paths,
        to_origin=cors.to_origin if prepared else None,  # None: `answer` is asked each time
        to_others=cors.to_others,
        audit_log=None if path is None else _opened(path),
        tell=lambda news: logger.error("The audit log %s %s", path, news),
        limit_fields=state.settings.ratelimit_headers_enabled,
    )


def _opened(path: str) -> AuditLog:
    try:
        return AuditLog(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"AUDIT_LOG cannot be opened: {error}") from None


class _Unusual:
    """What the core's edge asks of Python."""

    def __init__(self, app: Flask, state: AppState, cors: Cors) -> None:
        self._app = app
        self._cors = cors
        self._legacy = state.settings.ratelimit_headers_enabled
        self._ietf = state.settings.ratelimit_ietf_headers_enabled

    def answer(
        self, visit: Visit, status: str, headers: HeaderList, exc_info: Any
    ) -> Callable[[bytes], object]:
        """Complete an answer and send it: what start_response does (PEP 3333)."""
        if status.startswith("401"):
            refusal = refuse_repeated_failure(visit)
            if refusal is not None:
                visit.instead = self._app.make_response(refusal)
                return _discard
        added = self._cors.headers(visit.environ, headers) if self._cors.enabled else []
        if visit.decision is not None:
            added = added + self._limit_headers(visit, visit.decision)
        return visit.send(status, merged(headers, added), exc_info)

    def exchange(
        self, parts: Iterable[bytes], visit: Visit, environ: dict[str, Any]
    ) -> Iterable[bytes]:
        """Send another answer than the app's, of which nothing was sent."""
        close = getattr(parts, "close", None)
        if close is not None:
            close()
        instead, visit.instead = visit.instead, None
        return parts if instead is None else instead(environ, visit)

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
