"""What isolation costs a statement, against the same statement with its filter written by hand.

python -m benchmarks.isolation
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from sqlalchemy import create_engine, func, select, update
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    relationship,
    sessionmaker,
)
from sqlalchemy.schema import ForeignKey

from flask_tenant_auth import acting_as
from flask_tenant_auth.sqlalchemy import UserScoped, isolate, unscoped

TENANT, USER = uuid.UUID(int=1), uuid.UUID(int=2)
ROUNDS, CALLS = 60, 50


class Base(DeclarativeBase):
    pass


class Folder(UserScoped, Base):
    __tablename__ = "bench_folder"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    mails: Mapped[list[Mail]] = relationship(back_populates="folder")


class Mail(UserScoped, Base):
    __tablename__ = "bench_mail"
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]
    folder_id: Mapped[int] = mapped_column(ForeignKey("bench_folder.id"))
    folder: Mapped[Folder] = relationship(back_populates="mails")


def mine(cls: type[UserScoped]) -> tuple[object, object]:
    """The filter that one writes by hand."""
    return cls.tenant_id == TENANT, cls.user_id == USER


Statement = Callable[[Session], object]

# (by hand, isolated)
STATEMENTS: dict[str, tuple[Statement, Statement]] = {
    "one row by key": (
        lambda s: s.scalars(select(Mail).where(Mail.id == 7, *mine(Mail))).all(),
        lambda s: s.scalars(select(Mail).where(Mail.id == 7)).all(),
    ),
    "20 rows": (
        lambda s: s.scalars(select(Mail).where(*mine(Mail)).limit(20)).all(),
        lambda s: s.scalars(select(Mail).limit(20)).all(),
    ),
    "two columns": (
        lambda s: s.execute(select(Mail.id, Mail.subject).where(Mail.id < 5, *mine(Mail))).all(),
        lambda s: s.execute(select(Mail.id, Mail.subject).where(Mail.id < 5)).all(),
    ),
    "count": (
        lambda s: s.scalar(select(func.count()).select_from(Mail).where(*mine(Mail))),
        lambda s: s.scalar(select(func.count()).select_from(Mail)),
    ),
    "join": (
        lambda s: s.scalars(
            select(Mail.id).join(Mail.folder).where(*mine(Mail), *mine(Folder)).limit(5)
        ).all(),
        lambda s: s.scalars(select(Mail.id).join(Mail.folder).limit(5)).all(),
    ),
    "joined load": (
        lambda s: s.scalars(
            select(Mail).options(joinedload(Mail.folder)).where(*mine(Mail)).limit(5)
        ).all(),
        lambda s: s.scalars(select(Mail).options(joinedload(Mail.folder)).limit(5)).all(),
    ),
    "update": (
        lambda s: s.execute(
            update(Mail).where(Mail.id == 7, *mine(Mail)).values(subject="x"),
            execution_options={"synchronize_session": False},
        ),
        lambda s: s.execute(
            update(Mail).where(Mail.id == 7).values(subject="x"),
            execution_options={"synchronize_session": False},
        ),
    ),
    "insert and flush": (
        lambda s: (
            s.add(Mail(subject="new", folder_id=1, tenant_id=TENANT, user_id=USER)),
            s.flush(),
        ),
        lambda s: (s.add(Mail(subject="new", folder_id=1)), s.flush()),
    ),
}


def microseconds(session: Session, statement: Statement) -> float:
    """One call, on average over some."""
    begin = time.thread_time()
    for _ in range(CALLS):
        statement(session)
    return (time.thread_time() - begin) / CALLS * 1e6


def measure(sessions: sessionmaker[Session], place: int) -> dict[str, float]:
    """The best of many short rounds for each statement: the one that nothing else disturbed."""
    figures = {}
    for name, ways in STATEMENTS.items():
        with sessions() as session:
            rounds = []
            for _ in range(ROUNDS):
                rounds.append(microseconds(session, ways[place]))
                session.rollback()
            figures[name] = min(rounds)
    return figures


def factory() -> sessionmaker[Session]:
    """Sessions on a database of their own, with some rows."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session, unscoped("the rows to measure with"):
        folder = Folder(id=1, name="inbox", tenant_id=TENANT, user_id=USER)
        session.add(folder)
        session.add_all(
            Mail(id=n, subject=str(n), folder=folder, tenant_id=TENANT, user_id=USER)
            for n in range(1, 101)
        )
        session.commit()
    return sessionmaker(engine)


def main() -> None:
    """Print a table."""
    plain, bounded = factory(), factory()
    by_hand = measure(plain, 0)  # before isolate(), which listens to every engine
    isolate(bounded)
    with acting_as(TENANT, USER):
        isolated = measure(bounded, 1)
    print(f"{'':20} {'by hand':>10} {'isolated':>10} {'times':>6}")
    for name, hand in by_hand.items():
        print(f"{name:20} {hand:7.1f} us {isolated[name]:7.1f} us {isolated[name] / hand:6.2f}")


if __name__ == "__main__":
    main()
