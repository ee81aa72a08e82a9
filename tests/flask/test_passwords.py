"""Passwords of users. The core's own tests are in test_core_password.py."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable

import pytest
from werkzeug.security import check_password_hash, generate_password_hash

from apps import make_app
from flask_tenant_auth import _core, hash_password, password_needs_rehash, verify_password
from flask_tenant_auth.errors import ConfigurationError

UNKNOWN = [
    "",
    "x",
    "$2b$12$" + "x" * 53,
    "scrypt:32768:8:1$salt$00",
    "$pbkdf2-sha512$i=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 86,
    "$pbkdf2-sha512$i=99999999$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 86,
    "$pbkdf2-sha512$i=2100001$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 86,
    "\x00",
    "é" * 500,
]


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


@pytest.mark.parametrize("stored", UNKNOWN)
def test_a_hash_of_another_kind_is_false_and_is_to_be_renewed(stored: str) -> None:
    assert verify_password("hunter2", stored) is False
    assert password_needs_rehash(stored) is True


def test_a_password_longer_than_any_that_was_hashed_is_false() -> None:
    stored = hash_password("hunter2")
    for kept in (stored, None, "x"):
        assert verify_password("x" * 65_537, kept) is False
    with pytest.raises(ValueError, match="password"):
        hash_password("x" * 65_537)


def test_no_password_is_that_of_nobody() -> None:
    for password in ("", "hunter2", "\0", b"\0" * 64):
        assert verify_password(password, None) is False


@pytest.mark.parametrize("iterations", [50_000, 210_000])
@pytest.mark.parametrize("unknown", [None, "no hash", UNKNOWN[-3]])
def test_an_unknown_user_costs_as_much_as_a_known_one(
    iterations: int, unknown: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost is the iterations that the core is asked for, which no other load changes."""
    verify, asked = _core.verify_password, []

    def counting(password: bytes, stored: str) -> bool:
        asked.append((password, _core.password_iterations(stored)))
        return verify(password, stored)

    app = make_app(AUTH_PASSWORD_ITERATIONS=iterations)
    with app.app_context():
        stored = hash_password("hunter2")
        monkeypatch.setattr(_core, "verify_password", counting)
        for each in (stored, unknown):
            assert verify_password("wrong", each) is False
    assert asked == [(b"wrong", iterations)] * 2


def test_hashes_of_werkzeug_verify_with_its_function() -> None:
    stored = generate_password_hash("hunter2", "pbkdf2:sha256:1000")
    assert verify_password("hunter2", stored, legacy=check_password_hash) is True
    assert verify_password("wrong", stored, legacy=check_password_hash) is False
    assert verify_password("hunter2", "x", legacy=check_password_hash) is False
    assert verify_password("hunter2", None, legacy=check_password_hash) is False
    assert password_needs_rehash(stored)


def test_a_user_table_moves_at_the_logins() -> None:
    table = {"ann": generate_password_hash("hunter2", "pbkdf2:sha256:1000")}

    def login(password: str) -> bool:
        if not verify_password(password, table["ann"], legacy=check_password_hash):
            return False
        if password_needs_rehash(table["ann"]):
            table["ann"] = hash_password(password)
        return True

    assert not login("wrong")
    assert table["ann"].startswith("pbkdf2:")
    assert login("hunter2")
    assert table["ann"].startswith("$pbkdf2-sha512$")
    assert login("hunter2")
    assert not login("wrong")
    assert not password_needs_rehash(table["ann"])


def test_the_legacy_function_gets_the_hash_and_the_password_as_they_are() -> None:
    calls = []

    def like_bcrypt(stored: str, password: str) -> bool:
        calls.append((stored, password))
        expected = "$2b$" + hashlib.sha256(password.encode()).hexdigest()
        return hmac.compare_digest(stored, expected)

    stored = "$2b$" + hashlib.sha256("pässword".encode()).hexdigest()
    assert verify_password("pässword", stored, legacy=like_bcrypt)
    assert not verify_password("password", stored, legacy=like_bcrypt)
    assert calls == [(stored, "pässword"), (stored, "password")]
    # Our own hashes are our own affair.
    assert not verify_password("x", hash_password("hunter2"), legacy=lambda *_: True)
    assert not verify_password("x", None, legacy=lambda *_: True)
    assert len(calls) == 2


def test_an_invalid_salt_of_the_legacy_function_is_false() -> None:
    def checkpw(_stored: str, _password: str) -> bool:
        raise ValueError("Invalid salt")

    assert verify_password("x", "$2b$x", legacy=checkpw) is False

    def away(_stored: str, _password: str) -> bool:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        verify_password("x", "$2b$x", legacy=away)


def test_a_legacy_function_that_is_async_or_answers_no_bool_lets_nobody_in() -> None:
    async def check(_stored: str, _password: str) -> bool:
        return False

    with pytest.raises(TypeError, match="not async"):
        verify_password("x", "$2b$x", legacy=check)  # type: ignore[arg-type]
    for wrong in (1, None, "yes"):
        with pytest.raises(TypeError, match="legacy must return a bool"):
            verify_password("x", "$2b$x", legacy=lambda *_, wrong=wrong: wrong)  # type: ignore[misc]


def test_the_running_app_says_how_many_iterations() -> None:
    few, many = make_app(AUTH_PASSWORD_ITERATIONS=1000), make_app(AUTH_PASSWORD_ITERATIONS="3000")
    with few.app_context():
        stored = hash_password("hunter2")
        assert stored.startswith("$pbkdf2-sha512$i=1000$")
        assert not password_needs_rehash(stored)
    with many.app_context():
        assert verify_password("hunter2", stored)
        assert password_needs_rehash(stored)
        assert not password_needs_rehash(hash_password("hunter2"))
    assert password_needs_rehash(stored)
    assert hash_password("hunter2").startswith("$pbkdf2-sha512$i=210000$")


def test_iterations_that_no_hash_could_be_verified_with_stop_the_app() -> None:
    for wrong in (999, 2_100_001):
        with pytest.raises(ConfigurationError, match="AUTH_PASSWORD_ITERATIONS"):
            make_app(AUTH_PASSWORD_ITERATIONS=wrong)
    with make_app(AUTH_PASSWORD_ITERATIONS=2_100_000).app_context():
        assert not password_needs_rehash(
            "$pbkdf2-sha512$i=2100000$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 86
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: verify_password("x", b"x"), "stored"),  # type: ignore[arg-type]
        (lambda: verify_password(None, "x"), "password"),  # type: ignore[arg-type]
        (lambda: verify_password(5, None), "password"),  # type: ignore[arg-type]
        (lambda: verify_password("x", "x", legacy=5), "legacy"),  # type: ignore[arg-type]
        (lambda: password_needs_rehash(None), "stored"),  # type: ignore[arg-type]
        (lambda: hash_password(None), "password"),  # type: ignore[arg-type]
    ],
)
def test_arguments_of_other_types_raise(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()
