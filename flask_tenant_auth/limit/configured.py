"""The limits that the configuration declares: the same rules as those of ``@rate_limit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

from ..errors import ConfigurationError
from .arguments import rule_of
from .declarations import Declaration
from .rules import MOST_LIMITS, Rule

_ARGUMENTS = tuple(signature(rule_of).parameters)
_SCOPE = "default"


def default_declaration(
    limits: str | Callable[..., Any] | Sequence[Mapping[str, Any]],
    tenant_limits: str | Callable[..., Any] | Sequence[Mapping[str, Any]],
    fair_share: float,
) -> Declaration:
    """Return what RATELIMIT_DEFAULT and RATELIMIT_TENANT_DEFAULT declare of every route.

    Routes that share a default have one count.

    :raises ConfigurationError: for an argument that cannot be meant, and when there are more limits
        than the core counts in one step.
    """
    of_tenants = {"per": "tenant", "fair_share": fair_share}
    rules = [
        *_default_rules("RATELIMIT_DEFAULT", limits, {}, _SCOPE),
        *_default_rules("RATELIMIT_TENANT_DEFAULT", tenant_limits, of_tenants, f"{_SCOPE} tenant"),
    ]
    if sum(rule.size for rule in rules) > MOST_LIMITS:
        raise ConfigurationError(
            f"RATELIMIT_DEFAULT and RATELIMIT_TENANT_DEFAULT can be at most {MOST_LIMITS} limits "
            "together; with a RATELIMIT_FAIR_SHARE, each of the tenant's counts twice"
        )
    return Declaration(rules=tuple(rules))


def _default_rules(
    setting: str,
    limits: str | Callable[..., Any] | Sequence[Mapping[str, Any]],
    arguments: Mapping[str, Any],
    scope: str,
) -> list[Rule]:
    if isinstance(limits, str) or callable(limits):
        limits = [{"limit": limits}] if limits else []
    rules = []
    for position, each in enumerate(limits):
        rule = _rule_of(setting, {**arguments, **each})
        if rule.scope is None:
            rule = replace(rule, scope=f"{scope} {position}" if position else scope)
        rules.append(rule)
    return rules


def endpoint_declarations(
    limits: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Declaration]:
    """Return what RATELIMIT_ENDPOINTS declares of each endpoint; no limit is an exemption.

    :raises ConfigurationError: for an argument that cannot be meant; the message names it.
    """
    return {
        endpoint: Declaration(
            rules=tuple(
                _rule_of(f"RATELIMIT_ENDPOINTS: {endpoint}", arguments).named(
                    f"configured {position}"
                )
                for position, arguments in enumerate(arguments_of_each)
            ),
            exempt=not arguments_of_each,
        )
        for endpoint, arguments_of_each in limits.items()
    }


def _rule_of(place: str, arguments: Mapping[str, Any]) -> Rule:
    for name in arguments:
        if name not in _ARGUMENTS:
            raise ConfigurationError(
                f"{place}: {name!r} is no argument of rate_limit: write one of "
                f"{', '.join(_ARGUMENTS)}"
            )
    if "limit" not in arguments:
        raise ConfigurationError(f"{place}: a dict of arguments has no 'limit'")
    try:
        return rule_of(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{place}: {error}") from None
