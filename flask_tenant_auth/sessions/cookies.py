"""The cookies of sessions and of the console: their names, and what a request brings.

Knows no Flask.

Browsers hold the prefixes to what they promise (RFC 6265bis, section 4.1.3): a cookie whose name
begins with ``__Host-`` was set by this very host, over https. One with another path cannot have
that prefix, so the cookie of the refresh token has ``__Secure-``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .._core import find_cookie
from ..config.origins import is_loopback
from ..config.settings import Settings

_SECURE_SCHEMES = frozenset({"https", "wss"})


class Names(NamedTuple):
    """What the cookies of a request are called."""

    access: str
    refresh: str
    console: str
    secure: bool  # whether browsers send them over https only


class Cookies:
    """The cookies of one app. A method raises ValueError where two of one name are there."""

    def __init__(self, settings: Settings) -> None:
        name = settings.auth_cookie_name
        self._secure = Names(
            f"__Host-{name}", f"__Secure-{name}-refresh", f"__Secure-{name}-console", secure=True
        )
        self._plain = Names(name, f"{name}-refresh", f"{name}-console", secure=False)

    def names(self, environ: Mapping[str, Any], *, development: bool) -> Names:
        """Return the names of a request: plain ones only in development, on a loopback host."""
        if (
            development
            and environ.get("wsgi.url_scheme") not in _SECURE_SCHEMES
            and is_loopback(_host(environ))
        ):
            return self._plain
        return self._secure

    def access_token(self, environ: Mapping[str, Any], *, development: bool) -> str | None:
        """Return the access token that a request brings in its cookie."""
        return _value(environ, self.names(environ, development=development).access)

    def refresh_token(self, environ: Mapping[str, Any], *, development: bool) -> str | None:
        """Return the refresh token that a request brings in its cookie."""
        return _value(environ, self.names(environ, development=development).refresh)

    def console_token(self, environ: Mapping[str, Any], *, development: bool) -> str | None:
        """Return the access token that a request brings in the cookie of the console."""
        return _value(environ, self.names(environ, development=development).console)

    def are_in(self, environ: Mapping[str, Any]) -> bool:
        """Whether a request brings any cookie of a session, under whatever name it may have."""
        try:
            return any(
                _value(environ, name) is not None
                for names in (self._secure, self._plain)
                for name in (names.access, names.refresh)
            )
        except ValueError:
            return True


def _value(environ: Mapping[str, Any], name: str) -> str | None:
    """Return the value of a cookie. An empty one counts as absent."""
    header = environ.get("HTTP_COOKIE")
    return (find_cookie(header, name) or None) if isinstance(header, str) else None


def _host(environ: Mapping[str, Any]) -> str:
    """Return the host that a request names, without its port; empty where it is none."""
    try:
        return urlsplit(f"//{environ.get('HTTP_HOST') or ''}").hostname or ""
    except ValueError:
        return ""
