"""PostgreSQL's row-level security: a second boundary, in the database, which also bounds raw SQL.

The policies compare rows with settings of the transaction. The rule: when a statement runs, the
settings are those of the identity that is in force at that moment, or of no identity.

- The driver's own connection (driver_hooks.py) sets them, just before it sends a statement.
- They count as known only while no statement can have changed them. After each statement they are
  unknown, and are set again before the next one. The exception is a SELECT, INSERT, UPDATE or
  DELETE of SQLAlchemy's that calls only known functions (`keeps_settings`).
- A savepoint is made with the settings of no identity. A return to it, by whatever SQL, returns to
  these.
- A cursor of the server is read only by the identity that opened it. Cursors that SQL of the
  application has declared are closed when the identity changes.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Pool, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import Session, SessionTransaction

from .._core import Identity
from ..identity.roles import RESERVED_ROLE
from ._compat import is_server_side
from .driver_hooks import CONTROL, Hook, StatementHook, hook_for
from .errors import UnscopedStatement
from .scope import Unscoped, current_scope

Scope = Identity | Unscoped | None

PREFIX = "flask_tenant_auth"
INFO_KEY = "flask_tenant_auth_settings"
PLAIN = re.compile(r"[A-Za-z0-9_. -]*")
KEEPS_KEY = "flask_tenant_auth_keeps_settings"


def literal(text: str) -> str:
    """Return a text as a literal of PostgreSQL, whatever is in it.

    All but letters and digits of ASCII, spaces, ``_``, ``.`` and ``-`` are written as escapes of
    their code points. So no character can end the literal, be a parameter to a driver or to
    SQLAlchemy, or mean another one under standard_conforming_strings or client_encoding.
    """
    if PLAIN.fullmatch(text) is not None:
        return f"'{text}'"
    return "E'" + "".join(map(_escaped, text)) + "'"


def _escaped(character: str) -> str:
    if PLAIN.fullmatch(character) is not None:
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def values_of(scope: Scope) -> dict[str, str]:
    """Return the settings that name the identity.

    :raises ValueError: for an identity whose role is the one of `unscoped`. No app has it.
    """
    if scope is not None and scope.role == RESERVED_ROLE and not isinstance(scope, Unscoped):
        raise ValueError(f"role must not be {RESERVED_ROLE!r}, which would show all rows")
    return {
        "tenant_id": getattr(scope, "tenant_id", ""),
        "user_id": getattr(scope, "user_id", ""),
        "role": "" if scope is None else scope.role,
    }


def calls_of(scope: Scope) -> str:
    """Return the calls that set them, for this transaction.

    They hold the values as literals, so that no driver needs parameters. They return no value,
    which client_encoding may have no characters for.
    """
    return ", ".join(
        f"set_config('{PREFIX}.{name}', {literal(value)}, true) IS NULL"
        for name, value in values_of(scope).items()
    )


def settings_sql(scope: Scope) -> str:
    """Return one SELECT that sets the settings of the transaction."""
    return f"SELECT {calls_of(scope)}"


def silent_sql(scope: Scope, closing: bool = False, kept: Iterable[str] = ()) -> str:
    """Return the same as one command without a result.

    It may also close the cursors of the server, except some, before another identity can read them.
    """
    names = ", ".join(f"'{name}'" for name in ("", *kept))
    close = (  # the names are identifiers
        "FOREACH opened IN ARRAY ARRAY(SELECT name FROM pg_catalog.pg_cursors) LOOP "  # noqa: S608
        f"IF opened NOT IN ({names}) THEN EXECUTE format('CLOSE %I', opened); END IF; END LOOP; "
    )
    return (
        "DO $set$ DECLARE opened text; BEGIN "
        f"{close if closing else ''}PERFORM {calls_of(scope)}; END $set$"
    )


# Statements that keep the settings

# Words before a parenthesis that are no functions, or functions that set nothing.
KNOWN_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        all and any array as between by case check cast conflict cross cube distinct do else end
        except exists filter from group having in intersect is join lateral like limit materialized
        not null of offset on only or order over partition recursive returning rollup row select set
        sets some then union using values when where with within

        abs array_agg avg bool_and bool_or ceil char char_length coalesce concat count
        current_timestamp date date_trunc decimal dense_rank extract first_value floor greatest
        interval lag last_value lead least left length lower ltrim max min mod now nth_value ntile
        nullif numeric percent_rank position rank replace right round row_number rtrim string_agg
        substr substring sum timestamp trim upper varchar
        """,
    )
)
READS_OR_WRITES = re.compile(r"\s*(?:select|insert|update|delete|values|with)\b", re.IGNORECASE)
# A second command, a comment (it may stand between a name and its parenthesis), an escaped name.
UNSURE = re.compile(r';|--|/\*|u&"', re.IGNORECASE)
CALL = re.compile(r"""(?:(?P<into>\binto\s+)?(?P<name>[\w$.]+|"[^"]*"))\s*\(""", re.IGNORECASE)
# These read from a cursor of the server by its name.
FETCHES = re.compile(r"\b(?:fetch|move)\b", re.IGNORECASE)
# SQL that creates a savepoint has the word in it, and is not one of these.
SAVEPOINT = re.compile(r"savepoint", re.IGNORECASE)
USES_SAVEPOINT = re.compile(
    r'\s*(?:release|rollback\s+to)(?:\s+savepoint)?\s+(?:\w+|"[^"]*")\s*;?\s*', re.IGNORECASE
)


