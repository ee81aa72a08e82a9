"""What a denial looks like: one JSON form for every status, as an exception or as a pair.

While Flask dispatches a request, a denial is raised as `AuthError`, which renders itself: as the
documented JSON or, with AUTH_PROBLEM_JSON, as a problem (RFC 9457). A view that is called directly
returns the pair ``({"error": ..., "message": ...}, status)``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

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

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"  # RFC 9457, section 6.1

CREDENTIALS_REQUIRED = "Bearer token or X-Tenant-ID and X-User-ID headers required"
TOKEN_EXPIRED = "Token expired"  # noqa: S105 - an answer, not a secret
TOKEN_INVALID = "Invalid token"  # noqa: S105 - an answer, not a secret
TOKEN_REVOKED = "Token revoked"  # noqa: S105 - an answer, not a secret
SESSION_ENDED = "Session ended"
SESSION_NOT_FOUND = "Session not found"
SESSION_RETRY = "The session is being refreshed, try again"
REVOCATIONS_UNKNOWN = "revocations_unknown"
SESSIONS_UNAVAILABLE = "Sessions are not available at the moment, try again later"
ORIGIN_NOT_ALLOWED = "Origin not allowed"
TENANT_ID_INVALID = "Tenant ID must be valid UUID"
USER_ID_INVALID = "User ID must be valid UUID"
KEYS_UNAVAILABLE = "Tokens cannot be verified at the moment, try again later"
AUTHENTICATION_FAILED = "Authentication could not be completed"


def message_of(reason: str, *, expired: bool) -> str:
    """Return what a client is told of an invalid token: no more than what it has to do."""
    if expired or reason == "refresh_first":
        return TOKEN_EXPIRED
    return TOKEN_REVOKED if reason == "token_revoked" else TOKEN_INVALID


# RFC 6750, section 3: no error code for a request without a token, "invalid_token" for an invalid
# one.
_CHALLENGE = 'Bearer realm="api"'
_TOKEN_MESSAGES = frozenset({TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_REVOKED})
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6750, section 3

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.1
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, section 5.5
_FIELDS_OF_THE_BODY = frozenset({"content-type", "content-length"})


class ConfigurationError(ValueError):
    """The app's configuration is not valid. The message names the key and what to write instead."""


def challenge(message: str) -> str:
    """Return the WWW-Authenticate value of a 401 with this message (RFC 6750, section 3)."""
    if message in _TOKEN_MESSAGES:
        return f'{_CHALLENGE}, error="invalid_token", error_description="{message}"'
    return _CHALLENGE


def is_scope_token(text: str) -> bool:
    """Whether a text can stand in the ``scope`` of a challenge (RFC 6750, section 3)."""
    return _SCOPE_TOKEN.fullmatch(text) is not None


def insufficient_scope(scope: Iterable[str]) -> str:
    """Return the WWW-Authenticate value of a 403 (RFC 6750, section 3.1).

    :param scope: the permissions that are needed; none where a role is needed.
    """
    needed = " ".join(scope)
    named = f', scope="{needed}"' if needed else ""
    return f'{_CHALLENGE}, error="insufficient_scope"{named}'


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
    :param headers: further header fields of the answer, a mapping or pairs. One that the status
        needs anyway is replaced.
    :param scope: of a 403: the permissions that are needed, which ``WWW-Authenticate`` then names
        (RFC 6750, section 3.1); empty where a role is needed. None: it is not for want of either.
    :raises TypeError, ValueError: as `create_auth_response`, and for a reason, headers or a scope
        that cannot be sent.
    """

    # The class as it was written, on the classes that `_class_of` makes.
    _written: type[AuthError] | None = None
    # Whether the running app has set AUTH_PROBLEM_JSON. `flask.answers`, which knows it, sets this.
    app_writes_problems: ClassVar[Callable[[], bool]] = staticmethod(lambda: False)

    def __init__(
        self,
        message: str,
        status_code: int = 401,
        *,
        reason: str = "denied_by_app",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        scope: Iterable[str] | None = None,
    ) -> None:
        body, code = create_auth_response(message, status_code)
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a str, not {type(reason).__name__}")
        added = _header_fields(headers)
        needed = _scope(scope, code)
        # Flask looks for handlers by the `code` and the bases of the class, not of the object.
        self.__class__ = _class_of(type(self), code)
        super().__init__(description=message)
        self.code: int = code
        self.reason = str(reason)
        self.scope = needed
        # Whether this error writes a problem (RFC 9457); None: as the running app has set it.
        self.problem_json: bool | None = None
        self._added_headers = added
        self._body = body
        self._data: dict[str, Any] | None = None

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
    def data(self) -> dict[str, Any]:
        """The documented JSON as a dict: what Flask-RESTful and Flask-RESTX write as the body.

        Flask-RESTX takes it instead of what a handler returns. So a handler may set it.
        """
        return dict(self._body if self._data is None else self._data)

    @data.setter
    def data(self, data: Mapping[str, Any]) -> None:
        self._data = dict(data)

    @property
    def problem(self) -> dict[str, Any]:
        """The problem (RFC 9457) that AUTH_PROBLEM_JSON writes."""
        return {
            "type": "about:blank",  # the title is then the phrase of the status (section 4.2.1)
            "title": HTTPStatus(self.code).phrase,
            "status": self.code,
            "detail": self.message,
            "reason": self.reason,
        }

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header fields that the answer needs, whatever its body is: for an app's own handler.

        Those of the status, such as ``WWW-Authenticate`` or ``Retry-After``, and those that the
        error was made with.
        """
        added = {name.lower() for name, _ in self._added_headers}
        required = (each for each in self.required_headers() if each[0].lower() not in added)
        return (*required, *self._added_headers)

    @property
    def content_type(self) -> str:
        """The media type of the body."""
        return PROBLEM_TYPE if self._writes_problem() else JSON_TYPE

    def _writes_problem(self) -> bool:
        return AuthError.app_writes_problems() if self.problem_json is None else self.problem_json

    def get_body(
        self, environ: WSGIEnvironment | None = None, scope: dict[str, Any] | None = None
    ) -> str:
        """Return the documented JSON or, with AUTH_PROBLEM_JSON, the problem."""
        if not self._writes_problem():
            return json.dumps(self._body)
        return json.dumps(self.problem)

    def get_headers(
        self, environ: WSGIEnvironment | None = None, scope: dict[str, Any] | None = None
    ) -> list[tuple[str, str]]:
        """Return the content type and what the answer needs beside it."""
        return [("Content-Type", self.content_type), *self.headers]

    def required_headers(self) -> list[tuple[str, str]]:
        """Return the header fields that an answer with this status needs."""
        if self.code == HTTPStatus.UNAUTHORIZED:
            return [("WWW-Authenticate", challenge(self.message))]
        if self.scope is not None:
            return [("WWW-Authenticate", insufficient_scope(self.scope))]
        return []

    def __str__(self) -> str:
        return self.message


