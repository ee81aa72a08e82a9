"""A schema of every kind of mapping, with names chosen to collide, and rows for three tenants.

ISOLATION_SABOTAGE names a class whose scope is left out on purpose: the generator has to find it.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    column,
    func,
    select,
    table,
)
from sqlalchemy.ext.associationproxy import association_proxy
from sqlalchemy.ext.declarative import ConcreteBase
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    column_property,
    mapped_column,
    query_expression,
    relationship,
)

from flask_tenant_auth.sqlalchemy import TenantScoped, UserScoped, global_table

SABOTAGE = os.environ.get("ISOLATION_SABOTAGE", "")


class Base(DeclarativeBase):
    pass


class Unscoped:
    """Has the columns of a scoped class and is not scoped: a mistake that a test has to find."""

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)


class TenantOnly(TenantScoped):
    """Has the columns of a user's class and is scoped to the tenant only: such a mistake, too."""

    user_id: Mapped[uuid.UUID] = mapped_column(Uuid)


# --- Link tables --------------------------------------------------------------

mailbox_tag = Table(  # two scoped ends
    "mailbox_tag",
    Base.metadata,
    Column("mailbox_id", ForeignKey("mailbox.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)
mailbox_country = Table(  # one scoped end
    "mailbox_country",
    Base.metadata,
    Column("mailbox_id", ForeignKey("mailbox.id"), primary_key=True),
    Column("country_id", ForeignKey("country.id"), primary_key=True),
)
document_tag = Table(  # columns of its own, one of them named like a table
    "document_tag",
    Base.metadata,
    Column("document_id", ForeignKey("document.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    Column("status", String(20)),
    Column("rank", Integer),
)
node_node = Table(  # both ends in one table
    "node_node",
    Base.metadata,
    Column("left_id", ForeignKey("node.id"), primary_key=True),
    Column("right_id", ForeignKey("node.id"), primary_key=True),
)


# --- Tables without a class, with foreign keys to scoped classes ----------------

memo = Table(  # one foreign key that a row needs, one that it may leave out
    "memo",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("body", String(20)),
    Column("document_id", ForeignKey("document.id"), nullable=False),
    Column("mailbox_id", ForeignKey("mailbox.id")),
)
receipt = Table(  # of two columns, of which one or both may be NULL
    "receipt",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("total", Integer),
    Column("order_number", Integer),
    Column("order_line", Integer),
    ForeignKeyConstraint(["order_number", "order_line"], ["order.number", "order.line"]),
)
scan = Table(  # to a table that has no owner either
    "scan",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("pages", Integer),
    Column("attachment_id", ForeignKey("attachment.id"), nullable=False),
)


# --- Global classes -----------------------------------------------------------


@global_table
class Currency(Base):
    __tablename__ = "Currency"  # needs quotes
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(20))
    countries: Mapped[list[Country]] = relationship(back_populates="currency")


@global_table
class Country(Base):
    """Columns with the names of scoped tables."""

    __tablename__ = "country"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    tag: Mapped[str | None] = mapped_column(String(20))
    email: Mapped[int | None]
    currency_id: Mapped[int | None] = mapped_column(ForeignKey("Currency.id"))
    currency: Mapped[Currency | None] = relationship(back_populates="countries", lazy="joined")
    mailboxes: Mapped[list[Mailbox]] = relationship(back_populates="country")
    tags: Mapped[list[Tag]] = relationship(back_populates="country")
    visitors: Mapped[list[Mailbox]] = relationship(
        secondary=mailbox_country, back_populates="countries"
    )


# --- Scoped classes -----------------------------------------------------------


class Tag(Unscoped if SABOTAGE == "tag" else TenantScoped, Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    status: Mapped[str | None] = mapped_column(String(20))
    country_id: Mapped[int | None] = mapped_column(ForeignKey("country.id"))
    country: Mapped[Country | None] = relationship(back_populates="tags")
    mailboxes: Mapped[list[Mailbox]] = relationship(secondary=mailbox_tag, back_populates="tags")
    emails: Mapped[list[Email]] = relationship(back_populates="tag")
    documents: Mapped[list[Document]] = relationship(secondary=document_tag, back_populates="tags")
    remarks: Mapped[list[Remark]] = relationship(back_populates="tag")


if SABOTAGE == "tag":
    global_table(Tag)


class Mailbox(UserScoped, Base):
    __tablename__ = "mailbox"
    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(40), unique=True)
    size: Mapped[int | None]
    state: Mapped[str | None] = mapped_column(String(20), server_default="new")
    country_id: Mapped[int | None] = mapped_column(ForeignKey("country.id"))
    country: Mapped[Country | None] = relationship(back_populates="mailboxes")
    emails: Mapped[list[Email]] = relationship(
        back_populates="mailbox", cascade="all, delete-orphan"
    )
    tags: Mapped[list[Tag]] = relationship(
        secondary=mailbox_tag, back_populates="mailboxes", lazy="selectin"
    )
    countries: Mapped[list[Country]] = relationship(
        secondary=mailbox_country, back_populates="visitors"
    )
    documents: Mapped[list[Document]] = relationship(back_populates="mailbox")
    remarks: Mapped[list[Remark]] = relationship(back_populates="mailbox")
    heavy_emails: Mapped[list[Email]] = relationship(
        primaryjoin="and_(Mailbox.id == Email.mailbox_id, Email.size > 2)", viewonly=True
    )
    tag_names = association_proxy("tags", "name")
    extra: Mapped[int | None] = query_expression()

    @hybrid_property
    def big(self) -> bool:
        return self.size is not None and self.size > 2

    @big.inplace.expression
    @classmethod
    def _big(cls) -> Any:
        return cls.size > 2

    @hybrid_property
    def heaviest(self) -> int | None:
        return max((email.size or 0 for email in self.emails), default=None)

    @heaviest.inplace.expression
    @classmethod
    def _heaviest(cls) -> Any:
        return select(func.max(Email.size)).where(Email.mailbox_id == cls.id).scalar_subquery()


class Email(TenantOnly if SABOTAGE == "email" else UserScoped, Base):
    """A table with the name of one of its columns."""

    __tablename__ = "email"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(40))
    size: Mapped[int | None]
    order: Mapped[int | None]
    mailbox_id: Mapped[int | None] = mapped_column(ForeignKey("mailbox.id"))
    tag_id: Mapped[int | None] = mapped_column(ForeignKey("tag.id"))
    mailbox: Mapped[Mailbox | None] = relationship(back_populates="emails")
    tag: Mapped[Tag | None] = relationship(back_populates="emails")
    attachments: Mapped[list[Attachment]] = relationship(back_populates="email")


# --- Undeclared classes: scoped by their foreign keys ---------------------------


class Attachment(Base):
    """Belongs to the owner of its e-mail."""

    __tablename__ = "attachment"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20))
    size: Mapped[int | None]
    email_id: Mapped[int] = mapped_column(ForeignKey("email.id"))
    email: Mapped[Email] = relationship(back_populates="attachments")


class Remark(Base):
    """Visible to whoever sees all rows that it links to. A row without links is hidden."""

    __tablename__ = "remark"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str | None] = mapped_column(String(20))
    rank: Mapped[int | None]
    mailbox_id: Mapped[int | None] = mapped_column(ForeignKey("mailbox.id"))
    tag_id: Mapped[int | None] = mapped_column(ForeignKey("tag.id"))
    mailbox: Mapped[Mailbox | None] = relationship(back_populates="remarks")
    tag: Mapped[Tag | None] = relationship(lazy="joined", back_populates="remarks")


