"""The rules of tokens, one by one: what breaks a rule is refused, what lies just beside it is not.

The rules and their tokens are in tests/support/token_rules.py; docs/security.md lists the rules by
the same names.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from flask_tenant_auth._core import (
    Identity,
    InvalidToken,
    Key,
    Keyring,
    now,
    reset_clock,
    shift_clock,
)
from token_rules import GOOD, NOW, RULES, SECRET, TENANT, claim


@pytest.fixture(autouse=True)
def at_now() -> Iterator[None]:
    """Each test begins at NOW, however long ago this module was loaded."""
    shift_clock(NOW - now(), 0)
    yield
    reset_clock()


REFUSED = [
    pytest.param(text, reason, id=f"{rule.name}: {case}")
    for rule in RULES
    for case, (text, reason) in rule.refused.items()
]
ACCEPTED = [
    pytest.param(text, id=f"{rule.name}: {case}")
    for rule in RULES
    for case, text in rule.accepted.items()
]


@pytest.fixture(scope="module")
def keyring() -> Keyring:
    return Keyring([Key.secret("HS256", SECRET)])


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_a_token_that_breaks_a_rule_is_invalid(keyring: Keyring, text: str, reason: str) -> None:
    judged = keyring.verify(text)
    assert isinstance(judged, InvalidToken)
    assert judged.reason == reason
    assert judged.expired == (reason == "expired")
    assert keyring.decode(text) == judged
    assert keyring.verify(text.encode()) == judged


@pytest.mark.parametrize("text", ACCEPTED)
def test_an_unusual_token_that_keeps_the_rule_is_valid(keyring: Keyring, text: str) -> None:
    judged = keyring.verify(text)
    assert isinstance(judged, Identity)
    decoded = keyring.decode(text)
    assert isinstance(decoded, dict)
    written = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
    assert {**written, "tenant_id": TENANT} == decoded
    assert (judged.tenant_id, judged.user_id) == (TENANT, decoded["user_id"])
    words = written.get("role", "user")
    assert judged.role == ("admin" if "admin" in words else "user")
    assert judged.expires_at == written["exp"]


class TestConfigured:
    """Rules that depend on JWT_ISSUER, JWT_AUDIENCE and JWT_LEEWAY."""

    def reason(self, text: str, **settings: Any) -> str | None:
        judged = Keyring([Key.secret("HS256", SECRET)], **settings).verify(text)
        return judged.reason if isinstance(judged, InvalidToken) else None

    def test_the_issuer_must_be_the_configured_one(self) -> None:
        assert self.reason(claim(iss="https://us"), issuer="https://us") is None
        assert self.reason(claim(iss="https://us/"), issuer="https://us") == "iss_mismatch"
        assert self.reason(claim(iss="HTTPS://US"), issuer="https://us") == "iss_mismatch"
        assert self.reason(claim(iss=["https://us"]), issuer="https://us") == "iss_invalid"
        assert self.reason(GOOD, issuer="https://us") == "iss_mismatch"

    def test_the_audience_must_include_a_configured_one(self) -> None:
        ours = {"audiences": ["api", "web"]}
        assert self.reason(claim(aud="web"), **ours) is None
        assert self.reason(claim(aud=["other", "api"]), **ours) is None
        assert self.reason(claim(aud="other"), **ours) == "aud_mismatch"
        assert self.reason(claim(aud=[]), **ours) == "aud_mismatch"
        assert self.reason(claim(aud="ap"), **ours) == "aud_mismatch"
        assert self.reason(GOOD, **ours) == "aud_mismatch"

    def test_leeway_moves_expiry_and_not_before(self) -> None:
        assert self.reason(claim(exp=NOW - 30), leeway=120) is None
        assert self.reason(claim(exp=NOW - 300), leeway=120) == "expired"
        assert self.reason(claim(nbf=NOW + 60), leeway=120) is None
        assert self.reason(claim(nbf=NOW + 600), leeway=120) == "not_yet_valid"
