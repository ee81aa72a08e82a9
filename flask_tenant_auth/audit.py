"""The audit line of each authenticated request, and the warning of each denied one.

Everything that a client wrote is escaped: one request is one line, and no value can pose as another
field. No token, secret or password is ever written. So the query string is left out.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Request

    from ._core import Identity

logger = logging.getLogger("flask_tenant_auth")

_REQUEST = (
    "Request: method=%(method)s endpoint=%(endpoint)s user_id=%(user_id)s "
    'tenant_id=%(tenant_id)s role=%(role)s ip=%(ip)s user_agent="%(user_agent)s"'
)
_DENIED = (
    "Denied: status=%(status)d reason=%(reason)s method=%(method)s endpoint=%(endpoint)s "
    "user_id=%(user_id)s tenant_id=%(tenant_id)s role=%(role)s ip=%(ip)s "
    'user_agent="%(user_agent)s" answer="%(answer)s" detail="%(detail)s"'
)
_ACTOR = " actor=%(actor)s"  # of an identity that somebody else acts as
_NO_IDENTITY = (None, None, None)

_PLAIN = re.compile(r"[!#-\[\]-~]+")  # visible ASCII but for the quote and the backslash
_PLAIN_QUOTED = re.compile(r"[ !#-\[\]-~]*")
_LONGEST_VALUE = 1024


def log_request(
    request: Request, user_id: str | None, tenant_id: str | None, role: str | None
) -> None:
    """Write the audit line of a request. To be called where INFO is enabled."""
    _write(logging.INFO, _REQUEST, _fields(request, user_id, tenant_id, role))


def log_authenticated(request: Request, identity: Identity) -> None:
    """Write the audit line of a request with an identity. To be called where INFO is enabled."""
    fields = _fields_of(request)
    fields["user_id"] = identity.user_id
    fields["tenant_id"] = identity.tenant_id
    fields["role"] = identity.role
    actor = identity.actor
    if actor is not None:
        fields["actor"] = plain(actor)
    _write(logging.INFO, _REQUEST if actor is None else _REQUEST + _ACTOR, fields)


def _write(level: int, message: str, fields: dict[str, Any]) -> None:
    """Log as `Logger.log` does, without two steps that take half of its time.

    `Logger.log` looks for the caller, which is always this file. And it compares each field with
    the attributes of a record, none of which has such a name.
    """
    record = logger.makeRecord(
        logger.name,
        level,
        __file__,
        0,
        message,
        fields,  # % takes a mapping as well as a tuple
        None,
        _write.__name__,
    )
    record.__dict__.update(fields)
    logger.handle(record)


def log_denied(
    request: Request | None,
    status: int,
    answer: str,
    reason: str,
    detail: str = "",
    identity: Identity | None = None,
) -> None:
    """Write the warning of a denied request.

    :param answer: the text for the client.
    :param reason: why, as one stable word of this library.
    :param detail: why, in a sentence. What it quotes of the request is escaped and short.
    """
    if not logger.isEnabledFor(logging.WARNING):
        return
    who = (identity.user_id, identity.tenant_id, identity.role) if identity else _NO_IDENTITY
    fields = {
        "status": status,
        "reason": reason,
        "answer": quoted(answer),
        "detail": quoted(detail),
        **_fields(request, *who),
    }
    actor = None if identity is None else identity.actor
    if actor is not None:
        fields["actor"] = plain(actor)
    _write(logging.WARNING, _DENIED if actor is None else _DENIED + _ACTOR, fields)


def _fields(
    request: Request | None, user_id: str | None, tenant_id: str | None, role: str | None
) -> dict[str, str]:
    who = {"user_id": plain(user_id), "tenant_id": plain(tenant_id), "role": plain(role)}
    if request is None:
        return who | {"method": "-", "endpoint": "-", "ip": "-", "user_agent": ""}
    return who | _fields_of(request)


def _fields_of(request: Request) -> dict[str, str]:
    return {
        "method": plain(request.method),
        "endpoint": plain(request.path),
        "ip": plain(request.remote_addr),
        "user_agent": quoted(request.environ.get("HTTP_USER_AGENT", "")),
    }


def plain(value: str | None) -> str:
    """Return a value as one word, escaped where it could end the word; ``-`` for no value."""
    if not value:
        return "-"
    if len(value) <= _LONGEST_VALUE and _PLAIN.fullmatch(value):
        return value
    return _escaped(value).replace(" ", "\\x20")


def quoted(value: str) -> str:
    """Return a value that can stand between double quotes on one line."""
    if len(value) <= _LONGEST_VALUE and _PLAIN_QUOTED.fullmatch(value):
        return value
    return _escaped(value)


def _escaped(value: str) -> str:
    """Escape all but printable ASCII with backslashes; shorten a value that is too long."""
    cut = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "..."
    return cut.encode("unicode_escape").decode("ascii").replace('"', '\\"')
