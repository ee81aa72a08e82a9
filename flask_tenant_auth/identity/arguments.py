"""Arguments that name a tenant, a user, a role or a permission."""

from __future__ import annotations

import uuid
from collections.abc import Sequence, Set

from .._core import Roles, is_permission, is_valid_uuid
from .roles import WEAKEST_ROLE


def uuid_text(name: str, value: object) -> str:
    """Return a UUID argument as canonical lower-case text.

    :raises ValueError: for anything else, of whatever type; the message names the argument.
    """
    if isinstance(value, uuid.UUID):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - `is_valid_uuid` too takes None for an invalid UUID
            f"{name} must be a UUID, as str or uuid.UUID, not {type(value).__name__}"
        )
    if not is_valid_uuid(value):
        raise ValueError(f"{name} must be a UUID such as 550e8400-e29b-41d4-a716-446655440000")
    return value.lower()


def role_name(name: str, value: object) -> str:
    """Return an argument that is the name of a role, of whatever app.

    :raises ValueError: for anything else, of whatever type; the message names the argument.
    """
    role = str.__str__(value) if isinstance(value, str) else None
    if role is None:
        raise ValueError(f"{name} must be the name of a role, not {type(value).__name__}")
    try:
        Roles((role,))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return role


def permission_name(name: str, value: object) -> str:
    """Return an argument that is the name of one permission.

    :raises ValueError: for anything else, of whatever type, and for a pattern such as
        ``accounts:*``; the message names the argument.
    """
    permission = str.__str__(value) if isinstance(value, str) else None
    if permission is None:
        raise ValueError(f"{name} must be the name of a permission, not {type(value).__name__}")
    if not _is_permission(permission):
        raise ValueError(
            f"{name} must be 1 to 255 characters of ASCII without spaces, quotes and backslashes, "
            f"as accounts:write, not {permission!r}"
        )
    if permission.endswith("*"):
        raise ValueError(f"{name} must name one permission, not the pattern {permission!r}")
    return permission


def permission_names(name: str, value: object) -> tuple[str, ...]:
    """Return an argument that is a list of names of permissions.

    :raises TypeError: for what is no list, tuple or set, say one str.
    :raises ValueError: as `permission_name`.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | Set):
        raise TypeError(f"{name} must be a list of names, not {type(value).__name__}")
    return tuple(permission_name(name, each) for each in value)


def _is_permission(text: str) -> bool:
    try:
        return is_permission(text)
    except ValueError:  # no Unicode text
        return False


def role_text(name: str, value: object, roles: Roles) -> str:
    """Return a role argument as its name.

    :param roles: those that it may be.
    :raises ValueError: for anything else, of whatever type; the message names the argument.
    """
    if value is WEAKEST_ROLE:
        return roles.names[0]
    role = str.__str__(value) if isinstance(value, str) else None
    if role not in roles.names:
        raise ValueError(f"{name} must be one of: {', '.join(roles.names)}")
    return role
