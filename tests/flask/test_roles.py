"""The roles of an app: its own names, `verify_role` in both forms, and names it does not have."""

from __future__ import annotations

import copy
import pickle
import secrets
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView

from apps import (
    OTHER_USER,
    TENANT,
    USER,
    bare_app,
    bearer,
    error_of,
    identity_headers,
    make_app,
    production_app,
)
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    Identity,
    TenantAuth,
    UserRole,
    acting_as,
    create_jwt_token,
    decode_jwt_token,
    get_user_role,
    verify_resource_access,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.config.settings import KEYS
from flask_tenant_auth.flask.context import identity_in_force
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.testing import AuthClient

ROLES = {"AUTH_ROLES": "viewer, manager, owner", "AUTH_TENANT_ROLES": "owner"}
HOSTILE = ["it's", 'a"b', "a\\b", "$set$", "%s", ":x", "größe", "角色", "\U0001f600", "'||1||'"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)


def ask(app: Flask, path: str = "/", **headers: Any) -> Any:
    return app.test_client().get(path, headers=bearer(**headers))


def app_with(*views: tuple[str, Any], **config: Any) -> Flask:
    app = make_app(**{**ROLES, **config})
    for name, view in views:
        app.get(f"/{name}", endpoint=name)(view)
    return app


class TestVerifyRole:
    def test_names_let_these_roles_in_and_no_stronger_one(self) -> None:
        app = app_with(("x", verify_role("viewer", "manager")(get_user_role)))
        assert [ask(app, "/x", role=role).status_code for role in ("viewer", "manager")] == [
            200
        ] * 2
        assert error_of(ask(app, "/x", role="owner")) == (
            403,
            "Insufficient permissions. Required role: viewer, manager",
        )

    @pytest.mark.parametrize(
        ("at_least", "passing"),
        [
            ("viewer", ["viewer", "manager", "owner"]),
            ("manager", ["manager", "owner"]),
            ("owner", ["owner"]),
        ],
    )
    def test_at_least_lets_a_role_and_all_stronger_ones_in(
        self, at_least: str, passing: list[str]
    ) -> None:
        app = app_with(("x", verify_role(at_least=at_least)(get_user_role)))
        for role in ("viewer", "manager", "owner"):
            answer = ask(app, "/x", role=role)
            if role in passing:
                assert answer.get_data(as_text=True) == role
            else:
                message = f"Insufficient permissions. Required role: {at_least} or stronger"
                assert error_of(answer) == (403, message)
        assert app.test_client().get("/x").status_code == 401

    def test_the_order_of_auth_roles_says_which_is_stronger(self) -> None:
        view = verify_role(at_least="manager")(get_user_role)
        app = app_with(("x", view), AUTH_ROLES="owner, viewer, manager")
        assert ask(app, "/x", role="owner").status_code == 403
        assert ask(app, "/x", role="manager").status_code == 200

    def test_a_role_that_a_token_does_not_name_is_the_weakest(self) -> None:
        app = app_with(("x", verify_role(at_least="manager")(get_user_role)))
        for role in (None, "root", "admin", "Owner"):
            assert ask(app, "/x", role=role).status_code == 403

    def test_stacked_decorators_all_hold(self) -> None:
        view = verify_role(at_least="manager")(verify_role("viewer", "owner")(get_user_role))
        app = app_with(("x", view))
        codes = [ask(app, "/x", role=role).status_code for role in ("viewer", "manager", "owner")]
        assert codes == [403, 403, 200]

    @pytest.mark.parametrize(
        ("arguments", "names"),
        [((), {}), (("admin",), {"at_least": "admin"})],
        ids=["neither", "both"],
    )
    def test_neither_form_and_both_forms_are_an_error_that_says_what_to_write(
        self, arguments: Any, names: Any
    ) -> None:
        with pytest.raises(ValueError, match=r"roles .*write @verify_role\("):
            verify_role(*arguments, **names)

    def test_one_view_in_two_apps_follows_the_roles_of_each(self) -> None:
        view = verify_role(at_least="b")(get_user_role)
        one = app_with(("x", view), AUTH_ROLES="a, b", AUTH_TENANT_ROLES="")
        two = app_with(("x", view), AUTH_ROLES="b, a", AUTH_TENANT_ROLES="")
        for _ in range(3):
            assert [ask(one, "/x", role=role).status_code for role in "ab"] == [403, 200]
            assert [ask(two, "/x", role=role).status_code for role in "ab"] == [200, 200]

    def test_members_of_user_role_are_the_names_of_the_default_roles(self) -> None:
        assert state_of(make_app()).roles.names == tuple(UserRole) == ("user", "admin")
        view = verify_role(at_least=UserRole.ADMIN)(get_user_role)
        app = app_with(("x", view), AUTH_ROLES=None, AUTH_TENANT_ROLES=None)
        assert [ask(app, "/x", role=role).status_code for role in UserRole] == [403, 200]


