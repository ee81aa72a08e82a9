"""`flask auth rls-sql`, `flask auth rls-check`, and what `flask auth check` says of isolation.

SQLAlchemy is imported by the commands that need it, not by every `flask` command.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import current_app
from flask.app import Flask
from flask.cli import with_appcontext

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def isolation_lines(app: Flask) -> Iterator[str]:
    """Yield each place where the app bypasses isolation; nothing in an app that does not use it."""
    if "flask_tenant_auth.sqlalchemy" not in sys.modules:
        return
    from ...sqlalchemy.models import undeclared_classes
    from ...sqlalchemy.report import unscoped_uses

    for use in unscoped_uses(Path(app.root_path)):
        yield str(use)
    for cls in undeclared_classes():
        yield (
            f"{cls.__module__}.{cls.__qualname__} is neither TenantScoped nor UserScoped, nor "
            f"declared @global_table: everybody sees its rows"
        )


@click.command("rls-sql")
@click.option("--alembic", is_flag=True, help="As upgrade() and downgrade() of a migration.")
@click.option(
    "--without-unscoped",
    is_flag=True,
    help="No policy for unscoped(): it needs a role with BYPASSRLS then.",
)
@with_appcontext
def rls_sql(alembic: bool, without_unscoped: bool) -> None:
    """Print the policies of PostgreSQL's row-level security for all scoped tables."""
    from ...sqlalchemy import policies

    if not policies.tables():
        raise click.ClickException(
            "no class is TenantScoped or UserScoped: does the app import its models?"
        )
    if alembic:
        click.echo(policies.alembic_operations(not without_unscoped))
        return
    for statement in policies.create_sql(not without_unscoped):
        click.echo(f"{statement};")


@click.command("rls-check")
@click.option("--url", help="Connect to this database, instead of the app's own.")
@with_appcontext
def rls_check(url: str | None) -> None:
    """Connect as the app does, and exit 1 unless row-level security bounds it."""
    engine = engine_of(url)
    found = problems_of(engine)
    for problem in found:
        click.secho(f"Problem: {problem}", fg="red", err=True)
    if found:
        raise click.exceptions.Exit(1)
    click.secho(f"Row-level security bounds the role {engine.url.username}.", fg="green")


def problems_of(engine: Engine) -> list[str]:
    """Ask the database, with asyncio where its driver needs that."""
    from ...sqlalchemy import policies

    def ask(connection: Connection) -> list[str]:
        return list(policies.problems(connection))

    if not engine.dialect.is_async:
        with engine.connect() as connection:
            found = ask(connection)
        engine.dispose()
        return found

    from sqlalchemy.ext.asyncio import AsyncEngine

    async def ask_with_asyncio() -> list[str]:
        asynchronous = AsyncEngine(engine)
        try:
            async with asynchronous.connect() as connection:
                return await connection.run_sync(ask)
        finally:
            await asynchronous.dispose()

    return asyncio.run(ask_with_asyncio())


def engine_of(url: str | None) -> Engine:
    """Return the engine to check."""
    from sqlalchemy import create_engine

    from ...sqlalchemy.isolation import binds

    if url is not None:
        return create_engine(url)
    if "sqlalchemy" in current_app.extensions:  # Flask-SQLAlchemy
        engine: Engine = current_app.extensions["sqlalchemy"].engine
        return engine
    engines = binds()
    if len(engines) != 1:
        raise click.ClickException(
            f"{len(engines)} engines are bound to isolated sessions: say which with --url"
        )
    return engines[0]
