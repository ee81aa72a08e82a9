"""The public functions of sessions: begin one, refresh it, list those of a user."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from .._core import Identity, now, uuid7
from ..audit import log_denied, logger
from ..errors import (
    SESSION_ENDED,
    SESSION_RETRY,
    AuthError,
    ConfigurationError,
    SessionsUnavailable,
)
from ..identity.arguments import permission_names, role_text, uuid_text
from ..identity.roles import WEAKEST_ROLE
from ..metrics.counters import SESSIONS
from ..sessions.keys import session_keys
from ..sessions.rotation import ENDING, Outcome
from ..sessions.sessions import Grant, Refreshed, SessionDenied, Sessions, Terms
from ..sessions.store import Session, StoreUnavailable
from ..signals import session_created, session_refreshed, session_reused
from .alerting import note_reuse
from .api_key_check import require_no_api_key
from .records import current_request, note_session
from .state import AppState, current_app, current_state
from .tokens import further_claims, issue

if TYPE_CHECKING:
    import uuid

_OF_SESSIONS = ("sid", "jti")
_PERMISSIONS = ("permissions",)
_LONGEST_TEXT = 512
_LONGEST_GRACE = 3600
_REUSE = {outcome.value for outcome in ENDING}
_RETRY_SECONDS = 1
_OFF = (
    "Sessions are off in this app: register @auth.session_loader, or set AUTH_SESSION_STORE or "
    "AUTH_SESSION_ROUTES"
)


class SessionTokens(NamedTuple):
    """The tokens of a session."""

    access_token: str
    refresh_token: str
    expires_in: int  # seconds that the access token lives
    session_id: str

    def __repr__(self) -> str:
        """Return it without its tokens: it may stand in a log or in a traceback."""
        return f"SessionTokens(session_id={self.session_id!r}, expires_in={self.expires_in})"


@dataclass(frozen=True, kw_only=True)
class SessionInfo:
    """What may be shown of a session. It has nothing that makes a token."""

    id: str
    tenant_id: str
    user_id: str
    role: str
    permissions: tuple[str, ...]
    claims: Mapping[str, Any]
    device: str | None
    address: str | None
    began_at: datetime
    used_at: datetime  # when it began, or was refreshed last
    expires_at: datetime  # if it is not refreshed until then


def create_session(
    tenant_id: str | uuid.UUID,
    user_id: str | uuid.UUID,
    role: str = WEAKEST_ROLE,
    *,
    permissions: Sequence[str] = (),
    claims: Mapping[str, Any] | None = None,
    device: str | None = None,
    grace: float | None = None,
) -> SessionTokens:
    """Begin a session of a user who has just proved who it is, and return its first tokens.

    :param tenant_id: UUID.
    :param user_id: UUID.
    :param role: one of AUTH_ROLES; the weakest if not given.
    :param permissions: those beside the ones of the role.
    :param claims: further claims of its access tokens, JSON values by name.
    :param device: what the list of sessions shows; None: the User-Agent of the request.
    :param grace: seconds in which a refresh may be repeated; None: AUTH_REFRESH_GRACE_SECONDS. A
        native client that may be suspended between a request and its answer needs minutes.
    :raises ValueError: for what is no UUID, role, permission or number in range, and a reserved
        claim; the message names the argument.
    :raises TypeError: for arguments of other types.
    :raises SessionsUnavailable: 503, when the store is away: no session is answered that is not
        stored.
    :raises AuthError: 403, in a request that was sent with an API key.
    :raises NoSigningKeyError: when the app holds no key that signs.
    :raises ConfigurationError: where sessions are off.
    """
    state = current_state()
    sessions = sessions_of(state)
    require_no_api_key("create_session")
    tenant, user = uuid_text("tenant_id", tenant_id), uuid_text("user_id", user_id)
    grant = _grant(state, tenant, role_text("role", role, state.roles), permissions, claims)
    try:
        begun, ended = sessions.create(
            tenant,
            user,
            grant,
            device=_device(device),
            address=_address(),
            grace_ms=_grace_ms(grace),
        )
    except StoreUnavailable as error:
        raise unavailable(error, "create_session") from None
    for each in ended:
        state.forget(each)
    tokens = _tokens(state, begun)
    note_session(begun.session)
    state.count(SESSIONS, "created")
    _send(session_created, begun.session)
    return tokens


def refresh_session(refresh_token: str) -> SessionTokens:
    """Return new tokens for a refresh token, which is of no further use then.

    RFC 9700, section 4.14.2. The same token again, within AUTH_REFRESH_GRACE_SECONDS, gets the same
    successor again. A later use is reuse: the session ends.

    :raises AuthError: 401, "Session ended"; its reason says why. 401 with ``Retry-After`` and the
        reason ``retry``: another tab has refreshed more than once meanwhile; the session goes on.
    :raises SessionsUnavailable: 503, when the store is away: the token stays as it is.
    :raises TypeError: for a token that is no str.
    """
    if not isinstance(refresh_token, str):
        raise TypeError(f"refresh_token must be a str, not {type(refresh_token).__name__}")
    state = current_state()
    sessions = sessions_of(state)
    try:
        refreshed = sessions.refresh(
            refresh_token,
            lambda session: _load(state, session),
            check=lambda session: _count(state, session),
            address=_address(),
        )
    except SessionDenied as denied:
        if denied.session is not None and denied.reason in _REUSE:
            state.count(SESSIONS, "reused")
        raise _denied(denied) from None
    except StoreUnavailable as error:
        raise unavailable(error, "refresh_session") from None
    tokens = _tokens(state, refreshed)
    state.count(SESSIONS, "refreshed")
    _send(session_refreshed, refreshed.session)
    return tokens


def list_sessions(tenant_id: str | uuid.UUID, user_id: str | uuid.UUID) -> list[SessionInfo]:
    """Return the sessions of a user that go on, the newest first.

    :param tenant_id: UUID.
    :param user_id: UUID.
    :raises ValueError: for what is no UUID.
    :raises SessionsUnavailable: 503, when the store is away.
    """
    tenant, user = uuid_text("tenant_id", tenant_id), uuid_text("user_id", user_id)
    try:
        return [info_of(each) for each in sessions_of(current_state()).list(tenant, user)]
    except StoreUnavailable as error:
        raise unavailable(error, "list_sessions") from None


def sessions_of(state: AppState) -> Sessions:
    """Return the sessions of an app.

    :raises ConfigurationError: where they are off, or have no key.
    """
    sessions: Sessions | None = state.sessions
    if sessions is not None:
        return sessions
    if state.session_store is None:
        raise ConfigurationError(_OFF)
    settings = state.settings
    state.sessions = sessions = Sessions(
        state.session_store,
        session_keys(settings),
        Terms(
            idle_ms=int(settings.auth_session_days * 86_400_000),
            most_ms=int(settings.auth_session_max_days * 86_400_000),
            grace_ms=int(settings.auth_refresh_grace_seconds * 1000),
            most_sessions=settings.auth_sessions_per_user,
        ),
        state.revoke,
    )
    return sessions


def info_of(session: Session) -> SessionInfo:
    """Return what may be shown of a session."""
    return SessionInfo(
        id=session.id,
        tenant_id=session.tenant_id,
        user_id=session.user_id,
        role=session.role,
        permissions=session.permissions,
        claims=session.claims,
        device=session.device,
        address=session.address,
        began_at=_time(session.began),
        used_at=_time(session.used_at),
        expires_at=_time(min(session.expires_at, session.ends_at)),
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz=timezone.utc)


def _grant(
    state: AppState,
    tenant_id: str,
    role: str,
    permissions: Sequence[str],
    claims: Mapping[str, Any] | None,
) -> Grant:
    """Return what a session is granted, if a token can say it."""
    reserved = {*_OF_SESSIONS, *state.signing_keyring(tenant_id).core_claims}
    named = permission_names("permissions", permissions)
    return Grant(role=role, permissions=named, claims=further_claims(claims, reserved))


def _load(state: AppState, session: Session) -> Grant | None:
    """Ask the app what a session is granted now. Without a loader all is as it was."""
    loader = state.session_loader
    if loader is None:
        _warn_of_no_loader(state)
        return Grant(role=session.role, permissions=session.permissions, claims=session.claims)
    said = loader(info_of(session))
    if said is None:
        return None
    role: object = session.role
    permissions: Sequence[str] = session.permissions
    claims: Mapping[str, Any] | None = session.claims
    if isinstance(said, str):
        role = said
    elif isinstance(said, Identity):
        if (said.tenant_id, said.user_id) != (session.tenant_id, session.user_id):
            raise ValueError("session_loader returned the identity of another user")
        role, permissions = said.role, sorted(said.own_permissions)
    elif isinstance(said, Mapping) and said.keys() <= {"role", "permissions", "claims"}:
        role = said.get("role", role)
        permissions = said.get("permissions", permissions)
        claims = said.get("claims", claims)
    else:
        raise TypeError(
            "session_loader must return None, a role, an Identity, or a dict with some of role, "
            f"permissions and claims, not {type(said).__name__}"
        )
    known = role_text("role of session_loader", role, state.roles)
    return _grant(state, session.tenant_id, known, permissions, claims)


# States by themselves, not by id(): a later app may have the id of one that is gone.
_warned: WeakSet[AppState] = WeakSet()


def _warn_of_no_loader(state: AppState) -> None:
    if state not in _warned:
        _warned.add(state)
        logger.warning(
            "There is no @auth.session_loader: a refreshed session keeps its role and permissions, "
            "and goes on when its user is gone"
        )


def _tokens(state: AppState, refreshed: Refreshed) -> SessionTokens:
    session = refreshed.session
    keyring = state.signing_keyring(session.tenant_id)
    issued_at = int(now())
    seconds = state.settings.auth_access_minutes * 60
    # So tokens of a morning's log ins do not all end in the same second.
    seconds *= 1 - 0.05 * random.random()  # noqa: S311 - no secret
    left = (min(session.expires_at, session.ends_at) - refreshed.now) / 1000
    expires_in = max(1, math.floor(min(seconds, left)))
    identity = Identity(
        session.tenant_id,
        session.user_id,
        session.role,
        roles=state.roles,
    )
    claims = {**session.claims, "sid": session.id, "jti": uuid7(refreshed.now)}
    if session.permissions:
        _put(claims, state.rules.places.get("permissions", _PERMISSIONS)[0], session.permissions)
    token = issue(state, keyring, identity, (issued_at, issued_at + expires_in), claims)
    return SessionTokens(token, refreshed.refresh_token, expires_in, session.id)


def _put(claims: dict[str, Any], place: str, value: Sequence[str]) -> None:
    """Set a claim at its place: a name, or a JSON Pointer (RFC 6901)."""
    names = [place]
    if place.startswith("/"):
        names = [each.replace("~1", "/").replace("~0", "~") for each in place[1:].split("/")]
    for name in names[:-1]:
        inner = claims.get(name)
        claims[name] = claims = dict(inner) if isinstance(inner, Mapping) else {}
    claims[names[-1]] = list(value)


def _device(device: str | None) -> str | None:
    if device is None:
        request = current_request()
        device = None if request is None else request.environ.get("HTTP_USER_AGENT")
        return None if device is None else _printable(device)[:_LONGEST_TEXT]
    if not isinstance(device, str):
        raise TypeError(f"device must be a str, not {type(device).__name__}")
    return device[:_LONGEST_TEXT]


def _printable(text: str) -> str:
    """Return a header field for people to read: its spaces stay, control characters do not."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _address() -> str | None:
    request = current_request()
    return None if request is None else request.remote_addr


