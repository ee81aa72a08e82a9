"""Why a request is denied: one `Denial` for each reason."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from .. import errors
from ..errors import AuthError, KeysUnavailable, SessionsUnavailable


class Denial(NamedTuple):
    """Why a request is denied: the message for the client; the reason and detail for the log.

    The scope is that of `AuthError`: the permissions that are missing; empty for a missing role.
    """

    status: int
    message: str
    reason: str
    detail: str = ""
    scope: tuple[str, ...] | None = None
    retry_after: int | None = None  # seconds until the client may ask again


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
OTHER_TENANT = Denial(403, "Access to this resource is denied", "other_tenant")
OTHER_USER = Denial(403, "Access to this resource is denied", "other_user")


def error_of(denial: Denial) -> AuthError:
    """Return a denial as the error that is raised for it."""
    if denial.status == HTTPStatus.SERVICE_UNAVAILABLE:
        if denial.message == errors.SESSIONS_UNAVAILABLE:
            return SessionsUnavailable(denial.retry_after or 1, reason=denial.reason)
        return KeysUnavailable(denial.retry_after or 1)
    retry_after = denial.retry_after
    return AuthError(
        denial.message,
        denial.status,
        reason=denial.reason,
        headers=() if retry_after is None else [("Retry-After", str(retry_after))],
        scope=denial.scope,
    )


def bad_role(roles: Iterable[str]) -> Denial:
    """Return the denial of a role header that names none of the roles."""
    return Denial(400, f"Role must be one of: {', '.join(roles)}", "role_invalid")
