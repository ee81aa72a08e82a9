"""JWT_IDENTITY: an app's own reading of the claims of a token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .._core import INVALID_TOKENS, Identity, InvalidToken, Roles, is_valid_uuid, parse_bearer
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
    """

    def __init__(
        self,
        decoder: Decoder,
        function: Callable[..., Any],
        roles: Roles,
        issuers: Issuers | None,
    ) -> None:
        self._decoder = decoder
        self._issuers = issuers
        self._function = function
        self._roles = roles

    def authenticate(self, authorization: str | None, /) -> Identity | InvalidToken | None:
        """Authenticate by an Authorization header; None where it has no bearer credentials."""
        token = None if authorization is None else parse_bearer(authorization)
        return None if token is None else self.verify(token)

    def verify(self, token: str | bytes, /) -> Identity | InvalidToken:
        """Do as `authenticate`, with the token itself."""
        claims = self._decoder.decode(token)
        return claims if isinstance(claims, InvalidToken) else self._named(claims)

    def _named(self, claims: dict[str, Any]) -> Identity | InvalidToken:
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
        return identity

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
        """Return all claims of a token, verified as strictly as `authenticate` does.

        JWT_IDENTITY is asked where it names the tenant for which an issuer has to speak.
        """
        claims = self._decoder.decode(token)
        if self._issuers is None or isinstance(claims, InvalidToken):
            return claims
        named = self._named(claims)
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
