"""The helpers that an app's own tests use."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule

from flask_tenant_auth import (
    Identity,
    TenantAuth,
    create_api_key,
    create_session,
    decode_jwt_token,
    get_tenant_context,
    refresh_session,
    verify_tenant_context,
)
from flask_tenant_auth.errors import AuthError
from flask_tenant_auth.testing import AuthClient, Clock, foreign_answers

pytest_plugins = ["flask_tenant_auth.pytest_plugin"]

OWNER = Identity(str(uuid.UUID(int=1)), str(uuid.UUID(int=2)))
STRANGER = Identity(str(uuid.UUID(int=3)), str(uuid.UUID(int=4)))
ROWS = [
    {"id": 7, "tenant_id": OWNER.tenant_id, "title": "a secret title", "kind": "note"},
    {"id": 8, "tenant_id": OWNER.tenant_id, "title": "another title", "kind": "note"},
]


def make_app(leaky: str = "", **config: object) -> Flask:
    app = Flask(__name__)
    app.config.update(TESTING=True, JWT_SECRET_KEY="k" * 64, REDIS_URL="", RATELIMIT_ENABLED=False)
    app.config.update(config)
    TenantAuth(app)

    def visible(row: dict[str, Any]) -> bool:
        return row["tenant_id"] == get_tenant_context()[0]

    @app.get("/rows")
    @verify_tenant_context
    def rows() -> dict[str, Any]:
        return {"rows": [row for row in ROWS if leaky == "list" or visible(row)]}

    @app.get("/rows/<int:number>")
    @verify_tenant_context
    def row(number: int) -> Any:
        found = [row for row in ROWS if row["id"] == number and (leaky == "one" or visible(row))]
        return found[0] if found else ({}, 404)

    @app.get("/rows/<int:number>/parts/<int:part>")
    @verify_tenant_context
    def part(number: int, part: int) -> Any:
        found = [row for row in ROWS if row["id"] == part and (leaky == "part" or visible(row))]
        return found[0] if found else ({}, 404)

    @app.get("/claimed")
    @verify_tenant_context
    def claimed() -> dict[str, Any]:
        from flask import request

        tenant = request.headers.get("X-Tenant-ID") if leaky == "header" else None
        return {"rows": [row for row in ROWS if visible(row) or row["tenant_id"] == tenant]}

    return app


class TestClient:
    def test_the_client_signs_in_as_a_user(self) -> None:
        client = AuthClient(make_app())
        assert client.get("/rows").status_code == 401
        signed_in = client.as_user(OWNER.tenant_id, uuid.UUID(OWNER.user_id))
        assert len(signed_in.get("/rows").json["rows"]) == 2
        assert client.get("/rows").status_code == 401
        assert signed_in.as_user(STRANGER.tenant_id, STRANGER.user_id).get("/rows").json == {
            "rows": []
        }
        assert signed_in.get("/rows", headers={"Authorization": "Bearer x"}).status_code == 401

    def test_the_client_can_be_the_test_client_of_the_app(self) -> None:
        app = make_app()
        app.test_client_class = AuthClient
        with app.test_client() as client:
            assert client.as_user(OWNER.tenant_id, OWNER.user_id, "admin").get("/rows").json["rows"]

    @pytest.mark.parametrize(
        ("tenant", "user", "role"),
        [
            ("x", OWNER.user_id, "user"),
            (OWNER.tenant_id, "x", "user"),
            (OWNER.tenant_id, OWNER.user_id, "root"),
        ],
    )
    def test_arguments_that_are_not_valid_raise(self, tenant: str, user: str, role: str) -> None:
        with pytest.raises(ValueError):
            AuthClient(make_app()).as_user(tenant, user, role)

    def test_testing_that_comes_too_late_is_an_error(self) -> None:
        app = make_app(TESTING=False)
        assert AuthClient(app).get("/rows").status_code == 401
        app.config["TESTING"] = True
        with pytest.raises(RuntimeError, match="TESTING was set after the first request"):
            AuthClient(app)

    def test_testing_that_comes_before_the_first_request_is_none(self) -> None:
        app = make_app(TESTING=False)
        AuthClient(app)
        app.config["TESTING"] = True
        client = AuthClient(app).as_user(OWNER.tenant_id, OWNER.user_id)
        assert [client.get("/rows").status_code for _ in range(2)] == [200, 200]
        AuthClient(app)


class TestClock:
    def test_a_token_expires_when_the_clock_moves(self) -> None:
        client = AuthClient(make_app()).as_user(OWNER.tenant_id, OWNER.user_id, expires_in_hours=1)
        with Clock() as clock:
            clock.move(minutes=59)
            assert client.get("/rows").status_code == 200
            clock.move(120)
            assert client.get("/rows").status_code == 401
        assert client.get("/rows").status_code == 200

    def test_a_limit_begins_again_when_the_clock_moves(self, auth_clock: Clock) -> None:
        app = make_app(RATELIMIT_ENABLED=True, RATELIMIT_DEFAULT="2 per minute")
        client = AuthClient(app).as_user(OWNER.tenant_id, str(uuid.uuid4()))
        assert [client.get("/rows").status_code for _ in range(3)] == [200, 200, 429]
        auth_clock.move(61)
        assert client.get("/rows").status_code == 200

    def test_a_session_and_an_api_key_end_by_the_clock_of_their_store(
        self, auth_clock: Clock
    ) -> None:
        app = make_app(AUTH_SESSION_STORE="sqlite://")
        with app.app_context():
            session = create_session(OWNER.tenant_id, OWNER.user_id)
            key = create_api_key(
                OWNER.tenant_id, OWNER.user_id, "user", name="a", expires=timedelta(hours=2)
            ).key
            auth_clock.move(days=400)
            with pytest.raises(AuthError, match="Token expired"):
                decode_jwt_token(session.access_token)
            assert refresh_session(session.refresh_token).access_token
        headers = {"Authorization": f"Bearer {key}"}
        assert app.test_client().get("/rows", headers=headers).status_code == 200

    def test_the_clock_cannot_move_back(self, auth_clock: Clock) -> None:
        with pytest.raises(ValueError, match="forward"):
            auth_clock.move(-1)


class TestForeignAnswers:
    def test_an_isolated_app_has_no_foreign_answers(self, assert_get_routes_isolated: Any) -> None:
        assert foreign_answers(make_app(), ROWS, OWNER, STRANGER) == []
        assert_get_routes_isolated(make_app(), ROWS, OWNER, STRANGER)

    @pytest.mark.parametrize(
        ("leaky", "url", "endpoint"),
        [
            ("list", "/rows", "rows"),
            ("one", "/rows/7", "row"),
            ("part", "/rows/7/parts/8", "part"),
            ("header", "/claimed", "claimed"),
        ],
    )
    def test_an_app_that_leaks_has_foreign_answers(
        self, leaky: str, url: str, endpoint: str, assert_get_routes_isolated: Any
    ) -> None:
        found = foreign_answers(make_app(leaky), ROWS, OWNER, STRANGER)
        assert (url, endpoint) in {(answer.url, answer.endpoint) for answer in found}
        assert {answer.endpoint for answer in found} == {endpoint}
        with pytest.raises(pytest.fail.Exception, match=rf"GET {url} \({endpoint}\) answers 200"):
            assert_get_routes_isolated(make_app(leaky), ROWS, OWNER, STRANGER)

    def test_a_route_that_takes_any_method_is_called_too(self) -> None:
        app = make_app()
        assert foreign_answers(app, ROWS, OWNER, STRANGER) == []
        app = make_app()
        app.url_map.add(Rule("/any", endpoint="any"))
        app.endpoint("any")(lambda: {"rows": ROWS})
        found = foreign_answers(app, ROWS, OWNER, STRANGER)
        assert {answer.endpoint for answer in found} == {"any"}

    def test_ids_that_may_be_seen_are_no_foreign_answers(self) -> None:
        texts = [row["title"] for row in ROWS]
        assert foreign_answers(make_app("list"), ROWS, OWNER, STRANGER, texts[1:]) != []
        with pytest.raises(AssertionError, match="nothing was checked"):
            foreign_answers(make_app("list"), ROWS, OWNER, STRANGER, texts)

    def test_a_check_that_could_not_fail_raises(self) -> None:
        with pytest.raises(AssertionError, match="nothing was checked"):
            foreign_answers(make_app(), ROWS, STRANGER, STRANGER)

    def test_a_limit_hides_nothing(self) -> None:
        app = make_app(RATELIMIT_ENABLED=True, RATELIMIT_DEFAULT="7 per minute")
        with pytest.raises(AssertionError, match="RATELIMIT_ENABLED"):
            foreign_answers(app, ROWS, OWNER, STRANGER)
