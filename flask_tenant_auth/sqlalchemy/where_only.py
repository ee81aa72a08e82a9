"""For SQLAlchemy 2.0: conditions on the classes that a SELECT mentions in its WHERE alone.

From 2.1 on SQLAlchemy applies loader criteria to these as well; before, `exists().where(A.id == 1)`
and `B.a.any()` read a table that nothing bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy
from sqlalchemy import Select
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import SelectBase

from .criteria import class_criteria
from .models import TenantScoped

NEEDED = sqlalchemy.__version__.startswith("2.0.")


def bound_where_only(statement: Any, admin: bool) -> Any:
    """Return the statement with these conditions in every SELECT."""

    def add(select: Select[Any]) -> None:
        joined = {entity_of(setup[0]) for setup in select._setup_joins}
        joined.update(entity_of(part) for root in select._from_obj for part in iterate(root))
        for entity in dict.fromkeys(
            entity_of(part) for where in select._where_criteria for part in iterate(where)
        ):
            if entity is None or entity in joined:
                continue
            if issubclass(entity.mapper.class_, TenantScoped):
                scoped = class_criteria(entity.entity, admin, entity.mapper.class_)
                select._where_criteria += tuple(scoped)

    bare = statement._clone()
    bare._with_options = ()  # which cannot be cloned
    bounded = visitors.cloned_traverse(bare, {}, {"select": add})
    bounded._with_options = statement._with_options
    return bounded


def entity_of(part: Any) -> Any:
    """Return the mapper or alias that an element stands for."""
    return getattr(part, "_annotations", {}).get("parententity")


def iterate(root: Any) -> Iterator[Any]:
    """Return the element and its parts, but for those of other SELECTs."""
    pending = [root]
    while pending:
        part = pending.pop()
        if not isinstance(part, SelectBase):
            yield part
            pending.extend(part.get_children())
