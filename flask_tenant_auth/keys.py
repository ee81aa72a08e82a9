"""From settings to keys: the app's own, its fallbacks, a JWKS, and those of single tenants."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

from ._core import Identity, InvalidToken, Key, Keyring, is_valid_uuid, parse_bearer
from .audit import logger
from .config.key_sources import PairText, names_file, read_jwks_text
from .config.settings import Settings
from .errors import ConfigurationError

KeyMaterial: TypeAlias = "str | bytes | Key"

# Keyrings of tenants that are kept prepared; making one costs more than a verification.
_PREPARED_TENANTS = 1024


class Verifier(Protocol):
    """What the request path asks of keys: one app's `Keyring`, or `TenantKeyrings`."""

    def authenticate(self, authorization: str | None, /) -> Identity | InvalidToken | None:
        """Judge the value of an Authorization header; None: no bearer credentials in it."""

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
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
        return [_shared_secret("JWT_SECRET_KEY", settings.jwt_secret_key, settings)]
    private, public = settings.jwt_private_key, settings.jwt_public_key
    keys: list[Key] = []
    if private is not None:
        passphrase = settings.jwt_private_key_passphrase
        keys.append(_key_pair("JWT_PRIVATE_KEY", private, settings, passphrase))
        if not keys[0].can_sign:
            raise ConfigurationError(
                f"JWT_PRIVATE_KEY cannot sign {settings.jwt_algorithm}: it is a public key, or "
                "libjwt does not sign with that. Where tokens are only verified, set "
                "JWT_PUBLIC_KEY alone"
            )
    if public is not None:
        keys.append(_key_pair("JWT_PUBLIC_KEY", public, settings))
        if keys[-1].is_private:
            raise ConfigurationError(
                "JWT_PUBLIC_KEY holds a private key: set JWT_PRIVATE_KEY to it where tokens are "
                "signed, and JWT_PUBLIC_KEY to its public key (`openssl pkey -pubout`)"
            )
    if len(keys) > 1 and _public_part(keys[0]) != _public_part(keys[1]):
        raise ConfigurationError(
            "JWT_PUBLIC_KEY is not the public key of JWT_PRIVATE_KEY: no token that this app signs "
            "would verify with it. Older public keys belong into JWT_SECRET_KEY_FALLBACKS"
        )
    return keys


def _public_part(key: Key) -> tuple[str | None, ...]:
    jwk = key.public_jwk()
    return tuple(jwk.get(member) for member in ("n", "e", "x", "y"))


def _fallback_keys(settings: Settings) -> list[Key]:
    name = "JWT_SECRET_KEY_FALLBACKS"
    return [
        _key_pair(name, each, settings)
        if isinstance(each, PairText)
        else _shared_secret(name, each, settings)
        for each in settings.jwt_secret_key_fallbacks
    ]


def _shared_secret(name: str, secret: bytes, settings: Settings) -> Key:
    """Make a key of JWT_ALGORITHM; one left over from before a key pair is one of HS256."""
    algorithm = settings.jwt_algorithm if settings.symmetric else "HS256"
    try:
        return Key.secret(algorithm, secret, allow_weak=settings.development)
    except ValueError as error:
        raise ConfigurationError(
            f"{name} cannot serve {algorithm}: {error}. `flask auth generate-key --algorithm "
            f"{algorithm}` makes one"
        ) from None


def _key_pair(
    name: str, text: PairText, settings: Settings, passphrase: bytes | None = None
) -> Key:
    """Make a key pair of JWT_ALGORITHM, or say what the text is instead."""
    algorithm = settings.jwt_algorithm
    place = name if text.path is None else f"{name} leads to the file {text.path!r}, but it"
    if settings.symmetric:
        raise ConfigurationError(
            f"{place} cannot be used with JWT_ALGORITHM {algorithm}, which takes secrets only: "
            f"{_what_it_is(text)}. A path or PEM text stands for a key pair. Give the secret itself"
        )
    try:
        return Key.pem(algorithm, text.content, passphrase=passphrase)
    except ValueError as error:
        raise ConfigurationError(
            f"{place} cannot be used with JWT_ALGORITHM {algorithm}: {_reason(error, text)}"
            f"{_hint(name, error)}. `flask auth generate-key --algorithm {algorithm}` shows how to "
            "make such a key"
        ) from None


def _what_it_is(text: PairText) -> str:
    """Say it to those who have given a key pair, or a path, where only a secret serves."""
    reasons = [
        _refusal(algorithm, text) for algorithm in ("RS256", "ES256", "ES384", "ES512", "EdDSA")
    ]
    if None in reasons:
        return "this is a key pair or certificate"
    return next(
        (reason for reason in reasons if reason and "another kind" not in reason),
        "this is a key of a kind that signs no tokens",
    )


def _refusal(algorithm: str, text: PairText) -> str | None:
    try:
        Key.pem(algorithm, text.content)
    except ValueError as error:
        return _reason(error, text)
    return None


def _reason(error: ValueError, text: PairText) -> str:
    reason = str(error)
    if text.path is None and "neither PEM" in reason:
        return reason + ", and it is not the path of a file either"
    return reason


