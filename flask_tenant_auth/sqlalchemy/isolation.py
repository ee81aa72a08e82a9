"""isolate(): from then on a session reads and writes the rows of the current identity alone.

Four places hold it, from the outside in:

- every statement that a session executes gets the conditions on all scoped classes in it;
- objects are stamped and checked before they are flushed, and when the identity map hands them out;
- INSERT, UPDATE and DELETE are stamped, checked and bounded once more on the connection, where the
  unit of work and the bulk methods pass as well;
- the finished SQL is checked before it leaves: a place that names a tenants' table and is not
  bounded is refused (statements.py).
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from flask import has_request_context
from sqlalchemy import Connection, Engine, Executable, event, inspect
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import (
    Mapper,
    ORMExecuteState,
    Session,
    SessionTransaction,
    scoped_session,
    sessionmaker,
)
from sqlalchemy.orm.context import FromStatement
from sqlalchemy.sql.dml import Delete, Insert, Update, UpdateBase
from sqlalchemy.sql.lambdas import StatementLambdaElement

from .._core import Identity
from . import statements, where_only
from .criteria import (
    ADMIN_OPTIONS,
    BY_TENANT,
    USER_OPTIONS,
    class_criteria,
    table_criteria,
)
from .errors import TenantContextMissing, UnscopedStatement
from .models import TenantScoped, catalogue
from .row_level_security import Settings, secure, settings_of
from .rows import (
    bounded_change,
    bounded_insert,
    check_flush,
    is_visible,
    stamp_object,
    written_table,
)
from .scope import UNSCOPED, Unscoped, current_scope, require_identity

Target = TypeVar("Target")
Scope = Identity | Unscoped | None

SCOPE_KEY = "flask_tenant_auth_scope"
VERDICT_KEY = "flask_tenant_auth_verdict"


class Guard:
    """What is known about a connection that an isolated session uses at the moment."""

    __slots__ = ("outer", "session", "settings")

    def __init__(self, session: Session, settings: Settings | None, outer: Guard | None) -> None:
        self.session = weakref.ref(session)
        self.settings = settings
        # Of another session that works on the same connection, and goes on when this one ends.
        self.outer = outer

    def without(self, session: Session) -> Guard | None:
        """Return what is left when a session lets go of the connection."""
        outer = None if self.outer is None else self.outer.without(session)
        if self.session() is session:
            return outer
        self.outer = outer
        return self

    def flushing(self) -> bool:
        """Whether it is the unit of work, or a bulk method, that executes."""
        session = self.session()
        return session is not None and session._flushing


# Connections that isolated sessions use now; a connection leaves with the transaction.
guards: weakref.WeakKeyDictionary[Connection, Guard] = weakref.WeakKeyDictionary()
# The same from the other side, so that no thread walks through what others change.
held: weakref.WeakKeyDictionary[Session, list[Connection]] = weakref.WeakKeyDictionary()
# Isolated Session classes, and whether row-level security backs them.
isolated: weakref.WeakKeyDictionary[type[Session], bool] = weakref.WeakKeyDictionary()
# Engines that row-level security backs; their other connections need no check of ours.
secured: weakref.WeakSet[Engine] = weakref.WeakSet()
# What isolate() was given.
targets: weakref.WeakSet[Any] = weakref.WeakSet()


def is_admin(scope: Scope) -> bool:
    """Whether the identity sees the rows of its whole tenant."""
    return scope is not None and scope.role == "admin"


# --- isolate() ----------------------------------------------------------------


def isolate(target: Target, *, row_level_security: bool = False) -> Target:
    """Bound all that goes through these sessions to the current identity; returns its argument.

    Takes a sessionmaker, a scoped_session, a subclass of Session, their asyncio counterparts, or
    Flask-SQLAlchemy's `db`. With row_level_security, PostgreSQL is told the identity at the start
    of every transaction, and Core statements and text() are left to its policies.
    """
    if not isinstance(row_level_security, bool):
        raise TypeError("row_level_security must be a bool")
    install(session_class_of(target), row_level_security)
    with suppress(TypeError):  # what has slots cannot be remembered, nor does it hold an engine
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
    """Put the listeners onto a Session class, once."""
    for known, backed in isolated.items():
        if issubclass(session_class, known):
            if backed != row_level_security:
                raise ValueError("these sessions are isolated already, with another setting")
            return
    if not isolated:
        event.listen(Engine, "before_execute", before_execute, retval=True)
        event.listen(Engine, "before_cursor_execute", before_cursor_execute)
    isolated[session_class] = row_level_security
    if row_level_security:
        secure(session_class)

    def begun(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        after_begin(session, connection, row_level_security)

    event.listen(session_class, "after_begin", begun)
    event.listen(session_class, "after_transaction_end", after_transaction_end)
    event.listen(session_class, "do_orm_execute", do_orm_execute)
    event.listen(session_class, "transient_to_pending", transient_to_pending)
    event.listen(session_class, "before_flush", before_flush)
    session_class._identity_lookup = guarded_lookup(  # type: ignore[method-assign]
        session_class._identity_lookup
    )


# --- Reading through a session ------------------------------------------------


def do_orm_execute(state: ORMExecuteState) -> None:
    """Add the conditions on every scoped class to a statement."""
    scope = current_scope()
    enter(state.session, scope)
    statement: Any = state.statement
    if isinstance(statement, StatementLambdaElement):
        statement = statement._resolved
    if not isinstance(statement, Executable):
        return
    # An object remembers the options it was loaded with; that was another moment.
    statement = without_criteria(statement)
    if scope is not UNSCOPED:
        admin = is_admin(scope)
        if state.is_column_load:
            statement = bounded_refresh(statement, state.bind_mapper, admin)
        elif where_only.NEEDED and not state.is_relationship_load:
            statement = where_only.bound_where_only(statement, admin)
        if state.is_update or state.is_delete:
            statement = joined_to_owner(statement, state.bind_mapper)
        statement = statement.options(*(ADMIN_OPTIONS if admin else USER_OPTIONS))
    state.statement = statement


def without_criteria(statement: Any) -> Any:
    """Return the statement without conditions of ours."""
    options = tuple(option for option in statement._with_options if option not in USER_OPTIONS)
    if len(options) == len(statement._with_options):
        return statement
    statement = statement._clone()
    statement._with_options = options
    return statement


def bounded_refresh(statement: Any, mapper: Mapper[Any] | None, admin: bool) -> Any:
    """Bound a statement that loads columns of an object that is there already.

    SQLAlchemy exempts it from loader criteria, because the object has passed them once; but that
    may have been for another identity.
    """
    if mapper is None or not issubclass(mapper.class_, TenantScoped):
        return statement
    if isinstance(statement, FromStatement):  # some columns of a subclass, from its own table
        owned = catalogue.require(mapper.local_table)
        statement = statement._clone()
        statement.element = statement.element.where(*table_criteria(owned, admin))
        return statement
    return statement.where(*class_criteria(mapper.class_, admin))


def joined_to_owner(statement: Any, mapper: Mapper[Any] | None) -> Any:
    """Join the owner's table to an UPDATE or DELETE on the table of a subclass.

    The conditions are on the owner's table: without the join, one row of the tenant there would
    let all rows of the subclass pass.
    """
    if mapper is None or not issubclass(mapper.class_, TenantScoped):
        return statement
    owned = catalogue.get(mapper.local_table)
    while owned is not None and owned.parent is not None and mapper.inherits is not None:
        statement = statement.where(mapper.inherit_condition)
        mapper = mapper.inherits
        owned = catalogue.get(mapper.local_table)
    return statement


def enter(session: Session, scope: Scope) -> None:
    """Note for whom the session works, and forget what it has loaded for somebody else.

    A loaded relationship is answered without any statement, so nothing could bound it later.
    """
    previous = session.info.get(SCOPE_KEY)
    if scope is previous or scope is None:
        return
    session.info[SCOPE_KEY] = scope
    if previous is None or scope is UNSCOPED or scope == previous:
        return
    for instance in session.identity_map.values():
        state = inspect(instance)
        if not state.modified:
            session.expire(instance)
            continue
        kept = state.unmodified.intersection(state.mapper.relationships.keys(), state.dict)
        if kept:
            session.expire(instance, kept)


def guarded_lookup(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap Session._identity_lookup, through which get() and lazy loads see the identity map."""

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
                return None  # not from memory, then: the database is asked, and bounded
        return original(
            self, mapper, primary_key_identity, identity_token=identity_token, **options
        )

    return _identity_lookup


