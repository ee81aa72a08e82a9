"""Cross-origin requests: which pages may read the answers (Fetch standard, CORS protocol).

The core decides (`CorsRules`) by plain prefixes of the path that Flask routes, and by the origin.
An origin is allowed if it is literally on the list, or if its host is below one that is listed with
``*.`` before it. No other origin is ever repeated in an answer, and "null" is never on the list.
With ``*`` the answer is the same for all origins. The answer to a preflight is made here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from ._core import CorsRules
from .config.readers import ANY, is_http_token
from .config.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HeaderList: TypeAlias = list[tuple[str, str]]

_ALLOW_ORIGIN = "Access-Control-Allow-Origin"
_REQUEST_METHOD = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
_REQUEST_HEADERS = "HTTP_ACCESS_CONTROL_REQUEST_HEADERS"
_PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


# Of Access-Control-Request-Headers, in characters.
_LONGEST_REQUEST = 4096


class Cors:
    """The CORS rules of one app, prepared once."""

    def __init__(self, settings: Settings) -> None:
        origins = settings.cors_origins if settings.cors_resources else ()
        self.enabled = bool(origins)
        self._methods = settings.cors_methods
        self._allow_headers = settings.cors_allow_headers
        self._credentials = _credentials_header(settings)
        self._max_age = str(settings.cors_max_age)
        self._any_origin = ANY in origins
        self.rules = CorsRules(
            # As WSGI writes them; none where no origin is allowed.
            resources=tuple(
                path.encode().decode("latin-1") for path in settings.cors_resources if origins
            ),
            origins=origins,
            fields=(*self._credentials, *_expose_header(settings)),
        )

    def covers(self, environ: WSGIEnvironment) -> bool:
        """Whether a request's path, as Flask routes it, is under CORS_RESOURCES."""
        return self.rules.covers(environ.get("PATH_INFO", ""))

    def is_preflight(self, environ: WSGIEnvironment) -> bool:
        """Whether an OPTIONS request asks for permission (Fetch standard, CORS-preflight request).

        Its answer is the methods of the route, which `headers` completes. The view is not called: a
        preflight never carries credentials.
        """
        return (
            self.enabled
            and _REQUEST_METHOD in environ
            and "HTTP_ORIGIN" in environ
            and self.covers(environ)
        )

    def headers(self, environ: WSGIEnvironment, answer: HeaderList) -> HeaderList:
        """Return the header fields that are added to an answer: permissions, and Vary."""
        if environ.get("REQUEST_METHOD") == "OPTIONS" and _REQUEST_METHOD in environ:
            return self._preflight_answer(environ, answer) if self.covers(environ) else []
        return self.rules.fields(environ.get("PATH_INFO", ""), environ.get("HTTP_ORIGIN"))

    def _preflight_answer(self, environ: WSGIEnvironment, answer: HeaderList) -> HeaderList:
        """Return the answer to a preflight: no permission for a method that is not allowed."""
        headers = [("Vary", _PREFLIGHT_VARY)]
        origin = ANY if self._any_origin else environ.get("HTTP_ORIGIN")
        if origin is None or not self.rules.allows(origin):
            return headers
        headers.append((_ALLOW_ORIGIN, origin))
        requested, of_route = environ[_REQUEST_METHOD], _allow(answer)
        # The methods are listed in place of `*`, which is a name in an answer with credentials.
        methods = tuple(sorted(of_route)) if ANY in self._methods else self._methods
        if requested in methods and requested in of_route:
            headers += self._credentials
            headers.append(("Access-Control-Allow-Methods", ", ".join(methods)))
            allowed = self._allowed_headers(environ.get(_REQUEST_HEADERS, ""))
            if allowed:
                headers.append(("Access-Control-Allow-Headers", ", ".join(allowed)))
            headers.append(("Access-Control-Max-Age", self._max_age))
        return headers

    def _allowed_headers(self, requested: str) -> Iterable[str]:
        """Return CORS_ALLOW_HEADERS; for `*` the requested names, if they are valid."""
        if ANY not in self._allow_headers:
            return self._allow_headers
        names = [name.strip(" \t") for name in requested.split(",")]
        if len(requested) > _LONGEST_REQUEST or not all(map(is_http_token, names)):
            return ()
        return () if ANY in names else names


def _allow(answer: HeaderList) -> set[str]:
    """Return the methods that a route has (RFC 9110, section 10.2.1)."""
    fields = (value for name, value in answer if name.lower() == "allow")
    return {method.strip() for field in fields for method in field.split(",")}


def _expose_header(settings: Settings) -> HeaderList:
    exposed = ", ".join(settings.cors_expose_headers)
    return [("Access-Control-Expose-Headers", exposed)] if exposed else []


def _credentials_header(settings: Settings) -> HeaderList:
    if settings.cors_supports_credentials:
        return [("Access-Control-Allow-Credentials", "true")]
    return []
