"""JWT_IDENTITY: an app's own reading of the claims of a token."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .._core import (
    INVALID_TOKENS,
    Identity,
    InvalidToken,
    Revocations,
    Roles,
    is_valid_uuid,
    parse_bearer,
)
from .issuers import Issuers


class Decoder(Protocol):
    """What verifies a token and returns its claims: a `Keyring`, or what chooses one."""

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
        """Return all claims of a token, verified."""


class CalledIdentities:
    """Identities that JWT_IDENTITY names: a callable of the verified claims.

    It returns an `Identity`, ``(tenant_id, user_id, role)``, or None for a token that names nobody
    here. It is called once a request, after the signature and the times of the token have been
    verified. What it raises is a fault of the app: the request is answered with 500.

    :param revocations: asked for the identity that is named, because the decoder does not know it.
    """

    def __init__(
        self,
        decoder: Decoder,
        function: Callable[..., Any],
        roles: Roles,
        issuers: Issuers | None,
        revocations: Revocations | None = None,
    ) -> None:
        self._decoder = decoder
        self._issuers = issuers
        self._function = function
        self._roles = roles
        self._revocations = revocations

    def authenticate(self, authorization: str | None, /) -> Identity | InvalidToken | None:
        """Authenticate by an Authorization header; None where it has no bearer credentials."""
        token = None if authorization is None else parse_bearer(authorization)
        return None if token is None else self.verify(token)

    def verify(self, token: str | bytes, /) -> Identity | InvalidToken:
        """Do as `authenticate`, with the token itself."""
        claims = self._decoder.decode(token)
        return claims if isinstance(claims, InvalidToken) else self._named(claims, token)

    def _named(self, claims: dict[str, Any], token: str | bytes) -> Identity | InvalidToken:
        """Return the identity that the app names, if the issuer may speak for its tenant."""
        named = self._function(claims)
        if named is None:
            return INVALID_TOKENS["identity_refused"]
        identity = self._made(named, claims)
        fault = _fault_of_actor(claims, identity.tenant_id)
        if fault is not None:
            return INVALID_TOKENS[fault]
        if self._issuers is not None and not self._issuers.speaks_for(claims, identity.tenant_id):
            return INVALID_TOKENS["tenant_foreign"]
        reason = self._denied_by_revocations(identity, claims, token)
        return identity if reason is None else INVALID_TOKENS[reason]

    def _denied_by_revocations(
        self, identity: Identity, claims: Mapping[str, Any], token: str | bytes
    ) -> str | None:
        """Return why the token of an identity is revoked: of the user, or of who acts as the user.

        A Keyring does this by itself where it knows the identity.
        """
        table = self._revocations
        if table is None:
            return None
        users = [identity.user_id]
        if identity.actor is not None and is_valid_uuid(identity.actor):
            users.append(identity.actor)
        of_token = (
            _text(claims.get("sid")),
            _text(claims.get("jti")),
            claims.get("iat"),
            digest_of_token(token),
        )
        reasons = (table.check(identity.tenant_id, user, *of_token) for user in users)
        return next((reason for reason in reasons if reason is not None), None)

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
        """Return all claims of a token, verified as strictly as `authenticate` does.

        JWT_IDENTITY is asked where it names the tenant for which an issuer has to speak, and whose
        revocations are looked up.
        """
        claims = self._decoder.decode(token)
        if isinstance(claims, InvalidToken) or (self._issuers or self._revocations) is None:
            return claims
        named = self._named(claims, token)
        return named if isinstance(named, InvalidToken) else claims

    def _made(self, named: object, claims: Mapping[str, Any]) -> Identity:
        """Return an identity with the claims of its token, in the roles of the app.

        :raises TypeError, ValueError: for what names no identity.
        """
        actor: str | None = claims["act"]["sub"] if _has_actor(claims) else None
        permissions: frozenset[str] = frozenset()
        if isinstance(named, Identity):
            tenant_id, user_id, role = named.tenant_id, named.user_id, named.role
            actor, permissions = named.actor or actor, named.own_permissions
        elif isinstance(named, tuple) and len(named) == 3:
            tenant_id, user_id, role = (str(each) for each in named)
        else:
            raise TypeError(
                "JWT_IDENTITY must return an Identity, (tenant_id, user_id, role) or None, not "
                f"{type(named).__name__}"
            )
        return Identity(
            tenant_id,
            user_id,
            role,
            source="token",
            permissions=permissions,
            claims=claims,
            actor=actor,
            expires_at=claims["exp"],
            roles=self._roles,
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def digest_of_token(token: str | bytes) -> bytes:
    """Return the SHA-256 of a token up to its last dot, as the core has it."""
    octets = token.encode("latin-1", "replace") if isinstance(token, str) else token
    return hashlib.sha256(octets.rpartition(b".")[0]).digest()


def _has_actor(claims: Mapping[str, Any]) -> bool:
    actor = claims.get("act")
    return isinstance(actor, Mapping) and isinstance(actor.get("sub"), str)


def _fault_of_actor(claims: Mapping[str, Any], tenant_id: str) -> str | None:
    """Return the reason why `act` (RFC 8693, section 4.1) makes a token invalid, as the core does.

    The core does not read it here, because it does not know the tenant.
    """
    actor = claims.get("act", {})
    if not isinstance(actor, Mapping):
        return "act_invalid"
    if not isinstance(actor.get("sub", ""), str):
        return "act_sub_invalid"
    if "tenant_id" not in actor:
        return None
    if not is_valid_uuid(actor["tenant_id"]):
        return "act_tenant_id_invalid"
    return None if actor["tenant_id"].lower() == tenant_id else "actor_foreign"
