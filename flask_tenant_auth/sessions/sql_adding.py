"""Adding a row whose id is the caller's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.exc import IntegrityError

from .sql_database import Database


def add_row(database: Database, table: Table, values: dict[str, Any], proof: str) -> None:
    """Insert a row, unless an attempt whose answer was lost has done so.

    :param proof: the column whose value nobody else has.
    """

    def work(connection: Connection) -> None:
        try:
            connection.execute(insert(table).values(values))
        except IntegrityError:
            kept = select(table.c[proof]).where(table.c.id == values["id"])
            if connection.scalar(kept) != values[proof]:
                raise

    database.run(work)
