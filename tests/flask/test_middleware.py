"""Middleware between TenantAuth and Flask, of every manner that PEP 3333 allows.

Random stacks of it stand around random answers; wsgiref's validator is the referee. The answer is
what the same app gives without any: its status and body, the headers of limits, the line in
AUDIT_LOG, and a failure that is counted once.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from flask import Flask, Response, abort
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from apps import bare_app, bearer
from flask_tenant_auth import (
    TenantAuth,
    create_jwt_token,
    rate_limit,
    verify_role,
    verify_tenant_context,
)

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


def closed(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def eager(app: App) -> App:
    def middleware(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        body = app(environ, start)
        try:
            return list(body)
        finally:
            closed(body)

    return middleware


def generator(app: App) -> App:
    def middleware(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
        body = app(environ, start)
        try:
            yield from body
        finally:
            closed(body)

    return middleware


def copies_environ(app: App) -> App:
    return lambda environ, start: app(dict(environ), start)


def copies_environ_late(app: App) -> App:
    return generator(copies_environ(app))


def adds_a_field(app: App) -> App:
    def middleware(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start(status, [*headers, ("X-Middleware", "1")], *more)

        return app(environ, started)

    return middleware


def read(app: App, environ: dict[str, Any]) -> tuple[tuple[Any, ...], bytes]:
    """The last call of start_response and the whole body."""
    calls: list[tuple[Any, ...]] = []
    written: list[bytes] = []

    def started(*call: Any) -> Any:
        calls.append(call)
        return written.append

    body = app(environ, started)
    try:
        parts = list(body)
    finally:
        closed(body)
    return calls[-1][:2], b"".join([*written, *parts])


def buffers(app: App) -> App:
    def middleware(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        call, body = read(app, environ)
        start(*call)
        return [body]

    return middleware


def buffers_late(app: App) -> App:
    def middleware(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
        call, body = read(app, environ)
        start(*call)
        yield body

    return middleware


def writes(app: App) -> App:
    def middleware(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        call, body = read(app, environ)
        write = start(*call)
        if body:
            write(body)
        return []

    return middleware


def starts_again(app: App) -> App:
    def middleware(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("202 Accepted", [("Content-Type", "text/plain")])
        try:
            {}["it was not to be"]
        except LookupError:
            call, body = read(app, environ)
            start(*call, sys.exc_info())
        return [body]

    return middleware


ORDINARY = [
    eager,
    generator,
    copies_environ,
    copies_environ_late,
    adds_a_field,
    buffers,
    buffers_late,
    writes,
]
PATHS = ["/in", "/stream", "/admin", "/limited", "/own401", "/missing", "/abort", "/empty"]


def app_with(stack: list[Callable[[App], App]], log: str) -> Flask:
    app = bare_app(AUTH_FAILURE_LIMIT="2 per minute", AUDIT_LOG=log)
    for middleware in stack:
        app.wsgi_app = middleware(app.wsgi_app)  # type: ignore[method-assign,assignment]
    TenantAuth(app)
    app.get("/in")(verify_tenant_context(lambda: "in"))
    app.get("/stream", endpoint="s")(
        verify_tenant_context(lambda: Response(iter(["a", "", "b"]), mimetype="text/plain"))
    )
    app.get("/admin", endpoint="a")(verify_role("admin")(lambda: "in"))
    app.get("/limited", endpoint="l")(rate_limit("1 per minute")(lambda: "in"))
    app.get("/own401", endpoint="o")(lambda: ("no", 401))
    app.get("/abort", endpoint="b")(lambda: abort(418))
    app.get("/empty", endpoint="e")(lambda: Response("", mimetype="text/plain"))
    return app


def serve(app: App, path: str, headers: dict[str, str]) -> tuple[str, dict[str, list[str]], bytes]:
    """What a strict server gets of a request."""
    environ = EnvironBuilder(path, headers=headers).get_environ()
    environ["wsgi.input"], environ["wsgi.errors"] = io.BytesIO(), io.StringIO()
    started: list[tuple[str, list[tuple[str, str]]]] = []
    sent: list[bytes] = []

    def start(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
        assert exc_info is not None or not started, "start_response was called twice"
        assert not sent, "start_response was called after the body had begun"
        started.append((status, fields))
        return sent.append

    referee = validator(app)  # type: ignore[arg-type]
    body = referee(environ, start)
    try:
        for part in body:
            assert started, "the body has begun without start_response"
            sent.append(part)
    finally:
        closed(body)
    assert started, "the answer has ended without start_response"
    assert not any(key.startswith("flask_tenant_auth") for key in environ)
    status, fields = started[-1]
    by_name: dict[str, list[str]] = {}
    for name, value in fields:
        by_name.setdefault(name, []).append(value)
    return status, by_name, b"".join(sent)


def answers(stack: list[Callable[[App], App]], requests: list[tuple[str, str]]) -> list[Any]:
    """For each request: the answer, and the lines of the audit log."""
    credentials = {"none": {}, "bad": {"Authorization": "Bearer a.b.c"}, "good": bearer()}
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "audit"
        app = app_with(stack, str(log))
        for path, who in requests:
            status, fields, body = serve(app.wsgi_app, path, credentials[who])
            fields.pop("X-Middleware", None)
            # Whether the length is told depends on who has joined the parts.
            fields.pop("Content-Length", None)
            fields.pop("X-RateLimit-Reset", None)
            if "Retry-After" in fields:
                fields["Retry-After"] = ["later" for _ in fields["Retry-After"]]
            seen.append((status, fields, body, len(log.read_text().splitlines())))
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    kept = ("method", "endpoint", "status", "tenant_id", "user_id", "role", "reason", "ip")
    return [seen, [[line[key] for key in kept] for line in lines]]


requests_of_clients = st.lists(
    st.tuples(st.sampled_from(PATHS), st.sampled_from(["none", "bad", "good"])),
    min_size=1,
    max_size=6,
)


class TestAnyStack:
    @settings(max_examples=150, deadline=None)
    @given(
        stack=st.lists(st.sampled_from(ORDINARY), min_size=1, max_size=4),
        requests=requests_of_clients,
    )
    def test_any_stack_answers_as_the_app_does_without_it(
        self, stack: list[Any], requests: list[tuple[str, str]]
    ) -> None:
        assert answers(stack, requests) == answers([], requests)

    @pytest.mark.soak
    @settings(max_examples=5000, deadline=None)
    @given(
        stack=st.lists(st.sampled_from(ORDINARY), min_size=1, max_size=6),
        requests=requests_of_clients,
    )
    def test_any_stack_answers_as_the_app_does_without_it_in_many_runs(
        self, stack: list[Any], requests: list[tuple[str, str]]
    ) -> None:
        assert answers(stack, requests) == answers([], requests)


@pytest.mark.parametrize("middleware", ORDINARY)
@pytest.mark.parametrize("path", ["/in", "/own401"])
def test_a_failure_is_counted_once_and_becomes_a_429(middleware: Any, path: str) -> None:
    seen, lines = answers([middleware], [(path, "none")] * 3 + [("/in", "good")])
    assert [each[0][:3] for each in seen] == ["401", "401", "429", "200"]
    assert json.loads(seen[2][2])["error"] == "Rate limit exceeded"
    assert [len(seen[2][1][name]) for name in ("Retry-After", "X-RateLimit-Limit")] == [1, 1]
    assert [line[2] for line in lines] == [401, 401, 429, 200]
    assert lines[2][6] == "rate_limit_exceeded"


def test_a_response_that_is_started_again_replaces_the_first() -> None:
    seen, lines = answers([starts_again], [("/in", "good"), ("/in", "none"), ("/own401", "none")])
    assert [each[0][:3] for each in seen] == ["200", "401", "401"]
    assert seen[0][1]["X-RateLimit-Remaining"] == ["49"]
    assert [line[2] for line in lines] == [202, 200, 202, 401, 202, 401]


def test_closing_a_body_early_closes_the_inner_body() -> None:
    closings: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            yield b"b"

        def close(self) -> None:
            closings.append("closed")

    for stack in ([], [generator], [copies_environ_late, generator]):
        app = bare_app()
        app.get("/")(lambda: Response(Body(), mimetype="text/plain"))  # type: ignore[arg-type]
        for middleware in stack:
            app.wsgi_app = middleware(app.wsgi_app)  # type: ignore[method-assign,assignment]
        TenantAuth(app)
        environ = EnvironBuilder("/").get_environ()
        body = app.wsgi_app(environ, lambda *_: lambda _body: None)
        assert next(iter(body)) == b"a"
        closed(body)
        # And one that was not even begun.
        closed(app.wsgi_app(EnvironBuilder("/").get_environ(), lambda *_: lambda _body: None))
    assert closings[:2] == ["closed"] * 2
    assert len(closings) >= 4


def test_a_middleware_that_answers_401_itself_is_counted_too() -> None:
    def shut(app: App) -> App:
        def middleware(environ: dict[str, Any], start: Any) -> Iterator[bytes]:
            start("401 UNAUTHORIZED", [("Content-Type", "text/plain")])
            yield b"no"

        return middleware

    seen, _ = answers([shut], [("/in", "good")] * 3)
    assert [each[0][:3] for each in seen] == ["401", "401", "429"]


def test_a_middleware_that_calls_the_app_twice_is_authenticated_twice() -> None:
    def again(app: App) -> App:
        def middleware(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            read(app, environ)
            return app(environ, start)

        return middleware

    seen, lines = answers([again], [("/in", "good"), ("/in", "none")])
    assert [each[0][:3] for each in seen] == ["200", "401"]
    assert [line[2] for line in lines] == [200, 401]


@pytest.mark.parametrize("token", [True, False], ids=["with a token", "without credentials"])
@pytest.mark.parametrize("sub_request", ["none", "before", "after"])
def test_a_request_on_a_copy_does_not_take_the_response_of_the_outer_one(
    tmp_path: Path, sub_request: str, token: bool
) -> None:
    """A middleware that asks the app something of its own, on a copy of environ."""
    log = tmp_path / "audit.log"
    app = Flask("sub_requests")
    app.config.update(
        TESTING=True,
        JWT_SECRET_KEY="0123456789abcdef0123456789abcdef",
        REDIS_URL="",
        AUDIT_LOG=str(log),
        AUTH_FAILURE_LIMIT="5 per minute",
    )
    inner = app.wsgi_app
    headers = bearer_of(app, "admin")

    def ask(environ: dict[str, Any]) -> None:
        copy = dict(environ, PATH_INFO="/inner", HTTP_AUTHORIZATION=headers["Authorization"])
        list(inner(copy, lambda *_: lambda _body: None))

    def middleware(environ: dict[str, Any], start_response: Any) -> Any:
        if sub_request == "before":
            ask(environ)
        body = list(inner(environ, start_response))
        if sub_request == "after":
            ask(environ)
        return body

    app.wsgi_app = middleware  # type: ignore[method-assign]
    TenantAuth(app)
    app.get("/inner", endpoint="inner")(
        verify_tenant_context(rate_limit("7 per minute")(lambda: "inner"))
    )
    app.get("/outer", endpoint="outer")(verify_tenant_context(lambda: "outer"))
    client = app.test_client()
    answers = [
        client.get("/outer", headers=bearer_of(app, "user") if token else {}) for _ in range(7)
    ]
    assert [each.status_code for each in answers] == [200] * 7 if token else [401] * 5 + [429] * 2
    assert answers[0].headers["X-RateLimit-Limit"] == "50"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["endpoint"] for line in lines} == {"/outer"}
    assert {line["role"] for line in lines} == ({"user"} if token else {None})


def bearer_of(app: Flask, role: str) -> dict[str, str]:
    with app.app_context():
        user = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
        token = create_jwt_token("550e8400-e29b-41d4-a716-446655440000", user, role)
    return {"Authorization": f"Bearer {token}"}
