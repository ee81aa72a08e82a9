"""A front end in a real browser, on other origins and on other sites than the API.

The browser decides which cookies it keeps and sends, and what Sec-Fetch-Site and Origin say. What
the other tests say of them is shown here.
"""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask
from werkzeug.serving import make_server

from chromium import Chromium, Tab
from cookie_apps import cookie_app
from flask_tenant_auth._core import shift_clock
from memory_session_store import MemorySessionStore

PAGE = b"""<!DOCTYPE html>
<link rel="icon" href="data:,">
<script>
async function ask(path, method = "GET") {
    try {
        const answer = await fetch(API + path, { method, credentials: "include" });
        let body = null;
        try { body = await answer.json(); } catch { }
        return { status: answer.status, body, wait: answer.headers.get("Retry-After") };
    } catch (error) {
        return { status: 0 };  // the page may not read the answer
    }
}
async function api(path) {
    let answer = await ask(path);
    for (let tries = 0; answer.status === 401 && tries < 5; tries += 1) {
        const refreshed = await ask("/auth/refresh", "POST");
        if (refreshed.status !== 200 && !refreshed.wait) break;  // the session has ended
        if (refreshed.wait)  // other tabs have refreshed meanwhile
            await new Promise((resolve) => setTimeout(resolve, 1000 * refreshed.wait));
        answer = await ask(path);
    }
    return answer;
}
async function post_without_cors(path) {
    await fetch(API + path, { method: "POST", credentials: "include", mode: "no-cors" });
}
</script>
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as found:
        yield found


@pytest.fixture
def tab(browser: Chromium) -> Tab:
    browser.forget_cookies()
    return browser.tab()


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that is made on the spot."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.example.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file: Path = tmp_path_factory.mktemp("certificate") / "pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


class Served:
    """A WSGI application on a port of its own, in a thread."""

    def __init__(self, application: Any, context: ssl.SSLContext | None = None) -> None:
        self._server = make_server("127.0.0.1", 0, application, threaded=True, ssl_context=context)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Site:
    """An API, with one server of pages whose origin is what the browser calls it."""

    def __init__(self, scheme: str, host: str, context: ssl.SSLContext | None) -> None:
        self.scheme, self.context = scheme, context
        self.seen: list[dict[str, Any]] = []
        self.pages = Served(self._page, context)
        self.host = host
        self.app: Flask | None = None
        self.api: Served | None = None

    def start(self, listed: list[str], **config: Any) -> MemorySessionStore:
        origins = ", ".join(self.origin(host) for host in listed)
        app, store = cookie_app(CORS_ORIGINS=origins, **config)

        def seen(environ: dict[str, Any], start_response: Any) -> Any:
            self.seen.append(environ)
            return app(environ, start_response)

        self.app, self.api = app, Served(seen, self.context)
        return store

    def _page(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert self.api is not None
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        url = f"{self.scheme}://{self.host}:{self.api.port}"
        return [PAGE.replace(b"<script>", f'<script>const API = "{url}";'.encode())]

    def origin(self, host: str) -> str:
        return f"{self.scheme}://{host}:{self.pages.port}"

    def close(self) -> None:
        self.pages.close()
        if self.api is not None:
            self.api.close()


@pytest.fixture
def http() -> Iterator[Site]:
    site = Site("http", "localhost", None)
    yield site
    site.close()


@pytest.fixture
def https(context: ssl.SSLContext) -> Iterator[Site]:
    site = Site("https", "api.example.test", context)
    yield site
    site.close()


def ask(tab: Tab, path: str, method: str = "GET") -> dict[str, Any]:
    found: dict[str, Any] = tab.run(f"ask({path!r}, {method!r})")
    return found


def use_the_app(tab: Tab, site: Site, store: MemorySessionStore, page: str) -> None:
    """Log in, read, be limited, and log out, on a page that may."""
    tab.open(site.origin(page))
    assert ask(tab, "/api/me")["status"] == 401
    logged_in = ask(tab, "/api/login", "POST")
    assert logged_in["status"] == 200
    me = ask(tab, "/api/me")
    assert (me["status"], me["body"]["session_id"]) == (200, logged_in["body"]["session_id"])
    assert ask(tab, "/api/notes", "PUT")["status"] == 200
    limited = [ask(tab, "/api/open", "POST") for _ in range(4)]
    assert [each["status"] for each in limited] == [200, 200, 200, 429]
    assert int(limited[-1]["wait"]) > 0
    assert tab.run("document.cookie") == ""
    refreshed = ask(tab, "/auth/refresh", "POST")
    assert refreshed["status"] == 200
    assert "access_token" not in refreshed["body"]
    assert store.rows[me["body"]["session_id"]].counter == 2
    assert ask(tab, "/auth/logout", "POST")["status"] == 204
    assert ask(tab, "/api/me")["status"] == 401
    assert ask(tab, "/auth/refresh", "POST")["status"] == 401
    assert store.rows[me["body"]["session_id"]].end_reason == "logged_out"


def is_refused(tab: Tab, site: Site, store: MemorySessionStore, page: str) -> None:
    """Write nothing on a page that may not, with the cookies of one that may."""
    before = (len(store.rows), len(store.revocations))
    tab.open(site.origin(page))
    for path in ("/api/login", "/auth/logout", "/auth/refresh", "/api/notes"):
        site.seen.clear()
        tab.run(f"post_without_cors({path!r})")
        [environ] = [each for each in site.seen if each["REQUEST_METHOD"] == "POST"]
        assert environ["PATH_INFO"] == path
        assert environ["HTTP_SEC_FETCH_SITE"] in ("same-site", "cross-site")
    assert ask(tab, "/api/me")["status"] == 0
    assert (len(store.rows), len(store.revocations)) == before


def refresh_in_three_tabs(browser: Chromium, site: Site, store: MemorySessionStore) -> None:
    """Let three tabs find at once that their access token has expired."""
    tabs = [browser.tab() for _ in range(3)]
    for each in tabs:
        each.open(site.origin("localhost" if site.scheme == "http" else "app.example.test"))
    session_id = ask(tabs[0], "/api/login", "POST")["body"]["session_id"]
    for _ in range(3):
        shift_clock(601, 601)
        begun = [(each, each.begin("api('/api/me')")) for each in tabs]
        answers = [each.end(number) for each, number in begun]
        assert [answer["status"] for answer in answers] == [200] * 3
        assert {answer["body"]["session_id"] for answer in answers} == {session_id}
    assert store.rows[session_id].ended_at is None
    assert store.rows[session_id].counter >= 4


class TestHttpOnALoopbackHost:
    def test_a_page_of_another_port_uses_the_app(self, tab: Tab, http: Site) -> None:
        store = http.start(["localhost"], FLASK_ENV="development")
        use_the_app(tab, http, store, "localhost")
        assert any("fta=" in each.get("HTTP_COOKIE", "") for each in http.seen)

    def test_three_tabs_refresh_by_themselves(self, browser: Chromium, http: Site) -> None:
        browser.forget_cookies()
        store = http.start(["localhost"], FLASK_ENV="development", AUTH_ACCESS_MINUTES=10)
        refresh_in_three_tabs(browser, http, store)

    @pytest.mark.parametrize("page", ["127.0.0.1", "evil.localhost"])
    def test_a_page_of_another_site_is_refused(self, tab: Tab, http: Site, page: str) -> None:
        store = http.start(["localhost"], FLASK_ENV="development")
        tab.open(http.origin("localhost"))
        assert ask(tab, "/api/login", "POST")["status"] == 200
        is_refused(tab, http, store, page)
        tab.open(http.origin("localhost"))
        assert ask(tab, "/api/me")["status"] == 200


class TestHttps:
    def test_a_page_of_another_host_of_the_site_uses_the_app(self, tab: Tab, https: Site) -> None:
        store = https.start(["app.example.test"])
        use_the_app(tab, https, store, "app.example.test")
        sent = [each.get("HTTP_COOKIE", "") for each in https.seen]
        assert any("__Host-fta=" in each for each in sent)
        refresh = {
            each["PATH_INFO"]
            for each in https.seen
            if "__Secure-fta-refresh=" in each.get("HTTP_COOKIE", "")
        }
        assert refresh == {"/auth/refresh", "/auth/logout"}

    def test_a_page_of_another_site_uses_the_app_with_samesite_none(
        self, tab: Tab, https: Site
    ) -> None:
        store = https.start(["front.other.test"], AUTH_COOKIE_SAMESITE="None")
        use_the_app(tab, https, store, "front.other.test")

    def test_three_tabs_refresh_by_themselves(self, browser: Chromium, https: Site) -> None:
        browser.forget_cookies()
        store = https.start(["app.example.test"], AUTH_ACCESS_MINUTES=10)
        refresh_in_three_tabs(browser, https, store)

    @pytest.mark.parametrize("same_site", ["Lax", "None"])
    @pytest.mark.parametrize("page", ["evil.example.test", "evil.test"])
    def test_a_page_of_a_third_origin_is_refused(
        self, tab: Tab, https: Site, page: str, same_site: str
    ) -> None:
        store = https.start(["app.example.test"], AUTH_COOKIE_SAMESITE=same_site)
        tab.open(https.origin("app.example.test"))
        assert ask(tab, "/api/login", "POST")["status"] == 200
        is_refused(tab, https, store, page)
        brought = any("fta" in each.get("HTTP_COOKIE", "") for each in https.seen)
        # Lax keeps the cookies from another site, and not from another host of the same site.
        assert brought is (same_site == "None" or page == "evil.example.test")
        tab.open(https.origin("app.example.test"))
        assert ask(tab, "/api/me")["status"] == 200


def test_over_http_on_a_host_name_origin_decides(tab: Tab) -> None:
    """There the browser sends no Sec-Fetch-Site."""
    site = Site("http", "api.example.test", None)
    try:
        store = site.start(["app.example.test"])
        tab.open(site.origin("app.example.test"))
        assert ask(tab, "/api/open", "POST")["status"] == 200
        posted = site.seen[-1]
        assert posted["HTTP_ORIGIN"] == site.origin("app.example.test")
        assert "HTTP_SEC_FETCH_SITE" not in posted
        tab.open(site.origin("evil.example.test"))
        tab.run("post_without_cors('/api/login')")
        assert site.seen[-1]["PATH_INFO"] == "/api/login"
        assert "HTTP_SEC_FETCH_SITE" not in site.seen[-1]
        assert not store.rows
    finally:
        site.close()
