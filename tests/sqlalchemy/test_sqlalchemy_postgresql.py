"""PostgreSQL: isolation by statements, and row-level security as the second wall behind it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, create_engine, func, select, text, true
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session, sessionmaker

from flask_tenant_auth.sqlalchemy import (
    TenantContextMissing,
    UnscopedStatement,
    policies,
    row_level_security,
    unscoped,
)
from mail import (
    ADMIN_RED,
    ANN_BLUE,
    ANN_RED,
    BLUE,
    BOB,
    BOB_RED,
    EVERYBODY,
    RED,
    Account,
    Base,
    Document,
    Invoice,
    Message,
    Provider,
    Who,
    sessions,
)
from mail_database import Database, SecuredSession, TwoPhasePostgreSQL
from mail_queries import ACCOUNTS, FIGURES, ids, own
from servers import PostgreSQL


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with TwoPhasePostgreSQL() as server:
        yield server


@pytest.fixture(scope="module")
def plain(server: PostgreSQL) -> Iterator[Engine]:
    """As the application, without row-level security."""
    database = Database(server, "plain")
    yield database.engine("app")
    database.dispose()


@pytest.fixture(scope="module")
def database(server: PostgreSQL) -> Iterator[Database]:
    database = Database(server, "walled")
    database.run(database.owner, *policies.create_sql(metadata=Base.metadata))
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def walled(database: Database) -> Engine:
    """As the application, with row-level security; one connection for all."""
    return database.engine("app")


@pytest.fixture
def session(walled: Engine) -> Iterator[Session]:
    with SecuredSession(walled) as session:
        yield session


@pytest.mark.parametrize("who", EVERYBODY, ids=lambda who: who.name)
@pytest.mark.parametrize("way", ACCOUNTS)
def test_every_query_reads_own_rows_only(plain: Engine, walled: Engine, who: Who, way: str) -> None:
    for factory in (sessions(plain), sessionmaker(walled, class_=SecuredSession)):
        with factory() as session, who.acting():
            found = ids(ACCOUNTS[way](session))
        assert found == [account.id for account in own(who, Account)]


@pytest.mark.parametrize("who", [ANN_RED, ADMIN_RED, ANN_BLUE], ids=lambda who: who.name)
@pytest.mark.parametrize("way", FIGURES)
def test_every_figure_is_of_own_rows_only(
    plain: Engine, walled: Engine, who: Who, way: str
) -> None:
    ask, reference = FIGURES[way]
    for factory in (sessions(plain), sessionmaker(walled, class_=SecuredSession)):
        with factory() as session, who.acting():
            assert ask(session) == reference(own(who, Account))


def test_a_lateral_subquery_is_bounded(plain: Engine) -> None:
    inner = select(Account.id).where(Account.provider_id == Provider.id).lateral()
    with sessions(plain)() as session, ANN_RED.acting():
        found = session.scalars(select(inner.c.id).select_from(Provider).join(inner, true()))
        assert ids(found) == [101, 102, 103]


def test_row_locks_are_bounded(plain: Engine) -> None:
    with sessions(plain)() as session, ANN_RED.acting():
        locked = session.scalars(
            select(Account).join(Message).with_for_update(of=[Message, Account])
        )
        assert {a.id for a in locked} == {101, 102, 103}


def test_a_delete_of_a_joined_subclass_is_bounded(plain: Engine) -> None:
    from sqlalchemy import delete

    with sessions(plain)() as session:
        with ANN_BLUE.acting():
            session.execute(delete(Invoice), execution_options={"synchronize_session": False})
            assert session.scalars(select(Invoice.id)).all() == []
        with ANN_RED.acting():
            assert ids(session.scalars(select(Invoice.id))) == [102, 202]
        session.rollback()


def test_an_upsert_is_bounded(plain: Engine) -> None:
    row = {"email": "1@bob", "size": 99, "provider_id": 1}
    statement = postgresql_insert(Account).on_conflict_do_update(
        index_elements=["email"], set_={"size": 99}
    )
    with sessions(plain)() as session:
        with ANN_RED.acting():
            session.execute(statement, [row])
            session.execute(statement, [{**row, "email": "1@ann"}])
            assert session.get(Account, 101).size == 99
        with BOB_RED.acting():
            assert session.get(Account, 201).size == 1
        session.rollback()


# --- The second wall ----------------------------------------------------------

RAW: dict[str, Callable[[Session], object]] = {
    "text": lambda s: s.scalars(text("SELECT id FROM account")),
    "text with columns": lambda s: s.scalars(text("SELECT id FROM account").columns(Account.id)),
    "entities from text": lambda s: (
        a.id for a in s.scalars(select(Account).from_statement(text("SELECT * FROM account")))
    ),
    "core": lambda s: s.scalars(select(Account.__table__.c.id)),
    "connection": lambda s: s.connection().scalars(select(Account.__table__.c.id)),
    "exec_driver_sql": lambda s: (
        row[0] for row in s.connection().exec_driver_sql("SELECT id FROM account")
    ),
    "DBAPI cursor": lambda s: (
        row[0] for row in s.connection().connection.cursor().execute("SELECT id FROM account")
    ),
    "an OR": lambda s: s.scalars(select(Account.id).where(text("1 = 1 OR 1 = 1"))),
    "window over a class that is not selected": lambda s: (
        row.id
        for row in s.execute(select(Account.__table__.c.id, func.rank().over(order_by=Account.id)))
    ),
}


@pytest.mark.parametrize("who", EVERYBODY, ids=lambda who: who.name)
@pytest.mark.parametrize("way", RAW)
def test_raw_sql_is_bounded(session: Session, who: Who, way: str) -> None:
    with who.acting():
        assert ids(RAW[way](session)) == [account.id for account in own(who, Account)]


@pytest.mark.parametrize("way", ["text", "exec_driver_sql", "DBAPI cursor"])
def test_raw_sql_without_an_identity_sees_nothing(session: Session, way: str) -> None:
    assert ids(RAW[way](session)) == []


@pytest.mark.parametrize("way", ["core", "connection"])
def test_a_construct_without_an_identity_raises(session: Session, way: str) -> None:
    with pytest.raises(TenantContextMissing):
        RAW[way](session)
    with pytest.raises(TenantContextMissing):
        session.scalars(select(Account.id))


@pytest.mark.parametrize("table", ["document", "invoice", "message", "message_label", "note"])
def test_every_table_is_bounded(session: Session, table: str) -> None:
    """A subclass's table follows its base, a link table what it links."""
    count = text(f"SELECT count(*) FROM {table}")
    assert session.scalar(count) == 0
    with unscoped("the number of all rows"):
        everything = session.scalar(count)
    seen = {}
    for who in (ADMIN_RED, ANN_BLUE, BOB_RED):
        with who.acting():
            seen[who.name] = session.scalar(count)
    assert all(0 < number < everything for number in seen.values())


