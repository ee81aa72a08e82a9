"""An identity as a signed header of a job, for code that runs outside of its request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer

from .._core import Identity, set_identity_codec
from ..keys.keyrings import NoSigningKeyError
from .state import AppState, current_app, current_roles, current_state

HEADER = "X-Tenant-Auth-Identity"
# Of the signature: no other signed value of an app has it, and this one is valid nowhere else.
_SALT = "flask_tenant_auth.identity"
_LONGEST = 64 * 1024


def to_headers(identity: Identity) -> dict[str, str]:
    """Return a header that names an identity, signed by the current app.

    It holds no token, and no request is authenticated by it. It does not expire: a job may wait.

    :raises ValueError: where the claims of the token make it longer than 64 KiB, or are no JSON.
    :raises NoSigningKeyError: where the app has no secret to sign with.
    """
    content = {
        "tenant_id": identity.tenant_id,
        "user_id": identity.user_id,
        "role": identity.role,
        "permissions": sorted(identity.with_roles(current_roles()).own_permissions),
        "claims": dict(identity.claims),
        "actor": identity.actor,
        "expires_at": identity.expires_at,
    }
    try:
        value = _serializer().dumps(content)
    except TypeError as error:
        raise ValueError(f"the claims of the identity are no JSON: {error}") from None
    text = value if isinstance(value, str) else value.decode("ascii")
    if len(text) > _LONGEST:
        raise ValueError(
            f"the claims of the identity are too long for a header: {len(text)} characters"
        )
    return {HEADER: text}


def from_headers(headers: Mapping[str, str]) -> Identity:
    """Return the identity of headers that `to_headers` has made with a key of the current app.

    What its role permits is what it permits now.

    :raises ValueError: where the header is absent or not signed by the app, and where the role is
        none of AUTH_ROLES any longer. A job without an identity fails.
    """
    value = next((headers[name] for name in headers if name.lower() == HEADER.lower()), None)
    if value is None:
        raise ValueError(f"the headers have no {HEADER}")
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise ValueError(f"{HEADER} is no text, or too long")
    try:
        content: dict[str, Any] = _serializer().loads(value)
    except BadSignature:
        raise ValueError(f"{HEADER} is not signed by this app") from None
    return Identity(
        content["tenant_id"],
        content["user_id"],
        content["role"],
        permissions=content["permissions"],
        claims=content["claims"],
        actor=content["actor"],
        expires_at=content["expires_at"],
        roles=current_roles(),
    )


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(
        _keys(current_state()),
        salt=_SALT,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


def _keys(state: AppState) -> list[bytes]:
    """Return the secrets of an app, the current one last, as itsdangerous has them."""
    settings = state.settings
    if settings.symmetric and settings.own_keys:
        older = [each for each in settings.jwt_secret_key_fallbacks if isinstance(each, bytes)]
        return [*reversed(older), settings.jwt_secret_key]
    config: Mapping[str, Any] = current_app._get_current_object().config if current_app else {}
    keys = [*reversed(config.get("SECRET_KEY_FALLBACKS") or ()), config.get("SECRET_KEY")]
    if not keys[-1]:
        raise NoSigningKeyError(
            "an identity is signed for a job with JWT_SECRET_KEY, or where JWT_ALGORITHM is one of "
            "key pairs, with Flask's SECRET_KEY: set it"
        )
    return [key.encode() if isinstance(key, str) else key for key in keys if key]


set_identity_codec(to_headers, from_headers)
