"""The checks in front of a view that need an identity: that there is one, and what it may do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import flask
from werkzeug.exceptions import HTTPException

from .._core import Identity, RequestRecord, Roles, permission_number
from ..audit import log_authenticated, logger
from ..errors import AuthError
from ..identity.denials import Denial
from ..identity.lent import lent_identity
from ..identity.roles import RequiredRole
from ..signals import request_authenticated
from .answers import Answer, deny, deny_limited
from .authentication import outcome_of
from .checked_view import Check
from .context import identity_in
from .counting import count_failure
from .denials import report_denial
from .records import current_request, record_of, served
from .state import current_app, current_roles

if TYPE_CHECKING:
    from flask import Request, Response


def require_identity(known: Identity | None = None) -> Identity | Answer:
    """Return the identity of the running code, and bind it to its request; or deny the request.

    :param known: what an earlier check has returned.
    """
    if known is not None:
        return known
    identity = served.bind()
    if identity is None:
        return _require_identity()
    if request_authenticated.receivers or logger.isEnabledFor(logging.INFO):
        _announce(identity)
    return identity


def _require_identity() -> Identity | Answer:
    """Do as `require_identity` where it takes more than to bind what the request has proved."""
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
    if type(outcome) is not Identity:
        return _without_identity(record, request, outcome)
    record.identity = outcome
    attributes = request.__dict__
    attributes["tenant_id"] = outcome.tenant_id
    attributes["user_id"] = outcome.user_id
    attributes["user_role"] = outcome.role
    _announce(outcome)
    return outcome


def _announce(identity: Identity) -> None:
    """Tell the receivers of `request_authenticated` and the log whose the current request is.

    Where AUDIT_SINK says so, the logger gets no line of a request whose answer AUDIT_LOG gets.
    """
    request = current_request()
    assert request is not None  # noqa: S101 - an identity was bound to it
    record = record_of(request)
    if request_authenticated.receivers:
        _call_receivers(record, request, identity)
    in_audit_log = record.has_answer and record.state.settings.audit_sink == "audit_log"
    if not in_audit_log and logger.isEnabledFor(logging.INFO):
        log_authenticated(request, identity)


def role_check(required: RequiredRole, view: str) -> Check:
    """Return the check that an identity has a role that a view requires.

    The decorator does not know the roles of the app. So the check asks at its first request, and
    again for each identity of another app, whether the app has the roles that it names.

    :param view: the name of the view, where no request tells its endpoint.
    """
    message = f"Insufficient permissions. Required role: {required}"
    denial = Denial(403, message, "role_insufficient", scope=())
    # Roles of an app, and those that pass among them. Threads read and replace both at once.
    known_for: tuple[Roles | None, frozenset[str]] = (None, frozenset())

    def check(known: Identity | None) -> Identity | Answer | None:
        nonlocal known_for
        if known is not None:
            if known.has_role(known_for):
                return None
        elif known_for[0] is None and current_request() is not None:
            # A request without an identity finds out too that a role does not exist.
            known_for = _passing(required, current_roles(), view)
        passed = require_identity(known)
        if type(passed) is not Identity:
            return passed
        passing = known_for
        if passed.roles is not passing[0]:
            passing = known_for = _passing(required, passed.roles, view)
        return passed if passed.has_role(passing) else deny(denial, passed)

    return check


def _passing(
    required: RequiredRole, roles: Roles | None, view: str
) -> tuple[Roles | None, frozenset[str]]:
    """Return the roles of an identity, and which of them pass: none without the roles of an app."""
    if roles is None:
        return None, frozenset()
    request = current_request()
    endpoint = None if request is None else request.endpoint
    return roles, required.passing(roles, endpoint or view)


def permission_check(permissions: Sequence[str]) -> Check:
    """Return the check that an identity has each of these permissions."""
    numbers = tuple(map(permission_number, permissions))
    needed = numbers[0] if len(numbers) == 1 else numbers

    def check(known: Identity | None) -> Identity | Answer | None:
        if known is not None and known.permits(needed):
            return None
        passed = require_identity(known)
        if type(passed) is Identity and not passed.permits(needed):
            return deny(_missing(permissions, passed), passed)
        return passed

    return check


def _missing(permissions: Sequence[str], identity: Identity) -> Denial:
    """Return the denial of an identity that lacks permissions."""
    missing = ", ".join(each for each in permissions if not identity.permits(each))
    message = f"Insufficient permissions. Required permission: {missing}"
    return Denial(403, message, "permission_missing", scope=tuple(permissions))


_CHECKS_OF_RIGHTS = (role_check(RequiredRole(()), "").__code__, permission_check(()).__code__)


def is_check_of_rights(check: object) -> bool:
    """Whether a check is one of `role_check` or `permission_check`."""
    return getattr(check, "__code__", None) in _CHECKS_OF_RIGHTS


def _without_identity(record: RequestRecord, request: Request, denial: Denial) -> Answer:
    """Answer a request without an identity: deny it, or answer OPTIONS with the methods."""
    exceeded = count_failure(record, denial, request)
    if exceeded is not None:
        return deny_limited(exceeded)
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
        for name in ("tenant_id", "user_id", "user_role"):
            request.__dict__.pop(name, None)
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