def _header_fields(headers: Any) -> tuple[tuple[str, str], ...]:
    """Return header fields as pairs, after a check that they can be sent.

    :raises TypeError, ValueError: the message says what is wrong with them.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise TypeError(f"headers must be a mapping or pairs, not {type(headers).__name__}")
    fields = tuple(tuple(pair) if isinstance(pair, tuple | list) else (pair,) for pair in pairs)
    for field in fields:
        if len(field) != 2 or not all(isinstance(part, str) for part in field):
            raise TypeError(f"headers must be pairs of a name and a value, both str, not {field!r}")
        name, value = field
        if _FIELD_NAME.fullmatch(name) is None:
            raise ValueError(f"headers: {name!r} is no name of a header field")
        if name.lower() in _FIELDS_OF_THE_BODY:
            raise ValueError(f"headers must not hold {name}, which the body decides")
        if _FIELD_VALUE.fullmatch(value) is None:
            raise ValueError(f"headers: the value of {name} has characters that cannot be sent")
    return fields


def _scope(scope: Any, status: int) -> tuple[str, ...] | None:
    """Return a scope as a tuple, after a check that it can be sent.

    :raises TypeError, ValueError: the message says what is wrong with it.
    """
    if scope is None:
        return None
    if isinstance(scope, str | bytes) or not isinstance(scope, Iterable):
        raise TypeError(f"scope must be a tuple of permissions, not {type(scope).__name__}")
    needed = tuple(scope)
    for each in needed:
        if not isinstance(each, str):
            raise TypeError(f"scope must hold str, not {type(each).__name__}")
        if not is_scope_token(each):
            raise ValueError(
                f"scope holds {each!r}: a permission there is printable ASCII without spaces, "
                "quotes and backslashes"
            )
    if status != HTTPStatus.FORBIDDEN:
        raise ValueError(f"scope belongs to the status 403, not {status}")
    return needed


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


class ConcurrencyLimitExceeded(AuthError, TooManyRequests):  # noqa: N818 - as RateLimitExceeded
    """The 429 of a request whose client has as many requests running as a limit lets run.

    It has no ``Retry-After``: nobody knows when one of them ends.

    :param limit: how many may run at once.
    :raises TypeError: for what is no int.
    """

    def __init__(self, limit: int) -> None:
        if not isinstance(limit, int) or isinstance(limit, bool):
            raise TypeError(f"limit must be an int, not {type(limit).__name__}")
        super().__init__(f"{limit} at once", 429, reason="concurrency_limit_exceeded")
        self.limit = limit


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


class SessionsUnavailable(AuthError, HTTPServiceUnavailable):  # noqa: N818 - as RateLimitExceeded
    """The 503 of a log in, a refresh or a revocation while the store of sessions is away.

    It is also the answer to a token while it is not known what was revoked.

    :param retry_after: in how many seconds the client may ask again.
    """

    def __init__(self, retry_after: int = 2, *, reason: str = "session_store_unavailable") -> None:
        super().__init__(SESSIONS_UNAVAILABLE, 503, reason=reason)
        self.seconds = retry_after

    def required_headers(self) -> list[tuple[str, str]]:
        """Return ``Retry-After`` (RFC 9110, section 10.2.3)."""
        return [("Retry-After", str(self.seconds))]
