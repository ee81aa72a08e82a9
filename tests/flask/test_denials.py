"""Denials: raised while Flask dispatches, returned to whoever else has called."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, Response, copy_current_request_context
from flask.views import MethodView
from werkzeug.exceptions import HTTPException, TooManyRequests, Unauthorized

from apps import bare_app, bearer, error_of, make_app
from flask_tenant_auth import (
    AuthError,
    RateLimitExceeded,
    TenantAuth,
    rate_limit,
    verify_role,
    verify_tenant_context,
)

STATUSES = (401, 403, 429)


@pytest.fixture(params=["with TenantAuth", "without"])
def app(request: pytest.FixtureRequest) -> Flask:
    return make_app() if request.param == "with TenantAuth" else bare_app()


def to_json(view: Callable[..., Any]) -> Callable[..., Any]:
    """A serializer as many apps have one: whatever the view returns is a 200."""

    @functools.wraps(view)
    def serialized(*args: Any, **kwargs: Any) -> Response:
        return Response(json.dumps(view(*args, **kwargs)), mimetype="application/json")

    return serialized


def add_views(target: Any, around: Callable[..., Any] = lambda view: view) -> None:
    """/401, /403 and /429 deny for that reason; /200 lets in."""

    def view() -> dict[str, str]:
        return {"who": "in"}

    limited = rate_limit("1 per minute", cost=1, scope="denials")
    for name, guarded in {
        "401": verify_tenant_context(view),
        "403": verify_role("admin")(view),
        "429": limited(verify_tenant_context(view)),
        "200": verify_tenant_context(view),
    }.items():
        target.add_url_rule(f"/{name}", f"view{name}", around(guarded))


def answers(app: Flask) -> dict[int, Any]:
    client = app.test_client()
    assert client.get("/429", headers=bearer()).status_code == 200
    headers = {401: {}, 403: bearer(), 429: bearer(), 200: bearer()}
    return {status: client.get(f"/{status}", headers=each) for status, each in headers.items()}


class TestWhatIsAroundTheDecorator:
    def test_a_serializer_makes_no_200_of_a_denial(self, app: Flask) -> None:
        add_views(app, to_json)
        got = answers(app)
        for status in STATUSES:
            assert error_of(got[status])[0] == status
        assert got[200].get_json() == {"who": "in"}
        assert got[401].headers["WWW-Authenticate"].startswith("Bearer realm=")
        assert int(got[429].headers["Retry-After"]) >= 1

    def test_smorest_s_response_makes_no_200_of_a_denial(self) -> None:
        import flask_smorest
        import marshmallow

        class Schema(marshmallow.Schema):
            who = marshmallow.fields.String()

        app = make_app(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.2")
        blueprint = flask_smorest.Blueprint("b", "b")
        add_views(blueprint, blueprint.response(200, Schema))
        flask_smorest.Api(app).register_blueprint(blueprint)
        got = answers(app)
        for status in STATUSES:
            assert got[status].status_code == got[status].get_json()["code"] == status
        assert got[200].get_json() == {"who": "in"}

    def test_apiflask_s_output_makes_no_200_of_a_denial(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import apiflask
            from apiflask.fields import String

        class Who(apiflask.Schema):
            who = String()

        app = apiflask.APIFlask("api")
        app.config.update(make_app().config)
        TenantAuth(app)
        add_views(app, app.output(Who))
        got = answers(app)
        for status in STATUSES:
            assert got[status].status_code == status
            assert set(got[status].get_json()) == {"error", "message", "detail"}
        assert got[200].get_json() == {"who": "in"}

    @pytest.mark.filterwarnings("ignore")
    def test_restx_s_marshal_makes_no_200_of_a_denial(self, app: Flask) -> None:
        import flask_restx

        api = flask_restx.Api(app)
        model = api.model("Who", {"who": flask_restx.fields.String})

        @api.route("/401")
        class Denied(flask_restx.Resource):  # type: ignore[misc]
            @api.marshal_with(model)
            @verify_tenant_context
            def get(self) -> dict[str, str]:
                return {"who": "in"}

        client = app.test_client()
        assert error_of(client.get("/401"))[0] == 401
        assert client.get("/401", headers=bearer()).get_json() == {"who": "in"}

    def test_options_without_an_identity_passes_a_serializer_too(self, app: Flask) -> None:
        app.route("/", methods=["GET", "OPTIONS"])(to_json(verify_tenant_context(lambda: "in")))
        answer = app.test_client().options("/")
        assert (answer.status_code, answer.data) == (200, b"")
        assert answer.allow == {"GET", "HEAD", "OPTIONS"}


class TestErrorHandlers:
    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("key", ["AuthError", "status", "HTTPException"])
    def test_error_handlers_of_the_app_answer_denials(self, when: str, key: str) -> None:
        def own(error: HTTPException) -> tuple[str, int]:
            assert error.code is not None
            return f"own {error.code}", error.code

        app = bare_app()
        keys: dict[str, Any] = {
            "AuthError": [AuthError],
            "status": STATUSES,
            "HTTPException": [HTTPException],
        }
        if when == "after":
            TenantAuth(app)
        for each in keys[key]:
            app.register_error_handler(each, own)
        if when == "before":
            TenantAuth(app)
        add_views(app)
        got = answers(app)
        for status in STATUSES:
            assert (got[status].status_code, got[status].text) == (status, f"own {status}")
        # What the status requires is there, although the handler has not thought of it.
        assert got[401].headers["WWW-Authenticate"].startswith("Bearer realm=")
        assert int(got[429].headers["Retry-After"]) >= 1

    def test_a_handler_of_429_gets_the_decision(self, app: Flask) -> None:
        @app.errorhandler(RateLimitExceeded)
        def own(error: RateLimitExceeded) -> tuple[dict[str, Any], int]:
            assert error.decision is not None
            return {"limit": error.decision.limit}, 429

        add_views(app)
        got = answers(app)
        assert got[429].get_json() == {"limit": 1}
        assert error_of(got[401])[0] == 401

    def test_a_handler_of_429_answers_for_the_hook_too(self) -> None:
        app = make_app(RATELIMIT_DEFAULT="1 per minute")
        app.register_error_handler(429, lambda error: (f"wait {error.decision.limit}", 429))
        app.get("/")(lambda: "in")
        assert [app.test_client().get("/").text for _ in range(2)] == ["in", "wait 1"]

    def test_a_handler_of_a_blueprint_answers_its_denials(self, app: Flask) -> None:
        blueprint = Blueprint("inner", __name__)
        blueprint.register_error_handler(AuthError, lambda error: ("blueprint's", error.code))
        add_views(blueprint)
        app.register_blueprint(blueprint)
        assert [answers(app)[status].text for status in STATUSES[:1]] == ["blueprint's"]

    @pytest.mark.parametrize(
        ("module", "asked"),
        [
            ("connexion.exceptions", False),
            ("company_errors", True),
            ("flask_smorest_of_ours", True),
            (None, True),
        ],
    )
    def test_a_handler_of_the_app_answers_wherever_it_is_registered(
        self, module: str | None, asked: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Libraries are known by their names; a company's package is not among them."""

        def handler(error: HTTPException) -> tuple[str, int]:
            return "own", error.code or 500

        handler.__module__ = module  # type: ignore[assignment]
        if module is not None:
            installed = SimpleNamespace(__file__=f"/venv/site-packages/{module}.py")
            monkeypatch.setitem(sys.modules, module, installed)  # type: ignore[arg-type]
        app = make_app()
        app.register_error_handler(HTTPException, handler)
        add_views(app)
        assert (answers(app)[401].text == "own") is asked

    def test_a_handler_of_exception_does_not_answer_denials(self) -> None:
        app = make_app()
        app.register_error_handler(Exception, lambda error: ("general", 500))
        add_views(app)
        got = answers(app)
        assert [error_of(got[status])[0] for status in STATUSES] == [*STATUSES]

    def test_the_challenge_of_a_handler_is_kept(self, app: Flask) -> None:
        own = {"WWW-Authenticate": 'Basic realm="x"'}
        app.register_error_handler(401, lambda error: ("no", 401, own))
        add_views(app)
        challenges = answers(app)[401].headers.getlist("WWW-Authenticate")
        assert challenges == ['Basic realm="x"']

    @pytest.mark.parametrize("key", ["TESTING", "PROPAGATE_EXCEPTIONS", "DEBUG"])
    def test_a_denial_is_a_response_even_if_exceptions_are_propagated(
        self, app: Flask, key: str
    ) -> None:
        app.config[key] = True
        add_views(app)
        assert {answer.status_code for answer in answers(app).values()} == {200, *STATUSES}


