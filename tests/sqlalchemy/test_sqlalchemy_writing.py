"""Every way of writing rows: they become one's own, and others' stay as they are."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from sqlalchemy import (
    Engine,
    Uuid,
    bindparam,
    column,
    create_engine,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from flask_tenant_auth.sqlalchemy import (
    ForeignRow,
    TenantContextMissing,
    UnscopedStatement,
    unscoped,
)
from mail import (
    ADMIN_RED,
    ANN_BLUE,
    ANN_RED,
    BLUE,
    BOB,
    BOB_RED,
    RED,
    Account,
    Document,
    Invoice,
    Label,
    Message,
    Note,
    Provider,
    Who,
    message_label,
    populate,
    sessions,
)

Row = tuple[object, ...]


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    populate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with sessions(engine)() as session:
        yield session


def everything(engine: Engine) -> dict[str, set[Row]]:
    """All rows of all tables, past every wall: nobody is asking here."""
    tables = (Account, Message, Label, Document, Invoice, Note)
    with engine.connect() as connection:
        found = {
            cls.__tablename__: set(map(tuple, connection.execute(select(cls.__table__))))
            for cls in tables
        }
        found["links"] = set(map(tuple, connection.execute(select(message_label))))
        found["invoice"] = set(map(tuple, connection.execute(select(Invoice.__table__))))
    return found


@pytest.fixture
def untouched(engine: Engine) -> Iterator[None]:
    """The test must leave every row of others as it was, and may add none for them."""
    before = everything(engine)
    yield
    assert everything(engine) == before


def account_of(engine: Engine, email: str) -> object:
    with engine.connect() as connection:
        table = Account.__table__
        return connection.execute(select(table).where(table.c.email == email)).one()


def committed(session: Session, change: Callable[[Session], object]) -> None:
    change(session)
    session.commit()


# --- New rows -----------------------------------------------------------------


def add(session: Session, **values: object) -> None:
    session.add(Account(email="new", **values))
    session.commit()


def cascade(session: Session, **values: object) -> None:
    provider = session.get(Provider, 1)
    provider.accounts.append(Account(email="new", **values))
    session.commit()


NEW: dict[str, Callable[..., object]] = {
    "add": add,
    "add_all": lambda s, **v: (s.add_all([Account(email="new", **v)]), s.commit()),
    "merge": lambda s, **v: (s.merge(Account(email="new", **v)), s.commit()),
    "cascade": lambda s, **v: cascade(s, **v),
    "insert with parameters": lambda s, **v: (
        s.execute(insert(Account), [{"email": "new", **v}]),
        s.commit(),
    ),
    "insert with one set of parameters": lambda s, **v: (
        s.execute(insert(Account), {"email": "new", **v}),
        s.commit(),
    ),
    "insert with values": lambda s, **v: (
        s.execute(insert(Account).values(email="new", size=0, provider_id=1, **v)),
        s.commit(),
    ),
    "insert returning": lambda s, **v: (
        s.scalars(insert(Account).returning(Account), [{"email": "new", **v}]).one(),
        s.commit(),
    ),
    "insert with values returning": lambda s, **v: (
        s.scalars(
            insert(Account).values(email="new", size=0, provider_id=1, **v).returning(Account.id)
        ).one(),
        s.commit(),
    ),
    "insert returning, sorted": lambda s, **v: (
        s.scalars(
            insert(Account).returning(Account.id, sort_by_parameter_order=True),
            [{"email": "new", **v}, {"email": "newer", **v}],
        ).all(),
        s.commit(),
    ),
    "upsert": lambda s, **v: (
        s.execute(
            sqlite_insert(Account)
            .values(email="new", size=0, provider_id=1, **v)
            .on_conflict_do_update(index_elements=["email"], set_={"size": 7})
        ),
        s.commit(),
    ),
    "bulk_save_objects": lambda s, **v: (
        s.bulk_save_objects([Account(email="new", **v)]),
        s.commit(),
    ),
    "bulk_insert_mappings": lambda s, **v: (
        s.bulk_insert_mappings(Account, [{"email": "new", **v}]),
        s.commit(),
    ),
    "raw strategy": lambda s, **v: (
        s.execute(
            insert(Account).values(email="new", size=0, provider_id=1, **v),
            execution_options={"dml_strategy": "raw"},
        ),
        s.commit(),
    ),
}


@pytest.mark.parametrize("way", NEW)
@pytest.mark.parametrize("who", [ANN_RED, ANN_BLUE, ADMIN_RED], ids=lambda who: who.name)
def test_a_new_row_belongs_to_the_identity(
    engine: Engine, session: Session, who: Who, way: str
) -> None:
    with who.acting():
        NEW[way](session)
    row = account_of(engine, "new")
    assert (row.tenant_id, row.user_id) == (who.tenant, who.user)


@pytest.mark.parametrize("way", NEW)
def test_owners_may_be_named(engine: Engine, session: Session, way: str) -> None:
    with ANN_RED.acting():
        NEW[way](session, tenant_id=RED, user_id=ANN_RED.user)
    assert account_of(engine, "new").tenant_id == RED


@pytest.mark.parametrize("way", NEW)
@pytest.mark.parametrize(
    "owner",
    [{"tenant_id": BLUE}, {"user_id": BOB}, {"tenant_id": BLUE, "user_id": ANN_RED.user}],
    ids=["tenant", "user", "both"],
)
@pytest.mark.usefixtures("untouched")
def test_a_row_for_others_raises(session: Session, way: str, owner: dict[str, uuid.UUID]) -> None:
    with ANN_RED.acting(), pytest.raises(ForeignRow):
        NEW[way](session, **owner)


@pytest.mark.parametrize("way", NEW)
def test_an_admin_makes_rows_for_the_tenants_users(
    engine: Engine, session: Session, way: str
) -> None:
    with ADMIN_RED.acting():
        NEW[way](session, user_id=BOB)
    row = account_of(engine, "new")
    assert (row.tenant_id, row.user_id) == (RED, BOB)


@pytest.mark.parametrize("way", NEW)
@pytest.mark.usefixtures("untouched")
def test_an_admin_cannot_make_rows_for_another_tenant(session: Session, way: str) -> None:
    with ADMIN_RED.acting(), pytest.raises(ForeignRow):
        NEW[way](session, tenant_id=BLUE)


@pytest.mark.parametrize("way", NEW)
@pytest.mark.usefixtures("untouched")
def test_a_new_row_without_an_identity_raises(session: Session, way: str) -> None:
    with pytest.raises(TenantContextMissing):
        NEW[way](session, tenant_id=RED, user_id=BOB)


def test_an_object_belongs_to_the_identity_that_added_it(session: Session, engine: Engine) -> None:
    """Somebody else's flush does not make it theirs."""
    with ANN_RED.acting():
        session.add(Account(email="new"))
    with BOB_RED.acting(), pytest.raises(ForeignRow):
        session.commit()
    session.rollback()
    assert "new" not in {row[1] for row in everything(engine)["account"]}