class Hint(Base):
    """Links to no scoped row, so everybody sees its rows."""

    __tablename__ = "hint"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str | None] = mapped_column(String(20))
    rank: Mapped[int | None]


# Counts the rows of all, unless isolation filters it.
Mailbox.email_count = column_property(
    select(func.count(Email.id))
    .where(Email.mailbox_id == Mailbox.id)
    .correlate_except(Email)
    .scalar_subquery(),
    deferred=True,
)
Country.mailbox_count = column_property(
    select(func.count(Mailbox.id))
    .where(Mailbox.country_id == Country.id)
    .correlate_except(Mailbox)
    .scalar_subquery(),
)


class Status(TenantScoped, Base):
    """A composite key."""

    __tablename__ = "status"
    code: Mapped[str] = mapped_column(String(20), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None] = mapped_column(String(40))
    tasks: Mapped[list[Task]] = relationship(back_populates="status")


class Task(UserScoped, Base):
    """Single-table inheritance."""

    __tablename__ = "task"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    title: Mapped[str | None] = mapped_column(String(40))
    order: Mapped[int | None]
    status_code: Mapped[str | None] = mapped_column(String(20))
    status_number: Mapped[int | None]
    status: Mapped[Status | None] = relationship(back_populates="tasks")
    __table_args__ = (
        ForeignKeyConstraint(["status_code", "status_number"], ["status.code", "status.number"]),
    )
    __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "task"}


