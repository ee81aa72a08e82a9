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
from typing import Any, TypeAlias, TypeVar

from ._core import Decision, Identity, Limit, now, parse_rates
from .errors import ConfigurationError

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
_MARKS = "_tenant_auth_declaration"


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
    place = len(declaration_of(view).rules)
    name = f"{getattr(view, '__qualname__', type(view).__name__)} {place}"
    return replace(rule, name=name, _prepared={})


# The arguments of rate_limit


def checked_rule(
    limit: str | Callable[..., str | None],
    *,
    per: str | Callable[..., object],
    cost: int,
    methods: Iterable[str] | None,
    scope: str | None,
    exempt_when: Callable[..., bool] | None,
    fair_share: float,
) -> Rule:
    """Return the rule of these arguments of ``@rate_limit``.

    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    return Rule(
        limit=_checked_limit(limit, cost),
        per=_checked_per(per, fair_share),
        cost=cost,
        methods=_checked_methods(methods),
        scope=_checked_scope(scope),
        exempt_when=None if exempt_when is None else _asked("exempt_when", exempt_when),
        fair_share=fair_share,
    )


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
    if blank or len(name.encode()) > LONGEST_SCOPE:
        raise ValueError(f"scope must be a name of at most {LONGEST_SCOPE} bytes, or None")
    return name


# What decorators declare about a view, for the plan and for `flask auth check`. It is kept on the
# function; functools.wraps carries it outwards through other decorators.


@dataclass(frozen=True)
class Declaration:
    """What the decorators of a view declare. Telling, not enforcing: the wrappers do that."""

    verified: bool = False
    roles: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    exempt: bool = False
    public: bool = False
    elsewhere: str = ""  # what protects it, where that is none of ours

    def __or__(self, other: Declaration) -> Declaration:
        return Declaration(
            verified=self.verified or other.verified,
            roles=self.roles + other.roles,
            rules=self.rules + tuple(rule for rule in other.rules if rule not in self.rules),
            exempt=self.exempt or other.exempt,
            public=self.public or other.public,
            elsewhere=self.elsewhere or other.elsewhere,
        )


def declaration_of(view: object) -> Declaration:
    """Return what is declared on one callable."""
    declaration = getattr(view, _MARKS, None)
    return declaration if isinstance(declaration, Declaration) else Declaration()


def declare(view: F, **changes: Any) -> F:
    """Declare something more on a view."""
    setattr(view, _MARKS, replace(declaration_of(view), **changes))
    return view


def declaration_of_view(view: object, method: str) -> Declaration:
    """Return what is declared on a view function and, behind it, on its class and its method."""
    declaration = declaration_of(view)
    view_class = getattr(view, "view_class", None)
    if view_class is None:
        return declaration
    handler = getattr(view_class, method.lower(), None)
    if handler is None and method == "HEAD":
        handler = getattr(view_class, "get", None)
    return (
        declaration
        | declaration_of(getattr(view_class, "dispatch_request", None))
        | declaration_of(handler)
    )


# The plans of an app


class Plan:
    """All that counts one method of one endpoint."""

    __slots__ = ("_endpoint", "limits", "rules")

    def __init__(self, endpoint: str, rules: tuple[Rule, ...]) -> None:
        self._endpoint = endpoint
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
