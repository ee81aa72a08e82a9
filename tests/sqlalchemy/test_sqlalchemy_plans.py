"""PostgreSQL makes the same plan of an isolated statement as of one with its filter by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, and_, create_engine, event, select, text, update
from sqlalchemy.orm import Session

from flask_tenant_auth.sqlalchemy import unscoped
from mail import ANN_RED, Account, Message, populate, sessions
from servers import PostgreSQL

A, M = Account.__table__, Message.__table__


def mine(table: Any) -> Any:
    return and_(table.c.tenant_id == ANN_RED.tenant, table.c.user_id == ANN_RED.user)


JOINED = M.c.account_id == A.c.id
# (isolated, with the filter by hand)
STATEMENTS: dict[str, tuple[Any, Any]] = {
    "one row by its key": (
        select(A.c.email).where(A.c.id == 101),
        select(A.c.email).where(A.c.id == 101, mine(A)),
    ),
    "a join": (
        select(M.c.subject).join(A, JOINED).where(A.c.id == 101),
        select(M.c.subject).join(A, JOINED).where(A.c.id == 101, mine(A), mine(M)),
    ),
    "an outer join": (
        select(A.c.email, M.c.subject).outerjoin(M, JOINED),
        select(A.c.email, M.c.subject).outerjoin(M, and_(JOINED, mine(M))).where(mine(A)),
    ),
    "a row lock": (
        select(A.c.email).where(A.c.id == 101).with_for_update(),
        select(A.c.email).where(A.c.id == 101, mine(A)).with_for_update(),
    ),
    "an update": (
        update(A).where(A.c.id == 101).values(size=5),
        update(A).where(A.c.id == 101, mine(A)).values(size=5),
    ),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with PostgreSQL() as server:
        engine = create_engine(server.url)
        populate(engine)
        with engine.begin() as connection:
            # Enough rows that an index is worth while.
            connection.execute(
                text(
                    "INSERT INTO account (id, email, size, provider_id, tenant_id, user_id)"
                    " SELECT n, 'e' || n, n, 1, gen_random_uuid(), gen_random_uuid()"
                    " FROM generate_series(1000, 9000) AS n"
                )
            )
            connection.execute(
                text(
                    "INSERT INTO message (id, subject, account_id, tenant_id, user_id)"
                    " SELECT n + 10000, 's', n, gen_random_uuid(), gen_random_uuid()"
                    " FROM generate_series(1000, 9000) AS n"
                )
            )
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        yield engine
        engine.dispose()


def plan(engine: Engine, execute: Callable[[], object]) -> list[str]:
    """Return PostgreSQL's plan of the one statement that is executed."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, *_: Any) -> None:
        sent.append((sql, parameters))

    event.listen(engine, "before_cursor_execute", note)
    execute()
    event.remove(engine, "before_cursor_execute", note)
    ((sql, parameters),) = sent
    with unscoped("EXPLAIN"), engine.connect() as connection:
        lines = connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {sql}", parameters).scalars().all()
    return [conditions_in_order(line) for line in lines]


def conditions_in_order(line: str) -> str:
    """Return a line of a plan whose conditions do not depend on the order they were written in."""
    label, separator, condition = line.partition(": ")
    return label + separator + " AND ".join(sorted(condition.strip("()").split(" AND ")))


@pytest.mark.parametrize("way", STATEMENTS)
def test_the_plan_is_that_of_the_filter_by_hand(engine: Engine, way: str) -> None:
    isolated, by_hand = STATEMENTS[way]
    with sessions(engine)() as session, ANN_RED.acting():
        ours = plan(engine, lambda: session.execute(isolated))
        session.rollback()
    with Session(engine) as session:
        theirs = plan(engine, lambda: session.execute(by_hand))
        session.rollback()
        everything = plan(engine, lambda: session.execute(isolated))
    assert ours == theirs
    assert ours != everything  # the filter is there
