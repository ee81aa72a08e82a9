"""The decorators of views: who may enter, in what role, how often.

While Flask dispatches a request, a denial is raised as `AuthError`: no wrapper, schema or
serializer between the decorator and Flask can make another answer of it, and error handlers are
asked. Where a view is called directly, by a test or by other code, the denial is returned as the
documented pair ``({"error": ..., "message": ...}, status)``. Each decorator works alone and in any
order, and closes when in doubt: ``@verify_role`` authenticates when nothing has yet. None of them
needs `TenantAuth`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

import flask
from flask import Request, Response
from werkzeug.exceptions import HTTPException

from .._core import ROLES, Identity, RequestRecord
from ..arguments import role_text
from ..audit import log_authenticated, logger
from ..errors import AuthError
from ..limits import MOST_LIMITS, checked_rule, declaration_of, declare, named
from ..signals import request_authenticated
from .answers import Answer, deny, deny_limited
from .context import (
    current_request,
    identity_in,
    lent_identity,
    note_error,
    outcome_of,
    record_of,
)
from .counting import count_failure, count_rule
from .denials import Denial, report_denial
from .registration import check_order
from .state import current_app

__all__ = [
    "protected_elsewhere",
    "public_route",
    "rate_limit",
    "rate_limit_exempt",
    "verify_role",
    "verify_tenant_context",
]

_GUARD = "_tenant_auth_guard"

F = TypeVar("F", bound=Callable[..., Any])
# What stands between a request and a view. It is given the identity that a gate before it has let
# in, if any; an Identity or None opens it, anything else is the answer in place of the view's.
Gate = Callable[["Identity | None"], "Identity | Answer | None"]


class _Guard(NamedTuple):
    """What a function of `_guarded` does, for a further gate to join in."""

    function: Callable[..., Any]
    gates: tuple[Gate, ...]
    view: Callable[..., Any]


def _joined(view: Callable[..., Any], gate: Gate) -> tuple[tuple[Gate, ...], Callable[..., Any]]:
    """Return all gates before a view, outermost first, and the view behind them."""
    guard = _guard_of(view)
    return ((gate,), view) if guard is None else ((gate, *guard.gates), guard.view)


def _guard_of(view: object) -> _Guard | None:
    """Return what a function of `_guarded` does; None for any other function."""
    guard = getattr(view, _GUARD, None)
    # functools.wraps copies the attribute to what stands around the function it is of.
    return guard if isinstance(guard, _Guard) and guard.function is view else None


def _guarded(view: F, gate: Gate) -> F:
    """Put a gate before a view."""
    gates, inner = _joined(view, gate)
    answer = _awaited(inner) if inspect.iscoroutinefunction(inner) else inner

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            admitted = None
            for each in gates:
                passed = each(admitted)
                if passed is not None:
                    if type(passed) is not Identity:
                        return passed
                    admitted = passed
            return answer(*args, **kwargs)
        except AuthError as error:
            note_error(error)
            raise

    setattr(guarded, _GUARD, _Guard(guarded, gates, inner))
    return cast("F", guarded)


def _awaited(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async view as Flask calls it.

    Where an event loop runs already, as in a decorator of another library that is async itself,
    that code awaits what it is given.
    """

    async def noted(*args: Any, **kwargs: Any) -> Any:
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
        return noted(*args, **kwargs)

    return answer


def _require_function(decorator: str, view: object) -> None:
    if inspect.isclass(view):
        raise TypeError(
            f"{decorator} takes a view function: put it into the `decorators` of the class "
            "or on its methods"
        )
    if not callable(view):
        raise TypeError(f"{decorator} takes a view function, not {type(view).__name__}")
    check_order(decorator, view, is_guard=_guard_of(view) is not None)


# Who may enter