UNKNOWN = {
    "name": lambda: verify_role("mangaer"),
    "one of several": lambda: verify_role("owner", "mangaer"),
    "at_least": lambda: verify_role(at_least="mangaer"),
}


@pytest.mark.parametrize("decorator", UNKNOWN.values(), ids=UNKNOWN)
class TestAnUnknownRole:
    """It is known where the roles are: in an app, not where the decorator is applied."""

    MESSAGE = (
        "late: verify_role names 'mangaer', which is none of AUTH_ROLES: viewer, manager, owner. "
        "The nearest one is 'manager'"
    )

    def late_view(self, decorator: Any) -> Any:
        def view() -> str:
            raise AssertionError("the view was called")

        return decorator()(view)

    def test_stops_tenant_auth_for_a_view_that_is_there(self, decorator: Any) -> None:
        app = bare_app(**ROLES)
        app.get("/late", endpoint="late")(self.late_view(decorator))
        with pytest.raises(ConfigurationError) as caught:
            TenantAuth(app)
        assert str(caught.value) == self.MESSAGE

    @pytest.mark.parametrize("role", ["viewer", "owner", None])
    def test_a_later_view_answers_500_and_is_never_called(
        self, decorator: Any, role: str | None
    ) -> None:
        app = app_with(("late", self.late_view(decorator)), TESTING=False, FLASK_ENV="development")
        headers = {} if role is None else bearer(role=role)
        for _ in range(2):
            assert app.test_client().get("/late", headers=headers).status_code == 500

    @pytest.mark.parametrize("role", ["viewer", "owner", None])
    def test_a_view_without_tenant_auth_raises_at_its_check(
        self, decorator: Any, role: str | None
    ) -> None:
        app = bare_app(**ROLES)
        app.get("/late", endpoint="late")(self.late_view(decorator))
        headers = {} if role is None else bearer(role=role)
        for _ in range(2):
            with pytest.raises(ConfigurationError) as caught:
                app.test_client().get("/late", headers=headers)
            assert str(caught.value) == self.MESSAGE

    def test_another_app_that_has_the_role_lets_nobody_in_here(self, decorator: Any) -> None:
        view = decorator()(lambda: "in")
        there = bare_app(AUTH_ROLES="mangaer, owner")
        here = bare_app(**ROLES)
        for app in (there, here):
            app.get("/x", endpoint="x")(view)
        for _ in range(2):
            assert ask(there, "/x", role="mangaer").status_code == 200
            with pytest.raises(ConfigurationError, match="x: verify_role names 'mangaer'"):
                ask(here, "/x", role="owner")

    def test_is_found_on_methods_and_before_request_functions(self, decorator: Any) -> None:
        class Items(MethodView):
            get = staticmethod(decorator()(lambda: "in"))

        class Documents(MethodView):
            methods: ClassVar = {"PROPFIND"}
            propfind = staticmethod(decorator()(lambda: "in"))

        for each in (Items, Documents):
            app = bare_app(**ROLES)
            app.add_url_rule("/items", view_func=each.as_view("items"))
            with pytest.raises(ConfigurationError, match="items: verify_role names 'mangaer'"):
                TenantAuth(app)
        app = bare_app(**ROLES)
        blueprint = Blueprint("guarded", __name__)
        blueprint.before_request(decorator()(lambda: None))
        blueprint.get("/x", endpoint="x")(lambda: "in")
        app.register_blueprint(blueprint)
        with pytest.raises(ConfigurationError, match=r"guarded\.x: verify_role names 'mangaer'"):
            TenantAuth(app)

    def test_is_a_problem_of_flask_auth_check(self, decorator: Any) -> None:
        app = production_app(**ROLES)
        app.get("/late", endpoint="late")(decorator()(lambda: "in"))
        result = app.test_cli_runner().invoke(args=["auth", "check"])
        assert result.exit_code == 1
        assert f"Problem: GET /late ({self.MESSAGE.replace(':', '):', 1)}" in result.output

    def test_a_call_outside_a_request_raises_too(self, decorator: Any) -> None:
        app = app_with()
        view = decorator()(lambda: "in")
        with (
            app.app_context(),
            acting_as(TENANT, USER, "owner"),
            pytest.raises(ConfigurationError, match=r"lambda.*names 'mangaer'"),
        ):
            view()
        with pytest.raises(RuntimeError, match="outside a request"):
            view()


