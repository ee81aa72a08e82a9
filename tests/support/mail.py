"""The tables of a mail service, with two tenants of two users each, for the isolation tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import Column, Engine, ForeignKey, Table, func, select
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    mapped_column,
    relationship,
    sessionmaker,
)

from flask_tenant_auth import acting_as
from flask_tenant_auth.sqlalchemy import (
    TenantScoped,
    UserScoped,
    global_table,
    isolate,
    unscoped,
)


class Base(DeclarativeBase):
    pass


message_label = Table(
    "message_label",
    Base.metadata,
    Column("message_id", ForeignKey("message.id"), primary_key=True),
    Column("label_id", ForeignKey("label.id"), primary_key=True),
)


@global_table
class Provider(Base):
    __tablename__ = "provider"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    accounts: Mapped[list[Account]] = relationship(back_populates="provider", order_by="Account.id")


class Account(UserScoped, Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int] = mapped_column(default=0)
    provider_id: Mapped[int] = mapped_column(ForeignKey("provider.id"), default=1)
    provider: Mapped[Provider] = relationship(back_populates="accounts")
    messages: Mapped[list[Message]] = relationship(
        back_populates="account", order_by="Message.id", cascade="all, delete-orphan"
    )
    subjects: AssociationProxy[list[str]] = association_proxy("messages", "subject")

    @hybrid_property
    def unread(self) -> int:
        return len(self.messages)

    @unread.inplace.expression
    @classmethod
    def _unread(cls):
        return select(func.count(Message.id)).where(Message.account_id == cls.id).scalar_subquery()


class Label(TenantScoped, Base):
    __tablename__ = "label"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Message(UserScoped, Base):
    __tablename__ = "message"
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    account: Mapped[Account] = relationship(back_populates="messages")
    labels: Mapped[list[Label]] = relationship(secondary=message_label, backref="messages")


# Counts the messages of all users that point to the account, unless something bounds it.
Account.message_count = column_property(
    select(func.count(Message.id))
    .where(Message.account_id == Account.id)
    .correlate_except(Message)
    .scalar_subquery(),
    deferred=True,
)


class Document(TenantScoped, Base):
    """Joined-table inheritance: the tenant is in this table alone."""

    __tablename__ = "document"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    title: Mapped[str]
    __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "document"}


class Invoice(Document):
    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(ForeignKey("document.id"), primary_key=True)
    amount: Mapped[int]
    __mapper_args__: ClassVar = {"polymorphic_identity": "invoice"}


class Note(UserScoped, Base):
    """Single-table inheritance, and a tree."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    text: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("note.id"))
    children: Mapped[list[Note]] = relationship(order_by="Note.id")
    __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "note"}


class PinnedNote(Note):
    __mapper_args__: ClassVar = {"polymorphic_identity": "pinned"}


@dataclass(frozen=True)
class Who:
    """An identity with a name."""

    name: str
    tenant: uuid.UUID
    user: uuid.UUID
    role: str = "user"

    def acting(self) -> AbstractContextManager[object]:
        return acting_as(self.tenant, self.user, self.role)

    def sees_user(self, row: object) -> bool:
        """The reference filter for UserScoped."""
        return row.tenant_id == self.tenant and (self.role == "admin" or row.user_id == self.user)

    def sees_tenant(self, row: object) -> bool:
        """The reference filter for TenantScoped."""
        return row.tenant_id == self.tenant


RED, BLUE = uuid.UUID(int=0xA), uuid.UUID(int=0xB)
ANN, BOB = uuid.UUID(int=0x1), uuid.UUID(int=0x2)

ANN_RED = Who("ann", RED, ANN)
BOB_RED = Who("bob", RED, BOB)
ADMIN_RED = Who("admin", RED, uuid.UUID(int=0x3), "admin")
ANN_BLUE = Who("ann-blue", BLUE, ANN)  # the same user id in another tenant
BOB_BLUE = Who("bob-blue", BLUE, BOB)
ADMIN_BLUE = Who("admin-blue", BLUE, uuid.UUID(int=0x3), "admin")
OWNERS = [ANN_RED, BOB_RED, ANN_BLUE, BOB_BLUE]
EVERYBODY = [*OWNERS, ADMIN_RED, ADMIN_BLUE]


class IsolatedSession(Session):
    """Sessions of the tests."""


isolate(IsolatedSession)


def sessions(engine: Engine) -> sessionmaker[IsolatedSession]:
    """Isolated sessions on an engine."""
    return sessionmaker(engine, class_=IsolatedSession)


def rows() -> Iterator[object]:
    """All rows. Each number and each text tells the owner."""
    yield Provider(id=1, name="imap")
    yield Provider(id=2, name="exchange")
    for number, who in enumerate(OWNERS, start=1):
        own = {"tenant_id": who.tenant, "user_id": who.user}
        base = 100 * number
        labels = [Label(id=base + n, name=f"{who.name} {n}", tenant_id=who.tenant) for n in (1, 2)]
        yield from labels
        for n in (1, 2, 3):
            account = Account(
                id=base + n,
                email=f"{n}@{who.name}",
                size=n,
                provider_id=1 + n % 2,
                **own,
            )
            account.messages = [
                Message(id=10 * (base + n) + m, subject=f"{who.name} {n}.{m}", labels=labels, **own)
                for m in range(n)
            ]
            yield account
        yield Document(id=base + 1, title=f"{who.name} document", tenant_id=who.tenant)
        yield Invoice(id=base + 2, title=f"{who.name} invoice", amount=base, tenant_id=who.tenant)
        note = Note(id=base + 1, text=f"{who.name} note", **own)
        note.children = [PinnedNote(id=base + 2, text=f"{who.name} pinned", **own)]
        yield note
    # Wrong data: a row of Ann under an account of Bob, and one under an account of another tenant.
    yield Message(id=9001, subject="ann astray", account_id=201, tenant_id=RED, user_id=ANN)
    yield Message(id=9002, subject="ann-blue astray", account_id=101, tenant_id=BLUE, user_id=ANN)


def populate(engine: Engine) -> None:
    """Create the tables and the rows."""
    Base.metadata.create_all(engine)
    with unscoped("the tests' own rows"), sessions(engine)() as session:
        session.add_all(rows())
        session.commit()
