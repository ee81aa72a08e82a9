"""Cases that work with objects: eager and lazy loads, get, the legacy Query, the unit of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, func, insert, inspect, lambda_stmt, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    aliased,
    contains_eager,
    defer,
    immediateload,
    joinedload,
    lazyload,
    load_only,
    make_transient_to_detached,
    raiseload,
    selectin_polymorphic,
    selectinload,
    subqueryload,
    undefer,
    with_expression,
    with_loader_criteria,
    with_parent,
)

from . import schema
from .compare import OUR_NAME, Case, Side, acting, list_of
from .generate import INTEGER, Generator, Source, kind_of
from .schema import CLASSES, OWNERS, PEOPLE, UNDECLARED
from .writing import WRITABLE, execute, link_names, owner_names, random_value

LOADERS: dict[str, Callable[..., Any]] = {
    "joinedload": joinedload,
    "selectinload": selectinload,
    "subqueryload": subqueryload,
    "immediateload": immediateload,
    "lazyload": lazyload,
    "raiseload": raiseload,
}


def entity_source(generator: Generator) -> Source:
    # The two classes with the most of what a mapping can have.
    rich = generator.choices.weighted([(70, None), (20, schema.Mailbox), (10, schema.Document)])
    if rich is not None:
        generator.feature("entity: plain class")
        return generator.class_source(rich)
    make = generator.choices.weighted(
        [
            (50, generator.plain_class),
            (25, generator.alias_of_class),
            (12, generator.alias_of_subquery),
            (13, generator.polymorphic),
        ]
    )
    generator.feature(f"entity: {make.__name__.replace('_', ' ')}")
    return make(1, ())


def loader(
    generator: Generator, entity: Any, chosen: Any, depth: int, without: Sequence[str] = ()
) -> Any:
    """An option for one relationship, and for one below it."""
    choices = generator.choices
    names = [name for name in LOADERS if name not in without]
    name = choices.pick(names)
    generator.feature(f"option: {name}")
    if chosen.secondary is not None:
        generator.feature("option: over a link table")
    attribute = getattr(entity, chosen.key)
    target = chosen.mapper.class_
    if name not in ("raiseload", "lazyload") and choices.chance(15):
        generator.feature("option: and_")
        condition = generator.condition([generator.class_source(target)], 0)
        return LOADERS[name](attribute.and_(condition))
    option = LOADERS[name](attribute)
    if depth and name != "raiseload":
        below = list(inspect(target).relationships)
        below = [each for each in below if each.mapper.class_ is not chosen.parent.class_]
        if below and choices.chance(50):
            second = choices.pick(below)
            way = choices.pick(names)
            generator.feature("option: two levels")
            option = getattr(option, way)(getattr(target, second.key))
    return option


def options_for(generator: Generator, source: Source, without: Sequence[str]) -> list[Any]:
    choices = generator.choices
    assert source.cls is not None
    entity, cls = source.entity, source.cls
    relationships = [each for each in inspect(cls).relationships if each.key not in without]
    chosen = choices.some(relationships, 0, 2)
    found = [loader(generator, entity, each, 1) for each in chosen]
    simple = [a.key for a in inspect(cls).column_attrs if a.key not in ("extra", "type")]
    ways = [(45, ""), (10, "load_only"), (10, "defer"), (8, "criteria")]
    if cls is schema.Mailbox:
        ways += [(20, "undefer"), (20, "expression")]
    way = choices.weighted(ways)
    if way == "load_only":
        generator.feature("option: load_only")
        found.append(load_only(*(getattr(entity, key) for key in choices.some(simple, 1, 2))))
    elif way == "defer":
        generator.feature("option: defer")
        found.append(defer(getattr(entity, choices.pick(simple))))
    elif way == "undefer":
        generator.feature("option: undefer a column_property")
        found.append(undefer(entity.email_count))
    elif way == "expression":
        generator.feature("option: with_expression")
        inner = generator.scalar_subquery([source], 1, INTEGER)
        found.append(with_expression(entity.extra, inner.expression))
    elif way == "criteria":
        generator.feature("option: with_loader_criteria")
        there = choices.pick(WRITABLE)
        condition = generator.condition([generator.class_source(there)], 0)
        found.append(with_loader_criteria(there, condition, include_aliases=True))
    if cls is schema.Document and entity is cls and choices.chance(40):
        generator.feature("option: selectin_polymorphic")
        found.append(selectin_polymorphic(cls, [schema.Invoice, schema.Contract]))
    return found


def attributes_to_touch(generator: Generator, cls: type[Any]) -> list[str]:
    """Choose the attributes to read afterwards. Those that are not loaded yet are loaded then."""
    mapper = inspect(cls)
    names = [r.key for r in mapper.relationships]
    names += [a.key for a in mapper.column_attrs if a.key not in ("extra", "type")]
    if cls is schema.Mailbox:
        names += ["tag_names", "heaviest", "email_count", "email_count"]
    return generator.choices.some(names, 0, 3)


def touch(side: Side, objects: Sequence[Any], names: Sequence[str]) -> list[Any]:
    found = []
    for each in objects:
        if not hasattr(each, "__mapper__"):
            continue
        for name in names:
            try:
                value = getattr(each, name, None)
            except InvalidRequestError as error:
                if type(error) is not InvalidRequestError:
                    raise
                value = "raiseload"
            found.append((name, inspect(each).identity, side.describe(list_of(value), 1)))
    return found


def flat(rows: Sequence[Any]) -> list[Any]:
    return [each for row in rows for each in (row if isinstance(row, tuple) else (row,))]


def keys_in_order(source: Source) -> list[Any]:
    """Return the primary key of a class, in its own table or in the base's."""
    mapper = inspect(source.cls)
    keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    return [getattr(source.entity, key) for key in keys]


