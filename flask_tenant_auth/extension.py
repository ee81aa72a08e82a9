"""`TenantAuth`: what an app gets beyond the decorators.

One hook before each request: its credentials are judged and its limits counted, in one step each.
Nothing is refused there for bad credentials; that is the decorators' part, so a public view stays
public. One layer around the app: the headers (`edge_of`). What is made of one app is on that app
(`AppState`).
"""

from __future__ import annotations

from collections.abc import Callable

import flask
from flask import Flask, Request, Response

from ._core import Keyring, Visit
from .cli import auth_cli
from .context import begin_visit, current_request, identity_of
from .cors import Cors
from .decorators import (
    Refusal,
    count,
    public_route,
    rate_limit_exempt,
    refuse_excess,
    refuse_repeated_options_failure,
)
from .edge import edge_of
from .errors import AuthError, ConfigurationError
from .state import EXTENSION, AppState, state_of

__all__ = ["AppState", "TenantAuth", "state_of"]


class TenantAuth:
    """Authentication, tenancy, roles, limits and CORS for one or several Flask apps.

    ``TenantAuth(app)``, or ``auth = TenantAuth()`` and ``auth.init_app(app)`` in a factory. The
    configuration is read and checked then, once. The per-app state is `state_of(app)`.

    :param app: the app to set up now; None: call `init_app` later.
    :raises ConfigurationError: see `init_app`.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up an app: hooks, error handler, CLI.

        :raises TypeError: for what is no Flask app.
        :raises RuntimeError: when the app has been set up before.
        :raises ConfigurationError: when its configuration cannot work; the message names the key
            and what to write instead.
        """
        if not isinstance(app, Flask):
            raise TypeError(f"app must be a flask.Flask, not {type(app).__name__}")
        existing = app.extensions.get(EXTENSION)
        if existing is not None and existing.hooked:
            raise RuntimeError(
                "A TenantAuth is already registered on this app. Import and use that instead."
            )
        state = AppState(app, hooked=True)
        if state.settings.ratelimit_enabled:
            state.limiter  # noqa: B018 - made before any worker forks, so that all share it
        cors = Cors(state.settings)
        app.before_request(_count_hook(app, state, cors))
        app.wsgi_app = edge_of(app, state, cors)  # type: ignore[method-assign,assignment]
        _add_jwks_route(app, state)
        # Closer to AuthError than an app's handler of Exception or HTTPException.
        app.register_error_handler(AuthError, AuthError.get_response)
        app.cli.add_command(auth_cli)
        app.extensions[EXTENSION] = state


def _count_hook(app: Flask, state: AppState, cors: Cors) -> Callable[[], Refusal | Response | None]:
    """Return the hook that counts each request, by the identity that its credentials prove."""
    plans = state.plans
    counting = state.settings.ratelimit_enabled

    def count_request() -> Refusal | Response | None:
        request = current_request()
        assert request is not None  # noqa: S101 - Flask calls hooks inside a request
        visit = begin_visit(request, state)
        method = request.method
        if method == "OPTIONS":
            return _answer_options(visit, request, cors)
        if not counting:
            return None
        rule = request.url_rule
        if rule is None:
            plan = plans.unrouted
        else:
            plan = plans.made.get((rule.endpoint, method)) or plans.plan(app, rule.endpoint, method)
        if not plan.rules:
            return None
        visit.counted = plan.rules
        address = request.remote_addr or ""
        keyring = state.keyring
        if plan.limits and isinstance(keyring, Keyring):
            # A good token and fixed limits: one step of the core. Python sees to all the others.
            limiter = state.limiter
            decision = visit.count(keyring, limiter, plan.limits, address)
            if decision is not None:
                if limiter.news != state.news:
                    state.tell_news()
                if decision.allowed:
                    return None
                return refuse_excess(decision, identity_of(visit, request))
        return count(visit, plan, identity_of(visit, request), address)

    return count_request


def _answer_options(visit: Visit, request: Request, cors: Cors) -> Refusal | Response | None:
    refusal = refuse_repeated_options_failure(visit, request)
    if refusal is not None or not cors.enabled:
        return refusal
    return cors.preflight(request)


def _add_jwks_route(app: Flask, state: AppState) -> None:
    """Serve the public keys at JWT_JWKS_ROUTE (RFC 7517, section 5)."""
    route = state.settings.jwt_jwks_route
    if route is None:
        return
    keys = state.public_keys()
    if not keys:
        raise ConfigurationError(
            "JWT_JWKS_ROUTE has nothing to serve: it publishes public keys, and "
            f"JWT_ALGORITHM {state.settings.jwt_algorithm} with these keys has none; unset it"
        )

    def jwks() -> Response:
        response = flask.jsonify(keys=keys)
        response.headers["Cache-Control"] = "public, max-age=300"
        return response

    app.add_url_rule(
        route, "tenant_auth_jwks", public_route(rate_limit_exempt(jwks)), methods=["GET"]
    )
