"""RATELIMIT_ENDPOINTS: limits by endpoint, as the configuration writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .readers import read_object

# The arguments of `@rate_limit` by name.
Arguments: TypeAlias = Mapping[str, Any]


def read_endpoint_limits(raw: Any) -> dict[str, tuple[Arguments, ...]]:
    """Return the limits of each endpoint, from a dict or from the JSON text of one.

    A limit is text, a callable, or a dict of the arguments of `@rate_limit`; several are a list.
    Empty text is for no limit.
    """
    return {endpoint: _limits_of(endpoint, value) for endpoint, value in read_object(raw).items()}


def _limits_of(endpoint: str, value: Any) -> tuple[Arguments, ...]:
    if value == "":
        return ()
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(_arguments_of(endpoint, each) for each in values)


def _arguments_of(endpoint: str, value: str | Callable[..., Any] | Arguments) -> Arguments:
    if isinstance(value, Mapping):
        if "limit" not in value:
            raise ValueError(f'has no "limit" in a dict of {endpoint!r}')
        return dict(value)
    if not isinstance(value, str) and not callable(value):
        raise TypeError(
            f"must have text, a callable or a dict of arguments for {endpoint!r}, not "
            f"{type(value).__name__}"
        )
    return {"limit": value}
