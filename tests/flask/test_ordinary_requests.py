"""Ordinary requests: the core opens, authenticates and counts them without a line of Python."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import flask
import pytest
from flask import Flask, Request
from werkzeug.test import EnvironBuilder

import apps
from apps import bare_app, bearer, production_app
from flask_tenant_auth import (
    Identity,
    TenantAuth,
    acting_as,
    current_identity,
    rate_limit,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth._core import Decision, Middleware, RequestRecord, ServedRequest
from flask_tenant_auth.flask import extension
from flask_tenant_auth.flask.records import RECORD, current_request, served
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.signals import request_authenticated
from middleware import middleware_arguments

PATH, KEY = "/me", "start"


def app_with_views(**config: Any) -> Flask:
    app = production_app(
        TESTING=False,
        # No busy machine crosses the end of a day's window.
        RATELIMIT_DEFAULT="5000 per day",
        AUTH_FAILURE_LIMIT="1000 per day",
        **config,
    )
    apps.add_denying_views(app)
    app.get("/role", endpoint="role")(
        verify_tenant_context(verify_role("user", "admin")(lambda: "role"))
    )
    app.get("/open", endpoint="open")(lambda: "open")
    app.post("/posted", endpoint="posted")(
        rate_limit("3 per day")(verify_tenant_context(lambda: "posted"))
    )
    return app


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that the core has left to Python."""
    left: list[str] = []
    whole = extension._count_any

    def count_any(*args: Any) -> Callable[[Request], Any]:
        count = whole(*args)

        def noted(request: Request) -> Any:
            left.append(request.path)
            return count(request)

        return noted

    monkeypatch.setattr(extension, "_count_any", count_any)
    return left


def answer_of(app: Flask, method: str, path: str, headers: dict[str, str]) -> tuple[Any, ...]:
    answer = app.test_client().open(path, method=method, headers=headers)
    in_seconds = ("X-RateLimit-Reset", "Retry-After")  # two apps are asked one after the other
    fields = sorted((name, "" if name in in_seconds else value) for name, value in answer.headers)
    return answer.status, fields, answer.get_data()


def requests() -> Iterator[tuple[str, str, dict[str, str]]]:
    good, forged = bearer(), bearer()
    forged["Authorization"] = forged["Authorization"][:-6] + "AAAAAA"
    expired = bearer(exp=1)
    for headers in (good, {}, forged, expired, bearer(role="admin"), {"Authorization": "Bearer"}):
        for path in (PATH, "/role", "/open", "/admin", "/limited", "/denies", "/none"):
            yield from ((method, path, headers) for method in ("GET", "HEAD", "OPTIONS", "PUT"))
        yield from (("POST", "/posted", headers) for _ in range(5))


def test_every_request_gets_the_answer_that_python_gives() -> None:
    """The control counts each request in Python: it forgets which routes are ordinary."""
    ours, control = app_with_views(), app_with_views()
    ordinary = state_of(ours).plans.ordinary
    by_core = 0
    for method, path, headers in requests():
        state_of(control).plans.ordinary.clear()
        by_core += method in ordinary.get(path.strip("/"), {})
        assert answer_of(ours, method, path, headers) == answer_of(control, method, path, headers)
    assert by_core > 20


def test_the_second_request_of_a_route_is_ordinary(taken: list[str]) -> None:
    client = app_with_views().test_client()
    for _ in range(5):
        assert client.get(PATH, headers=bearer()).data == b"in"
    assert taken == [PATH]
    client.get(PATH)  # without a token
    client.get(PATH, headers=bearer(exp=1))
    client.get("/none", headers=bearer())
    client.options(PATH, headers=bearer())
    assert taken[1:] == [PATH, PATH, "/none", PATH]