def test_a_subclass_gets_its_owner_in_the_base_table(session: Session, engine: Engine) -> None:
    with ANN_BLUE.acting():
        session.add(Invoice(id=1, title="new", amount=1))
        session.commit()
        session.execute(insert(Invoice), [{"id": 2, "kind": "invoice", "title": "n", "amount": 2}])
        session.commit()
    with engine.connect() as connection:
        table = Document.__table__
        rows = connection.execute(select(table.c.tenant_id).where(table.c.id.in_([1, 2])))
        assert rows.scalars().all() == [BLUE, BLUE]


MANY = [
    {"email": "new", "size": 0, "provider_id": 1},
    {"email": "newer", "size": 0, "provider_id": 1},
]
TABLE = Account.__table__
NEW_ROWS: dict[str, Callable[[Session], object]] = {
    "several values": lambda s: s.execute(insert(Account).values(MANY)),
    "core": lambda s: s.execute(insert(TABLE).values(**MANY[0])),
    "core, several values": lambda s: s.execute(insert(TABLE).values(MANY)),
    "core on the connection": lambda s: s.connection().execute(insert(TABLE), MANY),
    "core, returning": lambda s: s.execute(insert(TABLE).returning(TABLE.c.id), MANY),
    "some rows say whose they are": lambda s: s.execute(
        insert(TABLE), [{**MANY[0], "tenant_id": RED}, {**MANY[1], "tenant_id": None}]
    ),
    "from a SELECT": lambda s: s.execute(
        insert(Account).from_select(
            ["email", "size", "provider_id"],
            select(literal("new"), Account.size, Account.provider_id).where(Account.id == 101),
        )
    ),
    "from a SELECT that says whose they are": lambda s: s.execute(
        insert(Account).from_select(
            ["email", "size", "provider_id", "tenant_id", "user_id"],
            select(
                literal("new"),
                Account.size,
                Account.provider_id,
                Account.tenant_id,
                Account.user_id,
            ).where(Account.id == 101),
        )
    ),
    "an expression for the owner": lambda s: s.execute(
        insert(Account).values(
            **MANY[0], tenant_id=select(func.max(Account.tenant_id)).scalar_subquery()
        )
    ),
    "in a CTE": lambda s: s.execute(
        insert(Account).values(**MANY[0]).add_cte(select(Account.id).cte("unused"))
    ),
}


