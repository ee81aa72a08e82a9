"""Finds decorators above the route decorator, where they protect nothing.

``@verify_tenant_context`` above ``@app.get(...)`` comes too late: Flask has registered the function
inside, and calls that. Two checks find it. The first one runs where the decorator is applied: it
looks for the function among the views of apps and blueprints, and raises at once. The second one
runs in an app that has `TenantAuth`, at `init_app` or at the first request to the view. That
request is answered with 500 and does not reach the view.

The order can be wrong only where a function is being defined. It is right to decorate a view that
was defined before: ``app.view_functions["index"] = verify_tenant_context(index)``, or
``app.get("/b")(verify_tenant_context(view))`` beside ``app.get("/a")(view)``. Where a decorator of
the app applies ours, the first check raises nothing, because that decorator may register the
function both with and without ours. The second check asks for a declaration on such a view:
``app.get("/a")(public_route(view))``.
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

from flask.app import Flask
from flask.sansio.scaffold import Scaffold

_DEFINED_WITH = "_tenant_auth_defined_with"
# So many callers are searched for the code that applies a decorator.
_CALLERS = 8
# So many of the views that were registered last are searched: a function that is being defined was
# registered a moment ago.
_LATEST = 32
_OURS = (__name__, f"{__package__}.checked_view", f"{__package__}.decorators")

# Apps whose configuration was read: those with `TenantAuth`, and those whose views were called.
known_apps: weakref.WeakSet[Flask] = weakref.WeakSet()


def check_order(decorator: str, view: Any, *, is_checked: bool = False) -> None:
    """Raise where a function that is being defined is a registered view already.

    The number of references to the function depends on the depth of the call: a decorator calls
    `require_function`, which calls this.

    :param is_checked: whether another decorator of ours has made the view.
    :raises RuntimeError: it names the decorator, the view, and its app or blueprint.
    """
    references = sys.getrefcount(view)
    wrapped = list(_chain(view))
    frame, is_direct = _defining_frame(wrapped[-1])
    if frame is None:
        return
    for each in wrapped:
        _remember(each)
    # No other code refers to the function, so none has registered it. A checked view refers to
    # itself, and the function in it was searched for when that was made.
    if not is_direct or (
        references <= _REFERENCES + is_checked and (is_checked or len(wrapped) == 1)
    ):
        return
    views = {id(each) for each in wrapped}
    for scaffold in _scaffolds(frame, everywhere=len(wrapped) == 1):
        if not views.isdisjoint(_registered(scaffold)):
            kind = "app" if isinstance(scaffold, Flask) else "blueprint"
            raise RuntimeError(
                f"{decorator} does nothing above the route decorator: {_name(view)} is a "
                f"registered view of the {kind} {scaffold.name!r} already, without it. Write "
                f"{decorator} below the route decorator, next to the function"
            )


def _references_of_a_new_function() -> int:
    """Return the number of references to a new function, at the depth of `check_order`."""

    def check(view: Any) -> int:
        return sys.getrefcount(view)

    def require(view: Any) -> int:
        return check(view)

    def decorate(view: Any) -> int:
        return require(view)

    return decorate(lambda: None)


_REFERENCES = _references_of_a_new_function()


def _chain(view: Any) -> Iterator[Any]:
    """Yield a function and the functions that it wraps, by functools.wraps."""
    seen: set[int] = set()
    while view is not None and id(view) not in seen:
        seen.add(id(view))
        yield view
        view = getattr(view, "__wrapped__", None)


def _defining_frame(function: Any) -> tuple[FrameType | None, bool]:
    """Return the frame that defines a function right now, at its decorators; None: there is none.

    The second value says whether that frame has called our decorator itself.
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
    """Yield apps and blueprints, first those that the code of a frame can name.

    A search of all objects takes long where there are many. It comes last, and only for the first
    decorator of a function that other code refers to.
    """
    yield from filter(_is_scaffold, chain(known_apps, frame.f_globals.values()))
    yield from filter(_is_scaffold, _named_in(frame))
    if everywhere:
        yield from filter(_is_scaffold, gc.get_objects())


def _is_scaffold(each: Any) -> bool:
    # Not isinstance: a proxy answers for its object, or raises where there is none.
    return issubclass(type(each), Scaffold)


def _named_in(frame: FrameType) -> Iterator[Any]:
    """Yield the variables of a function and their attributes, and its callers' variables."""
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


# Py_TPFLAGS_HEAPTYPE: an object with attributes, and no list, dict or function.
_WRITTEN_IN_PYTHON = 1 << 9


def _registered(scaffold: Scaffold) -> Iterable[int]:
    """Yield the ids of the latest views of an app, or of those that a blueprint will register."""
    yield from map(id, islice(reversed(scaffold.view_functions.values()), _LATEST))
    # A blueprint keeps functions that the app calls later. They refer to the views.
    for deferred in getattr(scaffold, "deferred_functions", ())[-_LATEST:]:
        yield from map(id, gc.get_referents(*(getattr(deferred, "__closure__", None) or ())))


def _name(view: Any) -> str:
    return getattr(view, "__qualname__", type(view).__name__)


# The second check


def _remember(function: Any) -> None:
    """Note on a function that it was defined with a decorator of ours.

    functools.wraps copies the note outwards. So it refers to the function that it is about.
    """
    try:
        setattr(function, _DEFINED_WITH, weakref.ref(function))
    except (AttributeError, TypeError):  # it takes no attributes
        return


def _is_bare(view: Any) -> bool:
    """Whether Flask calls this function itself, and not the one that its decorators made of it."""
    defined = getattr(view, _DEFINED_WITH, None)
    return isinstance(defined, weakref.ref) and defined() is view


def bare_views(app: Flask) -> dict[str, Callable[..., Any]]:
    """Return the views of an app, by endpoint, whose decorators stand above the route decorator."""
    return {endpoint: view for endpoint, view in app.view_functions.items() if _is_bare(view)}


def require_no_bare_views(app: Flask, *endpoints: str) -> None:
    """Raise where one of these endpoints, or any of the app, has decorators in the wrong order.

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
