"""The edge of an app: headers on every answer, and the 429 in place of a 401."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from apps import bare_app, bearer, make_app
from flask_tenant_auth import TenantAuth, verify_tenant_context
from flask_tenant_auth.edge import merged

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ORIGIN = "http://localhost:3000"
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def ask(app: Flask, path: str = "/api/x", **headers: str) -> Any:
    return app.test_client().get(path, headers={"Origin": ORIGIN, **headers})


class TestHeaders:
    def test_of_every_answer(self) -> None:
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

    def test_of_an_answer_that_an_earlier_hook_gave(self) -> None:
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
    def test_vary_is_one_field(self, there: list[tuple[str, str]], expected: str) -> None:
        both = merged([("A", "1"), *there, ("B", "2")], [("Vary", "Origin"), ("C", "3")])
        assert [each for each in both if each[0] == "Vary"] == [("Vary", expected)]
        assert sorted(name for name, _ in both) == ["A", "B", "C", "Vary"]

    def test_what_is_merged_stays_as_it_was(self) -> None:
        headers, added = [("Vary", "a"), ("A", "1")], [("Vary", "Origin"), ("A", "2")]
        merged(headers, added)
        assert headers == [("Vary", "a"), ("A", "1")]
        assert added == [("Vary", "Origin"), ("A", "2")]

    def test_one_answer_does_not_leak_into_the_next(self) -> None:
        app = make_app()
        app.get("/api/x")(lambda: "in")
        first, second = (dict(ask(app).headers) for _ in range(2))
        assert first.keys() == second.keys()
        assert int(first.pop(LIMITS[1])) == int(second.pop(LIMITS[1])) + 1


class TestMiddleware:
    def test_outside_and_inside_of_the_edge(self) -> None:
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

    def test_two_apps_behind_one_dispatcher(self) -> None:
        outer, inner = make_app(RATELIMIT_DEFAULT="9 per minute"), make_app()
        inner.get("/api/x")(lambda: "inner")
        outer.get("/api/x")(lambda: "outer")
        client = Client(DispatcherMiddleware(outer, {"/inner": inner}))
        assert client.get("/api/x").headers["X-RateLimit-Limit"] == "9"
        assert client.get("/inner/api/x").headers["X-RateLimit-Limit"] == "50"

    def test_an_app_that_hands_its_environ_to_another(self) -> None:
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
    def test_a_view_that_answers_401_by_itself(self) -> None:
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

    def test_to_head(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="1 per minute")
        app.get("/api/x")(verify_tenant_context(lambda: "in"))
        client = app.test_client()
        assert [client.head("/api/x").status_code for _ in range(2)] == [401, 429]
        assert client.head("/api/x").data == b""

    def test_a_valid_token_is_never_refused_for_it(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="1 per minute")
        app.get("/api/x")(verify_tenant_context(lambda: "in"))
        for _ in range(3):
            ask(app)
        assert ask(app, **bearer()).status_code == 200
