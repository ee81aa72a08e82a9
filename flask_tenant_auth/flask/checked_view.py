"""Checks in front of a view. Each decorator adds one; a view with several is wrapped once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import flask
from flask import Response

from .._core import Identity
from ..errors import AuthError
from .answers import Answer, note_error
from .registration import check_order

_CHECKED = "_tenant_auth_checked"

F = TypeVar("F", bound=Callable[..., Any])
# Called before a view, with the identity that an earlier check has verified, if any. After an
# Identity or None the next check is called, and at last the view. Everything else is the answer.
Check = Callable[["Identity | None"], "Identity | Answer | None"]


class CheckedView(NamedTuple):
    """What a function of `add_check` calls."""

    function: Callable[..., Any]
    checks: tuple[Check, ...]
    view: Callable[..., Any]
    wraps: bool = False  # it is a function of `add_attempt`, which does more than its checks


def checked_view_of(view: object) -> CheckedView | None:
    """Return what a function of `add_check` calls; None for any other function."""
    checked = getattr(view, _CHECKED, None)
    # functools.wraps copies the attribute to the functions around this one.
    return checked if isinstance(checked, CheckedView) and checked.function is view else None


def add_check(view: F, check: Check) -> F:
    """Return a view that calls a check first, and then the checks that the view has already."""
    known = checked_view_of(view)
    checks: tuple[Check, ...] = (check,)
    inner: Callable[..., Any] = view
    if known is not None and not known.wraps:
        checks, inner = (check, *known.checks), known.view
    answer = _awaited(inner) if inspect.iscoroutinefunction(inner) else inner

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            identity = None
            for each in checks:
                passed = each(identity)
                if passed is not None:
                    if type(passed) is not Identity:
                        return passed
                    identity = passed
            return answer(*args, **kwargs)
        except AuthError as error:
            note_error(error)
            raise

    setattr(checked, _CHECKED, CheckedView(checked, checks, inner))
    return cast("F", checked)


class Attempt(Protocol):
    """A call of a view whose end somebody waits for."""

    def returned(self, answer: Any) -> None:
        """Take note of what the view returned."""

    def raised(self, error: BaseException) -> None:
        """Take note of what the view raised."""


def add_attempt(view: F, begin: Callable[[], Attempt | Answer | None]) -> F:
    """Return a view that begins an attempt first, and tells it how the view ended.

    :param begin: returns the attempt; None: nobody waits for the end of this call; anything else is
        the answer, and the view is not called.
    """
    inner: Callable[..., Any] = view
    answer = _awaited(inner) if inspect.iscoroutinefunction(inner) else inner

    @wraps(view)
    def attempted(*args: Any, **kwargs: Any) -> Any:
        begun = begin()
        if begun is None:
            return answer(*args, **kwargs)
        if isinstance(begun, tuple | bool | Response):
            return begun
        try:
            returned = answer(*args, **kwargs)
        except BaseException as error:
            _tell(begun, error)
            raise
        if inspect.isawaitable(returned):
            return _attempted(begun, returned)
        begun.returned(returned)
        return returned

    setattr(attempted, _CHECKED, CheckedView(attempted, (), inner, wraps=True))
    return cast("F", attempted)


async def _attempted(attempt: Attempt, view: Awaitable[Any]) -> Any:
    """Await a view, where an event loop runs already, and tell the attempt how it ended."""
    try:
        returned = await view
    except BaseException as error:
        _tell(attempt, error)
        raise
    attempt.returned(returned)
    return returned


def _tell(attempt: Attempt, error: BaseException) -> None:
    attempt.raised(error)
    if isinstance(error, AuthError):
        note_error(error)


def _awaited(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async view as Flask calls it.

    Where an event loop runs already, as in an async decorator of another library, the caller awaits
    what it gets.
    """

    async def with_reason(*args: Any, **kwargs: Any) -> Any:
        try:
            return await view(*args, **kwargs)
        except AuthError as error:
            note_error(error)
            raise

    def answer(*args: Any, **kwargs: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return flask.current_app.ensure_sync(view)(*args, **kwargs)
        return with_reason(*args, **kwargs)

    return answer


def require_function(decorator: str, view: object) -> None:
    """Raise unless a decorator is applied to a function, below the route decorator.

    :raises TypeError: for a class, and for what cannot be called.
    :raises RuntimeError: above the route decorator.
    """
    if inspect.isclass(view):
        raise TypeError(
            f"{decorator} takes a view function: put it into the `decorators` of the class "
            "or on its methods"
        )
    if not callable(view):
        raise TypeError(f"{decorator} takes a view function, not {type(view).__name__}")
    check_order(decorator, view, is_checked=checked_view_of(view) is not None)
