"""Which tables hold rows of tenants, and what says whose a row is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import RLock
from typing import Any, Literal

from sqlalchemy import BinaryExpression, Column, ForeignKeyConstraint, MetaData, Table, event
from sqlalchemy import exc as sqlalchemy_errors
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators, visitors

from ._compat import link_pairs
from .errors import UnscopedStatement
from .models import TenantScoped, all_mappers, is_declared_global, owner_columns, owners_of


@dataclass(frozen=True, eq=False)
class Link:
    """Columns that name a row of an owned table: who sees that row sees this one."""

    columns: tuple[Column[Any], ...]
    target: OwnedTable
    target_columns: tuple[Column[Any], ...]
    # Whether a row may name no row there, and be visible all the same.
    optional: bool = False


@dataclass(frozen=True, eq=False)
class OwnedTable:
    """A table with rows of tenants. A row is visible if all of these conditions hold."""

    table: Table
    tenant: Column[Any] | None = None
    user: Column[Any] | None = None
    links: tuple[Link, ...] = ()
    # Whether it is the table of a subclass (joined inheritance); its link is to the base's table.
    inherits: bool = False
    # Why statements on it cannot be bounded; None: they can.
    fault: str | None = None

    @property
    def kind(self) -> Literal["rows", "subclass", "link"]:
        """What the table is to its owners."""
        if self.tenant is not None:
            return "rows"
        return "subclass" if self.inherits else "link"

    @property
    def owners(self) -> list[tuple[str, Column[Any]]]:
        """Return (the attribute, its column) for each owner that the table's rows name."""
        named = (("tenant_id", self.tenant), ("user_id", self.user))
        return [(owner, column) for owner, column in named if column is not None]


@dataclass(frozen=True)
class Place:
    """Where a statement is executed, as far as that distinguishes tables of one name."""

    default_schema: str | None
    # Global tables that are in another database than the scoped tables of their names.
    elsewhere: frozenset[Table] = frozenset()
    # Whether the execution replaces schemas: any may become that of a scoped table.
    translates_schemas: bool = False
    # Whether a bare name of no mapped table raises.
    forbids_unknown: bool = True


class Catalogue:
    """All owned tables. It is built again after classes or tables were defined."""

    def __init__(self) -> None:
        self._lock = RLock()
        # Another object after each definition. A count would lose one of two that are made at once.
        self._defined: object = object()
        self._built: object = None
        self._tables: dict[Table, OwnedTable] = {}
        self._names: dict[str, list[OwnedTable]] = {}
        # Tables of classes that are declared global.
        self._global: set[Table] = set()
        self._doubtful: frozenset[Table] = frozenset()
        # The names of all tables that are mapped, or are in a MetaData with those.
        self._known_names: set[str] = set()
        # The class that each table is of.
        self.mappers: dict[Table, Mapper[Any]] = {}
        # Another object after a change of the owned tables: older statements are compiled again.
        self.generation: object = object()

    def outdate(self, *_: object) -> None:
        """Note that a class or a table was defined."""
        self._defined = object()

    def all(self) -> dict[Table, OwnedTable]:
        """Return all owned tables."""
        self._refresh()
        return self._tables

    def current_generation(self) -> object:
        """Return an object that stays the same as long as all owned tables do."""
        self._refresh()
        return self.generation

    def names(self) -> Iterable[str]:
        """Return the names of the owned tables, without regard to case."""
        self._refresh()
        return self._names

    def find(self, table: Any, place: Place) -> OwnedTable | None:
        """Return what is known about a table; a table of the same name counts as the same one.

        `table("account")` and a Table of another MetaData read the same rows. Only the table of a
        class that is declared global is another one, if it has another schema or is in another
        database.

        :raises UnscopedStatement: when the name alone does not say which table it is.
        """
        self._refresh()
        owned = self._tables.get(table)
        name = str(table.name).casefold()
        named = self._names.get(name)
        if place.translates_schemas and len(set(map(_by_name, named or ()))) > 1:
            raise UnscopedStatement(
                f"scoped tables called {table.name} have different owners, and "
                f"schema_translate_map can make one of the other"
            )
        if owned is not None:
            return owned
        if not named:
            return self._find_unknown(table, name, place)
        if table in self._global:
            if table in place.elsewhere:
                return None
            own = place.default_schema
            schema = table.schema or own
            if not place.translates_schemas:
                named = [each for each in named if (each.table.schema or own) == schema]
            return named[0] if named else None
        if len(named) > 1:
            named = [each for each in named if each.table.schema == table.schema]
        if len(named) != 1:
            raise UnscopedStatement(
                f"several scoped tables are called {table.name}: use the mapped class, or its table"
            )
        return named[0]

    def _find_unknown(self, table: Any, name: str, place: Place) -> OwnedTable | None:
        """Return what is known about a table that no scoped class and no link of one has named.

        :raises UnscopedStatement: for a bare name that is the name of no table that is mapped.
        """
        if not isinstance(table, Table):
            if name in self._known_names or not place.forbids_unknown:
                return None
            raise UnscopedStatement(
                f"nobody has said whose the rows of {table.name} are: map it to a class, scoped or "
                f"@global_table, or use a Table of the models' MetaData"
            )
        if table in self._global or not table.foreign_keys:
            return None
        links = tuple(self._links_by_name(table))
        return OwnedTable(table, links=links) if links else None

    def _links_by_name(self, table: Table) -> Iterator[Link]:
        """Return the foreign keys that name rows of owned tables, of whatever MetaData."""
        for key in table.foreign_key_constraints:
            targets = [element.target_fullname.split(".") for element in key.elements]
            named = self._names.get(targets[0][-2].casefold(), [])
            columns = [
                next((c for c in named[0].table.c if c.name == target[-1]), None)
                for target in targets
                if named
            ]
            if columns and all(column is not None for column in columns):
                own = tuple(element.parent for element in key.elements)
                optional = any(column.nullable for column in own)
                yield Link(own, named[0], tuple(c for c in columns if c is not None), optional)

    def doubtful(self) -> frozenset[Table]:
        """Return the global tables that have the name of a scoped one."""
        self._refresh()
        return self._doubtful

    def _refresh(self) -> None:
        while self._built is not self._defined:
            with self._lock:
                defined = self._defined
                tables = dict(_owned_tables())
                if not _same(tables, self._tables):
                    names: dict[str, list[OwnedTable]] = {}
                    for owned in tables.values():
                        names.setdefault(str(owned.table.name).casefold(), []).append(owned)
                    self._tables, self._names = tables, names
                    self.generation = object()
                self._global = {
                    table
                    for mapper in all_mappers()
                    if is_declared_global(mapper.class_)
                    for table in mapper.tables
                    if isinstance(table, Table)
                }
                self._doubtful = frozenset(
                    table for table in self._global if str(table.name).casefold() in self._names
                )
                self.mappers = {
                    table: mapper
                    for mapper in all_mappers()
                    for table in mapper.tables
                    if isinstance(table, Table)
                }
                self._known_names = {
                    str(table.name).casefold()
                    for metadata in {table.metadata for table in self.mappers}
                    for table in metadata.tables.values()
                }
                self._built = defined


