"""`TenantAuth`: what an app gets beyond the decorators.

One hook before each request: its credentials are judged and its limits counted, in one step each.
Nothing is refused there for bad credentials; that is the decorators' part, so a public view stays
public. One hook after: the headers. What is made of one app is on that app (`AppState`).
"""

from __future__ import annotations

import flask
from flask import Flask, Request, Response

from ._core import Decision
from .cli import auth_cli
from .context import Visit, current_request, identity_of, visit_of
from .cors import Cors
from .decorators import Refusal, count, public_route, rate_limit_exempt, refuse_repeated_failure
from .errors import AuthError, ConfigurationError
from .limits import ietf_headers, legacy_headers
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
        hooks = _Hooks(app, state)
        app.before_request(hooks.before_request)
        app.after_request(hooks.after_request)
        _add_jwks_route(app, state)
        # Closer to AuthError than an app's handler of Exception or HTTPException.
        app.register_error_handler(AuthError, AuthError.get_response)
        app.cli.add_command(auth_cli)
        app.extensions[EXTENSION] = state


class _Hooks:
    """What runs before and after each request of one app."""

    def __init__(self, app: Flask, state: AppState) -> None:
        self._app = app
        self._settings = state.settings
        self._plans = state.plans
        self._cors = Cors(state.settings)

    def before_request(self) -> Refusal | Response | None:
        """Count the request, by the identity that its credentials prove."""
        request = _request()
        if request.method == "OPTIONS":
            return self._cors.preflight(request) if self._cors.enabled else None
        if not self._settings.ratelimit_enabled:
            return None
        rule = request.url_rule
        plan = self._plans.plan(self._app, None if rule is None else rule.endpoint, request.method)
        if not plan.rules:
            return None
        visit = visit_of(request)
        visit.counted = plan.rules
        return count(visit, plan, identity_of(visit, request), request.remote_addr or "")

    def after_request(self, response: Response) -> Response:
        """Count a 401, and add the headers of limits and CORS."""
        request = _request()
        visit = visit_of(request)
        if response.status_code == 401:
            refusal = refuse_repeated_failure(visit)
            if refusal is not None:
                response = self._app.make_response(refusal)
        if visit.decision is not None:
            self._add_limit_headers(response, visit, visit.decision)
        if self._cors.enabled:
            self._cors.add_headers(request, response)
        return response

    def _add_limit_headers(self, response: Response, visit: Visit, decision: Decision) -> None:
        headers = response.headers
        if not decision.allowed:
            headers["Retry-After"] = str(decision.retry_after)
        if self._settings.ratelimit_headers_enabled:
            for name, value in legacy_headers(decision):
                headers.add(name, value)
        if self._settings.ratelimit_ietf_headers_enabled:
            for name, value in ietf_headers(decision, visit.limits):
                headers.add(name, value)


def _request() -> Request:
    request = current_request()
    assert request is not None  # noqa: S101 - Flask calls hooks inside a request
    return request


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
