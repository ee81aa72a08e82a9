"""The routes below AUTH_SESSION_ROUTES: refresh, log out, and the sessions of a user."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import flask

from .._core import Identity
from ..audit import logger
from ..config.session_settings import HEADERS
from ..errors import SESSION_ENDED, SESSION_NOT_FOUND, SessionsUnavailable
from ..identity.arguments import uuid_text
from ..identity.denials import Denial, error_of
from ..sessions.sessions import SessionDenied
from ..sessions.store import Session, StoreUnavailable
from .api_key_check import require_no_api_key
from .authentication import cookie_repeated, identity_of
from .context import get_tenant_context
from .cookies import delete_session_cookies, set_session_cookies
from .decorators import public_route, verify_tenant_context
from .denials import report_denial
from .own_routes import add_own_route
from .records import current_request, json_object_in, record_of
from .sessions import SessionInfo, SessionTokens, list_sessions, refresh_session, sessions_of
from .state import AppState

if TYPE_CHECKING:
    from flask import Request, Response
    from flask.app import Flask


Result = TypeVar("Result")


class _Given(NamedTuple):
    """The refresh token of a request."""

    token: str
    by_cookie: bool


def add_session_routes(app: Flask, state: AppState) -> None:
    """Add the routes to an app that sets AUTH_SESSION_ROUTES."""
    prefix = state.settings.auth_session_routes
    if prefix is None:
        return
    routes: tuple[tuple[str, str, str, Callable[..., Any]], ...] = (
        ("POST", "/refresh", "tenant_auth_refresh", _refresh),
        ("POST", "/logout", "tenant_auth_logout", _log_out),
        ("GET", "/sessions", "tenant_auth_sessions", _sessions),
        ("DELETE", "/sessions/<session_id>", "tenant_auth_end_session", _end_session),
    )
    for method, path, endpoint, view in routes:
        add_own_route(app, method, prefix + path, endpoint, view)


# --- The views ------------------------------------------------------------------------------------


@public_route
def _refresh() -> Response:
    """Answer new tokens: in cookies if the refresh token came in one, else in JSON."""
    try:
        given = _given_token(*_current())
    except ValueError:
        _deny(cookie_repeated())
    if given is None:
        _deny(Denial(401, SESSION_ENDED, "no_refresh_token"))
    tokens = refresh_session(given.token)
    if given.by_cookie:
        response = _json(_described(tokens))
        set_session_cookies(response, tokens)
        return response
    return _json(
        _described(tokens)
        | {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}
    )


@public_route
def _log_out() -> Response:
    """End each session that the tokens of the request name, and delete the cookies."""
    state, request = _current()
    named = _named_sessions(state, request)
    if not named:
        _deny(Denial(401, SESSION_ENDED, "no_session"))
    sessions = sessions_of(state)
    for session in named:
        _ask_store(state, partial(sessions.end, session, "logged_out"))
    response = _json(None, 204)
    if state.cookies is not None:
        delete_session_cookies(response)
    return response


@verify_tenant_context
def _sessions() -> Response:
    """Answer the sessions of the user that go on."""
    require_no_api_key("GET sessions")
    current = _identity().session_id
    return _json({"sessions": [_shown(each, current) for each in list_sessions(*_whose())]})


@verify_tenant_context
def _end_session(session_id: str) -> Response:
    """End a session of the user; one of another user is not found."""
    require_no_api_key("DELETE sessions")
    state, _ = _current()
    sessions = sessions_of(state)
    own = _ask_store(state, lambda: sessions.list(*_whose()))
    session = next((each for each in own if each.id == session_id.lower()), None)
    if session is None:
        _deny(Denial(404, SESSION_NOT_FOUND, "session_not_found"))
    _ask_store(state, lambda: sessions.end(session, "revoked"))
    return _json(None, 204)


# --- What the views are made of -------------------------------------------------------------------


def _current() -> tuple[AppState, Request]:
    request = current_request()
    assert request is not None  # noqa: S101 - Flask calls views inside a request
    return record_of(request).state, request


def _identity() -> Identity:
    """Return the identity that @verify_tenant_context has bound."""
    identity = record_of(_current()[1]).identity
    assert identity is not None  # noqa: S101
    return identity


def _whose() -> tuple[str, str]:
    """Return the tenant and the user of the request."""
    tenant_id, user_id = get_tenant_context()
    assert tenant_id is not None and user_id is not None  # noqa: S101, PT018
    return tenant_id, user_id


def _given_token(state: AppState, request: Request) -> _Given | None:
    """Return the refresh token of a request: of its JSON, or else of its cookie.

    Where AUTH_TOKEN_LOCATIONS has cookies alone, scripts get no token, and give none.

    :raises ValueError: for a request with two such cookies.
    """
    if HEADERS in state.settings.auth_token_locations:
        token = json_object_in(request).get("refresh_token")
        if isinstance(token, str):
            return _Given(token, by_cookie=False)
        if token is not None:
            _deny(Denial(400, "refresh_token must be text", "refresh_token_invalid"))
    if state.cookies is None:
        return None
    # ValueError: two of one name.
    token = state.cookies.refresh_token(request.environ, development=state.development)
    return None if token is None else _Given(token, by_cookie=True)


def _named_sessions(state: AppState, request: Request) -> list[Session]:
    """Return the sessions that the tokens of a request name, whether they go on or not."""
    sessions = sessions_of(state)
    found: dict[str, Session] = {}
    try:
        given = _given_token(state, request)
    except ValueError:
        # A host of the same site may have set one, and is not to keep anybody from logging out.
        given = None
    if given is not None:
        try:
            session = _ask_store(state, lambda: sessions.session_of(given.token))
            found[session.id] = session
        except SessionDenied as denied:
            logger.info("A refresh token names no session to log out from: %s", denied.reason)
    identity = identity_of(record_of(request), request)
    own = None if identity is None else _session_of_identity(state, identity)
    if own is not None:
        found[own.id] = own
    return list(found.values())


def _session_of_identity(state: AppState, identity: Identity) -> Session | None:
    """Return the session of an access token. Another issuer may mean something else by `sid`."""
    try:
        session_id = uuid_text("sid", identity.session_id)
    except (TypeError, ValueError):
        return None
    session = _ask_store(state, lambda: sessions_of(state).store.read(session_id)).session
    if session is None or (session.tenant_id, session.user_id) != (
        identity.tenant_id,
        identity.user_id,
    ):
        return None
    return session


def _ask_store(state: AppState, ask: Callable[[], Result]) -> Result:
    """Ask the store of sessions.

    :raises SessionsUnavailable: 503, when it does not answer.
    """
    try:
        return ask()
    except StoreUnavailable as error:
        logger.error("The store of sessions of %s is away: %s", state.app_name, error)
        raise SessionsUnavailable from None


def _deny(denial: Denial) -> NoReturn:
    request = current_request()
    report_denial(denial, request, None if request is None else record_of(request))
    raise error_of(denial)


def _described(tokens: SessionTokens) -> dict[str, object]:
    return {
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "session_id": tokens.session_id,
    }


def _shown(session: SessionInfo, current: str | None) -> dict[str, object]:
    return {
        "id": session.id,
        "device": session.device,
        "address": session.address,
        "began_at": session.began_at.isoformat(),
        "used_at": session.used_at.isoformat(),
        "expires_at": session.expires_at.isoformat(),
        "current": session.id == current,
    }


def _json(body: object, status: int = 200) -> Response:
    """Return a response that no cache may keep; None: without a body."""
    response = flask.current_app.response_class("") if body is None else flask.jsonify(body)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response
