"""Isolation and row-level security follow the roles of the app, whatever these are called."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from apps import make_app
from flask_tenant_auth import acting_as
from flask_tenant_auth._core import Identity
from flask_tenant_auth.sqlalchemy import policies, row_level_security, unscoped
from flask_tenant_auth.sqlalchemy.row_level_security import literal
from mail import ANN, ANN_RED, BOB_RED, RED, Account, Base, IsolatedSession, Note, populate
from mail_database import Database, SecuredSession
from mail_queries import own
from servers import PostgreSQL

IDS = "SELECT id FROM account ORDER BY id"
OF_ANN = [account.id for account in own(ANN_RED, Account)]
OF_RED = sorted([*OF_ANN, *(account.id for account in own(BOB_RED, Account))])

# Names of roles that could end a literal, be a parameter, or be read otherwise.
NAMES = [
    "owner",
    "it's",
    "''",
    "\\",
    "\\'",
    "a\\' OR true --",
    "' OR true --",
    "' || 'unscoped",
    '" DROP TABLE account --',
    "$set$",
    "$$",
    "%s %(role)s %%",
    ":role",
    "a::b",
    "/* */",
    "größe",
    "角色",
    "\U0001f600",
    "\u2019\u02bc",
    "\u00bf\u5c27",
    "x" * 64,
]


def app_of(name: str, *, reaches: bool = True) -> Flask:
    return make_app(AUTH_ROLES=["weak", name], AUTH_TENANT_ROLES=[name] if reaches else "")


@contextmanager
def as_ann(app: Flask, role: str) -> Iterator[Identity]:
    with app.app_context(), acting_as(RED, ANN, role) as identity:
        yield identity


# --- PostgreSQL ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with PostgreSQL() as server:
        database = Database(server, "named")
        yield database
        database.dispose()


# What a server or a driver makes of a literal depends on these.
OPTIONS = {
    "as usual": "",
    "backslashes escape": "-c standard_conforming_strings=off -c escape_string_warning=off",
    "no backslashes before quotes": "-c backslash_quote=off",
    "Latin 1": "-c client_encoding=LATIN1",
    "Shift JIS": "-c client_encoding=SJIS",
}


@pytest.fixture(scope="module", params=OPTIONS.values(), ids=OPTIONS)
def engine(database: Database, request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = create_engine(
        database.url.replace("postgres@", "named_app@"),
        connect_args={"options": request.param},
        poolclass=NullPool,
    )
    yield engine
    engine.dispose()


def create_policies(database: Database, app: Flask) -> None:
    with app.app_context():
        database.run(database.owner, *policies.create_sql(metadata=Base.metadata))


def problems(database: Database, app: Flask) -> list[str]:
    engine = database.engine("app")
    with app.app_context(), engine.connect() as connection:
        return list(policies.problems(connection, Base.metadata))


@pytest.mark.parametrize("name", NAMES)
def test_postgresql_reads_a_role_as_it_is(engine: Engine, name: str) -> None:
    # Compared in the server: not every client encoding has these characters.
    same = text(
        "SELECT current_setting('flask_tenant_auth.role') ="
        f" convert_from(decode('{name.encode().hex()}', 'hex'), 'UTF8'),"
        " current_setting('flask_tenant_auth.tenant_id'),"
        " current_setting('flask_tenant_auth.user_id')"
    )
    with SecuredSession(engine) as session, as_ann(app_of(name), name):
        for _ in range(2):
            assert session.execute(same).one() == (True, str(RED), str(ANN))
        cursor = session.connection().connection.driver_connection.cursor()
        assert cursor.execute(same.text).fetchone() == (True, str(RED), str(ANN))


@pytest.mark.parametrize("name", NAMES)
def test_policies_let_a_tenant_role_of_any_name_reach_its_tenant(
    database: Database, name: str
) -> None:
    app = app_of(name)
    create_policies(database, app)
    assert problems(database, app) == []
    with SecuredSession(database.engine("app")) as session:
        with as_ann(app, name):
            assert session.scalars(text(IDS)).all() == OF_RED
            assert session.scalars(select(Account.id).order_by(Account.id)).all() == OF_RED
        with as_ann(app, "weak"):
            assert session.scalars(text(IDS)).all() == OF_ANN
            assert session.scalars(select(Account.id).order_by(Account.id)).all() == OF_ANN
        assert session.scalars(text(IDS)).all() == []


async def seen_by_asyncpg(url: str, who: list[tuple[Flask, str]]) -> list[list[int]]:
    engine = create_async_engine(url.replace("+psycopg", "+asyncpg"))
    seen = []
    async with AsyncSession(engine, sync_session_class=SecuredSession) as session:
        for app, role in who:
            with as_ann(app, role):
                seen.append(list(await session.scalars(text(IDS))))
    await engine.dispose()
    return seen


def seen_by_psycopg2(url: str, who: list[tuple[Flask, str]]) -> list[list[int]]:
    engine = create_engine(url.replace("+psycopg", "+psycopg2"))
    seen = []
    with SecuredSession(engine) as session:
        for app, role in who:
            with as_ann(app, role):
                seen.append(list(session.scalars(text(IDS))))
    engine.dispose()
    return seen


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg2"])
def test_other_drivers_send_a_role_as_it_is(database: Database, driver: str) -> None:
    """One is hooked, for the other the settings are set before each statement."""
    url = database.url.replace("postgres@", "named_app@")
    # All names are tenant roles of one app, so that the policies are created once.
    app = make_app(AUTH_ROLES=["weak", *NAMES], AUTH_TENANT_ROLES=NAMES)
    create_policies(database, app)
    who = [(app, role) for role in (*NAMES, "weak")]
    if driver == "asyncpg":
        seen = asyncio.run(seen_by_asyncpg(url, who))
    else:
        seen = seen_by_psycopg2(url, who)
    assert seen == [OF_RED] * len(NAMES) + [OF_ANN]


@pytest.mark.parametrize("name", ["owner", "it's", ":x\\", "%s"])
def test_a_migration_holds_a_tenant_role_of_any_name(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests of this process declare other classes too, whose tables are not here.
    ours = policies.tables(Base.metadata)
    monkeypatch.setattr(policies, "tables", lambda _metadata=None: ours)
    app = app_of(name)
    with app.app_context():
        script = policies.alembic_operations()
    with database.owner.begin() as connection:
        # Alembic wraps text in text(), where a colon begins a parameter.
        operations = SimpleNamespace(execute=lambda sql: connection.execute(text(sql)))
        namespace: dict[str, object] = {"op": operations}
        exec(script, namespace)
        namespace["upgrade"]()  # type: ignore[operator]
    assert problems(database, app) == []
    with SecuredSession(database.engine("app")) as session:
        with as_ann(app, name):
            assert session.scalars(text(IDS)).all() == OF_RED
        with as_ann(app, "weak"):
            assert session.scalars(text(IDS)).all() == OF_ANN


def test_without_tenant_roles_each_role_reaches_its_own_rows_only(database: Database) -> None:
    app = make_app(AUTH_TENANT_ROLES="")
    create_policies(database, app)
    assert problems(database, app) == []
    with app.app_context():
        assert not any("'admin'" in statement for statement in policies.create_sql())
    with SecuredSession(database.engine("app")) as session:
        for role in ("user", "admin"):
            with as_ann(app, role):
                assert session.scalars(text(IDS)).all() == OF_ANN
                assert session.scalars(select(Account.id).order_by(Account.id)).all() == OF_ANN
        with app.app_context(), unscoped("positive control"):
            assert len(session.scalars(text(IDS)).all()) == 12


def test_several_tenant_roles_reach_their_tenant(database: Database) -> None:
    roles = ["viewer", "it's", "owner"]
    app = make_app(AUTH_ROLES=roles, AUTH_TENANT_ROLES=roles[1:])
    create_policies(database, app)
    assert problems(database, app) == []
    with SecuredSession(database.engine("app")) as session:
        for role, seen in zip(roles, [OF_ANN, OF_RED, OF_RED], strict=True):
            with as_ann(app, role):
                assert session.scalars(text(IDS)).all() == seen


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ("admin", "", "for the roles 'admin' there, and for none in AUTH_TENANT_ROLES"),
        ("", "admin", "for the roles none there, and for 'admin' in AUTH_TENANT_ROLES"),
        ("admin", "user, admin", "for the roles 'admin' there, and for 'admin', 'user' in"),
        ("user, admin", "admin", "for the roles 'admin', 'user' there, and for 'admin' in"),
        ("user", "admin", "for the roles 'user' there, and for 'admin' in AUTH_TENANT_ROLES"),
    ],
)
def test_policies_for_other_roles_than_auth_tenant_roles_are_found(
    database: Database, before: str, now: str, said: str
) -> None:
    create_policies(database, make_app(AUTH_TENANT_ROLES=before))
    found = problems(database, make_app(AUTH_TENANT_ROLES=now))
    tables = {line.partition(":")[0] for line in found}
    assert {"account", "message", "note"} <= tables
    assert "invoice" not in tables  # its rows belong to the whole tenant
    assert all(said in line and line.endswith("run what rls-sql prints)") for line in found)


def test_the_command_writes_the_roles_of_the_app() -> None:
    app = make_app(AUTH_ROLES=["viewer", "it's", "owner"], AUTH_TENANT_ROLES=["it's", "owner"])
    output = app.test_cli_runner().invoke(args=["auth", "rls-sql"]).output
    assert "current_setting('flask_tenant_auth.role', true) IN (E'it\\u0027s', 'owner')" in output
    assert "'admin'" not in output


def test_an_identity_in_the_role_of_unscoped_is_not_sent() -> None:
    """A policy shows the rows of all tenants to that role."""
    with pytest.raises(ValueError, match="role must not be 'unscoped'"):
        row_level_security.settings_sql(Identity(str(RED), str(ANN), "unscoped"))
    app = make_app()
    with app.app_context(), pytest.raises(ValueError, match="role must be one of user, admin"):
        acting_as(Identity(str(RED), str(ANN), "unscoped")).__enter__()


def test_a_literal_holds_nothing_that_could_end_it() -> None:
    for code in (*range(1, 0xD800), *range(0xE000, 0x11000), 0x1F600, 0x10FFFF):
        written = literal(chr(code))
        inside = written.removeprefix("E")[1:-1]
        assert written.removeprefix("E") == f"'{inside}'"
        assert inside.isascii()
        assert not set(inside) & set("'\"$%:;()/*")
        if written.startswith("E"):
            assert inside[:2] in ("\\u", "\\U")
            assert chr(int(inside[2:], 16)) == chr(code)
        else:
            assert inside == chr(code)


# --- SQLite -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    populate(engine)
    yield engine
    engine.dispose()


def seen_by(session: Session, app: Flask, role: str) -> list[int]:
    with as_ann(app, role):
        return list(session.scalars(select(Account.id).order_by(Account.id)))


@pytest.mark.parametrize("name", NAMES)
def test_sqlite_shows_a_tenant_role_its_tenant_and_others_their_own_rows(
    sqlite: Engine, name: str
) -> None:
    with IsolatedSession(sqlite) as session:
        assert seen_by(session, app_of(name), name) == OF_RED
        assert seen_by(session, app_of(name), "weak") == OF_ANN
        assert seen_by(session, app_of(name, reaches=False), name) == OF_ANN


def test_one_session_follows_the_roles_of_the_current_app(sqlite: Engine) -> None:
    """Statements are compiled once for each reach, not for each name of a role."""
    reaching, bounded = make_app(), make_app(AUTH_TENANT_ROLES="")
    with IsolatedSession(sqlite) as session:
        for _ in range(2):
            assert seen_by(session, reaching, "admin") == OF_RED
            assert seen_by(session, bounded, "admin") == OF_ANN


def test_objects_of_a_session_follow_the_roles_of_the_current_app(sqlite: Engine) -> None:
    reaching, bounded = make_app(), make_app(AUTH_TENANT_ROLES="")
    with IsolatedSession(sqlite) as session:
        with as_ann(reaching, "admin"):
            assert session.get(Note, 201) is not None
        with as_ann(bounded, "admin"):
            assert session.get(Note, 201) is None
            assert session.get(Note, 101) is not None
