"""Cases that write by statements: INSERT, UPDATE, DELETE and upserts, by classes and by tables."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Integer,
    String,
    Table,
    Uuid,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    inspect,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ResourceClosedError

from . import schema
from .compare import OUR_NAME, Case, NothingThereError, Side, describe
from .generate import (
    INTEGER,
    TEXT,
    TYPES,
    UUID,
    Field,
    Generator,
    NotComparableError,
    domain_of,
    kind_of,
    names_read,
    refuse_one_name_for_two,
)
from .schema import (
    CLASSES,
    EVERYTHING,
    LINKS,
    OTHER_TABLES,
    OWNERS,
    PEOPLE,
    TABLES,
    TENANTS,
    USERS,
    lightweight,
)

FIRST_OWN_KEY = 500
SYNCHRONIZE = ["auto", "fetch", False, "evaluate"]
WRITABLE = [cls for cls in CLASSES if cls not in (schema.Log, schema.AuditLog)]


def owner_names(table: Table) -> set[str]:
    owners = OWNERS[table]
    return {column.name for column in (owners.tenant, owners.user) if column is not None}


def link_names(table: Table) -> set[str]:
    """Return the columns that link a row to others, and so decide its owner."""
    return {name for own, _, _ in OWNERS[table].ends for name in own}


def data_columns(table: Table) -> list[Column[Any]]:
    """Return the columns that are neither a key nor an owner nor a link."""
    return [
        column
        for column in table.columns
        if not column.primary_key
        and column.name not in owner_names(table)
        and column.name not in link_names(table)
        and column.name not in ("kind", "type")
    ]


class Target:
    """The target of a write: a class, or a table in one of its forms."""

    def __init__(self, generator: Generator) -> None:
        choices = generator.choices
        self.cls: type[Any] | None = None
        if choices.chance(55):
            self.cls = choices.pick(WRITABLE)
            generator.note_class(self.cls)
            self.table: Table = inspect(self.cls).local_table
            self.element: Any = self.cls
            self.source = generator.class_source(self.cls)
            generator.feature("writes a class")
            return
        if choices.chance(35):
            self.table = choices.pick(LINKS)
            generator.feature("writes a link table")
        else:
            self.table = choices.pick(TABLES)
            generator.feature("writes a table")
        if self.table.name in ("invoice", "paid_invoice", "contract"):
            generator.feature("writes the table of a joined subclass")
        form = choices.weighted(
            [(65, "own"), (10, "metadata"), (8, "table()"), (7, "untyped"), (10, "reflected")]
        )
        self.element = {
            "own": lambda: self.table,
            "metadata": lambda: OTHER_TABLES[self.table],
            "table()": lambda: lightweight(self.table),
            "untyped": lambda: lightweight(self.table, typed=False),
            "reflected": lambda: generator.reflected.get(self.table, self.table),
        }[form]()
        if form != "own":
            generator.feature(f"writes another table: {form}")
        self.source = generator.table_source(self.element, self.table)
        if form == "untyped":  # plain SQLAlchemy cannot bind a UUID to a column without a type
            self.source.fields = [f for f in self.source.fields if f.kind != UUID]
        if self.table in schema.UNMAPPED:
            generator.feature("writes a table with a foreign key alone")

    def key_of(self, column: Column[Any]) -> str:
        """Return the name of a column in values()."""
        if self.cls is None:
            return column.name
        return inspect(self.cls).get_property_by_column(column).key

    def stored(self, name: str, value: Any) -> Any:
        """Return a value as this form of the table needs it. A reflected table has no Uuid type."""
        if self.cls is None and isinstance(value, uuid.UUID):
            is_uuid = isinstance(self.element.c[name].type, Uuid)
            return value if is_uuid else value.hex
        return value

    def expression(self, column: Column[Any]) -> Any:
        if self.cls is None:
            return self.element.c[column.name]
        return getattr(self.cls, self.key_of(column))

    def columns(self) -> list[Column[Any]]:
        """Return the columns of this table that may be changed."""
        found = data_columns(self.table)
        if self.cls is not None:
            mapped = self.mapped()
            found = [column for column in found if column in mapped]
        return found

    def mapped(self) -> set[Any]:
        """Return the columns of the class. A single-table subclass lacks some."""
        return {column for each in inspect(self.cls).column_attrs for column in each.columns}


def random_value(generator: Generator, column: Column[Any]) -> Any:
    kind = kind_of(column.type)
    if column.nullable and generator.choices.chance(15):
        return None
    if column.name == "code" or column.name == "address":
        return f"new{generator.choices.below(1000)}"
    return generator.value(kind, domain_of(column) if column.foreign_keys else None)


def new_value(generator: Generator, target: Target, column: Column[Any]) -> Any:
    """A value for SET: a literal or an expression."""
    way = generator.choices.weighted([(60, "literal"), (15, "self"), (15, "scalar"), (10, "case")])
    kind = kind_of(column.type)
    if column.unique or way == "literal" or kind not in (INTEGER, TEXT):
        return random_value(generator, column)
    own = target.expression(column)
    if way == "self":
        generator.feature("SET by an expression")
        return own + 1 if kind == INTEGER else own + "!"
    if way == "case":
        return case((generator.condition([target.source], 0), own), else_=own)
    generator.feature("SET by a subquery")
    found = generator.scalar_subquery([target.source], 1, kind).expression
    return func.coalesce(found, own) if not column.nullable else found


def returning(generator: Generator, target: Target) -> tuple[Any, ...]:
    """Return the columns of RETURNING, or none."""
    if not generator.choices.chance(45):
        return ()
    generator.feature("returning")
    if target.cls is not None and generator.choices.chance(40) and not is_joined(target):
        generator.feature("returning an entity")
        return (target.cls,)
    fields = generator.choices.some([f for f in target.source.fields if is_local(target, f)], 1, 3)
    return tuple(field.expression for field in fields)


def is_joined(target: Target) -> bool:
    return target.cls is not None and len(inspect(target.cls).tables) > 1


def is_local(target: Target, field: Field) -> bool:
    if target.cls is None:
        return True
    attribute = inspect(target.cls).column_attrs.get(field.key)
    return attribute is not None and target.table in [
        getattr(column, "table", None) for column in attribute.columns
    ]


def execute(
    side: Side, statement: Any, way: str, parameters: Any = None, options: Any = None
) -> list[Any]:
    if way == "connection":
        result = side.session.connection().execute(statement, parameters)
    else:
        result = side.session.execute(statement, parameters, execution_options=options or {})
    if getattr(result, "returns_rows", True):
        try:
            return sorted((describe(row, loaded=False) for row in result), key=repr)
        except ResourceClosedError:  # of an INSERT in bulk
            return []
    return [("rows", result.rowcount)]


def changing_case(generator: Generator) -> Case:
    """UPDATE or DELETE with conditions of any kind."""
    choices = generator.choices
    target = Target(generator)
    generator.written = target.table.name
    columns = target.columns()
    updates = bool(columns) and choices.chance(65)
    generator.feature("update" if updates else "delete")
    depth = choices.weighted([(30, 0), (50, 1), (20, 2)])
    sources = [target.source]
    conditions = []
    uses_from = (
        choices.chance(25) and (updates or generator.on_postgresql) and not is_joined(target)
    )
    if uses_from:
        generator.feature("update from" if updates else "delete using")
        other = generator.source(1, sources)
        conditions.append(generator.on(sources, other, 0))
        sources.append(other)
    if choices.chance(85) or uses_from:
        conditions.append(generator.condition(sources, depth))
    statement: Any = update(target.element) if updates else delete(target.element)
    statement = statement.where(*conditions)
    if updates:
        values = {
            target.key_of(column): new_value(generator, target, column)
            for column in choices.some(columns, 1, 2)
        }
        if choices.chance(10):
            generator.feature("ordered values")
            statement = statement.ordered_values(
                *(
                    (target.expression(column), values[target.key_of(column)])
                    for column in columns
                    if target.key_of(column) in values
                )
            )
        else:
            statement = statement.values(values)
    if updates and not generator.on_postgresql and target.table.name in names_read(statement):
        # In SQLite the subquery of an UPDATE may see rows that the UPDATE has changed.
        raise NotComparableError(f"an UPDATE of {target.table.name} that reads it")
    gives = returning(generator, target)
    if gives and not (uses_from and any(not hasattr(each, "type") for each in gives)):
        statement = statement.returning(*gives)
    way = choices.weighted([(70, "session"), (30, "connection")])
    options: dict[str, Any] = {}
    if target.cls is not None and way == "session":
        options["synchronize_session"] = choices.pick(SYNCHRONIZE)
        generator.feature(f"synchronize_session={options['synchronize_session']}")
    translated = way == "session" and choices.chance(8)
    if translated:
        refuse_one_name_for_two(statement)
        generator.feature("executed: translated schemas")
    preload = way == "session" and target.cls is not None and choices.chance(25)

    def run_with(side: Side, parameters: Mapping[str, Any] | None) -> Any:
        loaded = list(side.session.scalars(select(target.cls))) if preload else []
        if translated:
            options["schema_translate_map"] = {None: side.world.default_schema}
        found = execute(side, statement, way, parameters, options)
        return [*found, *states_of(side, loaded)]

    if preload:
        generator.feature("objects loaded before")
    return Case(
        f"{'update' if updates else 'delete'}, {way}",
        lambda side: run_with(side, None),
        generator.features,
        statement,
        writes=True,
        may_fail=OUR_NAME in generator.features,
        run_with=run_with if choices.chance(20) else None,
    )


def states_of(side: Side, objects: Sequence[Any]) -> list[Any]:
    """Return the state of objects that a statement may have changed."""
    return sorted(
        (
            ("gone", state.identity) if state.deleted or state.detached else describe(each, 0)
            for each, state in ((each, inspect(each)) for each in objects)
        ),
        key=repr,
    )


# --- INSERT -------------------------------------------------------------------


KINDS_OF = {"task": ["task", "chore", "meeting"], "document": ["document"]}


def new_row(generator: Generator, target: Target, number: int, generated: bool) -> dict[str, Any]:
    """Return values for the columns of a table, without owners and without links."""
    table = target.table
    row: dict[str, Any] = {}
    for column in table.columns:
        if target.cls is not None and column not in target.mapped():
            continue
        key = target.key_of(column)
        if column.name in owner_names(table) or column.name in ("kind", "type"):
            continue
        if column.primary_key:
            if not generated:
                row[key] = (
                    FIRST_OWN_KEY + number if kind_of(column.type) == INTEGER else f"k{number}"
                )
        elif not column.nullable or generator.choices.chance(70):
            row[key] = random_value(generator, column)
    if "kind" in table.c:
        row["kind"] = (
            generator.choices.pick(
                ["task", "chore", "meeting"] if table.name == "task" else ["document"]
            )
            if target.cls is None
            else inspect(target.cls).polymorphic_identity
        )
    return row


def owner_values(side: Side, target: Target, explicit: bool) -> dict[str, Any]:
    return {
        target.key_of(target.table.c[name]): target.stored(name, value)
        for name, value in side.own(target.table, explicit).items()
    }


def insert_of(generator: Generator, element: Any) -> Any:
    if generator.choices.chance(70):
        return insert(element)
    dialect = postgresql if generator.on_postgresql else sqlite
    return dialect.insert(element)


def inserting_case(generator: Generator) -> Case:
    """INSERT of one row or several, in each form that takes values."""
    choices = generator.choices
    target = Target(generator)
    while is_joined(target) or target.table in LINKS or OWNERS[target.table].ends:
        target = Target(generator) if len(choices.made) < 400 else counter_target(generator)
    way = choices.pick(["values", "several values", "parameters", "many parameters"])
    generator.feature(f"insert: {way}")
    generated = target.table.autoincrement_column is not None and choices.chance(40)
    if generated:
        generator.feature("insert: generated key")
    count = 1 + choices.below(3) if way in ("several values", "many parameters") else 1
    rows = [new_row(generator, target, number, generated) for number in range(count)]
    if way != "values" or count > 1:
        rows = alike(target, rows)
    explicit = choices.chance(50) and not OWNERS[target.table].is_global
    # Without a parameter, an INSERT is not an INSERT of many rows and has another answer.
    explicit = explicit or not all(rows)
    if explicit:
        generator.feature("insert: owners given")
    base = insert_of(generator, target.element)
    gives = returning(generator, target)
    execution = choices.weighted([(75, "session"), (25, "connection")])
    expression = way == "values" and choices.chance(25)
    if expression:
        generator.feature("insert: value by a subquery")
        integers = [c for c in target.columns() if kind_of(c.type) == INTEGER]
        if integers:
            rows[0][target.key_of(integers[0])] = generator.scalar_subquery(
                [], 1, INTEGER
            ).expression

    def statement_for(side: Side) -> tuple[Any, Any]:
        complete = [{**row, **owner_values(side, target, explicit)} for row in rows]
        if execution == "connection" and way in ("parameters", "many parameters"):
            # A connection uses the names of columns and ignores those of attributes.
            complete = [{name_of(target, k): v for k, v in row.items()} for row in complete]
        statement = base.returning(*gives) if gives else base
        if way == "values":
            return statement.values(complete[0]), None
        if way == "several values":
            return statement.values(complete), None
        return statement, complete[0] if way == "parameters" else complete

    return Case(
        f"insert, {way}, {execution}",
        lambda side: execute(side, statement_for(side)[0], execution, statement_for(side)[1]),
        generator.features,
        base,
        writes=True,
        detail=f"rows {rows}",
    )


def alike(target: Target, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give all rows the same keys."""
    names = {name for row in rows for name in row}
    return [{name: row.get(name, rows[0].get(name)) for name in sorted(names)} for row in rows]


