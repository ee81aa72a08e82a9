"""Origins, as CORS_ORIGINS lists them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from .readers import ANY, read_words

ANY_SUBDOMAIN = "*."

_NO_ORIGIN = re.compile(r"[/?#@\\\s]")  # urlsplit would accept or remove these in a host
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
# IDNA 2003, which Python has, makes another name of these than browsers do (UTS 46, section 7).
_AMBIGUOUS_IN_HOSTS = frozenset("\u00df\u1e9e\u03c2\u200c\u200d")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or its address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _serialized_origin(scheme: str, rest: str, given: str) -> str:
    """Write an origin as browsers do (RFC 6454, section 6.2). ``*.`` may stand before the host."""
    below = rest.startswith(ANY_SUBDOMAIN)
    place = rest.removeprefix(ANY_SUBDOMAIN)
    try:
        parts = urlsplit(f"{scheme}://{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or ANY in place or _NO_ORIGIN.search(place) or place.endswith(":"):
        raise ValueError(
            f"holds {given!r}: an origin is scheme://host or scheme://host:port, with no path and "
            "no pattern but '*.' before the host, as https://*.example.com"
        )
    host = f"[{host}]" if ":" in host else _ascii_host(host, given)
    if below:
        _require_domain(host, given)
        host = ANY_SUBDOMAIN + host
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"


def _ascii_host(host: str, given: str) -> str:
    if _AMBIGUOUS_IN_HOSTS & set(host):
        raise ValueError(
            f"holds {given!r}, whose host browsers write in another way than older software: "
            "write it in its ASCII form, which begins with xn--"
        )
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        ascii_host = ""
    if not _HOST.fullmatch(ascii_host):
        raise ValueError(f"holds {given!r}: an origin is scheme://host, and this is no host")
    return ascii_host


def _require_domain(host: str, given: str) -> None:
    """Raise for ``*.`` before an IP address, or before a name that many owners share."""
    *above, top = host.split(".")
    if host.startswith("[") or top[:1].isdigit():
        raise ValueError(f"holds {given!r}: an IP address has no names below it")
    if not top:
        raise ValueError(f"holds {given!r}: write the host without the dot at its end")
    if not above and top != "localhost":
        raise ValueError(
            f"holds {given!r}, which is every host of .{top}, and no pattern for the hosts of one "
            "owner: write at least two names after '*.', as https://*.example.com"
        )


def read_origins(raw: Any) -> tuple[str, ...]:
    """Return serialized origins, or ``("*",)``.

    Without a scheme, a loopback host stands for http and https, any other host for https alone.
    """
    origins: list[str] = []
    for item in read_words(raw):
        if item == ANY:
            origins.append(ANY)
            continue
        if item.lower() == "null":
            raise ValueError("holds 'null', which every sandboxed page of anybody sends: remove it")
        scheme, separator, rest = item.partition("://")
        if separator:
            origins.append(_serialized_origin(scheme.lower(), rest, item))
            continue
        secure = _serialized_origin("https", item, item)
        origins.append(secure)
        if is_loopback(urlsplit(secure).hostname or ""):
            origins.append(_serialized_origin("http", item, item))
    return (ANY,) if ANY in origins else tuple(origins)