def entities_case(generator: Generator) -> Case:
    """Objects with loader options, and what they load later."""
    choices = generator.choices
    source = entity_source(generator)
    cls = source.cls
    assert cls is not None
    sources = [source]
    statement: Any
    options: list[Any] = []
    eager: list[str] = []
    way = choices.weighted([(50, "one"), (20, "join"), (15, "eager"), (15, "two")])
    relationships = list(inspect(cls).relationships)
    if way == "eager" and relationships:
        generator.feature("option: contains_eager")
        chosen = choices.pick(relationships)
        eager.append(chosen.key)
        there = aliased(chosen.mapper.class_, name=generator.name())
        attribute = getattr(source.entity, chosen.key).of_type(there)
        statement = select(source.entity).join(attribute, isouter=choices.chance(60))
        sources.append(generator.class_source(chosen.mapper.class_, there))
        options.append(contains_eager(attribute))
    elif way == "join":
        apply, sources = generator.join_chain(source, 1)
        statement = apply(select(source.entity))
    elif way == "two":
        generator.feature("two entities")
        second = generator.alias_of_class(1, sources)
        on = generator.on(sources, second, 0)
        sources.append(second)
        statement = (
            select(source.entity, second.entity)
            .join(second.entity, on, isouter=choices.chance(50), full=choices.chance(20))
            .select_from(source.entity)
        )
    else:
        statement = select(source.entity)
    if choices.chance(70):
        statement = statement.where(generator.condition(sources, choices.below(3)))
    if way != "two":
        options += options_for(generator, source, eager)
    statement = statement.options(*options)
    if choices.chance(35):
        statement = statement.order_by(*keys_in_order(source))
        if way == "one":
            generator.feature("entities with a limit")
            statement = statement.limit(1 + choices.below(5))
    execution = choices.weighted(
        [
            (50, "execute"),
            (20, "scalars"),
            (10, "populate_existing"),
            (10, "from_statement"),
            (10, "for update"),
        ]
    )
    touched = attributes_to_touch(generator, cls)
    if touched:
        generator.feature("lazy loads")
    if execution == "from_statement" and (way != "one" or source.entity is not cls):
        execution = "execute"
    elif execution == "from_statement":
        statement = select(cls).where(generator.condition(sources, choices.below(3)))
    if execution == "for update":
        if way == "one" and generator.on_postgresql and len(inspect(cls).tables) == 1:
            statement = statement.with_for_update(of=source.entity)
        else:
            execution = "execute"
    if cls is schema.Log and execution == "for update":
        execution = "execute"
    generator.feature(f"entities: {execution}")

    def run_with(side: Side, parameters: Mapping[str, Any] | None) -> Any:
        session = side.session
        if execution == "scalars":
            rows: Sequence[Any] = session.scalars(statement, parameters).unique().all()
        elif execution == "populate_existing":
            rows = (
                session.execute(
                    statement, parameters, execution_options={"populate_existing": True}
                )
                .unique()
                .all()
            )
        elif execution == "from_statement":
            rows = session.scalars(select(cls).from_statement(statement), parameters).unique().all()
        else:
            rows = session.execute(statement, parameters).unique().all()
        answer = [side.describe(row) for row in rows]
        seen = {id(each): each for each in flat(rows) if each is not None}
        return [*answer, *touch(side, list(seen.values()), touched)]

    return Case(
        f"entities, {execution}",
        lambda side: run_with(side, None),
        generator.features,
        statement,
        repeats=True,
        may_fail=OUR_NAME in generator.features,
        run_with=run_with if choices.chance(20) else None,
        detail=f"then {touched}",
    )


