"""The routes that the package itself adds to an app: on every host, and added in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, url_for
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from apps import TENANT, USER, bare_app
from flask_tenant_auth import TenantAuth, create_jwt_token, public_route
from flask_tenant_auth.testing import calls_of
from openssl_keys import KeyPair
from paths import ROOT

PERMISSION = "operate"
HOSTS = ("a.example", "b.example:8443", "localhost")
# All that TenantAuth adds: method and path.
OWN = {
    ("GET", "/keys.json"),
    ("GET", "/metrics"),
    ("POST", "/auth/refresh"),
    ("POST", "/auth/logout"),
    ("GET", "/auth/sessions"),
    ("DELETE", "/auth/sessions/<session_id>"),
    ("GET", "/console"),
    ("GET", "/console/sessions"),
    ("POST", "/console/open"),
    ("POST", "/console/close"),
    ("POST", "/console/end"),
    ("POST", "/console/end-all"),
}
PAIR = KeyPair("ES256")


def app_with_all_routes(folder: Path, name: str, **arguments: Any) -> Flask:
    app = Flask(bare_app().name, **arguments)
    app.config.update(
        bare_app().config
        | {
            "AUTH_CONSOLE_PERMISSION": PERMISSION,
            "AUTH_CONSOLE_ROUTE": "/console",
            "AUTH_METRICS_PERMISSION": PERMISSION,
            "AUTH_METRICS_ROUTE": "/metrics",
            "AUTH_SESSION_ROUTES": "/auth",
            "AUTH_SESSION_STORE": f"sqlite:///{folder}/{name}.db",
            "JWT_ALGORITHM": "ES256",
            "JWT_JWKS_ROUTE": "/keys.json",
            "JWT_PRIVATE_KEY": PAIR.private,
        }
    )
    TenantAuth(app)
    return app


@pytest.fixture
def matching(tmp_path: Path) -> Flask:
    """An app with host_matching, and with a view on one of its hosts."""
    app = app_with_all_routes(tmp_path, "m", host_matching=True, static_host="a.example")
    app.get("/of-a", endpoint="of_a", host="a.example")(public_route(lambda: "of a"))
    return app


def own_rules(app: Flask) -> list[Rule]:
    return [each for each in app.url_map.iter_rules() if each.endpoint.startswith("tenant_auth_")]


def method_of(rule: Rule) -> str:
    [method] = (rule.methods or set()) - {"HEAD", "OPTIONS"}
    return method


def path_of(rule: Rule) -> str:
    return rule.rule.replace("<session_id>", USER)


def answer_of(app: Flask, rule: Rule, host: str, **headers: str) -> TestResponse:
    return app.test_client().open(
        path_of(rule), method=method_of(rule), base_url=f"https://{host}", headers=headers
    )


def bearer(app: Flask) -> str:
    with app.app_context():
        text = create_jwt_token(TENANT, USER, claims={"permissions": [PERMISSION]})
    return f"Bearer {text}"


def test_the_list_has_all_routes_of_the_package(matching: Flask, tmp_path: Path) -> None:
    for app in (matching, app_with_all_routes(tmp_path, "p")):
        assert {(method_of(each), each.rule) for each in own_rules(app)} == OWN
        others = {each.endpoint for each in app.url_map.iter_rules()} - {"static", "of_a"}
        assert others == {each.endpoint for each in own_rules(app)}


def test_one_module_adds_the_routes() -> None:
    adding = [
        str(each.relative_to(ROOT))
        for each in (ROOT / "flask_tenant_auth").rglob("*.py")
        if re.search(r"\.add_url_rule\(|url_map\.add\(", each.read_text("utf-8"))
    ]
    assert adding == ["flask_tenant_auth/flask/own_routes.py"]


@pytest.mark.parametrize("host", HOSTS)
def test_every_route_answers_on_every_host_of_an_app_with_host_matching(
    matching: Flask, tmp_path: Path, host: str
) -> None:
    plain = app_with_all_routes(tmp_path, "p")
    for rule in own_rules(matching):
        known = [None, *({"Authorization": bearer(each)} for each in (matching, plain))]
        for of_matching, of_plain in ((known[0], known[0]), (known[1], known[2])):
            answer = answer_of(matching, rule, host, **of_matching or {})
            expected = answer_of(plain, rule, host, **of_plain or {})
            assert (answer.status, answer.mimetype) == (expected.status, expected.mimetype), rule
            assert answer.status_code != 404 or answer.is_json, rule
    assert matching.test_client().get("/of-a", base_url=f"https://{host}").status_code == (
        200 if host == "a.example" else 404
    )


def test_no_hook_of_the_app_and_no_view_gets_the_host(matching: Flask) -> None:
    seen: list[tuple[str | None, dict[str, Any] | None]] = []
    matching.url_value_preprocessor(lambda name, values: seen.append((name, dict(values or {}))))
    for rule in own_rules(matching):
        answer_of(matching, rule, "b.example", Authorization=bearer(matching))
        arguments = {"session_id": USER} if rule.arguments > {"tenant_auth_host"} else {}
        assert seen.pop() == (rule.endpoint, arguments)


@pytest.mark.parametrize("matches", [False, True])
def test_url_for_builds_their_paths(tmp_path: Path, matches: bool) -> None:
    host: dict[str, Any] = {"host_matching": True, "static_host": "a.example"} if matches else {}
    app = app_with_all_routes(tmp_path, "u", **host)
    for rule in own_rules(app):
        values = {"session_id": USER} if "session_id" in rule.arguments else {}
        with app.test_request_context("/", base_url="https://b.example"):
            assert url_for(rule.endpoint, **values) == path_of(rule)
            assert url_for(rule.endpoint, **values, _external=True) == (
                f"https://b.example{path_of(rule)}"
            )
        app.config["SERVER_NAME"] = "c.example"
        with app.app_context():
            assert url_for(rule.endpoint, **values) == f"http://c.example{path_of(rule)}"
        app.config["SERVER_NAME"] = None


def test_the_helper_for_foreign_rows_calls_them_too(matching: Flask) -> None:
    called = {endpoint for _, endpoint in calls_of(matching, ["7"])}
    assert called >= {each.endpoint for each in own_rules(matching) if method_of(each) == "GET"}


def test_a_route_of_the_app_on_one_host_comes_first(matching: Flask) -> None:
    own = "of the app"
    matching.get("/metrics", endpoint="own", host="a.example")(public_route(lambda: own))
    client = matching.test_client()
    assert client.get("/metrics", base_url="https://a.example").text == own
    assert client.get("/metrics", base_url="https://b.example").status_code == 401
