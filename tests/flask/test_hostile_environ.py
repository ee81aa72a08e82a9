"""What the core reads of environ and of a record stays whole, whatever changes it meanwhile."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import has_request_context, request
from werkzeug.test import EnvironBuilder

from apps import bearer, make_app
from flask_tenant_auth import verify_tenant_context
from flask_tenant_auth._core import (
    Identity,
    RequestRecord,
    authenticate_and_count,
    hash_password,
    open_record,
    verify_password,
)
from flask_tenant_auth.flask.records import RECORD
from flask_tenant_auth.flask.state import state_of
from middleware import middleware_arguments

ORIGIN = "http://localhost:3000"
REQUESTED = ("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
CHANGED = ("REQUEST_METHOD", "PATH_INFO", "REMOTE_ADDR", "HTTP_USER_AGENT", "HTTP_ORIGIN")


@contextmanager
def meanwhile(*changes: Callable[[int], None]) -> Iterator[None]:
    """Threads that change something again and again."""
    over = threading.Event()

    def run(change: Callable[[int], None]) -> None:
        number = 0
        while not over.is_set():
            change(number)
            number += 1

    threads = [threading.Thread(target=run, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_threads_that_replace_values_write_no_line_that_was_not_sent(tmp_path: Path) -> None:
    log = tmp_path / "audit"
    app = make_app(AUDIT_LOG=str(log), RATELIMIT_DEFAULT="1000000 per minute")
    app.get("/api/x")(verify_tenant_context(lambda: "in"))
    environ = EnvironBuilder("/api/x", headers=bearer()).get_environ()
    current: list[RequestRecord] = []
    original = dict(environ)

    def remember() -> None:
        current[:] = [request.__dict__[RECORD]]

    app.before_request(remember)

    def replace_agent(number: int) -> None:
        # Long, so that freed memory is used again at once, and each a new object.
        environ["HTTP_USER_AGENT"] = f"agent-{number}-" + "a" * 2000
        environ["REMOTE_ADDR"] = f"192.0.2.{number % 250}" + "\xe9"

    def replace_identity(number: int) -> None:
        for record in current:
            record.identity = Identity(*[f"{number % 10**8:08d}-0000-4000-8000-{'0' * 12}"] * 2)
            record.reason = f"reason-{number}-" + "r" * 200

    with meanwhile(replace_agent, replace_identity):
        for _ in range(400):
            environ.update(PATH_INFO=original["PATH_INFO"])
            list(app.wsgi_app(environ, lambda *_: lambda _body: None))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == 400
    for line in lines:
        agent = line["user_agent"] or "agent-0-"
        assert agent.startswith("agent-")
        assert set(agent.removeprefix("agent-").lstrip("0123456789-")) <= {"a"}
        assert (line["ip"] or "192.0.2.").startswith("192.0.2.")
        assert line["tenant_id"] is None or len(line["tenant_id"]) == 36


class Text(str):
    """A str that runs code when it is looked up or compared."""

    __slots__ = ("act",)
    act: Callable[[], None]

    def __new__(cls, text: str, act: Callable[[], None]) -> Text:
        self = super().__new__(cls, text)
        self.act = act
        return self

    def __hash__(self) -> int:
        self.act()
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        self.act()
        return super().__eq__(other)


@pytest.mark.parametrize("value", [None, "no Decision", 7, object(), [], Identity])
def test_a_key_that_runs_code_does_not_confuse_the_decision(value: object) -> None:
    app = make_app()
    app.get("/api/x")(lambda: "in")
    refused: list[bool] = []
    acting: list[bool] = []

    def act() -> None:
        record = request.__dict__.get(RECORD) if has_request_context() else None
        if acting or record is None or record.decision is None:
            return
        acting.append(True)  # what it does below looks the key up again
        try:
            record.decision = value
        except TypeError:
            refused.append(True)
        record.counted = ()
        for key in CHANGED:
            request.environ[key] = f"changed {key}"
        acting.clear()

    environ = EnvironBuilder("/api/x", headers={"Origin": ORIGIN}).get_environ()
    environ[Text("HTTP_ORIGIN", act)] = environ.pop("HTTP_ORIGIN")
    started: list[Any] = []

    def start(*call: Any) -> Callable[[bytes], None]:
        started.append(call)
        return lambda _body: None

    body = b"".join(app.wsgi_app(environ, start))
    ((status, headers),) = started
    assert (status, body) == ("200 OK", b"in")
    fields = dict(headers)
    assert fields["X-RateLimit-Remaining"] == "49"
    # Whether the origin was read before the key changed it or after.
    assert fields.get("Access-Control-Allow-Origin") in (ORIGIN, None)
    assert bool(refused) == (value is not None)


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_keys_of_environ_that_run_code_do_no_harm(method: str) -> None:
    app = make_app(
        RATELIMIT_IETF_HEADERS_ENABLED=True, CORS_ALLOW_HEADERS="*", CORS_ORIGINS="*.example.com"
    )
    app.get("/api/x")(verify_tenant_context(lambda: "in"))
    requested = {
        "Origin": "https://a.example.com",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "x-" + "a" * 200,
    }
    environ = EnvironBuilder("/api/x", method=method, headers=requested | bearer()).get_environ()

    inside = [False]
    compared: list[object] = []

    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            if not inside[0]:
                inside[0] = True
                compared.append(other)
                for key in (*CHANGED[2:], *REQUESTED):
                    environ[key] = f"{len(compared)} " + "x" * 100
                inside[0] = False
            return str.__eq__(self, other)

    hostile: dict[Any, Any] = {Key(name): value for name, value in environ.items()}
    inside[0] = True
    environ.clear()
    environ.update(hostile)
    inside[0] = False
    for _ in range(50):
        body = b"".join(app.wsgi_app(environ, lambda *_: lambda _body: None))
        assert body == (b"in" if method == "GET" else b"")
    assert len(compared) > 50


def test_any_value_in_environ_under_the_key_does_no_harm() -> None:
    app = make_app()
    state = state_of(app)
    for other in (None, 7, "text", object(), RequestRecord(state), app):
        environ = {state.start_response_key: other}
        record = open_record(state, environ, state.start_response_key)
        assert (record.dispatched, environ) == (False, {state.start_response_key: other})


def test_replacing_an_authorization_during_verification_does_no_harm() -> None:
    app = make_app()
    state = state_of(app)
    environ: dict[str, Any] = {}
    header = bearer()["Authorization"]

    def replace(number: int) -> None:
        environ["HTTP_AUTHORIZATION"] = header + "x" * (number % 2)

    with meanwhile(replace, replace):
        for _ in range(2000):
            record = RequestRecord(state)
            authenticate_and_count(record, environ, state.keyring, state.limiter, (), "192.0.2.1")  # type: ignore[arg-type]
            assert isinstance(record.outcome, Identity) or record.outcome is None


def test_a_password_freed_during_hashing_is_still_hashed() -> None:
    """functools.partial hands the core its own keywords, which anybody can change."""
    stored = hash_password(b"p" * 100, 5000)
    call = functools.partial(verify_password, password=b"p" * 100, stored=stored)

    def replace(number: int) -> None:
        call.keywords["password"] = bytes([112]) * 100
        call.keywords["stored"] = stored[:-1] + stored[-1]

    with meanwhile(replace):
        assert all(call() for _ in range(30))

    class Index:
        def __index__(self) -> int:
            hashing.keywords.clear()
            return 1000

    hashing = functools.partial(hash_password, password=b"q" * 100, iterations=Index())
    assert verify_password(b"q" * 100, hashing())


def test_a_garbage_collection_that_changes_the_headers_does_no_harm() -> None:
    import gc
    import weakref

    from flask_tenant_auth._core import Middleware

    app = make_app()
    lists: list[list[tuple[str, str]]] = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self
            weakref.finalize(self, lambda: [each.extend([("X-More", "1")] * 50) for each in lists])

    def inner(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        lists.append([("X-A", "1")] * 25)  # CPython keeps no free tuple of that size
        for _ in range(5):
            Cycle()
        start("200 OK", lists[0])
        lists.clear()
        return []

    middleware = Middleware(**middleware_arguments(inner, state_of(app)))
    sent: list[Any] = []
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(200):
            middleware(EnvironBuilder("/").get_environ(), lambda *call: sent.append(call[1]))
    finally:
        gc.set_threshold(*before)
    assert len(sent) == 200
    for headers in sent:
        assert {name for name, _ in headers} <= {"X-A", "X-More"}


@pytest.mark.parametrize(
    "raised", [KeyboardInterrupt, SystemExit, MemoryError, ValueError, LookupError]
)
def test_only_an_exception_about_the_token_makes_it_invalid(
    raised: type[BaseException],
) -> None:
    state = state_of(make_app())
    acting = [False]

    def act() -> None:
        if acting[0]:
            raise raised

    def authenticated() -> object:
        record = RequestRecord(state)
        return authenticate_and_count(
            record, environ, state.keyring, state.limiter, (), "192.0.2.1"
        )  # type: ignore[arg-type]

    environ = {Text("HTTP_AUTHORIZATION", act): bearer()["Authorization"]}
    assert authenticated() is not None  # a positive control
    acting[0] = True
    if issubclass(raised, MemoryError) or not issubclass(raised, Exception):
        with pytest.raises(raised):
            authenticated()
    else:
        assert authenticated() is None
