"""Every way of mapping a scoped class, and of naming its table: its rows are bounded."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from sqlalchemy import (
    CHAR,
    Column,
    Engine,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    Uuid,
    bindparam,
    column,
    create_engine,
    delete,
    event,
    insert,
    literal,
    select,
    table,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.declarative import DeferredReflection
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
    registry,
    relationship,
    sessionmaker,
    synonym,
)
from sqlalchemy.pool import StaticPool

from flask_tenant_auth.sqlalchemy import (
    ForeignRow,
    TenantContextMissing,
    TenantScoped,
    UnscopedStatement,
    UserScoped,
    global_table,
    isolate,
    unscoped,
)
from mail import ADMIN_RED, ANN_BLUE, ANN_RED, BLUE, BOB_RED, RED, Who


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE reflected (id integer PRIMARY KEY, body varchar,"
            " tenant_id char(32) NOT NULL, user_id char(32) NOT NULL)",
            "ATTACH ':memory:' AS archive",
        ):
            connection.exec_driver_sql(statement)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with isolate(sessionmaker(engine))() as session:
        yield session


# Each maps a class with the columns id and body, and the owners in whatever form.


def dataclass_base(_engine: Engine) -> Any:
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Note(UserScoped, Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        body: Mapped[str]

    return Note


def dataclass_mixin(_engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(MappedAsDataclass, UserScoped, Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        body: Mapped[str]

    return Note


def table_of_its_own(_engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(UserScoped, Base):
        __table__ = Table(
            "note",
            Base.metadata,
            Column("id", Integer, primary_key=True),
            Column("body", String),
            Column("tenant_id", Uuid, nullable=False),
            Column("user_id", Uuid, nullable=False),
        )

    return Note


def reflected_table(engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(UserScoped, Base):
        __table__ = Table("reflected", Base.metadata, autoload_with=engine)

    return Note


def reflected_by_arguments(engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(UserScoped, Base):
        __tablename__ = "reflected"
        __table_args__: ClassVar = {"autoload_with": engine}

    return Note


def reflected_later(engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Reflected(DeferredReflection):
        __abstract__ = True

    class Note(Reflected, UserScoped, Base):
        __tablename__ = "reflected"

    Reflected.prepare(engine)
    return Note


def synonyms(_engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(UserScoped, Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[str]
        org_id: Mapped[uuid.UUID] = mapped_column("organisation")
        person_id: Mapped[uuid.UUID]
        tenant_id = synonym("org_id")
        user_id = synonym("person_id")

    return Note


def other_names(_engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(UserScoped, Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[str]
        tenant_id: Mapped[uuid.UUID] = mapped_column("org_id")
        user_id: Mapped[str] = mapped_column("person_id", String(36))

    return Note


def hexadecimal(_engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(UserScoped, Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[str]
        tenant_id: Mapped[str] = mapped_column(CHAR(32))
        user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))

    return Note


def mixin_behind_the_base(_engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(Base, UserScoped):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[str]

    return Note


def abstract_base(_engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Owned(UserScoped, Base):
        __abstract__ = True
        id: Mapped[int] = mapped_column(primary_key=True)

    class Note(Owned):
        __tablename__ = "note"
        body: Mapped[str]

    return Note


def decorated(_engine: Engine) -> Any:
    mapped = registry()

    @mapped.mapped
    class Note(UserScoped):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[str]

    return Note


def imperative(_engine: Engine) -> Any:
    mapped = registry()

    class Note(UserScoped):
        pass

    mapped.map_imperatively(
        Note,
        Table(
            "note",
            mapped.metadata,
            Column("id", Integer, primary_key=True),
            Column("body", String),
            Column("tenant_id", Uuid, nullable=False),
            Column("user_id", Uuid, nullable=False),
        ),
    )
    return Note


def with_a_schema(_engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(UserScoped, Base):
        __tablename__ = "note"
        __table_args__: ClassVar = {"schema": "archive"}
        id: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[str]

    return Note


def a_name_that_needs_quotes(_engine: Engine) -> Any:
    class Base(DeclarativeBase):
        pass

    class Note(UserScoped, Base):
        __tablename__ = 'Order "of" notes'
        id: Mapped[int] = mapped_column(primary_key=True)
        body: Mapped[str] = mapped_column("select")

    return Note


WAYS: dict[str, Callable[[Engine], Any]] = {
    each.__name__: each
    for each in (
        *(dataclass_base, dataclass_mixin, table_of_its_own, reflected_table),
        *(reflected_by_arguments, reflected_later, synonyms, other_names, hexadecimal),
        *(mixin_behind_the_base, abstract_base, decorated, imperative, with_a_schema),
        a_name_that_needs_quotes,
    )
}
EVERYBODY = [ANN_RED, BOB_RED, ANN_BLUE]


def bodies(session: Session, statement: Any) -> list[str]:
    return sorted(session.scalars(statement))


@pytest.mark.parametrize("way", WAYS)
def test_rows_of_any_mapping_are_bounded(engine: Engine, session: Session, way: str) -> None:
    cls = WAYS[way](engine)
    own = cls.__table__
    body = own.c[cls.__mapper__.attrs.body.columns[0].key]
    own.metadata.create_all(engine)
    for who in EVERYBODY:
        with who.acting():
            note = cls(body=who.name) if "dataclass" in way else cls()
            note.body = who.name
            session.add(note)
            session.commit()
            session.execute(insert(own).values({body: f"{who.name} core"}))
            session.commit()
    seen: dict[Who, list[str]] = {who: [who.name, f"{who.name} core"] for who in EVERYBODY}
    seen[ADMIN_RED] = sorted(seen[ANN_RED] + seen[BOB_RED])
    for who, expected in seen.items():
        with who.acting():
            assert bodies(session, select(cls.body)) == expected
            assert bodies(session, select(body)) == expected
            assert sorted(note.body for note in session.scalars(select(cls))) == expected
            assert session.execute(update(own).values({body: body})).rowcount == len(expected)
            first = session.scalars(select(cls.id)).first()
            assert session.get(cls, first) is not None
    with pytest.raises(TenantContextMissing):
        bodies(session, select(body))
    foreign = own.c[
        cls.__mapper__.attrs["org_id" if way == "synonyms" else "tenant_id"].columns[0].key
    ]
    value = BLUE if isinstance(foreign.type, Uuid) and foreign.type.as_uuid else BLUE.hex
    with ANN_RED.acting(), pytest.raises(ForeignRow):
        session.execute(insert(own).values({body: "x", foreign: value}))
    session.rollback()
    with ANN_RED.acting():
        assert session.execute(delete(own)).rowcount == 2
        session.commit()
    with BOB_RED.acting():
        assert bodies(session, select(body)) == seen[BOB_RED]


def test_a_class_without_its_owner_is_an_error_where_it_is_mapped() -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(TypeError, match=r"Note\.user_id must be a column"):

        class Note(UserScoped, Base):
            __table__ = Table(
                "note",
                Base.metadata,
                Column("id", Integer, primary_key=True),
                Column("tenant_id", Uuid, nullable=False),
            )


def test_a_wrong_class_does_not_break_the_others(engine: Engine, session: Session) -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(TypeError, match="must be a column"):

        class Wrong(TenantScoped, Base):
            __tablename__ = "wrong"
            id: Mapped[int] = mapped_column(primary_key=True)
            tenant_id = property(lambda self: None)

    class Right(TenantScoped, Base):
        __tablename__ = "right"
        id: Mapped[int] = mapped_column(primary_key=True)

    Right.__table__.create(engine)
    with ANN_RED.acting():
        session.add(Right())
        session.commit()
        assert len(session.scalars(select(Right)).all()) == 1
    with ANN_BLUE.acting():
        assert session.scalars(select(Right)).all() == []


class Names(DeclarativeBase):
    """Tables that are called like columns of other tables."""


class Email(UserScoped, Names):
    __tablename__ = "email"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str | None]


class Status(TenantScoped, Names):
    __tablename__ = "status"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None]


@global_table
class Contact(Names):
    __tablename__ = "contact"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None]
    status: Mapped[str | None]


def test_a_table_named_like_a_column_of_another_is_bounded(
    engine: Engine, session: Session
) -> None:
    Names.metadata.create_all(engine)
    with ANN_RED.acting():
        session.add_all([Contact(email="a", status="b"), Email(status="c"), Status(email="d")])
        session.commit()
        session.execute(insert(Contact), [{"email": "e", "status": "f"}])
        session.execute(update(Contact).values(email=Contact.status))
        session.execute(delete(Contact).where(Contact.email == "b"))
        session.commit()
        assert session.scalars(select(Contact.email)).all() == ["f"]
        both = select(Email.status, Status.email).join(Status, Status.id == Email.id)
        assert session.execute(both).all() == [("c", "d")]
    with BOB_RED.acting():
        assert session.execute(both).all() == []
        assert session.scalars(select(Status.email)).all() == ["d"]


class Linked(DeclarativeBase):
    """Tables without owners, and what they link to."""


class Mail(UserScoped, Linked):
    __tablename__ = "mail"
    id: Mapped[int] = mapped_column(primary_key=True)


# Of no class: nobody maps it.
attachment = Table(
    "attachment",
    Linked.metadata,
    Column("id", Integer, primary_key=True),
    Column("mail_id", ForeignKey("mail.id"), nullable=False),
)
# Linked to a table that is linked.
page = Table(
    "page",
    Linked.metadata,
    Column("id", Integer, primary_key=True),
    Column("attachment_id", ForeignKey("attachment.id"), nullable=False),
)
# Every end may be absent.
reply = Table(
    "reply",
    Linked.metadata,
    Column("id", Integer, primary_key=True),
    Column("mail_id", ForeignKey("mail.id")),
    Column("other_id", ForeignKey("mail.id")),
)


# The database has a row in mind where nobody says one.
chosen = Table(
    "chosen",
    Linked.metadata,
    Column("id", Integer, primary_key=True),
    Column("mail_id", ForeignKey("mail.id"), server_default="2"),
)
# Named by two columns together.
line = Table(
    "line",
    Linked.metadata,
    Column("id", Integer, primary_key=True),
    Column("mail_id", Integer),
    Column("place", Integer),
    ForeignKeyConstraint(["mail_id", "place"], ["place.mail_id", "place.number"]),
)


class Place(UserScoped, Linked):
    __tablename__ = "place"
    mail_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Draft(Linked):
    """Declared by nobody, and linked to a scoped class."""

    __tablename__ = "draft"
    id: Mapped[int] = mapped_column(primary_key=True)
    mail_id: Mapped[int] = mapped_column(ForeignKey("mail.id"))
    mail: Mapped[Mail] = relationship()


@global_table
class Statistic(Linked):
    """Declared to be everybody's, although it names a mail."""

    __tablename__ = "statistic"
    id: Mapped[int] = mapped_column(primary_key=True)
    mail_id: Mapped[int] = mapped_column(ForeignKey("mail.id"))


