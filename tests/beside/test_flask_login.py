"""Flask-Login: its cookie session for pages, our tokens for the API, in one app."""

from __future__ import annotations

from typing import Any

import flask_login
import pytest
from flask import Flask, g, redirect, render_template_string, request, url_for
from flask.testing import FlaskClient
from flask_login import LoginManager, UserMixin, login_required, login_user, logout_user

from apps import TENANT, USER, bare_app, bearer
from flask_tenant_auth import (
    ConfigurationError,
    TenantAuth,
    current_identity,
    current_user,
    extract_tenant_context,
    login_limit,
    protected_elsewhere,
    public_route,
    verify_role,
    verify_tenant_context,
)

FIRST, LAST = "Flask-Login first", "Flask-Login last"
both_orders = pytest.mark.parametrize("order", [FIRST, LAST])


class User(UserMixin):
    """A user of the pages."""

    def __init__(self, name: str) -> None:
        self.id = name


def pages_and_api(order: str, *, login_view: str | None = "login", **config: Any) -> Flask:
    """An app with pages of Flask-Login and an API of ours."""
    app = bare_app(SECRET_KEY="a secret of the tests", **config)
    manager = LoginManager()
    manager.login_view = login_view
    manager.user_loader(User)
    auth = TenantAuth()
    auth.user_loader(lambda identity: f"user {identity.user_id}")
    for each in (manager, auth) if order == FIRST else (auth, manager):
        each.init_app(app)

    @app.route("/login", methods=["GET", "POST"])
    @public_route
    @login_limit("2 per hour", key="name", address_limit="100 per hour")
    def login() -> Any:
        if request.method == "GET":
            return "the form"
        if request.form["password"] != "right":
            return "the form, with an error", 401
        login_user(User(request.form["name"]))
        return redirect(url_for("page"))

    @app.get("/logout")
    @protected_elsewhere("Flask-Login")
    @login_required
    def logout() -> str:
        logout_user()
        return "out"

    @app.get("/page")
    @protected_elsewhere("Flask-Login")
    @login_required
    def page() -> str:
        return render_template_string("page of {{ current_user.id }}")

    @app.get("/api/me")
    @verify_tenant_context
    def me() -> Any:
        return {"ours": str(current_user), "theirs": flask_login.current_user.get_id()}

    return app


def log_in(app: Flask, password: str = "right", name: str = "ann") -> tuple[FlaskClient, int]:
    client = app.test_client()
    answer = client.post("/login", data={"name": name, "password": password})
    return client, answer.status_code


@both_orders
def test_a_session_opens_pages_and_no_view_of_the_api(order: str) -> None:
    app = pages_and_api(order)
    client, status = log_in(app)
    assert status == 302
    assert client.get("/page").text == "page of ann"
    denied = client.get("/api/me")
    assert (denied.status_code, denied.mimetype) == (401, "application/json")


@both_orders
def test_a_token_opens_the_api_and_no_page(order: str) -> None:
    app = pages_and_api(order)
    answer = app.test_client().get("/api/me", headers=bearer())
    assert answer.json == {"ours": f"user {USER}", "theirs": None}
    away = app.test_client().get("/page", headers=bearer())
    assert (away.status_code, away.location) == (302, "/login?next=%2Fpage")


@both_orders
def test_both_users_are_known_in_a_request_with_both(order: str) -> None:
    app = pages_and_api(order)
    client, _ = log_in(app)
    assert client.get("/api/me", headers=bearer()).json == {"ours": f"user {USER}", "theirs": "ann"}
    assert client.get("/logout").text == "out"
    assert client.get("/api/me", headers=bearer()).json == {"ours": f"user {USER}", "theirs": None}
    assert client.get("/page").status_code == 302


@both_orders
def test_current_user_in_templates_is_that_of_flask_login(order: str) -> None:
    app = pages_and_api(order)

    @app.get("/both")
    @verify_tenant_context
    def both() -> str:
        return render_template_string("{{ current_user.id }}")

    client, _ = log_in(app)
    assert client.get("/both", headers=bearer()).text == "ann"


@both_orders
def test_a_view_with_both_decorators_asks_for_both(order: str) -> None:
    app = pages_and_api(order)
    app.get("/inside", endpoint="inside")(verify_role("admin")(login_required(lambda: "in")))
    app.get("/outside", endpoint="outside")(login_required(verify_role("admin")(lambda: "in")))
    client, _ = log_in(app)
    for path in ("/inside", "/outside"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=bearer()).status_code == 403
        assert client.get(path, headers=bearer(role="admin")).text == "in"
        only_token = app.test_client().get(path, headers=bearer(role="admin"))
        assert only_token.status_code == 302
        assert only_token.location.startswith("/login")


