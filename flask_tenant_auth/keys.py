"""From settings to keys: the app's own, its fallbacks, a JWKS, and those of single tenants."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ._core import Identity, Key, Keyring, Rejection, is_valid_uuid, parse_bearer
from .audit import logger
from .config import Settings, is_pem
from .errors import ConfigurationError

KeyMaterial: TypeAlias = "str | bytes | Key"

# Keyrings of tenants that are kept prepared; making one costs more than a verification.
_PREPARED_TENANTS = 1024


class Verifier(Protocol):
    """What the request path asks of keys: one app's `Keyring`, or `TenantKeyrings`."""

    def authenticate(self, authorization: str | None, /) -> Identity | Rejection | None:
        """Judge the value of an Authorization header; None: no bearer credentials in it."""

    def decode(self, token: str | bytes, /) -> dict[str, Any] | Rejection:
        """Return all claims of a token, verified as strictly as `authenticate` does."""


class NoSigningKeyError(RuntimeError):
    """The app can verify tokens but holds no key to sign them with."""


def own_keyring(settings: Settings) -> Keyring | None:
    """Return the app's own keys, the signing one first; None when only its tenants have keys.

    :raises ConfigurationError: for a key that cannot serve, naming its configuration key.
    """
    if not settings.own_keys:
        return None
    keys = [*_signing_keys(settings), *_fallback_keys(settings), *_jwks_keys(settings)]
    distinct = {(key.algorithm, key.kid): key for key in reversed(keys)}
    return _keyring([key for key in keys if distinct[key.algorithm, key.kid] is key], settings)


def _keyring(keys: list[Key], settings: Settings) -> Keyring:
    try:
        return Keyring(
            keys,
            issuer=settings.jwt_issuer,
            audiences=settings.jwt_audience,
            leeway=settings.jwt_leeway,
            max_token_bytes=settings.jwt_max_token_bytes,
        )
    except ValueError as error:
        raise ConfigurationError(f"JWT_ALGORITHM {settings.jwt_algorithm}: {error}") from None


def _signing_keys(settings: Settings) -> list[Key]:
    if settings.symmetric:
        return [_make_key("JWT_SECRET_KEY", settings.jwt_secret_key, settings)]
    pems = {
        "JWT_PRIVATE_KEY": settings.jwt_private_key,
        "JWT_PUBLIC_KEY": settings.jwt_public_key,
    }
    keys = [_make_key(name, pem, settings) for name, pem in pems.items() if pem]
    if settings.jwt_private_key and not keys[0].can_sign:
        raise ConfigurationError(
            f"JWT_PRIVATE_KEY cannot sign {settings.jwt_algorithm}: it is a public key, or libjwt "
            "does not sign with that. Where tokens are only verified, set JWT_PUBLIC_KEY alone"
        )
    return keys


def _fallback_keys(settings: Settings) -> list[Key]:
    return [
        _make_key("JWT_SECRET_KEY_FALLBACKS", key, settings)
        for key in settings.jwt_secret_key_fallbacks
    ]


def _make_key(name: str, material: bytes, settings: Settings) -> Key:
    """Make a key of JWT_ALGORITHM; a secret left over from before a key pair is one of HS256.

    PEM text never becomes a secret, whatever the algorithm (RFC 8725, section 2.1).
    """
    try:
        if is_pem(material):
            return Key.pem(settings.jwt_algorithm, material)
        algorithm = settings.jwt_algorithm if settings.symmetric else "HS256"
        return Key.secret(algorithm, material, allow_weak=settings.development)
    except ValueError as error:
        raise ConfigurationError(
            f"{name} cannot serve {settings.jwt_algorithm}: {error}. "
            f"`flask auth generate-key --algorithm {settings.jwt_algorithm}` shows how to make one"
        ) from None


def _jwks_keys(settings: Settings) -> list[Key]:
    """Return the verification keys of JWT_JWKS.

    Keys for other uses, and of kinds that are not known here, are passed over (RFC 7517, 4.2, 5).
    """
    if settings.jwt_jwks is None:
        return []
    jwks = _load_jwks(settings.jwt_jwks)
    entries = jwks.get("keys")
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        raise ConfigurationError('JWT_JWKS must hold {"keys": [...]} (RFC 7517, section 5)')
    keys: list[Key] = []
    material: dict[tuple[str, str], tuple[Any, ...]] = {}
    for entry in entries:
        key = _jwks_key(entry, settings)
        if key is None:
            continue
        keys.append(key)
        parts = tuple(entry.get(part) for part in ("n", "e", "x", "y", "k"))
        if material.setdefault((key.algorithm, key.kid), parts) != parts:
            raise ConfigurationError(
                f"JWT_JWKS has two {key.algorithm} keys with the kid {key.kid!r}: only the first "
                "would ever verify a token; give each a kid of its own"
            )
    if not keys:
        raise ConfigurationError("JWT_JWKS holds no key that verifies signatures; see the log")
    return keys


