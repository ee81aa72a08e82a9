"""One key, from the text of a setting."""

from __future__ import annotations

from .._core import Key
from ..config.key_sources import PairText
from ..config.settings import Settings
from ..errors import ConfigurationError


def shared_secret(name: str, secret: bytes, settings: Settings, kid: str | None = None) -> Key:
    """Make a key of JWT_ALGORITHM. Beside a key pair, a secret is an older key of HS256.

    :param kid: its id in tokens; None: it is derived from the secret.
    """
    algorithm = settings.jwt_algorithm if settings.symmetric else "HS256"
    try:
        return Key.secret(algorithm, secret, kid=kid, allow_weak=settings.development)
    except ValueError as error:
        raise ConfigurationError(
            f"{name} cannot serve {algorithm}: {error}. `flask auth generate-key --algorithm "
            f"{algorithm}` makes one"
        ) from None


def key_pair(
    name: str,
    text: PairText,
    settings: Settings,
    passphrase: bytes | None = None,
    kid: str | None = None,
) -> Key:
    """Make a key pair of JWT_ALGORITHM.

    :param kid: its id in tokens; None: its thumbprint (RFC 7638).
    :raises ConfigurationError: for any other text; the message says what it is.
    """
    algorithm = settings.jwt_algorithm
    place = name if text.path is None else f"{name} leads to the file {text.path!r}, but it"
    if settings.symmetric:
        raise ConfigurationError(
            f"{place} cannot be used with JWT_ALGORITHM {algorithm}, which takes secrets only: "
            f"{_what_it_is(text)}. A path or PEM text stands for a key pair. Give the secret itself"
        )
    try:
        return Key.pem(algorithm, text.content, kid=kid, passphrase=passphrase)
    except ValueError as error:
        raise ConfigurationError(
            f"{place} cannot be used with JWT_ALGORITHM {algorithm}: {_reason(error, text)}"
            f"{_hint(name, error)}. `flask auth generate-key --algorithm {algorithm}` shows how to "
            "make such a key"
        ) from None


def _what_it_is(text: PairText) -> str:
    """Return what a text is that is given where only a secret serves."""
    reasons = [
        _why_no_pair(algorithm, text) for algorithm in ("RS256", "ES256", "ES384", "ES512", "EdDSA")
    ]
    if None in reasons:
        return "this is a key pair or certificate"
    return next(
        (reason for reason in reasons if reason and "another kind" not in reason),
        "this is a key of a kind that signs no tokens",
    )


def _why_no_pair(algorithm: str, text: PairText) -> str | None:
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