def counter_target(generator: Generator) -> Target:
    target = Target.__new__(Target)
    target.cls, target.table = schema.Counter, schema.Counter.__table__
    target.element = schema.Counter
    target.source = generator.class_source(schema.Counter)
    return target


def from_select_case(generator: Generator) -> Case:
    """INSERT ... SELECT, into each kind of table, from scoped and global rows."""
    choices = generator.choices
    generator.feature("insert from select")
    target = Target(generator)
    while is_joined(target) or OWNERS[target.table].ends or target.table.name == "status":
        target = Target(generator) if len(choices.made) < 400 else counter_target(generator)
    table = target.table
    kind = choices.pick(["class", "table", "alias", "subquery"])
    cls = choices.pick(
        [
            c
            for c in CLASSES
            if "id" in inspect(c).columns and c not in (schema.Log, schema.AuditLog)
        ]
    )
    core = kind != "class"
    element: Any = cls.__table__ if core else cls
    if kind == "alias":
        element = element.alias(generator.name())
    if kind == "subquery":
        element = select(element).subquery(generator.name())
    source = generator.table_source(element, cls.__table__) if core else generator.class_source(cls)
    there = next(field.expression for field in source.fields if field.key == "id")
    columns: dict[str, Any] = {}
    for column in table.columns:
        if column.name in owner_names(table):
            continue
        if column.primary_key:
            columns[column.name] = there + FIRST_OWN_KEY if not columns else literal(1)
        elif column.name == "kind":
            columns[column.name] = literal("task" if table.name == "task" else "document")
        elif not column.nullable or choices.chance(50):
            value_kind = kind_of(column.type)
            if column.unique or column.name == "name":
                columns[column.name] = cast(there, String(20))
                continue
            field = generator.field([source], value_kind)
            columns[column.name] = (
                # SQLAlchemy itself loses the name of a hybrid's subquery in a subquery of INSERT.
                (field.expression.label("best") if field.key == "heaviest" else field.expression)
                if field is not None
                else literal(generator.value(value_kind, None), TYPES[value_kind])
            )
    condition = generator.condition([source], choices.below(2))
    explicit = choices.chance(50) and not OWNERS[table].is_global
    if explicit:
        generator.feature("insert: owners given")
    gives = returning(generator, target)
    execution = choices.weighted([(75, "session"), (25, "connection")])

    def run(side: Side) -> Any:
        owned = side.own(table, explicit)
        names = [*columns, *owned]
        expressions = [
            *columns.values(),
            *(literal(value, table.c[name].type) for name, value in owned.items()),
        ]
        statement = insert(target.element).from_select(
            names, select(*expressions).select_from(source.element).where(condition)
        )
        if gives:
            statement = statement.returning(*gives)
        return execute(side, statement, execution)

    return Case(
        f"insert from select, {execution}",
        run,
        generator.features,
        select(*columns.values()).select_from(source.element).where(condition),
        writes=True,
        detail=f"insert into {table}: {list(columns)}",
    )


