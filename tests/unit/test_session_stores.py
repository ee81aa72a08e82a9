"""Sessions in SQLite, and which store AUTH_SESSION_STORE names."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, event
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateTable

from flask_tenant_auth.config.session_settings import read_store
from flask_tenant_auth.errors import ConfigurationError
from flask_tenant_auth.sessions import stores
from flask_tenant_auth.sessions.sql_database import Database
from flask_tenant_auth.sessions.sql_engines import sql_store_of
from flask_tenant_auth.sessions.sql_store import SqlStore
from flask_tenant_auth.sessions.sql_tables import now_ms, session_tables
from flask_tenant_auth.sessions.store import Session, SessionStore, StoreUnavailable
from flask_tenant_auth.sessions.stores import store_of
from session_store_contract import (
    TENANT,
    USER,
    StoreContract,
    after,
    begun,
    is_over,
    of_session,
    revocation,
    session_in,
)


def test_the_engine_of_an_app_is_asked_for_once_by_threads_that_begin_together() -> None:
    asked: list[Any] = []

    def engine_of() -> Any:
        asked.append(None)
        time.sleep(0.05)
        return create_engine("sqlite://")

    database = Database(engine_of, session_tables(MetaData()), timeout_ms=1000, is_own=False)
    threads = [threading.Thread(target=database.require_known_dialect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


class SqlitePlace:
    """A database of SQLite in a folder."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sessions.db"
        self.setting = f"sqlite:///{self.file}"
        self._backup = folder / "backup.db"

    def open(self) -> SessionStore:
        return store_of(self.setting, "")

    def back_up(self) -> None:
        with sqlite3.connect(self.file) as source, sqlite3.connect(self._backup) as target:
            source.backup(target)
        source.close()
        target.close()

    def restore(self) -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{self.file}{suffix}").unlink(missing_ok=True)
        self._backup.replace(self.file)


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    return SqlitePlace(tmp_path)


class TestSqlite(StoreContract):
    """The contract, in a file."""


def test_sqlite_in_memory_is_one_database_for_all_threads() -> None:
    store = store_of("sqlite://", "")
    session = begun(store)
    found: list[Session | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.read(session.id).session))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [session] * 8
    store.close()


# --- The size of a step ---------------------------------------------------------------------------


def statements_of_each_run(store: SqlStore, work: Callable[[], Any]) -> list[int]:
    """How many statements each call of `Database.run` makes, which has one deadline."""
    counts: list[int] = []
    engine = store._database.engine
    begin = lambda *_: counts.append(0)  # noqa: E731

    def count(*_: Any) -> None:
        counts[-1] += 1

    event.listen(engine, "checkout", begin)
    event.listen(engine, "before_cursor_execute", count)
    work()
    event.remove(engine, "checkout", begin)
    event.remove(engine, "before_cursor_execute", count)
    return counts


