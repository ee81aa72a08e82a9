"""isolate(): its sessions read and write only the rows of the current identity.

Statements are bounded where they are compiled (reading.py, writing.py). This module makes sure that
they are compiled there, and that nothing else reaches the database:

- before a statement is compiled, its connection gets the dialect that bounds it;
- before a cursor runs, its statement must have been compiled in that way, for this kind of
  identity, and the values that it writes into the owners' columns must be those of the identity;
- objects get their owners and are checked before they are flushed; the identity map returns only
  objects that the identity sees.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

from flask import has_request_context
from sqlalchemy import Connection, Engine, Table, event, inspect, select, tuple_
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Mapper, Session, SessionTransaction, scoped_session, sessionmaker

from .._core import Identity
from . import _compat
from .bounds import Bounds, Treatment, WrittenLink
from .catalogue import catalogue
from .dialects import bounds_of, dialect_for
from .errors import ForeignRow, UnscopedStatement
from .models import TenantScoped
from .objects import check_flush, is_visible, stamp_object
from .reading import outside_session
from .row_level_security import Settings, secure, settings_of
from .scope import UNSCOPED, Unscoped, current_scope, reaches_tenant, require_identity
from .text import is_transaction_control, unscoped_statement
from .values import foreign, may_own

Target = TypeVar("Target")
Scope = Identity | Unscoped | None

SCOPE_KEY = "flask_tenant_auth_scope"


class ConnectionUse:
    """A connection that an isolated session uses at the moment."""

    __slots__ = ("outer", "session", "settings")

    def __init__(
        self, session: Session, settings: Settings | None, outer: ConnectionUse | None
    ) -> None:
        self.session = weakref.ref(session)
        self.settings = settings
        # The use by another session, on the same connection, which continues when this one ends.
        self.outer = outer

    def without(self, session: Session) -> ConnectionUse | None:
        """Return the use that remains when a session no longer uses the connection."""
        outer = None if self.outer is None else self.outer.without(session)
        if self.session() is session:
            return outer
        self.outer = outer
        return self


# The attribute of a connection that holds its use.
USE_KEY = "flask_tenant_auth_use"
# The connections of a session.
held: weakref.WeakKeyDictionary[Session, list[Connection]] = weakref.WeakKeyDictionary()
# Isolated Session classes, and whether they have row-level security.
isolated: weakref.WeakKeyDictionary[type[Session], bool] = weakref.WeakKeyDictionary()
# Engines whose sessions have row-level security. Their other connections need no check here.
secured: weakref.WeakSet[Engine] = weakref.WeakSet()
# The arguments of isolate().
targets: weakref.WeakSet[Any] = weakref.WeakSet()

FORBIDDEN = Treatment(allows_text=True, forbids=True)


def isolate(target: Target, *, row_level_security: bool = False) -> Target:
    """Bound all statements of these sessions to the current identity; return the argument.

    Takes a sessionmaker, a scoped_session, a subclass of Session, their asyncio counterparts, or
    Flask-SQLAlchemy's `db`. With row_level_security, every transaction sets the identity
    in PostgreSQL, and its policies bound text().

    :raises TypeError: for anything else.
    :raises ValueError: for sessions that are isolated already, with another setting.
    """
    if not isinstance(row_level_security, bool):
        raise TypeError("row_level_security must be a bool")
    install(session_class_of(target), row_level_security)
    with suppress(TypeError):  # an object with slots cannot be remembered, and has no engine
        targets.add(target)
    return target


def binds() -> list[Engine]:
    """Return the engines that the isolated factories are bound to."""
    found = []
    for target in targets:
        factory = getattr(target, "session_factory", target)
        bind = getattr(factory, "kw", {}).get("bind")
        bind = getattr(bind, "sync_engine", bind)
        if isinstance(bind, Engine) and bind not in found:
            found.append(bind)
    return found


def session_class_of(target: Any) -> type[Session]:
    """Return the class of the sessions that a factory makes."""
    if isinstance(target, type) and issubclass(target, Session):
        return target
    if isinstance(target, scoped_session):
        return session_class_of(target.session_factory)
    if isinstance(target, sessionmaker):
        return target.class_  # a class of this sessionmaker's own
    if isinstance(getattr(target, "session", None), scoped_session):  # Flask-SQLAlchemy
        return session_class_of(target.session)
    found = async_session_class_of(target)
    if found is not None:
        return found
    raise TypeError(
        "isolate() takes a sessionmaker, a scoped_session, a Session class or Flask-SQLAlchemy's "
        f"db, not {type(target).__name__}"
    )


def async_session_class_of(target: Any) -> type[Session] | None:
    """Return the class of the sessions behind an asyncio factory, made its own if it is not."""
    try:
        from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
    except ImportError:  # pragma: no cover - SQLAlchemy without asyncio
        return None
    if isinstance(target, async_scoped_session):
        return async_session_class_of(target.session_factory)
    if isinstance(target, async_sessionmaker):
        base = target.kw.get("sync_session_class", target.class_.sync_session_class)
        own = type("IsolatedSession", (base,), {})
        target.configure(sync_session_class=own)
        return own
    if isinstance(target, type) and issubclass(target, AsyncSession):
        if "sync_session_class" not in target.__dict__:
            target.sync_session_class = type("IsolatedSession", (target.sync_session_class,), {})
        return target.sync_session_class
    return None


def install(session_class: type[Session], row_level_security: bool) -> None:
    """Add the listeners to a Session class, once."""
    for known, backed in isolated.items():
        if issubclass(session_class, known):
            if backed != row_level_security:
                raise ValueError("these sessions are isolated already, with another setting")
            return
    if not isolated:
        event.listen(Engine, "before_execute", before_execute)
        event.listen(Engine, "before_cursor_execute", before_cursor_execute)
    isolated[session_class] = row_level_security
    if row_level_security:
        secure(session_class)

    def begun(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        after_begin(session, connection, row_level_security)

    event.listen(session_class, "after_begin", begun)
    event.listen(session_class, "after_transaction_end", after_transaction_end)
    event.listen(session_class, "transient_to_pending", transient_to_pending)
    event.listen(session_class, "before_flush", before_flush)
    _compat.wrap_identity_lookup(session_class, bounded_lookup)


# A session and its objects


def enter(session: Session, scope: Scope) -> None:
    """Note for whom the session works, and expire what it has loaded for somebody else.

    A loaded relationship is returned without a statement, so no condition could bound it later.
    """
    known = SCOPE_KEY in session.info
    previous = session.info.get(SCOPE_KEY)
    if known and scope is previous:
        return
    session.info[SCOPE_KEY] = scope
    if not known or scope == previous:
        return
    for instance in session.identity_map.values():
        state: Any = inspect(instance)  # never None: it is one of the session's
        if not state.modified:
            session.expire(instance)
            continue
        kept = state.unmodified.intersection(state.mapper.relationships.keys(), state.dict)
        if kept:
            session.expire(instance, kept)


def bounded_lookup(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the look-up in the identity map, which get() and lazy loads call."""

    def _identity_lookup(
        self: Session,
        mapper: Any,
        primary_key_identity: Any,
        identity_token: Any = None,
        **options: Any,
    ) -> Any:
        scope = current_scope()
        enter(self, scope)
        if not isinstance(scope, Unscoped) and issubclass(mapper.mapper.class_, TenantScoped):
            key = mapper.mapper.identity_key_from_primary_key(
                tuple(primary_key_identity), identity_token=identity_token
            )
            known = self.identity_map.get(key)
            if known is not None and (scope is None or not is_visible(known, scope)):
                return None  # so the database is asked, by a bounded statement
        elif not isinstance(scope, Unscoped) and is_linked(mapper.mapper):
            return None  # only the database knows whose it is
        return original(
            self, mapper, primary_key_identity, identity_token=identity_token, **options
        )

    return _identity_lookup