class Chore(Task):
    effort: Mapped[int | None] = mapped_column(use_existing_column=True)
    __mapper_args__: ClassVar = {"polymorphic_identity": "chore"}


class Meeting(Task):
    place: Mapped[str | None] = mapped_column(String(20), use_existing_column=True)
    __mapper_args__: ClassVar = {"polymorphic_identity": "meeting"}


class Node(UserScoped, Base):
    """A tree, and a network."""

    __tablename__ = "node"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(40))
    weight: Mapped[int | None]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
    parent: Mapped[Node | None] = relationship(back_populates="children", remote_side="Node.id")
    children: Mapped[list[Node]] = relationship(back_populates="parent")
    linked: Mapped[list[Node]] = relationship(
        secondary=node_node,
        primaryjoin=lambda: Node.id == node_node.c.left_id,
        secondaryjoin=lambda: Node.id == node_node.c.right_id,
    )


class Document(TenantScoped, Base):
    """Joined-table inheritance. Only this table has the owner."""

    __tablename__ = "document"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    title: Mapped[str | None] = mapped_column(String(40))
    mailbox_id: Mapped[int | None] = mapped_column(ForeignKey("mailbox.id"))
    mailbox: Mapped[Mailbox | None] = relationship(back_populates="documents")
    tags: Mapped[list[Tag]] = relationship(secondary=document_tag, back_populates="documents")
    __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "document"}


class Invoice(Document):
    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(ForeignKey("document.id"), primary_key=True)
    amount: Mapped[int | None]
    __mapper_args__: ClassVar = {"polymorphic_identity": "invoice"}


class PaidInvoice(Invoice):
    __tablename__ = "paid_invoice"
    id: Mapped[int] = mapped_column(ForeignKey("invoice.id"), primary_key=True)
    payer: Mapped[str | None] = mapped_column(String(20))
    __mapper_args__: ClassVar = {"polymorphic_identity": "paid_invoice"}


class Contract(Document):
    __tablename__ = "contract"
    id: Mapped[int] = mapped_column(ForeignKey("document.id"), primary_key=True)
    party: Mapped[str | None] = mapped_column(String(20))
    __mapper_args__: ClassVar = {"polymorphic_identity": "contract"}


class Log(ConcreteBase, UserScoped, Base):
    """Concrete inheritance: a table for each class."""

    __tablename__ = "log"
    id: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[str | None] = mapped_column(String(40))
    __mapper_args__: ClassVar = {"polymorphic_identity": "log", "concrete": True}


class AuditLog(Log):
    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    user_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    line: Mapped[str | None] = mapped_column(String(40))
    level: Mapped[int | None]
    __mapper_args__: ClassVar = {"polymorphic_identity": "audit_log", "concrete": True}


class Order(UserScoped, Base):
    """A reserved word, a composite key, owners as text under other names."""

    __tablename__ = "order"
    number: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str | None] = mapped_column("org_id", String(36))
    user_id: Mapped[str | None] = mapped_column("owner", String(36))
    price: Mapped[int | None]
    payments: Mapped[list[Payment]] = relationship(back_populates="order", lazy="subquery")


