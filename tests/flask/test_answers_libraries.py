"""Flask-RESTful, Flask-Smorest, APIFlask and Flask-RESTX: their errors, and our denials in them.

Each builds the same API twice, without `TenantAuth` and with it. What the library answers by itself
is the same octets. A denial has the status, the documented members, the header fields, and the form
of the library.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from apps import bare_app, bearer
from flask_tenant_auth import (
    AuthError,
    RateLimitExceeded,
    TenantAuth,
    rate_limit,
    verify_role,
    verify_tenant_context,
)

PROBLEM = "application/problem+json"
REQUIRED = "Bearer token or X-Tenant-ID and X-User-ID headers required"
DENIALS = {
    401: {"error": "Unauthorized", "message": REQUIRED},
    403: {
        "error": "Forbidden",
        "message": "Insufficient permissions. Required role: admin",
    },
    429: {"error": "Rate limit exceeded", "message": "1 per 1 minute"},
}
REASONS = {401: "no_credentials", 403: "role_insufficient", 429: "rate_limit_exceeded"}
HEADERS = {
    401: ("WWW-Authenticate", 'Bearer realm="api"'),
    403: ("WWW-Authenticate", 'Bearer realm="api", error="insufficient_scope"'),
    429: ("Retry-After", ""),
}


def no_check(view: Any) -> Any:
    return view


def checks(protected: bool) -> dict[str, Callable[[Any], Any]]:
    """The decorators of the four views; the same views without any where nothing protects them."""
    if not protected:
        return dict.fromkeys(("401", "403", "429", "raised"), no_check)
    limited = rate_limit("1 per minute", scope="libraries")
    return {
        "401": verify_tenant_context,
        "403": verify_role("admin"),
        "429": limited,
        "raised": verify_tenant_context,
    }


def app_of(**config: Any) -> Flask:
    return bare_app(PROPAGATE_EXCEPTIONS=False, **config)


# Each returns an app with the routes /401, /403, /429 (decorated), /raised (which raises an
# `AuthError`), /aborted (the library's own 409), /checked (its own validation) and /broken.


def restful(*, protected: bool, **config: Any) -> Flask:
    import flask_restful
    from flask_restful import reqparse

    app = app_of(**config)
    api = flask_restful.Api(app)

    def add(path: str, view: Callable[[], Any]) -> None:
        def get(_self: Any) -> Any:
            return view()

        name = path.strip("/")
        api.add_resource(type(f"R{name}", (flask_restful.Resource,), {"get": get}), path)

    def aborted() -> None:
        flask_restful.abort(409, message="Taken", field="name")

    def checked() -> Any:
        parser = reqparse.RequestParser()
        parser.add_argument("page", type=int, required=True, location="args")
        return parser.parse_args()

    add_all(add, protected, aborted, checked)
    return app


def restx(*, protected: bool, **config: Any) -> Flask:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import flask_restx
        from flask_restx import reqparse

        app = app_of(**config)
        api = flask_restx.Api(app)

    def add(path: str, view: Callable[[], Any]) -> None:
        def get(_self: Any) -> Any:
            return view()

        name = path.strip("/")
        api.add_resource(type(f"X{name}", (flask_restx.Resource,), {"get": get}), path)

    def aborted() -> None:
        flask_restx.abort(409, "Taken", field="name")

    def checked() -> Any:
        parser = reqparse.RequestParser()
        parser.add_argument("page", type=int, required=True, location="args")
        return parser.parse_args()

    add_all(add, protected, aborted, checked)
    return app


def smorest(*, protected: bool, **config: Any) -> Flask:
    import flask_smorest
    import marshmallow

    app = app_of(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.3", **config)
    api = flask_smorest.Api(app)
    blueprint = flask_smorest.Blueprint("b", "b")

    class Query(marshmallow.Schema):
        page = marshmallow.fields.Integer(required=True)

    def add(path: str, view: Callable[[], Any]) -> None:
        blueprint.add_url_rule(path, f"v{path.strip('/')}", view)

    def aborted() -> None:
        flask_smorest.abort(409, message="Taken", errors={"name": ["taken"]}, headers={"X-A": "1"})

    @blueprint.arguments(Query, location="query")
    def checked(query: dict[str, Any]) -> Any:
        return query

    add_all(add, protected, aborted, checked)
    api.register_blueprint(blueprint)
    return app


def apiflask(*, protected: bool, **config: Any) -> Flask:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from apiflask import APIFlask, Schema, abort
        from apiflask.fields import Integer

    class Query(Schema):
        page = Integer(required=True)

    plain = app_of(**config)
    app = APIFlask(plain.name)
    app.config.update(plain.config)

    def add(path: str, view: Callable[[], Any]) -> None:
        app.add_url_rule(path, f"v{path.strip('/')}", view)

    def aborted() -> None:
        abort(409, "Taken", detail={"name": "taken"}, headers={"X-A": "1"})

    @app.input(Query, location="query")
    def checked(query_data: dict[str, Any]) -> Any:
        return query_data

    add_all(add, protected, aborted, checked)
    return app


def add_all(add: Any, protected: bool, aborted: Any, checked: Any) -> None:
    def view() -> dict[str, str]:
        return {"who": "in"}

    def raised() -> None:
        raise AuthError(
            "Only on Sundays", 403, reason="weekday", headers={"X-Open": "Sunday"}, scope=("a:b",)
        )

    def broken() -> None:
        raise OSError("out of order")

    for name, decorator in checks(protected).items():
        add(f"/{name}", decorator(raised if name == "raised" else view))
    add("/aborted", aborted)
    add("/checked", checked)
    add("/broken", broken)


LIBRARIES = {"restful": restful, "restx": restx, "smorest": smorest, "apiflask": apiflask}
# The members of an error of each library, beside those that are documented for denials.
OWN_MEMBERS: dict[str, Callable[[int], dict[str, Any]]] = {
    "restful": lambda status: {},
    "restx": lambda status: {},
    "smorest": lambda status: {
        "code": status,
        "status": {401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}[status],
    },
    "apiflask": lambda status: {"detail": {}},
}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def with_extension(library: str, **config: Any) -> Flask:
    app = LIBRARIES[library](protected=True, **config)
    TenantAuth(app)
    return app


def denied(app: Flask, status: int) -> TestResponse:
    client = app.test_client()
    if status == 429:
        assert client.get("/429").get_json() == {"who": "in"}
    return client.get(f"/{status}", headers=bearer() if status == 403 else {})


def check_header_fields(answer: TestResponse) -> None:
    name, value = HEADERS[answer.status_code]
    (sent,) = answer.headers.getlist(name)
    assert sent == value if value else 1 <= int(sent) <= 60


class TestErrorsOfTheLibrary:
    @pytest.mark.parametrize(
        "path", ["/none", "/aborted", "/checked", "/checked?page=x", "/broken"]
    )
    @pytest.mark.parametrize("method", ["GET", "PATCH"])
    @pytest.mark.parametrize("problems", [False, True])
    def test_they_are_the_same_with_and_without_the_extension(
        self, library: str, path: str, method: str, problems: bool
    ) -> None:
        alone = LIBRARIES[library](protected=False)
        both = with_extension(library, AUTH_PROBLEM_JSON=problems, CORS_ORIGINS="")
        answers = [each.test_client().open(path, method=method) for each in (alone, both)]
        assert answers[0].status_code >= 400
        assert answers[0].status_code == answers[1].status_code
        assert answers[0].data == answers[1].data
        added = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
        assert set(answers[1].headers) - set(answers[0].headers) <= {
            (name, answers[1].headers.get(name)) for name in added
        }
        assert set(answers[0].headers) <= set(answers[1].headers)

    def test_what_is_let_in_is_the_view_s(self, library: str) -> None:
        client = with_extension(library).test_client()
        assert client.get("/401", headers=bearer()).get_json() == {"who": "in"}
        assert client.get("/403", headers=bearer(role="admin")).get_json() == {"who": "in"}


class TestDenials:
    @pytest.mark.parametrize("status", DENIALS)
    def test_a_denial_has_the_documented_members_in_the_form_of_the_library(
        self, library: str, status: int
    ) -> None:
        answer = denied(with_extension(library), status)
        assert answer.status_code == status
        assert answer.mimetype == "application/json"
        assert answer.get_json() == DENIALS[status] | OWN_MEMBERS[library](status)
        check_header_fields(answer)

    def test_a_429_of_the_hook_has_that_form_too(self, library: str) -> None:
        app = with_extension(library, RATELIMIT_DEFAULT="1 per minute")
        client = app.test_client()
        assert client.get("/401", headers=bearer()).status_code == 200
        answer = client.get("/401", headers=bearer())
        assert answer.get_json() == DENIALS[429] | OWN_MEMBERS[library](429)
        check_header_fields(answer)

    def test_an_auth_error_of_a_view_has_that_form_and_its_header_fields(
        self, library: str
    ) -> None:
        answer = with_extension(library).test_client().get("/raised", headers=bearer())
        expected = {"error": "Forbidden", "message": "Only on Sundays"}
        assert answer.status_code == 403
        assert answer.get_json() == expected | OWN_MEMBERS[library](403)
        assert answer.headers.getlist("X-Open") == ["Sunday"]
        (challenge,) = answer.headers.getlist("WWW-Authenticate")
        assert challenge.endswith('scope="a:b"')

    @pytest.mark.parametrize("status", DENIALS)
    def test_with_auth_problem_json_a_denial_is_a_problem(self, library: str, status: int) -> None:
        answer = denied(with_extension(library, AUTH_PROBLEM_JSON=True), status)
        assert (answer.status_code, answer.mimetype) == (status, PROBLEM)
        body = json.loads(answer.data)
        assert (body["detail"], body["reason"]) == (DENIALS[status]["message"], REASONS[status])
        assert set(body) == {"type", "title", "status", "detail", "reason"}
        check_header_fields(answer)

    @pytest.mark.parametrize("library", ["smorest", "apiflask"])
    @pytest.mark.parametrize("key", [AuthError, RateLimitExceeded, 429])
    def test_a_handler_of_the_app_is_asked_before_the_library(self, library: str, key: Any) -> None:
        app = with_extension(library)
        app.register_error_handler(key, lambda error: ({"own": error.reason}, error.code))
        answer = denied(app, 429)
        assert (answer.status_code, answer.get_json()) == (429, {"own": "rate_limit_exceeded"})
        check_header_fields(answer)


class TestFormsOfTheApp:
    """What each library documents for an error form of one's own is asked for denials too."""

    @pytest.mark.parametrize("problems", [False, True])
    def test_error_processor_of_apiflask(self, problems: bool) -> None:
        app: Any = with_extension("apiflask", AUTH_PROBLEM_JSON=problems)

        @app.error_processor
        def processed(error: Any) -> Any:
            body = {"code": error.status_code, "text": error.message, "detail": error.detail}
            return body, error.status_code, error.headers

        assert app.test_client().get("/none").get_json()["text"] == "Not Found"
        for status, documented in DENIALS.items():
            answer = denied(app, status)
            body = {"code": status, "text": documented["message"], "detail": {}}
            assert (answer.status_code, answer.get_json()) == (status, body)
            check_header_fields(answer)

    def test_apiflask_without_json_errors_gets_the_documented_json(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from apiflask import APIFlask

        plain = app_of()
        app = APIFlask(plain.name, json_errors=False)
        app.config.update(plain.config)
        TenantAuth(app)
        app.get("/401")(verify_tenant_context(lambda: "in"))
        assert denied(app, 401).get_json() == DENIALS[401]
        assert app.test_client().get("/none").mimetype == "text/html"

    def test_a_status_that_apiflask_does_not_know_gets_the_documented_json(self) -> None:
        app: Any = with_extension("apiflask")

        @app.get("/")
        def view() -> None:
            raise AuthError("Pay first", 402)

        answer = app.test_client().get("/")
        assert answer.status_code == 402
        assert answer.get_json() == {"error": "Payment Required", "message": "Pay first"}

    @pytest.mark.parametrize("problems", [False, True])
    def test_handle_http_exception_of_a_subclass_of_smorest_s_api(self, problems: bool) -> None:
        import flask_smorest

        class Api(flask_smorest.Api):  # type: ignore[misc]
            def handle_http_exception(self, error: Any) -> Any:
                payload, status, headers = super().handle_http_exception(error)
                return {"failure": payload}, status, headers

        app = app_of(
            API_TITLE="t",
            API_VERSION="1",
            OPENAPI_VERSION="3.0.3",
            AUTH_PROBLEM_JSON=problems,
        )
        Api(app)
        TenantAuth(app)
        app.get("/401")(verify_tenant_context(lambda: "in"))
        answer = denied(app, 401)
        failure = {"code": 401, "status": "Unauthorized", "message": REQUIRED}
        assert (answer.status_code, answer.get_json()) == (401, {"failure": failure})
        check_header_fields(answer)

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_it_does_not_matter_whether_the_api_or_tenantauth_is_first(self, when: str) -> None:
        import flask_smorest

        app = app_of(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.3")
        if when == "before":
            TenantAuth(app)
        flask_smorest.Api(app)
        if when == "after":
            TenantAuth(app)
        app.get("/401")(verify_tenant_context(lambda: "in"))
        answer = denied(app, 401)
        assert answer.get_json() == DENIALS[401] | OWN_MEMBERS["smorest"](401)

    @pytest.mark.parametrize("problems", [False, True])
    def test_errorhandler_of_restx_sets_the_data(self, problems: bool) -> None:
        import flask_restx

        app = app_of(AUTH_PROBLEM_JSON=problems)
        api = flask_restx.Api(app)

        @api.errorhandler(AuthError)
        def own(error: AuthError) -> Any:
            # Flask-RESTX prefers the data of an error to what the handler returns.
            error.data = {"own": error.reason}
            return error.data, error.status_code

        class Notes(flask_restx.Resource):  # type: ignore[misc]
            @verify_tenant_context
            def get(self) -> Any:
                return {"who": "in"}

        api.add_resource(Notes, "/401")
        TenantAuth(app)
        answer = denied(app, 401)
        assert (answer.status_code, answer.get_json()) == (401, {"own": "no_credentials"})
        check_header_fields(answer)

    def test_errors_of_restful(self) -> None:
        import flask_restful

        app = app_of()
        errors = {"AuthError": {"hint": "sign in", "status": 401}}
        api = flask_restful.Api(app, errors=errors)

        class Notes(flask_restful.Resource):  # type: ignore[misc]
            @verify_tenant_context
            def get(self) -> Any:
                return {"who": "in"}

        api.add_resource(Notes, "/401")
        TenantAuth(app)
        answer = denied(app, 401)
        assert answer.get_json() == DENIALS[401] | errors["AuthError"]
        check_header_fields(answer)
