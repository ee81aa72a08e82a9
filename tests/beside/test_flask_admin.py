"""Flask-Admin: its views are open until a decorator is on their blueprints."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask_admin import Admin, AdminIndexView, BaseView, expose
from flask_admin.contrib.sqla import ModelView
from flask_admin.theme import Bootstrap4Theme
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from apps import bare_app, bearer
from flask_tenant_auth import TenantAuth, extract_tenant_context, protected_elsewhere, verify_role

FIRST, LAST = "Flask-Admin first", "Flask-Admin last"
both_orders = pytest.mark.parametrize("order", [FIRST, LAST])


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Note(db.Model):  # type: ignore[name-defined,misc]
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class ForAdmins:
    """Puts our decorator on the blueprint of a view, with its static files."""

    def create_blueprint(self, admin: Admin) -> Any:
        blueprint = super().create_blueprint(admin)  # type: ignore[misc]
        blueprint.before_request(verify_role("admin")(lambda: None))
        return blueprint


class AccessibleToAdmins:
    """Asks in Flask-Admin's own way, and says so to `flask auth check`."""

    def is_accessible(self) -> bool:
        return extract_tenant_context()[2] == "admin"

    def create_blueprint(self, admin: Admin) -> Any:
        blueprint = super().create_blueprint(admin)  # type: ignore[misc]
        blueprint.before_request(protected_elsewhere("is_accessible")(lambda: None))
        return blueprint


class Reports(BaseView):
    @expose("/")
    def index(self) -> str:
        return "reports"

    @expose("/purge", methods=["POST"])
    def purge(self) -> str:
        return "purged"


def admin_app(order: str, mixin: type | None, **config: Any) -> Flask:
    """An app with an index, a view and a model in Flask-Admin; the mixin guards all of them."""
    app = bare_app(
        SECRET_KEY="a secret of the tests", SQLALCHEMY_DATABASE_URI="sqlite://", **config
    )
    db.init_app(app)
    with app.app_context():
        db.create_all()
    bases = () if mixin is None else (mixin,)
    index = type("Index", (*bases, AdminIndexView), {})
    reports = type("Reports", (*bases, Reports), {})
    notes = type("Notes", (*bases, ModelView), {})
    if order == LAST:
        TenantAuth(app)
    admin = Admin(app, index_view=index(), theme=Bootstrap4Theme())
    admin.add_view(reports(endpoint="reports"))
    admin.add_view(notes(Note, db, endpoint="notes"))
    if order == FIRST:
        TenantAuth(app)
    return app


PATHS = {
    "/admin/": "GET",
    "/admin/reports/": "GET",
    "/admin/reports/purge": "POST",
    "/admin/notes/": "GET",
    "/admin/notes/new/": "POST",
    "/admin/notes/delete/": "POST",
}
STATIC = "/admin/static/admin/css/bootstrap4/admin.css"


def statuses(app: Flask, headers: dict[str, str]) -> dict[str, int]:
    client = app.test_client()
    return {
        path: client.open(path, method=method, headers=headers).status_code
        for path, method in PATHS.items()
    }


def check(app: Flask) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["auth", "check", "--strict"])
    return result.exit_code, result.output


@both_orders
def test_its_views_are_open_and_check_names_each_of_them(order: str) -> None:
    app = admin_app(order, None)
    assert statuses(app, {})["/admin/reports/purge"] == 200
    code, shown = check(app)
    assert code == 1
    for path, method in PATHS.items():
        assert f"Problem: {method} {path} (" in shown
    assert "/admin/static/<path:filename>  [static files]" in shown


@both_orders
def test_a_decorator_on_its_blueprints_protects_all_of_it(order: str) -> None:
    app = admin_app(order, ForAdmins)
    assert set(statuses(app, {}).values()) == {401}
    assert set(statuses(app, bearer()).values()) == {403}
    allowed = statuses(app, bearer(role="admin"))
    assert set(allowed.values()) <= {200, 302}
    assert allowed["/admin/notes/"] == 200
    code, shown = check(app)
    assert code == 0, shown
    for path in PATHS:
        assert f"{path}  [role admin]" in shown


@both_orders
def test_its_static_files_are_protected_with_its_blueprint(order: str) -> None:
    for mixin, expected in (None, 200), (ForAdmins, 401):
        answer = admin_app(order, mixin).test_client().get(STATIC)
        assert answer.status_code == expected
        answer.close()


@both_orders
def test_is_accessible_may_ask_for_our_identity(order: str) -> None:
    app = admin_app(order, AccessibleToAdmins)
    assert set(statuses(app, {}).values()) == {403}
    assert set(statuses(app, bearer()).values()) == {403}
    assert set(statuses(app, bearer(role="admin", exp=1)).values()) == {403}
    assert set(statuses(app, bearer(role="admin")).values()) <= {200, 302}
    code, shown = check(app)
    assert code == 0, shown
    assert "/admin/reports/  [protected by is_accessible]" in shown


@both_orders
def test_a_view_that_was_forgotten_is_a_problem(order: str) -> None:
    app = admin_app(order, ForAdmins)
    app.extensions["admin"][0].add_view(Reports(endpoint="forgotten"))
    assert app.test_client().post("/admin/forgotten/purge").text == "purged"
    code, shown = check(app)
    assert code == 1
    assert "Problem: POST /admin/forgotten/purge (forgotten.purge) changes something" in shown


@both_orders
def test_browsers_change_something_from_listed_origins_only(order: str) -> None:
    """With tokens in cookies, another site's page cannot make a browser post to Flask-Admin."""
    app = admin_app(
        order,
        ForAdmins,
        AUTH_TOKEN_LOCATIONS="cookies",
        AUTH_SESSION_ROUTES="/auth",
        AUTH_SESSION_STORE="sqlite://",
    )
    cookie = bearer(role="admin")["Authorization"].removeprefix("Bearer ")
    client = app.test_client(use_cookies=False)
    for site, status in ("cross-site", 403), ("same-origin", 200):
        headers = {"Cookie": f"fta={cookie}", "Sec-Fetch-Site": site}
        assert client.post("/admin/reports/purge", headers=headers).status_code == status