class Payment(UserScoped, Base):
    __tablename__ = "payment"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column("org_id", Uuid)
    amount: Mapped[int | None]
    order_number: Mapped[int | None]
    order_line: Mapped[int | None]
    order: Mapped[Order | None] = relationship(back_populates="payments", lazy="joined")
    __table_args__ = (
        ForeignKeyConstraint(["order_number", "order_line"], ["order.number", "order.line"]),
    )


class Counter(UserScoped, Base):
    """For upserts: one key is unique for each owner, another in the whole table."""

    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    code: Mapped[str | None] = mapped_column(String(20), unique=True)
    hits: Mapped[int | None]
    __table_args__ = (UniqueConstraint("tenant_id", "user_id", "name"),)


class Setting(UserScoped, Base):
    """In another schema."""

    __tablename__ = "setting"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str | None] = mapped_column(String(20))
    value: Mapped[int | None]
    mailbox_id: Mapped[int | None] = mapped_column(ForeignKey("mailbox.id"))
    mailbox: Mapped[Mailbox | None] = relationship()
    __table_args__: ClassVar = {"schema": "aux"}


class AuxTag(UserScoped, Base):
    """In another schema. A table with other owners has the same name."""

    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None] = mapped_column(String(20))
    tag_id: Mapped[int | None] = mapped_column(ForeignKey("tag.id"))
    tag: Mapped[Tag | None] = relationship()
    __table_args__: ClassVar = {"schema": "aux"}


CLASSES: list[type[Any]] = [
    Mailbox,
    Email,
    Tag,
    Country,
    Currency,
    Node,
    Document,
    Invoice,
    PaidInvoice,
    Contract,
    Task,
    Chore,
    Meeting,
    Status,
    Order,
    Payment,
    Counter,
    Setting,
    AuxTag,
    Log,
    AuditLog,
    Attachment,
    Remark,
    Hint,
]
UNDECLARED: list[type[Any]] = [Attachment, Remark, Hint]
UNMAPPED = [memo, receipt, scan]
LINKS = [mailbox_tag, mailbox_country, document_tag, node_node]
TABLES: list[Table] = list(Base.metadata.tables.values())

# The same tables, defined a second time as another part of an application may do it.
OTHER_METADATA = MetaData()
OTHER_TABLES = {each: each.to_metadata(OTHER_METADATA) for each in TABLES}


def lightweight(
    each: Table, name: str | None = None, schema: str | None = None, typed: bool = True
) -> Any:
    """Return table("name", column(...), ...)."""
    columns = [column(c.name, c.type if typed else None) for c in each.columns]
    return table(name or each.name, *columns, schema=schema or each.schema)


# --- Owners -------------------------------------------------------------------


@dataclass(frozen=True)
class Owners:
    """The columns that say to whom a row belongs."""

    tenant: Column[Any] | None = None
    user: Column[Any] | None = None
    # (own columns, target table, its columns) of each link. A row is visible if it has a link, and
    # all rows that it links to are visible.
    ends: tuple[tuple[tuple[str, ...], Table, tuple[str, ...]], ...] = ()

    @property
    def is_global(self) -> bool:
        return self.tenant is None and not self.ends


