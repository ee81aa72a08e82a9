"""What has become of app.config since the settings were read.

Settings are read once. A value that is set later would be ignored without a word: a limit, a key or
a trusted gateway that somebody believes to be in force. So a change that comes too late is an
error. Two names may be set until the first request, because the fixtures of tests set them on an
app that its factory has made: TESTING, and those of `LATE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .settings import KEYS, Settings, values_of

if TYPE_CHECKING:
    from flask.app import Flask

LATE = ("RATELIMIT_ENABLED",)


class ConfigAtInit:
    """What app.config said of each setting when the settings were read."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._enabled = settings.ratelimit_enabled
        self._raw = {name: _copy(app.config.get(name)) for name in KEYS}

    def with_late(self, app: Flask, settings: Settings) -> Settings:
        """Return settings with what may be set late, as it is set now.

        :raises ConfigurationError: for a value that is not valid.
        """
        enabled = self._enabled
        if app.config.get("RATELIMIT_ENABLED") != self._raw["RATELIMIT_ENABLED"]:
            enabled = _now(app, "RATELIMIT_ENABLED")
        if enabled is settings.ratelimit_enabled:
            return settings
        return replace(settings, ratelimit_enabled=enabled)

    def require_unchanged(self, app: Flask, settings: Settings) -> None:
        """Raise where a setting has another value now.

        The same value in another form, as "50/minute" for "50 per minute", is another value only if
        it is read as one.

        :raises ConfigurationError: it names the settings.
        """
        changed = [
            name
            for name, before in self._raw.items()
            if _copy(app.config.get(name)) != before
            and name not in LATE
            and _now(app, name) != getattr(settings, name.lower())
        ]
        if changed:
            names = " and ".join(changed)
            raise ConfigurationError(
                f"{names} changed in app.config after TenantAuth was set up, which has no effect "
                f"any more: set {names} before. Only TESTING and {', '.join(LATE)} may be set "
                "until the first request"
            )


def _now(app: Flask, name: str) -> Any:
    return values_of(app, (name,)).get(name.lower(), KEYS[name].default)


def _copy(value: Any) -> Any:
    """Return a copy of a value that can be changed in place."""
    if isinstance(value, (list, tuple)):
        return [_copy(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in value.items()}
    return set(value) if isinstance(value, (set, frozenset)) else value
