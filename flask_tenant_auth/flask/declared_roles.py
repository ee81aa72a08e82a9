"""Finds views that name a role which their app does not have.

A decorator may run before its app is there, so it cannot know the roles. Three checks find such a
view: of the views that are there, in `TenantAuth.init_app`; at the first request to a later view,
in an app that has `TenantAuth`; and the check of the role itself, at the first call of the view.
None of them lets the request pass.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask.app import Flask

from .._core import Roles
from ..identity.roles import require_known_roles
from ..limit.declarations import Declaration
from .routes import ANY_METHOD, declaration_of_route


def require_declared_roles(app: Flask, roles: Roles, *endpoints: str) -> None:
    """Raise where one of these endpoints, or any of the app, names a role that is none of the app.

    :raises ConfigurationError: it names the endpoint, the role and the nearest role.
    """
    for endpoint in endpoints or tuple(app.view_functions):
        for method in _methods(app.view_functions.get(endpoint)):
            declaration = declaration_of_route(app, endpoint, method)
            require_known_roles(named_roles(declaration), roles, endpoint)


def _methods(view: object) -> list[str]:
    """Return the methods whose declarations may differ: only a class has one for each."""
    view_class = getattr(view, "view_class", None)
    if view_class is None:
        return ["GET"]
    return sorted({*ANY_METHOD, *(getattr(view_class, "methods", None) or ())})


def named_roles(declaration: Declaration) -> Iterator[str]:
    """Yield every role that a declaration names."""
    yield from declaration.roles
    if declaration.at_least is not None:
        yield declaration.at_least
