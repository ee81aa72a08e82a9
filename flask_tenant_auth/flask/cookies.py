"""The functions that put tokens into cookies, and delete them there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug.http import dump_cookie
from werkzeug.wrappers import Response

from ..errors import ConfigurationError
from ..sessions.cookies import Names
from .records import current_request, record_of
from .sessions import SessionTokens

if TYPE_CHECKING:
    from flask import Request

    from .state import AppState

# What browsers keep of a cookie with its attributes (RFC 6265, section 6.1: at least 4,096 bytes).
_MOST_BYTES = 4093


def set_session_cookies(response: Response, tokens: SessionTokens) -> None:
    """Put the tokens of a session into cookies of a response, which no cache may keep then.

    :param response: the response of the current request.
    :param tokens: what `create_session` or `refresh_session` has returned.
    :raises ConfigurationError: where AUTH_TOKEN_LOCATIONS has no cookies.
    :raises ValueError: for an access token that is too long for a cookie.
    :raises TypeError: for arguments of other types.
    :raises RuntimeError: outside a request.
    """
    _require_response(response)
    if not isinstance(tokens, SessionTokens):
        raise TypeError(f"tokens must be SessionTokens, not {type(tokens).__name__}")
    state, names, path = _of_request("set_session_cookies")
    seconds = int(state.settings.auth_session_days * 86_400)
    access = _cookie(state, names, names.access, tokens.access_token, "/", tokens.expires_in)
    if not fits(access):
        raise ValueError(
            f"tokens.access_token makes a cookie of {len(access)} bytes, and browsers keep "
            f"{_MOST_BYTES}: give the session fewer claims and permissions (AUTH_PERMISSIONS "
            "grants them to a role without naming them in the token), or remove cookies from "
            "AUTH_TOKEN_LOCATIONS"
        )
    refresh = _cookie(state, names, names.refresh, tokens.refresh_token, path, seconds)
    _add(response, access, refresh)


def delete_session_cookies(response: Response) -> None:
    """Delete the cookies of a session in the browser. It does not end the session.

    :param response: the response of the current request.
    :raises ConfigurationError: where AUTH_TOKEN_LOCATIONS has no cookies.
    :raises TypeError: for what is no response.
    :raises RuntimeError: outside a request.
    """
    _require_response(response)
    state, names, path = _of_request("delete_session_cookies")
    _add(
        response,
        _cookie(state, names, names.access, "", "/", 0),
        _cookie(state, names, names.refresh, "", path, 0),
    )


def set_console_cookie(response: Response, token: str, seconds: int) -> bool:
    """Put an access token into the cookie of the console, which no cache may keep then.

    :param seconds: how long the token lives on; 0 deletes the cookie.
    :return: False for a token that is too long for a cookie.
    """
    request = current_request()
    assert request is not None  # noqa: S101 - a view of the console calls it
    state = record_of(request).state
    cookies = state.console_cookies
    assert cookies is not None  # noqa: S101 - likewise
    names = cookies.names(request.environ, development=state.development)
    path = console_path(state, request)
    cookie = cookie_line(names, names.console, token, path, seconds, "Strict")
    if not fits(cookie):
        return False
    _add(response, cookie)
    return True


def console_path(state: AppState, request: Request) -> str:
    """Return the path of the console, as browsers see it.

    It begins with one slash, whatever the server says: with two, a browser would take what follows
    for a host.
    """
    root = request.environ.get("SCRIPT_NAME", "").encode("latin-1", "replace").strip(b"/")
    below = f"/{quote(root)}" if root else ""
    return f"{below}{state.settings.auth_console_route}"


def _require_response(response: object) -> None:
    if not isinstance(response, Response):
        raise TypeError(f"response must be a Response, not {type(response).__name__}")


def _of_request(caller: str) -> tuple[AppState, Names, str]:
    """Return the state, the names of the cookies and the path of the session routes."""
    request = current_request()
    if request is None:
        raise RuntimeError(f"{caller}() was called outside a request")
    state = record_of(request).state
    cookies, routes = state.cookies, state.settings.auth_session_routes
    if cookies is None or routes is None:
        raise ConfigurationError(f"{caller}() needs AUTH_TOKEN_LOCATIONS with cookies")
    names = cookies.names(request.environ, development=state.development)
    # An app that is mounted below a path has its routes there.
    return state, names, request.environ.get("SCRIPT_NAME", "").rstrip("/") + routes


def _cookie(state: AppState, names: Names, name: str, value: str, path: str, seconds: int) -> str:
    """Return the value of a Set-Cookie header; 0 seconds delete the cookie."""
    same_site = state.settings.auth_cookie_samesite
    return cookie_line(names, name, value, path, seconds, same_site)


def cookie_line(
    names: Names, name: str, value: str, path: str, seconds: int, same_site: str
) -> str:
    """Return the value of a Set-Cookie header; 0 seconds delete the cookie."""
    if same_site == "None" and not names.secure:
        same_site = "Lax"  # browsers drop SameSite=None without Secure
    return dump_cookie(
        name,
        value,
        max_age=seconds,
        expires=0 if seconds == 0 else None,
        path=path,
        secure=names.secure,
        httponly=True,
        samesite=same_site,
        sync_expires=False,
        max_size=0,
    )


def fits(cookie: str) -> bool:
    """Whether browsers keep a cookie of this length."""
    return len(cookie) <= _MOST_BYTES


def _add(response: Response, *cookies: str) -> None:
    for cookie in cookies:
        response.headers.add("Set-Cookie", cookie)
    response.headers["Cache-Control"] = "no-store"
