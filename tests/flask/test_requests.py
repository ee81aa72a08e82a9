"""One request, one record: what is known of a request belongs to its Request object alone."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, redirect, request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import HTTPException
from werkzeug.routing import UnicodeConverter
from werkzeug.serving import make_server

from apps import (
    OTHER_TENANT,
    OTHER_USER,
    TENANT,
    USER,
    bare_app,
    bearer,
    identity_headers,
    make_app,
    production_app,
    token,
)
from flask_tenant_auth import (
    AuthError,
    TenantAuth,
    acting_as,
    extract_tenant_context,
    get_tenant_context,
    rate_limit,
    verify_resource_access,
    verify_tenant_context,
)
from flask_tenant_auth._core import shift_clock
from flask_tenant_auth.signals import request_authenticated, request_denied

OTHER = f"Bearer {token(OTHER_TENANT, OTHER_USER)}"


@verify_tenant_context
def who() -> list[str]:
    return list(get_tenant_context())


def pushed(app: Flask, environ: dict[str, Any]) -> Any:
    with app.request_context(environ):
        return who()


class TestASecondRequestContext:
    """Inside a verified view, a context that is pushed by hand proves its own identity."""

    @pytest.fixture(params=["with TenantAuth", "without"])
    def app(self, request: pytest.FixtureRequest) -> Flask:
        return make_app() if request.param == "with TenantAuth" else bare_app()

    @pytest.mark.parametrize(
        ("authorization", "expected"),
        [
            (OTHER, [OTHER_TENANT, OTHER_USER]),
            ("Bearer a.b.c", 401),
            (None, 401),
            ("", [TENANT, USER]),
        ],
    )
    def test_a_request_on_a_copy_of_environ_is_authenticated_anew(
        self, app: Flask, authorization: str | None, expected: Any
    ) -> None:
        @app.get("/")
        @verify_tenant_context
        def view() -> dict[str, Any]:
            environ = dict(request.environ)
            if authorization is None:
                del environ["HTTP_AUTHORIZATION"]
            elif authorization:
                environ["HTTP_AUTHORIZATION"] = authorization
            inner = pushed(app, environ)
            return {"inner": inner if isinstance(inner, list) else inner[1], "outer": who()}

        answer = app.test_client().get("/", headers=bearer()).get_json()
        assert answer == {"inner": expected, "outer": [TENANT, USER]}

    def test_a_request_on_the_same_environ_is_authenticated_anew(self, app: Flask) -> None:
        @app.get("/")
        @verify_tenant_context
        def view() -> dict[str, Any]:
            environ = request.environ
            mine = environ["HTTP_AUTHORIZATION"]
            environ["HTTP_AUTHORIZATION"] = OTHER
            inner = pushed(app, environ)
            environ["HTTP_AUTHORIZATION"] = mine
            return {"inner": inner, "outer": who()}

        answer = app.test_client().get("/", headers=bearer()).get_json()
        assert answer == {"inner": [OTHER_TENANT, OTHER_USER], "outer": [TENANT, USER]}

    def test_a_second_request_is_counted_by_itself(self, app: Flask) -> None:
        limited = rate_limit("2 per minute", per="tenant")(lambda: "in")

        @app.get("/")
        @verify_tenant_context
        def view() -> dict[str, Any]:
            answers = []
            for _ in range(3):
                with app.request_context(dict(request.environ)):
                    answers.append(limited())
            return {"inner": [each if each == "in" else each[1] for each in answers]}

        answer = app.test_client().get("/", headers=bearer())
        assert answer.get_json() == {"inner": ["in", "in", 429]}
        assert answer.status_code == 200

    def test_extracting_an_inner_identity_does_not_bind_the_outer_request(self, app: Flask) -> None:
        @app.get("/")
        def view() -> dict[str, Any]:
            with app.request_context(request.environ | {"HTTP_AUTHORIZATION": OTHER}):
                inner = extract_tenant_context()[0]
            return {"inner": inner, "outer": extract_tenant_context()[0]}

        assert app.test_client().get("/").get_json() == {"inner": OTHER_TENANT, "outer": None}

    def test_the_outer_response_keeps_its_headers_and_its_audit_line(self, tmp_path: Path) -> None:
        log = tmp_path / "audit"
        app = make_app(AUDIT_LOG=str(log), RATELIMIT_DEFAULT="9 per minute")

        @app.get("/")
        @verify_tenant_context
        def view() -> str:
            pushed(app, request.environ | {"HTTP_AUTHORIZATION": OTHER})
            environ = request.environ | {"HTTP_AUTHORIZATION": OTHER, "PATH_INFO": "/other"}
            with app.request_context(environ):
                assert app.full_dispatch_request().get_json() == [OTHER_TENANT, OTHER_USER]
            return "in"

        app.get("/other", endpoint="other")(who)
        answer = app.test_client().get("/", headers=bearer())
        assert answer.headers.getlist("X-RateLimit-Remaining") == ["8"]
        (line,) = map(json.loads, log.read_text().splitlines())
        assert (line["tenant_id"], line["status"]) == (TENANT, 200)

    def test_the_app_called_on_the_environ_of_a_request_authenticates_anew(
        self, tmp_path: Path
    ) -> None:
        log = tmp_path / "audit"
        app = make_app(AUDIT_LOG=str(log))

        @app.get("/outer")
        @verify_tenant_context
        def outer() -> Response:
            environ = request.environ
            environ["PATH_INFO"], environ["HTTP_AUTHORIZATION"] = "/inner", OTHER
            return Response.from_app(app, environ)

        app.get("/inner")(who)
        assert app.test_client().get("/outer", headers=bearer()).get_json() == [
            OTHER_TENANT,
            OTHER_USER,
        ]
        tenants = [json.loads(line)["tenant_id"] for line in log.read_text().splitlines()]
        assert tenants == [OTHER_TENANT, TENANT]


# --- Before Flask dispatches ---------------------------------------------------------


class Asking(SecureCookieSessionInterface):
    """Sessions that ask who is there, before Flask dispatches the request."""

    def open_session(self, app: Flask, request: Any) -> Any:
        extract_tenant_context()
        return super().open_session(app, request)


class AskingConverter(UnicodeConverter):
    def to_python(self, value: str) -> str:
        extract_tenant_context()
        return value


class TestARecordThatIsMadeBeforeFlaskDispatches:
    """It is the record of the answer as well: one request, one record."""

    @pytest.fixture(params=["session", "converter", "nothing"])
    def app(self, request: pytest.FixtureRequest, tmp_path: Path) -> Flask:
        """`nothing` is the control: no record before dispatch."""
        app = make_app(AUDIT_LOG=str(tmp_path / "audit"), AUTH_FAILURE_LIMIT="3 per minute")
        if request.param == "session":
            app.session_interface = Asking()
        if request.param == "converter":
            app.url_map.converters["default"] = AskingConverter
        app.get("/<name>")(verify_tenant_context(lambda name: "in"))
        return app

    def test_the_response_has_its_headers_and_its_audit_line(
        self, app: Flask, tmp_path: Path
    ) -> None:
        answer = app.test_client().get("/x", headers=bearer())
        assert (answer.status_code, answer.headers["X-RateLimit-Remaining"]) == (200, "49")
        (line,) = map(json.loads, (tmp_path / "audit").read_text().splitlines())
        assert (line["user_id"], line["tenant_id"]) == (USER, TENANT)

    def test_a_401_counts_once_and_gives_its_reason_to_audit(
        self, app: Flask, tmp_path: Path
    ) -> None:
        client = app.test_client()
        statuses = [client.get("/x").status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
        found = [reason for _, reason, _ in reasons(tmp_path / "audit")]
        assert found == ["no_credentials"] * 3 + ["rate_limit_exceeded"]

    @pytest.mark.parametrize("interface", [Asking, SecureCookieSessionInterface])
    def test_a_hook_that_denies_before_tenantauth_is_counted_once(
        self, tmp_path: Path, interface: Any
    ) -> None:
        log = tmp_path / "audit"
        app = bare_app(AUDIT_LOG=str(log), AUTH_FAILURE_LIMIT="3 per minute")
        app.session_interface = interface()
        app.before_request(verify_tenant_context(lambda: None))
        TenantAuth(app)
        app.get("/")(lambda: "in")
        client = app.test_client()
        assert [client.get("/").status_code for _ in range(4)] == [401, 401, 401, 429]
        assert client.get("/", headers=bearer()).status_code == 200
        assert reasons(log)[0] == (401, "no_credentials", None)
        assert reasons(log)[-1] == (200, None, TENANT)

    def test_without_tenantauth_a_denial_is_raised(self) -> None:
        app = bare_app(AUTH_FAILURE_LIMIT="3 per minute")
        app.session_interface = Asking()
        app.get("/")(lambda: {"got": who()})
        client = app.test_client()
        assert [client.get("/").status_code for _ in range(4)] == [401, 401, 401, 429]
        assert client.get("/", headers=bearer()).get_json() == {"got": [TENANT, USER]}


# --- Events of a WebSocket ------------------------------------------------------


class Events:
    """A Flask-SocketIO server on a free port."""

    def __init__(self, order: str, **config: Any) -> None:
        from flask_socketio import SocketIO

        self.app = bare_app(**config)
        if order != "SocketIO first":
            TenantAuth(self.app)
        # A client that polls cannot disconnect before the next ping.
        socketio = SocketIO(self.app, async_mode="threading", ping_interval=1)
        if order == "SocketIO first":
            TenantAuth(self.app)
        socketio.on("who")(verify_tenant_context(lambda *_: list(get_tenant_context())))
        socketio.on("limited")(rate_limit("3 per minute")(lambda *_: "in"))
        socketio.on("connect", namespace="/closed")(verify_tenant_context(lambda *_: None))
        self.app.get("/http")(who)

    @contextmanager
    def served(self) -> Iterator[str]:
        server = make_server("127.0.0.1", 0, self.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @contextmanager
    def connected(self, url: str, transport: str, **claims: Any) -> Iterator[Any]:
        import socketio

        client = socketio.Client(reconnection=False)
        client.connect(url, headers=bearer(**claims), transports=[transport])
        try:
            yield client
        finally:
            client.disconnect()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("order", ["SocketIO first", "TenantAuth first"])
class TestEventsOfAWebSocket:
    def test_each_event_is_counted_as_one_request(self, order: str, transport: str) -> None:
        events = Events(order)
        with events.served() as url, events.connected(url, transport) as client:
            answers = [client.call("limited", timeout=120) for _ in range(5)]
        assert answers[:3] == ["in"] * 3
        assert [status for _, status in answers[3:]] == [429, 429]

    def test_each_event_is_authenticated_so_none_outlives_the_token(
        self, order: str, transport: str
    ) -> None:
        events = Events(order)
        expires = int(time.time()) + 60
        with events.served() as url, events.connected(url, transport, exp=expires) as client:
            assert client.call("who", timeout=120) == [TENANT, USER]
            shift_clock(61.0, 61.0)
            body, status = client.call("who", timeout=120)
        assert (status, body["message"]) == (401, "Token expired")

    def test_an_invalid_token_cannot_connect_and_a_valid_one_can(
        self, order: str, transport: str
    ) -> None:
        import socketio

        events = Events(order)
        with events.served() as url:
            for claims, refused in (({"exp": 1}, True), ({}, False)):
                client = socketio.Client(reconnection=False)
                options = {"headers": bearer(**claims), "transports": [transport]}
                if refused:
                    with pytest.raises(socketio.exceptions.ConnectionError):
                        client.connect(url, namespaces=["/closed"], **options)
                else:
                    client.connect(url, namespaces=["/closed"], **options)
                client.disconnect()

    def test_http_requests_beside_a_websocket_are_unchanged(
        self, order: str, transport: str
    ) -> None:
        client = Events(order).app.test_client()
        answer = client.get("/http", headers=bearer())
        assert answer.get_json() == [TENANT, USER]
        assert answer.headers["X-RateLimit-Remaining"] == "49"
        assert client.get("/http").status_code == 401


# --- Reasons ---------------------------------------------------------------------


def reasons(log: Path) -> list[tuple[int, str | None, str | None]]:
    lines = map(json.loads, log.read_text().splitlines())
    return [(line["status"], line["reason"], line["tenant_id"]) for line in lines]


def owned_by(tenant_id: str, user_id: str) -> Any:
    return verify_tenant_context(lambda: str(verify_resource_access(tenant_id, user_id)))


class TestReasons:
    def test_a_receiver_that_denies_gives_its_reason_to_audit(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = tmp_path / "audit"
        app = make_app(AUDIT_LOG=str(log))
        called = []
        app.get("/")(verify_tenant_context(lambda: called.append(1) or "in"))

        def suspended(sender: Flask, identity: Any) -> None:
            assert get_tenant_context()[0] == identity.tenant_id
            if identity.tenant_id == TENANT:
                raise AuthError("Suspended", 403, reason="tenant_suspended")
            if request.args.get("abort"):
                abort(404)

        client = app.test_client()
        with request_authenticated.connected_to(suspended, app):
            assert client.get("/", headers=bearer()).get_json()["message"] == "Suspended"
            other = {"Authorization": OTHER}
            assert client.get("/?abort=1", headers=other).status_code == 404
            assert called == []
            assert client.get("/", headers=other).text == "in"
        assert reasons(log) == [
            (403, "tenant_suspended", TENANT),
            (404, "denied_by_receiver", OTHER_TENANT),
            (200, None, OTHER_TENANT),
        ]
        assert "reason=tenant_suspended" in caplog.text

    def test_a_receiver_that_redirects_is_logged_with_its_status(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = tmp_path / "audit"
        app = make_app(AUDIT_LOG=str(log))
        app.get("/")(who)

        def to_terms(sender: Flask, identity: Any) -> None:
            abort(redirect("/terms"))

        def forbid(sender: Flask, identity: Any) -> None:
            abort(403)

        client = app.test_client()
        told: list[Any] = []

        def remember(sender: Flask, **what: Any) -> None:
            told.append((what["status"], what["reason"]))

        with request_denied.connected_to(remember, app):
            for receiver in (to_terms, forbid):
                with request_authenticated.connected_to(receiver, app):
                    client.get("/", headers=bearer())
        assert told == [(302, "denied_by_receiver"), (403, "denied_by_receiver")]
        assert re.findall(r"status=(\d+)", caplog.text) == ["302", "403"]
        assert reasons(log) == [(302, None, TENANT), (403, "denied_by_receiver", TENANT)]

    def test_a_request_that_a_receiver_redirected_stays_denied(self) -> None:
        app = make_app()

        @app.get("/")
        def view() -> list[Any]:
            outcomes: list[Any] = []
            for _ in range(2):
                try:
                    outcomes.append(who())
                except HTTPException as error:  # noqa: PERF203
                    outcomes.append(error.get_response().status_code)
            return outcomes

        def to_terms(sender: Flask, identity: Any) -> None:
            abort(redirect("/terms"))

        with request_authenticated.connected_to(to_terms, app):
            assert app.test_client().get("/", headers=bearer()).get_json() == [302, 403]
        assert app.test_client().get("/", headers=bearer()).get_json() == [[TENANT, USER]] * 2

    def test_the_denial_of_a_receiver_stands_for_the_whole_request(self) -> None:
        app = make_app()
        asked = []

        @app.get("/")
        def view() -> list[Any]:
            outcomes: list[Any] = []
            for _ in range(2):
                try:
                    outcomes.append(who())
                except AuthError as error:  # noqa: PERF203
                    outcomes.append([error.code, error.reason])
            return [*outcomes, extract_tenant_context()[0]]

        def deny(sender: Flask, identity: Any) -> None:
            asked.append(identity)
            raise AuthError("No", 403, reason="mine")

        with request_authenticated.connected_to(deny, app):
            answer = app.test_client().get("/", headers=bearer())
        assert answer.get_json() == [[403, "mine"], [403, "mine"], None]
        assert len(asked) == 1

    @pytest.mark.parametrize("where", ["gate", "view", "hook", "callable limit"])
    def test_an_error_with_a_reason_gives_it_to_audit(self, tmp_path: Path, where: str) -> None:
        log = tmp_path / "audit"
        app = make_app(AUDIT_LOG=str(log))

        def deny(*_: Any) -> Any:
            raise AuthError("Only on Sundays", 403, reason="weekday")

        if where == "gate":
            app.before_request(verify_tenant_context(deny))
        if where == "hook":
            app.before_request(deny)
        view = deny if where == "view" else lambda: "in"
        if where == "callable limit":
            view = rate_limit("5 per minute", exempt_when=deny)(view)
        app.get("/")(verify_tenant_context(view))
        assert app.test_client().get("/", headers=bearer()).status_code == 403
        ((status, reason, _),) = reasons(log)
        assert (status, reason) == (403, "weekday")

    def test_a_missing_decorator_is_logged(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = tmp_path / "audit"
        app = make_app(AUDIT_LOG=str(log))
        app.get("/")(lambda: list(get_tenant_context()))
        app.get("/right", endpoint="right")(who)
        client = app.test_client()
        assert client.get("/right", headers=bearer()).status_code == 200
        assert "decorator" not in caplog.text
        assert client.get("/", headers=bearer()).status_code == 401
        assert "reason=decorator_missing" in caplog.text
        assert "get_tenant_context() in a request that no @verify_tenant_context" in caplog.text
        assert [each[1] for each in reasons(log)] == [None, "decorator_missing"]

    def test_each_denial_sends_a_signal_that_needs_no_receiver(self) -> None:
        app = make_app()
        app.get("/missing")(lambda: list(get_tenant_context()))
        app.get("/tenant", endpoint="t")(owned_by(OTHER_TENANT, USER))
        app.get("/user", endpoint="u")(owned_by(TENANT, OTHER_USER))
        app.get("/who", endpoint="w")(who)
        client = app.test_client()
        asked = {"/missing": bearer(), "/tenant": bearer(), "/user": bearer(), "/who": {}}

        def statuses() -> list[int]:
            return [client.get(path, headers=each).status_code for path, each in asked.items()]

        told: list[Any] = []

        def remember(sender: Flask, **what: Any) -> None:
            told.append((sender, what["status"], what["reason"]))

        with request_denied.connected_to(remember, app):
            assert statuses() == [401, 403, 403, 401]
            assert client.get("/who", headers=bearer()).status_code == 200
        assert told == [
            (app, 401, "decorator_missing"),
            (app, 403, "other_tenant"),
            (app, 403, "other_user"),
            (app, 401, "no_credentials"),
        ]
        assert statuses() == [401, 403, 403, 401]

    def test_a_denial_outside_of_any_app_sends_no_signal(self) -> None:
        told: list[Any] = []

        def remember(sender: Any, **what: Any) -> None:
            told.append(what["reason"])

        with request_denied.connected_to(remember), acting_as(TENANT, USER):
            assert verify_resource_access(TENANT, USER)
            with pytest.raises(AuthError, match="denied"):
                verify_resource_access(OTHER_TENANT, USER)
            assert told == []
            with make_app().app_context(), pytest.raises(AuthError, match="denied"):
                verify_resource_access(OTHER_TENANT, USER)
        assert told == ["other_tenant"]

    @pytest.mark.parametrize("name", ["X-Tenant-ID", "X-User-ID", "X-User-Role"])
    def test_untrusted_identity_headers_have_their_own_reason(
        self, caplog: pytest.LogCaptureFixture, name: str
    ) -> None:
        app = production_app()
        app.get("/")(who)
        client = app.test_client()
        client.get("/")
        client.get("/", headers={name: identity_headers().get(name, "admin")})
        found = re.findall(r"reason=(\w+)", caplog.text)
        assert found == ["no_credentials", "identity_headers_not_trusted"]

    def test_development_trusts_identity_headers(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        app = make_app()
        app.get("/")(who)
        assert app.test_client().get("/", headers=identity_headers()).status_code == 200
        assert "not_trusted" not in caplog.text


class TestOptions:
    def test_options_with_an_invalid_token_counts_as_a_failure(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="2 per minute")
        app.get("/auto")(who)
        app.get("/public", endpoint="public")(lambda: "in")
        app.route("/own", methods=["OPTIONS", "GET"], endpoint="own")(who)
        bad = {"Authorization": "Bearer a.b.c"}
        client = app.test_client()
        # A view that asks for no identity fails nobody: the control.
        assert [client.options("/public", headers=bad).status_code for _ in range(3)] == [200] * 3
        assert [client.options("/auto", headers=bad).status_code for _ in range(3)] == [
            200,
            200,
            429,
        ]
        assert client.options("/own", headers=bad).status_code == 429
        assert client.options("/own", headers=bearer()).status_code == 200

    def test_options_without_a_token_is_no_failure(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="1 per minute")
        app.route("/", methods=["OPTIONS", "GET"])(who)
        client = app.test_client()
        assert [client.options("/").status_code for _ in range(3)] == [200] * 3