def _hint(name: str, error: ValueError) -> str:
    if name == "JWT_PRIVATE_KEY" and "no passphrase" in str(error):
        return ": set JWT_PRIVATE_KEY_PASSPHRASE to what it was encrypted with"
    return ""


def _jwks_keys(settings: Settings) -> list[Key]:
    """Return the verification keys of JWT_JWKS.

    Keys for other uses, and of kinds that are not known here, are passed over (RFC 7517, 4.2, 5),
    each with a line in the log that says why.
    """
    if settings.jwt_jwks is None:
        return []
    jwks = _load_jwks(settings.jwt_jwks)
    entries = jwks.get("keys")
    if not isinstance(entries, list | tuple):
        raise ConfigurationError('JWT_JWKS must hold {"keys": [...]} (RFC 7517, section 5)')
    keys: list[Key] = []
    material: dict[tuple[str, str], tuple[Any, ...]] = {}
    for place, entry in enumerate(entries):
        try:
            key = _jwks_key(entry, settings)
        except (ValueError, TypeError) as error:
            kid = entry.get("kid") if isinstance(entry, Mapping) else None
            which = f"entry {place}" if kid is None else f"key {kid!r}"
            logger.warning("JWT_JWKS %s is passed over: %s", which, error)
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


def _jwks_key(entry: object, settings: Settings) -> Key:
    """Return the key of an entry.

    :raises ValueError, TypeError: with the reason why it is none for us.
    """
    if not isinstance(entry, Mapping):
        raise TypeError(f"it must be an object, not {type(entry).__name__}")
    if entry.get("alg") is None:
        entry = {**entry, "alg": _algorithm_of_type(entry, settings)}
    key = Key.jwk(entry)
    if key.is_private:
        raise ValueError(
            "it is a private key, with which everybody who reads the set could sign; publish its "
            "public members alone"
        )
    return key


def _algorithm_of_type(entry: Mapping[str, Any], settings: Settings) -> str | None:
    """Return the algorithm of a kty that names none (RFC 7517, 4.4).

    An RSA key and a secret serve several: JWT_ALGORITHM if that is one of them, else the first.
    The curve of an EC or OKP key tells, and the core knows it.
    """
    defaults = {"RSA": ("RS", "PS"), "oct": ("HS",)}
    families = defaults.get(str(entry.get("kty")))
    if families is None:
        return None
    configured = settings.jwt_algorithm
    return configured if configured.startswith(families) else f"{families[0]}256"


def _load_jwks(source: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    try:
        loaded = json.loads(read_jwks_text(source))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"JWT_JWKS must be a dict, JSON text or the path of a JSON file: {type(error).__name__}"
        ) from None
    return loaded if isinstance(loaded, Mapping) else {}


class TenantKeyrings:
    """Keys per tenant: JWT_TENANT_KEYS, a callable from (tenant_id, kid) to a key.

    The key is looked up by what the token claims, so the claim is compared with the verified
    identity afterwards: a token is only ever verified with a key of its own tenant. Where the
    callable answers None, the app's own keys serve, if it has any.

    The callable returns a `Key` or, as str or bytes, what JWT_ALGORITHM takes: a secret for HS256
    and its like, which no key pair and no path can be, else a key pair, which no secret can be. It
    is asked for each token, with the ``kid`` of its header or None, and for each signing, with
    None.
    """

    def __init__(self, lookup: Callable[..., Any], settings: Settings, own: Keyring | None) -> None:
        self._lookup = lookup
        self._settings = settings
        self._own = own
        self._prepare = lru_cache(maxsize=_PREPARED_TENANTS)(self._make_keyring)

    def _make_keyring(self, material: KeyMaterial) -> Keyring:
        key = material if isinstance(material, Key) else self._make_key(material)
        return _keyring([key], self._settings)

    def _make_key(self, material: str | bytes) -> Key:
        name, settings = "JWT_TENANT_KEYS", self._settings
        octets = material.encode() if isinstance(material, str) else material
        if not settings.symmetric:
            return _key_pair(name, PairText(octets), settings)
        if names_file(octets):
            raise ConfigurationError(
                f"{name} returned the path of a file or a URL: return the secret"
            )
        return _shared_secret(name, octets, settings)

    def keyring(self, tenant_id: str, kid: str | None = None) -> Keyring | None:
        """Return the keys of one tenant, which may be the app's own; None: there are none."""
        material = self._lookup(tenant_id, kid)
        if material is None:
            return self._own
        if not isinstance(material, str | bytes | Key):
            kind = type(material).__name__
            raise TypeError(f"JWT_TENANT_KEYS must return str, bytes, a Key or None, not {kind}")
        return self._prepare(material)

    def authenticate(self, authorization: str | None, /) -> Identity | InvalidToken | None:
        """Judge the value of an Authorization header; None: no bearer credentials in it."""
        token = None if authorization is None else parse_bearer(authorization)
        if token is None:
            return _NOBODY.authenticate(authorization)
        tenant_id, keyring = self._keyring_claimed_by(token)
        judged = keyring.verify(token)
        if isinstance(judged, Identity) and judged.tenant_id != tenant_id:
            return _NOBODY.verify(token)
        return judged

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
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


# Its one key nobody has: it answers with a InvalidToken, whatever token it is given.
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