@pytest.mark.parametrize("way", NEW_ROWS)
def test_rows_of_any_statement_get_their_owner(engine: Engine, session: Session, way: str) -> None:
    with ANN_RED.acting():
        committed(session, NEW_ROWS[way])
    row = account_of(engine, "new")
    assert (row.tenant_id, row.user_id) == (RED, ANN_RED.user)


FOREIGN_ROWS: dict[str, Callable[[Session], object]] = {
    "one of several values": lambda s: s.execute(
        insert(TABLE).values([MANY[0], {**MANY[1], "tenant_id": BLUE}])
    ),
    "core": lambda s: s.execute(insert(TABLE).values(**MANY[0], tenant_id=BLUE)),
    "a bind that the execution sets": lambda s: s.execute(
        insert(TABLE).values(**MANY[0], tenant_id=bindparam("t", RED)), {"t": BLUE}
    ),
    "a bind of an ORM statement that the execution sets": lambda s: s.execute(
        insert(Account).values(**MANY[0], tenant_id=bindparam("t", RED)), {"t": BLUE}
    ),
    "one of several executions": lambda s: s.execute(
        insert(TABLE), [{**MANY[0], "tenant_id": RED}, {**MANY[1], "tenant_id": BLUE}]
    ),
    "an expression for the owner": lambda s: s.execute(
        insert(TABLE).values(**MANY[0], tenant_id=func.nullif(literal(BLUE, Uuid()), None))
    ),
    "from a SELECT": lambda s: s.execute(
        insert(TABLE).from_select(
            ["email", "size", "provider_id", "tenant_id"],
            select(literal("new"), literal(0), literal(1), literal(BLUE, Uuid())),
        )
    ),
    "text": lambda s: s.execute(text("INSERT INTO account (id) VALUES (1)")),
    "a prefix that replaces rows": lambda s: s.execute(
        insert(TABLE).prefix_with("OR REPLACE").values(**{**MANY[0], "email": "1@bob"})
    ),
    "a lightweight table without the owner": lambda s: s.execute(
        insert(table("account", column("email"))).values(email="new")
    ),
    "the table of a subclass": lambda s: s.execute(
        insert(Invoice.__table__).values(id=301, amount=1)
    ),
    "the table of a subclass, of no row": lambda s: s.execute(
        insert(Invoice.__table__).values(amount=1)
    ),
    "a link to rows of others": lambda s: s.execute(
        insert(message_label).values(message_id=3010, label_id=302)
    ),
    "a link to a row of others": lambda s: s.execute(
        insert(message_label), [{"message_id": 1010, "label_id": 302}]
    ),
    "a link by an expression": lambda s: s.execute(
        insert(message_label).values(message_id=1010, label_id=literal(301) + 1)
    ),
    "links from a SELECT": lambda s: s.execute(
        insert(message_label).from_select(
            ["message_id", "label_id"], select(Message.id, literal(302)).limit(1)
        )
    ),
    "a link by the unit of work": lambda s: link_by_unit_of_work(s),
}


def link_by_unit_of_work(session: Session) -> None:
    """With a label that the session knows from a moment when everything was shown."""
    with unscoped("the test's"):
        label = session.get(Label, 302)
    message = session.get(Message, 1010)
    message.labels.append(label)
    session.flush()


@pytest.mark.parametrize("way", FOREIGN_ROWS)
@pytest.mark.usefixtures("untouched")
def test_no_statement_makes_rows_of_others(session: Session, way: str) -> None:
    refusals = ForeignRow, UnscopedStatement, IntegrityError, ObjectDeletedError
    for _ in range(2):  # what was refused once is not let through from a cache
        with ANN_RED.acting(), pytest.raises(refusals):
            committed(session, FOREIGN_ROWS[way])
        session.rollback()