def owners_by_hand() -> dict[Table, Owners]:
    """Return the owners of all tables. They are written a second time here, to test the models."""
    t = Base.metadata.tables

    def by(name: str, tenant: str = "tenant_id", user: str | None = "user_id") -> None:
        found[t[name]] = Owners(t[name].c[tenant], t[name].c[user] if user else None)

    def ends(name: str, **targets: str) -> None:
        found[t[name]] = Owners(
            ends=tuple(((key,), t[target], ("id",)) for key, target in targets.items())
        )

    found: dict[Table, Owners] = {t[name]: Owners() for name in ("Currency", "country", "hint")}
    for name in ("mailbox", "email", "task", "node", "log", "audit_log", "counter"):
        by(name)
    for name in ("aux.setting", "aux.tag"):
        by(name)
    for name in ("tag", "status", "document"):
        by(name, user=None)
    by("order", "org_id", "owner")
    by("payment", "org_id")
    ends("invoice", id="document")
    ends("paid_invoice", id="invoice")
    ends("contract", id="document")
    ends("mailbox_tag", mailbox_id="mailbox", tag_id="tag")
    ends("mailbox_country", mailbox_id="mailbox")
    ends("document_tag", document_id="document", tag_id="tag")
    ends("node_node", left_id="node", right_id="node")
    ends("attachment", email_id="email")
    ends("remark", mailbox_id="mailbox", tag_id="tag")
    ends("memo", document_id="document", mailbox_id="mailbox")
    ends("scan", attachment_id="attachment")
    number, line = ("order_number", "order_line"), ("number", "line")
    found[t["receipt"]] = Owners(ends=((number, t["order"], line),))
    return found


OWNERS = owners_by_hand()


@dataclass(frozen=True)
class Who:
    """An identity, nobody, or everybody."""

    name: str
    tenant: uuid.UUID | None
    user: uuid.UUID | None
    role: str

    @property
    def is_identity(self) -> bool:
        return self.tenant is not None


TENANTS = [uuid.UUID(int=0xA0 + n) for n in range(3)]
USERS = [uuid.UUID(int=0x10 + n) for n in range(3)]
PEOPLE = [
    *(Who(f"t{t}u{u}", TENANTS[t], USERS[u], "user") for t in range(3) for u in range(3)),
    *(Who(f"t{t}admin", TENANTS[t], USERS[2], "admin") for t in range(3)),
]
NOBODY = Who("nobody", None, None, "none")
# The user of a plain session.
PLAIN = Who("plain", None, None, "plain")
EVERYTHING = Who("unscoped", None, None, "unscoped")

Rows = dict[Table, list[dict[str, Any]]]


def same(value: Any, owner: uuid.UUID | None) -> bool:
    """Whether a value of the database, in any form, is this owner."""
    if value is None or owner is None:
        return False
    return (value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))) == owner


def named_rows(owners: Owners, row: Mapping[str, Any]) -> Iterator[bool]:
    """Yield for each link whether the row has it. As in MATCH SIMPLE, no column of it is NULL."""
    for own, _, _ in owners.ends:
        yield all(row[key] is not None for key in own)


def visible(who: Who, rows: Rows) -> Rows:
    """Return the rows that are visible to an identity."""
    if who.role == "unscoped":
        return {each: list(some) for each, some in rows.items()}
    found: Rows = {}

    def resolve(each: Table) -> list[dict[str, Any]]:
        if each in found:
            return found[each]
        owners = OWNERS[each]
        kept = rows[each]
        if owners.tenant is not None:
            name = owners.tenant.name
            kept = [row for row in kept if same(row[name], who.tenant)]
        if owners.user is not None and who.role != "admin":
            name = owners.user.name
            kept = [row for row in kept if same(row[name], who.user)]
        if owners.ends:
            kept = [row for row in kept if any(named_rows(owners, row))]
        for own, target, keys in owners.ends:
            there = {tuple(row[key] for key in keys) for row in resolve(target)}
            kept = [
                row
                for row in kept
                if None in (values := tuple(row[key] for key in own)) or values in there
            ]
        found[each] = list(kept)
        return found[each]

    for each in rows:
        resolve(each)
    return found


# --- Rows ---------------------------------------------------------------------


