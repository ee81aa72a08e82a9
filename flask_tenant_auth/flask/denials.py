"""Why a request is denied, and the one place that tells it to the log and to receivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .. import errors
from ..audit import log_refused
from ..errors import AuthError, RateLimitExceeded
from ..signals import rate_limit_exceeded, request_denied
from .state import current_app

if TYPE_CHECKING:
    from flask import Flask, Request

    from .._core import Decision, Identity, RequestRecord


class Denial(NamedTuple):
    """Why a request is nobody's: what the client is told, and what the log is."""

    status: int
    message: str
    reason: str
    detail: str = ""


NO_CREDENTIALS = Denial(401, errors.CREDENTIALS_REQUIRED, "no_credentials")
STRAY_BEARER = Denial(401, errors.TOKEN_INVALID, "bearer_without_token")
UNTRUSTED_HEADERS = Denial(
    401,
    errors.CREDENTIALS_REQUIRED,
    "identity_headers_not_trusted",
    "X-Tenant-ID, X-User-ID or X-User-Role from an address that is not in AUTH_TRUSTED_GATEWAYS",
)
BAD_TENANT_ID = Denial(400, errors.TENANT_ID_INVALID, "tenant_id_invalid")
BAD_USER_ID = Denial(400, errors.USER_ID_INVALID, "user_id_invalid")
BAD_ROLE = Denial(400, errors.ROLE_INVALID, "role_invalid")
OTHER_TENANT = Denial(403, "Access to this resource is denied", "other_tenant")
OTHER_USER = Denial(403, "Access to this resource is denied", "other_user")


def tell_of_denial(
    denial: Denial,
    request: Request | None,
    record: RequestRecord | None,
    identity: Identity | None = None,
) -> None:
    """Tell the log and the receivers of `request_denied`, and keep the reason for the audit log.

    :param request: the request that is denied; None outside of one.
    :param record: what is known of that request.
    :param identity: whose it is, where its credentials were good.
    """
    if record is not None:
        record.reason = denial.reason
    log_refused(request, denial.status, denial.message, denial.reason, denial.detail, identity)
    if request_denied.receivers and current_app:
        request_denied.send(
            current_app._get_current_object(),
            status=denial.status,
            message=denial.message,
            reason=denial.reason,
        )


def error_of(denial: Denial) -> AuthError:
    """Return a denial as the error that is raised for it."""
    return AuthError(denial.message, denial.status, reason=denial.reason)


def exceeded(
    app: Flask,
    request: Request | None,
    record: RequestRecord | None,
    decision: Decision,
    identity: Identity | None,
) -> RateLimitExceeded:
    """Tell in the same way of a limit that denies a request; return the error that says so."""
    error = RateLimitExceeded(str(decision.rate), decision)
    if record is not None:
        record.reason = error.reason
    log_refused(request, error.code, error.message, error.reason, identity=identity)
    if rate_limit_exceeded.receivers:
        rate_limit_exceeded.send(app, decision=decision, identity=identity)
    return error
