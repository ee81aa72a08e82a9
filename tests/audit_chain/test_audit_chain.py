"""A chain of audit lines is whole after any life, and no attack on it stays unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

import flask_tenant_auth.trail.verify as verifying

from .attacks import ATTACKS
from .run import run


def test_a_chain_is_whole_after_any_life_and_every_attack_is_found() -> None:
    told = run(lives=12, attacks=15, seed=1)
    assert told.failures == []
    assert told.attacks.total() > 100
    assert told.events["kill_writer"] > 10
    assert told.events["move"] > 5


@pytest.mark.parametrize("sabotage", ["no head", "no digest"])
def test_a_verification_that_looks_away_is_found(
    monkeypatch: pytest.MonkeyPatch, sabotage: str
) -> None:
    """The positive control."""
    if sabotage == "no head":
        monkeypatch.setattr(verifying, "_missing", lambda *_args, **_options: "")
    else:
        original = verifying.verify_audit_lines
        monkeypatch.setattr(
            verifying, "verify_audit_lines", lambda *args: ("", *original(*args)[1:])
        )
    told = run(lives=4, attacks=30, seed=2)
    assert told.failures


def test_each_attack_is_listed() -> None:
    assert len(ATTACKS) == 15


@pytest.mark.soak
def test_a_thousand_lives(tmp_path: Path) -> None:
    del tmp_path
    told = run(lives=1000, attacks=30, seed=3)
    assert told.failures == []
    assert all(told.attacks[name] > 10 for name in ATTACKS)
