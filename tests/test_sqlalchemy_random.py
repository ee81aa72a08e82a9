"""Random statements over the scoped classes, against a filter in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, func, select, union, union_all
from sqlalchemy.orm import aliased, joinedload, selectinload

from mail import EVERYBODY, Account, Message, Provider, Who, populate, sessions
from test_sqlalchemy_reading import own

# A condition as SQLAlchemy writes it, and as Python says it.
Condition = tuple[Callable[[Any], Any], Callable[[Account], bool]]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    populate(engine)
    yield engine
    engine.dispose()


numbers = st.integers(0, 450)
leaves: st.SearchStrategy[Condition] = st.one_of(
    numbers.map(lambda n: (lambda a: a.id > n, lambda row: row.id > n)),
    numbers.map(lambda n: (lambda a: a.id <= n, lambda row: row.id <= n)),
    st.integers(0, 4).map(lambda n: (lambda a: a.size == n, lambda row: row.size == n)),
    st.sampled_from(["ann", "bob", "blue", "1@"]).map(
        lambda part: (lambda a: a.email.contains(part), lambda row: part in row.email)
    ),
    st.lists(st.sampled_from([101, 102, 201, 203, 301, 403])).map(
        lambda some: (lambda a: a.id.in_(some), lambda row: row.id in some)
    ),
    st.just((lambda a: a.id == a.id, lambda row: True)),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(
            lambda two: (
                lambda a: two[0][0](a) | two[1][0](a),
                lambda row: two[0][1](row) or two[1][1](row),
            )
        ),
        st.tuples(inner, inner).map(
            lambda two: (
                lambda a: two[0][0](a) & two[1][0](a),
                lambda row: two[0][1](row) and two[1][1](row),
            )
        ),
        inner.map(lambda one: (lambda a: ~one[0](a), lambda row: not one[1](row))),
    ),
    max_leaves=5,
)


def entity(kind: str) -> Any:
    return Account if kind == "class" else aliased(Account)


@st.composite
def statements(  # noqa: C901 - a branch for each shape
    draw: st.DrawFn, depth: int = 2
) -> tuple[Any, Callable[[list[Account]], list[int]]]:
    """(a statement that gives ids of accounts, the same ids from the rows one may see)."""
    kind = draw(st.sampled_from(["class", "alias"]))
    source = entity(kind)
    written, meant = draw(conditions)
    statement = select(source.id).where(written(source))

    def expected(rows: list[Account]) -> list[int]:
        return [row.id for row in rows if meant(row)]

    shape = draw(
        st.sampled_from(
            ["plain", "join", "any", "limit", "group"]
            + (["subquery", "cte", "in", "not in", "exists", "union", "union_all"] if depth else [])
        )
    )
    if shape == "join":
        statement = statement.join(Provider, Provider.id == source.provider_id)
    elif shape == "any":
        # Every account has a message of its own user's.
        statement = statement.where(source.messages.any(Message.subject.contains(".")))
    elif shape == "limit":
        count = draw(st.integers(0, 4))
        statement = statement.order_by(source.id).limit(count)
        unlimited = expected

        def expected(rows: list[Account]) -> list[int]:
            return sorted(unlimited(rows))[:count]

    elif shape == "group":
        statement = statement.group_by(source.id).having(func.count() > 0)
    elif shape in ("subquery", "cte", "in", "not in", "exists"):
        inner, inner_expected = draw(statements(depth - 1))
        outer = expected
        if shape in ("subquery", "cte"):
            part = inner.subquery() if shape == "subquery" else inner.cte()
            statement = statement.join(part, part.c[0] == source.id)
        elif shape == "in":
            statement = statement.where(source.id.in_(inner))
        elif shape == "not in":
            statement = statement.where(source.id.not_in(inner))
        else:
            part = inner.subquery()
            statement = statement.where(
                select(part).where(part.c[0] == source.id).correlate(source).exists()
            )
        negated = shape == "not in"

        def expected(rows: list[Account]) -> list[int]:
            found = set(inner_expected(rows))
            return [number for number in outer(rows) if (number in found) != negated]

    elif shape in ("union", "union_all"):
        second, second_expected = draw(statements(depth - 1))
        first = expected
        parts = [select(each.subquery()) for each in (statement, second)]
        statement = (union if shape == "union" else union_all)(*parts)
        both = statement.subquery()
        statement = select(both.c[0]).distinct()

        def expected(rows: list[Account]) -> list[int]:
            return sorted({*first(rows), *second_expected(rows)})

    return statement, expected


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(who=st.sampled_from(EVERYBODY), drawn=statements())
def test_statements(engine: Engine, who: Who, drawn: tuple[Any, Any]) -> None:
    statement, expected = drawn
    with who.acting(), sessions(engine)() as session:
        found = sorted(set(session.scalars(statement)))
        counted = session.scalar(select(func.count()).select_from(statement.subquery()))
    assert found == sorted(set(expected(own(who, Account))))
    assert counted >= len(found)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    who=st.sampled_from(EVERYBODY),
    condition=conditions,
    load=st.sampled_from([joinedload, selectinload, None]),
    limit=st.none() | st.integers(0, 3),
)
def test_objects(
    engine: Engine, who: Who, condition: Condition, load: Any, limit: int | None
) -> None:
    written, meant = condition
    statement = select(Account).where(written(Account)).order_by(Account.id).limit(limit)
    if load is not None:
        statement = statement.options(load(Account.messages))
    with who.acting(), sessions(engine)() as session:
        found = session.scalars(statement).unique().all()
        assert all(who.sees_user(message) for account in found for message in account.messages)
        assert all(account.messages for account in found)
    expected = [row.id for row in own(who, Account) if meant(row)]
    assert [account.id for account in found] == expected[:limit]
