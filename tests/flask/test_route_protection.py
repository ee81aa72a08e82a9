"""`flask auth check` tells what a request meets, and not what decorators have declared."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flask_restful
import flask_restx
import flask_smorest
import pytest
from apiflask import APIFlask
from flask import Blueprint, Flask, Response
from flask.views import MethodView
from werkzeug.routing import Rule

from apps import SECRET, bearer, production_app
from flask_tenant_auth import (
    TenantAuth,
    public_route,
    rate_limit,
    verify_role,
    verify_tenant_context,
)

UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


def problems(app: Flask, *options: str) -> list[str]:
    result = app.test_cli_runner().invoke(args=["auth", "check", *options])
    found = [line for line in result.output.splitlines() if line.startswith("Problem: ")]
    assert result.exit_code == (1 if found else 0), result.output
    return [line.removeprefix("Problem: ") for line in found]


def strict(app: Flask) -> list[str]:
    return problems(app, "--strict")


def route_lines(app: Flask) -> list[str]:
    output = app.test_cli_runner().invoke(args=["auth", "check"]).output
    return [line.strip() for line in output.splitlines() if "  /" in line or " /" in line]


def cached(function: Callable[..., Any]) -> Callable[..., Any]:
    """A cache that knows nothing of who asks."""
    kept: list[Any] = []

    @functools.wraps(function)
    def answer_from_cache(*args: Any, **kwargs: Any) -> Any:
        if not kept:
            kept.append(function(*args, **kwargs))
        return kept[0]

    return answer_from_cache


class TestHeadAndOptions:
    def test_handlers_of_a_class_without_a_decorator_are_unprotected(self) -> None:
        class Notes(MethodView):
            @verify_tenant_context
            def get(self) -> str:
                return "notes"

            def head(self) -> Response:
                return Response(headers={"X-Notes": "7"})

            def options(self) -> str:
                return "deleted"

        app = production_app()
        app.add_url_rule("/notes", view_func=Notes.as_view("notes"))
        client = app.test_client()
        assert client.head("/notes").headers["X-Notes"] == "7"
        assert client.options("/notes").text == "deleted"
        assert [line.split(" and asks")[0] for line in strict(app)] == [
            "HEAD /notes (notes) shows something",
            "OPTIONS /notes (notes) shows something",
        ]

    def test_handlers_of_a_class_with_a_decorator_are_protected(self) -> None:
        class Notes(MethodView):
            @verify_tenant_context
            def get(self) -> str:
                return "notes"

            head = get

            @verify_tenant_context
            def options(self) -> str:
                return "deleted"

        app = production_app()
        app.add_url_rule("/notes", view_func=Notes.as_view("notes"))
        assert app.test_client().head("/notes").status_code == 401
        assert app.test_client().options("/notes").text == ""
        assert strict(app) == []

    def test_a_view_of_options_alone_is_checked(self) -> None:
        app = production_app()
        app.add_url_rule("/purge", "purge", lambda: "deleted", methods=["OPTIONS"])
        assert app.test_client().options("/purge").text == "deleted"
        (problem,) = strict(app)
        assert problem.startswith("OPTIONS /purge (purge) ")
        app.view_functions["purge"] = verify_tenant_context(app.view_functions["purge"])
        assert app.test_client().options("/purge").text == ""
        assert strict(app) == []

    def test_responses_of_flask_itself_are_no_routes(self) -> None:
        app = production_app()
        app.get("/mine", endpoint="mine")(verify_tenant_context(lambda: "in"))
        assert strict(app) == []
        assert [line.split()[0] for line in route_lines(app) if " /mine " in line] == ["GET"]


class TestBehindAWrapper:
    def test_a_cache_above_the_decorator_is_named_and_fails_strict(self) -> None:
        app = production_app()
        app.get("/cached", endpoint="cached")(cached(verify_tenant_context(lambda: "secret")))
        app.get("/right", endpoint="right")(verify_tenant_context(cached(lambda: "mine")))
        client = app.test_client()
        for path in ("/cached", "/right"):
            assert client.get(path, headers=bearer()).status_code == 200
        assert client.get("/cached").text == "secret"  # as anybody
        assert client.get("/right").status_code == 401
        assert any("authenticated, behind" in line for line in route_lines(app))
        assert problems(app) == []
        (problem,) = strict(app)
        assert problem.startswith("GET /cached (cached) asks for an identity behind ")
        assert "answer_from_cache" in problem
        app.view_functions["cached"] = verify_tenant_context(app.view_functions["cached"])
        assert client.get("/cached").status_code == 401
        assert strict(app) == []

    def test_other_decorators_of_ours_above_it_do_not_hide_it(self) -> None:
        app = production_app()
        inside = cached(verify_tenant_context(lambda: "secret"))
        app.get("/x", endpoint="x")(rate_limit("100 per minute")(inside))
        app.get("/y", endpoint="y")(rate_limit("9 per hour")(verify_tenant_context(lambda: "in")))
        (problem,) = strict(app)
        assert problem.startswith("GET /x (x) ")

    def test_a_role_behind_a_cache_is_not_checked_by_an_identity_in_front(self) -> None:
        app = production_app()
        app.get("/x", endpoint="x")(verify_tenant_context(cached(verify_role("admin")(lambda: ""))))
        app.get("/y", endpoint="y")(
            verify_role("admin")(cached(verify_tenant_context(lambda: "in")))
        )
        (problem,) = strict(app)
        assert problem.startswith("GET /x (x) ")

    def test_a_guard_of_the_app_or_a_blueprint_in_front_is_enough(self) -> None:
        app = production_app()
        inner = Blueprint("inner", __name__)
        inner.get("/x", endpoint="x")(cached(verify_tenant_context(lambda: "in")))
        app.register_blueprint(inner)
        assert len(strict(app)) == 1
        guarded = production_app()
        guarded.before_request(verify_tenant_context(lambda: None))
        guarded.register_blueprint(inner)
        assert strict(guarded) == []

    def test_a_cached_hook_is_named_as_a_problem(self) -> None:
        app = production_app()
        app.before_request(cached(verify_tenant_context(lambda: None)))
        app.get("/x", endpoint="x")(lambda: "in")
        (problem,) = strict(app)
        assert "answer_from_cache" in problem

    @pytest.mark.parametrize("decorators", [[cached], [verify_tenant_context, cached]])
    def test_a_cache_around_a_class_is_named_unless_a_decorator_is_outside(
        self, decorators: list[Any]
    ) -> None:
        class Notes(MethodView):
            @verify_tenant_context
            def get(self) -> str:
                return "notes"

        Notes.decorators = decorators
        app = production_app()
        app.add_url_rule("/notes", view_func=Notes.as_view("notes"))
        assert len(strict(app)) == 1
        Notes.decorators = [cached, verify_tenant_context]
        app = production_app()
        app.add_url_rule("/notes", view_func=Notes.as_view("notes"))
        assert strict(app) == []

    def test_serializers_of_the_libraries_that_are_named_in_the_docs_hide_nothing(self) -> None:
        app = APIFlask("shop", enable_openapi=False)
        app.config.update(FLASK_ENV="production", JWT_SECRET_KEY=SECRET, REDIS_URL="", TESTING=True)
        TenantAuth(app)
        blueprint = flask_smorest.Blueprint("notes", __name__)

        @app.get("/a")
        @app.output({})
        @verify_tenant_context
        def a() -> dict[str, str]:
            return {}

        @blueprint.route("/b")
        @blueprint.response(200)
        @verify_tenant_context
        def b() -> dict[str, str]:
            return {}

        api = flask_restx.Api(app, doc=False)

        @api.route("/c")
        class C(flask_restx.Resource):
            @api.marshal_with(api.model("C", {}))
            @verify_tenant_context
            def get(self) -> dict[str, str]:
                return {}

        Flask.register_blueprint(app, blueprint)
        client = app.test_client()
        for path in ("/a", "/b", "/c"):
            assert client.get(path).status_code == 401
            assert not any(f" {path} " in problem for problem in strict(app)), strict(app)


class TestClasses:
    def test_a_guarded_dispatch_request_protects_every_method(self) -> None:
        class Notes(MethodView):
            def get(self) -> str:
                return "notes"

            def post(self) -> str:
                return "made"

            @verify_tenant_context
            def dispatch_request(self, **values: Any) -> Any:
                return super().dispatch_request(**values)

        app = production_app()
        app.add_url_rule("/notes", view_func=Notes.as_view("notes"))
        assert app.test_client().post("/notes").status_code == 401
        assert strict(app) == []

    def test_method_decorators_of_flask_restful_protect(self) -> None:
        class Notes(flask_restful.Resource):
            def get(self) -> str:
                return "notes"

            def post(self) -> str:
                return "made"

        def app_with(method_decorators: Any) -> Flask:
            app = production_app()
            api = flask_restful.Api(app)
            notes = type("Notes", (Notes,), {"method_decorators": method_decorators})
            api.add_resource(notes, "/notes")
            return app

        for every in ([verify_tenant_context], [cached, verify_role("admin")]):
            app = app_with(every)
            assert app.test_client().post("/notes").status_code == 401
            assert strict(app) == []
        assert any("[role admin]" in line for line in route_lines(app))
        assert len(strict(app_with([]))) == 2
        (behind, other) = strict(app_with([verify_tenant_context, cached]))
        assert "asks for an identity behind " in behind
        assert "asks for an identity behind " in other

    def test_flask_restful_asks_for_decorators_of_head_where_get_answers_it(self) -> None:
        class Notes(flask_restful.Resource):
            method_decorators = {"get": [verify_tenant_context]}  # noqa: RUF012 - as its docs do

            def get(self) -> str:
                return "notes"

        app = production_app()
        flask_restful.Api(app).add_resource(Notes, "/notes")
        assert app.test_client().get("/notes").status_code == 401
        assert app.test_client().head("/notes").status_code == 200  # and the view has run
        (problem,) = strict(app)
        assert problem.startswith("HEAD /notes ")
        Notes.method_decorators["head"] = [verify_tenant_context]
        assert app.test_client().head("/notes").status_code == 401
        assert strict(app) == []

    def test_a_class_that_is_no_resource_has_no_method_decorators(self) -> None:
        class Notes(MethodView):
            method_decorators = (verify_tenant_context,)

            def get(self) -> str:
                return "notes"

        app = production_app()
        app.add_url_rule("/notes", view_func=Notes.as_view("notes"))
        assert app.test_client().get("/notes").status_code == 200
        assert len(strict(app)) == 1


def test_rules_that_call_no_view_are_no_routes() -> None:
    app = production_app()
    app.url_map.add(Rule("/old", endpoint="old", redirect_to="/new"))
    app.url_map.add(Rule("/build", endpoint="build", build_only=True))
    assert strict(app) == []
    app.url_map.add(Rule("/called", endpoint="called"))  # a positive control
    app.view_functions["called"] = lambda: "in"
    assert len(strict(app)) > 1


def test_a_websocket_is_a_route_of_get() -> None:
    app = production_app()
    app.url_map.add(Rule("/ws", endpoint="ws", websocket=True))
    app.view_functions["ws"] = lambda: "in"
    assert app.test_client().get("/ws").status_code == 400
    assert app.test_client().get("/ws", headers=UPGRADE).status_code == 200
    assert problems(app) == []
    (problem,) = strict(app)
    assert problem.startswith("GET /ws (ws) ")
    app.view_functions["ws"] = public_route(app.view_functions["ws"])
    assert strict(app) == []
