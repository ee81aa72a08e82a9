"""``@concurrency_limit``: how many requests run at once, and when one of them ends."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from flask import Flask, Response, abort, current_app, request, send_file
from flask.views import MethodView

from apps import (
    OTHER_TENANT,
    OTHER_USER,
    TENANT,
    USER,
    bare_app,
    bearer,
    error_of,
    identity_headers,
    make_app,
)
from flask_tenant_auth import (
    AuthError,
    ConcurrencyLimitExceeded,
    Identity,
    RateLimitExceeded,
    concurrency_limit,
    rate_limit,
    rate_limit_exempt,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.flask.extension import state_of
from flask_tenant_auth.signals import concurrency_limit_exceeded

Make = Callable[..., Flask]
both = pytest.mark.parametrize("make", [make_app, bare_app], ids=["with", "without"])


def running(app: Flask) -> int:
    """How many permits are taken now."""
    taken: int = state_of(app).at_once.permits.status()["taken"]
    return taken


def ask_inside(app: Flask, path: str, **kwargs: Any) -> int:
    """Ask the app from within a view of it, while that view runs."""

    def ask() -> int:
        with app.test_client().get(path, **kwargs) as response:
            return response.status_code

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result()


def nested(app: Flask, headers: dict[str, str] | None = None) -> Callable[[], dict[str, Any]]:
    """A view that asks its own app once while it runs, and answers with the status of that."""

    def view() -> dict[str, Any]:
        if "inner" in request.args:
            return {}
        return {"inner": ask_inside(app, "/?inner=1", headers=dict(headers or request.headers))}

    return view


class TestCounting:
    @both
    def test_so_many_run_at_once_and_one_more_is_denied(self, make: Make) -> None:
        app = make()
        app.get("/", endpoint="one")(verify_tenant_context(concurrency_limit(1)(nested(app))))
        app.get("/two")(concurrency_limit(2, scope="two")(lambda: {"two": "runs"}))
        client = app.test_client()
        assert client.get("/", headers=bearer()).get_json() == {"inner": 429}
        assert client.get("/?inner=1", headers=bearer()).status_code == 200
        assert running(app) == 0

    def test_two_run_where_two_may(self) -> None:
        app = make_app()
        app.get("/")(verify_tenant_context(concurrency_limit(2)(nested(app))))
        assert app.test_client().get("/", headers=bearer()).get_json() == {"inner": 200}

    @pytest.mark.parametrize(
        ("per", "other", "status"),
        [
            ("user", {"user_id": OTHER_USER}, 200),
            ("user", {"user_id": USER}, 429),
            ("tenant", {"user_id": OTHER_USER}, 429),
            ("tenant", {"tenant_id": OTHER_TENANT}, 200),
            ("address", {"tenant_id": OTHER_TENANT}, 429),
            (lambda identity: identity.role, {"role": "user"}, 429),
            (lambda identity: identity.role, {"role": "admin"}, 200),
        ],
    )
    def test_whom_it_counts(self, per: Any, other: dict[str, str], status: int) -> None:
        app = make_app()
        view = nested(app, bearer(**other))
        app.get("/")(verify_tenant_context(concurrency_limit(1, per=per)(view)))
        assert app.test_client().get("/", headers=bearer()).get_json() == {"inner": status}

    def test_without_an_identity_the_address_counts(self) -> None:
        app = make_app()
        app.get("/")(concurrency_limit(1)(nested(app)))
        assert app.test_client().get("/").get_json() == {"inner": 429}

    def test_the_limit_may_depend_on_the_identity(self) -> None:
        app = make_app()
        limits = {USER: 1, OTHER_USER: None}
        limit = concurrency_limit(lambda identity: limits[identity.user_id])
        app.get("/")(verify_tenant_context(limit(nested(app))))
        client = app.test_client()
        assert client.get("/", headers=bearer()).get_json() == {"inner": 429}
        other = bearer(user_id=OTHER_USER)
        assert client.get("/", headers=other).get_json() == {"inner": 200}

    def test_zero_lets_nobody_in(self) -> None:
        app = make_app()
        app.get("/")(concurrency_limit(0)(lambda: "in"))
        assert error_of(app.test_client().get("/")) == (429, "0 at once")

    def test_views_share_a_scope_and_else_have_limits_of_their_own(self) -> None:
        app = make_app()

        def asks(path: str) -> Callable[[], dict[str, int]]:
            return lambda: {"inner": ask_inside(app, path)}

        app.get("/a", endpoint="a")(concurrency_limit(1, scope="shared")(asks("/b")))
        app.get("/b", endpoint="b")(concurrency_limit(1, scope="shared")(lambda: "in"))
        app.get("/c", endpoint="c")(concurrency_limit(1)(asks("/d")))
        app.get("/d", endpoint="d")(concurrency_limit(1)(lambda: "in"))
        client = app.test_client()
        assert client.get("/a").get_json() == {"inner": 429}
        assert client.get("/c").get_json() == {"inner": 200}

    def test_methods_that_it_does_not_name_are_not_held(self) -> None:
        app = make_app()

        class Things(MethodView):
            decorators: ClassVar = [concurrency_limit(0, methods=["POST"])]

            def get(self) -> str:
                return "in"

            def post(self) -> str:
                return "in"

        app.add_url_rule("/", view_func=Things.as_view("things"))
        assert app.test_client().get("/").status_code == 200
        assert app.test_client().post("/").status_code == 429

    def test_stacked_limits_all_hold_and_a_denied_request_keeps_no_permit(self) -> None:
        app = make_app()
        per_tenant = concurrency_limit(0, per="tenant")
        view = verify_tenant_context(concurrency_limit(5)(per_tenant(lambda: "in")))
        app.get("/")(view)
        assert app.test_client().get("/", headers=bearer()).status_code == 429
        assert running(app) == 0

    def test_a_view_that_calls_itself_holds_one_permit(self) -> None:
        app = make_app()

        @app.get("/")
        @concurrency_limit(1)
        def view() -> str:
            if "again" in request.args:
                return "in"
            request.args = {"again": "1"}  # type: ignore[assignment]
            return view()

        assert app.test_client().get("/").get_data() == b"in"

    def test_ratelimit_enabled_false_turns_it_off(self) -> None:
        app = make_app(RATELIMIT_ENABLED=False)
        app.get("/")(concurrency_limit(0)(lambda: "in"))
        assert app.test_client().get("/").status_code == 200

    def test_networks_that_are_exempt_are_not_held(self) -> None:
        app = make_app(RATELIMIT_EXEMPT_NETWORKS="127.0.0.0/8")
        app.get("/")(concurrency_limit(0)(lambda: "in"))
        client = app.test_client()
        assert client.get("/").status_code == 200
        assert client.get("/", environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 429

    def test_a_reset_of_limits_begins_with_a_new_table(self) -> None:
        app = make_app()
        app.get("/")(concurrency_limit(1)(lambda: "in"))
        client = app.test_client()
        response = client.get("/")
        assert client.get("/").status_code == 429
        state_of(app).reset_limits()
        assert client.get("/").status_code == 200
        response.close()

    def test_a_request_without_a_role_takes_no_permit(self) -> None:
        app = make_app()
        view = verify_role("admin")(concurrency_limit(0)(lambda: "in"))
        app.get("/")(view)
        assert app.test_client().get("/", headers=bearer()).status_code == 403
        assert app.test_client().get("/", headers=bearer(role="admin")).status_code == 429


class TestTheEndOfARequest:
    @both
    def test_the_permit_is_held_until_the_response_is_closed(self, make: Make) -> None:
        app = make()
        app.get("/")(concurrency_limit(1)(lambda: "in"))
        client = app.test_client()
        response = client.get("/")
        assert running(app) == 1
        assert client.get("/").status_code == 429
        response.close()
        assert running(app) == 0
        assert client.get("/").status_code == 200

    @both
    def test_a_stream_holds_it_until_it_is_closed(self, make: Make) -> None:
        app = make()

        def parts() -> Iterator[bytes]:
            yield b"one"
            yield b"two"

        app.get("/")(concurrency_limit(1)(lambda: Response(parts())))
        client = app.test_client()
        response = client.get("/", buffered=False)
        assert next(response.iter_encoded()) == b"one"
        assert client.get("/").status_code == 429
        response.close()
        assert running(app) == 0

    @both
    def test_a_file_that_the_server_sends_itself_holds_it_until_it_is_closed(
        self, make: Make
    ) -> None:
        app = make()
        app.get("/")(concurrency_limit(1)(lambda: send_file(io.BytesIO(b"x" * 9), "text/plain")))
        client = app.test_client()
        response = client.get("/")
        assert running(app) == 1
        assert response.get_data() == b"x" * 9
        response.close()
        assert running(app) == 0

    @pytest.mark.parametrize("method", ["HEAD", "GET"])
    def test_a_response_without_a_body_gives_it_back(self, method: str) -> None:
        app = make_app()
        app.get("/")(concurrency_limit(1)(lambda: ("", 204)))
        app.test_client().open("/", method=method).close()
        assert running(app) == 0

    @both
    def test_a_view_that_raises_gives_it_back_at_once(self, make: Make) -> None:
        app = make(PROPAGATE_EXCEPTIONS=False)
        seen = []

        @app.errorhandler(ZeroDivisionError)
        def handle(error: ZeroDivisionError) -> str:
            seen.append(running(app))
            return "handled"

        app.get("/")(concurrency_limit(1)(lambda: str(1 // 0)))
        assert app.test_client().get("/").get_data() == b"handled"
        assert seen == [0]

    @both
    def test_an_exception_that_nobody_answers_gives_it_back(self, make: Make) -> None:
        app = make()
        app.get("/")(concurrency_limit(1)(lambda: str(1 // 0)))
        with pytest.raises(ZeroDivisionError) as kept:
            app.test_client().get("/")
        assert running(app) == 0
        assert kept is not None  # its traceback holds the frames of the request

    def test_an_http_exception_and_a_denial_give_it_back(self) -> None:
        app = make_app()

        def deny() -> str:
            raise AuthError("no", 403)

        app.get("/gone", endpoint="gone")(concurrency_limit(1)(lambda: abort(410)))
        app.get("/denied", endpoint="denied")(concurrency_limit(1)(deny))
        answers = [app.test_client().get(path) for path in ("/gone", "/denied")]
        assert [each.status_code for each in answers] == [410, 403]
        assert running(app) == 0

    def test_a_response_that_another_one_replaces_gives_it_back(self) -> None:
        app = make_app()
        app.get("/")(concurrency_limit(1)(lambda: "in"))
        app.after_request(lambda _: Response("another"))
        assert app.test_client().get("/").get_data() == b"another"
        assert running(app) == 0

    def test_a_stream_that_goes_on_in_another_response_holds_it(self) -> None:
        app = make_app()
        app.get("/")(concurrency_limit(1)(lambda: Response(iter(["one", "two"]))))
        app.after_request(lambda inner: Response(part.upper() for part in inner.iter_encoded()))
        with app.test_client().get("/", buffered=False) as response:
            parts = response.iter_encoded()
            assert next(parts) == b"ONE"
            gc.collect()
            assert running(app) == 1
            assert list(parts) == [b"TWO"]
        gc.collect()
        assert running(app) == 0

    def test_an_async_view_holds_it_and_gives_it_back(self) -> None:
        app = make_app()

        @app.get("/")
        @concurrency_limit(1)
        async def view() -> dict[str, int]:
            await asyncio.sleep(0)
            return {"running": running(app)}

        with app.test_client().get("/") as response:
            assert response.get_json() == {"running": 1}
        assert running(app) == 0

    @both
    def test_a_view_that_is_called_directly_gives_it_back(self, make: Make) -> None:
        app = make()
        view = concurrency_limit(1)(lambda: running(app))
        with app.test_request_context("/"):
            assert [view(), view()] == [1, 1]
            assert running(app) == 0

    def test_a_child_that_ends_does_not_give_back_what_its_parent_holds(self) -> None:
        app = make_app()

        @app.get("/")
        @concurrency_limit(1)
        def view() -> dict[str, int]:
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            return {"running": running(app)}

        assert app.test_client().get("/").get_json() == {"running": 1}


class TestTheAnswer:
    def test_it_is_the_documented_json_without_retry_after(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("5 per hour")(concurrency_limit(0)(lambda: "in")))
        response = app.test_client().get("/")
        assert error_of(response) == (429, "0 at once")
        assert "Retry-After" not in response.headers

    def test_rate_limits_count_a_request_that_is_denied(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("3 per hour")(concurrency_limit(0)(lambda: "in")))
        answers = [app.test_client().get("/") for _ in range(4)]
        left = [each.headers["X-RateLimit-Remaining"] for each in answers]
        assert left == ["2", "1", "0", "0"]
        assert [error_of(each)[1] for each in answers] == ["0 at once"] * 3 + ["3 per 1 hour"]

    def test_it_holds_for_a_view_that_is_exempt_from_rate_limits(self) -> None:
        app = make_app()
        app.get("/")(rate_limit_exempt(concurrency_limit(0)(lambda: "in")))
        assert app.test_client().get("/").status_code == 429

    def test_its_handler_is_not_that_of_rate_limits(self) -> None:
        app = make_app()
        app.get("/")(concurrency_limit(0)(lambda: "in"))
        app.register_error_handler(RateLimitExceeded, lambda error: "rate")
        app.register_error_handler(
            ConcurrencyLimitExceeded, lambda error: (f"{error.limit} run", 429)
        )
        assert app.test_client().get("/").get_data() == b"0 run"

    def test_the_problem_names_the_reason(self) -> None:
        app = make_app(AUTH_PROBLEM_JSON=True)
        app.get("/")(concurrency_limit(0)(lambda: "in"))
        problem = app.test_client().get("/").get_json()
        assert (problem["status"], problem["reason"]) == (429, "concurrency_limit_exceeded")

    def test_it_is_logged_and_signalled(self, caplog: pytest.LogCaptureFixture) -> None:
        app = make_app()
        app.get("/")(verify_tenant_context(concurrency_limit(0)(lambda: "in")))
        sent: list[tuple[int, Identity | None]] = []

        def remember(_app: Flask, limit: int, identity: Identity | None) -> None:
            sent.append((limit, identity))

        with caplog.at_level(logging.WARNING), concurrency_limit_exceeded.connected_to(remember):
            app.test_client().get("/", headers=bearer())
        assert [each[0] for each in sent] == [0]
        assert sent[0][1] is not None
        assert sent[0][1].user_id == USER
        assert "concurrency_limit_exceeded" in caplog.text
        assert TENANT in caplog.text

    def test_a_view_that_is_called_directly_returns_the_pair(self) -> None:
        app = make_app()
        with app.test_request_context("/"):
            answer = concurrency_limit(0)(lambda: "in")()
        assert answer == ({"error": "Rate limit exceeded", "message": "0 at once"}, 429)

    def test_a_table_that_gives_no_permit_denies(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app()
        app.get("/")(concurrency_limit(5)(lambda: "in"))

        class Full:
            def take(self, *_args: object) -> None:
                raise OSError("the table of concurrent requests is full")

        monkeypatch.setattr(state_of(app), "_at_once", Full())
        assert app.test_client().get("/").status_code == 429
        assert "the table of concurrent requests is full" in caplog.text


class TestManyThreads:
    def test_never_more_than_the_limit_are_inside_and_all_of_it_is_used(self) -> None:
        app, limit, threads = make_app(RATELIMIT_DEFAULT="1000000 per hour"), 3, 8
        inside: set[int] = set()
        most, denied = [], []
        lock = threading.Lock()
        barrier = threading.Barrier(threads)

        @app.get("/")
        @concurrency_limit(limit)
        def view() -> str:
            with lock:
                inside.add(threading.get_ident())
                most.append(len(inside))
            current_app.ensure_sync(lambda: None)()
            with lock:
                inside.remove(threading.get_ident())
            return "in"

        def ask(_: int) -> None:
            client = app.test_client()
            barrier.wait()
            for _ in range(100):
                with client.get("/") as response:
                    if response.status_code == 429:
                        denied.append(response)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(ask, range(threads)))
        assert max(most) <= limit
        assert len(most) + len(denied) == threads * 100
        assert running(app) == 0

    def test_exactly_the_limit_pass_where_nobody_leaves(self) -> None:
        app, limit, threads = make_app(), 3, 8
        barrier = threading.Barrier(threads)
        leave = threading.Barrier(threads)

        @app.get("/")
        @concurrency_limit(limit)
        def view() -> str:
            leave.wait(20)
            return "in"

        def ask(_: int) -> int:
            barrier.wait()
            status = app.test_client().get("/").status_code
            if status == 429:
                leave.wait(20)
            return status

        with ThreadPoolExecutor(threads) as pool:
            statuses = sorted(pool.map(ask, range(threads)))
        assert statuses == [200] * limit + [429] * (threads - limit)


class TestArguments:
    @pytest.mark.parametrize(
        ("limit", "error", "message"),
        [
            (-1, ValueError, "limit must be from 0 to 1,000, not -1"),
            (1001, ValueError, "limit must be from 0 to 1,000, not 1001"),
            ("4", TypeError, "limit must be an int or a callable, not str"),
            (True, TypeError, "limit must be an int or a callable, not bool"),
            (2.0, TypeError, "limit must be an int or a callable, not float"),
            (lambda a, b: 1, TypeError, "limit must be a callable of the identity"),
        ],
    )
    def test_a_limit_that_cannot_be_meant_is_named(
        self, limit: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            concurrency_limit(limit)

    @pytest.mark.parametrize(
        ("argument", "value"), [("per", "role"), ("per", 3), ("methods", "GET"), ("scope", "")]
    )
    def test_other_arguments_are_named_too(self, argument: str, value: Any) -> None:
        with pytest.raises((TypeError, ValueError), match=argument):
            concurrency_limit(1, **{argument: value})

    @pytest.mark.parametrize("most", ["4", 1001, -1, True])
    def test_a_callable_that_returns_no_limit_is_an_error(
        self, most: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app()
        app.get("/")(concurrency_limit(lambda: most)(lambda: "in"))
        with pytest.raises((TypeError, ValueError), match="limit must be"):
            app.test_client().get("/")
        assert running(app) == 0
        assert "'limit by callable at once per user' of " in caplog.text

    def test_it_takes_a_function(self) -> None:
        with pytest.raises(TypeError, match="concurrency_limit takes a view function"):
            concurrency_limit(1)(dict)

    def test_flask_auth_check_shows_it(self) -> None:
        app = make_app(AUTH_TRUSTED_GATEWAYS="127.0.0.1")
        view = verify_tenant_context(concurrency_limit(4, per="tenant")(lambda: "in"))
        app.get("/reports")(view)
        result = app.test_cli_runner().invoke(args=["auth", "check"])
        (line,) = (each for each in result.output.splitlines() if "/reports" in each)
        assert line.endswith("50 per minute per user; 4 at once per tenant")
        assert app.test_client().get("/reports", headers=identity_headers()).status_code == 200
