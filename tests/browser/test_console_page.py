"""The console in Chromium: its accessibility tree, by keyboard alone, in pictures, and its cookie.

With CONSOLE_PICTURES=1 the pictures of the docs are written: `make pictures`.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.serving import make_server

from apps import OTHER_TENANT, OTHER_USER, TENANT, USER, bare_app, token
from chromium import Chromium, Tab
from flask_tenant_auth import (
    TenantAuth,
    create_session,
    list_sessions,
    public_route,
    rate_limit,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth._core import reset_clock, shift_clock
from flask_tenant_auth.flask.state import state_of
from memory_session_store import MemorySessionStore
from paths import ROOT
from pictures import Picture, optimised

PERMISSION = "console:open"
PATIENCE = 60
SESSIONS_OF_USER = f"/console/sessions?tenant_id={TENANT}&user_id={USER}"
IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT, NARROW = 1000, 900, 320
NAMES = {False: "console-light.png", True: "console-dark.png"}


class Service:
    """An app with a console that a thread serves, over http on a loopback port."""

    def __init__(self) -> None:
        self.app = Flask("mail")
        self.app.config.update(
            bare_app().config,
            FLASK_ENV="development",
            AUTH_CONSOLE_ROUTE="/console",
            AUTH_CONSOLE_PERMISSION=PERMISSION,
            AUTH_SESSION_STORE="sqlite://",
            JWT_SECRET_KEY_FALLBACKS=["the next key, which is long enough for HS512 " * 2],
            RATELIMIT_KEY_PREFIX=str(uuid4()),
        )
        TenantAuth(self.app)
        state: Any = state_of(self.app)
        state.session_store = MemorySessionStore()
        self._add_views()
        self._server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _add_views(self) -> None:
        app = self.app
        limited = verify_tenant_context(rate_limit("5 per minute")(lambda: "in"))
        app.get("/api/accounts", endpoint="accounts")(limited)
        app.get("/api/admin/accounts", endpoint="admin")(verify_role("admin")(lambda: "in"))
        app.post("/api/accounts", endpoint="add")(verify_tenant_context(lambda: "in"))
        app.get("/fails", endpoint="fails")(public_route(lambda: ("", 503)))
        app.get("/health", endpoint="health")(public_route(lambda: "ok"))

    def begin(self, device: str) -> str:
        with self.app.app_context():
            return create_session(TENANT, USER, device=device).session_id

    def going_on(self) -> set[str]:
        with self.app.app_context():
            return {each.id for each in list_sessions(TENANT, USER)}

    def fill(self) -> None:
        """Make an hour of requests, at the end of which it is now by the clocks of the core."""
        client = self.app.test_client()
        people = [(TENANT, USER), (TENANT, OTHER_USER), (OTHER_TENANT, str(uuid4()))]
        for minute in range(60):
            if minute:
                shift_clock(60, 60)
            for place, (tenant, user) in enumerate(people):
                headers = {"Authorization": f"Bearer {token(tenant, user, exp=later())}"}
                for _ in range(3 + (minute * (place + 2)) % 7):
                    client.get("/api/accounts", headers=headers)
                if minute % 9 == place:
                    client.get("/api/admin/accounts", headers=headers)
            for _ in range(minute * 7 % 4):
                client.get("/api/accounts")
            if minute % 11 == 4:
                client.get("/fails")

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()
    reset_clock()


@pytest.fixture
def tab(browser: Chromium) -> Tab:
    browser.forget_cookies()
    return browser.tab()


def wait_for(what: Callable[[], Any], expected: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while what() != expected:
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def heading(tab: Tab) -> str:
    found: str = tab.run("document.querySelector('h1')?.innerText ?? ''")
    return found


def operators_token() -> str:
    return token(user_id=str(uuid4()), permissions=[PERMISSION], exp=later())


def later() -> int:
    """A time after the hour of requests."""
    return int(time.time()) + 3 * 3600


# --- The keyboard and the accessibility tree ------------------------------------------------------

KEYS = {
    "Tab": {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9},
    "Enter": {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
    " ": {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32, "text": " "},
}


def press(tab: Tab, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, **KEYS[key])


def write(tab: Tab, text: str) -> None:
    tab.call("Input.insertText", text=text)


def tree(tab: Tab) -> list[tuple[str, str]]:
    """The roles and names of all that people who do not see are told of, in order."""
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored")
    ]


def focused(tab: Tab) -> tuple[str, str]:
    """The role and the name of what has the focus."""
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if node["role"]["value"] != "RootWebArea"
        and any(
            each["name"] == "focused" and each["value"]["value"]
            for each in node.get("properties", ())
        )
    ]
    return found[0] if found else ("", "")


def go_to(tab: Tab, role: str, name: str) -> None:
    """Press Tab until this has the focus, which has to be visible then."""
    passed = []
    for _ in range(60):
        press(tab, "Tab")
        passed.append(focused(tab))
        if passed[-1] == (role, name):
            width = tab.run("getComputedStyle(document.activeElement).outlineWidth")
            assert float(width.removesuffix("px")) >= 2, "the focus cannot be seen"
            return
    raise AssertionError(f"{role} {name!r} is not reached: {passed}")


def test_an_operator_opens_the_console_and_ends_a_session_by_keyboard_alone(
    service: Service, tab: Tab
) -> None:
    ended, stays = service.begin("Firefox on Linux"), service.begin("Safari")
    tab.open(f"{service.origin}/console")
    assert heading(tab) == "Open the console of mail"
    go_to(tab, "textbox", "Access token")
    write(tab, "not.a.token")
    press(tab, "Enter")
    wait_for(lambda: ("alert", "") in tree(tab) or any(r == "alert" for r, _ in tree(tab)), True)
    assert "Invalid token." in tab.run("document.body.innerText")
    go_to(tab, "textbox", "Access token")
    write(tab, operators_token())
    go_to(tab, "button", "Open")
    press(tab, "Enter")
    wait_for(lambda: heading(tab), "Console of mail")
    assert tab.run("document.cookie") == "", "no script can read the token"

    go_to(tab, "textbox", "Tenant id")
    write(tab, TENANT)
    go_to(tab, "textbox", "User id")
    write(tab, USER)
    go_to(tab, "button", "List the sessions")
    press(tab, " ")
    wait_for(lambda: heading(tab), "Sessions of a user")
    go_to(tab, "button", "End Firefox on Linux")
    press(tab, "Enter")
    wait_for(service.going_on, {stays})
    # There is no body while the next page arrives.
    said = "document.body?.innerText ?? ''"
    wait_for(lambda: "The session has ended." in tab.run(said), True)
    assert ended not in tab.run("document.documentElement.outerHTML")
    go_to(tab, "link", "Back to the console")
    press(tab, "Enter")
    wait_for(lambda: heading(tab), "Console of mail")
    go_to(tab, "button", "Close the console")
    press(tab, "Enter")
    wait_for(lambda: heading(tab), "Open the console of mail")
    tab.open(f"{service.origin}/console")
    assert heading(tab) == "Open the console of mail"


def open_console(service: Service, tab: Tab) -> None:
    tab.open(f"{service.origin}/console")
    write_token = f"document.getElementById('token').value = '{operators_token()}'"
    tab.run(write_token)
    tab.begin("document.querySelector('button').click()")
    wait_for(lambda: heading(tab), "Console of mail")


def test_the_accessibility_tree_has_every_part_with_its_name(service: Service, tab: Tab) -> None:
    service.fill()
    open_console(service, tab)
    found = tree(tab)
    names = {role: [name for each, name in found if each == role] for role, _ in found}
    assert names["heading"] == [
        *("Console of mail", "To look at", "Requests of the last hour", "Reasons"),
        *("Most limited in the last hour", "Users", "Tenants", "Redis and memory", "Keys"),
        *("Sessions", "Routes"),
    ]
    for landmark, name in (("main", ""), ("banner", ""), ("navigation", "Sections")):
        assert names[landmark] == [name]
    assert {"Requests of the last hour", "Keys", "Routes"} <= set(names["region"])
    wide = "[...document.querySelectorAll('.scroll')].some((e) => e.scrollWidth > e.clientWidth)"
    tab.call("Emulation.setDeviceMetricsOverride", **metrics_of(WIDTH))
    assert not tab.run(wide), "on a usual screen no table has to be scrolled"
    assert len(names["image"]) == 2
    for picture in names["image"]:
        assert "per minute" in picture
        assert "in the last 60 minutes. The most in one minute were" in picture
    captions = names["table"]
    assert all(captions)
    assert "Keys, their age and the next step of their rotation" in captions
    assert {"Method", "Path", "Protection", "Limits"} <= set(names["columnheader"])
    assert "/api/accounts" in names["rowheader"]
    assert [name for name in names["link"] if name == USER] == [USER]
    assert names["button"] == ["Close the console", "List the sessions"]
    assert names["textbox"] == ["Tenant id", "User id"]
    skip = names["link"][0]
    assert skip == "Skip to the console"
    go_to(tab, "link", skip)
    press(tab, "Enter")
    wait_for(lambda: tab.run("document.activeElement.id"), "main")


def test_the_table_of_the_plots_opens_by_keyboard(service: Service, tab: Tab) -> None:
    open_console(service, tab)
    tab.run("document.querySelector('summary').focus()")
    press(tab, "Enter")
    wait_for(lambda: tab.run("document.querySelector('details').open"), True)
    assert ("table", "Requests of each minute, the newest first") in tree(tab)


# --- The policy and the cookie in the browser -----------------------------------------------------


def test_the_browser_obeys_the_policy_and_finds_no_violation(service: Service, tab: Tab) -> None:
    open_console(service, tab)
    assert tab.run("getComputedStyle(document.querySelector('section')).borderTopWidth") == "1px"
    blocked = """new Promise((done) => {
        document.addEventListener(
            "securitypolicyviolation", (event) => done(event.violatedDirective));
        const script = document.createElement("script");
        script.textContent = "window.hurt = true";
        document.body.append(script);
        setTimeout(() => done("none"), 20000);
    })"""
    assert tab.run(blocked) == "script-src-elem"
    assert tab.run("window.hurt === undefined")


def test_the_cookie_is_sent_to_the_console_alone(
    service: Service, tab: Tab, browser: Chromium
) -> None:
    open_console(service, tab)
    cookies = tab.call("Network.getCookies", urls=[f"{service.origin}/console/sessions"])["cookies"]
    [cookie] = [each for each in cookies if each["name"] == "fta-console"]
    assert (cookie["path"], cookie["sameSite"]) == ("/console", "Strict")
    assert cookie["httpOnly"]
    assert cookie["expires"] > time.time()
    others = tab.call("Network.getCookies", urls=[f"{service.origin}/api/accounts"])["cookies"]
    assert [each["name"] for each in others] == []


# --- Pages of another origin ----------------------------------------------------------------------

ATTACK = """<!DOCTYPE html>
<form method="post" action="{console}/end-all">
<input name="tenant_id" value="{tenant}"><input name="user_id" value="{user}"><button>Win</button>
</form>
<iframe src="{console}"></iframe>
"""


@pytest.fixture
def attacker(service: Service) -> Iterator[str]:
    """The origin of a page on another port of the same host: cookies come with what it sends."""
    page = ATTACK.format(console=f"{service.origin}/console", tenant=TENANT, user=USER).encode()

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [page]

    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_of_another_origin_ends_no_session_and_shows_nothing(
    service: Service, tab: Tab, attacker: str
) -> None:
    session = service.begin("Firefox")
    open_console(service, tab)
    tab.open(f"{attacker}/")
    cookies = tab.call("Network.getCookies", urls=[f"{service.origin}/console"])["cookies"]
    assert [each["name"] for each in cookies] == ["fta-console"]
    # A frame of another site has a document that the page may not touch: here an error of the
    # browser. And a script of this origin gets no answer that it can read.
    frame = "document.querySelector('iframe')"
    assert tab.run(f"{frame}.contentDocument === null")
    url = f"{service.origin}/console"
    read = f"fetch('{url}', {{credentials: 'include'}}).then(() => 'read', () => 'denied')"
    assert tab.run(read) == "denied"
    blind = f"fetch('{url}/end-all', {{method: 'POST', credentials: 'include', mode: 'no-cors'"
    ids = f"body: new URLSearchParams({{tenant_id: '{TENANT}', user_id: '{USER}'}})}})"
    tab.run(f"{blind}, {ids}.then(() => 'sent', () => 'blocked')")
    assert service.going_on() == {session}
    tab.begin("document.querySelector('button').click()")
    wait_for(lambda: heading(tab), "Forbidden")
    assert "Origin not allowed." in tab.run("document.body.innerText")
    assert service.going_on() == {session}
    # The same form of the console itself does what it says.
    tab.open(service.origin + SESSIONS_OF_USER)
    tab.begin("document.querySelector('form[action$=end-all] button').click()")
    wait_for(service.going_on, set())


# --- Pictures -------------------------------------------------------------------------------------


def metrics_of(width: int) -> dict[str, Any]:
    """The parameters for a screen of this width."""
    return {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}


def picture_of(tab: Tab, *, dark: bool, width: int, whole: bool = False) -> Picture:
    """A picture of what is seen of the page, or of all of it."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    tab.call("Emulation.setEmulatedMedia", features=scheme)
    tab.call("Emulation.setScrollbarsHidden", hidden=True)
    tab.call("Emulation.setDeviceMetricsOverride", **metrics_of(width))
    wait_for(lambda: tab.run("innerWidth"), width)
    found = tab.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
    return Picture(base64.b64decode(found))