def _jwks_key(entry: Mapping[str, Any], settings: Settings) -> Key | None:
    """Return a key; the algorithm of one that names none is JWT_ALGORITHM (RFC 7517, 4.4)."""
    if entry.get("use", "sig") != "sig":
        return None
    if "alg" not in entry and "crv" not in entry:
        entry = {**entry, "alg": settings.jwt_algorithm}
    try:
        return Key.jwk(entry)
    except (ValueError, TypeError) as error:
        logger.warning("JWT_JWKS key %r is passed over: %s", entry.get("kid"), error)
        return None


def _load_jwks(source: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    try:
        loaded = json.loads(Path(source).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"JWT_JWKS must be a dict or the path of a JSON file: {type(error).__name__}"
        ) from None
    return loaded if isinstance(loaded, Mapping) else {}


class TenantKeyrings:
    """Keys per tenant: JWT_TENANT_KEYS, a callable from (tenant_id, kid) to a key.

    The key is looked up by what the token claims, so the claim is compared with the verified
    identity afterwards: a token is only ever verified with a key of its own tenant. Where the
    callable answers None, the app's own keys serve, if it has any.

    The callable returns a secret (str or bytes), PEM text, or a `Key`. It is asked for each
    token, with the ``kid`` of its header or None, and for each signing, with None.
    """

    def __init__(self, lookup: Callable[..., Any], settings: Settings, own: Keyring | None) -> None:
        self._lookup = lookup
        self._settings = settings
        self._own = own
        self._prepare = lru_cache(maxsize=_PREPARED_TENANTS)(self._make_keyring)

    def _make_keyring(self, material: KeyMaterial) -> Keyring:
        if isinstance(material, str):
            material = material.encode()
        if isinstance(material, bytes):
            if not self._settings.symmetric and not is_pem(material):
                raise ConfigurationError(
                    f"JWT_TENANT_KEYS must return PEM text for {self._settings.jwt_algorithm}: "
                    "other text is no secret there; `Key.secret(...)` makes one that is meant"
                )
            material = _make_key("JWT_TENANT_KEYS", material, self._settings)
        return _keyring([material], self._settings)

    def keyring(self, tenant_id: str, kid: str | None = None) -> Keyring | None:
        """Return the keys of one tenant, which may be the app's own; None: there are none."""
        material = self._lookup(tenant_id, kid)
        if material is None:
            return self._own
        if not isinstance(material, str | bytes | Key):
            kind = type(material).__name__
            raise TypeError(f"JWT_TENANT_KEYS must return str, bytes, a Key or None, not {kind}")
        return self._prepare(material)

    def authenticate(self, authorization: str | None, /) -> Identity | Rejection | None:
        """Judge the value of an Authorization header; None: no bearer credentials in it."""
        token = None if authorization is None else parse_bearer(authorization)
        if token is None:
            return _NOBODY.authenticate(authorization)
        tenant_id, keyring = self._keyring_claimed_by(token)
        judged = keyring.verify(token)
        if isinstance(judged, Identity) and judged.tenant_id != tenant_id:
            return _NOBODY.verify(token)
        return judged

    def decode(self, token: str | bytes, /) -> dict[str, Any] | Rejection:
        """Return all claims of a token, verified with a key of its own tenant."""
        tenant_id, keyring = self._keyring_claimed_by(token)
        claims = keyring.decode(token)
        if isinstance(claims, dict) and claims["tenant_id"] != tenant_id:
            return _NOBODY.decode(token)
        return claims

    def _keyring_claimed_by(self, token: str | bytes) -> tuple[str | None, Keyring]:
        tenant_id, kid = _claimed(token, self._settings.jwt_max_token_bytes)
        if tenant_id is None:
            return None, _NOBODY
        return tenant_id, self.keyring(tenant_id, kid) or _NOBODY


# Its one key nobody has: it answers with a Rejection, whatever token it is given.
_NOBODY = Keyring([Key.secret("HS256", secrets.token_bytes(32))])


def _claimed(token: str | bytes, max_bytes: int) -> tuple[str | None, str | None]:
    """Return the tenant and kid that an unverified token names: a hint for a look-up, no more."""
    if len(token) > max_bytes:
        return None, None
    try:
        text = token if isinstance(token, str) else token.decode("ascii")
        header, payload = (_unverified_json(part) for part in text.split(".")[:2])
    except (ValueError, RecursionError):
        return None, None
    tenant_id, kid = payload.get("tenant_id"), header.get("kid")
    if not is_valid_uuid(tenant_id) or not (kid is None or isinstance(kid, str)):
        return None, None
    return str(tenant_id).lower(), kid


def _unverified_json(segment: str) -> dict[str, Any]:
    decoded = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    if not isinstance(decoded, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of failure for the caller
    return decoded
