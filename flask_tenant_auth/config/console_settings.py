"""Checks of the settings of the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .settings import Settings


def _is_below(path: str, root: str) -> bool:
    """Whether a path is another one, or below it."""
    return f"{path.rstrip('/')}/".startswith(f"{root}/")


def check_console(settings: Settings) -> None:
    """Raise where the console has no permission, or the permission no console."""
    if settings.auth_console_route is not None and settings.auth_console_permission is None:
        raise ConfigurationError(
            "AUTH_CONSOLE_ROUTE needs AUTH_CONSOLE_PERMISSION: the name of a permission for the "
            "operators of the service alone, as console:open, which AUTH_PERMISSIONS grants to a "
            "role or a token names"
        )
    for key in ("auth_metrics_route", "auth_session_routes", "jwt_jwks_route"):
        path, console = getattr(settings, key), settings.auth_console_route
        if path is not None and console is not None and _is_below(path, console):
            raise ConfigurationError(
                f"{key.upper()} {path} is a path of the console: AUTH_CONSOLE_ROUTE is {console}. "
                "Each needs a path of its own"
            )
    if settings.auth_console_permission is not None and settings.auth_console_route is None:
        raise ConfigurationError(
            "AUTH_CONSOLE_PERMISSION opens nothing without AUTH_CONSOLE_ROUTE, the path of the "
            "console, as /console"
        )