def test_raw_writes_are_bounded(session: Session, walled: Engine) -> None:
    with ANN_RED.acting():
        changed = session.execute(text("UPDATE account SET size = 50"))
        assert changed.rowcount == 3
        assert session.execute(text("DELETE FROM message WHERE account_id = 201")).rowcount == 1
        session.execute(
            text(
                "INSERT INTO account (id, email, size, provider_id, tenant_id, user_id)"
                " VALUES (9, 'raw', 0, 1, :tenant, :user)"
            ),
            {"tenant": RED, "user": ANN_RED.user},
        )
        session.rollback()
        for owner in ({"tenant": BLUE, "user": BOB}, {"tenant": RED, "user": BOB}):
            for statement in (
                "INSERT INTO account (id, email, size, provider_id, tenant_id, user_id)"
                " VALUES (9, 'raw', 0, 1, :tenant, :user)",
                "UPDATE account SET tenant_id = :tenant, user_id = :user",
            ):
                with pytest.raises(ProgrammingError, match="violates row-level security"):
                    session.execute(text(statement), owner)
                session.rollback()


def test_new_objects_can_be_inserted_and_deleted(session: Session) -> None:
    """INSERT ... RETURNING and identity columns pass the policies."""
    with ANN_RED.acting():
        account = Account(email="new", messages=[Message(subject="new")])
        session.add_all([account, Invoice(id=9, title="new", amount=1)])
        session.commit()
        assert account.id > 10000
        session.delete(account)
        session.delete(session.get(Document, 9))
        session.commit()


def test_identities_that_share_one_connection_see_their_own_rows(walled: Engine) -> None:
    """From tenant to tenant, and to nobody: each sees its own, and the connection keeps nothing."""
    for _ in range(3):
        for who in EVERYBODY:
            with SecuredSession(walled) as session, who.acting():
                found = ids(session.scalars(text("SELECT id FROM account")))
                assert found == [account.id for account in own(who, Account)]
            with walled.connect() as connection:
                assert connection.scalar(text("SELECT count(*) FROM account")) == 0
                told = "SELECT current_setting('flask_tenant_auth.tenant_id', true)"
                assert connection.scalar(text(told)) in (None, "")


