"""URLs of identity providers: https, or http to this machine itself."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NOT_IN_URLS = re.compile(r"[^!-~]")  # all but visible ASCII (RFC 3986, section 2)
_LONGEST = 2048


def is_url(text: str) -> bool:
    """Whether text begins as a URL does, of whatever scheme."""
    return _URL.match(text) is not None


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL from which keys may be fetched.

    :raises ValueError: what is wrong with it; the sentence completes "<NAME> ..." and quotes
        neither userinfo nor query.
    """
    if len(url) > _LONGEST or _NOT_IN_URLS.search(url):
        raise ValueError(
            f"must be a URL of at most {_LONGEST} visible ASCII characters: write others as %XX, "
            "and the host in its ASCII form"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL, and its host or port is none") from None
    if not host or port == 0:
        raise ValueError("must be a URL with a host, and a port from 1 to 65535 if it has one")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            f"must be an https URL, not {shown_url(url)}: http is for this machine itself "
            "(localhost, 127.0.0.1, [::1])"
        )
    if parts.scheme not in ("https", "http"):
        raise ValueError(f"must be an https URL, not one of the scheme {parts.scheme!r}")
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def origin_of(parts: SplitResult) -> tuple[str, str, int]:
    """Return the scheme, the host and the port of a URL that `split_url` has split."""
    return (
        parts.scheme,
        parts.hostname or "",
        parts.port or (443 if parts.scheme == "https" else 80),
    )


def shown_url(url: str) -> str:
    """Return a URL as messages may show it: without userinfo, query and fragment."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return _NOT_IN_URLS.sub("?", f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}")[:200]


def discovery_url(issuer: str) -> str:
    """Return the URL of an issuer's configuration (OpenID Connect Discovery 1.0, section 4)."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def check_discovery(issuer: str) -> None:
    """Check an issuer whose configuration is to be fetched.

    :raises ValueError: as `split_url`; also for an issuer with userinfo, query or fragment.
    """
    parts = split_url(issuer)
    if parts.query or parts.fragment or "?" in issuer or "#" in issuer or parts.username:
        raise ValueError(
            "must be a URL without user, query and fragment (OpenID Connect Discovery 1.0, "
            "section 3)"
        )