class TestCalledByFlask:
    """A view that answers 200 to whatever it gets: only an exception is a denial."""

    @pytest.fixture
    def guarded(self) -> Callable[[], Any]:
        return verify_tenant_context(lambda: "in")

    def check(self, app: Flask) -> None:
        client = app.test_client()
        assert error_of(client.get("/"))[0] == 401
        assert client.get("/", headers=bearer()).get_json() == {"got": "in"}

    def test_a_nested_call_is_denied_as_well(self, app: Flask, guarded: Any) -> None:
        app.get("/")(lambda: {"got": guarded()})
        self.check(app)

    def test_a_call_in_an_async_view_raises(self, guarded: Any) -> None:
        app = make_app()  # without TenantAuth, nothing in the view's thread tells who dispatches

        async def view() -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"got": guarded()}

        app.get("/")(view)
        self.check(app)

    def test_a_view_inside_an_async_decorator_raises(self) -> None:
        """It awaits an async view; in the loop that runs then, ours does too."""

        def other(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                await asyncio.sleep(0)
                return {"got": await function(*args, **kwargs)}

            return wrapped

        @verify_tenant_context
        async def view() -> str:
            await asyncio.sleep(0)
            return "in"

        for around in (other, lambda function: other(other(function))):
            app = make_app()
            app.get("/")(around(view))
            client = app.test_client()
            assert error_of(client.get("/"))[0] == 401
            assert "in" in client.get("/", headers=bearer()).text
        # Alone it is awaited as Flask does it.
        app = make_app()
        app.get("/")(view)
        assert app.test_client().get("/", headers=bearer()).text == "in"

    @pytest.mark.parametrize("inside", [False, True])
    def test_an_async_view_that_denies_gives_its_reason_to_audit(
        self, inside: bool, tmp_path: Path
    ) -> None:
        log = tmp_path / "audit"
        app = make_app(AUDIT_LOG=str(log))

        @verify_tenant_context
        async def view() -> str:
            raise AuthError("Only on Sundays", 403, reason="weekday")

        async def other() -> Any:
            # Its handler sees to the error: nobody but the decorator can note the reason.
            try:
                return await view()
            except AuthError as error:
                return error.message, error.code

        app.add_url_rule("/", "view", other if inside else view)
        assert app.test_client().get("/", headers=bearer()).status_code == 403
        (line,) = map(json.loads, log.read_text().splitlines())
        assert line["reason"] == "weekday"

    def test_a_call_in_a_thread_of_the_request_raises(self, guarded: Any) -> None:
        app = make_app()

        @app.get("/")
        def view() -> dict[str, Any]:
            got: list[Any] = []

            @copy_current_request_context
            def work() -> None:
                try:
                    got.append(guarded())
                except AuthError as error:
                    got.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            if isinstance(got[0], AuthError):
                raise got[0]
            return {"got": got[0]}

        self.check(app)

    def test_a_call_in_a_method_of_a_class_raises(self, app: Flask, guarded: Any) -> None:
        class Views(MethodView):
            decorators: ClassVar[list[Callable[..., Any]]] = [lambda view: to_json(view)]

            def get(self) -> dict[str, Any]:
                return {"got": guarded()}

        app.add_url_rule("/", view_func=Views.as_view("views"))
        self.check(app)

    def test_a_hook_before_tenantauth_raises(self) -> None:
        app = bare_app(AUTH_FAILURE_LIMIT="2 per minute")
        app.before_request(verify_tenant_context(lambda: None))
        TenantAuth(app)
        app.get("/")(lambda: {"got": "in"})
        self.check(app)
        statuses = [app.test_client().get("/").status_code for _ in range(2)]
        assert statuses == [401, 429]  # each was counted once

    def test_a_request_that_a_test_dispatches_raises(self, app: Flask, guarded: Any) -> None:
        app.get("/")(to_json(guarded))
        with app.test_request_context("/"):
            assert app.full_dispatch_request().status_code == 401
        with app.test_request_context("/", headers=bearer()):
            assert app.full_dispatch_request().status_code == 200


class TestCalledDirectly:
    @pytest.fixture
    def guarded(self) -> Callable[[], Any]:
        return verify_tenant_context(lambda: "in")

    def test_a_direct_call_returns_the_documented_pair(self, app: Flask, guarded: Any) -> None:
        with app.test_request_context("/"):
            body, status = guarded()
        assert (status, body["error"]) == (401, "Unauthorized")

    def test_a_direct_call_after_the_hooks_returns_the_pair(self, app: Flask, guarded: Any) -> None:
        with app.test_request_context("/"):
            app.preprocess_request()
            assert guarded()[1] == 401

    def test_a_direct_call_in_an_inner_request_returns_the_pair(
        self, app: Flask, guarded: Any
    ) -> None:
        @app.get("/")
        def view() -> dict[str, Any]:
            with app.test_request_context("/"):
                return {"inner": guarded()[1]}

        assert app.test_client().get("/", headers=bearer()).get_json() == {"inner": 401}

    def test_a_direct_call_over_a_limit_returns_the_pair(self, app: Flask) -> None:
        limited = rate_limit("1 per minute")(lambda: "in")
        with app.test_request_context("/"):
            assert limited() == "in"
        with app.test_request_context("/"):
            assert limited() == (
                {"error": "Rate limit exceeded", "message": "1 per 1 minute"},
                429,
            )


class TestTheErrors:
    def test_auth_errors_are_exceptions_of_werkzeug(self) -> None:
        assert isinstance(AuthError("x", 401), Unauthorized)
        assert not isinstance(AuthError("x", 403), Unauthorized)
        assert type(AuthError("x", 402)).__name__ == "AuthError"

    def test_a_subclass_with_its_own_arguments_keeps_its_class(self) -> None:
        class SuspendedError(AuthError):
            def __init__(self) -> None:
                super().__init__("Suspended", 403, reason="suspended")

        error = SuspendedError()
        assert isinstance(error, SuspendedError)
        assert (type(error).code, error.reason) == (403, "suspended")
        app = make_app()
        app.register_error_handler(SuspendedError, lambda error: ("own", 403))

        @app.get("/")
        def view() -> None:
            raise SuspendedError

        assert app.test_client().get("/").text == "own"

    def test_rate_limit_exceeded_has_status_reason_and_message(self) -> None:
        error = RateLimitExceeded("5 per 1 minute")
        assert isinstance(error, (AuthError, TooManyRequests))
        assert (error.code, error.reason, error.decision) == (429, "rate_limit_exceeded", None)
        assert error.get_response().get_json()["message"] == "5 per 1 minute"

    def test_a_reason_is_a_str(self) -> None:
        with pytest.raises(TypeError, match="reason"):
            AuthError("x", reason=7)  # type: ignore[arg-type]
