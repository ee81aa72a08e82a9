"""Reads the input of a request. A value that is not valid is a 400 that names its field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from flask import abort, request

Reader = Callable[[Any], Any]

ACCOUNT_TYPES = ("imap", "pop3", "smtp")
ENCRYPTIONS = ("ssl", "tls", "starttls", "none")
MAX_PAGE = 100

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_REQUIRED = object()


class Field(NamedTuple):
    """How one field is read. A ValueError of read() says what follows the field's name."""

    read: Reader
    default: Any = _REQUIRED


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise ValueError(f"must be a text of 1 to {most} characters")
    if not value.isprintable():
        raise ValueError("must not hold control characters")
    return value


def _secret(value: Any, most: int) -> str:
    # Whatever a password is made of, it is compared as it was typed.
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise ValueError(f"must be a text of 1 to {most} characters")
    return value


def _email(value: Any) -> str:
    email = _text(value, 254)
    if not _EMAIL.fullmatch(email):
        raise ValueError("must be an e-mail address")
    return email


def _hostname(value: Any) -> str:
    hostname = _text(value, 253)
    if not _HOSTNAME.fullmatch(hostname):
        raise ValueError("must be a host name")
    return hostname


def _one_of(*choices: str) -> Reader:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return str(value)

    return read


def _port(value: Any) -> int:
    # In Python a bool is an int. It is not a port.
    if type(value) is not int or not 1 <= value <= 65535:
        raise ValueError("must be a whole number from 1 to 65535")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - becomes a 400 like the rest
    return value


ACCOUNT: Mapping[str, Field] = {
    "email": Field(_email),
    "account_type": Field(_one_of(*ACCOUNT_TYPES)),
    "hostname": Field(_hostname),
    "port": Field(_port),
    "encryption": Field(_one_of(*ENCRYPTIONS)),
    "is_sync_enabled": Field(_boolean, default=True),
    "password": Field(lambda value: _text(value, 1024), default=None),
}

LOGIN: Mapping[str, Field] = {
    "email": Field(lambda value: _text(value, 254)),
    "password": Field(lambda value: _secret(value, 1024)),
}


def bad_request(message: str) -> NoReturn:
    """End the request with a 400."""
    abort(400, message)


def json_object() -> dict[str, Any]:
    """Read the body, which must be a JSON object."""
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        body = None
    if not isinstance(body, dict):
        bad_request("The body must be a JSON object, with Content-Type: application/json")
    return body


def json_fields(fields: Mapping[str, Field]) -> dict[str, Any]:
    """Read and check the fields of the body. A field that is not in the list is a 400."""
    body = json_object()
    for name in body:
        if name not in fields:
            bad_request(f"{name!r} is not a known field; the known fields are: {', '.join(fields)}")
    values = {}
    for name, field in fields.items():
        if name not in body:
            if field.default is _REQUIRED:
                bad_request(f"{name} is required")
            values[name] = field.default
            continue
        try:
            values[name] = field.read(body[name])
        except ValueError as error:
            bad_request(f"{name} {error}")
    return values


def page() -> tuple[int, int]:
    """Read limit and offset from the query string."""
    return _whole("limit", 1, MAX_PAGE, MAX_PAGE), _whole("offset", 0, 10**9, 0)


def _whole(name: str, low: int, high: int, default: int) -> int:
    text = request.args.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,10}", text) or not low <= int(text) <= high:
        bad_request(f"{name} must be a whole number from {low} to {high}")
    return int(text)
