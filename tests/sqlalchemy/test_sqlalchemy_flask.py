"""Isolation in an app: requests, Flask-SQLAlchemy, factories of sessions, and the CLI's report."""

from __future__ import annotations

import logging
import os
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, String, create_engine, func, select, text
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)
from sqlalchemy.pool import StaticPool

from flask_tenant_auth import (
    TenantAuth,
    acting_as,
    verify_resource_access,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.errors import AuthError, ConfigurationError
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
from flask_tenant_auth.sqlalchemy.catalogue import catalogue
from flask_tenant_auth.sqlalchemy.models import undeclared_classes
from flask_tenant_auth.sqlalchemy.report import unscoped_uses
from flask_tenant_auth.testing import AuthClient
from mail import ADMIN_RED, ANN_BLUE, ANN_RED, BLUE, BOB, BOB_RED, RED, Account, populate

db = SQLAlchemy()


class Post(UserScoped, db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class Forgotten(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)


@global_table
class Country(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)


class City(Country):
    """What its base class declares does not speak for it."""


isolate(db)


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask(__name__)
    app.config.update(
        TESTING=True,
        JWT_SECRET_KEY="k" * 64,
        REDIS_URL="",
        SQLALCHEMY_DATABASE_URI="sqlite://",
    )
    TenantAuth(app)
    db.init_app(app)

    @app.get("/posts")
    @verify_tenant_context
    def posts() -> dict[str, object]:
        found = db.session.scalars(select(Post).order_by(Post.id)).all()
        return {
            "titles": [post.title for post in found],
            "legacy": [post.title for post in Post.query.order_by(Post.id)],
            "page": db.paginate(select(Post)).total,
        }

    @app.get("/posts/<int:number>")
    @verify_tenant_context
    def post(number: int) -> dict[str, object]:
        return {"title": db.get_or_404(Post, number).title}

    @app.post("/posts/<tenant>")
    @verify_tenant_context
    def add(tenant: str) -> dict[str, object]:
        db.session.add(Post(title="new", tenant_id=uuid.UUID(tenant)))
        db.session.commit()
        return {}

    @app.get("/raw")
    @verify_role("admin")
    def raw() -> dict[str, object]:
        with db.engine.connect() as connection:
            return {"titles": list(connection.scalars(text("SELECT title FROM post")))}

    @app.get("/forgotten")
    def forgotten() -> dict[str, object]:
        return {"titles": list(db.session.scalars(select(Post.title)))}

    with app.app_context():
        db.create_all()
        for who in (ANN_RED, BOB_RED, ANN_BLUE):
            with who.acting():
                db.session.add(Post(title=who.name))
                db.session.commit()
        db.session.remove()
        yield app
        db.session.remove()
        db.drop_all()
        db.engine.dispose()


class TestRequests:
    def test_each_identity_sees_its_own_rows(self, app: Flask) -> None:
        for who, titles in (
            (ANN_RED, ["ann"]),
            (ADMIN_RED, ["ann", "bob"]),
            (ANN_BLUE, ["ann-blue"]),
        ):
            client = AuthClient(app).as_user(who.tenant, who.user, who.role)
            assert client.get("/posts").json == {
                "titles": titles,
                "legacy": titles,
                "page": len(titles),
            }

    def test_get_or_404_is_bounded(self, app: Flask) -> None:
        assert AuthClient(app).as_user(RED, ANN_RED.user).get("/posts/1").json == {"title": "ann"}
        assert AuthClient(app).as_user(BLUE, ANN_RED.user).get("/posts/1").status_code == 404

    def test_a_row_for_another_tenant_is_a_403(self, app: Flask) -> None:
        client = AuthClient(app).as_user(RED, ANN_RED.user)
        assert client.post(f"/posts/{RED}").status_code == 200
        refused = client.post(f"/posts/{BLUE}")
        assert refused.status_code == 403
        assert refused.json == {
            "error": "Forbidden",
            "message": "Access to this resource is denied",
        }

    def test_a_view_without_the_decorator_is_a_401(self, app: Flask) -> None:
        client = AuthClient(app).as_user(RED, ANN_RED.user)
        with pytest.raises(TenantContextMissing):
            client.get("/forgotten")

    def test_the_engine_without_the_session_raises_in_a_request(self, app: Flask) -> None:
        client = AuthClient(app).as_user(RED, BOB, "admin")
        with pytest.raises(UnscopedStatement):
            client.get("/raw")
        with (
            app.test_request_context(),
            db.engine.connect() as connection,
            pytest.raises(TenantContextMissing),
        ):
            connection.execute(select(Post.__table__))


class Base(DeclarativeBase):
    pass


class Memo(TenantScoped, Base):
    __tablename__ = "memo"
    id: Mapped[int] = mapped_column(primary_key=True)


class PlainIds(UserScoped, Base):
    """Owners in columns of another type and name."""

    __tablename__ = "plain_ids"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column("Owner Tenant", String(36))
    user_id: Mapped[str] = mapped_column("owner", String(36))


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def check_isolated(session: Session) -> None:
    with ANN_RED.acting():
        session.add(Memo())
        session.commit()
        assert session.scalar(select(func.count(Memo.id))) == 1
    with ANN_BLUE.acting():
        assert session.scalar(select(func.count(Memo.id))) == 0
    with pytest.raises(TenantContextMissing):
        session.scalars(select(Memo))


def test_a_request_inside_unscoped_is_bounded(app: Flask) -> None:
    with unscoped("around the request"):
        client = AuthClient(app).as_user(RED, BOB)
        assert len(client.get("/posts").get_json()["titles"]) == 1
        with app.test_request_context(), pytest.raises(TenantContextMissing):
            db.session.scalars(select(Post)).all()
        with app.app_context():  # positive control: the same block of code
            assert len(db.session.scalars(select(Post)).all()) == 3


def test_a_python_whose_threads_would_be_unscoped_too_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "flags", SimpleNamespace(thread_inherit_context=1))
    with (
        pytest.raises(ConfigurationError, match="PYTHON_THREAD_INHERIT_CONTEXT=0"),
        unscoped("a report"),
    ):
        pytest.fail("it is entered")


class TestFactories:
    def test_sessions_of_a_sessionmaker_are_isolated(self, engine: Engine) -> None:
        factory = sessionmaker(engine)
        assert isolate(factory) is factory
        with factory() as session:
            check_isolated(session)
        other = sessionmaker(engine)
        with other() as session:
            assert session.scalar(select(func.count(Memo.id))) == 1  # not isolated

    def test_sessions_of_a_scoped_session_are_isolated(self, engine: Engine) -> None:
        registry = scoped_session(sessionmaker(engine))
        registry()  # there already
        isolate(registry)
        check_isolated(registry())
        registry.remove()

    def test_sessions_of_a_class_are_isolated(self, engine: Engine) -> None:
        @isolate
        class OwnSession(Session):
            pass

        with OwnSession(engine) as session:
            check_isolated(session)

    def test_a_session_on_an_outer_connection_is_isolated(self, engine: Engine) -> None:
        factory = isolate(sessionmaker(engine))
        with engine.connect() as connection, connection.begin():
            with factory(bind=connection, join_transaction_mode="create_savepoint") as session:
                check_isolated(session)
            # The session has let go of the connection.
            assert connection.scalar(text("SELECT count(*) FROM memo")) == 1

    def test_two_sessions_on_one_connection_are_isolated(self, engine: Engine) -> None:
        factory = isolate(sessionmaker(join_transaction_mode="create_savepoint"))
        with engine.connect() as connection, factory(bind=connection) as first, ANN_RED.acting():
            first.add(Memo())
            first.flush()
            with factory(bind=connection) as second:
                assert second.scalar(select(func.count(Memo.id))) == 1
            assert first.scalar(select(func.count(Memo.id))) == 1
            with pytest.raises(UnscopedStatement):
                first.connection().execute(text("SELECT * FROM memo"))
            first.add(Memo())
            first.flush()

    def test_a_factory_can_be_isolated_twice(self, engine: Engine) -> None:
        factory = sessionmaker(engine)
        isolate(factory)
        isolate(factory)
        with factory() as session:
            check_isolated(session)
        with pytest.raises(ValueError, match="isolated already"):
            isolate(factory, row_level_security=True)

    @pytest.mark.parametrize("target", [None, 1, "db", object(), Session.execute, int])
    def test_a_value_that_makes_no_sessions_raises(self, target: object) -> None:
        with pytest.raises(TypeError, match="isolate"):
            isolate(target)

    def test_row_level_security_that_is_no_boolean_raises(self, engine: Engine) -> None:
        with pytest.raises(TypeError, match="row_level_security"):
            isolate(sessionmaker(engine), row_level_security="yes")

    def test_raw_sql_raises_where_there_is_no_row_level_security(self, engine: Engine) -> None:
        """Nothing stands behind it there: raw SQL stays refused."""
        factory = isolate(sessionmaker(engine), row_level_security=True)
        with factory() as session:
            check_isolated(session)
            with ANN_RED.acting(), pytest.raises(UnscopedStatement):
                session.execute(text("SELECT * FROM memo"))


class TestOtherColumns:
    def test_columns_of_text_with_other_names_are_bounded(self, engine: Engine) -> None:
        with isolate(sessionmaker(engine))() as session:
            with ANN_RED.acting():
                session.add(PlainIds(id=1))
                session.commit()
                assert session.get(PlainIds, 1).tenant_id == str(RED)
                assert session.scalars(select(PlainIds.id)).all() == [1]
            with BOB_RED.acting():
                session.bulk_insert_mappings(PlainIds, [{"id": 2}])
                session.commit()
                assert session.scalars(select(PlainIds.id)).all() == [2]
                assert session.get(PlainIds, 1) is None
                with pytest.raises(ForeignRow):
                    session.bulk_insert_mappings(
                        PlainIds, [{"id": 3, "user_id": str(ANN_RED.user)}]
                    )


class TestClasses:
    def test_a_hierarchy_that_would_show_more_raises(self) -> None:
        class Open(Base):
            __tablename__ = "open"
            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str]
            __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "open"}  # noqa: RUF012

        with pytest.raises(TypeError, match="Closed is TenantScoped, but Open"):

            class Closed(TenantScoped, Open):
                __mapper_args__ = {"polymorphic_identity": "closed"}  # noqa: RUF012

        with pytest.raises(TypeError, match="Private is UserScoped, but Memo"):

            class Private(UserScoped, Memo):
                pass

        class Apart(TenantScoped, Open):
            __tablename__ = "apart"
            id: Mapped[int] = mapped_column(primary_key=True)
            __mapper_args__ = {"concrete": True, "polymorphic_identity": "apart"}  # noqa: RUF012

        assert Apart.__table__ in catalogue.all()

    def test_global_table_takes_classes_without_owners(self) -> None:
        with pytest.raises(TypeError, match="scoped to tenants"):
            global_table(Memo)
        with pytest.raises(TypeError, match="decorates a class"):
            global_table(1)

    def test_classes_that_are_not_declared_are_found(self) -> None:
        found = undeclared_classes()
        assert {Forgotten, City} <= set(found)
        assert not {Country, Post, Memo} & set(found)


