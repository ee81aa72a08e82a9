"""Passwords of users: PBKDF2-HMAC-SHA512 with a random salt, by OpenSSL, with the GIL released."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from . import _core

PASSWORD_ITERATIONS = _core.PASSWORD_ITERATIONS
"""210,000, OWASP's figure for PBKDF2-HMAC-SHA512: the default of AUTH_PASSWORD_ITERATIONS."""


def _default_iterations() -> int:
    return PASSWORD_ITERATIONS


# The iterations of new hashes. `flask.password_settings`, which knows the running app, sets this.
iterations_of_app: Callable[[], int] = _default_iterations


def hash_password(password: str | bytes) -> str:
    """Return a password's salted hash as a PHC string: ``$pbkdf2-sha512$i=210000$salt$hash``.

    Two hashes of one password differ (32 random bytes of salt). It takes some 0.1 s, by design:
    AUTH_PASSWORD_ITERATIONS of the running app says how long.

    :param password: as the user typed it; str is hashed as UTF-8.
    :raises TypeError: for anything else than str or bytes.
    :raises ValueError: for an empty password, one of more than 65,536 bytes, or one with a NUL
        character: HMAC pads with these (RFC 2104, section 2), so a password and the same with a NUL
        behind would be one.
    """
    octets = _octets(password)
    if not octets or b"\0" in octets:
        raise ValueError("password must not be empty and must not hold NUL characters")
    return _core.hash_password(octets, iterations_of_app())


def verify_password(
    password: str | bytes,
    stored: str | None,
    *,
    legacy: Callable[[str, Any], bool] | None = None,
) -> bool:
    """Whether a password is the one that was hashed. The comparison takes constant time.

    :param password: what the user typed.
    :param stored: what `hash_password` returned then; None where there is no such user: the answer
        is False, after as much work. A hash of another kind is False too, after as much work.
    :param legacy: called with a stored hash of another kind and the password, to say whether they
        match: ``werkzeug.security.check_password_hash``, or a function around ``bcrypt.checkpw``.
        Its ValueError is False.
    :raises TypeError: for arguments of other types, and where `legacy` returns no bool; the message
        names the argument.
    """
    octets = _octets(password)
    if legacy is not None and (not callable(legacy) or inspect.iscoroutinefunction(legacy)):
        raise TypeError(f"legacy must be a callable that is not async, not {type(legacy).__name__}")
    if stored is None:
        return _spend(octets)
    if _iterations_of(_stored(stored)) is None:
        return _spend(octets) if legacy is None else _ask(legacy, stored, password)
    try:
        return _core.verify_password(octets, stored) and b"\0" not in octets
    except ValueError:  # longer than any password that was hashed
        return False


def password_needs_rehash(stored: str) -> bool:
    """Whether a stored hash should be renewed at the next login.

    It is weaker than one made today (AUTH_PASSWORD_ITERATIONS), or `hash_password` did not make it.

    :raises TypeError: for anything else than a str.
    """
    iterations = _iterations_of(_stored(stored))
    return iterations is None or iterations < iterations_of_app()


def _iterations_of(stored: str) -> int | None:
    """Return the iterations of a hash; None for one that `hash_password` cannot have made.

    So is one that asks for more than ten times `PASSWORD_ITERATIONS`: whoever can write it must not
    keep a worker busy.
    """
    try:
        return _core.password_iterations(stored)
    except ValueError:
        return None


def _ask(legacy: Callable[[str, Any], bool], stored: str, password: str | bytes) -> bool:
    try:
        matches = legacy(stored, password)
    except ValueError:
        return False
    if not isinstance(matches, bool):  # the coroutine of an async function would be true
        raise TypeError(f"legacy must return a bool, not {type(matches).__name__}")
    return matches


def _spend(octets: bytes) -> bool:
    """Do the work of a verification, and answer False."""
    try:
        _core.verify_password(octets, _nobody(iterations_of_app()))
    except ValueError:  # longer than any password that was hashed
        return False
    return False


@lru_cache(maxsize=4)
def _nobody(iterations: int) -> str:
    """Return a hash that no password has."""
    salt, digest = "A" * 43, "A" * 86  # 32 and 64 octets of zero
    return f"$pbkdf2-sha512$i={iterations}${salt}${digest}"


def _octets(password: object) -> bytes:
    if isinstance(password, bytes):
        return password
    if isinstance(password, str):
        return password.encode("utf-8", "surrogatepass")
    raise TypeError(f"password must be a str, not {type(password).__name__}")


def _stored(stored: object) -> str:
    if not isinstance(stored, str):
        raise TypeError(f"stored must be a str, not {type(stored).__name__}")
    return stored
