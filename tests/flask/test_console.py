"""AUTH_CONSOLE_ROUTE: who gets in, what it shows, and what it never does."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import socket
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from blinker import NamedSignal
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import ImATeapot
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse

from apps import (
    OTHER_TENANT,
    OTHER_USER,
    SECRET,
    TENANT,
    USER,
    bare_app,
    bearer,
    identity_headers,
    make_app,
    token,
)
from console_pages import Page
from cookie_apps import cookies_of, https_client
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    TenantAuth,
    create_api_key,
    create_jwt_token,
    create_session,
    current_identity,
    list_sessions,
    public_route,
    rate_limit,
    revoke_user,
    set_session_cookies,
    verify_tenant_context,
)
from flask_tenant_auth._core import API_KEY_PREFIX, Key, Keyring
from flask_tenant_auth.console.page import CONTENT_SECURITY_POLICY, HEADERS
from flask_tenant_auth.flask import console_route
from flask_tenant_auth.flask.listed_routes import routes_of
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.signals import request_authenticated, request_denied
from openssl_keys import KeyPair, openssl

PERMISSION = "console:open"
COOKIE = "__Secure-fta-console"
OPERATOR = str(uuid4())
# The forms that need an operator.
FORMS = tuple(("POST", f"/console/{name}") for name in ("open", "end", "end-all"))


def console_app(folder: Path, **config: Any) -> Flask:
    """An app in production with a console, sessions and a view."""
    app = bare_app(
        **{
            "FLASK_ENV": "production",
            "AUTH_CONSOLE_ROUTE": "/console",
            "AUTH_CONSOLE_PERMISSION": PERMISSION,
            "AUTH_SESSION_STORE": f"sqlite:///{folder}/sessions.db",
        }
        | config
    )
    TenantAuth(app)
    app.get("/me", endpoint="me")(verify_tenant_context(lambda: {"user": current_identity.user_id}))
    return app


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return console_app(tmp_path)


def operators_token(**claims: Any) -> str:
    return token(user_id=OPERATOR, **{"permissions": [PERMISSION]} | claims)


def opened(app: Flask, **claims: Any) -> FlaskClient:
    """A browser that has opened the console."""
    client = https_client(app)
    answer = post(client, "/console/open", token=operators_token(**claims))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console")
    return client


def post(client: FlaskClient, path: str, **form: str) -> TestResponse:
    return client.post(path, data=form)


def is_console(answer: TestResponse) -> bool:
    """Whether an answer is the console; else it is a denial that shows nothing of it."""
    shown = "Requests of the last hour" in answer.text
    assert shown is (answer.status_code == 200)
    if not shown:
        assert "Routes" not in answer.text
        assert "HS256" not in answer.text
    return shown


def begun(app: Flask, user: str = USER, device: str = "Firefox") -> str:
    with app.app_context():
        return create_session(TENANT, user, device=device).session_id


def going_on(app: Flask, user: str = USER) -> set[str]:
    with app.app_context():
        return {each.id for each in list_sessions(TENANT, user)}


# --- Settings -------------------------------------------------------------------------------------


def test_there_is_no_console_unless_it_is_set() -> None:
    app = make_app()
    assert app.test_client().get("/console").status_code == 404
    assert all("console" not in route.path for route in routes_of(app))


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("AUTH_CONSOLE_PERMISSION", None, "AUTH_CONSOLE_PERMISSION"),
        ("AUTH_CONSOLE_ROUTE", None, "AUTH_CONSOLE_ROUTE"),
        ("AUTH_CONSOLE_ROUTE", "console", "AUTH_CONSOLE_ROUTE"),
        ("AUTH_CONSOLE_ROUTE", "/", "AUTH_CONSOLE_ROUTE"),
        ("AUTH_CONSOLE_ROUTE", "/<tenant>/console", "AUTH_CONSOLE_ROUTE"),
        ("AUTH_CONSOLE_ROUTE", "/console; Domain=example", "AUTH_CONSOLE_ROUTE"),
        ("AUTH_CONSOLE_PERMISSION", "console:*", "AUTH_CONSOLE_PERMISSION"),
        ("AUTH_CONSOLE_ROUTE", "/..", "AUTH_CONSOLE_ROUTE"),
        ("AUTH_CONSOLE_ROUTE", "/a/./console", "AUTH_CONSOLE_ROUTE"),
        ("AUTH_METRICS_ROUTE", "/console", "AUTH_METRICS_ROUTE"),
        ("AUTH_METRICS_ROUTE", "/console/sessions", "AUTH_METRICS_ROUTE"),
        ("AUTH_SESSION_ROUTES", "/console", "AUTH_SESSION_ROUTES"),
        ("JWT_JWKS_ROUTE", "/console/open", "JWT_JWKS_ROUTE"),
    ],
)
def test_settings_that_are_not_valid_are_named(name: str, value: Any, named: str) -> None:
    config = {"AUTH_CONSOLE_ROUTE": "/console", "AUTH_CONSOLE_PERMISSION": PERMISSION, name: value}
    with pytest.raises(ConfigurationError, match=named):
        make_app(**config)


@pytest.mark.parametrize("route", ["/console.2", "/a/..b/console", "/.console"])
def test_paths_with_dots_that_are_no_segments_of_dots_are_taken(route: str) -> None:
    app = make_app(
        AUTH_CONSOLE_ROUTE=route, AUTH_CONSOLE_PERMISSION=PERMISSION, AUTH_METRICS_ROUTE="/consoles"
    )
    assert app.test_client().get(route).status_code == 401


def test_the_console_needs_no_prometheus_client_and_no_metrics_route(app: Flask) -> None:
    assert state_of(app).settings.auth_metrics_route is None
    assert is_console(opened(app).get("/console"))


# --- Who gets in ----------------------------------------------------------------------------------


def test_a_token_in_the_form_opens_the_console_by_a_cookie_of_its_path_alone(app: Flask) -> None:
    client = https_client(app)
    answer = post(client, "/console/open", token=f"  Bearer {operators_token()}\n")
    assert answer.status_code == 303
    line = cookies_of(answer)[COOKIE]
    attributes = {each.strip() for each in line.split(";")[1:]}
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/console"} <= attributes
    assert not any(each.startswith("Domain") for each in attributes)
    [age] = [int(each.partition("=")[2]) for each in attributes if each.startswith("Max-Age")]
    assert 3500 < age <= 3600  # as long as the token lives
    assert answer.headers["Cache-Control"] == "no-store"
    assert is_console(client.get("/console"))


def test_a_bearer_token_opens_it_without_a_cookie(app: Flask) -> None:
    answer = https_client(app).get(
        "/console", headers={"Authorization": f"Bearer {operators_token()}"}
    )
    assert is_console(answer)
    assert "Set-Cookie" not in answer.headers


def test_the_cookie_of_the_apps_own_sessions_opens_it(tmp_path: Path) -> None:
    app = console_app(tmp_path, AUTH_TOKEN_LOCATIONS="headers,cookies", AUTH_SESSION_ROUTES="/auth")

    @app.post("/login")
    @public_route
    def login() -> Any:
        tokens = create_session(TENANT, USER, permissions=[PERMISSION])
        response = app.response_class()
        set_session_cookies(response, tokens)
        return response

    client = https_client(app)
    assert not is_console(client.get("/console"))
    assert client.post("/login").status_code == 200
    assert is_console(client.get("/console"))


def test_the_token_of_the_console_comes_before_the_apps_own_cookie(tmp_path: Path) -> None:
    """Who is logged in to the app as a user opens the console with another token."""
    app = console_app(tmp_path, AUTH_TOKEN_LOCATIONS="headers,cookies", AUTH_SESSION_ROUTES="/auth")
    client = https_client(app)
    client.set_cookie("__Host-fta", token())
    assert client.get("/console").status_code == 403
    assert post(client, "/console/open", token=token()).status_code == 403
    assert post(client, "/console/open", token=operators_token()).status_code == 303
    assert is_console(client.get("/console"))
    assert client.get("/me").get_json() == {"user": USER}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (bearer(), 403),
        (bearer(role="admin"), 403),
        (bearer(permissions=["console:opened", "console", "metrics:read"]), 403),
        (bearer(permissions=[PERMISSION], exp=1), 401),
        ({"Authorization": f"Bearer {operators_token()[:-4]}AAAA"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Basic eDp5"}, 401),
        (identity_headers(**{"X-User-Role": "admin"}), 401),
        ({"Cookie": f"fta-console={operators_token()}"}, 401),  # without its prefix
        ({"Cookie": f"__Host-fta={operators_token()}"}, 401),  # tokens are in headers here
        ({"Cookie": f"{COOKIE}={token()}"}, 403),
        ({"Cookie": f"{COOKIE}={operators_token()}; {COOKIE}={operators_token()}"}, 401),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/console"), ("HEAD", "/console"), ("GET", "/console/sessions")),
        *(("POST", "/console/end"), ("POST", "/console/end-all")),
    ],
)
def test_nobody_else_gets_in(
    app: Flask, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    session = begun(app)
    ids = {"tenant_id": TENANT, "user_id": USER}
    client = https_client(app, jar=False)
    form = {"data": ids | {"session_id": session}} if method == "POST" else {"query_string": ids}
    answer = client.open(path, method=method, headers=headers, **form)
    assert answer.status_code == status
    assert session not in answer.text
    assert going_on(app) == {session}
    good = {"Authorization": f"Bearer {operators_token()}"}
    assert client.open(path, method=method, headers=good, **form).status_code == 200


@pytest.mark.parametrize(
    "wrong", ["", "x", "Bearer", "a.b.c", token(), operators_token(exp=1), "\0", "é" * 20_000]
)
def test_a_wrong_token_in_the_form_sets_no_cookie_and_is_asked_for_again(
    app: Flask, wrong: str
) -> None:
    client = https_client(app)
    answer = post(client, "/console/open", token=wrong)
    assert answer.status_code in (401, 403)
    assert "Set-Cookie" not in answer.headers
    page = Page(answer.text)
    assert [each["name"] for each in page.all("input")] == ["token"]
    assert not wrong.strip() or len(wrong) < 5 or wrong not in html.unescape(answer.text)
    assert not is_console(client.get("/console"))


def test_two_tokens_or_none_in_the_form_are_none(app: Flask) -> None:
    client = https_client(app)
    both = {"token": [operators_token(), operators_token()]}
    assert client.post("/console/open", data=both).status_code == 401
    assert client.post("/console/open").status_code == 401
    assert client.post("/console/open", json={"token": operators_token()}).status_code == 401


def test_the_form_does_not_take_who_asks_from_elsewhere(app: Flask) -> None:
    """Not from the Authorization header, an older cookie, or identity headers of a gateway."""
    client = opened(app)
    headers = {"Authorization": f"Bearer {operators_token()}"}
    answer = client.post("/console/open", data={"token": "a.b.c"}, headers=headers)
    assert answer.status_code == 401
    assert is_console(client.get("/console")), "the cookie of before is still good"


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer a.b.c",
        "Bearer",
        "Basic YTpi,Bearer x",
        f"Bearer {token(user_id=OPERATOR, permissions=[PERMISSION], exp=1)}",
        f"Bearer {API_KEY_PREFIX}unknown",
    ],
    ids=["damaged", "empty", "two", "expired", "api_key"],
)
@pytest.mark.parametrize("path", ["/console", "/console/sessions", "/console/end"])
def test_a_denied_header_ends_no_good_cookie(app: Flask, path: str, authorization: str) -> None:
    client = opened(app)
    method = "POST" if path == "/console/end" else "GET"
    answer = client.open(path, method=method, headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers
    assert is_console(client.get("/console")), "the cookie of before is still good"


@pytest.mark.parametrize("signal", [request_authenticated, request_denied])
@pytest.mark.parametrize(
    ("raised", "status"),
    [(ImATeapot(), 418), (RuntimeError("a fault"), 500), (AuthError("no", 403), 403)],
    ids=["abort", "fault", "denial"],
)
def test_what_a_receiver_raises_is_answered_with_the_fields_of_the_console(
    app: Flask, signal: NamedSignal, raised: Exception, status: int
) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.errorhandler(418)(lambda _: ("short and stout", 418))

    def refuse(_: Flask, **__: Any) -> None:
        raise raised

    text = operators_token() if signal is request_authenticated else "a.b.c"
    with signal.connected_to(refuse, app):
        for method, path in (("GET", "/console"), ("GET", "/console/sessions"), *FORMS):
            answer = https_client(app).open(
                path,
                method=method,
                data={"token": text},
                headers={"Authorization": f"Bearer {text}"},
            )
            assert answer.status_code == status, path
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert status != 418 or answer.text == "short and stout"


def test_an_api_key_is_read_in_the_header_only_and_ends_nothing(app: Flask) -> None:
    with app.app_context():
        key = create_api_key(TENANT, USER, "user", name="reads", permissions=[PERMISSION]).key
    session = begun(app)
    client = https_client(app)
    assert post(client, "/console/open", token=key).status_code == 401
    headers = {"Authorization": f"Bearer {key}"}
    assert is_console(client.get("/console", headers=headers))
    form = {"tenant_id": TENANT, "user_id": USER, "session_id": session, "token": "a.b.c"}
    for path in ("/console/end", "/console/end-all", "/console/open"):
        answer = client.post(path, data=form, headers=headers)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
    assert going_on(app) == {session}


def test_revocation_is_honoured_at_the_next_request(app: Flask) -> None:
    client = opened(app)
    assert is_console(client.get("/console"))
    with app.app_context():
        revoke_user(TENANT, OPERATOR)
    answer = client.get("/console")
    assert answer.status_code == 401
    assert "Token revoked." in answer.text
    assert "Max-Age=0" in cookies_of(answer)[COOKIE], "it opens nothing any more"
    assert post(client, "/console/end-all", tenant_id=TENANT, user_id=USER).status_code == 401


def test_the_console_closes(app: Flask) -> None:
    client = opened(app)
    answer = post(client, "/console/close")
    assert answer.status_code == 200
    assert "The console is closed." in answer.text
    assert "Path=/console" in cookies_of(answer)[COOKIE]
    assert client.get("/console").status_code == 401


def test_wrong_tokens_count_as_failed_credentials(tmp_path: Path) -> None:
    app = console_app(tmp_path, AUTH_FAILURE_LIMIT="3 per hour")
    client = https_client(app)
    statuses = [post(client, "/console/open", token="a.b.c").status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    assert client.get("/me", headers=bearer(exp=1)).status_code == 429


def test_no_limit_keeps_an_operator_out(tmp_path: Path) -> None:
    app = console_app(tmp_path, RATELIMIT_DEFAULT="1 per hour")
    client = opened(app)
    assert all(is_console(client.get("/console")) for _ in range(3))


def test_a_key_of_some_tenants_proves_no_operator_of_all(tmp_path: Path) -> None:
    """A customer who signs its own tokens can name any permission in them."""
    secrets = {TENANT: "a secret of one tenant, long enough for any HS algorithm, over 64 bytes"}
    app = console_app(tmp_path, JWT_TENANT_KEYS=lambda tenant, kid: secrets.get(tenant))
    client = https_client(app, jar=False)
    with app.app_context():
        texts = {
            tenant: create_jwt_token(tenant, OPERATOR, claims={"permissions": [PERMISSION]})
            for tenant in (TENANT, OTHER_TENANT)
        }
    for tenant, opens in ((TENANT, False), (OTHER_TENANT, True)):
        header = {"Authorization": f"Bearer {texts[tenant]}"}
        assert client.get("/me", headers=header).status_code == 200
        for credentials in (header, {"Cookie": f"{COOKIE}={texts[tenant]}"}):
            assert is_console(client.get("/console", headers=credentials)) is opens
        answer = post(client, "/console/open", token=texts[tenant])
        assert answer.status_code == (303 if opens else 403)
    session = begun(app)
    form = {"tenant_id": TENANT, "user_id": USER}
    header = {"Authorization": f"Bearer {texts[TENANT]}"}
    answer = client.post("/console/end-all", data=form, headers=header)
    assert "A key that speaks for some tenants only" in answer.text
    assert going_on(app) == {session}


@pytest.mark.parametrize(
    ("tenants", "opens"),
    [([TENANT], False), (lambda tenant: tenant == TENANT, False), ("*", True), (None, True)],
)
def test_an_issuer_of_some_tenants_proves_no_operator_of_all(
    tmp_path: Path, tenants: Any, opens: bool
) -> None:
    pair = KeyPair("ES256")
    issuer = {"issuer": "https://red.example.test", "jwks": {"keys": [pair.jwk(kid="1")]}}
    app = console_app(tmp_path, JWT_ISSUERS=[issuer | ({"tenants": tenants} if tenants else {})])
    claims: dict[str, Any] = {"tenant_id": TENANT, "user_id": USER, "iss": issuer["issuer"]}
    claims |= {"exp": int(time.time()) + 600, "permissions": [PERMISSION]}
    header = {"Authorization": f"Bearer {pair.token(claims, kid='1')}"}
    client = https_client(app, jar=False)
    assert client.get("/me", headers=header).status_code == 200
    assert is_console(client.get("/console", headers=header)) is opens
    own = {"Authorization": f"Bearer {operators_token()}"}
    assert is_console(client.get("/console", headers=own))


@pytest.mark.parametrize(
    "config", [{"AUTH_TRUSTED_GATEWAYS": "127.0.0.1"}, {"FLASK_ENV": "development"}]
)
def test_identity_headers_open_nothing(tmp_path: Path, config: dict[str, str]) -> None:
    """A gateway that leaves X-User-Role to clients would make each of them an operator."""
    app = console_app(
        tmp_path,
        AUTH_ROLES="user, operator",
        AUTH_PERMISSIONS={"operator": [PERMISSION]},
        **config,
    )
    client = https_client(app)
    headers = identity_headers(**{"X-User-Role": "operator"})
    assert client.get("/me", headers=headers).status_code == 200
    session = begun(app)
    assert not is_console(client.get("/console", headers=headers))
    form = {"tenant_id": TENANT, "user_id": USER}
    assert client.post("/console/end-all", data=form, headers=headers).status_code == 403
    assert going_on(app) == {session}
    assert is_console(client.get("/console", headers=bearer(role="operator")))


def test_who_shares_an_address_with_a_flood_still_gets_the_form(tmp_path: Path) -> None:
    app = console_app(tmp_path, AUTH_FAILURE_LIMIT="1 per hour")
    client = https_client(app)
    assert client.get("/console").status_code == 401
    answer = client.get("/console")
    assert answer.status_code == 429
    assert "Retry-After" in answer.headers
    [form] = [each for each in Page(answer.text).all("form") if each["action"] == "/console/open"]
    assert post(client, form["action"], token=operators_token()).status_code == 303
    assert is_console(client.get("/console"))


def test_the_cookie_proves_nothing_to_any_other_route(app: Flask) -> None:
    app.get("/console/notes", endpoint="notes")(verify_tenant_context(lambda: "in"))
    app.get("/console2", endpoint="console2")(verify_tenant_context(lambda: "in"))
    named_alike = Blueprint("tenant_auth_console", __name__, url_prefix="/console/b")
    named_alike.get("", endpoint="x")(verify_tenant_context(lambda: "in"))
    app.register_blueprint(named_alike)
    client = https_client(app, jar=False)
    cookie = {"Cookie": f"{COOKIE}={operators_token()}"}
    assert is_console(client.get("/console", headers=cookie))
    for path in ("/me", "/console/notes", "/console2", "/console/b", "/console/close"):
        method = "POST" if path.endswith("close") else "GET"
        answer = client.open(path, method=method, headers=cookie)
        assert answer.status_code == (200 if method == "POST" else 401), path


def test_a_before_request_function_that_asks_for_an_identity_knows_the_operator(
    tmp_path: Path,
) -> None:
    app = bare_app(
        FLASK_ENV="production", AUTH_CONSOLE_ROUTE="/console", AUTH_CONSOLE_PERMISSION=PERMISSION
    )
    TenantAuth(app)
    app.before_request(verify_tenant_context(lambda: None))
    assert is_console(opened(app).get("/console"))


def test_an_app_below_a_path_has_its_cookie_and_its_links_there(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    apps = [console_app(folder) for folder in folders]
    both = DispatcherMiddleware(apps[0], {"/inner": apps[1]})  # type: ignore[arg-type]
    client = Client(both)
    options: Any = {
        "base_url": "https://api.example.test",
        "headers": {"Sec-Fetch-Site": "same-origin"},
    }
    answer = client.post("/inner/console/open", data={"token": operators_token()}, **options)
    assert answer.headers["Location"] == "/inner/console"
    assert "Path=/inner/console" in cookies_of(answer)[COOKIE]
    page = Page(client.get("/inner/console", **options).text)
    assert {each["action"] for each in page.all("form")} == {
        "/inner/console/close",
        "/inner/console/sessions",
    }
    assert client.get("/console", **options).status_code == 401, "the other app's is not open"


@pytest.mark.parametrize("root", ["//evil.example", "/\r\nX: y", '/"><script>', "/é"])
def test_no_script_root_leads_elsewhere_or_breaks_the_page(app: Flask, root: str) -> None:
    client = https_client(app)
    answer = client.post(
        "/console/open", data={"token": operators_token()}, environ_overrides={"SCRIPT_NAME": root}
    )
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/")
    assert not answer.headers["Location"].startswith("//")
    assert "X" not in answer.headers
    Page(client.get("/console", environ_overrides={"SCRIPT_NAME": root}).text)


def test_in_development_a_loopback_host_needs_no_https(tmp_path: Path) -> None:
    app = console_app(tmp_path, FLASK_ENV="development")
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    answer = client.post("/console/open", data={"token": operators_token()})
    line = cookies_of(answer)["fta-console"]
    assert "Secure" not in line
    assert "HttpOnly; Path=/console; SameSite=Strict" in line
    assert is_console(client.get("/console"))


def test_a_token_that_no_cookie_holds_is_denied_with_what_to_do(app: Flask) -> None:
    long = operators_token(note="x" * 4000)
    client = https_client(app)
    answer = post(client, "/console/open", token=long)
    assert answer.status_code == 400
    assert "too long for a cookie" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert is_console(client.get("/console", headers={"Authorization": f"Bearer {long}"}))


# --- Where a request comes from -------------------------------------------------------------------

OWN = "https://api.example.test"
FOREIGN = "https://app.example.test"
# The header fields of a request to change something, and whether it is from a page of the console.
ORIGINS: tuple[tuple[dict[str, str], bool], ...] = (
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),  # as no-referrer makes it
    ({"Origin": OWN}, True),
    ({}, False),
    ({"Origin": "null"}, False),
    ({"Origin": FOREIGN}, False),
    ({"Origin": "http://api.example.test"}, False),
    ({"Sec-Fetch-Site": "none"}, False),
    ({"Sec-Fetch-Site": "same-site", "Origin": FOREIGN}, False),
    ({"Sec-Fetch-Site": "same-site", "Origin": OWN}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
     False),
)  # fmt: skip


def client_from(app: Flask, fields: dict[str, str]) -> FlaskClient:
    client = https_client(app, jar=False)
    del client.environ_base["HTTP_SEC_FETCH_SITE"]
    for name, value in fields.items():
        client.environ_base[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return client


@pytest.mark.parametrize("credentials", ["Cookie", "Authorization"])
@pytest.mark.parametrize(("fields", "is_own"), ORIGINS)
def test_only_a_page_of_the_console_changes_something(
    tmp_path: Path, fields: dict[str, str], is_own: bool, credentials: str
) -> None:
    app = console_app(tmp_path, CORS_ORIGINS=FOREIGN, CORS_RESOURCES="/")
    session = begun(app)
    client = client_from(app, fields)
    value = f"{COOKIE}={operators_token()}"
    if credentials == "Authorization":
        value = f"Bearer {operators_token()}"
    form = {"tenant_id": TENANT, "user_id": USER, "session_id": session}
    for path in ("/console/close", "/console/end", "/console/end-all"):
        answer = client.post(path, data=form, headers={credentials: value}, base_url=OWN)
        assert answer.status_code == (200 if is_own else 403), path
    answer = client.post("/console/open", data={"token": operators_token()}, base_url=OWN)
    assert answer.status_code == (303 if is_own else 403)
    assert ("Set-Cookie" in answer.headers) is is_own
    assert (going_on(app) == set()) is is_own


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": OWN}, True),
        (
            {
                "Sec-Fetch-Site": "same-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
            True,
        ),
        ({"Origin": FOREIGN}, False),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Origin": FOREIGN}, False),
        (
            {
                "Sec-Fetch-Site": "same-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "iframe",
            },
            False,
        ),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, False),
    ],
)
def test_no_page_of_another_origin_reads_the_console(
    tmp_path: Path, fields: dict[str, str], shown: bool
) -> None:
    """Also where CORS lets that origin read all that the app answers."""
    app = console_app(
        tmp_path, CORS_ORIGINS=FOREIGN, CORS_RESOURCES="/", CORS_SUPPORTS_CREDENTIALS=True
    )
    client = client_from(app, fields)
    cookie = {"Cookie": f"{COOKIE}={operators_token()}"}
    assert is_console(client.get("/console", headers=cookie, base_url=OWN)) is shown


# --- What is answered -----------------------------------------------------------------------------


def test_every_answer_is_held_to_the_policy(app: Flask) -> None:
    client, stranger = opened(app), https_client(app)
    ids = {"tenant_id": TENANT, "user_id": USER}
    answers = [
        *(client.get("/console"), client.get("/console/sessions", query_string=ids)),
        *(client.get("/console/sessions"), post(client, "/console/end", **ids)),
        *(post(client, "/console/end-all", **ids), post(client, "/console/end-all")),
        *(post(client, "/console/open", token="x"), post(client, "/console/close")),
        *(stranger.get("/console"), stranger.get("/console", headers=bearer())),
        stranger.post("/console/open", headers={"Sec-Fetch-Site": "cross-site"}),
    ]
    assert {each.status_code for each in answers} == {200, 400, 401, 403}
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers.getlist(name) == [value]
        assert answer.content_type == "text/html; charset=utf-8"
        Page(answer.text)
    assert "script-src" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")


def test_a_denial_has_the_header_fields_of_its_status(app: Flask) -> None:
    client = https_client(app)
    assert client.get("/console").headers["WWW-Authenticate"].startswith("Bearer")
    denied = client.get("/console", headers=bearer()).headers["WWW-Authenticate"]
    assert f'scope="{PERMISSION}"' in denied


def test_no_page_has_anything_secret_in_it(app: Flask) -> None:
    text = operators_token()
    client = https_client(app)
    post(client, "/console/open", token=text)
    begun(app)
    ids = {"tenant_id": TENANT, "user_id": USER}
    for path in ("/console", "/console/sessions"):
        page = client.get(path, query_string=ids).text
        for secret in (text, text.split(".")[2], SECRET):
            assert secret not in page


def test_other_methods_and_paths_are_not_there(app: Flask) -> None:
    client = opened(app)
    for path in ("/console/open", "/console/end", "/console/end-all", "/console/close"):
        assert client.get(path).status_code == 405
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.open("/console", method=method).status_code == 405
    assert client.get("/console/").status_code == 404
    options = client.options("/console")
    assert (options.status_code, options.text) == (200, "")
    head = client.head("/console")
    assert (head.status_code, head.text) == (200, "")


def test_flask_auth_check_says_what_protects_it(app: Flask) -> None:
    found = {
        (route.method, route.path): route.protection
        for route in routes_of(app)
        if route.path.startswith("/console")
    }
    assert set(found) == {
        *(("GET", "/console"), ("GET", "/console/sessions"), ("POST", "/console/open")),
        *(("POST", "/console/close"), ("POST", "/console/end"), ("POST", "/console/end-all")),
    }
    assert set(found.values()) == {f"protected by permission {PERMISSION}"}
    result = app.test_cli_runner().invoke(args=["auth", "check", "--strict"])
    assert result.exit_code == 0, result.output


# --- What it shows --------------------------------------------------------------------------------


def table_of(answer: TestResponse, caption: str) -> str:
    table = answer.text.partition(f'<caption id="{caption}">')[2].partition("</table>")[0]
    return table.replace("<wbr>", "")


def test_requests_and_reasons_of_the_last_hour_are_shown(app: Flask) -> None:
    client = opened(app)
    stranger = https_client(app)
    for _ in range(3):
        assert stranger.get("/me").status_code == 401
    assert stranger.get("/me", headers=bearer()).status_code == 200
    answer = client.get("/console")
    text = " ".join(Page(answer.text).text.split())
    # Opening the console was allowed, too.
    assert "all5 allowed2 denied3 limited0 failed0" in text
    row = '<tr><th scope="row"><code>no_credentials</code></th><td class="number">3</td></tr>'
    assert row in table_of(answer, "reasons-caption")
    assert "3 denied, 0 limited, 0 failed in the last 60 minutes." in text


def test_the_most_limited_are_shown_and_lead_to_their_sessions(tmp_path: Path) -> None:
    app = console_app(tmp_path)
    limited = verify_tenant_context(rate_limit("1 per hour")(lambda: "in"))
    app.get("/limited", endpoint="limited")(limited)
    client, user = opened(app), https_client(app)
    for user_id, times in ((USER, 3), (OTHER_USER, 5)):
        for _ in range(times):
            user.get("/limited", headers=bearer(user_id=user_id))
    answer = client.get("/console")
    users = table_of(answer, "users-caption")
    assert users.index(OTHER_USER) < users.index(USER)
    assert '<td class="number">4</td>' in users
    assert '<td class="number">2</td>' in users
    assert '<td class="number">6</td>' in table_of(answer, "tenants-caption")
    [link] = [
        each["href"] for each in Page(answer.text).all("a") if f"user_id={USER}" in each["href"]
    ]
    assert link == f"/console/sessions?tenant_id={TENANT}&user_id={USER}"
    assert USER in client.get(link).text


def test_keys_are_shown_with_their_use_age_and_next_step(tmp_path: Path) -> None:
    app = console_app(tmp_path, JWT_SECRET_KEY_FALLBACKS=["an older secret " * 4])
    kids = [key.kid for key in state_of(app).own_keys]
    answer = opened(app).get("/console")
    rows = table_of(answer, "keys-caption").split("<tr>")[2:]
    assert len(rows) == len(kids) == 2
    for kid, row, use, origin in zip(
        kids,
        rows,
        ("signs and verifies", "verifies"),
        ("JWT_SECRET_KEY", "JWT_SECRET_KEY_FALLBACKS"),
        strict=True,
    ):
        assert kid in row
        assert f'<td class="words">{use}</td>' in row
        assert f'<td class="place">{origin}</td>' in row
        assert "not known, as a setting has no date; this worker has had it for" in row
        assert "(round 2)" in row
    assert "an older secret" not in answer.text


def test_a_key_in_a_file_has_the_date_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "private.pem"
    file.write_bytes(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
    os.utime(file, (1_700_000_000, 1_700_000_000))
    app = console_app(tmp_path, JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=str(file))
    with app.app_context():
        text = create_jwt_token(TENANT, USER, claims={"permissions": [PERMISSION]})
    answer = https_client(app).get("/console", headers={"Authorization": f"Bearer {text}"})
    assert "its file was written on 2023-11-14" in table_of(answer, "keys-caption")


def test_a_certificate_has_its_own_dates(tmp_path: Path) -> None:
    key, certificate = tmp_path / "private.pem", tmp_path / "certificate.pem"
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=signs", "-days", "90"),
        *("-keyout", str(key), "-out", str(certificate)),
    )
    app = console_app(
        tmp_path,
        JWT_ALGORITHM="RS256",
        JWT_PRIVATE_KEY=str(key),
        JWT_SECRET_KEY_FALLBACKS=[certificate.read_text()],
        JWT_PUBLIC_KEY=str(certificate),
    )
    with app.app_context():
        text = create_jwt_token(TENANT, USER, claims={"permissions": [PERMISSION]})
    answer = https_client(app).get("/console", headers={"Authorization": f"Bearer {text}"})
    facts = state_of(app)
    assert len(facts.own_keys) == 1, "all three are one pair"
    today = datetime.now(timezone.utc).date()
    table = table_of(answer, "keys-caption")
    assert f"its file was written on {today}" in table


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_certificate_has_the_dates_that_openssl_says(tmp_path: Path, form: str) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "90"),
        *("-keyout", str(key), "-out", str(certificate), "-outform", form),
    )
    said = openssl("x509", "-in", str(certificate), "-inform", form, "-noout", "-dates").decode()
    begins, ends = (
        f"{datetime.strptime(line.partition('=')[2], '%b %d %H:%M:%S %Y GMT'):%Y-%m-%d}"
        for line in said.splitlines()
    )
    app = console_app(tmp_path, JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=str(certificate))
    claims = {
        "tenant_id": TENANT,
        "user_id": OPERATOR,
        "permissions": [PERMISSION],
        "role": "admin",
        "exp": int(time.time()) + 600,
    }
    keyring = Keyring([Key.pem("RS256", key.read_bytes())])
    text = keyring.sign(json.dumps(claims).encode())
    answer = https_client(app).get("/console", headers={"Authorization": f"Bearer {text}"})
    assert f"its certificate is of {begins}, until {ends}; its file was" in table_of(
        answer, "keys-caption"
    )


def oct_key(kid: str) -> dict[str, str]:
    secret = base64.urlsafe_b64encode(kid.encode() * 32).decode().rstrip("=")
    return {"kty": "oct", "alg": "HS256", "kid": kid, "k": secret}


def keys_table(app: Flask, **claims: Any) -> str:
    answer = https_client(app).get(
        "/console", headers={"Authorization": f"Bearer {operators_token(**claims)}"}
    )
    assert is_console(answer)
    return table_of(answer, "keys-caption")


def test_keys_of_a_set_say_where_they_are_from(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [oct_key("of the file")]}))
    given = {"keys": [oct_key("of the setting")]}
    for jwks, kid, origin, step in (
        (str(file), "of the file", f"JWT_JWKS {file}", "Write the provider&#39;s next key"),
        (given, "of the setting", "JWT_JWKS (given)", "Add the next key of the provider"),
    ):
        table = keys_table(console_app(tmp_path, JWT_JWKS=jwks))
        [row] = [each for each in table.split("<tr>") if kid in each]
        assert origin in row
        assert step in row
        assert '<td class="words">verifies</td>' in row
        assert "not known; this worker has had it for" in row
        assert "JWT_SECRET_KEY</td>" in table, "the app's own key is there, too"


def test_keys_that_cannot_be_had_are_something_to_look_at(tmp_path: Path) -> None:
    broken = tmp_path / "keys.json"
    broken.write_text(json.dumps({"keys": [oct_key("before")]}))
    app = console_app(tmp_path, JWT_JWKS=str(broken))
    broken.write_text("{")
    [source] = state_of(app).sources
    source.due = 0
    source.refresh()
    answer = opened(app).get("/console")
    assert "JWT_JWKS keeps its keys of before" in Page(answer.text).text
    assert "before</code>" in table_of(answer, "keys-caption")
    away = console_app(
        tmp_path,
        JWT_ISSUERS=[{"issuer": "https://login.example", "jwks": "https://127.0.0.1:1/keys"}],
    )
    [source] = state_of(away).sources
    source.wait()
    answer = opened(away).get("/console")
    assert "has no keys: " in Page(answer.text).text


def test_routes_are_shown_with_what_protects_each(app: Flask) -> None:
    app.post("/open", endpoint="open")(lambda: "x")
    answer = opened(app).get("/console")
    rows = table_of(answer, "routes-caption")
    assert "<code>/me</code></th><td>authenticated</td><td>50 per minute per user</td>" in rows
    assert "<code>/open</code></th><td>open</td>" in rows
    assert f"<td>protected by permission {PERMISSION}</td>" in rows
    assert "1 method of a route says nothing about who may call it" in answer.text


def test_redis_that_is_away_is_shown_and_does_not_delay_the_page(tmp_path: Path) -> None:
    """A server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        port = frozen.getsockname()[1]
        app = console_app(tmp_path, REDIS_URL=f"redis://:password@127.0.0.1:{port}/0")
        client = opened(app)
        assert "not asked yet" in client.get("/console").text
        assert client.get("/me", headers=bearer()).status_code == 200  # counted in memory
        began = time.monotonic()
        answer = client.get("/console")
        assert time.monotonic() - began < 30
    page = Page(answer.text).text
    assert "Redis is away" in page
    assert f"redis://127.0.0.1:{port}" in page
    assert "password" not in page