def test_no_step_grows_with_the_number_of_revocations(
    place: SqlitePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that grows does not end before its deadline some day, and never again."""
    monkeypatch.setattr("flask_tenant_auth.sessions.sql_revocations._PAGE", 100)
    store = place.open()
    assert isinstance(store, SqlStore)
    begun(store)
    at = store.now()
    many = [revocation(store, "token", id=f"{number}", at=at) for number in range(1200)]
    assert max(statements_of_each_run(store, lambda: store.restore(many))) < 10
    assert len(store.changes("", 0).revocations) == 1200
    assert statements_of_each_run(store, lambda: store.restore(many)) == [1] * 13
    assert max(statements_of_each_run(store, lambda: store.changes("", 0))) == 1
    assert len(store.changes("", 0).revocations) == 1200
    store.close()


# --- The file -------------------------------------------------------------------------------------


def test_the_default_is_a_file_in_the_instance_folder_that_nobody_else_reads(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "instance"
    store = store_of(None, str(folder))
    assert not folder.exists()  # nothing is made before it is used
    begun(store)
    files = sorted(folder.iterdir())
    assert files[0].name == "flask_tenant_auth.db"
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert str(files[0]) in store.describe()
    store.close()


def test_a_relative_file_is_in_the_instance_folder(tmp_path: Path) -> None:
    store = store_of("sqlite:///own.db", str(tmp_path))
    store.now()
    assert (tmp_path / "own.db").exists()
    store.close()


def test_the_file_has_a_write_ahead_log_and_commits_survive_a_loss_of_power(
    place: SqlitePlace,
) -> None:
    store = place.open()
    assert isinstance(store, SqlStore)
    with store._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    store.close()


@pytest.mark.parametrize(
    "setting",
    ["sqlite:///own.db", "sqlite://", create_engine("sqlite://", poolclass=StaticPool)],
    ids=["a file", "in memory", "in memory beside that of an app"],
)
def test_a_store_that_is_freed_has_closed_its_connections(setting: Any, tmp_path: Path) -> None:
    """As of a test that makes an app: Python 3.13 and later warn of what nobody has closed."""
    store = store_of(setting, str(tmp_path))
    assert isinstance(store, SqlStore)
    assert store._database.engine is not setting
    store.now()
    closed: list[Any] = []
    event.listen(store._database.engine, "close", lambda *_: closed.append(None))
    del store
    gc.collect()
    assert len(closed) == 1


def test_a_process_ends_well_while_threads_read(tmp_path: Path) -> None:
    """SQLite crashed: its connections were closed at the exit, under the threads that used them."""
    program = """
import sys, threading
from flask_tenant_auth.sessions.stores import store_of
stores = [store_of(setting, sys.argv[1]) for setting in ("sqlite://", "sqlite:///own.db")]
begun = threading.Semaphore(0)
def read(store):
    store.now()
    begun.release()
    while True:
        store.now()
for store in stores * 4:
    threading.Thread(target=read, args=[store], daemon=True).start()
for _ in stores * 4:
    begun.acquire()
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    assert [subprocess.run(command, check=False).returncode for _ in range(10)] == [0] * 10


def repeat(work: Callable[[], object]) -> None:
    for _ in range(1000):
        work()


def test_a_full_disk_is_unavailable_and_what_was_stored_stays(place: SqlitePlace) -> None:
    store = place.open()
    assert isinstance(store, SqlStore)
    session = begun(store)
    with contextlib.closing(sqlite3.connect(place.file)) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    limit = [pages + 2]

    @event.listens_for(store._database.engine, "checkout")
    def _limit(connection: Any, record: Any, proxy: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit[0]}")

    with pytest.raises(StoreUnavailable, match="full"):
        repeat(lambda: begun(store, claims={"long": "x" * 1000}))
    stored = len(store.sessions(TENANT, USER))
    assert store.read(session.id).session == session
    with pytest.raises(StoreUnavailable, match="full"):
        repeat(lambda: store.revoke(revocation(store, "token", id="x" * 1000), "test"))
    limit[0] = 1_000_000
    begun(store)
    assert len(store.sessions(TENANT, USER)) == stored + 1
    store.close()


def test_a_file_that_is_no_database_is_unavailable(place: SqlitePlace) -> None:
    place.file.write_bytes(b"no database" * 1000)
    store = place.open()
    with pytest.raises(StoreUnavailable, match="not a database"):
        store.now()
    store.close()


def test_a_writer_that_does_not_go_on_is_waited_for_within_a_bound(place: SqlitePlace) -> None:
    store = sql_store_of(place.setting, "", None, 500)
    session = begun(store)
    writer = sqlite3.connect(place.file, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match="locked"):
        store.advance(session, after(session))
    assert time.monotonic() - start > 0.4
    assert store.read(session.id).session == session  # readers go on
    store.close()
    patient = sql_store_of(place.setting, "", None, 60_000)
    timer = threading.Timer(0.2, lambda: writer.execute("COMMIT"))
    timer.start()
    assert patient.advance(session, after(session)) is not None
    timer.join()
    writer.close()
    patient.close()


def test_a_table_that_was_dropped_is_made_again(place: SqlitePlace) -> None:
    store = place.open()
    position = store.changes("", 0).position
    begun(store)
    with sqlite3.connect(place.file) as connection:
        for name in ("session", "revocation", "store", "api_key"):
            connection.execute(f"DROP TABLE fta_{name}")
    connection.close()
    assert begun(store) in store.sessions(TENANT, USER)
    assert store.changes(position, 0).is_older
    store.close()


def test_a_file_that_was_deleted_is_another_store(place: SqlitePlace) -> None:
    store = place.open()
    session = begun(store)
    position = store.changes("", 0).position
    for file in place.file.parent.glob("sessions.db*"):
        file.unlink()
    assert store.read(session.id).session is None
    assert store.changes(position, 0).is_older
    store.close()


def _advance(setting: str, session: Session, barrier: Any, results: Any) -> None:
    store = store_of(setting, "")
    store.now()
    barrier.wait()
    results.put(store.advance(session, after(session)))


def test_of_processes_that_make_the_tables_and_advance_at_once_one_advances(
    place: SqlitePlace,
) -> None:
    context = multiprocessing.get_context("spawn")
    store = place.open()
    session = begun(store)
    barrier, results = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=_advance, args=(place.setting, session, barrier, results))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    done = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    assert sum(at is not None for at in done) == 1
    store.close()


