"""Passwords of users. The core's own tests are in test_core_password.py."""

from __future__ import annotations

import base64
import hashlib

import pytest

from flask_tenant_auth import _core, hash_password, password_needs_rehash, verify_password


@pytest.mark.parametrize("password", ["hunter2", "pässwörd \U0001f511", "\ud800", b"\xff"])
def test_only_the_hashed_password_verifies(password: str | bytes) -> None:
    stored = hash_password(password)
    assert verify_password(password, stored)
    assert not verify_password("another", stored)
    assert not verify_password("", stored)


def test_passwords_that_hmac_pads_alike_are_different() -> None:
    with pytest.raises(ValueError, match="NUL"):
        hash_password("hunter2\0")
    stored = hash_password("hunter2")
    assert not verify_password("hunter2\0", stored)
    assert verify_password("hunter2", stored)


def test_the_hash_is_pbkdf2_with_the_documented_parameters() -> None:
    _, scheme, iterations, salt, digest = hash_password("hunter2").split("$")
    assert (scheme, iterations) == ("pbkdf2-sha512", "i=210000")
    raw_salt, raw_digest = (
        base64.b64decode(part + "=" * (-len(part) % 4)) for part in (salt, digest)
    )
    assert len(raw_salt) == 32
    assert raw_digest == hashlib.pbkdf2_hmac("sha512", b"hunter2", raw_salt, 210_000)


def test_each_hash_has_its_own_salt() -> None:
    assert hash_password("hunter2") != hash_password("hunter2")


def test_an_older_weaker_hash_verifies_and_needs_a_rehash() -> None:
    stored = _core.hash_password(b"hunter2", 1000)
    assert verify_password("hunter2", stored)
    assert password_needs_rehash(stored)
    assert not password_needs_rehash(hash_password("hunter2"))