def test_no_setting_outlives_the_transaction_in_a_pooler(database: Database) -> None:
    """What is told ends with the transaction: nothing of it is left for the next client."""
    engine = database.engine("app")
    with SecuredSession(engine) as session, ANN_RED.acting():
        session.scalars(text("SELECT 1"))
        session.commit()
        # Past the session, on the same connection of the server, between two transactions.
        raw = engine.pool.connect()
        assert raw.cursor().execute("SELECT count(*) FROM account").fetchone() == (0,)
        raw.close()
        assert ids(session.scalars(text("SELECT id FROM account"))) == [101, 102, 103]


def told(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each time that a transaction was told who is asking."""
    sent: list[object] = []
    original = row_level_security.Settings.note_set
    monkeypatch.setattr(
        row_level_security.Settings,
        "note_set",
        lambda settings: (sent.append(settings), original(settings)),
    )
    return sent


def test_the_settings_take_one_round_trip_a_transaction(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = told(monkeypatch)
    with ANN_RED.acting():
        for _ in range(3):
            session.scalars(select(Account)).all()
            session.execute(text("SELECT 1"))
        session.add(Account(email="new"))
        session.flush()
        assert len(sent) == 1
        session.rollback()
        session.execute(text("SELECT 1"))
        assert len(sent) == 2


def test_savepoints_are_bounded(session: Session) -> None:
    count = text("SELECT count(*) FROM account")
    with ANN_RED.acting():
        assert session.scalar(count) == 3
        nested = session.begin_nested()
        assert session.scalar(count) == 3
        nested.rollback()
        assert session.scalar(count) == 3
        with ADMIN_RED.acting():
            nested = session.begin_nested()
            assert session.scalar(count) == 6
            nested.rollback()  # which takes back what was told since the savepoint
            assert session.scalar(count) == 6
        assert session.scalar(count) == 3
        with ADMIN_RED.acting(), session.begin_nested():
            assert session.scalar(count) == 6
        assert session.scalar(count) == 3


def test_a_savepoint_rolled_back_for_another_identity_is_bounded(session: Session) -> None:
    count = text("SELECT count(*) FROM account")
    with ANN_RED.acting():
        session.scalar(count)
    with ADMIN_RED.acting():
        nested = session.begin_nested()
        assert session.scalar(count) == 6
    with ANN_RED.acting():
        assert session.scalar(count) == 3
        nested.rollback()
        assert session.scalar(count) == 3
    assert session.scalar(count) == 0


def test_a_failed_statement_inside_a_savepoint_leaves_rows_bounded(session: Session) -> None:
    count = text("SELECT count(*) FROM account")
    with ANN_RED.acting():
        assert session.scalar(count) == 3
        nested = session.begin_nested()
        with pytest.raises(ProgrammingError):
            session.execute(text("SELECT nonsense"))
        with ADMIN_RED.acting():
            nested.rollback()
            assert session.scalar(count) == 6


def test_two_phase_commits_are_bounded(walled: Engine) -> None:
    with SecuredSession(walled, twophase=True) as session:
        with ANN_RED.acting():
            assert session.scalar(text("SELECT count(*) FROM account")) == 3
            session.execute(text("UPDATE account SET size = 51"))
            session.prepare()
            session.commit()
            assert session.scalar(text("SELECT count(*) FROM account WHERE size = 51")) == 3
            session.execute(text("UPDATE account SET size = id - 100"))
            session.commit()
        with ADMIN_RED.acting():
            assert session.scalar(text("SELECT count(*) FROM account WHERE size = 51")) == 0
            assert session.scalar(text("SELECT count(*) FROM account")) == 6


def test_statements_in_autocommit_are_bounded(walled: Engine) -> None:
    """Each statement is a transaction of its own, and is told who is asking."""
    engine = walled.execution_options(isolation_level="AUTOCOMMIT")
    count = text("SELECT count(*) FROM account")
    with SecuredSession(engine) as session:
        for who in EVERYBODY:
            with who.acting():
                assert session.scalar(count) == len(own(who, Account))
                assert ids(session.scalars(select(Account.id))) == [a.id for a in own(who, Account)]
        with ANN_RED.acting():
            with pytest.raises(ProgrammingError):
                session.execute(text("SELECT nonsense"))
            assert session.scalar(count) == 3
            session.execute(text("UPDATE account SET size = size"))
        assert session.scalar(count) == 0
    with walled.connect() as connection:
        assert connection.scalar(count) == 0


def test_unscoped_reads_every_row_until_it_ends(session: Session) -> None:
    count = text("SELECT count(*) FROM account")
    with ANN_RED.acting():
        assert session.scalar(count) == 3
        with unscoped("a report for the operator"):
            assert session.scalar(count) == 12
            assert session.scalar(select(func.count()).select_from(Account)) == 12
            with ADMIN_RED.acting():
                assert session.scalar(count) == 6
        assert session.scalar(count) == 3


def test_threads_on_few_connections_keep_their_identities(database: Database) -> None:
    """Many threads on few connections: nobody is told what somebody else was."""
    engine = database.engine("app", pool_size=2)
    statements = [
        text("SELECT id FROM account"),
        select(Account.id),
        select(Account.__table__.c.id),
    ]

    def work(seed: int) -> int:
        choose = random.Random(seed)
        for _ in range(40):
            who = choose.choice(EVERYBODY)
            with SecuredSession(engine) as session, who.acting():
                for _ in range(choose.randrange(1, 4)):
                    found = ids(session.scalars(choose.choice(statements)))
                    assert found == [account.id for account in own(who, Account)]
                if choose.random() < 0.5:
                    session.commit()
        return seed

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(work, range(8))) == list(range(8))


def test_other_connections_of_a_secured_engine_read_nothing(
    walled: Engine, session: Session
) -> None:
    """They are told nothing, so PostgreSQL shows them nothing."""
    with ANN_RED.acting():
        session.execute(text("SELECT 1"))
        session.rollback()
        with walled.connect() as connection:
            assert connection.execute(select(Account.__table__)).all() == []


def test_other_connections_of_a_plain_engine_raise_for_scoped_tables(plain: Engine) -> None:
    with plain.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM account")) == 12
        with ANN_RED.acting():
            for statement in (
                select(Account.__table__),
                select(Account),
                text("SELECT * FROM account"),
                text('SELECT * FROM provider, public."account"'),
            ):
                with pytest.raises(UnscopedStatement):
                    connection.execute(statement)
            with pytest.raises(UnscopedStatement):
                connection.exec_driver_sql("SELECT * FROM account")
            assert connection.scalar(text("SELECT count(*) FROM provider")) == 2
            with unscoped("the health of the database"):
                assert connection.scalar(text("SELECT count(*) FROM account")) == 12


# --- rls-sql and rls-check ----------------------------------------------------


def found_by_check(engine: Engine) -> str:
    with engine.connect() as connection:
        return "\n".join(policies.problems(connection, Base.metadata))


@pytest.fixture(scope="module")
def checked(server: PostgreSQL) -> Iterator[Database]:
    database = Database(server, "checked")
    yield database
    database.dispose()


def test_the_check_names_what_is_missing(checked: Database) -> None:
    app, owner = checked.engine("app"), checked.owner
    found = found_by_check(app)
    assert "account: row-level security is not enabled" in found
    assert "account: row-level security is not forced upon its owner" in found
    assert "account: the policy flask_tenant_auth is missing" in found
    checked.run(owner, *policies.create_sql(metadata=Base.metadata))
    checked.run(owner, *policies.create_sql(metadata=Base.metadata))  # again
    assert found_by_check(app) == ""
    checked.run(owner, *policies.drop_sql(Base.metadata))
    assert "message_label: row-level security is not enabled" in found_by_check(app)
    checked.run(owner, *policies.create_sql(with_unscoped=False, metadata=Base.metadata))
    assert found_by_check(app) == ""


def test_the_check_names_a_database_without_row_level_security() -> None:
    engine = create_engine("sqlite://")
    assert found_by_check(engine) == "sqlite has no row-level security"
    engine.dispose()


def test_alembic_operations_do_what_the_sql_does(checked: Database) -> None:
    """They are Python, and do what the SQL does."""
    script = policies.alembic_operations()

    class Operations:
        def __init__(self) -> None:
            self.sent: list[object] = []

        def execute(self, sql: str) -> None:
            self.sent.append(sql)

    op = Operations()
    namespace: dict[str, object] = {"op": op}
    exec(script, namespace)
    namespace["upgrade"]()
    assert op.sent == list(policies.create_sql())
    op.sent.clear()
    namespace["downgrade"]()
    assert op.sent == list(policies.drop_sql())
