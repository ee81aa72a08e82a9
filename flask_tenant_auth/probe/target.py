"""The service that is asked: its URL, and the addresses of its host."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

_LONGEST = 2048
_PORTS = {"http": 80, "https": 443}
# What a path may have beside letters, digits and "_.-~" (RFC 3986, section 3.3).
_IN_PATHS = "/%:@!$&'()*+,;="


@dataclass(frozen=True)
class Target:
    """Where a service is.

    Its host is looked up once, so that all requests go to the same addresses.
    """

    scheme: str
    host: str
    port: int
    prefix: str  # of all paths; empty, or with a slash before it and none behind it
    addresses: tuple[str, ...]

    @classmethod
    def of(cls, url: str) -> Target:
        """Read a URL, and look up its host.

        :raises ValueError: for what is no URL of a service; the sentence completes "--url ...".
        """
        scheme, host, port, prefix = _parts(url)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise ValueError(f"has a host whose name is not found: {host}") from None
        addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found))
        return cls(scheme, host, port, prefix, addresses)

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, by each address of the host."""
        return all(ip_address(each.partition("%")[0]).is_loopback for each in self.addresses)

    @property
    def secure(self) -> bool:
        """Whether it is asked through TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The host and the port, as the field Host has them (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL again, without a slash at its end."""
        return f"{self.scheme}://{self.authority}{self.prefix}"

    def path(self, path: str) -> str:
        """Return a path of the app as the request line has it."""
        place, mark, query = path.partition("?")
        return f"{self.prefix}{quote(place, safe=_IN_PATHS)}{mark}{query}"


def _parts(url: str) -> tuple[str, str, int, str]:
    if len(url) > _LONGEST or not all("!" <= each <= "~" for each in url):
        raise ValueError(f"must be a URL of at most {_LONGEST} visible ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL, and its host or port is none") from None
    if parts.scheme not in _PORTS or not host or port == 0:
        raise ValueError("must be a URL as https://api.example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be a URL without user, query and fragment")
    return parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/")
