"""`TenantAuth`: what an app gets beyond the decorators.

One hook runs before each request: it authenticates the request and counts its limits, in one step
each. It denies no request for its credentials. The decorators do that, so a public view stays
public. One WSGI layer around the app adds the headers (`middleware_of`). What is made of one app is
on that app (`AppState`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from time import monotonic
from typing import Any, TypeVar

import flask
from flask import Request, Response
from flask.app import Flask
from werkzeug.routing import Rule

from .._core import (
    CorsRules,
    Decision,
    Identity,
    Keyring,
    RequestRecord,
    authenticate_and_count,
    open_record,
)
from ..cors import cors_rules, is_preflight
from ..errors import AuthError, ConfigurationError
from ..identity.denials import Denial
from ..limit.arguments import without_arguments
from ..limit.exceeded import Exceeded, Limited
from ..limit.plans import Plan
from .answers import Answer, add_headers, deny, deny_limited
from .authentication import denial_of_origin, identity_of, outcome_of
from .commands import auth_cli
from .console_route import add_console_route
from .counting import count, count_failure, count_refresh, deny_counted
from .declared_roles import require_declared_roles
from .decorators import public_route, rate_limit_exempt
from .library_errors import handler_of_denials
from .metrics_route import add_metrics_route
from .middleware import middleware_of
from .own_routes import add_own_hosts, add_own_route
from .records import RECORD, current_request, keep_reason, record_of, served
from .registration import known_apps, require_no_bare_views
from .routes import (
    asks_for_identity,
    declaration_of_route,
    is_static_view,
    plan_of,
    unknown_endpoints,
)
from .session_routes import add_session_routes
from .sessions import SessionInfo
from .state import EXTENSION, AppState, Loaders, state_of
from .traces import add_traces

__all__ = ["AppState", "TenantAuth", "state_of"]

Loader = TypeVar("Loader", bound=Callable[[Identity], Any])
Filter = TypeVar("Filter", bound=Callable[[], object])
LoaderOfSession = TypeVar("LoaderOfSession", bound=Callable[[SessionInfo], Any])


class TenantAuth:
    """Authentication, tenancy, roles, limits and CORS for one or several Flask apps.

    ``TenantAuth(app)``, or ``auth = TenantAuth()`` and ``auth.init_app(app)`` in a factory. The
    configuration is read and checked then, once. The per-app state is `state_of(app)`.

    :param app: the app to set up now; None: call `init_app` later.
    :raises ConfigurationError: see `init_app`.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._loaders = Loaders()
        if app is not None:
            self.init_app(app)

    def user_loader(self, function: Loader) -> Loader:
        """Say what `current_user` is: the app's user object of an `Identity`. A decorator.

        It is called once a request, or once for a block of `acting_as`, when `current_user` is
        first asked for. Where it returns None, the request is denied with 401.

        :param function: takes the `Identity`; not async.
        :raises TypeError: for what cannot be called, and for an async function.
        """
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise TypeError("user_loader takes a function of the identity that is not async")
        self._loaders.of_user = function
        return function

    def session_loader(self, function: LoaderOfSession) -> LoaderOfSession:
        """Say what a session is granted at each refresh. A decorator, which turns sessions on.

        The function returns the role, an `Identity`, or a dict with some of ``role``,
        ``permissions`` and ``claims``; what is left out stays. None ends the session: the user is
        gone or locked.

        :param function: takes the `SessionInfo`; not async.
        :raises TypeError: for what cannot be called, and for an async function.
        """
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise TypeError("session_loader takes a function of the session that is not async")
        self._loaders.of_session = function
        for state in self._states():
            state.turn_sessions_on()
        return function

    def request_filter(self, function: Filter) -> Filter:
        """Say which requests no limit counts. A decorator; several functions may say it.

        A request for which one of them returns a true value is exempt from all limits that count
        requests. One that raises exempts nothing: its error is logged, and the request is counted.

        :param function: takes nothing, and may read `flask.request`; not async.
        :raises TypeError: for anything else.
        """
        self._loaders.request_filters.append(without_arguments("request_filter", function))
        for state in self._states():
            state.plans.ordinary.clear()
        return function

    def reset_limits(self) -> None:
        """Forget all that the apps of this `TenantAuth` have counted. For tests.

        :raises RuntimeError: where one of them is not testing, or counts in Redis.
        """
        for state in self._states():
            state.reset_limits()

    def _states(self) -> list[AppState]:
        """Return the states of the apps that were set up."""
        states = [app.extensions.get(EXTENSION) for app in list(known_apps)]
        return [each for each in states if each is not None and each.loaders is self._loaders]

    def init_app(self, app: Flask) -> None:
        """Set up an app: hooks, error handler, CLI.

        :raises TypeError: for what is no Flask app.
        :raises RuntimeError: when the app has been set up before, or has views whose decorators
            stand above the route decorator, where they protect nothing.
        :raises ConfigurationError: when its configuration is not valid; the message names the key
            and what to write instead. Also when a view names a role that is none of AUTH_ROLES.
        """
        if not isinstance(app, Flask):
            raise TypeError(f"app must be a flask.Flask, not {type(app).__name__}")
        existing = app.extensions.get(EXTENSION)
        if existing is not None and existing.hooked:
            raise RuntimeError(
                "A TenantAuth is already registered on this app. Import and use that instead."
            )
        require_no_bare_views(app)
        state = AppState(app, hooked=True, loaders=self._loaders)
        if self._loaders.of_session is not None:
            state.turn_sessions_on()
        state.count_refresh = count_refresh
        require_declared_roles(app, state.roles)
        if state.settings.ratelimit_enabled:
            state.limiter  # noqa: B018 - made before workers fork, so that they share it
        cors = cors_rules(state.settings)
        if state.origins is not None:
            app.before_request(_origin_hook(state))  # before anything is counted
        if state.cookies is not None:
            app.after_request(_vary_hook(app))
        app.before_request(_count_hook(app, state, cors))
        app.wsgi_app = middleware_of(app, state, cors)  # type: ignore[method-assign,assignment]
        if state.settings.auth_traces:
            add_traces(app)
        add_own_hosts(app)
        _add_jwks_route(app, state)
        add_session_routes(app, state)
        add_metrics_route(app, state)
        add_console_route(app, state)
        # So an app's handler of Exception does not get a denial. One of AuthError does.
        app.error_handler_spec[None][None].setdefault(AuthError, _error_handler(app))
        app.cli.add_command(auth_cli)
        app.extensions[EXTENSION] = state
        known_apps.add(app)


