"""The interface of a store of sessions, and what it keeps.

Times are milliseconds since 1970 by the clock of the store, read when a statement runs, and not
when its transaction began. A store decides nothing about a token: `rotation` does, on the row that
`read` returns, and `advance` writes what it decided, if the row is still as it was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

# Before the id of an API key that a revocation of a token names.
KEY_PREFIX = "key:"
Kind = Literal["session", "user", "tenant", "token", "everything"]


@dataclass(frozen=True, kw_only=True)
class Session:
    """One session, as it is kept. Nothing of it is a token, or makes one without AUTH_SESSION_KEY.

    The id is a UUID of version 7 (RFC 9562, section 5.7), whose time is when the session began.
    """

    id: str
    tenant_id: str
    user_id: str
    role: str
    salt: bytes  # 32 random octets
    counter: int = 1  # of the refresh token that is valid
    permissions: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)  # further claims of its access tokens
    device: str | None = None  # as the app or its User-Agent names it
    address: str | None = None  # of the client that created or refreshed it last
    grace_ms: int | None = None  # None: AUTH_REFRESH_GRACE_SECONDS
    # When the counter moved last, the time before, and the time before that; 0: it did not. So the
    # token n - 1 was rotated at rotated[0], n - 2 at rotated[1], n - 3 at rotated[2].
    rotated: tuple[int, int, int] = (0, 0, 0)
    used_at: int  # when it was created or its counter moved last
    expires_at: int  # if it is not refreshed until then
    ends_at: int  # in any case
    ended_at: int | None = None
    end_reason: str | None = None  # as "logged_out", "session_reused"

    @property
    def began(self) -> int:
        """When it began, in milliseconds since 1970, by the clock of the store."""
        return int(self.id[:8] + self.id[9:13], 16)


@dataclass(frozen=True, kw_only=True)
class Revocation:
    """What was revoked, and until when that matters."""

    kind: Kind
    tenant_id: str | None = None  # of a session, user, tenant; of a token, where it is known
    user_id: str | None = None
    # Of a session: its id. Of a token: its jti, or "sha256:" and the digest of the token in
    # base64url where it has none. None: of a user, a tenant or everything.
    id: str | None = None
    except_session: str | None = None  # of a user: this session of it goes on
    at: int = 0  # what began or was issued until then is revoked; 0: the store's now
    ends_at: int  # when no token of it can be valid any more
    number: int = 0  # in the order in which a store adds them; the store sets it


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """One API key, as it is kept: a hash, never the secret."""

    id: str  # 16 characters of base32, which the key shows
    tenant_id: str
    user_id: str
    role: str
    digest: bytes  # SHA-256 of the secret
    permissions: tuple[str, ...] = ()
    name: str
    created_at: int
    expires_at: int | None = None
    ended_at: int | None = None
    used_at: int | None = None  # within some minutes


@dataclass(frozen=True)
class Read:
    """What `read` returns."""

    now: int  # by the store's clock, when the row was read
    session: Session | None
    # The last `at` of the revocations of its user, of its tenant and of everything, without those
    # that except it; 0: none. A session that began by then has ended.
    revoked_at: int


@dataclass(frozen=True)
class Changes:
    """Revocations that were added, and how far the store has been read."""

    now: int
    revocations: Sequence[Revocation]
    position: str  # to be given to the next `changes`
    # The store is older than the position, or is another one: it was restored, emptied or failed
    # over. The revocations are all that it has.
    is_older: bool = False


class StoreUnavailable(Exception):  # noqa: N818 - a state, not a mistake
    """The store did not answer, or not in time. What was asked may or may not have been done."""


class SessionStore(Protocol):
    """Where sessions are kept. Every method may raise `StoreUnavailable`, and takes any thread.

    A conflict of two transactions (a serialization failure, a deadlock, SQLITE_BUSY) is tried again
    by the store itself.
    """

    def describe(self) -> str:
        """Return what it is, for people: without a password."""

    def now(self) -> int:
        """Return the time of the store."""

    def create(self, session: Session, most: int | None) -> list[Session]:
        """Add a session. Then end those sessions of its user that began first, down to `most`.

        Return those that were ended, each with a revocation of its own.
        """

    def read(self, session_id: str) -> Read:
        """Return a session from the primary, with what was revoked around it, in one round trip."""

    def revoked_at(self, tenant_id: str, user_id: str) -> int:
        """Return the last `at` of the revocations of a user, its tenant and everything; 0: none."""

    def advance(self, before: Session, after: Session) -> int | None:
        """Replace the row if it is still `before`: compare and swap, in one round trip.

        It is the same if its counter and ended_at are. The store sets used_at and rotated[0] of
        `after` to its now where `after.counter` differs, and keeps expires_at within ends_at.
        Return that now; None: the row is another one, is gone, or was revoked meanwhile.
        """

    def revoke(self, revocation: Revocation, reason: str) -> Revocation:
        """Add a revocation, and end the session or the API keys it names, in one transaction.

        Return it with its number and time. What is revoked already is revoked again.
        """

    def sessions(self, tenant_id: str, user_id: str) -> list[Session]:
        """Return the sessions of a user that go on, the newest first."""

    def changes(self, position: str, wait_ms: int) -> Changes:
        """Return the revocations after a position; all that matter still after "".

        It may wait up to `wait_ms` for one. A revocation may be returned twice, and is never left
        out, also where a transaction commits late.
        """

    def restore(self, revocations: Sequence[Revocation]) -> None:
        """Add revocations that a host still has to a store that is older."""

    def add_key(self, key: ApiKey) -> None:
        """Add an API key."""

    def read_key(self, key_id: str) -> tuple[int, ApiKey | None, int]:
        """Return now, a key, and the last `at` of the revocations of its user, tenant, all."""

    def keys(self, tenant_id: str, user_id: str | None) -> list[ApiKey]:
        """Return the keys of a user, or of a tenant, the newest first."""

    def end_key(self, tenant_id: str, key_id: str) -> bool:
        """End a key. False: there is none."""

    def note_key_use(self, key_id: str) -> None:
        """Set used_at of a key to now."""

    def purge(self) -> int:
        """Remove up to 1,000 rows that do not matter any more; return how many."""

    def close(self) -> None:
        """Close what it holds open in this process."""
