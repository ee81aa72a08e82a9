"""Which requests of browsers may change something, where tokens are taken from cookies.

A browser sends cookies with requests that another site has made it send. Such a request names its
origin in header fields that no page can set: Sec-Fetch-Site (W3C Fetch Metadata), or Origin (Fetch
standard) where the browser takes the connection for insecure. Knows no Flask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core import CorsRules
from ..config.settings import Settings
from .cookies import Cookies

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = frozenset({"same-origin", "none"})  # "none": the user, and no page
_SCHEMES = {"ws": "http", "wss": "https"}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_MISSING = (
    "it brings a session's cookie and neither Sec-Fetch-Site nor Origin: a client that is no "
    "browser sends its token in the Authorization header, or sends Origin"
)


class Origins:
    """The origins from which browsers may change something in one app."""

    def __init__(self, settings: Settings, cookies: Cookies) -> None:
        self._cookies = cookies
        # With "*" every page may read, and none may write.
        listed = tuple(origin for origin in settings.cors_origins if origin != "*")
        self._listed = CorsRules(
            resources=(),
            origins=listed,
            methods=(),
            allow_headers=(),
            expose_headers=(),
            max_age=0,
            credentials=False,
        )

    def problem(self, environ: Mapping[str, Any], *, always: bool = False) -> str | None:
        """Return why a request is denied, for the log; None: it may be served.

        :param always: whether a request is checked that changes nothing by its method.
        """
        if not always and not _may_change(environ):
            return None
        origin = environ.get("HTTP_ORIGIN")
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None:
            if site in _OWN or self._is_listed(origin):
                return None
        elif origin is not None:
            if self._is_listed(origin) or origin == _own_origin(environ):
                return None
        elif not self._cookies.are_in(environ):
            return None
        else:
            return _MISSING
        return f"the Origin {origin} is not in CORS_ORIGINS (Sec-Fetch-Site: {site})"

    def _is_listed(self, origin: str | None) -> bool:
        return origin is not None and self._listed.allows(origin)


def problem_of_own_page(environ: Mapping[str, Any]) -> str | None:
    """Return why a request is not from a page of the origin that it is sent to; None: it is.

    CORS_ORIGINS lists nobody here. A request that changes something has to say where it is from.
    One that changes nothing may be a navigation from anywhere: a page of another origin is not
    given the answer to that.
    """
    origin = environ.get("HTTP_ORIGIN")
    site = environ.get("HTTP_SEC_FETCH_SITE")
    changes = _may_change(environ)
    if site is None:
        if not changes if origin is None else origin == _own_origin(environ):
            return None
    elif site == "same-origin" or (not changes and (site in _OWN or _is_navigation(environ))):
        return None
    return f"a page of another origin has sent it (Origin: {origin}, Sec-Fetch-Site: {site})"


def _is_navigation(environ: Mapping[str, Any]) -> bool:
    """Whether a browser shows the answer in a tab, where no page of another origin can read it."""
    return (
        environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
        and environ.get("HTTP_ORIGIN") is None
    )


def _may_change(environ: Mapping[str, Any]) -> bool:
    """Whether a request may change something: by its method, or on the WebSocket that it opens."""
    if environ.get("REQUEST_METHOD") not in _SAFE_METHODS:
        return True
    return "websocket" in (environ.get("HTTP_UPGRADE") or "").lower()


def _own_origin(environ: Mapping[str, Any]) -> str | None:
    """Return the origin that a request was sent to, as browsers write it (RFC 6454, 6.2)."""
    host = environ.get("HTTP_HOST")
    if not host:
        return None
    scheme = environ.get("wsgi.url_scheme", "http")
    scheme = _SCHEMES.get(scheme, scheme)
    return f"{scheme}://{host.lower().removesuffix(_DEFAULT_PORTS.get(scheme, ''))}"
