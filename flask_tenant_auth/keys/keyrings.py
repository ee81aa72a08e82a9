"""The keys of an app that never change: its signing key and its fallbacks; keyrings."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from .._core import Identity, InvalidToken, Key
from ..config.key_sources import PairText
from ..config.settings import Settings
from ..errors import ConfigurationError
from .key_texts import key_pair, shared_secret


class Verifier(Protocol):
    """What verifies the tokens of an app: a `Keyring`, or what chooses one for each token."""

    def authenticate(self, authorization: str | None, /) -> Identity | InvalidToken | None:
        """Authenticate by an Authorization header; None where it has no bearer credentials."""

    def verify(self, token: str | bytes, /) -> Identity | InvalidToken:
        """Do as `authenticate`, with the token itself."""

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
        """Return all claims of a token, verified as strictly as `authenticate` does."""


class NoSigningKeyError(RuntimeError):
    """The app can verify tokens but holds no key to sign them with."""


def fixed_keys(settings: Settings) -> list[Key]:
    """Return the app's own keys that never change, the signing one first.

    :raises ConfigurationError: for a key that cannot serve, naming its configuration key.
    """
    return [each.key for each in keys_of_settings(settings)]


class KeyOfSetting(NamedTuple):
    """A key that never changes, and where it is from."""

    setting: str
    text: PairText | None  # None: it is a secret
    key: Key


def keys_of_settings(settings: Settings) -> list[KeyOfSetting]:
    """Do as `fixed_keys`, and say where each key is from."""
    return [*_signing_keys(settings), *_fallback_keys(settings)]


def _signing_keys(settings: Settings) -> list[KeyOfSetting]:
    kid = settings.jwt_key_id
    if settings.symmetric:
        if not settings.own_secret:
            return []
        key = shared_secret("JWT_SECRET_KEY", settings.jwt_secret_key, settings, kid)
        return [KeyOfSetting("JWT_SECRET_KEY", None, key)]
    private, public = settings.jwt_private_key, settings.jwt_public_key
    keys: list[Key] = []
    if private is not None:
        passphrase = settings.jwt_private_key_passphrase
        keys.append(key_pair("JWT_PRIVATE_KEY", private, settings, passphrase, kid))
        if not keys[0].can_sign:
            reason = (
                "libjwt 1 and 2 do not sign with that. Build this package with libjwt 3"
                if keys[0].is_private
                else "it is a public key. Set it to the private key"
            )
            raise ConfigurationError(
                f"JWT_PRIVATE_KEY cannot sign {settings.jwt_algorithm}: {reason}. Where tokens are "
                "only verified, set JWT_PUBLIC_KEY alone"
            )
    if public is not None:
        keys.append(key_pair("JWT_PUBLIC_KEY", public, settings, kid=kid))
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
    texts = {"JWT_PRIVATE_KEY": private, "JWT_PUBLIC_KEY": public}
    of_settings = [(name, text) for name, text in texts.items() if text is not None]
    return [KeyOfSetting(*of, key) for of, key in zip(of_settings, keys, strict=True)]


def _public_part(key: Key) -> tuple[str | None, ...]:
    jwk = key.public_jwk()
    return tuple(jwk.get(member) for member in ("n", "e", "x", "y"))


def _fallback_keys(settings: Settings) -> list[KeyOfSetting]:
    name = "JWT_SECRET_KEY_FALLBACKS"
    return [
        KeyOfSetting(name, each, key_pair(name, each, settings))
        if isinstance(each, PairText)
        else KeyOfSetting(name, None, shared_secret(name, each, settings))
        for each in settings.jwt_secret_key_fallbacks
    ]
