"""PostgreSQL's row-level security: the second wall, which also bounds raw SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from .._core import Identity
from .scope import Unscoped

PREFIX = "flask_tenant_auth"


def settings_sql(scope: Identity | Unscoped | None) -> str:
    """One SELECT that tells the transaction who is asking.

    The values are written into it, so that it needs no parameters and so no particular driver:
    an Identity holds canonical UUIDs and a known role, nothing that could end a literal.
    """
    values = {
        "tenant_id": getattr(scope, "tenant_id", ""),
        "user_id": getattr(scope, "user_id", ""),
        "role": "" if scope is None else scope.role,
    }
    calls = ", ".join(
        f"set_config('{PREFIX}.{name}', '{value}', true)" for name, value in values.items()
    )
    return f"SELECT {calls}"


class TransactionSettings:
    """What the current transaction of one connection has been told."""

    __slots__ = ("known", "opened", "scope")

    def __init__(self) -> None:
        self.known = False
        self.opened = False
        self.scope: Identity | Unscoped | None = None

    def forget(self) -> None:
        """Nothing is certain any more; tell it again before the next statement."""
        self.known = False

    def apply(self, connection: Connection, scope: Identity | Unscoped | None) -> None:
        """Tell the transaction who is asking, unless it knows."""
        if autocommits(connection):
            return
        if not self.known or self.scope != scope:
            run(connection, settings_sql(scope))
            self.known, self.scope = True, scope

    def before_statement(self, connection: Connection, scope: Identity | Unscoped | None) -> None:
        """Make sure that the next statement runs for the identity of the moment."""
        if autocommits(connection):
            # A transaction for this statement alone: settings that outlive it would be found by
            # whoever gets the server's session from a pooler next.
            run(connection, f"BEGIN; {settings_sql(scope)}")
            self.opened = True
        else:
            self.apply(connection, scope)

    def after_statement(self, connection: Connection) -> None:
        """End the transaction that before_statement() began."""
        if self.opened:
            self.opened = False
            run(connection, "COMMIT")

    def after_error(self, connection: Connection) -> None:
        """Give up the transaction that before_statement() began."""
        if self.opened:
            self.opened = False
            run(connection, "ROLLBACK")


def autocommits(connection: Connection) -> bool:
    """Whether every statement is a transaction of its own."""
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))


def run(connection: Connection, sql: str) -> None:
    """Execute SQL past SQLAlchemy's events, which brought us here."""
    cursor: Any = connection.connection.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()