def _grace_ms(grace: float | None) -> int | None:
    if grace is None:
        return None
    if isinstance(grace, bool) or not isinstance(grace, int | float):
        raise TypeError(f"grace must be a number of seconds, not {type(grace).__name__}")
    if not 0 <= grace <= _LONGEST_GRACE:
        raise ValueError(f"grace must be from 0 to {_LONGEST_GRACE} seconds, not {grace}")
    return int(grace * 1000)


def _count(state: AppState, session: Session) -> None:
    """Count a refresh against the budget of its session."""
    count = state.count_refresh
    if count is not None:
        count(session.id)


# When it was logged last that a session is unknown, or that no key fits one.
_logged: dict[str, float] = {}
_HINTS = {
    "session_unknown": "A refresh token names a session that the store does not have: do all hosts "
    "have one store (AUTH_SESSION_STORE)?",
    "refresh_token_mismatch": "No key has made a refresh token whose session the store has: it is "
    "forged, or its key is gone. A retired AUTH_SESSION_KEY has to stay for AUTH_SESSION_DAYS",
}


def _denied(denied: SessionDenied) -> AuthError:
    """Log a refresh that is denied, and return the answer to it."""
    reason, session = denied.reason, denied.session
    message = SESSION_RETRY if reason == Outcome.RETRY.value else SESSION_ENDED
    headers = [("Retry-After", str(_RETRY_SECONDS))] if reason == Outcome.RETRY.value else []
    log_denied(current_request(), 401, message, reason, f"session {session.id}" if session else "")
    if session is not None and reason in _REUSE:
        logger.warning("Session %s has ended: %s", session.id, reason)
        if reason == Outcome.REUSED.value:
            note_reuse(current_state(), current_request(), session.user_id, session.tenant_id)
        if session_reused.receivers and current_app:
            session_reused.send(
                current_app._get_current_object(), session=info_of(session), reason=reason
            )
    elif reason in _HINTS and time.monotonic() >= _logged.get(reason, 0) + 60:
        _logged[reason] = time.monotonic()
        logger.warning("%s", _HINTS[reason])
    return AuthError(message, 401, reason=reason, headers=headers)


def unavailable(error: StoreUnavailable, what: str) -> SessionsUnavailable:
    """Log what failed because the store is away, and return the answer to it."""
    logger.error("%s failed, because the store of sessions is away: %s", what, error)
    return SessionsUnavailable()


def _send(signal: Any, session: Session) -> None:
    if signal.receivers and current_app:
        signal.send(current_app._get_current_object(), session=info_of(session))


SessionLoader = Callable[[SessionInfo], Any]
