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
from flask import Request, Response, after_this_request
from werkzeug.exceptions import HTTPException

from .._core import ROLES, Decision, Identity, Limit, RequestRecord, parse_rates
from ..audit import log_authenticated, logger
from ..errors import AuthError, create_auth_response
from ..limit import rules as limits
from ..limit.rules import PER, Rule, mark, marks_of, with_identity
from ..signals import request_authenticated
from .context import (
    current_request,
    identity_in,
    identity_of,
    lent_identity,
    note_error,
    outcome_of,
    record_of,
    role_text,
)
from .denials import NO_CREDENTIALS, Denial, error_of, exceeded, tell_of_denial
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
# What a view that is called directly answers instead: the documented pair, the answer to OPTIONS,
# or the False that Flask-SocketIO takes for "connection refused".
Answer = tuple[dict[str, str], int] | Response | bool
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
    return mark(_guarded(view, admit), verified=True)


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
        return mark(_guarded(view, gate), verified=True, roles=marks_of(view).roles + wanted)

    return decorate


def public_route(view: F) -> F:
    """Declare that a view needs no identity on purpose, for `flask auth check`.

    :raises TypeError: when applied to something that is no function.
    """
    _require_function("public_route", view)
    return mark(_guarded(view, _let_in), public=True)


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
        return mark(_guarded(view, _let_in), elsewhere=words)

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
    tell_of_denial(denial, request, record, record.subject)


def _only_methods(record: RequestRecord) -> Response:
    """Answer an OPTIONS request without an identity: with the methods, and without the view."""
    response = flask.current_app.make_default_options_response()
    if record.dispatched:
        flask.abort(response)
    return response


def deny(denial: Denial, identity: Identity | None) -> Answer:
    """Deny the current request: raise the denial, or return it where nobody dispatches."""
    request = current_request()
    tell_of_denial(denial, request, None if request is None else record_of(request), identity)
    return raised_or_returned(error_of(denial))


def raised_or_returned(error: AuthError) -> Answer:
    """Raise a denial while Flask dispatches the request; return it to whoever else has called.

    Flask-SocketIO calls its handlers itself, and takes every answer to "connect" but False for
    consent.
    """
    request = current_request()
    if request is not None:
        headers = error.required_headers()
        if headers:
            _answer_with(headers, error.status_code)
        if record_of(request).dispatched:
            raise error
        event = getattr(request, "event", None)
        if isinstance(event, dict) and event.get("message") == "connect":
            return False
    return create_auth_response(error.message, error.status_code)


def _answer_with(headers: list[tuple[str, str]], status: int) -> None:
    """Add headers to the answer of this request, if it leaves with the status they belong to.

    An error handler that writes another body need not think of them.
    """

    def add_headers(response: Response) -> Response:
        if response.status_code == status:
            for name, value in headers:
                response.headers.setdefault(name, value)
        return response

    after_this_request(add_headers)


# How often


def count_failure(record: RequestRecord, outcome: Denial, request: Request) -> Decision | None:
    """Count credentials that are none, if they cost the client a 401; see `count_401`.

    OPTIONS without credentials is what browsers send before a request, and is no failure. Nor is
    it one with bad credentials where the view asks for none: nobody calls this then.
    """
    if outcome.status != 401 or (request.method == "OPTIONS" and outcome is NO_CREDENTIALS):
        return None
    return count_401(record, request.remote_addr or "")


def count_401(record: RequestRecord, address: str) -> Decision | None:
    """Count a 401 of a request, once, against an address; return what is over the limit."""
    state = record.state
    if record.failure_counted or not state.failure_limits:
        return None
    record.failure_counted = True
    decision: Decision = state.hit(state.failure_limits, None, address)
    if decision.allowed:
        return None
    record.decision, record.limits = decision, state.failure_limits
    return decision


def deny_limited(decision: Decision, identity: Identity | None) -> Answer:
    """Deny the current request with the 429 of a limit."""
    request = current_request()
    record = None if request is None else record_of(request)
    app = current_app._get_current_object()
    return raised_or_returned(exceeded(app, request, record, decision, identity))


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
    rule = Rule(
        limit=_checked_limit(limit, cost),
        per=_checked_per(per, fair_share),
        cost=cost,
        methods=_checked_methods(methods),
        scope=_checked_scope(scope),
        exempt_when=None if exempt_when is None else _asked("exempt_when", exempt_when),
        fair_share=fair_share,
    )

    def decorate(view: F) -> F:
        _require_function("rate_limit", view)
        if marks_of(view).exempt:
            raise ValueError("rate_limit and rate_limit_exempt exclude each other: remove one")
        own = limits.named(rule, view)
        rules = (own, *marks_of(view).rules)
        if sum(each.size for each in rules) > limits.MOST_LIMITS:
            raise ValueError(f"limit: a view can have at most {limits.MOST_LIMITS} limits")
        return mark(_guarded(view, lambda _admitted: _count(own)), rules=rules)

    return decorate


