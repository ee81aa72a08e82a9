"""What a refresh token with a right MAC means to its session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flask_tenant_auth._core import uuid7
from flask_tenant_auth.sessions.rotation import Outcome, advanced, outcome_of
from flask_tenant_auth.sessions.store import Session

BEGAN = 1_700_000_000_000
SECOND = 1000
GRACE = 30 * SECOND
DAY = 86_400 * SECOND
NOW = BEGAN + 1000 * SECOND


def session(**changes: object) -> Session:
    """Return a session whose tokens 9, 8 and 7 were rotated 10, 20 and 40 seconds ago."""
    row = Session(
        id=uuid7(BEGAN),
        tenant_id="11111111-1111-4111-8111-111111111111",
        user_id="22222222-2222-4222-8222-222222222222",
        role="user",
        salt=b"s" * 32,
        counter=10,
        rotated=(NOW - 10 * SECOND, NOW - 20 * SECOND, NOW - 40 * SECOND),
        used_at=NOW - 10 * SECOND,
        expires_at=NOW + DAY,
        ends_at=NOW + DAY,
    )
    return replace(row, **changes)


@pytest.mark.parametrize(
    ("counter", "after", "outcome"),
    [
        (10, 0, Outcome.ADVANCE),
        (11, 0, Outcome.ADVANCE),  # the store was restored
        (9, 0, Outcome.REPEAT),
        (9, 20 * SECOND - 1, Outcome.REPEAT),
        (9, 20 * SECOND, Outcome.LATE_PREDECESSOR),
        (8, 0, Outcome.RETRY),
        (8, 10 * SECOND - 1, Outcome.RETRY),
        (8, 10 * SECOND, Outcome.REUSED),
        (7, 0, Outcome.REUSED),  # its own grace is over
        (6, 0, Outcome.REUSED),
        (1, 0, Outcome.REUSED),
    ],
)
def test_a_token_is_judged_by_the_grace_of_its_own_rotation(
    counter: int, after: int, outcome: Outcome
) -> None:
    assert outcome_of(session(), counter, NOW + after, 0, GRACE) is outcome


@pytest.mark.parametrize("counter", [6, 8, 9, 10, 11])
@pytest.mark.parametrize(
    ("row", "revoked_at"),
    [
        (session(ended_at=NOW - 1), 0),
        (session(expires_at=NOW), 0),
        (session(ends_at=NOW), 0),
        (session(), BEGAN),
        (session(), NOW),
    ],
    ids=["ended", "idle", "too old", "revoked as it began", "revoked now"],
)
def test_a_session_that_has_ended_has_no_grace(row: Session, revoked_at: int, counter: int) -> None:
    assert outcome_of(row, counter, NOW, revoked_at, GRACE) is Outcome.ENDED


def test_a_session_that_began_after_a_revocation_goes_on() -> None:
    assert outcome_of(session(), 10, NOW, BEGAN - 1, GRACE) is Outcome.ADVANCE


def test_a_rotation_moves_the_counter_by_one_and_keeps_the_times_of_three() -> None:
    before = session()
    after = advanced(before, 10, NOW, DAY)
    assert after.counter == 11
    assert after.rotated == (NOW, *before.rotated[:2])
    assert after.used_at == NOW
    assert after.expires_at == before.ends_at  # never later, whatever the idle time


def test_a_token_ahead_of_the_store_moves_it_forward_and_has_no_old_ones() -> None:
    after = advanced(session(), 15, NOW, DAY)
    assert after.counter == 16
    assert after.rotated == (NOW, 0, 0)
    # So a token between the two is reuse, and no retry: nobody knows when it was rotated.
    assert outcome_of(after, 14, NOW, 0, GRACE) is Outcome.REUSED
    assert outcome_of(after, 15, NOW, 0, GRACE) is Outcome.REPEAT