def test_several_values_with_their_owners_are_checked(session: Session, engine: Engine) -> None:
    row = {"size": 0, "provider_id": 1, "tenant_id": RED, "user_id": ANN_RED.user}
    with ANN_RED.acting():
        session.execute(insert(Account).values([{"email": "new", **row}, {"email": "b", **row}]))
        session.commit()
        with pytest.raises(ForeignRow):
            session.execute(
                insert(Account).values(
                    [{"email": "c", **row}, {"email": "d", **row, "tenant_id": BLUE}]
                )
            )
    assert account_of(engine, "new").user_id == ANN_RED.user


def test_a_global_row_is_inserted_from_a_bounded_select(session: Session) -> None:
    with ANN_RED.acting():
        session.execute(
            insert(Provider).from_select(["name"], select(Account.email).order_by(Account.id))
        )
        names = session.scalars(select(Provider.name).where(Provider.id > 2)).all()
    assert sorted(names) == ["1@ann", "2@ann", "3@ann"]


@pytest.mark.usefixtures("untouched")
def test_upsert_does_not_change_others_rows(session: Session) -> None:
    """The conflict is with a row of Bob's."""
    with ANN_RED.acting():
        session.execute(
            sqlite_insert(Account)
            .values(email="1@bob", size=99, provider_id=1)
            .on_conflict_do_update(index_elements=["email"], set_={"size": 99})
        )
        session.execute(
            sqlite_insert(Account).on_conflict_do_update(
                index_elements=["email"], set_={"size": 99}, where=Account.size < 50
            ),
            [{"email": "1@bob", "size": 99}],
        )
        session.execute(
            sqlite_insert(Account)
            .values(email="1@bob", size=99, provider_id=1)
            .on_conflict_do_nothing()
        )
        session.commit()


UPSERTED: dict[str, Callable[[], dict[object, object]]] = {
    "value": lambda: {"tenant_id": BLUE},
    "column": lambda: {TABLE.c.tenant_id: BLUE},
    "in another case": lambda: {"TENANT_ID": BLUE},
    "bind": lambda: {"tenant_id": bindparam("t", RED)},
    "expression": lambda: {"tenant_id": func.nullif(literal(BLUE, Uuid()), None)},
    "subquery": lambda: {"tenant_id": select(literal(BLUE, Uuid())).scalar_subquery()},
}


@pytest.mark.parametrize("way", UPSERTED)
@pytest.mark.filterwarnings("ignore:Additional column names not matching")
@pytest.mark.usefixtures("untouched")
def test_upsert_does_not_change_the_owner(session: Session, way: str) -> None:
    statement = (
        sqlite_insert(TABLE)
        .values(email="1@ann", size=1, provider_id=1)
        .on_conflict_do_update(index_elements=["email"], set_=UPSERTED[way]())
    )
    with ANN_RED.acting(), pytest.raises((ForeignRow, UnscopedStatement)):
        committed(session, lambda s: s.execute(statement, {"t": BLUE} if way == "bind" else {}))
    session.rollback()


def test_upsert_may_set_the_owner_to_itself(session: Session, engine: Engine) -> None:
    statement = sqlite_insert(TABLE).values(email="1@ann", size=8, provider_id=1)
    for owner in (statement.excluded.tenant_id, RED, bindparam("t", RED)):
        with ANN_RED.acting():
            session.execute(
                statement.on_conflict_do_update(
                    index_elements=["email"], set_={"size": 8, "tenant_id": owner}
                )
            )
            session.commit()
    assert account_of(engine, "1@ann").size == 8


def test_upsert_changes_an_own_row(session: Session, engine: Engine) -> None:
    with ANN_RED.acting():
        session.execute(
            sqlite_insert(Account)
            .values(email="1@ann", size=99, provider_id=1)
            .on_conflict_do_update(index_elements=["email"], set_={"size": 99})
        )
        session.commit()
    assert account_of(engine, "1@ann").size == 99


# --- Changed rows -------------------------------------------------------------


