"""The arguments of ``@rate_limit``: checked, and made a `Rule`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from .._core import Limit, parse_rates
from .rules import LONGEST_SCOPE, PER, OfIdentity, Rule, with_identity


class LimitArguments(TypedDict, total=False):
    """The arguments of ``@rate_limit`` beside the limit."""

    per: str | Callable[..., object]
    cost: int | Callable[..., int]
    methods: Iterable[str] | None
    scope: str | None
    exempt_when: Callable[..., bool] | None
    deduct_when: Callable[[Any], bool] | None
    fair_share: float
    override_defaults: bool


def rule_of(
    *,
    limit: Any,
    per: Any = "user",
    cost: Any = 1,
    methods: Any = None,
    scope: Any = None,
    exempt_when: Any = None,
    deduct_when: Any = None,
    fair_share: float = 1,
    override_defaults: Any = True,
) -> Rule:
    """Return the rule of these arguments.

    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    return Rule(
        limit=_limit(limit, 1 if callable(cost) else cost),
        per=_per(per, fair_share),
        cost=with_identity(cost, "cost") if callable(cost) else cost,
        methods=methods_of(methods),
        scope=scope_of(scope),
        exempt_when=_callable("exempt_when", exempt_when),
        deduct_when=of_one_argument("deduct_when", deduct_when, "the response"),
        fair_share=fair_share,
        override_defaults=_boolean("override_defaults", override_defaults),
    )


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return value


def _callable(name: str, value: Any) -> OfIdentity | None:
    if value is None:
        return None
    if not callable(value):
        raise TypeError(f"{name} must be callable, not {type(value).__name__}")
    return with_identity(value, name)


def of_one_argument(name: str, value: Any, argument: str) -> Callable[[Any], Any] | None:
    """Return a callable that takes one argument and is not async; None where there is none.

    :raises TypeError: for anything else; the message names it.
    """
    if value is None:
        return None
    if not callable(value) or inspect.iscoroutinefunction(value):
        raise TypeError(
            f"{name} must be a callable of {argument} that is not async, not {type(value).__name__}"
        )
    try:
        inspect.signature(value).bind(None)
    except TypeError:
        raise TypeError(f"{name} must be a callable of {argument}") from None
    except ValueError:  # a builtin without a signature
        pass
    return value  # type: ignore[no-any-return]


def without_arguments(name: str, value: Any) -> Callable[[], Any]:
    """Return a callable that takes no argument and is not async.

    :raises TypeError: for anything else; the message names it.
    """
    if not callable(value) or inspect.iscoroutinefunction(value):
        raise TypeError(f"{name} takes a function without arguments that is not async")
    try:
        inspect.signature(value).bind()
    except TypeError:
        raise TypeError(f"{name} takes a function without arguments") from None
    except ValueError:  # a builtin without a signature
        pass
    return value  # type: ignore[no-any-return]


def _limit(limit: Any, cost: int) -> Any:
    if not isinstance(cost, int) or isinstance(cost, bool):
        raise TypeError(f"cost must be an int or a callable, not {type(cost).__name__}")
    if cost < 1:
        raise ValueError(f"cost must be 1 or more, not {cost}")
    if callable(limit):
        return with_identity(limit, "limit")
    if not isinstance(limit, str):
        raise TypeError(f"limit must be a str or a callable, not {type(limit).__name__}")
    for rate in parse_rates(limit):
        Limit(rate, scope="", cost=cost)  # raises for a cost that would never pass
    return limit


def _per(per: Any, fair_share: float) -> Any:
    if isinstance(fair_share, bool) or not isinstance(fair_share, int | float):
        raise TypeError(f"fair_share must be a number, not {type(fair_share).__name__}")
    if not 0 < fair_share <= 1:
        raise ValueError(f"fair_share must be over 0 and at most 1, not {fair_share}")
    if fair_share < 1 and per != "tenant":
        raise ValueError('fair_share divides a tenant\'s limit: it needs per="tenant"')
    return per_of(per)


def per_of(per: Any) -> str | OfIdentity:
    """Return whom a rule counts: one of PER, or a callable of the identity."""
    if callable(per):
        return with_identity(per, "per")
    if not isinstance(per, str):
        raise TypeError(f"per must be a str or a callable, not {type(per).__name__}")
    if per not in PER:
        raise ValueError(f"per must be one of {', '.join(PER)}, or a callable, not {per!r}")
    return per


def methods_of(methods: Any) -> frozenset[str] | None:
    """Return the names of HTTP methods in upper case; None: all."""
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


def scope_of(scope: Any) -> str | None:
    """Return the name under which views that share a scope are counted; None: each its own."""
    if scope is not None and not isinstance(scope, str):
        raise TypeError(f"scope must be a str, not {type(scope).__name__}")
    if scope is None:
        return None
    name = f"shared {scope}"
    blank = not scope.strip() or not scope.isprintable()
    if blank or len(name.encode()) > LONGEST_SCOPE:
        raise ValueError(f"scope must be a name of at most {LONGEST_SCOPE} bytes, or None")
    return name