def rate_limit_exempt(view: F) -> F:
    """Exempt a view from RATELIMIT_DEFAULT.

    :raises TypeError: when applied to something that is no function.
    :raises ValueError: for a view that has a ``@rate_limit`` of its own.
    """
    _require_function("rate_limit_exempt", view)
    if marks_of(view).rules:
        raise ValueError("rate_limit and rate_limit_exempt exclude each other: remove one")
    return mark(_guarded(view, _let_in), exempt=True)


def _count(rule: Rule) -> Answer | None:
    """Count a rule that the hook has not counted: there is none, or it could not see the rule."""
    request = current_request()
    if request is None:
        return None
    record = record_of(request)
    if rule in record.counted:
        decision = record.decision
        if decision is None or decision.allowed:
            return None
        return deny_limited(decision, record.identity)
    if not record.state.settings.ratelimit_enabled:
        return None
    record.counted += (rule,)
    if not rule.applies_to(request.method):
        return None
    identity = identity_of(record, request)
    plan = limits.Plan(request.endpoint or "", (rule,))
    return count(record, plan, identity, request.remote_addr or "")


def count(
    record: RequestRecord, plan: limits.Plan, identity: Identity | None, address: str
) -> Answer | None:
    """Count a request against all limits of a plan in one step, and deny it beyond them."""
    counted = plan.limits
    custom: tuple[str, ...] = ()
    if counted is None:  # a rule asks something of the request
        counted, custom = plan.resolve(identity)
    if not counted:
        return None
    decision = record.state.hit(counted, identity, address, custom)
    before = record.decision
    if before is None or not decision.allowed or decision.remaining < before.remaining:
        record.decision, record.limits = decision, counted
    return None if decision.allowed else deny_limited(decision, identity)


# Arguments of rate_limit


def _asked(name: str, value: Callable[..., Any]) -> Callable[..., Any]:
    if not callable(value):
        raise TypeError(f"{name} must be callable, not {type(value).__name__}")
    return with_identity(value, name)


def _checked_limit(limit: Any, cost: int) -> Any:
    if not isinstance(cost, int) or isinstance(cost, bool):
        raise TypeError(f"cost must be an int, not {type(cost).__name__}")
    if cost < 1:
        raise ValueError(f"cost must be 1 or more, not {cost}")
    if callable(limit):
        return with_identity(limit, "limit")
    if not isinstance(limit, str):
        raise TypeError(f"limit must be a str or a callable, not {type(limit).__name__}")
    for rate in parse_rates(limit):
        Limit(rate, scope="", cost=cost)  # refuses a cost that would never pass
    return limit


def _checked_per(per: Any, fair_share: float) -> Any:
    if isinstance(fair_share, bool) or not isinstance(fair_share, int | float):
        raise TypeError(f"fair_share must be a number, not {type(fair_share).__name__}")
    if not 0 < fair_share <= 1:
        raise ValueError(f"fair_share must be over 0 and at most 1, not {fair_share}")
    if fair_share < 1 and per != "tenant":
        raise ValueError('fair_share divides a tenant\'s limit: it needs per="tenant"')
    if callable(per):
        return with_identity(per, "per")
    if not isinstance(per, str):
        raise TypeError(f"per must be a str or a callable, not {type(per).__name__}")
    if per not in PER:
        raise ValueError(f"per must be one of {', '.join(PER)}, or a callable, not {per!r}")
    return per


def _checked_methods(methods: Any) -> frozenset[str] | None:
    if methods is None:
        return None
    if isinstance(methods, str) or not isinstance(methods, Iterable):
        raise TypeError('methods must be a list of str, as ["POST", "PUT"]')
    methods = list(methods)
    if not all(isinstance(method, str) for method in methods):
        raise TypeError('methods must be a list of str, as ["POST", "PUT"]')
    if not methods:
        raise ValueError("methods must name at least one method, or be None for all")
    return frozenset(method.upper() for method in methods)


def _checked_scope(scope: Any) -> str | None:
    if scope is not None and not isinstance(scope, str):
        raise TypeError(f"scope must be a str, not {type(scope).__name__}")
    if scope is None:
        return None
    name = f"shared {scope}"
    blank = not scope.strip() or not scope.isprintable()
    if blank or len(name.encode()) > limits.LONGEST_SCOPE:
        raise ValueError(f"scope must be a name of at most {limits.LONGEST_SCOPE} bytes, or None")
    return name