def _error_handler(app: Flask) -> Callable[[AuthError], Response]:
    """Return the handler of denials, for an app that has none of `AuthError`."""

    def answer(error: AuthError) -> Response:
        keep_reason(error)
        response = app.make_response(handler_of_denials(app)(error))
        add_headers(response, error.headers)
        return response

    return answer


def _origin_hook(state: AppState) -> Callable[[], Any]:
    """Return the hook that denies browsers what a page of an origin that is not listed asks for."""

    def check_origin() -> Answer | None:
        request = current_request()
        assert request is not None  # noqa: S101 - Flask calls hooks inside a request
        denial = denial_of_origin(state, request.environ)
        return None if denial is None else deny(denial, None)

    return check_origin


def _vary_hook(app: Flask) -> Callable[[Response], Response]:
    """Return the hook that tells caches that an answer is for one cookie (RFC 9110, 12.5.5).

    A shared cache keeps no answer to an Authorization header of itself (RFC 9111, 3.5). To one
    with a cookie it does, where the answer says for how long. Static files are for everybody,
    unless a before_request function asks for an identity.
    """

    @cache
    def is_for_everybody(endpoint: str) -> bool:
        view = app.view_functions.get(endpoint)
        return is_static_view(app, view) and not asks_for_identity(app, endpoint)

    def vary_by_cookie(response: Response) -> Response:
        rule = flask.request.url_rule
        if rule is None or not is_for_everybody(rule.endpoint):
            response.vary.add("Cookie")
        return response

    return vary_by_cookie


def _count_hook(app: Flask, state: AppState, cors: CorsRules) -> Callable[[], Any]:
    """Return the hook that counts each request, by the identity that its credentials prove."""
    key, ordinary = state.start_response_key, state.plans.ordinary
    count_ordinary, count_any = served.count, _count_any(app, state, cors)

    def count_request() -> Answer | None:
        done = count_ordinary(state, key, ordinary)
        if done is True:
            return None
        request = current_request()
        assert request is not None  # noqa: S101 - Flask calls hooks inside a request
        if done is None:
            return count_any(request)
        return _act_on(done, state, request)

    return count_request


def _act_on(decision: Decision, state: AppState, request: Request) -> Answer | None:
    """Log what has happened to the stores, and deny a request that was counted beyond a limit."""
    if state.limiter.store_events != state.store_events:
        state.log_store_events()
    if decision.allowed:
        return None
    record = record_of(request)
    limited = Limited(record.limits, identity_of(record, request), request.remote_addr or "")
    return deny_counted(Exceeded(decision, limited))