def _same(left: dict[Table, OwnedTable], right: dict[Table, OwnedTable]) -> bool:
    return list(map(_rule, left.values())) == list(map(_rule, right.values()))


def _rule(owned: OwnedTable) -> tuple[object, ...]:
    links = tuple((link.columns, _rule(link.target), link.target_columns) for link in owned.links)
    return owned.table, owned.tenant, owned.user, links, owned.fault


def _by_name(owned: OwnedTable) -> tuple[object, ...]:
    """Return what is known about a table, whatever its schema."""
    links = tuple(
        (
            tuple(column.name for column in link.columns),
            link.target.table.name,
            tuple(column.name for column in link.target_columns),
        )
        for link in owned.links
    )
    return tuple((owner, column.name) for owner, column in owned.owners), links


# The tables of the catalogue


def _owned_tables() -> Iterator[tuple[Table, OwnedTable]]:
    """Return the tables of scoped classes, then those that link to them."""
    tables: dict[Table, OwnedTable] = {}
    mappers = list(all_mappers())
    scoped = [mapper for mapper in mappers if issubclass(mapper.class_, TenantScoped)]
    for mapper in sorted(scoped, key=_depth):
        for table in mapper.tables:
            if isinstance(table, Table) and table not in tables:
                tables[table] = _table_of_class(mapper, table, tables)
    unowned = {
        table
        for mapper in mappers
        if is_declared_global(mapper.class_)
        for table in mapper.tables
        if isinstance(table, Table)
    }
    metadatas = {table.metadata for table in tables}
    _add_links(tables, unowned, metadatas, mappers)
    yield from tables.items()


def _depth(mapper: Mapper[Any]) -> tuple[int, str, str]:
    """Order base classes before their subclasses."""
    cls = mapper.class_
    return len(list(mapper.iterate_to_root())), cls.__module__, cls.__qualname__


def _table_of_class(
    mapper: Mapper[Any], table: Table, tables: dict[Table, OwnedTable]
) -> OwnedTable:
    """Return the owned table of a scoped class."""
    own: dict[str, Column[Any]] = {}
    missing = False
    for owner in owners_of(mapper.class_):
        try:
            columns = owner_columns(mapper, owner)[1]
        except TypeError as error:
            return OwnedTable(table, fault=str(error))
        found = [column for column in columns if column.table is table]
        missing = missing or not found
        if found:
            own[owner] = found[0]
    links: tuple[Link, ...] = ()
    if missing:
        links = tuple(_link_to_base(mapper, table, tables))
        if not links:
            return OwnedTable(
                table,
                fault=f"{mapper.class_.__name__} does not say which columns of {table.name} name "
                f"a row of the table with its tenant_id",
            )
    return OwnedTable(table, own.get("tenant_id"), own.get("user_id"), links, inherits=missing)


