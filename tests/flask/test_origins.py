"""From which origins a browser may change something, where tokens are in cookies."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from apps import error_of, make_app, token
from cookie_apps import HTTPS, LISTED, cookie_app
from flask_tenant_auth.config.settings import Settings
from flask_tenant_auth.flask.state import state_of

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "QUERY"]
SITES = [None, "same-origin", "none", "same-site", "cross-site", "", "Same-Origin", "x"]
SITES += ["same-origin, cross-site", "cross-site,same-origin"]
ORIGINS = [None, "", "null", "*", LISTED, LISTED + "/", LISTED + ":443", LISTED.upper()]
ORIGINS += [HTTPS, "http://api.example.test", HTTPS + ":444", "https://b.wild.test"]
ORIGINS += ["https://wild.test", "https://b.wild.test.evil.test", "https://evil.test"]
COOKIES = [None, "a=1", "__Host-fta=x", "fta=x", "__Secure-fta-refresh=x", "fta-refresh=x"]
COOKIES += ["__Host-fta=x; __Host-fta=y", "b=__Host-fta=x"]
UPGRADES = [None, "websocket", "WebSocket", "h2c, websocket", "h2c"]
BRINGS = {*COOKIES[2:7]}
ALLOWED = {LISTED, "https://b.wild.test"}
CONFIG = {"CORS_ORIGINS": f"{LISTED}, https://*.wild.test"}


def passes(
    method: str, site: str | None, origin: str | None, cookie: str | None, upgrade: str | None
) -> bool:
    """The model: the table of docs/reference/cookies.md."""
    opens_socket = upgrade is not None and "websocket" in upgrade.lower()
    if method in ("GET", "HEAD", "OPTIONS") and not opens_socket:
        return True
    if site in ("same-origin", "none"):
        return True
    if site is not None:
        return origin in ALLOWED
    if origin is not None:
        return origin in ALLOWED | {HTTPS}
    return cookie not in BRINGS


def environ_of(
    method: str, site: str | None, origin: str | None, cookie: str | None, upgrade: str | None
) -> dict[str, Any]:
    found = {
        "REQUEST_METHOD": method,
        "HTTP_SEC_FETCH_SITE": site,
        "HTTP_ORIGIN": origin,
        "HTTP_COOKIE": cookie,
        "HTTP_UPGRADE": upgrade,
        "HTTP_HOST": "api.example.test",
        "wsgi.url_scheme": "https",
    }
    return {name: value for name, value in found.items() if value is not None}


def test_every_combination_of_header_fields_is_decided_as_the_model_decides_it() -> None:
    origins = state_of(cookie_app(**CONFIG)[0]).origins
    assert origins is not None
    denied = 0
    combinations = list(itertools.product(METHODS, SITES, ORIGINS, COOKIES, UPGRADES))
    for each in combinations:
        expected = passes(*each)
        assert (origins.problem(environ_of(*each)) is None) is expected, each
        denied += not expected
    assert denied > len(combinations) / 3


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(METHODS),
    st.one_of(st.none(), st.text(max_size=15)),
    st.one_of(st.none(), st.text(max_size=30), st.builds(lambda x: LISTED + x, st.text())),
)
def test_no_other_text_passes_for_a_listed_origin(
    method: str, site: str | None, origin: str | None
) -> None:
    origins = state_of(APP).origins
    assert origins is not None
    found = origins.problem(environ_of(method, site, origin, None, None)) is None
    assert found is passes(method, site, origin, None, None)


APP, _ = cookie_app()


@pytest.mark.parametrize(
    ("host", "scheme", "origin", "allowed"),
    [
        ("localhost:5000", "http", "http://localhost:5000", True),
        ("LOCALHOST:5000", "http", "http://localhost:5000", True),
        ("api.example.test:80", "http", "http://api.example.test", True),
        ("api.example.test:443", "https", "https://api.example.test", True),
        ("api.example.test", "ws", "http://api.example.test", True),
        ("[::1]:5000", "http", "http://[::1]:5000", True),
        ("localhost:5000", "http", "http://localhost:5001", False),
        ("localhost:5000", "http", "http://127.0.0.1:5000", False),
        ("api.example.test:80", "https", "https://api.example.test", False),
        ("api.example.test", "http", "https://api.example.test", False),
        ("", "http", "http://", False),
        ("null", "http", "null", False),
    ],
)
def test_without_sec_fetch_site_the_own_origin_passes(
    host: str, scheme: str, origin: str, allowed: bool
) -> None:
    origins = state_of(APP).origins
    assert origins is not None
    environ = {"REQUEST_METHOD": "POST", "wsgi.url_scheme": scheme, "HTTP_ORIGIN": origin}
    problem = origins.problem(environ | {"HTTP_HOST": host})
    assert (problem is None) is allowed


def test_an_asterisk_in_cors_origins_lists_no_origin() -> None:
    app, _ = cookie_app(CORS_ORIGINS="*", CORS_SUPPORTS_CREDENTIALS=False)
    answer = app.test_client().post(
        "/api/open", headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}
    )
    assert error_of(answer) == (403, "Origin not allowed")


EVIL = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}


class TestInAnApp:
    def test_a_denied_request_is_counted_nowhere_and_logged_with_its_reason(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app, _ = cookie_app()
        client = app.test_client(use_cookies=False)
        for _ in range(5):
            answer = client.post("/api/open", headers=EVIL)
            assert error_of(answer) == (403, "Origin not allowed")
            assert "X-RateLimit-Limit" not in answer.headers
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert "reason=origin_not_allowed" in caplog.text
        assert "https://evil.test" in caplog.text
        own = {"Sec-Fetch-Site": "same-origin"}
        statuses = [client.post("/api/open", headers=own).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]

    def test_a_log_in_is_denied_before_there_is_a_cookie(self) -> None:
        app, store = cookie_app()
        client = app.test_client()
        assert client.post("/api/login", headers=EVIL).status_code == 403
        assert not store.rows
        listed = {"Sec-Fetch-Site": "same-site", "Origin": LISTED}
        assert client.post("/api/login", headers=listed).status_code == 200
        assert len(store.rows) == 1

    @pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout", "/nowhere", "/static/x"])
    def test_every_path_is_protected(self, path: str) -> None:
        app, _ = cookie_app()
        assert app.test_client().post(path, headers=EVIL).status_code == 403

    def test_a_websocket_handshake_is_denied_and_a_plain_read_is_not(self) -> None:
        app, _ = cookie_app()
        client = app.test_client(use_cookies=False)
        headers = EVIL | {"Cookie": f"__Host-fta={token()}"}
        assert client.get("/api/me", headers=headers).status_code == 200
        opening = headers | {"Upgrade": "websocket", "Connection": "Upgrade"}
        assert error_of(client.get("/api/me", headers=opening)) == (403, "Origin not allowed")

    def test_a_program_with_a_bearer_token_needs_no_origin(self) -> None:
        app, _ = cookie_app()
        client = app.test_client(use_cookies=False)
        headers = {"Authorization": f"Bearer {token()}"}
        assert client.post("/api/notes", headers=headers).status_code == 200
        with_cookie = headers | {"Cookie": f"__Host-fta={token()}"}
        assert client.post("/api/notes", headers=with_cookie).status_code == 403
        own = with_cookie | {"Origin": "http://localhost"}
        assert client.post("/api/notes", headers=own).status_code == 200

    def test_a_cookie_proves_nothing_in_an_event_of_another_origin(self) -> None:
        """Flask-SocketIO pushes a request for an event: no hook of the app runs for it."""
        from flask import request

        from flask_tenant_auth.flask.authentication import outcome_of
        from flask_tenant_auth.flask.records import record_of

        app, _ = cookie_app()
        cookie = {"Cookie": f"__Host-fta={token()}"}
        for headers, reason in ((cookie | EVIL, "origin_not_allowed"), (cookie, None)):
            sent = headers if reason else headers | {"Sec-Fetch-Site": "same-origin"}
            with app.test_request_context(headers=sent):
                found: Any = request._get_current_object()  # type: ignore[attr-defined]
                found.event = {"message": "connect"}
                outcome = outcome_of(record_of(found), found)
                assert getattr(outcome, "reason", None) == reason

    def test_without_cookies_no_origin_is_checked(self) -> None:
        app = make_app(FLASK_ENV="production")
        app.post("/open")(lambda: "in")
        assert app.test_client().post("/open", headers=EVIL).status_code == 200


def test_the_default_origins_are_the_ones_that_cors_has() -> None:
    app: Flask = cookie_app(CORS_ORIGINS=None)[0]
    assert state_of(app).settings.cors_origins == Settings().cors_origins
