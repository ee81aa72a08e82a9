"""What `flask auth check` finds out about a route: who may call it, and what stands before that.

A declaration says what decorators declare, and functools.wraps copies it outwards. So it does not
say whether a request meets the decorator first: between it and the route may stand a function that
answers by itself, such as a cache. Therefore the chain of functions is followed as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from types import CodeType
from typing import Any, NamedTuple, cast

from flask import Flask
from werkzeug.routing import Rule

from ..limits import Declaration, declaration_of, declaration_of_view
from ..roles import TENANT_ROLE
from . import decorators
from .registration import ANY_METHOD, guards_of

# Libraries whose decorators answer nothing of the view's before the view was called: they check
# what is sent, or serialize what is returned.
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
    """What is declared for one method of a route, and what stands before the decorator."""

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
    for guard in guards_of(app, endpoint):
        declaration |= declaration_of(guard)
        verified, wrappers = _walk(_steps(guard), verified=verified)
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


# A step on the way of a request: a check of ours, or somebody's wrapper.


class _Check(NamedTuple):
    """A decorator of ours that lets in only whom it knows."""

    of_role: bool


_Step = _Check | Wrapper


def _walk(steps: Iterable[_Step], *, verified: bool) -> tuple[bool, list[str]]:
    """Return whether the identity is verified, and the wrappers that a request meets before that.

    A check of the identity alone, behind a wrapper, does no harm where another one stands before
    the wrapper. What a check of the role is for, nothing else checks.
    """
    wrappers: list[str] = []
    behind: list[str] = []
    for step in steps:
        if isinstance(step, _Check):
            if step.of_role or not verified:
                behind += wrappers
            verified = True
        elif step.package not in SERIALIZERS:
            wrappers.append(step.name)
    return verified, behind


def _steps(function: Any) -> Iterator[_Step]:
    """Yield what a request meets in a function and in all that it wraps, outermost first."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        guard = _guard_of(function)
        if guard is not None:
            for gate in guard.gates:
                check = _check_of(gate)
                if check is not None:
                    yield check
            function = guard.view
            continue
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            yield Wrapper.of(function)
        function = wrapped


def _guard_of(function: Any) -> Any:
    """Return what a function made by our decorators does; functools.wraps copies it to others."""
    guard = getattr(function, decorators._GUARD, None)
    return guard if getattr(guard, "function", None) is function else None


def _check_of(gate: object) -> _Check | None:
    if gate is decorators.admit:
        return _Check(of_role=False)
    if getattr(gate, "__code__", None) is _code_of_role_checks():
        return _Check(of_role=True)
    return None


def _blank() -> None:
    """Let a decorator show what it does."""


@cache
def _code_of_role_checks() -> CodeType:
    """Return the code that all checks of a role share."""
    (check,) = _guard_of(decorators.verify_role(TENANT_ROLE)(_blank)).gates
    return cast("CodeType", check.__code__)


def _steps_to_view(view: Any, method: str) -> Iterator[_Step]:
    """Yield what a request meets in a view; of a class, in the order in which it is called."""
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
    handler = getattr(view_class, method.lower(), None)
    if handler is None and method == "HEAD":
        handler = getattr(view_class, "get", None)
    yield from _steps(handler)


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