def verify_tenant_context(view: F) -> F:
    """Let a request in only with an identity, and bind it to the request.

    Without one the view is not called and the answer is 401 (no or bad credentials, with
    ``WWW-Authenticate``, RFC 6750), 400 (identity headers that are no UUID or no role), 429 (more
    401s from one address than AUTH_FAILURE_LIMIT) or 500 (a fault of the authentication itself).
    An OPTIONS request without an identity is told the methods and gets no further.

    :param view: plain or async view function, or a method of a class-based view.
    :raises TypeError: when applied to something else.
    """
    _require_function("verify_tenant_context", view)
    return declare(_guarded(view, admit), verified=True)


def verify_role(*roles: str) -> Callable[[F], F]:
    """Let in only identities that have one of these roles; 403 for the others.

    It implies ``@verify_tenant_context``: above it, below it or without it, nobody enters
    unverified.

    :param roles: role names or `UserRole` members.
    :raises TypeError: for a function, as in a bare ``@verify_role``.
    :raises ValueError: for no role at all, or one that does not exist.
    """
    if not roles:
        raise ValueError(f"roles must name at least one of: {', '.join(ROLES)}")
    if inspect.isroutine(roles[0]):
        raise TypeError('roles are missing: write @verify_role("admin")')
    wanted = tuple(dict.fromkeys(role_text("roles", role) for role in roles))
    denial = Denial(
        403, f"Insufficient permissions. Required role: {', '.join(wanted)}", "role_insufficient"
    )

    def gate(admitted: Identity | None) -> Identity | Answer | None:
        if admitted is not None and admitted.role in wanted:
            return None
        passed = admit(admitted)
        if type(passed) is Identity and passed.role not in wanted:
            return deny(denial, passed)
        return passed

    def decorate(view: F) -> F:
        _require_function("verify_role", view)
        return declare(
            _guarded(view, gate), verified=True, roles=declaration_of(view).roles + wanted
        )

    return decorate


def public_route(view: F) -> F:
    """Declare that a view needs no identity on purpose, for `flask auth check`.

    :raises TypeError: when applied to something that is no function.
    """
    _require_function("public_route", view)
    return declare(_guarded(view, _let_in), public=True)


def protected_elsewhere(by: str) -> Callable[[F], F]:
    """Declare that something else protects a view, for `flask auth check`. It protects nothing.

    For views behind another library's decorator. On a function of `before_request` it speaks for
    all views behind that; for a view of the library itself, put the decorated function into
    ``app.view_functions``.

    :param by: what protects it, in a few words; `flask auth check` shows them.
    :raises TypeError: for what is no text, as in a bare ``@protected_elsewhere``.
    :raises ValueError: for an empty text.
    """
    if not isinstance(by, str):
        raise TypeError('by must be a str: write @protected_elsewhere("Flask-Login")')
    words = " ".join(by.split())
    if not words:
        raise ValueError("by must say what protects the view")

    def decorate(view: F) -> F:
        _require_function("protected_elsewhere", view)
        return declare(_guarded(view, _let_in), elsewhere=words)

    return decorate


def _let_in(_admitted: Identity | None) -> None:
    """Keep nobody out: the gate of decorators that only declare, and leave the view unmarked."""


def admit(admitted: Identity | None = None) -> Identity | Answer:
    """Return the identity of the running code, binding it to its request; or deny it."""
    if admitted is not None:
        return admitted
    request = current_request()
    if request is None or lent_identity.get() is not None:
        identity = identity_in(request)
        if identity is not None:
            return identity
        if request is None:
            raise RuntimeError(
                "a protected view was called outside a request and outside acting_as()"
            )
    record = record_of(request)
    if record.identity is not None:
        return record.identity
    outcome = record.outcome or outcome_of(record, request)
    if type(outcome) is Identity:
        record.identity = outcome
        if request_authenticated.receivers:
            _ask_receivers(record, request, outcome)
        if logger.isEnabledFor(logging.INFO):
            log_authenticated(request, outcome)
        return outcome
    return _without_identity(record, request, outcome)


def _without_identity(record: RequestRecord, request: Request, outcome: Denial) -> Answer:
    """Answer a request that has none: it may be one too many, or ask for the methods only."""
    decision = count_failure(record, outcome, request)
    if decision is not None:
        return deny_limited(decision, None)
    if request.method == "OPTIONS":
        return _only_methods(record)
    return deny(outcome, None)


