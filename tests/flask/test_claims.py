"""Tokens whose claims are those of somebody else: places, roles, ids, required claims."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest
from flask import Flask, jsonify

from apps import OTHER_USER, TENANT, USER, bare_app, bearer, error_of, make_app, token
from flask_tenant_auth import (
    ConfigurationError,
    Identity,
    TenantAuth,
    create_jwt_token,
    decode_jwt_token,
    rate_limit,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.flask.context import identity_in_force
from providers import COGNITO, KEYCLOAK, PROVIDERS, Provider, settings_of, token_of

NAMESPACE = "0b0c6a44-5a0e-4b56-9a1d-3f1f0a6f2f11"


def app_of(**config: Any) -> Flask:
    app = make_app(AUTH_FAILURE_LIMIT="", **config)

    @app.get("/who")
    @verify_tenant_context
    def who() -> Any:
        identity = identity_in_force()
        assert identity is not None
        return jsonify(
            tenant=identity.tenant_id,
            user=identity.user_id,
            role=identity.role,
            permissions=sorted(identity.permissions),
            issuer=identity.issuer,
            claims=dict(identity.claims),
        )

    @app.get("/admin")
    @verify_role("admin")
    def admin() -> str:
        return "admin"

    return app


def ask(app: Flask, token: str, path: str = "/who") -> Any:
    return app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})


def reason_of(caplog: pytest.LogCaptureFixture) -> str:
    return str(caplog.records[-1].reason)  # type: ignore[attr-defined]


class TestProviders:
    @pytest.mark.parametrize("provider", PROVIDERS, ids=lambda each: each.name)
    def test_a_token_of_a_provider_is_an_identity(self, provider: Provider) -> None:
        answer = ask(app_of(**settings_of(provider)), token_of(provider))
        assert answer.status_code == 200, answer.get_json()
        body = answer.get_json()
        found = (body["tenant"], body["user"], body["role"], set(body["permissions"]))
        assert found == provider.identity()
        assert body["issuer"] == provider.issuer
        assert {name: body["claims"][name] for name in provider.claims} == provider.claims

    @pytest.mark.parametrize("provider", PROVIDERS, ids=lambda each: each.name)
    @pytest.mark.parametrize("missing", ["exp", "iss", "tenant", "user"])
    def test_a_token_of_a_provider_without_a_claim_is_invalid(
        self, provider: Provider, missing: str
    ) -> None:
        names = {"tenant": "JWT_TENANT_CLAIM", "user": "JWT_USER_CLAIM"}
        place = str(provider.settings[names[missing]]) if missing in names else missing
        name = place.split("/")[1] if place.startswith("/") else place
        answer = ask(app_of(**settings_of(provider)), token_of(provider, **{name: None}))
        assert error_of(answer) == (401, "Invalid token")

    @pytest.mark.parametrize("provider", PROVIDERS, ids=lambda each: each.name)
    def test_a_token_of_a_provider_is_invalid_where_nothing_reads_it(
        self, provider: Provider
    ) -> None:
        settings = settings_of(provider)
        for name in list(settings):
            if name.startswith("JWT_") and name.endswith(("_CLAIM", "_MAP", "_NAMESPACE")):
                del settings[name]
        assert ask(app_of(**settings), token_of(provider)).status_code == 401


class TestPlaces:
    def test_the_first_place_that_is_present_counts(self) -> None:
        app = app_of(JWT_USER_CLAIM=["/app/user", "uid", "user_id"])
        cases: list[tuple[dict[str, Any], str | None]] = [
            ({}, USER),
            ({"uid": OTHER_USER}, OTHER_USER),
            ({"uid": "no id"}, None),  # it is present, so nothing else counts
            ({"uid": "no id", "app": {"user": OTHER_USER}}, OTHER_USER),
            ({"app": {"user": None}, "uid": OTHER_USER}, None),
            ({"app": {"other": 1}, "uid": OTHER_USER}, OTHER_USER),
            ({"app": [USER], "uid": OTHER_USER}, OTHER_USER),
        ]
        for claims, user in cases:
            answer = ask(app, bearer(**claims)["Authorization"].split()[1])
            expected = (401, None) if user is None else (200, user)
            assert (answer.status_code, answer.get_json().get("user")) == expected, claims

    def test_a_pointer_leads_through_objects_and_arrays(self) -> None:
        app = app_of(JWT_USER_CLAIM="/a~1b/1/c~0d")
        for value, status in (
            ([0, {"c~d": OTHER_USER}], 200),
            ({"1": {"c~d": OTHER_USER}}, 200),
            ([{"c~d": OTHER_USER}], 401),
            ([0, {"c~0d": OTHER_USER}], 401),
        ):
            answer = ask(app, token(**{"a/b": value}))
            assert answer.status_code == status, value

    def test_a_name_that_is_a_url_is_a_name(self) -> None:
        app = app_of(JWT_ROLE_CLAIM="https://mail.example/roles")
        assert ask(app, token(**{"https://mail.example/roles": "admin"}), "/admin").text == "admin"
        assert ask(app, token(role="admin"), "/admin").status_code == 403

    @pytest.mark.parametrize("setting", ["TENANT", "USER", "ROLE", "PERMISSIONS"])
    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ("/a/~2", "~0"),
            ("/" + "a/" * 8 + "b", "parts"),
            (["a", "a"], "twice"),
            ([f"a{n}" for n in range(17)], "at most"),
            (5, "comma list"),
        ],
    )
    def test_a_place_that_is_not_valid_stops_the_app(
        self, setting: str, value: Any, problem: str
    ) -> None:
        key = f"JWT_{setting}_CLAIM"
        with pytest.raises(ConfigurationError, match=f"{key}.*{problem}"):
            app_of(**{key: value})

    def test_a_token_that_is_made_is_read(self) -> None:
        app = app_of(
            JWT_TENANT_CLAIM="/app/tenant",
            JWT_USER_CLAIM=["/app/user", "sub"],
            JWT_ROLE_CLAIM="/app/roles",
            JWT_ROLE_MAP={"Owner": "admin"},
        )
        with app.app_context():
            made = create_jwt_token(TENANT, USER, "admin", claims={"plan": "gold"})
            inside = {"tenant": TENANT, "user": USER, "roles": "Owner"}
            assert decode_jwt_token(made)["app"] == inside
            with pytest.raises(ValueError, match="'app'"):
                create_jwt_token(TENANT, USER, claims={"app": {}})
            # "user" has no word, and is what a token without a role has.
            assert "roles" not in decode_jwt_token(create_jwt_token(TENANT, USER))["app"]
        assert ask(app, made, "/admin").text == "admin"

    def test_a_token_that_would_not_be_read_is_not_made(self) -> None:
        app = app_of(JWT_TENANT_CLAIM="sub", JWT_USER_CLAIM="sub")
        with app.app_context():
            with pytest.raises(ValueError, match="cannot say this identity"):
                create_jwt_token(TENANT, USER)
            assert create_jwt_token(USER, USER)
        app = app_of(JWT_REQUIRED_CLAIMS={"plan": "gold"}, JWT_DEFAULT_ROLE="admin")
        with app.app_context():
            with pytest.raises(ValueError, match="JWT_REQUIRED_CLAIMS"):
                create_jwt_token(TENANT, USER)
            assert create_jwt_token(TENANT, USER, claims={"plan": "gold"})


class TestRoles:
    def test_of_a_list_the_strongest_role_that_is_known_counts(self) -> None:
        app = app_of()
        for role, status in (
            (["user", "admin", "root"], 200),
            (["root", "user"], 403),
            ([], 403),
            ("admin", 200),
        ):
            assert ask(app, token(role=role), "/admin").status_code == status, role
        for wrong in (5, {"admin": 1}, ["admin", 5], [["admin"]], True):
            assert ask(app, token(role=wrong), "/admin").status_code == 401, wrong

    def test_with_a_map_only_its_words_name_roles(self) -> None:
        app = app_of(JWT_ROLE_MAP="Owner=admin, org:member=user")
        for role, status in (("Owner", 200), ("admin", 403), ("org:member", 403), ("owner", 403)):
            assert ask(app, token(role=role), "/admin").status_code == status, role

    def test_the_default_role_is_the_weakest_one_another_or_none(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        for absent in ({"role": None}, {"role": "root"}):
            assert ask(app_of(), token(**absent)).get_json()["role"] == "user"
            app = app_of(JWT_DEFAULT_ROLE="admin")
            assert ask(app, token(**absent)).get_json()["role"] == "admin"
            assert ask(app_of(JWT_DEFAULT_ROLE=""), token(**absent)).status_code == 401
            reason = "role_invalid" if absent["role"] else "role_missing"
            assert reason_of(caplog) == reason
        assert ask(app_of(JWT_DEFAULT_ROLE=""), token()).status_code == 200

    @pytest.mark.parametrize(
        ("config", "problem"),
        [
            ({"JWT_ROLE_MAP": {"Owner": "boss"}}, "JWT_ROLE_MAP names the role 'boss'"),
            ({"JWT_ROLE_MAP": "Owner"}, "JWT_ROLE_MAP holds 'Owner'"),
            ({"JWT_ROLE_MAP": "a=user, a=admin"}, "JWT_ROLE_MAP names one thing twice"),
            ({"JWT_ROLE_MAP": {}}, "JWT_ROLE_MAP names no word"),
            ({"JWT_DEFAULT_ROLE": "boss"}, "JWT_DEFAULT_ROLE names the role 'boss'"),
        ],
    )
    def test_settings_that_are_not_valid_stop_the_app(
        self, config: dict[str, Any], problem: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=problem):
            app_of(**config)

    def test_roles_that_no_setting_reads_are_logged_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of()
        with caplog.at_level(logging.WARNING, "flask_tenant_auth"):
            for _ in range(3):
                made = token(role=None, roles=["admin"], note="x\ny")
                assert ask(app, made).get_json()["role"] == "user"
        hints = [
            each.getMessage() for each in caplog.records if "JWT_ROLE_CLAIM" in each.getMessage()
        ]
        assert len(hints) == 1
        assert "roles=['admin']" in hints[0]

    def test_a_token_without_any_role_is_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        app = app_of()
        for _ in range(40):
            assert ask(app, token(role=None)).status_code == 200
        assert "JWT_ROLE_CLAIM" not in caplog.text

    def test_claims_that_no_setting_reads_are_logged_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of()
        for _ in range(3):
            assert ask(app, token(tenant_id=None, org_id="o", sub="s")).status_code == 401  # type: ignore[arg-type]
        hints = [
            each.getMessage() for each in caplog.records if "finds nothing" in each.getMessage()
        ]
        assert len(hints) == 1
        assert "org_id (JWT_TENANT_CLAIM)" in hints[0]
        assert "sub (JWT_USER_CLAIM)" in hints[0]


class TestPermissions:
    def test_they_come_from_lists_and_from_scope_text(self) -> None:
        app = app_of(JWT_PERMISSIONS_CLAIM=["permissions", "scope"])
        for claims, expected in (
            ({"permissions": ["a", "b:c"]}, ["a", "b:c"]),
            ({"scope": "a  b:c "}, ["a", "b:c"]),
            ({"permissions": ["a"], "scope": "x"}, ["a"]),
            ({"scope": "x", "permissions": []}, []),
            ({"permissions": {"a": 1}}, []),
            ({"permissions": ["a", 5, ["b"]]}, ["a"]),
            ({}, []),
        ):
            assert ask(app, token(**claims)).get_json()["permissions"] == expected, claims

    def test_they_are_joined_with_those_of_the_role(self) -> None:
        grants = {"user": ["mail:read"], "admin": ["mail:*", "accounts:write"]}
        app = app_of(AUTH_PERMISSIONS=grants)
        user = ask(app, token(permissions=["x"])).get_json()["permissions"]
        admin = ask(app, token(role="admin")).get_json()["permissions"]
        assert user == ["mail:read", "x"]
        assert set(admin) >= {"mail:read", "accounts:write"}

    def test_a_star_in_a_token_is_no_pattern(self) -> None:
        app = app_of()
        with app.test_request_context(headers=bearer(permissions=["*", "mail:*"])):
            identity = _identity()
            assert identity.permissions == {"*", "mail:*"}
            assert not identity.permits("mail:read")
        assert Identity(TENANT, USER, permissions=["mail:read"]).permits("mail:read")


def _identity() -> Identity:
    found: list[Identity] = []

    @verify_tenant_context
    def view() -> str:
        identity = identity_in_force()
        assert identity is not None
        found.append(identity)
        return ""

    view()
    return found[0]


class TestNamespace:
    def test_an_id_that_is_no_uuid_is_a_name(self) -> None:
        app = app_of(JWT_ID_NAMESPACE=NAMESPACE)
        space = uuid.UUID(NAMESPACE)
        for value, expected in (
            ("auth0|1", str(uuid.uuid5(space, "auth0|1"))),
            ("Jürgen\n", str(uuid.uuid5(space, "Jürgen\n"))),
            (42, str(uuid.uuid5(space, "42"))),
            (USER.upper(), USER),
        ):
            assert ask(app, token(user_id=value)).get_json()["user"] == expected, value  # type: ignore[arg-type]
        for wrong in ("", 4.5, True, ["a"], {}):
            assert ask(app, token(user_id=wrong)).status_code == 401, wrong  # type: ignore[arg-type]

    def test_a_number_in_sub_is_an_id_where_sub_is_the_user(self) -> None:
        """Older versions of Flask-JWT-Extended write one."""
        app = app_of(JWT_ID_NAMESPACE=NAMESPACE, JWT_USER_CLAIM="sub")
        expected = str(uuid.uuid5(uuid.UUID(NAMESPACE), "42"))
        for sub in (42, "42"):
            assert ask(app, token(sub=sub)).get_json()["user"] == expected
        assert ask(app, token(sub=4.2)).status_code == 401
        assert ask(app_of(JWT_USER_CLAIM="sub"), token(sub=42)).status_code == 401
        assert ask(app_of(JWT_ID_NAMESPACE=NAMESPACE), token(sub=42)).status_code == 401

    def test_without_one_it_is_invalid(self) -> None:
        assert ask(app_of(), token(user_id="auth0|1")).status_code == 401
        assert ask(app_of(), token()).status_code == 200

    def test_one_that_is_no_uuid_stops_the_app(self) -> None:
        with pytest.raises(ConfigurationError, match=r"JWT_ID_NAMESPACE must be a UUID"):
            app_of(JWT_ID_NAMESPACE="mail")


class TestKindsOfTokens:
    @pytest.mark.parametrize("name", ["type", "typ", "token_use"])
    @pytest.mark.parametrize("value", ["refresh", "Refresh", "REFRESH", "id", "ID"])
    def test_a_refresh_or_id_token_is_no_access_token(
        self, name: str, value: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of()
        assert ask(app, token(role="admin", **{name: value}), "/admin").status_code == 401
        assert reason_of(caplog) == "token_use_refused"
        for other in ("access", "Bearer", "idp", "", 5, None):
            made = token(role="admin", **{name: other})
            assert ask(app, made, "/admin").status_code == 200, other

    def test_a_claim_that_is_required_is_judged_by_that_alone(self) -> None:
        app = app_of(JWT_REQUIRED_CLAIMS={"type": ["refresh", "access"]})
        assert ask(app, token(type="refresh")).status_code == 200
        assert ask(app, token(type="access")).status_code == 200
        assert ask(app, token(type="id")).status_code == 401
        assert ask(app, token(type="refresh", token_use="id")).status_code == 401

    def test_a_cognito_id_token_is_invalid(self) -> None:
        app = app_of(**settings_of(COGNITO))
        assert ask(app, token_of(COGNITO)).status_code == 200
        assert ask(app, token_of(COGNITO, token_use="id")).status_code == 401

    def test_a_keycloak_refresh_token_is_invalid(self) -> None:
        settings = settings_of(KEYCLOAK)
        del settings["JWT_REQUIRED_CLAIMS"]
        assert ask(app_of(**settings), token_of(KEYCLOAK)).status_code == 200
        assert ask(app_of(**settings), token_of(KEYCLOAK, typ="Refresh")).status_code == 401


class TestRequiredClaims:
    @pytest.mark.parametrize(
        ("required", "good", "bad"),
        [
            ({"plan": "gold"}, ["gold", ["x", "gold"]], ["Gold", 1, None, {}, [["gold"]]]),
            ({"level": [1, 2]}, [1, 2, [0, 2]], ["1", 1.0, 3, True]),
            ({"verified": True}, [True], ["true", 1, False]),
            ({"/a/b": "c"}, [], ["c"]),
        ],
    )
    def test_a_token_must_have_one_of_the_values(
        self, required: dict[str, Any], good: list[Any], bad: list[Any]
    ) -> None:
        app = app_of(JWT_REQUIRED_CLAIMS=required)
        name = next(iter(required))
        for value in good:
            assert ask(app, token(**{name: value})).status_code == 200, value
        for value in bad:
            assert ask(app, token(**{name: value})).status_code == 401, value

    def test_a_pointer_names_a_claim_inside_another(self) -> None:
        app = app_of(JWT_REQUIRED_CLAIMS='{"/a/b": "c"}')
        assert ask(app, token(a={"b": "c"})).status_code == 200
        assert ask(app, token(a={"b": "d"})).status_code == 401

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ({"a": 1.5}, "whole numbers"),
            ({"a": []}, "no value"),
            ({5: "a"}, "names that are text"),
            ("a", "write it as"),
            ('{"a": 1, "a": 2}', "twice"),
            ({"/a/~": 1}, "~0"),
        ],
    )
    def test_a_value_that_is_not_valid_stops_the_app(self, value: Any, problem: str) -> None:
        with pytest.raises(ConfigurationError, match=f"JWT_REQUIRED_CLAIMS.*{problem}"):
            app_of(JWT_REQUIRED_CLAIMS=value)


class TestJwtIdentity:
    def test_it_names_the_identity_of_the_claims(self) -> None:
        asked: list[Any] = []

        def identity(claims: Any) -> Any:
            asked.append(claims)
            return claims["who"] and (TENANT, claims["who"], "admin")

        app = app_of(JWT_IDENTITY=identity)
        body = ask(app, token(tenant_id=None, user_id=None, who=OTHER_USER)).get_json()  # type: ignore[arg-type]
        assert (body["tenant"], body["user"], body["role"]) == (TENANT, OTHER_USER, "admin")
        assert body["claims"]["who"] == OTHER_USER
        assert len(asked) == 1

    def test_it_is_asked_once_a_request(self) -> None:
        asked: list[Any] = []
        app = make_app(JWT_IDENTITY=lambda claims: asked.append(1) or (TENANT, USER, "admin"))

        @app.get("/")
        @verify_tenant_context
        @verify_role("admin")
        @rate_limit("5 per minute")
        def view() -> str:
            return str(_identity_of())

        assert ask(app, token(), "/").status_code == 200
        assert len(asked) == 1

    def test_none_is_a_401_with_a_reason(self, caplog: pytest.LogCaptureFixture) -> None:
        app = app_of(JWT_IDENTITY=lambda claims: None)
        assert error_of(ask(app, token())) == (401, "Invalid token")
        assert reason_of(caplog) == "identity_refused"

    @pytest.mark.parametrize(
        "wrong",
        ["x", ("a", "b"), (TENANT, USER, "boss"), (TENANT, "no id", "user"), 5, {}],
    )
    def test_what_it_returns_or_raises_otherwise_is_a_500(
        self, wrong: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of(JWT_IDENTITY=lambda claims: wrong)
        assert error_of(ask(app, token()))[0] == 500
        app = app_of(JWT_IDENTITY=lambda claims: claims["nothing"])
        assert error_of(ask(app, token()))[0] == 500
        assert "KeyError" in caplog.text

    def test_an_invalid_token_is_not_shown_to_it(self) -> None:
        app = app_of(JWT_IDENTITY=lambda claims: (TENANT, USER, "admin"))
        assert ask(app, token()).status_code == 200
        assert ask(app, token() + "x").status_code == 401
        assert ask(app, token(exp=1)).status_code == 401
        assert ask(app, token(type="refresh")).status_code == 401

    def test_an_actor_of_the_token_is_that_of_the_identity(self) -> None:
        app = make_app(JWT_IDENTITY=lambda claims: (TENANT, USER, "user"))
        view = verify_tenant_context(lambda: str(_identity_of().actor))
        app.get("/actor", endpoint="actor")(view)
        for act, status in (
            ({"sub": OTHER_USER, "tenant_id": TENANT.upper()}, 200),
            ({"sub": OTHER_USER}, 200),
            ({"sub": OTHER_USER, "tenant_id": USER}, 401),
            ({"sub": OTHER_USER, "tenant_id": 5}, 401),
            ({"sub": 5}, 401),
            ("me", 401),
        ):
            answer = ask(app, token(act=act), "/actor")
            assert answer.status_code == status, act
            assert status == 401 or answer.text == OTHER_USER

    def test_an_async_function_stops_the_app(self) -> None:
        async def later(claims: Any) -> None: ...

        with pytest.raises(ConfigurationError, match="JWT_IDENTITY must not be an async function"):
            app_of(JWT_IDENTITY=later)

    def test_limits_count_by_the_identity_that_comes_out(self) -> None:
        app = make_app(JWT_IDENTITY=lambda claims: (TENANT, claims["who"], "user"))

        @app.get("/limited")
        @verify_tenant_context
        @rate_limit("2 per hour")
        def limited() -> str:
            return ""

        statuses = [ask(app, token(who=USER), "/limited").status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert ask(app, token(who=OTHER_USER), "/limited").status_code == 200

    @pytest.mark.parametrize(
        "config",
        [
            {"JWT_TENANT_CLAIM": "a"},
            {"JWT_ROLE_MAP": "a=user"},
            {"JWT_DEFAULT_ROLE": ""},
            {"JWT_ID_NAMESPACE": NAMESPACE},
            {"JWT_TENANT_KEYS": lambda tenant, kid: None},
        ],
    )
    def test_it_excludes_the_settings_that_it_stands_for(self, config: dict[str, Any]) -> None:
        app = bare_app(JWT_IDENTITY=lambda claims: None, **config)
        with pytest.raises(ConfigurationError, match=next(iter(config))):
            TenantAuth(app)


def _identity_of() -> Identity:
    identity = identity_in_force()
    assert identity is not None
    return identity


class TestActor:
    def test_a_token_of_an_actor_names_both(self) -> None:
        app = app_of()
        with app.app_context():
            made = create_jwt_token(TENANT, USER, actor=(TENANT, OTHER_USER))
            assert decode_jwt_token(made)["act"] == {"sub": OTHER_USER, "tenant_id": TENANT}
        body = ask(app, made).get_json()
        assert (body["user"], body["role"]) == (USER, "user")

    def test_an_actor_never_crosses_tenants(self, caplog: pytest.LogCaptureFixture) -> None:
        app = app_of()
        foreign = {"sub": OTHER_USER, "tenant_id": "0d9f8e7d-6c5b-4a39-9827-16f5e4d3c2b1"}
        assert ask(app, token(act=foreign)).status_code == 401
        assert reason_of(caplog) == "actor_foreign"
        assert ask(app, token(act=foreign | {"tenant_id": TENANT})).status_code == 200
        with app.app_context(), pytest.raises(ValueError, match="actor"):
            create_jwt_token(TENANT, USER, actor=(foreign["tenant_id"], USER))

    def test_an_actor_of_a_provider_is_any_text(self) -> None:
        assert ask(app_of(), token(act={"sub": "ann@example.com"})).status_code == 200
        assert ask(app_of(), token(act={"sub": 5})).status_code == 401
        assert ask(app_of(), token(act="ann")).status_code == 401
