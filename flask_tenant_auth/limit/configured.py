"""The limits that RATELIMIT_ENDPOINTS declares: the same rules as those of ``@rate_limit``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from ..errors import ConfigurationError
from .arguments import rule_of
from .declarations import Declaration
from .rules import Rule

_ARGUMENTS = tuple(signature(rule_of).parameters)


def configured_declarations(
    limits: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Declaration]:
    """Return what the configuration declares of each endpoint; no limit at all is an exemption.

    :raises ConfigurationError: for an argument that cannot be meant; the message names it.
    """
    return {
        endpoint: Declaration(
            rules=tuple(
                _rule_of(endpoint, arguments).named(f"configured {position}")
                for position, arguments in enumerate(arguments_of_each)
            ),
            exempt=not arguments_of_each,
        )
        for endpoint, arguments_of_each in limits.items()
    }


def _rule_of(endpoint: str, arguments: Mapping[str, Any]) -> Rule:
    for name in arguments:
        if name not in _ARGUMENTS:
            raise ConfigurationError(
                f"RATELIMIT_ENDPOINTS: {endpoint}: {name!r} is no argument of rate_limit: write "
                f"one of {', '.join(_ARGUMENTS)}"
            )
    try:
        return rule_of(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"RATELIMIT_ENDPOINTS: {endpoint}: {error}") from None
