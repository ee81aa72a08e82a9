"""What the parts of an SQL store share: its tables, and the conditions of revocations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)

from .sql_database import Database
from .sql_tables import Tables, now_ms

DAY_MS = 86_400_000
AT_ONCE = 500  # older SQLite takes 999 parameters in a statement


class SqlPart:
    """A part of a `SessionStore` in an SQL database."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = tables

    def _is_of(
        self,
        tenant_id: ColumnElement[str],
        user_id: ColumnElement[str],
        except_session: ColumnElement[str] | None,
    ) -> ColumnElement[bool]:
        """Return the condition that a revocation concerns a user, but not a session it excepts."""
        revocation = self._tables.revocation.c
        spares: ColumnElement[bool] = true()
        if except_session is not None:
            spares = or_(
                revocation.except_session.is_(None), revocation.except_session != except_session
            )
        return or_(
            revocation.kind == "everything",
            and_(revocation.kind == "tenant", revocation.tenant_id == tenant_id),
            and_(
                revocation.kind == "user",
                revocation.tenant_id == tenant_id,
                revocation.user_id == user_id,
                spares,
            ),
        )

    def _is_revoked(self) -> ColumnElement[bool]:
        """Return the condition that something around a session was revoked after it began."""
        session, revocation = self._tables.session, self._tables.revocation
        return exists(
            select(literal(1))
            .select_from(revocation)
            .where(
                revocation.c.at >= session.c.began_at,
                self._is_of(session.c.tenant_id, session.c.user_id, session.c.id),
            )
            .correlate(session)
        )

    def _reading(self, table: Table, except_session: ColumnElement[str] | None) -> Select[Any]:
        """Return the query of now, a row, and the last revocation around it, by its `row_id`."""
        revocation = self._tables.revocation
        revoked_at = (
            select(func.max(revocation.c.at))
            .where(self._is_of(table.c.tenant_id, table.c.user_id, except_session))
            .correlate(table)
            .scalar_subquery()
        )
        one = select(literal(1).label("one")).subquery()
        return select(
            now_ms().label("store_now"), revoked_at.label("last_revoked_at"), table
        ).select_from(one.outerjoin(table, table.c.id == bindparam("row_id")))

    def _read_row(self, asked: Select[Any], row_id: str) -> tuple[int, Any, int]:
        """Run such a query."""
        row = self._database.run(
            lambda connection: connection.execute(asked, {"row_id": row_id}).one()
        )
        return row.store_now, None if row.id is None else row, row.last_revoked_at or 0
