"""The dates of a certificate (RFC 5280, section 4.1.2.5), for people.

The core takes the key of a certificate and asks for nothing else in it: tokens are verified,
whatever its dates are. So what cannot be read here has no dates.
"""

from __future__ import annotations

import base64
import re
from datetime import datetime, timezone
from typing import NamedTuple

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_INTEGER, _SEQUENCE, _VERSION = 0x02, 0x30, 0xA0
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}


class Dates(NamedTuple):
    """When a certificate is good."""

    begins: datetime
    ends: datetime


def dates_of(text: bytes) -> Dates | None:
    """Return the dates of a certificate, in PEM or DER; None for anything else."""
    found = _PEM.search(text)
    try:
        return _read(base64.b64decode(found[1]) if found else text)
    except (ValueError, IndexError):
        return None


def _read(der: bytes) -> Dates:
    """Return the dates of a certificate in DER.

    :raises ValueError, IndexError: for anything else.
    """
    at, _ = _value(der, 0, _SEQUENCE)
    at, _ = _value(der, at, _SEQUENCE)
    if der[at] == _VERSION:
        at = _value(der, at, _VERSION)[1]
    at = _value(der, at, _INTEGER)[1]  # the serial number
    at = _value(der, at, _SEQUENCE)[1]  # the algorithm
    at = _value(der, at, _SEQUENCE)[1]  # the issuer
    at, _ = _value(der, at, _SEQUENCE)
    begins, at = _time(der, at)
    ends, _ = _time(der, at)
    return Dates(begins, ends)


def _value(der: bytes, at: int, tag: int) -> tuple[int, int]:
    """Return where the value of this tag begins and ends (X.690, section 8.1)."""
    if der[at] != tag:
        raise ValueError("another tag")
    length, begin = der[at + 1], at + 2
    if length >= 0x80:
        octets = length & 0x7F
        length = int.from_bytes(der[begin : begin + octets], "big")
        begin += octets
    if begin + length > len(der):
        raise ValueError("it is cut off")
    return begin, begin + length


def _time(der: bytes, at: int) -> tuple[datetime, int]:
    begin, end = _value(der, at, der[at])
    if der[at] not in _TIMES:
        raise ValueError("no time")
    read = datetime.strptime(der[begin:end].decode("ascii"), _TIMES[der[at]])
    if der[at] == 0x17 and read.year >= 2050:  # two digits are of 1950 to 2049
        read = read.replace(year=read.year - 100)
    return read.replace(tzinfo=timezone.utc), end
