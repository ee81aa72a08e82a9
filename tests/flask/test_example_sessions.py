"""The sessions of the example, from log in to log out everywhere, and its front end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
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
from email_service.curl_lines import EMAIL, TENANT, USER, USERS, add_example_users
from email_service.database import Base, create_tables, make_engine, session
from email_service.frontend import DIRECTORY
from email_service.models import User
from flask_tenant_auth import acting_as
from servers import PostgreSQL

PASSWORD = "correct horse ✓ battery"
ADMIN_EMAIL = USERS[1][2]
ACCOUNTS = "/api/v1/accounts"


@pytest.fixture
def make_app() -> Iterator[Callable[..., Flask]]:
    """Makes an app with the example users; its connections are closed at the end."""
    made: list[Flask] = []

    def make(**change: Any) -> Flask:
        app = create_app(
            {
                "DATABASE_URL": "sqlite://",
                "AUTH_SESSION_STORE": "sqlite://",
                "AUTH_PASSWORD_ITERATIONS": 2000,
                "FLASK_ENV": "development",
                "JWT_SECRET_KEY": "a secret of the tests, long enough for HS256",
                "MAIL_PASSWORD_KEY": Fernet.generate_key().decode(),
                "REDIS_URL": "",
                "RATELIMIT_KEY_PREFIX": str(uuid4()),
            }
            | change
        )
        made.append(app)
        with app.app_context():
            create_tables()
            add_example_users(PASSWORD)
        return app

    yield make
    for app in made:
        app.extensions["engine"].dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask], tmp_path: Path) -> Flask:
    return make_app(
        DATABASE_URL=f"sqlite:///{tmp_path}/email.sqlite3",
        AUTH_SESSION_STORE=f"sqlite:///{tmp_path}/sessions.sqlite3",
    )


@pytest.fixture
def app_on_postgresql(make_app: Callable[..., Flask], postgresql: PostgreSQL) -> Iterator[Flask]:
    yield make_app(DATABASE_URL=postgresql.url)
    engine = make_engine(make_url(postgresql.url))
    Base.metadata.drop_all(engine)
    engine.dispose()


class Browser:
    """Somebody with cookies of their own, whose requests come from pages of the service itself."""

    def __init__(self, app: Flask, device: str = "Firefox") -> None:
        self.client: FlaskClient = app.test_client()
        self.headers = {"User-Agent": device, "Sec-Fetch-Site": "same-origin"}

    def send(self, method: str, path: str, json: object = None) -> TestResponse:
        return self.client.open(path, method=method, headers=self.headers, json=json)

    def log_in(self, email: str = EMAIL, password: str = PASSWORD) -> TestResponse:
        return self.send("POST", "/auth/login", {"email": email, "password": password})

    def status(self, method: str, path: str) -> int:
        return self.send(method, path).status_code

    def sessions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.send("GET", "/auth/sessions").json["sessions"]
        return found


@pytest.fixture
def browser(app: Flask) -> Browser:
    browser = Browser(app)
    assert browser.log_in().status_code == 200
    return browser


# --- Log in ---------------------------------------------------------------------------------------


def test_log_in_answers_who_the_user_is_and_puts_tokens_into_cookies_only(app: Flask) -> None:
    browser = Browser(app)
    assert browser.status("GET", ACCOUNTS) == 401
    answer = browser.log_in()
    assert answer.status_code == 200
    assert answer.json == {
        "user": {
            "id": str(USER),
            "tenant_id": str(TENANT),
            "email": EMAIL,
            "role": "user",
        },
        "session_id": str(UUID(answer.json["session_id"])),
    }
    cookies = answer.headers.getlist("Set-Cookie")
    assert len(cookies) == 3  # of the device too: nobody elsewhere can lock it out
    assert all("HttpOnly" in cookie for cookie in cookies)
    for cookie in cookies:
        assert cookie.partition("=")[2].partition(";")[0] not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert browser.status("GET", ACCOUNTS) == 200


def test_log_in_works_with_row_level_security(app_on_postgresql: Flask) -> None:
    browser = Browser(app_on_postgresql)
    assert browser.log_in().status_code == 200
    assert browser.status("POST", "/auth/refresh") == 200
    assert browser.log_in(password="wrong").status_code == 401


@pytest.mark.parametrize("email", ["JOHN@Example.com", " john@example.com "])
def test_case_and_spaces_of_an_address_do_not_matter_at_log_in(app: Flask, email: str) -> None:
    assert Browser(app).log_in(email).status_code == 200


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(app: Flask) -> None:
    answers = [
        Browser(app).log_in(password="wrong"),
        Browser(app).log_in("nobody@example.com", "wrong"),
        Browser(app).log_in("nobody@example.com", PASSWORD),
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json == {
            "error": "Unauthorized",
            "message": "Wrong e-mail address or password",
        }
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "The body must be a JSON object, with Content-Type: application/json"),
        ({"email": EMAIL}, "password is required"),
        ({"email": EMAIL, "password": ""}, "password must be a text of 1 to 1024 characters"),
        ({"email": EMAIL, "password": ["x"]}, "password must be a text of 1 to 1024 characters"),
        ({"email": None, "password": "x"}, "email must be a text of 1 to 254 characters"),
    ],
)
def test_a_log_in_without_address_or_password_is_a_400(
    app: Flask, body: object, message: str
) -> None:
    answer = Browser(app).send("POST", "/auth/login", body)
    assert (answer.status_code, answer.json["message"]) == (400, message)


def test_the_sixth_log_in_after_five_failures_is_limited_even_with_the_right_password(
    app: Flask,
) -> None:
    for _ in range(5):
        assert Browser(app).log_in(password="wrong").status_code == 401
    limited = Browser(app).log_in()
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["Retry-After"]) <= 900
    assert "Set-Cookie" not in limited.headers


def test_successful_log_ins_are_not_limited(app: Flask) -> None:
    assert [Browser(app).log_in().status_code for _ in range(7)] == [200] * 7


def test_a_page_of_another_origin_cannot_log_in(app: Flask) -> None:
    browser = Browser(app)
    browser.headers |= {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = browser.log_in()
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


# --- Refresh --------------------------------------------------------------------------------------


def test_a_refresh_takes_the_role_that_the_user_has_now(app: Flask) -> None:
    browser = Browser(app)
    assert browser.log_in(ADMIN_EMAIL).status_code == 200
    assert browser.status("GET", "/api/v1/admin/accounts") == 200
    with app.app_context(), acting_as(*USERS[1][:2]):
        session().get(User, USERS[1][1]).role = "user"
        session().commit()
    assert browser.status("POST", "/auth/refresh") == 200
    assert browser.status("GET", "/api/v1/admin/accounts") == 403
    assert browser.status("GET", ACCOUNTS) == 200


def test_a_refresh_ends_the_session_of_a_user_who_is_gone(app: Flask, browser: Browser) -> None:
    assert browser.status("POST", "/auth/refresh") == 200
    with app.app_context(), acting_as(TENANT, USER):
        session().delete(session().get(User, USER))
        session().commit()
    assert browser.status("POST", "/auth/refresh") == 401
    assert browser.status("GET", ACCOUNTS) == 401


# --- Sessions and log out -------------------------------------------------------------------------


def test_sessions_are_listed_with_device_and_address(app: Flask, browser: Browser) -> None:
    Browser(app, "Chromium on a phone").log_in()
    Browser(app, "another user's").log_in(ADMIN_EMAIL)
    newest, oldest = browser.sessions()
    assert (newest["device"], newest["address"]) == ("Chromium on a phone", "127.0.0.1")
    assert (oldest["device"], oldest["address"]) == ("Firefox", "127.0.0.1")
    assert (newest["current"], oldest["current"]) == (False, True)


def test_a_user_ends_one_of_their_sessions_and_none_of_others(app: Flask, browser: Browser) -> None:
    phone, stranger = Browser(app, "a phone"), Browser(app, "another user's")
    ended = phone.log_in().json["session_id"]
    theirs = stranger.log_in(ADMIN_EMAIL).json["session_id"]
    assert browser.status("DELETE", f"/auth/sessions/{theirs}") == 404
    assert browser.status("DELETE", f"/auth/sessions/{ended}") == 204
    assert (phone.status("GET", ACCOUNTS), phone.status("POST", "/auth/refresh")) == (401, 401)
    assert stranger.status("GET", ACCOUNTS) == 200
    assert [each["device"] for each in browser.sessions()] == ["Firefox"]


def test_log_out_here_ends_this_session_and_no_other(app: Flask, browser: Browser) -> None:
    phone = Browser(app, "a phone")
    phone.log_in()
    stolen = Browser(app)
    for cookie in list(browser.client._cookies.values()):
        stolen.client._cookies[cookie._storage_key] = cookie
    assert stolen.status("GET", ACCOUNTS) == 200
    assert browser.status("POST", "/auth/logout") == 204
    assert browser.status("GET", ACCOUNTS) == 401
    assert (stolen.status("GET", ACCOUNTS), stolen.status("POST", "/auth/refresh")) == (401, 401)
    assert [each["device"] for each in phone.sessions()] == ["a phone"]


def test_log_out_everywhere_ends_the_users_sessions_and_no_other_users(
    app: Flask, browser: Browser
) -> None:
    phone, stranger = Browser(app, "a phone"), Browser(app, "another user's")
    phone.log_in()
    stranger.log_in(ADMIN_EMAIL)
    answer = browser.send("POST", "/auth/logout-everywhere")
    assert answer.status_code == 204
    assert len(answer.headers.getlist("Set-Cookie")) == 2
    for each in (browser, phone):
        assert (each.status("GET", ACCOUNTS), each.status("POST", "/auth/refresh")) == (401, 401)
    assert stranger.status("GET", ACCOUNTS) == 200
    assert browser.log_in().status_code == 200
    assert browser.status("GET", ACCOUNTS) == 200


def test_log_out_everywhere_needs_a_user(app: Flask) -> None:
    assert Browser(app).status("POST", "/auth/logout-everywhere") == 401


# --- The front end --------------------------------------------------------------------------------


class Page(HTMLParser):
    """The tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_front_end_is_served_with_a_policy_that_runs_its_own_files_only(app: Flask) -> None:
    types = {"/": "text/html", "/app.js": "text/javascript", "/style.css": "text/css"}
    for path, content_type in types.items():
        answer = app.test_client().get(path)
        assert answer.status_code == 200
        assert answer.mimetype == content_type
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert not any("unsafe" in each for each in policy)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        known = {"If-None-Match": answer.headers["ETag"]}
        assert app.test_client().get(path, headers=known).status_code == 304
    assert app.test_client().get("/frontend.py").status_code == 404


def test_the_front_end_needs_no_inline_script_or_style() -> None:
    page = Page((DIRECTORY / "index.html").read_text("utf-8"))
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [attributes["src"] for attributes in scripts] == ["app.js"]
    for tag, attributes in page.tags:
        assert tag != "style"
        assert not any(name == "style" or name.startswith("on") for name in attributes), tag
    script = (DIRECTORY / "app.js").read_text("utf-8")
    for unsafe in ("innerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert unsafe not in script


def test_the_script_finds_every_element_that_it_names() -> None:
    page = Page((DIRECTORY / "index.html").read_text("utf-8"))
    ids = {attributes.get("id") for _, attributes in page.tags}
    script = (DIRECTORY / "app.js").read_text("utf-8")
    named = {part.partition('"')[0] for part in script.split('element("')[1:]}
    assert named
    assert named <= ids
    assert ("meta", {"name": "api-origin", "content": ""}) in page.tags


def test_reading_the_front_end_counts_against_no_limit(app: Flask) -> None:
    client = app.test_client()
    for _ in range(60):
        assert client.get("/").status_code == 200