def _link_to_base(
    mapper: Mapper[Any], table: Table, tables: dict[Table, OwnedTable]
) -> Iterator[Link]:
    """Return how the table of a subclass names the rows of its base class.

    The rule of the base's table is taken over where that too only names a row elsewhere, so that
    a condition never reaches further than the table with the owners.
    """
    pairs: dict[Column[Any], Column[Any]] = {}
    if mapper.inherits is not None and mapper.inherit_condition is not None:
        pairs = dict(_equated(mapper.inherit_condition, table))
    by_table: dict[Table, list[tuple[Column[Any], Column[Any]]]] = {}
    for own, other in pairs.items():
        by_table.setdefault(other.table, []).append((own, other))
    if not by_table:
        for key in table.foreign_key_constraints:
            other_table = _referred(key)
            if other_table in tables and other_table is not table:
                by_table[other_table] = [(e.parent, e.column) for e in key.elements]
                break
    for other_table, columns in by_table.items():
        base = tables.get(other_table)
        if base is None:
            continue
        target, reached = base, [other for _, other in columns]
        while target.tenant is None and len(target.links) == 1:
            link = target.links[0]
            onward = dict(zip(link.columns, link.target_columns, strict=True))
            if not all(column in onward for column in reached):
                break
            target, reached = link.target, [onward[column] for column in reached]
        yield Link(tuple(own for own, _ in columns), target, tuple(reached))


def _equated(condition: Any, table: Table) -> Iterator[tuple[Column[Any], Column[Any]]]:
    """Return (column of the table, column of another) that a condition sets equal."""
    for part in visitors.iterate(condition):
        if isinstance(part, BinaryExpression) and part.operator is operators.eq:
            left, right = part.left, part.right
            if isinstance(left, Column) and isinstance(right, Column):
                if left.table is table and right.table is not table:
                    yield left, right
                elif right.table is table and left.table is not table:
                    yield right, left


def _add_links(
    tables: dict[Table, OwnedTable],
    unowned: set[Table],
    metadatas: set[MetaData],
    mappers: list[Mapper[Any]],
) -> None:
    """Add the tables without an owner whose foreign keys name rows of owned tables.

    They are the secondary tables of many-to-many relationships, tables without a class, and those
    of classes that nobody has declared. A table that is linked to one of these is one as well.
    """
    pairs = dict(_secondary_pairs(tables, unowned, mappers))
    candidates = [
        table
        for metadata in metadatas
        for table in metadata.tables.values()
        if table not in tables and table not in unowned
    ]
    candidates += [table for table in pairs if table not in candidates]
    found = True
    while found:
        found = False
        for table in candidates:
            if table in tables:
                continue
            links = tuple(_links_of(table, tables, secondary=table in pairs)) or tuple(
                Link((own,), tables[other.table], (other,))
                for other, own in pairs.get(table, ())
                if other.table in tables
            )
            if links:
                tables[table] = OwnedTable(table, links=links)
                found = True


def _secondary_pairs(
    tables: dict[Table, OwnedTable], unowned: set[Table], mappers: list[Mapper[Any]]
) -> Iterator[tuple[Table, list[tuple[Column[Any], Column[Any]]]]]:
    """Return the secondary tables, and the pairs of columns that their relationships join by."""
    registries = {mapper.registry for mapper in mappers if mapper.local_table in tables}
    for mapper in mappers:
        if mapper.registry not in registries:
            continue
        for relationship in mapper.relationships:
            secondary = relationship.secondary
            known = secondary in tables or secondary in unowned
            if isinstance(secondary, Table) and not known:
                yield secondary, link_pairs(relationship)


def _links_of(table: Table, tables: dict[Table, OwnedTable], *, secondary: bool) -> Iterator[Link]:
    """Return the foreign keys of a table that name rows of owned tables."""
    keys = sorted(
        table.foreign_key_constraints, key=lambda key: [column.name for column in key.columns]
    )
    for key in keys:
        target = tables.get(_referred(key))  # type: ignore[arg-type]
        if target is not None and target.table is not table:
            columns = tuple(element.parent for element in key.elements)
            yield Link(
                columns,
                target,
                tuple(element.column for element in key.elements),
                optional=not secondary and any(column.nullable for column in columns),
            )


def _referred(key: ForeignKeyConstraint) -> Table | None:
    """Return the table that a foreign key points to; None where it is not defined (yet)."""
    try:
        return key.referred_table
    except sqlalchemy_errors.InvalidRequestError:
        return None


catalogue = Catalogue()
event.listen(Mapper, "after_mapper_constructed", catalogue.outdate)
event.listen(Mapper, "mapper_configured", catalogue.outdate)
event.listen(Table, "after_parent_attach", catalogue.outdate)
event.listen(ForeignKeyConstraint, "after_parent_attach", catalogue.outdate)
