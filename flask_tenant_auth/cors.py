"""Cross-origin requests: which pages may read the answers (Fetch standard, CORS protocol).

The path that Flask routes decides, by plain prefixes. An origin is allowed if it is on the list, or
if its host is below one that is listed with ``*.`` before it. No other origin is ever repeated in
an answer, and "null" is never on the list. With ``*`` the answer is the same for all origins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .config.origins import ANY_SUBDOMAIN
from .config.readers import ANY, is_http_token
from .config.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HeaderList: TypeAlias = list[tuple[str, str]]

_ALLOW_ORIGIN = "Access-Control-Allow-Origin"
_REQUEST_METHOD = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
_REQUEST_HEADERS = "HTTP_ACCESS_CONTROL_REQUEST_HEADERS"
_PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


# The characters of a host, as browsers write it, and its length (RFC 1035, section 2.3.4).
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_LONGEST_LABEL = 63
_LONGEST_HOST = 253
# Of Access-Control-Request-Headers, in characters.
_LONGEST_REQUEST = 4096


class Subdomains(NamedTuple):
    """The origins below one host: ``https://*.example.com:8443``."""

    scheme: str  # "https://"
    suffix: str  # ".example.com"
    port: str  # ":8443", or nothing

    @classmethod
    def of(cls, pattern: str) -> Subdomains:
        """Read an item of CORS_ORIGINS, which `Settings` has checked."""
        scheme, _, rest = pattern.partition(f"//{ANY_SUBDOMAIN}")
        host, colon, port = rest.partition(":")
        return cls(f"{scheme}//", f".{host}", f"{colon}{port}")

    def contains(self, origin: str) -> bool:
        """Whether an origin has one or more labels before this host, and is the same otherwise."""
        end = f"{self.suffix}{self.port}"
        if not (origin.startswith(self.scheme) and origin.endswith(end)):
            return False
        below = origin[len(self.scheme) : len(origin) - len(end)]
        return len(below) + len(self.suffix) <= _LONGEST_HOST and all(
            0 < len(label) <= _LONGEST_LABEL and set(label) <= _LABEL for label in below.split(".")
        )


class Cors:
    """The CORS rules of one app, prepared once."""

    def __init__(self, settings: Settings) -> None:
        origins = settings.cors_origins if settings.cors_resources else ()
        self.enabled = bool(origins)
        self.any_origin = ANY in origins
        # As WSGI writes them; none where no origin is allowed.
        paths = [path.encode().decode("latin-1") for path in settings.cors_resources if origins]
        self.paths = frozenset(paths)
        self.subtrees = tuple(path if path.endswith("/") else f"{path}/" for path in paths)
        self._methods = settings.cors_methods
        self._allow_headers = settings.cors_allow_headers
        self._credentials = _credentials_header(settings)
        self._max_age = str(settings.cors_max_age)
        self._answer = [*self._credentials, *_expose_header(settings)]
        listed = [origin for origin in origins if ANY not in origin]
        self._subdomains = [
            Subdomains.of(origin) for origin in origins if ANY in origin and origin != ANY
        ]
        # The header fields of an answer to each origin, and to a request with no origin or another
        # one.
        self.to_origin: dict[str, HeaderList] = {
            origin: self._permission(origin) for origin in listed
        }
        self.to_others: HeaderList = [("Vary", "Origin")]
        if self.any_origin:
            self.to_others = [(_ALLOW_ORIGIN, ANY), *self._answer]
        # Whether these two cover every origin.
        self.prepared = not self._subdomains

    def _permission(self, origin: str) -> HeaderList:
        return [("Vary", "Origin"), (_ALLOW_ORIGIN, origin), *self._answer]

    def allows(self, origin: str) -> bool:
        """Whether pages of an origin may read answers."""
        return (
            self.any_origin
            or origin in self.to_origin
            or any(each.contains(origin) for each in self._subdomains)
        )

    def covers(self, environ: WSGIEnvironment) -> bool:
        """Whether a request's path, as Flask routes it, is under CORS_RESOURCES."""
        path: str = environ.get("PATH_INFO", "")
        if path[:1] != "/" or path[:2] == "//":
            path = "/" + path.lstrip("/")
        return path.startswith(self.subtrees) or path in self.paths

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
        if not self.covers(environ):
            return []
        if environ["REQUEST_METHOD"] == "OPTIONS" and _REQUEST_METHOD in environ:
            return self._preflight_answer(environ, answer)
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or self.any_origin:
            return self.to_others
        known = self.to_origin.get(origin)
        if known is None and self.allows(origin):
            return self._permission(origin)
        return self.to_others if known is None else known

    def _preflight_answer(self, environ: WSGIEnvironment, answer: HeaderList) -> HeaderList:
        """Return the answer to a preflight: no permission for a method that is not allowed."""
        headers = [("Vary", _PREFLIGHT_VARY)]
        origin = ANY if self.any_origin else environ.get("HTTP_ORIGIN")
        if origin is None or not self.allows(origin):
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
