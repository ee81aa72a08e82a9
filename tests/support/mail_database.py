"""The mail service on PostgreSQL, with a role that owns the tables and one that uses them."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from flask_tenant_auth.sqlalchemy import isolate
from mail import populate
from servers import PostgreSQL


class TwoPhasePostgreSQL(PostgreSQL):
    """A PostgreSQL that takes two-phase commits."""

    def command(self) -> list[str]:
        return [*super().command(), "-c", "max_prepared_transactions=4"]


class SecuredSession(Session):
    """Isolated sessions that row-level security backs."""


isolate(SecuredSession, row_level_security=True)


class Database:
    """A database whose tables belong to one role, and are used by another."""

    def __init__(self, server: PostgreSQL, name: str) -> None:
        self.name = name
        self.url = server.url.rpartition("/")[0] + f"/{name}"
        self.superuser = create_engine(self.url)
        self.engines = [self.superuser]
        administration = create_engine(server.url, isolation_level="AUTOCOMMIT")
        with administration.connect() as connection:
            for role in ("owner", "app"):
                connection.execute(text(f"CREATE ROLE {name}_{role} LOGIN"))
            connection.execute(text(f"CREATE DATABASE {name} OWNER {name}_owner"))
        administration.dispose()
        self.owner = self.engine("owner")
        populate(self.owner)
        self.run(
            self.owner,
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}_app",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}_app",
            # The rows were written with numbers of their own.
            "SELECT setval('account_id_seq', 10000), setval('message_id_seq', 100000)",
        )

    def engine(self, role: str, pool_size: int = 1) -> Engine:
        engine = create_engine(
            self.url.replace("postgres@", f"{self.name}_{role}@"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=60,
        )
        self.engines.append(engine)
        return engine

    def dispose(self) -> None:
        for engine in self.engines:
            engine.dispose()

    @staticmethod
    def run(engine: Engine, *statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
