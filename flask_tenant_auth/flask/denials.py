"""The one place that reports a denied request: to the log, to the audit log and to receivers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .._core import peek_token
from ..audit import log_denied, logger
from ..errors import ConcurrencyLimitExceeded, RateLimitExceeded
from ..keys.jwks import shown_kid
from ..signals import concurrency_limit_exceeded, rate_limit_exceeded, request_denied
from .alerting import note_denial, note_limited
from .state import current_app

if TYPE_CHECKING:
    from flask import Request
    from flask.app import Flask

    from .._core import Identity, InvalidToken, RequestRecord
    from ..identity.denials import Denial
    from ..limit.exceeded import Exceeded

# A token that is invalid for one of these may be valid in another app, or with another setting.
_LOOKED_FOR = frozenset({"kid_unknown", "iss_mismatch"})


def detail_of(invalid: InvalidToken, token: str | bytes) -> str:
    """Return what the log says of an invalid token.

    Where no key or issuer of the app fits, it names those that the token names. Anybody may have
    written them, so they are shortened and escaped.
    """
    if invalid.reason not in _LOOKED_FOR or not logger.isEnabledFor(logging.WARNING):
        return invalid.detail
    peeked = peek_token(token, "iss")
    if peeked is None:
        return invalid.detail
    issuer, kid = peeked
    return f"{invalid.detail}: its kid is {shown_kid(kid)}, its iss {shown_kid(issuer)}"


def report_denial(
    denial: Denial,
    request: Request | None,
    record: RequestRecord | None,
    identity: Identity | None = None,
) -> None:
    """Log a denial, send `request_denied`, and keep the reason for the audit log.

    :param request: the request that is denied; None outside of one.
    :param record: the record of that request.
    :param identity: who sent it, where that was verified.
    """
    if record is not None:
        record.reason = denial.reason
    log_denied(request, denial.status, denial.message, denial.reason, denial.detail, identity)
    if record is not None and request is not None:
        note_denial(record.state, request, denial.status, denial.reason, identity)
    if request_denied.receivers and current_app:
        request_denied.send(
            current_app._get_current_object(),
            status=denial.status,
            message=denial.message,
            reason=denial.reason,
        )


def report_exceeded(
    app: Flask | None,
    request: Request | None,
    record: RequestRecord | None,
    exceeded: Exceeded,
) -> RateLimitExceeded:
    """Log what is over a limit, send `rate_limit_exceeded`, and return the error to raise.

    :param app: None outside of any app, where nobody gets the signal.
    :param request: None outside of a request.
    :param record: whose reason it is, if that is known now.
    """
    decision, identity = exceeded.decision, exceeded.request.identity
    error = RateLimitExceeded(str(decision.rate), decision)
    if record is not None:
        _keep_limited(record, error.reason, identity)
        if request is not None and record.state.denied is not None:
            record.state.denied.count(request.remote_addr or "")
        if request is not None:
            note_limited(record.state, request, error.reason, identity)
    log_denied(request, error.code, error.message, error.reason, identity=identity)
    if rate_limit_exceeded.receivers and app is not None:
        rate_limit_exceeded.send(
            app,
            decision=decision,
            identity=identity,
            limit=exceeded.limit,
            key=exceeded.key,
            endpoint=None if request is None else request.endpoint,
        )
    return error


def report_too_many_at_once(
    app: Flask,
    request: Request,
    record: RequestRecord,
    limit: int,
    identity: Identity | None,
) -> ConcurrencyLimitExceeded:
    """Log a request over a concurrency limit, send the signal, and return the error to raise."""
    error = ConcurrencyLimitExceeded(limit)
    _keep_limited(record, error.reason, identity)
    note_limited(record.state, request, error.reason, identity)
    log_denied(request, error.code, error.message, error.reason, identity=identity)
    if concurrency_limit_exceeded.receivers:
        concurrency_limit_exceeded.send(app, limit=limit, identity=identity)
    return error


def _keep_limited(record: RequestRecord, reason: str, identity: Identity | None) -> None:
    """Keep for the audit log and the metrics why a request is limited, and whose it is.

    Limits count a request before a decorator binds its identity.
    """
    record.reason = reason
    if identity is not None:
        record.subject = identity
