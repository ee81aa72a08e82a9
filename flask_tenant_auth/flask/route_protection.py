"""What `flask auth check` reports of a route: who may call it, and what is called before the check.

Declarations say what the decorators of a view are. functools.wraps copies them outwards, so they do
not say whether a request reaches the decorator first: between the route and the decorator may be a
function that answers by itself, such as a cache. Therefore the chain of functions is followed too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from flask.app import Flask
from werkzeug.routing import Rule

from ..limit.declarations import (
    Declaration,
    declaration_of,
    declaration_of_view,
    method_of_class,
)
from . import decorators
from .checked_view import checked_view_of
from .identity_check import is_check_of_rights, require_identity
from .routes import ANY_METHOD, before_request_functions

# Libraries whose decorators show nothing of a view before it is called: they check the request, or
# serialize the answer.
SERIALIZERS = frozenset({"apiflask", "flask_restful", "flask_restx", "flask_smorest", "webargs"})


class Wrapper(NamedTuple):
    """A function that is called before a decorator of ours, and may answer in its place."""

    name: str
    package: str

    @classmethod
    def of(cls, function: Any) -> Wrapper:
        """Describe a function by its code: functools.wraps has given it the view's name."""
        while isinstance(function, partial):
            function = function.func
        code = getattr(function, "__code__", None)
        if code is None:
            return cls(type(function).__qualname__, type(function).__module__.partition(".")[0])
        module = function.__globals__.get("__name__") or ""
        name = getattr(code, "co_qualname", code.co_name)
        return cls(name, module.partition(".")[0])


class Protection(NamedTuple):
    """What is declared for one method of a route, and what is called before the decorator."""

    declaration: Declaration
    behind: tuple[str, ...]  # names of wrappers


def protection_of(app: Flask, endpoint: str, method: str) -> Protection:
    """Return who may call one method of an endpoint."""
    view = app.view_functions.get(endpoint)
    declaration = declaration_of_view(view, method)
    for decorator in _method_decorators(view, method):
        if _is_ours(decorator):
            declaration |= declaration_of(decorator(_blank))
    verified, behind = False, []
    for function in before_request_functions(app, endpoint):
        declaration |= declaration_of(function)
        verified, wrappers = _walk(_steps(function), verified=verified)
        behind += wrappers
    behind += _walk(_steps_to_view(view, method), verified=verified)[1]
    return Protection(declaration, tuple(dict.fromkeys(behind)))


def methods_of(app: Flask, rule: Rule) -> set[str]:
    """Return the methods of a rule that a view answers in its own way; none if no view is called.

    Left out is OPTIONS where Flask answers, and HEAD where GET stands for it.
    """
    if rule.build_only or rule.redirect_to is not None:
        return set()
    methods = set(ANY_METHOD if rule.methods is None else rule.methods)
    if rule.websocket:
        methods &= {"GET"}  # the handshake (RFC 6455, section 4.1)
    if getattr(rule, "provide_automatic_options", False):
        methods.discard("OPTIONS")
    if "GET" in methods and not _has_own_head(app.view_functions.get(rule.endpoint)):
        methods.discard("HEAD")
    return methods


def _has_own_head(view: Any) -> bool:
    """Whether HEAD is answered otherwise than GET.

    Flask-RESTful answers HEAD with get(), but looks for decorators of "head".
    """
    view_class = getattr(view, "view_class", None)
    by_method = isinstance(getattr(view_class, "method_decorators", None), Mapping)
    return hasattr(view_class, "head") or by_method


# A step of a request: a check of ours, or a wrapper of somebody else.


class _Check(NamedTuple):
    """A decorator of ours that asks for an identity, or also for a role or permissions."""

    of_rights: bool


_Step = _Check | Wrapper


def _walk(steps: Iterable[_Step], *, verified: bool) -> tuple[bool, list[str]]:
    """Return whether the identity is verified, and the wrappers that are called before that.

    A check of the identity behind a wrapper does no harm where another one stands before the
    wrapper. A check of a role or of permissions does, because no other check replaces it.
    """
    wrappers: list[str] = []
    behind: list[str] = []
    for step in steps:
        if isinstance(step, _Check):
            if step.of_rights or not verified:
                behind += wrappers
            verified = True
        elif step.package not in SERIALIZERS:
            wrappers.append(step.name)
    return verified, behind


def _steps(function: Any) -> Iterator[_Step]:
    """Yield the steps of a function and of all that it wraps, outermost first."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        checked = checked_view_of(function)
        if checked is not None:
            yield from filter(None, map(_check_of, checked.checks))
            function = checked.view
            continue
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            yield Wrapper.of(function)
        function = wrapped


def _check_of(check: object) -> _Check | None:
    if check is require_identity:
        return _Check(of_rights=False)
    return _Check(of_rights=True) if is_check_of_rights(check) else None


def _blank() -> None:
    """Do nothing: a view to apply a decorator to, in order to see its checks."""


def _steps_to_view(view: Any, method: str) -> Iterator[_Step]:
    """Yield the steps of a view; those of a class in the order in which they are called."""
    yield from _steps(view)
    view_class = getattr(view, "view_class", None)
    if view_class is None:
        return
    yield from _steps(getattr(view_class, "dispatch_request", None))
    for decorator in reversed(_method_decorators(view, method)):
        if _is_ours(decorator):
            yield from _steps(decorator(_blank))
        else:
            yield Wrapper.of(decorator)
    yield from _steps(method_of_class(view_class, method))


def _method_decorators(view: Any, method: str) -> list[Any]:
    """Return what Flask-RESTful or Flask-RESTX puts around a method, innermost first."""
    view_class = getattr(view, "view_class", None)
    if view_class is None or not any(map(_is_resource, view_class.__mro__)):
        return []
    found = view_class.method_decorators
    return list(found.get(method.lower(), ()) if isinstance(found, Mapping) else found)


def _is_resource(view_class: type) -> bool:
    package = view_class.__module__.partition(".")[0]
    return view_class.__name__ == "Resource" and package in ("flask_restful", "flask_restx")


def _is_ours(decorator: Any) -> bool:
    return getattr(decorator, "__globals__", None) is vars(decorators)