@pytest.fixture
def linked(engine: Engine, session: Session) -> Session:
    Linked.metadata.create_all(engine)
    with unscoped("the rows of the test"):
        for number, who in enumerate(EVERYBODY, start=1):
            session.add(Mail(id=number, tenant_id=who.tenant, user_id=who.user))
            session.flush()
            session.execute(insert(attachment).values(id=number, mail_id=number))
            session.execute(insert(page).values(id=number, attachment_id=number))
            session.execute(insert(reply).values(id=number, mail_id=number, other_id=None))
            session.execute(insert(reply).values(id=10 + number, mail_id=1, other_id=number))
            session.add_all([Draft(id=number, mail_id=number), Statistic(mail_id=number)])
            session.add(Place(mail_id=number, number=1, tenant_id=who.tenant, user_id=who.user))
            session.flush()
            session.execute(insert(line).values(id=number, mail_id=number, place=1))
            session.execute(insert(line).values(id=10 + number, mail_id=number))
        session.execute(insert(reply).values(id=99))
        session.commit()
    return session


LINKED: dict[str, tuple[Any, list[int]]] = {
    "a table without a class": (select(attachment.c.id), [1]),
    "a table that is linked to it": (select(page.c.id), [1]),
    "ends that may be absent": (select(reply.c.id), [1, 11]),
    "a key of two columns, of which one may be absent": (select(line.c.id), [1]),
    "a class that nobody declared": (select(Draft.id), [1]),
    "its table under another MetaData": (
        select(Table("draft", MetaData(), Column("id", Integer)).c.id),
        [1],
    ),
    "by its name alone": (select(table("page", column("id")).c.id), [1]),
    "a class that is declared global": (select(Statistic.id), [1, 2, 3]),
}


