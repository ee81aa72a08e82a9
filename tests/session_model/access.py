"""What the model test does to each store behind its back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from redis import Redis as Client
from sqlalchemy import create_engine, delete, insert, select, update
from sqlalchemy.schema import MetaData

from flask_tenant_auth.sessions.sql_tables import session_tables
from flask_tenant_auth.sessions.store import SessionStore
from flask_tenant_auth.sessions.stores import store_of
from memory_session_store import MemorySessionStore
from servers import PostgreSQL, Redis

from .run import Access


class MemoryAccess:
    """The store in memory."""

    def __init__(self) -> None:
        self.store = MemorySessionStore()
        self.move = self.store.move
        self.snapshot = self.store.snapshot
        self.put_back = self.store.put_back


class SqlAccess:
    """A store in an SQL database."""

    def __init__(self, url: str) -> None:
        self.store: SessionStore = store_of(url, ".")
        self.store.now()  # so that there are tables
        self._engine = create_engine(url)
        self._tables = session_tables(MetaData())

    def move(self, by: int) -> None:
        """As in the protocol."""
        table = self._tables.session
        columns = [table.c[f"rotated_{place}"] for place in (1, 2, 3)]
        columns += [table.c.used_at, table.c.expires_at, table.c.ends_at]
        with self._engine.begin() as connection:
            connection.execute(update(table).values({each: each - by for each in columns}))

    def snapshot(self) -> Any:
        """As in the protocol."""
        with self._engine.connect() as connection:
            return {
                table: [dict(row._mapping) for row in connection.execute(select(table))]
                for table in self._tables.all
            }

    def put_back(self, snapshot: Any) -> None:
        """As in the protocol."""
        with self._engine.begin() as connection:
            for table, rows in snapshot.items():
                connection.execute(delete(table))
                if rows:
                    connection.execute(insert(table), rows)

    def close(self) -> None:
        """Close the connections."""
        self.store.close()
        self._engine.dispose()


class RedisAccess:
    """A store in Redis."""

    TIMES = ("rotated_1", "rotated_2", "rotated_3", "used_at", "expires_at", "ends_at")

    def __init__(self, url: str) -> None:
        self.store: SessionStore = store_of(url, ".")
        self._client = Client.from_url(url)

    def move(self, by: int) -> None:
        """As in the protocol."""
        with self._client.pipeline() as pipeline:
            for key in self._client.scan_iter("*}:s:*", count=1000):
                for name in self.TIMES:
                    pipeline.hincrby(key, name, -by)
            pipeline.execute()

    def snapshot(self) -> Any:
        """As in the protocol."""
        keys = list(self._client.scan_iter(count=1000))
        return {key: (self._client.dump(key), max(self._client.pttl(key), 0)) for key in keys}

    def put_back(self, snapshot: Any) -> None:
        """As in the protocol."""
        self._client.flushall()
        for key, (value, left) in snapshot.items():
            self._client.restore(key, left, value)

    def close(self) -> None:
        """Close the connections."""
        self.store.close()
        self._client.close()


@contextmanager
def memory() -> Iterator[Access]:
    yield MemoryAccess()


@contextmanager
def sqlite() -> Iterator[Access]:
    with tempfile.TemporaryDirectory() as folder:
        access = SqlAccess(f"sqlite:///{folder}/sessions.db")
        yield access
        access.close()


@contextmanager
def postgresql() -> Iterator[Access]:
    with PostgreSQL() as server:
        access = SqlAccess(server.url)
        yield access
        access.close()


@contextmanager
def redis() -> Iterator[Access]:
    with Redis() as server:
        access = RedisAccess(server.url)
        yield access
        access.close()


STORES: dict[str, Callable[[], AbstractContextManager[Access]]] = {
    "memory": memory,
    "sqlite": sqlite,
    "postgresql": postgresql,
    "redis": redis,
}


def opened(name: str) -> AbstractContextManager[Access]:
    """Start what the store of this name needs, and return the access to it."""
    return STORES[name]()
