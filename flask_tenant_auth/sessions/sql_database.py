"""An SQL database for sessions: connections, conflicts that are tried again, time limits, errors.

Statements run in a context of their own, without the request and the identity of the caller. So
data isolation (`flask_tenant_auth.sqlalchemy`) does not take them for statements of the app.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext, suppress
from contextvars import Context
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import Pool, StaticPool

from ..ending import Ending
from ..errors import ConfigurationError
from .sql_deadlines import deadlines
from .sql_tables import DIALECTS, Tables
from .store import StoreUnavailable

Result = TypeVar("Result")

# Of a transaction that was rolled back because of another one, and of which nothing remains.
_CONFLICTS_OF_POSTGRESQL = {"40001", "40P01"}  # serialization_failure, deadlock_detected
_CONFLICTS_OF_MYSQL = {1213, 1020}  # ER_LOCK_DEADLOCK, ER_CHECKREAD
_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6
_NO_SUCH_TABLE = {"42P01", 1146}
_LONGEST_PAUSE = 0.03
# How often the tables are looked for while others make them.
_MOST_MAKERS = 5
_LONGEST_TEXT = 200
# In PostgreSQL no statement, and no pause between two, of a transaction takes longer. So it commits
# within the window in which `changes` looks for late ones, also where its client is frozen.
_STEP_MS = 5000


class Database:
    """One database, and how statements run there.

    :param engine_of: returns the engine; called once, when it is first needed.
    :param is_own: whether the engine is the store's own, to be disposed of with it.
    """

    def __init__(
        self,
        engine_of: Callable[[], Engine],
        tables: Tables,
        *,
        timeout_ms: int,
        is_own: bool,
    ) -> None:
        self._engine_of = engine_of
        self._tables = tables
        self._seconds = timeout_ms / 1000
        self._is_own = is_own
        self._known: Engine | None = None
        self._lock = threading.Lock()
        self._store_id = ""  # empty: not known that the tables are there
        # Where all threads have one connection (SQLite in memory): its lock.
        self._alone: threading.RLock | None = None
        self._left_to_parent: list[Pool] = []
        _databases.add(self)

    @property
    def engine(self) -> Engine:
        """The engine.

        :raises ConfigurationError: for a database that is not known.
        """
        if self._known is None:
            with self._lock:  # two engines in memory would be two databases
                if self._known is None:
                    self._known = self._find_engine()
        return self._known

    def _find_engine(self) -> Engine:
        engine = Context().run(self._engine_of)
        if engine.dialect.name not in DIALECTS or engine.dialect.is_async:
            raise ConfigurationError(
                "AUTH_SESSION_STORE must be SQLite, PostgreSQL or MySQL with a driver that "
                f"blocks, not {engine.dialect.name} with {engine.dialect.driver}"
            )
        if isinstance(engine.pool, StaticPool):
            self._alone = threading.RLock()
            self._is_own = True  # the one in memory that is used in place of an app's
        if self._is_own:
            # Python 3.13 and later warn of a connection of SQLite that nobody has closed. At the
            # end of the process a thread may still read by such a connection.
            Ending(self, engine.dispose, at_exit=False)
        return engine

    def require_known_dialect(self) -> None:
        """Raise ConfigurationError for a database that is not known."""
        _ = self.engine

    def describe(self) -> str:
        """Return what it is, without a password."""
        url = self.engine.url
        return url.set(query={}).render_as_string(hide_password=True)

    def run(self, work: Callable[[Connection], Result], *, atomic: bool = False) -> Result:
        """Run one statement that commits by itself or, atomic, a transaction.

        It runs again after a conflict, and after a lost connection: it has to be of the same effect
        when it was done before. The first statement of a transaction has to write, so that
        SQLite never finds that it cannot write after it has read.

        :raises StoreUnavailable: when it did not succeed in time.
        """
        with (self.engine and self._alone) or nullcontext():
            return Context().run(self._run, work, atomic)

    def store_id(self) -> str:
        """Return the id of the store, which another one does not have."""
        self.run(lambda connection: None)
        return self._store_id

    def _run(self, work: Callable[[Connection], Result], atomic: bool) -> Result:
        deadline = time.monotonic() + self._seconds
        once_more = True  # after something that may be over: a lost connection, a missing table
        while True:
            try:
                self._require_tables(deadline)
                return self._once(work, atomic, deadline)
            except SQLAlchemyError as error:
                again = _is_conflict(error)
                if not again and once_more and (_is_lost(error) or _is_no_table(error)):
                    again, once_more = True, False
                    self._store_id = ""
                is_late = time.monotonic() >= deadline
                if not again or is_late:
                    raise self._unavailable(error, is_late) from None
            time.sleep(random.random() * _LONGEST_PAUSE)  # noqa: S311 - no secret

    def _once(self, work: Callable[[Connection], Result], atomic: bool, deadline: float) -> Result:
        with (
            self.engine.connect() as connection,
            deadlines().hold(connection.connection.dbapi_connection, deadline),
        ):
            if not atomic:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                result = work(connection)
                # An engine of SQLite whose events begin transactions does so here too.
                connection.commit()
                return result
            # Whatever the default of the app's engine is.
            is_sqlite = connection.dialect.name == "sqlite"
            level = "SERIALIZABLE" if is_sqlite else "READ COMMITTED"
            connection.execution_options(isolation_level=level)
            with connection.begin():
                _limit(connection)
                return work(connection)

    def _require_tables(self, deadline: float) -> None:
        """Make the tables that are missing. Other processes may do so at the same time."""
        if self._store_id:
            return
        with self._lock:
            for left in reversed(range(_MOST_MAKERS)):
                if not self._store_id:
                    self._store_id = self._try_tables(deadline, left > 0)

    def _try_tables(self, deadline: float, may_fail: bool) -> str:
        """Return the id of the store; "" where another process may have made a table meanwhile."""
        try:
            if not self._once(self._are_made, False, deadline):
                self._once(self._make_tables, True, deadline)
            return self._once(self._find_store_id, False, deadline)
        except DBAPIError as error:
            if not may_fail or _is_lost(error) or time.monotonic() >= deadline:
                raise
        time.sleep(random.random() * _LONGEST_PAUSE)  # noqa: S311 - no secret
        return ""

    def _are_made(self, connection: Connection) -> bool:
        inspector = inspect(connection)
        return all(
            inspector.has_table(table.name, schema=table.schema) for table in self._tables.all
        )

    def _make_tables(self, connection: Connection) -> None:
        """Make all or, where the database can, none: no table is left without its indexes."""
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.dbapi_connection
            if not driver.in_transaction:  # the driver does not begin one for a table
                connection.exec_driver_sql("BEGIN IMMEDIATE")
        for table in self._tables.all:
            table.create(connection, checkfirst=True)

    def _find_store_id(self, connection: Connection) -> str:
        table = self._tables.store
        if connection.scalar(select(table.c.id)) is None:
            with suppress(IntegrityError):  # another process was faster
                connection.execute(insert(table).values(one=1, id=secrets.token_hex(8)))
        found: str = connection.scalars(select(table.c.id)).one()
        return found

    def _unavailable(self, error: SQLAlchemyError, is_late: bool) -> StoreUnavailable:
        """Return the error without parameters, which have secrets, and without a password.

        A driver whose statement was late says that the server closed the connection. It was us.
        """
        self._store_id = ""  # found again, with what has changed meanwhile
        original = getattr(error, "orig", None) or error
        lines = str(original).strip().splitlines() or [""]
        text = lines[0]
        url = self.engine.url
        for secret in (url.password, *map(str, url.query.values())):
            if secret:
                text = text.replace(str(secret), "***")
        late = f"no answer within {self._seconds:g} s; " if is_late else ""
        return StoreUnavailable(f"{late}{type(original).__name__}: {text[:_LONGEST_TEXT]}")

    def close(self) -> None:
        """Close the connections, where the engine is the store's own."""
        if self._is_own and self._known is not None:
            self._known.dispose()

    def leave_connections_to_parent(self) -> None:
        """Use no connection of the parent, after a fork.

        They stay referenced: SQLite must not close what another process has opened.
        """
        self._lock = threading.Lock()
        if self._alone is not None:
            self._alone = threading.RLock()
        elif self._is_own and self._known is not None:
            self._left_to_parent.append(self._known.pool)
            self._known.dispose(close=False)


