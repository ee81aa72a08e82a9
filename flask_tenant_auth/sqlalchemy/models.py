"""Which rows belong to whom: the mixins, and what the mapped classes make of their tables."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Literal, TypeVar, cast

from sqlalchemy import Column, FromClause, Table, Uuid, event, inspect
from sqlalchemy.orm import Mapped, Mapper, declared_attr, mapped_column
from sqlalchemy.orm.mapper import _all_registries

Class = TypeVar("Class", bound=type[Any])


def check_hierarchy(cls: type[TenantScoped]) -> None:
    """Refuse a class whose rows a base class would show to more people, or to fewer."""
    arguments = cls.__dict__.get("__mapper_args__", {})
    if isinstance(arguments, dict) and arguments.get("concrete"):
        return  # its base has other rows
    for base in cls.__mro__[1:]:
        if inspect(base, raiseerr=False) is None:
            continue
        for mixin in (TenantScoped, UserScoped):
            if issubclass(cls, mixin) and not issubclass(base, mixin):
                raise TypeError(
                    f"{cls.__name__} is {mixin.__name__}, but {base.__name__}, which it inherits "
                    f"from, is not, and would read its rows: make the base {mixin.__name__}"
                )


class TenantScoped:
    """A mapped class whose rows belong to a tenant: everybody of the tenant sees them."""

    def __init_subclass__(cls, **options: Any) -> None:
        check_hierarchy(cls)
        super().__init_subclass__(**options)

    @declared_attr
    def tenant_id(cls) -> Mapped[uuid.UUID]:
        """Return the tenant; stamped from the identity where it is left out."""
        return mapped_column(Uuid, nullable=False, index=True)


class UserScoped(TenantScoped):
    """A mapped class whose rows belong to a user: the user and the tenant's admins see them."""

    @declared_attr
    def user_id(cls) -> Mapped[uuid.UUID]:
        """Return the user; stamped from the identity where it is left out."""
        return mapped_column(Uuid, nullable=False, index=True)


def global_table(cls: Class) -> Class:
    """Declare that the rows of a mapped class belong to no tenant, on purpose."""
    if not isinstance(cls, type):
        raise TypeError(f"global_table decorates a class, not {type(cls).__name__}")
    if issubclass(cls, TenantScoped):
        raise TypeError(f"{cls.__name__} is scoped to tenants: it cannot be a global table")
    cls.__global_table__ = cls.__name__  # its own name: a subclass has to say so for itself
    return cls


def is_declared_global(cls: type[Any]) -> bool:
    """Whether this very class carries @global_table."""
    return cls.__dict__.get("__global_table__") == cls.__name__


@dataclass(frozen=True)
class OwnedTable:
    """A table with rows of tenants, and how one knows whose a row is."""

    table: Table
    tenant: Column[Any] | None = None
    user: Column[Any] | None = None
    # For the table of a subclass (joined inheritance): where its rows' owners are written.
    parent: OwnedTable | None = None
    # For the secondary table of a many-to-many: the owned tables that it points to.
    linked: tuple[OwnedTable, ...] = ()

    @property
    def root(self) -> Table:
        """The table where its rows' owners are written."""
        return self.table if self.parent is None else self.parent.root

    @property
    def kind(self) -> Literal["rows", "subclass", "link"]:
        """What the table is to its owners."""
        if self.linked:
            return "link"
        return "rows" if self.parent is None else "subclass"


def scoped_mappers() -> Iterator[Mapper[Any]]:
    """Every mapper of a class that is scoped."""
    pending: list[type[Any]] = [TenantScoped]
    seen = set(pending)
    while pending:
        for cls in pending.pop().__subclasses__():
            if cls in seen:
                continue
            seen.add(cls)
            pending.append(cls)
            mapper: Mapper[Any] | None = inspect(cls, raiseerr=False)
            if mapper is not None:
                yield mapper