@dataclass
class Ends:
    """The rows that new rows of a table without owners link to."""

    # (own columns, their table) of each foreign key.
    keys: list[tuple[tuple[str, ...], Table]]
    numbers: list[int]
    # Foreign keys that stay NULL, and the one that links to a row of others.
    left_out: set[int]
    foreign: int | None

    def values(self, side: Side, step: int) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for index, (own, target) in enumerate(self.keys):
            if index in self.left_out:
                row.update(dict.fromkeys(own))
                continue
            key = side.key(target, self.numbers[index] + step, theirs=index == self.foreign)
            row.update(zip(own, key, strict=True))
        return row


def choose_ends(generator: Generator, table: Table) -> Ends:
    choices = generator.choices
    keys = [(own, target) for own, target, _ in OWNERS[table].ends]
    scoped = len(keys)
    if table.name == "mailbox_country":
        keys.append((("country_id",), TABLES_BY_NAME["country"]))
    left_out = {
        index
        for index, (own, _) in enumerate(keys)
        if table.c[own[0]].nullable and choices.chance(25)
    }
    if left_out:
        generator.feature("an optional foreign key left out")
    foreign = choices.below(scoped) if choices.chance(30) else None
    if foreign in left_out:
        foreign = None
    if foreign is not None:
        generator.feature("attack: a link to a row of others")
    return Ends(keys, [choices.below(50) for _ in keys], left_out, foreign)


