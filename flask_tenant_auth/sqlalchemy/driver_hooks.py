"""How the settings reach a connection: at the driver, so that its own cursors are bounded too.

Each class here stands between a driver and its connection to the server. Nothing that the driver
sends passes by it, whoever made the cursor: SQLAlchemy, or code that took the driver's connection.

These names are private to their libraries. What the public interfaces offer is above the cursors
that code can make for itself:

- psycopg: Connection._start_query (a generator that every cursor runs before it sends a query),
  Connection._exec_command (what the connection sends by itself), the generators of a ServerCursor;
- asyncpg: Connection._protocol (the object that sends).

A driver that lacks them, in a version to come, or that is not known here, is told before each
statement of SQLAlchemy's and made to forget after it: its raw cursors see nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

if TYPE_CHECKING:
    from .row_level_security import Settings

# One command that ends or begins a transaction, or gives something back. It reads no row, and in a
# transaction that has failed PostgreSQL takes nothing else. A semicolon would begin a second one.
CONTROL = re.compile(
    r"\s*(?:begin|start|commit|end|rollback|abort|release|prepare\s+transaction|deallocate|close)\b"
    r"[^;]*;?\s*",
    re.IGNORECASE,
)
# Of what psycopg sends by itself: leaves the settings as they are.
KEEPS_SETTINGS = re.compile(r"\s*(?:fetch|move|close|release|deallocate)\b", re.IGNORECASE)
# psycopg's TransactionStatus; InFailedSqlTransaction.
IDLE, INERROR = 0, 3
FAILED_TRANSACTION = "25P02"


def text_of(query: object) -> str:
    """Return the words of a query, in whatever form a driver takes it."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode("latin-1")
    return repr(query)  # psycopg's composed queries and templates show their parts


class Hook:
    """Between a driver and the server, while a connection is used by isolated sessions."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def attach(self) -> None:
        """Take the place."""

    def detach(self) -> None:
        """Leave the driver as it was."""

    def run(self, connection: Connection, sql: str) -> None:
        """Send commands of ours, several at once; SQLAlchemy's events are not asked."""
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
    """For any driver: the settings are there while a statement of SQLAlchemy's runs, and no longer.

    It costs two more round trips a statement. A raw cursor finds no identity, and sees nothing.
    """

    def before_statement(self, connection: Connection, sql: str) -> None:
        """Tell who is asking."""
        if (order := self.settings.order(sql)) is not None:
            self.run(connection, order)
            self.settings.note_told()

    def after_statement(self, connection: Connection) -> None:
        """Make the connection forget; where the transaction has failed, it forgets by itself."""
        try:
            self.run(connection, self.settings.nobody_sql())
        except Exception as error:
            if FAILED_TRANSACTION not in f"{getattr(error, 'pgcode', '')} {error}":
                connection.invalidate()
                raise
        self.settings.note_nobody()


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

    def __init__(self, settings: Settings, driver: Any) -> None:
        super().__init__(settings)
        self.driver = driver
        self.start: Callable[[], Generator[Any, Any, None]] = driver._start_query
        self.send: Callable[..., Generator[Any, Any, Any]] = driver._exec_command
        self.factories = (driver.cursor_factory, driver.server_cursor_factory)
        # What the next query says; None: a cursor that this connection did not make.
        self.coming: str | None = None

    def attach(self) -> None:
        """Put ourselves before the connection's methods."""
        driver = self.driver
        driver._flask_tenant_auth = self
        driver._start_query = self.start_query
        driver._exec_command = self.exec_command
        driver.cursor_factory = watched_cursor(self.factories[0])
        driver.server_cursor_factory = watched_server_cursor(self.factories[1])

    def detach(self) -> None:
        """Take ourselves away."""
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
        with self.settings.speaking():
            if hasattr(proxied.dbapi_connection, "run_async"):
                proxied.dbapi_connection.run_async(lambda c: c.execute(sql, prepare=False))
            else:
                self.driver.execute(sql, prepare=False)

    def is_alone(self, connection: Connection) -> bool:
        """Whether no transaction is open, and none will be begun."""
        return bool(self.driver.autocommit) and self.driver.pgconn.transaction_status == IDLE

    def start_query(self) -> Generator[Any, Any, None]:
        """Begin the transaction if need be, and tell it who is asking."""
        coming, self.coming = self.coming, None
        yield from self.start()
        if not self.settings.is_speaking:
            yield from self.tell(coming)
            self.settings.note_run()

    def exec_command(self, command: Any, *args: Any, **options: Any) -> Generator[Any, Any, Any]:
        """Send what the connection sends by itself, such as SAVEPOINT and FETCH."""
        text = text_of(command)
        if not CONTROL.fullmatch(text):
            yield from self.tell(text)
        if not KEEPS_SETTINGS.match(text):
            self.settings.forget()
        return (yield from self.send(command, *args, **options))

    def tell(self, text: str | None) -> Generator[Any, Any, None]:
        """Tell the transaction who is asking, unless it knows."""
        if self.driver.pgconn.transaction_status in (IDLE, INERROR):
            self.settings.forget()
            return
        # What Cursor.stream() leaves behind spoils a row that a pipeline begins with.
        silent = self.driver._pipeline is not None
        if (order := self.settings.order(text, silent)) is not None:
            yield from self.send(order.encode())
            self.settings.note_told()


