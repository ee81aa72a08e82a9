"""The conditions that bound a statement, built once and valued when it is executed.

The bound values are looked up when the parameters of an execution are put together, never when a
statement is compiled. So every identity shares one compiled statement in SQLAlchemy's cache, and
the cache cannot hand one tenant's value to another.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    ColumnElement,
    Subquery,
    Uuid,
    bindparam,
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import MappedColumn, with_loader_criteria
from sqlalchemy.orm.interfaces import ORMOption
from sqlalchemy.sql.compiler import SQLCompiler

from .models import OwnedTable, TenantScoped, UserScoped
from .scope import as_uuid, require_identity


def tenant_uuid() -> uuid.UUID:
    """Return the tenant of the moment."""
    return as_uuid(require_identity().tenant_id)


def user_uuid() -> uuid.UUID:
    """Return the user of the moment."""
    return as_uuid(require_identity().user_id)


def tenant_text() -> str:
    """Return the tenant of the moment, for a column that holds text."""
    return require_identity().tenant_id


def user_text() -> str:
    """Return the user of the moment, for a column that holds text."""
    return require_identity().user_id


def holds_uuid_objects(column: ColumnElement[Any]) -> bool:
    """Whether the column's Python values are uuid.UUID; otherwise they are text."""
    return isinstance(column.type, Uuid) and column.type.as_uuid


class Owned(BinaryExpression[bool]):
    """`column = the moment's owner`: its compiler knows afterwards which tables are bounded."""

    inherit_cache = True


class Bounds:
    """What a compiler has rendered: (the owner's column, the table's name in that SELECT)."""

    def __init__(self) -> None:
        # By identity of the SELECT that holds the condition, so that two conditions on one table
        # count once. The SELECT is kept, for an id would otherwise be given away again.
        self.seen: dict[tuple[str, str, int], object] = {}

    def count(self, owner: str, name: str) -> int:
        """How many SELECTs, UPDATEs and DELETEs bound the table that is called so there."""
        return sum(1 for found in self.seen if found[:2] == (owner, name))


def bounds_of(compiled: object) -> Bounds:
    """Return the bounds of a compiled statement."""
    bounds: Bounds | None = compiled.__dict__.get("flask_tenant_auth_bounds")
    if bounds is None:
        bounds = Bounds()
        compiled.__dict__["flask_tenant_auth_bounds"] = bounds
    return bounds


@compiles(Owned)
def render_owned(element: Owned, compiler: SQLCompiler, **options: Any) -> str:
    """Render it like any other comparison, and remember which table it bounds."""
    owner = cast("str", element.right.key).rpartition("_")[2]
    qualified = plain_names(compiler.process(element.left, **options))
    table = qualified.rpartition(".")[0].rpartition(".")[2]
    inside = compiler.stack[-1]["selectable"] if compiler.stack else None
    seen = bounds_of(compiler).seen
    seen[owner, table, id(inside)] = inside
    derived = element.left.table
    if isinstance(derived, Subquery) and not derived.element._propagate_attrs:
        # A subquery that the ORM does not bound by itself, such as an alias of a subclass: the
        # table that its owner's column comes from is bounded from here.
        for column in element.left.base_columns:
            seen[owner, plain_names(f'"{column.table.name}"'), id(derived)] = derived
    rendered: str = compiler.visit_binary(element, **options)  # type: ignore[no-untyped-call]
    return rendered


# SQLite takes 'account' for a name where a string cannot stand.
QUOTED = re.compile(r""""((?:[^"]|"")*)"|`((?:[^`]|``)*)`|\[([A-Za-z_][\w ]*)\]|'((?:[^']|'')*)'""")


def plain_names(sql: str) -> str:
    """Return SQL with every quoted name as one bare word, in lower case."""
    return QUOTED.sub(lambda name: re.sub(r"\W", "_", name[name.lastindex or 0]), sql).lower()


# Named and shared: all conditions of a statement use one parameter each.
PARAMETERS: dict[tuple[str, bool], BindParameter[Any]] = {
    ("tenant", True): bindparam("identity_tenant", callable_=tenant_uuid, type_=Uuid()),
    ("user", True): bindparam("identity_user", callable_=user_uuid, type_=Uuid()),
    ("tenant", False): bindparam("identity_text_tenant", callable_=tenant_text),
    ("user", False): bindparam("identity_text_user", callable_=user_text),
}


def owned(column: Any, owner: str) -> Owned:
    """Return the column is the moment's tenant or user."""
    if isinstance(column, MappedColumn):  # a mixin's own, when SQLAlchemy tries the rule out
        column = column.column
    equal = column == PARAMETERS[owner, holds_uuid_objects(column)]
    return Owned(equal.left, equal.right, equal.operator, type_=equal.type, negate=equal.negate)


# SQLAlchemy analyses these two, and replaces the globals that they use: hence the default argument.


def of_tenant(cls: Any, compare: Callable[[Any, str], Owned] = owned) -> ColumnElement[bool]:
    """Return the rows of the moment's tenant."""
    return compare(cls.tenant_id, "tenant")


def of_user(cls: Any, compare: Callable[[Any, str], Owned] = owned) -> ColumnElement[bool]:
    """Return the rows of the moment's user."""
    return compare(cls.user_id, "user")


BY_TENANT = with_loader_criteria(TenantScoped, of_tenant, include_aliases=True)
BY_USER = with_loader_criteria(UserScoped, of_user, include_aliases=True)

ADMIN_OPTIONS: tuple[ORMOption, ...] = (BY_TENANT,)
USER_OPTIONS: tuple[ORMOption, ...] = (BY_TENANT, BY_USER)


def class_criteria(
    entity: Any, admin: bool, cls: type[Any] | None = None
) -> list[ColumnElement[bool]]:
    """Return the conditions on a scoped class, or on an alias of one."""
    criteria = [of_tenant(entity)]
    if not admin and issubclass(cls or entity, UserScoped):
        criteria.append(of_user(entity))
    return criteria


def table_criteria(table: OwnedTable, admin: bool) -> list[ColumnElement[bool]]:
    """Return the conditions on a table, for the statements that the unit of work writes."""
    if table.parent is not None:
        owner = table.parent
        keys = list(owner.table.primary_key)
        own = select(*keys).where(*table_criteria(owner, admin))
        return [
            tuple_(*table.table.primary_key).in_(own)
            if len(keys) > 1
            else next(iter(table.table.primary_key)).in_(own)
        ]
    criteria: list[ColumnElement[bool]] = []
    if table.tenant is not None:
        criteria.append(owned(table.tenant, "tenant"))
    if table.user is not None and not admin:
        criteria.append(owned(table.user, "user"))
    return criteria
