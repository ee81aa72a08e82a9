"""Decorators in the wrong order: above the route decorator, where they protect nothing.

``@verify_tenant_context`` above ``@app.get(...)`` comes too late: Flask has registered the function
inside, and calls that. Two checks find it. Where the decorator is applied, the function is looked
for among the views of apps and blueprints: an error at once. What is not found then is found in an
app that has `TenantAuth`, at `init_app` or at the first request to the view, which is answered with
500 and does not reach it.

Only a function that is being defined can be in the wrong order. To put a decorator around a view
of another place is right: ``app.view_functions["index"] = verify_tenant_context(index)``, or
``app.get("/b")(verify_tenant_context(view))`` beside ``app.get("/a")(view)``. Where a decorator of
the app itself applies ours, the first check says nothing: it may register the function with and
without. The second asks that such a view is declared: ``app.get("/a")(public_route(view))``.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from inspect import CO_OPTIMIZED
from itertools import chain, islice
from types import CodeType, FrameType
from typing import Any

import flask
from flask.sansio.scaffold import Scaffold

from ..limit.rules import Marks, marks_of, marks_of_view

_DEFINED_WITH = "_tenant_auth_defined_with"
# How far up the code that applies a decorator is looked for.
_CALLERS = 8
# How many of the views that were registered last are looked at: a function that is being defined
# was registered a moment ago.
_LATEST = 32
_OURS = (__name__, f"{__package__}.decorators")

# What stands for a route that takes any method.
ANY_METHOD = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Apps whose configuration was read: those with `TenantAuth`, and those whose views were called.
known_apps: weakref.WeakSet[flask.Flask] = weakref.WeakSet()


def check_order(decorator: str, view: Any, *, is_guard: bool = False) -> None:
    """Raise where a function that is being defined is a registered view already.

    It is called by what a decorator calls with the function, no deeper and no higher.

    :param is_guard: whether the view is what another decorator of ours has made.
    :raises RuntimeError: it names the decorator, the view, and its app or blueprint.
    """
    references = sys.getrefcount(view)
    wrapped = list(_chain(view))
    frame, is_direct = _defining_frame(wrapped[-1])
    if frame is None:
        return
    for each in wrapped:
        _remember(each)
    # Nobody else has it, so nobody has registered it. A guard is held by itself, and what is in it
    # was looked for when it was made.
    if not is_direct or (references <= _REFERENCES + is_guard and (is_guard or len(wrapped) == 1)):
        return
    views = {id(each) for each in wrapped}
    for scaffold in _scaffolds(frame, everywhere=len(wrapped) == 1):
        if not views.isdisjoint(_registered(scaffold)):
            kind = "app" if isinstance(scaffold, flask.Flask) else "blueprint"
            raise RuntimeError(
                f"{decorator} does nothing above the route decorator: {_name(view)} is a "
                f"registered view of the {kind} {scaffold.name!r} already, without it. Write "
                f"{decorator} below the route decorator, next to the function"
            )


def _references_of_a_new_function() -> int:
    """Count the references to a function that only a decorator knows, where `check_order` does."""

    def check(view: Any) -> int:
        return sys.getrefcount(view)

    def require(view: Any) -> int:
        return check(view)

    def decorate(view: Any) -> int:
        return require(view)

    return decorate(lambda: None)


_REFERENCES = _references_of_a_new_function()


def _chain(view: Any) -> Iterator[Any]:
    """Yield a function and what it wraps, as functools.wraps tells."""
    seen: set[int] = set()
    while view is not None and id(view) not in seen:
        seen.add(id(view))
        yield view
        view = getattr(view, "__wrapped__", None)


def _defining_frame(function: Any) -> tuple[FrameType | None, bool]:
    """Return the code that is at the definition of a function right now: at its decorators.

    With it comes whether it has called our decorator itself, and no code in between.
    """
    code = getattr(function, "__code__", None)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _OURS:
        frame = frame.f_back
    for callers in range(_CALLERS):
        if frame is None or code is None:
            break
        if code in frame.f_code.co_consts:
            return (frame, callers == 0) if _is_at(frame, code) else (None, False)
        frame = frame.f_back
    return None, False


def _is_at(frame: FrameType, code: CodeType) -> bool:
    """Whether the lines that a frame executes are among those of a function's definition."""
    first, last = frame.f_lineno, frame.f_lineno
    if sys.version_info >= (3, 11):
        here = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
        first, last = here[0] or first, here[1] or last
    lines = [line for _, _, line in code.co_lines() if line is not None]
    return code.co_firstlineno <= last and first <= max(lines, default=code.co_firstlineno)