@lru_cache(maxsize=64)
def watched_cursor(base: Any) -> Any:
    """Return a class of psycopg's cursors that says beforehand what it will send."""

    def _start_query(self: Any, query: Any = None) -> Generator[Any, Any, None]:
        hook = getattr(self._conn, "_flask_tenant_auth", None)
        if hook is not None:
            hook.coming = "" if query is None else text_of(query)
        yield from super(watched, self)._start_query(query)

    watched: Any = type(
        base.__name__, (base,), {"_start_query": _start_query, "_is_watched": True, "__slots__": ()}
    )
    return watched


@lru_cache(maxsize=64)
def watched_server_cursor(base: Any) -> Any:
    """Return a class of psycopg's server-side cursors that are read by who opened them."""

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

    def attach(self) -> None:
        """Put ourselves before what sends."""
        self.driver._protocol = WatchedProtocol(self.settings, self.driver._protocol)

    def detach(self) -> None:
        """Take ourselves away; a connection that was closed has nothing left."""
        if isinstance(self.driver._protocol, WatchedProtocol):
            self.driver._protocol = self.driver._protocol._inner

    def run(self, connection: Connection, sql: str) -> None:
        """Send it by the simple protocol, which takes several commands."""
        adapted: Any = connection.connection.dbapi_connection
        with self.settings.speaking():
            adapted.run_async(lambda driver: driver.execute(sql))

    def is_alone(self, connection: Connection) -> bool:
        """Whether no transaction is open, and none will be begun."""
        return super().is_alone(connection) and not self.driver.is_in_transaction()


class WatchedProtocol:
    """asyncpg's protocol, with the transaction told who is asking before it executes."""

    def __init__(self, settings: Settings, inner: Any) -> None:
        self._settings = settings
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def _before(self, query: Any) -> None:
        settings = self._settings
        if settings.is_speaking:
            return
        text = getattr(query, "query", query)  # a prepared statement knows its text
        if not self._inner.is_in_transaction():
            settings.forget()
        elif not CONTROL.fullmatch(text) and (order := settings.order(text)) is not None:
            try:
                await self._inner.query(order, None)
            except Exception as error:
                # PostgreSQL lets nothing but the end of this transaction pass.
                if getattr(error, "sqlstate", None) != FAILED_TRANSACTION:
                    raise
                settings.forget()
            else:
                settings.note_told()
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


def hook_for(settings: Settings, connection: Connection) -> Hook:
    """Return what fits the driver of a connection."""
    driver = connection.connection.driver_connection
    libraries = {base.__module__.partition(".")[0] for base in type(driver).__mro__}
    for name, hook in (("psycopg", PsycopgHook), ("asyncpg", AsyncpgHook)):
        if name in libraries and all(hasattr(driver, need) for need in hook.NEEDS):
            return hook(settings, driver)
    return StatementHook(settings)
