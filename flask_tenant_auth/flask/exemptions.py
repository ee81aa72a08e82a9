"""Which requests no limit counts: those from RATELIMIT_EXEMPT_NETWORKS, and those of a filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ..audit import logger
from ..config.networks import Network
from ..identity.headers import is_in_networks
from ..limit.rules import answered

if TYPE_CHECKING:
    from flask import Request


class Exemptions:
    """What exempts the requests of one app from all limits that count requests.

    :param networks: the addresses of clients that are exempt.
    :param filters: the functions of `TenantAuth.request_filter`; more may be added later.
    """

    def __init__(
        self, networks: tuple[Network, ...], filters: Sequence[Callable[[], object]] = ()
    ) -> None:
        self.networks = networks
        self.filters = filters
        self._is_exempt_address = lru_cache(maxsize=4096)(
            lambda address: is_in_networks(address, networks)
        )

    def exempt(self, request: Request) -> bool:
        """Whether a request is exempt. A filter that raises exempts nothing, and is logged."""
        if self.networks and self._is_exempt_address(request.remote_addr or ""):
            return True
        return any(_exempts(each, request) for each in self.filters)


def _exempts(function: Callable[[], object], request: Request) -> bool:
    try:
        return bool(answered(function(), "request_filter"))
    except Exception:  # noqa: BLE001 - a function of the app raises what it likes
        logger.exception(
            "The request filter %s raised at %s: the request is counted",
            getattr(function, "__qualname__", type(function).__name__),
            request.endpoint or "a request without a route",
        )
        return False
