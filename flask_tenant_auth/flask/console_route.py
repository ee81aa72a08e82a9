"""The routes below AUTH_CONSOLE_ROUTE: the console of the operators of a service."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import flask

from .._core import Identity, now
from ..audit import logger
from ..console.facts import UserSessions
from ..console.page import HEADERS, Pages
from ..errors import AuthError, ConfigurationError
from ..identity.arguments import uuid_text
from ..identity.denials import Denial, error_of
from .answers import add_headers, note_error
from .api_key_check import require_no_api_key
from .authentication import denial_of_other_page, is_by_console_cookie, token_of
from .console_credentials import (
    CLOSE,
    END,
    END_ALL,
    ENDPOINT,
    OPEN,
    SESSIONS,
    field_of,
    is_opening,
    token_in_form,
)
from .console_facts import Reporter, session_fact
from .cookies import console_path, set_console_cookie
from .decorators import protected_elsewhere, rate_limit_exempt
from .denials import report_denial
from .identity_check import permission_check
from .own_routes import add_own_route
from .records import current_request, record_of
from .revocations import revoke_session, revoke_user
from .sessions import list_sessions

if TYPE_CHECKING:
    from flask import Request, Response
    from flask.app import Flask

    from .state import AppState

_NO_IDS = Denial(400, "Tenant id and user id must be UUIDs", "tenant_id_invalid")
_NO_SESSIONS = Denial(404, "Sessions are off in this app", "session_not_found")
_TOO_LONG = Denial(
    400,
    "This token is too long for a cookie, in which browsers keep about 4,000 characters. Use one "
    "whose role is granted the permission, in place of a token that names many",
    "too_long",
)
# A page of them is read by a person; the newest come first.
_MOST_SESSIONS = 200
_TITLES = {400: "This cannot be done", 404: "Not found", 429: "Too many requests"}


def add_console_route(app: Flask, state: AppState) -> None:
    """Add the routes to an app that sets AUTH_CONSOLE_ROUTE."""
    settings = state.settings
    route, permission = settings.auth_console_route, settings.auth_console_permission
    if route is None or permission is None:
        return
    console = _Console(app, state, permission)
    views: tuple[tuple[str, str, str, Callable[[Request], Response]], ...] = (
        ("GET", "", ENDPOINT, console.overview),
        ("GET", "/sessions", SESSIONS, console.sessions),
        ("POST", "/open", OPEN, console.open),
        ("POST", "/close", CLOSE, console.close),
        ("POST", "/end", END, console.end),
        ("POST", "/end-all", END_ALL, console.end_all),
    )
    for method, path, endpoint, view in views:
        protected = protected_elsewhere(f"permission {permission}")(
            rate_limit_exempt(console.answering(view))
        )
        add_own_route(app, method, route + path, endpoint, protected)


class _Console:
    """The views of one app's console."""

    def __init__(self, app: Flask, state: AppState, permission: str) -> None:
        self._state, self._permission = state, permission
        self._check = permission_check((permission,))
        self._reporter = Reporter(app, state, lasting=True)

    def answering(self, view: Callable[[Request], Response]) -> Callable[[], Any]:
        """Return a view that answers denials with a page, and pages of its own origin only.

        What else is raised, as by a receiver of a signal, is the app's to answer. Its answer has
        the header fields of the console, too: no cache keeps it, and no page frames it.
        """

        @wraps(view)
        def answer() -> Any:
            request = current_request()
            assert request is not None  # noqa: S101 - Flask calls views inside a request
            flask.after_this_request(_with_fields)
            try:
                denial = denial_of_other_page(request.environ)
                if denial is not None:
                    raise _reported(denial, request)
                return view(request)
            except AuthError as error:
                return self._denied(request, error)

        return answer

    # The views

    def overview(self, request: Request) -> Response:
        """Show the console."""
        self._require_operator()
        return _page(self._pages(request).overview(self._reporter.facts()))

    def open(self, request: Request) -> Response:
        """Put the token of the form into a cookie, if it opens the console."""
        identity = self._require_operator()
        require_no_api_key("console")  # in the header, where it would speak for the form
        # A token says when it expires: no other credentials are taken from the form.
        seconds = math.floor((identity.expires_at or 0) - now())
        response = flask.current_app.response_class(status=303)
        response.headers["Location"] = console_path(self._state, request)
        if not set_console_cookie(response, token_in_form(request), max(seconds, 1)):
            raise _reported(_TOO_LONG, request)
        return response

    def close(self, request: Request) -> Response:
        """Delete the cookie. Anybody may: it changes nothing but the browser that asks."""
        response = _page(
            self._pages(request).opening(said="The console is closed.", permission=self._permission)
        )
        set_console_cookie(response, "", 0)
        return response

    def sessions(self, request: Request) -> Response:
        """Show the sessions of a user."""
        self._require_operator()
        try:
            ids = [request.args.getlist(name) for name in ("tenant_id", "user_id")]
        except UnicodeDecodeError:  # octets in the query string that are no UTF-8
            raise _reported(_NO_IDS, request) from None
        tenant, user = (each[0] if len(each) == 1 else "" for each in ids)
        return self._listed(request, *_uuids(request, tenant, user))

    def end(self, request: Request) -> Response:
        """End one session of a user."""
        tenant, user = self._user_of_form(request)
        session_id = field_of(request, "session_id")
        of_user = {each.id for each in self._sessions(request, tenant, user)}
        if session_id not in of_user:
            return self._listed(request, tenant, user, "That session goes on no longer.")
        revoke_session(session_id)
        return self._listed(request, tenant, user, "The session has ended.")

    def end_all(self, request: Request) -> Response:
        """End all sessions of a user, and deny all tokens of now."""
        tenant, user = self._user_of_form(request)
        self._sessions(request, tenant, user)
        revoke_user(tenant, user)
        return self._listed(request, tenant, user, "All sessions of this user have ended.")

    # What the views are made of

    def _pages(self, request: Request) -> Pages:
        return Pages(self._state.app_name, console_path(self._state, request))

    def _require_operator(self) -> Identity:
        """Return the identity of a request that has the permission.

        :raises AuthError: for any other.
        """
        passed = self._check(None)
        request = current_request()
        if type(passed) is not Identity or request is None:  # Flask does not dispatch this request
            raise AuthError("The console answers requests that Flask dispatches", 403)
        problem = self._problem_of(passed, request)
        if problem:
            denial = Denial(403, problem, "permission_missing", scope=(self._permission,))
            raise _reported(denial, request)
        return passed

    def _problem_of(self, identity: Identity, request: Request) -> str:
        """Return why an identity with the permission is no operator's all the same; empty: it is.

        The console reaches all tenants. So what proves an identity has to speak for all of them.
        """
        if identity.source == "headers":
            return "The console takes tokens and API keys, and no identity headers"
        token = None if identity.api_key_id is not None else token_of(self._state, request)
        if token is not None and self._state.is_of_some_tenants(token):
            return "A key that speaks for some tenants only opens no console of all tenants"
        return ""

    def _user_of_form(self, request: Request) -> tuple[str, str]:
        """Return whose sessions a form of an operator is about."""
        self._require_operator()
        require_no_api_key("console")
        return _uuids(request, field_of(request, "tenant_id"), field_of(request, "user_id"))

    def _sessions(self, request: Request, tenant: str, user: str) -> list[Any]:
        if self._state.session_store is None:
            raise _reported(_NO_SESSIONS, request)
        try:
            return list_sessions(tenant, user)
        except ConfigurationError as error:  # no key makes refresh tokens
            logger.error("The console cannot list sessions: %s", error)
            raise _reported(_NO_SESSIONS, request) from None

    def _listed(self, request: Request, tenant: str, user: str, said: str = "") -> Response:
        sessions = self._sessions(request, tenant, user)
        shown = tuple(map(session_fact, sessions[:_MOST_SESSIONS]))
        more = len(sessions) - len(shown)
        of_user = UserSessions(tenant_id=tenant, user_id=user, sessions=shown, more=more)
        return _page(self._pages(request).sessions(of_user, said=said))

    def _denied(self, request: Request, error: AuthError) -> Response:
        """Answer a denial with a page: where another token may help, with the form for one."""
        note_error(error)
        pages, status = self._pages(request), error.status_code
        # A right token is never limited: who shares an address with a flood gets the form, too.
        asks = status in (401, 429) or error.reason == "permission_missing"
        if asks or is_opening(request):
            said = "" if error.reason == "no_credentials" else f"{error.message}."
            response = _page(pages.opening(said=said, permission=self._permission), status)
        else:
            title = _TITLES.get(status, error.name)
            response = _page(pages.message(title, f"{error.message}.", opened=True), status)
        # It opens nothing any more. Another credential that is denied says nothing of it.
        if status == 401 and is_by_console_cookie(self._state, request):
            set_console_cookie(response, "", 0)
        add_headers(response, error.headers)
        return response


def _with_fields(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _reported(denial: Denial, request: Request) -> AuthError:
    """Report a denial, and return it as an error."""
    record = record_of(request)
    report_denial(denial, request, record, record.identity)
    return error_of(denial)


def _uuids(request: Request, tenant: str, user: str) -> tuple[str, str]:
    try:
        return uuid_text("tenant_id", tenant.strip()), uuid_text("user_id", user.strip())
    except ValueError:
        raise _reported(_NO_IDS, request) from None


def _page(html: str, status: int = 200) -> Response:
    return flask.current_app.response_class(
        html, status=status, content_type="text/html; charset=utf-8"
    )
