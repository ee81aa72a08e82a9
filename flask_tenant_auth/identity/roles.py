"""The roles, as the core knows them."""

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