def form_of_linked(generator: Generator, table: Table) -> Any:
    """Return the table, an alias of it, or its undeclared class."""
    forms: list[Any] = [table, OTHER_TABLES[table], lightweight(table)]
    forms.append(lightweight(table, typed=False))
    forms += [cls for cls in schema.UNDECLARED if cls.__table__ is table]
    form = generator.choices.pick(forms)
    if form in schema.UNDECLARED:
        generator.feature("writes an undeclared class")
    return form


def columns_of(form: Any) -> Any:
    return inspect(form).columns if isinstance(form, type) else form.c


def linking_case(generator: Generator) -> Case:
    """INSERT of rows that link to visible rows, into a table without owners."""
    choices = generator.choices
    table = choices.pick([table for table in TABLES if OWNERS[table].ends])
    if table in LINKS:
        name = "insert into a link table"
    elif table in schema.UNMAPPED or "id" not in link_names(table):
        name = "insert of a row with a foreign key"
    else:
        name = "insert of a subclass's row"
    generator.feature(name)
    form = form_of_linked(generator, table)
    ends = choose_ends(generator, table)
    data = {c.name: random_value(generator, c) for c in data_columns(table)}
    from_select = choices.chance(25) and table.name not in ("invoice", "paid_invoice", "contract")
    many = choices.chance(30)
    executions = ["session", "connection"]
    if isinstance(form, type):
        executions.append("flush")
    execution = choices.pick(executions)
    give = choices.chance(40)

    def row_of(side: Side, step: int) -> dict[str, Any]:
        row = {**data, **ends.values(side, step)}
        if "id" in table.c and "id" not in row:
            row["id"] = FIRST_OWN_KEY + step
        return row

    def run(side: Side) -> Any:
        rows = [row_of(side, step) for step in range(2 if many else 1)]
        if execution == "flush":
            side.session.add_all([form(**row) for row in rows])
            side.session.flush()
            return []
        if from_select:
            return execute(side, selecting(rows[0]), execution)
        statement = insert(form)
        if give and not many:
            given = [name for own, _ in ends.keys for name in own]
            statement = statement.returning(*(columns_of(form)[name] for name in given))
        return execute(side, statement, execution, rows if many else rows[0])

    def selecting(row: dict[str, Any]) -> Any:
        """INSERT ... SELECT of keys from the tables that the row links to."""
        taken: dict[str, Any] = {}
        conditions = []
        for index, (own, target) in enumerate(ends.keys):
            there = target.alias()
            if index not in ends.left_out:
                taken.update(zip(own, there.primary_key, strict=True))
                conditions += [taken[name] == row[name] for name in own]
        expressions = {
            name: taken.get(name, literal(value, table.c[name].type)) for name, value in row.items()
        }
        inner = select(*expressions.values()).where(*conditions)
        keys = [column.name for column in table.primary_key]
        if table in LINKS:
            known = select(*(table.c[key] for key in keys))
            inner = inner.where(tuple_(*(taken[key] for key in keys)).not_in(known))
        return insert(form).from_select(list(expressions), inner)

    attack = ends.foreign is not None and (not from_select or execution == "flush")
    return Case(
        f"{name}, {execution}",
        run,
        generator.features,
        insert(form),
        writes=True,
        attack=attack,
        detail=f"{table} {data} {ends}",
    )


