"""Refresh tokens, session ids and derived keys, by a reading of the RFCs in Python."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_tenant_auth._core import (
    check_refresh_token,
    derive_key,
    make_refresh_token,
    read_refresh_token,
    uuid7,
)

SESSION = "0192f0c4-a1b2-7c3d-8e4f-5a6b7c8d9e0f"
KEY, SALT = b"a key of the tests, 32 bytes long", b"the salt of one session"
INFO = b"flask_tenant_auth refresh token 1"
COUNTERS = st.integers(1, 2**63 - 1)


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, sections 2.2 and 2.3."""
    found, block = b"", b""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    while len(found) < length:
        place = bytes([len(found) // 32 + 1])
        block = hmac.digest(extracted, block + info + place, "sha256")
        found += block
    return found[:length]


def token_of(key: bytes, salt: bytes, session: str, counter: int) -> str:
    """The token, made by hand."""
    signed = f"r1{uuid.UUID(session).hex}.{counter}"
    mac = hmac.digest(hkdf(key, salt, INFO, 32), signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


@given(st.binary(min_size=1), st.binary(), st.binary(), st.integers(1, 200))
def test_a_derived_key_is_that_of_the_rfc(
    secret: bytes, salt: bytes, info: bytes, length: int
) -> None:
    assert derive_key(secret, salt, info, length) == hkdf(secret, salt, info, length)


@given(
    st.binary(min_size=1, max_size=100), st.binary(min_size=1, max_size=100), st.uuids(), COUNTERS
)
def test_a_token_is_read_and_fits_its_key_and_salt_alone(
    key: bytes, salt: bytes, session: uuid.UUID, counter: int
) -> None:
    token = make_refresh_token(key, salt, str(session), counter)
    assert token == token_of(key, salt, str(session), counter)
    assert read_refresh_token(token) == (str(session), counter)
    assert read_refresh_token(token.encode()) == (str(session), counter)
    assert check_refresh_token((b"other", key, key), salt, token) == 1
    assert check_refresh_token((b"other",), salt, token) == -1
    assert check_refresh_token((key,), salt + b"x", token) == -1
    assert check_refresh_token((), salt, token) == -1


@given(st.text() | st.binary())
def test_what_is_no_token_is_none(text: str | bytes) -> None:
    assert read_refresh_token(text) is None
    assert check_refresh_token((KEY,), SALT, text) == -1


@given(COUNTERS, st.integers(0, 98), st.characters())
def test_a_token_has_one_text(counter: int, place: int, other: str) -> None:
    token = make_refresh_token(KEY, SALT, SESSION, counter)
    place %= len(token)
    changed = token[:place] + other + token[place + 1 :]
    assert (check_refresh_token((KEY,), SALT, changed) == 0) == (changed == token)


@pytest.mark.parametrize("counter", [0, -1, 2**63, 2**64])
def test_a_counter_out_of_range_is_refused(counter: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        make_refresh_token(KEY, SALT, SESSION, counter)


@given(st.integers(0, 2**48 - 1))
def test_a_session_id_says_its_time(ms: int) -> None:
    one, two = uuid.UUID(uuid7(ms)), uuid.UUID(uuid7(ms))
    assert one.version == two.version == 7
    assert one.int >> 80 == two.int >> 80 == ms
    assert one != two


@pytest.mark.parametrize("ms", [-1, 2**48, 2**70])
def test_a_time_that_no_id_can_say_is_refused(ms: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        uuid7(ms)
