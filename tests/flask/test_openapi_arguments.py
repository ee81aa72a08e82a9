"""`describe_security`: what a document has already stays, and wrong arguments raise."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from apispec import APISpec

from apps import make_app
from flask_tenant_auth import verify_role, verify_tenant_context
from flask_tenant_auth.openapi import describe_security

LIMITS = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}


def view() -> dict[str, str]:
    return {"who": "in"}


class TestWhatIsThereAlready:
    def described(self, own: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        app = make_app()
        app.get("/x")(verify_role("admin")(view))
        document = {
            "openapi": "3.1.0",
            "info": {"title": "t", "version": "1"},
            "components": {"securitySchemes": {"bearerAuth": {"type": "openIdConnect"}}},
            "paths": {"/x": {"get": own}},
        }
        describe_security(document, app)
        once = deepcopy(document)
        describe_security(document, app)
        assert document == once  # the second call changes nothing
        return once, once["paths"]["/x"]["get"]

    def test_security_and_scheme_of_the_app_stay(self) -> None:
        document, found = self.described({"security": [{"session": []}]})
        assert found["security"] == [{"session": []}]
        assert document["components"]["securitySchemes"] == {
            "bearerAuth": {"type": "openIdConnect"}
        }

    def test_a_response_of_the_app_stays_and_gets_the_header_fields(self) -> None:
        own = {"description": "Sign in", "headers": {"X-A": {"schema": {"type": "string"}}}}
        _, found = self.described({"responses": {"401": own, "default": {"$ref": "#/x"}}})
        assert found["responses"]["401"]["description"] == "Sign in"
        assert set(found["responses"]["401"]["headers"]) == {"X-A", "WWW-Authenticate"} | LIMITS
        assert found["responses"]["default"] == {"$ref": "#/x"}

    def test_the_description_of_the_app_stays(self) -> None:
        _, found = self.described({"description": "Shows it."})
        assert found["description"] == "Shows it.\n\nRequired role: admin."

    def test_the_name_of_the_scheme_can_be_chosen(self) -> None:
        app = make_app()
        app.get("/x")(verify_tenant_context(view))
        spec = APISpec("t", "1", "3.0.3")
        spec.path("/x", operations={"get": {"responses": {"200": {"description": "in"}}}})
        describe_security(spec, app, scheme="jwt")
        document = spec.to_dict()
        assert list(document["components"]["securitySchemes"]) == ["jwt"]
        assert document["paths"]["/x"]["get"]["security"] == [{"jwt": []}]


class TestWrongArguments:
    @pytest.mark.parametrize("spec", [None, "openapi: 3.0.3", []])
    def test_a_spec_is_an_apispec_or_a_dict(self, spec: Any) -> None:
        with pytest.raises(TypeError, match="spec must be"):
            describe_security(spec, make_app())

    @pytest.mark.parametrize("spec", [{}, {"swagger": "2.0"}, APISpec("t", "1", "2.0")])
    def test_a_document_is_openapi_3(self, spec: Any) -> None:
        with pytest.raises(ValueError, match="OpenAPI 3"):
            describe_security(spec, make_app())

    def test_an_app_is_a_flask_app(self) -> None:
        with pytest.raises(TypeError, match=r"flask\.Flask"):
            describe_security({"openapi": "3.0.3"}, object())  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("scheme", "raised"), [(7, TypeError), ("", ValueError), ("a b", ValueError)]
    )
    def test_a_scheme_is_a_name(self, scheme: Any, raised: Any) -> None:
        with pytest.raises(raised, match="scheme must be"):
            describe_security({"openapi": "3.0.3"}, make_app(), scheme=scheme)
