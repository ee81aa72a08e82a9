"""The private names of SQLAlchemy that isolation uses, each with its reason.

No other module of isolation reads an attribute of SQLAlchemy that begins with an underscore, but
for overriding a compiler's methods. Each name ends as soon as SQLAlchemy has a public one for the
same; the tests run on SQLAlchemy 2.0 and 2.1.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Dialect
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapper, RelationshipProperty, Session, registry
from sqlalchemy.orm.mapper import _all_registries
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import Insert, UpdateBase
from sqlalchemy.sql.elements import _truncated_label


def all_registries() -> set[registry]:
    """Return every registry of mapped classes. Only SQLAlchemy knows them all."""
    return _all_registries()


def property_of(mapper: Mapper[Any], name: str) -> Any:
    """Return a mapper's property, or None, without configuring mappers.

    `Mapper.attrs` would configure them, and this is asked while a class is being mapped.
    """
    return mapper._props.get(name)


def link_pairs(relationship: RelationshipProperty[Any]) -> list[tuple[Any, Any]]:
    """Return (column of an end, column of the secondary table) of a many-to-many."""
    pairs = relationship.synchronize_pairs or []
    return [*pairs, *(relationship.secondary_synchronize_pairs or [])]


# Statements


def copy_of(statement: Any) -> Any:
    """Return a copy of a statement or clause, for attributes that no generative method sets."""
    return statement._clone()


def bind_copy(bind: BindParameter[Any], cls: type[Any]) -> Any:
    """Return a bind parameter of another class that SQLAlchemy takes for this one.

    The key stays, and so does the set of clones by which a cached statement finds its values.
    """
    clone = bind._clone(maintain_key=True)
    clone.__class__ = cls
    return clone


def reserve_name(bind: BindParameter[Any]) -> None:
    """Mark a bind parameter as one of SET or VALUES, whose name no other bind may have."""
    bind._is_crud = True


def with_dml_state(statement: Any, change: Callable[[Any], None]) -> Any:
    """Return a copy of an INSERT, UPDATE or DELETE whose compile state passes through `change`.

    The compile state is where the ORM's attribute names have become columns, and where the table
    is known that is really written. There is no event between it and the SQL.
    """
    make = statement._compile_state_factory
    watched = statement._clone()

    def factory(_statement: Any, compiler: Any, **options: Any) -> Any:
        state = make(statement, compiler, **options)
        change(state)
        return state

    watched._compile_state_factory = factory
    return watched


def has_value_rows(state: Any) -> bool:
    """Whether an INSERT has several rows of VALUES."""
    return bool(state.isinsert and state._has_multi_parameters)


def tables_in(target: Any) -> Iterator[Any]:
    """Return the tables that a join is made of."""
    return iter(target._from_objects)


def sampling_method(tablesample: Any) -> Any:
    """Return the function of a TABLESAMPLE, which may be given as a number."""
    return tablesample._get_method()


def value_rows(state: Any) -> list[Mapping[Any, Any]]:
    """Return the values that a statement itself sets: one mapping, or one for each row."""
    if has_value_rows(state):
        return list(state._multi_parameters)
    return [state._dict_parameters or {}]


def set_value_rows(state: Any, rows: Sequence[MutableMapping[Any, Any]]) -> None:
    """Replace the values that a statement itself sets."""
    if has_value_rows(state):
        state._multi_parameters = list(rows)
    state._dict_parameters = rows[0]
    if getattr(state, "_ordered_values", None):  # SQLAlchemy 2.0 keeps these apart
        state._ordered_values = list(rows[0].items())
    if rows[0]:
        state._no_parameters = False


def where_of(statement: Any) -> tuple[Any, ...]:
    """Return the conditions of an UPDATE or DELETE."""
    criteria: tuple[Any, ...] = statement._where_criteria
    return criteria


def with_where(statement: Any, criterion: Any) -> Any:
    """Return a copy of an UPDATE or DELETE with this condition in place of all others."""
    changed = statement._clone()
    changed._where_criteria = (criterion,)
    return changed


def selected_names(statement: Insert) -> list[str]:
    """Return the columns of INSERT ... SELECT."""
    return list(statement._select_names or ())


def with_select(statement: Insert, names: Sequence[str], select: Any) -> Insert:
    """Return a copy of INSERT ... SELECT with another SELECT; `from_select()` forbids a second."""
    changed = statement._clone()
    changed._select_names = list(names)
    changed.select = select
    return changed


# Compilers


def alias_name(compiler: SQLCompiler, alias: Any) -> str:
    """Return the name of an alias as this compiler writes it, without quotes."""
    name = alias.name
    if isinstance(name, _truncated_label):
        return compiler._truncated_identifier("alias", name)
    return str(name)


def truncated_alias(compiler: SQLCompiler, name: Any) -> str:
    """Return a generated alias, shortened as this compiler shortens it."""
    return compiler._truncated_identifier("alias", name)


def is_generated(name: object) -> bool:
    """Whether SQLAlchemy makes this name up when it compiles."""
    return isinstance(name, _truncated_label)


def conjunction(compiler: SQLCompiler, criteria: Sequence[Any], **options: Any) -> str:
    """Write conditions joined by AND, as the compiler itself does for a WHERE."""
    written: str = compiler._generate_delimited_and_list(criteria, **options)  # type: ignore[no-untyped-call]
    return written


def generic_binary(compiler: SQLCompiler, binary: Any, operator: str, **options: Any) -> str:
    """Write two operands and an operator, as the compiler itself does."""
    written: str = compiler._generate_generic_binary(binary, operator, **options)
    return written


def type_key(type_: Any) -> object:
    """Return what is equal for types that treat values alike."""
    key = type_._static_cache_key
    return key if isinstance(key, tuple) else id(type_)


def dialect_copy(
    dialect: Dialect,
    compiler: Callable[[type[Any]], type[Any]],
    preparer: Callable[[type[Any]], type[Any]],
    type_compiler: Callable[[type[Any]], type[Any]],
) -> Any:
    """Return a copy of an engine's dialect that compiles statements in another way.

    A statement cache tells dialects apart, so that each copy's statements are cached apart.
    """
    own = type(dialect)
    listened_to = property(lambda _self: dialect._has_events)
    # The listeners of the engine's dialect are the copy's, also those that come later.
    members = {"_has_events": listened_to, "supports_statement_cache": own.supports_statement_cache}
    dialect.dispatch  # noqa: B018 - made when it is first asked for
    changed: Any = copy.copy(dialect)
    changed.__dict__.pop("_has_events", None)
    changed.__class__ = type(own.__name__, (own,), members)
    changed.statement_compiler = compiler(dialect.statement_compiler)
    for name, make in (
        ("identifier_preparer", preparer),
        ("type_compiler_instance", type_compiler),
    ):
        part = copy.copy(getattr(dialect, name))
        part.__class__ = make(type(part))
        setattr(changed, name, part)
    return changed


def dml_target(statement: UpdateBase) -> Any:
    """Return what an INSERT, UPDATE or DELETE writes: a table, or an alias of one."""
    return statement.table


# Executions


def is_server_side(context: DefaultExecutionContext | None) -> bool:
    """Whether a statement is read through a cursor of the server: stream_results, yield_per.

    What the option asks for is public; whether the dialect does it is not.
    """
    return context is not None and bool(context._is_server_side)


# Sessions


def is_flushing(session: Session) -> bool:
    """Whether the unit of work is writing at the moment."""
    return session._flushing


def wrap_identity_lookup(
    session_class: type[Session], wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Wrap the method through which get() and lazy loads see the identity map.

    What it answers comes from memory: no statement and no event passes there.
    """
    session_class._identity_lookup = wrapper(  # type: ignore[method-assign]
        session_class._identity_lookup
    )


def compiler_frames(compiler: SQLCompiler) -> Iterator[Mapping[str, Any]]:
    """Return what the compiler is inside of, innermost first."""
    return iter(reversed(compiler.stack))
