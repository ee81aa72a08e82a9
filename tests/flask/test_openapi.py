"""`describe_security`: what the decorators declare is what the pages of an API show."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, ClassVar

import pytest
from apispec import APISpec
from flask import Blueprint, Flask
from flask.views import MethodView
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from apps import bare_app, bearer, make_app
from flask_tenant_auth import (
    ConfigurationError,
    TenantAuth,
    protected_elsewhere,
    public_route,
    rate_limit,
    rate_limit_exempt,
    verify_permission,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.openapi import describe_security

BEARER = [{"bearerAuth": []}]
LIMITS = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
PREFIX = "#/components/responses/TenantAuth"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def view() -> dict[str, str]:
    return {"who": "in"}


VIEWS: dict[str, Callable[[], Any]] = {
    "open": view,
    "public": public_route(view),
    "protected": verify_tenant_context(view),
    "admins": verify_role("admin")(view),
    "both": verify_role("admin", "user")(view),
    "limited": rate_limit("5 per minute")(view),
    "free": rate_limit_exempt(verify_tenant_context(view)),
    "free_public": rate_limit_exempt(public_route(view)),
    "elsewhere": protected_elsewhere("Flask-Login")(view),
}


def add_views(target: Any, around: Callable[[Any], Any] = lambda each: each) -> None:
    for name, each in VIEWS.items():
        target.add_url_rule(f"/{name}", name, around(each))


def validated(document: dict[str, Any]) -> dict[str, Any]:
    """The document as a client gets it, after a check of the whole of it."""
    sent: dict[str, Any] = json.loads(json.dumps(document))
    is_30 = sent["openapi"].startswith("3.0")
    (OpenAPIV30SpecValidator if is_30 else OpenAPIV31SpecValidator)(sent).validate()
    return sent


# How an app of each library makes its document, as its documentation says.


def by_smorest(version: str = "3.0.3", **config: Any) -> dict[str, Any]:
    import flask_smorest

    settings = {"API_TITLE": "t", "API_VERSION": "1", "OPENAPI_VERSION": version}
    app = make_app(**settings, OPENAPI_URL_PREFIX="/", **config)
    api = flask_smorest.Api(app)
    blueprint = flask_smorest.Blueprint("notes", "notes")
    add_views(blueprint, blueprint.response(200))
    api.register_blueprint(blueprint)
    describe_security(api.spec, app)
    shown: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return shown


def apiflask_app(**config: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from apiflask import APIFlask

    plain = bare_app(**config)
    app = APIFlask(plain.name)
    app.config.update(plain.config)
    TenantAuth(app)
    return app


def by_apiflask(version: str = "3.0.3", **config: Any) -> dict[str, Any]:
    app = apiflask_app(OPENAPI_VERSION=version, **config)
    add_views(app)

    @app.spec_processor
    def add_security(spec: Any) -> Any:
        return describe_security(spec, app)

    shown: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return shown


def by_apiflask_with_objects(version: str = "3.0.3", **config: Any) -> dict[str, Any]:
    return by_apiflask(version, SPEC_PROCESSOR_PASS_OBJECT=True, **config)


def by_apispec(version: str = "3.0.3", **config: Any) -> dict[str, Any]:
    app = make_app(**config)
    add_views(app)
    spec = APISpec("t", "1", version)
    for name in VIEWS:
        spec.path(f"/{name}", operations={"get": {"responses": {"200": {"description": "in"}}}})
    assert describe_security(spec, app) is spec
    return spec.to_dict()


def by_hand(version: str = "3.0.3", **config: Any) -> dict[str, Any]:
    app = make_app(**config)
    add_views(app)
    document = {
        "openapi": version,
        "info": {"title": "t", "version": "1"},
        "paths": {
            f"/{name}": {"get": {"responses": {"200": {"description": "in"}}}} for name in VIEWS
        },
    }
    assert describe_security(document, app) is document
    return document


WAYS = [by_smorest, by_apiflask, by_apiflask_with_objects, by_apispec, by_hand]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    made: Callable[..., dict[str, Any]] = request.param
    return made


def operation(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][f"/{name}"]["get"]
    return found


def statuses(found: dict[str, Any]) -> set[str]:
    """The statuses of denials that an operation lists."""
    refs = {key: each.get("$ref", "") for key, each in found["responses"].items()}
    ours = {key for key, ref in refs.items() if ref.startswith(PREFIX)}
    assert all(refs[key] == PREFIX + key for key in ours)
    return ours


class TestWhatIsWritten:
    @pytest.mark.parametrize("version", ["3.0.0", "3.0.3", "3.1.0"])
    @pytest.mark.parametrize("problems", [False, True])
    def test_the_document_is_valid(self, way: Any, version: str, problems: bool) -> None:
        document = validated(way(version, AUTH_PROBLEM_JSON=problems))
        scheme = document["components"]["securitySchemes"]["bearerAuth"]
        assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == (
            "http",
            "bearer",
            "JWT",
        )

    def test_the_validation_finds_what_is_wrong(self) -> None:
        document = by_hand()
        operation(document, "open")["responses"]["401"] = {"$ref": "#/components/responses/None"}
        with pytest.raises(Exception, match="None"):
            validated(document)
        document = by_hand()
        operation(document, "open")["security"] = "bearerAuth"
        with pytest.raises(OpenAPIValidationError):
            validated(document)

    def test_each_operation_has_the_security_of_its_decorators(self, way: Any) -> None:
        document = way()
        found = {name: operation(document, name).get("security") for name in VIEWS}
        assert found == {
            "open": None,
            "public": [],
            "protected": BEARER,
            "admins": BEARER,
            "both": BEARER,
            "limited": None,
            "free": BEARER,
            "free_public": [],
            "elsewhere": None,
        }

    def test_each_operation_lists_the_denials_that_can_occur(self, way: Any) -> None:
        document = way()
        assert {name: statuses(operation(document, name)) for name in VIEWS} == {
            "open": {"429"},
            "public": {"429"},
            "protected": {"401", "429"},
            "admins": {"401", "403", "429"},
            "both": {"401", "403", "429"},
            "limited": {"429"},
            "free": {"401", "429"},  # of AUTH_FAILURE_LIMIT
            "free_public": set(),
            "elsewhere": {"429"},
        }

    def test_without_limits_no_429_and_no_header_fields_are_listed(self, way: Any) -> None:
        document = way(RATELIMIT_ENABLED=False, AUTH_FAILURE_LIMIT="")
        for name in VIEWS:
            assert "429" not in operation(document, name)["responses"]
            assert not operation(document, name)["responses"]["200"].get("headers")

    def test_without_a_default_limit_the_decorators_count(self, way: Any) -> None:
        document = way(RATELIMIT_DEFAULT="", AUTH_FAILURE_LIMIT="")
        listed = {name for name in VIEWS if "429" in operation(document, name)["responses"]}
        assert listed == {"limited"}

    def test_roles_are_in_the_description_and_in_an_extension(self, way: Any) -> None:
        document = way()
        admins, both = operation(document, "admins"), operation(document, "both")
        assert admins["x-required-roles"] == ["admin"]
        assert "Required role: admin." in admins["description"]
        assert both["x-required-roles"] == ["user", "admin"]  # weakest first
        assert "Required role: user or admin." in both["description"]
        assert "x-required-roles" not in operation(document, "protected")

    def test_counted_operations_have_the_header_fields_of_limits(self, way: Any) -> None:
        document = way()
        found = {
            name: set(operation(document, name)["responses"]["200"].get("headers") or {})
            for name in VIEWS
        }
        exempt = {"free", "free_public"}
        assert found == {name: set() if name in exempt else LIMITS for name in VIEWS}
        assert set(document["components"]["headers"]) > LIMITS

    def test_the_settings_say_which_header_fields_are_sent(self, way: Any) -> None:
        document = way(RATELIMIT_HEADERS_ENABLED=False, RATELIMIT_IETF_HEADERS_ENABLED=True)
        headers = operation(document, "open")["responses"]["200"]["headers"]
        assert set(headers) == {"RateLimit", "RateLimit-Policy"}


ROLES = {"AUTH_ROLES": "viewer, manager, owner", "AUTH_TENANT_ROLES": "owner"}


def rights_of(decorators: list[Any], **config: Any) -> dict[str, Any]:
    """The operation of a view with these decorators, the outermost first."""
    app = make_app(**ROLES, **config)
    decorated: Any = view
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    app.get("/x")(decorated)
    spec = APISpec("t", "1", "3.0.3")
    spec.path("/x", operations={"get": {"responses": {"200": {"description": "in"}}}})
    describe_security(spec, app)
    found: dict[str, Any] = validated(spec.to_dict())["paths"]["/x"]["get"]
    return found


class TestRights:
    def test_permissions_are_in_the_description_and_in_an_extension(self) -> None:
        found = rights_of([verify_permission("a:read", "a:write"), verify_permission("b:read")])
        assert set(found["x-required-permissions"]) == {"a:read", "a:write", "b:read"}
        assert found["description"].startswith("Required permission: ")
        assert found["security"] == BEARER
        assert statuses(found) == {"401", "403", "429"}
        assert "x-required-roles" not in found

    def test_at_least_lists_the_roles_of_the_app_that_pass(self) -> None:
        found = rights_of([verify_role(at_least="manager")])
        assert found["x-required-roles"] == ["manager", "owner"]
        assert found["description"] == "Required role: manager or owner."
        assert statuses(found) == {"401", "403", "429"}

    def test_a_role_must_pass_both_forms_where_both_stand(self) -> None:
        both = [verify_role("viewer", "owner"), verify_role(at_least="manager")]
        assert rights_of(both)["x-required-roles"] == ["owner"]
        nobody = rights_of([verify_role("viewer"), verify_role(at_least="manager")])
        assert nobody["x-required-roles"] == []
        assert statuses(nobody) == {"401", "403", "429"}

    def test_roles_and_permissions_stand_beside_each_other(self) -> None:
        found = rights_of([verify_role("owner"), verify_permission("a:read")])
        assert found["description"] == "Required role: owner.\n\nRequired permission: a:read."

    def test_a_role_that_the_app_does_not_have_raises(self) -> None:
        app = make_app(**ROLES)
        app.get("/x")(verify_role("admin")(view))
        document = {"openapi": "3.0.3", "paths": {"/x": {"get": {}}}}
        with pytest.raises(ConfigurationError, match="admin"):
            describe_security(document, app)


ANSWERS = {"401": {}, "403": bearer(), "429": {}}


class TestWhatIsSent:
    """What the document says of a denial holds for the answer that a client gets."""

    def answers(self, app: Flask) -> Iterator[tuple[str, Any]]:
        app.get("/401")(verify_tenant_context(view))
        app.get("/403", endpoint="403")(verify_role("admin")(view))
        app.get("/429", endpoint="429")(rate_limit("0 per minute")(view))
        for status, headers in ANSWERS.items():
            yield status, app.test_client().get(f"/{status}", headers=headers)

    @pytest.mark.parametrize("library", ["flask", "smorest", "apiflask"])
    @pytest.mark.parametrize("problems", [False, True])
    def test_answers_are_as_documented(self, library: str, problems: bool) -> None:
        from jsonschema import validate

        config = {"AUTH_PROBLEM_JSON": problems}
        if library == "apiflask":
            app = apiflask_app(**config)
        else:
            app = make_app(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.3", **config)
        if library == "smorest":
            import flask_smorest

            flask_smorest.Api(app)
        components = by_hand(**config)["components"]
        for status, answer in self.answers(app):
            assert str(answer.status_code) == status
            documented = components["responses"][f"TenantAuth{status}"]
            ((media_type, content),) = documented["content"].items()
            assert answer.mimetype == media_type
            name = content["schema"]["$ref"].rpartition("/")[2]
            body = json.loads(answer.data)
            validate(body, components["schemas"][name])
            validate(content["example"], components["schemas"][name])
            for header in documented["headers"]:
                if header in LIMITS and status != "429":
                    continue  # they are there where a limit counts the request
                assert header in answer.headers


class TestPathsAndMethods:
    def paths(self, app: Flask, document: dict[str, Any]) -> dict[str, Any]:
        whole = {"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": document}
        described: dict[str, Any] = describe_security(whole, app)["paths"]
        return described

    def test_placeholders_of_any_converter_are_found(self) -> None:
        app = make_app()
        rules = {
            "/a/<x>": "/a/{x}",
            "/b/<int:x>": "/b/{x}",
            "/c/<string(length=2):x>/<path:y>": "/c/{x}/{y}",
            "/d/<any('a:b', c):x>": "/d/{x}",
            "/e/<int(min=1):x>.json": "/e/{x}.json",
        }
        for rule in rules:
            app.add_url_rule(rule, rule, verify_tenant_context(lambda **_: "in"))
        described = self.paths(app, {path: {"get": {}} for path in rules.values()})
        assert all(each["get"]["security"] == BEARER for each in described.values())

    def test_each_method_of_a_class_has_its_own(self) -> None:
        class Notes(MethodView):
            decorators: ClassVar[list[Any]] = [verify_tenant_context]

            def get(self) -> str:
                return "in"

            @verify_role("admin")
            def delete(self) -> str:
                return "gone"

        app = make_app()
        app.add_url_rule("/notes", view_func=Notes.as_view("notes"))
        described = self.paths(app, {"/notes": {"get": {}, "delete": {}, "post": {}}})["/notes"]
        assert statuses(described["get"]) == {"401", "429"}
        assert described["delete"]["x-required-roles"] == ["admin"]
        assert described["post"] == {}  # no such route

    def test_a_method_view_of_smorest_and_its_nested_blueprint(self) -> None:
        import flask_smorest

        app = make_app(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.3")
        api = flask_smorest.Api(app)
        outer = flask_smorest.Blueprint("outer", "outer", url_prefix="/outer")
        inner = flask_smorest.Blueprint("inner", "inner", url_prefix="/<int:number>")

        @inner.route("/notes")
        class Notes(MethodView):
            @verify_role("admin")
            @inner.response(200)
            def get(self, number: int) -> dict[str, int]:
                return {"number": number}

            @inner.response(201)
            @public_route
            def post(self, number: int) -> dict[str, int]:
                return {"number": number}

        outer.register_blueprint(inner)
        api.register_blueprint(outer)
        describe_security(api.spec, app)
        document = validated(api.spec.to_dict())
        found = document["paths"]["/outer/{number}/notes"]
        assert found["get"]["security"] == BEARER
        assert found["get"]["x-required-roles"] == ["admin"]
        assert found["post"]["security"] == []
        assert set(found["post"]["responses"]["201"]["headers"]) == LIMITS

    def test_a_scheme_in_the_options_of_smorest_stays(self) -> None:
        """API_SPEC_OPTIONS is where its documentation puts the schemes."""
        mine = {"type": "http", "scheme": "bearer"}
        options = {"components": {"securitySchemes": {"bearerAuth": mine}}}
        document = validated(by_smorest(API_SPEC_OPTIONS=options))
        assert document["components"]["securitySchemes"] == {"bearerAuth": mine}
        assert operation(document, "protected")["security"] == BEARER

    def test_a_check_before_all_requests_of_a_blueprint_counts(self) -> None:
        app = make_app()
        blueprint = Blueprint("b", __name__)
        blueprint.before_request(verify_tenant_context(lambda: None))
        blueprint.get("/in")(view)
        app.register_blueprint(blueprint)
        app.get("/out", endpoint="out")(view)
        described = self.paths(app, {"/in": {"get": {}}, "/out": {"get": {}}})
        assert described["/in"]["get"]["security"] == BEARER
        assert "security" not in described["/out"]["get"]

    def test_a_path_of_two_hosts_has_the_stricter_security(self) -> None:
        app = Flask("hosts", host_matching=True, static_host="a.example")
        app.config.update(bare_app().config)
        TenantAuth(app)
        app.add_url_rule("/", "a", public_route(view), host="a.example")
        app.add_url_rule("/", "b", verify_role("admin")(view), host="b.example")
        described = self.paths(app, {"/": {"get": {}}})["/"]["get"]
        assert described["security"] == BEARER
        assert described["x-required-roles"] == ["admin"]

    def test_what_is_no_operation_is_left_alone(self) -> None:
        app = make_app()
        app.get("/x")(verify_tenant_context(view))
        shared = {"summary": "X", "parameters": [], "x-own": {"responses": {}}}
        described = self.paths(app, {"/x": {**deepcopy(shared), "get": {}}, "/y": {"get": {}}})
        assert {key: described["/x"][key] for key in shared} == shared
        assert described["/y"] == {"get": {}}

    def test_without_tenantauth_the_decorators_are_described(self) -> None:
        app = bare_app(AUTH_FAILURE_LIMIT="")
        add_views(app)
        described = self.paths(app, {f"/{name}": {"get": {}} for name in VIEWS})
        assert statuses(described["/admins"]["get"]) == {"401", "403"}
        assert statuses(described["/limited"]["get"]) == {"429"}
