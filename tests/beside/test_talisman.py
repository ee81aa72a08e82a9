"""Flask-Talisman: its fields and ours stand side by side, and who redirects to https first."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_talisman import Talisman
from werkzeug.test import TestResponse

from apps import add_denying_views, bare_app, bearer
from flask_tenant_auth import TenantAuth
from flask_tenant_auth import verify_tenant_context as verified

FIRST, LAST = "Talisman first", "Talisman last"
both_orders = pytest.mark.parametrize("order", [FIRST, LAST])
PAGE = "https://page.example.test"
POLICY = "default-src 'self'"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization",
}


def app_of(order: str, **config: Any) -> tuple[Flask, Talisman]:
    app = bare_app(
        **{"FLASK_ENV": "production", "CORS_ORIGINS": PAGE, "CORS_RESOURCES": "/"} | config
    )
    if order == LAST:
        TenantAuth(app)
    talisman = Talisman(app, content_security_policy=POLICY)
    if order == FIRST:
        TenantAuth(app)
    add_denying_views(app)
    return app, talisman


class HTTPSClient(FlaskClient):
    """A client that asks over https."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        return super().open(*args, base_url="https://localhost", **options)


def https(app: Flask) -> HTTPSClient:
    return HTTPSClient(app, app.response_class)


def has_fields_of_talisman(answer: TestResponse) -> bool:
    found = [
        answer.headers.get("Content-Security-Policy") == POLICY,
        answer.headers.get("Strict-Transport-Security", "").startswith("max-age="),
        answer.headers.get("X-Content-Type-Options") == "nosniff",
        answer.headers.get("X-Frame-Options") == "SAMEORIGIN",
    ]
    assert len(set(found)) == 1, answer.headers
    return all(found)


@both_orders
def test_a_denial_has_the_fields_of_both(order: str) -> None:
    app, _ = app_of(order)
    client = https(app)
    for path, headers, status in [
        ("/me", {}, 401),
        ("/admin", bearer(), 403),
        ("/limited", {}, 200),
        ("/limited", {}, 429),
        ("/me", bearer(), 200),
    ]:
        answer = client.get(path, headers={"Origin": PAGE, **headers})
        assert answer.status_code == status
        assert has_fields_of_talisman(answer)
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Origin" in answer.headers["Vary"]
        assert ("WWW-Authenticate" in answer.headers) is (status in (401, 403))
        assert ("Retry-After" in answer.headers) is (status == 429)


@both_orders
def test_a_429_in_place_of_the_401_of_a_view_has_our_fields_alone(order: str) -> None:
    app, _ = app_of(order, AUTH_FAILURE_LIMIT="1 per hour")
    client = https(app)
    first, second = (client.get("/denies", headers={"Origin": PAGE}) for _ in range(2))
    assert (first.status_code, second.status_code) == (401, 429)
    assert has_fields_of_talisman(first)
    assert not has_fields_of_talisman(second)
    assert second.headers["Access-Control-Allow-Origin"] == PAGE
    assert second.mimetype == "application/json"


@both_orders
def test_a_preflight_over_https_is_answered_with_the_fields_of_both(order: str) -> None:
    app, _ = app_of(order)
    answer = https(app).options("/me", headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
    assert has_fields_of_talisman(answer)


@pytest.mark.parametrize(("order", "status"), [(FIRST, 302), (LAST, 200)])
def test_a_preflight_over_http_is_redirected_only_where_talisman_is_first(
    order: str, status: int
) -> None:
    """A browser follows no redirect of a preflight. The request itself is always redirected."""
    app, _ = app_of(order)
    assert app.test_client().options("/me", headers=PREFLIGHT).status_code == status
    assert app.test_client().get("/me", headers=bearer()).status_code == 302


@both_orders
def test_a_request_over_http_reaches_no_view_and_is_answered_with_no_denial(order: str) -> None:
    app, _ = app_of(order)
    called: list[str] = []
    app.get("/called", endpoint="called")(verified(lambda: called.append("view") or "in"))
    for headers in ({}, bearer(), {"Authorization": "Bearer x"}):
        answer = app.test_client().get("/called", headers=headers)
        assert (answer.status_code, answer.location) == (302, "https://localhost/called")
    assert called == []


@pytest.mark.parametrize(("order", "statuses"), [(FIRST, [302, 302]), (LAST, [302, 429])])
def test_redirects_count_only_where_talisman_is_last(order: str, statuses: list[int]) -> None:
    app, _ = app_of(order)
    client = app.test_client()
    assert [client.get("/limited").status_code for _ in range(2)] == statuses
    expected = 200 if order == FIRST else 429
    assert https(app).get("/limited").status_code == expected


@both_orders
@pytest.mark.parametrize("above", [True, False], ids=["above", "below"])
def test_the_options_of_a_view_hold_above_and_below_our_decorator(order: str, above: bool) -> None:
    app, talisman = app_of(order)
    options = talisman(frame_options="DENY", content_security_policy=POLICY)
    view = options(verified(lambda: "in")) if above else verified(options(lambda: "in"))
    app.get("/framed", endpoint="framed")(view)
    for headers, status in ({}, 401), (bearer(), 200):
        answer = https(app).get("/framed", headers=headers)
        assert answer.status_code == status
        assert answer.headers["X-Frame-Options"] == "DENY"
    strict = app.test_cli_runner().invoke(args=["auth", "check", "--strict"])
    assert strict.exit_code == 0, strict.output
