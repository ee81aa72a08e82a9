"""Cross-origin requests: which pages may read the answers (Fetch standard, CORS protocol).

Decided on the path that Flask routed, by plain prefixes. An origin is let in when it is literally
on the list; it is never echoed otherwise, and "null" is never on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import flask

from .config import ANY_ORIGIN, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask import Request, Response

HeaderList: TypeAlias = list[tuple[str, str]]

_ALLOW_ORIGIN = "Access-Control-Allow-Origin"
_REQUEST_METHOD = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
_PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors:
    """One app's rules, prepared once."""

    def __init__(self, settings: Settings) -> None:
        origins = settings.cors_origins if settings.cors_resources else ()
        self.enabled = bool(origins)
        self.any_origin = ANY_ORIGIN in origins
        # As WSGI spells them; none where no origin is let in.
        paths = [path.encode().decode("latin-1") for path in settings.cors_resources if origins]
        self.paths = frozenset(paths)
        self.subtrees = tuple(path if path.endswith("/") else f"{path}/" for path in paths)
        self._methods = settings.cors_methods
        self._preflight = _preflight_headers(settings)
        vary = [] if self.any_origin else [("Vary", "Origin")]
        answer = _answer_headers(settings)
        # What an answer to each origin says, and to those without one or with another.
        self.to_others: HeaderList = vary
        self.to_origin: dict[str, HeaderList] = {
            origin: [*vary, (_ALLOW_ORIGIN, origin), *answer] for origin in origins
        }

    def covers(self, environ: WSGIEnvironment) -> bool:
        """Whether a request's path, as Flask routes it, is under CORS_RESOURCES."""
        path: str = environ.get("PATH_INFO", "")
        if path[:1] != "/" or path[:2] == "//":
            path = "/" + path.lstrip("/")
        return path.startswith(self.subtrees) or path in self.paths

    def preflight(self, request: Request) -> Response | None:
        """Answer a preflight for a route that exists; None leaves an OPTIONS request to Flask.

        The view is not asked: a preflight never carries credentials. `headers` completes the
        answer, or leaves it without permission.
        """
        environ = request.environ
        if (
            request.url_rule is None
            or _REQUEST_METHOD not in environ
            or "HTTP_ORIGIN" not in environ
            or not self.covers(environ)
        ):
            return None
        return flask.current_app.make_default_options_response()

    def headers(self, environ: WSGIEnvironment, answer: HeaderList) -> HeaderList:
        """Return what is added to an answer: what its origin may know, and what it varies by."""
        if not self.covers(environ):
            return []
        if environ["REQUEST_METHOD"] == "OPTIONS" and _REQUEST_METHOD in environ:
            return self._preflight_answer(environ, answer)
        origin = environ.get("HTTP_ORIGIN")
        if self.any_origin and origin is not None and origin != "null":
            origin = ANY_ORIGIN
        return self.to_origin.get(origin or "", self.to_others)

    def _preflight_answer(self, environ: WSGIEnvironment, answer: HeaderList) -> HeaderList:
        """Give no permission for a method that the route lacks, or that no page may use."""
        headers = [("Vary", _PREFLIGHT_VARY)]
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or origin == "null":
            return headers
        allowed = ANY_ORIGIN if self.any_origin else origin
        if allowed not in self.to_origin:
            return headers
        headers.append((_ALLOW_ORIGIN, allowed))
        requested = environ[_REQUEST_METHOD]
        if requested in self._methods and requested in _allow(answer):
            headers += self._preflight
        return headers


def _allow(answer: HeaderList) -> set[str]:
    """Return the methods that a route has (RFC 9110, section 10.2.1)."""
    fields = (value for name, value in answer if name.lower() == "allow")
    return {method.strip() for field in fields for method in field.split(",")}


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
