"""What a denial looks like: one JSON form for every status, as an exception or as a pair.

While Flask dispatches a request, a denial is raised as `AuthError`, which renders itself. A view
that is called directly returns the pair ``({"error": ..., "message": ...}, status)``.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import HTTPException, TooManyRequests, default_exceptions
from werkzeug.exceptions import ServiceUnavailable as HTTPServiceUnavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from ._core import Decision

TITLES = {
    400: "Invalid request",
    401: "Unauthorized",
    403: "Forbidden",
    429: "Rate limit exceeded",
    500: "Internal server error",
    503: "Service unavailable",
}

CREDENTIALS_REQUIRED = "Bearer token or X-Tenant-ID and X-User-ID headers required"
TOKEN_EXPIRED = "Token expired"  # noqa: S105 - an answer, not a secret
TOKEN_INVALID = "Invalid token"  # noqa: S105 - an answer, not a secret
TENANT_ID_INVALID = "Tenant ID must be valid UUID"
USER_ID_INVALID = "User ID must be valid UUID"
KEYS_UNAVAILABLE = "Tokens cannot be verified at the moment, try again later"
AUTHENTICATION_FAILED = "Authentication could not be completed"

# RFC 6750, section 3: no error code for a request without a token, "invalid_token" for an invalid
# one.
_CHALLENGE = 'Bearer realm="api"'
_TOKEN_MESSAGES = frozenset({TOKEN_EXPIRED, TOKEN_INVALID})


class ConfigurationError(ValueError):
    """The app's configuration is not valid. The message names the key and what to write instead."""


def challenge(message: str) -> str:
    """Return the WWW-Authenticate value of a 401 with this message (RFC 6750, section 3)."""
    if message in _TOKEN_MESSAGES:
        return f'{_CHALLENGE}, error="invalid_token", error_description="{message}"'
    return _CHALLENGE


def create_auth_response(message: str, status_code: int = 401) -> tuple[dict[str, str], int]:
    """Return the documented answer of a denial, ready to be returned by a view.

    :param message: the text for the client.
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
    """A denial, raised. It renders itself as the documented JSON, so it needs no error handler.

    It is an instance of werkzeug's exception of its status as well (`Unauthorized`, `Forbidden`),
    so that error handlers of the status are called, as for any other HTTP exception.

    :param message: the text for the client.
    :param status_code: an HTTP error status; 401 also sends ``WWW-Authenticate`` (RFC 6750).
    :param reason: why, as one stable word for the audit log.
    :raises TypeError, ValueError: as `create_auth_response`.
    """

    # The class as it was written, on the classes that `_class_of` makes.
    _written: type[AuthError] | None = None

    def __init__(
        self, message: str, status_code: int = 401, *, reason: str = "denied_by_app"
    ) -> None:
        body, code = create_auth_response(message, status_code)
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a str, not {type(reason).__name__}")
        # Flask looks for handlers by the `code` and the bases of the class, not of the object.
        self.__class__ = _class_of(type(self), code)
        super().__init__(description=message)
        self.code: int = code
        self.reason = str(reason)
        self._body = body

    def __reduce__(self) -> tuple[Any, ...]:
        # Made without __init__: a subclass of an app may have other arguments.
        return _made_again, (self._written or type(self), self.code, self.args), self.__getstate__()

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    @property
    def message(self) -> str:
        """The text for the client."""
        return self._body["message"]

    @property
    def status_code(self) -> int:
        """The HTTP status of the answer."""
        return self.code

    @property
    def data(self) -> dict[str, str]:
        """The body as a dict: where Flask-RESTful and libraries like it look for it."""
        return dict(self._body)

    def get_body(
        self, environ: WSGIEnvironment | None = None, scope: dict[str, Any] | None = None
    ) -> str:
        """Return the documented JSON."""
        return json.dumps(self._body)

    def get_headers(
        self, environ: WSGIEnvironment | None = None, scope: dict[str, Any] | None = None
    ) -> list[tuple[str, str]]:
        """Return the content type and what the status requires beside it."""
        return [("Content-Type", "application/json"), *self.required_headers()]

    def required_headers(self) -> list[tuple[str, str]]:
        """Return the header fields that an answer with this status needs, whatever its body is."""
        if self.code == HTTPStatus.UNAUTHORIZED:
            return [("WWW-Authenticate", challenge(self.message))]
        return []

    def __str__(self) -> str:
        return self.message


def _made_again(written: type[AuthError], status: int, args: tuple[Any, ...]) -> AuthError:
    """Return a new error for pickle and copy, which set its attributes afterwards."""
    made = _class_of(written, status)
    return made.__new__(made, *args)


def _class_of(written: type[AuthError], status: int) -> type[AuthError]:
    """Return the class of an error and a status: also a subclass of werkzeug's for that status."""
    written = written._written or written
    if getattr(written, "code", None) == status:
        return written
    made: dict[int, type[AuthError]] | None = vars(written).get("_made")
    if made is None:
        made = written._made = {}  # type: ignore[attr-defined]
    if status not in made:
        base = default_exceptions.get(status, AuthError)
        bases = (written,) if issubclass(written, base) else (written, base)
        names = ("__module__", "__qualname__", "__doc__")
        kept = {name: getattr(written, name) for name in names}
        made[status] = type(
            written.__name__, bases, {**kept, "code": status, "_written": written, "_made": None}
        )
    return made[status]


class RateLimitExceeded(AuthError, TooManyRequests):  # noqa: N818 - as Flask-Limiter names it
    """The 429 of a request that a limit denied.

    :param message: the text for the client, which is the limit.
    :param decision: the decision of the limiter; None where it is not known.
    """

    def __init__(self, message: str, decision: Decision | None = None) -> None:
        super().__init__(message, 429, reason="rate_limit_exceeded")
        self.decision = decision

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"decision": None}  # it stays in its process

    def required_headers(self) -> list[tuple[str, str]]:
        """Return ``Retry-After`` (RFC 6585, section 4)."""
        if self.decision is None:
            return []
        return [("Retry-After", str(self.decision.retry_after))]


class KeysUnavailable(AuthError, HTTPServiceUnavailable):  # noqa: N818 - as RateLimitExceeded
    """The 503 of a request whose token cannot be verified, because the keys are not there yet.

    :param retry_after: in how many seconds the keys are looked for again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(KEYS_UNAVAILABLE, 503, reason="keys_unavailable")
        self.seconds = retry_after

    def required_headers(self) -> list[tuple[str, str]]:
        """Return ``Retry-After`` (RFC 9110, section 10.2.3)."""
        return [("Retry-After", str(self.seconds))]
