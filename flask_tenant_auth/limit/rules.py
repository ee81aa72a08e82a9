"""Which limits count a request: the rules declared on views, and the plan of each route.

A `Rule` is what one ``@rate_limit`` says. A `Plan` is all that counts one method of one endpoint,
made at its first request and kept; the core then counts all of it in one step, all or nothing.
How counting works is the core's business (`Limiter`).
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import flask

from .._core import Decision, Identity, Limit, now, parse_rates
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask

F = TypeVar("F", bound=Callable[..., Any])
# Asked with the identity of the request (None: no identity), or with nothing.
Asked: TypeAlias = Callable[..., Any]

PER = ("user", "tenant", "address")
DEFAULT_SCOPE = "default"

# What the core counts in one step.
MOST_LIMITS = 16

# Prepared limits that one rule keeps; a callable limit may write its text in more ways than this.
_PREPARED_TEXTS = 256
# In bytes of UTF-8: what a key of the core can hold.
LONGEST_SCOPE = 255
_LONGEST_KEY = 240
_MARKS = "_tenant_auth_marks"
# A route may take any method there is, so what is kept for each has to end somewhere.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


@dataclass(frozen=True, eq=False, kw_only=True)
class Rule:
    """One ``@rate_limit``: what it allows, whom it counts, and when. Compared by identity."""

    limit: str | Asked
    per: str | Asked = "user"
    cost: int = 1
    methods: frozenset[str] | None = None
    scope: str | None = None
    exempt_when: Asked | None = None
    fair_share: float = 1
    name: str = ""
    _prepared: dict[tuple[str, str], tuple[Limit, ...]] = field(default_factory=dict, repr=False)

    @property
    def fixed(self) -> bool:
        """Whether nothing of it depends on the single request."""
        return isinstance(self.limit, str) and not callable(self.per) and self.exempt_when is None

    @property
    def size(self) -> int:
        """How many limits it stands for; one, while that is up to a callable."""
        if not isinstance(self.limit, str):
            return 1
        return len(self._prepare("", self.limit))

    def applies_to(self, method: str) -> bool:
        """Whether it counts requests of this HTTP method; HEAD is counted where GET is, too."""
        if self.methods is None or method in self.methods:
            return True
        return method == "HEAD" and "GET" in self.methods

    def limits(self, endpoint: str, identity: Identity | None) -> tuple[Limit, ...]:
        """Return the core's limits for one request; none when it is exempt.

        :raises ValueError: when a callable limit returned a malformed text.
        """
        if self.exempt_when is not None and self.exempt_when(identity):
            return ()
        text = self.limit if isinstance(self.limit, str) else self.limit(identity)
        if text is None:
            return ()
        if not isinstance(text, str):
            raise TypeError(f"a rate limit must be text or None, not {type(text).__name__}")
        scope = self.scope_in(endpoint)
        limits = self._prepared.get((scope, text))
        if limits is None:
            if len(self._prepared) >= _PREPARED_TEXTS:
                self._prepared.clear()
            limits = self._prepared[scope, text] = self._prepare(scope, text)
        return limits

    def scope_in(self, endpoint: str) -> str:
        """Name what is counted together: a shared name, or this rule of this endpoint."""
        if self.scope is not None:
            return self.scope
        scope = f"{endpoint} {self.name}"
        return scope if len(scope.encode()) <= LONGEST_SCOPE else _digest(scope)

    def describe(self) -> str:
        """Say it in a few words, for `flask auth check`."""
        limit = self.limit if isinstance(self.limit, str) else "limit by callable"
        per = "callable" if callable(self.per) else self.per
        more = [f"cost {self.cost}"] if self.cost > 1 else []
        more += [f"fair share {self.fair_share:g}"] if self.fair_share < 1 else []
        more += ["with exemptions"] if self.exempt_when is not None else []
        return " ".join([limit, "per", per, *(f"({each})" for each in more)])

    def _prepare(self, scope: str, text: str) -> tuple[Limit, ...]:
        per = "custom" if callable(self.per) else self.per
        limits = []
        for rate in parse_rates(text):
            limit = Limit(rate, scope=scope, per=per, cost=self.cost)
            limits += [limit.share(self.fair_share), limit] if self.fair_share < 1 else [limit]
        return tuple(limits)


def with_identity(function: Callable[..., Any], argument: str) -> Asked:
    """Let a callable that takes nothing be called with the identity as well.

    :raises TypeError: when it needs more than one argument; the message names the parameter.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # a builtin without a signature takes what it is given
        return function
    for arguments, asked in (((None,), function), ((), lambda _identity: function())):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return asked
    raise TypeError(f"{argument} must be a callable of the identity, or of nothing")


def named(rule: Rule, view: object) -> Rule:
    """Return the rule as its view's own: two views, or two rules of one view, never share."""
    place = len(marks_of(view).rules)
    name = f"{getattr(view, '__qualname__', type(view).__name__)} {place}"
    return replace(rule, name=name, _prepared={})


# What decorators say about a view, for the plan and for `flask auth check`. The marks live on the
# function; functools.wraps carries them outwards through other decorators.


@dataclass(frozen=True)
class Marks:
    """What the decorators of a view declare. Telling, not enforcing: the wrappers do that."""

    verified: bool = False
    roles: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    exempt: bool = False
    public: bool = False
    elsewhere: str = ""  # what protects it, where that is none of ours

    def __or__(self, other: Marks) -> Marks:
        return Marks(
            verified=self.verified or other.verified,
            roles=self.roles + other.roles,
            rules=self.rules + tuple(rule for rule in other.rules if rule not in self.rules),
            exempt=self.exempt or other.exempt,
            public=self.public or other.public,
            elsewhere=self.elsewhere or other.elsewhere,
        )


