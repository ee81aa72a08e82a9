"""What leaves an app: headers on every answer, and the 429 in place of a 401."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder

from apps import bare_app, bearer, make_app
from flask_tenant_auth import TenantAuth, verify_tenant_context
from flask_tenant_auth._core import (
    Limit,
    Middleware,
    RequestRecord,
    StartResponse,
    authenticate_and_count,
    open_record,
    parse_rates,
)
from flask_tenant_auth.flask.state import state_of
from middleware import cors_rules, middleware_arguments, sent_headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ORIGIN = "http://localhost:3000"
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


LIMIT = (Limit(parse_rates("5 per minute")[0], scope="middleware"),)


def sent_to_origin(headers: Any) -> Any:
    """What a server gets of a response, where CORS adds Vary and a permission."""
    environ = EnvironBuilder("/", headers={"Origin": ORIGIN}).get_environ()
    return sent_headers(environ, headers, cors_rules(resources=("/",), origins=(ORIGIN,)))


def ask(app: Flask, path: str = "/api/x", **headers: str) -> Any:
    return app.test_client().get(path, headers={"Origin": ORIGIN, **headers})


class TestHeaders:
    def test_every_response_has_the_headers(self) -> None:
        app = make_app(PROPAGATE_EXCEPTIONS=False)
        app.get("/api/x")(lambda: "in")
        app.get("/api/broken", endpoint="broken")(lambda: 1 / 0)
        app.get("/api/stream", endpoint="stream")(lambda: Response(iter(["a", "b"])))
        for path, status in (
            ("/api/x", 200),
            ("/api/broken", 500),
            ("/api/stream", 200),
            ("/api/none", 404),
        ):
            answer = ask(app, path)
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert all(answer.headers.getlist(name) for name in LIMITS)

    def test_a_response_of_an_earlier_hook_has_the_headers(self) -> None:
        app = bare_app()
        app.before_request(lambda: ("closed", 503))
        TenantAuth(app)
        answer = ask(app)
        assert answer.status_code == 503
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN

    def test_a_view_that_sets_them_itself_does_not_double_them(self) -> None:
        app = make_app()
        own = {
            "access-control-allow-origin": "*",
            "X-RATELIMIT-LIMIT": "7",
            "vary": "accept, Origin",
            "X-Own": "kept",
        }
        app.get("/api/x")(lambda: Response("in", headers=own))
        headers = ask(app).headers
        assert headers.getlist("Access-Control-Allow-Origin") == [ORIGIN]
        assert headers.getlist("X-RateLimit-Limit") == ["50"]
        assert headers.getlist("Vary") == ["accept, Origin"]
        assert headers["X-Own"] == "kept"

    @pytest.mark.parametrize(
        ("there", "expected"),
        [
            ([], "Origin"),
            ([("Vary", "")], "Origin"),
            ([("Vary", "*")], "*"),
            ([("Vary", "Cookie")], "Cookie, Origin"),
            ([("VARY", "Cookie"), ("vary", "a,b , origin")], "Cookie, a, b, origin"),
        ],
    )
    def test_vary_is_one_header_field(self, there: list[tuple[str, str]], expected: str) -> None:
        sent = sent_to_origin([("A", "1"), *there, ("B", "2")])
        permission = ("Access-Control-Allow-Origin", ORIGIN)
        assert sent == [("A", "1"), ("B", "2"), ("Vary", expected), permission]

    @pytest.mark.parametrize("name", ["Vary", "X-Own"])
    def test_completing_headers_does_not_change_those_of_the_app(self, name: str) -> None:
        headers = [(name, "a"), ("A", "1")]
        sent = sent_to_origin(headers)
        assert headers == [(name, "a"), ("A", "1")]
        assert sent is not headers

    @pytest.mark.parametrize("headers", [(), None, [("A",)], [["A", "1"]], [(b"A", "1")], [7]])
    def test_headers_that_are_no_list_of_pairs_are_a_type_error(self, headers: object) -> None:
        with pytest.raises(TypeError, match=r"^headers must be a list of \(str, str\) tuples"):
            sent_to_origin(headers)

    def test_headers_may_be_a_list_of_another_class(self) -> None:
        class Headers(list[tuple[str, str]]):
            pass

        sent = sent_to_origin(Headers([("A", "1")]))
        assert [name for name, _ in sent] == ["A", "Vary", "Access-Control-Allow-Origin"]

    def test_a_field_with_a_name_beyond_latin_1_is_not_joined(self) -> None:
        sent = sent_to_origin([("V\u0430ry", "a"), ("Vary", "b")])
        assert [name for name, _ in sent] == ["V\u0430ry", "Vary", "Access-Control-Allow-Origin"]
        assert dict(sent)["Vary"] == "b, Origin"

    def test_headers_of_one_response_are_not_in_the_next(self) -> None:
        app = make_app()
        app.get("/api/x")(lambda: "in")
        first, second = (dict(ask(app).headers) for _ in range(2))
        assert first.keys() == second.keys()
        assert int(first.pop(LIMITS[1])) == int(second.pop(LIMITS[1])) + 1


class TestMiddleware:
    def test_middleware_outside_and_inside_of_tenantauth_both_work(self) -> None:
        def copies_environ(app: Any) -> Any:
            def middleware(
                environ: WSGIEnvironment, start_response: StartResponse
            ) -> Iterable[bytes]:
                return list(app(dict(environ), start_response))

            return middleware

        app = bare_app()
        app.wsgi_app = copies_environ(app.wsgi_app)  # type: ignore[method-assign]
        TenantAuth(app)
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
        app.get("/api/x")(lambda: "in")
        answer = ask(app, **{"X-Forwarded-For": "198.51.100.1"})
        assert answer.headers["X-RateLimit-Remaining"] == "49"
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN

    def test_two_apps_behind_one_dispatcher_have_their_own_headers(self) -> None:
        outer, inner = make_app(RATELIMIT_DEFAULT="9 per minute"), make_app()
        inner.get("/api/x")(lambda: "inner")
        outer.get("/api/x")(lambda: "outer")
        client = Client(DispatcherMiddleware(outer, {"/inner": inner}))
        assert client.get("/api/x").headers["X-RateLimit-Limit"] == "9"
        assert client.get("/inner/api/x").headers["X-RateLimit-Limit"] == "50"

    def test_an_app_that_passes_its_environ_to_another_keeps_its_headers(self) -> None:
        outer, inner = make_app(RATELIMIT_DEFAULT="9 per minute"), make_app()
        inner.get("/api/x")(lambda: "inner")

        @outer.get("/api/x")
        def forward() -> Response:
            from flask import request

            return Response.from_app(inner, request.environ)

        answer = ask(outer)
        assert answer.text == "inner"
        assert answer.headers.getlist("X-RateLimit-Limit") == ["9"]


class TestInsteadOf401:
    def test_a_401_of_a_view_becomes_a_429_too(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="2 per minute")
        closed: list[str] = []

        class Body:
            def __iter__(self) -> Iterator[bytes]:
                yield b"no"

            def close(self) -> None:
                closed.append("closed")

        app.get("/api/x")(lambda: Response(Body(), 401))
        answers = [ask(app) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        last = answers[-1]
        assert last.get_json() == {"error": "Rate limit exceeded", "message": "2 per 1 minute"}
        assert last.headers["Content-Length"] == str(len(last.data))
        assert int(last.headers["Retry-After"]) >= 1
        assert last.headers["X-RateLimit-Limit"] == "2"
        assert last.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert closed == ["closed"]  # the one that was not sent; the client holds the others

    def test_a_401_to_head_becomes_a_429_without_a_body(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="1 per minute")
        app.get("/api/x")(verify_tenant_context(lambda: "in"))
        client = app.test_client()
        assert [client.head("/api/x").status_code for _ in range(2)] == [401, 429]
        assert client.head("/api/x").data == b""

    def test_a_valid_token_is_never_limited_for_it(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="1 per minute")
        app.get("/api/x")(verify_tenant_context(lambda: "in"))
        for _ in range(3):
            ask(app)
        assert ask(app, **bearer()).status_code == 200


class TestTheCoresTypes:
    def test_a_new_record_is_empty(self) -> None:
        record = RequestRecord(state_of(make_app()))
        assert (record.identity, record.subject, record.outcome) == (None,) * 3
        assert (record.decision, record.reason, record.invalid_token) == (None,) * 3
        assert (record.counted, record.limits, record.failure_counted) == ((), (), False)
        with pytest.raises(AttributeError):
            record.state = None  # type: ignore[misc,assignment]

    @pytest.mark.parametrize("name", ["identity", "subject", "decision", "reason"])
    def test_an_attribute_that_the_core_reads_has_its_type_or_is_none(self, name: str) -> None:
        record = RequestRecord(state_of(make_app()))
        setattr(record, name, None)
        for wrong in (7, object(), b"x", type("Text", (str,), {})("x")):
            with pytest.raises(TypeError, match=f"^{name} must be"):
                setattr(record, name, wrong)
        with pytest.raises(TypeError, match=f"^{name} must be"):
            delattr(record, name)
        assert getattr(record, name) is None

    @pytest.mark.parametrize("name", ["counted", "limits"])
    def test_counted_limits_are_a_tuple(self, name: str) -> None:
        record = RequestRecord(state_of(make_app()))
        setattr(record, name, (1,))
        for wrong in (None, [], "x"):
            with pytest.raises(TypeError, match=f"^{name} must be a tuple"):
                setattr(record, name, wrong)
        assert getattr(record, name) == (1,)

    def test_only_a_middleware_makes_a_start_response(self) -> None:
        with pytest.raises(TypeError):
            StartResponse()

    @pytest.mark.parametrize("arguments", [(), ({},), ([], print), ({}, print, 1)])
    def test_a_middleware_is_called_as_wsgi_says(self, arguments: tuple[Any, ...]) -> None:
        with pytest.raises(TypeError):
            make_app().wsgi_app(*arguments)

    @pytest.mark.parametrize("arguments", [(), ("200 OK",), ("200 OK", [], None, 1)])
    def test_start_response_is_called_as_wsgi_says(self, arguments: tuple[Any, ...]) -> None:
        app = make_app()

        def inner(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            with pytest.raises(TypeError):
                start(*arguments)
            with pytest.raises(TypeError):
                start.send(*arguments)
            start("200 OK", [])
            return []

        middleware = Middleware(**middleware_arguments(inner, state_of(app)))
        assert Client(middleware).get("/").status_code == 200

    @pytest.mark.parametrize(
        "arguments",
        [(), (None,) * 6, ("r", {}, "k", "l", (), "a"), (1, 2, 3), ({}, {}, {}), (1, {}, "k", 1)],
    )
    def test_counting_with_wrong_arguments_is_a_type_error(
        self, arguments: tuple[Any, ...]
    ) -> None:
        with pytest.raises(TypeError):
            authenticate_and_count(*arguments)
        with pytest.raises(TypeError):
            open_record(*arguments)

    def test_nothing_is_counted_for_an_invalid_token(self) -> None:
        app = make_app()
        state = state_of(app)

        def counted(headers: dict[str, str]) -> tuple[Any, Any]:
            environ = EnvironBuilder("/", headers=headers).get_environ()
            record = RequestRecord(state)
            decision = authenticate_and_count(
                record, environ, state.keyring, state.limiter, LIMIT, "192.0.2.1"
            )
            return decision, record.invalid_token

        assert counted({}) == (None, None)
        decision, rejection = counted({"Authorization": "Bearer a.b.c"})
        assert decision is None
        assert rejection.reason == "base64url_invalid"
        decision, rejection = counted(bearer())
        assert (decision.allowed, decision.remaining, rejection) == (True, 4, None)

    def test_a_response_is_taken_once_and_last_by_the_environ_of_the_server(self) -> None:
        app = make_app()
        state = state_of(app)
        tied: list[bool] = []

        def inner(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            copies = [dict(environ), dict(environ)]
            records = [
                open_record(state, each, state.start_response_key) for each in (*copies, environ)
            ]
            tied.extend(record.dispatched for record in records)
            assert start.record is records[2]
            assert start.environ is environ
            assert not [
                key
                for each in (*copies, environ)
                for key in each
                if key == state.start_response_key
            ]
            start("200 OK", [])
            return []

        assert Client(Middleware(**middleware_arguments(inner, state))).get("/").status_code == 200
        assert tied == [True, False, True]

    def test_a_response_that_a_middleware_has_begun_is_taken_once_too(self) -> None:
        app = make_app()
        state = state_of(app)

        def inner(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            kept = dict(environ)
            start("200 OK", [])
            start.record.failure_counted = True
            taken = open_record(state, environ, state.start_response_key)
            assert (taken.dispatched, taken.failure_counted) == (True, True)
            assert not open_record(state, kept, state.start_response_key).dispatched
            return []

        assert Client(Middleware(**middleware_arguments(inner, state))).get("/").status_code == 200

    def test_a_record_that_was_made_before_takes_the_response(self) -> None:
        app = make_app()
        state = state_of(app)
        key = state.start_response_key

        def inner(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            kept = dict(environ)
            earlier, late = RequestRecord(state), RequestRecord(state)
            earlier.failure_counted = True
            assert open_record(state, environ, key, earlier) is earlier is start.record
            assert (earlier.dispatched, earlier.failure_counted) == (True, True)
            assert open_record(state, kept, key, late) is late
            assert not late.dispatched
            assert open_record(state, kept, key, None) is not start.record
            start("200 OK", [])
            return []

        assert Client(Middleware(**middleware_arguments(inner, state))).get("/").status_code == 200

    def test_an_invalid_token_is_parsed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = make_app()
        app.get("/api/x")(verify_tenant_context(lambda: "in"))
        parsed: list[str] = []
        keyring = state_of(app).keyring
        original = type(keyring).authenticate

        class Counting:
            def authenticate(self, authorization: str) -> Any:
                parsed.append(authorization)
                return original(keyring, authorization)  # type: ignore[arg-type]

        monkeypatch.setattr(state_of(app), "keyring", Counting())
        assert ask(app, Authorization="Bearer a.b.c").status_code == 401
        assert len(parsed) == 1

    def test_environ_and_response_do_not_keep_each_other_alive(self) -> None:
        app = make_app()
        app.get("/api/x")(lambda: "in")
        environ = EnvironBuilder("/api/x").get_environ()
        parts = app(environ, lambda *_: lambda _body: None)
        assert not [key for key in environ if key.startswith("flask_tenant_auth")]
        parts.close()  # type: ignore[attr-defined]

    def test_an_app_that_raises_leaves_environ_unchanged(self) -> None:
        app = make_app()

        def broken(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            raise LookupError("no such app")

        middleware = Middleware(**middleware_arguments(broken, state_of(app)))
        environ = EnvironBuilder("/").get_environ()
        before = dict(environ)
        with pytest.raises(LookupError, match="no such app"):
            middleware(environ, print)
        assert environ == before

    @pytest.mark.parametrize("closes", [True, False])
    def test_a_body_that_is_not_sent_is_closed(self, closes: bool) -> None:
        """Whatever a key of environ does when it is compared (PEP 3333: the body is closed)."""
        state = state_of(make_app())
        raising = [False]
        closed: list[str] = []

        class Key(str):
            __slots__ = ()
            __hash__ = str.__hash__

            def __eq__(self, other: object) -> bool:
                if raising[0]:
                    raise LookupError("compared")
                return str.__eq__(self, other)

        class Body(list[bytes]):
            if closes:

                def close(self) -> None:
                    closed.append("closed")

        def inner(_environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            start("200 OK", [])
            raising[0] = fails
            return Body([b"in"])

        middleware = Middleware(**middleware_arguments(inner, state))
        for fails in (False, True):
            raising[0] = False
            environ: dict[Any, Any] = {Key(state.start_response_key): None}
            if fails:
                with pytest.raises(LookupError, match="compared"):
                    middleware(environ, lambda *_: lambda _body: None)
            else:  # a positive control: closing is up to the server
                assert middleware(environ, lambda *_: lambda _body: None) == [b"in"]
                assert closed == []
        assert closed == (["closed"] if closes else [])

    def test_a_body_that_cannot_be_wrapped_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = state_of(make_app())
        closed: list[str] = []

        class Late:
            def __iter__(self) -> Iterator[bytes]:
                return iter(())

            def close(self) -> None:
                closed.append("closed")
                raise ArithmeticError("is not seen")

        def fail(body: object, _start: object) -> Iterable[bytes]:
            raise LookupError("no wrapper")

        arguments = middleware_arguments(lambda _environ, _start: Late(), state) | {
            "late_body": fail
        }
        unraisable: list[object] = []
        monkeypatch.setattr(sys, "unraisablehook", lambda event: unraisable.append(event.exc_type))
        with pytest.raises(LookupError, match="no wrapper"):
            Middleware(**arguments)({}, print)
        assert (closed, unraisable) == (["closed"], [ArithmeticError])

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("key", type("Key", (str,), {})("key")),
            ("cors", ()),
            ("cors", object()),
            ("audit_log", object()),
            ("limit_fields", 1),
            ("ietf_fields", None),
            ("metrics", object()),
        ],
    )
    def test_an_argument_of_a_wrong_type_is_a_type_error(self, name: str, wrong: object) -> None:
        arguments = middleware_arguments(print, state_of(make_app()))
        Middleware(**arguments)
        with pytest.raises(TypeError):
            Middleware(**(arguments | {name: wrong}))

    def test_a_middleware_that_the_collector_ends_can_still_be_called(self) -> None:
        """By a finalizer that finds it among the objects of the collector: it never changes."""
        done = subprocess.run(
            [sys.executable, "-c", CLEARED],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        *called, before = done.stdout.splitlines()
        assert before == "200 OK"  # a positive control: before that, it answers
        answered = ["200 OK []", "middleware []"]
        assert called == [*answered, "sent 204", "call None", "sent 204", "record: list"]


CLEARED = textwrap.dedent("""
    import gc
    from flask_tenant_auth._core import AuditLog, CorsRules, Middleware, StartResponse

    gc.disable()

    class Last(str):
        # Held by what the collector does not look into, so that it is not finalized with the rest.
        def __del__(self):
            found = {type(one): one for one in gc.get_objects()}
            if called or not {Middleware, StartResponse} <= found.keys():
                return
            called.append(True)
            attempt("middleware", lambda: found[Middleware]({}, print))
            start = found[StartResponse]
            attempt("call", lambda: start("204 No Content", []))
            start.send("204 No Content", [])
            print("record:", type(start.record.state).__name__)

    def attempt(name, function):
        try:
            print(name, function())
        except TypeError as error:
            print(f"{name}: TypeError")

    def server(status, headers):
        print("sent", status[:3]) if status.startswith("204") else answers.append(status)

    answers = []
    called = []
    kept = []

    def inner(environ, start):
        kept.append(start)
        start("200 OK", [])
        return []

    others = []
    middleware = Middleware(
        inner=inner, state=others, key="key", failure=lambda start, *answer: start.send(*answer),
        replace=print, late_body=print,
        cors=CorsRules(resources=("/",), origins=(), methods=(), allow_headers=(),
                       expose_headers=(), max_age=0, credentials=False),
        audit_log=None, log=print, limit_fields=False, ietf_fields=False,
        metrics=None,
    )
    middleware({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, server)
    # Without the GIL gc.get_objects() has an object of this garbage only once its turn has come, in
    # the order of memory. So there are many finalizers, and one of them finds both.
    start = kept.pop()
    for _ in range(200):
        later = [start, middleware, AuditLog(Last("/dev/null"))]
        later.insert(0, later)
        others.append(later)
    del middleware, others, later, start
    gc.collect()
    print(*answers)
""")