def get_case(generator: Generator) -> Case:
    """get(), from the database and from the identity map, of own rows and of others'."""
    choices = generator.choices
    cls = choices.pick(CLASSES)
    generator.note_class(cls)
    generator.feature("get")
    table: Table = inspect(cls).local_table
    theirs = choices.chance(40)
    generator.feature("get: of others" if theirs else "get: own")
    number = choices.below(50)
    steps = choices.some(["again", "refresh", "expire", "parent", "update", "scalar"], 0, 3)
    keys = [a.key for a in inspect(cls).column_attrs if a.key not in ("extra", "type")]
    touched = [*keys, *attributes_to_touch(generator, cls)]
    relationships = list(inspect(cls).relationships)
    # Not raiseload: it is lost when the object is loaded again, which happens if only the database
    # can say whether the row is visible.
    options = [
        loader(generator, cls, each, 1, without=("raiseload",))
        for each in choices.some(relationships, 0, 1 if choices.chance(40) else 0)
    ]

    def run(side: Side) -> Any:
        session = side.session
        side.loaded = False  # SQLAlchemy decides what a refresh loads
        key = side.key(table, number, theirs)
        key = key[0] if len(key) == 1 else key
        found = session.get(cls, key, options=options)
        answer = [side.describe(found)] if found is not None else []
        for step in steps:
            if found is None:
                break
            if step == "again":
                answer.append(side.describe(session.get(cls, key)))
            elif step == "refresh":
                session.refresh(found)
                answer.append(side.describe(found))
            elif step == "expire":
                session.expire(found)
                answer.extend(
                    touch(
                        side,
                        [found],
                        [a.key for a in inspect(cls).column_attrs if a.key != "extra"][:3],
                    )
                )
            elif step == "update":
                session.get(cls, key, populate_existing=True, with_for_update=True)
            elif step == "parent":
                for relationship in list(inspect(cls).relationships)[:2]:
                    target = relationship.mapper.class_
                    rows = session.scalars(
                        select(target).where(with_parent(found, getattr(cls, relationship.key)))
                    ).unique()
                    answer.append(side.describe(list(rows), 0))
            else:
                answer.append(session.scalar(select(func.count()).select_from(cls)))
        if found is not None:
            answer.extend(touch(side, [found], touched))
        return answer

    return Case(
        f"get, {'of others' if theirs else 'own'}",
        run,
        generator.features,
        select(cls),
        detail=f"{cls.__name__} {number} {steps} {touched}",
    )


