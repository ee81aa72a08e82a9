"""The database: one engine for each app, one session for each request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app, g
from flask.cli import with_appcontext
from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from flask_tenant_auth.sqlalchemy import isolate, policies


class Base(DeclarativeBase):
    """The base of all models."""


def init_app(app: Flask) -> None:
    """Give an app its engine, its sessions and the command `flask init-db`."""
    app.extensions["engine"] = make_engine(make_url(app.config["DATABASE_URL"]))
    # A statement sees the rows of the request's identity only. No view needs a filter for that.
    sessions = sessionmaker(app.extensions["engine"], expire_on_commit=False)
    app.extensions["sessions"] = isolate(sessions, row_level_security=True)
    app.teardown_appcontext(close)
    app.cli.add_command(init_db)


def make_engine(url: URL) -> Engine:
    """SQLite, set up for several processes, or PostgreSQL through psycopg."""
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        # A connection that the server has closed is replaced before it is used.
        return create_engine(url, pool_pre_ping=True)
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # Readers work beside one writer. A second writer waits.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA busy_timeout = 5000")

    return engine


def session() -> Session:
    """The session of this request."""
    if "session" not in g:
        g.session = current_app.extensions["sessions"]()
    current: Session = g.session
    return current


def close(_error: BaseException | None) -> None:
    """Close the session: roll back what was not committed, and release the connection."""
    current: Session | None = g.pop("session", None)
    if current is not None:
        current.close()


def create_tables() -> None:
    """Create the tables that are missing and, on PostgreSQL, their row-level policies."""
    engine: Engine = current_app.extensions["engine"]
    Base.metadata.create_all(engine)
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            for statement in policies.create_sql(metadata=Base.metadata):
                connection.execute(text(statement))


@click.command("init-db")
@with_appcontext
def init_db() -> None:
    """Create the tables that are missing."""
    create_tables()
