"""The time of a statement under isolate(), and of the same statement with a filter by hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, ClassVar

from sqlalchemy import Engine, ForeignKey, Row, Uuid, create_engine, func, select, update
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    relationship,
    sessionmaker,
)
from sqlalchemy.pool import StaticPool

from flask_tenant_auth import acting_as
from flask_tenant_auth.sqlalchemy import UserScoped, isolate

from . import apps
from .harness import Plan, Samples, in_other_process, interleave
from .result import Figure, Subject, Table
from .result import Row as ResultRow

TENANT, USER = uuid.UUID(apps.TENANT), uuid.UUID(apps.USER)
ROWS = 100
IDENTITY = ExitStack()  # open until the process ends
FLUSH = "insert, flush, rollback"


class Base(DeclarativeBase):
    pass


class Folder(UserScoped, Base):
    __tablename__ = "folder"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    mails: Mapped[list[Mail]] = relationship(back_populates="folder")


class Mail(UserScoped, Base):
    __tablename__ = "mail"
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]
    folder_id: Mapped[int] = mapped_column(ForeignKey("folder.id"))
    folder: Mapped[Folder] = relationship(back_populates="mails")


class PlainFolder(Base):
    """Folder without the mixin that isolate() needs."""

    __tablename__ = "plain_folder"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    user_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    name: Mapped[str]
    mails: Mapped[list[PlainMail]] = relationship(back_populates="folder")


class PlainMail(Base):
    """Mail without the mixin that isolate() needs."""

    __tablename__ = "plain_mail"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    user_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    subject: Mapped[str]
    folder_id: Mapped[int] = mapped_column(ForeignKey("plain_folder.id"))
    folder: Mapped[PlainFolder] = relationship(back_populates="mails")


class Isolated:
    """Statements under isolate(). They name no tenant."""

    mail, folder = Mail, Folder
    who: ClassVar[dict[str, uuid.UUID]] = {}

    @staticmethod
    def mine(_model: Any) -> tuple[Any, ...]:
        return ()


class ByHand:
    """The same statements with a filter."""

    mail, folder = PlainMail, PlainFolder
    who: ClassVar[dict[str, uuid.UUID]] = {"tenant_id": TENANT, "user_id": USER}

    @staticmethod
    def mine(model: Any) -> tuple[Any, ...]:
        return model.tenant_id == TENANT, model.user_id == USER


def statements(session: Session, way: Any) -> dict[str, Callable[[], Any]]:
    mail, folder, mine = way.mail, way.folder, way.mine

    def insert() -> None:
        session.add(mail(subject="new", folder_id=1, **way.who))
        session.flush()
        session.rollback()

    def change() -> Any:
        statement = update(mail).where(mail.id == 7, *mine(mail)).values(subject="x")
        return session.execute(statement, execution_options={"synchronize_session": False}).rowcount

    calls: dict[str, Callable[[], Any]] = {
        "one row by key": lambda: session.scalars(
            select(mail).where(mail.id == 7, *mine(mail))
        ).all(),
        "20 rows": lambda: session.scalars(select(mail).where(*mine(mail)).limit(20)).all(),
        "two columns": lambda: session.execute(
            select(mail.id, mail.subject).where(mail.id < 5, *mine(mail))
        ).all(),
        "count": lambda: session.scalar(select(func.count()).select_from(mail).where(*mine(mail))),
        "join": lambda: session.scalars(
            select(mail.id).join(mail.folder).where(*mine(mail), *mine(folder)).limit(5)
        ).all(),
        "joined load": lambda: session.scalars(
            select(mail).options(joinedload(mail.folder)).where(*mine(mail)).limit(5)
        ).all(),
        "update": change,
        FLUSH: insert,
    }
    return calls


def filled_engine() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        for way in (Isolated, ByHand):
            folder = way.folder(id=1, name="inbox", **ByHand.who)
            session.add(folder)
            session.add_all(
                way.mail(id=n, subject=str(n), folder=folder, **ByHand.who)
                for n in range(1, ROWS + 1)
            )
        session.commit()
    return engine


def found(answer: Any) -> Any:
    """Return the result of a statement in a form that can be compared."""
    if isinstance(answer, list):
        return [found(each) for each in answer]
    return tuple(answer) if isinstance(answer, Row) else getattr(answer, "id", answer)


def isolated() -> dict[str, Callable[[], Any]]:
    """Return the statements of an isolated session."""
    sessions = isolate(sessionmaker(filled_engine()))
    IDENTITY.enter_context(acting_as(TENANT, USER))
    return statements(sessions(), Isolated)


def by_hand() -> dict[str, Callable[[], Any]]:
    """Return the statements of a plain session."""
    return statements(Session(filled_engine()), ByHand)


def run(plan: Plan) -> Subject:
    rows: list[ResultRow] = []
    ratios: dict[str, Samples] = {}
    with in_other_process(isolated) as ours, in_other_process(by_hand) as theirs:
        for name, statement in ours.items():
            if statement() != theirs[name]():
                raise AssertionError(f"{name}: the results differ")
            timed = interleave({"isolated": statement, "by hand": theirs[name]}, plan)
            rows += [ResultRow.of(f"{name}, {way}", samples) for way, samples in timed.items()]
            ratios[name] = timed["isolated"].over(timed["by hand"])
    flush = ratios[FLUSH].median
    return Subject(
        "isolation",
        "SQLAlchemy statements under isolate()",
        tables=(
            Table("One statement, SQLite in memory", "us", tuple(rows)),
            Table.of("Isolated / filter by hand", "x", ratios),
        ),
        figures=(
            Figure.at_most(
                "the statement that isolation slows most",
                max(samples.median for name, samples in ratios.items() if name != FLUSH),
                1.1,
                "x",
            ),
            Figure.at_most("a flush of one new object", flush, 1.2, "x"),
        ),
    )
