"""A request, as the limiter is asked about it, and which limit has denied it, under which key."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from .._core import Decision, Identity, Limit, plain_address


class Limited(NamedTuple):
    """A request, as the limiter is asked about it."""

    limits: tuple[Limit, ...]
    identity: Identity | None
    address: str
    custom: tuple[str, ...] = ()  # what the limits per custom count, in their order


class Exceeded(NamedTuple):
    """A request that a limit denies."""

    decision: Decision
    request: Limited

    @property
    def limit(self) -> Limit:
        """The limit that denies it."""
        return self.request.limits[self.decision.index]

    @property
    def key(self) -> str:
        """Whom that limit counts, as text: see `fta_subject_find` of the core, which decides it."""
        limits, identity, address, custom = self.request
        per = self.limit.per
        if per == "custom":
            earlier = sum(each.per == "custom" for each in limits[: self.decision.index])
            key = custom[earlier] if earlier < len(custom) else ""
            return key or _client_of(address)
        if per == "address" or identity is None:
            return _client_of(address)
        if per == "tenant":
            return identity.tenant_id
        if per == "user" and identity.api_key_id is not None:
            return identity.api_key_id
        return f"{identity.tenant_id}/{identity.user_id}"


def _client_of(address: str) -> str:
    """Return the address that is counted: with IPv6 the network of the client."""
    try:
        plain = plain_address(address)
    except ValueError:  # no Unicode text
        plain = None
    if plain is None:
        return address
    parsed = ip_address(plain)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, 64), strict=False))
    return plain
