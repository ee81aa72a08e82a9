"""Rows on their way into the database: whose they are, and whether that may be."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, and_, inspect
from sqlalchemy.orm import InstanceState, LoaderCallableStatus, Session
from sqlalchemy.sql.dml import Delete, Insert, Update

from .._core import Identity
from .criteria import holds_uuid_objects, table_criteria
from .errors import ForeignRow, UnscopedStatement
from .models import OwnedTable, TenantScoped, UserScoped, column_of
from .scope import as_uuid

OWNERS = ("tenant_id", "user_id")


def same(value: object, expected: str) -> bool:
    """Whether a value, in any form that a UUID takes, is this UUID; an SQL expression never is."""
    if isinstance(value, uuid.UUID):
        return value == as_uuid(expected)
    if not isinstance(value, str):
        return False
    try:
        return str(uuid.UUID(value)) == expected
    except ValueError:
        return False


def may_own(owner: str, value: object, identity: Identity) -> bool:
    """Whether the identity may write a row with this tenant_id or user_id."""
    if owner == "tenant_id":
        return same(value, identity.tenant_id)
    if identity.role == "admin":
        return isinstance(value, uuid.UUID) or (isinstance(value, str) and is_uuid(value))
    return same(value, identity.user_id)


def is_uuid(value: str) -> bool:
    """Whether the text is a UUID in any of its forms."""
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def own_value(owner: str, identity: Identity, column: Column[Any]) -> uuid.UUID | str:
    """Return what a row of the identity holds in this column."""
    value: str = getattr(identity, owner)
    return as_uuid(value) if holds_uuid_objects(column) else value


def foreign(what: str, owner: str) -> ForeignRow:
    """Return the error for a row of somebody else."""
    return ForeignRow(f"{what} belongs, or would belong, to another {owner.removesuffix('_id')}")


# --- Objects ------------------------------------------------------------------


def owners_of(instance: TenantScoped) -> tuple[str, ...]:
    """Return the attributes that say whose the object is."""
    return OWNERS if isinstance(instance, UserScoped) else OWNERS[:1]


def is_visible(instance: object, identity: Identity) -> bool:
    """Whether a loaded object belongs to the identity, judged by what the database said."""
    if not isinstance(instance, TenantScoped):
        return True
    state: InstanceState[Any] = inspect(instance)
    for owner in owners_of(instance):
        if owner == "user_id" and identity.role == "admin":
            continue
        value = state.committed_state.get(owner, state.dict.get(owner))
        if not same(value, getattr(identity, owner)):
            return False
    return True


def stamp_object(instance: object, identity: Identity) -> None:
    """Fill in whose a new object is, where it does not say so."""
    if not isinstance(instance, TenantScoped):
        return
    state: InstanceState[Any] = inspect(instance)
    for owner in owners_of(instance):
        if state.dict.get(owner) is None:
            setattr(instance, owner, own_value(owner, identity, column_of(state.mapper, owner)))


def check_object(instance: object, identity: Identity) -> None:
    """Refuse to write an object that is, was, or is about to be somebody else's."""
    if not isinstance(instance, TenantScoped):
        return
    state: InstanceState[Any] = inspect(instance)
    for owner in owners_of(instance):
        # What is not loaded is not known here; the statement itself is bounded as well.
        values = [state.dict[owner]] if owner in state.dict else []
        if state.persistent and owner in state.committed_state:
            values.append(state.committed_state[owner])
        for value in values:
            if not isinstance(value, LoaderCallableStatus) and not may_own(owner, value, identity):
                raise foreign(f"this {type(instance).__name__}", owner)


def check_flush(session: Session, identity: Identity) -> None:
    """Stamp and check every object that a flush is about to write."""
    for instance in session.new:
        stamp_object(instance, identity)
        check_object(instance, identity)
    for instance in (*session.dirty, *session.deleted):
        check_object(instance, identity)


# --- Statements ---------------------------------------------------------------


