"""Passwords, through the core's Python binding."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable

import pytest

from flask_tenant_auth._core import hash_password, password_iterations, verify_password

ITERATIONS = 1000


def test_a_password_verifies_against_its_hash_only() -> None:
    stored = hash_password(b"correct horse", ITERATIONS)
    assert stored.startswith("$pbkdf2-sha512$i=1000$")
    assert verify_password(b"correct horse", stored)
    assert not verify_password(b"correct horsf", stored)
    assert not verify_password(b"", stored)
    assert password_iterations(stored) == ITERATIONS


def test_hashlib_computes_the_same_hash() -> None:
    _, kind, rounds, salt, digest = hash_password(b"\xff\0x", ITERATIONS).split("$")
    assert (kind, rounds) == ("pbkdf2-sha512", f"i={ITERATIONS}")
    octets = base64.b64decode(salt + "=")
    assert len(octets) == 32
    expected = hashlib.pbkdf2_hmac("sha512", b"\xff\0x", octets, ITERATIONS)
    assert base64.b64decode(digest + "==") == expected


def test_each_hash_has_another_salt() -> None:
    assert len({hash_password(b"x", ITERATIONS) for _ in range(20)}) == 20


def test_other_threads_run_meanwhile() -> None:
    """A loop here goes on while another thread hashes for a good part of a second."""
    thread = threading.Thread(target=hash_password, args=(b"x", 300_000))
    thread.start()
    rounds = 0
    while thread.is_alive():
        rounds += 1
    assert rounds > 100


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "x",
        "$pbkdf2-sha512$i=1000$",
        "$pbkdf2-sha256$i=1000$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 86,
        "$pbkdf2-sha512$i=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 86,
        "$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 85,
        "$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 86 + "\n",
        "$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 86 + "\0",
        "$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2Fsd\xe9$" + "A" * 86,
    ],
)
def test_a_malformed_stored_string_raises(stored: str) -> None:
    for call in (lambda: verify_password(b"x", stored), lambda: password_iterations(stored)):
        with pytest.raises(ValueError, match="stored is not a string made by hash_password"):
            call()


@pytest.mark.parametrize("iterations", [2_100_001, 100_000_000, 2**32, 10**30])
def test_a_stored_string_with_too_many_iterations_raises_at_once(iterations: int) -> None:
    stored = f"$pbkdf2-sha512$i={iterations}$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 86
    began = time.thread_time()
    for call in (lambda: verify_password(b"x", stored), lambda: password_iterations(stored)):
        with pytest.raises(ValueError, match="more than ten times the iterations"):
            call()
    assert time.thread_time() - began < 0.5  # the least of them would take two seconds
    assert password_iterations(stored.replace(str(iterations), "2100000")) == 2_100_000


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hash_password(), TypeError, "password"),
        (lambda: hash_password("x", ITERATIONS), TypeError, "bytes"),
        (lambda: hash_password(b"x"), TypeError, "iterations"),
        (lambda: hash_password(b"x", 1e6), TypeError, "integer"),
        (lambda: hash_password(b"x", "1000"), TypeError, "integer"),
        (lambda: hash_password(b"x", 999), ValueError, "iterations must be from"),
        (lambda: hash_password(b"x", -1), ValueError, "iterations must be from"),
        (lambda: hash_password(b"x", 2**32 + 1000), ValueError, "iterations must be from"),
        (lambda: hash_password(b"x" * 65537, ITERATIONS), ValueError, "password is longer"),
        (lambda: verify_password(b"x"), TypeError, "stored"),
        (lambda: verify_password("x", "y"), TypeError, "bytes"),
        (lambda: verify_password(b"x", b"y"), TypeError, "stored must be str"),
        (lambda: verify_password(b"x", None), TypeError, "stored must be str"),
        (lambda: verify_password(b"x", "\ud800"), ValueError, "stored has lone surrogates"),
        (lambda: password_iterations(), TypeError, "stored"),
        (lambda: password_iterations(5), TypeError, "stored must be str"),
    ],
)
def test_arguments_that_are_not_valid_raise(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()
