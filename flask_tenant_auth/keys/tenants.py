"""The keys of single tenants: JWT_TENANT_KEYS."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from .._core import INVALID_TOKENS, Identity, InvalidToken, Key, Keyring, parse_bearer, peek_token
from ..config.key_sources import PairText, names_file
from ..config.settings import Settings
from ..config.token_rules import TokenRules
from ..errors import ConfigurationError
from .key_texts import key_pair, shared_secret
from .keyrings import Verifier

KeyMaterial: TypeAlias = "str | bytes | Key"

# Keyrings of tenants that are kept prepared; making one costs more than a verification.
_PREPARED_TENANTS = 1024


class TenantKeyrings:
    """Keys per tenant: JWT_TENANT_KEYS, a callable from (tenant_id, kid) to a key.

    The unverified token names the tenant whose key is looked up. The verified identity is compared
    with that tenant afterwards: a token is only ever verified with a key of its own tenant. Where
    the callable returns None, the app's own keys serve, if it has any.

    The callable returns a `Key`, or text or bytes: a secret for HS256, HS384 and HS512, else a key
    pair. A key pair or a path is never taken for a secret, and a secret never for a key pair. It is
    called for each token, with the ``kid`` of its header or None, and for each signing, with None.
    """

    def __init__(
        self,
        lookup: Callable[..., Any],
        settings: Settings,
        rules: TokenRules,
        own: Verifier | None,
    ) -> None:
        self._lookup = lookup
        self._settings = settings
        self._rules = rules
        self._own = own
        # Nobody has its one key: it answers with an `InvalidToken`, whatever token it is given.
        self._nobody = rules.keyring([Key.secret("HS256", secrets.token_bytes(32))])
        self._prepare = lru_cache(maxsize=_PREPARED_TENANTS)(self._make_keyring)

    def _make_keyring(self, material: KeyMaterial) -> Keyring:
        key = material if isinstance(material, Key) else self._make_key(material)
        return self._rules.keyring([key])

    def _make_key(self, material: str | bytes) -> Key:
        name, settings = "JWT_TENANT_KEYS", self._settings
        octets = material.encode() if isinstance(material, str) else material
        if not settings.symmetric:
            return key_pair(name, PairText(octets), settings)
        if names_file(octets):
            raise ConfigurationError(
                f"{name} returned the path of a file or a URL: return the secret"
            )
        return shared_secret(name, octets, settings)

    def keyring(self, tenant_id: str, kid: str | None = None) -> Keyring | None:
        """Return the keys of one tenant; None: it has none but the app's own."""
        material = self._lookup(tenant_id, kid)
        if material is None:
            return None
        if not isinstance(material, str | bytes | Key):
            kind = type(material).__name__
            raise TypeError(f"JWT_TENANT_KEYS must return str, bytes, a Key or None, not {kind}")
        return self._prepare(material)

    def authenticate(self, authorization: str | None, /) -> Identity | InvalidToken | None:
        """Authenticate by an Authorization header; None where it has no bearer credentials."""
        token = None if authorization is None else parse_bearer(authorization)
        if token is None:
            return None
        return self.verify(token)

    def verify(self, token: str | bytes, /) -> Identity | InvalidToken:
        """Do as `authenticate`, with the token itself."""
        return self._verify(token)[0]

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
        """Return all claims of a token, verified with a key of its own tenant."""
        verified, keyring = self._verify(token)
        return verified if isinstance(verified, InvalidToken) else keyring.decode(token)

    def has_own_key(self, token: str | bytes) -> bool:
        """Whether a verified token was verified with a key of its tenant alone."""
        return self._keyring_claimed_by(token)[2] is not None

    def _verify(self, token: str | bytes) -> tuple[Identity | InvalidToken, Verifier]:
        """Verify a token; return the keys that have done so, too."""
        tenant_id, kid, of_tenant = self._keyring_claimed_by(token)
        keyring: Verifier = of_tenant or self._own or self._nobody
        verified = keyring.verify(token)
        # A token of another issuer may name its tenant elsewhere than the app's own tokens do. The
        # key of a tenant comes first all the same.
        if (
            isinstance(verified, Identity)
            and verified.tenant_id != tenant_id
            and (of_tenant is not None or self.keyring(verified.tenant_id, kid) is not None)
        ):
            verified = INVALID_TOKENS["signature_mismatch"]
        return verified, keyring

    def _keyring_claimed_by(
        self, token: str | bytes
    ) -> tuple[str | None, str | None, Keyring | None]:
        """Return the tenant and the kid that an unverified token names, and that tenant's key."""
        tenant_id = self._nobody.claimed_tenant(token)
        peeked = peek_token(token, "iss")
        kid = None if peeked is None else peeked[1]
        return tenant_id, kid, None if tenant_id is None else self.keyring(tenant_id, kid)
