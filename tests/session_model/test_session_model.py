"""2,000 random steps on each store; `make session-model` takes 100,000, and prints its seed."""

from __future__ import annotations

import random

import pytest

from flask_tenant_auth.sessions import rotation

from .access import STORES, opened
from .run import Run

SEEN = {
    *("create", "refreshed", "retry", "late_predecessor", "session_reused", "session_ended"),
    *("forged", "log out", "restore", "revoke user", "refreshed at once", "session_unknown"),
}


@pytest.mark.parametrize("store", STORES)
def test_2000_steps_are_as_the_model_has_them(store: str) -> None:
    with opened(store) as access:
        run = Run(access, random.Random(1))
        run.steps(2000)
    assert set(run.seen) >= SEEN, run.seen


@pytest.mark.parametrize("fault", ["no grace", "endless grace", "no reuse"])
def test_the_model_finds_a_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control."""
    right = rotation.outcome_of

    def wrong(session: object, counter: int, now: int, revoked_at: int, grace_ms: int) -> object:
        grace_ms = {"no grace": 0, "endless grace": 10**9}.get(fault, grace_ms)
        outcome = right(session, counter, now, revoked_at, grace_ms)
        if fault == "no reuse" and outcome is rotation.Outcome.REUSED:
            return rotation.Outcome.RETRY
        return outcome

    monkeypatch.setattr("flask_tenant_auth.sessions.sessions.outcome_of", wrong)
    with opened("memory") as access, pytest.raises(AssertionError, match="none of"):
        Run(access, random.Random(1)).steps(2000)