def test_several_that_make_the_tables_at_once_agree_on_one_store(place: SqlitePlace) -> None:
    opened = [place.open() for _ in range(8)]
    with_ids = []
    gate = threading.Barrier(8)

    def make(store: SessionStore) -> None:
        gate.wait()
        with_ids.append(store.changes("", 0).position.partition(".")[0])

    threads = [threading.Thread(target=make, args=(store,)) for store in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(with_ids) == 8
    assert len(set(with_ids)) == 1
    for store in opened:
        store.close()


def test_a_retry_of_a_creation_whose_answer_was_lost_adds_nothing(place: SqlitePlace) -> None:
    store = place.open()
    session = begun(store)
    assert store.create(session, None) == []
    with pytest.raises(StoreUnavailable):
        store.create(Session(**{**vars(session), "salt": b"x" * 32}), None)
    assert store.sessions(TENANT, USER) == [session]
    store.close()


# --- The engine of an app -------------------------------------------------------------------------


def test_an_engine_of_the_app_is_used_and_not_closed(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    store = store_of(engine, "")
    session = begun(store)
    store.revoke(of_session(store, session), "test")
    assert is_over(store, session)
    store.close()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM fta_session").scalar() == 1
    assert engine.pool.checkedin() == 1
    engine.dispose()


def test_an_engine_whose_events_begin_transactions_keeps_what_is_written(tmp_path: Path) -> None:
    """As SQLAlchemy's documentation recommends for savepoints in SQLite."""
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    store, other = store_of(engine, ""), store_of(f"sqlite:///{tmp_path}/app.db", "")
    session = begun(store)
    assert store.advance(session, after(session)) is not None
    found = other.read(session.id).session
    assert found is not None
    assert found.counter == 2
    store.revoke(of_session(store, session), "test")
    assert is_over(other, session)
    other.close()
    engine.dispose()


@pytest.mark.parametrize("options", [{}, {"isolation_level": "AUTOCOMMIT"}])
def test_a_transaction_is_whole_whatever_the_engine_does_by_default(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db", **options)
    store = store_of(engine, "")
    assert isinstance(store, SqlStore)
    session = begun(store)

    def fail(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(store, "_end_sessions", fail)
    with pytest.raises(ZeroDivisionError):
        store.revoke(of_session(store, session), "test")
    assert store.changes("", 0).revocations == []
    engine.dispose()


# --- The setting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("oracle://user:secret@host/name", "driver"),
        ("nonsense://user:secret@host/name", "driver"),
        ("://secret", "not a URL"),
        (SimpleNamespace(connect=None), "SimpleNamespace"),
        (create_async_engine("sqlite+aiosqlite://"), "AsyncEngine"),
        ("sqlite+aiosqlite:///x.db", "a driver that blocks"),
    ],
)
def test_what_is_no_store_is_a_configuration_error(setting: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        store_of(setting, "")
    assert "secret" not in str(raised.value)


def test_a_missing_sqlalchemy_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'flask_tenant_auth\[sqlalchemy\]'"):
        store_of(None, "")


@pytest.mark.parametrize("url", ["redis://host:1/2", "rediss://host", "unix:///run/redis.sock"])
def test_a_url_of_redis_is_the_store_in_redis(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    module = SimpleNamespace(RedisStore=lambda *arguments: made.append(arguments))
    monkeypatch.setitem(sys.modules, "flask_tenant_auth.sessions.redis_store", module)
    store_of(url, "")
    assert made == [(url, stores.TIMEOUT_MS)]


def test_a_server_that_is_away_is_unavailable_and_its_password_is_not_in_the_text() -> None:
    store = store_of("postgresql://user:s3cr3t@127.0.0.1:1/name?application_name=hidden", "")
    with pytest.raises(StoreUnavailable) as raised:
        store.now()
    assert "s3cr3t" not in f"{raised.value!r}{store.describe()}"
    assert raised.value.__cause__ is None
    assert "127.0.0.1" in store.describe()
    store.close()


def test_the_setting_takes_a_db_outside_of_an_app_context() -> None:
    class Db:
        def init_app(self) -> None:
            """As Flask-SQLAlchemy has it."""

        @property
        def engine(self) -> Any:
            raise RuntimeError("Working outside of application context.")

    db = Db()
    assert read_store(db) is db


def test_the_clock_and_the_tables_are_written_for_mysql() -> None:
    dialect = mysql.dialect()
    assert "UTC_TIMESTAMP(3)" in str(now_ms().compile(dialect=dialect))
    for table in session_tables(MetaData()).all:
        assert table.name in str(CreateTable(table).compile(dialect=dialect))


def test_a_session_that_is_not_stored_is_not_listed(place: SqlitePlace) -> None:
    store = place.open()
    session_in(store)
    assert store.sessions(TENANT, USER) == []
    store.close()
