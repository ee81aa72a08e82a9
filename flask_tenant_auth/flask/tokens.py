"""Tokens: made, read and taken from a request. The core signs and verifies (RFC 7515, 7519)."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Container, Mapping
from typing import Any

from .._core import Identity, InvalidToken, Keyring, now, parse_bearer
from ..audit import log_denied
from ..config.settings import MAX_HOURS, Settings
from ..errors import AuthError, KeysUnavailable, SessionsUnavailable, message_of
from ..identity.arguments import role_text, uuid_text
from ..identity.roles import WEAKEST_ROLE
from .api_key_check import require_no_api_key
from .denials import detail_of
from .records import current_request
from .state import AppState, current_state, signing_state


def create_jwt_token(
    tenant_id: str | uuid.UUID,
    user_id: str | uuid.UUID,
    role: str = WEAKEST_ROLE,
    expires_in_hours: float | None = None,
    *,
    claims: Mapping[str, Any] | None = None,
    actor: tuple[str | uuid.UUID, str | uuid.UUID] | None = None,
) -> str:
    """Return a signed token (RFC 7519) for a user of a tenant.

    It carries ``tenant_id``, ``user_id``, ``role``, ``iat`` and ``exp``, and ``iss`` and ``aud``
    where JWT_ISSUER and JWT_AUDIENCE are set. Where JWT_TENANT_CLAIM and its like move a claim, it
    is written at the first of its places, and a role as the first word that JWT_ROLE_MAP has for
    it. Outside an app context the environment alone configures it.

    :param tenant_id: UUID.
    :param user_id: UUID.
    :param role: one of AUTH_ROLES; the weakest if not given.
    :param expires_in_hours: life in hours, fractions allowed; None: JWT_EXPIRATION_HOURS. Zero or
        less makes a token that has expired already, which tests need.
    :param claims: further claims, JSON values by name.
    :param actor: (tenant_id, user_id) of who acts as this user (RFC 8693, section 4.1). It is of
        the same tenant. The token says it in ``act``, and the audit line shows it; the permissions
        are those of the user.
    :raises ValueError: for what is no UUID or no role, a number out of range, a reserved claim, or
        a token longer than JWT_MAX_TOKEN_BYTES; the message names the argument.
    :raises TypeError: for hours that are no number, and claims that are no mapping or no JSON.
    :raises AuthError: 403, in a request that was sent with an API key: a token would outlive it.
    :raises NoSigningKeyError: when the app holds no key that signs.
    :raises ConfigurationError: outside an app context, when the environment cannot work alone, or
        when the apps of this process have settings of tokens that it does not have.
    """
    require_no_api_key("create_jwt_token")
    state = signing_state()
    tenant = uuid_text("tenant_id", tenant_id)
    identity = Identity(
        tenant,
        uuid_text("user_id", user_id),
        role_text("role", role, state.roles),
        actor=None if actor is None else _actor_of(tenant, actor),
        roles=state.roles,
    )
    issued_at, expires_at = _times(state.settings, expires_in_hours)
    keyring = state.signing_keyring(identity.tenant_id)
    further = further_claims(claims, keyring.core_claims)
    return issue(state, keyring, identity, (issued_at, expires_at), further)


def issue(
    state: AppState,
    keyring: Keyring,
    identity: Identity,
    times: tuple[int, int],
    further: Mapping[str, Any],
) -> str:
    """Return a token of an identity and further claims.

    :param times: when it is issued and when it expires, in seconds since 1970.
    :raises ValueError: for claims that make no token that verifies.
    """
    try:
        return keyring.issue(identity, *times, _json(further))
    except ValueError as error:
        longest = state.settings.jwt_max_token_bytes
        raise ValueError(
            f"claims make no token that verifies: {error} (JWT_MAX_TOKEN_BYTES={longest})"
        ) from None


def _actor_of(tenant_id: str, actor: object) -> str:
    """Return the user that acts as another one of its tenant."""
    if not isinstance(actor, tuple | list) or len(actor) != 2:
        raise TypeError("actor must be a pair of tenant_id and user_id")
    if uuid_text("actor[0]", actor[0]) != tenant_id:
        raise ValueError("actor must be of the tenant that it acts in")
    return uuid_text("actor[1]", actor[1])


def further_claims(claims: object, reserved: Container[str]) -> dict[str, Any]:
    """Return the claims that a caller adds to a token.

    :param reserved: names that the caller may not say.
    :raises TypeError: for claims that are no mapping of names.
    :raises ValueError: for a reserved name.
    """
    if claims is None:
        return {}
    if not isinstance(claims, Mapping):
        raise TypeError(f"claims must be a mapping, not {type(claims).__name__}")
    for name in claims:
        if not isinstance(name, str):
            raise TypeError(f"claims must have str names, not {type(name).__name__}")
        if name in reserved:
            raise ValueError(f"claims must not hold {name!r}, which this function sets")
    return dict(claims)


def _times(settings: Settings, expires_in_hours: float | None) -> tuple[int, int]:
    """Return when a token is issued and when it expires, in seconds since 1970."""
    hours = settings.jwt_expiration_hours if expires_in_hours is None else expires_in_hours
    if isinstance(hours, bool) or not isinstance(hours, int | float):
        raise TypeError(f"expires_in_hours must be a number, not {type(hours).__name__}")
    if not math.isfinite(hours) or abs(hours) > MAX_HOURS:
        raise ValueError(f"expires_in_hours must be within {MAX_HOURS}, not {hours}")
    issued_at = int(now())
    return issued_at, issued_at + round(hours * 3600)


def _json(payload: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(dict(payload), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"claims must be JSON values: {error}") from None


def decode_jwt_token(token: str | bytes) -> dict[str, Any]:
    """Return all claims of a token after verifying it as strictly as a request's.

    :param token: compact serialization (RFC 7515, section 7.1), without the word Bearer.
    :raises AuthError: 401, "Token expired", "Token revoked" or "Invalid token"; the log says
        which rule it broke.
        503 while the keys of an identity provider are not there, or it is not known what was
        revoked.
    :raises TypeError: for a token that is neither str nor bytes.
    """
    if not isinstance(token, str | bytes):
        raise TypeError(f"token must be a str, not {type(token).__name__}")
    try:
        claims = current_state().decode(token)
    except (KeysUnavailable, SessionsUnavailable) as missing:
        log_denied(current_request(), 503, missing.message, missing.reason)
        raise
    if not isinstance(claims, InvalidToken):
        return claims
    error = AuthError(message_of(claims.reason, expired=claims.expired))
    log_denied(current_request(), 401, error.message, claims.reason, detail_of(claims, token))
    raise error


def extract_bearer_token() -> str | None:
    """Return the bearer token of the current request, unverified; None where it has none.

    The scheme is matched in any case (RFC 9110, section 11.1; RFC 6750, section 2.1).

    :raises RuntimeError: outside a request.
    """
    request = current_request()
    if request is None:
        raise RuntimeError("extract_bearer_token() was called outside a request")
    authorization = request.environ.get("HTTP_AUTHORIZATION")
    return None if authorization is None else parse_bearer(authorization)
