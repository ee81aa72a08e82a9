"""Readers of settings: a raw value in, the checked value out.

A value comes from ``app.config`` or from the environment, so that each reader takes text and, where
the setting has one, the Python type. An error completes the sentence that begins with the key.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from .._core import describe_redis_url, parse_rates

T = TypeVar("T")
Network: TypeAlias = IPv4Network | IPv6Network
Reader: TypeAlias = Callable[[Any], T]

ANY = "*"
ANY_SUBDOMAIN = "*."

TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_HTTP_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_NO_ORIGIN = re.compile(r"[/?#@\\\s]")  # what urlsplit would take, or take away, in a host
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
# IDNA 2003, which Python has, makes another name of these than browsers do (UTS 46, section 7).
_AMBIGUOUS_IN_HOSTS = frozenset("\u00df\u1e9e\u03c2\u200c\u200d")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")


def read_text(raw: Any) -> str:
    """Take text, without the white space around it."""
    if not isinstance(raw, str):
        raise TypeError(f"must be text, not {type(raw).__name__}")
    try:
        raw.encode()
    except UnicodeEncodeError:  # as octets of the environment that are no UTF-8
        raise ValueError("must be Unicode text, and holds octets that are no UTF-8") from None
    return raw.strip()


def text_of_bytes(low: int, high: int) -> Reader[str]:
    """Return a reader of text that has so many bytes in UTF-8."""

    def read(raw: Any) -> str:
        text = read_text(raw)
        size = len(text.encode())
        if not low <= size <= high:
            raise ValueError(f"must have from {low} to {high} bytes in UTF-8, not {size}")
        return text

    return read


def read_path(raw: Any) -> str:
    """Take a path as the file system has it, whatever octets it consists of."""
    if not isinstance(raw, str | os.PathLike) or not isinstance(os.fspath(raw), str):
        raise TypeError(f"must be a path, not {type(raw).__name__}")
    return os.fspath(raw).strip()


def read_boolean(raw: Any) -> bool:
    """Take a bool, 0 or 1, or a word for one."""
    if isinstance(raw, int) and raw in (0, 1):  # bool, and what app.config.from_prefixed_env reads
        return bool(raw)
    word = raw.strip().lower() if isinstance(raw, str) else None
    if word not in TRUE | _FALSE:
        raise ValueError(f"must be true or false, not {raw!r}")
    return word in TRUE


def _number(raw: Any, low: float, high: float) -> float:
    try:
        number = math.nan if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"must be a number from {_plain(low)} to {_plain(high)}, not {raw!r}")
    return number


def _plain(number: float) -> str:
    """Write a bound of a range; 4294967296 and not 4.29497e+09."""
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def number_between(low: float, high: float) -> Reader[float]:
    """Return a reader of numbers in a range."""
    return lambda raw: _number(raw, low, high)


def whole_between(low: int, high: int) -> Reader[int]:
    """Return a reader of whole numbers in a range."""

    def read(raw: Any) -> int:
        number = _number(raw, low, high)
        if not number.is_integer():
            raise ValueError(f"must be a whole number, not {raw!r}")
        return int(number)

    return read


def one_of(*choices: str) -> Reader[str]:
    """Return a reader of these words."""

    def read(raw: Any) -> str:
        word = read_text(raw)
        if word not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {raw!r}")
        return word

    return read


def is_empty(raw: Any) -> bool:
    """Whether this is text or octets of no length."""
    return isinstance(raw, str | bytes) and not raw


def is_blank(raw: Any) -> bool:
    """Whether text holds something, and that is white space and commas only; a list likewise.

    It is what a template leaves of a variable that is not set.
    """
    if isinstance(raw, list | tuple | set | frozenset):
        return bool(raw) and all(is_empty(item) or is_blank(item) for item in raw)
    if isinstance(raw, bytes):
        return bool(raw) and not raw.replace(b",", b" ").strip()
    return isinstance(raw, str) and bool(raw) and not raw.replace(",", " ").strip()


def read_items(raw: Any) -> list[Any]:
    """Take a comma list, or a list, tuple or set, whose items stay as they are; no empty ones."""
    if isinstance(raw, str):
        raw = [item.strip() for item in raw.split(",")]
    elif not isinstance(raw, list | tuple | set | frozenset):
        raise TypeError(f"must be a comma list or a list, not {type(raw).__name__}")
    return [item for item in raw if not is_empty(item)]


def read_words(raw: Any) -> tuple[str, ...]:
    """Take a comma list, or a list of text, without empty items."""
    return tuple(word for item in read_items(raw) if (word := read_text(item)))


def read_http_tokens(raw: Any) -> tuple[str, ...]:
    """Return HTTP tokens, or ``("*",)``. An asterisk is a character of tokens, but of none here."""
    words = read_words(raw)
    for word in words:
        if not is_http_token(word):
            raise ValueError(f"holds {word!r}, which is no HTTP token (RFC 9110, section 5.6.2)")
        if ANY in word and word != ANY:
            raise ValueError(f"holds {word!r}: write whole names, or '*' alone for all")
    return (ANY,) if ANY in words else words


def is_http_token(word: str) -> bool:
    """Whether this can be a method or the name of a header field (RFC 9110, section 5.6.2)."""
    return _HTTP_TOKEN.fullmatch(word) is not None


def read_methods(raw: Any) -> tuple[str, ...]:
    """Take HTTP methods, in upper case."""
    return tuple(word.upper() for word in read_http_tokens(raw))


def read_route(raw: Any) -> str:
    """Take the path of a route."""
    route = read_text(raw)
    if not route.startswith("/"):
        raise ValueError(f"must begin with a slash, as '/.well-known/jwks.json', not {raw!r}")
    return route


def read_callable(raw: Any) -> Callable[..., Any]:
    """Take a callable."""
    if not callable(raw):
        raise TypeError(f"must be a callable of tenant_id and kid, not {type(raw).__name__}")
    function: Callable[..., Any] = raw
    return function


def read_rates(raw: Any) -> str:
    """Take rates, or the empty text for none."""
    text = read_text(raw)
    if text:
        parse_rates(text)
    return text


def read_rates_or_callable(raw: Any) -> str | Callable[..., str | None]:
    """Take rates, or a callable that returns them."""
    if callable(raw):
        function: Callable[..., str | None] = raw
        return function
    return read_rates(raw)


def _network(text: str) -> Network:
    """Take an IPv4 network as such also where it is written as one of IPv6 (RFC 4291, 2.5.5.2)."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_IPV4_MAPPED):
        first = network.network_address.ipv4_mapped
        return ip_network(f"{first}/{network.prefixlen - _IPV4_MAPPED.prefixlen}")
    return network


