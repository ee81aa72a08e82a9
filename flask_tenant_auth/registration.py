"""Decorators in the wrong order: above the route decorator, where they protect nothing.

``@verify_tenant_context`` above ``@app.get(...)`` comes too late: Flask has registered the function
inside, and calls that. Two checks find it. Where the decorator is applied, the function is looked
for among the views of apps and blueprints: an error at once. What is not found then is found in an
app that has `TenantAuth`, at `init_app` or at the first request to the view, which is answered with
500 and does not reach it.

Only a function that is being defined can be in the wrong order. To put a decorator around a view
of another place is right: ``app.view_functions["index"] = verify_tenant_context(index)``, or
``app.get("/b")(verify_tenant_context(view))`` beside ``app.get("/a")(view)``.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from inspect import CO_OPTIMIZED
from itertools import islice
from types import CodeType, FrameType
from typing import Any

import flask
from flask.sansio.scaffold import Scaffold

_DEFINED_WITH = "_tenant_auth_defined_with"
# How far up the code that applies a decorator is looked for.
_CALLERS = 8

# Apps whose configuration was read: those with `TenantAuth`, and those whose views were called.
known_apps: weakref.WeakSet[flask.Flask] = weakref.WeakSet()
# References to a function that nobody but its decorators knows; measured by the first call.
_references_of_fresh: list[int] = []


def check_order(decorator: str, view: Any) -> None:
    """Raise where a function that is being defined is a registered view already.

    :raises RuntimeError: it names the decorator, the view, and its app or blueprint.
    """
    references = sys.getrefcount(view)
    if not _references_of_fresh:
        _references_of_fresh.append(references)
    chain = list(_chain(view))
    frame = _defining_frame(chain[-1])
    if frame is None:
        return
    for each in chain:
        _remember(each)
    if len(chain) == 1 and references <= _references_of_fresh[0]:
        return
    views = {id(each) for each in chain}
    for scaffold in _scaffolds(frame, everywhere=len(chain) == 1):
        if not views.isdisjoint(_registered(scaffold)):
            kind = "app" if isinstance(scaffold, flask.Flask) else "blueprint"
            raise RuntimeError(
                f"{decorator} does nothing above the route decorator: {_name(view)} is a "
                f"registered view of the {kind} {scaffold.name!r} already, without it. Write "
                f"{decorator} below the route decorator, next to the function"
            )


def _chain(view: Any) -> Iterator[Any]:
    """Yield a function and what it wraps, as functools.wraps tells."""
    seen: set[int] = set()
    while view is not None and id(view) not in seen:
        seen.add(id(view))
        yield view
        view = getattr(view, "__wrapped__", None)


def _defining_frame(function: Any) -> FrameType | None:
    """Return the code that is at the definition of a function right now: at its decorators."""
    code = getattr(function, "__code__", None)
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_CALLERS):
        if frame is None or code is None:
            break
        if code in frame.f_code.co_consts:
            return frame if _is_at(frame, code) else None
        frame = frame.f_back
    return None


def _is_at(frame: FrameType, code: CodeType) -> bool:
    """Whether the lines that a frame executes are among those of a function's definition."""
    first, last = frame.f_lineno, frame.f_lineno
    if sys.version_info >= (3, 11):
        here = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
        first, last = here[0] or first, here[1] or last
    lines = [line for _, _, line in code.co_lines() if line is not None]
    return code.co_firstlineno <= last and first <= max(lines, default=code.co_firstlineno)


def _scaffolds(frame: FrameType, *, everywhere: bool) -> Iterable[Scaffold]:
    """Return apps and blueprints: those of a module, or all that there are.

    To look through all objects takes milliseconds. It is done for a function that somebody holds
    already, and inside of functions, as app factories are, whose variables are theirs.
    """
    found: list[Any] = [*known_apps, *frame.f_globals.values()]
    if everywhere or frame.f_code.co_flags & CO_OPTIMIZED:
        found += gc.get_objects()
    # Not isinstance: a proxy answers for its object, or raises where there is none.
    return [each for each in found if issubclass(type(each), Scaffold)]


def _registered(scaffold: Scaffold) -> set[int]:
    """Return the ids of the views of an app, or of those that a blueprint will register."""
    registered = set(map(id, scaffold.view_functions.values()))
    # A blueprint keeps what it was told as functions for the app to call: they hold the views.
    for deferred in getattr(scaffold, "deferred_functions", ()):
        registered.update(
            map(id, gc.get_referents(*(getattr(deferred, "__closure__", None) or ())))
        )
    return registered


def _name(view: Any) -> str:
    return getattr(view, "__qualname__", type(view).__name__)


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
            "decorator, next to the function"
        )