def _scaffolds(frame: FrameType, *, everywhere: bool) -> Iterator[Scaffold]:
    """Yield apps and blueprints, those first that the code of a frame can name.

    To look through all objects takes long where there are many. It is done last, and only for the
    first decorator of a function, which somebody holds already.
    """
    yield from filter(_is_scaffold, chain(known_apps, frame.f_globals.values()))
    yield from filter(_is_scaffold, _named_in(frame))
    if everywhere:
        yield from filter(_is_scaffold, gc.get_objects())


def _is_scaffold(each: Any) -> bool:
    # Not isinstance: a proxy answers for its object, or raises where there is none.
    return issubclass(type(each), Scaffold)


def _named_in(frame: FrameType) -> Iterator[Any]:
    """Yield the variables of a function, what their attributes are, and its callers' variables."""
    variables = list(frame.f_locals.values()) if frame.f_code.co_flags & CO_OPTIMIZED else []
    yield from variables
    caller = frame.f_back
    for _ in range(_CALLERS):
        if caller is None:
            break
        if caller.f_code.co_flags & CO_OPTIMIZED:
            yield from list(caller.f_locals.values())
        caller = caller.f_back
    for each in variables:
        if type(each).__flags__ & _WRITTEN_IN_PYTHON:
            for held in gc.get_referents(each):  # runs no code of the object
                yield from held.values() if type(held) is dict else (held,)


# Py_TPFLAGS_HEAPTYPE: no list, dict or function, but an object with attributes.
_WRITTEN_IN_PYTHON = 1 << 9


def _registered(scaffold: Scaffold) -> Iterable[int]:
    """Yield the ids of the latest views of an app, or of those that a blueprint will register."""
    yield from map(id, islice(reversed(scaffold.view_functions.values()), _LATEST))
    # A blueprint keeps what it was told as functions for the app to call: they hold the views.
    for deferred in getattr(scaffold, "deferred_functions", ())[-_LATEST:]:
        yield from map(id, gc.get_referents(*(getattr(deferred, "__closure__", None) or ())))


def _name(view: Any) -> str:
    return getattr(view, "__qualname__", type(view).__name__)


# What is declared on a route


def marks_of_route(app: flask.Flask, endpoint: str, method: str) -> Marks:
    """Return what is declared on a view and on the functions that its requests pass before it."""
    marks = marks_of_view(app.view_functions.get(endpoint), method)
    for guard in guards_of(app, endpoint):
        marks |= marks_of(guard)
    return marks


def guards_of(app: flask.Flask, endpoint: str) -> Iterator[Callable[..., object]]:
    """Yield the before_request functions of the app and of the endpoint's blueprints."""
    yield from app.before_request_funcs.get(None, ())
    blueprint = endpoint.rpartition(".")[0]
    while blueprint:
        yield from app.before_request_funcs.get(blueprint, ())
        blueprint = blueprint.rpartition(".")[0]


def asks_for_identity(app: flask.Flask, endpoint: str) -> bool:
    """Whether a view asks for an identity with any of its methods."""
    return any(
        marks_of_route(app, endpoint, method).verified
        for rule in app.url_map.iter_rules(endpoint)
        for method in rule.methods or ANY_METHOD
    )


# What was not found then


def _remember(function: Any) -> None:
    """Keep on a function that it was defined with a decorator of ours.

    functools.wraps copies it outwards: hence the reference to the function itself.
    """
    try:
        setattr(function, _DEFINED_WITH, weakref.ref(function))
    except (AttributeError, TypeError):  # it takes no attributes
        return


def _is_bare(view: Any) -> bool:
    """Whether Flask calls this function itself, and not the one that its decorators made of it."""
    defined = getattr(view, _DEFINED_WITH, None)
    return isinstance(defined, weakref.ref) and defined() is view


def bare_views(app: flask.Flask) -> dict[str, Callable[..., Any]]:
    """Return the views of an app, by endpoint, whose decorators stand above the route decorator."""
    return {endpoint: view for endpoint, view in app.view_functions.items() if _is_bare(view)}


def refuse_bare(app: flask.Flask, *endpoints: str) -> None:
    """Raise where one of these endpoints of an app, or of all, is such a view.

    :raises RuntimeError: it names the endpoints.
    """
    views = app.view_functions
    bare = [each for each in endpoints or views if _is_bare(views.get(each))]
    if bare:
        raise RuntimeError(
            f"{', '.join(bare)}: a decorator of flask_tenant_auth stands above the route decorator "
            "and does nothing there, so the view is not protected. Write it below the route "
            "decorator, next to the function; or, if the view is meant to be registered without "
            "it too, register it there with public_route or protected_elsewhere around it"
        )
