"""Passwords of users: PBKDF2-HMAC-SHA512 with a random salt, by OpenSSL, with the GIL released."""

from __future__ import annotations

from . import _core

PASSWORD_ITERATIONS = _core.PASSWORD_ITERATIONS
"""210,000, OWASP's figure for PBKDF2-HMAC-SHA512; `password_needs_rehash` compares with it."""


def hash_password(password: str | bytes) -> str:
    """Return a password's salted hash as a PHC string: ``$pbkdf2-sha512$i=210000$salt$hash``.

    Two hashes of one password differ (32 random bytes of salt). It takes some 0.1 s, by design.

    :param password: as the user typed it; str is hashed as UTF-8.
    :raises TypeError: for anything else than str or bytes.
    :raises ValueError: for an empty password, or one with a NUL character: HMAC pads with these
        (RFC 2104, section 2), so a password and the same with a NUL behind would be one.
    """
    octets = _octets(password)
    if not octets or b"\0" in octets:
        raise ValueError("password must not be empty and must not hold NUL characters")
    return _core.hash_password(octets, PASSWORD_ITERATIONS)


def verify_password(password: str | bytes, stored: str) -> bool:
    """Whether a password is the one that was hashed. The comparison takes constant time.

    :param password: what the user typed.
    :param stored: what `hash_password` returned then.
    :raises TypeError: for arguments of other types; the message names the argument.
    :raises ValueError: for a stored string that `hash_password` cannot have made, and, at once, for
        one that asks for more than ten times `PASSWORD_ITERATIONS`.
    """
    octets = _octets(password)
    return _core.verify_password(octets, _stored(stored)) and b"\0" not in octets


def password_needs_rehash(stored: str) -> bool:
    """Whether a stored hash is weaker than one made today, so that the next login should renew it.

    :raises TypeError, ValueError: as `verify_password`.
    """
    return _core.password_iterations(_stored(stored)) < PASSWORD_ITERATIONS


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