# --- Writing through a session ------------------------------------------------


def transient_to_pending(session: Session, instance: object) -> None:
    """Stamp an object when it is added: it is whose who added it, whoever flushes it."""
    scope = current_scope()
    if isinstance(scope, Identity):
        stamp_object(instance, scope)


def before_flush(session: Session, *_: object) -> None:
    """Stamp and check all objects that are about to be written."""
    scope = current_scope()
    if isinstance(scope, Identity):
        check_flush(session, scope)
    elif scope is None and any(
        isinstance(instance, TenantScoped)
        for instance in (*session.new, *session.dirty, *session.deleted)
    ):
        require_identity()


# --- On the connection --------------------------------------------------------


def after_begin(session: Session, connection: Connection, row_level_security: bool) -> None:
    """Watch the connection from here on."""
    known = guards.get(connection)
    settings = None
    if row_level_security and connection.dialect.name == "postgresql":
        secured.add(connection.engine)
        settings = settings_of(connection)
    if known is None or known.session() is not session:
        guards[connection] = Guard(session, settings, known)
        held.setdefault(session, []).append(connection)


def after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    """Let go of the connections of a session's transaction."""
    if transaction.parent is not None:
        return
    for connection in held.pop(session, ()):
        guard = guards.pop(connection, None)
        left = None if guard is None else guard.without(session)
        if left is not None:
            guards[connection] = left


