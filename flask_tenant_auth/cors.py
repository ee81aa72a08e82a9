"""Cross-origin requests: which pages may read the answers (Fetch standard, CORS protocol).

Decided on the path that Flask routed, by plain prefixes. An origin is let in when it is literally
on the list; it is never echoed otherwise, and "null" is never on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import flask

from .config import ANY_ORIGIN, Settings

if TYPE_CHECKING:
    from flask import Request, Response

HeaderList: TypeAlias = list[tuple[str, str]]

_PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors:
    """One app's rules, prepared once."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._any_origin = ANY_ORIGIN in self._origins
        self._paths = frozenset(settings.cors_resources)
        self._subtrees = tuple(_subtree(path) for path in settings.cors_resources)
        self._methods = settings.cors_methods
        self._answer = _answer_headers(settings)
        self._preflight = _preflight_headers(settings)

    @property
    def enabled(self) -> bool:
        """Whether any origin is let in at all."""
        return bool(self._origins and self._paths)

    def covers(self, path: str) -> bool:
        """Whether a routed path is under CORS_RESOURCES."""
        return path.startswith(self._subtrees) or path in self._paths

    def preflight(self, request: Request) -> Response | None:
        """Answer a preflight for a route that exists; None leaves an OPTIONS request to Flask.

        The view is not asked: a preflight never carries credentials. `add_headers` completes the
        answer, or leaves it without permission.
        """
        environ = request.environ
        if (
            request.url_rule is None
            or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ
            or "HTTP_ORIGIN" not in environ
            or not self.covers(request.path)
        ):
            return None
        return flask.current_app.make_default_options_response()

    def add_headers(self, request: Request, response: Response) -> None:
        """Add to an answer what its origin may know; to every covered one that it varies."""
        if not self.covers(request.path):
            return
        environ = request.environ
        requested = None
        if request.method == "OPTIONS":
            requested = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        if requested is not None:
            _vary(response, _PREFLIGHT_VARY)
        elif not self._any_origin:
            _vary(response, "Origin")
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or not self._allows(origin):
            return
        response.headers["Access-Control-Allow-Origin"] = ANY_ORIGIN if self._any_origin else origin
        for name, value in self._headers_for(requested, response):
            response.headers[name] = value

    def _allows(self, origin: str) -> bool:
        return origin in self._origins or (self._any_origin and origin != "null")

    def _headers_for(self, requested: str | None, response: Response) -> HeaderList:
        """Return the rest. A preflight for a method the route lacks is given no permission."""
        if requested is None:
            return self._answer
        if requested in self._methods and requested in response.allow:
            return self._preflight
        return []


def _answer_headers(settings: Settings) -> HeaderList:
    headers = _credentials_header(settings)
    if settings.cors_expose_headers:
        exposed = ", ".join(settings.cors_expose_headers)
        headers.append(("Access-Control-Expose-Headers", exposed))
    return headers


def _preflight_headers(settings: Settings) -> HeaderList:
    return [
        *_credentials_header(settings),
        ("Access-Control-Allow-Methods", ", ".join(settings.cors_methods)),
        ("Access-Control-Allow-Headers", ", ".join(settings.cors_allow_headers)),
        ("Access-Control-Max-Age", str(settings.cors_max_age)),
    ]


def _credentials_header(settings: Settings) -> HeaderList:
    if settings.cors_supports_credentials:
        return [("Access-Control-Allow-Credentials", "true")]
    return []


def _subtree(path: str) -> str:
    """Return what the paths under one begin with: ``/api`` covers /api/x but not /apiary."""
    return path if path.endswith("/") else f"{path}/"


def _vary(response: Response, names: str) -> None:
    """Add names to Vary and keep it one field: Flask's session looks at the first only."""
    if "Vary" not in response.headers:
        response.headers.add("Vary", names)
        return
    for name in names.split(", "):
        response.vary.add(name)
