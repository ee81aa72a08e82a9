"""The roles, as the core knows them, and what they may reach."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, NamedTuple

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


# PostgreSQL's policies let the rows of all tenants pass where this is the role of the transaction.
RESERVED_ROLE: Final = "unscoped"


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
    if RESERVED_ROLE in names:
        raise ConfigurationError(
            f"AUTH_ROLES cannot be used: {RESERVED_ROLE!r} is what the database is told inside of "
            "unscoped(), and the name of no role"
        )
    try:
        Roles(names)
    except ValueError as error:
        raise ConfigurationError(f"AUTH_ROLES cannot be used: {error}") from None
    try:
        grants = tuple(permissions.get(name, ()) for name in names)
        return Roles(names, tenant_roles=tenant_roles, grants=grants)
    except ValueError as error:
        raise ConfigurationError(f"AUTH_PERMISSIONS cannot be used: {error}") from None


class RequiredRole(NamedTuple):
    """The roles that a view is for: some by their names, or one and all that are stronger."""

    names: tuple[str, ...]
    at_least: str | None = None

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"{self.at_least} or stronger"
        return ", ".join(self.names)

    def passing(self, roles: Roles, used_by: str) -> frozenset[str]:
        """Return the names of the roles that pass, in an app of these roles.

        :param used_by: the view, for the message.
        :raises ConfigurationError: where it names a role that the app does not have.
        """
        if self.at_least is None:
            require_known_roles(self.names, roles, used_by)
            return frozenset(self.names)
        require_known_roles((self.at_least,), roles, used_by)
        return frozenset(roles.names[roles.names.index(self.at_least) :])


def require_known_roles(names: Iterable[str], roles: Roles, used_by: str) -> None:
    """Raise where a view names a role that the app does not have.

    :param used_by: the view, for the message.
    :raises ConfigurationError: it names the view, the role and the nearest role.
    """
    for name in names:
        if name not in roles.names:
            raise ConfigurationError(unknown_role(name, roles, used_by))


def unknown_role(name: str, roles: Roles, used_by: str) -> str:
    """Return the sentence on a role that a view names and the app does not have."""
    known = ", ".join(roles.names)
    [nearest] = difflib.get_close_matches(name, roles.names, n=1, cutoff=0)
    return (
        f"{used_by}: verify_role names {name!r}, which is none of AUTH_ROLES: {known}. "
        f"The nearest one is {nearest!r}"
    )
