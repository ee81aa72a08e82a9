"""The roles by name. `_core.ROLES` is the list of them; a test holds `UserRole` to it."""

from __future__ import annotations

from enum import Enum


class UserRole(str, Enum):
    """A role's name, the weakest first. Each member is that str, also printed or formatted."""

    USER = "user"
    ADMIN = "admin"

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


# The role that reaches every row of its tenant. Any other reaches the rows of its user.
TENANT_ROLE = UserRole.ADMIN