def _count_any(  # noqa: C901 - one line for each reason why a request is not ordinary
    app: Flask, state: AppState, cors: CorsRules
) -> Callable[[Request], Answer | None]:
    """Return what counts a request that may not be ordinary.

    A request is ordinary where its route is in `Plans.ordinary`, no sessions and no changing keys
    have to be followed, and its token is valid.
    """
    plans = state.plans
    made = plans.made
    key = state.start_response_key
    cookies = state.cookies
    exemptions = state.exemptions
    limits_denied = state.settings.ratelimit_denied
    networks, filters = exemptions.networks, exemptions.filters
    may_be_ordinary = cookies is None and not networks and not limits_denied

    def count_any(request: Request) -> Answer | None:  # noqa: C901 - likewise
        attributes = request.__dict__
        record = attributes.get(RECORD)
        if record is None or not record.dispatched:
            # Flask dispatches this request. So it takes the response that the middleware waits for.
            record = attributes[RECORD] = open_record(state, request.environ, key, record)
            if not record.dispatched:
                record_of(request)
        if not state.settled:
            state.settle()
        method = request.method
        rule = request.url_rule
        plan = made.get(("" if rule is None else rule.endpoint, method))
        if plan is None:
            plan = _new_plan(app, state, rule, method)
        if method == "OPTIONS":
            answer = _answer_options(app, cors, record, request)
            if answer is not None or not _is_answered_by_view(app, record, request):
                return answer
        record.counted = plan.decided
        if not state.settings.ratelimit_enabled or not plan.rules:
            return None
        if (networks or filters) and exemptions.exempt(request):
            return None
        address = request.remote_addr or ""
        if limits_denied and (denied := state.denied) is not None:
            exceeded = denied.exceeded(address)
            if exceeded is not None:
                record.decision, record.limits = exceeded.decision, exceeded.request.limits
                return deny_counted(exceeded)
        source, live = state.source, state.live
        if live is not None and not live.follower.runs:
            live.follower.start()
        if source is not None and monotonic() >= source.due:
            source.refresh()
        keyring = state.keyring
        # The core has looked at a token that is invalid, and does not do so again.
        if plan.limits and type(keyring) is Keyring and record.invalid_token is None:
            # A valid token and fixed limits are one step of the core. The rest is for Python.
            name = None
            if cookies is not None:
                name = cookies.names(request.environ, development=state.development).access
            decision = authenticate_and_count(
                record, request.environ, keyring, state.limiter, plan.limits, address, name
            )
            if may_be_ordinary and live is None and source is None and state.settled:
                if rule is not None and method != "OPTIONS":
                    plans.take_as_ordinary(plan, rule.endpoint, method)
                if filters:  # a filter is added first, and then clears this
                    plans.ordinary.clear()
            if decision is not None:
                return _act_on(decision, state, request)
        return count(record, plan, identity_of(record, request), address)

    return count_any


def _new_plan(app: Flask, state: AppState, rule: Rule | None, method: str) -> Plan:
    """Make the plan of a route at its first request, unless its decorators cannot protect it.

    :raises RuntimeError: where they stand above the route decorator; it names the endpoint.
    :raises ConfigurationError: where they name a role that is none of the app; or where
        RATELIMIT_ENDPOINTS names an endpoint that is none of the app.
    """
    if rule is None:
        return state.plans.unrouted(method)
    require_no_bare_views(app, rule.endpoint)
    require_declared_roles(app, state.roles, rule.endpoint)
    for unknown in unknown_endpoints(app, state.plans.configured):
        raise ConfigurationError(unknown)
    return plan_of(app, state.plans, rule.endpoint, method)


def _answer_options(
    app: Flask, cors: CorsRules, record: RequestRecord, request: Request
) -> Answer | None:
    """Answer a preflight. Invalid credentials count where another method would answer 401 to them.

    They count for a path without a route as well: such a request may only try a token.
    """
    rule = request.url_rule
    if _brings_token(record.state, request) and (
        rule is None or asks_for_identity(app, rule.endpoint)
    ):
        outcome = outcome_of(record, request)
        if isinstance(outcome, Denial):
            exceeded = count_failure(record, outcome, request)
            if exceeded is not None:
                return deny_limited(exceeded)
    if rule is not None and is_preflight(cors, request.environ):
        return app.make_default_options_response()
    return None


def _brings_token(state: AppState, request: Request) -> bool:
    """Whether a request brings what may be a token."""
    environ = request.environ
    return "HTTP_AUTHORIZATION" in environ or (
        state.cookies is not None and state.cookies.are_in(environ)
    )


def _is_answered_by_view(app: Flask, record: RequestRecord, request: Request) -> bool:
    """Whether an OPTIONS request counts: a view answers it, or there is no route."""
    rule = request.url_rule
    if rule is None:
        return True
    if getattr(rule, "provide_automatic_options", False):
        return False  # Flask answers with the methods
    # So does @verify_tenant_context, without an identity, where it is on what answers OPTIONS.
    verified = declaration_of_route(app, rule.endpoint, "OPTIONS").verified
    return not verified or identity_of(record, request) is not None


def _add_jwks_route(app: Flask, state: AppState) -> None:
    """Serve the public keys at JWT_JWKS_ROUTE (RFC 7517, section 5)."""
    route = state.settings.jwt_jwks_route
    if route is None:
        return
    if not state.public_keys() and state.source is None:
        raise ConfigurationError(
            "JWT_JWKS_ROUTE has nothing to serve: it publishes public keys, and "
            f"JWT_ALGORITHM {state.settings.jwt_algorithm} with these keys has none; unset it"
        )

    def jwks() -> Response:
        response = flask.jsonify(keys=state.public_keys())
        response.headers["Cache-Control"] = "public, max-age=300"
        return response

    add_own_route(app, "GET", route, "tenant_auth_jwks", public_route(rate_limit_exempt(jwks)))
