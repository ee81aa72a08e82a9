"""Which limits count a request of a route: the plans of one app, made when first needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import MethodType
from typing import Any, cast

import flask
from flask import Flask

from ..limits import Plan, Rule, declaration_of_view

# A route may take any method there is, so what is kept for each has to end somewhere.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


@cache
def _static_view_of_flask() -> Callable[..., Any]:
    """Return the static view that Flask makes for an app: a function that has no name of its own.

    All of them have one code object, which no view of an application has.
    """
    app = flask.Flask(__name__, static_folder="static")
    return cast("Callable[..., Any]", app.view_functions["static"])


def is_static_view(app: Flask, view: object) -> bool:
    """Whether a view is the one that Flask adds for a static folder, of the app or a blueprint.

    What decides is the function, not the name: a view of the application whose endpoint is called
    ``static`` is none, and neither is Flask's own inside a wrapper, or around a `send_static_file`
    that the application has overridden.
    """
    if isinstance(view, MethodType):
        own = (flask.Blueprint.send_static_file, flask.Flask.send_static_file)
        return view.__func__ in own
    code = getattr(view, "__code__", None)
    return (
        code is not None
        and code is _static_view_of_flask().__code__
        and type(app).send_static_file is flask.Flask.send_static_file
    )


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


NO_PLAN = Plan("", ())


class Plans:
    """The plans of one app by endpoint and method, made when first needed."""

    def __init__(self, defaults: tuple[Rule, ...]) -> None:
        self._defaults = defaults
        # A request that no route answers is counted too, or scanning for routes would be free.
        self.unrouted = Plan("", defaults)
        # By endpoint and method.
        self.made: dict[tuple[str, str], Plan] = {}

    def plan(self, app: Flask, endpoint: str, method: str) -> Plan:
        """Return the plan of a request that reached this endpoint with this method."""
        plan = self.made.get((endpoint, method))
        if plan is None:
            plan = self._make(app, endpoint, method)
            if method in _METHODS:
                self.made[endpoint, method] = plan
        return plan

    def _make(self, app: Flask, endpoint: str, method: str) -> Plan:
        """Let declared rules replace the defaults; never count static files."""
        view = app.view_functions.get(endpoint)
        if is_static_view(app, view):
            return NO_PLAN
        declaration = declaration_of_view(view, method)
        declared = tuple(rule for rule in declaration.rules if rule.applies_to(method))
        if declared:
            return Plan(first_endpoint(app, endpoint), declared)
        return (
            NO_PLAN if declaration.exempt else Plan(first_endpoint(app, endpoint), self._defaults)
        )