def before_execute(
    connection: Connection,
    statement: Any,
    multiparams: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    execution_options: Mapping[str, Any],
) -> tuple[Any, Sequence[Mapping[str, Any]], Mapping[str, Any]]:
    """Stamp, check and bound what is written, by the ORM's statements and by the unit of work."""
    if not isinstance(statement, UpdateBase):
        return statement, multiparams, params
    guard = guards.get(connection)
    scope = current_scope()
    if guard is None or isinstance(scope, Unscoped):
        return statement, multiparams, params
    table = catalogue.get(written_table(statement))
    if table is None or table.kind == "link":
        return statement, multiparams, params
    if not (statements.is_orm(statement) or guard.flushing()):
        if guard.settings is None:
            raise core_refusal(table.table.name, scope)
        return statement, multiparams, params
    identity = scope or require_identity()
    rows = list(multiparams) or ([params] if params else [])
    if isinstance(statement, Insert):
        statement, stamped = bounded_insert(statement, rows, table, identity)
        return (statement, stamped, {}) if len(stamped) != 1 else (statement, (), stamped[0])
    if isinstance(statement, (Update, Delete)):
        has_criteria = (
            BY_TENANT in statement._with_options
            and statement._annotations.get("dml_strategy") == "orm"
        )
        statement = bounded_change(statement, rows, table, identity, has_criteria)
    return statement, multiparams, params


def core_refusal(table: str, scope: Scope) -> Exception:
    """Return the error for a Core statement on a tenants' table."""
    if scope is None:
        return TenantContextMissing(f"a statement on {table} without an identity")
    return UnscopedStatement(
        f"a Core statement on {table} cannot be bounded to the current tenant: use the mapped "
        f"class, or say why every tenant's rows are needed with unscoped()"
    )


# What SQLAlchemy itself sends to steer a transaction.
TRANSACTION_CONTROL = re.compile(
    r"\s*(?:savepoint|release|rollback|prepare transaction|commit prepared)\b", re.IGNORECASE
)


def before_cursor_execute(
    connection: Connection,
    cursor: DBAPICursor,
    sql: str,
    parameters: Any,
    context: DefaultExecutionContext | None,
    executemany: bool,
) -> None:
    """Let through what is bounded: the last place before the database."""
    guard = guards.get(connection)
    scope = current_scope()
    if (context is not None and context.isddl) or TRANSACTION_CONTROL.match(sql):
        return
    if scope is UNSCOPED or (guard is not None and guard.settings is not None):
        return
    if guard is not None:
        check_compiled(guard, context.compiled if context else None, sql, scope)
    elif (
        (scope is not None or has_request_context())
        and connection.engine not in secured
        and (names := statements.named_tables(sql))
    ):
        raise core_refusal(" and ".join(sorted(names)), scope)


def check_compiled(guard: Guard, compiled: Any, sql: str, scope: Scope) -> None:
    """Check a compiled statement, the first time that it is executed."""
    if compiled is None:
        raise core_refusal("the tables in exec_driver_sql()", scope)
    admin = is_admin(scope)
    checked_as = (catalogue.version, admin)
    verdict = compiled.__dict__.get(VERDICT_KEY)
    if verdict is None or verdict[0] != checked_as:
        try:
            verdict = (checked_as, statements.check(compiled, sql, admin))
        except UnscopedStatement:
            if scope is None:
                require_identity()
            raise
        compiled.__dict__[VERDICT_KEY] = verdict
    if verdict[1] is not None and not guard.flushing():
        raise UnscopedStatement(*verdict[1].args)
