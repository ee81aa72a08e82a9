"""Sessions in PostgreSQL: late commits, conflicts, servers that are frozen or gone, isolation."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Uuid, create_engine, event, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_tenant_auth import acting_as
from flask_tenant_auth._core import Identity
from flask_tenant_auth.sessions.sql_engines import sql_store_of
from flask_tenant_auth.sessions.sql_revocations import LATE_MS
from flask_tenant_auth.sessions.sql_store import SqlStore
from flask_tenant_auth.sessions.sql_tables import now_ms
from flask_tenant_auth.sessions.store import Revocation, Session, SessionStore, StoreUnavailable
from flask_tenant_auth.sessions.stores import store_of
from flask_tenant_auth.sqlalchemy import TenantScoped, isolate, unscoped
from servers import PostgreSQL
from session_store_contract import (
    DAY,
    OTHER_TENANT,
    TENANT,
    USER,
    StoreContract,
    after,
    at_once,
    begun,
    ids,
    is_over,
    key_in,
    of_session,
    revocation,
)

TABLES = ("fta_store", "fta_session", "fta_revocation", "fta_api_key")
names = iter(f"sessions_{number}" for number in range(10_000))


class PostgresqlPlace:
    """A schema of its own on a server."""

    def __init__(self, server: PostgreSQL, *settings: str) -> None:
        self.schema = next(names)
        self.options = " ".join(f"-c{each}" for each in (f"search_path={self.schema}", *settings))
        self.setting = f"{server.url}?options={quote(self.options)}"
        self.url = server.url.replace("+psycopg", "")
        with self.connect(autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {self.schema}")

    def open(self) -> SessionStore:
        return store_of(self.setting, "")

    def connect(self, **options: Any) -> psycopg.Connection:
        return psycopg.connect(self.url, options=self.options, **options)

    def back_up(self) -> None:
        with self.connect() as connection:
            for table in TABLES:
                connection.execute(f"CREATE TABLE backup_{table} AS TABLE {table}")
            connection.execute(
                "CREATE TABLE backup_number AS SELECT last_value FROM fta_revocation_number_seq"
            )

    def restore(self) -> None:
        with self.connect() as connection:
            for table in TABLES:
                connection.execute(f"TRUNCATE {table}")
                connection.execute(f"INSERT INTO {table} SELECT * FROM backup_{table}")
            connection.execute(
                "SELECT setval('fta_revocation_number_seq', last_value) FROM backup_number"
            )


SERIALIZABLE = "default_transaction_isolation=serializable"


@pytest.fixture(params=[(), (SERIALIZABLE,)], ids=["read_committed", "serializable"])
def place(request: pytest.FixtureRequest, postgresql: PostgreSQL) -> PostgresqlPlace:
    return PostgresqlPlace(postgresql, *request.param)


class TestPostgresql(StoreContract):
    """The contract, with the default isolation level and with the strictest."""


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_both_drivers_of_postgresql_store_sessions(postgresql: PostgreSQL, driver: str) -> None:
    place = PostgresqlPlace(postgresql)
    store = store_of(place.setting.replace("+psycopg", f"+{driver}"), "")
    session = begun(store)
    done = at_once(20, lambda index: store.advance(session, after(session)))
    assert sum(at is not None for at in done) == 1
    store.revoke(of_session(store, session), "test")
    assert is_over(store, session)
    store.close()


def test_the_time_is_that_of_the_statement_and_not_of_its_transaction(
    postgresql: PostgreSQL,
) -> None:
    store = PostgresqlPlace(postgresql).open()
    assert isinstance(store, SqlStore)

    def work(connection: Connection) -> tuple[int, int]:
        first = connection.scalars(select(now_ms())).one()
        connection.exec_driver_sql("SELECT pg_sleep(0.2)")
        return first, connection.scalars(select(now_ms())).one()

    first, second = store._database.run(work, atomic=True)
    assert second - first >= 200
    store.close()


def test_a_refresh_that_waits_for_a_change_of_its_row_returns_the_time_that_it_wrote(
    postgresql: PostgreSQL,
) -> None:
    place = PostgresqlPlace(postgresql)
    store = place.open()
    session = begun(store)
    with place.connect() as connection:
        connection.execute("UPDATE fta_session SET device = 'other'")
        start = store.now()
        timer = threading.Timer(0.3, connection.commit)
        timer.start()
        at = store.advance(session, after(session))
        timer.join()
    assert at is not None
    assert at - start > 250
    found = store.read(session.id).session
    assert found is not None
    assert found.used_at == found.rotated[0] == at
    store.close()


def test_a_revocation_whose_transaction_commits_late_is_seen(postgresql: PostgreSQL) -> None:
    place = PostgresqlPlace(postgresql)
    store, follower = place.open(), place.open()
    position = follower.changes("", 0).position
    insert = (
        "INSERT INTO fta_revocation (kind, id, at, ends_at, added_at, reason) "
        "VALUES ('token', %s, %s, %s, %s, 'test')"
    )
    with place.connect() as late:
        now = store.now()
        late.execute(insert, ["late", now, now + 10**6, now])
        # Far more come meanwhile than the numbers that are looked at again.
        for number in range(100):
            store.revoke(revocation(store, "token", id=f"early {number}"), "test")
        for _ in range(3):
            found = follower.changes(position, 0)
            position = found.position
            assert "late" not in ids(found)
        late.commit()
    assert ids(follower.changes(position, 5000)) == ["late"]
    # Another process of the host that goes on from there gets it too.
    another = place.open()
    assert "late" in ids(another.changes(position, 0))
    for each in (store, follower, another):
        each.close()


def test_a_transaction_cannot_last_longer_than_what_is_looked_at_again(
    postgresql: PostgreSQL,
) -> None:
    place = PostgresqlPlace(postgresql)
    store = place.open()
    assert isinstance(store, SqlStore)
    begun(store)
    limits = [
        store._database.run(
            lambda connection, name=name: connection.exec_driver_sql(f"SHOW {name}").scalar(),
            atomic=True,
        )
        for name in ("statement_timeout", "idle_in_transaction_session_timeout")
    ]
    assert limits == ["5s", "5s"]
    # Insert, pause, select, pause, update, pause and commit.
    assert LATE_MS > 5 * 5000
    store.close()


def test_revocations_of_several_processes_are_all_seen_by_a_follower(
    postgresql: PostgreSQL,
) -> None:
    place = PostgresqlPlace(postgresql)
    stores = [place.open() for _ in range(4)]
    follower = place.open()
    position = follower.changes("", 0).position
    added: set[str] = set()

    def revoke(index: int) -> None:
        for number in range(50):
            name = f"{index}.{number}"
            stores[index].revoke(revocation(stores[index], "token", id=name), "test")
            added.add(name)

    threads = [threading.Thread(target=revoke, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    seen: set[str | None] = set()
    while any(thread.is_alive() for thread in threads):
        found = follower.changes(position, 20)
        position = found.position
        seen |= set(ids(found))
    seen |= set(ids(follower.changes(position, 0)))
    assert len(added) == 200
    assert added <= seen
    for store in (*stores, follower):
        store.close()


def test_conflicts_of_serializable_transactions_are_tried_again(postgresql: PostgreSQL) -> None:
    """The control: without the store, the same statements conflict."""
    place = PostgresqlPlace(postgresql, SERIALIZABLE)
    store = place.open()
    session = begun(store)
    conflicts = 0
    with place.connect() as one, place.connect() as other:
        for each in (one, other):
            each.execute("SELECT count(*) FROM fta_session")
        one.execute("UPDATE fta_session SET counter = counter + 1")
        one.commit()
        try:
            other.execute("UPDATE fta_session SET counter = counter + 1")
        except psycopg.errors.SerializationFailure:
            conflicts += 1
            other.rollback()
    assert conflicts == 1
    for _ in range(5):
        found = store.read(session.id).session
        assert found is not None
        current = found
        done = at_once(20, lambda index, each=current: store.advance(each, after(each)))
        assert sum(at is not None for at in done) == 1
    store.close()


# --- Servers that are away ------------------------------------------------------------------------


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def frozen(server: PostgreSQL) -> Iterator[None]:
    """Stop all processes of a server: it neither answers nor closes a connection."""
    assert server.process is not None
    pids = [server.process.pid, *children_of(server.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def own_server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_frozen_server_is_unavailable_within_a_bound(own_server: PostgreSQL, driver: str) -> None:
    place = PostgresqlPlace(own_server)
    store = sql_store_of(place.setting.replace("+psycopg", f"+{driver}"), "", None, 1000)
    fresh = sql_store_of(place.setting.replace("+psycopg", f"+{driver}"), "", None, 1000)
    session = begun(store)
    position = store.changes("", 0).position
    with frozen(own_server):
        for ask in (
            lambda: store.read(session.id),  # on a connection that is open
            lambda: store.advance(session, after(session)),  # on one that has to be opened
            lambda: fresh.revoke(of_session_at(session), "test"),
        ):
            start = time.monotonic()
            with pytest.raises(StoreUnavailable, match="no answer within 1 s"):
                ask()
            assert time.monotonic() - start < 30
    assert store.read(session.id).session is not None
    assert not store.changes(position, 0).is_older
    store.close()
    fresh.close()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_host_restores_its_revocations_to_a_store_that_is_far_away(
    postgresql: PostgreSQL, driver: str
) -> None:
    """No transaction has more statements than go far away and back within its second."""
    place = PostgresqlPlace(postgresql)
    store = sql_store_of(place.setting.replace("+psycopg", f"+{driver}"), "", None, 60_000)
    assert isinstance(store, SqlStore)
    revoked, other = begun(store), begun(store)
    until = store.now() + DAY
    lost = [
        Revocation(kind="session", id=revoked.id, at=store.now(), ends_at=until),
        *(Revocation(kind="token", id=f"{n}", ends_at=until) for n in range(300)),
        *(Revocation(kind="token", id=f"key:{n}", at=1, ends_at=until) for n in range(300)),
        Revocation(kind="user", tenant_id=OTHER_TENANT, user_id=USER, at=1, ends_at=until),
    ]
    keys = [key_in(store, f"{number}") for number in range(2)]
    for key in keys:
        store.add_key(key)
    sent: list[str] = []
    in_one = [0]

    @event.listens_for(store._database.engine, "before_cursor_execute")
    def _send(*of_statement: Any) -> None:
        sent.append(of_statement[2])
        in_one[-1] += 1

    @event.listens_for(store._database.engine, "begin")
    def _begin(_connection: Any) -> None:
        in_one.append(0)

    store.restore(lost)
    assert 4 < len(sent) < 30
    assert max(in_one) < 10  # of 50 ms each, where a server is far away
    sent.clear()
    store.restore(lost[:1] + lost[301:])  # the others have been revoked earlier than now
    assert not any("INSERT" in statement for statement in sent)
    event.remove(store._database.engine, "before_cursor_execute", _send)
    event.remove(store._database.engine, "begin", _begin)
    added = store.changes("", 0).revocations
    assert [replace(each, at=0, number=0) for each in added] == [
        replace(each, at=0) for each in lost
    ]
    assert added[0].at == lost[0].at
    assert abs(added[1].at - store.now()) < 60_000  # the store's now, where it is not known
    assert is_over(store, revoked)
    assert not is_over(store, other)
    for key in keys:
        found = store.read_key(key.id)[1]
        assert found is not None
        assert found.ended_at is not None
    store.close()


def of_session_at(session: Session) -> Revocation:
    return Revocation(kind="session", id=session.id, ends_at=session.ends_at)


def test_a_server_that_restarts_is_used_again_without_an_error(own_server: PostgreSQL) -> None:
    place = PostgresqlPlace(own_server)
    store = place.open()
    session = begun(store)
    at_once(4, lambda index: store.read(session.id))  # several connections are open
    own_server.stop()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable) as raised:
        store.read(session.id)
    assert time.monotonic() - start < 30
    assert "password" not in str(raised.value)
    own_server.start()
    assert store.read(session.id).session == session
    own_server.stop()
    own_server.start()
    assert store.advance(session, after(session)) is not None
    store.close()


def test_a_connection_that_is_lost_in_the_middle_is_unavailable_or_done(
    own_server: PostgreSQL,
) -> None:
    """Backends are killed while sessions are refreshed: no counter moves twice."""
    place = PostgresqlPlace(own_server)
    store = place.open()
    session = begun(store)
    stop = threading.Event()

    def kill() -> None:
        with place.connect(autocommit=True) as connection:
            while not stop.wait(0.01):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )

    killer = threading.Thread(target=kill)
    killer.start()
    advanced = unknown = 0
    try:
        for _ in range(150):
            try:
                found = store.read(session.id).session
                assert found is not None
                done = store.advance(found, after(found))
            except StoreUnavailable:
                unknown += 1
                continue
            advanced += done is not None
    finally:
        stop.set()
        killer.join()
    found = store.read(session.id).session
    assert found is not None
    assert advanced > 0
    assert advanced <= found.counter - 1 <= 150
    store.close()


# --- The app's db, with data isolation ------------------------------------------------------------


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Device(TenantScoped, db.Model):
    """Its table has the name of a column of sessions."""

    __tablename__ = "device"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[Any] = mapped_column(Uuid, nullable=True)


isolate(db)


def test_the_db_of_an_app_keeps_sessions_and_isolation_does_not_touch_them(
    postgresql: PostgreSQL,
) -> None:
    place = PostgresqlPlace(postgresql)
    app = Flask("an_app")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=place.setting,
        JWT_SECRET_KEY="k" * 32,
        FLASK_ENV="development",
    )
    db.init_app(app)
    store = store_of(db, app.instance_path, app)
    assert set(TABLES) < set(db.metadata.tables)  # Alembic sees them
    identity = Identity("00000000-0000-0000-0000-00000000000a", USER, "user")
    with app.test_request_context("/"), acting_as(identity):
        # The first statement makes the tables.
        session = begun(store)
        assert store.read(session.id).session == session  # of another tenant
        assert store.advance(session, after(session)) is not None
        position = store.changes("", 0).position
        store.revoke(of_session(store, session), "test")
        assert session.id in ids(store.changes(position, 0))
        assert store.sessions(TENANT, USER) == []
        # A transaction of the app is not committed by the store.
        with unscoped("the schema is made"):
            db.create_all()
        db.session.add(Device(id=1))
        db.session.flush()
        begun(store)
        db.session.rollback()
        assert db.session.query(Device).count() == 0
        engine = db.engine
    assert set(TABLES) < set(inspect(engine).get_table_names())
    engine.dispose()


def test_an_app_in_memory_keeps_sessions_apart_from_its_transactions() -> None:
    app = Flask("an_app_in_memory")
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", JWT_SECRET_KEY="k" * 32)
    db.init_app(app)
    store = store_of(db, app.instance_path, app)
    with app.app_context():
        db.create_all()
        with db.engine.connect() as connection:
            connection.exec_driver_sql("INSERT INTO device (id, tenant_id) VALUES (1, 'x')")
            session = begun(store)
            connection.rollback()
            assert connection.exec_driver_sql("SELECT count(*) FROM device").scalar() == 0
        assert store.read(session.id).session == session
        db.engine.dispose()


def test_tables_that_the_app_may_not_make_are_named(postgresql: PostgreSQL) -> None:
    place = PostgresqlPlace(postgresql)
    grant = f"GRANT USAGE ON SCHEMA {place.schema} TO reader"
    on_all = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES", "USAGE ON ALL SEQUENCES"
    with place.connect(autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute(grant)
    engine = create_engine(place.setting.replace("postgres@", "reader@"))
    store, made = store_of(engine, ""), place.open()
    with pytest.raises(StoreUnavailable, match="permission denied"):
        store.now()
    made.now()
    with place.connect(autocommit=True) as connection:
        for each in on_all:
            connection.execute(f"GRANT {each} IN SCHEMA {place.schema} TO reader")
    session = begun(store)
    assert made.read(session.id).session == session
    made.close()
    engine.dispose()
