"""Who sent a request: what its token, or the identity headers of a gateway, prove."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from .. import errors
from .._core import Identity, InvalidToken, RequestRecord, parse_bearer
from ..audit import logger
from ..identity.denials import NO_CREDENTIALS, STRAY_BEARER, UNTRUSTED_HEADERS, Denial
from ..identity.headers import IDENTITY_HEADERS, read_identity_headers
from ..sessions.origins import problem_of_own_page
from .api_key_check import api_key_in, outcome_of_api_key
from .console_credentials import brings_cookie, is_opening, token_in_cookie, token_in_form
from .denials import detail_of
from .state import AppState

if TYPE_CHECKING:
    from flask import Request

# A bearer scheme without a token that can be read: alone, or in "Basic x,Bearer y", into which a
# server joins two Authorization lines (RFC 9110, section 5.2).
_STRAY_BEARER = re.compile(r"(^|,)\s*bearer(\s|$)", re.IGNORECASE)
_UNREAD = "it is not known what was revoked; see the log of the store of sessions"
_NO_KEYS = "the keys that may verify the token are not there; see the log of their fetches"


def outcome_of(record: RequestRecord, request: Request) -> Identity | Denial:
    """Authenticate a request, once. It raises nothing, and binds no identity to the request."""
    outcome: Identity | Denial | None = record.outcome
    if outcome is None:
        state = record.state
        try:
            authorization = request.environ.get("HTTP_AUTHORIZATION")
            # A key is no cookie: only the header may bring one.
            api_key = api_key_in(state, authorization)
            if api_key is not None:
                outcome = outcome_of_api_key(state, api_key)
            else:
                outcome = _outcome_of_token(record, request, authorization)
        except errors.KeysUnavailable as error:
            outcome = Denial(503, error.message, error.reason, _NO_KEYS, retry_after=error.seconds)
        except errors.SessionsUnavailable as error:
            outcome = Denial(503, error.message, error.reason, _UNREAD, retry_after=error.seconds)
        except Exception as error:  # noqa: BLE001 - the client gets a 500 without details
            outcome = _failure(error)
        record.outcome = outcome
    return outcome


def _outcome_of_token(
    record: RequestRecord, request: Request, authorization: str | None
) -> Identity | Denial:
    state: AppState = record.state
    if state.console_cookies is not None:
        of_console = _of_console(state, request, authorization)
        if isinstance(of_console, Denial):
            return of_console
        if of_console is not None:
            proved = state.authenticate(of_console)
            if isinstance(proved, Identity):
                return proved
            return _without_valid_token(state, request, of_console, proved)
    credentials: str | Denial | None = authorization
    if state.cookies is not None:
        credentials = _with_cookies(state, request, authorization)
    if isinstance(credentials, Denial):
        return credentials
    invalid = record.invalid_token
    if invalid is not None and invalid.reason != errors.REVOCATIONS_UNKNOWN:
        proved = invalid
    else:
        proved = state.authenticate(credentials)
    if isinstance(proved, Identity):
        return proved
    return _without_valid_token(state, request, credentials, proved)


def token_of(state: AppState, request: Request) -> str | None:
    """Return the bearer token that a request is authenticated by; None: it brings none."""
    authorization = request.environ.get("HTTP_AUTHORIZATION")
    credentials = None
    if state.console_cookies is not None:
        credentials = _of_console(state, request, authorization)
    if credentials is None:
        credentials = _with_cookies(state, request, authorization)
    return parse_bearer(credentials) if isinstance(credentials, str) else None


def identity_of(record: RequestRecord, request: Request) -> Identity | None:
    """Return the identity that a request's credentials prove, bound or not."""
    outcome = outcome_of(record, request)
    return outcome if isinstance(outcome, Identity) else None


def denial_of_origin(
    state: AppState, environ: Mapping[str, Any], *, always: bool = False
) -> Denial | None:
    """Return the denial of a request that a browser sends from an origin that is not listed."""
    problem = None if state.origins is None else state.origins.problem(environ, always=always)
    if problem is None:
        return None
    return Denial(403, errors.ORIGIN_NOT_ALLOWED, "origin_not_allowed", problem)


