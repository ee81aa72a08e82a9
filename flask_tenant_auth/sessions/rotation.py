"""What a refresh token with a right MAC means to its session. Pure: a row and a time in, words out.

A refresh token is a counter of its session. Each refresh moves the counter by one, so an older
token is one that was used before (RFC 9700, section 4.14). Three cases are no theft: the answer of
a refresh was lost and the client repeats it, several tabs refresh at the same moment, and the store
was restored from a backup.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from .store import Session


class Outcome(Enum):
    """What is to be done."""

    ADVANCE = "advance"  # the counter moves
    REPEAT = "repeat"  # the same successor again; nothing is written
    RETRY = "retry"  # denied, and the session goes on
    ENDED = "session_ended"
    LATE_PREDECESSOR = "late_predecessor"  # reuse: the session ends
    REUSED = "session_reused"  # reuse: the session ends


ENDING = frozenset({Outcome.LATE_PREDECESSOR, Outcome.REUSED})


def is_over(session: Session, now: int, revoked_at: int) -> bool:
    """Whether a session has ended: by itself, by age, or by a revocation around it."""
    return (
        session.ended_at is not None
        or now >= session.ends_at
        or now >= session.expires_at
        or session.began <= revoked_at
    )


def outcome_of(session: Session, counter: int, now: int, revoked_at: int, grace_ms: int) -> Outcome:
    """Return what a refresh with this counter means.

    :param now: the time of the store when it read the row.
    :param revoked_at: the last revocation around the session, 0 for none.
    :param grace_ms: how long a token may be repeated after its own rotation.
    """
    if is_over(session, now, revoked_at):
        return Outcome.ENDED
    behind = session.counter - counter
    if behind <= 0:  # less: the store was restored, and the client has a later token
        return Outcome.ADVANCE
    in_grace = behind <= len(session.rotated) and now < session.rotated[behind - 1] + grace_ms
    if behind == 1:
        return Outcome.REPEAT if in_grace else Outcome.LATE_PREDECESSOR
    return Outcome.RETRY if in_grace else Outcome.REUSED


def advanced(session: Session, counter: int, now: int, idle_ms: int) -> Session:
    """Return the session after a refresh with its counter, or with a later one.

    The store writes its own time in place of `now`.
    """
    skipped = counter != session.counter
    return replace(
        session,
        counter=counter + 1,
        # Of tokens that a restored store never saw nobody knows when they were rotated.
        rotated=(now, 0, 0) if skipped else (now, session.rotated[0], session.rotated[1]),
        used_at=now,
        expires_at=min(now + idle_ms, session.ends_at),
    )
