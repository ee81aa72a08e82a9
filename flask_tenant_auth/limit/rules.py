"""The rules of limits: those of ``@rate_limit``, and those of the configuration."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from .._core import Identity, Limit, Rate, parse_rates

# Called with the identity of the request; None: it has no identity.
OfIdentity: TypeAlias = Callable[..., Any]

PER = ("user", "tenant", "address")

# So many limits the core counts in one step.
MOST_LIMITS = 16

_LONGEST_KEY = 240
# Prepared limits that one rule keeps; a callable limit may return more texts than this.
_PREPARED_TEXTS = 256
# In bytes of UTF-8: a key of the core holds no more.
LONGEST_SCOPE = 255


@dataclass(frozen=True, eq=False, kw_only=True)
class Rule:
    """One ``@rate_limit``: what it allows, whom it counts, and when. Compared by identity."""

    limit: str | OfIdentity
    per: str | OfIdentity = "user"
    cost: int | OfIdentity = 1
    methods: frozenset[str] | None = None
    scope: str | None = None
    exempt_when: OfIdentity | None = None
    # Called with the response: whether the request counts. None: each does.
    deduct_when: Callable[[Any], Any] | None = None
    fair_share: float = 1
    # Whether it counts instead of what is declared further out: see `rules_that_count`.
    override_defaults: bool = True
    name: str = ""
    _prepared: dict[tuple[str, str, int], tuple[Limit, ...]] = field(
        default_factory=dict, repr=False
    )

    @property
    def fixed(self) -> bool:
        """Whether no part of it depends on the request or on its response."""
        called = (self.limit, self.per, self.cost, self.exempt_when, self.deduct_when)
        return not any(callable(each) for each in called)

    @property
    def size(self) -> int:
        """How many limits it is; one where a callable decides."""
        if not isinstance(self.limit, str):
            return 1
        return len(self._prepare("", self.limit, 1))

    def named(self, name: str) -> Rule:
        """Return this rule under a name of its own, so that no other shares its counts."""
        return replace(self, name=name, _prepared={})

    def applies_to(self, method: str) -> bool:
        """Whether it counts requests of this HTTP method; HEAD is counted where GET is, too."""
        return includes_method(self.methods, method)

    def limits(
        self, endpoint: str, identity: Identity | None, *, cost: int | None = None
    ) -> tuple[Limit, ...]:
        """Return the core's limits for one request; none when it is exempt.

        :param cost: in place of what the rule says that the request costs.
        :raises TypeError, ValueError: when a callable returned what is no limit or no cost.
        """
        if self.exempt_when is not None and self.exempt_when(identity):
            return ()
        text = self.limit if isinstance(self.limit, str) else self.limit(identity)
        if text is None:
            return ()
        if not isinstance(text, str):
            raise TypeError(f"a rate limit must be text or None, not {type(text).__name__}")
        if cost is None:
            cost = self._cost_of(identity)
        if cost == 0:
            return ()
        key = (self.scope_in(endpoint), text, cost)
        limits = self._prepared.get(key)
        if limits is None:
            if len(self._prepared) >= _PREPARED_TEXTS:
                self._prepared.clear()
            limits = self._prepared[key] = self._prepare(*key)
        return limits

    def _cost_of(self, identity: Identity | None) -> int:
        if not callable(self.cost):
            return self.cost
        cost = self.cost(identity)
        if not isinstance(cost, int) or isinstance(cost, bool):
            raise TypeError(f"the cost of a request must be an int, not {type(cost).__name__}")
        if cost < 0:
            raise ValueError(f"the cost of a request must be 0 or more, not {cost}")
        return cost

    def scope_in(self, endpoint: str) -> str:
        """Return the name under which requests are counted: a shared one, or this rule's own."""
        return scope_of_view(self.scope, endpoint, self.name)

    def describe(self) -> str:
        """Return the rule in a few words, for `flask auth check`."""
        limit = self.limit if isinstance(self.limit, str) else "limit by callable"
        per = "callable" if callable(self.per) else self.per
        cost = "by callable" if callable(self.cost) else self.cost
        more = [f"cost {cost}"] if cost != 1 else []
        more += [f"fair share {self.fair_share:g}"] if self.fair_share < 1 else []
        more += ["with exemptions"] if self.exempt_when is not None else []
        more += ["by response"] if self.deduct_when is not None else []
        return " ".join([limit, "per", per, *(f"({each})" for each in more)])

    def _prepare(self, scope: str, text: str, cost: int) -> tuple[Limit, ...]:
        per = "custom" if callable(self.per) else self.per
        limits = []
        for rate in parse_rates(text):
            if cost <= rate.limit:
                limit = Limit(rate, scope=scope, per=per, cost=cost)
            else:  # it can never pass, as with a limit of 0
                limit = Limit(Rate(0, rate.period), scope=scope, per=per)
            limits += [limit.share(self.fair_share), limit] if self.fair_share < 1 else [limit]
        return tuple(limits)


def includes_method(methods: frozenset[str] | None, method: str) -> bool:
    """Whether an HTTP method is one of these; HEAD is where GET is, too. None: all are."""
    if methods is None or method in methods:
        return True
    return method == "HEAD" and "GET" in methods


def scope_of_view(scope: str | None, endpoint: str, name: str) -> str:
    """Return a scope that views share; None: the one of a rule of this name of one view."""
    if scope is not None:
        return scope
    own = f"{endpoint} {name}"
    return own if len(own.encode()) <= LONGEST_SCOPE else digest(own)


def custom_key(key: object) -> str:
    """Return the result of a per= callable as text; empty text stands for the address.

    Clients may have a say in it, so it may be long or not valid Unicode. Then its digest is the
    key.
    """
    text = "" if key is None else str(key)
    return text if len(text) <= _LONGEST_KEY and text.isascii() else digest(text)


def with_identity(function: Callable[..., Any], argument: str) -> OfIdentity:
    """Return a callable of the identity, for one that takes the identity or nothing.

    :raises TypeError: when it needs more than one argument, or is async. The message names the
        parameter. What is returned raises it, too: see `answered`.
    """
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{argument} must be a callable that is not async")
    takes_identity = True
    with suppress(ValueError):  # a builtin without a signature
        signature = inspect.signature(function)
        takes_identity = _binds(signature, None)
        if not takes_identity and not _binds(signature):
            raise TypeError(f"{argument} must be a callable of the identity, or of nothing")
    if takes_identity:
        return lambda identity: answered(function(identity), argument)
    return lambda _identity: answered(function(), argument)


def _binds(signature: inspect.Signature, *arguments: object) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def answered(value: Any, argument: str) -> Any:
    """Return what a callable of the app has answered.

    :raises TypeError: for what would have to be awaited: it is true, and a key of its own each
        time. Not every callable that returns it is known as an async function.
    """
    if hasattr(value, "__await__"):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError(f"{argument} must be a callable that is not async")
    return value


def digest(text: str) -> str:
    """Return a digest that stands for a text of any length."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
