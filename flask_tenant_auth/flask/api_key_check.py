"""API keys of requests: who sends one, and what such a request may not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import errors
from .._core import API_KEY_PREFIX, Identity, RequestRecord, parse_bearer
from ..audit import log_denied, logger
from ..errors import AuthError
from ..identity.denials import Denial
from ..identity.lent import lent_identity
from ..sessions.api_keys import ApiKeyDenied, ApiKeys
from ..sessions.store import StoreUnavailable
from .records import RECORD, current_request

if TYPE_CHECKING:
    from ..sessions.store import ApiKey
    from .state import AppState

_RETRY_SECONDS = 2
_MESSAGES = {
    "api_key_ended": errors.TOKEN_REVOKED,
    "api_key_expired": errors.TOKEN_EXPIRED,
}
_NOT_FOR_KEYS = "An API key cannot begin sessions or make API keys"


def api_key_in(state: AppState, authorization: str | None) -> str | None:
    """Return the API key of an Authorization header; None for any other, and without sessions."""
    if authorization is None or state.session_store is None:
        return None
    if API_KEY_PREFIX not in authorization:
        return None
    token = parse_bearer(authorization)
    return token if token is not None and token.startswith(API_KEY_PREFIX) else None


def api_keys_of(state: AppState) -> ApiKeys | None:
    """Return the API keys of an app; None where sessions are off."""
    if state.api_keys is None and state.session_store is not None:
        state.api_keys = state.new_api_keys(state.session_store)
    keys: ApiKeys | None = state.api_keys
    return keys


def outcome_of_api_key(state: AppState, text: str) -> Identity | Denial:
    """Authenticate a request by its API key."""
    keys = api_keys_of(state)
    assert keys is not None  # noqa: S101 - `api_key_in` returns a key only then
    try:
        return _identity_of(state, keys.verify(text))
    except ApiKeyDenied as denied:
        message = _MESSAGES.get(denied.reason, errors.TOKEN_INVALID)
        return Denial(401, message, denied.reason, f"API key {denied.key_id or 'unknown'}")
    except StoreUnavailable as error:
        logger.error("An API key cannot be verified, because the store is away: %s", error)
        return Denial(
            503,
            errors.SESSIONS_UNAVAILABLE,
            "session_store_unavailable",
            "an API key that is not cached needs the store",
            retry_after=_RETRY_SECONDS,
        )


def _identity_of(state: AppState, key: ApiKey) -> Identity | Denial:
    if key.role not in state.roles.names:
        detail = f"API key {key.id} has a role that is none of AUTH_ROLES"
        return Denial(401, errors.TOKEN_INVALID, "api_key_role_unknown", detail)
    return Identity(
        key.tenant_id,
        key.user_id,
        key.role,
        source="api_key",
        permissions=key.permissions,
        expires_at=None if key.expires_at is None else key.expires_at / 1000,
        roles=state.roles,
        api_key_id=key.id,
    )


def require_no_api_key(asked_by: str) -> None:
    """Raise in a request that was sent with an API key, whoever its code acts as.

    :raises AuthError: 403.
    """
    request = current_request()
    lent = lent_identity.get()
    acting = lent is not None and lent.identity.api_key_id is not None
    sent = False
    if request is not None:
        # The request need not have been authenticated: a view that anybody may call can ask.
        record: RequestRecord | None = request.__dict__.get(RECORD)
        bound = None if record is None else record.identity
        token = parse_bearer(request.environ.get("HTTP_AUTHORIZATION") or "") or ""
        sent = token.startswith(API_KEY_PREFIX) or (
            bound is not None and bound.api_key_id is not None
        )
    if acting or sent:
        log_denied(request, 403, _NOT_FOR_KEYS, "api_key_not_allowed", f"{asked_by}()")
        raise AuthError(_NOT_FOR_KEYS, 403, reason="api_key_not_allowed")
