"""What a refusal looks like: one JSON form for every status, as a pair or as an exception.

Views and decorators return the pair ``({"error": ..., "message": ...}, status)``. Where there is
nobody to return to, the same is raised as `AuthError`, which renders itself.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

TITLES = {
    400: "Invalid request",
    401: "Unauthorized",
    403: "Forbidden",
    429: "Rate limit exceeded",
    500: "Internal server error",
}

CREDENTIALS_REQUIRED = "Bearer token or X-Tenant-ID and X-User-ID headers required"
TOKEN_EXPIRED = "Token expired"  # noqa: S105 - no secret but an answer
TOKEN_INVALID = "Invalid token"  # noqa: S105 - no secret but an answer
TENANT_ID_INVALID = "Tenant ID must be valid UUID"
USER_ID_INVALID = "User ID must be valid UUID"
ROLE_INVALID = "Role must be one of: user, admin"
AUTHENTICATION_FAILED = "Authentication could not be completed"

# RFC 6750, section 3: no error code for a request without a token, "invalid_token" for a bad one.
_CHALLENGE = 'Bearer realm="api"'
_TOKEN_MESSAGES = frozenset({TOKEN_EXPIRED, TOKEN_INVALID})


class ConfigurationError(ValueError):
    """The app's configuration cannot work. The message names the key and says what to do."""


def challenge(message: str) -> str:
    """Return the WWW-Authenticate value of a 401 with this message (RFC 6750, section 3)."""
    if message in _TOKEN_MESSAGES:
        return f'{_CHALLENGE}, error="invalid_token", error_description="{message}"'
    return _CHALLENGE


def create_auth_response(message: str, status_code: int = 401) -> tuple[dict[str, str], int]:
    """Return the documented answer of a refusal, ready to be returned by a view.

    :param message: what the client is told.
    :param status_code: an HTTP error status, 400 to 599.
    :return: ``({"error": <the status' title>, "message": message}, status_code)``.
    :raises TypeError: for a message that is no str or a status that is no int.
    :raises ValueError: for a number that is no HTTP error status (RFC 9110, section 15).
    """
    if not isinstance(message, str):
        raise TypeError(f"message must be a str, not {type(message).__name__}")
    if not isinstance(status_code, int) or isinstance(status_code, bool):
        raise TypeError(f"status_code must be an int, not {type(status_code).__name__}")
    return {"error": _title(status_code), "message": message}, int(status_code)


def _title(status_code: int) -> str:
    title = TITLES.get(status_code)
    if title is not None:
        return title
    try:
        status = HTTPStatus(status_code)
    except ValueError:
        status = None
    if status is None or status < HTTPStatus.BAD_REQUEST:
        raise ValueError(f"status_code must be an HTTP error status, not {status_code}")
    return status.phrase


class AuthError(HTTPException):
    """A refusal, raised. It renders itself as the documented JSON, so it needs no error handler.

    :param message: what the client is told.
    :param status_code: an HTTP error status; 401 also sends ``WWW-Authenticate`` (RFC 6750).
    :raises TypeError, ValueError: as `create_auth_response`.
    """

    def __init__(self, message: str, status_code: int = 401) -> None:
        body, code = create_auth_response(message, status_code)
        super().__init__(description=message)
        self.code: int = code
        self._body = body

    def __reduce__(self) -> tuple[type[AuthError], tuple[str, int]]:
        return type(self), (self.message, self.code)

    @property
    def message(self) -> str:
        """What the client is told."""
        return self._body["message"]

    @property
    def status_code(self) -> int:
        """The HTTP status of the answer."""
        return self.code

    @property
    def data(self) -> dict[str, str]:
        """The body as a dict: where Flask-RESTful and its kin look for it."""
        return dict(self._body)

    def get_body(
        self, environ: WSGIEnvironment | None = None, scope: dict[str, Any] | None = None
    ) -> str:
        """Return the documented JSON."""
        return json.dumps(self._body)

    def get_headers(
        self, environ: WSGIEnvironment | None = None, scope: dict[str, Any] | None = None
    ) -> list[tuple[str, str]]:
        """Return the content type and, for a 401, the challenge."""
        headers = [("Content-Type", "application/json")]
        if self.code == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", challenge(self.message)))
        return headers

    def __str__(self) -> str:
        return self.message
