"""A line of a chain, taken apart to erase its personal members. The core verifies the result."""

from __future__ import annotations

import re

from .._core import sign_audit_erasure

# No quote inside of a JSON string is unescaped, so each of these members is found once.
_LINE = re.compile(
    rb'(?P<public>\{"time":"[^"]{27}",(?!"event":).*,"n":\d+,"personal":"[0-9a-f]{64}")'
    rb'(?P<personal>,"(?:salt|erased)":".*)'
    rb'(?P<end>,"digest":"(?P<digest>[0-9a-f]{64})"\})'
)
_CONTROL = re.compile(rb'\{"time":"[^"]{27}","event":"([a-z]+)","n":(\d+),')
_NUMBER = re.compile(rb',"n":(\d+),"p(?:ersonal|revious)":"')

# The members of a line that name a person, with their values.
_PERSONAL = re.compile(
    rb'(?P<name>"(?:user_id|actor|ip|user_agent|endpoint)":)(?P<value>"(?:[^"\\]|\\.)*"|null)'
)


def number_of(line: bytes) -> int | None:
    """Return the number of a line of a chain; None for any other line."""
    found = _NUMBER.search(line)
    return None if found is None else int(found[1])


def is_control(line: bytes) -> bool:
    """Whether it is a line of the chain itself, about no request."""
    return _CONTROL.match(line) is not None


def erased_line(line: bytes, key: bytes | None) -> bytes | None:
    """Return a line without personal values, of the same length; None for a line of another form.

    :param key: of the chain. None: lines of a chain are left alone.
    """
    chained = _LINE.fullmatch(line)
    if chained is None:
        return None if number_of(line) is not None else _erased_plain_line(line)
    if key is None:
        return None
    signature = sign_audit_erasure(key, bytes.fromhex(chained["digest"].decode()))
    instead = f',"erased":"{signature}"'.encode().ljust(len(chained["personal"]))
    return chained["public"] + instead + chained["end"]


def _erased_plain_line(line: bytes) -> bytes | None:
    if not (line.startswith(b"{") and line.endswith(b"}")):
        return None
    members = _PERSONAL.sub(rb"\g<name>null", line[:-1])
    erased = members + b',"erased":true' * (b',"erased":true' not in members)
    return erased.ljust(len(line) - 1) + b"}" if len(erased) < len(line) else None


def personal_part(line: bytes) -> bytes:
    """Return the part of a line that `erased_line` takes out of it."""
    chained = _LINE.fullmatch(line)
    if chained is not None:
        return chained["personal"]
    return b"\n".join(found["value"] for found in _PERSONAL.finditer(line))