@both_orders
def test_check_names_pages_as_declared_and_a_login_required_above_ours(order: str) -> None:
    app = pages_and_api(order)
    check = app.test_cli_runner().invoke(args=["auth", "check", "--strict"])
    assert "/page  [protected by Flask-Login]" in check.output
    assert check.exit_code == 0, check.output
    app.get("/bare", endpoint="bare")(login_required(lambda: "in"))
    app.get("/above", endpoint="above")(login_required(verify_tenant_context(lambda: "in")))
    strict = app.test_cli_runner().invoke(args=["auth", "check", "--strict"])
    assert strict.exit_code == 1
    assert "GET /bare (bare) shows something and asks for no identity" in strict.output
    assert "GET /above (above) asks for an identity behind login_required" in strict.output


@both_orders
def test_a_401_of_flask_login_counts_as_a_failure_and_its_redirect_does_not(order: str) -> None:
    redirecting = pages_and_api(order, AUTH_FAILURE_LIMIT="2 per hour")
    asked = [redirecting.test_client().get("/page").status_code for _ in range(4)]
    assert asked == [302] * 4
    denying = pages_and_api(order, login_view=None, AUTH_FAILURE_LIMIT="2 per hour")
    asked = [denying.test_client().get("/page").status_code for _ in range(4)]
    assert asked == [401, 401, 429, 429]


@both_orders
def test_a_form_that_is_answered_with_401_is_limited_by_login_limit(order: str) -> None:
    app = pages_and_api(order)
    assert [log_in(app, "wrong")[1] for _ in range(3)] == [401, 401, 429]
    assert log_in(app)[1] == 429
    assert log_in(app, name="ben")[1] == 302


def test_a_form_that_is_answered_with_200_is_not_limited() -> None:
    """The control of the test above: with 200, nobody can tell a failure."""
    app = bare_app(SECRET_KEY="a secret of the tests")
    TenantAuth(app)
    app.post("/login", endpoint="login")(
        public_route(login_limit("2 per hour", key="name")(lambda: "the form, with an error"))
    )
    assert [log_in(app, "wrong")[1] for _ in range(4)] == [200] * 4


@both_orders
def test_one_login_manager_can_load_the_users_of_tokens_too(order: str) -> None:
    """`request_loader` makes views of `login_required` open for a valid token, and no other."""
    app = pages_and_api(order)

    @app.login_manager.request_loader  # type: ignore[attr-defined]
    def user_of_token(_: Any) -> User | None:
        _, user_id, _ = extract_tenant_context()
        return None if user_id is None else User(user_id)

    client = app.test_client()
    assert client.get("/page", headers=bearer()).text == f"page of {USER}"
    assert client.get("/page", headers=bearer(exp=1)).status_code == 302
    assert client.get("/page", headers={"Authorization": "Bearer x"}).status_code == 302
    assert client.get("/page").status_code == 302
    # A page that was opened by a token has begun no session.
    assert "Set-Cookie" not in client.get("/page", headers=bearer()).headers


@both_orders
def test_async_views_have_both_users(order: str) -> None:
    app = pages_and_api(order)

    @app.get("/awaited")
    @verify_tenant_context
    @login_required
    async def awaited() -> Any:
        return {
            "tenant_id": current_identity.tenant_id,
            "theirs": flask_login.current_user.get_id(),
            "g": g._login_user.get_id(),
        }

    client, _ = log_in(app)
    expected = {"tenant_id": TENANT, "theirs": "ann", "g": "ann"}
    assert client.get("/awaited", headers=bearer()).json == expected
    assert client.get("/awaited").status_code == 401


@both_orders
def test_a_session_cookie_is_no_credential_where_tokens_are_in_cookies(order: str) -> None:
    app = pages_and_api(
        order,
        AUTH_TOKEN_LOCATIONS="cookies",
        AUTH_SESSION_ROUTES="/auth",
        AUTH_SESSION_STORE="sqlite://",
    )
    client, _ = log_in(app)
    cookie = client.get_cookie("session")
    assert cookie is not None
    assert client.get("/page").text == "page of ann"
    assert client.get("/api/me").status_code == 401
    for name in ("fta", "__Host-fta"):
        client.set_cookie(name, cookie.value)
    assert client.get("/api/me").status_code == 401
    assert client.get("/page").text == "page of ann"


@both_orders
def test_a_setting_of_flask_login_that_begins_as_ours_has_to_be_ignored(order: str) -> None:
    theirs = {"FLASK_ENV": "production", "AUTH_HEADER_NAME": "X-Login"}
    with pytest.raises(ConfigurationError, match="AUTH_HEADER_NAME"):
        pages_and_api(order, **theirs)
    app = pages_and_api(order, AUTH_IGNORE_CONFIG="AUTH_HEADER_NAME", **theirs)
    assert app.test_client().get("/page").status_code == 302
