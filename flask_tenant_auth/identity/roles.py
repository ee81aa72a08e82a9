"""The roles, as the core knows them, and what they may reach."""

from __future__ import annotations

from enum import Enum


class UserRole(str, Enum):
    """A role's name. Each member is that str, also when it is printed or formatted."""

    USER = "user"
    ADMIN = "admin"

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


# Of a token or a header that names no role.
DEFAULT_ROLE: str = UserRole.USER.value
# These reach the rows of every user of their tenant.
TENANT_ROLES: frozenset[str] = frozenset({UserRole.ADMIN.value})


def reaches_tenant(role: str) -> bool:
    """Whether a role reaches the rows of its whole tenant, and not only the user's own."""
    return role in TENANT_ROLES
