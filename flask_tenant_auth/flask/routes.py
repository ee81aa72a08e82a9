"""The routes of an app: what is declared on them, and the plans that count them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from types import MethodType
from typing import Any, cast

import flask
from flask.app import Flask

from ..config.names import nearest
from ..limit.declarations import Declaration, declaration_of, declaration_of_view
from ..limit.plans import Plan, Plans

# The methods of a route that takes any method.
ANY_METHOD = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Static files are never counted.
_STATIC = Declaration(exempt=True)


def plan_of(app: Flask, plans: Plans, endpoint: str, method: str) -> Plan:
    """Return the plan of a request that reached this endpoint with this method."""
    plan = plans.made.get((endpoint, method))
    if plan is None:
        view = app.view_functions.get(endpoint)
        declaration = _STATIC if is_static_view(app, view) else declaration_of_view(view, method)
        declarations = [declaration, *declarations_of_blueprints(app, endpoint)]
        plan = plans.make(endpoint, method, first_endpoint(app, endpoint), declarations)
    return plan


def first_endpoint(app: Flask, endpoint: str) -> str:
    """Return the first of all endpoints of an app that call the view of this one.

    A view that is registered twice (``/login`` and ``/v1/login``, or with its blueprint) is one
    view, and has one budget.
    """
    views = app.view_functions
    view = views.get(endpoint)
    if view is None:
        return endpoint
    return min(each for each, other in views.items() if other is view)


def unknown_endpoints(app: Flask, names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each of these names in RATELIMIT_ENDPOINTS that is no endpoint."""
    for name in names:
        if name not in app.view_functions:
            yield (
                f"RATELIMIT_ENDPOINTS names {name!r}, which is no endpoint of the app "
                f"{app.name!r}; the nearest is {nearest(name, app.view_functions)!r}"
            )


def declarations_of_blueprints(app: Flask, endpoint: str) -> Iterator[Declaration]:
    """Yield what is declared on the blueprints of an endpoint, the innermost first."""
    for name in _names_of_blueprints(endpoint):
        declared = declaration_of(app.blueprints.get(name))
        rules = [
            rule.named(f"blueprint {name} {position}")
            for position, rule in enumerate(declared.rules)
        ]
        yield replace(declared, rules=tuple(rules))


def _names_of_blueprints(endpoint: str) -> Iterator[str]:
    """Yield the names under which the blueprints of an endpoint are registered: innermost first."""
    name = endpoint.rpartition(".")[0]
    while name:
        yield name
        name = name.rpartition(".")[0]


def before_request_functions(app: Flask, endpoint: str) -> Iterator[Callable[..., object]]:
    """Yield the before_request functions of the app and of the endpoint's blueprints."""
    yield from app.before_request_funcs.get(None, ())
    for name in _names_of_blueprints(endpoint):
        yield from app.before_request_funcs.get(name, ())


def declaration_of_route(app: Flask, endpoint: str, method: str) -> Declaration:
    """Return what is declared on a view and on the before_request functions of its requests."""
    declaration = declaration_of_view(app.view_functions.get(endpoint), method)
    for function in before_request_functions(app, endpoint):
        declaration |= declaration_of(function)
    return declaration


def asks_for_identity(app: Flask, endpoint: str) -> bool:
    """Whether a view asks for an identity with any of its methods."""
    return any(
        declaration_of_route(app, endpoint, method).verified
        for rule in app.url_map.iter_rules(endpoint)
        for method in rule.methods or ANY_METHOD
    )


# Flask's own static views


@cache
def _static_view_of_flask() -> Callable[..., Any]:
    """Return the static view that Flask makes for an app: a function that has no name of its own.

    All of them have one code object, which no view of an application has.
    """
    app = Flask(__name__, static_folder="static")
    return cast("Callable[..., Any]", app.view_functions["static"])


def is_static_view(app: Flask, view: object) -> bool:
    """Whether a view is the one that Flask adds for a static folder, of the app or a blueprint.

    The function decides, not the name. A view of the application under the endpoint ``static`` is
    not one; nor is Flask's own inside a wrapper, or with a `send_static_file` that the application
    has overridden.
    """
    if isinstance(view, MethodType):
        own = (flask.Blueprint.send_static_file, Flask.send_static_file)
        return view.__func__ in own
    code = getattr(view, "__code__", None)
    return (
        code is not None
        and code is _static_view_of_flask().__code__
        and type(app).send_static_file is Flask.send_static_file
    )
