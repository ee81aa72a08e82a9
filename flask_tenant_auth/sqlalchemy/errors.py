"""The errors of isolation."""

from __future__ import annotations

from sqlalchemy.exc import DontWrapMixin

from ..errors import AuthError


class IsolationError(DontWrapMixin, RuntimeError):
    """A statement or a row that isolation does not allow. Nothing was read or written."""


class TenantContextMissing(IsolationError):  # noqa: N818 - a documented name
    """A statement on rows of tenants without an identity: no verified request, no acting_as()."""


class UnscopedStatement(IsolationError):  # noqa: N818
    """A statement that touches tenants' rows in a way that cannot be bounded."""


class ForeignRow(IsolationError, AuthError):  # noqa: N818
    """A row for, of or moved to another tenant or user; for a client it is a 403."""

    def __init__(self, reason: str) -> None:
        AuthError.__init__(self, "Access to this resource is denied", 403)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason
