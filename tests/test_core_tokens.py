"""The token part of the core, through its Python binding."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import jwt
import pytest

from flask_tenant_auth._core import Identity, Key, Keyring, Rejection

SECRET = b"an HMAC secret of well over sixty-four bytes, for every algorithm there is"
TENANT = "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4"
USER = "550e8400-e29b-41d4-a716-446655440000"


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of an ordinary token, with changes; None removes."""
    now = int(time.time())
    ordinary = {"tenant_id": TENANT, "user_id": USER, "role": "user", "iat": now, "exp": now + 3600}
    return {k: v for k, v in (ordinary | changes).items() if v is not None}


def signed(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, "HS256")


@pytest.fixture
def keyring() -> Keyring:
    return Keyring([Key.secret("HS256", SECRET)])


class TestRoundTrips:
    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    def test_what_we_sign_pyjwt_and_we_verify(self, algorithm: str) -> None:
        keyring = Keyring([Key.secret(algorithm, SECRET)])
        payload = claims(nested={"a": [1, 2.5, None, True, "é\u20ac\U0001f600"]})
        token = keyring.sign(json.dumps(payload).encode())
        assert jwt.decode(token, SECRET, [algorithm]) == payload
        assert keyring.decode(token) == payload
        assert keyring.verify(token) == Identity(TENANT, USER, "user", source="token")

    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    def test_what_pyjwt_signs_we_verify(self, algorithm: str) -> None:
        keyring = Keyring([Key.secret(algorithm, SECRET)])
        payload = claims(role="admin")
        identity = keyring.verify(jwt.encode(payload, SECRET, algorithm))
        assert isinstance(identity, Identity)
        assert (identity.role, identity.expires_at) == ("admin", payload["exp"])


class TestRejections:
    def test_another_key_is_a_signature_mismatch(self) -> None:
        other = Keyring([Key.secret("HS256", bytes(32))])
        rejection = other.verify(signed())
        assert isinstance(rejection, Rejection)
        assert rejection.reason == "signature_mismatch"
        assert not rejection.expired

    def test_an_expired_token_says_so(self, keyring: Keyring) -> None:
        rejection = keyring.verify(signed(exp=int(time.time()) - 1))
        assert isinstance(rejection, Rejection)
        assert rejection.expired

    def test_upper_case_uuids_come_out_in_lower_case(self, keyring: Keyring) -> None:
        identity = keyring.verify(signed(tenant_id=TENANT.upper()))
        assert isinstance(identity, Identity)
        assert uuid.UUID(identity.tenant_id) == uuid.UUID(TENANT)
        assert identity.tenant_id == TENANT
