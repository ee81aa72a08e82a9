"""Tokens outside an app context: the environment's, or an error that says what is missing."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps import TENANT, USER, bare_app, make_app, token
from flask_tenant_auth import AuthError, ConfigurationError, create_jwt_token, decode_jwt_token
from flask_tenant_auth.config.settings import KEYS

CALLS: list[Callable[[], Any]] = [
    lambda: create_jwt_token(TENANT, USER),
    lambda: decode_jwt_token(token()),
]


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """The secret of the environment: a new one each time, so that no app of another test has it."""
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    made = secrets.token_urlsafe(64)
    monkeypatch.setenv("JWT_SECRET_KEY", made)
    return made


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("JWT_SECRET_KEY", "s" * 64),
        ("JWT_ALGORITHM", "HS512"),
        ("JWT_ISSUER", "me"),
        ("JWT_AUDIENCE", "you"),
        ("JWT_EXPIRATION_HOURS", 1),
        ("JWT_TENANT_KEYS", lambda _tenant_id, _kid: None),
    ],
)
def test_missing_settings_of_an_app_are_named(secret: str, key: str, value: object) -> None:
    """It signed with the environment's, and the app refused the token."""
    app = make_app(**{"JWT_SECRET_KEY": None, key: value})
    with pytest.raises(ConfigurationError) as caught:
        create_jwt_token(TENANT, USER)
    assert f"{key} of the app {app.name!r} and of the environment differ" in str(caught.value)
    assert "with app.app_context():" in str(caught.value)
    assert secret not in str(caught.value)
    with app.app_context():
        assert decode_jwt_token(create_jwt_token(TENANT, USER))["user_id"] == USER


def test_a_token_is_verified_by_the_environment_alone() -> None:
    """That lets nobody in who should not be."""
    app = make_app()
    with app.app_context():
        made = create_jwt_token(TENANT, USER)
    with pytest.raises(AuthError, match="Invalid token"):
        decode_jwt_token(made)


def test_an_app_with_the_same_environment_accepts_such_tokens() -> None:
    other = make_app()
    app = make_app(JWT_SECRET_KEY=None, JWT_JWKS_ROUTE=None)
    made = create_jwt_token(TENANT, USER)
    assert decode_jwt_token(made)["user_id"] == USER
    with app.app_context():
        assert decode_jwt_token(made)["user_id"] == USER
    assert other.name != app.name


def test_an_incomplete_environment_raises_at_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY")
    for call in CALLS:
        with pytest.raises(ConfigurationError) as caught:
            call()
        assert str(caught.value).startswith("JWT_SECRET_KEY is the documented default")
        assert "with app.app_context():" in str(caught.value)


@pytest.mark.parametrize(
    ("before", "works"),
    [
        ("", True),
        ("app = Flask('a'); TenantAuth(app)", True),
        ("app = Flask('a'); app.config['JWT_SECRET_KEY'] = 'k' * 64; TenantAuth(app)", False),
        ("app = Flask('a'); app.config['JWT_SECRET_KEY'] = 'k' * 64; TenantAuth(app); del app", 1),
    ],
    ids=["no app", "an app of the environment", "another app", "an app that is gone"],
)
def test_a_process_without_an_app_makes_and_reads_tokens(
    before: str, works: bool, tmp_path: Path
) -> None:
    script = (
        "from flask import Flask\n"
        "from flask_tenant_auth import TenantAuth, create_jwt_token, decode_jwt_token\n"
        f"{before}\n"
        f"made = create_jwt_token('{TENANT}', '{USER}')\n"
        "print(decode_jwt_token(made)['user_id'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "FLASK_ENV": "production", "REDIS_URL": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip() == USER) is bool(works), done.stderr
    assert ("with app.app_context():" in done.stderr) is not bool(works)


def test_an_app_without_tenant_auth_counts_once_it_has_been_used() -> None:
    app = bare_app()
    with app.app_context():
        create_jwt_token(TENANT, USER)
    with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY of the app"):
        create_jwt_token(TENANT, USER)
