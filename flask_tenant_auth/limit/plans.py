"""The plan of each route: all that counts one method of one endpoint.

A plan is made at the first request of its route and kept. The core counts all of it in one step,
all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .._core import Identity, Limit
from ..audit import logger
from ..errors import AuthError, ConfigurationError
from .concurrency import ConcurrencyRule
from .declarations import Declaration
from .rules import MOST_LIMITS, Rule, custom_key

# An app may route any method there is. The plans of these are kept, so that what is kept ends.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


class Deduction(NamedTuple):
    """The limits of a rule with `deduct_when`, as a range of those of the request."""

    start: int
    stop: int
    rule: Rule
    endpoint: str


class Plan:
    """All that counts one method of one endpoint."""

    __slots__ = ("_endpoint", "decided", "limits", "rules")

    def __init__(
        self, endpoint: str, rules: tuple[Rule, ...], replaced: tuple[Rule, ...] = ()
    ) -> None:
        self._endpoint = endpoint
        self.rules = rules
        # All rules of the route, with those that do not count: no decorator counts one of these.
        self.decided = rules + replaced
        # Prepared here when no rule depends on the request; None: `resolve` must be called.
        self.limits: tuple[Limit, ...] | None = None
        if all(rule.fixed for rule in rules):
            self.limits = tuple(limit for rule in rules for limit in rule.limits(endpoint, None))

    def resolve(
        self, identity: Identity | None
    ) -> tuple[tuple[Limit, ...], tuple[str, ...], list[Deduction]]:
        """Return the limits of one request, and the keys of its custom ones in their order.

        Also which of the limits its response decides about.
        """
        limits: list[Limit] = []
        custom: list[str] = []
        deductions: list[Deduction] = []
        for rule in self.rules:
            try:
                of_rule = rule.limits(self._endpoint, identity)
                if of_rule and callable(rule.per):
                    custom += [custom_key(rule.per(identity))] * len(of_rule)
            except Exception as error:
                if not isinstance(error, AuthError):
                    log_failure(self._endpoint, rule, error)
                raise
            limits += of_rule
            if of_rule and rule.deduct_when is not None:
                start = len(limits) - len(of_rule)
                deductions.append(Deduction(start, len(limits), rule, self._endpoint))
        return tuple(limits), tuple(custom), deductions

    def resolve_outside_a_request(
        self, identity: Identity | None
    ) -> Iterator[tuple[Limit, tuple[str, ...]]]:
        """Yield each limit of a client with its custom key; leave out rules that need a request.

        The callables of such rules raise outside of a request, as Flask's `request` does.
        """
        for rule in self.rules:
            try:
                # The count is the same whatever a request costs.
                limits = rule.limits(self._endpoint, identity, cost=1)
                custom = (custom_key(rule.per(identity)),) if callable(rule.per) else ()
            except Exception:  # noqa: BLE001, S112 - an app's callables raise what they like
                continue
            for limit in limits:
                yield limit, custom


def log_failure(endpoint: str, rule: Rule | ConcurrencyRule, error: Exception) -> None:
    """Log that a callable of a rule has raised, or has returned what cannot be used."""
    logger.error(
        "A callable of the limit %r of %s failed with %s: the request is denied",
        rule.describe(),
        endpoint or "requests without a route",
        type(error).__name__,
    )


class Plans:
    """The plans of one app by endpoint and method."""

    def __init__(
        self, defaults: Declaration, configured: Mapping[str, Declaration] | None = None
    ) -> None:
        self._defaults = defaults
        # What the configuration declares, by endpoint. It is nearer than what the code declares.
        self.configured = configured or {}
        # By endpoint and method; "" is the endpoint of requests that no route answers.
        self.made: dict[tuple[str, str], Plan] = {}
        # Those of ordinary requests, by endpoint and then by method: the rules and the limits. The
        # core counts them without asking.
        self.ordinary: dict[str, dict[str, tuple[tuple[Rule, ...], tuple[Limit, ...]]]] = {}

    def unrouted(self, method: str) -> Plan:
        """Return the plan of a request that no route answers: the defaults.

        It is counted too, or scanning for routes would be free.
        """
        return self.made.get(("", method)) or self.make("", method, "", ())

    def make(
        self, endpoint: str, method: str, view: str, declarations: Sequence[Declaration]
    ) -> Plan:
        """Return the plan of a route, and keep it."""
        plan = self.plan(endpoint, method, view, declarations)
        if method in _METHODS:
            self.made[endpoint, method] = plan
        return plan

    def take_as_ordinary(self, plan: Plan, endpoint: str, method: str) -> None:
        """Have the core count a route without asking, if its plan is kept and its limits fixed."""
        if type(endpoint) is not str:
            return  # the core does not look such a name up, whose code a look-up would run
        if plan.limits and self.made.get((endpoint, method)) is plan:
            self.ordinary.setdefault(endpoint, {})[method] = (plan.decided, plan.limits)

    def plan(
        self, endpoint: str, method: str, view: str, declarations: Sequence[Declaration]
    ) -> Plan:
        """Return the plan of a route, without keeping it.

        :param view: the endpoint under which the view is counted: views that several endpoints
            share have one budget.
        :param declarations: what declares limits of the route, the nearest first.
        :raises ConfigurationError: when they are more limits than the core counts in one step.
        """
        if endpoint in self.configured:
            declarations = (self.configured[endpoint], *declarations)
        rules = rules_that_count((*declarations, self._defaults), method)
        if sum(rule.size for rule in rules) > MOST_LIMITS:
            raise ConfigurationError(
                f"{endpoint}: the limits of its view, its blueprints and the defaults can be at "
                f"most {MOST_LIMITS} together"
            )
        declared = (rule for each in declarations for rule in each.rules)
        return Plan(view, rules, tuple(rule for rule in declared if rule not in rules))


def rules_that_count(declarations: Iterable[Declaration], method: str) -> tuple[Rule, ...]:
    """Return the rules that count a method of a route.

    The nearest declaration counts. What is further out counts too where all that is nearer says
    `override_defaults=False`.

    :param declarations: the nearest first.
    """
    counted: tuple[Rule, ...] = ()
    for declaration in declarations:
        rules = tuple(rule for rule in declaration.rules if rule.applies_to(method))
        counted += rules
        if declaration.exempt or any(rule.override_defaults for rule in rules):
            break
    return counted
