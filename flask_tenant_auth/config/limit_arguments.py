"""Limits as the configuration writes them: RATELIMIT_DEFAULT and its like, RATELIMIT_ENDPOINTS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .readers import read_object, read_rates

# The arguments of `@rate_limit` by name.
Arguments: TypeAlias = Mapping[str, Any]
# Text, a callable, or the arguments of several limits.
Limits: TypeAlias = str | Callable[..., str | None] | tuple[Arguments, ...]


def read_limits(raw: Any) -> Limits:
    """Return limits: text or a callable as it is, everything else as arguments of `@rate_limit`.

    A dict of arguments, or the JSON text of one, is one limit; a list has several.
    """
    if isinstance(raw, str):
        return read_rates(raw) if not raw.lstrip().startswith("{") else (read_object(raw),)
    if callable(raw):
        function: Callable[..., str | None] = raw
        return function
    return _arguments_of_each(raw, "")


def read_endpoint_limits(raw: Any) -> dict[str, tuple[Arguments, ...]]:
    """Return the limits of each endpoint, from a dict or from the JSON text of one.

    A limit is text, a callable, or a dict of the arguments of `@rate_limit`; several are a list.
    Empty text is for no limit.
    """
    return {
        endpoint: _arguments_of_each(limits, f" for {endpoint!r}")
        for endpoint, limits in read_object(raw).items()
    }


def _arguments_of_each(value: Any, of: str) -> tuple[Arguments, ...]:
    if value == "":
        return ()
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(_arguments_of(each, of) for each in values)


def _arguments_of(value: Any, of: str) -> Arguments:
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, str) and not callable(value):
        raise TypeError(
            f"must be text, a callable or a dict of arguments{of}, not {type(value).__name__}"
        )
    return {"limit": value}
