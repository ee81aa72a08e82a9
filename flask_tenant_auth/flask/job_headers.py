"""The keys of the signed header of a job, and its reader and writer for `Identity`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core import Identity, set_identity_codec
from ..errors import ConfigurationError
from ..identity.job_headers import read_headers, write_headers
from ..keys.keyrings import NoSigningKeyError
from .state import AppState, current_app, signing_state

# A SECRET_KEY of Flask that is shorter could be found by trying.
_SHORTEST_SECRET = 16


def to_headers(identity: Identity) -> dict[str, str]:
    """Return a header that names an identity, signed by the current app.

    It holds no token, and authenticates no request.

    :raises ValueError: see `write_headers`.
    :raises NoSigningKeyError: where the app has no secret to sign with.
    :raises ConfigurationError: where that secret is too short; outside of an app, as
        `create_jwt_token`.
    """
    state = signing_state()
    return write_headers(identity, _secrets(state), state.roles)


def from_headers(headers: Mapping[str, str]) -> Identity:
    """Return the identity of headers that `to_headers` has made with a secret of the current app.

    :raises IdentityHeadersError: where they name none, so that the job fails; see `read_headers`.
    :raises NoSigningKeyError, ConfigurationError: as `to_headers`.
    """
    state = signing_state()
    max_age = state.settings.auth_job_max_age_seconds
    return read_headers(headers, _secrets(state), state.roles, max_age)


def _secrets(state: AppState) -> list[bytes]:
    """Return the secrets of an app, the current one last."""
    settings = state.settings
    if settings.own_secret:
        older = [each for each in settings.jwt_secret_key_fallbacks if isinstance(each, bytes)]
        return [*reversed(older), settings.jwt_secret_key]
    return _secrets_of_flask(state)


def _secrets_of_flask(state: AppState) -> list[bytes]:
    config: Mapping[str, Any] = current_app._get_current_object().config if current_app else {}
    current, older = config.get("SECRET_KEY"), config.get("SECRET_KEY_FALLBACKS") or ()
    if not current:
        raise NoSigningKeyError(
            "the header of a job is signed with JWT_SECRET_KEY or, in an app whose tokens are "
            "signed with other keys, with Flask's SECRET_KEY: set SECRET_KEY"
        )
    keys = [key.encode() if isinstance(key, str) else key for key in (*reversed(older), current)]
    if not state.development and min(map(len, keys)) < _SHORTEST_SECRET:
        raise ConfigurationError(
            "SECRET_KEY or one of SECRET_KEY_FALLBACKS has fewer than "
            f"{_SHORTEST_SECRET} bytes, too few to sign the header of a job: set it to the output "
            'of `python -c "import secrets; print(secrets.token_hex())"`'
        )
    return keys


set_identity_codec(to_headers, from_headers)
