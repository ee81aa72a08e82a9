"""Passwords, through the core's Python binding."""

from __future__ import annotations

from flask_tenant_auth._core import hash_password, password_iterations, verify_password


def test_round_trip() -> None:
    stored = hash_password(b"correct horse", 1000)
    assert stored.startswith("$pbkdf2-sha512$i=1000$")
    assert verify_password(b"correct horse", stored)
    assert not verify_password(b"correct horsf", stored)
    assert password_iterations(stored) == 1000