def is_linked(mapper: Mapper[Any]) -> bool:
    """Whether the rows of a class that is not scoped follow rows of scoped classes."""
    owned = catalogue.all()
    return any(isinstance(table, Table) and table in owned for table in mapper.tables)


def transient_to_pending(session: Session, instance: object) -> None:
    """Set the owner of an object to the identity that adds it to a session."""
    scope = current_scope()
    if isinstance(scope, Identity):
        stamp_object(instance, scope)


def before_flush(session: Session, *_: object) -> None:
    """Set the owners of all objects that are about to be written, and check them."""
    scope = current_scope()
    enter(session, scope)
    if isinstance(scope, Identity):
        check_flush(session, scope)
    elif scope is None and any(
        isinstance(instance, TenantScoped)
        for instance in (*session.new, *session.dirty, *session.deleted)
    ):
        require_identity()


# A connection


def use_of(connection: Connection) -> ConnectionUse | None:
    """Return the use of a connection; None: no isolated session uses it."""
    return connection.__dict__.get(USE_KEY)


def after_begin(session: Session, connection: Connection, row_level_security: bool) -> None:
    """Note that a session uses a connection."""
    known = use_of(connection)
    settings = None
    if row_level_security and connection.dialect.name == "postgresql":
        secured.add(connection.engine)
        settings = settings_of(connection)
    if known is None or known.session() is not session:
        connection.__dict__[USE_KEY] = ConnectionUse(session, settings, known)
        held.setdefault(session, []).append(connection)


def after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    """Note that a session uses the connections of its transaction no longer."""
    if transaction.parent is not None:
        return
    for connection in held.pop(session, ()):
        use = connection.__dict__.pop(USE_KEY, None)
        left = None if use is None else use.without(session)
        if left is not None:
            connection.__dict__[USE_KEY] = left


@lru_cache(maxsize=64)
def bounded(whole_tenant: bool, allows_text: bool, elsewhere: frozenset[Table]) -> Treatment:
    """Return the treatment of statements of an isolated session."""
    return Treatment(whole_tenant, allows_text, elsewhere)


