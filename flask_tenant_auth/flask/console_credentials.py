"""The access token that a request brings for the console: in its cookie, or in the form that opens.

Only the routes of the console look for it, so it proves nothing to any other route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from flask import Request

    from .state import AppState

ENDPOINT = "tenant_auth_console"
OPEN = f"{ENDPOINT}_open"
SESSIONS = f"{ENDPOINT}_sessions"
END = f"{ENDPOINT}_end"
END_ALL = f"{ENDPOINT}_end_all"
CLOSE = f"{ENDPOINT}_close"
_WITH_COOKIE = frozenset({ENDPOINT, SESSIONS, END, END_ALL})

# No cookie holds a longer token, and no form of the console is longer.
_MOST_BYTES = 16_384
_SCHEME = "bearer "


def is_opening(request: Request) -> bool:
    """Whether a request opens the console with the token in its form."""
    return request.endpoint == OPEN


def token_in_form(request: Request) -> str:
    """Return the token that the form of a request has; empty without one.

    What people copy may begin with the word Bearer.
    """
    text = field_of(request, "token").strip()
    return text[len(_SCHEME) :].strip() if text.lower().startswith(_SCHEME) else text


def field_of(request: Request, name: str) -> str:
    """Return a field of the form of a request; empty where it is not there, or there twice."""
    length = request.content_length
    if length is None or length > _MOST_BYTES:
        return ""
    try:
        values = request.form.getlist(name)
    except (HTTPException, UnicodeDecodeError):  # the app allows less, or these are no characters
        return ""
    return values[0] if len(values) == 1 else ""


def token_in_cookie(state: AppState, request: Request) -> str | None:
    """Return the token in the cookie of the console, on the routes that it is for.

    :raises ValueError: for a request with two such cookies.
    """
    cookies = state.console_cookies
    if cookies is None or request.endpoint not in _WITH_COOKIE:
        return None
    return cookies.console_token(request.environ, development=state.development)


def brings_cookie(state: AppState, request: Request) -> bool:
    """Whether a request brings a cookie of the console, or two of them, where one counts."""
    try:
        return token_in_cookie(state, request) is not None
    except ValueError:
        return True
