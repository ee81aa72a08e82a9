"""How the settings reach a connection: at the driver, so that its own cursors are bounded too.

Each class here is between a driver and its connection to the server. All that the driver sends
passes it, whoever made the cursor: SQLAlchemy, or code that took the driver's connection.

This is the one file with private names of the drivers. Code can make cursors for itself below their
public interfaces, so a hook in those would not get all statements. The names of psycopg:

- Connection._start_query: every cursor runs it before it sends a query, and it begins the
  transaction, in which the settings have to be;
- Connection._exec_command: what the connection sends by itself, such as SAVEPOINT, and FETCH for
  server-side cursors;
- Connection._pipeline: in a pipeline the settings must be set without a result;
- Cursor._start_query: the text of the query is known there, and not to the connection;
- ServerCursor._declare_gen, _fetch_gen and _scroll_gen: where a server-side cursor is opened and
  read, which only the identity that opened it may do.

And of asyncpg:

- Connection._protocol: the object that sends, for cursors and prepared statements as well. Of its
  methods, those that execute something are in `WatchedProtocol`, and those that read and write no
  rows in `FORWARDED`; no other can be called through it.

Another driver, or a later version that lacks one of them, gets the settings before each statement
of SQLAlchemy's and loses them after it: its raw cursors see no rows. The log says so once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ..audit import logger

if TYPE_CHECKING:
    from .row_level_security import Settings

# One command that ends or begins a transaction, or frees something. It reads no row, and after a
# failure PostgreSQL accepts no other command. A semicolon would begin a second command.
CONTROL = re.compile(
    r"\s*(?:begin|start|commit|end|rollback|abort|release|prepare\s+transaction|deallocate|close)\b"
    r"[^;]*;?\s*",
    re.IGNORECASE,
)
# Commands that psycopg sends by itself and that keep the settings.
KEEPS_SETTINGS = re.compile(r"\s*(?:fetch|move|close|release|deallocate)\b", re.IGNORECASE)
# psycopg's TransactionStatus; InFailedSqlTransaction.
IDLE, INERROR = 0, 3
FAILED_TRANSACTION = "25P02"
ADVICE = (
    "Use a version of the driver that flask_tenant_auth is tested with, or a newer release of it"
)


def text_of(query: object) -> str:
    """Return the text of a query, in whatever form a driver takes it."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode("latin-1")
    return repr(query)  # psycopg's composed queries and templates show their parts


class Hook:
    """The part between a driver and the server, while isolated sessions use a connection."""

    # Names that an instance or a class of the driver must have; see `lacks`.
    NEEDS: tuple[str, ...] = ()

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def lacks(cls, driver: Any) -> list[str]:
        """Return the names that this hook needs and that a driver's connection does not have."""
        return [f"Connection.{need}" for need in cls.NEEDS if not hasattr(driver, need)]

    def attach(self) -> None:
        """Begin to watch the connection."""

    def detach(self) -> None:
        """Leave the driver as it was."""

    def run(self, connection: Connection, sql: str) -> None:
        """Send commands of ours, several at once, without SQLAlchemy's events."""
        cursor: Any = connection.connection.cursor()
        try:
            cursor.execute(sql)
        finally:
            cursor.close()

    def is_alone(self, connection: Connection) -> bool:
        """Whether the next statement would be a transaction of its own."""
        return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))

    def before_statement(self, connection: Connection, sql: str) -> None:
        """SQLAlchemy is about to execute a statement in a transaction."""

    def after_statement(self, connection: Connection) -> None:
        """SQLAlchemy has executed it."""


class StatementHook(Hook):
    """For any driver: the settings are in force only while a statement of SQLAlchemy's runs.

    It takes two more round trips for each statement. A raw cursor sees no rows.
    """

    def before_statement(self, connection: Connection, sql: str) -> None:
        """Set the settings."""
        if (setting := self.settings.sql_before(sql)) is not None:
            self.run(connection, setting)
            self.settings.note_set()

    def after_statement(self, connection: Connection) -> None:
        """Reset the settings. A transaction that has failed has reset them itself."""
        try:
            self.run(connection, self.settings.reset_sql())
        except Exception as error:
            if FAILED_TRANSACTION not in f"{getattr(error, 'pgcode', '')} {error}":
                connection.invalidate()
                raise
        self.settings.note_reset()


