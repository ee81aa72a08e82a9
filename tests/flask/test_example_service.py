"""The example e-mail service, in process, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import make_url
from werkzeug.test import TestResponse

from email_service import create_app
from email_service.database import Base, create_tables, make_engine, session
from email_service.models import Account
from flask_tenant_auth import acting_as, create_jwt_token
from servers import PostgreSQL

TENANT, OTHER_TENANT = str(uuid4()), str(uuid4())
USER, COLLEAGUE, ADMIN = str(uuid4()), str(uuid4()), str(uuid4())
VALID: dict[str, Any] = {
    "email": "john@example.com",
    "account_type": "imap",
    "hostname": "imap.example.com",
    "port": 993,
    "encryption": "ssl",
}


def config(**more: Any) -> dict[str, Any]:
    return {
        "DATABASE_URL": "sqlite://",
        "AUTH_SESSION_STORE": "sqlite://",
        "FLASK_ENV": "development",
        "JWT_SECRET_KEY": "a secret of the tests, long enough for HS256",
        "MAIL_PASSWORD_KEY": Fernet.generate_key().decode(),
        "REDIS_URL": "",
        "RATELIMIT_KEY_PREFIX": str(uuid4()),
    } | more


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/email.sqlite3"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    url = server.url.replace("postgresql+psycopg:", "postgresql:")  # as people write it
    yield url
    engine = make_engine(make_url(url))
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def make_app() -> Iterator[Callable[..., Flask]]:
    """Makes an app from changes to the configuration; its connections are closed at the end."""
    made: list[Flask] = []

    def make(**change: Any) -> Flask:
        made.append(create_app(config(**change)))
        return made[-1]

    yield make
    for app in made:
        app.extensions["engine"].dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask], database_url: str) -> Flask:
    app = make_app(DATABASE_URL=database_url)
    with app.app_context():
        create_tables()
    return app


class Caller:
    """Somebody with a token."""

    def __init__(self, app: Flask, tenant: str, user: str, role: str = "user") -> None:
        self.client: FlaskClient = app.test_client()
        with app.app_context():
            self.headers = {"Authorization": f"Bearer {create_jwt_token(tenant, user, role)}"}

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(f"/api/v1{path}", headers=self.headers, **options)

    def post(self, path: str, body: object) -> TestResponse:
        return self.client.post(f"/api/v1{path}", headers=self.headers, json=body)

    def delete(self, path: str) -> TestResponse:
        return self.client.delete(f"/api/v1{path}", headers=self.headers)


@pytest.fixture
def user(app: Flask) -> Caller:
    return Caller(app, TENANT, USER)


def test_a_new_account_is_listed_shown_and_deleted(user: Caller) -> None:
    assert user.get("/accounts").json == {"accounts": [], "total": 0}

    added = user.post("/accounts", VALID)
    assert added.status_code == 201
    identifier = added.json["id"]
    assert added.json == {"id": str(UUID(identifier)), **VALID, "is_sync_enabled": True}
    assert added.location == f"/api/v1/accounts/{identifier}"

    listed = user.get("/accounts")
    assert listed.status_code == 200
    assert listed.json == {
        "accounts": [
            {
                "id": identifier,
                "email": "john@example.com",
                "account_type": "imap",
                "is_sync_enabled": True,
            }
        ],
        "total": 1,
    }
    shown = user.get(f"/accounts/{identifier}")
    assert (shown.status_code, shown.json) == (200, added.json)

    deleted = user.delete(f"/accounts/{identifier}")
    assert (deleted.status_code, deleted.data) == (204, b"")
    assert user.get(f"/accounts/{identifier}").status_code == 404
    assert user.delete(f"/accounts/{identifier}").status_code == 404
    assert user.get("/accounts").json == {"accounts": [], "total": 0}


@pytest.mark.parametrize(
    ("tenant", "who", "role"),
    [
        (TENANT, COLLEAGUE, "user"),
        (OTHER_TENANT, COLLEAGUE, "user"),
        (OTHER_TENANT, USER, "user"),  # the same user id says nothing across tenants
        (OTHER_TENANT, ADMIN, "admin"),
    ],
    ids=["colleague", "other tenant", "same id in other tenant", "admin of other tenant"],
)
def test_nobody_else_sees_or_deletes_an_account(
    app: Flask, user: Caller, tenant: str, who: str, role: str
) -> None:
    account = f"/accounts/{user.post('/accounts', VALID).json['id']}"
    somebody = Caller(app, tenant, who, role)
    for answer in (somebody.get(account), somebody.delete(account)):
        assert answer.status_code == 403
        assert answer.json["error"] == "Forbidden"
    assert somebody.get("/accounts").json == {"accounts": [], "total": 0}
    assert user.get(account).status_code == 200


def test_an_admin_lists_the_accounts_of_its_tenant(app: Flask, user: Caller) -> None:
    first = user.post("/accounts", VALID).json["id"]
    second = Caller(app, TENANT, COLLEAGUE).post("/accounts", VALID).json["id"]
    Caller(app, OTHER_TENANT, USER).post("/accounts", VALID)

    answer = Caller(app, TENANT, ADMIN, "admin").get("/admin/accounts")
    assert answer.status_code == 200
    assert answer.json["total"] == 2
    assert [(a["id"], a["user_id"]) for a in answer.json["accounts"]] == [
        (first, USER),
        (second, COLLEAGUE),
    ]


def test_a_user_does_not_list_the_tenants_accounts(user: Caller) -> None:
    answer = user.get("/admin/accounts")
    assert answer.status_code == 403
    assert answer.json == {
        "error": "Forbidden",
        "message": "Insufficient permissions. Required role: admin",
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/accounts"),
        ("POST", "/accounts"),
        ("GET", f"/accounts/{UUID(int=1)}"),
        ("DELETE", f"/accounts/{UUID(int=1)}"),
        ("GET", "/admin/accounts"),
    ],
)
def test_without_credentials_nothing_is_answered(app: Flask, method: str, path: str) -> None:
    answer = app.test_client().open(f"/api/v1{path}", method=method)
    assert answer.status_code == 401
    assert answer.json["error"] == "Unauthorized"


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (
            "email",
            [None, 7, "", "john", "john@", "@example.com", "a@b", "a b@example.com", "x" * 250],
        ),
        (
            "email",
            ["john@example.com\r\nBcc: x@example.com", "john\x00@example.com", "\ud800@a.bc"],
        ),
        ("account_type", [None, "", "IMAP", "ftp", ["imap"], {}]),
        ("hostname", [None, "", "a b", "-a.example.com", "a..b", "imap.example.com/x", "a\x00b"]),
        ("hostname", ["a" * 254, "http://imap.example.com", 3]),
        ("port", [None, 0, -1, 65536, 10**40, 993.0, "993", True, [993]]),
        ("encryption", [None, "", "rot13", 1, ["ssl"]]),
        ("is_sync_enabled", [None, "true", 1, 0]),
        ("password", ["", 5, "x" * 1025, "\ud800", ["secret"]]),
    ],
)
def test_bad_input_is_a_400_that_names_the_field(
    user: Caller, field: str, values: list[object]
) -> None:
    for value in values:
        answer = user.post("/accounts", VALID | {field: value})
        if field == "password" and value is None:
            continue
        assert answer.status_code == 400, value
        assert answer.json["error"] == "Invalid request"
        assert answer.json["message"].startswith(f"{field} must "), value
    assert user.get("/accounts").json["total"] == 0


@pytest.mark.parametrize("field", VALID)
def test_a_missing_field_is_named(user: Caller, field: str) -> None:
    body = {name: value for name, value in VALID.items() if name != field}
    answer = user.post("/accounts", body)
    assert answer.status_code == 400
    assert answer.json == {"error": "Invalid request", "message": f"{field} is required"}


@pytest.mark.parametrize("field", ["tenant_id", "user_id", "id", "hostnam"])
def test_a_field_that_clients_may_not_set_is_named(user: Caller, field: str) -> None:
    answer = user.post("/accounts", VALID | {field: str(uuid4())})
    assert answer.status_code == 400
    assert f"{field!r} is not a known field" in answer.json["message"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b"[" * 16000, b'{"a":' * 3000]
)
def test_a_body_that_is_no_json_object_is_a_400(user: Caller, data: bytes) -> None:
    answer = user.client.post(
        "/api/v1/accounts", headers=user.headers, data=data, content_type="application/json"
    )
    assert answer.status_code == 400
    assert answer.json["message"].startswith("The body must be a JSON object")


def test_a_huge_body_is_rejected_without_being_read(user: Caller) -> None:
    assert user.post("/accounts", VALID | {"email": "x" * 20_000}).status_code == 413


def test_a_mail_password_is_kept_encrypted_and_never_returned(app: Flask, user: Caller) -> None:
    password = "correct horse ✓ battery"
    added = user.post("/accounts", VALID | {"password": password, "is_sync_enabled": False})
    assert added.status_code == 201
    assert added.json["is_sync_enabled"] is False
    admin = Caller(app, TENANT, ADMIN, "admin")
    shown = user.get(f"/accounts/{added.json['id']}")
    for answer in (added, shown, user.get("/accounts"), admin.get("/admin/accounts")):
        assert "password" not in answer.text
        assert "horse" not in answer.text
    with app.app_context(), acting_as(TENANT, USER):
        stored = session().get(Account, UUID(added.json["id"])).password
        assert "horse" not in stored
        assert app.extensions["password_cipher"].decrypt(stored) == password


def test_accounts_are_listed_in_pages(user: Caller) -> None:
    made = [user.post("/accounts", VALID | {"port": port}).json["id"] for port in range(1, 6)]

    def seen(query: str) -> list[str]:
        answer = user.get(f"/accounts?{query}").json
        assert answer["total"] == 5
        return [account["id"] for account in answer["accounts"]]

    assert seen("") == made
    assert seen("limit=2") == made[:2]
    assert seen("limit=2&offset=4") == made[4:]
    assert seen("offset=9") == []


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=-1", "limit=", "limit=x", "limit=1.5", "limit=٣"),
        *("offset=-1", "offset=99999999999", "offset=1e3"),
    ],
)
def test_an_invalid_page_is_a_400_that_names_the_parameter(user: Caller, query: str) -> None:
    answer = user.get(f"/accounts?{query}")
    assert answer.status_code == 400
    assert answer.json["message"].startswith(f"{query.partition('=')[0]} must be a whole number")


# From here on, what has nothing to do with the database.


@pytest.fixture
def plain(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


def token_request(app: Flask, **change: object) -> TestResponse:
    body = {"tenant_id": TENANT, "user_id": USER, "role": "admin"} | change
    return app.test_client().post("/api/v1/test/generate-token", json=body)


def test_a_generated_token_works(app: Flask) -> None:
    answer = token_request(app)
    assert answer.status_code == 200
    assert list(answer.json) == ["token"]
    headers = {"Authorization": f"Bearer {answer.json['token']}"}
    assert app.test_client().get("/api/v1/admin/accounts", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tenant_id": "x"}, "Tenant ID must be valid UUID"),
        ({"tenant_id": None}, "Tenant ID must be valid UUID"),
        ({"user_id": 7}, "User ID must be valid UUID"),
        ({"role": "root"}, "Role must be one of: user, admin"),
        ({"role": ["admin"]}, "Role must be one of: user, admin"),
    ],
)
def test_an_invalid_request_for_a_token_is_a_400(
    plain: Flask, change: dict[str, object], message: str
) -> None:
    answer = token_request(plain, **change)
    assert answer.status_code == 400
    assert answer.json == {"error": "Invalid request", "message": message}


def test_production_has_no_token_route_and_trusts_no_headers(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(FLASK_ENV="production")
    assert token_request(app).status_code == 404
    headers = {"X-Tenant-ID": TENANT, "X-User-ID": USER, "X-User-Role": "admin"}
    assert app.test_client().get("/api/v1/accounts", headers=headers).status_code == 401


def test_mail_passwords_are_not_accepted_without_a_key_for_them(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(MAIL_PASSWORD_KEY="")
    answer = Caller(app, TENANT, USER).post("/accounts", VALID | {"password": "secret"})
    assert answer.status_code == 400
    assert "MAIL_PASSWORD_KEY" in answer.json["message"]


def test_a_wrong_key_for_mail_passwords_says_how_to_make_one(
    make_app: Callable[..., Flask],
) -> None:
    with pytest.raises(RuntimeError, match="MAIL_PASSWORD_KEY must be a Fernet key"):
        make_app(MAIL_PASSWORD_KEY="secret")


def test_errors_are_json_too(plain: Flask) -> None:
    client = plain.test_client()
    missing = client.get("/api/v1/nothing")
    assert missing.status_code == 404
    assert missing.json["error"] == "Not found"
    wrong_method = client.patch("/api/v1/accounts")
    assert wrong_method.status_code == 405
    assert wrong_method.json["error"] == "Method Not Allowed"
    assert set(wrong_method.headers["Allow"].split(", ")) >= {"GET", "POST"}


def test_health_is_public_and_not_limited(plain: Flask) -> None:
    client = plain.test_client()
    for _ in range(60):
        answer = client.get("/health")
        assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_health_reports_a_database_that_is_away(
    make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    (tmp_path / "a directory").mkdir()
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/a directory")
    answer = app.test_client().get("/health")
    assert (answer.status_code, answer.json) == (503, {"status": "unavailable"})


def test_init_db_makes_the_tables_and_can_be_repeated(
    make_app: Callable[..., Flask], database_url: str
) -> None:
    app = make_app(DATABASE_URL=database_url)
    for _ in range(2):
        assert app.test_cli_runner().invoke(args=["init-db"]).exit_code == 0
    assert Caller(app, TENANT, USER).get("/accounts").json["total"] == 0


def test_the_fifty_first_request_of_a_minute_is_limited(user: Caller) -> None:
    answers = [user.get("/accounts") for _ in range(51)]
    assert [answer.status_code for answer in answers] == [200] * 50 + [429]
    assert answers[-1].json == {"error": "Rate limit exceeded", "message": "50 per 1 minute"}
    assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize("environment", ["development", "production"])
def test_flask_auth_check_finds_no_problem(
    make_app: Callable[..., Flask], environment: str
) -> None:
    result = make_app(FLASK_ENV=environment).test_cli_runner().invoke(args=["auth", "check"])
    assert result.exit_code == 0, result.output
