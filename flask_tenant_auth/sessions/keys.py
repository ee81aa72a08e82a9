"""The secrets that make refresh tokens."""

from __future__ import annotations

from .._core import derive_key
from ..config.settings import Settings
from ..errors import ConfigurationError

_INFO = b"flask_tenant_auth session key"


def session_keys(settings: Settings) -> tuple[bytes, ...]:
    """Return AUTH_SESSION_KEY, or the secrets that are derived from the keys that sign.

    :raises ConfigurationError: where there is neither.
    """
    if settings.auth_session_key:
        return settings.auth_session_key
    sources = settings.signing_secrets
    if not sources:
        raise ConfigurationError(
            "AUTH_SESSION_KEY must be set where the app has no JWT_SECRET_KEY and no "
            "JWT_PRIVATE_KEY: 32 random bytes or more, as `flask auth generate-key` makes them"
        )
    return tuple(derive_key(source, b"", _INFO, 32) for source in sources)