class TestRolesOfTheApp:
    def test_a_name_with_any_characters_is_a_role(self) -> None:
        for name in HOSTILE:
            app = app_with(
                ("x", verify_role(name)(get_user_role)),
                AUTH_ROLES=["weak", name],
                AUTH_TENANT_ROLES=[name],
            )
            assert ask(app, "/x", role="weak").status_code == 403
            assert ask(app, "/x", role=name).get_data(as_text=True) == name
            with app.app_context():
                assert decode_jwt_token(create_jwt_token(TENANT, USER, name))["role"] == name

    def test_the_name_that_unscoped_has_in_the_database_is_no_role(self) -> None:
        """Row-level security shows the rows of all tenants where it is the role."""
        with pytest.raises(ConfigurationError, match=r"AUTH_ROLES.*'unscoped'"):
            make_app(AUTH_ROLES="user, unscoped")

    def test_as_user_takes_the_roles_of_the_app(self) -> None:
        app = app_with(("x", verify_tenant_context(get_user_role)))
        client = AuthClient(app)
        assert client.as_user(TENANT, USER).get("/x").text == "viewer"
        assert client.as_user(TENANT, USER, "owner").get("/x").text == "owner"
        with pytest.raises(ValueError, match="role must be one of: viewer, manager, owner"):
            client.as_user(TENANT, USER, "admin")

    def test_create_token_takes_the_roles_of_the_app(self) -> None:
        app = app_with()
        run = app.test_cli_runner()
        made = run.invoke(args=["auth", "create-token", TENANT, USER, "--role", "owner"]).output
        with app.app_context():
            assert decode_jwt_token(made.strip())["role"] == "owner"
        made = run.invoke(args=["auth", "create-token", TENANT, USER]).output
        with app.app_context():
            assert decode_jwt_token(made.strip())["role"] == "viewer"
        wrong = run.invoke(args=["auth", "create-token", TENANT, USER, "--role", "admin"])
        assert wrong.exit_code == 2
        assert "--role must be one of: viewer, manager, owner" in wrong.output

    def test_headers_of_a_gateway_name_the_roles_of_the_app(self) -> None:
        app = app_with(
            ("x", verify_role(at_least="manager")(get_user_role)),
            FLASK_ENV="production",
            AUTH_TRUSTED_GATEWAYS="127.0.0.1",
        )
        client = app.test_client()
        headers = identity_headers()
        assert client.get("/x", headers=headers).status_code == 403
        assert client.get("/x", headers=headers | {"X-User-Role": "owner"}).text == "owner"
        answer = client.get("/x", headers=headers | {"X-User-Role": "admin"})
        assert error_of(answer) == (400, "Role must be one of: viewer, manager, owner")

    @pytest.mark.parametrize("sent", ["größe", "größe".encode().decode("latin-1")])
    def test_a_header_names_a_role_in_utf_8_and_in_latin_1(self, sent: str) -> None:
        """Servers hand over each octet of a header as one character (PEP 3333)."""
        app = app_with(
            ("x", verify_role("größe")(get_user_role)),
            AUTH_ROLES="viewer, größe",
            AUTH_TENANT_ROLES="",
            FLASK_ENV="development",
        )
        environ = {"HTTP_X_TENANT_ID": TENANT, "HTTP_X_USER_ID": USER, "HTTP_X_USER_ROLE": sent}
        assert app.test_client().get("/x", environ_base=environ).text == "größe"

    def test_check_lists_the_roles_and_what_routes_require(self) -> None:
        app = production_app(**ROLES, AUTH_PERMISSIONS={"manager": ["mail:*"], "owner": ["*"]})
        app.get("/x", endpoint="x")(verify_role(at_least="manager")(lambda: "in"))
        app.get("/y", endpoint="y")(verify_role("viewer", "owner")(lambda: "in"))
        result = app.test_cli_runner().invoke(args=["auth", "check"])
        assert result.exit_code == 0, result.output
        lines = [line.strip() for line in result.output.splitlines()]
        start = lines.index("Roles")
        assert lines[start + 1 : start + 4] == [
            "viewer: no permission of its own",
            "manager: mail:*",
            "owner: *; reaches its whole tenant",
        ]
        assert "GET     /x  [role manager or stronger]  50 per minute per user" in lines
        assert "GET     /y  [role viewer or owner]  50 per minute per user" in lines


def may_reach_others(identity: Identity | None = None) -> bool:
    """Whether the current identity reaches another user's row of its tenant."""
    try:
        return verify_resource_access(TENANT, OTHER_USER)
    except AuthError:
        return False