def query_case(generator: Generator) -> Case:
    """The legacy Query."""
    choices = generator.choices
    generator.feature("legacy Query")
    source = entity_source(generator)
    cls = source.cls
    assert cls is not None
    condition = generator.condition([source], choices.below(3))
    relationships = list(inspect(cls).relationships)
    way = choices.pick(
        [
            "all",
            "count",
            "first",
            "exists",
            "entities",
            "join",
            "from_statement",
            "filter_by",
            "yield_per",
            "union",
            "subquery",
            "slice",
        ]
    )
    generator.feature(f"Query: {way}")
    columns = [f for f in source.fields if f.key != "heaviest"]
    field = choices.pick(columns)
    value = generator.value(field.kind, field.domain) if field.kind != "other" else 0
    second = choices.pick(relationships) if relationships else None
    keys = keys_in_order(source)

    def run_with(side: Side, parameters: Mapping[str, Any] | None) -> Any:
        query = side.session.query(source.entity).filter(condition)
        if parameters:
            query = query.params(parameters)
        found: Any
        if way == "count":
            found = [query.count()]
        elif way == "first":
            found = [query.order_by(*keys).first()]
            found = [] if found == [None] else found
        elif way == "exists":
            found = [side.session.query(query.exists()).scalar()]
        elif way == "entities":
            found = query.with_entities(field.expression).all()
        elif way == "join" and second is not None:
            found = query.outerjoin(getattr(source.entity, second.key)).all()
        elif way == "from_statement" and source.entity is cls:
            found = side.session.query(cls).from_statement(select(cls).where(condition))
            found = (found.params(parameters) if parameters else found).all()
        elif way == "filter_by":
            found = query.filter(field.expression == value).all()
        elif way == "yield_per":
            found = list(query.yield_per(2).enable_eagerloads(False))
        elif way == "union" and len(inspect(cls).tables) == 1:
            # Of a joined subclass the union has two columns for its key, which SQLAlchemy mixes up.
            found = query.union(side.session.query(source.entity)).all()
        elif way == "subquery":
            inner = query.with_entities(field.expression).subquery()
            found = side.session.query(inner).all()
        elif way == "slice":
            found = query.order_by(*keys)[0:2]
        else:
            found = query.all()
        return [side.describe(each) for each in found]

    return Case(
        f"Query, {way}",
        lambda side: run_with(side, None),
        generator.features,
        select(source.entity).where(condition),
        repeats=True,
        may_fail=OUR_NAME in generator.features,
        run_with=run_with if choices.chance(25) else None,
    )


def lambda_case(generator: Generator) -> Case:
    """Lambda statements: cached by their place in the code, with values of the closure."""
    choices = generator.choices
    generator.feature("lambda statement")
    number = choices.below(100)
    size = choices.below(5)
    which = choices.below(5)

    def run_with(side: Side, parameters: Mapping[str, Any] | None) -> Any:
        mailbox, email, country = schema.Mailbox, schema.Email, schema.Country
        if which == 0:
            made = lambda_stmt(lambda: select(mailbox.id).where(mailbox.id > number))
        elif which == 1:
            made = lambda_stmt(lambda: select(email))
            made += lambda s: s.where(email.size >= size)
        elif which == 2:
            made = lambda_stmt(
                lambda: select(country.id, mailbox.address).outerjoin(
                    mailbox, mailbox.country_id == country.id, full=True
                )
            )
        elif which == 3:
            made = lambda_stmt(lambda: select(func.count()).select_from(mailbox).join(email))
        else:
            made = lambda_stmt(
                lambda: select(country.name).where(
                    country.id.in_(select(mailbox.country_id).where(mailbox.size >= size))
                )
            )
        rows = side.session.execute(made, parameters)
        return [side.describe(row) for row in (rows.unique() if which == 1 else rows)]

    return Case(
        "lambda statement",
        lambda side: run_with(side, None),
        generator.features,
        run_with=run_with if choices.chance(30) else None,
        detail=f"lambda {which} {number} {size}",
    )


# --- The unit of work ---------------------------------------------------------