# Statements on everything: they must change the identity's rows and no others.
CHANGES: dict[str, Callable[[Session], object]] = {
    "update": lambda s: s.execute(update(Account).values(size=77)),
    "update, fetched": lambda s: s.execute(
        update(Account).values(size=77), execution_options={"synchronize_session": "fetch"}
    ),
    "update, evaluated": lambda s: s.execute(
        update(Account).values(size=77), execution_options={"synchronize_session": "evaluate"}
    ),
    "update, not synchronized": lambda s: s.execute(
        update(Account).values(size=77), execution_options={"synchronize_session": False}
    ),
    "update returning": lambda s: s.scalars(
        update(Account).values(size=77).returning(Account)
    ).all(),
    "update where": lambda s: s.execute(update(Account).where(Account.id > 0).values(size=77)),
    "update where in": lambda s: s.execute(
        update(Account).where(Account.id.in_(select(Account.id))).values(size=77),
        execution_options={"synchronize_session": False},
    ),
    "Query.update": lambda s: s.query(Account).update({"size": 77}),
    "Query.update, filtered": lambda s: s.query(Account)
    .filter(Account.id > 0)
    .update({Account.size: 77}, synchronize_session="fetch"),
    "core strategy": lambda s: s.execute(
        update(Account).values(size=77),
        execution_options={"dml_strategy": "core_only", "synchronize_session": False},
    ),
    "by objects": lambda s: [setattr(a, "size", 77) for a in s.scalars(select(Account))],
}


@pytest.mark.parametrize("way", CHANGES)
@pytest.mark.parametrize("who", [ANN_RED, ANN_BLUE, ADMIN_RED], ids=lambda who: who.name)
def test_only_own_rows_are_changed(engine: Engine, session: Session, who: Who, way: str) -> None:
    with who.acting():
        CHANGES[way](session)
        session.commit()
    with engine.connect() as connection:
        for row in connection.execute(select(Account.__table__)):
            assert (row.size == 77) == who.sees_user(row)


@pytest.mark.parametrize("way", CHANGES)
@pytest.mark.usefixtures("untouched")
def test_nothing_is_changed_without_an_identity(session: Session, way: str) -> None:
    with pytest.raises(TenantContextMissing):
        committed(session, CHANGES[way])


REMOVALS: dict[str, Callable[[Session], object]] = {
    "delete": lambda s: s.execute(delete(Message)),
    "delete, fetched": lambda s: s.execute(
        delete(Message), execution_options={"synchronize_session": "fetch"}
    ),
    "delete, not synchronized": lambda s: s.execute(
        delete(Message), execution_options={"synchronize_session": False}
    ),
    "delete returning": lambda s: s.scalars(delete(Message).returning(Message.id)).all(),
    "delete where": lambda s: s.execute(
        delete(Message).where(Message.id.in_(select(Message.id))),
        execution_options={"synchronize_session": False},
    ),
    "Query.delete": lambda s: s.query(Message).delete(),
    "by objects": lambda s: [s.delete(m) for m in s.scalars(select(Message))],
}


@pytest.mark.parametrize("way", REMOVALS)
@pytest.mark.parametrize("who", [ANN_RED, ANN_BLUE, ADMIN_RED], ids=lambda who: who.name)
def test_only_own_rows_are_removed(engine: Engine, session: Session, who: Who, way: str) -> None:
    with engine.connect() as connection:
        before = connection.execute(select(Message.__table__)).all()
    with who.acting():
        REMOVALS[way](session)
        session.commit()
    with engine.connect() as connection:
        after = connection.execute(select(Message.__table__)).all()
    assert after == [row for row in before if not who.sees_user(row)]
    assert after != before


# Attempts on account 201, which is Bob's, by Ann of the same tenant and by Ann of another.
ATTEMPTS: dict[str, Callable[[Session], object]] = {
    "update by key": lambda s: s.execute(update(Account).where(Account.id == 201).values(size=9)),
    "update by keys in bulk": lambda s: s.execute(update(Account), [{"id": 201, "size": 9}]),
    "bulk_update_mappings": lambda s: s.bulk_update_mappings(Account, [{"id": 201, "size": 9}]),
    "bulk_save_objects": lambda s: s.bulk_save_objects([forged(201)], update_changed_only=False),
    "delete by key": lambda s: s.execute(delete(Account).where(Account.id == 201)),
    "an object made up": lambda s: made_up(s),
    "deletion of an object made up": lambda s: s.delete(forged(203)),
    "merge of an object made up": lambda s: s.merge(Account(id=201, email="x")),
    "text": lambda s: s.execute(text("UPDATE account SET size = 9")),
    "an OR": lambda s: s.execute(
        update(Account).where(text("1 = 1 OR 1 = 1")).values(size=9),
        execution_options={"synchronize_session": False},
    ),
}