def test_the_console_is_light_in_the_light_and_dark_in_the_dark(service: Service, tab: Tab) -> None:
    service.fill()
    open_console(service, tab)
    pictures = {dark: picture_of(tab, dark=dark, width=WIDTH) for dark in (False, True)}
    for dark, picture in pictures.items():
        assert (picture.width, picture.height) == (WIDTH, HEIGHT)
        # The page itself, and most of what is in the picture.
        assert (sum(picture.pixel(2, 2)) < 150) is dark
        assert (sum(picture.pixel(2, 2)) > 700) is not dark
        assert (picture.part_darker_than(128) > 0.6) is dark
        assert len(picture.colours()) > 20, "it is not blank"
    if os.environ.get("CONSOLE_PICTURES"):
        IMAGES.mkdir(exist_ok=True)
        for dark, name in NAMES.items():
            whole = picture_of(tab, dark=dark, width=WIDTH, whole=True)
            (IMAGES / name).write_bytes(optimised(whole))


@pytest.mark.parametrize(
    "path", ["/console", f"/console/sessions?tenant_id={TENANT}&user_id={USER}"]
)
@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_screen_does_not_scroll_sideways(
    service: Service, tab: Tab, path: str, dark: bool
) -> None:
    service.begin("A device with a name that is as long as that of many browsers of today")
    service.fill()
    open_console(service, tab)
    tab.open(service.origin + path)
    picture = picture_of(tab, dark=dark, width=NARROW)
    assert tab.run("document.documentElement.scrollWidth") <= NARROW
    assert tab.run("document.body.scrollWidth") <= NARROW
    assert picture.width == NARROW
    # Every line can be reached: what is wider scrolls in a region that takes the focus.
    wide = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth)"
    assert tab.run(f"{wide}.every((e) => e.tabIndex === 0)")


