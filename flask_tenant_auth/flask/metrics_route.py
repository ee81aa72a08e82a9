"""The route AUTH_METRICS_ROUTE: what Prometheus scrapes, and who may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import flask

from .._core import Identity
from ..audit import logger
from ..identity.denials import Denial
from ..identity.headers import IDENTITY_HEADERS
from ..metrics.exposition import Collector, exposition, require_client
from .answers import deny
from .authentication import peer_of
from .decorators import protected_elsewhere, rate_limit_exempt
from .identity_check import permission_check
from .own_routes import add_own_route
from .records import current_request

if TYPE_CHECKING:
    from flask import Request
    from flask.app import Flask

    from .state import AppState

_CLOSED = Denial(
    403,
    "Access to this resource is denied",
    "metrics_closed",
    "metrics are for addresses in AUTH_TRUSTED_GATEWAYS, and for AUTH_METRICS_PERMISSION",
)
# What proxies add to a request of somebody else (RFC 7239; RFC 9110, section 7.6.3).
_OF_PROXIES = frozenset(
    {"HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP", *IDENTITY_HEADERS}
)
_ENDPOINT = "tenant_auth_metrics"


def add_metrics_route(app: Flask, state: AppState) -> None:
    """Add the route to an app that sets AUTH_METRICS_ROUTE.

    :raises ConfigurationError: where prometheus_client is not installed.
    """
    settings = state.settings
    route, permission = settings.auth_metrics_route, settings.auth_metrics_permission
    metrics = state.metrics
    if route is None or metrics is None:
        return
    require_client()
    check = None if permission is None else permission_check((permission,))
    collector = Collector(metrics, lambda: _kept_elsewhere(state))
    if permission is None and not settings.auth_trusted_gateways:
        logger.warning(
            "AUTH_METRICS_ROUTE %s answers nobody: set AUTH_TRUSTED_GATEWAYS to the address of "
            "Prometheus, or AUTH_METRICS_PERMISSION",
            route,
        )

    def metrics_view() -> Any:
        request = current_request()
        assert request is not None  # noqa: S101 - Flask calls views inside a request
        if not is_of_gateway_itself(state, request):
            passed = deny(_CLOSED, None) if check is None else check(None)
            if type(passed) is not Identity:
                return passed
        body, content_type = exposition(collector, request.headers.get("Accept", ""))
        response = flask.current_app.response_class(body, content_type=content_type)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Accept"
        return response

    allowed = "AUTH_TRUSTED_GATEWAYS"
    by = allowed if permission is None else f"{allowed}, or permission {permission}"
    view = protected_elsewhere(by)(rate_limit_exempt(metrics_view))
    add_own_route(app, "GET", route, _ENDPOINT, view)


def is_of_gateway_itself(state: AppState, request: Request) -> bool:
    """Whether a request is from an address in AUTH_TRUSTED_GATEWAYS, and was not forwarded by it.

    What a gateway forwards comes from its address too, whoever has sent it. It shows by a field
    that proxies add, or by HTTP/1.0, which nginx speaks with servers unless it is told otherwise.
    """
    environ = request.environ
    return state.is_gateway(peer_of(request)) and not _was_forwarded(environ)


def _was_forwarded(environ: Mapping[str, Any]) -> bool:
    return environ.get("SERVER_PROTOCOL") == "HTTP/1.0" or any(
        name in _OF_PROXIES or name.startswith("HTTP_X_FORWARDED") for name in environ
    )


def _kept_elsewhere(state: AppState) -> dict[str, float]:
    """Return the metrics of the table of limits and of that of revocations, by their names."""
    found: dict[str, float] = {}
    if state.settings.ratelimit_enabled:
        status = state.limiter.status()
        found["tenant_auth_limit_table_slots"] = status["slots"]
        found["tenant_auth_limit_table_slots_used"] = status["slots_used"]
        found["tenant_auth_limit_table_evictions"] = status["evictions"]
    silent_ms = None if state.live is None else state.live.table.silent_ms
    if silent_ms is not None:
        found["tenant_auth_revocations_age_seconds"] = silent_ms / 1000
    return found
