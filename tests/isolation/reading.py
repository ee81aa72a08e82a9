"""Cases that read: a random statement and a way to execute it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import lambda_stmt, select

from .compare import Case, Side, describe
from .generate import OUR_NAME, Generator


def answer_of(result: Any) -> list[Any]:
    return [describe(row) for row in result]


def columns_case(generator: Generator) -> Case:
    """Rows of columns."""
    choices = generator.choices
    depth = choices.weighted([(20, 0), (45, 1), (30, 2), (5, 3)])
    statement = generator.query(depth).statement
    way = choices.pick(list(WAYS))
    generator.feature(f"executed: {way}")
    execute = WAYS[way]

    def run_with(side: Side, parameters: Mapping[str, Any] | None) -> Any:
        return answer_of(execute(side, statement, parameters))

    return Case(
        f"a query, {way}",
        lambda side: run_with(side, None),
        generator.features,
        statement,
        may_fail=OUR_NAME in generator.features,
        run_with=run_with if choices.chance(20) else None,
    )


def by_lambda(side: Side, statement: Any, parameters: Any) -> Any:
    made = lambda_stmt(lambda: statement, track_on=[id(statement)], enable_tracking=False)
    return side.session.execute(made, parameters)


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
    "params()": lambda side, statement, parameters: side.session.execute(
        statement.params(parameters or {})
    ),
}
