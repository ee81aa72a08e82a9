"""The routes that the package itself adds to an app: the one place that adds any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import flask

if TYPE_CHECKING:
    from flask.app import Flask

# The variable of the host in the rules of an app with host_matching. No view gets it.
HOST = "tenant_auth_host"


def add_own_route(
    app: Flask, method: str, path: str, endpoint: str, view: Callable[..., Any]
) -> None:
    """Add a route that answers on every host of an app.

    With `host_matching`, a rule without a host matches no request at all.
    """
    every_host = f"<{HOST}>" if app.url_map.host_matching else None
    app.add_url_rule(path, endpoint, view, methods=[method], host=every_host)


def add_own_hosts(app: Flask) -> None:
    """Let views and `url_for` do without the host, in an app with `host_matching`."""
    if app.url_map.host_matching:
        app.url_value_preprocessor(_drop_host)
        app.url_defaults(_add_host(app))


def _drop_host(_: str | None, values: dict[str, Any] | None) -> None:
    if values is not None:
        values.pop(HOST, None)


def _add_host(app: Flask) -> Callable[[str, dict[str, Any]], None]:
    def add_host(endpoint: str, values: dict[str, Any]) -> None:
        """Build the URL of an own route for the host of the request, as url_for does elsewhere."""
        if app.url_map.is_endpoint_expecting(endpoint, HOST):
            host = flask.request.host if flask.has_request_context() else app.config["SERVER_NAME"]
            if host is not None:
                values.setdefault(HOST, host)

    return add_host
