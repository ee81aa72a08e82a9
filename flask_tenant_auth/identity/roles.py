"""The roles, as the core knows them, and what they may reach."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from .._core import DEFAULT_ROLES, Roles
from ..errors import ConfigurationError


class UserRole(str, Enum):
    """A role's name. Each member is that str, also when it is printed or formatted."""

    USER = "user"
    ADMIN = "admin"

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


# The weakest role of an app that sets no AUTH_ROLES.
DEFAULT_ROLE: str = DEFAULT_ROLES.names[0]


class _Weakest(str):
    """The type of WEAKEST_ROLE, which no argument of a caller has."""

    __slots__ = ()


# An argument that is not given: the weakest role of the app, whatever its name.
WEAKEST_ROLE: Final = _Weakest(DEFAULT_ROLE)


def roles_of(
    names: tuple[str, ...],
    tenant_roles: tuple[str, ...],
    permissions: Mapping[str, tuple[str, ...]],
) -> Roles:
    """Return the roles of an app.

    :param names: weakest first.
    :param tenant_roles: those that reach the rows of their whole tenant.
    :param permissions: what each role is granted beside what weaker ones are.
    :raises ConfigurationError: for a name that can be none; the message names the setting.
    """
    try:
        Roles(names)
    except ValueError as error:
        raise ConfigurationError(f"AUTH_ROLES cannot be used: {error}") from None
    try:
        grants = tuple(permissions.get(name, ()) for name in names)
        return Roles(names, tenant_roles=tenant_roles, grants=grants)
    except ValueError as error:
        raise ConfigurationError(f"AUTH_PERMISSIONS cannot be used: {error}") from None


def roles_from(roles: Roles, weakest: str) -> frozenset[str]:
    """Return a role and all that are stronger.

    :raises ValueError: for what is none of the roles.
    """
    names = roles.names
    if weakest not in names:
        raise ValueError(f"at_least must be one of: {', '.join(names)}")
    return frozenset(names[names.index(weakest) :])