def keys_of(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the values of a statement by the names of their columns or attributes."""
    return {
        getattr(key, "key", key): getattr(value, "effective_value", value)
        for key, value in values.items()
    }


def owner_columns(table: OwnedTable) -> list[tuple[str, Column[Any]]]:
    """Return (the attribute, its column) for each owner that the table's rows name."""
    named = zip(OWNERS, (table.tenant, table.user), strict=True)
    return [(owner, column) for owner, column in named if column is not None]


def bounded_insert(
    statement: Insert, rows: Sequence[Mapping[str, Any]], table: OwnedTable, identity: Identity
) -> tuple[Insert, Sequence[Mapping[str, Any]]]:
    """Stamp the rows of an INSERT, and refuse rows of others."""
    if statement.select is not None:
        raise UnscopedStatement(f"rows for {table.table.name} from a SELECT cannot be stamped")
    several = many_values(statement)
    for values in several:
        require_owned(keys_of(values), table, identity)
    if not several and table.tenant is not None:
        fixed = keys_of(statement._values or {})
        rows = [stamped_row(row, fixed, table, identity) for row in rows or [{}]]
    return bounded_upsert(statement, table, identity), rows


def require_owned(row: Mapping[str, Any], table: OwnedTable, identity: Identity) -> None:
    """Refuse a row, among the VALUES of a statement, that does not say whose it is."""
    for owner, column in owner_columns(table):
        if column.key not in row and owner not in row:
            raise UnscopedStatement(
                f"several VALUES for {table.table.name} cannot be stamped: pass parameters"
            )
        if not may_own(owner, row.get(column.key, row.get(owner)), identity):
            raise foreign(f"a row for {table.table.name}", owner)


def stamped_row(
    row: Mapping[str, Any], fixed: Mapping[str, Any], table: OwnedTable, identity: Identity
) -> dict[str, Any]:
    """Return a set of parameters that says whose the row is, and says the identity's.

    What is fixed in the statement counts as said.
    """
    complete = dict(row)
    for owner, column in owner_columns(table):
        names = {owner, column.key}
        given = [values[name] for values in (row, fixed) for name in names if name in values]
        if not given or (len(given) == 1 and given[0] is None and column.key in row):
            complete[column.key] = own_value(owner, identity, column)
        elif not all(may_own(owner, value, identity) for value in given):
            raise foreign(f"a row for {table.table.name}", owner)
    return complete


def written_table(statement: Any) -> Any:
    """Return the table that an INSERT, UPDATE or DELETE writes.

    A bulk insert of a subclass is one statement for each of its tables; the ORM notes which.
    """
    return statement._annotations.get("_emit_insert_table", statement.table)


def many_values(statement: Insert) -> list[Mapping[Any, Any]]:
    """Return the rows of INSERT ... VALUES (...), (...)."""
    if not statement._multi_values:
        return []
    names = list(statement.table.c)
    return [
        row if isinstance(row, Mapping) else dict(zip(names, row, strict=False))
        for rows in statement._multi_values
        for row in rows
    ]


def bounded_upsert(statement: Insert, table: OwnedTable, identity: Identity) -> Insert:
    """Let ON CONFLICT DO UPDATE change rows of the identity alone."""
    clause = statement._post_values_clause
    if clause is None or clause.__visit_name__ == "on_conflict_do_nothing":
        return statement
    if clause.__visit_name__ != "on_conflict_do_update":
        raise UnscopedStatement(
            f"{clause.__visit_name__} on {table.table.name} cannot be bounded to the current tenant"
        )
    conflict: Any = clause._clone()
    changed = {getattr(key, "key", key) for key in dict(conflict.update_values_to_set)}
    if changed.intersection(OWNERS):
        raise UnscopedStatement(f"ON CONFLICT on {table.table.name} must not change the owner")
    conditions = table_criteria(table, identity.role == "admin")
    if conflict.update_whereclause is not None:
        conditions.append(conflict.update_whereclause)
    conflict.update_whereclause = and_(*conditions)
    bounded: Insert = statement._clone()
    bounded._post_values_clause = conflict
    return bounded


def bounded_change(
    statement: Update | Delete,
    rows: Sequence[Mapping[str, Any]],
    table: OwnedTable,
    identity: Identity,
    has_criteria: bool,
) -> Update | Delete:
    """Let UPDATE and DELETE touch rows of the identity alone, and keep them its own."""
    if isinstance(statement, Update):
        values = dict(getattr(statement, "_ordered_values", None) or statement._values or {})
        for row in (keys_of(values), *rows):
            for owner, column in owner_columns(table):
                for name in {owner, column.key}:
                    if name in row and not may_own(owner, row[name], identity):
                        raise foreign(f"a row of {table.table.name}", owner)
    if has_criteria:
        return statement
    return statement.where(*table_criteria(table, identity.role == "admin"))
