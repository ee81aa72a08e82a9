"""Sessions: begun, refreshed and listed. Knows no Flask and no access token."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._core import check_refresh_token, make_refresh_token, now, read_refresh_token, uuid7
from ..audit import logger
from .rotation import ENDING, Outcome, advanced, outcome_of
from .store import Revocation, Session, SessionStore, StoreUnavailable

SALT_BYTES = 32
# How often something is decided anew, when others have changed the store meanwhile.
_MOST_TRIES = 20
_DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How long sessions live, and how many a user may have."""

    idle_ms: int
    most_ms: int
    grace_ms: int
    most_sessions: int | None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What the app says of a session at a refresh."""

    role: str
    permissions: tuple[str, ...]
    claims: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """A session that may have tokens, and the refresh token that is valid now."""

    session: Session
    refresh_token: str
    now: int  # by the clock of the store


class SessionDenied(Exception):  # noqa: N818 - the answer to a client, not a mistake
    """A refresh that is denied."""

    def __init__(self, reason: str, session: Session | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.session = session  # where the token was one of it


class Sessions:
    """The sessions of one app.

    :param keys: secrets of refresh tokens: the first one makes them, the others are retired.
    :param revoke: adds a revocation to the store and to the table of this host.
    """

    def __init__(
        self,
        store: SessionStore,
        keys: Sequence[bytes],
        terms: Terms,
        revoke: Callable[[Revocation, str], object],
    ) -> None:
        self.store = store
        self._keys = tuple(keys)
        self._terms = terms
        self._revoke = revoke

    def create(
        self,
        tenant_id: str,
        user_id: str,
        grant: Grant,
        *,
        device: str | None = None,
        address: str | None = None,
        grace_ms: int | None = None,
    ) -> tuple[Refreshed, list[Session]]:
        """Begin a session. Return it, and those of the user that ended because of it.

        :raises StoreUnavailable: when it is not known to be stored.
        """
        ended: list[Session] = []
        revoked_at = 0
        for _ in range(_MOST_TRIES):
            # A revocation of this very millisecond is of all sessions that began in it.
            began = max(self.store.now(), revoked_at + 1)
            ends_at = began + self._terms.most_ms
            session = Session(
                id=uuid7(began),
                tenant_id=tenant_id,
                user_id=user_id,
                role=grant.role,
                salt=os.urandom(SALT_BYTES),
                permissions=grant.permissions,
                claims=grant.claims,
                device=device,
                address=address,
                grace_ms=grace_ms,
                used_at=began,
                expires_at=min(began + self._terms.idle_ms, ends_at),
                ends_at=ends_at,
            )
            ended += self.store.create(session, self._terms.most_sessions)
            revoked_at = self.store.read(session.id).revoked_at
            if began > revoked_at:
                return self._refreshed(session, began), ended
        raise StoreUnavailable(f"the user was revoked {_MOST_TRIES} times meanwhile")

    def refresh(
        self,
        token: str | bytes,
        load: Callable[[Session], Grant | None],
        *,
        check: Callable[[Session], object] = lambda session: None,
        address: str | None = None,
    ) -> Refreshed:
        """Return the session of a refresh token with the token that follows it.

        :param load: says what the identity is granted from now on; None ends the session.
        :param check: called once the MAC is right, before anything is decided; it may raise.
        :raises SessionDenied: for a token that is none, and a session that has ended or ends now.
        :raises StoreUnavailable: when the store did not answer.
        """
        session_id, counter = _said(token)
        read = self._read(session_id, token)
        check(read[0])
        grant: Grant | None = None
        for _ in range(_MOST_TRIES):
            session, at, revoked_at = read
            outcome = self._decide(session, counter, at, revoked_at)
            grant = grant or load(session)
            if grant is None:
                self.end(session, "not_granted")
                raise SessionDenied("not_granted", session)
            granted = _with_grant(session, grant, address)
            if outcome is Outcome.REPEAT:
                return self._refreshed(granted, at)
            after = advanced(granted, counter, at, self._terms.idle_ms)
            advanced_at = self.store.advance(session, after)
            if advanced_at is not None:
                _log_skipped(session, counter)
                return self._refreshed(after, advanced_at)
            read = self._read(session_id, token)
        raise StoreUnavailable(f"the session was changed {_MOST_TRIES} times meanwhile")

    def _read(self, session_id: str, token: str | bytes) -> tuple[Session, int, int]:
        """Return the session of a refresh token whose MAC is right, now, and what was revoked.

        :raises SessionDenied: for a token that is none.
        """
        read = self.store.read(session_id)
        if read.session is None:
            raise SessionDenied("session_unknown")
        if check_refresh_token(self._keys, read.session.salt, token) < 0:
            raise SessionDenied("refresh_token_mismatch")
        return read.session, read.now, read.revoked_at

    def _decide(self, session: Session, counter: int, at: int, revoked_at: int) -> Outcome:
        """Return ADVANCE or REPEAT.

        :raises SessionDenied: for every other outcome; a session that is reused ends first.
        """
        grace_ms = self._terms.grace_ms if session.grace_ms is None else session.grace_ms
        outcome = outcome_of(session, counter, at, revoked_at, grace_ms)
        if outcome in ENDING:
            self.end(session, outcome.value)
        if outcome in (Outcome.ADVANCE, Outcome.REPEAT):
            return outcome
        raise SessionDenied(outcome.value, session)

    def _refreshed(self, session: Session, at: int) -> Refreshed:
        token = make_refresh_token(self._keys[0], session.salt, session.id, session.counter)
        return Refreshed(session=session, refresh_token=token, now=at)

    def session_of(self, token: str | bytes) -> Session:
        """Return the session of a refresh token of any age whose MAC is right, ended or not.

        :raises SessionDenied: for a token that is none.
        :raises StoreUnavailable: when the store did not answer.
        """
        return self._read(_said(token)[0], token)[0]

    def end(self, session: Session, reason: str) -> None:
        """End a session, here and on every host.

        :raises StoreUnavailable: when it is not known to have ended.
        """
        self._revoke(
            Revocation(
                kind="session",
                tenant_id=session.tenant_id,
                user_id=session.user_id,
                id=session.id,
                ends_at=self.kept_until(),
            ),
            reason,
        )

    def kept_until(self) -> int:
        """Return until when a revocation of now is kept in the store: as long as sessions live.

        A day more, because it is the clock of this host and not that of the store.
        """
        return int(now() * 1000) + self._terms.most_ms + _DAY_MS

    def list(self, tenant_id: str, user_id: str) -> list[Session]:
        """Return the sessions of a user that go on, the newest first."""
        return self.store.sessions(tenant_id, user_id)


def _said(token: str | bytes) -> tuple[str, int]:
    """Return the session id and the counter that a refresh token says.

    :raises SessionDenied: for a malformed one, before any store is asked.
    """
    said = read_refresh_token(token)
    if said is None:
        raise SessionDenied("refresh_token_malformed")
    return said


def _with_grant(session: Session, grant: Grant, address: str | None) -> Session:
    return replace(
        session,
        role=grant.role,
        permissions=grant.permissions,
        claims=grant.claims,
        address=session.address if address is None else address,
    )


def _log_skipped(session: Session, counter: int) -> None:
    """Log that a client had a later token than the store knew."""
    if counter != session.counter:
        logger.warning(
            "Session %s: its refresh token is %d ahead of the store, which was restored or lost "
            "writes; the store follows",
            session.id,
            counter - session.counter,
        )
