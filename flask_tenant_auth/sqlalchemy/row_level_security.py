"""PostgreSQL's row-level security: the second wall, which also bounds raw SQL.

The policies compare rows with settings of the transaction. The rule: when a statement runs, the
settings are those of the identity that is in force at that moment, or nobody's.

- They are told lazily, by the driver's own connection (driver_hooks.py), just before it sends.
- What a transaction was told is remembered only while nothing could have changed it. Each statement
  makes it forgotten, and so told again before the next one. The exception is a SELECT, INSERT,
  UPDATE or DELETE of SQLAlchemy's that calls no function but known ones (`keeps_settings`).
- A savepoint is made for nobody: whoever goes back to it, by whatever SQL, goes back to nobody.
- A cursor of the server is read by the identity that opened it. Those that SQL of the application
  declared are closed when the identity changes.
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
from ._compat import is_server_side
from .driver_hooks import CONTROL, Hook, StatementHook, hook_for
from .errors import UnscopedStatement
from .scope import Unscoped, current_scope

Scope = Identity | Unscoped | None

PREFIX = "flask_tenant_auth"
INFO_KEY = "flask_tenant_auth_settings"
PLAIN = re.compile(r"[\w.:-]*")
KEEPS_KEY = "flask_tenant_auth_keeps_settings"


def values_of(scope: Scope) -> dict[str, str]:
    """Return the settings that say who is asking."""
    values = {
        "tenant_id": getattr(scope, "tenant_id", ""),
        "user_id": getattr(scope, "user_id", ""),
        "role": "" if scope is None else scope.role,
    }
    for name, value in values.items():
        if PLAIN.fullmatch(value) is None:
            raise ValueError(f"{name} cannot be told to PostgreSQL: {value!r}")
    return values


def calls_of(scope: Scope) -> str:
    """Return the calls that set them, for this transaction.

    The values are written into them, so that no driver needs parameters: an Identity holds
    canonical UUIDs and a known role, nothing that could end a literal (values_of checks it).
    """
    return ", ".join(
        f"set_config('{PREFIX}.{name}', '{value}', true)"
        for name, value in values_of(scope).items()
    )


def settings_sql(scope: Scope) -> str:
    """One SELECT that tells the transaction who is asking."""
    return f"SELECT {calls_of(scope)}"


def silent_sql(scope: Scope, closing: bool = False, kept: Iterable[str] = ()) -> str:
    """Return the same as one command without a result.

    It may also close the cursors of the server, but for some, before somebody else can read them.
    """
    names = ", ".join(f"'{name}'" for name in ("", *kept))
    close = (  # the names are identifiers
        "FOREACH opened IN ARRAY ARRAY(SELECT name FROM pg_catalog.pg_cursors) LOOP "  # noqa: S608
        f"IF opened NOT IN ({names}) THEN EXECUTE format('CLOSE %I', opened); END IF; END LOOP; "
    )
    return (
        "DO $tell$ DECLARE opened text; BEGIN "
        f"{close if closing else ''}PERFORM {calls_of(scope)}; END $tell$"
    )


# --- What leaves the settings as they are ---------------------------------------

# A word before a parenthesis that calls nothing, or calls what is known to set nothing.
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
# What reads from a cursor of the server by its name.
FETCHES = re.compile(r"\b(?:fetch|move)\b", re.IGNORECASE)
# What creates a savepoint has the word in it, and is not one of these.
SAVEPOINT = re.compile(r"savepoint", re.IGNORECASE)
USES_SAVEPOINT = re.compile(
    r'\s*(?:release|rollback\s+to)(?:\s+savepoint)?\s+(?:\w+|"[^"]*")\s*;?\s*', re.IGNORECASE
)


def keeps_settings(context: DefaultExecutionContext | None) -> bool:
    """Whether a statement cannot have changed the settings; asked once for each compiled one."""
    compiled: Any = None if context is None else context.compiled
    if compiled is None:
        return False
    known = compiled.__dict__.get(KEEPS_KEY)
    if known is None:
        known = compiled.__dict__[KEEPS_KEY] = text_keeps_settings(compiled.string)
    return bool(known)


def text_keeps_settings(sql: str) -> bool:
    """Whether this is one SELECT, INSERT, UPDATE or DELETE that calls known functions only.

    Only to save a round trip: what it is not sure of is told again. A second command needs a
    semicolon, and none of these commands goes back to a savepoint or sets anything by itself.
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


# --- One connection -------------------------------------------------------------


class Unknown:
    """The type of UNKNOWN: the settings may be anybody's."""


UNKNOWN = Unknown()