def test_an_ordinary_request_beyond_its_limit_is_denied(taken: list[str]) -> None:
    client = app_with_views().test_client()
    answers = [client.post("/posted", headers=bearer()) for _ in range(5)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
    assert [each.headers["X-RateLimit-Remaining"] for each in answers] == ["2", "1", "0", "0", "0"]
    assert answers[-1].get_json()["error"]
    assert answers[-1].headers["Retry-After"]
    assert taken == ["/posted"]


def test_an_invalid_token_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_with_views()
    client = app.test_client()
    client.get(PATH, headers=bearer())
    again: list[object] = []
    monkeypatch.setattr(extension, "authenticate_and_count", lambda *_args: again.append(1))
    answer = client.get(PATH, headers=bearer(exp=1))
    assert (answer.status_code, again) == (401, [])


@pytest.mark.parametrize(
    "config",
    [
        {"RATELIMIT_EXEMPT_NETWORKS": "192.0.2.0/24"},
        {"RATELIMIT_DENIED": "100 per day"},
        {"AUTH_SESSION_STORE": "sqlite:///{}/sessions.db"},
        {
            "AUTH_SESSION_STORE": "sqlite:///{}/sessions.db",
            "AUTH_SESSION_ROUTES": "/auth",
            "AUTH_TOKEN_LOCATIONS": "headers, cookies",
        },
    ],
)
def test_settings_that_ask_python_leave_no_route_ordinary(
    config: dict[str, str], taken: list[str], tmp_path: Path
) -> None:
    app = app_with_views(**{name: value.format(tmp_path) for name, value in config.items()})
    for _ in range(3):
        assert app.test_client().get(PATH, headers=bearer()).data == b"in"
    assert state_of(app).plans.ordinary == {}
    assert taken == [PATH] * 3


def test_an_app_that_is_testing_looks_at_each_request(taken: list[str]) -> None:
    app = apps.make_app(RATELIMIT_DEFAULT="5000 per day")
    app.get(PATH, endpoint="me")(verify_tenant_context(lambda: "in"))
    for _ in range(3):
        assert app.test_client().get(PATH, headers=bearer()).data == b"in"
    assert taken == [PATH] * 3


def test_a_filter_that_is_added_late_is_asked(taken: list[str]) -> None:
    app = bare_app(TESTING=False, FLASK_ENV="production", RATELIMIT_DEFAULT="5000 per day")
    auth = TenantAuth(app)
    app.get(PATH, endpoint="me")(verify_tenant_context(lambda: "in"))
    client = app.test_client()
    for _ in range(2):
        assert "X-RateLimit-Limit" in client.get(PATH, headers=bearer()).headers
    auth.request_filter(lambda: True)
    for _ in range(2):
        assert "X-RateLimit-Limit" not in client.get(PATH, headers=bearer()).headers
    assert taken == [PATH] * 3


def test_what_happens_to_a_store_is_logged_after_an_ordinary_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = app_with_views()
    client, state = app.test_client(), state_of(app)
    client.get(PATH, headers=bearer())
    logged: list[int] = []
    monkeypatch.setattr(type(state), "log_store_events", lambda _: logged.append(1))
    client.get(PATH, headers=bearer())
    assert logged == []
    for other in (state.store_events + 1, -1, 2**70, "text"):
        state.store_events = other  # type: ignore[assignment]
        assert client.get(PATH, headers=bearer()).data == b"in"
    assert len(logged) == 4


def test_the_properties_of_a_request_class_count() -> None:
    class Own(Request):
        @property
        def remote_addr(self) -> str:  # type: ignore[override]
            return self.environ["HTTP_X_FROM"]

        @remote_addr.setter
        def remote_addr(self, _address: str) -> None:
            pass

        @property
        def tenant_id(self) -> str:
            return "own"

    app = app_with_views(RATELIMIT_HEADERS_ENABLED=True)
    app.request_class = Own
    app.get("/address", endpoint="address")(rate_limit("2 per day", per="address")(lambda: "in"))
    app.get("/own", endpoint="own")(verify_tenant_context(lambda: flask.request.tenant_id))
    client = app.test_client()
    for address, statuses in (("192.0.2.1", [200, 200, 429]), ("192.0.2.2", [200, 200, 429])):
        headers = bearer() | {"X-From": address}
        assert [client.get("/address", headers=headers).status_code for _ in statuses] == statuses
    for _ in range(2):
        assert client.get("/own", headers=bearer() | {"X-From": "192.0.2.3"}).data == b"own"
    # What such a property raises is the answer, as where Python reads it.
    app.config["PROPAGATE_EXCEPTIONS"] = False
    for _ in range(2):
        assert client.get("/address", headers=bearer()).status_code == 500


def test_a_request_inside_an_ordinary_one_is_judged_by_itself() -> None:
    app = app_with_views()
    seen: list[Any] = []

    @app.get("/outer")
    @verify_tenant_context
    def outer() -> str:
        environ = flask.request.environ.copy()
        environ.pop("HTTP_AUTHORIZATION")
        with app.request_context(environ):
            seen.append((served.bind(), flask.request.__dict__.get(RECORD)))
        inner = app.test_client().get(PATH, headers=bearer(user_id=apps.OTHER_USER))
        seen.append(inner.status_code)
        return current_identity.user_id

    for _ in range(3):
        assert app.test_client().get("/outer", headers=bearer()).data.decode() == apps.USER
    assert seen == [(None, None), 200] * 3


class TestBind:
    def test_outside_of_a_request_nothing_is_bound(self) -> None:
        assert served.bind() is None
        with app_with_views().app_context():
            assert served.bind() is None

    def test_only_a_dispatched_request_with_a_proved_identity_is_bound(self) -> None:
        app = app_with_views()
        identity = Identity(apps.TENANT, apps.USER)
        with app.test_request_context():
            attributes = flask.request.__dict__
            assert served.bind() is None
            record = attributes[RECORD] = RequestRecord(state_of(app))
            record.outcome = identity
            assert served.bind() is None
            record.dispatched = True
            with acting_as(identity):
                assert served.bind() is None
            assert served.bind() is identity is record.identity
            assert (flask.request.tenant_id, flask.request.user_id) == (apps.TENANT, apps.USER)
            assert flask.request.user_role == "user"
            assert served.bind() is None  # it is bound
            record.identity, record.outcome = None, object()
            assert served.bind() is None
            attributes[RECORD] = "text"
            assert served.bind() is None

    def test_receivers_and_the_log_are_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        app = app_with_views()
        app.before_request(verify_tenant_context(lambda: None))
        told: list[Identity] = []

        def receive(_app: Flask, identity: Identity) -> None:
            told.append(identity)

        with request_authenticated.connected_to(receive), caplog.at_level("INFO"):
            for _ in range(3):
                app.test_client().get("/role", headers=bearer())
        assert len(told) == 3
        assert [each.message[:8] for each in caplog.records].count("Request:") == 3


class TestArguments:
    def test_wrong_arguments_are_refused(self) -> None:
        variable: ContextVar[Any] = ContextVar("variable")
        right: dict[str, Any] = {"context": variable, "lent": variable, "attribute": "record"}
        ServedRequest(**right)
        for name in right:
            for wrong in (None, 7, b"record", object()):
                with pytest.raises(TypeError):
                    ServedRequest(**(right | {name: wrong}))
            with pytest.raises(TypeError):
                ServedRequest(**{key: value for key, value in right.items() if key != name})
        with pytest.raises(TypeError):
            served.bind(1)  # type: ignore[call-arg]
        state = state_of(app_with_views())
        for arguments in ((), (state,), (state, "key"), (state, b"", {}), (state, "key", [])):
            with pytest.raises(TypeError, match="count takes"):
                served.count(*arguments)
        assert served.count(state, "key", {}) is None  # there is no request

    @pytest.mark.parametrize(
        "plan", [None, (), ((),), ((), []), ([], ()), ((), (), ()), "text", ((), (7,))]
    )
    def test_routes_that_hold_something_else_are_refused(self, plan: Any) -> None:
        app = app_with_views(PROPAGATE_EXCEPTIONS=True)
        client = app.test_client()
        client.get(PATH, headers=bearer())
        state_of(app).plans.ordinary["me"]["GET"] = plan
        with pytest.raises(TypeError):
            client.get(PATH, headers=bearer())

    def test_whatever_the_state_has_under_these_names_does_no_harm(self) -> None:
        app = app_with_views()
        state = state_of(app)
        app.test_client().get(PATH, headers=bearer())
        names = ("live", "source", "keyring", "limiter")

        class State:
            """An object with some attributes of an AppState."""

        def counted(**changed: object) -> Decision | bool | None:
            fake = State()
            fake.__dict__.update({each: getattr(state, each) for each in names} | changed)
            return counted_in_a_request(app, fake)

        assert isinstance(counted(), Decision)  # what happened to the stores is not known
        assert isinstance(counted(store_events="text"), Decision)
        assert counted(store_events=state.limiter.store_events) is True
        for name in names:
            for other in (7, "text", None if name not in ("live", "source") else object()):
                assert counted(**{name: other}) is None
        with pytest.raises(AttributeError):
            counted_in_a_request(app, 7)


def counted_in_a_request(app: Flask, state: object) -> Decision | bool | None:
    """What the core says of an ordinary request whose app has this state."""
    found: list[Decision | bool | None] = []

    def inner(environ: dict[str, Any], start: Any) -> list[bytes]:
        with app.request_context(environ):
            found.append(served.count(state, KEY, state_of(app).plans.ordinary))
        start("200 OK", [])
        return []

    environ = EnvironBuilder(PATH, headers=bearer()).get_environ()  # without REMOTE_ADDR
    arguments = middleware_arguments(inner, state_of(app)) | {"state": state, "key": KEY}
    Middleware(**arguments)(environ, lambda *_: None)
    return found[0]


def test_requests_and_their_records_are_freed() -> None:
    app = app_with_views()
    client = app.test_client()
    kept: list[Any] = []

    @app.after_request
    def keep(answer: flask.Response) -> flask.Response:
        kept.append(weakref.ref(current_request()))
        return answer

    for _ in range(3):
        client.get("/role", headers=bearer())
    gc.collect()
    assert [each() for each in kept] == [None] * 3
