"""The users of the example: added, and recognised by their passwords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import make_url

from email_service import create_app, users
from email_service.curl_lines import (
    EMAIL,
    OTHER_TENANT,
    TENANT,
    USER,
    USERS,
    add_example_users,
)
from email_service.database import Base, create_tables, make_engine, session
from email_service.models import User
from email_service.users import user_with_password
from flask_tenant_auth import acting_as, password_needs_rehash
from flask_tenant_auth._core import hash_password
from servers import PostgreSQL

PASSWORD = "correct horse ✓ battery"


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """The service with the example users; on PostgreSQL with policies for its rows."""
    url = f"sqlite:///{tmp_path}/email.sqlite3"
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.url
    app = create_app(
        {
            "TESTING": True,
            "DATABASE_URL": url,
            "AUTH_SESSION_STORE": "sqlite://",
            "AUTH_PASSWORD_ITERATIONS": 2000,
            "JWT_SECRET_KEY": "k" * 64,
            "RATELIMIT_ENABLED": False,
            "REDIS_URL": "",
        }
    )
    with app.app_context():
        create_tables()
        add_example_users(PASSWORD)
    yield app
    app.extensions["engine"].dispose()
    if request.param == "postgresql":
        engine = make_engine(make_url(url))
        Base.metadata.drop_all(engine)
        engine.dispose()


def stored_hash(app: Flask) -> str:
    """Return the hash of the first example user."""
    with app.app_context(), acting_as(TENANT, USER):
        user = session().get(User, USER)
        assert user is not None
        return user.password_hash


def found(app: Flask, email: str = EMAIL, password: str = PASSWORD) -> UUID | None:
    """Return the id of the user with this address and this password."""
    with app.app_context():
        user = user_with_password(email, password)
        return None if user is None else user.id


def test_the_right_password_finds_the_user_in_any_tenant(app: Flask) -> None:
    assert [found(app, email) for _, _, email, _ in USERS] == [
        user_id for _, user_id, _, _ in USERS
    ]
    assert found(app, password=PASSWORD.upper()) is None
    assert found(app, email="nobody@example.com") is None


@pytest.mark.parametrize("email", ["JOHN@Example.com", " john@example.com "])
def test_case_and_spaces_of_an_address_do_not_matter(app: Flask, email: str) -> None:
    assert found(app, email) == USER


def test_an_unknown_address_costs_a_verification(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str | None] = []
    verify = users.verify_password

    def noted(password: str, stored: str | None) -> bool:
        verified.append(stored)
        return verify(password, stored)

    monkeypatch.setattr(users, "verify_password", noted)
    assert found(app, "nobody@example.com") is None
    assert found(app, password="wrong") is None
    assert verified == [None, stored_hash(app)]  # verify_password(…, None) takes as long


def test_the_right_password_renews_a_weak_hash_and_leaves_a_good_one(app: Flask) -> None:
    good = stored_hash(app)
    assert found(app) == USER
    assert stored_hash(app) == good
    with app.app_context(), acting_as(TENANT, USER):
        user = session().get(User, USER)
        assert user is not None
        weak = user.password_hash = hash_password(PASSWORD.encode(), 1000)
        session().commit()
    assert found(app, password="wrong") is None
    assert stored_hash(app) == weak
    assert found(app) == USER
    with app.app_context():
        assert password_needs_rehash(weak)
        assert not password_needs_rehash(stored_hash(app))
    assert found(app) == USER


def test_add_user_adds_one_whose_password_is_right(app: Flask) -> None:
    command = ["add-user", "Jane@Example.com", "--tenant", str(TENANT), "--role", "admin"]
    runner = app.test_cli_runner()
    added = runner.invoke(args=command, input="secret ✓\nsecret ✓\n")
    assert added.exit_code == 0, added.output
    with app.app_context():
        user = user_with_password("jane@example.com", "secret ✓")
        assert user is not None
        assert (user.tenant_id, user.email, user.role) == (TENANT, "jane@example.com", "admin")
    # In another tenant as well: nobody says a tenant at log in.
    command[3] = str(OTHER_TENANT)
    again = runner.invoke(args=command, input="other\nother\n")
    assert again.exit_code == 1
    assert "is the address of a user already" in again.output
    assert found(app, "jane@example.com", "other") is None


def test_example_users_are_added_once_and_follow_a_new_password(app: Flask) -> None:
    with app.app_context():
        add_example_users(PASSWORD)
        add_example_users("another password")
    assert found(app) is None
    for _, user_id, email, _ in USERS:
        assert found(app, email, "another password") == user_id


def test_what_is_stored_of_a_password_is_a_hash(app: Flask) -> None:
    stored = stored_hash(app)
    assert stored.startswith("$pbkdf2-sha512$i=2000$")
    assert PASSWORD not in stored
