"""Sessions, revocations and API keys as words of Redis, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .store import ApiKey, Revocation, Session

# How many bits of the number of a revocation count those of one millisecond.
_SEQUENCE_BITS = 20
_KINDS = ("session", "user", "tenant", "token", "everything")


def session_words(session: Session) -> list[str | bytes]:
    """Return the names and values of all fields of a session."""
    fixed: dict[str, Any] = {
        "tenant_id": session.tenant_id,
        "user_id": session.user_id,
        "salt": session.salt,
        "ends_at": session.ends_at,
    }
    return [*_words(fixed), *changing_words(session)]


def changing_words(session: Session) -> list[str | bytes]:
    """Return the names and values of those fields of a session that may change."""
    return _words(
        {
            "role": session.role,
            "permissions": json.dumps(session.permissions),
            "claims": json.dumps(dict(session.claims)),
            "device": session.device,
            "address": session.address,
            "grace_ms": session.grace_ms,
            "counter": session.counter,
            "rotated_1": session.rotated[0],
            "rotated_2": session.rotated[1],
            "rotated_3": session.rotated[2],
            "used_at": session.used_at,
            "expires_at": min(session.expires_at, session.ends_at),
            "ended_at": session.ended_at,
            "end_reason": session.end_reason,
        }
    )


def session_of(session_id: str, reply: Any) -> Session:
    """Return the session of the fields that Redis has."""
    row = _row(reply)
    return Session(
        id=session_id,
        tenant_id=_text(row["tenant_id"]),
        user_id=_text(row["user_id"]),
        role=_text(row["role"]),
        salt=row["salt"],
        counter=int(row["counter"]),
        permissions=_texts(row["permissions"]),
        claims=_claims(row["claims"]),
        device=_text_or_none(row.get("device")),
        address=_text_or_none(row.get("address")),
        grace_ms=_int_or_none(row.get("grace_ms")),
        rotated=(int(row["rotated_1"]), int(row["rotated_2"]), int(row["rotated_3"])),
        used_at=int(row["used_at"]),
        expires_at=int(row["expires_at"]),
        ends_at=int(row["ends_at"]),
        ended_at=_int_or_none(row.get("ended_at")),
        end_reason=_text_or_none(row.get("end_reason")),
    )


def revocation_words(revocation: Revocation) -> list[str]:
    """Return the seven words of a revocation."""
    return [
        revocation.kind,
        revocation.tenant_id or "",
        revocation.user_id or "",
        revocation.id or "",
        revocation.except_session or "",
        str(revocation.at) if revocation.at else "",
        str(revocation.ends_at),
    ]


def revocation_of(entry: Any) -> Revocation:
    """Return the revocation of an entry of the stream."""
    entry_id, fields = entry
    row = _row(fields)
    kind: Any = _text(row["kind"])
    if kind not in _KINDS:
        raise ValueError(kind)
    return Revocation(
        kind=kind,
        tenant_id=_text(row["tenant_id"]) or None,
        user_id=_text(row["user_id"]) or None,
        id=_text(row["id"]) or None,
        except_session=_text(row["except_session"]) or None,
        at=int(row["at"]),
        ends_at=int(row["ends_at"]),
        number=number_of(entry_id),
    )


def number_of(entry_id: bytes) -> int:
    """Return the number of an entry of the stream: numbers are in the order of the entries."""
    milliseconds, sequence = map(int, _text(entry_id).split("-"))
    return (milliseconds << _SEQUENCE_BITS) + sequence


def key_words(key: ApiKey) -> list[str | bytes]:
    """Return the names and values of all fields of an API key."""
    return _words(
        {
            "tenant_id": key.tenant_id,
            "user_id": key.user_id,
            "role": key.role,
            "digest": key.digest,
            "permissions": json.dumps(key.permissions),
            "name": key.name,
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "ended_at": key.ended_at,
            "used_at": key.used_at,
        }
    )


def key_of(key_id: str, reply: Any) -> ApiKey:
    """Return the API key of the fields that Redis has."""
    row = _row(reply)
    return ApiKey(
        id=key_id,
        tenant_id=_text(row["tenant_id"]),
        user_id=_text(row["user_id"]),
        role=_text(row["role"]),
        digest=row["digest"],
        permissions=_texts(row["permissions"]),
        name=_text(row["name"]),
        created_at=int(row["created_at"]),
        expires_at=_int_or_none(row.get("expires_at")),
        ended_at=_int_or_none(row.get("ended_at")),
        used_at=_int_or_none(row.get("used_at")),
    )


def _words(fields: Mapping[str, Any]) -> list[str | bytes]:
    """Return names and values: "" is None, and each other value begins with "="."""
    words: list[str | bytes] = []
    for name, value in fields.items():
        words.append(name)
        if value is None:
            words.append("")
        elif isinstance(value, bytes):
            words.append(b"=" + value)
        else:
            # As in a database: what a client sent has no NUL and no halves of surrogates.
            words.append(b"=" + str(value).replace("\0", "").encode("utf-8", "replace"))
    return words


def _row(reply: Iterable[bytes]) -> dict[str, bytes]:
    items = iter(reply)
    return {_text(name): value for name, value in zip(items, items, strict=True)}


def _text(value: bytes) -> str:
    return value.decode("utf-8")


def _text_or_none(value: bytes | None) -> str | None:
    return None if value is None else _text(value)


def _int_or_none(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _texts(value: bytes) -> tuple[str, ...]:
    found = json.loads(value)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError("no list of texts")
    return tuple(found)


def _claims(value: bytes) -> dict[str, Any]:
    found = json.loads(value)
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found