class Settings:
    """What one connection to the server was told, and which isolated sessions use it."""

    def __init__(self, connection: Connection) -> None:
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self.told: Scope | Unknown = UNKNOWN
        # What was ordered last: for whom, and for whom the settings are.
        self.ordered: tuple[Scope, Scope] = (None, None)
        # For whom it was last told: cursors that are open may be theirs.
        self.last: Scope | Unknown = UNKNOWN
        # What it knew when the last statement ran.
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
        self.is_speaking = False
        self.attached = False
        self.hook: Hook = hook_for(self, connection)

    def wanted(self) -> Scope:
        """For whom the next statement runs; a connection that no session uses, for nobody."""
        return current_scope() if self.sessions else None

    # What the hooks ask and say.

    def target(self, sql: str | None) -> Scope:
        """For whom this SQL runs; None: SQL that we do not get to see.

        A savepoint keeps the settings that it was made with. It is made for nobody.
        """
        return None if sql is None or creates_savepoint(sql) else self.wanted()

    def order(self, sql: str | None, silent: bool = False) -> str | None:
        """Return what to tell before this SQL; None where the transaction knows."""
        self.check_portals(sql)
        self.touched = self.touched or sql is None or PREFIX in sql.lower()
        scope, target = self.wanted(), self.target(sql)
        foreign_cursors = self.last != scope and self.runs != self.known_runs
        if self.told == target and not foreign_cursors:
            return None
        # Until it is known that the order has arrived; it may be interrupted.
        self.told = UNKNOWN
        self.ordered = (scope, target)
        if foreign_cursors:
            kept = [name for name in self.portals if name.isidentifier()]
            return silent_sql(target, True, kept)
        return silent_sql(target) if silent else settings_sql(target)

    def note_told(self) -> None:
        """Note that the order has arrived."""
        scope, self.told = self.ordered
        if self.last != scope:
            self.last = scope
            self.runs = self.known_runs = self.runs_before = 0

    def note_run(self) -> None:
        """Note that something runs that may change the settings."""
        self.runs += 1
        self.ran_for, self.told = self.told, UNKNOWN

    def forget(self) -> None:
        """Nothing is certain any more; tell it again before the next statement."""
        self.told = UNKNOWN

    def nobody_sql(self) -> str:
        """Return what makes the transaction forget who asked."""
        return settings_sql(None)

    def note_nobody(self) -> None:
        """Note that the transaction has forgotten who asked."""
        self.told = None

    def note_portal(self, name: str) -> None:
        """Note that the driver opens a cursor of the server."""
        self.portals[name] = self.wanted()

    def check_portals(self, sql: str | None) -> None:
        """Refuse SQL that may read a cursor which the driver opened for somebody else."""
        if self.portals and (sql is None or FETCHES.search(sql) is not None):
            unsure = sql is None or 'u&"' in sql.lower()
            for name in self.portals:
                if unsure or re.search(rf"\b{re.escape(name)}\b", sql or "", re.IGNORECASE):
                    self.check_portal(name)

    def check_portal(self, name: str) -> None:
        """Refuse to read on for somebody else: the rows were chosen for who opened the cursor."""
        if name in self.portals and self.portals[name] != self.wanted():
            raise UnscopedStatement(
                f"the server-side cursor {name} was opened for another identity: read it to its "
                "end before the identity changes, or open it again"
            )

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Let through what we send ourselves."""
        self.is_speaking = True
        try:
            yield
        finally:
            self.is_speaking = False

    # What SQLAlchemy says.

    def attach(self, session: Session) -> None:
        """Let a session use the connection."""
        self.sessions.add(session)
        if not self.attached:
            self.attached = True
            self.told = UNKNOWN
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
            self.give_up(connection)
        if isinstance(self.hook, StatementHook) and is_server_side(context):
            raise UnscopedStatement(
                "stream_results and yield_per need psycopg or asyncpg with row-level security: "
                f"with {connection.dialect.driver} the identity ends with the statement"
            )
        if self.hook.is_alone(connection):
            if (context is None or not context.isddl) and not CONTROL.fullmatch(sql):
                # A transaction for this statement alone: settings that outlive it would be found
                # by whoever gets the server's session from a pooler next.
                self.forget()
                self.opened = True
                self.hook.run(connection, f"BEGIN; {self.order(sql)}")
                self.note_told()
        elif not CONTROL.fullmatch(sql):
            self.hook.before_statement(connection, sql)

    def after_statement(
        self, connection: Connection, sql: str, context: DefaultExecutionContext | None
    ) -> None:
        """Note what the statement may have changed, and end what was begun for it."""
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
            self.told = self.ran_for

    def after_error(self, connection: Connection) -> None:
        """Forget what was told: the statement has failed."""
        self.forget()
        if self.opened:
            self.give_up(connection)
        elif isinstance(self.hook, StatementHook):
            self.hook.after_statement(connection)

    def give_up(self, connection: Connection) -> None:
        """End the transaction that was begun for one statement, or the connection."""
        try:
            self.hook.run(connection, "ROLLBACK")
        except Exception:
            connection.invalidate()
            raise
        self.opened = False


# --- Where SQLAlchemy calls us --------------------------------------------------

# Session classes that row-level security backs.
secured: weakref.WeakSet[type[Session]] = weakref.WeakSet()
# The connections that each session uses.
held: weakref.WeakKeyDictionary[Session, list[Settings]] = weakref.WeakKeyDictionary()


def secure(session_class: type[Session]) -> None:
    """Let PostgreSQL know, from now on, for whom the statements of these sessions run."""
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
    """Begin with a connection."""
    if connection.dialect.name != "postgresql":
        return
    settings = connection.info.get(INFO_KEY)
    if settings is None:
        settings = connection.info[INFO_KEY] = Settings(connection)
    settings.attach(session)
    held.setdefault(session, []).append(settings)


def after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    """Let go of the connections of a session's transaction."""
    if transaction.parent is None:
        for settings in held.pop(session, ()):
            settings.sessions.discard(session)


def checkin(dbapi_connection: Any, record: Any) -> None:
    """Leave the connection to the pool as it was."""
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
    """Make sure that the statement runs for the identity of the moment."""
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
