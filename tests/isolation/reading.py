"""Cases that read: a random statement and a way to execute it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy
from sqlalchemy import DDL, Integer, MetaData, Table, column, func, literal_column, select, text
from sqlalchemy.orm import Bundle, aliased
from sqlalchemy.sql.elements import quoted_name

from . import schema
from .compare import OUR_NAME, Case, Side, describe
from .generate import Generator, refuse_one_name_for_two


def answer_of(result: Any) -> list[Any]:
    return [describe(row) for row in result]


def columns_case(generator: Generator) -> Case:
    """Rows of columns."""
    choices = generator.choices
    depth = choices.weighted([(20, 0), (45, 1), (30, 2), (5, 3)])
    statement = generator.query(depth).statement
    way = choices.pick(list(WAYS))
    generator.feature(f"executed: {way}")
    if way == "translated schemas":
        refuse_one_name_for_two(statement)
    execute = WAYS[way]

    def run_with(side: Side, parameters: Mapping[str, Any] | None) -> Any:
        return answer_of(execute(side, statement, parameters))

    return Case(
        f"a query, {way}",
        lambda side: run_with(side, None),
        generator.features,
        statement,
        repeats=True,
        may_fail=OUR_NAME in generator.features,
        run_with=run_with if choices.chance(20) else None,
    )


Way = Callable[[Side, Any, Any], Any]
WAYS: dict[str, Way] = {
    "session.execute": lambda side, statement, parameters: side.session.execute(
        statement, parameters
    ),
    "session.execute again": lambda side, statement, parameters: [
        list(side.session.execute(statement, parameters)),
        list(side.session.execute(statement, parameters)),
    ][1],
    "connection().execute": lambda side, statement, parameters: side.session.connection().execute(
        statement, parameters
    ),
    "no compiled cache": lambda side, statement, parameters: side.session.execute(
        statement, parameters, execution_options={"compiled_cache": None}
    ),
    "yield_per": lambda side, statement, parameters: side.session.execute(
        statement, parameters, execution_options={"yield_per": 2}
    ),
    "as a subquery": lambda side, statement, parameters: side.session.execute(
        select(statement.subquery()), parameters
    ),
    "a bundle": lambda side, statement, parameters: side.session.execute(
        select(Bundle("b", *statement.subquery().c)), parameters
    ),
    "stream_results": lambda side, statement, parameters: side.session.execute(
        statement, parameters, execution_options={"stream_results": True}
    ),
    "translated schemas": lambda side, statement, parameters: side.session.execute(
        statement,
        parameters,
        execution_options={"schema_translate_map": {None: side.world.default_schema}},
    ),
    "params()": lambda side, statement, parameters: side.session.execute(
        statement.params(parameters or {})
    ),
}


# --- SQL written as text ------------------------------------------------------

TABLES_IN_TEXT = ["mailbox", "email", "tag", "mailbox_tag", "invoice", '"order"', "aux.tag"]


def text_forms(table: str, key: str) -> dict[str, Callable[[Side], Any]]:
    """Return statements with SQL text in each place that takes text. The text reads a table."""
    sql = f"SELECT {key} FROM {table}"
    mailbox = schema.Mailbox
    sneaky = f"(SELECT count(*) FROM {table})"
    return {
        "text()": lambda side: side.session.execute(text(sql)),
        "text() with parameters": lambda side: side.session.execute(
            text(sql + f" WHERE {key} > :n"), {"n": 0}
        ),
        "text() on the connection": lambda side: side.session.connection().execute(text(sql)),
        "exec_driver_sql": lambda side: side.session.connection().exec_driver_sql(sql),
        "text().columns()": lambda side: side.session.execute(
            text(sql).columns(column(key, Integer))
        ),
        "a subquery of text()": lambda side: side.session.execute(
            select(text(sql).columns(column(key, Integer)).subquery())
        ),
        "a cte of text()": lambda side: side.session.execute(
            select(mailbox.id, text(sql).columns(column(key, Integer)).cte("c").c[key])
        ),
        "from_statement(text())": lambda side: side.session.execute(
            select(mailbox.id).from_statement(text("SELECT id FROM mailbox"))
        ),
        "DDL": lambda side: side.session.execute(DDL(sql)),
        "DDL on the connection": lambda side: side.session.connection().execute(DDL(sql)),
        "select(text()).select_from(text())": lambda side: side.session.execute(
            select(text(key)).select_from(text(table))
        ),
        "select_from(text())": lambda side: side.session.execute(
            select(func.count()).select_from(text(table))
        ),
        "literal_column": lambda side: side.session.execute(
            select(mailbox.id, literal_column(sneaky))
        ),
        "literal_column in WHERE": lambda side: side.session.execute(
            select(mailbox.id).where(literal_column(sneaky) > 0)
        ),
        "a harmless literal_column": lambda side: side.session.execute(
            select(mailbox.id, literal_column("1 + 1"))
        ),
        "where(text())": lambda side: side.session.execute(
            select(mailbox.id).where(text("1 = 1 OR 1 = 1"))
        ),
        "where(text()) of strings": lambda side: side.session.execute(
            select(mailbox.id).where(text("'' =  OR 1 = 1 OR  = ''"))
        ),
        "where(text()) with a comment": lambda side: side.session.execute(
            select(mailbox.id).where(text("1 = 1 --"))
        ),
        "order_by(text())": lambda side: side.session.execute(
            select(mailbox.id).order_by(text("id"))
        ),
        "order_by(text()) of a subquery": lambda side: side.session.execute(
            select(mailbox.id).order_by(text(sneaky))
        ),
        "suffix_with": lambda side: side.session.execute(
            select(mailbox.id).suffix_with(f"UNION ALL {sql}")
        ),
        "prefix_with": lambda side: side.session.execute(
            select(mailbox.id).prefix_with(f"{sneaky},")
        ),
        "a statement hint": lambda side: side.session.execute(
            select(mailbox.id).with_statement_hint(f"UNION ALL {sql}")
        ),
        "op()": lambda side: side.session.execute(
            select(mailbox.id).where(mailbox.id.op("> 0 OR 1 =")(1))
        ),
        "bool_op()": lambda side: side.session.execute(
            select(mailbox.id).where(mailbox.id.bool_op(f"IN ({sql}) OR 1 =")(1))
        ),
        "a literal column()": lambda side: side.session.execute(
            select(column(sneaky, is_literal=True), mailbox.id)
        ),
        "a name without quotes": lambda side: side.session.execute(
            select(aliased(mailbox, name=quoted_name("m, mailbox AS n", quote=False)).id)
        ),
        "a table() without quotes": lambda side: side.session.execute(
            select(func.count()).select_from(
                lightweight_of(quoted_name(f"country AS c, {table}", quote=False))
            )
        ),
        "a label without quotes": lambda side: side.session.execute(
            select(mailbox.id.label(quoted_name(f"n, {sneaky} AS m", quote=False)))
        ),
        "a function's name": lambda side: side.session.execute(
            select(mailbox.id, getattr(func, quoted_name(f"coalesce({sneaky}, 0), abs", False))(1))
        ),
        "the hint ONLY": lambda side: side.session.execute(
            select(func.count(schema.Tag.__table__.c.id)).with_hint(
                schema.Tag.__table__, "ONLY", "postgresql"
            )
        ),
        "text() that updates": lambda side: side.session.execute(
            text(f"UPDATE {table} SET {key} = {key}")
        ),
        "text() that deletes": lambda side: side.session.execute(text(f"DELETE FROM {table}")),
        "two statements": lambda side: side.session.connection().exec_driver_sql(
            f"SAVEPOINT a; DELETE FROM {table}"
        ),
        "a control statement": lambda side: side.session.execute(
            text(f"RELEASE a; DELETE FROM {table}")
        ),
    }


def text_case(generator: Generator) -> Case:
    """SQL as text. It is refused, or the answer is right."""
    choices = generator.choices
    table = choices.pick(TABLES_IN_TEXT)
    key = {"mailbox_tag": "tag_id", '"order"': "number"}.get(table, "id")
    forms = text_forms(table, key)
    return case_of_text(generator, forms, choices.pick(list(forms)), table)


def case_of_text(
    generator: Generator, forms: dict[str, Callable[[Side], Any]], way: str, table: str
) -> Case:
    generator.feature(f"text: {way}")

    def run(side: Side) -> Any:
        result = forms[way](side)
        return answer_of(result) if getattr(result, "returns_rows", True) else []

    return Case(f"text, {way}", run, generator.features, writes=True, may_fail=True,
        is_text=True,
                detail=f"{way}: {table}")  # fmt: skip


def lightweight_of(name: str) -> Any:
    return sqlalchemy.table(name, column("id"))


def translating_case(generator: Generator) -> Case:
    """A table that schema_translate_map turns into one of the same name with other owners."""
    generator.feature("schemas translated to one another")
    choices = generator.choices
    tag, private = schema.Tag.__table__, schema.AuxTag.__table__
    element: Any = choices.pick([tag, private, schema.OTHER_TABLES[tag], schema.lightweight(tag)])
    back = "main" if not generator.on_postgresql else "public"
    # SQLAlchemy needs None in all schema maps of an application, or in none.
    mapping: Any = {None: choices.pick([back, "aux"]), "aux": choices.pick(["aux", back])}
    deletes = choices.chance(40)
    column = choices.pick([element.c.id, element.c.tenant_id])
    condition = element.c.id > choices.below(60)
    statement: Any = (
        sqlalchemy.delete(element).where(condition)
        if deletes
        else select(element.c.id, column.label("c")).where(condition)
    )

    def run(side: Side) -> Any:
        result = side.session.execute(
            statement, execution_options={"schema_translate_map": mapping}
        )
        return [("rows", result.rowcount)] if deletes else answer_of(result)

    return Case(
        "translated schemas",
        run,
        generator.features,
        statement,
        writes=deletes,
        is_text=True,
        may_fail=True,  # the other table's owner columns may be missing
        detail=f"{mapping}",
    )


def reflecting_case(generator: Generator) -> Case:
    """Table(autoload_with=...), in an application that has an identity."""
    generator.feature("reflection")
    table = generator.choices.pick(schema.TABLES)

    def run(side: Side) -> Any:
        found = Table(
            table.name, MetaData(), schema=table.schema, autoload_with=side.session.get_bind()
        )
        return [(each.name, str(each.type)) for each in found.columns]

    return Case("reflection", run, generator.features, detail=table.fullname)
