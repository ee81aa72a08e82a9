"""The routes below AUTH_SESSION_ROUTES."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from apps import OTHER_USER, TENANT, USER, error_of, token
from cookie_apps import cookie_app, cookies_of, https_client, value_of
from flask_tenant_auth.flask.sessions import SessionTokens, create_session
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.sessions.store import StoreUnavailable
from memory_session_store import MemorySessionStore

ACCESS, REFRESH = "__Host-fta", "__Secure-fta-refresh"


def sets_no_cookie(response: TestResponse) -> bool:
    return "Set-Cookie" not in response.headers


def body_of(tokens: SessionTokens) -> dict[str, str]:
    return {"refresh_token": tokens.refresh_token}


def bearer_of(tokens: SessionTokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.access_token}"}


def new_session(app: Flask, user_id: str = USER, tenant_id: str = TENANT) -> SessionTokens:
    with app.app_context():
        return create_session(tenant_id, user_id, device="a phone")


class TestCookies:
    @pytest.fixture
    def made(self) -> tuple[Flask, MemorySessionStore]:
        return cookie_app()

    @pytest.fixture
    def client(self, made: tuple[Flask, MemorySessionStore]) -> FlaskClient:
        client = https_client(made[0])
        assert client.post("/api/login").status_code == 200
        return client

    def test_a_refresh_answers_new_tokens_in_cookies_alone(self, client: FlaskClient) -> None:
        before = client.get_cookie(REFRESH, domain="api.example.test", path="/auth")
        response = client.post("/auth/refresh")
        assert response.status_code == 200
        assert set(response.get_json()) == {"token_type", "expires_in", "session_id"}
        made = cookies_of(response)
        assert set(made) == {ACCESS, REFRESH}
        assert before is None or value_of(made[REFRESH]) != before.value
        assert value_of(made[ACCESS]) not in response.text
        assert value_of(made[REFRESH]) not in response.text
        assert response.headers["Cache-Control"] == "no-store"
        assert client.get("/api/me").status_code == 200

    def test_a_body_is_not_read_where_cookies_are_the_only_place(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        tokens = new_session(made[0])
        answer = https_client(made[0]).post("/auth/refresh", json=body_of(tokens))
        assert error_of(answer) == (401, "Session ended")

    def test_a_failed_refresh_touches_no_cookie(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        app, store = made
        client = https_client(app, jar=False)
        tokens = new_session(app)
        for value in ("", "x", "r1", tokens.access_token, tokens.refresh_token + "."):
            answer = client.post("/auth/refresh", headers={"Cookie": f"{REFRESH}={value}"})
            assert error_of(answer) == (401, "Session ended")
            assert sets_no_cookie(answer)
        store.away = StoreUnavailable("switched off")
        good = {"Cookie": f"{REFRESH}={tokens.refresh_token}"}
        answer = client.post("/auth/refresh", headers=good)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert sets_no_cookie(answer)
        store.away = None
        assert client.post("/auth/refresh", headers=good).status_code == 200

    def test_two_refresh_cookies_are_denied_and_end_nothing(
        self, made: tuple[Flask, MemorySessionStore], caplog: pytest.LogCaptureFixture
    ) -> None:
        app, store = made
        old, new = new_session(app), new_session(app)
        client = https_client(app, jar=False)
        both = f"{REFRESH}={old.refresh_token}; {REFRESH}={new.refresh_token}"
        for path, message in (("refresh", "Invalid token"), ("logout", "Session ended")):
            answer = client.post(f"/auth/{path}", headers={"Cookie": both})
            assert error_of(answer) == (401, message)
            assert sets_no_cookie(answer)
        assert caplog.text.count("reason=cookie_repeated") == 1
        assert all(row.ended_at is None and row.counter == 1 for row in store.rows.values())

    def test_a_refresh_cookie_that_a_stranger_adds_keeps_nobody_from_logging_out(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        app, store = made
        own = new_session(app)
        cookies = [f"{ACCESS}={own.access_token}", f"{REFRESH}={own.refresh_token}", f"{REFRESH}=x"]
        answer = https_client(app, jar=False).post(
            "/auth/logout", headers={"Cookie": "; ".join(cookies)}
        )
        assert answer.status_code == 204
        assert store.rows[own.session_id].end_reason == "logged_out"

    def test_log_out_ends_the_session_and_deletes_the_cookies(
        self, made: tuple[Flask, MemorySessionStore], client: FlaskClient
    ) -> None:
        app, store = made
        response = client.post("/auth/logout")
        assert (response.status_code, response.data) == (204, b"")
        assert all("Max-Age=0" in line for line in cookies_of(response).values())
        assert set(cookies_of(response)) == {ACCESS, REFRESH}
        [row] = store.rows.values()
        assert row.end_reason == "logged_out"
        assert client.get("/api/me").status_code == 401
        assert app is not None

    def test_log_out_needs_one_of_the_two_tokens(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        app, store = made
        client = https_client(app, jar=False)
        for name, value in ((ACCESS, "access_token"), (REFRESH, "refresh_token")):
            tokens = new_session(app)
            cookie = {"Cookie": f"{name}={getattr(tokens, value)}"}
            assert client.post("/auth/logout", headers=cookie).status_code == 204
            assert store.rows[tokens.session_id].end_reason == "logged_out"

    def test_log_out_ends_every_session_that_is_named(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        app, store = made
        old, new = new_session(app), new_session(app)
        both = f"{REFRESH}={old.refresh_token}; {ACCESS}={new.access_token}"
        client = https_client(app, jar=False)
        assert client.post("/auth/logout", headers={"Cookie": both}).status_code == 204
        assert {row.end_reason for row in store.rows.values()} == {"logged_out"}

    def test_log_out_with_nothing_to_end_is_no_success_and_deletes_nothing(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        app, store = made
        client = https_client(app, jar=False)
        foreign = token(sid="00000000-0000-7000-8000-000000000000")
        other = new_session(app, OTHER_USER)
        stolen_name = token(sid=other.session_id)
        for cookie in (
            "a=1",
            f"{REFRESH}=x",
            f"{ACCESS}={token()}",
            f"{ACCESS}={foreign}",
            f"{ACCESS}={stolen_name}",
            f"{ACCESS}={token(sid='not a uuid')}",
        ):
            answer = client.post("/auth/logout", headers={"Cookie": cookie})
            assert error_of(answer) == (401, "Session ended")
            assert sets_no_cookie(answer)
        assert store.rows[other.session_id].ended_at is None
        assert not store.revocations

    def test_log_out_while_the_store_is_away_is_503_and_keeps_the_cookies(
        self, made: tuple[Flask, MemorySessionStore], client: FlaskClient
    ) -> None:
        _, store = made
        store.away = StoreUnavailable("switched off")
        answer = client.post("/auth/logout")
        assert error_of(answer)[0] == 503
        assert "Retry-After" in answer.headers
        assert sets_no_cookie(answer)
        store.away = None
        assert client.post("/auth/logout").status_code == 204

    def test_log_out_of_an_ended_session_succeeds_again(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        app, _ = made
        tokens = new_session(app)
        client = https_client(app, jar=False)
        cookie = {"Cookie": f"{REFRESH}={tokens.refresh_token}"}
        for _ in range(2):
            assert client.post("/auth/logout", headers=cookie).status_code == 204

    def test_three_tabs_that_refresh_at_once_keep_the_session(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        app, store = made
        tokens = new_session(app)
        client = https_client(app, jar=False)
        cookie = {"Cookie": f"{REFRESH}={tokens.refresh_token}"}
        answers = [client.post("/auth/refresh", headers=cookie) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert len({value_of(cookies_of(answer)[REFRESH]) for answer in answers}) == 1
        assert store.rows[tokens.session_id].counter == 2

    def test_a_late_refresh_ends_the_session_and_leaves_a_new_log_in_alone(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        app, store = made
        old = new_session(app)
        cookie = {"Cookie": f"{REFRESH}={old.refresh_token}"}
        client = https_client(app, jar=False)
        assert client.post("/auth/refresh", headers=cookie).status_code == 200
        new = new_session(app)
        store.moved += 60_000
        answer = client.post("/auth/refresh", headers=cookie)
        assert error_of(answer) == (401, "Session ended")
        assert sets_no_cookie(answer)
        assert store.rows[old.session_id].end_reason == "late_predecessor"
        fresh = {"Cookie": f"{REFRESH}={new.refresh_token}"}
        assert client.post("/auth/refresh", headers=fresh).status_code == 200


class TestHeaders:
    @pytest.fixture
    def made(self) -> tuple[Flask, MemorySessionStore]:
        return cookie_app(AUTH_TOKEN_LOCATIONS="headers")

    def test_a_refresh_answers_the_documented_json(
        self, made: tuple[Flask, MemorySessionStore]
    ) -> None:
        app, _ = made
        client = app.test_client()
        tokens = new_session(app)
        response = client.post("/auth/refresh", json=body_of(tokens))
        assert response.status_code == 200
        body = response.get_json()
        assert set(body) == {
            *("access_token", "refresh_token", "token_type", "expires_in", "session_id")
        }
        assert (body["token_type"], body["session_id"]) == ("Bearer", tokens.session_id)
        assert response.headers["Cache-Control"] == "no-store"
        assert sets_no_cookie(response)
        new = {"Authorization": f"Bearer {body['access_token']}"}
        assert client.get("/api/me", headers=new).get_json()["session_id"] == tokens.session_id

    @pytest.mark.parametrize("body", [None, {}, [], "x", {"refresh_token": None}, {"token": "x"}])
    def test_a_body_without_a_token_is_401(
        self, made: tuple[Flask, MemorySessionStore], body: Any
    ) -> None:
        client = made[0].test_client()
        assert error_of(client.post("/auth/refresh", json=body)) == (401, "Session ended")

    @pytest.mark.parametrize("value", [1, True, [], {"a": "b"}, ["x"]])
    def test_a_token_that_is_no_text_is_400(
        self, made: tuple[Flask, MemorySessionStore], value: Any
    ) -> None:
        answer = made[0].test_client().post("/auth/refresh", json={"refresh_token": value})
        assert error_of(answer) == (400, "refresh_token must be text")

    def test_a_body_that_is_no_json_is_401(self, made: tuple[Flask, MemorySessionStore]) -> None:
        client = made[0].test_client()
        for kind in ("application/json", "text/plain"):
            answer = client.post("/auth/refresh", data=b"{", content_type=kind)
            assert error_of(answer)[0] == 401

    def test_no_cookie_is_read(self, made: tuple[Flask, MemorySessionStore]) -> None:
        app, _ = made
        tokens = new_session(app)
        client = app.test_client(use_cookies=False)
        for name in (REFRESH, "fta-refresh"):
            cookie = {"Cookie": f"{name}={tokens.refresh_token}"}
            assert client.post("/auth/refresh", headers=cookie).status_code == 401

    def test_log_out_sets_no_cookie(self, made: tuple[Flask, MemorySessionStore]) -> None:
        app, store = made
        tokens = new_session(app)
        answer = app.test_client().post("/auth/logout", json=body_of(tokens))
        assert answer.status_code == 204
        assert sets_no_cookie(answer)
        assert store.rows[tokens.session_id].end_reason == "logged_out"
        again = app.test_client().post("/auth/refresh", json=body_of(tokens))
        assert error_of(again) == (401, "Session ended")

    def test_refreshes_are_limited_as_the_other_views_of_the_app(self) -> None:
        app, _ = cookie_app(AUTH_TOKEN_LOCATIONS="headers", RATELIMIT_DEFAULT="2 per hour")
        client = app.test_client()
        statuses = [client.post("/auth/refresh", json={}).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]


def test_with_both_locations_the_answer_goes_the_way_that_the_token_came() -> None:
    app, _ = cookie_app(AUTH_TOKEN_LOCATIONS="headers, cookies")
    client = https_client(app, jar=False)
    by_body = client.post("/auth/refresh", json=body_of(new_session(app)))
    assert "access_token" in by_body.get_json()
    assert sets_no_cookie(by_body)
    cookie = {"Cookie": f"{REFRESH}={new_session(app).refresh_token}"}
    by_cookie = client.post("/auth/refresh", headers=cookie)
    assert "access_token" not in by_cookie.get_json()
    assert set(cookies_of(by_cookie)) == {ACCESS, REFRESH}


class TestTheSessionsOfAUser:
    @pytest.fixture
    def app(self) -> Flask:
        return cookie_app(AUTH_TOKEN_LOCATIONS="headers")[0]

    def test_the_list_has_those_of_the_user_that_go_on(self, app: Flask) -> None:
        first, second = new_session(app), new_session(app)
        ended = new_session(app)
        new_session(app, OTHER_USER)
        client = app.test_client()
        assert client.post("/auth/logout", json=body_of(ended)).status_code == 204
        response = client.get("/auth/sessions", headers=bearer_of(first))
        assert response.headers["Cache-Control"] == "no-store"
        shown = response.get_json()["sessions"]
        assert {each["id"] for each in shown} == {first.session_id, second.session_id}
        assert {each["id"]: each["current"] for each in shown}[first.session_id] is True
        assert sum(each["current"] for each in shown) == 1
        assert set(shown[0]) == {
            *("id", "device", "address", "began_at", "used_at", "expires_at", "current")
        }
        assert shown[0]["device"] == "a phone"
        assert shown[0]["began_at"].endswith("+00:00")

    def test_a_user_ends_a_session_of_its_own(self, app: Flask) -> None:
        mine, phone = new_session(app), new_session(app)
        client = app.test_client()
        path = f"/auth/sessions/{phone.session_id}"
        assert client.delete(path, headers=bearer_of(mine)).status_code == 204
        assert client.post("/auth/refresh", json=body_of(phone)).status_code == 401
        assert client.post("/auth/refresh", json=body_of(mine)).status_code == 200
        assert error_of_404(client.delete(path, headers=bearer_of(mine)))

    def test_every_other_session_is_not_found(self, app: Flask) -> None:
        mine = new_session(app)
        others = [
            new_session(app, OTHER_USER).session_id,
            new_session(app, USER, "0d9f8e7d-6c5b-4a39-9827-16f5e4d3c2b1").session_id,
            *("x", "00000000-0000-7000-8000-000000000000", mine.session_id + "0"),
        ]
        client = app.test_client()
        for each in others:
            answer = client.delete(f"/auth/sessions/{each}", headers=bearer_of(mine))
            assert error_of_404(answer)
        store: Any = state_of(app).session_store
        assert not store.revocations

    def test_both_need_an_identity(self, app: Flask) -> None:
        mine = new_session(app)
        client = app.test_client()
        assert client.get("/auth/sessions").status_code == 401
        assert client.delete(f"/auth/sessions/{mine.session_id}").status_code == 401

    def test_both_are_503_while_the_store_is_away(self, app: Flask) -> None:
        mine = new_session(app)
        store: Any = state_of(app).session_store
        store.away = StoreUnavailable("switched off")
        client = app.test_client()
        path = f"/auth/sessions/{mine.session_id}"
        assert client.get("/auth/sessions", headers=bearer_of(mine)).status_code == 503
        assert client.delete(path, headers=bearer_of(mine)).status_code == 503


def error_of_404(response: TestResponse) -> bool:
    return (response.status_code, response.get_json()) == (
        404,
        {"error": "Not Found", "message": "Session not found"},
    )


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_a_body_that_is_nested_too_deep_is_no_refresh_token(path: str) -> None:
    app, _ = cookie_app(AUTH_TOKEN_LOCATIONS=["headers"])
    app.testing = False  # an exception becomes the answer, as in production
    body = '{"refresh_token":' + "[" * 100_000 + "]" * 100_000 + "}"
    answer = app.test_client().post(path, data=body, content_type="application/json")
    assert error_of(answer) == (401, "Session ended")


def test_without_the_setting_there_are_no_routes() -> None:
    app, _ = cookie_app(AUTH_TOKEN_LOCATIONS=None, AUTH_SESSION_ROUTES=None)
    assert not [rule for rule in app.url_map.iter_rules() if "tenant_auth" in rule.endpoint]