class TestUnscoped:
    def test_it_is_logged_with_its_reason(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "flask_tenant_auth"), unscoped("the\nnight's report"):
            pass
        (record,) = caplog.records
        assert record.getMessage().endswith("the\\nnight's report")
        assert "test_sqlalchemy_flask.py" in record.getMessage()
        assert record.reason == "the\nnight's report"

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_a_missing_reason_raises(self, reason: str) -> None:
        with pytest.raises(ValueError, match="reason"), unscoped(reason):
            pass

    @pytest.mark.parametrize("reason", [None, 1, b"why"])
    def test_a_reason_is_text(self, reason: object) -> None:
        with pytest.raises(TypeError, match="reason"), unscoped(reason):
            pass

    def test_it_ends_with_its_block(self, engine: Engine) -> None:
        with isolate(sessionmaker(engine))() as session:
            with suppress(ZeroDivisionError), unscoped("a failure"):
                session.scalars(select(Memo)).all()
                _ = 1 / 0
            with pytest.raises(TenantContextMissing):
                session.scalars(select(Memo)).all()

    def test_the_innermost_scope_is_in_force(self, engine: Engine) -> None:
        with isolate(sessionmaker(engine))() as session, unscoped("rows of two"):
            session.add_all([Memo(tenant_id=RED), Memo(tenant_id=BLUE)])
            session.commit()
            assert session.scalar(select(func.count(Memo.id))) == 2
            with ANN_RED.acting():
                assert session.scalar(select(func.count(Memo.id))) == 1
                with unscoped("again"):
                    assert session.scalar(select(func.count(Memo.id))) == 2
            assert session.scalar(select(func.count(Memo.id))) == 2

    def test_what_it_loaded_is_forgotten_after_it(self, engine: Engine) -> None:
        with isolate(sessionmaker(engine))() as session, ANN_RED.acting():
            with unscoped("a look at both"):
                session.add_all([Memo(id=1, tenant_id=RED), Memo(id=2, tenant_id=BLUE)])
                session.commit()
                kept = [session.get(Memo, 1), session.get(Memo, 2)]
            assert session.get(Memo, 1) is kept[0]
            assert session.get(Memo, 2) is None

    def test_another_thread_is_bounded(self, engine: Engine) -> None:
        factory = isolate(sessionmaker(engine))
        refused = []

        def work() -> None:
            with factory() as session, pytest.raises(TenantContextMissing):
                session.scalars(select(Memo)).all()
            refused.append(True)

        with unscoped("this thread alone"):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert refused == [True]