@pytest.mark.parametrize("way", LINKED)
def test_a_table_without_an_owner_follows_the_rows_it_links_to(linked: Session, way: str) -> None:
    statement, expected = LINKED[way]
    with ANN_RED.acting():
        assert sorted(linked.scalars(statement)) == expected
    with unscoped("positive control"):
        assert len(linked.scalars(statement).all()) > len(expected) or "global" in way


def test_an_object_that_links_to_a_row_of_others_is_not_written(linked: Session) -> None:
    with ANN_RED.acting():
        linked.add(Draft(id=9, mail_id=2))
        with pytest.raises(ForeignRow, match="links to mail"):
            linked.flush()
        linked.rollback()
        linked.add(Draft(id=9, mail_id=1))
        linked.commit()
        assert linked.get(Draft, 9).mail.id == 1
        assert linked.get(Draft, 2) is None
        linked.get(Draft, 9).mail_id = 3
        with pytest.raises(ForeignRow, match="links to mail"):
            linked.flush()
        linked.rollback()
        with pytest.raises(UnscopedStatement, match="which row of mail it belongs to"):
            linked.execute(insert(attachment).values(id=9))
    with BOB_RED.acting():
        assert linked.get(Draft, 9) is None
        assert linked.execute(delete(attachment)).rowcount == 1
        assert linked.execute(update(page).values(attachment_id=page.c.attachment_id)).rowcount == 0