def undeclared_classes() -> list[type[Any]]:
    """Return mapped classes that are neither scoped nor declared @global_table."""
    return sorted(
        (
            mapper.class_
            for registry in _all_registries()
            for mapper in registry.mappers
            if not issubclass(mapper.class_, TenantScoped) and not is_declared_global(mapper.class_)
        ),
        key=lambda cls: (cls.__module__, cls.__qualname__),
    )


@lru_cache(maxsize=1024)
def column_of(mapper: Mapper[Any], name: str) -> Column[Any]:
    """Return the table column behind tenant_id or user_id."""
    column = mapper.attrs[name].columns[0]
    if not isinstance(column, Column):
        raise TypeError(f"{mapper.class_.__name__}.{name} must be a column")
    return column


def owned_tables_of(mapper: Mapper[Any]) -> Iterator[OwnedTable]:
    """Return the tables of one scoped mapper."""
    tenant = column_of(mapper, "tenant_id")
    user = column_of(mapper, "user_id") if issubclass(mapper.class_, UserScoped) else None
    root = OwnedTable(tenant.table, tenant, user)
    yield root
    for table in mapper.tables:
        if table is not root.table:
            yield OwnedTable(cast("Table", table), parent=root)


class Catalogue:
    """All owned tables; rebuilt when classes have been mapped since."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.version = 0
        self.built = -1
        self.tables: dict[Table, OwnedTable] = {}
        self.names: dict[str, OwnedTable] = {}

    def outdate(self, *_: object) -> None:
        """Note that a class was mapped."""
        with self.lock:
            self.version += 1

    def refresh(self) -> None:
        """Take in the classes that were mapped since."""
        while self.built != self.version:
            version = self.version
            tables = self.build()
            names: dict[str, OwnedTable] = {}
            for table, owned in tables.items():
                # Of several tables of one name, the widest: SQL does not say which it names, and
                # none of them may be refused for the conditions of another.
                known = names.get(table.name.lower())
                if known is None or (known.user is not None and owned.user is None):
                    names[table.name.lower()] = owned
            with self.lock:
                self.tables, self.names, self.built = tables, names, version

    def all(self) -> dict[Table, OwnedTable]:
        """Return all owned tables."""
        self.refresh()
        return self.tables

    def by_name(self) -> dict[str, OwnedTable]:
        """Return the owned tables by their names in lower case."""
        self.refresh()
        return self.names

    def get(self, table: Any) -> OwnedTable | None:
        """Return what is known about this table, or about one of its name elsewhere."""
        name = getattr(table, "name", None)
        if name is None:
            return None
        return self.all().get(table) or self.names.get(name.lower())

    def require(self, table: FromClause) -> OwnedTable:
        """Return what is known about a table that is known."""
        owned = self.get(table)
        if owned is None:
            raise LookupError(f"{table} is no table of a scoped class")
        return owned

    @staticmethod
    def build() -> dict[Table, OwnedTable]:
        """Return the tables of all scoped classes that are mapped by now."""
        mappers = list(scoped_mappers())
        tables: dict[Table, OwnedTable] = {}
        for mapper in mappers:
            for owned in owned_tables_of(mapper):
                tables.setdefault(owned.table, owned)
        registries = {mapper.registry for mapper in mappers}
        for mapper in {each for registry in registries for each in registry.mappers}:
            for relationship in mapper.relationships:
                link = relationship.secondary
                if not isinstance(link, Table) or link in tables:
                    continue
                ends = (relationship.parent, relationship.mapper)
                owners = tuple(
                    tables[column_of(end, "tenant_id").table]
                    for end in ends
                    if issubclass(end.class_, TenantScoped)
                )
                if owners:
                    tables[link] = OwnedTable(link, linked=owners)
        return tables


catalogue = Catalogue()
event.listen(Mapper, "instrument_class", catalogue.outdate)
event.listen(Mapper, "mapper_configured", catalogue.outdate)