RELINKED = [
    table for table in TABLES if any(not table.c[name].primary_key for name in link_names(table))
]


def relinking_case(generator: Generator) -> Case:
    """UPDATE of the columns that link a row to others."""
    choices = generator.choices
    generator.feature("update of a foreign key")
    table = choices.pick(RELINKED)
    form = form_of_linked(generator, table)
    ends = choose_ends(generator, table)
    chosen = choices.below(len(ends.keys))
    ends = Ends([ends.keys[chosen]], [ends.numbers[chosen]], ends.left_out & {-1}, None)
    theirs = choices.chance(35)
    if theirs:
        ends.foreign = 0
        generator.feature("attack: an update of a foreign key to a row of others")
    elif all(table.c[name].nullable for name in ends.keys[0][0]) and choices.chance(20):
        ends.left_out = {0}
    half = len(ends.keys[0][0]) > 1 and choices.chance(25)
    if half:
        generator.feature("attack: an update of half a foreign key")
    executions = ["session", "connection"]
    if isinstance(form, type):
        executions.append("flush")
    execution = choices.pick(executions)
    way = choices.pick(["values", "parameters", "bindparam", "expression", "subquery"])
    number = choices.below(50)
    source = (
        generator.class_source(form)
        if isinstance(form, type)
        else generator.table_source(form, table)
    )
    source.fields = [field for field in source.fields if field.kind != UUID]
    condition = generator.condition([source], choices.below(2))

    def run(side: Side) -> Any:
        values = ends.values(side, 0)
        if half:
            values = dict(list(values.items())[1:])
        if execution == "flush":
            found = side.session.get(form, side.key(table, number))
            for name, value in values.items():
                setattr(found, name, value)
            side.session.flush()
            return []
        statement = update(form).where(condition)
        options = {"synchronize_session": False} if isinstance(form, type) else {}
        parameters = None
        if way == "values":
            statement = statement.values(values)
        elif way == "parameters":
            parameters = values
        elif way == "bindparam":
            statement = statement.values(
                {name: bindparam(f"b_{name}", type_=table.c[name].type) for name in values}
            )
            parameters = {f"b_{name}": value for name, value in values.items()}
        elif way == "expression":
            given = {name: literal(value, Integer) for name, value in values.items()}
            statement = statement.values({n: func.coalesce(v, v) for n, v in given.items()})
        else:
            there = ends.keys[0][1].alias()
            keys = dict(zip(ends.keys[0][0], there.primary_key, strict=True))
            row = [keys[name] == value for name, value in values.items()]
            statement = statement.values(
                {n: select(keys[n]).where(*row).distinct().scalar_subquery() for n in values}
            )
        return execute(side, statement, execution, parameters, options)

    return Case(
        f"update of a foreign key by {way}, {execution}",
        run,
        generator.features,
        update(table).where(condition) if form is table else None,
        writes=True,
        attack=theirs or half,
        detail=f"{table} {ends} half={half}",
    )


TABLES_BY_NAME = {table.name: table for table in TABLES if table.schema is None}


# --- Upserts ------------------------------------------------------------------


