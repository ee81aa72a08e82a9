"""API keys in an SQL database."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, update

from .sql_adding import add_row
from .sql_database import Database
from .sql_part import SqlPart
from .sql_tables import Tables, key_of, key_values, now_ms
from .store import ApiKey


class SqlKeys(SqlPart):
    """The methods of a `SessionStore` for API keys."""

    def __init__(self, database: Database, tables: Tables) -> None:
        super().__init__(database, tables)
        self._reading_key = self._reading(tables.api_key, None)

    def add_key(self, key: ApiKey) -> None:
        """As in the protocol."""
        add_row(self._database, self._tables.api_key, key_values(key), "digest")

    def read_key(self, key_id: str) -> tuple[int, ApiKey | None, int]:
        """As in the protocol."""
        now, row, revoked_at = self._read_row(self._reading_key, key_id)
        return now, None if row is None else key_of(row), revoked_at

    def keys(self, tenant_id: str, user_id: str | None) -> list[ApiKey]:
        """As in the protocol."""
        table = self._tables.api_key
        asked = select(table).where(table.c.tenant_id == tenant_id)
        if user_id is not None:
            asked = asked.where(table.c.user_id == user_id)
        newest_first = asked.order_by(table.c.created_at.desc(), table.c.id)

        def work(connection: Connection) -> list[ApiKey]:
            return [key_of(row) for row in connection.execute(newest_first)]

        return self._database.run(work)

    def end_key(self, tenant_id: str, key_id: str) -> bool:
        """As in the protocol."""
        table = self._tables.api_key
        change = (
            update(table)
            .where(table.c.id == key_id, table.c.tenant_id == tenant_id)
            .values(ended_at=func.coalesce(table.c.ended_at, now_ms()))
        )

        def work(connection: Connection) -> bool:
            return connection.execute(change).rowcount == 1

        return self._database.run(work)

    def note_key_use(self, key_id: str) -> None:
        """As in the protocol."""
        table = self._tables.api_key
        change = update(table).where(table.c.id == key_id).values(used_at=now_ms())

        def work(connection: Connection) -> None:
            connection.execute(change)

        self._database.run(work)
