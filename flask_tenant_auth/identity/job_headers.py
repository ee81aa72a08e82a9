"""An identity as one signed header, which goes with a job through a queue.

The signature has a salt of its own. So a token, a session cookie and other values that the same
secret signs are no such header, and such a header is none of those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from .._core import Identity, Roles, now

HEADER = "X-Tenant-Auth-Identity"
MAX_CHARACTERS = 64 * 1024
# The salt is signed with the secret to make the key. No part of a token has a space.
_SALT = "flask_tenant_auth identity of a job"


class IdentityHeadersError(ValueError):
    """Headers of a job name no identity that this app has signed. The message says why."""


def write_headers(identity: Identity, secrets: Sequence[bytes], roles: Roles) -> dict[str, str]:
    """Return the header of an identity, signed.

    :param secrets: those of the app; the last one signs.
    :param roles: those of the app.
    :raises ValueError: where the role is none of them, and where the claims are no JSON or make the
        header longer than MAX_CHARACTERS.
    """
    content = {
        "tenant_id": identity.tenant_id,
        "user_id": identity.user_id,
        "role": identity.role,
        "permissions": sorted(identity.with_roles(roles).own_permissions),
        "claims": dict(identity.claims),
        "actor": identity.actor,
        "expires_at": identity.expires_at,
        "api_key_id": identity.api_key_id,
        "issued_at": now(),
    }
    try:
        signed = _serializer(secrets).dumps(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"claims of the identity are no JSON: {error}") from None
    text = signed if isinstance(signed, str) else signed.decode("ascii")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"claims of the identity are too long for {HEADER}: it would have {len(text)} "
            f"characters, and may have {MAX_CHARACTERS}"
        )
    return {HEADER: text}


def read_headers(
    headers: Mapping[str, str], secrets: Sequence[bytes], roles: Roles, max_age: float | None
) -> Identity:
    """Return the identity of headers that `write_headers` has made.

    :param headers: those of the job, whatever the case of their names; others are ignored.
    :param secrets: those that may have signed.
    :param roles: those of the app. What a role permits is what it permits there.
    :param max_age: the most seconds since it was signed; None: any.
    :raises IdentityHeadersError: where the header is absent, twice there, changed, signed by
        others, or too old, and where its role is none of the roles.
    :raises TypeError: for headers that are no mapping.
    """
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a mapping, not {type(headers).__name__}")
    content = _content(_value(headers), secrets)
    try:
        identity, issued_at = _identity(content, roles), float(content["issued_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise IdentityHeadersError(f"{HEADER} is not valid: {error}") from None
    if max_age is not None and now() - issued_at > max_age:
        raise IdentityHeadersError(f"{HEADER} is older than AUTH_JOB_MAX_AGE_SECONDS allows")
    return identity


def _identity(content: Mapping[str, Any], roles: Roles) -> Identity:
    return Identity(
        content["tenant_id"],
        content["user_id"],
        content["role"],
        permissions=content["permissions"],
        claims=content["claims"],
        actor=content["actor"],
        expires_at=content["expires_at"],
        roles=roles,
        # The headers of an earlier version have none.
        api_key_id=content.get("api_key_id"),
    )


def _value(headers: Mapping[str, str]) -> str:
    """Return the value of the header. A mapping may have one name in several cases."""
    wanted = HEADER.lower()
    values = [
        value for name, value in headers.items() if isinstance(name, str) and name.lower() == wanted
    ]
    if not values:
        raise IdentityHeadersError(f"{HEADER} is absent: the job was sent without an identity")
    if len(values) > 1:
        raise IdentityHeadersError(f"{HEADER} is there {len(values)} times")
    if not isinstance(values[0], str):
        raise IdentityHeadersError(f"{HEADER} must be a str, not {type(values[0]).__name__}")
    if len(values[0]) > MAX_CHARACTERS:
        raise IdentityHeadersError(f"{HEADER} is longer than {MAX_CHARACTERS} characters")
    return values[0]


def _content(value: str, secrets: Sequence[bytes]) -> dict[str, Any]:
    try:
        content = _serializer(secrets).loads(value)
    except (BadData, UnicodeError):
        raise IdentityHeadersError(f"{HEADER} is not signed by this app") from None
    if not isinstance(content, dict):
        raise IdentityHeadersError(f"{HEADER} is not valid: it holds no object")
    return content


def _serializer(secrets: Sequence[bytes]) -> URLSafeSerializer:
    return URLSafeSerializer(
        list(secrets),
        salt=_SALT,
        serializer_kwargs={"allow_nan": False},
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