def tables_elsewhere(connection: Connection, use: ConnectionUse) -> frozenset[Table]:
    """Return the global tables that have the name of a scoped one, which is in another database.

    That is so if the session sends statements on the global table to this connection's engine, and
    those on the scoped tables of its name to other engines.
    """
    session = use.session()
    if session is None:
        return frozenset()
    scoped: dict[str, list[Table]] = {}
    for table in catalogue.all():
        scoped.setdefault(str(table.name).casefold(), []).append(table)

    def is_here(table: Table) -> bool:
        try:
            bind = session.get_bind(catalogue.mappers.get(table), clause=table)
        except UnboundExecutionError:
            return True  # unknown: taken for the same place
        return bind.engine is connection.engine

    return frozenset(
        table
        for table in catalogue.doubtful()
        if is_here(table) and not any(map(is_here, scoped[str(table.name).casefold()]))
    )


def treatment_of(
    connection: Connection, use: ConnectionUse | None, scope: Scope
) -> Treatment | None:
    """Return how statements on a connection are compiled; None: as SQLAlchemy does it."""
    if scope is UNSCOPED:
        return None
    if use is not None:
        elsewhere = tables_elsewhere(connection, use) if catalogue.doubtful() else frozenset()
        return bounded(reaches_tenant(scope), use.settings is not None, elsewhere)
    in_use = scope is not None or has_request_context()
    return FORBIDDEN if in_use and connection.engine not in secured else None


def before_execute(connection: Connection, *_: object) -> None:
    """Choose the dialect that compiles the statement."""
    use = use_of(connection)
    scope = current_scope()
    treatment = treatment_of(connection, use, scope)
    own = connection.engine.dialect
    connection.dialect = own if treatment is None else dialect_for(own, treatment)
    if use is not None:
        session = use.session()
        if session is not None:
            enter(session, scope)


def before_cursor_execute(
    connection: Connection,
    cursor: DBAPICursor,
    sql: str,
    parameters: Any,
    context: DefaultExecutionContext | None,
    executemany: bool,
) -> None:
    """Raise unless the statement is bounded: the last check before the database."""
    use = use_of(connection)
    scope = current_scope()
    treatment = treatment_of(connection, use, scope)
    if treatment is None:
        return
    compiled = None if context is None else context.compiled
    bounds = bounds_of(compiled)
    if bounds is None:
        if use is None:
            forbid_named_tables(sql)
        elif not treatment.allows_text and not is_transaction_control(sql):
            raise unscoped_statement(
                "a schema change" if context and context.isddl else f"The SQL {sql!r}"
            )
        return
    if getattr(compiled, "treatment", None) != treatment:
        raise UnscopedStatement("this statement was compiled for another kind of identity")
    if use is None and bounds.holds_text:
        forbid_named_tables(sql)
    if bounds.need_identity:
        check_written(connection, bounds, context, scope)


def check_written(
    connection: Connection, bounds: Bounds, context: DefaultExecutionContext | None, scope: Scope
) -> None:
    """Check the values that are about to be written, as they go to the database.

    :raises TenantContextMissing: without an identity.
    :raises ForeignRow: when a row is, or would be, somebody else's.
    """
    identity = scope if isinstance(scope, Identity) else require_identity()
    rows: Sequence[Mapping[str, Any]] = context.compiled_parameters if context else ()
    for written in bounds.owners:
        for row in rows:
            if not may_own(written.owner, row[str(written.names[0])], identity):
                raise foreign(f"a row of {written.table}", written.owner)
    for link in bounds.links:
        check_links(connection, link, rows)


MOST_AT_ONCE = 500  # SQLite takes 999 parameters in a statement


def check_links(
    connection: Connection, written: WrittenLink, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Raise ForeignRow unless each row links to a row that the identity sees."""
    named = {tuple(row[str(name)] for name in written.names) for row in rows}
    wanted = [values for values in named if None not in values]
    columns = written.link.target_columns
    at_once = MOST_AT_ONCE // len(columns)
    for start in range(0, len(wanted), at_once):
        some = wanted[start : start + at_once]
        condition = (
            columns[0].in_([value for (value,) in some])
            if len(columns) == 1
            else tuple_(*columns).in_(some)
        )
        seen = connection.execute(select(*columns).where(condition).distinct()).all()
        if len(seen) < len(some):
            raise ForeignRow(
                f"a row that links to {written.link.target.table.name} links to one that is "
                f"somebody else's, or not there"
            )


def forbid_named_tables(sql: str) -> None:
    """Raise for text, on a connection of no isolated session, that names a scoped table.

    It reminds code that does not use the session, and protects nothing: any word counts as a name.

    :raises TenantContextMissing, UnscopedStatement: without, and with, an identity.
    """
    if sql.lstrip()[:6].upper() == "PRAGMA":  # SQLite's tables are reflected with it
        return
    words = {word.casefold() for word in re.findall(r"\w+", sql)}
    named = sorted(words.intersection(catalogue.names()))
    if named:
        raise outside_session(" and ".join(named))