def upsert_case(generator: Generator) -> Case:
    """ON CONFLICT DO NOTHING and DO UPDATE, on own keys, new keys and keys of others."""
    choices = generator.choices
    generator.feature("upsert")
    as_class = choices.chance(60)
    table = schema.Counter.__table__
    element: Any = schema.Counter if as_class else choices.pick([table, OTHER_TABLES[table]])
    columns = element if as_class else element.c
    dialect = postgresql if generator.on_postgresql else sqlite
    which = choices.pick(["own", "new", "theirs"])
    generator.feature(f"upsert: {which}")
    key = choices.pick(["id", "name", "code", "any"])
    number = choices.below(50)
    way = choices.weighted([(65, "update"), (35, "nothing")])
    if key == "any":
        way = "nothing"
    generator.feature(f"upsert: do {way}")
    hits = choices.below(9)
    set_way = choices.pick(["excluded", "own", "literal", "subquery"])
    with_where = choices.chance(40)
    many = choices.chance(25)
    execution = choices.weighted([(70, "session"), (30, "connection")])
    source = (
        generator.class_source(schema.Counter)
        if as_class
        else generator.table_source(element, table)
    )
    condition = generator.condition([source], choices.below(2)) if with_where else None
    subquery = generator.scalar_subquery([], 1, INTEGER).expression
    gives = choices.chance(40)
    explicit = choices.chance(60)
    moves = choices.chance(12) and way == "update"
    if moves:
        generator.feature("attack: an upsert that sets the owner")

    def run(side: Side) -> Any:
        statement: Any = dialect.insert(element)
        rows = [dict(row_of(side, index)) for index in range(2 if many else 1)]
        rows = [{**row, **side.own(table, explicit or key == "name")} for row in rows]
        target: dict[str, Any] = {}
        if key == "name":
            target["index_elements"] = ["tenant_id", "user_id", "name"]
        elif key != "any":
            target["index_elements"] = [key]
        if way == "nothing":
            statement = statement.on_conflict_do_nothing(**target)
        else:
            changed = {
                "excluded": lambda: statement.excluded.hits,
                "own": lambda: columns.hits + 1,
                "literal": lambda: hits,
                "subquery": lambda: subquery,
            }[set_way]()
            set_: dict[str, Any] = {"hits": changed}
            if moves:
                set_["tenant_id"] = next(t for t in TENANTS if t != side.who.tenant)
            statement = statement.on_conflict_do_update(**target, set_=set_, where=condition)
        if gives:
            statement = statement.returning(columns.id, columns.hits)
        return execute(side, statement, execution, rows if many else rows[0])

    def row_of(side: Side, index: int) -> dict[str, Any]:
        row = {"id": 700 + index, "name": f"fresh{index}", "code": f"fresh{index}", "hits": hits}
        if which == "new":
            return row
        known = list((side.world.others if which == "theirs" else side.world.own)[side.who][table])
        if not known:
            raise NothingThereError(table.name)
        names = table.columns.keys()
        found = dict(zip(names, sorted(known)[(number + index) % len(known)], strict=True))
        for name in ("id", "name", "code") if key == "any" else (key,):
            if found[name] is not None:
                row[name] = found[name]
        return row

    return Case(
        f"upsert, {way}, {execution}",
        run,
        generator.features,
        dialect.insert(element),
        writes=True,
        attack=moves,
        may_conflict=which == "theirs" and key != "name",
        detail=f"{which} {key} {set_way} {hits} where={with_where}",
    )


def owner_upsert_case(generator: Generator) -> Case:
    """ON CONFLICT DO UPDATE that sets an owner in renamed columns."""
    choices = generator.choices
    generator.feature("upsert")
    generator.feature("upsert: a renamed owner")
    cls = choices.pick([schema.Payment, schema.Order])
    table: Table = cls.__table__
    dialect = postgresql if generator.on_postgresql else sqlite
    target = counter_target(generator)
    target.table = table
    target.cls = cls if choices.chance(40) else None
    target.element = target.cls or choices.pick([table, OTHER_TABLES[table], lightweight(table)])
    which = choices.pick(["own", "new", "theirs"])
    generator.feature(f"upsert: {which}")
    number, data = choices.below(50), choices.below(9)
    changed = "amount" if cls is schema.Payment else "price"
    owners = OWNERS[table]
    column = choices.pick([each for each in (owners.tenant, owners.user) if each is not None])
    way = choices.pick(["own", "excluded", "other", "bindparam", "expression", "another column"])
    attack = way not in ("own", "excluded")
    if attack:
        generator.feature("attack: an upsert that sets a renamed owner")
    by_name = choices.chance(60)
    explicit = choices.chance(50)
    execution = choices.weighted([(70, "session"), (30, "connection")])

    def run(side: Side) -> Any:
        statement: Any = dialect.insert(target.element)
        who = PEOPLE[0] if side.who is EVERYTHING else side.who
        if column is owners.tenant:
            own, others = who.tenant, [t for t in TENANTS if t != who.tenant]
        else:
            own, others = who.user, [u for u in USERS if u != who.user]
            if who.role == "admin":
                others = []  # may set the owner to any user of the tenant
        other = others[0] if others else "nobody"

        def typed(value: Any) -> Any:
            return value if isinstance(column.type, Uuid) else str(value)

        if which == "new":
            key: tuple[Any, ...] = (700,) if cls is schema.Payment else (700, 1)
        else:
            key = side.key(table, number, which == "theirs")
        names = [c.name for c in table.primary_key]
        row = {**dict(zip(names, key, strict=True)), changed: data}
        row.update(side.own(table, explicit))
        if target.cls is not None and execution == "session":
            row = {target.key_of(table.c[name]): value for name, value in row.items()}
        parameters: dict[str, Any] = {}
        value = {
            "own": lambda: typed(own),
            "excluded": lambda: statement.excluded[column.name],
            "other": lambda: typed(other),
            "bindparam": lambda: bindparam("b_owner", typed(own), column.type),
            "expression": lambda: func.coalesce(literal(typed(other), column.type), typed(own)),
            "another column": lambda: cast(table.c[names[0]], String),
        }[way]()
        if way == "bindparam":
            parameters["b_owner"] = typed(other)
        set_ = {changed: statement.excluded[changed]}
        set_[column.name if by_name else table.c[column.name]] = value
        statement = statement.on_conflict_do_update(index_elements=names, set_=set_)
        if parameters:
            statement = statement.values(row)
        return execute(side, statement, execution, parameters or row)

    return Case(
        f"upsert of an owner, {way}, {execution}",
        run,
        generator.features,
        dialect.insert(table),
        writes=True,
        attack=attack,
        may_conflict=which == "theirs",
        detail=f"{table}.{column.name} {which} by_name={by_name}",
    )