def _ask_receivers(record: RequestRecord, request: Request, identity: Identity) -> None:
    """Tell that an identity was bound. A receiver that raises takes it away again."""
    try:
        request_authenticated.send(current_app._get_current_object(), identity=identity)
    except BaseException as error:
        record.identity, record.subject = None, identity
        if isinstance(error, HTTPException):
            _note_denial_of_receiver(record, request, error)
        raise


def _note_denial_of_receiver(record: RequestRecord, request: Request, error: HTTPException) -> None:
    """Let the denial of a receiver stand for the rest of the request, and tell of it."""
    status = error.get_response(request.environ).status_code
    denial = Denial(
        status,
        error.message if isinstance(error, AuthError) else error.name,
        error.reason if isinstance(error, AuthError) else "denied_by_receiver",
        "a receiver of request_authenticated has denied it",
    )
    # A receiver that sends the client elsewhere has let nobody in: whoever asks again gets a 403.
    record.outcome = denial if status >= 400 else denial._replace(status=403)
    report_denial(denial, request, record, record.subject)


def _only_methods(record: RequestRecord) -> Response:
    """Answer an OPTIONS request without an identity: with the methods, and without the view."""
    response = flask.current_app.make_default_options_response()
    if record.dispatched:
        flask.abort(response)
    return response


# How often


def rate_limit(
    limit: str | Callable[..., str | None],
    *,
    per: str | Callable[..., object] = "user",
    cost: int = 1,
    methods: Iterable[str] | None = None,
    scope: str | None = None,
    exempt_when: Callable[..., bool] | None = None,
    fair_share: float = 1,
) -> Callable[[F], F]:
    """Limit how often a view is called, instead of RATELIMIT_DEFAULT. May be stacked.

    All limits of a view count together or not at all: what one refuses, the others do not count.
    Beyond the limit the answer is 429 with ``Retry-After`` (RFC 6585, section 4). Callables take
    the `Identity` of the request (None: no identity), or nothing.

    :param limit: as ``"100 per minute"`` or ``"10 per second; 1000 per hour"``; or a callable that
        returns such text, say by the tenant's plan, or None for no limit.
    :param per: whom it counts: "user", "tenant", "address", or a callable that returns a key.
        Requests without an identity, and an empty key, are counted by address.
    :param cost: how many calls one call counts for, 1 or more.
    :param methods: the HTTP methods it counts; None: all. OPTIONS counts where the view answers it.
    :param scope: a name under which several views share one count; None: each its own.
    :param exempt_when: a callable; where it returns true the request is not counted.
    :param fair_share: with ``per="tenant"``: the part of the limit, over 0 up to 1, that one user
        may take. With 0.5, whatever one user does, half of the limit is left to the others. It is
        rounded down, but enough for one request.
    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    rule = checked_rule(
        limit,
        per=per,
        cost=cost,
        methods=methods,
        scope=scope,
        exempt_when=exempt_when,
        fair_share=fair_share,
    )

    def decorate(view: F) -> F:
        _require_function("rate_limit", view)
        if declaration_of(view).exempt:
            raise ValueError("rate_limit and rate_limit_exempt exclude each other: remove one")
        own = named(rule, view)
        rules = (own, *declaration_of(view).rules)
        if sum(each.size for each in rules) > MOST_LIMITS:
            raise ValueError(f"limit: a view can have at most {MOST_LIMITS} limits")
        return declare(_guarded(view, lambda _admitted: count_rule(own)), rules=rules)

    return decorate


def rate_limit_exempt(view: F) -> F:
    """Exempt a view from RATELIMIT_DEFAULT.

    :raises TypeError: when applied to something that is no function.
    :raises ValueError: for a view that has a ``@rate_limit`` of its own.
    """
    _require_function("rate_limit_exempt", view)
    if declaration_of(view).rules:
        raise ValueError("rate_limit and rate_limit_exempt exclude each other: remove one")
    return declare(_guarded(view, _let_in), exempt=True)
