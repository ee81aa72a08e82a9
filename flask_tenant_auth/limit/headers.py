"""The header fields of limits that a standard describes."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .._core import Decision, Limit, now


def ietf_headers(decision: Decision, limits: Iterable[Limit]) -> list[tuple[str, str]]:
    """Return RateLimit-Policy and RateLimit as draft-ietf-httpapi-ratelimit-headers-10 has them.

    A policy is named by its position among the limits of the request, because the name of a scope
    is not for clients: ``"1";q=50;w=60``. RateLimit describes the limit with the least left.
    """
    policies = (
        f'"{position}";q={limit.rate.limit};w={limit.rate.period}'
        for position, limit in enumerate(limits, start=1)
    )
    until_reset = max(0, math.ceil(decision.reset - now()))
    return [
        ("RateLimit-Policy", ", ".join(policies)),
        ("RateLimit", f'"{decision.index + 1}";r={decision.remaining};t={until_reset}'),
    ]
