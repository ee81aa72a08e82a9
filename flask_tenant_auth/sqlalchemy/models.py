"""The mixins that say whose the rows of a mapped class are."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Column, Table, Uuid, event, inspect
from sqlalchemy.orm import Mapped, Mapper, SynonymProperty, mapped_column

from ._compat import all_registries, property_of

Class = TypeVar("Class", bound=type[Any])

OWNERS = ("tenant_id", "user_id")


def owners_of(cls: type[TenantScoped]) -> tuple[str, ...]:
    """Return the attributes of a class that say whose its rows are."""
    return OWNERS if issubclass(cls, UserScoped) else OWNERS[:1]


def is_concrete(cls: type[Any]) -> bool:
    """Whether a class has a table of its own, with all columns (concrete inheritance)."""
    arguments = cls.__dict__.get("__mapper_args__", {})
    return isinstance(arguments, dict) and bool(arguments.get("concrete"))


def check_hierarchy(cls: type[TenantScoped]) -> None:
    """Raise TypeError for a class whose rows a base class would show to more people, or fewer."""
    if is_concrete(cls):
        return
    for base in cls.__mro__[1:]:
        if inspect(base, raiseerr=False) is None:
            continue
        for mixin in (TenantScoped, UserScoped):
            if issubclass(cls, mixin) and not issubclass(base, mixin):
                raise TypeError(
                    f"{cls.__name__} is {mixin.__name__}, but {base.__name__}, which it inherits "
                    f"from, is not, and would read its rows: make the base {mixin.__name__}"
                )


def missing_owners(cls: type[TenantScoped]) -> list[str]:
    """Return the owners' columns that a declarative class needs and does not declare."""
    declarative = any(hasattr(cls, name) for name in ("metadata", "registry", "__tablename__"))
    # SQLAlchemy sets __table__ itself, beside __tablename__.
    own_table = "__table__" in cls.__dict__ and not hasattr(cls, "__tablename__")
    if not declarative or cls.__dict__.get("__abstract__") or own_table:
        return []
    return [
        owner
        for owner in owners_of(cls)
        if not any(owner in base.__dict__ for base in cls.__mro__)
        or (is_concrete(cls) and owner not in cls.__dict__)
    ]


class TenantScoped:
    """A mapped class whose rows belong to a tenant: everybody of the tenant sees them.

    The class gets a column ``tenant_id`` (`Uuid`, not null, indexed) unless it has an attribute of
    that name, or a ``__table__``, of its own.
    """

    if TYPE_CHECKING:
        tenant_id: Mapped[uuid.UUID]

    def __init_subclass__(cls, **options: Any) -> None:
        check_hierarchy(cls)
        # On the class itself, not inherited from here: SQLAlchemy takes no columns from a mixin
        # beside __table__, nor for a dataclass.
        for owner in missing_owners(cls):
            setattr(cls, owner, mapped_column(Uuid, nullable=False, index=True))
        super().__init_subclass__(**options)


class UserScoped(TenantScoped):
    """A mapped class whose rows belong to a user: the user and the tenant's admins see them.

    It has ``user_id`` beside ``tenant_id``, on the same terms.
    """

    if TYPE_CHECKING:
        user_id: Mapped[uuid.UUID]


def global_table(cls: Class) -> Class:
    """Declare that the rows of a mapped class belong to no tenant, on purpose.

    :raises TypeError: for what is no class, or is scoped.
    """
    if not isinstance(cls, type):
        raise TypeError(f"global_table decorates a class, not {type(cls).__name__}")
    if issubclass(cls, TenantScoped):
        raise TypeError(f"{cls.__name__} is scoped to tenants: it cannot be a global table")
    cls.__global_table__ = cls.__name__  # its own name: a subclass has to say so for itself
    return cls


def is_declared_global(cls: type[Any]) -> bool:
    """Whether this very class carries @global_table."""
    return cls.__dict__.get("__global_table__") == cls.__name__


def all_mappers() -> Iterator[Mapper[Any]]:
    """Return the mappers of all classes."""
    return (mapper for registry in all_registries() for mapper in registry.mappers)


def undeclared_classes() -> list[type[Any]]:
    """Return mapped classes that are neither scoped nor declared @global_table."""
    return sorted(
        (
            mapper.class_
            for mapper in all_mappers()
            if not issubclass(mapper.class_, TenantScoped) and not is_declared_global(mapper.class_)
        ),
        key=lambda cls: (cls.__module__, cls.__qualname__),
    )


def owner_columns(mapper: Mapper[Any], owner: str) -> tuple[str, list[Column[Any]]]:
    """Return the attribute behind tenant_id or user_id, and the table columns that it maps.

    :raises TypeError: when the attribute is missing, or is no column nor a synonym of one.
    """
    found = property_of(mapper, owner)
    while isinstance(found, SynonymProperty):
        found = property_of(mapper, found.name)
    columns = [each for each in getattr(found, "columns", ()) if isinstance(each, Column)]
    if found is None or not columns:
        raise TypeError(
            f"{mapper.class_.__name__}.{owner} must be a column, or a synonym of one: it says "
            f"whose the rows are"
        )
    return found.key, columns


@event.listens_for(Mapper, "after_mapper_constructed")
def check_owner_columns(mapper: Mapper[Any], cls: type[Any]) -> None:
    """Raise TypeError where the class is mapped, not at its first statement."""
    if not issubclass(cls, TenantScoped):
        return
    if isinstance(mapper.local_table, Table):
        # Where the mixin stands behind the base, the class is mapped before the mixin is asked.
        for owner in missing_owners(cls):
            if property_of(mapper, owner) is None:
                column = Column(owner, Uuid, nullable=False, index=True)
                mapper.local_table.append_column(column)
                mapper.add_property(owner, column)
    for owner in owners_of(cls):
        owner_columns(mapper, owner)