class TestReachOverATenant:
    def test_only_the_tenant_roles_reach_rows_of_other_users(self) -> None:
        app = app_with(("x", verify_tenant_context(lambda: str(may_reach_others()))))
        answers = [ask(app, "/x", role=role).text for role in ("viewer", "manager", "owner")]
        assert answers == ["False", "False", "True"]

    @pytest.mark.parametrize("config", [{"AUTH_TENANT_ROLES": ""}, {"AUTH_ROLES": "a, b"}])
    def test_no_role_reaches_a_tenant_without_tenant_roles(self, config: Any) -> None:
        app = make_app(**config)
        app.get("/x")(verify_tenant_context(lambda: str(may_reach_others())))
        for role in state_of(app).roles.names:
            assert ask(app, "/x", role=role).text == "False"

    @pytest.fixture
    def app(self) -> Iterator[Flask]:
        """An app where admin is a role, and reaches nothing that is not its own."""
        app = make_app(AUTH_ROLES="user, admin", AUTH_TENANT_ROLES="")
        with app.app_context():
            yield app

    @pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e))])
    def test_an_unpickled_identity_reaches_what_the_app_that_reads_it_says(
        self, app: Flask, again: Any
    ) -> None:
        read = again(Identity(TENANT, USER, "admin"))
        assert read == Identity(TENANT, USER, "admin")
        assert (read.role, read.roles, read.reaches_tenant) == ("admin", None, False)
        with acting_as(read):
            assert not may_reach_others()
        with make_app().app_context(), acting_as(read) as identity:
            assert identity.reaches_tenant
            assert may_reach_others()

    def test_an_unpickled_identity_of_a_role_that_the_app_lacks_cannot_act(
        self, app: Flask
    ) -> None:
        read = pickle.loads(pickle.dumps(Identity(TENANT, USER, "owner")))
        with pytest.raises(ValueError, match="role must be one of user, admin"), acting_as(read):
            raise AssertionError("it acts")

    def test_an_unpickled_identity_passes_no_check_of_roles_by_itself(self) -> None:
        read = pickle.loads(pickle.dumps(Identity(TENANT, USER, "admin")))
        assert not read.has_role((None, frozenset({"admin"})))
        assert not read.has_role((Identity(TENANT, USER).roles, frozenset({"admin"})))

    def test_a_copy_is_the_identity_itself(self) -> None:
        identity = Identity(TENANT, USER, "admin")
        assert copy.copy(identity) is identity
        assert copy.deepcopy(identity) is identity

    def test_an_identity_without_roles_follows_those_of_the_current_app(self, app: Flask) -> None:
        with acting_as(Identity(TENANT, USER, "admin")) as identity:
            assert not identity.reaches_tenant
            assert identity_in_force() is identity
            assert not may_reach_others()

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("AUTH_TENANT_ROLES", ""),
            ("AUTH_ROLES", "user, admin"),
            ("AUTH_PERMISSIONS", {"admin": ["*"]}),
        ],
    )
    def test_acting_as_outside_an_app_raises_where_each_app_has_other_roles(
        self, key: str, value: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The environment's admin reached the tenant, and the app's does not."""
        # No app of another test has this role.
        monkeypatch.setenv("AUTH_ROLES", f"user, {secrets.token_hex(8)}, admin")
        app = make_app(**{key: value})
        with pytest.raises(ConfigurationError) as caught, acting_as(TENANT, USER, "admin"):
            raise AssertionError("it acts")
        assert f"{key} of the app {app.name!r} and of the environment differ" in str(caught.value)
        assert "with app.app_context():" in str(caught.value)
        with app.app_context(), acting_as(TENANT, USER, "admin"):
            assert get_user_role() == "admin"
        other = make_app()
        with acting_as(TENANT, USER, "admin"):
            assert may_reach_others()
        assert other.name != app.name

    def test_acting_as_outside_an_app_follows_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUTH_ROLES", "viewer, owner")
        monkeypatch.setenv("AUTH_TENANT_ROLES", "owner")
        app = make_app()  # other apps of this process may have other roles
        assert state_of(app).roles.names == ("viewer", "owner")
        with acting_as(TENANT, USER):
            assert get_user_role() == "viewer"
            assert not may_reach_others()
        with acting_as(TENANT, USER, "owner"):
            assert may_reach_others()
        with (
            pytest.raises(ValueError, match="role must be one of: viewer, owner"),
            acting_as(TENANT, USER, "admin"),
        ):
            raise AssertionError("it acts")
