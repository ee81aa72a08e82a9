"""What somebody looks for in an audit log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from .._core import is_valid_uuid

Network = IPv4Network | IPv6Network

_AGO = re.compile(r"(\d{1,9})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_STATUS = re.compile(r"[1-9](\d\d|xx)")
_PLAIN = re.compile(r"[ !#-.0-\[\]-~]+")  # what every writer of JSON writes as it is


def read_moment(text: str) -> datetime:
    """Return a moment from ISO 8601, of UTC unless it says otherwise, or from an age as ``2h``.

    :raises ValueError: for any other text.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return datetime.now(timezone.utc) - read_age(text)
        moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError(
            f"must be a time as 2026-11-27T15:00, of UTC, or an age as 30m, 2h or 7d, not {text!r}"
        ) from None


def read_age(text: str) -> timedelta:
    """Return a time span from ``30m``, ``2h``, ``7d`` or ``4w``.

    :raises ValueError: for any other text.
    """
    ago = _AGO.fullmatch(text)
    if ago is None:
        raise ValueError(f"must be an age as 30m, 2h, 90d or 4w, not {text!r}")
    return timedelta(**{_UNITS[ago[2]]: int(ago[1])})


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a line must be to be shown. None: no matter."""

    user: str | None = None
    tenant: str | None = None
    reason: str | None = None
    address: Network | None = None
    endpoint: str | None = None  # all below it, with a * at its end
    status: str | None = None  # "403" or "4xx"
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def read(cls, **texts: str | None) -> Query:
        """Return the query that texts say.

        :raises ValueError: it names the option.
        """
        values: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
        readers = {
            "user": _read_uuid,
            "tenant": _read_uuid,
            "address": _read_network,
            "status": _read_status,
            "since": read_moment,
            "until": read_moment,
        }
        for name, reader in readers.items():
            if name in values:
                try:
                    values[name] = reader(values[name])
                except ValueError as error:
                    raise ValueError(f"--{name} {error}") from None
        return cls(**values)

    def words(self) -> tuple[bytes, ...]:
        """Return what each line that matches has in it, the rarest first."""
        words = [self.user, self.tenant]
        if self.address is not None and isinstance(self.address, IPv4Network):
            words.append(_common_part(self.address))
        if self.endpoint is not None:
            # Some writers of JSON escape the slash.
            words.append(max(self.endpoint.rstrip("*").split("/"), key=len))
        words.append(self.reason)
        found = [word.encode() for word in words if word and _PLAIN.fullmatch(word)]
        if self.status is not None:
            found.append(self.status.rstrip("x").encode())
        return tuple(found)

    def times(self) -> tuple[bytes | None, bytes | None]:
        """Return the first moment and the one after the last, as lines write them."""
        return tuple(  # type: ignore[return-value]
            None if each is None else each.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
            for each in (self.since, self.until)
        )

    def matches(self, line: dict[str, Any]) -> bool:
        """Whether a line is what is looked for."""
        return (
            (self.user is None or _lower(line.get("user_id")) == self.user)
            and (self.tenant is None or _lower(line.get("tenant_id")) == self.tenant)
            and (self.reason is None or line.get("reason") == self.reason)
            and (self.status is None or _has_status(line.get("status"), self.status))
            and (self.endpoint is None or _is_at(line.get("endpoint"), self.endpoint))
            and (self.address is None or _is_in(line.get("ip"), self.address))
            and ((self.since is None and self.until is None) or self._is_in_time(line.get("time")))
        )

    def _is_in_time(self, text: Any) -> bool:
        try:
            moment = read_moment(str(text))
        except ValueError:
            return False
        return (self.since is None or self.since <= moment) and (
            self.until is None or moment < self.until
        )


def _read_uuid(text: str) -> str:
    if not is_valid_uuid(text):
        raise ValueError(f"must be a UUID, not {text!r}")
    return text.lower()


def _read_network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"must be an IP address or a network as 192.0.2.0/24, not {text!r}"
        ) from None


def _read_status(text: str) -> str:
    if not _STATUS.fullmatch(text):
        raise ValueError(f"must be a status as 403, or a class of them as 4xx, not {text!r}")
    return text


def _common_part(network: IPv4Network) -> str:
    """Return what all addresses of a network begin with."""
    octets = str(network.network_address).split(".")[: network.prefixlen // 8]
    return ".".join(octets) + ("." if 0 < len(octets) < 4 else "")


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _has_status(value: Any, status: str) -> bool:
    text = str(value)
    return text == status or (status.endswith("xx") and len(text) == 3 and text[0] == status[0])


def _is_at(value: Any, endpoint: str) -> bool:
    if not isinstance(value, str):
        return False
    return value.startswith(endpoint[:-1]) if endpoint.endswith("*") else value == endpoint


def _is_in(value: Any, network: Network) -> bool:
    try:
        address = ip_address(value)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None and network.version == 4:
        address = mapped
    return address.version == network.version and address in network