def test_an_update_through_a_lightweight_table_is_bounded(linked: Session) -> None:
    light = table("mail", column("id"), column("tenant_id", Uuid), column("user_id", Uuid))
    with BOB_RED.acting():
        assert linked.execute(update(light).values(id=light.c.id + 100)).rowcount == 1
        assert linked.execute(insert(light).values(id=9)).rowcount == 1
        linked.execute(
            insert(light).from_select(
                ["id", "tenant_id", "user_id"],
                select(light.c.id + 50, light.c.tenant_id, light.c.user_id),
            )
        )
        assert sorted(linked.scalars(select(Mail.id))) == [9, 59, 102, 152]
    linked.rollback()


def test_a_table_of_another_metadata_follows_the_rows_it_links_to(linked: Session) -> None:
    """By the names in its foreign keys: the objects that they point to may be others."""
    apart = MetaData()
    by_column = Table(
        "attachment", MetaData(), Column("id", Integer), Column("mail_id", ForeignKey(Mail.id))
    )
    beside = Table(
        "scan", MetaData(), Column("id", Integer), Column("mail_id", ForeignKey("main.mail.id"))
    )
    connection = linked.connection()
    with unscoped("the rows of the test"):
        connection.exec_driver_sql("CREATE TABLE scan (id integer, mail_id integer)")
        connection.exec_driver_sql("INSERT INTO scan VALUES (1, 1), (2, 2), (3, 3)")
        apart.reflect(linked.connection(), only=["attachment", "mail"])
    for each in (by_column, beside, apart.tables["attachment"]):
        with ANN_RED.acting():
            assert linked.scalars(select(each.c.id)).all() == [1], each.name
        with unscoped("positive control"):
            assert len(linked.scalars(select(each.c.id)).all()) == 3


