"""Every way of reading rows: an identity gets its own, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import (
    DDL,
    BinaryExpression,
    Engine,
    Numeric,
    bindparam,
    cast,
    column,
    create_engine,
    extract,
    func,
    literal,
    literal_column,
    quoted_name,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.orm import (
    Session,
    aliased,
    defer,
    immediateload,
    joinedload,
    lazyload,
    selectinload,
    subqueryload,
    undefer,
    with_polymorphic,
)
from sqlalchemy.sql import operators
from sqlalchemy.types import UserDefinedType

from flask_tenant_auth.sqlalchemy import TenantContextMissing, UnscopedStatement, unscoped
from mail import (
    ADMIN_RED,
    ANN_BLUE,
    ANN_RED,
    BLUE,
    BOB_RED,
    EVERYBODY,
    Account,
    Document,
    Invoice,
    Label,
    Message,
    Note,
    PinnedNote,
    Provider,
    Who,
    populate,
    sessions,
)
from mail_queries import ACCOUNTS, EVERYTHING, FIGURES, INVOICE, TABLE, ids, own


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    populate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with sessions(engine)() as session:
        yield session


MESSAGES = {row.id: row for row in EVERYTHING if isinstance(row, Message)}


LINKS = Message.labels.property.secondary


class Raw(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "VARCHAR"

    def literal_processor(self, dialect: object) -> Callable[[str], str]:
        return lambda value: "(SELECT max(email) FROM account)"


@pytest.mark.parametrize("who", EVERYBODY, ids=lambda who: who.name)
@pytest.mark.parametrize("way", ACCOUNTS)
def test_every_query_reads_own_rows_only(session: Session, who: Who, way: str) -> None:
    with who.acting():
        found = ids(ACCOUNTS[way](session))
    assert found == [account.id for account in own(who, Account)]


@pytest.mark.parametrize("way", ACCOUNTS)
def test_every_query_raises_without_an_identity(session: Session, way: str) -> None:
    with pytest.raises(TenantContextMissing):
        ids(ACCOUNTS[way](session))


@pytest.mark.parametrize("who", EVERYBODY, ids=lambda who: who.name)
@pytest.mark.parametrize("way", FIGURES)
def test_every_figure_is_of_own_rows_only(session: Session, who: Who, way: str) -> None:
    ask, reference = FIGURES[way]
    with who.acting():
        found = ask(session)
    assert found == reference(own(who, Account))


@pytest.mark.parametrize("way", FIGURES)
def test_every_figure_raises_without_an_identity(session: Session, way: str) -> None:
    with pytest.raises(TenantContextMissing):
        FIGURES[way][0](session)


@pytest.mark.parametrize("who", EVERYBODY, ids=lambda who: who.name)
class TestRelated:
    def test_related_rows_are_bounded_however_they_are_loaded(
        self, session: Session, who: Who
    ) -> None:
        """Another user's message under one's own account stays unseen, however it is loaded."""
        mine = own(who, Message)
        for load in (lazyload, joinedload, selectinload, subqueryload, immediateload):
            session.expunge_all()
            with who.acting():
                statement = select(Account).options(load(Account.messages))
                found = {m.id for a in session.scalars(statement).unique() for m in a.messages}
            accounts = {a.id for a in own(who, Account)}
            parent = {m.id: m.account_id for m in mine}
            for account in own(who, Account):
                parent.update({m.id: account.id for m in account.messages})
            assert found == {m.id for m in mine if parent[m.id] in accounts}

    def test_a_parent_of_another_identity_is_none(self, session: Session, who: Who) -> None:
        with who.acting():
            for message in session.scalars(select(Message)):
                seen = message.account
                assert seen is None or who.sees_user(seen)

    def test_a_many_to_many_relationship_is_bounded(self, session: Session, who: Who) -> None:
        for load in (lazyload, joinedload, selectinload, subqueryload):
            session.expunge_all()
            with who.acting():
                found = session.scalars(select(Label).options(load(Label.messages))).unique().all()
                assert ids(label.id for label in found) == [label.id for label in own(who, Label)]
                for label in found:
                    assert all(who.sees_user(message) for message in label.messages)
                    session.expire(label)

    def test_a_join_through_a_link_table_is_bounded(self, session: Session, who: Who) -> None:
        with who.acting():
            found = session.scalars(select(Message).join(Message.labels).distinct()).all()
        linked = [m for m in own(who, Message) if m.id < 9000]
        assert ids(m.id for m in found) == [m.id for m in linked]

    def test_an_association_proxy_is_bounded(self, session: Session, who: Who) -> None:
        with who.acting():
            for account in session.scalars(select(Account)):
                assert all(
                    s.startswith(who.name.removeprefix("admin")[:0]) for s in account.subjects
                )
                assert len(account.subjects) == len(account.messages)
            found = session.scalars(
                select(Account.id).where(Account.subjects.contains("bob 2.0"))
            ).all()
        assert found == [a.id for a in own(who, Account) if a.id == 202]

    def test_a_column_property_is_bounded(self, session: Session, who: Who) -> None:
        with who.acting():
            counted = {
                a.id: a.message_count
                for a in session.scalars(select(Account).options(undefer(Account.message_count)))
            }
            alone = dict(session.execute(select(Account.id, Account.message_count)).all())
            session.expunge_all()
            deferred = {a.id: a.message_count for a in session.scalars(select(Account))}
        messages = {m.id for m in own(who, Message)}
        expected = {
            a.id: len([m for m in a.messages if m.id in messages])
            + ((a.id == 201) & (9001 in messages))
            for a in own(who, Account)
        }
        assert counted == alone == deferred == expected

    def test_a_hybrid_property_is_bounded(self, session: Session, who: Who) -> None:
        with who.acting():
            found = dict(session.execute(select(Account.id, Account.unread)).all())
            counted = dict(session.execute(select(Account.id, Account.message_count)).all())
        assert found == counted

    def test_a_self_referential_relationship_is_bounded(self, session: Session, who: Who) -> None:
        for load in (lazyload, joinedload, selectinload, subqueryload):
            session.expunge_all()
            with who.acting():
                notes = session.scalars(select(Note).options(load(Note.children))).unique().all()
                assert ids(n.id for n in notes) == [n.id for n in own(who, Note)]
                assert all(who.sees_user(child) for n in notes for child in n.children)

    def test_single_table_inheritance_is_bounded(self, session: Session, who: Who) -> None:
        with who.acting():
            pinned = session.scalars(select(PinnedNote)).all()
            texts = session.scalars(select(PinnedNote.text)).all()
        expected = [n for n in own(who, Note) if n.text.endswith("pinned")]
        assert ids(n.id for n in pinned) == [n.id for n in expected]
        assert sorted(texts) == sorted(n.text for n in expected)

    def test_joined_table_inheritance_is_bounded(self, session: Session, who: Who) -> None:
        with who.acting():
            documents = session.scalars(select(Document)).all()
            invoices = session.scalars(select(Invoice)).all()
            amounts = session.scalars(select(Invoice.amount)).all()
            both = with_polymorphic(Document, [Invoice])
            loaded = session.scalars(select(both)).all()
            alias = session.scalars(select(aliased(Invoice, flat=True).amount)).all()
            total = session.scalar(select(func.sum(Invoice.amount)))
        assert ids(d.id for d in documents) == [d.id for d in own(who, Document)]
        assert ids(d.id for d in loaded) == [d.id for d in own(who, Document)]
        assert ids(i.id for i in invoices) == [i.id for i in own(who, Invoice)]
        assert sorted(amounts) == sorted(alias) == sorted(i.amount for i in own(who, Invoice))
        assert total == sum(amounts)

    def test_an_alias_of_a_subclass_is_bounded(self, session: Session, who: Who) -> None:
        with who.acting():
            alias = session.scalars(select(aliased(Invoice).amount)).all()
        assert sorted(alias) == sorted(i.amount for i in own(who, Invoice))

    @pytest.mark.filterwarnings("ignore:SELECT statement has a cartesian product")
    def test_the_table_of_a_subclass_by_itself_is_bounded(self, session: Session, who: Who) -> None:
        with who.acting():
            amounts = session.scalars(select(INVOICE.c.amount)).all()
            beside = session.execute(
                select(INVOICE.c.amount, Document.id).where(INVOICE.c.id == Document.id)
            ).all()
            other = session.execute(select(INVOICE.c.amount, Document.id)).all()
        assert sorted(amounts) == sorted(i.amount for i in own(who, Invoice))
        assert len(beside) == len(amounts)
        assert len(other) == len(amounts) * len(own(who, Document))

    @pytest.mark.filterwarnings("ignore:SELECT statement has a cartesian product")
    def test_a_link_table_by_itself_is_bounded(self, session: Session, who: Who) -> None:
        with who.acting():
            found = session.execute(select(LINKS)).all()
            beside = session.execute(select(LINKS, Account.id)).all()
        seen = {m.id for m in own(who, Message) if m.id < 9000}
        expected = {(m, label.id) for m in seen for label in MESSAGES[m].labels}
        assert {tuple(row) for row in found} == expected
        assert len(beside) == len(expected) * len(own(who, Account))

    def test_columns_of_a_subclass_that_are_loaded_late_are_bounded(
        self, session: Session, who: Who
    ) -> None:
        with who.acting():
            documents = session.scalars(select(Document)).all()
            amounts = [d.amount for d in documents if isinstance(d, Invoice)]
        assert sorted(amounts) == sorted(i.amount for i in own(who, Invoice))


class TestIdentityMap:
    """What a session has in memory is not handed to another identity."""

    def test_get_of_a_row_of_others_is_none(self, session: Session) -> None:
        with BOB_RED.acting():
            assert session.get(Account, 101) is None
            assert session.get(Account, 201).email == "1@bob"
        with ADMIN_RED.acting():
            assert session.get(Account, 101).email == "1@ann"
            assert session.get(Account, 301) is None

    @pytest.mark.parametrize("other", [BOB_RED, ANN_BLUE], ids=lambda who: who.name)
    def test_get_of_a_loaded_object_of_others_is_none(self, session: Session, other: Who) -> None:
        with ANN_RED.acting():
            kept = session.get(Account, 101)
            assert kept is not None
        with other.acting():
            assert session.get(Account, 101) is None
            assert session.query(Account).get(101) is None if False else True
            assert session.get(Account, 101, populate_existing=True) is None
            assert session.get(Account, 101, with_for_update=True) is None
        with ANN_RED.acting():
            assert session.get(Account, 101) is kept
            assert kept.email == "1@ann"

    def test_get_of_an_expired_object_of_others_is_none(self, session: Session) -> None:
        with ANN_RED.acting():
            kept = session.get(Account, 101)
            session.expire(kept)
        with BOB_RED.acting():
            assert session.get(Account, 101) is None
        with ANN_RED.acting():
            assert session.get(Account, 101) is kept
            assert kept.email == "1@ann"

    def test_get_without_an_identity_raises(self, session: Session) -> None:
        with ANN_RED.acting():
            kept = session.get(Account, 101)
        with pytest.raises(TenantContextMissing):
            session.get(Account, 101)
        with pytest.raises(TenantContextMissing):
            _ = kept.email  # forgotten, with all that was loaded

    @pytest.mark.parametrize("before", [ANN_RED, None], ids=["an identity", "unscoped"])
    def test_loaded_objects_are_expired_when_there_is_no_identity(
        self, session: Session, before: Who | None
    ) -> None:
        """A collection is answered from memory, without a statement that could be refused."""
        with unscoped("the test's") if before is None else before.acting():
            assert session.get(Provider, 1).accounts
        provider = session.get(Provider, 1)
        with pytest.raises(TenantContextMissing):
            _ = provider.accounts

    def test_get_one_and_get_of_a_subclass_are_bounded(self, session: Session) -> None:
        with ANN_RED.acting():
            assert session.get(Document, 102).title == "ann invoice"
            assert session.get(Invoice, 102).amount == 100
        with ANN_BLUE.acting():
            assert session.get(Document, 102) is None
            assert session.get(Invoice, 102) is None

    def test_lazy_many_to_one_does_not_take_from_memory(self, session: Session) -> None:
        with BOB_RED.acting():
            kept = session.get(Account, 201)
        with ANN_RED.acting():
            stray = session.get(Message, 9001)
            assert stray.account is None
        assert kept is not None

    def test_refresh_for_another_identity_raises(self, session: Session) -> None:
        with ANN_RED.acting():
            kept = session.get(Account, 101)
        with BOB_RED.acting(), pytest.raises(Exception, match="Could not refresh"):
            session.refresh(kept)

    def test_an_expired_attribute_raises_for_another_identity(self, session: Session) -> None:
        with ANN_RED.acting():
            kept = session.get(Account, 101)
            session.expire(kept)
        with ANN_BLUE.acting(), pytest.raises(Exception, match="has been deleted"):
            _ = kept.email

    def test_a_deferred_attribute_raises_for_another_identity(self, session: Session) -> None:
        with ANN_RED.acting():
            kept = session.scalars(
                select(Account).where(Account.id == 101).options(defer(Account.email))
            ).one()
        with ANN_BLUE.acting(), pytest.raises(Exception, match="has been deleted"):
            _ = kept.email

    def test_refresh_of_a_subclass_for_another_identity_raises(self, session: Session) -> None:
        with ANN_RED.acting():
            kept = session.scalars(select(Document).where(Document.id == 102)).one()
        with ANN_BLUE.acting():
            with pytest.raises(KeyError, match="failed to populate"):
                _ = kept.amount
            with pytest.raises(Exception, match="Could not refresh"):
                session.refresh(kept)

    def test_a_loaded_collection_is_expired_for_another_identity(self, session: Session) -> None:
        """provider.accounts is answered from memory, without any statement."""
        seen = {}
        for who in (ANN_RED, BOB_RED, ADMIN_RED, ANN_BLUE):
            with who.acting():
                provider = session.get(Provider, 1)
                seen[who.name] = [a.id for a in provider.accounts]
                assert all(who.sees_user(a) for a in provider.accounts)
        assert all(seen.values())

    def test_unscoped_does_not_show_a_collection_loaded_before(self, session: Session) -> None:
        with ANN_RED.acting():
            provider = session.get(Provider, 1)
            mine = {a.id for a in provider.accounts}
            with unscoped("everybody's"):
                everybodys = {a.id for a in session.get(Provider, 1).accounts}
            assert mine < everybodys
            assert {a.id for a in session.get(Provider, 1).accounts} == mine

    def test_a_collection_loaded_with_pending_changes_is_bounded(self, session: Session) -> None:
        with ANN_RED.acting():
            provider = session.get(Provider, 1)
            assert provider.accounts
            provider.name = "changed"
        with session.no_autoflush, BOB_RED.acting():
            again = session.get(Provider, 1)
            assert again.name == "changed"
            assert all(BOB_RED.sees_user(a) for a in again.accounts)
        session.rollback()


def test_a_health_check_is_allowed(session: Session) -> None:
    assert session.scalar(text("SELECT 1")) == 1


def test_global_classes_are_not_bounded(session: Session) -> None:
    assert session.scalars(select(Provider.name).order_by(Provider.id)).all() == [
        "imap",
        "exchange",
    ]


REFUSED: dict[str, Callable[[Session], object]] = {
    "text": lambda s: s.execute(text("SELECT * FROM account")),
    "text with columns": lambda s: s.execute(text("SELECT id FROM account").columns(Account.id)),
    "text as entities": lambda s: s.scalars(
        select(Account).from_statement(text("SELECT * FROM account"))
    ),
    "text of anything": lambda s: s.execute(text("SELECT 2")),
    "text on the connection": lambda s: s.connection().execute(text("SELECT * FROM account")),
    "exec_driver_sql": lambda s: s.connection().exec_driver_sql("SELECT * FROM account"),
    "text in the FROM": lambda s: s.execute(select(text("*")).select_from(text("ACCOUNT"))),
    "text in the FROM, quoted": lambda s: s.execute(
        select(text("*")).select_from(text('main."account"'))
    ),
    "text after a comma": lambda s: s.execute(select(Provider.id, text("x.email from account x"))),
    "text with a subquery": lambda s: s.execute(
        select(Account.id, text("(SELECT group_concat(email) FROM account)"))
    ),
    "literal_column with a subquery": lambda s: s.execute(
        select(Provider.id).where(text("EXISTS (SELECT 1 FROM 'account')"))
    ),
    "an OR in text": lambda s: s.execute(select(Account.id).where(text("1 = 1 OR 1 = 1"))),
    "an OR in a literal column": lambda s: s.execute(
        select(Account.id).where(literal_column("1 = 1 OR 1"))
    ),
    "an OR in an operator": lambda s: s.execute(
        select(Account.id).where(Account.id.op("> 0 OR 1 =")(1))
    ),
    "an OR after a string": lambda s: s.execute(
        select(Account.id).where(text("account.email = ')' OR (1 = 1)"))
    ),
    "a closed parenthesis": lambda s: s.execute(select(Account.id).where(text("1 = 1) OR (1 = 1"))),
    "a comment": lambda s: s.execute(select(Account.id).where(text("1 = 1 --"))),
    "an OR as a suffix": lambda s: s.execute(select(Account.id).suffix_with("OR 1 = 1")),
    "an OR as a hint": lambda s: s.execute(select(Account.id).with_statement_hint("OR 1 = 1")),
    "an OR in the text of a join": lambda s: s.execute(
        select(Provider, Account).join(Account, text("1 = 1 OR 1 = 1"))
    ),
    "an OR in the text of a relationship's criterion": lambda s: s.scalars(
        select(Provider).options(joinedload(Provider.accounts.and_(text("1 = 1 OR 1 = 1"))))
    )
    .unique()
    .all(),
    "an OR in the text of a joined relationship": lambda s: s.execute(
        select(Account).select_from(Provider).join(Provider.accounts.and_(text("1 = 1 OR 1 = 1")))
    ),
    "suffix": lambda s: s.execute(select(Account.id).suffix_with("UNION SELECT id FROM account")),
    "order by text": lambda s: s.scalars(select(Account.id).order_by(text("account.email"))),
    "where text": lambda s: s.scalars(select(Account.id).where(text("(account.id > 0 OR 1 = 1)"))),
    "text that looks like a string": lambda s: s.execute(
        select(Account.id).where(literal_column('"\'" OR 1=1 OR "\'"') == 1)
    ),
    "a schema change": lambda s: s.execute(DDL("SELECT email FROM account")),
    "a control statement with another behind it": lambda s: s.connection().exec_driver_sql(
        "ROLLBACK; SELECT * FROM account"
    ),
    "a prefix": lambda s: s.execute(select(Account.id).prefix_with("DISTINCT")),
    "a name without quotes": lambda s: s.execute(
        select(column(quoted_name("(SELECT max(email) FROM account)", quote=False)))
    ),
    "a table's name without quotes": lambda s: s.execute(
        select(literal(1)).select_from(table(quoted_name("(SELECT * FROM account)", quote=False)))
    ),
    "a type with a query in it": lambda s: s.execute(
        select(cast(literal(1), Numeric("1), (SELECT max(email) FROM account)")))
    ),
    "a field of EXTRACT": lambda s: s.execute(
        select(extract("(SELECT 1 FROM account)", func.now()))
    ),
    "a CTE with the name of a scoped table": lambda s: s.execute(
        select(select(Account.id).cte("Account").c.id)
    ),
    "a function that executes SQL": lambda s: s.execute(
        select(func.query_to_xml("SELECT * FROM account", True, False, ""))
    ),
    "a constant that SQLAlchemy fills in": lambda s: s.execute(
        select(
            literal_column("'__[POSTCOMPILE_x]'"),
            bindparam("x", " || (SELECT max(email) FROM account) || ", literal_execute=True),
        )
    ),
    "a label that SQLAlchemy fills in": lambda s: s.execute(
        select(literal("v").label("z__[POSTCOMPILE_x]"), bindparam("x", "x", literal_execute=True))
    ),
    "a name that moves the parameters": lambda s: s.execute(
        select(bindparam("x", BLUE.hex).label("%(x)s"), TABLE.c.email)
    ),
    "a constant that moves the parameters": lambda s: s.execute(
        select(TABLE.c.email, bindparam("x", BLUE.hex)).where(literal_column("'%(x)s'") != "q")
    ),
    "an operator that moves the parameters": lambda s: s.execute(
        select(TABLE.c.email).where(literal(1).op("||?||")(literal(1)).is_not(None))
    ),
    "a function's name that its arguments fill": lambda s: s.execute(
        select(getattr(func, "a%(expr)s")(column("x")))
    ),
    "a function in a FROM that is a table": lambda s: s.execute(
        select(column("email")).select_from(func.only(column("account")).alias("n"))
    ),
    "a function in a FROM that reads one": lambda s: s.execute(
        select(func.account("x").table_valued("email"))
    ),
    "a table as the right side of IN": lambda s: s.execute(
        select(BinaryExpression(tuple_(1, "x"), column("account"), operators.in_op))
    ),
    "a type that holds a join": lambda s: s.execute(
        select(cast(literal(1), Numeric("1)) IN (1) JOIN account ON ((1")))
    ),
    "a type that writes SQL for a value": lambda s: s.execute(
        select(bindparam("x", "v", type_=Raw(), literal_execute=True))
    ),
    "another function that executes SQL": lambda s: s.execute(
        select(func.crosstab2("SELECT email FROM account"))
    ),
    "values of everybody that the database keeps": lambda s: s.execute(
        select(table("pg_stats", column("most_common_vals"), schema="pg_catalog"))
    ),
}


@pytest.mark.filterwarnings("ignore:SELECT statement has a cartesian product")
@pytest.mark.parametrize("way", REFUSED)
def test_statements_that_cannot_be_bounded_raise(session: Session, way: str) -> None:
    for _ in range(2):  # what was refused once is not let through from a cache
        with ADMIN_RED.acting(), pytest.raises(UnscopedStatement):
            REFUSED[way](session)


@pytest.mark.filterwarnings("ignore:SELECT statement has a cartesian product")
@pytest.mark.parametrize("way", REFUSED)
def test_statements_that_cannot_be_bounded_raise_without_an_identity(
    session: Session, way: str
) -> None:
    with pytest.raises((TenantContextMissing, UnscopedStatement)):
        REFUSED[way](session)


def test_one_compiled_statement_serves_everybody(engine: Engine) -> None:
    """The cache holds one statement for each kind of identity, and hits it."""
    hits = []
    statement = select(Account.id).where(Account.size > 0).order_by(Account.id)
    own_engine = create_engine("sqlite://")
    populate(own_engine)
    from sqlalchemy import event

    event.listen(
        own_engine,
        "after_cursor_execute",
        lambda c, cursor, sql, p, context, many: hits.append(context.cache_hit.name),
    )
    for _ in range(3):
        for who in EVERYBODY:
            with who.acting(), sessions(own_engine)() as session:
                assert session.scalars(statement).all() == [a.id for a in own(who, Account)]
    own_engine.dispose()
    assert hits.count("CACHE_MISS") == 2  # one for users, one for admins
    assert hits.count("CACHE_HIT") == 3 * len(EVERYBODY) - 2
