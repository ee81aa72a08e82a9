"""For whom PostgreSQL runs a statement: whoever is in force when it runs, or nobody."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from flask_tenant_auth.sqlalchemy import (
    TenantContextMissing,
    UnscopedStatement,
    driver_hooks,
    isolate,
    policies,
    row_level_security,
    unscoped,
)
from flask_tenant_auth.sqlalchemy.scope import current_scope
from mail import ADMIN_RED, ANN_BLUE, ANN_RED, EVERYBODY, OWNERS, Account, Base, Who
from mail_database import Database, SecuredSession, TwoPhasePostgreSQL
from mail_queries import ids, own
from servers import PostgreSQL

IDS = "SELECT id FROM account ORDER BY id"
IDS_WHERE = "SELECT id FROM account WHERE"
EVERY_ID = sorted(100 * number + n for number in range(1, 1 + len(OWNERS)) for n in (1, 2, 3))
VISIBLE = {who: [account.id for account in own(who, Account)] for who in EVERYBODY}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with TwoPhasePostgreSQL() as server:
        yield server


@pytest.fixture(scope="module")
def database(server: PostgreSQL) -> Iterator[Database]:
    database = Database(server, "asked")
    database.run(database.owner, *policies.create_sql(metadata=Base.metadata))
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def engine(database: Database) -> Engine:
    return database.engine("app", pool_size=2)


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with SecuredSession(engine) as session:
        yield session


def fairy(session: Session):
    return session.connection().connection


def driver(session: Session) -> psycopg.Connection:
    return session.connection().connection.driver_connection


# --- Every way to a cursor ------------------------------------------------------


def copied(session: Session) -> list[int]:
    with (
        driver(session).cursor() as cursor,
        cursor.copy(f"COPY ({IDS}) TO STDOUT") as copy,
    ):
        return [int(bytes(block)) for block in copy]


def named(session: Session) -> list[int]:
    with driver(session).cursor("named") as cursor:
        return [row[0] for row in cursor.execute(IDS)]


def named_otherwise(session: Session) -> list[int]:
    with psycopg.ServerCursor(driver(session), "otherwise") as cursor:
        return [row[0] for row in cursor.execute(IDS)]


def pipelined(session: Session) -> list[int]:
    connection = driver(session)
    with connection.pipeline():
        first = connection.execute(IDS)
        second = connection.execute(IDS, prepare=True)
        found = [row[0] for row in first]
        assert [row[0] for row in second] == found
    return found


def in_a_driver_transaction(session: Session) -> list[int]:
    connection = driver(session)
    with connection.transaction(force_rollback=True):
        found = [row[0] for row in connection.execute(IDS)]
    assert [row[0] for row in connection.execute(IDS)] == found
    return found


def many(session: Session) -> list[int]:
    with driver(session).cursor() as cursor:
        cursor.executemany(f"{IDS_WHERE} id %% 3 = %s", [(0,), (1,), (2,)], returning=True)
        found = [row[0] for row in cursor]
        while cursor.nextset():
            found += [row[0] for row in cursor]
        return found


def core(session: Session) -> list[int]:
    """Ask by a construct, which is an error without an identity, and no empty answer."""
    try:
        return session.scalars(select(Account.__table__.c.id)).all()
    except TenantContextMissing:
        return []


WAYS: dict[str, Callable[[Session], list[int]]] = {
    "text": lambda s: s.scalars(text(IDS)).all(),
    "text that is not told apart": lambda s: s.scalars(text(f"/* all */ {IDS}")).all(),
    "Core": core,
    "exec_driver_sql": lambda s: [row[0] for row in s.connection().exec_driver_sql(IDS)],
    "stream_results": lambda s: s.scalars(
        text(IDS), execution_options={"stream_results": True, "max_row_buffer": 1}
    ).all(),
    "cursor of the pool's connection": lambda s: [row[0] for row in fairy(s).cursor().execute(IDS)],
    "cursor of the driver's connection": lambda s: [
        row[0] for row in driver(s).cursor().execute(IDS)
    ],
    "execute of the driver's connection": lambda s: [row[0] for row in driver(s).execute(IDS)],
    "a server-side cursor": named,
    "a server-side cursor that its connection did not make": named_otherwise,
    "stream": lambda s: [row[0] for row in driver(s).cursor().stream(IDS)],
    "COPY": copied,
    "executemany": many,
    "a pipeline": pipelined,
    "a transaction of the driver's": in_a_driver_transaction,
    "a cursor that SQL declares": lambda s: (
        s.execute(text(f"DECLARE told CURSOR FOR {IDS}")),
        s.scalars(text("FETCH ALL FROM told")).all(),
        s.execute(text("CLOSE told")),
    )[1],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_cursor_runs_for_the_identity_in_force_and_not_for_the_first(
    session: Session, way: str
) -> None:
    ask = WAYS[way]
    with ADMIN_RED.acting():
        assert sorted(ask(session)) == VISIBLE[ADMIN_RED]
        with ANN_BLUE.acting():
            assert sorted(ask(session)) == VISIBLE[ANN_BLUE]
        assert sorted(ask(session)) == VISIBLE[ADMIN_RED]
        with unscoped("everybody's rows"):
            assert sorted(ask(session)) == EVERY_ID
        assert sorted(ask(session)) == VISIBLE[ADMIN_RED]
    assert ask(session) == []


@pytest.mark.parametrize("way", WAYS)
def test_any_first_statement_of_a_transaction_is_bounded(session: Session, way: str) -> None:
    with ANN_RED.acting():
        assert sorted(WAYS[way](session)) == VISIBLE[ANN_RED]


@pytest.mark.parametrize("way", WAYS)
def test_a_cursor_made_before_the_identity_ended_sees_nothing(session: Session, way: str) -> None:
    with ANN_RED.acting():
        cursor = fairy(session).cursor()
        assert len(cursor.execute(IDS).fetchall()) == 3
        WAYS[way](session)
    assert cursor.execute(IDS).fetchall() == []
    with unscoped("everybody's rows"):
        assert len(cursor.execute(IDS).fetchall()) == 12
    assert cursor.execute(IDS).fetchall() == []


OTHER_CURSORS: dict[str, Callable[[psycopg.Connection], psycopg.Cursor]] = {
    "ClientCursor": psycopg.ClientCursor,
}


@pytest.mark.parametrize("kind", OTHER_CURSORS)
def test_a_cursor_that_its_connection_did_not_make_sees_nothing(
    session: Session, kind: str
) -> None:
    """What it will send is not known before, and could be anything."""
    make = OTHER_CURSORS[kind]
    for who in (ADMIN_RED, ANN_BLUE):
        with who.acting():
            assert session.scalars(text(IDS)).all() == VISIBLE[who]
            with make(driver(session)) as cursor:
                assert cursor.execute(IDS).fetchall() == []
            assert session.scalars(text(IDS)).all() == VISIBLE[who]
    with make(driver(session)) as cursor:
        assert cursor.execute(IDS).fetchall() == []


def test_a_cursor_class_of_the_application_is_bounded(database: Database) -> None:
    engine = create_engine(
        database.url.replace("postgres@", f"{database.name}_app@"),
        connect_args={"cursor_factory": psycopg.ClientCursor},
        poolclass=NullPool,
    )
    with SecuredSession(engine) as session, ANN_RED.acting():
        cursor = driver(session).cursor()
        assert isinstance(cursor, psycopg.ClientCursor)
        assert sorted(row[0] for row in cursor.execute(IDS)) == VISIBLE[ANN_RED]
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]


# --- What takes the settings back, or changes them --------------------------------

CHANGES = {
    "ROLLBACK TO SAVEPOINT": "ROLLBACK TO SAVEPOINT before",
    "ROLLBACK TO": "ROLLBACK TO before",
    "a comment first": "/* SELECT */ ROLLBACK TO SAVEPOINT before",
    "a second command": "SELECT 1; ROLLBACK TO SAVEPOINT before",
    "ROLLBACK": "ROLLBACK",
    "ROLLBACK AND CHAIN": "ROLLBACK AND CHAIN",
    "COMMIT": "COMMIT",
    "RESET ALL": "RESET ALL",
    "RESET": "RESET flask_tenant_auth.role",
    "SET LOCAL": "SET LOCAL flask_tenant_auth.role = 'unscoped'",
    "set_config": "SELECT set_config('flask_tenant_auth.role', 'unscoped', true)",
    "set_config with a comment": (
        "SELECT set_config/**/('flask_tenant_auth.role', 'unscoped', true)"
    ),
    "set_config, quoted": (
        """SELECT pg_catalog."set_config" ('flask_tenant_auth.role', 'unscoped', true)"""
    ),
    "set_config, escaped": (
        """SELECT U&"\\0073et_config"('flask_tenant_auth.role', 'unscoped', true)"""
    ),
    "DO": ("DO $$BEGIN PERFORM set_config('flask_tenant_auth.role', 'unscoped', true); END$$"),
    "EXPLAIN ANALYZE": (
        "EXPLAIN ANALYZE SELECT set_config('flask_tenant_auth.role', 'unscoped', true)"
    ),
}
SENDERS: dict[str, Callable[[Session, str], object]] = {
    "text": lambda s, sql: s.execute(text(sql.replace(":", "\\:"))),
    "exec_driver_sql": lambda s, sql: s.connection().exec_driver_sql(sql),
    "cursor": lambda s, sql: fairy(s).cursor().execute(sql),
    "another cursor": lambda s, sql: psycopg.ClientCursor(driver(s)).execute(sql),
}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("change", CHANGES)
def test_settings_that_sql_changed_are_restored_before_the_next_statement(
    session: Session, change: str, sender: str
) -> None:
    send = SENDERS[sender]
    with unscoped("everybody's rows"):
        session.execute(text("SELECT 1"))
        send(session, "SAVEPOINT before")
    with ANN_RED.acting():
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
        send(session, CHANGES[change])
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
        assert session.scalars(select(Account.id).order_by(Account.id)).all() == VISIBLE[ANN_RED]
        send(session, "SELECT 1")
    assert session.scalars(text(IDS)).all() == []
    session.rollback()


def test_settings_that_a_function_changed_are_restored(session: Session) -> None:
    with ANN_RED.acting():
        session.execute(select(func.set_config("flask_tenant_auth.role", "unscoped", True))).all()
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]


@pytest.mark.parametrize("sender", ["text", "exec_driver_sql", "cursor"])
@pytest.mark.parametrize("nested", [True, False], ids=["begin_nested", "SAVEPOINT"])
def test_one_text_that_rolls_back_to_a_savepoint_and_reads_is_bounded(
    session: Session, sender: str, nested: bool
) -> None:
    with unscoped("everybody's rows"):
        assert session.scalars(text(IDS)).all() == EVERY_ID
        if nested:
            session.begin_nested()
            name = "sa_savepoint_1"
        else:
            name = "before"
            SENDERS[sender](session, "SAVEPOINT before")
        assert session.scalars(text(IDS)).all() == EVERY_ID
    with ANN_RED.acting():
        raw = driver(session).cursor()
        raw.execute(f"ROLLBACK TO SAVEPOINT {name}; {IDS}")
        assert raw.nextset()
        assert raw.fetchall() == []
        # Positive control: the savepoint is there, and the rows are to be seen again.
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
    session.rollback()


# --- The server's cursors ---------------------------------------------------------


def test_a_server_side_cursor_is_read_by_the_identity_that_opened_it(session: Session) -> None:
    with unscoped("everybody's rows"):
        result = session.execute(text(IDS), execution_options={"yield_per": 1})
        assert result.fetchone() == (101,)
        with ANN_RED.acting():
            assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
            with pytest.raises(UnscopedStatement, match="opened for another identity"):
                result.fetchone()
    with unscoped("everybody's rows"), driver(session).cursor("mine") as cursor:
        cursor.execute(IDS)
        assert cursor.fetchone() == (101,)
        with ANN_RED.acting():
            assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
            for read in (cursor.fetchone, cursor.fetchall, lambda: cursor.scroll(1)):
                with pytest.raises(UnscopedStatement, match="opened for another identity"):
                    read()
            session.execute(text("SELECT 1"))
        assert cursor.fetchone() == (102,)
        assert len(cursor.fetchall()) == 10


def test_a_server_side_cursor_is_not_read_by_name_for_another_identity(
    session: Session,
) -> None:
    with unscoped("everybody's rows"):
        theirs = driver(session).cursor("theirs")
        theirs.execute(IDS)
        driver(session).execute("SAVEPOINT before")
    with ANN_RED.acting(), driver(session).cursor("theirs") as mine:
        with pytest.raises(psycopg.Error, match="already exists"):
            mine.execute(IDS)
        driver(session).execute("ROLLBACK TO SAVEPOINT before")
        with pytest.raises(UnscopedStatement, match="opened for another identity"):
            mine.fetchall()
        mine._close()  # without CLOSE, which would close the other
    with unscoped("everybody's rows"):
        assert len(theirs.fetchall()) == 12
        theirs.close()


def test_sql_that_names_the_cursor_of_another_identity_is_rejected(session: Session) -> None:
    with unscoped("everybody's rows"):
        cursor = driver(session).cursor("theirs")
        cursor.execute(IDS)
    with ANN_RED.acting():
        for sender in ("text", "cursor"):
            with pytest.raises(UnscopedStatement):
                SENDERS[sender](session, "FETCH ALL FROM theirs")
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
    with unscoped("everybody's rows"):
        assert len(driver(session).execute("FETCH ALL FROM theirs").fetchall()) == 12
        cursor.close()


@pytest.mark.parametrize("hold", ["", "WITH HOLD"])
def test_cursors_that_sql_declared_are_closed_when_the_identity_changes(
    session: Session, hold: str
) -> None:
    with unscoped("everybody's rows"):
        session.execute(text(f"DECLARE declared CURSOR {hold} FOR {IDS}"))
        assert len(session.execute(text("FETCH 2 FROM declared")).all()) == 2
        with session.begin_nested():
            assert len(session.execute(text("FETCH 2 FROM declared")).all()) == 2
        if hold:
            session.commit()
            assert len(session.execute(text("FETCH 2 FROM declared")).all()) == 2
    with ANN_RED.acting():
        if hold:
            session.rollback()
        with pytest.raises(DBAPIError, match="does not exist"):
            session.execute(text("FETCH ALL FROM declared"))
        session.rollback()
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]


def test_settings_whose_sending_was_interrupted_are_sent_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ANN_RED.acting():
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
        with ADMIN_RED.acting(), monkeypatch.context() as patched:

            def interrupted(_: object) -> None:
                raise KeyboardInterrupt

            patched.setattr(row_level_security.Settings, "note_set", interrupted)
            with pytest.raises(KeyboardInterrupt):
                driver(session).execute(IDS)
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]


# --- After the session -------------------------------------------------------------


def test_a_connection_that_outlives_its_session_has_no_identity(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin():
        with ANN_RED.acting():
            with SecuredSession(connection) as session:
                assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
            assert connection.in_transaction()
            assert connection.scalars(text(IDS)).all() == []
        with ADMIN_RED.acting(), SecuredSession(connection) as session:
            assert session.scalars(text(IDS)).all() == VISIBLE[ADMIN_RED]
        assert connection.connection.cursor().execute(IDS).fetchall() == []


def test_the_driver_is_unchanged_after_the_session(engine: Engine) -> None:
    with ANN_RED.acting(), SecuredSession(engine) as session:
        session.execute(text("SELECT 1"))
        connection = driver(session)
        assert "_start_query" in vars(connection)
    assert not {"_start_query", "_exec_command", "_flask_tenant_auth"} & set(vars(connection))
    assert connection.cursor_factory is psycopg.Cursor
    assert connection.server_cursor_factory is psycopg.ServerCursor


def test_a_transaction_for_one_statement_ends_when_another_listener_fails(
    database: Database,
) -> None:
    engine = database.engine("app").execution_options(isolation_level="AUTOCOMMIT")

    def fail(*_: object) -> None:
        raise RuntimeError("another listener")

    with ANN_RED.acting(), SecuredSession(engine) as session:
        session.connection()
        event.listen(Engine, "before_cursor_execute", fail)
        with pytest.raises(RuntimeError):
            session.execute(text("SELECT 1"))
        event.remove(Engine, "before_cursor_execute", fail)
        assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
        assert driver(session).execute(IDS).fetchall() == []
    with engine.connect() as connection:
        assert connection.scalars(text(IDS)).all() == []


def test_a_connection_whose_transaction_could_not_be_ended_is_not_used_again(
    database: Database,
) -> None:
    engine = database.engine("app").execution_options(isolation_level="AUTOCOMMIT")
    found = []
    for fails in (False, True):
        with ANN_RED.acting(), SecuredSession(engine) as session:
            session.execute(text("SELECT 1"))
            found.append(driver(session))
            row_level_security.settings_of(session.connection()).opened = fails
    with engine.connect() as connection:
        found.append(connection.connection.driver_connection)
        assert connection.scalars(text(IDS)).all() == []
    assert found[0] is found[1]  # positive control: the pool has one connection
    assert found[1] is not found[2]


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize(
    "sql",
    [
        "SET flask_tenant_auth.role = 'unscoped'",
        "SELECT set_config('FLASK_TENANT_AUTH.role', 'unscoped', false)",
    ],
)
def test_settings_that_outlive_the_transaction_do_not_reach_the_pool(
    database: Database, sender: str, sql: str
) -> None:
    engine = database.engine("app")
    with SecuredSession(engine) as session:
        with ANN_RED.acting():
            SENDERS[sender](session, sql)
            session.commit()
            assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
        assert session.scalars(text(IDS)).all() == []
    with engine.connect() as connection:
        assert connection.scalars(text(IDS)).all() == []


# --- AUTOCOMMIT ---------------------------------------------------------------------


def test_autocommit_is_bounded_for_prepared_statements_too(database: Database) -> None:
    """More often than psycopg executes a text before it prepares it."""
    engine = database.engine("app").execution_options(isolation_level="AUTOCOMMIT")
    with SecuredSession(engine) as session, ANN_RED.acting():
        for _ in range(12):
            assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
            assert (
                session.scalars(select(Account.id).order_by(Account.id)).all() == VISIBLE[ANN_RED]
            )
            assert driver(session).execute(IDS).fetchall() == []


def test_a_transaction_begun_in_autocommit_is_bounded(database: Database) -> None:
    engine = database.engine("app").execution_options(isolation_level="AUTOCOMMIT")
    with SecuredSession(engine) as session:
        session.execute(text("BEGIN"))
        with ANN_RED.acting():
            session.execute(text("UPDATE account SET size = 77"))
            assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
        with ADMIN_RED.acting():
            assert session.scalars(text(f"{IDS_WHERE} size = 77")).all() == VISIBLE[ANN_RED]
            session.execute(text("ROLLBACK"))
            assert session.scalars(text(f"{IDS_WHERE} size = 77")).all() == []
            assert session.scalars(text(IDS)).all() == VISIBLE[ADMIN_RED]


# --- Other drivers -------------------------------------------------------------------


class SecuredAsyncSession(AsyncSession):
    pass


isolate(SecuredAsyncSession, row_level_security=True)

ASYNC_DRIVERS = ["asyncpg", "psycopg"]


def async_engine(database: Database, name: str, **options: object):
    url = database.url.replace("postgres@", f"{database.name}_app@")
    return create_async_engine(url.replace("+psycopg", f"+{name}"), poolclass=NullPool, **options)


async def raw_ids(name: str, session: AsyncSession) -> list[int]:
    connection = (await (await session.connection()).get_raw_connection()).driver_connection
    if name == "asyncpg":
        return [row[0] for row in await connection.fetch(IDS)]
    return [row[0] for row in await (await connection.execute(IDS)).fetchall()]


@pytest.mark.parametrize("name", ASYNC_DRIVERS)
@pytest.mark.parametrize("level", ["READ COMMITTED", "AUTOCOMMIT"])
def test_async_sessions_are_bounded(database: Database, name: str, level: str) -> None:
    async def work() -> None:
        engine = async_engine(database, name, isolation_level=level)
        raw_is_told = level != "AUTOCOMMIT"
        async with SecuredAsyncSession(engine) as session:
            for _ in range(3):
                for who in EVERYBODY:
                    with who.acting():
                        assert (await session.scalars(text(IDS))).all() == VISIBLE[who]
                        found = (await session.scalars(select(Account.id))).all()
                        assert ids(found) == VISIBLE[who]
                        assert await raw_ids(name, session) == VISIBLE[who] * raw_is_told
                assert await raw_ids(name, session) == []
                assert (await session.scalars(text(IDS))).all() == []
            with unscoped("everybody's rows"):
                assert (await session.scalars(text(IDS))).all() == EVERY_ID
            with ANN_RED.acting():
                with pytest.raises(DBAPIError):
                    await session.execute(text("SELECT nonsense"))
                await session.rollback()
                assert (await session.scalars(text(IDS))).all() == VISIBLE[ANN_RED]
                # Written, and read by a transaction of somebody else's.
                await session.execute(text("UPDATE account SET size = 88"))
                await session.commit()
            with ADMIN_RED.acting():
                changed = text(f"{IDS_WHERE} size = 88")
                assert (await session.scalars(changed)).all() == VISIBLE[ANN_RED]
                await session.execute(text("UPDATE account SET size = id % 100"))
                await session.commit()
        await engine.dispose()

    asyncio.run(work())


@pytest.mark.parametrize("name", ASYNC_DRIVERS)
def test_savepoints_errors_and_streams_of_async_sessions_are_bounded(
    database: Database, name: str
) -> None:
    long = text("SELECT id FROM account, generate_series(1, 100) ORDER BY id")

    async def work() -> None:
        engine = async_engine(database, name)
        async with SecuredAsyncSession(engine) as session:
            with unscoped("everybody's rows"):
                await session.execute(text("SELECT 1"))
                await session.execute(text("SAVEPOINT before"))
                assert (await session.scalars(text(IDS))).all() == EVERY_ID
            with ANN_RED.acting():
                await session.execute(text("ROLLBACK TO SAVEPOINT before"))
                assert await raw_ids(name, session) == VISIBLE[ANN_RED]
                nested = await session.begin_nested()
                with pytest.raises(DBAPIError):
                    await session.execute(text("SELECT nonsense"))
                await nested.rollback()
                assert (await session.scalars(text(IDS))).all() == VISIBLE[ANN_RED]
            await session.rollback()
            with unscoped("everybody's rows"):
                stream = await session.stream_scalars(long, execution_options={"yield_per": 1})
                assert await stream.fetchmany(1) == [101]
                with ADMIN_RED.acting():
                    assert await raw_ids(name, session) == VISIBLE[ADMIN_RED]
            with ADMIN_RED.acting():
                if name == "asyncpg":
                    await stream.fetchmany(49)  # which it has read already
                with pytest.raises(UnscopedStatement, match="another identity"):
                    await stream.fetchmany(50)
            await session.rollback()
            with ADMIN_RED.acting():
                stream = await session.stream_scalars(text(IDS), execution_options={"yield_per": 2})
                assert sorted(await stream.all()) == VISIBLE[ADMIN_RED]
        await engine.dispose()

    asyncio.run(work())


async def asyncpg_copy(connection) -> list[int]:
    blocks: list[bytes] = []

    async def keep(block: bytes) -> None:
        blocks.append(block)

    await connection.copy_from_query(IDS, output=keep)
    return [int(line) for line in b"".join(blocks).split()]


async def asyncpg_cursor(connection) -> list[int]:
    async with connection.transaction():
        return [row[0] async for row in connection.cursor(IDS, prefetch=2)]


async def asyncpg_prepared(connection) -> list[int]:
    with unscoped("a statement that is prepared for somebody else"):
        statement = await connection.prepare(IDS)
        assert len(await statement.fetch()) == 12
    return [row[0] for row in await statement.fetch()]


async def asyncpg_many(connection) -> list[int]:
    rows = await connection.fetchmany(f"{IDS_WHERE} id % 3 = $1", [(0,), (1,), (2,)])
    return [row[0] for row in rows]


async def asyncpg_fetch(connection) -> list[int]:
    return [row[0] for row in await connection.fetch(IDS)]


async def asyncpg_savepoint(connection) -> list[int]:
    with unscoped("a savepoint of somebody else"):
        await connection.execute("SAVEPOINT before")
        assert len(await connection.fetch(IDS)) == 12
    await connection.execute("ROLLBACK TO SAVEPOINT before")
    return await asyncpg_fetch(connection)


ASYNCPG_WAYS = [
    asyncpg_fetch,
    asyncpg_copy,
    asyncpg_cursor,
    asyncpg_prepared,
    asyncpg_many,
    asyncpg_savepoint,
]


@pytest.mark.parametrize("way", ASYNCPG_WAYS, ids=lambda way: way.__name__)
def test_asyncpg_runs_for_the_identity_in_force(
    database: Database, way: Callable[..., object]
) -> None:
    async def work() -> None:
        engine = async_engine(database, "asyncpg")
        async with SecuredAsyncSession(engine) as session:
            with ADMIN_RED.acting():
                await session.execute(text("SELECT 1"))
                raw = await (await session.connection()).get_raw_connection()
                connection = raw.driver_connection
                assert sorted(await way(connection)) == VISIBLE[ADMIN_RED]
                with ANN_BLUE.acting():
                    assert sorted(await way(connection)) == VISIBLE[ANN_BLUE]
                with unscoped("everybody's rows"):
                    assert sorted(await way(connection)) == EVERY_ID
                assert sorted(await way(connection)) == VISIBLE[ADMIN_RED]
            assert await way(connection) == []
            # One text of several commands, which goes back to a savepoint and copies what it sees.
            with unscoped("everybody's rows"):
                await connection.execute("CREATE TEMPORARY TABLE seen (id int) ON COMMIT DROP")
                await connection.execute("SAVEPOINT before")
                await connection.fetch(IDS)
            with ANN_RED.acting():
                await connection.execute(f"ROLLBACK TO before; INSERT INTO seen {IDS}")
                assert await connection.fetch("SELECT id FROM seen") == []
        assert type(connection._protocol).__name__ != "WatchedProtocol"
        await engine.dispose()

    asyncio.run(work())


def test_a_method_of_asyncpg_that_is_not_known_raises(database: Database) -> None:
    """A method of a version to come might execute something that nobody watches."""

    async def work() -> None:
        engine = async_engine(database, "asyncpg")
        async with SecuredAsyncSession(engine) as session:
            with ANN_RED.acting():
                await session.execute(text("SELECT 1"))
                raw = await (await session.connection()).get_raw_connection()
                connection = raw.driver_connection
                protocol = connection._protocol
                assert hasattr(protocol._inner, "data_received")  # it has more than is forwarded
                for name in ("data_received", "run_query", "_request_cancel"):
                    with pytest.raises(AttributeError, match=f"asked for {name}, of which"):
                        getattr(protocol, name)
                assert protocol.is_connected()  # positive controls
                assert await asyncpg_fetch(connection) == VISIBLE[ANN_RED]
        await engine.dispose()

    asyncio.run(work())


def test_every_method_that_asyncpg_calls_is_known() -> None:
    called = {
        name
        for file in Path(asyncpg.__file__).parent.glob("*.py")
        for name in re.findall(r"\b_?protocol\.(\w+)", file.read_text())
        if name != name.upper() and not name[0].isupper()  # constants and classes of the module
    }
    assert {"query", "bind_execute", "get_settings"} <= called  # a positive control
    known = driver_hooks.FORWARDED | set(driver_hooks.WATCHED)
    assert called - known == {"protocol"}  # a module
    assert set(driver_hooks.WATCHED) <= vars(driver_hooks.WatchedProtocol).keys()
    assert not driver_hooks.FORWARDED & vars(driver_hooks.WatchedProtocol).keys()


# --- A driver of a version to come ----------------------------------------------


def told_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if "Row-level security does not know" in record.getMessage()
    ]


@pytest.fixture
def nothing_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_hooks, "logged", set())


@pytest.mark.parametrize("name", ["_scroll_gen", None])
def test_a_driver_that_lacks_a_name_gets_the_settings_before_each_statement(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    nothing_logged: None,
    name: str | None,
) -> None:
    """Its own cursors see nothing, of whatever kind; None: a positive control."""
    if name is not None:
        base = next(each for each in psycopg.ServerCursor.__mro__ if name in vars(each))
        monkeypatch.setattr(base, f"{name}_renamed", getattr(base, name), raising=False)
        monkeypatch.delattr(base, name)
    for engine in (database.engine("app"), database.engine("app")):
        with SecuredSession(engine) as session, ANN_RED.acting():
            assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
            expected = VISIBLE[ANN_RED] if name is None else []
            for way in (named, named_otherwise, copied, in_a_driver_transaction):
                assert way(session) == expected, way.__name__
            if name is not None:
                with pytest.raises(UnscopedStatement, match="yield_per need psycopg or asyncpg"):
                    session.execute(text(IDS), execution_options={"yield_per": 2})
    if name is None:
        assert told_of(caplog) == []
    else:
        (told,) = told_of(caplog)  # once
        assert f"psycopg {psycopg.__version__}, which lacks ServerCursor._scroll_gen" in told


def known_driver(library: str) -> SimpleNamespace:
    """A connection of psycopg or asyncpg with every name that is needed."""

    class Cursor:
        _start_query = _declare_gen = _fetch_gen = _scroll_gen = None

    class Connection(SimpleNamespace):
        pass

    class Protocol(SimpleNamespace):
        pass

    Connection.__module__ = f"{library}.connection"
    if library == "psycopg":
        return Connection(
            **dict.fromkeys(driver_hooks.PsycopgHook.NEEDS)
            | {"cursor_factory": Cursor, "server_cursor_factory": Cursor}
        )
    protocol = Protocol(**dict.fromkeys(driver_hooks.WATCHED))
    return Connection(_protocol=protocol, is_in_transaction=None)


def hook_of(driver: object) -> type:
    connection = SimpleNamespace(connection=SimpleNamespace(driver_connection=driver))
    return type(driver_hooks.hook_for(None, connection))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("library", "holder", "name"),
    [
        *(("psycopg", "", name) for name in driver_hooks.PsycopgHook.NEEDS),
        *(("psycopg", "cursor_factory", n) for n in driver_hooks.PsycopgHook.CURSOR_NEEDS),
        *(
            ("psycopg", "server_cursor_factory", name)
            for name in driver_hooks.PsycopgHook.SERVER_CURSOR_NEEDS
        ),
        ("asyncpg", "", "_protocol"),
        ("asyncpg", "", "is_in_transaction"),
        *(("asyncpg", "_protocol", name) for name in driver_hooks.WATCHED),
    ],
)
def test_each_name_that_a_hook_overrides_is_looked_for(
    caplog: pytest.LogCaptureFixture, nothing_logged: None, library: str, holder: str, name: str
) -> None:
    driver = known_driver(library)
    assert hook_of(driver) is driver_hooks.HOOKS[library]  # a positive control
    assert told_of(caplog) == []
    delattr(getattr(driver, holder) if holder else driver, name)
    for _ in range(3):
        assert hook_of(driver) is driver_hooks.StatementHook
    (told,) = told_of(caplog)
    assert name in told


def test_an_unknown_driver_gets_the_settings_before_each_statement(
    caplog: pytest.LogCaptureFixture, nothing_logged: None
) -> None:
    assert hook_of(SimpleNamespace()) is driver_hooks.StatementHook
    assert told_of(caplog) == []


def test_a_driver_whose_cursors_a_function_makes_gets_no_cursor_hook(
    caplog: pytest.LogCaptureFixture, nothing_logged: None
) -> None:
    driver = known_driver("psycopg")
    driver.cursor_factory = lambda connection: None
    assert hook_of(driver) is driver_hooks.StatementHook
    assert "a class in Connection.cursor_factory" in told_of(caplog)[0]


@pytest.mark.parametrize("name", ASYNC_DRIVERS)
def test_async_tasks_that_share_a_pool_keep_their_identities(database: Database, name: str) -> None:
    async def work() -> None:
        url = database.url.replace("postgres@", f"{database.name}_app@")
        engine = create_async_engine(
            url.replace("+psycopg", f"+{name}"), pool_size=2, max_overflow=0
        )
        make = async_sessionmaker(engine, class_=SecuredAsyncSession)

        async def one(seed: int) -> None:
            choose = random.Random(seed)
            for _ in range(12):
                who = choose.choice(EVERYBODY)
                async with make() as session:
                    with who.acting():
                        assert (await session.scalars(text(IDS))).all() == VISIBLE[who]
                        await asyncio.sleep(0)
                        assert await raw_ids(name, session) == VISIBLE[who]

        await asyncio.gather(*(one(seed) for seed in range(6)))
        async with engine.connect() as connection:
            assert (await connection.scalars(text(IDS))).all() == []
        await engine.dispose()

    asyncio.run(work())


@pytest.mark.parametrize("level", ["READ COMMITTED", "AUTOCOMMIT"])
def test_a_driver_without_a_hook_gets_the_settings_for_one_statement(
    database: Database, level: str
) -> None:
    url = database.url.replace("postgres@", f"{database.name}_app@")
    engine = create_engine(url.replace("+psycopg", "+psycopg2"), isolation_level=level)
    with SecuredSession(engine) as session:

        def raw() -> object:
            cursor = fairy(session).cursor()
            cursor.execute(IDS)
            return list(cursor.fetchall())

        for who in EVERYBODY:
            with who.acting():
                assert session.scalars(text(IDS)).all() == VISIBLE[who]
                assert ids(session.scalars(select(Account.id))) == VISIBLE[who]
                assert raw() == []
        with ANN_RED.acting():
            if level != "AUTOCOMMIT":
                with session.begin_nested():
                    assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
                nested = session.begin_nested()
                with pytest.raises(DBAPIError):
                    session.execute(text("SELECT nonsense"))
                nested.rollback()
                assert raw() == []
            with pytest.raises(DBAPIError):
                session.execute(text("SELECT nonsense"))
            session.rollback()
            assert raw() == []
            assert session.scalars(text(IDS)).all() == VISIBLE[ANN_RED]
            with pytest.raises(UnscopedStatement, match="psycopg or asyncpg"):
                session.execute(text(IDS), execution_options={"stream_results": True})
            assert raw() == []
        assert session.scalars(text(IDS)).all() == []
    engine.dispose()


# --- What it costs ----------------------------------------------------------------


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    sent: list[object] = []
    original = row_level_security.Settings.note_set
    monkeypatch.setattr(
        row_level_security.Settings,
        "note_set",
        lambda settings: (sent.append(settings), original(settings)),
    )
    return sent


def test_a_raw_statement_costs_the_next_one_a_round_trip(
    session: Session, told: list[object]
) -> None:
    with ANN_RED.acting():
        for _ in range(4):
            session.scalars(select(Account).where(func.lower(Account.email) != "x")).all()
            session.execute(text(f"{IDS_WHERE} size > :size"), {"size": 1})
        assert len(told) == 1
        fairy(session).cursor().execute("SELECT 1")
        assert len(told) == 1
        session.scalars(select(Account)).all()
        assert len(told) == 2


# --- Random sequences ---------------------------------------------------------------


class Walk:
    """Random things that happen to two sessions, each read compared with what may be seen."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.choose = random.Random(seed)
        self.seed = seed
        self.log: list[str] = []
        self.scopes: list[tuple[Who | str, AbstractContextManager[object]]] = []
        self.sessions = [SecuredSession(engine), SecuredSession(engine, twophase=True)]
        self.savepoints: dict[Session, int] = {}
        self.reads = self.seen = 0

    def expected(self) -> list[int]:
        if not self.scopes:
            return []
        who = self.scopes[-1][0]
        return EVERY_ID if isinstance(who, str) else VISIBLE[who]

    def close(self) -> None:
        while self.scopes:
            self.leave()
        for session in self.sessions:
            self.give_up(session)

    @staticmethod
    def give_up(session: Session) -> None:
        for end in (session.rollback, session.close, session.invalidate, session.close):
            with suppress(DBAPIError, psycopg.Error, InvalidRequestError):
                end()
                if not session.in_transaction():
                    break

    def enter(self, session: Session) -> None:
        if len(self.scopes) > 3:
            return self.leave()
        if self.choose.random() < 0.25:
            who: Who | str = "everybody"
            manager = unscoped("a random walk")
        else:
            who = self.choose.choice(EVERYBODY)
            manager = who.acting()
        self.log.append(f"enter {who}")
        manager.__enter__()
        self.scopes.append((who, manager))
        return None

    def leave(self, session: Session | None = None) -> None:
        if self.scopes:
            self.log.append("leave")
            self.scopes.pop()[1].__exit__(None, None, None)

    def read(self, session: Session) -> None:
        way = self.choose.choice(list(WAYS))
        self.log.append(f"{self.sessions.index(session)} reads by {way}")
        found = sorted(WAYS[way](session))
        assert found == self.expected(), (self.seed, self.log)
        self.reads += 1
        self.seen += bool(found)

    def read_entities(self, session: Session) -> None:
        self.log.append(f"{self.sessions.index(session)} reads by the ORM")
        try:
            found = ids(session.scalars(select(Account.id)))
        except TenantContextMissing:
            found = []
            assert not self.scopes
        assert found == self.expected(), (self.seed, self.log)

    def control(self, session: Session) -> None:
        sql = self.choose.choice([*["SAVEPOINT before"] * 9, "RELEASE before", *CHANGES.values()])
        sender = self.choose.choice(list(SENDERS))
        self.log.append(f"{self.sessions.index(session)} sends {sql} by {sender}")
        SENDERS[sender](session, sql)

    def back_and_read(self, session: Session) -> None:
        """In one text: what it reads is the identity's, or nothing."""
        first = self.choose.choice(
            [
                "ROLLBACK TO before",
                "ROLLBACK TO before",
                "RELEASE before",
                "SAVEPOINT before",
                "COMMIT",
                "RESET ALL",
            ]
        )
        self.log.append(f"{self.sessions.index(session)} sends {first}, and reads")
        cursor = driver(session).cursor()
        cursor.execute(f"{first}; {IDS}")
        cursor.nextset()
        found = sorted(row[0] for row in cursor)
        assert found in ([], self.expected()), (self.seed, self.log)

    def nest(self, session: Session) -> None:
        self.log.append(f"{self.sessions.index(session)} nests")
        session.begin_nested()

    def unnest(self, session: Session) -> None:
        nested = session.get_nested_transaction()
        if nested is not None:
            how = self.choose.choice(["commit", "rollback"])
            self.log.append(f"{self.sessions.index(session)} {how}s what is nested")
            getattr(nested, how)()

    def end(self, session: Session) -> None:
        how = self.choose.choice(["commit", "rollback", "close"])
        self.log.append(f"{self.sessions.index(session)} {how}s")
        getattr(session, how)()

    def fail(self, session: Session) -> None:
        self.log.append(f"{self.sessions.index(session)} fails")
        session.execute(text("SELECT nonsense"))

    def autocommit(self, session: Session) -> None:
        self.log.append("autocommit")
        with SecuredSession(self.engine.execution_options(isolation_level="AUTOCOMMIT")) as other:
            assert other.scalars(text(IDS)).all() == self.expected(), (self.seed, self.log)
            raw = sorted(row[0] for row in fairy(other).cursor().execute(IDS))
            assert raw == [], (self.seed, self.log)

    def plain(self, session: Session) -> None:
        self.log.append("plain")
        with self.engine.connect() as connection:
            assert connection.scalars(text(IDS)).all() == [], (self.seed, self.log)

    def step(self) -> None:
        session = self.choose.choice(self.sessions)
        happens = self.choose.choices(
            [
                self.enter,
                self.leave,
                self.read,
                self.read_entities,
                self.control,
                self.back_and_read,
                self.nest,
                self.unnest,
                self.end,
                self.fail,
                self.autocommit,
                self.plain,
            ],
            [5, 5, 12, 4, 6, 4, 2, 2, 2, 1, 1, 1],
        )[0]
        try:
            happens(session)
        except (DBAPIError, psycopg.Error, InvalidRequestError, UnscopedStatement) as error:
            self.log.append(f"-> {type(error).__name__}: {str(error)[:80]!r}")
            self.give_up(session)