def test_a_name_of_no_mapped_table_raises(linked: Session) -> None:
    """It could be a partition, or another table in which the database keeps the rows."""
    with ANN_RED.acting():
        for name in ("mail_2025", "nfts_content", "sqlite_master", "x" * 10_000):
            with pytest.raises(UnscopedStatement):
                linked.execute(select(table(name, column("id"))))
        assert linked.scalars(select(table("statistic", column("id")).c.id)).all() == [1, 2, 3]


class Other(TypeDecorator[Any]):
    """A type that makes another tenant's of every value."""

    impl = Uuid
    cache_ok = True

    def process_bind_param(self, value: object, dialect: object) -> uuid.UUID:
        return BLUE


class Own(TypeDecorator[uuid.UUID]):
    """A type of the application's own for the owners' columns."""

    impl = Uuid
    cache_ok = True

    def __init__(self, label: str = "") -> None:
        super().__init__()
        self.label = label


def test_a_type_of_the_application_does_not_change_the_value_that_is_checked(
    linked: Session,
) -> None:
    mail = Mail.__table__
    with ANN_RED.acting():
        linked.execute(
            insert(mail).values(id=50, tenant_id=bindparam("t", RED, type_=Other())), {"t": RED}
        )
        linked.execute(update(mail).values(tenant_id=bindparam("t", RED, type_=Other())))
        linked.execute(
            update(attachment).values(mail_id=bindparam("m", 1, type_=Doubled())), {"m": 1}
        )
    with ANN_BLUE.acting():
        assert linked.scalars(select(Mail.id)).all() == [3]
    with ANN_RED.acting():
        assert linked.scalars(select(Mail.id)).all() == [1, 50]
        assert linked.scalars(select(attachment.c.mail_id)).all() == [1]


class Doubled(TypeDecorator[int]):
    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: object) -> int:
        return value * 2


def test_owners_of_types_that_print_alike_are_bounded(engine: Engine, session: Session) -> None:
    class Base(DeclarativeBase):
        pass

    class One(TenantScoped, Base):
        __tablename__ = "one"
        id: Mapped[int] = mapped_column(primary_key=True)
        tenant_id: Mapped[uuid.UUID] = mapped_column(Own("one"))

    class Two(TenantScoped, Base):
        __tablename__ = "two"
        id: Mapped[int] = mapped_column(primary_key=True)
        tenant_id: Mapped[uuid.UUID] = mapped_column(Own("two"))

    Base.metadata.create_all(engine)
    with ANN_RED.acting():
        session.add_all([One(id=1), Two(id=1)])
        session.commit()
        assert session.execute(select(One.id, Two.id).join(Two, Two.id == One.id)).all() == [(1, 1)]
    with ANN_BLUE.acting():
        assert session.execute(select(One.id, Two.id).join(Two, Two.id == One.id)).all() == []


PARTS: dict[str, Callable[[], Any]] = {
    "a tuple": lambda: update(Mail).values(
        {tuple_(Mail.tenant_id, Mail.id): tuple_(literal(BLUE, Uuid()), 1)}
    ),
    "a tuple, Core": lambda: update(Mail.__table__).values(
        {
            tuple_(Mail.__table__.c.tenant_id, Mail.__table__.c.id): select(
                literal(BLUE, Uuid()), literal(1)
            ).scalar_subquery()
        }
    ),
    "a coerced column": lambda: update(Mail.__table__).values(
        {type_coerce(Mail.__table__.c.tenant_id, Uuid()): BLUE}
    ),
    "a coerced column of a new row": lambda: insert(Mail.__table__).values(
        {type_coerce(Mail.__table__.c.tenant_id, Uuid()): BLUE, "id": 50}
    ),
    "a label in an upsert": lambda: sqlite_insert(Mail.__table__)
    .values(id=1)
    .on_conflict_do_update(
        index_elements=["id"], set_={column("tenant_id").label("x"): literal(BLUE, Uuid())}
    ),
    "a tuple with a link": lambda: update(attachment).values(
        {tuple_(attachment.c.mail_id, attachment.c.id): tuple_(2, 1)}
    ),
}