def make_rows() -> Rows:
    """Return the rows of all, with NULLs and with references to rows of others."""
    rng = random.Random(7)
    t = Base.metadata.tables
    rows: Rows = {each: [] for each in TABLES}
    numbers = {each: rng.sample(range(1, 100), 70) for each in TABLES}

    def add(into: str, /, **values: Any) -> dict[str, Any]:
        each = t[into]
        if "id" in each.c and "id" not in values:
            values = {"id": numbers[each].pop(), **values}
        row = {c.name: values.get(c.name) for c in each.columns}
        rows[each].append(row)
        return row

    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.2 else value

    def ids(name: str, tenant: uuid.UUID | None = None, user: uuid.UUID | None = None) -> list[int]:
        return [
            row["id"]
            for row in rows[t[name]]
            if (tenant is None or row["tenant_id"] == tenant)
            and (user is None or row["user_id"] == user)
        ]

    for n in range(3):
        add("Currency", id=n + 1, code=f"cur{n}")
    for n in range(5):
        add("country", id=n + 1, name=f"land{n}", tag=maybe(f"tag{n % 2}"), email=maybe(n),
            currency_id=maybe(1 + n % 3))  # fmt: skip
    owners = [(tenant, user) for tenant in TENANTS for user in USERS]
    for tenant in TENANTS:
        mark = f"t{TENANTS.index(tenant)}"
        for n in range(4):
            add("tag", tenant_id=tenant, name=f"{mark} tag{n}", status=maybe(f"s{n % 2}"),
                country_id=maybe(1 + rng.randrange(5)))  # fmt: skip
        for n in range(3):
            add("status", tenant_id=tenant, code=f"{mark}s{n % 2}", number=n, text=maybe(mark))
    for n, (tenant, user) in enumerate(owners):
        own = {"tenant_id": tenant, "user_id": user}
        mark = f"t{TENANTS.index(tenant)}u{USERS.index(user)}"
        for m in range(3):
            add("mailbox", address=f"{mark}@{m}", size=maybe(rng.randrange(6)),
                state=maybe(rng.choice(["new", "old"])), country_id=maybe(1 + rng.randrange(5)),
                **own)  # fmt: skip
        for m in range(5):
            add("email", email=f"{mark} mail{m}", size=maybe(rng.randrange(6)), order=maybe(m),
                mailbox_id=maybe(rng.choice(ids("mailbox", tenant, user))),
                tag_id=maybe(rng.choice(ids("tag", tenant))), **own)  # fmt: skip
        statuses = [row for row in rows[t["status"]] if row["tenant_id"] == tenant]
        for m, kind in enumerate(["task", "chore", "meeting", "chore"]):
            status = maybe(rng.choice(statuses)) or {}
            add("task", kind=kind, title=maybe(f"{mark} {kind}"), order=maybe(m),
                status_code=status.get("code"), status_number=status.get("number"),
                effort=maybe(m) if kind == "chore" else None,
                place=maybe(mark) if kind == "meeting" else None, **own)  # fmt: skip
        for m in range(4):
            known = ids("node", tenant, user)
            add("node", name=maybe(f"{mark} node{m}"), weight=maybe(rng.randrange(5)),
                parent_id=rng.choice(known) if known else None, **own)  # fmt: skip
        for m in range(2):
            add("log", line=maybe(f"{mark} log{m}"), **own)
            add("audit_log", line=maybe(f"{mark} audit{m}"), level=maybe(m), **own)
            add("aux.setting", key=maybe(f"{mark}k{m}"), value=maybe(rng.randrange(5)),
                mailbox_id=maybe(rng.choice(ids("mailbox", tenant, user))), **own)  # fmt: skip
            add("aux.tag", note=maybe(f"{mark}n{m}"), tag_id=rng.choice(ids("tag", tenant)), **own)
            add("counter", name=f"name{m}", code=maybe(f"{mark}c{m}"), hits=maybe(m), **own)
            text = {"org_id": str(tenant), "owner": str(user)}
            add("order", number=10 + n, line=m, price=maybe(rng.randrange(9)), **text)
            add("payment", org_id=tenant, user_id=user, amount=maybe(rng.randrange(9)),
                order_number=10 + n, order_line=maybe(m))  # fmt: skip
        add("document", id=100 + n, kind="document", title=maybe(f"{mark} doc"), tenant_id=tenant,
            mailbox_id=maybe(rng.choice(ids("mailbox", tenant))))  # fmt: skip
        for m, kind in enumerate(["invoice", "paid_invoice", "contract"]):
            number = 110 + 10 * n + m
            add("document", id=number, kind=kind, title=maybe(f"{mark} {kind}"), tenant_id=tenant,
                mailbox_id=maybe(rng.choice(ids("mailbox", tenant))))  # fmt: skip
            if "invoice" in kind:
                add("invoice", id=number, amount=maybe(rng.randrange(9)))
            if kind == "paid_invoice":
                add("paid_invoice", id=number, payer=maybe(mark))
            if kind == "contract":
                add("contract", id=number, party=maybe(mark))
    # Rows without an owner.
    add("order", number=50, line=1, price=3)
    add("order", number=50, line=2, price=4, org_id=str(TENANTS[0]))
    # References to rows of others, as an old bug may have left them.
    for tenant, user in owners:
        own = {"tenant_id": tenant, "user_id": user}
        add("email", email="astray", size=3, mailbox_id=rng.choice(ids("mailbox")),
            tag_id=rng.choice(ids("tag")), **own)  # fmt: skip
        add("node", name="astray", weight=2, parent_id=rng.choice(ids("node")), **own)
        add("aux.tag", note="astray", tag_id=rng.choice(ids("tag")), **own)
        status = rng.choice(rows[t["status"]])
        add("task", kind="task", title="astray", status_code=status["code"],
            status_number=status["number"], **own)  # fmt: skip
        add("payment", org_id=tenant, user_id=user, amount=5,
            order_number=10 + rng.randrange(9), order_line=1)  # fmt: skip
    links = {
        "mailbox_tag": ("mailbox", "tag"),
        "mailbox_country": ("mailbox", "country"),
        "document_tag": ("document", "tag"),
        "node_node": ("node", "node"),
    }
    for name, (left, right) in links.items():
        pairs: set[tuple[int, int]] = set()
        for row in rows[t[left]]:
            tenant, user = row["tenant_id"], row.get("user_id")
            of = {
                "tag": lambda tenant=tenant: ids("tag", tenant),
                "country": lambda: ids("country"),
                "node": lambda tenant=tenant, user=user: ids("node", tenant, user),
            }[right]
            pairs.update((row["id"], other) for other in rng.sample(of(), 2))
            if rng.random() < 0.4:
                pairs.add((row["id"], rng.choice(ids(right))))
        for a, b in sorted(pairs):
            names = [c.name for c in t[name].primary_key]
            extra = {"status": maybe(f"s{b % 3}"), "rank": maybe(a % 4)}
            own_extra = extra if name == "document_tag" else {}
            add(name, **dict(zip(names, (a, b), strict=True)), **own_extra)
    for n in range(3):
        add("hint", body=maybe(f"hint{n}"), rank=n)
    for row in rows[t["email"]]:
        add("attachment", name=maybe(f"file{row['id']}"), size=maybe(rng.randrange(6)),
            email_id=row["id"])  # fmt: skip
    for row in rows[t["attachment"]][::2]:
        add("scan", pages=maybe(rng.randrange(9)), attachment_id=row["id"])
    for row in rows[t["mailbox"]]:
        tags = ids("tag", row["tenant_id"]) if rng.random() < 0.8 else ids("tag")
        add("remark", body=maybe(f"remark{row['id']}"), rank=maybe(rng.randrange(6)),
            mailbox_id=maybe(row["id"]), tag_id=maybe(rng.choice(tags)))  # fmt: skip
    for row in rows[t["document"]]:
        mailboxes = ids("mailbox", row["tenant_id"]) if rng.random() < 0.8 else ids("mailbox")
        add("memo", body=maybe(f"memo{row['id']}"), document_id=row["id"],
            mailbox_id=maybe(rng.choice(mailboxes)))  # fmt: skip
    for row in rows[t["order"]]:
        add("receipt", total=maybe(rng.randrange(9)), order_number=maybe(row["number"]),
            order_line=maybe(row["line"]))  # fmt: skip
    return rows
