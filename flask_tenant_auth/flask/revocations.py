"""The public functions that revoke: a session, a user, a tenant, a token, everything."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .._core import InvalidToken
from ..audit import logger, plain
from ..errors import TOKEN_INVALID, AuthError
from ..identity.arguments import uuid_text
from ..keys.identities import digest_of_token
from ..sessions.store import KEY_PREFIX, Kind, Revocation, StoreUnavailable
from ..signals import sessions_revoked
from .sessions import sessions_of, unavailable
from .state import AppState, current_app, current_state

if TYPE_CHECKING:
    import uuid

_REASON = "revoked"
_DIGEST = "sha256:"
# A token whose jti is longer is known by its digest; see `_core.Revocations`.
_LONGEST_ID = 96
# How far the clocks of hosts may be apart.
_SKEW_MS = 300_000


def revoke_session(session_id: str) -> None:
    """End a session: its tokens are denied, and it is not refreshed any more.

    On this host at once, on every host within AUTH_REVOCATION_MAX_DELAY_SECONDS. A session that is
    not in the store, such as one of an identity provider, is revoked by its id, the claim ``sid``.

    :param session_id: as `SessionTokens` and `current_identity` have it.
    :raises TypeError, ValueError: for what is no id of a session.
    :raises SessionsUnavailable: 503, when it is not known to be revoked: call it again.
    :raises ConfigurationError: where sessions are off.
    """
    if not isinstance(session_id, str):
        raise TypeError(f"session_id must be a str, not {type(session_id).__name__}")
    if not 0 < len(session_id.encode("utf-8", "replace")) <= _LONGEST_ID or "\0" in session_id:
        raise ValueError(f"session_id must have 1 to {_LONGEST_ID} octets, none of which is NUL")
    state = current_state()
    sessions = sessions_of(state)

    def revocation() -> Revocation:
        # The store has ids in lower case. Another issuer's id may be in any, and stays as it is.
        row = sessions.store.read(session_id.lower()).session
        return Revocation(
            kind="session",
            tenant_id=None if row is None else row.tenant_id,
            user_id=None if row is None else row.user_id,
            id=session_id if row is None else row.id,
            ends_at=sessions.kept_until(),
        )

    _revoke(state, revocation)


def revoke_user(
    tenant_id: str | uuid.UUID, user_id: str | uuid.UUID, *, except_session: str | None = None
) -> None:
    """Deny all tokens that a user has by now, and end the sessions and API keys of the user.

    A log in after it works at once. To be called where a password is changed.

    :param tenant_id: UUID.
    :param user_id: UUID.
    :param except_session: id of the session of the user that goes on.
    :raises ValueError: for what is no UUID.
    :raises SessionsUnavailable: 503, when it is not known to be revoked: call it again.
    :raises ConfigurationError: where sessions are off.
    """
    tenant, user = uuid_text("tenant_id", tenant_id), uuid_text("user_id", user_id)
    spared = None if except_session is None else uuid_text("except_session", except_session)
    _revoke_kind("user", tenant_id=tenant, user_id=user, except_session=spared)


def revoke_tenant(tenant_id: str | uuid.UUID) -> None:
    """Deny all tokens that the users of a tenant have by now, and end their sessions and keys.

    :param tenant_id: UUID.
    :raises ValueError, SessionsUnavailable, ConfigurationError: as `revoke_user`.
    """
    _revoke_kind("tenant", tenant_id=uuid_text("tenant_id", tenant_id))


def revoke_everything() -> None:
    """Deny all tokens that anybody has by now, and end all sessions and keys.

    :raises SessionsUnavailable, ConfigurationError: as `revoke_user`.
    """
    _revoke_kind("everything")


def revoke_token(token: str | bytes) -> None:
    """Deny one token from now on: by its jti, or by its digest where it has none.

    Nothing is done for a token that has expired or is revoked already.

    :param token: a token that the app accepts, without the word Bearer.
    :raises TypeError: for what is neither str nor bytes.
    :raises AuthError: 401, "Invalid token", for a token that the app does not accept.
    :raises SessionsUnavailable, ConfigurationError: as `revoke_user`.
    """
    if not isinstance(token, str | bytes):
        raise TypeError(f"token must be a str, not {type(token).__name__}")
    state = current_state()
    sessions_of(state)
    claims = state.decode(token)
    if isinstance(claims, InvalidToken):
        if claims.expired or claims.reason in ("token_revoked", "refresh_first"):
            return
        raise AuthError(TOKEN_INVALID, reason=claims.reason)
    identity = state.keyring.verify(token)
    known = not isinstance(identity, InvalidToken)
    revocation = Revocation(
        kind="token",
        tenant_id=identity.tenant_id if known else None,  # type: ignore[union-attr]
        user_id=identity.user_id if known else None,  # type: ignore[union-attr]
        id=_id_of(claims, token),
        ends_at=int((claims["exp"] + state.settings.jwt_leeway) * 1000) + _SKEW_MS,
    )
    _revoke(state, lambda: revocation)


def _id_of(claims: Mapping[str, Any], token: str | bytes) -> str:
    jti = claims.get("jti")
    if (
        isinstance(jti, str)
        and 0 < len(jti.encode()) <= _LONGEST_ID
        and not jti.startswith((_DIGEST, KEY_PREFIX))
    ):
        return jti
    return _DIGEST + urlsafe_b64encode(digest_of_token(token)).decode().rstrip("=")


def _revoke_kind(kind: Kind, **of: Any) -> None:
    state = current_state()
    ends_at = sessions_of(state).kept_until()
    _revoke(state, lambda: Revocation(kind=kind, ends_at=ends_at, **of))


def _revoke(state: AppState, revocation: Callable[[], Revocation]) -> None:
    """Add a revocation, log it, and send the signal.

    :raises SessionsUnavailable: when it is not known to be stored.
    """
    try:
        revoked = state.revoke(revocation(), _REASON)
    except StoreUnavailable as error:
        raise unavailable(error, "a revocation") from None
    logger.info(
        "Revoked: %s%s%s%s",
        revoked.kind,
        f" {plain(revoked.id)}" if revoked.id else "",
        f" of user {revoked.user_id}" if revoked.user_id else "",
        f" of tenant {revoked.tenant_id}" if revoked.tenant_id else "",
    )
    if sessions_revoked.receivers and current_app:
        sessions_revoked.send(
            current_app._get_current_object(),
            kind=revoked.kind,
            tenant_id=revoked.tenant_id,
            user_id=revoked.user_id,
            session_id=revoked.id if revoked.kind == "session" else None,
        )
