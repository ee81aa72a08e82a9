"""The limits of ``rate_limit_block``: text and cost, counted under a key that the app gives."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .._core import Limit
from .arguments import rule_of
from .exceeded import Limited
from .rules import custom_key


def limited_block(limit: Any, key: Any, cost: Any) -> Limited:
    """Return what the limiter is asked about a block.

    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    if not isinstance(limit, str):
        raise TypeError(f"limit must be a str, not {type(limit).__name__}")
    if not isinstance(cost, int):
        raise TypeError(f"cost must be an int, not {type(cost).__name__}")
    if not isinstance(key, str):
        raise TypeError(f"key must be a str, not {type(key).__name__}")
    if not key.strip():
        raise ValueError("key must say what is counted: it is empty")
    limits = _limits_of(limit, cost)
    return Limited(limits, None, "", (custom_key(key),) * len(limits))


@lru_cache(maxsize=256, typed=True)
def _limits_of(limit: str, cost: int) -> tuple[Limit, ...]:
    return rule_of(limit=limit, per=_is_given, cost=cost).named("block").limits("", None)


def _is_given(_identity: object) -> str:
    raise AssertionError("the key of a block is an argument")  # pragma: no cover