@pytest.mark.parametrize("way", PARTS)
def test_an_owner_cannot_be_set_as_a_part_of_an_expression(linked: Session, way: str) -> None:
    with ANN_RED.acting(), pytest.raises(UnscopedStatement):
        linked.execute(PARTS[way](), execution_options={"synchronize_session": False})
    linked.rollback()
    with unscoped("what is there"):
        assert linked.get(Mail, 1).tenant_id == RED
        assert linked.scalars(select(attachment.c.mail_id)).all() == [1, 2, 3]


def test_listeners_of_the_dialect_of_the_engine_are_called(engine: Engine) -> None:
    Linked.metadata.create_all(engine)
    seen: list[str] = []
    with isolate(sessionmaker(engine))() as session, ANN_RED.acting():
        session.scalars(select(Mail.id)).all()
        event.listen(engine, "do_execute", lambda cursor, sql, *_: seen.append(sql) or False)
        session.scalars(select(Mail.id)).all()
    assert len(seen) == 1


def test_an_expression_does_not_cut_a_link_that_may_be_absent(linked: Session) -> None:
    """NULL would stand for the row of somebody else, and the row would be nobody's."""
    with ANN_RED.acting():
        for statement in (
            update(reply).values(mail_id=reply.c.mail_id + 1),
            insert(reply).values(id=50, mail_id=select(Mail.id + 1).scalar_subquery()),
            insert(reply).from_select(["id", "mail_id"], select(Mail.id + 50, Mail.id + 1)),
        ):
            with pytest.raises(UnscopedStatement, match="may be NULL"):
                linked.execute(statement)
        with pytest.raises(ForeignRow):
            linked.execute(update(reply).values(mail_id=2))
        assert linked.execute(update(reply).values(mail_id=1)).rowcount == 2


def test_a_default_of_the_database_cannot_choose_the_linked_row(
    linked: Session,
) -> None:
    light = table("chosen", column("id"))
    with ANN_RED.acting():
        for target in (chosen, light):
            with pytest.raises(UnscopedStatement, match="mail"):
                linked.execute(insert(target).values(id=1))
        linked.execute(insert(chosen).values(id=1, mail_id=1))


def test_translated_schemas_make_no_scoped_table_of_one_with_other_owners(
    engine: Engine, session: Session
) -> None:
    class Base(DeclarativeBase):
        pass

    class Shared(TenantScoped, Base):
        __tablename__ = "memo"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Private(UserScoped, Base):
        __tablename__ = "memo"
        __table_args__: ClassVar = {"schema": "archive"}
        id: Mapped[int] = mapped_column(primary_key=True)

    Base.metadata.create_all(engine)
    with ANN_RED.acting():
        session.add_all([Shared(id=1), Private(id=7)])
        session.commit()
    with BOB_RED.acting():
        assert session.scalars(select(Shared.id)).all() == [1]
        for statement in (select(Shared.id), delete(Shared.__table__)):
            with pytest.raises(UnscopedStatement, match="different owners"):
                session.execute(
                    statement, execution_options={"schema_translate_map": {None: "archive"}}
                )


def test_a_name_in_another_case_does_not_hide_the_owner(linked: Session) -> None:
    twice = table("mail", *map(column, ("id", "tenant_id", "user_id", "TENANT_ID")))
    with ANN_RED.acting():
        for statement in (
            update(twice).values(TENANT_ID=BLUE.hex),
            insert(twice).values(id=9, TENANT_ID=BLUE.hex),
        ):
            with pytest.raises(UnscopedStatement, match="2 times"):
                linked.execute(statement)


