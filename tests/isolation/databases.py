"""One isolated database with the rows of all, and a reference for each identity with its rows."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, Table, create_engine, event, insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool, StaticPool
from sqlalchemy.schema import CreateTable

from flask_tenant_auth.sqlalchemy import isolate

from .schema import EVERYTHING, NOBODY, PEOPLE, TABLES, Rows, Who, make_rows, visible

FIRST_GENERATED_KEY = 1000
Dump = dict[Table, Counter[tuple[Any, ...]]]


def quoted(table: Table) -> str:
    return ".".join(f'"{part}"' for part in (table.schema, table.name) if part)


def generates_keys(table: Table) -> bool:
    return table.autoincrement_column is not None


@contextmanager
def rolled_back(session: Session) -> Iterator[Session]:
    try:
        yield session
    finally:
        session.rollback()
        session.close()


class World:
    """The databases of one dialect."""

    dialect = ""
    default_schema = ""

    def __init__(self) -> None:
        self.people = [*PEOPLE, NOBODY, EVERYTHING]
        rows = make_rows()
        self.engine = self.make_engine(StaticPool, lambda: self.connect(EVERYTHING, full=True))
        self.prepare(self.engine, rows)
        waiting = list(self.people)
        self.reference = self.make_engine(
            QueuePool, lambda: self.connect(waiting.pop(0)), pool_size=len(waiting)
        )
        self.connections = {}
        for who in self.people:
            self.connections[who] = self.reference.connect()
            self.prepare(self.connections[who], visible(who, rows))
        self.Sessions = isolate(sessionmaker(self.engine))
        self.PlainSessions = sessionmaker(self.engine)
        raw = self.engine.raw_connection()
        self.raw = raw.driver_connection
        raw.close()
        self.raw_references = {
            who: connection.connection.driver_connection
            for who, connection in self.connections.items()
        }
        self.start: Dump = self.dump(self.raw)
        self.own: dict[Who, Dump] = {
            who: self.dump(raw) for who, raw in self.raw_references.items()
        }
        self.others: dict[Who, Dump] = {
            who: {table: self.start[table] - own[table] for table in TABLES}
            for who, own in self.own.items()
        }
        # (SQL, parameters, compiled statement) of each execution.
        self.executed: list[Any] = []
        self.executed_by_reference: list[Any] = []
        event.listen(self.engine, "before_cursor_execute", self.listener(self.executed))
        event.listen(
            self.reference, "before_cursor_execute", self.listener(self.executed_by_reference)
        )

    @staticmethod
    def listener(executed: list[Any]) -> Any:
        def before_cursor_execute(
            connection: Any, cursor: Any, sql: str, parameters: Any, context: Any, many: bool
        ) -> None:
            executed.append((sql, parameters, context.compiled if context else None))

        return before_cursor_execute

    def make_engine(self, pool: Any, creator: Any, **options: Any) -> Engine:
        raise NotImplementedError

    def connect(self, who: Who, full: bool = False) -> Any:
        raise NotImplementedError

    def dump(self, raw: Any) -> Dump:
        """Return all rows as the current transaction sees them, read without SQLAlchemy."""
        raise NotImplementedError

    def reset_keys(self, raw: Any) -> None:
        """Reset the sequences, so that both databases generate the same keys."""

    def prepare(self, bind: Any, rows: Rows) -> None:
        connection = bind.connect() if isinstance(bind, Engine) else bind
        self.create_tables(connection)
        for table in TABLES:
            if rows[table]:
                connection.execute(insert(table), rows[table])
        self.after_rows(connection)
        connection.commit()
        if connection is not bind:
            connection.close()

    def create_tables(self, connection: Any) -> None:
        # No foreign keys: a reference lacks rows that its rows refer to.
        for table in TABLES:
            made = CreateTable(table, include_foreign_key_constraints=[])
            connection.connection.driver_connection.execute(
                str(made.compile(dialect=connection.dialect))
            )

    def after_rows(self, connection: Any) -> None:
        pass

    @contextmanager
    def isolated(self) -> Iterator[Session]:
        """Yield an isolated session on the rows of all. Its changes are rolled back."""
        self.executed.clear()
        with rolled_back(self.Sessions()) as session:
            yield session

    @contextmanager
    def plain(self) -> Iterator[Session]:
        """Yield a plain session on the rows of all. Its changes are rolled back."""
        with rolled_back(self.PlainSessions()) as session:
            yield session

    @contextmanager
    def of(self, who: Who, qualified: bool = False) -> Iterator[Session]:
        """Yield a plain session on the rows that an identity may see. qualified adds the schema."""
        self.executed_by_reference.clear()
        session = Session(self.connections[who])
        if qualified:
            schemas = {None: self.default_schema}
            session.connection(execution_options={"schema_translate_map": schemas})
        try:
            yield session
        finally:
            session.rollback()
            session.close()
            self.connections[who].rollback()
            if qualified:
                self.connections[who].execution_options(schema_translate_map=None)

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()
        self.reference.dispose()
        self.engine.dispose()


class SQLite(World):
    dialect = "sqlite"
    default_schema = "main"

    def make_engine(self, pool: Any, creator: Any, **options: Any) -> Engine:
        for table in TABLES:
            if generates_keys(table):
                table.dialect_options["sqlite"]["autoincrement"] = True
        engine = create_engine(
            "sqlite://", poolclass=pool, creator=creator, enable_from_linting=False, **options
        )

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            connection.connection.driver_connection.execute("BEGIN")

        return engine

    def connect(self, who: Who, full: bool = False) -> Any:
        raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        raw.execute("ATTACH ':memory:' AS aux")
        return raw

    def after_rows(self, connection: Any) -> None:
        raw = connection.connection.driver_connection
        for schema in ("main", "aux"):
            for table in TABLES:
                if generates_keys(table) and (table.schema or "main") == schema:
                    raw.execute(
                        f"DELETE FROM {schema}.sqlite_sequence WHERE name = ?", (table.name,)
                    )
                    raw.execute(
                        f"INSERT INTO {schema}.sqlite_sequence VALUES (?, ?)",
                        (table.name, FIRST_GENERATED_KEY),
                    )

    def dump(self, raw: Any) -> Dump:
        return {
            table: Counter(raw.execute(f"SELECT * FROM {quoted(table)}").fetchall())
            for table in TABLES
        }


class PostgreSQL(World):
    dialect = "postgresql"
    default_schema = "public"

    def __init__(self, url: str) -> None:
        self.url: URL = make_url(url)
        self.number = 0
        administration = create_engine(url, isolation_level="AUTOCOMMIT")
        with administration.connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_database WHERE datname LIKE 'isolation_%%'"
            )
            self.prefix = f"isolation_{found.scalar()}"
            for number in range(len(PEOPLE) + 3):
                connection.exec_driver_sql(f"CREATE DATABASE {self.prefix}_{number}")
        administration.dispose()
        sequences = [
            f"setval('{quoted(table)[:-1]}_{table.autoincrement_column.name}_seq\"',"
            f" {FIRST_GENERATED_KEY})"
            for table in TABLES
            if generates_keys(table)
        ]
        self.reset = "SELECT " + ", ".join(sequences)
        self.dump_sql = "SELECT " + ", ".join(map(self.dump_of, TABLES))
        super().__init__()

    @staticmethod
    def dump_of(table: Table) -> str:
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        return f"(SELECT json_agg(json_build_array({columns})) FROM {quoted(table)})"

    def make_engine(self, pool: Any, creator: Any, **options: Any) -> Engine:
        return create_engine(
            "postgresql+psycopg://",
            poolclass=pool,
            creator=creator,
            enable_from_linting=False,
            **options,
        )

    def connect(self, who: Who, full: bool = False) -> Any:
        import psycopg

        database = f"{self.prefix}_{self.number}"
        self.number += 1
        raw = psycopg.connect(
            host=self.url.host, port=self.url.port, user=self.url.username, dbname=database
        )
        raw.execute("CREATE SCHEMA aux")
        raw.commit()
        return raw

    def create_tables(self, connection: Any) -> None:
        """As in the base class, in one round trip."""
        made = (CreateTable(table, include_foreign_key_constraints=[]) for table in TABLES)
        sql = ";".join(str(each.compile(dialect=connection.dialect)) for each in made)
        connection.connection.driver_connection.execute(sql)

    def reset_keys(self, raw: Any) -> None:
        raw.execute(self.reset)

    def dump(self, raw: Any) -> Dump:
        row = raw.execute(self.dump_sql).fetchone()
        return {
            table: Counter(map(tuple, rows or ())) for table, rows in zip(TABLES, row, strict=True)
        }
