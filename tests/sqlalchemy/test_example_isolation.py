"""The e-mail service holds no tenant filter; its accounts stay apart all the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import create_engine, select, text

from email_service import accounts, create_app
from email_service.database import Base, create_tables, session
from email_service.models import Account
from flask_tenant_auth import Identity, acting_as
from flask_tenant_auth.sqlalchemy import UnscopedStatement, policies
from flask_tenant_auth.testing import AuthClient
from servers import PostgreSQL

pytest_plugins = ["flask_tenant_auth.pytest_plugin"]

OWNER = Identity("11111111-1111-4111-8111-111111111111", "33333333-3333-4333-8333-333333333333")
COLLEAGUE = Identity(OWNER.tenant_id, "44444444-4444-4444-8444-444444444444")
STRANGER = Identity("22222222-2222-4222-8222-222222222222", "55555555-5555-4555-8555-555555555555")
STRANGE_ADMIN = Identity(STRANGER.tenant_id, STRANGER.user_id, "admin")


def make_app(database_url: str) -> Flask:
    return create_app(
        {
            "TESTING": True,
            "JWT_SECRET_KEY": "k" * 64,
            "REDIS_URL": "",
            "RATELIMIT_ENABLED": False,
            "DATABASE_URL": database_url,
            "AUTH_SESSION_STORE": "sqlite://",
        }
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """The service; on PostgreSQL in a role that owns nothing."""
    if request.param == "sqlite":
        app = make_app(f"sqlite:///{tmp_path}/email.sqlite3")
        with app.app_context():
            create_tables()
        yield app
        app.extensions["engine"].dispose()
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    owner = make_app(server.url)
    with owner.app_context():
        create_tables()
    engine = owner.extensions["engine"]
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE mail_service LOGIN"))
        tables = "accounts, users"
        connection.execute(
            text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO mail_service")
        )
    app = make_app(server.url.replace("postgres@", "mail_service@"))
    yield app
    app.extensions["engine"].dispose()
    Base.metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE mail_service"))
    engine.dispose()


@pytest.fixture
def rows(app: Flask) -> list[Account]:
    """Accounts of the owner's; the others have some as well."""
    with app.app_context():
        for who, name in ((COLLEAGUE, "colleague"), (STRANGER, "stranger"), (OWNER, "owner")):
            with acting_as(who.tenant_id, who.user_id):
                session().add_all(
                    Account(
                        email=f"{number}@{name}.example.com",
                        account_type="imap",
                        hostname=f"imap.{name}.example.com",
                        port=993,
                        encryption="ssl",
                        is_sync_enabled=True,
                    )
                    for number in range(2)
                )
                session().commit()
        with acting_as(OWNER.tenant_id, OWNER.user_id):
            found = list(session().scalars(select(Account)))
            assert len(found) == 2
            session().expunge_all()
    return found


def test_the_views_do_not_name_the_tenant() -> None:
    assert "tenant_id" not in inspect.getsource(accounts)


@pytest.mark.parametrize(
    "stranger", [STRANGER, STRANGE_ADMIN, COLLEAGUE], ids=["user", "admin", "colleague"]
)
def test_no_get_route_shows_accounts_to_others(
    app: Flask,
    rows: list[Account],
    stranger: Identity,
    assert_get_routes_isolated: Callable[..., None],
) -> None:
    assert_get_routes_isolated(app, rows, OWNER, stranger)


def test_nobody_else_can_delete_an_account(app: Flask, rows: list[Account]) -> None:
    for who in (STRANGER, STRANGE_ADMIN, COLLEAGUE):
        client = AuthClient(app).as_user(who.tenant_id, who.user_id, who.role)
        for row in rows:
            assert client.delete(f"/api/v1/accounts/{row.id}").status_code == 403
    client = AuthClient(app).as_user(OWNER.tenant_id, OWNER.user_id)
    assert client.get("/api/v1/accounts").json["total"] == 2
    assert client.delete(f"/api/v1/accounts/{rows[0].id}").status_code == 204
    assert client.get("/api/v1/accounts").json["total"] == 1


def test_an_admin_sees_the_accounts_of_its_tenant(app: Flask, rows: list[Account]) -> None:
    admin = AuthClient(app).as_user(OWNER.tenant_id, UUID(int=9), "admin")
    assert admin.get("/api/v1/accounts").json["total"] == 0
    assert admin.get("/api/v1/admin/accounts").json["total"] == 4
    assert admin.get(f"/api/v1/accounts/{rows[0].id}").status_code == 200


def test_raw_sql_is_bounded_or_an_error(app: Flask, rows: list[Account]) -> None:
    """PostgreSQL bounds it; where nothing does, it is refused."""
    assert rows
    with app.app_context(), acting_as(OWNER.tenant_id, OWNER.user_id):
        count = text("SELECT count(*) FROM accounts")
        if session().get_bind().dialect.name == "postgresql":
            assert session().scalar(count) == 2
        else:
            with pytest.raises(UnscopedStatement):
                session().scalar(count)


def test_the_role_of_the_service_is_bounded(app: Flask) -> None:
    engine = app.extensions["engine"]
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            assert list(policies.problems(connection, Base.metadata)) == []
        superuser = create_engine(engine.url.set(username="postgres"))
        with superuser.connect() as connection:
            assert "superuser" in "\n".join(policies.problems(connection, Base.metadata))
        superuser.dispose()