def forged(number: int) -> Account:
    """An object that claims to be in the database, and Ann's."""
    account = Account(
        id=number, email="forged", tenant_id=RED, user_id=ANN_RED.user, size=0, provider_id=1
    )
    make_transient_to_detached(account)
    return account


def made_up(session: Session) -> None:
    account = forged(201)
    session.add(account)
    account.size = 9


@pytest.mark.filterwarnings("ignore:DELETE statement on table .* 0 were matched")
@pytest.mark.parametrize("way", ATTEMPTS)
@pytest.mark.parametrize("who", [ANN_RED, ANN_BLUE], ids=lambda who: who.name)
@pytest.mark.usefixtures("untouched")
def test_rows_of_others_are_unchanged(session: Session, who: Who, way: str) -> None:
    refusals = UnscopedStatement, ForeignRow, StaleDataError
    # A key may be taken by a row that Ann cannot see.
    with who.acting(), suppress(*refusals, IntegrityError):
        committed(session, ATTEMPTS[way])
    session.rollback()


STATEMENTS: dict[str, Callable[[Session], object]] = {
    "core update": lambda s: s.execute(update(TABLE).values(size=9)),
    "core update on the connection": lambda s: s.connection().execute(update(TABLE).values(size=9)),
    "core update of an alias": lambda s: s.execute(update(TABLE.alias("a")).values(size=9)),
    "core delete": lambda s: s.execute(delete(message_label)),
    "another class's columns": lambda s: s.execute(
        update(Message).where(Message.account_id == Account.id).values(subject=Account.email),
        execution_options={"synchronize_session": False},
    ),
    "an OR": lambda s: s.execute(
        update(TABLE).where(or_(TABLE.c.id == 101, TABLE.c.id > 0)).values(size=9)
    ),
    "an operator OR": lambda s: s.execute(
        update(TABLE).where((TABLE.c.id == 101).op("OR")(TABLE.c.id > 0)).values(size=9)
    ),
    "delete of a subclass": lambda s: s.execute(delete(Invoice)),
    "delete of a subclass by its table": lambda s: s.execute(delete(Invoice.__table__)),
    "a link table": lambda s: s.execute(delete(message_label)),
}


@pytest.mark.parametrize("way", STATEMENTS)
@pytest.mark.parametrize("who", [ANN_RED, ANN_BLUE, ADMIN_RED], ids=lambda who: who.name)
def test_a_statement_changes_own_rows_only(
    session: Session, engine: Engine, who: Who, way: str
) -> None:
    before = everything(engine)
    with who.acting():
        committed(session, STATEMENTS[way])
    after = everything(engine)
    assert after != before
    for table_name, rows in before.items():
        changed = rows ^ after[table_name]
        assert all(is_own(who, table_name, row) for row in changed)


def is_own(who: Who, name: str, row: tuple[object, ...]) -> bool:
    """Whether a row belongs to the identity; the numbers of links and invoices say it."""
    number = int(str(row[0])[0])  # of the owner, in the order of OWNERS
    if name == "invoice":
        return number in ((1, 2) if who.tenant == RED else (3, 4))
    if name == "links":
        return number in {ANN_RED: (1,), ANN_BLUE: (3,), ADMIN_RED: (1, 2)}[who]
    return who.tenant in row and (who.role == "admin" or who.user in row)


MOVES: dict[str, Callable[[Session, dict[str, uuid.UUID]], object]] = {
    "attribute": lambda s, to: [setattr(s.get(Account, 101), *item) for item in to.items()],
    "attribute of an expired object": lambda s, to: (
        s.expire(a := s.get(Account, 101)),
        [setattr(a, *item) for item in to.items()],
    ),
    "update": lambda s, to: s.execute(update(Account).where(Account.id == 101).values(**to)),
    "update by column": lambda s, to: s.execute(
        update(Account).values({getattr(Account, key): value for key, value in to.items()})
    ),
    "update by an expression": lambda s, to: s.execute(
        update(Account).values({key: func.coalesce(value) for key, value in to.items()}),
        execution_options={"synchronize_session": False},
    ),
    "ordered values": lambda s, to: s.execute(update(Account).ordered_values(*to.items())),
    "Query.update": lambda s, to: s.query(Account).update(to),
    "in bulk": lambda s, to: s.execute(update(Account), [{"id": 101, **to}]),
    "bulk_update_mappings": lambda s, to: s.bulk_update_mappings(Account, [{"id": 101, **to}]),
    "merge": lambda s, to: s.merge(Account(id=101, email="x", **to)),
}