def test_verify_resource_access_takes_an_object() -> None:
    with ANN_RED.acting():
        assert verify_resource_access(Account(tenant_id=RED, user_id=ANN_RED.user))
        assert verify_resource_access(Memo(tenant_id=RED))
        for stranger in (Memo(tenant_id=BLUE), Account(tenant_id=RED, user_id=BOB)):
            with pytest.raises(AuthError) as refused:
                verify_resource_access(stranger)
            assert refused.value.code == 403


def test_many_threads_keep_their_identities(tmp_path: Path) -> None:
    """One engine, one cache of statements, an identity in each thread."""
    engine = create_engine(f"sqlite:///{tmp_path}/mail.sqlite3")
    populate(engine)
    factory = isolate(sessionmaker(engine))
    wrong = []

    def work(who: object) -> None:
        for _ in range(60):
            with who.acting(), factory() as session:
                rows = session.scalars(select(Account)).all()
                if not rows or not all(who.sees_user(row) for row in rows):
                    wrong.append((who, rows))

    people = [ANN_RED, BOB_RED, ADMIN_RED, ANN_BLUE]
    threads = [threading.Thread(target=work, args=[who]) for who in people * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    assert wrong == []


class TestReport:
    def test_every_use_of_unscoped_is_found_with_its_reason(self, tmp_path: Path) -> None:
        (tmp_path / "jobs.py").write_text(
            "from flask_tenant_auth.sqlalchemy import unscoped as everybody\n"
            "import flask_tenant_auth.sqlalchemy as isolation\n"
            "with everybody('the nightly report'):\n"
            "    with isolation.unscoped(reason='a second'):\n"
            "        pass\n"
            "with everybody(why()):\n"
            "    pass\n"
        )
        # Python reads these letters of double width as plain ones.
        (tmp_path / "wide.py").write_text("\uff55nscoped('in wide letters')\n", "utf-8")
        (tmp_path / "other.py").write_text("scoped('not ours')\n")
        (tmp_path / "broken.py").write_text("def (: unscoped('broken')\n")
        (tmp_path / "octets.py").write_bytes(b"unscoped('\xff')\n")
        (tmp_path / "nul.py").write_bytes(b"unscoped('\0')\n")
        (tmp_path / "gone.py").symlink_to("nowhere")
        os.mkfifo(tmp_path / "pipe.py")
        for foreign in (".venv", "env", "node_modules"):
            (tmp_path / foreign).mkdir()
            (tmp_path / foreign / "theirs.py").write_text("unscoped('theirs')\n")
        (tmp_path / "env" / "pyvenv.cfg").touch()
        assert [(use.line, use.reason) for use in unscoped_uses(tmp_path)] == [
            (3, "the nightly report"),
            (4, "a second"),
            (6, None),
            (1, "in wide letters"),
        ]

    def test_check_lists_uses_of_unscoped_and_undeclared_classes(
        self, app: Flask, tmp_path: Path
    ) -> None:
        (tmp_path / "views.py").write_text("with unscoped('a login by address'):\n    pass\n")
        app.root_path = str(tmp_path)
        output = app.test_cli_runner().invoke(args=["auth", "check"]).output
        assert "views.py:1: unscoped: 'a login by address'" in output
        assert f"{__name__}.Forgotten is neither TenantScoped nor UserScoped" in output
        assert f"{__name__}.Country" not in output

    def test_rls_sql_prints_the_policies(self, app: Flask) -> None:
        output = app.test_cli_runner().invoke(args=["auth", "rls-sql"]).output
        assert "ALTER TABLE post FORCE ROW LEVEL SECURITY;" in output
        assert "flask_tenant_auth_unscoped ON post\n    USING" in output
        output = app.test_cli_runner().invoke(args=["auth", "rls-sql", "--without-unscoped"]).output
        assert "CREATE POLICY flask_tenant_auth_unscoped" not in output
        output = app.test_cli_runner().invoke(args=["auth", "rls-sql", "--alembic"]).output
        compile(output, "migration.py", "exec")
        assert "def downgrade() -> None:" in output

    def test_rls_check_fails_without_postgresql(self, app: Flask) -> None:
        result = app.test_cli_runner().invoke(args=["auth", "rls-check"])
        assert result.exit_code == 1
        assert "sqlite has no row-level security" in result.output


def test_acting_as_bounds_sessions_in_an_app_context(app: Flask) -> None:
    with acting_as(RED, ANN_RED.user):
        assert db.session.scalars(db.select(Post.title)).all() == ["ann"]
        assert Post.query.count() == 1
        assert db.first_or_404(db.select(Post)).title == "ann"
    with acting_as(BLUE, ANN_RED.user):
        assert db.session.get(Post, 1) is None
    db.session.remove()


def test_two_tables_of_one_name_are_both_bounded(engine: Engine) -> None:
    """Each class is bounded by its own columns, in a database of its own."""

    class OtherBase(DeclarativeBase):
        pass

    class OtherMemo(UserScoped, OtherBase):
        __tablename__ = "memo"
        id: Mapped[int] = mapped_column(primary_key=True)

    other = create_engine("sqlite://")
    OtherBase.metadata.create_all(other)
    for bind, cls in ((engine, Memo), (other, OtherMemo)):
        with isolate(sessionmaker(bind))() as session:
            with ANN_RED.acting():
                session.add(cls(id=1))
                session.commit()
                session.bulk_update_mappings(cls, [{"id": 1}])
            with ANN_BLUE.acting():
                assert session.get(cls, 1) is None
            with ADMIN_RED.acting():
                session.delete(session.get(cls, 1))
                session.commit()
    other.dispose()