def _limit(connection: Connection) -> None:
    """Limit how long a transaction can last, where the server can."""
    if connection.dialect.name == "postgresql":
        names = ("statement_timeout", "idle_in_transaction_session_timeout")
        connection.execute(select(*(func.set_config(name, str(_STEP_MS), True) for name in names)))


def _code(error: SQLAlchemyError) -> Any:
    """Return what a driver says of an error: an SQLSTATE, or a number of SQLite or MySQL."""
    original = getattr(error, "orig", None)
    for name in ("sqlstate", "pgcode", "sqlite_errorcode"):
        code = getattr(original, name, None)
        if code is not None:
            return code
    first = getattr(original, "args", None) or (None,)
    return first[0]["C"] if isinstance(first[0], dict) and "C" in first[0] else first[0]


def _is_conflict(error: SQLAlchemyError) -> bool:
    code = _code(error)
    if isinstance(code, int):
        low = code & 0xFF  # SQLITE_BUSY_SNAPSHOT and others have further bits
        is_sqlite = hasattr(getattr(error, "orig", None), "sqlite_errorcode")
        return low in (_SQLITE_BUSY, _SQLITE_LOCKED) if is_sqlite else code in _CONFLICTS_OF_MYSQL
    # Python 3.10 has no code of SQLite.
    return code in _CONFLICTS_OF_POSTGRESQL or "is locked" in str(code)


def _is_lost(error: SQLAlchemyError) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _is_no_table(error: SQLAlchemyError) -> bool:
    return _code(error) in _NO_SUCH_TABLE or "no such table" in str(getattr(error, "orig", ""))


_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def _after_fork() -> None:
    for database in list(_databases):
        database.leave_connections_to_parent()


os.register_at_fork(after_in_child=_after_fork)