class PsycopgHook(Hook):
    """For psycopg 3, with asyncio and without."""

    NEEDS = (
        "_start_query",
        "_exec_command",
        "cursor_factory",
        "server_cursor_factory",
        "pgconn",
        "_pipeline",
    )
    # Of the classes of its cursors.
    CURSOR_NEEDS = ("_start_query",)
    SERVER_CURSOR_NEEDS = ("_start_query", "_declare_gen", "_fetch_gen", "_scroll_gen")

    def __init__(self, settings: Settings, driver: Any) -> None:
        super().__init__(settings)
        self.driver = driver
        self.start: Callable[[], Generator[Any, Any, None]] = driver._start_query
        self.send: Callable[..., Generator[Any, Any, Any]] = driver._exec_command
        self.factories = (driver.cursor_factory, driver.server_cursor_factory)
        # The text of the next query; None: of a cursor that this connection did not make.
        self.next_query: str | None = None

    @classmethod
    def lacks(cls, driver: Any) -> list[str]:
        """Check the classes of the cursors too: a method that is never called watches nothing."""
        lacking = super().lacks(driver)
        for factory, needs in (
            ("cursor_factory", cls.CURSOR_NEEDS),
            ("server_cursor_factory", cls.SERVER_CURSOR_NEEDS),
        ):
            kind = getattr(driver, factory, None)
            if not isinstance(kind, type):
                lacking.append(f"a class in Connection.{factory}")
                continue
            lacking += [f"{kind.__name__}.{need}" for need in needs if not hasattr(kind, need)]
        return lacking

    def attach(self) -> None:
        """Replace methods of the connection."""
        driver = self.driver
        driver._flask_tenant_auth = self
        driver._start_query = self.start_query
        driver._exec_command = self.exec_command
        driver.cursor_factory = watched_cursor(self.factories[0])
        driver.server_cursor_factory = watched_server_cursor(self.factories[1])

    def detach(self) -> None:
        """Restore the methods of the connection."""
        for name in ("_flask_tenant_auth", "_start_query", "_exec_command"):
            self.driver.__dict__.pop(name, None)
        for name, factory in zip(
            ("cursor_factory", "server_cursor_factory"), self.factories, strict=True
        ):
            if getattr(getattr(self.driver, name), "_is_watched", False):
                setattr(self.driver, name, factory)

    def run(self, connection: Connection, sql: str) -> None:
        """Send it without preparing it, which takes one command only."""
        proxied: Any = connection.connection
        with self.settings.sending():
            if hasattr(proxied.dbapi_connection, "run_async"):
                proxied.dbapi_connection.run_async(lambda c: c.execute(sql, prepare=False))
            else:
                self.driver.execute(sql, prepare=False)

    def is_alone(self, connection: Connection) -> bool:
        """Whether no transaction is open, and none will be begun."""
        return bool(self.driver.autocommit) and self.driver.pgconn.transaction_status == IDLE

    def start_query(self) -> Generator[Any, Any, None]:
        """Begin the transaction if there is none, and set the settings."""
        next_query, self.next_query = self.next_query, None
        yield from self.start()
        if not self.settings.is_sending:
            yield from self.set_settings(next_query)
            self.settings.note_run()

    def exec_command(self, command: Any, *args: Any, **options: Any) -> Generator[Any, Any, Any]:
        """Send what the connection sends by itself, such as SAVEPOINT and FETCH."""
        text = text_of(command)
        if not CONTROL.fullmatch(text):
            yield from self.set_settings(text)
        if not KEEPS_SETTINGS.match(text):
            self.settings.forget()
        return (yield from self.send(command, *args, **options))

    def set_settings(self, text: str | None) -> Generator[Any, Any, None]:
        """Set the settings of the transaction, unless they are in force."""
        if self.driver.pgconn.transaction_status in (IDLE, INERROR):
            self.settings.forget()
            return
        # After Cursor.stream(), a result at the beginning of a pipeline would be read wrongly.
        silent = self.driver._pipeline is not None
        if (setting := self.settings.sql_before(text, silent)) is not None:
            yield from self.send(setting.encode())
            self.settings.note_set()