@pytest.mark.parametrize("way", MOVES)
@pytest.mark.parametrize("to", [{"tenant_id": BLUE}, {"user_id": BOB}], ids=["tenant", "user"])
@pytest.mark.usefixtures("untouched")
def test_a_row_is_not_moved_to_others(session: Session, way: str, to: dict[str, uuid.UUID]) -> None:
    with ANN_RED.acting(), pytest.raises(ForeignRow):
        committed(session, lambda s: MOVES[way](s, to))
    session.rollback()


@pytest.mark.parametrize("way", [way for way in MOVES if "expression" not in way])
def test_an_admin_moves_a_row_between_users(session: Session, engine: Engine, way: str) -> None:
    with ADMIN_RED.acting():
        MOVES[way](session, {"user_id": BOB})
        session.commit()
    with engine.connect() as connection:
        table = Account.__table__
        moved = connection.execute(select(table.c.user_id).where(table.c.id == 101)).scalar()
    assert moved == BOB


@pytest.mark.usefixtures("untouched")
def test_an_object_of_another_identity_in_the_session_cannot_be_changed(session: Session) -> None:
    with BOB_RED.acting():
        account = session.get(Account, 201)
    with ANN_RED.acting():
        account.size = 9
        with pytest.raises(ForeignRow):
            session.commit()
        session.rollback()
        with pytest.raises(ObjectDeletedError):  # it is not there, for Ann
            session.delete(account)


def test_an_update_of_a_joined_subclass_is_bounded(session: Session, engine: Engine) -> None:
    """Both tables are in the statement, joined: the owner is in the other one."""
    with ANN_RED.acting():
        session.execute(
            update(Invoice).values(amount=7), execution_options={"synchronize_session": False}
        )
        session.commit()
    with engine.connect() as connection:
        amounts = dict(
            connection.execute(select(Invoice.__table__.c.id, Invoice.__table__.c.amount)).all()
        )
    assert amounts == {102: 7, 202: 7, 302: 300, 402: 400}


def test_objects_of_a_joined_subclass_can_be_changed_and_deleted(
    session: Session, engine: Engine
) -> None:
    with ANN_RED.acting():
        session.get(Invoice, 102).amount = 7
        session.delete(session.get(Invoice, 202))
        session.commit()
    with engine.connect() as connection:
        amounts = dict(
            connection.execute(select(Invoice.__table__.c.id, Invoice.__table__.c.amount)).all()
        )
    assert amounts == {102: 7, 302: 300, 402: 400}


@pytest.mark.filterwarnings("ignore:DELETE statement on table .* 0 were matched")
@pytest.mark.usefixtures("untouched")
def test_a_made_up_object_of_a_joined_subclass_cannot_be_changed(session: Session) -> None:
    for change in (lambda i: setattr(i, "amount", 9), session.delete):
        invoice = Invoice(id=302, kind="invoice", title="x", amount=1, tenant_id=RED)
        make_transient_to_detached(invoice)
        with ANN_RED.acting():
            session.add(invoice)
            change(invoice)
            with suppress(StaleDataError):
                session.commit()
        session.rollback()
        session.expunge_all()


def test_link_rows_are_written_by_the_unit_of_work(session: Session, engine: Engine) -> None:
    with ANN_RED.acting():
        message = session.get(Message, 1010)
        message.labels = [session.get(Label, 101)]
        session.commit()
        message.labels = []
        session.commit()
    assert not {row for row in everything(engine)["links"] if row[0] == 1010}


def test_unscoped_writes_for_everybody(session: Session, engine: Engine) -> None:
    with unscoped("a migration of sizes"):
        session.execute(update(Account).values(size=5))
        session.add(Account(email="new", tenant_id=BLUE, user_id=BOB))
        session.commit()
        assert session.scalar(select(func.count()).select_from(Account)) == 13
        assert session.scalar(text("SELECT count(*) FROM account")) == 13
    assert {row[2] for row in everything(engine)["account"]} <= {5, 0}
