"""``@login_limit``: failures are counted by account, address and device, also in a burst."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask, abort, redirect, request
from flask.testing import FlaskClient
from flask.views import MethodView
from werkzeug.test import TestResponse

from apps import SECRET, TENANT, USER, bare_app, make_app
from flask_tenant_auth import AuthError, RateLimitExceeded, login_limit, public_route, verify_role
from flask_tenant_auth._core import STRATEGIES, reset_clock, shift_clock
from flask_tenant_auth.flask.checked_view import checked_view_of
from flask_tenant_auth.flask.counting import count_refresh
from flask_tenant_auth.flask.logins import device_cookie_name
from flask_tenant_auth.flask.sessions import create_session, refresh_session
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.limit.logins import account_of
from flask_tenant_auth.sessions.devices import Device, Devices
from flask_tenant_auth.sessions.store import Read, Session, StoreUnavailable

UNLIMITED = {"AUTH_FAILURE_LIMIT": "", "RATELIMIT_DEFAULT": ""}
LIMIT = "3 per 15 minutes"


class Logins:
    """An app whose log in counts how often it is asked."""

    def __init__(self, limit: str = LIMIT, app: Flask | None = None, **arguments: Any) -> None:
        self.app = make_app(**UNLIMITED) if app is None else app
        self.asked: list[Any] = []
        self.answer: Callable[[], Any] = self.check

        @self.app.route("/login", methods=["GET", "POST"])
        @public_route
        @login_limit(limit, **({"key": "email"} | arguments))
        def login() -> Any:
            self.asked.append(request.get_json(silent=True))
            return self.answer()

    def check(self) -> Any:
        if (request.get_json(silent=True) or request.form).get("password") != "right":
            raise AuthError("Wrong e-mail address or password", reason="wrong_password")
        return {"token": "..."}

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def post(
        self,
        password: str = "wrong",
        email: Any = "ann@red.example",
        *,
        client: FlaskClient | None = None,
        address: str = "192.0.2.1",
    ) -> TestResponse:
        body = {"email": email, "password": password}
        of = {"REMOTE_ADDR": address}
        return (client or self.client()).post("/login", json=body, environ_overrides=of)

    def statuses(self, count: int, **arguments: Any) -> list[int]:
        return [self.post(**arguments).status_code for _ in range(count)]


def addresses() -> Callable[[], str]:
    numbers = iter(range(1, 250))
    return lambda: f"198.51.100.{next(numbers)}"


def test_beyond_the_limit_the_view_is_not_asked_whatever_the_password_is() -> None:
    logins = Logins()
    assert logins.statuses(5) == [401, 401, 401, 429, 429]
    assert len(logins.asked) == 3
    response = logins.post("right")
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 900
    assert response.get_json() == {
        "error": "Rate limit exceeded",
        "message": "3 per 15 minutes",
    }
    assert len(logins.asked) == 3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_of_50_wrong_passwords_at_once_the_budget_reaches_the_view(strategy: str) -> None:
    logins = Logins("5 per 15 minutes", make_app(RATELIMIT_STRATEGY=strategy, **UNLIMITED))
    barrier = threading.Barrier(50)
    statuses: list[int] = []

    def check() -> Any:
        time.sleep(0.2)  # as long as a hash takes, so that all are there at once
        raise AuthError("Wrong")

    logins.answer = check

    def guess() -> None:
        barrier.wait()
        statuses.append(logins.post().status_code)

    threads = [threading.Thread(target=guess) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(logins.asked) == 5
    assert sorted(statuses) == [401] * 5 + [429] * 45


def test_an_account_is_counted_from_all_addresses_together() -> None:
    logins = Logins()
    next_address = addresses()
    assert [logins.post(address=next_address()).status_code for _ in range(4)] == [
        *(401, 401, 401),
        429,
    ]
    assert logins.post(email="bob@red.example", address=next_address()).status_code == 401


def test_an_address_is_counted_over_all_accounts_together() -> None:
    logins = Logins()
    emails = [f"{number}@red.example" for number in range(4)]
    assert [logins.post(email=email).status_code for email in emails] == [401, 401, 401, 429]
    assert logins.post(email="9@red.example", address="192.0.2.2").status_code == 401


def test_an_address_may_have_a_limit_of_its_own() -> None:
    logins = Logins(address_limit="5 per 15 minutes")
    statuses = [logins.post(email=f"{number}@red.example").status_code for number in range(6)]
    assert statuses == [401] * 5 + [429]


def test_a_success_clears_the_account_and_never_the_address() -> None:
    logins = Logins(address_limit="5 per 15 minutes")
    other = "192.0.2.2"
    assert logins.statuses(2) == [401, 401]
    assert logins.post("right").status_code == 200
    # Without the success the account would have one left.
    assert logins.statuses(4, address=other) == [401, 401, 401, 429]
    # The address has had two failures, and the success counted for nothing.
    statuses = [logins.post(email=f"{number}@red.example").status_code for number in range(4)]
    assert statuses == [401, 401, 401, 429]


def test_successes_alone_are_never_limited() -> None:
    logins = Logins()
    assert logins.statuses(20, password="right") == [200] * 20


@pytest.mark.parametrize(
    "written",
    ["ANN@red.example", "  ann@red.example ", "ａｎｎ@red.example", "ann@red.example\u200b\n"],  # noqa: RUF001 - full width
)
def test_one_account_has_one_budget_however_it_is_written(written: str) -> None:
    logins = Logins()
    next_address = addresses()
    for email in ("ann@red.example", written, "ann@red.example"):
        assert logins.post(email=email, address=next_address()).status_code == 401
    assert logins.post(email=written, address=next_address()).status_code == 429


def test_names_that_differ_are_different_accounts() -> None:
    names = ["ann", "anna", "an n", "1", "Straße", "ann@red.example"]
    assert len({account_of(name) for name in names}) == len(names)
    assert account_of(1) == account_of("1")
    assert account_of("STRASSE") == account_of("straße")
    for unseen in "\u034f\u115f\u1160\u3164\uffa0\u17b4\u180b\ufe0f\U000e0100":
        assert account_of(f"a{unseen}nn") == account_of("ann")
    for nobody in (None, True, "", " \t", "\u200b", [], {"a": 1}, 1.5, b"ann"):
        assert account_of(nobody) is None
    assert account_of("\ud800" * 9999) is not None


@pytest.mark.parametrize("email", [None, "", [], {"a": 1}, True])
def test_an_attempt_without_an_account_is_counted_by_address(email: object) -> None:
    logins = Logins()
    assert logins.statuses(4, email=email) == [401, 401, 401, 429]
    assert logins.post(email=email, address="192.0.2.2").status_code == 401


def test_the_account_is_found_in_a_form_in_the_query_and_in_json_without_a_type() -> None:
    logins = Logins(address_limit="99 per day")
    client = logins.client()
    assert client.post("/login", data={"email": "Ann"}).status_code == 401
    assert client.post("/login?email=ann").status_code == 401
    assert client.post("/login", data='{"email": "ann"}').status_code == 401
    assert logins.post(email="ann").status_code == 429
    assert client.post("/login", data="no JSON").status_code == 401


def test_an_attempt_whose_body_is_nested_too_deep_is_counted_by_address() -> None:
    logins = Logins()
    body = "[" * 100_000 + "]" * 100_000
    # No Content-Type, so the view does not read it as JSON.
    answers = [logins.client().post("/login", data=body).status_code for _ in range(4)]
    assert answers == [401, 401, 401, 429]
    assert len(logins.asked) == 3


@pytest.mark.parametrize(
    "form",
    [
        {"query_string": {"email": "x@red.example"}, "json": {"email": "ann@red.example"}},
        {"query_string": {"email": "ann@red.example"}, "data": {"email": "x@red.example"}},
        {"data": {"email": ["x@red.example", "ann@red.example"]}},
    ],
)
def test_a_request_that_names_two_accounts_is_400_and_never_asks_the_view(form: Any) -> None:
    logins = Logins()
    assert logins.client().post("/login", **form).status_code == 400
    assert logins.asked == []


def test_an_account_that_is_named_twice_alike_has_one_budget() -> None:
    logins = Logins()
    both = {"query_string": {"email": "ANN@red.example"}, "json": {"email": "ann@red.example"}}
    answers = [logins.client().post("/login", **both).status_code for _ in range(4)]  # type: ignore[arg-type]
    assert answers == [401, 401, 401, 429]


def test_the_key_may_be_a_callable_of_the_request() -> None:
    logins = Logins(key=lambda request: request.headers.get("X-Account"), address_limit="9 per day")
    client = logins.client()

    def post(account: str) -> int:
        return client.post("/login", headers={"X-Account": account}).status_code

    assert [post("a") for _ in range(4)] == [401, 401, 401, 429]
    assert post("b") == 401


class WrongCredentialsError(Exception):
    """An exception of an app."""


def raise_(error: Exception) -> Any:
    raise error


NO_FAILURES: dict[str, Callable[[], Any]] = {
    "200": lambda: {"found": False},
    "302": lambda: redirect("/"),
    "400": lambda: ({"message": "what?"}, 400),
    "403": lambda: abort(403),
    "raised 503": lambda: raise_(AuthError("Away", 503)),
    "raised 429": lambda: raise_(RateLimitExceeded("5 per day")),
    "500": lambda: ("", 500),
    "status text": lambda: ("", "503 AWAY"),
    "headers only": lambda: ("", {"X-A": "b"}),
}
FAILURES: dict[str, Callable[[], Any]] = {
    "raised 401": lambda: raise_(AuthError("Wrong")),
    "raised 403": lambda: raise_(AuthError("Locked", 403)),
    "abort": lambda: abort(401),
    "pair": lambda: ({"error": "Unauthorized"}, 401),
    "status text": lambda: ("", "401 UNAUTHORIZED", {"X-A": "b"}),
    "response": lambda: Flask("x").response_class(status=401),
    "response in a tuple": lambda: (Flask("x").response_class(status=401), {"X-A": "b"}),
    "callable": lambda: Flask("x").response_class(status=401).__call__,
}


@pytest.mark.parametrize("name", NO_FAILURES)
def test_what_is_no_failure_does_not_count(name: str) -> None:
    logins = Logins()
    logins.answer = NO_FAILURES[name]
    statuses = logins.statuses(6)
    assert len(logins.asked) == 6, statuses
    logins.answer = logins.check
    assert logins.statuses(4) == [401, 401, 401, 429]


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_counts(name: str) -> None:
    logins = Logins()
    logins.answer = FAILURES[name]
    statuses = logins.statuses(6)
    assert statuses[3:] == [429, 429, 429]
    assert len(logins.asked) == 3


@pytest.mark.parametrize("testing", [True, False])
def test_an_exception_of_the_app_is_no_failure(testing: bool) -> None:
    logins = Logins()
    logins.app.config["PROPAGATE_EXCEPTIONS"] = testing
    logins.answer = lambda: raise_(ZeroDivisionError())
    for _ in range(6):
        if testing:
            with pytest.raises(ZeroDivisionError):
                logins.post()
        else:
            assert logins.post().status_code == 500
    logins.answer = logins.check
    assert logins.statuses(4) == [401, 401, 401, 429]


def test_an_exception_that_the_app_answers_with_401_is_a_failure() -> None:
    logins = Logins()
    logins.answer = lambda: raise_(WrongCredentialsError())
    logins.app.register_error_handler(WrongCredentialsError, lambda error: ("Wrong", 401))
    assert logins.statuses(4) == [401, 401, 401, 429]
    logins = Logins()
    logins.answer = lambda: raise_(WrongCredentialsError())
    logins.app.register_error_handler(WrongCredentialsError, lambda error: ("Try later", 503))
    assert logins.statuses(6) == [503] * 6


def test_a_get_of_the_form_succeeds_without_clearing_an_account() -> None:
    logins = Logins()
    logins.answer = lambda: logins.check() if request.method == "POST" else "<form>"
    assert logins.statuses(3) == [401, 401, 401]
    of = {"REMOTE_ADDR": "192.0.2.9"}
    client = logins.client()
    response = client.get("/login?email=someone", environ_overrides=of)
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert client.get("/login?email=ann@red.example", environ_overrides=of).status_code == 429
    assert logins.post("right", address="192.0.2.3").status_code == 429


def test_methods_that_are_not_named_are_not_counted() -> None:
    logins = Logins(methods=["post"])
    assert logins.statuses(4) == [401, 401, 401, 429]
    assert logins.client().get("/login").status_code == 401
    assert logins.client().options("/login").status_code == 200


def test_views_with_one_scope_share_a_budget_and_others_do_not() -> None:
    app = make_app(**UNLIMITED)

    def view(rule: str, scope: str | None) -> None:
        limited = login_limit(LIMIT, key="email", scope=scope)(_failing(rule))
        app.add_url_rule(rule, rule, limited, methods=["POST"])

    for rule, scope in (("/a", "one"), ("/b", "one"), ("/c", None), ("/d", None)):
        view(rule, scope)
    client = app.test_client()

    def post(rule: str) -> int:
        return client.post(rule, json={"email": "ann"}).status_code

    assert [post("/a"), post("/b"), post("/a"), post("/b")] == [401, 401, 401, 429]
    assert [post("/c") for _ in range(4)] == [401, 401, 401, 429]
    assert post("/d") == 401


def _failing(name: str) -> Callable[[], Any]:
    def fails() -> Any:
        raise AuthError("Wrong")

    fails.__qualname__ = name
    return fails


def test_an_async_view_and_a_method_of_a_class_are_limited() -> None:
    app = make_app(**UNLIMITED)

    @app.post("/async")
    @login_limit(LIMIT, key="email")
    async def of_async() -> Any:
        await asyncio.sleep(0)
        raise AuthError("Wrong")

    class View(MethodView):
        @login_limit(LIMIT, key="email")
        def post(self) -> Any:
            raise AuthError("Wrong")

    app.add_url_rule("/class", view_func=View.as_view("class"))
    client = app.test_client()
    for rule in ("/async", "/class"):
        statuses = [
            client.post(rule, json={"email": rule}, environ_overrides={"REMOTE_ADDR": rule})
            for _ in range(4)
        ]
        assert [each.status_code for each in statuses] == [401, 401, 401, 429], rule


def test_an_async_view_that_is_called_in_a_running_loop_is_settled_when_it_ends() -> None:
    app = make_app(**UNLIMITED)
    outcomes: list[Exception | None] = [AuthError("Wrong"), None, ZeroDivisionError()]

    @login_limit("3 per day", key="email", address_limit="9 per day")
    async def login() -> Any:
        await asyncio.sleep(0)
        error = outcomes.pop(0)
        if error is not None:
            raise error
        return ""

    async def run() -> None:
        with pytest.raises(AuthError):
            await login()  # type: ignore[func-returns-value]
        assert await login() == ""  # type: ignore[func-returns-value]
        with pytest.raises(ZeroDivisionError):
            await login()  # type: ignore[func-returns-value]

    for _ in range(2):
        outcomes[:] = [AuthError("Wrong"), None, ZeroDivisionError()]
        # GET, so that the call that returns clears nothing.
        with app.test_request_context("/", method="GET", json={"email": "a"}):
            asyncio.run(run())
    with app.test_request_context("/", method="GET", json={"email": "a"}):
        outcomes[:] = [AuthError("Wrong")]
        with pytest.raises(AuthError):
            login()  # type: ignore[unused-coroutine]
        _, status = login()  # type: ignore[misc]
    assert status == 429


def test_it_works_in_any_order_with_other_decorators_and_without_tenantauth() -> None:
    app = bare_app(**UNLIMITED)

    @app.post("/inner")
    @public_route
    @login_limit(LIMIT, key="email")
    def inner() -> Any:
        raise AuthError("Wrong")

    @app.post("/outer")
    @login_limit(LIMIT, key="email", scope="outer")
    @public_route
    @verify_role("admin")
    def outer() -> Any:
        return ""

    client = app.test_client()
    for rule in ("/inner", "/outer"):
        statuses = [client.post(rule, json={"email": "a"}).status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429], rule
    known = checked_view_of(app.view_functions["outer"])
    assert known is not None
    assert checked_view_of(known.view) is not None  # the check of the role is in its chain


def test_without_limits_and_outside_a_request_the_view_is_called() -> None:
    logins = Logins(app=make_app(RATELIMIT_ENABLED=False, **UNLIMITED))
    assert logins.statuses(6) == [401] * 6
    assert login_limit(LIMIT, key="email")(lambda: "called")() == "called"


def test_a_failure_counts_for_the_address_as_every_401_does() -> None:
    logins = Logins("99 per day", make_app(AUTH_FAILURE_LIMIT="2 per minute", RATELIMIT_DEFAULT=""))
    assert logins.statuses(3) == [401, 401, 429]
    assert logins.post("right").status_code == 200


# -- devices ---------------------------------------------------------------------------------------


def lock(logins: Logins, email: str = "ann@red.example") -> None:
    """Use the budget of an account up, from elsewhere."""
    next_address = addresses()
    while logins.post(email=email, address=next_address()).status_code == 401:
        pass


def cookie_of(response: TestResponse) -> str:
    return response.headers.getlist("Set-Cookie")[-1]


def test_a_success_sets_a_device_cookie_that_only_this_host_can_read() -> None:
    logins = Logins()
    assert "Set-Cookie" not in logins.post().headers
    name, *attributes = cookie_of(logins.post("right")).split("; ")
    assert name.startswith("__Host-fta-device=d1.")
    assert set(attributes) >= {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}
    assert "Max-Age=7776000" in attributes
    assert not any(each.startswith("Domain") for each in attributes)
    assert "ann" not in name


def test_nobody_locks_the_device_of_a_user_out() -> None:
    logins = Logins()
    known, stranger = logins.client(), logins.client()
    assert logins.post("right", client=known).status_code == 200
    lock(logins)
    assert logins.post("right", client=stranger).status_code == 429
    # Not from elsewhere, and not from the same address.
    assert logins.statuses(3, address="203.0.113.5", email="x") == [401] * 3
    assert logins.post("right", client=known, address="203.0.113.5").status_code == 200


def test_a_device_has_a_budget_of_its_own() -> None:
    logins = Logins()
    known = logins.client()
    assert logins.post("right", client=known).status_code == 200
    assert logins.statuses(4, client=known) == [401, 401, 401, 429]
    assert logins.post("right", client=known).status_code == 429
    # It took nothing from the account.
    assert logins.statuses(3, address="192.0.2.7") == [401, 401, 401]


def test_a_device_cookie_is_of_one_account() -> None:
    logins = Logins()
    bob = logins.client()
    assert logins.post("right", client=bob, email="bob@red.example").status_code == 200
    lock(logins)
    assert logins.post("right", client=bob).status_code == 429
    assert logins.post("right", client=bob, email="Bob@red.example").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value[:-1] + ("A" if value[-1] != "A" else "E"),
        lambda value: value.replace("d1.", "d2."),
        lambda value: value + ".",
        lambda value: value.replace(".", "", 1),
        lambda value: "d1." + "A" * 76 + "." + "A" * 43,
        lambda value: value + "=",
        lambda value: "é" + value,
        lambda value: "d1." * 1000,
        lambda value: "",
    ],
)
def test_a_cookie_that_was_changed_is_of_no_use(change: Callable[[str], str]) -> None:
    devices = Devices((b"k" * 32,), 90 * 86_400_000)
    device = Device(id=b"i" * 16, made_at=1_790_000_000_000, tenant_id=TENANT, user_id=USER)
    value = devices.make("account", device)
    at = device.made_at + 1
    assert devices.read("account", value, at) == device
    assert devices.read("another", value, at) is None
    assert devices.read("account", change(value), at) is None


def test_every_octet_of_a_device_cookie_is_signed() -> None:
    devices = Devices((b"k" * 32,), 1000)
    value = devices.make("account", Device(id=b"i" * 16, made_at=5000))
    for at in range(len(value)):
        for instead in "Ab0_.":
            changed = value[:at] + instead + value[at + 1 :]
            assert changed == value or devices.read("account", changed, 5000) is None


def test_a_device_cookie_ends_with_its_time_and_its_keys() -> None:
    old = Devices((b"o" * 32,), 1000)
    device = Device(id=b"i" * 16, made_at=100_000)
    value = old.make("account", device)
    assert old.read("account", value, 100_999) == device
    assert old.read("account", value, 101_000) is None
    assert old.read("account", value, 100_000 - 60_001) is None
    assert Devices((b"n" * 32, b"o" * 32), 1000).read("account", value, 100_000) == device
    assert Devices((b"n" * 32,), 1000).read("account", value, 100_000) is None


def test_another_secret_ends_all_device_cookies() -> None:
    logins = Logins()
    value = cookie_of(logins.post("right")).partition("=")[2].partition(";")[0]
    other = Logins(app=make_app(JWT_SECRET_KEY=SECRET[::-1], **UNLIMITED))
    lock(other)
    for app, status in ((other, 429), (logins, 200)):
        client = app.client()
        client.set_cookie("__Host-fta-device", value, domain="localhost")
        lock(app)
        assert app.post("right", client=client).status_code == status


@dataclass
class Store:
    """As much of a store of sessions as a log in needs."""

    revoked: int = 0
    away: bool = False
    sessions: dict[str, Session] = field(default_factory=dict)

    def now(self) -> int:
        return int(time.time() * 1000)

    def create(self, session: Session, _most: int | None) -> list[Session]:
        self.sessions[session.id] = session
        return []

    def read(self, session_id: str) -> Read:
        return Read(self.now(), self.sessions.get(session_id), 0)

    def advance(self, _before: Session, after: Session) -> int:
        self.sessions[after.id] = after
        return self.now()

    def revoked_at(self, tenant_id: str, user_id: str) -> int:
        assert (tenant_id, user_id) == (TENANT, USER)
        if self.away:
            raise StoreUnavailable("it is away")
        return self.revoked


def logins_with_sessions() -> tuple[Logins, Store]:
    logins, store = Logins(), Store()
    state_of(logins.app).session_store = store  # type: ignore[assignment]

    def check() -> Any:
        logins.check()
        return create_session(TENANT, USER)._asdict()

    logins.answer = check
    return logins, store


def test_a_revocation_of_the_user_ends_the_device_cookie() -> None:
    logins, store = logins_with_sessions()
    known = logins.client()
    assert logins.post("right", client=known).status_code == 200
    lock(logins)
    assert logins.post("right", client=known).status_code == 200
    lock(logins)
    store.revoked = store.now()
    assert logins.post("right", client=known).status_code == 429
    store.revoked = 0
    store.away = True  # nobody can say whether it was revoked
    assert logins.post("right", client=known).status_code == 429
    store.away = False
    assert logins.post("right", client=known).status_code == 200


def test_with_sessions_a_success_is_a_session_that_has_begun() -> None:
    logins, _ = logins_with_sessions()
    begins = logins.answer
    assert logins.statuses(2) == [401, 401]
    logins.answer = lambda: {"next": "a second factor"}
    response = logins.post("right")
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    logins.answer = lambda: (begins(), redirect("/app"))[1]
    response = logins.post("right", address="192.0.2.5")
    assert response.status_code == 302
    assert cookie_of(response).startswith("__Host-fta-device=")
    logins.answer = begins
    assert logins.statuses(4, address="192.0.2.6") == [401, 401, 401, 429]


def test_a_cookie_from_before_there_were_sessions_is_of_no_use() -> None:
    logins = Logins()
    known = logins.client()
    assert logins.post("right", client=known).status_code == 200
    state_of(logins.app).session_store = Store()  # type: ignore[assignment]
    lock(logins)
    assert logins.post("right", client=known).status_code == 429
    assert known.get_cookie(device_cookie_name(state_of(logins.app))) is not None


# -- refreshes -------------------------------------------------------------------------------------


def test_a_session_is_refreshed_30_times_a_minute_at_most() -> None:
    logins, _ = logins_with_sessions()
    with logins.app.test_request_context():
        first, second = create_session(TENANT, USER), create_session(TENANT, USER)
        token = first.refresh_token
        for _ in range(30):
            token = refresh_session(token).refresh_token
        with pytest.raises(RateLimitExceeded) as error:
            refresh_session(token)
        assert error.value.code == 429
        [(_, seconds)] = error.value.headers
        assert 0 < int(seconds) <= 60
        refresh_session(second.refresh_token)
        try:
            shift_clock(61.0, 61.0)
            refresh_session(token)
        finally:
            reset_clock()


def test_refreshes_are_not_counted_where_limits_are_off() -> None:
    app = make_app(RATELIMIT_ENABLED=False)
    with app.app_context():
        for _ in range(40):
            count_refresh("a session")


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"limit": 5}, TypeError, "limit"),
        ({"limit": "5 per m"}, ValueError, "rate"),
        ({"limit": "; ".join(["5 per day"] * 9)}, ValueError, "at most 16"),
        ({"address_limit": 5}, TypeError, "address_limit"),
        ({"key": ""}, ValueError, "key"),
        ({"key": None}, TypeError, "key"),
        ({"key": 5}, TypeError, "key"),
        ({"key": lambda: "x"}, TypeError, "key"),
        ({"methods": "POST"}, TypeError, "methods"),
        ({"methods": []}, ValueError, "methods"),
        ({"scope": " "}, ValueError, "scope"),
        ({"scope": 5}, TypeError, "scope"),
    ],
)
def test_arguments_that_cannot_be_meant_raise(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        login_limit(**({"limit": LIMIT, "key": "email"} | arguments))


def test_an_async_key_and_what_is_no_function_raise() -> None:
    async def key(_request: object) -> str:
        return "x"

    with pytest.raises(TypeError, match="not async"):
        login_limit(LIMIT, key=key)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="login_limit"):
        login_limit(LIMIT, key="email")(None)  # type: ignore[type-var]
