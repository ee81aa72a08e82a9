"""Sessions in an SQL database: SQLite, PostgreSQL or MySQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    and_,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from .sql_adding import add_row
from .sql_database import Database
from .sql_keys import SqlKeys
from .sql_part import AT_ONCE, DAY_MS
from .sql_revocations import SqlRevocations
from .sql_tables import Tables, changing_values, chunks, now_ms, session_of, session_values
from .store import Read, Revocation, Session

_MOST_PURGED = 1000
# How long rows are kept for people who look at them.
_SESSION_KEPT_MS = DAY_MS
_KEY_KEPT_MS = 30 * DAY_MS


class SqlStore(SqlKeys, SqlRevocations):
    """A `SessionStore` in an SQL database."""

    def __init__(self, database: Database, tables: Tables) -> None:
        super().__init__(database, tables)
        self._reading_session = self._reading(tables.session, tables.session.c.id)

    def describe(self) -> str:
        """As in the protocol."""
        return self._database.describe()

    def now(self) -> int:
        """As in the protocol."""

        def work(connection: Connection) -> int:
            return connection.scalars(select(now_ms())).one()

        return self._database.run(work)

    def close(self) -> None:
        """As in the protocol."""
        self._database.close()

    # Sessions

    def create(self, session: Session, most: int | None) -> list[Session]:
        """As in the protocol.

        The session is committed first. So of several that begin at the same moment, the last one
        to look sees all of them.
        """
        add_row(self._database, self._tables.session, session_values(session), "salt")
        if most is None:
            return []
        return self._end_first(session, most)

    def _end_first(self, session: Session, most: int) -> list[Session]:
        table = self._tables.session
        going_on = self._going_on(session.tenant_id, session.user_id)

        def find(connection: Connection) -> list[Session]:
            return [session_of(row) for row in connection.execute(going_on).all()[most:]]

        def end(connection: Connection) -> list[Session]:
            ended = []
            for each in found:
                revocation = Revocation(
                    kind="session",
                    tenant_id=each.tenant_id,
                    user_id=each.user_id,
                    id=each.id,
                    ends_at=each.ends_at + DAY_MS,
                )
                if self._end_sessions(connection, [each.id], "too_many"):
                    self._insert(connection, revocation, "too_many")
                    row = connection.execute(select(table).where(table.c.id == each.id)).one()
                    ended.append(session_of(row))
            return ended

        found = self._database.run(find)
        return self._database.run(end, atomic=True) if found else []

    def read(self, session_id: str) -> Read:
        """As in the protocol."""
        now, row, revoked_at = self._read_row(self._reading_session, session_id)
        return Read(now, None if row is None else session_of(row), revoked_at)

    def revoked_at(self, tenant_id: str, user_id: str) -> int:
        """As in the protocol."""
        revocation = self._tables.revocation
        found = select(func.max(revocation.c.at)).where(
            self._is_of(literal(tenant_id), literal(user_id), None)
        )
        return self._database.run(lambda connection: connection.scalar(found)) or 0

    def advance(self, before: Session, after: Session) -> int | None:
        """As in the protocol."""
        table = self._tables.session
        values = changing_values(after)
        moves = after.counter != before.counter
        if moves:
            values["used_at"] = values["rotated_1"] = now_ms()
        is_before = (
            table.c.ended_at.is_(None)
            if before.ended_at is None
            else table.c.ended_at == before.ended_at
        )
        change = (
            update(table)
            .where(
                table.c.id == before.id,
                table.c.counter == before.counter,
                is_before,
                ~self._is_revoked(),
            )
            .values(values)
        )

        def work(connection: Connection) -> int | None:
            if connection.dialect.update_returning:
                # The time that was written: the row may have been waited for in between.
                written = change.returning(table.c.used_at if moves else now_ms())
                at: int | None = connection.scalar(written)
                return at
            changed = connection.execute(change).rowcount
            return connection.scalar(select(now_ms())) if changed else None

        return self._database.run(work)

    def sessions(self, tenant_id: str, user_id: str) -> list[Session]:
        """As in the protocol."""
        going_on = self._going_on(tenant_id, user_id)

        def work(connection: Connection) -> list[Session]:
            return [session_of(row) for row in connection.execute(going_on)]

        return self._database.run(work)

    def _going_on(self, tenant_id: str, user_id: str) -> Select[Any]:
        table = self._tables.session
        return (
            select(table)
            .where(
                table.c.tenant_id == tenant_id,
                table.c.user_id == user_id,
                table.c.ended_at.is_(None),
                table.c.expires_at > now_ms(),
                table.c.ends_at > now_ms(),
                ~self._is_revoked(),
            )
            .order_by(table.c.began_at.desc(), table.c.id.desc())
        )

    # Purging

    def purge(self) -> int:
        """As in the protocol."""
        session, key = self._tables.session, self._tables.api_key
        revocation = self._tables.revocation
        last = select(func.max(revocation.c.number)).scalar_subquery()
        purged = 0
        for column, condition in (
            (
                session.c.id,
                or_(
                    session.c.expires_at < now_ms() - _SESSION_KEPT_MS,
                    session.c.ended_at < now_ms() - _SESSION_KEPT_MS,
                ),
            ),
            (
                revocation.c.number,
                and_(revocation.c.ends_at < now_ms(), revocation.c.number < last),
            ),
            (
                key.c.id,
                or_(
                    key.c.expires_at < now_ms() - _KEY_KEPT_MS,
                    key.c.ended_at < now_ms() - _KEY_KEPT_MS,
                ),
            ),
        ):
            purged += self._purge(column, condition, _MOST_PURGED - purged)
        return purged

    def _purge(self, column: ColumnElement[Any], condition: ColumnElement[bool], most: int) -> int:
        table: Table = column.table
        found: Sequence[Any] = ()
        if most > 0:
            asked = select(column).where(condition).limit(most)
            found = self._database.run(lambda connection: connection.scalars(asked).all())
        purged = 0
        for some in chunks(found, AT_ONCE):
            # By what is known now: MySQL takes no query of the same table in a DELETE.
            removing = delete(table).where(column.in_(some))
            purged += self._database.run(partial(_removed, removing))
        return purged


def _removed(removing: Delete, connection: Connection) -> int:
    return connection.execute(removing).rowcount