@pytest.mark.parametrize("path", ["/console", SESSIONS_OF_USER])
def test_no_table_is_cut_or_scrolls_sideways_on_a_wide_screen(
    service: Service, tab: Tab, path: str
) -> None:
    service.begin("A_device_with_a_name_without_a_space_" * 4)
    service.fill()
    open_console(service, tab)
    tab.open(service.origin + path)
    tab.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    picture_of(tab, dark=False, width=WIDTH)
    regions = "[...document.querySelectorAll('.scroll')]"
    assert tab.run(f"{regions}.length") >= (1 if path == SESSIONS_OF_USER else 6)
    wide = f"{regions}.filter((e) => e.scrollWidth > e.clientWidth)"
    assert tab.run(f"{wide}.map((e) => e.getAttribute('aria-labelledby'))") == []
    # No head of a column falls apart: one of a single word has a single line.
    heads = """[...document.querySelectorAll('thead th')].filter((each) => {
        const text = document.createRange();
        text.selectNodeContents(each);
        return !/\\s/.test(each.innerText.trim()) && text.getClientRects().length > 1;
    }).map((each) => each.innerText)"""
    assert tab.run(heads) == []


@pytest.mark.parametrize(("dark", "name"), NAMES.items())
def test_the_pictures_of_the_docs_are_what_they_say(dark: bool, name: str) -> None:
    data = (IMAGES / name).read_bytes()
    assert len(data) < 200_000
    picture = Picture(data)
    assert picture.width == WIDTH
    assert (picture.part_darker_than(128) > 0.6) is dark