@lru_cache(maxsize=64)
def watched_cursor(base: Any) -> Any:
    """Return a class of psycopg's cursors that shows a query to its hook before it is sent."""

    def _start_query(self: Any, query: Any = None) -> Generator[Any, Any, None]:
        hook = getattr(self._conn, "_flask_tenant_auth", None)
        if hook is not None:
            hook.next_query = "" if query is None else text_of(query)
        yield from super(watched, self)._start_query(query)

    watched: Any = type(
        base.__name__, (base,), {"_start_query": _start_query, "_is_watched": True, "__slots__": ()}
    )
    return watched


@lru_cache(maxsize=64)
def watched_server_cursor(base: Any) -> Any:
    """Return a class of psycopg's server-side cursors that only their identity can read."""

    def _declare_gen(self: Any, *args: Any, **options: Any) -> Generator[Any, Any, None]:
        yield from super(watched, self)._declare_gen(*args, **options)
        hook = getattr(self._conn, "_flask_tenant_auth", None)
        if hook is not None:  # not before: the name may be that of another cursor
            hook.settings.note_portal(self.name)

    def _fetch_gen(self: Any, *args: Any) -> Generator[Any, Any, Any]:
        hook = getattr(self._conn, "_flask_tenant_auth", None)
        if hook is not None:
            hook.settings.check_portal(self.name)
        return (yield from super(watched, self)._fetch_gen(*args))

    def _scroll_gen(self: Any, *args: Any) -> Generator[Any, Any, None]:
        hook = getattr(self._conn, "_flask_tenant_auth", None)
        if hook is not None:
            hook.settings.check_portal(self.name)
        yield from super(watched, self)._scroll_gen(*args)

    names = {
        "_declare_gen": _declare_gen,
        "_fetch_gen": _fetch_gen,
        "_scroll_gen": _scroll_gen,
        "__slots__": (),
    }
    watched: Any = type(base.__name__, (watched_cursor(base),), names)
    return watched


class AsyncpgHook(Hook):
    """For asyncpg."""

    NEEDS = ("_protocol", "is_in_transaction")

    def __init__(self, settings: Settings, driver: Any) -> None:
        super().__init__(settings)
        self.driver = driver

    @classmethod
    def lacks(cls, driver: Any) -> list[str]:
        """Check the protocol too: a method that is never called watches nothing."""
        lacking = super().lacks(driver)
        protocol = getattr(driver, "_protocol", None)
        return lacking + [
            f"Connection._protocol.{need}" for need in WATCHED if not hasattr(protocol, need)
        ]

    def attach(self) -> None:
        """Replace the object that sends."""
        self.driver._protocol = WatchedProtocol(self.settings, self.driver._protocol)

    def detach(self) -> None:
        """Restore the object that sends; a closed connection has none."""
        if isinstance(self.driver._protocol, WatchedProtocol):
            self.driver._protocol = self.driver._protocol._inner

    def run(self, connection: Connection, sql: str) -> None:
        """Send it by the simple protocol, which takes several commands."""
        adapted: Any = connection.connection.dbapi_connection
        with self.settings.sending():
            adapted.run_async(lambda driver: driver.execute(sql))

    def is_alone(self, connection: Connection) -> bool:
        """Whether no transaction is open, and none will be begun."""
        return super().is_alone(connection) and not self.driver.is_in_transaction()


# The names of asyncpg's protocol that read and write no rows: attributes, ends of something, and
# PREPARE, which executes nothing.
FORWARDED = frozenset(
    [
        "_get_timeout",
        "_is_cancelling",
        "_wait_for_cancellation",
        "abort",
        "backend_pid",
        "backend_secret",
        "close",
        "close_portal",
        "close_statement",
        "get_record_class",
        "get_server_pid",
        "get_settings",
        "is_closed",
        "is_connected",
        "is_in_transaction",
        "is_ssl",
        "prepare",
        "queries_count",
    ]
)
# The names that execute something. `WatchedProtocol` has a method for each.
WATCHED = ("query", "bind_execute", "bind_execute_many", "bind", "execute", "copy_out", "copy_in")


