"""The documented behaviour, class by class as the reference lists it."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from flask import Flask, request

from apps import (
    OTHER_TENANT,
    OTHER_USER,
    SECRET,
    TENANT,
    USER,
    bearer,
    error_of,
    identity_headers,
    make_app,
    token,
)
from flask_tenant_auth import (
    AuthError,
    UserRole,
    acting_as,
    create_auth_response,
    create_jwt_token,
    decode_jwt_token,
    extract_bearer_token,
    extract_tenant_context,
    get_tenant_context,
    get_user_role,
    is_valid_uuid,
    log_request_context,
    rate_limit,
    verify_resource_access,
    verify_role,
    verify_tenant_context,
)

CREDENTIALS_REQUIRED = "Bearer token or X-Tenant-ID and X-User-ID headers required"


@pytest.fixture
def app() -> Flask:
    return make_app()


@pytest.fixture
def context(app: Flask) -> Iterator[Flask]:
    with app.app_context():
        yield app


class TestUUIDValidation:
    def test_a_canonical_uuid_is_valid(self) -> None:
        assert is_valid_uuid(USER)

    def test_upper_case_is_valid(self) -> None:
        assert is_valid_uuid(USER.upper())

    @pytest.mark.parametrize("version", [uuid.uuid1(), uuid.uuid4(), uuid.UUID(int=0)])
    def test_any_version_is_valid(self, version: uuid.UUID) -> None:
        assert is_valid_uuid(str(version))

    @pytest.mark.parametrize(
        "value",
        [
            USER.replace("-", ""),
            f"{{{USER}}}",
            f"urn:uuid:{USER}",
            f" {USER}",
            f"{USER}\n",
            USER[:-1],
            USER + "0",
            USER.replace("5", "g"),
            "",
        ],
    )
    def test_other_forms_are_invalid(self, value: str) -> None:
        assert not is_valid_uuid(value)

    @pytest.mark.parametrize(
        "value", [None, 7, 1.5, b"550e8400", [], {}, uuid.UUID(USER), object()]
    )
    def test_other_types_are_false_and_never_raise(self, value: object) -> None:
        assert is_valid_uuid(value) is False


class TestJWTTokens:
    # Creation

    def test_a_new_token_has_the_documented_claims(self, context: Flask) -> None:
        before = int(time.time())
        claims = jwt.decode(create_jwt_token(TENANT, USER), SECRET, ["HS256"])
        assert claims["tenant_id"] == TENANT
        assert claims["user_id"] == USER
        assert claims["role"] == "user"
        assert before <= claims["iat"] <= time.time()
        assert set(claims) == {"tenant_id", "user_id", "role", "iat", "exp"}

    def test_a_new_token_expires_after_the_configured_hours(self, context: Flask) -> None:
        claims = decode_jwt_token(create_jwt_token(TENANT, USER))
        assert claims["exp"] - claims["iat"] == 24 * 3600

    def test_a_new_token_expires_after_the_given_hours(self, context: Flask) -> None:
        claims = decode_jwt_token(create_jwt_token(TENANT, USER, expires_in_hours=1.5))
        assert claims["exp"] - claims["iat"] == 5400

    @pytest.mark.parametrize("role", ["admin", UserRole.ADMIN])
    def test_a_new_token_has_the_given_role(self, context: Flask, role: str) -> None:
        assert decode_jwt_token(create_jwt_token(TENANT, USER, role))["role"] == "admin"

    def test_a_new_token_has_the_further_claims(self, context: Flask) -> None:
        further = {"name": "Jürgen \U0001f600", "teams": [{"id": 7, "lead": None}], "sub": "x"}
        decoded = decode_jwt_token(create_jwt_token(TENANT, USER, claims=further))
        assert {name: decoded[name] for name in further} == further

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (("not-a-uuid", USER), "tenant_id"),
            ((TENANT, "not-a-uuid"), "user_id"),
            ((TENANT, USER, "root"), "role"),
            ((None, USER), "tenant_id"),
            ((TENANT, 7), "user_id"),
            ((TENANT, USER, None), "role"),
        ],
    )
    def test_create_raises_for_values_that_are_not_valid(
        self, context: Flask, arguments: tuple[Any, ...], named: str
    ) -> None:
        with pytest.raises(ValueError, match=named):
            create_jwt_token(*arguments)

    def test_create_raises_for_reserved_claims(self, context: Flask) -> None:
        for name in ("tenant_id", "user_id", "role", "exp", "iat", "nbf", "iss", "aud"):
            with pytest.raises(ValueError, match=f"claims.*{name}"):
                create_jwt_token(TENANT, USER, claims={name: 1})

    def test_create_takes_uuids_and_writes_lower_case(self, context: Flask) -> None:
        decoded = decode_jwt_token(create_jwt_token(uuid.UUID(TENANT), USER.upper()))
        assert (decoded["tenant_id"], decoded["user_id"]) == (TENANT, USER)

    # Decoding

    def test_decode_reads_a_token_of_pyjwt(self, context: Flask) -> None:
        decoded = decode_jwt_token(token(role="admin", nested={"ü": [1, 2.5, None]}))
        assert decoded["role"] == "admin"
        assert decoded["nested"] == {"ü": [1, 2.5, None]}

    def test_decode_raises_for_an_expired_token(self, context: Flask) -> None:
        with pytest.raises(AuthError) as caught:
            decode_jwt_token(create_jwt_token(TENANT, USER, expires_in_hours=-1))
        assert (caught.value.status_code, caught.value.message) == (401, "Token expired")

    def test_decode_raises_for_a_token_of_another_key(self, context: Flask) -> None:
        foreign = jwt.encode({"tenant_id": TENANT, "user_id": USER, "exp": 2**33}, "x" * 64)
        with pytest.raises(AuthError) as caught:
            decode_jwt_token(foreign)
        assert (caught.value.status_code, caught.value.message) == (401, "Invalid token")

    @pytest.mark.parametrize(
        "bad", ["", ".", "a.b.c", "not a token", "é.é.é", "\x00" * 9, "." * 99]
    )
    def test_decode_raises_for_text_that_is_no_token(self, context: Flask, bad: str) -> None:
        with pytest.raises(AuthError, match=r"^Invalid token$"):
            decode_jwt_token(bad)

    def test_decode_raises_for_an_unsigned_token(self, context: Flask) -> None:
        unsigned = jwt.encode({"tenant_id": TENANT, "user_id": USER, "exp": 2**33}, "", "none")
        with pytest.raises(AuthError, match=r"^Invalid token$"):
            decode_jwt_token(unsigned)


class TestBearerTokenExtraction:
    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
    def test_the_scheme_is_read_in_any_case(self, app: Flask, scheme: str) -> None:
        with app.test_request_context(headers={"Authorization": f"{scheme} abc.def.ghi"}):
            assert extract_bearer_token() == "abc.def.ghi"

    def test_a_request_without_the_header_has_no_token(self, app: Flask) -> None:
        with app.test_request_context():
            assert extract_bearer_token() is None

    @pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Bearerabc", "Token abc", ""])
    def test_other_schemes_have_no_token(self, app: Flask, value: str) -> None:
        with app.test_request_context(headers={"Authorization": value}):
            assert extract_bearer_token() is None

    def test_several_spaces_before_the_token_are_skipped(self, app: Flask) -> None:
        with app.test_request_context(headers={"Authorization": "Bearer   abc.def.ghi"}):
            assert extract_bearer_token() == "abc.def.ghi"


class TestTenantContextExtraction:
    def test_a_token_gives_the_identity(self, app: Flask) -> None:
        with app.test_request_context(headers=bearer(role="admin")):
            assert extract_tenant_context() == (TENANT, USER, "admin")

    def test_identity_headers_give_the_identity(self, app: Flask) -> None:
        headers = identity_headers(**{"X-User-Role": "admin"})
        with app.test_request_context(headers=headers):
            assert extract_tenant_context() == (TENANT, USER, "admin")

    def test_query_parameters_give_the_identity(self, app: Flask) -> None:
        with app.test_request_context(query_string={"tenant_id": TENANT, "user_id": USER}):
            assert extract_tenant_context() == (TENANT, USER, "user")

    def test_a_token_has_precedence_over_headers(self, app: Flask) -> None:
        headers = identity_headers(OTHER_TENANT, OTHER_USER) | bearer()
        with app.test_request_context(headers=headers):
            assert extract_tenant_context() == (TENANT, USER, "user")

    def test_a_request_without_credentials_has_no_identity(self, app: Flask) -> None:
        with app.test_request_context():
            assert extract_tenant_context() == (None, None, None)

    def test_an_invalid_token_gives_no_identity_even_with_headers(self, app: Flask) -> None:
        headers = identity_headers() | {"Authorization": "Bearer a.b.c"}
        with app.test_request_context(headers=headers):
            assert extract_tenant_context() == (None, None, None)


class TestVerifyTenantContextDecorator:
    @staticmethod
    @verify_tenant_context
    def view(**more: str) -> dict[str, Any]:
        """Answer with who asks."""
        return {"who": get_tenant_context(), "role": get_user_role(), **more}

    def test_lets_a_valid_token_in(self, app: Flask) -> None:
        with app.test_request_context(headers=bearer()):
            assert self.view(a="b") == {"who": (TENANT, USER), "role": "user", "a": "b"}

    def test_returns_the_documented_pair_without_credentials(self, app: Flask) -> None:
        with app.test_request_context():
            response, status = self.view()
        assert status == 401
        assert response == {"error": "Unauthorized", "message": CREDENTIALS_REQUIRED}

    @pytest.mark.parametrize(
        ("headers", "message"),
        [
            (identity_headers("7"), "Tenant ID must be valid UUID"),
            (identity_headers(TENANT, "7"), "User ID must be valid UUID"),
            (identity_headers(**{"X-User-Role": "root"}), "Role must be one of: user, admin"),
        ],
    )
    def test_returns_400_for_malformed_headers(
        self, app: Flask, headers: dict[str, str], message: str
    ) -> None:
        with app.test_request_context(headers=headers):
            response, status = self.view()
        assert (status, response) == (400, {"error": "Invalid request", "message": message})

    def test_says_what_is_wrong_with_a_token(self, app: Flask) -> None:
        for claims, message in (({"exp": 1}, "Token expired"), ({"role": 7}, "Invalid token")):
            with app.test_request_context(headers=bearer(**{"role": "user", **claims})):
                response, status = self.view()
            assert (status, response["message"]) == (401, message)

    def test_an_unknown_role_in_a_token_is_the_weakest_role(self, app: Flask) -> None:
        with app.test_request_context(headers=bearer(role="x")):
            assert self.view(a="b")["role"] == "user"

    def test_an_unknown_role_in_a_token_is_invalid_without_a_default_role(self) -> None:
        with make_app(JWT_DEFAULT_ROLE="").test_request_context(headers=bearer(role="x")):
            response, status = self.view()
        assert (status, response["message"]) == (401, "Invalid token")

    def test_keeps_the_view_s_name_and_doc(self) -> None:
        assert self.view.__name__ == "view"
        assert self.view.__doc__ == "Answer with who asks."
        assert self.view.__wrapped__ is not self.view


class TestVerifyRoleDecorator:
    @staticmethod
    @verify_tenant_context
    @verify_role("admin")
    def admins() -> str:
        return "in"

    def test_lets_the_role_in(self, app: Flask) -> None:
        with app.test_request_context(headers=bearer(role="admin")):
            assert self.admins() == "in"

    def test_denies_another_role(self, app: Flask) -> None:
        with app.test_request_context(headers=bearer()):
            response, status = self.admins()
        assert status == 403
        assert response == {
            "error": "Forbidden",
            "message": "Insufficient permissions. Required role: admin",
        }

    def test_lets_each_of_several_roles_in(self, app: Flask) -> None:
        view = verify_role("user", UserRole.ADMIN)(lambda: "in")
        for role in UserRole:
            with app.test_request_context(headers=bearer(role=str(role))):
                assert view() == "in"

    def test_denies_requests_without_credentials(self, app: Flask) -> None:
        with app.test_request_context():
            assert self.admins()[1] == 401
            assert verify_role("admin")(lambda: "in")()[1] == 401

    def test_denies_the_same_requests_in_either_order_of_decorators(self, app: Flask) -> None:
        view = verify_role("admin")(verify_tenant_context(lambda: "in"))
        for headers, expected in (({}, 401), (bearer(), 403)):
            with app.test_request_context(headers=headers):
                assert view()[1] == expected
        with app.test_request_context(headers=bearer(role="admin")):
            assert view() == "in"

    def test_raises_for_what_is_no_role_where_it_is_applied(self) -> None:
        with pytest.raises(ValueError, match="roles"):
            verify_role()
        with pytest.raises(ValueError, match="roles"):
            verify_role("admin", "root,user")
        with pytest.raises(TypeError, match="roles are missing"):
            verify_role(lambda: "a bare decorator")  # type: ignore[arg-type]


class TestContextGetters:
    def test_getters_return_the_verified_identity(self, app: Flask) -> None:
        view = verify_tenant_context(lambda: (get_tenant_context(), get_user_role()))
        with app.test_request_context(headers=bearer(role="admin")):
            assert view() == ((TENANT, USER), "admin")

    @pytest.mark.parametrize("getter", [get_tenant_context, get_user_role])
    def test_a_token_without_the_decorator_is_not_enough(self, app: Flask, getter: Any) -> None:
        with app.test_request_context(headers=bearer()), pytest.raises(AuthError) as caught:
            getter()
        assert caught.value.status_code == 401

    @pytest.mark.parametrize("getter", [get_tenant_context, get_user_role])
    def test_getters_raise_outside_of_any_request(self, getter: Any) -> None:
        with pytest.raises(AuthError) as caught:
            getter()
        assert caught.value.status_code == 401

    def test_getters_return_the_identity_of_acting_as(self) -> None:
        with acting_as(TENANT, USER, "admin"):
            assert (get_tenant_context(), get_user_role()) == ((TENANT, USER), "admin")


class TestVerifyResourceAccess:
    def test_permits_the_resource_of_the_user(self) -> None:
        with acting_as(TENANT, USER):
            assert verify_resource_access(TENANT, USER) is True

    def test_denies_the_resource_of_another_tenant(self) -> None:
        with acting_as(TENANT, USER, "admin"), pytest.raises(AuthError) as caught:
            verify_resource_access(OTHER_TENANT, USER)
        assert caught.value.status_code == 403

    def test_denies_the_resource_of_another_user(self) -> None:
        with acting_as(TENANT, USER), pytest.raises(AuthError) as caught:
            verify_resource_access(TENANT, OTHER_USER)
        assert caught.value.status_code == 403

    def test_permits_an_admin_the_resources_of_its_tenant(self) -> None:
        with acting_as(TENANT, USER, "admin"):
            assert verify_resource_access(TENANT, OTHER_USER) is True

    def test_compares_ids_as_uuids(self) -> None:
        with acting_as(TENANT.upper(), USER):
            assert verify_resource_access(uuid.UUID(TENANT), USER.upper()) is True

    def test_raises_401_without_an_identity(self) -> None:
        with pytest.raises(AuthError) as caught:
            verify_resource_access(TENANT, USER)
        assert caught.value.status_code == 401


class TestRequestLogging:
    def test_the_line_has_the_documented_form(
        self, app: Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "flask_tenant_auth")
        with app.test_request_context(
            "/api/accounts?secret=1",
            headers={"User-Agent": "curl/8"},
            environ_base={"REMOTE_ADDR": "127.0.0.1"},
        ):
            log_request_context(request, USER, TENANT, "user")
        assert caplog.messages == [
            f"Request: method=GET endpoint=/api/accounts user_id={USER} tenant_id={TENANT} "
            'role=user ip=127.0.0.1 user_agent="curl/8"'
        ]

    def test_a_request_is_logged_once(self, app: Flask, caplog: pytest.LogCaptureFixture) -> None:
        app.get("/both")(verify_tenant_context(verify_role("user")(lambda: "in")))
        caplog.set_level(logging.INFO, "flask_tenant_auth")
        app.test_client().get("/both", headers=bearer())
        (record,) = caplog.records
        assert (record.levelno, record.tenant_id, record.user_id) == (logging.INFO, TENANT, USER)

    def test_a_client_cannot_write_a_line_of_its_own(
        self, app: Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "flask_tenant_auth")
        agent = 'x" role=admin\\\x1b[31m'
        with app.test_request_context("/a b%0ARequest:", headers={"User-Agent": agent}):
            log_request_context(request, USER, TENANT, "user")
        (line,) = caplog.messages
        assert "endpoint=/a\\x20b\\nRequest: " in line
        assert line.endswith('user_agent="x\\" role=admin\\\\\\x1b[31m"')
        assert line.isprintable()


class TestErrorHandling:
    def test_create_auth_response_returns_the_documented_pair(self) -> None:
        assert create_auth_response("No") == ({"error": "Unauthorized", "message": "No"}, 401)
        assert create_auth_response("No", 403) == ({"error": "Forbidden", "message": "No"}, 403)

    def test_an_auth_error_renders_itself(self, app: Flask) -> None:
        @app.get("/x/<int:status>")
        def refuse(status: int) -> str:
            raise AuthError("Because", status)

        for status in (400, 401, 403, 429, 500):
            assert error_of(app.test_client().get(f"/x/{status}")) == (status, "Because")

    def test_an_internal_error_is_a_500_without_detail(
        self, app: Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken:
            def authenticate(self, authorization: str | None) -> None:
                raise RuntimeError(f"fault while reading {authorization}")

        app.get("/x")(verify_tenant_context(lambda: "in"))
        app.extensions["tenant_auth"].keyring = Broken()
        status, message = error_of(app.test_client().get("/x", headers=bearer()))
        assert (status, message) == (500, "Authentication could not be completed")
        assert "RuntimeError" in caplog.text
        assert "Bearer" not in caplog.text

    def test_a_view_s_own_errors_keep_their_meaning(self, app: Flask) -> None:
        @app.get("/missing")
        @verify_tenant_context
        def missing() -> str:
            from flask import abort

            abort(404)

        @app.get("/broken")
        @verify_tenant_context
        def broken() -> str:
            raise KeyError("the view's own")

        client = app.test_client()
        assert client.get("/missing", headers=bearer()).status_code == 404
        with pytest.raises(KeyError, match="the view's own"):
            client.get("/broken", headers=bearer())


class TestIntegrationScenarios:
    @pytest.fixture
    def client(self, app: Flask) -> Any:
        accounts = {"1": (TENANT, USER), "2": (TENANT, OTHER_USER), "3": (OTHER_TENANT, USER)}

        @app.get("/api/accounts/<key>")
        @verify_tenant_context
        def account(key: str) -> dict[str, str]:
            verify_resource_access(*accounts[key])
            return {"id": key}

        @app.delete("/api/accounts")
        @verify_tenant_context
        @verify_role("admin")
        def delete() -> tuple[str, int]:
            return "", 204

        @app.get("/api/slow")
        @rate_limit("2 per minute")
        @verify_tenant_context
        def slow() -> str:
            return "done"

        @app.post("/login")
        def login() -> dict[str, str]:
            return {"token": create_jwt_token(TENANT, USER, request.get_json()["role"])}

        return app.test_client()

    def test_a_token_of_the_login_works_until_a_role_is_missing(self, client: Any) -> None:
        made = client.post("/login", json={"role": "user"}).get_json()["token"]
        headers = {"Authorization": f"Bearer {made}"}
        assert client.get("/api/accounts/1", headers=headers).get_json() == {"id": "1"}
        assert error_of(client.delete("/api/accounts", headers=headers))[0] == 403

    def test_one_tenant_cannot_read_rows_of_another(self, client: Any) -> None:
        for key, status in (("1", 200), ("2", 403), ("3", 403)):
            assert client.get(f"/api/accounts/{key}", headers=bearer()).status_code == status
        admin = bearer(role="admin")
        for key, status in (("1", 200), ("2", 200), ("3", 403)):
            assert client.get(f"/api/accounts/{key}", headers=admin).status_code == status

    def test_limits_count_each_user(self, client: Any) -> None:
        statuses = [client.get("/api/slow", headers=bearer()).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = client.get("/api/slow", headers=bearer())
        assert error_of(refused) == (429, "2 per 1 minute")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert client.get("/api/slow", headers=bearer(user_id=OTHER_USER)).status_code == 200

    def test_no_identity_outlives_its_request(self, client: Any, app: Flask) -> None:
        with app.app_context():
            assert client.get("/api/accounts/1", headers=bearer()).status_code == 200
            assert error_of(client.get("/api/accounts/1")) == (401, CREDENTIALS_REQUIRED)
            with pytest.raises(AuthError):
                get_tenant_context()

    def test_answers_are_json_with_the_documented_headers(self, client: Any) -> None:
        response = client.get("/api/accounts/1", headers={"Authorization": "Bearer a.b.c"})
        assert error_of(response) == (401, "Invalid token")
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
        assert json.loads(response.get_data()) == response.get_json()