def new_values(generator: Generator, cls: type[Any]) -> dict[str, Any]:
    mapper = inspect(cls)
    values: dict[str, Any] = {}
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        table = getattr(column, "table", None)
        if table is None or table not in mapper.tables or attribute.key == "type":
            continue
        if column.primary_key or column.name in ("kind", *owner_names(mapper.local_table)):
            continue
        if column.name in owner_names(inspect(cls).base_mapper.local_table):
            continue
        if column.name in link_names(table):
            continue
        if not column.nullable or generator.choices.chance(60):
            values[attribute.key] = random_value(generator, column)
    return values


@dataclass(frozen=True)
class Step:
    """One change of a flush."""

    kind: str
    cls: type[Any]
    values: Mapping[str, Any]
    number: int  # selects the object among the visible ones
    other: int  # selects the relationship, and the object to relate
    flag: bool  # selects one of two ways to make the change


def flush_case(generator: Generator) -> Case:
    """Objects that are added, changed, deleted, merged and related, then flushed."""
    choices = generator.choices
    generator.feature("flush")
    steps = []
    for _ in range(1 + choices.below(3)):
        cls = choices.pick([*WRITABLE, schema.Log, schema.AuditLog])
        generator.note_class(cls)
        kind = choices.weighted(
            [(30, "add"), (25, "modify"), (15, "delete"), (10, "merge"), (20, "relate")]
        )
        generator.feature(f"flush: {kind}")
        steps.append(
            Step(
                kind,
                cls,
                values=new_values(generator, cls),
                number=choices.below(50),
                other=choices.below(50),
                flag=choices.chance(50),
            )
        )
    bulk = choices.chance(15)
    if bulk:
        generator.feature("flush: bulk_save_objects")
    after = choices.chance(50)

    def run(side: Side) -> Any:
        session = side.session
        objects = []
        made = []
        for index, step in enumerate(steps):
            cls = step.cls
            if step.kind == "add":
                new = cls(
                    **step.values,
                    **keys_of(cls, index, step.flag),
                    **owners_of(side, cls, step.flag),
                    **links_of(side, cls, step.number),
                )
                made.append(new)
                if not bulk:
                    session.add(new)
                objects.append(new)
            else:
                key = side.key(inspect(cls).local_table, step.number)
                found = session.get(cls, key[0] if len(key) == 1 else key)
                if found is None or found in session.deleted:
                    continue
                objects.append(found)
                change(side, found, step)
        if bulk:
            session.bulk_save_objects(made)
        session.flush()
        if not after or bulk:
            return []
        return [
            (type(each).__name__, inspect(each).identity)
            for each in objects
            if inspect(each).persistent
        ]

    return Case("flush", run, generator.features, writes=True, detail=f"{steps} bulk={bulk}")


def keys_of(cls: type[Any], index: int, flag: bool) -> dict[str, Any]:
    mapper = inspect(cls)
    table = mapper.base_mapper.local_table if not mapper.concrete else mapper.local_table
    if flag and table.autoincrement_column is not None:
        return {}
    return {
        mapper.get_property_by_column(column).key: (
            600 + index if kind_of(column.type) == INTEGER else f"k{index}"
        )
        for column in mapper.primary_key
    }


def owners_of(side: Side, cls: type[Any], explicit: bool) -> dict[str, Any]:
    mapper = inspect(cls)
    table = mapper.local_table if mapper.concrete else mapper.base_mapper.local_table
    owned = side.own(table, explicit)
    return {mapper.get_property_by_column(table.c[name]).key: v for name, v in owned.items()}


def links_of(side: Side, cls: type[Any], number: int) -> dict[str, Any]:
    """Return the links that a row of an undeclared class needs: keys of visible rows."""
    found: dict[str, Any] = {}
    if cls in UNDECLARED:
        for own, target, _ in OWNERS[inspect(cls).local_table].ends:
            found.update(zip(own, side.key(target, number), strict=True))
    return found