class WatchedProtocol:
    """asyncpg's protocol, which sets the settings before it executes anything."""

    def __init__(self, settings: Settings, inner: Any) -> None:
        self._settings = settings
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name not in FORWARDED:
            raise AttributeError(
                f"asyncpg's protocol was asked for {name}, of which row-level security does not "
                f"know whether it reads rows. {ADVICE}"
            )
        return getattr(self._inner, name)

    async def _before(self, query: Any) -> None:
        settings = self._settings
        if settings.is_sending:
            return
        text = getattr(query, "query", query)  # a prepared statement knows its text
        if not self._inner.is_in_transaction():
            settings.forget()
        elif not CONTROL.fullmatch(text) and (setting := settings.sql_before(text)) is not None:
            try:
                await self._inner.query(setting, None)
            except Exception as error:
                # In this transaction PostgreSQL accepts only its end.
                if getattr(error, "sqlstate", None) != FAILED_TRANSACTION:
                    raise
                settings.forget()
            else:
                settings.note_set()
        settings.note_run()

    async def query(self, query: str, *args: Any, **options: Any) -> Any:
        """Execute one or more commands."""
        await self._before(query)
        return await self._inner.query(query, *args, **options)

    async def bind_execute(self, state: Any, *args: Any, **options: Any) -> Any:
        """Execute a prepared statement."""
        await self._before(state)
        return await self._inner.bind_execute(state, *args, **options)

    async def bind_execute_many(self, state: Any, *args: Any, **options: Any) -> Any:
        """Execute a prepared statement many times."""
        await self._before(state)
        return await self._inner.bind_execute_many(state, *args, **options)

    async def bind(self, state: Any, args: Any, portal_name: str, *more: Any) -> Any:
        """Open a cursor."""
        await self._before(state)
        result = await self._inner.bind(state, args, portal_name, *more)
        self._settings.note_portal(portal_name)
        return result

    async def execute(self, state: Any, portal_name: str, *more: Any) -> Any:
        """Fetch from a cursor."""
        self._settings.check_portal(portal_name)
        await self._before(state)
        return await self._inner.execute(state, portal_name, *more)

    async def copy_out(self, statement: str, *args: Any, **options: Any) -> Any:
        """Read by COPY."""
        await self._before(statement)
        return await self._inner.copy_out(statement, *args, **options)

    async def copy_in(self, statement: str, *args: Any, **options: Any) -> Any:
        """Write by COPY."""
        await self._before(statement)
        return await self._inner.copy_in(statement, *args, **options)


HOOKS: dict[str, type[PsycopgHook] | type[AsyncpgHook]] = {
    "psycopg": PsycopgHook,
    "asyncpg": AsyncpgHook,
}
# The drivers that have been logged.
logged: set[str] = set()


def hook_for(settings: Settings, connection: Connection) -> Hook:
    """Return the hook for the driver of a connection."""
    driver = connection.connection.driver_connection
    libraries = {base.__module__.partition(".")[0] for base in type(driver).__mro__}
    for name, hook in HOOKS.items():
        if name in libraries:
            lacking = hook.lacks(driver)
            if not lacking:
                return hook(settings, driver)
            log_unknown_version(name, lacking)
    return StatementHook(settings)


def log_unknown_version(library: str, lacking: list[str]) -> None:
    """Log, once in each process, that the driver is treated as an unknown one."""
    if library in logged:
        return
    logged.add(library)
    logger.warning(
        "Row-level security does not know %s %s, which lacks %s: each statement takes two more "
        "round trips, cursors of the driver see no rows, and stream_results and yield_per are "
        "refused. %s",
        library,
        getattr(sys.modules.get(library), "__version__", "of this version"),
        ", ".join(lacking),
        ADVICE,
    )
