"""Random SELECTs: expressions, sources of rows, joins, subqueries, CTEs, set operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    TableClause,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    distinct,
    except_,
    except_all,
    exists,
    false,
    func,
    inspect,
    intersect,
    intersect_all,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
    union,
    union_all,
    values,
)
from sqlalchemy.orm import aliased, join, with_polymorphic
from sqlalchemy.sql import visitors

from . import schema
from .choices import Choices
from .compare import CAPTURES, OUR_NAME
from .schema import CLASSES, LINKS, OTHER_TABLES, TABLES, lightweight

# Names that collide with tables, columns and reserved words.
NAMES = [
    "tag",
    "email",
    "mailbox",
    "status",
    "order",
    "node",
    "document",
    "country",
    "tenant_id",
    "user_id",
    "org_id",
    "id",
    "select",
    "Mailbox",
    "aux",
    "main",
    "public",
    'quo"ted',
    "two words",
    "anon_1",
    "mailbox_1",
    "email_1",
    "invoice",
    "mailbox_tag",
]
INTEGER, TEXT, UUID, OTHER = "integer", "text", "uuid", "other"


@dataclass(frozen=True)
class Field:
    """A column of a source, its kind of value, and the key that it refers to, if any."""

    kind: str
    domain: str | None
    expression: Any
    key: str = ""


@dataclass
class Source:
    """An element of FROM."""

    element: Any
    fields: list[Field]
    entity: Any = None  # a mapped class or an alias of one
    cls: type[Any] | None = None

    def of(self, *kinds: str) -> list[Field]:
        return [field for field in self.fields if field.kind in kinds]


@dataclass
class Selected:
    """A SELECT and its columns."""

    statement: Any
    fields: list[Field]
    ordered: bool = False
    entities: bool = False


def kind_of(column_type: Any) -> str:
    if isinstance(column_type, Uuid):
        return UUID
    if isinstance(column_type, Integer):
        return INTEGER
    if isinstance(column_type, String):
        return TEXT
    return OTHER


def domain_of(column: Any) -> str | None:
    """Follow the foreign keys of a column to the last one. A key without one is its own domain."""
    seen = column
    while isinstance(seen, Column) and seen.foreign_keys:
        seen = next(iter(seen.foreign_keys)).column
    if seen is not column or (isinstance(column, Column) and column.primary_key):
        return f"{seen.table.fullname}.{seen.name}"
    return None


@cache
def attributes_of(cls: type[Any]) -> tuple[tuple[str, str, str | None], ...]:
    """(attribute, kind, domain) of a class."""
    found = []
    for attribute in inspect(cls).column_attrs:
        expression = attribute.columns[0]
        if attribute.key == "extra" or (cls is schema.Log and attribute.key == "type"):
            continue
        found.append((attribute.key, kind_of(expression.type), domain_of(expression)))
    if cls is schema.Mailbox:
        found.append(("heaviest", INTEGER, None))
    return tuple(found)


@cache
def known_values() -> dict[str, list[Any]]:
    """Return the values of all rows, by domain and by kind."""
    found: dict[str, set[Any]] = {INTEGER: {0, 1, 2, 3}, TEXT: {"", "x"}}
    found[UUID] = {*schema.TENANTS, *schema.USERS}
    for table, rows in schema.make_rows().items():
        for column in table.columns:
            domain = domain_of(column)
            kind = kind_of(column.type)
            some = {row[column.name] for row in rows} - {None}
            if domain is not None:
                found.setdefault(domain, set()).update(some)
            elif kind in (INTEGER, TEXT):
                found[kind].update(some)
    return {key: sorted(some, key=str) for key, some in found.items()}


REFLECTED: dict[str, dict[Table, Table]] = {}


def reflected(connection: Any) -> dict[Table, Table]:
    """Return the tables as the database describes them."""
    name = connection.dialect.name
    if name not in REFLECTED:
        metadata = MetaData()
        REFLECTED[name] = {
            table: Table(table.name, metadata, schema=table.schema, autoload_with=connection)
            for table in TABLES
        }
    return REFLECTED[name]


class Generator:
    """Makes one statement from choices."""

    def __init__(
        self,
        choices: Choices,
        dialect: str,
        reflected_tables: Any = None,
        our_names: Sequence[str] = (),
    ) -> None:
        self.choices = choices
        self.dialect = dialect
        self.reflected = reflected_tables or {}
        self.our_names = our_names
        self.features: set[str] = set()
        self.names_used: set[str] = set()
        self.binds: set[str] = set()
        self.budget = 14  # sources in all
        self.labels = 0
        self.ctes: list[tuple[Any, list[Field]]] = []
        self.written = ""  # the name of the table that the statement changes

    def feature(self, name: str) -> None:
        self.features.add(name)

    @property
    def on_postgresql(self) -> bool:
        return self.dialect == "postgresql"

    def name(self, percent: int = 30) -> str | None:
        """Return a name that collides, or None."""
        if not self.choices.chance(percent):
            return None
        left = [name for name in NAMES if name not in self.names_used]
        if not left:
            return None
        name = self.choices.pick(left)
        self.names_used.add(name)
        self.feature("colliding name")
        return name

    def label(self) -> str:
        self.labels += 1
        return f"c{self.labels}"

    # --- Sources --------------------------------------------------------------

    def class_source(self, cls: type[Any], entity: Any = None) -> Source:
        entity = cls if entity is None else entity
        fields = [
            Field(kind, domain, getattr(entity, key), key)
            for key, kind, domain in attributes_of(cls)
        ]
        return Source(entity, fields, entity, cls)

    def table_source(self, element: Any, like: Any = None) -> Source:
        columns = list((like if like is not None else element).columns)
        fields = [
            Field(kind_of(column.type), domain_of(column), element.c[column.key], column.key)
            for column in columns
        ]
        return Source(element, fields)

    def derived(self, element: Any, fields: Sequence[Field]) -> Source:
        """Return a source whose columns have the order of the fields that it was selected from."""
        return Source(
            element,
            [
                Field(field.kind, field.domain, expression, expression.key)
                for field, expression in zip(fields, element.c, strict=True)
            ],
        )

    def source(self, depth: int, taken: Iterable[Source] = ()) -> Source:
        """Return a random element of FROM."""
        self.budget -= 1
        simple: list[tuple[int, Callable[..., Source]]] = [
            (30, self.plain_class),
            (20, self.alias_of_class),
            (14, self.core_table),
            (8, self.core_alias),
            (6, self.other_table),
            (2, self.class_beside_its_tables),
        ]
        if depth > 0 and self.budget > 0:
            simple += [
                (10, self.subquery),
                (8, self.cte),
                (4, self.alias_of_subquery),
                (2, self.values),
                (3, self.polymorphic),
                (3, self.recursive),
            ]
            if self.on_postgresql:
                simple.append((1, self.sampled))
        make = self.choices.weighted(simple)
        self.feature(make.__name__.replace("_", " "))
        return make(depth, taken)

    def cls(self) -> type[Any]:
        return self.choices.pick(CLASSES)

    def near(self, taken: Iterable[Source]) -> type[Any]:
        """Return a class that is likely to have rows for the rows of the other sources."""
        domains = {field.domain for source in taken for field in source.fields if field.domain}
        related = [
            cls
            for cls in CLASSES
            if domains.intersection(domain for _, _, domain in attributes_of(cls))
        ]
        return self.choices.pick(related) if related and self.choices.chance(75) else self.cls()

    def note_class(self, cls: type[Any]) -> None:
        if cls in (schema.Invoice, schema.PaidInvoice, schema.Contract):
            self.feature("joined subclass")
        elif cls in (schema.Chore, schema.Meeting):
            self.feature("single-table subclass")
        elif cls in (schema.Log, schema.AuditLog):
            self.feature("concrete class")
        elif cls in (schema.Setting, schema.AuxTag):
            self.feature("other schema")
        elif cls is schema.Order:
            self.feature("owners as text")
        elif cls in (schema.Country, schema.Currency):
            self.feature("global class")
        elif cls in schema.UNDECLARED:
            self.feature("undeclared class")

    def plain_class(
        self, depth: int, taken: Iterable[Source], cls: type[Any] | None = None
    ) -> Source:
        cls = cls or self.near(taken)
        tables = {
            table
            for source in taken
            if source.entity is source.cls and source.cls is not None
            for table in inspect(source.cls).tables
        }
        if tables.intersection(inspect(cls).tables):
            return self.alias_of_class(depth, taken, cls)
        self.note_class(cls)
        return self.class_source(cls)

    def alias_of_class(
        self, depth: int, taken: Iterable[Source], cls: type[Any] | None = None
    ) -> Source:
        cls = cls or self.near(taken)
        self.note_class(cls)
        flat = self.choices.chance(20)
        joined = len(inspect(cls).tables) > 1
        name = None if joined and flat else self.name()
        return self.class_source(cls, aliased(cls, name=name, flat=flat))

    def any_table(self, taken: Iterable[Source]) -> Table:
        if self.choices.chance(30):
            self.feature("link table")
            return self.choices.pick(LINKS)
        domains = {field.domain for source in taken for field in source.fields if field.domain}
        related = [table for table in TABLES if domains.intersection(map(domain_of, table.columns))]
        found = self.choices.pick(related if related and self.choices.chance(75) else TABLES)
        if found in LINKS:
            self.feature("link table")
        if found.name in ("invoice", "paid_invoice", "contract"):
            self.feature("table of a joined subclass")
        if found in schema.UNMAPPED:
            self.feature("table with a foreign key alone")
        return found

    def core_table(self, depth: int, taken: Iterable[Source]) -> Source:
        table = self.any_table(taken)
        if any(table in tables_of(source) for source in taken):
            return self.table_source(table.alias(self.name()), table)
        return self.table_source(table)

    def core_alias(self, depth: int, taken: Iterable[Source]) -> Source:
        table = self.any_table(taken)
        element = table.alias(self.name())
        if self.choices.chance(10):
            element = element.alias(self.name())
            self.feature("alias of an alias")
        return self.table_source(element, table)

    def other_table(self, depth: int, taken: Iterable[Source]) -> Source:
        table = self.any_table(taken)
        way = self.choices.pick(["metadata", "table()", "untyped", "reflected", "schema", "case"])
        if way == "reflected" and table in self.reflected:
            element = self.reflected[table]
        elif way == "table()":
            element = lightweight(table)
        elif way == "untyped":
            element = lightweight(table, typed=False)
        elif way == "schema" and table.schema is None:
            element = lightweight(table, schema="public" if self.on_postgresql else "main")
        elif way == "case" and not self.on_postgresql:
            element = lightweight(table, table.name.upper())
        else:
            element = OTHER_TABLES[table]
        self.feature(f"other table: {way}")
        # SQL does not tell two tables of one name apart, where one is the target.
        taken_names = {name for source in taken for name in names_of(source)} | {self.written}
        if way == "case" or table.name in taken_names:
            element = element.alias(self.name())
        source = self.table_source(element, table)
        if way == "untyped":  # plain SQLAlchemy cannot bind a UUID to a column without a type
            source.fields = [field for field in source.fields if field.kind != UUID]
        return source

    def class_beside_its_tables(self, depth: int, taken: Iterable[Source]) -> Source:
        """A joined subclass, and beside it the Core columns of its tables."""
        cls = self.choices.pick([schema.Invoice, schema.PaidInvoice, schema.Contract])
        source = self.plain_class(depth, taken, cls)
        if source.entity is not cls:
            return source
        for table in inspect(cls).tables:
            source.fields += self.table_source(table).fields
        return source

    def subquery(self, depth: int, taken: Iterable[Source]) -> Source:
        inner = self.query(depth - 1)
        statement = inner.statement
        if self.on_postgresql and self.choices.chance(20) and list(taken):
            inner = self.query(depth - 1, outer=tuple(taken), correlated=True)
            self.feature("lateral")
            return self.derived(inner.statement.lateral(self.name()), inner.fields)
        return self.derived(statement.subquery(self.name()), inner.fields)

    def cte(self, depth: int, taken: Iterable[Source]) -> Source:
        if self.ctes and self.choices.chance(30):
            element, fields = self.choices.pick(self.ctes)
            self.feature("cte used twice")
            return self.derived(element.alias(), fields)
        inner = self.query(depth - 1)
        name = self.cte_name()
        element = inner.statement.cte(name, nesting=self.choices.chance(8))
        if not element.nesting:
            self.ctes.append((element, inner.fields))
        return self.derived(element, inner.fields)

    def cte_name(self) -> str:
        """Return a new name in most cases, and the name of a table in some."""
        if self.choices.chance(4):
            name = self.name(100)
            if name is not None:
                if name in TABLE_NAMES:
                    self.feature(CAPTURES)
                return name
        self.labels += 1
        return f"cte_{self.labels}"

    def alias_of_subquery(self, depth: int, taken: Iterable[Source]) -> Source:
        cls = self.choices.pick(
            [c for c in CLASSES if c is not schema.Log and c is not schema.AuditLog]
        )
        self.note_class(cls)
        inner = self.class_source(cls)
        statement = select(cls).where(self.condition([inner], depth - 1))
        if self.choices.chance(30):
            element = statement.cte(self.cte_name())
        else:
            element = statement.subquery(self.name())
        return self.class_source(cls, aliased(cls, element))

    def values(self, depth: int, taken: Iterable[Source]) -> Source:
        rows = [
            (self.value(INTEGER, None), str(self.value(TEXT, None)))
            for _ in range(1 + self.choices.below(3))
        ]
        element = values(
            sqlalchemy.column("number", Integer),
            sqlalchemy.column("tag", String),
            name=f"v{self.label()}",
        ).data(rows)
        if not self.on_postgresql:
            element = element.cte() if hasattr(element, "cte") else element
        return Source(
            element,
            [
                Field(INTEGER, None, element.c.number, "number"),
                Field(TEXT, None, element.c.tag, "tag"),
            ],
        )

    def polymorphic(self, depth: int, taken: Iterable[Source]) -> Source:
        base, subclasses = self.choices.pick(
            [
                (schema.Document, [schema.Invoice, schema.PaidInvoice, schema.Contract]),
                (schema.Task, [schema.Chore, schema.Meeting]),
            ]
        )
        chosen: Any = "*" if self.choices.chance(50) else self.choices.some(subclasses, 1, 2)
        entity = with_polymorphic(base, chosen, aliased=True, flat=self.choices.chance(50))
        source = self.class_source(base, entity)
        if chosen == "*" and base is schema.Document:
            source.fields.append(Field(INTEGER, None, entity.Invoice.amount, "amount"))
            source.fields.append(Field(TEXT, None, entity.Contract.party, "party"))
        return source

    def recursive(self, depth: int, taken: Iterable[Source]) -> Source:
        """A recursive CTE down or up the tree, by classes or by tables."""
        core = self.choices.chance(40)
        node: Any = schema.Node.__table__ if core else schema.Node
        columns = node.c if core else node
        start = (
            columns.parent_id.is_(None)
            if self.choices.chance(50)
            else columns.id == self.value(INTEGER, "node.id")
        )
        element = (
            select(columns.id, columns.parent_id, columns.name, literal(0).label("level"))
            .where(start)
            .cte(self.cte_name(), recursive=True)
        )
        below: Any = node.alias() if core else aliased(node)
        down = self.choices.chance(60)
        there = below.c if core else below
        on = there.parent_id == element.c.id if down else there.id == element.c.parent_id
        step = (
            select(there.id, there.parent_id, there.name, element.c.level + 1)
            .join(element, on)
            .where(element.c.level < 5)
        )
        element = element.union_all(step) if self.choices.chance(50) else element.union(step)
        kinds = [(INTEGER, "node.id"), (INTEGER, "node.id"), (TEXT, None), (INTEGER, None)]
        return Source(
            element,
            [
                Field(kind, domain, expression, expression.key)
                for (kind, domain), expression in zip(kinds, element.c, strict=True)
            ],
        )

    def sampled(self, depth: int, taken: Iterable[Source]) -> Source:
        table = self.any_table(taken)
        return self.table_source(table.tablesample(func.bernoulli(100), self.name()), table)

    # --- Joins ----------------------------------------------------------------

    def on(self, left: Sequence[Source], right: Source, depth: int, full: bool = False) -> Any:
        """A condition for ON. Most compare keys, so that the join has rows."""
        pairs = [
            (a.expression, b.expression)
            for source in left
            for a in source.fields
            for b in right.fields
            if a.domain is not None and a.domain == b.domain
        ]
        if not pairs:
            pairs = [
                (a.expression, b.expression)
                for source in left
                for a in source.fields
                for b in right.fields
                if a.kind == b.kind and a.kind != OTHER and a.domain is None and b.domain is None
            ]
        if not pairs:
            return true() if not (full and self.on_postgresql) else literal(1) == literal(1)
        one, other = self.choices.pick(pairs)
        on = one == other
        if not full and self.choices.chance(30):
            self.feature("condition in ON")
            on = and_(on, self.condition([*left, right], depth - 1))
        elif not full and self.choices.chance(6):
            on = one != other
        return on

    def from_part(
        self, depth: int, outer: Sequence[Source]
    ) -> tuple[Callable[[Any], Any], list[Source]]:
        """Return the function that adds FROM to a SELECT, and the sources."""
        style = self.choices.weighted(
            [(40, "one"), (28, "chain"), (18, "objects"), (8, "comma"), (12, "relationship")]
        )
        if self.budget < 2 and style != "one":
            style = "one"
        if style == "relationship":
            return self.relationship_join(depth)
        first = self.source(depth)
        if style == "one":
            return lambda statement: statement.select_from(first.element), [first]
        sources = [first]
        if style == "comma":
            second = self.source(depth, sources)
            self.feature("comma join")
            on = self.on(sources, second, depth)
            sources.append(second)
            return (
                lambda statement: statement.select_from(first.element, second.element).where(on),
                sources,
            )
        if style == "chain":
            return self.join_chain(first, depth)
        return self.join_objects(first, depth)

    def join_chain(self, first: Source, depth: int) -> tuple[Callable[[Any], Any], list[Source]]:
        sources = [first]
        steps: list[tuple[Any, Any, dict[str, bool]]] = []
        for _ in range(1 + self.choices.below(2)):
            way = self.choices.weighted([(35, "inner"), (35, "left"), (30, "full")])
            right = self.source(depth, sources)
            on = self.on(sources, right, depth, full=way == "full")
            self.feature(f"{way} join")
            options = {"isouter": way == "left", "full": way == "full"}
            steps.append((right.element, on, options))
            sources.append(right)

        def apply(statement: Any) -> Any:
            statement = statement.select_from(first.element)
            for element, on, options in steps:
                statement = statement.join(element, on, **options)
            return statement

        return apply, sources

    def join_objects(self, first: Source, depth: int) -> tuple[Callable[[Any], Any], list[Source]]:
        tree = first.element
        sources = [first]
        for _ in range(1 + self.choices.below(2)):
            way = self.choices.weighted(
                [(25, "inner"), (25, "left"), (25, "right"), (15, "full"), (10, "nested")]
            )
            right = self.source(depth, sources)
            on = self.on(sources, right, depth, full=way == "full")
            self.feature(f"{way} join object")
            if way == "right":
                tree = join(right.element, tree, on, isouter=True)
            elif way == "nested":
                third = self.source(depth, [*sources, right])
                inner_on = self.on([right], third, depth)
                kind = self.choices.pick([{}, {"isouter": True}])
                nested = join(right.element, third.element, inner_on, **kind)
                tree = join(tree, nested, on, isouter=self.choices.chance(60))
                sources.append(third)
            else:
                tree = join(tree, right.element, on, isouter=way == "left", full=way == "full")
            sources.append(right)
        return lambda statement: statement.select_from(tree), sources

    def relationship_join(self, depth: int) -> tuple[Callable[[Any], Any], list[Source]]:
        """A join along relationships, of many kinds."""
        cls = self.choices.pick([c for c in CLASSES if list(inspect(c).relationships)])
        self.note_class(cls)
        entity: Any = cls if self.choices.chance(60) else aliased(cls, name=self.name())
        first = self.class_source(cls, entity)
        sources = [first]
        steps = []
        at, at_cls = entity, cls
        for _ in range(1 + self.choices.below(2)):
            relationships = list(inspect(at_cls).relationships)
            if not relationships:
                break
            chosen = self.choices.pick(relationships)
            self.feature("relationship join")
            if chosen.secondary is not None:
                self.feature("join through a link table")
            target = chosen.mapper.class_
            attribute = getattr(at, chosen.key)
            there = aliased(target, name=self.name(), flat=self.choices.chance(30))
            if target is schema.Document and self.choices.chance(30):
                target = schema.Invoice
                there = aliased(target, flat=True)
                self.feature("of_type")
            attribute = attribute.of_type(there)
            source = self.class_source(target, there)
            if self.choices.chance(20):
                self.feature("and_ on a relationship")
                attribute = attribute.and_(self.condition([source], 0))
            full = False
            outer = self.choices.chance(50)
            if outer:
                self.feature("outer relationship join")
            steps.append((attribute, outer, full))
            sources.append(source)
            at, at_cls = there, target

        def apply(statement: Any) -> Any:
            statement = statement.select_from(first.element)
            for attribute, outer, full in steps:
                statement = statement.join(attribute, isouter=outer, full=full)
            return statement

        return apply, sources

    # --- Expressions ----------------------------------------------------------

    def value(self, kind: str, domain: str | None) -> Any:
        """A value that occurs in the rows."""
        known = known_values()
        some = known.get(domain or kind) or known[kind]
        some = [each for each in some if matches(kind, each)] or known[kind]
        return self.choices.pick(some)

    def field(self, sources: Sequence[Source], *kinds: str) -> Field | None:
        some = [source for source in sources if source.of(*kinds)]
        if not some:
            return None
        return self.choices.pick(self.choices.pick(some).of(*kinds))

    def literal(self, kind: str, domain: str | None) -> Any:
        value = self.value(kind, domain)
        if self.choices.chance(12):
            name = self.choices.pick(["tenant_id", "user_id", "id", "p", *self.our_names])
            if name not in self.binds:
                self.binds.add(name)
                self.feature("named parameter")
                if name in self.our_names:
                    self.feature(OUR_NAME)
                return bindparam(name, value, TYPES[kind])
        return value

    def expression(self, sources: Sequence[Source], depth: int, kind: str | None = None) -> Field:
        """A scalar of any kind."""
        kind = kind or self.choices.weighted([(60, INTEGER), (30, TEXT), (10, UUID)])
        field = self.field(sources, kind)
        if field is None:
            return Field(kind, None, cast(literal(self.value(kind, None)), TYPES[kind]))
        if self.choices.chance(55):
            return field
        column = field.expression
        ways = ["coalesce", "case"]
        ways += {INTEGER: ["add", "abs", "cast"], TEXT: ["concat", "upper", "cast"], UUID: []}[kind]
        if depth > 0:
            ways += ["scalar", "scalar"] if kind != UUID else []
        way = self.choices.pick(ways)
        self.feature(f"expression: {way}")
        if way == "coalesce":
            made = func.coalesce(column, self.value(kind, field.domain))
        elif way == "case":
            made = case((self.condition(sources, 0), column), else_=null())
        elif way == "add":
            made = column + self.value(INTEGER, None)
        elif way == "abs":
            made = func.abs(column)
        elif way == "cast":
            made = cast(column, TYPES[kind])
        elif way == "concat":
            made = column + "!"
        elif way == "upper":
            made = func.upper(column)
        else:
            return self.scalar_subquery(sources, depth, kind)
        return Field(kind, None, type_coerce(made, TYPES[kind]) if way == "coalesce" else made)

    def scalar_subquery(self, outer: Sequence[Source], depth: int, kind: str) -> Field:
        self.feature("scalar subquery")
        apply, sources = self.from_part(depth - 1, outer)
        column = self.field(sources, kind)
        counts = kind == INTEGER and self.choices.chance(50)
        if counts or column is None:
            result: Any = func.count() if kind == INTEGER else func.min(literal(None, TYPES[kind]))
            kind = INTEGER if kind == INTEGER else kind
        else:
            result = self.choices.pick([func.min, func.max])(column.expression)
        statement = apply(select(result))
        statement = statement.where(self.condition(sources, depth - 1, outer))
        return Field(kind, None, statement.scalar_subquery())

    def condition(self, sources: Sequence[Source], depth: int, outer: Sequence[Source] = ()) -> Any:
        """A condition on the sources, and on the outer ones if there are any."""
        if outer and self.choices.chance(60):
            link = self.correlation(sources, outer)
            if link is not None:
                return link
        simple = ["compare", "compare", "in", "null", "between", "true", "two", "not null"]
        nested = ["in subquery", "exists", "scalar", "tuple in", "any"] if depth > 0 else []
        if self.budget < 1:
            nested = []
        way = self.choices.pick([*simple, "and", "or", "not", "hybrid", *nested, *nested])
        if way == "true":
            return self.choices.pick([true, lambda: or_(true(), false())])()
        if way in ("and", "or"):
            parts = [self.condition(sources, depth - 1, outer) for _ in range(2)]
            return and_(*parts) if way == "and" else or_(*parts)
        if way == "not":
            return not_(self.condition(sources, depth - 1, outer))
        if way == "exists":
            return self.exists(sources, depth)
        if way == "any":
            return self.related(sources, depth)
        if way == "hybrid":
            for source in sources:
                if source.cls is schema.Mailbox and source.entity is not None:
                    if self.choices.chance(50):
                        self.feature("association proxy")
                        return source.entity.tag_names.contains(self.value(TEXT, None))
                    self.feature("hybrid")
                    return source.entity.big
            way = "compare"
        field = self.field(sources, INTEGER, TEXT, UUID)
        if field is None:
            return true()
        column = field.expression
        if way == "null":
            return column.is_(None)
        if way == "not null":
            return column.is_not(None)
        if way == "in":
            self.feature("in a list")
            some = [self.value(field.kind, field.domain) for _ in range(self.choices.below(9))]
            return column.in_(some) if self.choices.chance(70) else column.not_in(some)
        if way == "between" and field.kind == INTEGER:
            return column.between(self.value(INTEGER, None), 200)
        if way == "two":
            other = self.field(sources, field.kind)
            assert other is not None
            return self.compare(column, other.expression, field.kind)
        if way == "scalar" and field.kind != UUID:
            other = self.scalar_subquery(sources, depth, field.kind)
            return self.compare(column, other.expression, field.kind)
        if way == "in subquery":
            return self.in_subquery(field, depth)
        if way == "tuple in":
            second = self.field(sources, INTEGER, TEXT)
            if second is not None:
                self.feature("tuple in subquery")
                inner = self.query(
                    depth - 1, want=[(field.kind, field.domain), (second.kind, second.domain)]
                )
                return tuple_(column, second.expression).in_(inner.statement)
        return self.compare(column, self.literal(field.kind, field.domain), field.kind)

    def compare(self, left: Any, right: Any, kind: str) -> Any:
        if kind == UUID:
            return left == right if self.choices.chance(60) else left != right
        if kind == TEXT and self.choices.chance(30):
            return left.contains(self.choices.pick(["t0", "u1", "a", "1"]))
        return self.choices.pick(
            [
                lambda: left >= right,
                lambda: left == right,
                lambda: left != right,
                lambda: left < right,
                lambda: left <= right,
                lambda: left.is_distinct_from(right),
            ]
        )()

    def correlation(self, sources: Sequence[Source], outer: Sequence[Source]) -> Any:
        pairs = [
            (a.expression, b.expression)
            for inside in sources
            for a in inside.fields
            for outside in outer
            for b in outside.fields
            if a.domain is not None and a.domain == b.domain and a.expression is not b.expression
        ]
        if not pairs:
            return None
        self.feature("correlated subquery")
        one, other = self.choices.pick(pairs)
        return one == other

    def in_subquery(self, field: Field, depth: int) -> Any:
        self.feature("in subquery")
        inner = self.query(depth - 1, want=[(field.kind, field.domain)])
        if self.on_postgresql and self.choices.chance(20):
            self.feature("any of a subquery")
            return field.expression == any_(inner.statement.scalar_subquery())
        if self.choices.chance(30):
            self.feature("not in subquery")
            return field.expression.not_in(inner.statement)
        return field.expression.in_(inner.statement)

    def exists(self, outer: Sequence[Source], depth: int) -> Any:
        self.feature("exists")
        apply, sources = self.from_part(depth - 1, outer)
        statement = apply(select(literal(1))).where(self.condition(sources, depth - 1, outer))
        found = statement.exists() if self.choices.chance(70) else exists(statement.subquery())
        return ~found if self.choices.chance(25) else found

    def related(self, sources: Sequence[Source], depth: int) -> Any:
        """any() and has() along a relationship."""
        for source in sources:
            if source.cls is None:
                continue
            relationships = list(inspect(source.cls).relationships)
            if not relationships:
                continue
            chosen = self.choices.pick(relationships)
            attribute = getattr(source.entity, chosen.key)
            self.feature("any or has")
            target = chosen.mapper.class_
            condition = self.condition([self.class_source(target)], 0)
            if self.choices.chance(15) and not chosen.uselist:
                self.feature("relationship is null")
                return attribute == None
            made = attribute.any(condition) if chosen.uselist else attribute.has(condition)
            return ~made if self.choices.chance(25) else made
        return self.exists(sources, depth)

    # --- SELECT ---------------------------------------------------------------

    def query(
        self,
        depth: int,
        outer: Sequence[Source] = (),
        want: Sequence[tuple[str, str | None]] | None = None,
        correlated: bool = False,
    ) -> Selected:
        """A SELECT of columns, of the given kinds or of any."""
        shapes = [(60, self.simple), (14, self.grouped), (6, self.windowed)]
        if depth > 0 and self.budget > 1 and not correlated:
            shapes.append((14, self.set_operation))
        shape = self.choices.weighted(shapes)
        return shape(depth, outer, want)

    def outputs(
        self,
        sources: Sequence[Source],
        depth: int,
        want: Sequence[tuple[str, str | None]] | None,
    ) -> list[Field]:
        """Labelled columns."""
        made = []
        if want is None:
            count = 1 + self.choices.below(3)
            found = [self.expression(sources, depth) for _ in range(count)]
        else:
            found = []
            for kind, domain in want:
                fitting = [
                    field
                    for source in sources
                    for field in source.fields
                    if field.domain == domain and field.kind == kind
                ]
                if domain is not None and fitting and self.choices.chance(85):
                    found.append(self.choices.pick(fitting))
                else:
                    found.append(self.expression(sources, 0, kind))
        for field in found:
            name = self.name(8) or self.label()
            made.append(Field(field.kind, field.domain, field.expression.label(name), name))
        return made

    def simple(
        self, depth: int, outer: Sequence[Source], want: Sequence[tuple[str, str | None]] | None
    ) -> Selected:
        apply, sources = self.from_part(depth, outer)
        fields = self.outputs(sources, depth, want)
        statement = apply(select(*(field.expression for field in fields)))
        if self.choices.chance(70):
            statement = statement.where(self.condition(sources, depth, outer))
        if self.choices.chance(15):
            self.feature("distinct")
            statement = statement.distinct()
            if self.on_postgresql and self.choices.chance(50):
                self.feature("distinct on")
                statement = statement.distinct(fields[0].expression)
                return Selected(
                    statement.order_by(*(field.expression for field in fields)), fields, True
                )
            return self.limited(statement, fields)
        if depth > 0 and self.choices.chance(8):
            self.feature("order by a subquery")
            kind = self.choices.pick([INTEGER, TEXT])
            statement = statement.order_by(self.scalar_subquery(sources, depth, kind).expression)
            statement = statement.order_by(*(field.expression for field in fields))
            return Selected(self.limit(statement, depth), fields, ordered=True)
        return self.limited(statement, fields, depth)

    def limit(self, statement: Any, depth: int) -> Any:
        """The statement with a LIMIT, which may be a subquery."""
        self.feature("limit")
        count: Any = 1 + self.choices.below(8)
        if depth > 0 and self.choices.chance(15):
            self.feature("limit by a subquery")
            count = self.scalar_subquery((), depth, INTEGER).expression
            count = func.coalesce(func.abs(count), 1) + 1
        return statement.limit(count)

    def limited(self, statement: Any, fields: list[Field], depth: int = 0) -> Selected:
        """Perhaps with ORDER BY and LIMIT. ORDER BY has all columns, for one possible answer."""
        if not self.choices.chance(25):
            return Selected(statement, fields)
        self.feature("order by")
        statement = statement.order_by(
            *(
                field.expression.desc() if self.choices.chance(30) else field.expression
                for field in fields
            )
        )
        if self.choices.chance(60):
            statement = self.limit(statement, depth)
            if self.choices.chance(30):
                statement = statement.offset(self.choices.below(3))
        return Selected(statement, fields, ordered=True)

    def grouped(
        self, depth: int, outer: Sequence[Source], want: Sequence[tuple[str, str | None]] | None
    ) -> Selected:
        self.feature("group by")
        apply, sources = self.from_part(depth, outer)
        wanted = list(want) if want is not None else [(INTEGER, None)] * (1 + self.choices.below(2))
        by = self.field(sources, INTEGER, TEXT)
        fields = []
        for kind, domain in wanted:
            if by is not None and by.kind == kind and self.choices.chance(40):
                expression = by.expression
            else:
                expression = self.aggregate(sources, kind)
            name = self.label()
            fields.append(Field(kind, domain, expression.label(name), name))
        statement = apply(select(*(field.expression for field in fields)))
        if self.choices.chance(60):
            statement = statement.where(self.condition(sources, depth, outer))
        if by is not None:
            way = self.choices.weighted([(80, ""), (10, "subquery"), (10, "rollup")])
            if way == "subquery" and depth > 0:
                self.feature("group by a subquery")
                inner = self.scalar_subquery(sources, depth, INTEGER)
                statement = statement.group_by(by.expression, inner.expression)
            elif way == "rollup" and self.on_postgresql:
                self.feature("rollup")
                statement = statement.group_by(func.rollup(by.expression))
            else:
                statement = statement.group_by(by.expression)
        if self.choices.chance(40):
            self.feature("having")
            having = self.aggregate(sources, INTEGER) >= (
                self.scalar_subquery((), depth - 1, INTEGER).expression
                if depth > 1 and self.choices.chance(30)
                else self.choices.below(3)
            )
            statement = statement.having(having)
        return self.limited(statement, fields)

    def aggregate(self, sources: Sequence[Source], kind: str) -> Any:
        field = self.field(sources, kind)
        if field is None or kind == UUID:
            return (
                func.count()
                if kind == INTEGER
                else cast(func.min(literal(None, TYPES[kind])), TYPES[kind])
                if kind == TEXT
                else null_of(kind)
            )
        column = field.expression
        if kind == TEXT:
            made = self.choices.pick([func.min, func.max])(column)
        else:
            made = self.choices.pick(
                [
                    func.count,
                    func.min,
                    func.max,
                    lambda c: cast(func.sum(c), Integer),
                    lambda c: func.count(distinct(c)),
                ]
            )(column)
        if self.choices.chance(15) and hasattr(made, "filter"):
            self.feature("aggregate with filter")
            made = made.filter(self.condition(sources, 0))
        return made

    def windowed(
        self, depth: int, outer: Sequence[Source], want: Sequence[tuple[str, str | None]] | None
    ) -> Selected:
        self.feature("window")
        if want is not None and want[-1][0] != INTEGER:
            return self.simple(depth, outer, want)
        apply, sources = self.from_part(depth, outer)
        field = self.field(sources, INTEGER)
        by = self.field(sources, INTEGER, TEXT)
        if field is None or by is None:
            return self.simple(depth, outer, want)
        column, order = field.expression, by.expression
        options: dict[str, Any] = {"order_by": order}
        if self.choices.chance(50):
            options["partition_by"] = column
        window = self.choices.pick(
            [
                lambda: func.rank().over(**options),
                lambda: func.dense_rank().over(**options),
                lambda: func.count().over(**options),
                lambda: func.max(column).over(**options),
                lambda: func.count(column).over(partition_by=order),
            ]
        )()
        fields = self.outputs(sources, 0, None if want is None else want[:-1])
        name = self.label()
        fields.append(Field(INTEGER, None, window.label(name), name))
        statement = apply(select(*(each.expression for each in fields)))
        if self.choices.chance(50):
            statement = statement.where(self.condition(sources, depth, outer))
        return Selected(statement, fields)

    def set_operation(
        self, depth: int, outer: Sequence[Source], want: Sequence[tuple[str, str | None]] | None
    ) -> Selected:
        self.feature("set operation")
        first = self.query(depth - 1, want=want)
        kinds = [(field.kind, field.domain) for field in first.fields]
        parts = [first]
        for _ in range(1 + self.choices.below(2)):
            parts.append(self.query(depth - 1, want=kinds))
        ways = [union, union_all, except_, intersect]
        if self.on_postgresql:
            ways += [except_all, intersect_all]
        way = self.choices.pick(ways)
        self.feature(way.__name__.rstrip("_").replace("_", " "))
        statements = [
            part.statement
            if self.on_postgresql or not (part.ordered or is_compound(part.statement))
            else select(part.statement.subquery())
            for part in parts
        ]
        if any(is_compound(each) for each in statements):
            self.feature("nested set operation")
        made = way(*statements)
        fields = [
            Field(field.kind, field.domain, made.selected_columns[index], field.key)
            for index, field in enumerate(first.fields)
        ]
        if self.choices.chance(20):
            self.feature("ordered set operation")
            made = made.order_by(*(sqlalchemy.column(f.key) for f in fields)).limit(
                1 + self.choices.below(9)
            )
            return Selected(made, fields, ordered=True)
        return Selected(made, fields)


def null_of(kind: str) -> Any:
    return cast(null(), TYPES[kind])


def matches(kind: str, value: Any) -> bool:
    if kind == INTEGER:
        return isinstance(value, int)
    if kind == TEXT:
        return isinstance(value, str)
    return not isinstance(value, int | str)


def is_compound(statement: Any) -> bool:
    return isinstance(statement, sqlalchemy.CompoundSelect)


def tables_of(source: Source) -> set[Any]:
    if source.cls is not None and source.entity is source.cls:
        return set(inspect(source.cls).tables)
    return {source.element}


def names_of(source: Source) -> set[str]:
    return {getattr(table, "name", "") for table in tables_of(source)}


TYPES: dict[str, Any] = {INTEGER: Integer(), TEXT: String(), UUID: Uuid()}
TABLE_NAMES = {table.name for table in TABLES}


class NotComparableError(Exception):
    """The result depends on the database's plan, or on two tables that have one name."""


def tables_read(statement: Any) -> Iterator[Any]:
    """Return the tables and the other named elements of all FROMs of a statement."""
    for part in visitors.iterate(statement):
        if isinstance(part, Select):
            for source in part.get_final_froms():
                for each in visitors.iterate(source):
                    yield from (each, getattr(each, "element", None))


def names_read(statement: Any) -> set[Any]:
    return {getattr(each, "name", None) for each in tables_read(statement)}


def refuse_one_name_for_two(statement: Any) -> None:
    """Leave out a table beside the same one with its schema, where schemas are translated.

    SQLAlchemy then writes one name for both, and the inner one hides the outer; isolated, each is
    a subquery with a name of its own, and an expression means the table that it was made of.
    """
    places: dict[str, set[str | None]] = {}
    for each in tables_read(statement):
        if isinstance(each, TableClause):
            places.setdefault(each.name, set()).add(each.schema)
    if any(None in schemas and len(schemas) > 1 for schemas in places.values()):
        raise NotComparableError("two tables of one name")