def cookie_repeated() -> Denial:
    """Return the denial of a request with two cookies of one name.

    One of them may be from a page of another host of this site. Nobody can say which.
    """
    detail = "the request brings two cookies of one name"
    return Denial(401, errors.TOKEN_INVALID, "cookie_repeated", detail)


def _of_console(
    state: AppState, request: Request, authorization: str | None
) -> str | Denial | None:
    """Return the credentials that a request brings for the console alone.

    The form that opens it is asked for nothing else, so no cookie of before speaks for another
    token. Elsewhere bearer credentials in the Authorization header come first.
    """
    if is_opening(request):
        token: str | None = token_in_form(request)
    elif _has_bearer(authorization):
        return None
    else:
        try:
            token = token_in_cookie(state, request)
        except ValueError:
            return cookie_repeated()
    if token is None:
        return None
    denial = denial_of_other_page(request.environ)
    return f"Bearer {token}" if denial is None else denial


def is_by_console_cookie(state: AppState, request: Request) -> bool:
    """Whether the cookie of the console is what a request is authenticated by."""
    authorization = request.environ.get("HTTP_AUTHORIZATION")
    return not _has_bearer(authorization) and brings_cookie(state, request)


def _has_bearer(authorization: str | None) -> bool:
    return authorization is not None and _STRAY_BEARER.search(authorization) is not None


def denial_of_other_page(environ: Mapping[str, Any]) -> Denial | None:
    """Return the denial of a request for the console that a page of another origin has sent."""
    problem = problem_of_own_page(environ)
    if problem is None:
        return None
    return Denial(403, errors.ORIGIN_NOT_ALLOWED, "origin_not_allowed", problem)


def _with_cookies(
    state: AppState, request: Request, authorization: str | None
) -> str | Denial | None:
    """Return the credentials of a request that may bring a token in a cookie.

    Bearer credentials in the Authorization header come first. A cookie proves nothing in a request
    that its origin may not make: the hook before each request does not see all of them, such as the
    events of Flask-SocketIO.
    """
    cookies = state.cookies
    if cookies is None or _has_bearer(authorization):
        return authorization
    environ = request.environ
    try:
        token = cookies.access_token(environ, development=state.development)
    except ValueError:
        return cookie_repeated()
    if token is None:
        return authorization
    denial = denial_of_origin(state, environ, always=hasattr(request, "event"))
    return f"Bearer {token}" if denial is None else denial


def _without_valid_token(
    state: AppState, request: Request, authorization: str | None, invalid: InvalidToken | None
) -> Identity | Denial:
    """Authenticate a request without a valid token: by its headers, or not at all."""
    if invalid is not None:
        token = parse_bearer(authorization or "")
        state.rules.hints.about_invalid_token(invalid.reason, token or "")
        state.look_for_key(invalid, token)
        message = errors.message_of(invalid.reason, expired=invalid.expired)
        return Denial(401, message, invalid.reason, detail_of(invalid, token or ""))
    if _has_bearer(authorization):
        return STRAY_BEARER
    if state.trusts_identity_headers(peer_of(request)):
        parameter = partial(_parameter, request) if state.development else None
        return read_identity_headers(request.environ, state.roles, parameter)
    if any(name in request.environ for name in IDENTITY_HEADERS):
        return UNTRUSTED_HEADERS
    return NO_CREDENTIALS


def peer_of(request: Request) -> str:
    """Return the address that connected to the server.

    ProxyFix replaces REMOTE_ADDR with the address in X-Forwarded-For, and keeps the original.
    """
    original = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
    return cast("str", original.get("REMOTE_ADDR") or "")


def _parameter(request: Request, name: str) -> str | None:
    """Return a query parameter; several values as one with commas, which is no valid id."""
    try:
        values = request.args.getlist(name)
    except UnicodeDecodeError:  # octets in the query string that are no UTF-8
        return None
    return ",".join(values) if values else None


def _failure(error: Exception) -> Denial:
    """Log a fault of the authentication itself, without its text, which may quote the request."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{code.co_filename}:{traceback.tb_lineno} in {code.co_name}"
        traceback = traceback.tb_next
    logger.error("Authentication failed with %s at %s", type(error).__name__, place)
    detail = f"{type(error).__name__} while authenticating"
    return Denial(500, errors.AUTHENTICATION_FAILED, "internal_error", detail)