# --- Sessions -------------------------------------------------------------------------------------


def test_an_operator_lists_and_ends_the_sessions_of_a_user(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = [begun(app, device=f"Device {n}") for n in range(3)]
    others = begun(app, user=OTHER_USER)
    client = opened(app)
    ids = {"tenant_id": TENANT, "user_id": USER}
    answer = client.get("/console/sessions", query_string=ids)
    page = Page(answer.text)
    assert {each["value"] for each in page.all("input") if each.get("name") == "session_id"} == set(
        sessions
    )
    assert "Device 1" in answer.text
    caplog.set_level(logging.INFO, "flask_tenant_auth")
    answer = post(client, "/console/end", **ids, session_id=sessions[1])
    assert "The session has ended." in answer.text
    assert f"Revoked: session {sessions[1]} of user {USER}" in caplog.text
    assert going_on(app) == {sessions[0], sessions[2]}
    again = post(client, "/console/end", **ids, session_id=sessions[1])
    assert "That session goes on no longer." in again.text
    answer = post(client, "/console/end-all", **ids)
    assert "All sessions of this user have ended." in answer.text
    assert "No session of this user goes on." in answer.text
    assert f"Revoked: user of user {USER}" in caplog.text
    assert going_on(app) == set()
    assert going_on(app, OTHER_USER) == {others}


def test_of_very_many_sessions_the_newest_are_listed_and_the_rest_is_counted(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_route, "_MOST_SESSIONS", 3)
    ids = {"tenant_id": TENANT, "user_id": USER}
    sessions = [begun(app, device=f"Device {n}") for n in range(5)]
    client = opened(app)
    answer = client.get("/console/sessions", query_string=ids)
    assert [f"Device {n}" in answer.text for n in range(5)] == [False, False, True, True, True]
    assert "2 older sessions go on too." in answer.text
    post(client, "/console/end", **ids, session_id=sessions[0])  # an old one can be named
    assert "1 older sessions go on too." in client.get("/console/sessions", query_string=ids).text
    post(client, "/console/end-all", **ids)
    assert going_on(app) == set()


def test_a_session_of_another_user_is_not_ended_by_naming_it(app: Flask) -> None:
    others = begun(app, user=OTHER_USER)
    client = opened(app)
    post(client, "/console/end", tenant_id=TENANT, user_id=USER, session_id=others)
    assert going_on(app, OTHER_USER) == {others}


@pytest.mark.parametrize(
    "query", ["", "tenant_id=x&user_id=y", f"tenant_id={TENANT}", "tenant_id=%ff&user_id=%00",
              f"tenant_id={TENANT}&user_id={USER}&user_id={OTHER_USER}"],
)  # fmt: skip
def test_ids_that_are_no_uuids_are_a_400(app: Flask, query: str) -> None:
    client = opened(app)
    answer = client.get(f"/console/sessions?{query}")
    assert answer.status_code == 400
    assert "must be UUIDs" in answer.text
    assert client.post("/console/end", data=query).status_code == 400
    assert client.post("/console/end-all", data=query).status_code == 400


def test_without_sessions_the_console_says_so() -> None:
    app = bare_app(
        FLASK_ENV="production", AUTH_CONSOLE_ROUTE="/console", AUTH_CONSOLE_PERMISSION=PERMISSION
    )
    TenantAuth(app)
    client = opened(app)
    assert "Sessions are off in this app." in client.get("/console").text
    ids = {"tenant_id": TENANT, "user_id": USER}
    assert client.get("/console/sessions", query_string=ids).status_code == 404
    assert post(client, "/console/end-all", **ids).status_code == 404


# --- Hostile text ---------------------------------------------------------------------------------


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(text=st.text(min_size=1, max_size=40).map(lambda text: f"<script>\"'{text}&{{{{7*7}}}}"))
def test_text_of_devices_users_and_routes_is_never_markup(app: Flask, text: str) -> None:
    session = begun(app, device=text)
    client = opened(app)
    ids = {"tenant_id": TENANT, "user_id": USER}
    listed = client.get("/console/sessions", query_string=ids)
    assert "script" not in {tag for tag, _ in Page(listed.text).elements}
    answers = [
        client.get("/console/sessions", query_string={"tenant_id": text, "user_id": text}),
        post(client, "/console/open", token=text),
        post(client, "/console/end", **ids, session_id=text),
    ]
    for answer in answers:
        assert answer.status_code < 500
        assert "script" not in {tag for tag, _ in Page(answer.text).elements}
    post(client, "/console/end", **ids, session_id=session)


def test_a_hostile_route_and_endpoint_are_never_markup(tmp_path: Path) -> None:
    app = bare_app(
        FLASK_ENV="production",
        AUTH_CONSOLE_ROUTE="/console",
        AUTH_CONSOLE_PERMISSION=PERMISSION,
        JWT_KEY_ID='"><script>k</script>',
        RATELIMIT_KEY_PREFIX="'<b>",
    )
    TenantAuth(app)
    app.add_url_rule("/<uuid:each>/\"'onload=x&lt;", "hostile", public_route(lambda each: "x"))
    client = https_client(app)
    with app.app_context():
        text = create_jwt_token(TENANT, USER, claims={"permissions": [PERMISSION]})
    page = Page(client.get("/console", headers={"Authorization": f"Bearer {text}"}).text)
    assert "script" not in {tag for tag, _ in page.elements}
    assert "/<uuid:each>/\"'onload=x&lt;" in page.text
    assert '"><script>k</script>' in page.text


# --- Odd requests ---------------------------------------------------------------------------------

ODD_BODIES: tuple[dict[str, Any], ...] = (
    {"data": b"\xff\xfe=\x00&token=%ff%fe", "content_type": "application/x-www-form-urlencoded"},
    {"data": b"token=a", "content_type": "application/x-www-form-urlencoded; charset=utf-7"},
    {"data": b"--x\r\n", "content_type": "multipart/form-data; boundary=x"},
    {"data": b"x", "content_type": "multipart/form-data"},
    {"data": b"token=a", "content_type": "text/plain"},
    {"data": b"token=" + b"a" * 100_000, "content_type": "application/x-www-form-urlencoded"},
    {"data": b"&" * 15_000, "content_type": "application/x-www-form-urlencoded"},
    {
        "data": b'--x\r\nContent-Disposition: form-data; name="token"; filename="t"\r\n\r\n'
        b"a\r\n--x--",
        "content_type": "multipart/form-data; boundary=x",
    },
)


@pytest.mark.parametrize("body", ODD_BODIES)
@pytest.mark.parametrize("path", ["/console/open", "/console/end", "/console/end-all"])
def test_no_body_is_a_fault_of_the_console(app: Flask, path: str, body: dict[str, Any]) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 64  # of the app, for its own forms
    answer = opened_by_header(app).post(path, **body)
    assert answer.status_code in (400, 401)
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def opened_by_header(app: Flask) -> FlaskClient:
    client = https_client(app)
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {operators_token()}"
    return client


@pytest.mark.parametrize(
    "value", ["", "=", "=%00", '="a.b.c"', "=" + "a" * 9000, f"=a; {COOKIE}=b"]
)
def test_no_cookie_is_a_fault_of_the_console(app: Flask, value: str) -> None:
    client = https_client(app, jar=False)
    answer = client.get("/console", headers={"Cookie": f"{COOKIE}{value}"})
    assert answer.status_code == 401
