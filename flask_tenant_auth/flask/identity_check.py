"""The checks in front of a view that need an identity: that there is one, and that of its role."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import flask
from werkzeug.exceptions import HTTPException

from .._core import Identity, RequestRecord
from ..audit import log_authenticated, logger
from ..errors import AuthError
from ..identity.denials import Denial
from ..identity.lent import lent_identity
from ..signals import request_authenticated
from .answers import Answer, deny, deny_limited
from .authentication import outcome_of
from .checked_view import Check
from .context import identity_in
from .counting import count_failure
from .denials import report_denial
from .records import current_request, record_of
from .state import current_app

if TYPE_CHECKING:
    from flask import Request, Response


def require_identity(known: Identity | None = None) -> Identity | Answer:
    """Return the identity of the running code, and bind it to its request; or deny the request.

    :param known: what an earlier check has returned.
    """
    if known is not None:
        return known
    request = current_request()
    if request is None or lent_identity.get() is not None:
        identity = identity_in(request)
        if identity is not None:
            return identity
        if request is None:
            raise RuntimeError(
                "a protected view was called outside a request and outside acting_as()"
            )
    record = record_of(request)
    if record.identity is not None:
        return record.identity
    outcome = record.outcome or outcome_of(record, request)
    if type(outcome) is Identity:
        record.identity = outcome
        if request_authenticated.receivers:
            _call_receivers(record, request, outcome)
        if logger.isEnabledFor(logging.INFO):
            log_authenticated(request, outcome)
        return outcome
    return _without_identity(record, request, outcome)


def role_check(roles: Sequence[str]) -> Check:
    """Return the check that an identity has one of these roles."""
    denial = Denial(
        403,
        f"Insufficient permissions. Required role: {', '.join(roles)}",
        "role_insufficient",
        scope=(),
    )

    def check(known: Identity | None) -> Identity | Answer | None:
        if known is not None and known.role in roles:
            return None
        passed = require_identity(known)
        if type(passed) is Identity and passed.role not in roles:
            return deny(denial, passed)
        return passed

    return check


_CODE_OF_ROLE_CHECKS = role_check(()).__code__


def is_role_check(check: object) -> bool:
    """Whether a check is one of `role_check`."""
    return getattr(check, "__code__", None) is _CODE_OF_ROLE_CHECKS


def _without_identity(record: RequestRecord, request: Request, denial: Denial) -> Answer:
    """Answer a request without an identity: deny it, or answer OPTIONS with the methods."""
    decision = count_failure(record, denial, request)
    if decision is not None:
        return deny_limited(decision, None)
    if request.method == "OPTIONS":
        return _methods_of_view(record)
    return deny(denial, None)


def _methods_of_view(record: RequestRecord) -> Response:
    """Answer an OPTIONS request with the methods, without calling the view."""
    response = flask.current_app.make_default_options_response()
    if record.dispatched:
        flask.abort(response)
    return response


def _call_receivers(record: RequestRecord, request: Request, identity: Identity) -> None:
    """Send `request_authenticated`. If a receiver raises, the identity is bound no longer."""
    try:
        request_authenticated.send(current_app._get_current_object(), identity=identity)
    except BaseException as error:
        record.identity, record.subject = None, identity
        if isinstance(error, HTTPException):
            _keep_denial_of_receiver(record, request, error)
        raise


def _keep_denial_of_receiver(record: RequestRecord, request: Request, error: HTTPException) -> None:
    """Let the denial of a receiver hold for the rest of the request, and log it."""
    status = error.get_response(request.environ).status_code
    denial = Denial(
        status,
        error.message if isinstance(error, AuthError) else error.name,
        error.reason if isinstance(error, AuthError) else "denied_by_receiver",
        "a receiver of request_authenticated has denied it",
    )
    # A redirect by a receiver denies the request too: the next check gets a 403.
    record.outcome = denial if status >= 400 else denial._replace(status=403)
    report_denial(denial, request, record, record.subject)