def marks_of(view: object) -> Marks:
    """Return what is declared on one callable."""
    marks = getattr(view, _MARKS, None)
    return marks if isinstance(marks, Marks) else Marks()


def mark(view: F, **changes: Any) -> F:
    """Declare something more on a view."""
    setattr(view, _MARKS, replace(marks_of(view), **changes))
    return view


def marks_of_view(view: object, method: str) -> Marks:
    """Return what is declared on a view function and, behind it, on its class and its method."""
    marks = marks_of(view)
    view_class = getattr(view, "view_class", None)
    if view_class is None:
        return marks
    handler = getattr(view_class, method.lower(), None)
    if handler is None and method == "HEAD":
        handler = getattr(view_class, "get", None)
    return marks | marks_of(getattr(view_class, "dispatch_request", None)) | marks_of(handler)


# Flask's own static views


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


# The plans of an app


def first_endpoint(endpoint: str) -> str:
    """Return the first of all endpoints of the current app that call the view of this one.

    A view that is registered twice (``/login`` and ``/v1/login``, or with its blueprint) is one
    view, and has one budget.
    """
    if not flask.current_app:
        return endpoint
    views = flask.current_app.view_functions
    view = views.get(endpoint)
    if view is None:
        return endpoint
    return min(each for each, other in views.items() if other is view)


class Plan:
    """All that counts one method of one endpoint."""

    __slots__ = ("_endpoint", "limits", "rules")

    def __init__(self, endpoint: str, rules: tuple[Rule, ...]) -> None:
        self._endpoint = endpoint = first_endpoint(endpoint) if rules else endpoint
        self.rules = rules
        # Prepared here when no rule asks anything of the request; None: `resolve` must be asked.
        self.limits: tuple[Limit, ...] | None = None
        if all(rule.fixed for rule in rules):
            self.limits = tuple(limit for rule in rules for limit in rule.limits(endpoint, None))

    def resolve(self, identity: Identity | None) -> tuple[tuple[Limit, ...], tuple[str, ...]]:
        """Return the limits of one request, and the keys of its custom ones in their order."""
        limits: list[Limit] = []
        custom: list[str] = []
        for rule in self.rules:
            of_rule = rule.limits(self._endpoint, identity)
            limits += of_rule
            if of_rule and callable(rule.per):
                key = rule.per(identity)
                custom += [_custom_key(key)] * (len(of_rule))
        return tuple(limits), tuple(custom)

    def resolved_outside_a_request(
        self, identity: Identity | None
    ) -> Iterator[tuple[Limit, tuple[str, ...]]]:
        """Yield each limit of a client with its custom key; leave out rules that need a request.

        Their callables say so themselves: they raise, as Flask's request does outside of one.
        """
        for rule in self.rules:
            try:
                limits = rule.limits(self._endpoint, identity)
                custom = (_custom_key(rule.per(identity)),) if callable(rule.per) else ()
            except Exception:  # noqa: BLE001, S112 - an app's callables raise what they like
                continue
            for limit in limits:
                yield limit, custom


def _custom_key(key: object) -> str:
    """Return what a per= callable gave as text; nothing stands for the address.

    A client may have a say in it, so it may be long or no proper Unicode; then its digest stands
    for it.
    """
    text = "" if key is None else str(key)
    return text if len(text) <= _LONGEST_KEY and text.isascii() else _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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
        marks = marks_of_view(view, method)
        declared = tuple(rule for rule in marks.rules if rule.applies_to(method))
        if declared:
            return Plan(endpoint, declared)
        return NO_PLAN if marks.exempt else Plan(endpoint, self._defaults)


def default_rules(
    limit: str | Callable[..., str | None], tenant_limit: str, fair_share: float
) -> tuple[Rule, ...]:
    """Return the rules of routes that declare none: one budget for all of these together.

    :raises ConfigurationError: when they are more than can be counted at once.
    """
    rules = []
    if limit:
        asked = with_identity(limit, "RATELIMIT_DEFAULT") if callable(limit) else limit
        rules.append(Rule(limit=asked, scope=DEFAULT_SCOPE))
    if tenant_limit:
        rules.append(
            Rule(
                limit=tenant_limit,
                per="tenant",
                scope=f"{DEFAULT_SCOPE} tenant",
                fair_share=fair_share,
            )
        )
    if sum(rule.size for rule in rules) > MOST_LIMITS:
        raise ConfigurationError(
            f"RATELIMIT_DEFAULT and RATELIMIT_TENANT_DEFAULT can be at most {MOST_LIMITS} limits "
            "together; with a RATELIMIT_FAIR_SHARE, each of the tenant's counts twice"
        )
    return tuple(rules)


# Header fields


def ietf_headers(decision: Decision, limits: Iterable[Limit]) -> list[tuple[str, str]]:
    """Return RateLimit-Policy and RateLimit as draft-ietf-httpapi-ratelimit-headers-10 has them.

    A policy is named by its place among the limits of the request, since a scope's name is the
    app's own affair: ``"1";q=50;w=60``. RateLimit tells of the one closest to refusal.
    """
    policies = (
        f'"{place}";q={limit.rate.limit};w={limit.rate.period}'
        for place, limit in enumerate(limits, start=1)
    )
    until_reset = max(0, math.ceil(decision.reset - now()))
    return [
        ("RateLimit-Policy", ", ".join(policies)),
        ("RateLimit", f'"{decision.index + 1}";r={decision.remaining};t={until_reset}'),
    ]
