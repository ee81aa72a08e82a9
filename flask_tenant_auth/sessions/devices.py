"""Device cookies: that an account has logged in on a device before.

Whoever guesses the passwords of an account uses up its budget, and so would lock its user out. A
device cookie gives the devices of that user budgets of their own (OWASP, "Slow Down Online Guessing
Attacks with Device Cookies"). It proves nothing else: the password is still asked for.

The cookie is ``d1.<base64url of 56 octets>.<base64url of a MAC>``: the time it was made, the id of
the device, the tenant and the user. The MAC covers the account too, so that it is of no use for
another one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from .._core import derive_key

_VERSION = "d1"
_INFO = b"flask_tenant_auth device cookie"
_FIELDS = struct.Struct(">Q16s16s16s")
_MAC_BYTES = 32
_LONGEST = 256
_NOBODY = bytes(16)
# How far the clocks of two hosts may be apart.
_SKEW_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a device cookie says."""

    id: bytes
    made_at: int  # in milliseconds since 1970
    tenant_id: str | None = None  # None: it was made where sessions are off
    user_id: str | None = None

    @property
    def key(self) -> str:
        """The key under which it is counted."""
        return self.id.hex()


def new_device_id() -> bytes:
    """Return 16 random octets."""
    return os.urandom(16)


class Devices:
    """Makes and reads the device cookies of one app.

    :param keys: secrets: the first one makes cookies, the others are retired.
    :param lifetime_ms: how long a cookie is good for.
    """

    def __init__(self, keys: Sequence[bytes], lifetime_ms: int) -> None:
        self._keys = tuple(derive_key(key, b"", _INFO, 32) for key in keys)
        self._lifetime_ms = lifetime_ms

    @property
    def seconds(self) -> int:
        """How long a cookie is good for."""
        return self._lifetime_ms // 1000

    def make(self, account: str, device: Device) -> str:
        """Return the cookie of an account."""
        payload = _FIELDS.pack(
            device.made_at, device.id, _octets(device.tenant_id), _octets(device.user_id)
        )
        mac = _mac(self._keys[0], payload, account)
        return f"{_VERSION}.{_encoded(payload)}.{_encoded(mac)}"

    def read(self, account: str, cookie: str, now_ms: int) -> Device | None:
        """Return what a cookie of an account says; None where it is another's, forged or old."""
        parts = cookie.split(".") if len(cookie) <= _LONGEST else []
        if len(parts) != 3 or parts[0] != _VERSION:
            return None
        payload, mac = _decoded(parts[1], _FIELDS.size), _decoded(parts[2], _MAC_BYTES)
        if payload is None or mac is None:
            return None
        macs = [_mac(key, payload, account) for key in self._keys]
        if not any([hmac.compare_digest(mac, each) for each in macs]):  # noqa: C419 - all are compared
            return None
        made_at, device_id, tenant, user = _FIELDS.unpack(payload)
        if not now_ms - self._lifetime_ms < made_at <= now_ms + _SKEW_MS:
            return None
        return Device(
            id=device_id, made_at=made_at, tenant_id=_uuid_text(tenant), user_id=_uuid_text(user)
        )


def _mac(key: bytes, payload: bytes, account: str) -> bytes:
    message = b"\0".join((_VERSION.encode(), account.encode(), payload))
    return hmac.new(key, message, hashlib.sha256).digest()


def _octets(uuid: str | None) -> bytes:
    return _NOBODY if uuid is None else UUID(uuid).bytes


def _uuid_text(octets: bytes) -> str | None:
    return None if octets == _NOBODY else str(UUID(bytes=octets))


def _encoded(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def _decoded(text: str, length: int) -> bytes | None:
    """Return the octets of canonical base64url (RFC 4648, section 5) of that length."""
    try:
        octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return octets if len(octets) == length and _encoded(octets) == text else None
