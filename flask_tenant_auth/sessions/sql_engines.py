"""The engine of an SQL store: of a URL, of a file in the instance folder, or of the app."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, MetaData, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from ..errors import ConfigurationError
from .sql_database import Database
from .sql_store import SqlStore
from .sql_tables import session_tables
from .store import StoreUnavailable

_FILE = "flask_tenant_auth.db"
_POOL_SIZE = 5
_MOST_CONNECTIONS = 20
# libpq takes no less than 2 seconds.
_LEAST_CONNECT_SECONDS = 2


def sql_store_of(setting: Any, instance_path: str, app: Any, timeout_ms: int) -> SqlStore:
    """Return the SQL store of AUTH_SESSION_STORE.

    :raises ConfigurationError: for what is none.
    """
    if setting is None:
        url = URL.create("sqlite", database=str(Path(instance_path) / _FILE))
        return _own_store(url, instance_path, timeout_ms)
    if isinstance(setting, str):
        try:
            url = make_url(setting)
        except ArgumentError:  # its text may have the password
            raise ConfigurationError("AUTH_SESSION_STORE is not a URL of SQLAlchemy") from None
        return _own_store(url, instance_path, timeout_ms)
    if isinstance(setting, Engine):
        return _store_of_app(lambda: setting, MetaData(), timeout_ms)
    metadata = getattr(setting, "metadata", None)
    if isinstance(metadata, MetaData) and hasattr(setting, "init_app"):
        # Weak: a thread that follows the store keeps no app alive.
        weak_app = None if app is None else weakref.ref(app)
        return _store_of_app(lambda: _engine_of(setting, weak_app), metadata, timeout_ms)
    raise ConfigurationError(
        "AUTH_SESSION_STORE must be a URL, an Engine of SQLAlchemy that blocks, or "
        f"Flask-SQLAlchemy's db, not {type(setting).__name__}"
    )


def _engine_of(db: Any, weak_app: Callable[[], Any] | None) -> Engine:
    """Return the engine that Flask-SQLAlchemy has for an app.

    :raises StoreUnavailable: when the app is gone, or there is none.
    """
    app = None if weak_app is None else weak_app()
    if app is None:
        raise StoreUnavailable("the app of the store is gone")
    with app.app_context():
        engine: Engine = db.engine
        return engine


def _store_of_app(engine_of: Callable[[], Engine], metadata: MetaData, timeout_ms: int) -> SqlStore:
    tables = session_tables(metadata)
    database = Database(lambda: _apart(engine_of()), tables, timeout_ms=timeout_ms, is_own=False)
    return SqlStore(database, tables)


def _apart(engine: Engine) -> Engine:
    """Return an app's engine; where it has one connection for all, one of our own.

    A database of SQLite in memory, as tests use it, is one connection. A commit of ours there would
    commit what the app has not committed.
    """
    return _in_memory() if isinstance(engine.pool, StaticPool) else engine


def _own_store(url: URL, instance_path: str, timeout_ms: int) -> SqlStore:
    tables = session_tables(MetaData())
    if url.get_backend_name() != "sqlite":
        engine = _server(_with_driver(url), timeout_ms)
    elif not url.database or url.database == ":memory:":
        engine = _in_memory()
    else:
        path = Path(instance_path) / url.database
        engine = _sqlite(url.set(database=str(path)), path, timeout_ms)
    database = Database(lambda: engine, tables, timeout_ms=timeout_ms, is_own=True)
    database.require_known_dialect()
    return SqlStore(database, tables)


def _in_memory() -> Engine:
    return create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )


def _sqlite(url: URL, path: Path, timeout_ms: int) -> Engine:
    engine = _create_engine(url, timeout_ms, {"timeout": timeout_ms / 1000})

    @event.listens_for(engine, "do_connect")
    def _make_file(*_: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives its other files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a revocation survives a loss of power
        record.info["file"] = _file_id(path)

    @event.listens_for(engine, "checkout")
    def _check_file(connection: Any, record: Any, proxy: Any) -> None:
        if record.info.get("file") != _file_id(path):
            raise DisconnectionError("the file was replaced")

    return engine


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _with_driver(url: URL) -> URL:
    """Return a URL with a driver of PostgreSQL that is installed, where it names none."""
    if url.drivername in ("postgres", "postgresql"):
        driver = "psycopg" if find_spec("psycopg") is not None else "psycopg2"
        return url.set(drivername=f"postgresql+{driver}")
    return url


def _server(url: URL, timeout_ms: int) -> Engine:
    seconds = max(_LEAST_CONNECT_SECONDS, timeout_ms // 1000)
    arguments: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        arguments = {"connect_timeout": seconds}
    elif url.get_backend_name() in ("mysql", "mariadb"):
        arguments = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), seconds)
    return _create_engine(url, timeout_ms, {**arguments, **dict(url.query)})


def _create_engine(url: URL, timeout_ms: int, arguments: dict[str, Any]) -> Engine:
    try:
        return create_engine(
            url,
            connect_args=arguments,
            pool_size=_POOL_SIZE,
            max_overflow=_MOST_CONNECTIONS - _POOL_SIZE,
            pool_timeout=timeout_ms / 1000,
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(
            f"AUTH_SESSION_STORE needs a driver that is not installed: {error}"
        ) from None
