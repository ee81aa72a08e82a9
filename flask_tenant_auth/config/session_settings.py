"""Readers and checks of the settings of sessions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .._core import is_http_token
from ..errors import ConfigurationError
from .readers import read_items, read_text, read_words

if TYPE_CHECKING:
    from .settings import Settings

HEADERS, COOKIES = LOCATIONS = ("headers", "cookies")
_LEAST_KEY_BYTES = 32


def read_store(raw: Any) -> Any:
    """Return a URL (of SQLAlchemy, or of Redis), or the object of an app: its `db` or an engine."""
    if isinstance(raw, os.PathLike):
        return f"sqlite:///{os.fspath(raw)}"
    if isinstance(raw, str):
        text = read_text(raw)
        if "://" not in text:
            raise ValueError("must be a URL, as sqlite:///sessions.db, postgresql:// or redis://")
        return text
    # Not of the object: the engine of Flask-SQLAlchemy's db needs an app context.
    if any(hasattr(type(raw), name) for name in ("connect", "engine", "init_app")):
        return raw
    raise TypeError(f"must be a URL or the app's SQLAlchemy object, not {type(raw).__name__}")


def read_session_keys(raw: Any) -> tuple[bytes, ...]:
    """Return the keys: the first one makes refresh tokens, the others are retired ones."""
    items = [raw] if isinstance(raw, bytes) else read_items(raw)
    keys = []
    for item in items:
        key = item if isinstance(item, bytes) else read_text(item).encode()
        if len(key) < _LEAST_KEY_BYTES:
            raise ValueError(f"holds a key of {len(key)} bytes; {_LEAST_KEY_BYTES} are needed")
        keys.append(key)
    if not keys:
        raise ValueError("holds no key")
    return tuple(keys)


def read_locations(raw: Any) -> tuple[str, ...]:
    """Return where tokens are taken from."""
    words = read_words(raw)
    for word in words:
        if word not in LOCATIONS:
            raise ValueError(f"must list some of {', '.join(LOCATIONS)}, not {word!r}")
    if not words:
        raise ValueError(f"must list some of {', '.join(LOCATIONS)}")
    return tuple(dict.fromkeys(words))


def read_cookie_name(raw: Any) -> str:
    """Return the name of a cookie without a prefix (RFC 6265, section 4.1.1)."""
    name = read_text(raw)
    if not is_http_token(name) or name.startswith("__"):
        raise ValueError(f"must be the name of a cookie without a prefix such as __Host-: {name!r}")
    return name


def read_same_site(raw: Any) -> str:
    """Return Lax, Strict or None."""
    word = read_text(raw).capitalize()
    if word not in ("Lax", "Strict", "None"):
        raise ValueError(f"must be Lax, Strict or None, not {raw!r}")
    return word


def check_sessions(settings: Settings) -> None:
    """Raise where settings of sessions contradict each other."""
    if settings.auth_session_days > settings.auth_session_max_days:
        raise ConfigurationError(
            "AUTH_SESSION_DAYS must not be more than AUTH_SESSION_MAX_DAYS, after which a session "
            "ends in any case"
        )
    if settings.auth_access_minutes > settings.auth_session_days * 1440:
        raise ConfigurationError("AUTH_ACCESS_MINUTES must not be more than AUTH_SESSION_DAYS")
    if settings.auth_access_minutes > settings.token_max_hours * 60:
        raise ConfigurationError("AUTH_ACCESS_MINUTES must not be more than AUTH_TOKEN_MAX_HOURS")
    if settings.auth_refresh_grace_seconds >= settings.auth_session_days * 86400:
        raise ConfigurationError("AUTH_REFRESH_GRACE_SECONDS must be less than AUTH_SESSION_DAYS")
    if settings.uses_cookies:
        _check_cookies(settings)


def _check_cookies(settings: Settings) -> None:
    if settings.auth_session_routes is None:
        raise ConfigurationError(
            "AUTH_SESSION_ROUTES must be set where AUTH_TOKEN_LOCATIONS has cookies, as /auth: "
            "browsers send the refresh token to the routes below that path only"
        )
    origins = settings.cors_origins
    if settings.auth_cookie_samesite == "None" and (not origins or "*" in origins):
        raise ConfigurationError(
            "AUTH_COOKIE_SAMESITE=None needs the origins of the front end in CORS_ORIGINS, by "
            "name; without a front end on another site, set it to Lax"
        )