def keeps_settings(context: DefaultExecutionContext | None) -> bool:
    """Whether a statement cannot have changed the settings; kept with each compiled one."""
    compiled: Any = None if context is None else context.compiled
    if compiled is None:
        return False
    known = compiled.__dict__.get(KEEPS_KEY)
    if known is None:
        known = compiled.__dict__[KEEPS_KEY] = text_keeps_settings(compiled.string)
    return bool(known)


def text_keeps_settings(sql: str) -> bool:
    """Whether this is one SELECT, INSERT, UPDATE or DELETE that calls known functions only.

    It only saves a round trip: in doubt the settings are set again. A second command needs a
    semicolon, and none of these commands returns to a savepoint or sets anything by itself.
    """
    if READS_OR_WRITES.match(sql) is None or UNSURE.search(sql) is not None:
        return False
    return all(
        call["into"] is not None or call["name"].lower() in KNOWN_WORDS
        for call in CALL.finditer(sql)
    )


def creates_savepoint(sql: str) -> bool:
    """Whether this SQL may make a savepoint."""
    return SAVEPOINT.search(sql) is not None and not USES_SAVEPOINT.fullmatch(sql)


# One connection


class Unknown:
    """The type of UNKNOWN: the settings may be those of any identity."""


UNKNOWN = Unknown()


