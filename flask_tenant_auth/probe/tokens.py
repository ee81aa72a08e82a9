"""Tokens that a service must deny: made of one that it accepts, without its key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

from .outcome import Check, NotAsked, Problem
from .session import Session

_NO_KEY = "the app makes no token for a new user"
_NOT_READ = "--token is no signed token in three parts"
_OWN_READER = "verify tokens with this package alone"


class Kind(NamedTuple):
    """A kind of token that must be denied."""

    name: str  # of its check
    token: str  # what it is
    change: str  # where it is accepted
    missing: str  # why there is none


KINDS = (
    Kind(
        "token-expired",
        "an expired token",
        "set JWT_LEEWAY to the seconds that clocks may differ",
        _NO_KEY,
    ),
    Kind("token-unsigned", "a token with the algorithm none", _OWN_READER, _NOT_READ),
    Kind(
        "token-foreign-key",
        "a token that another key signed",
        f"{_OWN_READER}, with JWT_ALGORITHM and keys of its own",
        _NOT_READ,
    ),
    Kind(
        "token-changed",
        "a token whose claims were changed after it was signed",
        f"{_OWN_READER}, and read claims of verified tokens only",
        _NOT_READ,
    ),
    Kind(
        "token-audience",
        "a token for another audience",
        "set JWT_AUDIENCE in the service as it is set here",
        f"JWT_AUDIENCE is not set, or {_NO_KEY}",
    ),
    Kind(
        "token-issuer",
        "a token of another issuer",
        "set JWT_ISSUER in the service as it is set here",
        f"JWT_ISSUER is not set, or {_NO_KEY}",
    ),
)


def forged_tokens(token: str, *, tenant_id: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield tokens that look like one of the service: the name of the check, and the token.

    :param token: one that the service accepts. What is no JWS in three parts is left alone.
    :param tenant_id: the tenant in it; the changed token names another one.
    """
    parts = token.split(".")
    try:
        header, payload = (json.loads(_decoded(each)) for each in parts[:2])
    except ValueError:
        return
    if len(parts) != 3 or not isinstance(header, dict) or not isinstance(payload, dict):
        return
    yield "token-unsigned", f"{_encoded({**header, 'alg': 'none'})}.{parts[1]}."
    signed = f"{_encoded({**header, 'alg': 'HS256'})}.{parts[1]}"
    mac = hmac.new(secrets.token_bytes(32), signed.encode(), hashlib.sha256)
    yield "token-foreign-key", f"{signed}.{_text_of(mac.digest())}"
    yield "token-changed", f"{parts[0]}.{_encoded(_changed(payload, tenant_id))}.{parts[2]}"


def _changed(payload: dict[str, Any], tenant_id: str | None) -> dict[str, Any]:
    """Return claims of another tenant; where the tenant is not known, other claims."""
    if tenant_id is None:
        return {**payload, "changed": True}
    first = "1" if tenant_id.startswith("0") else "0"
    text = json.dumps(payload).replace(tenant_id, first + tenant_id[1:])
    changed: dict[str, Any] = {**json.loads(text), "changed": True}
    return changed


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(value: object) -> str:
    return _text_of(json.dumps(value, separators=(",", ":")).encode())


def _text_of(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _check_of(kind: Kind) -> Check:
    def look(session: Session) -> Iterator[Problem]:
        path = next(iter(session.own_answers))
        token = dict(session.facts.bad_tokens).get(kind.name)
        if token is None:
            raise NotAsked(kind.missing)
        answer = session.get(path, {"Authorization": f"Bearer {token}"})
        if answer.status != 401:
            yield Problem(f"GET {path} with {kind.token}", f"{answer} in place of 401", kind.change)

    return Check(kind.name, f"{kind.token} is denied", look)


CHECKS = tuple(map(_check_of, KINDS))