def change(side: Side, found: Any, step: Step) -> None:
    """Make the change of a step to an object of the session."""
    session: Any = side.session
    cls = type(found)
    mapper = inspect(cls)
    values = dict(list(step.values.items())[:2])
    if step.kind == "delete":
        session.delete(found)
    elif step.kind == "modify":
        for key, value in values.items():
            setattr(found, key, value)
    elif step.kind == "merge":
        keys = {
            mapper.get_property_by_column(c).key: v
            for c, v in zip(mapper.primary_key, inspect(found).identity, strict=True)
        }
        if step.flag:
            session.expunge(found)
        session.merge(cls(**keys, **values))
    else:
        relationships = [r for r in mapper.relationships if not r.viewonly]
        if not relationships:
            return
        relationship = relationships[step.other % len(relationships)]
        target = relationship.mapper.class_
        key = side.key(inspect(target).local_table, step.other)
        there = session.get(target, key[0] if len(key) == 1 else key)
        if there is None or there in session.deleted:
            return
        if not relationship.uselist:
            setattr(found, relationship.key, None if step.flag else there)
            return
        collection = getattr(found, relationship.key)
        if there in collection:
            collection.remove(there)
        elif step.flag or not collection:
            collection.append(there)
        else:
            collection.remove(sorted(collection, key=lambda each: inspect(each).identity)[0])


def bulk_insert_case(generator: Generator) -> Case:
    """The ORM's INSERT of many rows, also over the tables of a subclass."""
    choices = generator.choices
    cls = choices.pick(WRITABLE)
    generator.note_class(cls)
    way = choices.pick(["insert", "returning", "mappings", "render_nulls"])
    generator.feature(f"bulk insert: {way}")
    count = 1 + choices.below(3)
    rows = [new_values(generator, cls) for _ in range(count)]
    names = sorted({name for row in rows for name in row})
    rows = [{name: row.get(name, rows[0].get(name)) for name in names} for row in rows]
    explicit = choices.chance(50)

    def run(side: Side) -> Any:
        complete = [
            {
                **row,
                **keys_of(cls, index, False),
                **owners_of(side, cls, explicit),
                **links_of(side, cls, index),
            }
            for index, row in enumerate(rows)
        ]
        if way == "mappings":
            side.session.bulk_insert_mappings(inspect(cls), complete)
            return []
        statement: Any = insert(cls)
        if way == "returning":
            statement = statement.returning(*inspect(cls).primary_key)
        options = {"render_nulls": True} if way == "render_nulls" else {}
        return execute(side, statement, "session", complete, options)

    return Case(
        f"bulk insert, {way}", run, generator.features, writes=True, detail=f"{cls.__name__} {rows}"
    )


# --- Attacks with objects -----------------------------------------------------