# --- Attacks ------------------------------------------------------------------


def owner_attack_case(generator: Generator) -> Case:
    """Writes that set another owner, in each place that takes a value."""
    choices = generator.choices
    target = Target(generator)
    while OWNERS[target.table].tenant is None or is_joined(target):
        target = Target(generator) if len(choices.made) < 400 else counter_target(generator)
    table = target.table
    owners = OWNERS[table]
    assert owners.tenant is not None
    column = owners.tenant
    by_user = owners.user is not None and choices.chance(30)
    if by_user:
        column = owners.user
    way = choices.pick(
        [
            "values",
            "parameter",
            "many parameters",
            "bindparam",
            "default of a bindparam",
            "several values",
            "expression",
            "from select",
            "update values",
            "update parameter",
            "update bindparam",
            "update expression",
            "update subquery",
        ]
    )
    generator.feature(f"attack: owner by {way}")
    execution = choices.weighted([(70, "session"), (30, "connection")])
    row = new_row(generator, target, 90, generated=False)
    key = target.key_of(column)
    condition = generator.condition([target.source], choices.below(2))
    base = insert_of(generator, target.element)

    def run(side: Side) -> Any:
        def typed(value: uuid.UUID) -> Any:
            is_uuid = isinstance(column.type, Uuid)
            return target.stored(column.name, value) if is_uuid else str(value)

        if by_user:
            other = typed(next(user for user in USERS if user != side.who.user))
            own = typed(side.who.user)
            if side.who.role == "admin":
                other = typed(uuid.UUID(int=0x99))
        else:
            other = typed(next(tenant for tenant in TENANTS if tenant != side.who.tenant))
            own = typed(side.who.tenant)
        given = {**row, **owner_values(side, target, explicit=True)}
        evil = {**given, key: other}
        bound = bindparam("t", own, column.type)
        change = update(target.element).where(condition)
        forms: dict[str, Callable[[], tuple[Any, Any]]] = {
            "values": lambda: (base.values(evil), None),
            "parameter": lambda: (base, evil),
            "many parameters": lambda: (base, [given, {**evil, **second_key(target, row)}]),
            "bindparam": lambda: (base.values({**given, key: bindparam("t")}), {"t": other}),
            "default of a bindparam": lambda: (
                base.values({**given, key: bound}),
                {"t": other},
            ),
            "several values": lambda: (
                base.values([given, {**evil, **second_key(target, row)}]),
                None,
            ),
            "expression": lambda: (
                base.values({**given, key: func.coalesce(literal(other, column.type), own)}),
                None,
            ),
            "from select": lambda: (
                insert(target.element).from_select(
                    [name_of(target, k) for k in evil],
                    select(*(literal(v, type_of(target, k)) for k, v in evil.items())),
                ),
                None,
            ),
            "update values": lambda: (change.values({key: other}), None),
            "update parameter": lambda: (change, {key: other}),
            "update bindparam": lambda: (change.values({key: bound}), {"t": other}),
            "update expression": lambda: (
                change.values({key: func.coalesce(literal(other, column.type), own)}),
                None,
            ),
            "update subquery": lambda: (
                change.values({key: select(literal(other, column.type)).scalar_subquery()}),
                None,
            ),
        }
        statement, parameters = forms[way]()
        options = {"synchronize_session": False} if way.startswith("update") else {}
        return execute(side, statement, execution, parameters, options)

    return Case(
        f"owner by {way}, {execution}",
        run,
        generator.features,
        base,
        writes=True,
        attack=True,
        detail=f"{table}.{column.name}",
    )


def name_of(target: Target, key: str) -> str:
    if target.cls is not None:
        return inspect(target.cls).column_attrs[key].columns[0].name
    return key


def type_of(target: Target, key: str) -> Any:
    if target.cls is not None:
        return inspect(target.cls).column_attrs[key].columns[0].type
    return target.table.c[key].type


def second_key(target: Target, row: dict[str, Any]) -> dict[str, Any]:
    """Return another key, so that two rows do not conflict."""
    names = [target.key_of(c) for c in target.table.primary_key]
    made = {
        name: row[name] + 1 if isinstance(row[name], int) else f"{row[name]}x"
        for name in names
        if name in row
    }
    for name in ("code", "address", "name"):
        if isinstance(row.get(name), str):
            made[name] = f"{row[name]}x"[:20]
    return made


