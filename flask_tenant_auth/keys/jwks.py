"""The keys of JWT_JWKS (RFC 7517)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._core import Key
from ..audit import logger
from ..config.key_sources import read_jwks_text
from ..config.settings import Settings
from ..errors import ConfigurationError


def jwks_keys(settings: Settings) -> list[Key]:
    """Return the verification keys of JWT_JWKS.

    Keys for other uses and of unknown kinds are skipped (RFC 7517, sections 4.2 and 5). The log
    says why.
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

    :raises ValueError, TypeError: with the reason why it cannot be used.
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
    The core knows the algorithm of an EC or OKP key by its curve.
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