class Settings:
    """The settings of one connection to the server, and the isolated sessions that use it."""

    def __init__(self, connection: Connection) -> None:
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self.in_force: Scope | Unknown = UNKNOWN
        # What was sent last: for whom, and whose settings these are.
        self.sent: tuple[Scope, Scope] = (None, None)
        # For whom settings were last set: cursors that are open may be theirs.
        self.last: Scope | Unknown = UNKNOWN
        # The settings that were in force when the last statement ran.
        self.ran_for: Scope | Unknown = UNKNOWN
        # Statements since the cursors of others were closed, and how many keep the settings.
        self.runs = 0
        self.known_runs = 0
        self.runs_before = 0
        # The server's cursors that the driver opened, and for whom.
        self.portals: dict[str, Scope] = {}
        # Whether SQL of the application may have changed the settings beyond the transaction.
        self.touched = False
        # Whether we began a transaction for the one statement that runs.
        self.opened = False
        self.is_sending = False
        self.attached = False
        self.hook: Hook = hook_for(self, connection)

    def wanted(self) -> Scope:
        """Return for whom the next statement runs; None where no session uses the connection."""
        return current_scope() if self.sessions else None

    # For the hooks.

    def target(self, sql: str | None) -> Scope:
        """Return whose settings this SQL runs with; None for SQL that is not known here.

        A savepoint keeps the settings that it was made with. They are those of no identity.
        """
        return None if sql is None or creates_savepoint(sql) else self.wanted()

    def sql_before(self, sql: str | None, silent: bool = False) -> str | None:
        """Return the SQL that sets the settings before this SQL; None where they are in force."""
        self.check_portals(sql)
        self.touched = self.touched or sql is None or PREFIX in sql.lower()
        scope, target = self.wanted(), self.target(sql)
        foreign_cursors = self.last != scope and self.runs != self.known_runs
        if self.in_force == target and not foreign_cursors:
            return None
        # Unknown until they are set: the connection may be interrupted.
        self.in_force = UNKNOWN
        self.sent = (scope, target)
        if foreign_cursors:
            kept = [name for name in self.portals if name.isidentifier()]
            return silent_sql(target, True, kept)
        return silent_sql(target) if silent else settings_sql(target)

    def note_set(self) -> None:
        """Note that the settings are set."""
        scope, self.in_force = self.sent
        if self.last != scope:
            self.last = scope
            self.runs = self.known_runs = self.runs_before = 0

    def note_run(self) -> None:
        """Note that something runs that may change the settings."""
        self.runs += 1
        self.ran_for, self.in_force = self.in_force, UNKNOWN

    def forget(self) -> None:
        """Note that the settings are unknown: they are set again before the next statement."""
        self.in_force = UNKNOWN

    def reset_sql(self) -> str:
        """Return the SQL that sets the settings of no identity."""
        return settings_sql(None)

    def note_reset(self) -> None:
        """Note that the settings are those of no identity."""
        self.in_force = None

    def note_portal(self, name: str) -> None:
        """Note that the driver opens a cursor of the server."""
        self.portals[name] = self.wanted()

    def check_portals(self, sql: str | None) -> None:
        """Raise for SQL that may read a cursor which the driver opened for another identity."""
        if self.portals and (sql is None or FETCHES.search(sql) is not None):
            unsure = sql is None or 'u&"' in sql.lower()
            for name in self.portals:
                if unsure or re.search(rf"\b{re.escape(name)}\b", sql or "", re.IGNORECASE):
                    self.check_portal(name)

    def check_portal(self, name: str) -> None:
        """Raise where another identity reads a cursor: its rows are those of who opened it."""
        if name in self.portals and self.portals[name] != self.wanted():
            raise UnscopedStatement(
                f"the server-side cursor {name} was opened for another identity: read it to its "
                "end before the identity changes, or open it again"
            )

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Note that commands of ours are sent, which need no settings."""
        self.is_sending = True
        try:
            yield
        finally:
            self.is_sending = False

    # For the events of SQLAlchemy.

    def attach(self, session: Session) -> None:
        """Let a session use the connection."""
        self.sessions.add(session)
        if not self.attached:
            self.attached = True
            self.in_force = UNKNOWN
            self.hook.attach()

    def detach(self) -> bool:
        """Leave the driver as it was; return whether its connection can be used again."""
        if self.attached:
            self.attached = False
            self.sessions.clear()
            self.portals.clear()
            self.hook.detach()
        return not self.opened and not self.touched

    def before_statement(
        self, connection: Connection, sql: str, context: DefaultExecutionContext | None
    ) -> None:
        """Prepare for a statement that SQLAlchemy is about to execute."""
        self.runs_before = self.runs
        if self.opened:
            self.roll_back(connection)
        if isinstance(self.hook, StatementHook) and is_server_side(context):
            raise UnscopedStatement(
                "stream_results and yield_per need psycopg or asyncpg with row-level security: "
                f"with {connection.dialect.driver} the identity ends with the statement"
            )
        if self.hook.is_alone(connection):
            if (context is None or not context.isddl) and not CONTROL.fullmatch(sql):
                # A transaction for this statement alone: the next client of a pooler would find
                # settings that outlive it.
                self.forget()
                self.opened = True
                self.hook.run(connection, f"BEGIN; {self.sql_before(sql)}")
                self.note_set()
        elif not CONTROL.fullmatch(sql):
            self.hook.before_statement(connection, sql)

    def after_statement(
        self, connection: Connection, sql: str, context: DefaultExecutionContext | None
    ) -> None:
        """Note what the statement may have changed, and end a transaction that was begun for it."""
        if self.opened:
            self.hook.run(connection, "COMMIT")
            self.opened = False
            self.forget()
        elif isinstance(self.hook, StatementHook):
            if not CONTROL.fullmatch(sql):
                self.hook.after_statement(connection)
        elif self.runs == self.runs_before + 1 and keeps_settings(context):
            # Nothing else was sent meanwhile.
            self.known_runs += 1
            self.in_force = self.ran_for

    def after_error(self, connection: Connection) -> None:
        """Note that the settings are unknown: the statement has failed."""
        self.forget()
        if self.opened:
            self.roll_back(connection)
        elif isinstance(self.hook, StatementHook):
            self.hook.after_statement(connection)

    def roll_back(self, connection: Connection) -> None:
        """End the transaction that was begun for one statement, or the connection."""
        try:
            self.hook.run(connection, "ROLLBACK")
        except Exception:
            connection.invalidate()
            raise
        self.opened = False


# The listeners of SQLAlchemy's events

# Session classes with row-level security.
secured: weakref.WeakSet[type[Session]] = weakref.WeakSet()
# The connections that each session uses.
held: weakref.WeakKeyDictionary[Session, list[Settings]] = weakref.WeakKeyDictionary()


def secure(session_class: type[Session]) -> None:
    """Set in PostgreSQL, from now on, for whom the statements of these sessions run."""
    if not secured:
        event.listen(Engine, "before_cursor_execute", before_cursor_execute)
        event.listen(Engine, "after_cursor_execute", after_cursor_execute)
        event.listen(Engine, "handle_error", handle_error)
        event.listen(Pool, "checkin", checkin)
    if session_class not in secured:
        secured.add(session_class)
        event.listen(session_class, "after_begin", after_begin)
        event.listen(session_class, "after_transaction_end", after_transaction_end)


def settings_of(connection: Connection) -> Settings | None:
    """Return the settings of a connection that isolated sessions use, where it has them."""
    if connection.closed or connection.invalidated:
        return None
    settings: Settings | None = connection.info.get(INFO_KEY)
    return settings if settings is not None and settings.attached else None


def after_begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """Note that a session uses a connection."""
    if connection.dialect.name != "postgresql":
        return
    settings = connection.info.get(INFO_KEY)
    if settings is None:
        settings = connection.info[INFO_KEY] = Settings(connection)
    settings.attach(session)
    held.setdefault(session, []).append(settings)


def after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    """Note that a session uses the connections of its transaction no longer."""
    if transaction.parent is None:
        for settings in held.pop(session, ()):
            settings.sessions.discard(session)


def checkin(dbapi_connection: Any, record: Any) -> None:
    """Return the connection to the pool as it was."""
    settings: Settings | None = record.info.get(INFO_KEY)
    if settings is not None and not settings.detach() and dbapi_connection is not None:
        record.invalidate()


def before_cursor_execute(
    connection: Connection,
    cursor: DBAPICursor,
    sql: str,
    parameters: Any,
    context: DefaultExecutionContext | None,
    executemany: bool,
) -> None:
    """Make sure that the statement runs for the current identity."""
    if (settings := settings_of(connection)) is not None:
        settings.before_statement(connection, sql, context)


def after_cursor_execute(
    connection: Connection,
    cursor: DBAPICursor,
    sql: str,
    parameters: Any,
    context: DefaultExecutionContext | None,
    executemany: bool,
) -> None:
    """Note what the statement may have done to the settings."""
    if (settings := settings_of(connection)) is not None:
        settings.after_statement(connection, sql, context)


def handle_error(context: ExceptionContext) -> None:
    """Note that a statement has failed."""
    connection = context.connection
    if connection is None or context.is_disconnect:
        return
    if (settings := settings_of(connection)) is not None:
        settings.after_error(connection)
