"""The keys of a chain of audit lines."""

from __future__ import annotations

from .._core import derive_key
from ..config.settings import Settings
from ..errors import ConfigurationError

_INFO = b"flask_tenant_auth audit chain"
KEY_BYTES = 64  # the seed of an Ed25519 key, and the key of an HMAC


def chain_keys(settings: Settings) -> tuple[bytes, ...]:
    """Return the keys of the chain, the one that signs first.

    They are derived from AUDIT_KEY or, if that is not set, from the keys that sign tokens.

    :raises ConfigurationError: where there is neither.
    """
    sources = settings.audit_key or settings.signing_secrets
    if not sources:
        raise ConfigurationError(
            "AUDIT_KEY must be set where AUDIT_CHAIN is and the app has no JWT_SECRET_KEY and no "
            "JWT_PRIVATE_KEY: 32 random bytes or more, as `flask auth generate-key` makes them"
        )
    return tuple(derive_key(source, b"", _INFO, KEY_BYTES) for source in sources)
