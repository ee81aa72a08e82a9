"""The limit of denied requests: RATELIMIT_DENIED."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .._core import Decision, Limit, parse_rates
from ..ending import Ending
from .exceeded import Exceeded, Limited
from .limiters import small_limiter_of

if TYPE_CHECKING:
    from ..config.settings import Settings


class DeniedRequests:
    """Counts the requests of each address that limits have denied.

    Each host counts by itself, in memory that its processes share. So neither the question before
    each request nor the count after a denial is a round trip to Redis.

    :param app: distinguishes apps of one name on this host.
    :param shared: whether the processes of this host share the counters.
    """

    def __init__(self, settings: Settings, *, app: str, shared: bool) -> None:
        self._limits = tuple(
            Limit(rate, scope="denied requests", per="address")
            for rate in parse_rates(settings.ratelimit_denied)
        )
        self._limiter = small_limiter_of(
            replace(settings, redis_url=""), app=f"{app} denied requests", shared=shared
        )
        Ending(self, self._limiter.close)

    def exceeded(self, address: str) -> Exceeded | None:
        """Return what denies the requests of an address; None while there are few enough.

        Requests without an address, as through a unix socket, may be of anybody.
        """
        if not address:
            return None
        request = Limited(self._limits, None, address)
        decision: Decision = self._limiter.peek(*request)
        return None if decision.allowed else Exceeded(decision, request)

    def count(self, address: str) -> None:
        """Count a request that was denied. Beyond the limit nothing is counted any more."""
        if address:
            self._limiter.hit(self._limits, None, address)

    def decisions(self, address: str) -> list[tuple[Limit, Decision]]:
        """Return each limit, and what is left of it."""
        return [(each, self._limiter.peek((each,), None, address)) for each in self._limits]

    def reset(self, address: str) -> None:
        """Forget the denied requests of an address."""
        self._limiter.reset(self._limits, None, address)