def object_attack_case(generator: Generator) -> Case:
    """Give the unit of work objects that belong to others, in each way."""
    choices = generator.choices
    cls = choices.pick(
        [c for c in WRITABLE if OWNERS[inspect(c).base_mapper.local_table].tenant is not None]
    )
    generator.note_class(cls)
    way = choices.pick(
        [
            "add for others",
            "move to others",
            "merge others",
            "claim others",
            "delete others",
            "other identity modifies",
            "other identity deletes",
            "other identity lazy loads",
            "other identity refreshes",
            "other identity expires",
            "nobody lazy loads",
            "relate others",
            "bulk update others",
            "bulk save others",
            "make transient",
            "merge others without load",
        ]
    )
    generator.feature(f"attack: {way}")
    number, second = choices.below(50), choices.below(len(PEOPLE))
    values = new_values(generator, cls)
    mapper = inspect(cls)
    table = mapper.local_table
    data = [k for k in values if mapper.columns[k].table is table]
    relationships = [r for r in mapper.relationships if not r.viewonly]
    relationship = choices.pick(relationships) if relationships else None

    def key(side: Side, theirs: bool) -> Any:
        found = side.key(table, number, theirs)
        return found[0] if len(found) == 1 else found

    def run(side: Side) -> list[Any]:
        if not side.isolated:
            return []
        session = side.session
        other = next(p for p in [*PEOPLE[second:], *PEOPLE] if p.tenant != side.who.tenant)
        other_side = Side(side.world, session, other, isolated=False)
        theirs = key(side, True) if "others" in way or way == "make transient" else ()
        names = [mapper.get_property_by_column(c).key for c in mapper.primary_key]
        their_keys = dict(
            zip(names, theirs if isinstance(theirs, tuple) else (theirs,), strict=False)
        )
        if way == "add for others":
            owners = owners_of(other_side, cls, True)
            session.add(cls(**values, **keys_of(cls, 0, False), **owners))
        elif way == "move to others":
            found = session.get(cls, key(side, False))
            for name, value in owners_of(other_side, cls, True).items():
                setattr(found, name, value)
        elif way == "merge others without load":
            detached = cls(**their_keys, **owners_of(side, cls, True))
            make_transient_to_detached(detached)
            claimed = session.merge(detached, load=False)
            for name in data[:2]:
                setattr(claimed, name, values[name])
        elif way == "merge others":
            session.merge(cls(**values, **their_keys))
        elif way in ("claim others", "make transient"):
            claimed = cls(**their_keys, **owners_of(side, cls, True))
            make_transient_to_detached(claimed)
            session.add(claimed)
            for name in data[:2]:
                setattr(claimed, name, values[name])
            if way == "make transient":
                session.delete(claimed)
        elif way == "delete others":
            claimed = cls(**their_keys)
            make_transient_to_detached(claimed)
            session.delete(claimed)
        elif way == "bulk update others":
            session.bulk_update_mappings(mapper, [{**their_keys, **{n: values[n] for n in data}}])
        elif way == "bulk save others":
            claimed = cls(**their_keys, **values)
            make_transient_to_detached(claimed)
            session.bulk_save_objects([claimed])
        elif way == "relate others":
            found = session.get(cls, key(side, False))
            if relationship is None or found is None:
                return []
            target = relationship.mapper.class_
            if OWNERS[inspect(target).base_mapper.local_table].is_global:
                return []
            target_key = side.key(inspect(target).local_table, number, True)
            claimed = target(
                **dict(zip((c.key for c in inspect(target).primary_key), target_key, strict=True))
            )
            make_transient_to_detached(claimed)
            session.add(claimed)
            if relationship.uselist:
                getattr(found, relationship.key).append(claimed)
            else:
                return []  # a foreign key may name the row of another tenant
        else:
            return by_another(side, other)
        session.flush()
        return []

    def by_another(side: Side, other: schema.Who) -> list[Any]:
        """Load as one identity and continue as another, which may not read or write those rows."""
        session = side.session
        found = session.get(cls, key(side, False))
        if found is None:
            return []
        if way == "nobody lazy loads":
            return Context().run(lambda: going_on(side, found, schema.NOBODY))
        with acting(other):
            return going_on(side, found, other)

    def going_on(side: Side, found: Any, who: schema.Who) -> list[Any]:
        session = side.session
        seen: list[Any] = []

        def keys_seen(row: Any) -> list[Any]:
            return Side(side.world, session, who, isolated=False).keys(
                inspect(row).mapper.local_table
            )

        if way == "other identity modifies":
            for name in data[:2]:
                setattr(found, name, values[name])
            session.flush()
        elif way == "other identity deletes":
            session.delete(found)
            session.flush()
        elif way == "other identity expires":
            session.expire(found)
            seen.append([getattr(found, name) for name in data or ["tenant_id"]])
        elif way == "other identity refreshes":
            session.refresh(found)
            seen.append([getattr(found, name) for name in data or ["tenant_id"]])
        elif relationship is not None:
            session.expire(found, [relationship.key])
            there = list_of(getattr(found, relationship.key))
            seen.extend(each for each in there if inspect(each).identity not in keys_seen(each))
        return seen

    return Case(
        f"object attack, {way}",
        run,
        generator.features,
        writes=True,
        attack=True,
        shows_nothing=True,
        detail=f"{cls.__name__} {number} {values} {relationship}",
    )
