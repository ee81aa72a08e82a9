"""Networks, as AUTH_TRUSTED_GATEWAYS and RATELIMIT_EXEMPT_NETWORKS list them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, TypeAlias

from .readers import read_words

Network: TypeAlias = IPv4Network | IPv6Network

_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")


def _network(text: str) -> Network:
    """Return a network; an IPv4 one that is written as IPv6 as IPv4 (RFC 4291, section 2.5.5.2)."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_IPV4_MAPPED):
        first = network.network_address.ipv4_mapped
        return ip_network(f"{first}/{network.prefixlen - _IPV4_MAPPED.prefixlen}")
    return network


def read_networks(raw: Any) -> tuple[Network, ...]:
    """Return the networks of a comma list or a list."""
    return tuple(_network(word) for word in read_words(raw))