def test_translated_schemas_hide_no_scoped_table(linked: Session) -> None:
    class Elsewhere(DeclarativeBase):
        pass

    @global_table
    class Copy(Elsewhere):
        __tablename__ = "mail"
        __table_args__: ClassVar = {"schema": "elsewhere"}
        id: Mapped[int] = mapped_column(primary_key=True)

    options = {"schema_translate_map": {"elsewhere": None}}
    with ANN_RED.acting():
        assert linked.scalars(select(Copy.id), execution_options=options).all() == [1]
        assert linked.scalars(select(Mail.id), execution_options=options).all() == [1]


def test_a_translated_schema_parts_tables_of_one_name(engine: Engine) -> None:
    """Where a translation puts a schema in the place of none, SQLAlchemy gives no second name."""

    class Placed(DeclarativeBase):
        pass

    class Note(TenantScoped, Placed):
        __tablename__ = "parted_note"
        id: Mapped[int] = mapped_column(primary_key=True)

    class NoteOfMain(TenantScoped, Placed):
        __tablename__ = "parted_note"
        __table_args__: ClassVar = {"schema": "main"}
        id: Mapped[int] = mapped_column(primary_key=True)

    Note.__table__.create(engine)  # type: ignore[attr-defined]
    session = isolate(sessionmaker(engine))()
    statement = select(NoteOfMain.id).where(
        select(Note.id).where(Note.id == NoteOfMain.id).correlate(NoteOfMain).exists()
    )
    with ANN_RED.acting():
        session.add(Note(id=1))
        session.commit()
    with ANN_BLUE.acting():
        session.add(Note(id=2))
        session.commit()
        for options in ({}, {"schema_translate_map": {None: "main"}}):
            assert session.scalars(statement, execution_options=options).all() == [2]


def test_one_table_under_two_bases_is_one_table(engine: Engine) -> None:
    """A second class for the same table, declared global, shows no more of it."""
    other = create_engine("sqlite://", poolclass=StaticPool)

    class First(DeclarativeBase):
        pass

    class Second(DeclarativeBase):
        pass

    class Apart(DeclarativeBase):
        metadata = MetaData(info={"bind_key": "another database"})

    class Owned(TenantScoped, First):
        __tablename__ = "twice"
        id: Mapped[int] = mapped_column(primary_key=True)

    @global_table
    class Again(Second):
        __tablename__ = "twice"
        id: Mapped[int] = mapped_column(primary_key=True)

    @global_table
    class InDefaultSchema(Apart):
        __tablename__ = "twice"
        __table_args__: ClassVar = {"schema": "main"}
        id: Mapped[int] = mapped_column(primary_key=True)

    @global_table
    class Elsewhere(Apart):
        __tablename__ = "twice"
        id: Mapped[int] = mapped_column(primary_key=True)

    First.metadata.create_all(engine)
    Elsewhere.__table__.create(other)
    binds = {First: engine, Second: engine, InDefaultSchema: engine, Elsewhere: other}
    with isolate(sessionmaker(binds=binds))() as session:
        with unscoped("the rows of the test"):
            session.add_all([Owned(id=1, tenant_id=RED), Owned(id=2, tenant_id=BLUE)])
            session.add_all([Elsewhere(id=8), Elsewhere(id=9)])
            session.commit()
        with ANN_RED.acting():
            assert session.scalars(select(Again.id)).all() == [1]
            assert session.scalars(select(InDefaultSchema.id)).all() == [1]
            # It is another table where it is, and the scoped one where that is.
            assert sorted(session.scalars(select(Elsewhere.id))) == [8, 9]
            here = {"bind": engine}
            found = session.scalars(select(Elsewhere.id), bind_arguments=here)
            assert found.all() == [1]
    other.dispose()