def read_networks(raw: Any) -> tuple[Network, ...]:
    """Take IP networks."""
    return tuple(_network(word) for word in read_words(raw))


def read_redis_url(raw: Any) -> str:
    """Take a URL that the core can read; an error repeats nothing of it."""
    url = read_text(raw)
    if url:
        try:
            describe_redis_url(url)
        except ValueError as error:
            raise ValueError(f"cannot be used: {error} (empty is for no Redis)") from None
    return url


def read_environment(raw: Any) -> str:
    """Whatever is not known to be development is production: a misspelt word opens nothing."""
    word = read_text(raw).lower()
    return word if word in ("development", "testing") else "production"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _serialized_origin(scheme: str, rest: str, given: str) -> str:
    """Write an origin as a browser would (RFC 6454, section 6.2), perhaps after ``*.``."""
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
    """Refuse ``*.`` before what owns no names, or before everybody's."""
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
        if _is_loopback(urlsplit(secure).hostname or ""):
            origins.append(_serialized_origin("http", item, item))
    return (ANY,) if ANY in origins else tuple(origins)


def read_prefixes(raw: Any) -> tuple[str, ...]:
    """Path prefixes. A trailing ``*`` is allowed, as people write it; other patterns are not."""
    prefixes = []
    for item in read_words(raw):
        prefix = item[:-1] if item.endswith("/*") else item
        prefix = "/" if prefix == "*" else prefix
        if not prefix.startswith("/") or set(prefix) & set("*^$()[]?\\"):
            raise ValueError(f"holds {item!r}: write a plain path prefix as '/api/'")
        prefixes.append(prefix)
    return tuple(prefixes)