def walk(database: Database, seed: int, steps: int, threads: int = 1) -> int:
    engine = database.engine("app", pool_size=3 * threads)

    def one(number: int) -> tuple[int, int]:
        walk = Walk(engine, seed * 1000 + number)
        try:
            for _ in range(steps):
                walk.step()
            return walk.reads, walk.seen
        finally:
            walk.close()

    with ThreadPoolExecutor(threads) as pool:
        counts = list(pool.map(one, range(threads)))
    engine.dispose()
    reads, seen = (sum(column) for column in zip(*counts, strict=True))
    assert seen > reads / 8  # positive control: rows were there to be seen
    return reads


@pytest.mark.parametrize("threads", [1, 3])
def test_random_sequences_are_as_the_model_says(database: Database, threads: int) -> None:
    seed = int(os.environ.get("SEED", random.randrange(10**6)))
    print(f"SEED={seed}")  # noqa: T201 - shown when it fails
    walk(database, seed, 400 // threads, threads)


WEAKENED: dict[str, tuple[object, str, object]] = {
    "savepoints keep the identity": (
        row_level_security,
        "creates_savepoint",
        lambda sql: False,
    ),
    "what was told is believed for ever": (row_level_security.Settings, "note_run", lambda _: None),
    "every statement of SQLAlchemy's keeps the settings": (
        row_level_security,
        "keeps_settings",
        lambda context: True,
    ),
    "a connection stays told": (
        row_level_security.Settings,
        "wanted",
        lambda settings: current_scope() or settings.last,
    ),
}


@pytest.mark.parametrize("weakness", WEAKENED)
def test_random_sequences_find_a_weaker_implementation(
    database: Database, weakness: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control of the random sequences."""
    monkeypatch.setattr(*WEAKENED[weakness])

    def long_walk() -> None:
        for seed in range(20):
            walk(database, seed, 200)

    with pytest.raises(AssertionError):
        long_walk()


@pytest.mark.soak
def test_long_random_sequences_are_as_the_model_says(database: Database) -> None:
    seed = int(os.environ.get("SEED", random.randrange(10**6)))
    for number in range(40):
        print(f"SEED={seed + number}")  # noqa: T201 - shown when it fails
        walk(database, seed + number, 500, 4)
