"""AsyncSession: the same sessions, behind asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import selectinload

from flask_tenant_auth.sqlalchemy import (
    ForeignRow,
    TenantContextMissing,
    UnscopedStatement,
    isolate,
    unscoped,
)
from mail import ANN_RED, BLUE, EVERYBODY, Account, Base, Message, Provider, rows
from mail_queries import own


class OwnSession(AsyncSession):
    """A class of the application's own."""


FACTORIES: dict[str, Callable[[AsyncEngine], Any]] = {
    "async_sessionmaker": lambda engine: isolate(async_sessionmaker(engine)),
    "async_scoped_session": lambda engine: isolate(
        async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
    ),
    "a class": lambda engine: async_sessionmaker(engine, class_=isolate(OwnSession)),
}


@asynccontextmanager
async def filled() -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        with unscoped("the tests' own rows"):
            session.add_all(rows())
            await session.commit()
    yield engine
    await engine.dispose()


def run(test: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    async def main() -> None:
        async with filled() as engine:
            await test(engine)

    asyncio.run(main())


@pytest.mark.parametrize("factory", FACTORIES)
def test_rows_are_bounded(factory: str) -> None:
    async def test(engine: AsyncEngine) -> None:
        sessions = FACTORIES[factory](engine)
        for who in EVERYBODY:
            with who.acting():
                async with sessions() as session:
                    expected = [account.id for account in own(who, Account)]
                    found = await session.scalars(select(Account.id).order_by(Account.id))
                    assert found.all() == expected
                    core = select(Account.__table__.c.id).order_by(Account.__table__.c.id)
                    assert (await session.scalars(core)).all() == expected
                    stream = await session.stream_scalars(select(Account.id).order_by(Account.id))
                    assert [number async for number in stream] == expected
                    loaded = select(Provider).options(selectinload(Provider.accounts))
                    accounts = [a for p in await session.scalars(loaded) for a in p.accounts]
                    assert sorted(a.id for a in accounts) == expected
                    for number in (101, 201, 301):
                        assert (await session.get(Account, number) is None) == (
                            number not in expected
                        )
        async with sessions() as session:
            with pytest.raises(TenantContextMissing):
                await session.scalars(select(Account.id))

    run(test)


def test_writing_is_bounded_and_text_raises() -> None:
    async def test(engine: AsyncEngine) -> None:
        sessions = isolate(async_sessionmaker(engine))
        with ANN_RED.acting():
            async with sessions() as session:
                session.add(Account(email="new"))
                await session.commit()
                changed = await session.execute(update(Account.__table__).values(size=9))
                assert changed.rowcount == 4
                with pytest.raises(ForeignRow):
                    await session.execute(
                        insert(Account.__table__).values(email="x", tenant_id=BLUE)
                    )
                with pytest.raises(UnscopedStatement):
                    await session.execute(text("SELECT * FROM account"))
                connection: AsyncConnection = await session.connection()
                with pytest.raises(UnscopedStatement):
                    await connection.exec_driver_sql("SELECT * FROM account")
                with unscoped("positive control"):
                    counted = await session.execute(text("SELECT count(*) FROM account"))
                    assert counted.scalar() == 13

    run(test)


def test_tasks_at_the_same_time_keep_their_identities() -> None:
    async def test(engine: AsyncEngine) -> None:
        sessions = isolate(async_sessionmaker(engine))

        async def one(number: int) -> None:
            who = EVERYBODY[number % len(EVERYBODY)]
            with who.acting():
                async with sessions() as session:
                    for _ in range(5):
                        await asyncio.sleep(0)
                        found = await session.scalars(select(Message.id).order_by(Message.id))
                        assert found.all() == [message.id for message in own(who, Message)]

        await asyncio.gather(*(one(number) for number in range(24)))

    run(test)
