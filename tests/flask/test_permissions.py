"""`verify_permission` and `has_permission`: what a role is granted, and what a token brings."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from functools import wraps
from timeit import timeit
from typing import Any

import pytest
from flask import Flask, jsonify

from apps import TENANT, USER, bare_app, bearer, error_of, make_app, production_app
from flask_tenant_auth import (
    AuthError,
    acting_as,
    has_permission,
    public_route,
    verify_permission,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth._core import Identity, permission_number
from flask_tenant_auth.flask.identity_check import permission_check, role_check
from flask_tenant_auth.identity.roles import RequiredRole
from flask_tenant_auth.limit.declarations import declaration_of

CONFIG = {
    "AUTH_ROLES": "viewer, manager, owner",
    "AUTH_PERMISSIONS": {
        "viewer": ["accounts:read"],
        "manager": ["accounts:write", "mail:*"],
        "owner": ["*"],
    },
}
ROLES = ("viewer", "manager", "owner")


def app_with(view: Any, **config: Any) -> Flask:
    app = make_app(**{**CONFIG, **config})
    app.get("/x", endpoint="x")(view)
    return app


def ask(app: Flask, **claims: Any) -> Any:
    return app.test_client().get("/x", headers=bearer(**claims))


def codes(app: Flask, **claims: Any) -> list[int]:
    return [ask(app, role=role, **claims).status_code for role in ROLES]


class TestVerifyPermission:
    @pytest.mark.parametrize(
        ("permission", "expected"),
        [
            ("accounts:read", [200, 200, 200]),  # a role has what weaker ones have
            ("accounts:write", [403, 200, 200]),
            ("mail:send", [403, 200, 200]),  # mail:*
            ("mail:", [403, 403, 200]),
            ("mailbox", [403, 403, 200]),
            ("billing:write", [403, 403, 200]),  # *
            ("Accounts:read", [403, 403, 200]),
        ],
    )
    def test_a_role_passes_with_what_it_is_granted(
        self, permission: str, expected: list[int]
    ) -> None:
        assert codes(app_with(verify_permission(permission)(lambda: "in"))) == expected

    def test_the_answer_names_what_is_missing(self, caplog: pytest.LogCaptureFixture) -> None:
        app = app_with(verify_permission("accounts:write")(lambda: "in"))
        caplog.set_level(logging.WARNING, "flask_tenant_auth")
        assert error_of(ask(app, role="viewer")) == (
            403,
            "Insufficient permissions. Required permission: accounts:write",
        )
        assert caplog.records[-1].reason == "permission_missing"  # type: ignore[attr-defined]

    def test_all_of_several_are_needed_and_the_missing_ones_are_named(self) -> None:
        wanted = ("accounts:read", "accounts:write", "billing:read")
        app = app_with(verify_permission(*wanted)(lambda: "in"))
        missing = {"viewer": "accounts:write, billing:read", "manager": "billing:read"}
        for role, named in missing.items():
            message = f"Insufficient permissions. Required permission: {named}"
            assert error_of(ask(app, role=role)) == (403, message)
        assert ask(app, role="owner").status_code == 200

    def test_the_challenge_names_all_that_are_needed(self) -> None:
        """RFC 6750, section 3.1: the scope that is necessary, not only what is missing."""
        app = app_with(verify_permission("accounts:read", "accounts:write")(lambda: "in"))
        challenge = ask(app, role="viewer").headers["WWW-Authenticate"]
        assert challenge.endswith(
            'error="insufficient_scope", scope="accounts:read accounts:write"'
        )

    def test_a_token_brings_permissions(self) -> None:
        app = app_with(verify_permission("accounts:write")(lambda: "in"))
        for claim in (["accounts:write"], "openid accounts:write", ["x", "accounts:write"]):
            assert codes(app, permissions=claim) == [200] * 3
        for claim in (["accounts:*"], "accounts:writer", [], "ACCOUNTS:WRITE", "*"):
            assert codes(app, permissions=claim) == [403, 200, 200]

    def test_those_of_the_token_and_of_the_role_count_together(self) -> None:
        app = app_with(verify_permission("accounts:read", "billing:read")(lambda: "in"))
        assert codes(app, permissions="billing:read") == [200] * 3
        assert codes(app) == [403, 403, 200]

    def test_a_permission_that_no_role_is_granted_comes_from_the_token_only(self) -> None:
        view = verify_permission("pages:print")(lambda: "in")
        app = app_with(view, AUTH_PERMISSIONS={}, JWT_PERMISSIONS_CLAIM="/scope")
        assert codes(app) == [403] * 3
        assert codes(app, scope="openid pages:print") == [200] * 3

    @pytest.mark.parametrize("with_context", [True, False])
    def test_no_unverified_request_reaches_the_view(self, with_context: bool) -> None:
        view = verify_permission("accounts:read")(lambda: "in")
        app = app_with(verify_tenant_context(view) if with_context else view)
        assert app.test_client().get("/x").status_code == 401
        assert ask(app, exp=1).status_code == 401
        assert ask(app).status_code == 200

    def test_it_stands_beside_verify_role_in_either_order(self) -> None:
        role, permission = verify_role("viewer", "manager"), verify_permission("accounts:write")
        for view in (role(permission(lambda: "in")), permission(role(lambda: "in"))):
            assert codes(app_with(view)) == [403, 200, 403]

    def test_it_works_without_tenant_auth_and_called_directly(self) -> None:
        app = bare_app(**CONFIG)
        view = verify_permission("accounts:write")(lambda: "in")
        with app.test_request_context(headers=bearer(role="viewer")):
            assert view() == (
                {
                    "error": "Forbidden",
                    "message": "Insufficient permissions. Required permission: accounts:write",
                },
                403,
            )
        with app.test_request_context(headers=bearer(role="manager")):
            assert view() == "in"

    def test_it_protects_async_views(self) -> None:
        async def view() -> str:
            await asyncio.sleep(0)
            return "in"

        assert codes(app_with(verify_permission("accounts:write")(view))) == [403, 200, 200]

    def test_it_holds_for_an_identity_of_acting_as(self) -> None:
        app = app_with(verify_permission("accounts:write")(lambda: "in"))
        view = app.view_functions["x"]
        with app.app_context():
            with acting_as(TENANT, USER, "manager"):
                assert view() == "in"
            with acting_as(Identity(TENANT, USER, "viewer", permissions=["accounts:write"])):
                assert view() == "in"
            with acting_as(TENANT, USER, "viewer"):
                assert view()[1] == 403

    def test_a_permission_that_is_declared_after_the_identity_was_made_counts(self) -> None:
        app = app_with(lambda: "in")
        names = [f"made:{id(app)}:{number}" for number in range(2)]
        config = {"manager": names[:1]}
        with make_app(**{**CONFIG, "AUTH_PERMISSIONS": config}).app_context():
            identity = Identity(TENANT, USER, "viewer", permissions=names[1:])
            with acting_as(TENANT, USER, "manager"), acting_as(identity):
                views = [verify_permission(name)(lambda: "in") for name in names]
                assert [view() if view() == "in" else view()[1] for view in views] == [403, "in"]
            with acting_as(TENANT, USER, "manager"):
                assert views[0]() == "in"

    @pytest.mark.parametrize(
        "wrong", [(), ("",), ("a b",), ("a", 7), ("a:*",), ("*",), ('a"b',), ("ä",), ("a" * 256,)]
    )
    def test_what_is_no_permission_raises_where_it_is_applied(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match="permissions"):
            verify_permission(*wrong)

    def test_a_process_knows_512_names_and_says_so_at_the_next_one(self) -> None:
        script = (
            "from flask_tenant_auth import verify_permission\n"
            "verify_permission(*(f'p:{n}' for n in range(512)))\n"
            "verify_permission('p:0', 'p:511')\n"
            "verify_permission('p:512')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert "line 4" in done.stderr
        assert "ValueError: the process knows 512 permissions already" in done.stderr

    def test_a_bare_decorator_raises(self) -> None:
        with pytest.raises(TypeError, match="permissions are missing"):
            verify_permission(lambda: "in")  # type: ignore[arg-type]

    def test_it_declares_what_it_needs(self) -> None:
        view = verify_permission("b")(verify_permission("a", "b")(lambda: "in"))
        declared = declaration_of(view)
        assert (declared.verified, declared.permissions) == (True, ("a", "b"))

    def test_a_check_costs_no_more_than_that_of_a_role(self) -> None:
        """Both are one call of the core: a bit, or a word in a set."""
        for number in range(100):
            permission_number(f"priced:{number}")
        app = app_with(lambda: "in")
        checks = {
            "role": role_check(RequiredRole(("manager",)), "x"),
            "permission": permission_check(("priced:99",)),
        }
        best = dict.fromkeys(checks, float("inf"))
        with app.app_context(), acting_as(Identity(TENANT, USER, "manager")) as lent:
            identity = Identity(
                TENANT, USER, "manager", roles=lent.roles, permissions=["priced:99"]
            )
            for check in checks.values():
                assert check(identity) in (None, identity)
                assert check(identity) is None
            for _ in range(50):
                for name, check in checks.items():
                    taken = timeit(lambda check=check: check(identity), number=2000)  # type: ignore[misc]
                    best[name] = min(best[name], taken)
        assert best["permission"] < 1.5 * best["role"]


class TestHasPermission:
    def test_it_says_whether_the_current_identity_has_a_permission(self) -> None:
        def view() -> Any:
            return jsonify([has_permission("accounts:write"), has_permission("never:declared")])

        app = app_with(verify_tenant_context(view))
        assert [ask(app, role=role).get_json() for role in ROLES] == [
            [False, False],
            [True, False],
            [True, True],
        ]
        assert ask(app, permissions="never:declared").get_json() == [False, True]

    def test_it_raises_401_where_nothing_was_verified(self) -> None:
        app = app_with(public_route(lambda: str(has_permission("accounts:read"))))
        assert ask(app, role="owner").status_code == 401
        with pytest.raises(AuthError) as caught:
            has_permission("accounts:read")
        assert caught.value.status_code == 401

    def test_a_question_does_not_use_up_the_numbers_of_permissions(self) -> None:
        with app_with(lambda: "in").app_context(), acting_as(TENANT, USER, "viewer"):
            for number in range(2000):
                assert not has_permission(f"asked:{number}")
        assert permission_number("asked:afterwards") < 512

    @pytest.mark.parametrize("wrong", [7, True, None, b"a", "", "a b", "mail:*", "*"])
    def test_what_is_no_permission_raises(self, wrong: Any) -> None:
        with (
            app_with(lambda: "in").app_context(),
            acting_as(TENANT, USER, "owner"),
            pytest.raises(ValueError, match="permission"),
        ):
            has_permission(wrong)


class TestCheck:
    def check(self, view: Any, **config: Any) -> Any:
        app = production_app(**{**CONFIG, "AUTH_PERMISSIONS": {"viewer": ["mail:read"]}, **config})
        app.get("/x", endpoint="x")(view)
        return app.test_cli_runner().invoke(args=["auth", "check"])

    def test_it_shows_the_permissions_of_a_route(self) -> None:
        view = verify_role("viewer")(verify_permission("mail:read", "mail:send")(lambda: "in"))
        output = self.check(view, AUTH_PERMISSIONS={"viewer": ["mail:*"]}).output
        assert "[role viewer, permission mail:read and mail:send]" in output
        assert "Warning" not in output

    def test_it_warns_of_a_permission_that_no_role_is_granted(self) -> None:
        result = self.check(verify_permission("mail:raed")(lambda: "in"))
        assert result.exit_code == 0
        assert (
            "Warning: mail:raed, which GET /x (x) needs, is granted to no role in "
            "AUTH_PERMISSIONS: only a token can bring it, in its claim permissions. The nearest "
            "one that is granted is mail:read\n" in result.output
        )

    def test_a_role_with_a_star_is_granted_every_permission(self) -> None:
        view = verify_permission("mail:raed")(lambda: "in")
        assert "Warning" not in self.check(view, AUTH_PERMISSIONS={"owner": ["*"]}).output

    def test_it_does_not_warn_where_tokens_bring_permissions_from_elsewhere(self) -> None:
        view = verify_permission("mail:raed")(lambda: "in")
        assert "Warning" not in self.check(view, JWT_PERMISSIONS_CLAIM="scope").output

    def test_a_function_before_the_check_of_a_permission_is_shown(self) -> None:
        def cached(view: Any) -> Any:
            @wraps(view)
            def first() -> Any:
                return view()

            return first

        view = verify_tenant_context(cached(verify_permission("mail:read")(lambda: "in")))
        assert "[permission mail:read, behind" in self.check(view).output
