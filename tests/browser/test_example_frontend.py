"""The front end of the example in Chromium, served from another origin than the service."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask, Response, request
from werkzeug.serving import BaseWSGIServer, make_server

from chromium import Chromium, Tab
from email_service import create_app
from email_service.curl_lines import EMAIL, add_example_account, add_example_users
from email_service.database import create_tables
from email_service.frontend import CONTENT_SECURITY_POLICY, DIRECTORY, TYPES
from waiting import until

PASSWORD = "correct horse ✓ battery"
ACCESS_SECONDS = 10


class Served:
    """An app that a thread serves on a loopback port."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self._server: BaseWSGIServer = make_server("127.0.0.1", 0, app, threaded=True)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def front_end() -> tuple[Flask, dict[str, str]]:
    """Return an app that serves the front end, and where it says that the service is."""
    app, place = Flask(__name__, static_folder=None), {"service": ""}

    @app.get("/")
    @app.get("/<any('app.js', 'style.css'):name>")
    def file(name: str = "index.html") -> Response:
        path = DIRECTORY / name
        text = path.read_text("utf-8").replace(
            'name="api-origin" content=""', f'name="api-origin" content="{place["service"]}"'
        )
        policy = CONTENT_SECURITY_POLICY.replace(
            "connect-src 'self'", f"connect-src {place['service']}"
        )
        headers = {"Content-Security-Policy": policy}
        return Response(text, mimetype=TYPES[path.suffix], headers=headers)

    return app, place


class Service:
    """The service, and what a test sees and changes of it."""

    def __init__(self, directory: Path, front_end: str) -> None:
        self.asked: Counter[str] = Counter()
        self.busy: list[Response] = []  # what the next requests for accounts get
        app = create_app(
            {
                "DATABASE_URL": f"sqlite:///{directory}/email.sqlite3",
                "AUTH_SESSION_STORE": f"sqlite:///{directory}/sessions.sqlite3",
                "AUTH_ACCESS_MINUTES": ACCESS_SECONDS / 60,
                "CORS_ORIGINS": front_end,
                "CORS_RESOURCES": "/api/,/auth/",
                "CORS_SUPPORTS_CREDENTIALS": True,
                "FLASK_ENV": "development",
                "JWT_SECRET_KEY": "a secret of the tests, long enough for HS256",
                "REDIS_URL": "",
                "RATELIMIT_KEY_PREFIX": str(uuid4()),
            }
        )

        @app.before_request
        def note() -> Response | None:
            if request.method != "OPTIONS":
                self.asked[request.path] += 1
                if request.path == "/api/v1/accounts" and self.busy:
                    return self.busy.pop()
            return None

        with app.app_context():
            create_tables()
            add_example_users(PASSWORD)
            add_example_account()
        self.served = Served(app)

    def close(self) -> None:
        self.served.close()
        self.served.app.extensions["engine"].dispose()


@pytest.fixture
def pages() -> Iterator[tuple[str, dict[str, str]]]:
    app, place = front_end()
    served = Served(app)
    yield served.origin, place
    served.close()


@pytest.fixture
def service(pages: tuple[str, dict[str, str]], tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path, pages[0])
    pages[1]["service"] = service.served.origin
    yield service
    service.close()


@pytest.fixture
def browser() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


def wait_for(what: Callable[[], Any], expected: Any) -> None:
    until(lambda: what() == expected, f"{expected!r} in the page", pause=0.05)


class Page:
    """The front end in a tab."""

    def __init__(self, browser: Chromium, url: str) -> None:
        self.tab: Tab = browser.tab()
        self.tab.open(f"{url}/")

    def text(self, element: str) -> str:
        found: str = self.tab.run(f"document.getElementById('{element}').innerText.trim()")
        return found

    def shows(self) -> str:
        """Return which of the two parts of the page is there."""
        parts: list[str] = self.tab.run(
            "['login', 'home'].filter((id) => !document.getElementById(id).hidden)"
        )
        return " ".join(parts)

    def click(self, button: str) -> None:
        self.tab.run(f"document.querySelector('{button}').click()")

    def log_in(self, password: str = PASSWORD) -> None:
        for name, value in (("email", EMAIL), ("password", password)):
            self.tab.run(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
        self.click("#login button")


def test_the_front_end_lives_through_a_session(
    browser: Chromium, service: Service, pages: tuple[str, dict[str, str]]
) -> None:
    page = Page(browser, pages[0])
    wait_for(page.shows, "login")
    page.log_in("wrong")
    wait_for(lambda: page.text("message"), "Wrong e-mail address or password")
    page.log_in()
    wait_for(page.shows, "home")
    wait_for(lambda: page.text("accounts"), f"{EMAIL}\timap\ton")
    wait_for(lambda: "HeadlessChrome" in page.text("sessions"), True)
    assert "127.0.0.1" in page.text("sessions")
    assert "this session" in page.text("sessions")
    assert page.tab.run("document.cookie") == ""  # no script can read a token

    # Two requests of each of two tabs meet an expired token: a refresh a tab at most. What one tab
    # writes into localStorage, the process of the other may see a moment later.
    other = Page(browser, pages[0])
    wait_for(lambda: other.text("accounts"), f"{EMAIL}\timap\ton")
    service.asked.clear()
    time.sleep(ACCESS_SECONDS)
    for each in (page, other):
        each.tab.begin("document.getElementById('reload').click()")
    wait_for(lambda: service.asked["/auth/sessions"], 4)
    wait_for(lambda: service.asked["/api/v1/accounts"], 4)
    assert service.asked["/auth/refresh"] in (1, 2)
    assert (page.shows(), other.shows()) == ("home", "home")

    # Neither 429 nor 503 logs out: the page waits for as long as it is told.
    service.busy = [Response(status=status, headers={"Retry-After": "1"}) for status in (429, 503)]
    service.asked.clear()
    began = time.monotonic()
    page.click("#reload")
    wait_for(lambda: page.text("message"), "The service asks to wait for 1 seconds.")
    wait_for(lambda: service.asked["/api/v1/accounts"], 3)
    assert time.monotonic() - began >= 2
    wait_for(lambda: page.text("message"), "")
    assert page.shows() == "home"
    service.busy = [Response('{"message": "broken"}', 500, {"Content-Type": "application/json"})]
    page.click("#reload")
    wait_for(lambda: page.text("message"), "broken")
    assert page.shows() == "home"

    page.click("#log-out")
    for each in (page, other):
        wait_for(each.shows, "login")
        assert each.text("accounts") == ""

    # A session that has ended elsewhere is a 401 that no refresh helps.
    page.log_in()
    for each in (page, other):
        wait_for(each.shows, "home")
    wait_for(lambda: page.text("accounts"), f"{EMAIL}\timap\ton")
    page.click("#log-out-everywhere")
    for each in (page, other):
        wait_for(each.shows, "login")


def test_the_front_end_says_why_it_shows_the_form_again(
    browser: Chromium, service: Service, pages: tuple[str, dict[str, str]]
) -> None:
    page = Page(browser, pages[0])
    page.log_in()
    wait_for(page.shows, "home")
    browser.forget_cookies()
    page.click("#reload")
    wait_for(page.shows, "login")
    assert page.text("message") == "The session has ended. Log in again."
    assert service.asked["/auth/refresh"] == 1
    # Nor for a request that is answered later.
    version = "localStorage.getItem('cookies version')"
    assert page.tab.run(f"refresh({version})") is False
    assert service.asked["/auth/refresh"] == 1