# --- Bulk updates, CTEs -------------------------------------------------------


def bulk_update_case(generator: Generator) -> Case:
    """UPDATE by primary key, many at once: by the ORM's bulk form, or by bindparams."""
    choices = generator.choices
    cls = choices.pick([c for c in WRITABLE if len(inspect(c).tables) == 1])
    table = cls.__table__
    mapper = inspect(cls)
    columns = [c for c in data_columns(table) if not c.unique and c in mapper.columns.values()]
    theirs = choices.chance(35)
    generator.feature("bulk update of others' rows" if theirs else "bulk update")
    changed = choices.pick(columns)
    values = [random_value(generator, changed) for _ in range(3)]
    start, count = choices.below(50), 1 + choices.below(3)
    way = choices.pick(["orm", "mappings", "bindparam", "delete by bindparam"])
    generator.feature(f"bulk update: {way}")
    execution = choices.pick(["session", "connection"])

    def run(side: Side) -> Any:
        keys = []
        for number in range(count):
            key = side.key(table, start + number, theirs)
            if key not in keys:
                keys.append(key)
        names = [mapper.get_property_by_column(c).key for c in table.primary_key]
        attribute = mapper.get_property_by_column(changed).key
        rows = [
            {**dict(zip(names, key, strict=True)), attribute: value}
            for key, value in zip(keys, values, strict=False)
        ]
        if way == "orm":
            side.session.execute(update(cls), rows)
            return []
        if way == "mappings":
            side.session.bulk_update_mappings(mapper, rows)
            return []
        by_key = [c == bindparam(f"b_{c.name}", type_=c.type) for c in table.primary_key]
        statement: Any = delete(table).where(*by_key)
        if way == "bindparam":
            value = bindparam("b_value", type_=changed.type)
            statement = update(table).where(*by_key).values({changed.name: value})
        parameters = [
            {
                **{f"b_{c.name}": part for c, part in zip(table.primary_key, key, strict=True)},
                **({"b_value": value} if way == "bindparam" else {}),
            }
            for key, value in zip(keys, values, strict=False)
        ]
        return execute(side, statement, execution, parameters)

    return Case(
        f"bulk update, {way}",
        run,
        generator.features,
        update(table),
        writes=True,
        attack=False,
        detail=f"{table} {changed.name} {values} theirs={theirs}",
    )


def cte_case(generator: Generator) -> Case:
    """A CTE that changes rows, and a statement that reads what it returns (PostgreSQL)."""
    choices = generator.choices
    if not generator.on_postgresql:
        return changing_case(generator)
    if choices.chance(30):
        return inserting_cte_case(generator)
    generator.feature("data-modifying cte")
    target = Target(generator)
    while is_joined(target) or not target.columns():
        target = Target(generator) if len(choices.made) < 400 else counter_target(generator)
    table = target.table
    columns = target.columns()
    updates = choices.chance(50)
    statement: Any = (
        update(table).values(
            {c.name: random_value(generator, c) for c in choices.some(columns, 1, 1)}
        )
        if updates
        else delete(table)
    )
    source = generator.table_source(table)
    statement = statement.where(generator.condition([source], choices.below(2)))
    fields = choices.some(source.fields, 1, 3)
    cte = statement.returning(*(field.expression for field in fields)).cte("changed")
    there = generator.derived(cte, fields)
    if choices.chance(50):
        other = generator.source(1, [there])
        outer = (
            select(*cte.c)
            .select_from(cte)
            .join(other.element, generator.on([there], other, 0), isouter=True)
        )
    else:
        outer = select(*cte.c).where(generator.condition([there], 1))
    execution = choices.pick(["session", "connection"])
    return Case(
        f"data-modifying cte, {execution}",
        lambda side: execute(side, outer, execution),
        generator.features,
        outer,
        writes=True,
        may_fail=OUR_NAME in generator.features,
    )


def inserting_cte_case(generator: Generator) -> Case:
    """A CTE that inserts, and a SELECT of its rows and of older ones."""
    choices = generator.choices
    generator.feature("inserting cte")
    table = choices.pick([schema.Counter.__table__, schema.Tag.__table__, schema.Node.__table__])
    row = {"id": 650, "name": "inserted"}
    explicit = choices.chance(50)
    execution = choices.pick(["session", "connection"])
    source = generator.source(1)
    condition = generator.condition([source], 1)

    def run(side: Side) -> Any:
        statement = insert(table).values({**row, **side.own(table, explicit)})
        cte = statement.returning(table.c.id, table.c.name).cte("inserted")
        beside = select(func.count()).select_from(source.element).where(condition)
        return execute(side, select(*cte.c, beside.scalar_subquery()), execution)

    return Case(
        f"inserting cte, {execution}",
        run,
        generator.features,
        writes=True,
        may_fail=OUR_NAME in generator.features,
        detail=f"{table} explicit={explicit}",
    )
