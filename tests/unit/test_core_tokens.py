"""The token part of the core, through its Python binding."""

from __future__ import annotations

import base64
import contextlib
import copy
import gc
import json
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import token_oracle
from flask_tenant_auth._core import (
    DEFAULT_ROLES,
    INVALID_TOKENS,
    Identity,
    InvalidToken,
    Key,
    Keyring,
    now,
    parse_bearer,
    peek_token,
    shift_clock,
)
from flask_tenant_auth.identity.roles import DEFAULT_ROLE, UserRole
from openssl_keys import KeyPair, openssl
from paths import SUPPORT
from token_oracle import sign

SECRET = b"an HMAC secret of well over sixty-four bytes, for every algorithm there is"
TENANT = "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4"
USER = "550e8400-e29b-41d4-a716-446655440000"
HEADER = {"alg": "HS256", "typ": "JWT"}
WHO = f'"tenant_id":"{TENANT}","user_id":"{USER}"'
GOOD = f'{WHO},"exp":9000000000'

HMAC_ALGORITHMS = ["HS256", "HS384", "HS512"]
PAIR_ALGORITHMS = [
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    "EdDSA",
]


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of an ordinary token, with changes; None removes."""
    moment = int(time.time())
    ordinary = {
        "tenant_id": TENANT,
        "user_id": USER,
        "role": "user",
        "iat": moment,
        "exp": moment + 3600,
    }
    return {name: value for name, value in (ordinary | changes).items() if value is not None}


def filled(text: str) -> bytes:
    """A payload of the tables below, its capital words replaced."""
    for word, value in (("GOOD", GOOD), ("WHO", WHO), ("TENANT", TENANT), ("USER", USER)):
        text = text.replace(word, value)
    return text.encode()


def signed(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, "HS256")


def reason(result: object) -> str:
    """Why a token was refused; "" when it was not."""
    assert isinstance(result, Identity | InvalidToken | dict)
    return result.reason if isinstance(result, InvalidToken) else ""


@pytest.fixture(scope="module")
def pairs() -> dict[str, KeyPair]:
    """A key pair for each algorithm that takes one."""
    rsa = KeyPair("RS256")
    others = {name: KeyPair(name) for name in PAIR_ALGORITHMS if name[:2] not in {"RS", "PS"}}
    return dict.fromkeys(PAIR_ALGORITHMS, rsa) | others


@pytest.fixture(scope="module")
def keyring() -> Keyring:
    return Keyring([Key.secret("HS256", SECRET)])


@pytest.fixture
def clock() -> Callable[[float, float], None]:
    return shift_clock


class TestRoundTrips:
    @pytest.mark.parametrize("algorithm", HMAC_ALGORITHMS)
    def test_what_we_sign_pyjwt_and_we_verify(self, algorithm: str) -> None:
        keyring = Keyring([Key.secret(algorithm, SECRET)])
        payload = claims(nested={"a": [1, 2.5, None, True, "é\u20ac\U0001f600"]})
        token = keyring.sign(json.dumps(payload).encode())
        assert jwt.decode(token, SECRET, [algorithm]) == payload
        assert jwt.get_unverified_header(token) == {
            "alg": algorithm,
            "kid": keyring.keys[0].kid,
            "typ": "JWT",
        }
        assert keyring.decode(token) == payload
        assert keyring.verify(token) == Identity(TENANT, USER, "user", source="token")

    @pytest.mark.parametrize("algorithm", HMAC_ALGORITHMS)
    def test_what_pyjwt_signs_we_verify(self, algorithm: str) -> None:
        keyring = Keyring([Key.secret(algorithm, SECRET)])
        payload = claims(role="admin")
        identity = keyring.verify(jwt.encode(payload, SECRET, algorithm))
        assert isinstance(identity, Identity)
        assert (identity.role, identity.source) == ("admin", "token")
        assert identity.expires_at == payload["exp"]

    @pytest.mark.cryptography
    @pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
    def test_a_pair_of_openssl_agrees_with_pyjwt(
        self, algorithm: str, pairs: dict[str, KeyPair]
    ) -> None:
        """The pair is the oracle of tests that run where PyJWT knows HMAC alone."""
        pair, payload = pairs[algorithm], claims()
        token = pair.token(payload, algorithm, kid="k")
        for key in (pair.public, jwt.PyJWK(pair.jwk(alg=algorithm))):
            assert jwt.decode(token, key, [algorithm]) == payload
        assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT", "kid": "k"}

    @pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
    def test_tokens_of_every_key_pair_verify(
        self, algorithm: str, pairs: dict[str, KeyPair]
    ) -> None:
        pair = pairs[algorithm]
        private = Key.pem(algorithm, pair.private.encode())
        public = Key.pem(algorithm, pair.public.encode())
        token = pair.token(claims(), algorithm)
        for key in (private, public, Key.jwk(public.public_jwk())):
            assert reason(Keyring([key]).verify(token)) == ""
            assert reason(Keyring([key]).verify(token[:-8] + "AAAAAAAA")) != ""
        assert not public.can_sign
        if private.can_sign:
            ours = Keyring([private]).sign(json.dumps(claims()).encode())
            assert reason(Keyring([public]).verify(ours)) == ""
        else:
            with pytest.raises(ValueError, match="built with libjwt 1 or 2, which do not sign"):
                Keyring([private]).sign(b"{}")
        with pytest.raises(ValueError, match="public key"):
            Keyring([public]).sign(b"{}")

    def test_bytes_and_str_are_the_same(self, keyring: Keyring) -> None:
        token = signed()
        assert keyring.verify(token) == keyring.verify(token.encode())

    def test_upper_case_uuids_come_out_in_lower_case(self, keyring: Keyring) -> None:
        token = signed(tenant_id=TENANT.upper(), user_id=USER.upper(), other=USER.upper())
        identity = keyring.verify(token)
        assert isinstance(identity, Identity)
        assert (identity.tenant_id, identity.user_id) == (TENANT, USER)
        decoded = keyring.decode(token)
        assert isinstance(decoded, dict)
        assert (decoded["tenant_id"], decoded["user_id"]) == (TENANT, USER)
        assert decoded["other"] == USER.upper()

    def test_the_time_is_that_of_the_clock_of_the_core(
        self, keyring: Keyring, clock: Callable[..., None]
    ) -> None:
        token = signed(exp=int(now()) + 100)
        assert reason(keyring.verify(token)) == ""
        clock(101, 0)
        rejection = keyring.verify(token)
        assert isinstance(rejection, InvalidToken)
        assert rejection.expired


# Everything in these is rightly signed. What is wrong is named, and beside each
# group stands what is right.
HOSTILE_HEADERS = {
    "none": ({"alg": "none"}, "algorithm_mismatch"),
    "None": ({"alg": "None"}, "algorithm_mismatch"),
    "lower case": ({"alg": "hs256"}, "algorithm_mismatch"),
    "another hash": ({"alg": "HS512"}, "algorithm_mismatch"),
    "public key": ({"alg": "RS256"}, "algorithm_mismatch"),
    "no alg": ({"typ": "JWT"}, "algorithm_missing"),
    "alg is a list": ({"alg": ["HS256"]}, "algorithm_missing"),
    "crit": ({"alg": "HS256", "crit": ["exp"]}, "crit_refused"),
    "empty crit": ({"alg": "HS256", "crit": []}, "crit_refused"),
    "b64": ({"alg": "HS256", "b64": False}, "b64_refused"),
    "kid is a number": ({"alg": "HS256", "kid": 1}, "kid_invalid"),
    "another kind of token": ({"alg": "HS256", "typ": "dpop+jwt"}, "typ_invalid"),
    "typ is a number": ({"alg": "HS256", "typ": 1}, "typ_invalid"),
    "an array": (b"[]", "json_not_object"),
    "a repeated alg": (b'{"alg":"HS256","alg":"HS256"}', "json_name_repeated"),
    "a hidden repeated alg": (b'{"alg":"HS256","\\u0061lg":"none"}', "json_name_repeated"),
    "a byte order mark": (b'\xef\xbb\xbf{"alg":"HS256"}', "json_invalid"),
    "UTF-16": ('{"alg":"HS256"}'.encode("utf-16"), "json_invalid"),
    "not UTF-8": (b'{"alg":"HS256","x":"\xff"}', "json_not_utf8"),
    "trailing text": (b'{"alg":"HS256"}x', "json_invalid"),
    "a comment": (b'{"alg":"HS256"/**/}', "json_invalid"),
}
HOSTILE_CLAIMS = {
    "no exp": ("{WHO}", "exp_missing"),
    "exp is a string": ('{WHO,"exp":"9000000000"}', "exp_invalid"),
    "exp is true": ('{WHO,"exp":true}', "exp_invalid"),
    "exp is null": ('{WHO,"exp":null}', "exp_invalid"),
    "exp is infinite": ('{WHO,"exp":1e999}', "exp_invalid"),
    "exp is Infinity": ('{WHO,"exp":Infinity}', "json_invalid"),
    "exp is NaN": ('{WHO,"exp":NaN}', "json_invalid"),
    "exp is hexadecimal": ('{WHO,"exp":0xFFFFFFFFF}', "json_invalid"),
    "exp has a leading zero": ('{WHO,"exp":09000000000}', "json_invalid"),
    "exp is below any integer": ('{WHO,"exp":-1e300}', "expired"),
    "exp twice": ('{GOOD,"exp":1}', "json_name_repeated"),
    "exp twice, once escaped": ('{GOOD,"e\\u0078p":1}', "json_name_repeated"),
    "an inner repeated name": ('{GOOD,"x":[{"y":1,"y":2}]}', "json_name_repeated"),
    "expired": ('{WHO,"exp":1}', "expired"),
    "nbf ahead": ('{GOOD,"nbf":8e9}', "not_yet_valid"),
    "nbf is a string": ('{GOOD,"nbf":"1"}', "nbf_invalid"),
    "iat is a list": ('{GOOD,"iat":[1]}', "iat_invalid"),
    "iss is a number": ('{GOOD,"iss":1}', "iss_invalid"),
    "sub is a number": ('{GOOD,"sub":1}', "sub_invalid"),
    "jti is null": ('{GOOD,"jti":null}', "jti_invalid"),
    "aud without ours": ('{GOOD,"aud":"x"}', "aud_unexpected"),
    "aud is empty": ('{GOOD,"aud":[]}', "aud_unexpected"),
    "aud has a number": ('{GOOD,"aud":[1]}', "aud_invalid"),
    "role is a number": ('{GOOD,"role":1}', "role_invalid"),
    "role is a list with a number": ('{GOOD,"role":["admin",1]}', "role_invalid"),
    "role is null": ('{GOOD,"role":null}', "role_invalid"),
    "no tenant": ('{"user_id":"USER","exp":9e9}', "tenant_id_missing"),
    "no user": ('{"tenant_id":"TENANT","exp":9e9}', "user_id_missing"),
    "tenant is no UUID": (
        '{"user_id":"USER","exp":9e9,"tenant_id":"1 OR 1=1"}',
        "tenant_id_invalid",
    ),
    "user in braces": (
        '{"tenant_id":"TENANT","exp":9e9,"user_id":"{USER}"}',
        "user_id_invalid",
    ),
    "an array": ("[]", "json_not_object"),
    "null": ("null", "json_not_object"),
    "a string": ('"exp"', "json_not_object"),
    "nothing but space": (" ", "json_invalid"),
    "two objects": ("{GOOD}{}", "json_invalid"),
    "a trailing comma": ("{GOOD,}", "json_invalid"),
    "single quotes": ("{'exp':1}", "json_invalid"),
    "a raw line feed": ('{GOOD,"x":"\n"}', "json_invalid"),
    "a NUL behind": ("{GOOD}\0", "json_invalid"),
    "a lone surrogate": ('{GOOD,"x":"\\ud800"}', "json_not_utf8"),
    "surrogates the wrong way round": ('{GOOD,"x":"\\ude00\\ud83d"}', "json_not_utf8"),
    "too deep": ('{GOOD,"x":' + "[" * 64 + "]" * 64 + "}", "json_too_deep"),
    "much too deep": ('{"x":' + "[" * 4000, "json_too_deep"),
    "a number of 641 digits": ('{GOOD,"x":' + "1" * 641 + "}", "json_number_too_long"),
}
UNUSUAL_CLAIMS = {
    "space everywhere": ' \t\r\n{ "exp" :9e9 , WHO\n} ',
    "exp is a fraction": '{WHO,"exp":9000000000.75}',
    "exp has an exponent": '{WHO,"exp":9E+9}',
    "exp is large": '{WHO,"exp":1e300}',
    "exp is beyond 64 bits": '{WHO,"exp":99999999999999999999}',
    "escaped names": r'{"\u0065xp":9e9,"t\u0065nant_id":"TENANT","user_id":"USER"}',
    "escaped values": '{GOOD,"role":"\\u0061dmin"}',
    "iat ahead": '{GOOD,"iat":8e9}',
    "nbf below zero": '{GOOD,"nbf":-1.5}',
    "iss, sub and jti": '{GOOD,"iss":"","sub":"x","jti":"y"}',
    "a private claim beyond a double": '{GOOD,"x":1e999}',
    "a number of 640 digits": '{GOOD,"x":' + "1" * 640 + "}",
    "as deep as allowed": '{GOOD,"x":' + "[" * 63 + "]" * 63 + "}",
    "the same name in other objects": '{GOOD,"x":{"exp":1,"x":{"exp":"a"}}}',
    "an inner aud": '{GOOD,"x":{"aud":1}}',
    "Unicode": '{GOOD,"é\u20ac\U0001f600":"\\ud83d\\ude00\x7f"}',
    "NUL in a string": '{GOOD,"x":"\\u0000"}',
    "an empty name": '{GOOD,"":""}',
    "many members": "{GOOD," + ",".join(f'"x{i}":{i}' for i in range(400)) + "}",
}


class TestHostileTokens:
    @pytest.mark.parametrize("name", HOSTILE_HEADERS)
    def test_a_token_with_a_hostile_header_is_invalid(self, name: str, keyring: Keyring) -> None:
        header, expected = HOSTILE_HEADERS[name]
        token = sign(header, claims(), SECRET)
        assert reason(keyring.verify(token)) == expected
        assert reason(keyring.decode(token)) == expected
        with pytest.raises(token_oracle.RefusedError):
            token_oracle.read(token, SECRET, time.time())

    @pytest.mark.parametrize("name", HOSTILE_CLAIMS)
    def test_a_token_with_hostile_claims_is_invalid(self, name: str, keyring: Keyring) -> None:
        payload, expected = HOSTILE_CLAIMS[name]
        token = sign(HEADER, filled(payload), SECRET)
        assert reason(keyring.verify(token)) == expected
        assert reason(keyring.decode(token)) == expected
        with pytest.raises(token_oracle.RefusedError):
            token_oracle.read(token, SECRET, time.time())

    @pytest.mark.parametrize("name", UNUSUAL_CLAIMS)
    def test_unusual_tokens_that_follow_the_rules_are_valid(
        self, name: str, keyring: Keyring
    ) -> None:
        token = sign(HEADER, filled(UNUSUAL_CLAIMS[name]), SECRET)
        assert reason(keyring.verify(token)) == ""
        assert keyring.decode(token) == in_lower_case(
            token_oracle.read(token, SECRET, time.time())[0]
        )

    @pytest.mark.parametrize(
        "typ", ["JWT", "jwt", "at+jwt", "application/jwt", "Application/AT+JWT"]
    )
    def test_the_accepted_types_of_tokens_are_valid(self, typ: str, keyring: Keyring) -> None:
        assert reason(keyring.verify(sign({"alg": "HS256", "typ": typ}, claims(), SECRET))) == ""

    def test_a_key_in_the_token_is_ignored(self, keyring: Keyring) -> None:
        other = bytes(64)
        jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(other).rstrip(b"=").decode()}
        header = {"alg": "HS256", "jwk": jwk, "jku": "https://evil.example/keys"}
        assert reason(keyring.verify(sign(header, claims(), other))) == "signature_mismatch"
        assert reason(keyring.verify(sign(header, claims(), SECRET))) == ""

    def test_a_token_with_one_changed_character_is_invalid(self, keyring: Keyring) -> None:
        token = signed()
        for place, character in enumerate(token):
            for other in "Aa0-_.=+/ \n\0é":
                if other != character:
                    changed = token[:place] + other + token[place + 1 :]
                    assert isinstance(keyring.verify(changed), InvalidToken)

    def test_a_part_of_a_token_or_one_with_more_around_it_is_invalid(
        self, keyring: Keyring
    ) -> None:
        token = signed()
        for length in range(len(token)):
            assert isinstance(keyring.verify(token[:length]), InvalidToken)
            assert isinstance(keyring.verify(token[length + 1 :]), InvalidToken)
        for extra in (" ", "\n", "\t", "=", ".", "\0", "A", "é", "\u1234", "."):
            assert isinstance(keyring.verify(token + extra), InvalidToken)
            assert isinstance(keyring.verify(extra + token), InvalidToken)

    def test_other_serializations_are_invalid(self, keyring: Keyring) -> None:
        header, payload, signature = signed().split(".")
        flat = json.dumps({"protected": header, "payload": payload, "signature": signature})
        assert reason(keyring.verify(flat)) == "not_three_segments"
        assert reason(keyring.verify(f"{header}.{payload}.{signature}.{payload}.x")) != ""
        assert reason(keyring.verify(f"{header}..{signature}")) == "not_three_segments"
        assert reason(keyring.verify(f"{header}.{payload}.")) == "not_three_segments"

    def test_a_token_longer_than_the_limit_is_invalid(self) -> None:
        token = signed()
        key = Key.secret("HS256", SECRET)
        assert reason(Keyring([key], max_token_bytes=len(token)).verify(token)) == ""
        shorter = Keyring([key], max_token_bytes=len(token) - 1)
        assert reason(shorter.verify(token)) == "too_long"
        assert reason(shorter.verify("\U0001f600" * 10**6)) == "too_long"

    def test_a_public_key_is_no_secret(self, pairs: dict[str, KeyPair]) -> None:
        for pair in pairs.values():
            for pem in (pair.public.encode(), pair.private.encode()):
                with pytest.raises(ValueError, match="secret is the text of a key"):
                    Key.secret("HS256", pem)
        point = pairs["EdDSA"].public_der()[-32:]
        fields = b"".join(len(one).to_bytes(4, "big") + one for one in (b"ssh-ed25519", point))
        ssh = b"ssh-ed25519 " + base64.b64encode(fields)
        with pytest.raises(ValueError, match="secret is the text of a key"):
            Key.secret("HS256", ssh)

    def test_an_es256_signature_in_der_is_invalid(self, pairs: dict[str, KeyPair]) -> None:
        pair = pairs["ES256"]
        token = pair.token(claims())
        head = token.rpartition(".")[0]
        der = openssl("dgst", "-sha256", "-sign", "KEY", given=head.encode(), key=pair.private)
        keyring = Keyring([Key.pem("ES256", pair.public.encode())])
        assert reason(keyring.verify(token)) == ""
        assert reason(keyring.verify(f"{head}.{token_oracle.encode(der)}")) == "signature_mismatch"

    def test_rs_and_ps_of_one_key_do_not_verify_each_other(self, pairs: dict[str, KeyPair]) -> None:
        pair = pairs["RS256"]
        for ours, theirs in (("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512")):
            keyring = Keyring([Key.pem(ours, pair.public.encode())])
            token = pair.token(claims(), theirs)
            assert reason(keyring.verify(token)) == "algorithm_mismatch"
            header, payload, signature = token.split(".")
            header = token_oracle.encode(json.dumps({"alg": ours}).encode())
            assert reason(keyring.verify(f"{header}.{payload}.{signature}")) == "signature_mismatch"


JSON_TEXT = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


def in_lower_case(claims: dict[str, Any]) -> dict[str, Any]:
    """Claims as `Keyring.decode` shows them: ids that are UUIDs are in lower case."""
    shown = claims | {name: claims[name].lower() for name in ("tenant_id", "user_id")}
    if "tenant_id" in claims.get("act", {}):
        shown["act"] = claims["act"] | {"tenant_id": claims["act"]["tenant_id"].lower()}
    return shown


def verdicts_agree(keyring: Keyring, token: str) -> None:
    try:
        expected, says = token_oracle.read(token, SECRET, time.time())
    except token_oracle.RefusedError:
        assert isinstance(keyring.decode(token), InvalidToken), token
        assert isinstance(keyring.verify(token), InvalidToken), token
    else:
        assert keyring.decode(token) == in_lower_case(expected), token
        identity = keyring.verify(token)
        assert isinstance(identity, Identity), token
        found = (identity.tenant_id, identity.user_id, identity.role, identity.permissions)
        assert found == (says.tenant_id, says.user_id, says.role, says.permissions), token


class TestAgainstTheOracle:
    """The core and an independent reading of the rules say the same."""

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(extra=st.dictionaries(st.text(), JSON_TEXT))
    @example(extra={"aud": []})
    def test_the_verdict_on_random_claims_is_that_of_the_oracle(
        self, keyring: Keyring, extra: dict[str, Any]
    ) -> None:
        verdicts_agree(keyring, sign(HEADER, claims() | extra, SECRET))

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(extra=st.dictionaries(st.text(), JSON_TEXT))
    @example(extra={"typ": "at+jwt"})
    def test_the_verdict_on_random_headers_is_that_of_the_oracle(
        self, keyring: Keyring, extra: dict[str, Any]
    ) -> None:
        verdicts_agree(keyring, sign(HEADER | extra, claims(), SECRET))

    def test_the_verdict_on_mutated_texts_is_that_of_the_oracle(self, keyring: Keyring) -> None:
        """Valid payloads and headers with octets changed, removed, doubled and spliced."""
        chance = random.Random(20261123)
        texts = [filled(text) for text in UNUSUAL_CLAIMS.values()]
        pieces = [
            *b'{}[]",:\\ \n\t0123456789eE+-.unft\xc3\xa9\xff\x00',
            b'"exp":9e9',
            b'"exp"',
            b"\\u0065",
            b"\\ud83d\\ude00",
            b"\\ud800",
            b"1e999",
            b"null",
            b"true",
            b'"aud":"x"',
            b'"role":"admin"',
        ]
        accepted = 0
        for round_number in range(6000):
            text = bytearray(chance.choice(texts[:-1]))
            for _ in range(chance.choice((1, 1, 2, 5))):
                place = chance.randrange(len(text) + 1)
                piece = chance.choice(pieces)
                piece = bytes([piece]) if isinstance(piece, int) else piece
                text[place : place + chance.choice((0, 0, 1, 2))] = piece
            if round_number % 3:
                token = sign(HEADER, bytes(text), SECRET)
            else:
                text = text.replace(b'"exp":9', b'"alg":"HS256","x":9')
                if b"kid" in text:
                    continue
                token = sign(bytes(text), claims(), SECRET)
            verdicts_agree(keyring, token)
            accepted += isinstance(keyring.verify(token), Identity)
        assert accepted > 500

    def test_the_verdict_on_mutated_tokens_is_that_of_the_oracle(self, keyring: Keyring) -> None:
        chance = random.Random(4)
        characters = "ABCDwxyz0189-_.=+/ é"
        for _ in range(3000):
            token = list(signed())
            for _ in range(chance.choice((1, 2, 3))):
                token[chance.randrange(len(token))] = chance.choice(characters)
            verdicts_agree(keyring, "".join(token))

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(extra=st.dictionaries(st.text(), JSON_TEXT))
    def test_a_signed_token_has_the_claims_that_were_given(
        self, keyring: Keyring, extra: dict[str, Any]
    ) -> None:
        payload = extra | claims()
        for removed in ("aud", "iss", "sub", "jti", "nbf"):
            payload.pop(removed, None)
        text = json.dumps(payload)
        token = ""
        with contextlib.suppress(ValueError):
            token = keyring.sign(text.encode())
        if token:
            assert keyring.decode(token) == payload
            assert jwt.decode(token, SECRET, ["HS256"]) == payload
        else:
            assert "\\u0000" in text or re.search("[0-9]{19}", text)


class TestRules:
    def test_a_token_of_another_issuer_is_invalid(self) -> None:
        keyring = Keyring([Key.secret("HS256", SECRET)], issuer="us")
        assert reason(keyring.verify(signed(iss="us"))) == ""
        assert reason(keyring.verify(signed(iss="them"))) == "iss_mismatch"
        assert reason(keyring.verify(signed())) == "iss_mismatch"

    def test_a_token_without_a_configured_audience_is_invalid(self) -> None:
        keyring = Keyring([Key.secret("HS256", SECRET)], audiences=["api", "é"])
        assert reason(keyring.verify(signed(aud="api"))) == ""
        assert reason(keyring.verify(signed(aud=["x", "é"]))) == ""
        assert reason(keyring.verify(signed(aud="x"))) == "aud_mismatch"
        assert reason(keyring.verify(signed(aud=[]))) == "aud_mismatch"
        assert reason(keyring.verify(signed())) == "aud_mismatch"

    def test_leeway_moves_expiry_and_not_before(self) -> None:
        strict = Keyring([Key.secret("HS256", SECRET)])
        lenient = Keyring([Key.secret("HS256", SECRET)], leeway=30.5)
        for token, expected in (
            (signed(exp=int(time.time()) - 20), "expired"),
            (signed(nbf=int(time.time()) + 20), "not_yet_valid"),
        ):
            assert reason(strict.verify(token)) == expected
            assert reason(lenient.verify(token)) == ""

    def test_decode_keeps_the_types_of_json(self, keyring: Keyring) -> None:
        text = f'"i":1,"f":1.0,"b":{2**200},"e":1e2,"n":-0,"t":true,"z":null,"l":[{{}}]'
        decoded = keyring.decode(sign(HEADER, filled("{GOOD," + text + "}"), SECRET))
        assert isinstance(decoded, dict)
        assert decoded["b"] == 2**200
        kinds = {name: type(decoded[name]) for name in "ifbentzl"}
        assert kinds == {
            "i": int,
            "f": float,
            "b": int,
            "e": float,
            "n": int,
            "t": bool,
            "z": type(None),
            "l": list,
        }

    @pytest.mark.parametrize(
        ("payload", "message"),
        [
            (b"", "the JSON is malformed"),
            (b"[]", "the JSON is not an object"),
            (b'{"a":1,"a":2}', "the JSON has a name twice"),
            (b'{"a":NaN}', "the JSON is malformed"),
            (b'{"a":"\xff"}', "the JSON is not valid Unicode"),
            (b'{"a":"\\u0000"}', "payload cannot be signed unchanged"),
            (b'{"a":9223372036854775808}', "payload cannot be signed unchanged"),
            (b'{"a":1e400}', "payload cannot be signed unchanged"),
            (b"{" + b" " * 20000 + b"}", "the token is longer"),
            (b'{"a":"' + b"x" * 7000 + b'"}', "the token is longer"),
        ],
    )
    def test_a_payload_that_would_be_invalid_is_not_signed(
        self, payload: bytes, message: str, keyring: Keyring
    ) -> None:
        with pytest.raises(ValueError, match=message):
            keyring.sign(payload)


class TestSeveralKeys:
    def test_tokens_stay_valid_during_a_rotation(self) -> None:
        old = Key.secret("HS256", b"o" * 32)
        new = Key.secret("HS256", b"n" * 32)
        payload = json.dumps(claims()).encode()
        before, during, after = Keyring([old]), Keyring([new, old]), Keyring([new])
        old_token, new_token = before.sign(payload), during.sign(payload)
        assert reason(during.verify(old_token)) == ""
        assert reason(during.verify(new_token)) == ""
        assert reason(after.verify(new_token)) == ""
        assert reason(after.verify(old_token)) == "kid_unknown"
        assert reason(before.verify(new_token)) == "kid_unknown"

    def test_without_a_kid_every_key_of_the_algorithm_is_tried(self) -> None:
        keys = [Key.secret("HS256", bytes([fill]) * 32) for fill in range(1, 9)]
        keyring = Keyring(keys)
        for fill in range(1, 9):
            assert reason(keyring.verify(sign(HEADER, claims(), bytes([fill]) * 32))) == ""
        assert reason(keyring.verify(sign(HEADER, claims(), SECRET))) == "signature_mismatch"

    def test_keys_of_different_algorithms_verify_their_tokens(
        self, pairs: dict[str, KeyPair]
    ) -> None:
        keys = [Key.secret("HS256", SECRET)]
        keys += [Key.pem(name, pair.public.encode()) for name, pair in pairs.items()]
        keyring = Keyring(keys)
        for name, pair in pairs.items():
            assert reason(keyring.verify(pair.token(claims(), name))) == ""
        assert reason(keyring.verify(signed())) == ""

    def test_two_keys_of_one_algorithm_and_kid_raise(self) -> None:
        keys = [Key.secret("HS256", SECRET, kid="a"), Key.secret("HS256", b"x" * 32, kid="a")]
        with pytest.raises(ValueError, match="two keys with one kid"):
            Keyring(keys)
        assert len(Keyring([keys[0], Key.secret("HS512", SECRET, kid="a")]).keys) == 2


class TestKeys:
    def test_a_key_has_its_attributes_and_shows_no_secret(self) -> None:
        key = Key.secret("HS256", SECRET)
        assert (key.algorithm, len(key.kid), key.can_sign) == ("HS256", 12, True)
        assert Key.secret("HS256", SECRET).kid == key.kid
        assert Key.secret("HS256", SECRET, kid="2026 é").kid == "2026 é"
        assert SECRET.decode() not in repr(key) + repr(Keyring([key]))

    def test_a_secret_shorter_than_the_hash_raises(self) -> None:
        for algorithm, size in (("HS256", 32), ("HS384", 48), ("HS512", 64)):
            with pytest.raises(ValueError, match="secret is shorter than the hash"):
                Key.secret(algorithm, b"x" * (size - 1))
            assert Key.secret(algorithm, b"x" * size).can_sign
        assert Key.secret("HS256", b"x", allow_weak=True).can_sign

    @pytest.mark.cryptography
    @pytest.mark.parametrize("algorithm", PAIR_ALGORITHMS)
    def test_a_jwk_of_pyjwt_is_read(self, algorithm: str, pairs: dict[str, KeyPair]) -> None:
        pair = pairs[algorithm]
        theirs = jwt.get_algorithm_by_name(algorithm)
        both = theirs.prepare_key(pair.private)
        private = json.loads(theirs.to_jwk(both)) | {"alg": algorithm}  # type: ignore[attr-defined]
        public = json.loads(theirs.to_jwk(both.public_key()))  # type: ignore[attr-defined]
        key = Key.jwk(private)
        assert key.public_jwk() == Key.pem(algorithm, pair.private.encode()).public_jwk()
        assert {name: key.public_jwk()[name] for name in ("kty", *public.keys() - {"key_ops"})} == {
            name: value for name, value in public.items() if name != "key_ops"
        }
        assert jwt.PyJWK(key.public_jwk()).algorithm_name == algorithm
        if key.can_sign:
            token = Keyring([key]).sign(json.dumps(claims()).encode())
            assert reason(Keyring([Key.jwk(key.public_jwk())]).verify(token)) == ""

    @pytest.mark.parametrize(
        ("jwk", "message"),
        [
            ({}, "lacks a member"),
            ({"kty": "RSA"}, "has no alg"),
            ({"kty": 1}, "kty must be a string"),
            ({"kty": "EC", "crv": "P-256"}, "lacks a member"),
            ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "lacks a member"),
            ({"kty": "oct", "alg": "HS256", "k": "AA"}, "shorter than the hash"),
            ({"kty": "oct", "alg": "HS256", "k": "A" * 44 + "="}, "lacks a member"),
            ({"kty": "oct", "alg": "HS256", "k": "A" * 43, "use": "enc"}, "not for signatures"),
            ({"kty": "oct", "alg": "HS256", "k": "A" * 43, "key_ops": ["wrapKey"]}, "not for sig"),
            ({"kty": "oct", "alg": "HS256", "k": "A" * 43, "key_ops": "sign"}, "key_ops must be"),
            ({"kty": "oct", "alg": "RS256", "k": "A" * 43}, "another kind"),
        ],
    )
    def test_a_jwk_that_is_not_valid_raises(self, jwk: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Key.jwk(jwk)

    def test_pem_text_that_is_not_valid_raises(self, pairs: dict[str, KeyPair]) -> None:
        small = KeyPair(bits=1024).private.encode()
        pem = pairs["ES256"].private.encode()
        encrypted = openssl("pkcs8", "-topk8", "-passout", "pass:x", given=pem)
        for algorithm, text, message in (
            ("RS256", small, "2,048"),
            ("RS256", pem, "another kind"),
            ("ES384", pem, "another kind"),
            ("HS256", pem, "algorithm is for a secret"),
            ("ES256", b"", "is empty"),
            ("ES256", encrypted, "no passphrase"),
            ("ES256", pem[:100], "cut off, damaged"),
            ("ES256", b"a secret of the server, 32 octets", "neither PEM text nor DER"),
        ):
            with pytest.raises(ValueError, match=message):
                Key.pem(algorithm, text)
        assert Key.pem("ES256", encrypted, passphrase=b"x").is_private
        with pytest.raises(ValueError, match="passphrase is wrong"):
            Key.pem("ES256", encrypted, passphrase=b"y")

    def test_the_key_of_a_certificate_has_its_dates(self) -> None:
        private = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        begun = int(time.time())
        for days in (1, 36500):  # UTCTime, and GeneralizedTime from 2050 on
            certificate = openssl(
                *("req", "-x509", "-new", "-subj", "/CN=x", "-days", str(days), "-key", "KEY"),
                key=private.decode(),
            )
            der = openssl("x509", "-outform", "DER", given=certificate)
            validity = Key.pem("ES256", certificate).validity
            assert validity is not None
            for form in (der, base64.b64encode(der)):
                assert Key.pem("ES256", form).validity == validity
            assert begun <= validity[0] <= time.time()
            assert validity[1] - validity[0] == days * 24 * 60 * 60
        public = Key.jwk(Key.pem("ES256", certificate).public_jwk())
        assert public.validity is Key.pem("ES256", private).validity is None
        assert Key.secret("HS256", SECRET).validity is None

    def test_null_members_of_a_jwk_are_absent(self, pairs: dict[str, KeyPair]) -> None:
        jwk = Key.pem("ES256", pairs["ES256"].public.encode()).public_jwk()
        nothing = dict.fromkeys(("alg", "kid", "use", "key_ops", "d", "k", "n"))
        assert Key.jwk({**jwk, **nothing}).algorithm == "ES256"
        with pytest.raises(ValueError, match="lacks a member"):
            Key.jwk({**jwk, "x": None})

    def test_a_secret_is_not_published(self) -> None:
        with pytest.raises(ValueError, match="no public JWK"):
            Key.secret("HS256", SECRET).public_jwk()


class TestIssuing:
    def test_the_core_writes_the_claims_it_reads(self) -> None:
        keyring = Keyring(
            [Key.secret("HS256", SECRET)], issuer='us "\\\u202e\u00e9', audiences=["api", "mail\n"]
        )
        with pytest.raises(ValueError, match="sub is not a string"):
            keyring.issue(Identity(TENANT, USER, "admin"), 5, 9_000_000_000, b' { "sub": 1 } ')
        token = keyring.issue(Identity(TENANT, USER, "admin"), 5, 9_000_000_000, b'{"sub":"x"}')
        assert keyring.decode(token) == {
            "tenant_id": TENANT,
            "user_id": USER,
            "role": "admin",
            "iat": 5,
            "exp": 9_000_000_000,
            "iss": 'us "\\\u202e\u00e9',
            "aud": ["api", "mail\n"],
            "sub": "x",
        }
        judged = keyring.verify(token)
        assert isinstance(judged, Identity)
        assert (judged, judged.expires_at) == (Identity(TENANT, USER, "admin"), 9_000_000_000)

    def test_one_audience_is_a_string_and_none_is_absent(self, keyring: Keyring) -> None:
        one = Keyring(keyring.keys, audiences=["api"])
        for each, audience in ((one, {"aud": "api"}), (keyring, {})):
            claims = each.decode(each.issue(Identity(TENANT, USER), -1, 9_000_000_000, b"{}"))
            assert isinstance(claims, dict)
            assert claims["iat"] == -1
            assert {name: claims[name] for name in ("iss", "aud") if name in claims} == audience

    @pytest.mark.parametrize(
        ("further", "message"),
        [
            (b"", "the JSON is not an object"),
            (b"[]", "the JSON is not an object"),
            (b"{", "the JSON is malformed"),
            (b"{,}", "the JSON is malformed"),
            (b'{"a":1}}', "the JSON is malformed"),
            (b'{"\\u0065xp":1}', "the JSON has a name twice"),
            (b'{"role":"admin"}', "the JSON has a name twice"),
        ],
    )
    def test_further_claims_replace_none_of_the_core(
        self, further: bytes, message: str, keyring: Keyring
    ) -> None:
        with pytest.raises(ValueError, match=message):
            keyring.issue(Identity(TENANT, USER), 1, 9_000_000_000, further)

    def test_arguments_of_other_types_raise(self, keyring: Keyring) -> None:
        with pytest.raises(TypeError, match="identity must be Identity"):
            keyring.issue(None, 1, 2, b"{}")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="further must be bytes"):
            keyring.issue(Identity(TENANT, USER), 1, 2, "{}")  # type: ignore[arg-type]
        with pytest.raises(OverflowError):
            keyring.issue(Identity(TENANT, USER), 1, 2**70, b"{}")


def test_roles_are_those_of_the_core() -> None:
    assert tuple(UserRole) == DEFAULT_ROLES.names
    assert Identity(TENANT, USER).role == DEFAULT_ROLE


class TestIdentity:
    def test_an_identity_has_its_attributes(self) -> None:
        identity = Identity(TENANT.upper(), USER, "admin", source="headers")
        assert (identity.tenant_id, identity.user_id) == (TENANT, USER)
        assert (identity.role, identity.source) == ("admin", "headers")
        assert identity.expires_at is None
        assert eval(repr(identity)) == identity

    def test_identities_are_equal_by_tenant_user_and_role(self) -> None:
        identity = Identity(TENANT, USER)
        assert identity == Identity(TENANT.upper(), USER, "user", source="headers")
        assert hash(identity) == hash(Identity(TENANT.upper(), USER, source="headers"))
        others = {Identity(USER, TENANT), Identity(TENANT, USER, "admin"), Identity(USER, USER)}
        assert len(others | {identity}) == 4
        assert identity != (TENANT, USER)
        with pytest.raises(TypeError):
            _ = identity < identity  # type: ignore[operator]

    @pytest.mark.parametrize("name", ["tenant_id", "role", "expires_at", "anything"])
    def test_an_identity_cannot_be_changed(self, name: str) -> None:
        with pytest.raises(AttributeError):
            setattr(Identity(TENANT, USER), name, "x")
        with pytest.raises(TypeError):
            setattr(Identity, name, "x")

    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            (("x", USER), {}, "tenant_id must be a UUID"),
            ((TENANT, "{" + USER + "}"), {}, "user_id must be a UUID"),
            ((TENANT, USER, "root"), {"roles": DEFAULT_ROLES}, "role must be one of user, admin"),
            ((TENANT, USER, "a=b"), {}, "a role must be"),
            ((TENANT, USER), {"source": "x"}, "source must be one of"),
            ((TENANT, "\ud800"), {}, "user_id has lone surrogates"),
        ],
    )
    def test_values_that_are_not_valid_raise(
        self, arguments: tuple[str, ...], options: dict[str, str], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            Identity(*arguments, **options)


class TestAuthenticate:
    @pytest.mark.parametrize(
        "value", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearerabc", "Token x", "é", "\u1234"]
    )
    def test_a_header_without_bearer_credentials_has_no_identity(
        self, value: str | None, keyring: Keyring
    ) -> None:
        assert keyring.authenticate(value) is None
        if value is not None:
            assert parse_bearer(value) is None

    @pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER    ", "bEaReR "])
    def test_the_scheme_is_read_in_any_case(self, scheme: str, keyring: Keyring) -> None:
        token = signed()
        assert keyring.authenticate(scheme + token) == keyring.verify(token)
        assert parse_bearer(scheme + token) == token

    @pytest.mark.parametrize("rest", ["x", "a b", "é", "\u1234.b.c", "\U0001f600", "a.b.c", "\0"])
    def test_a_bearer_token_of_any_text_is_invalid(self, rest: str, keyring: Keyring) -> None:
        assert isinstance(keyring.authenticate("Bearer " + rest), InvalidToken)
        assert parse_bearer("Bearer " + rest) == rest


class TestPeek:
    def test_a_token_says_a_claim_and_a_kid(self) -> None:
        text = sign({**HEADER, "kid": "k\u00e9"}, {"iss": "\u20ac", "n": 7}, SECRET)
        for token in (text, text.encode()):
            assert peek_token(token, "iss") == ("\u20ac", "k\u00e9")
            assert peek_token(token, "n") == (None, "k\u00e9")
            assert peek_token(token=token, claim="absent") == (None, "k\u00e9")

    @pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c", "\u20ac.b.c", "e30.e30"])
    def test_a_malformed_token_says_nothing(self, token: str) -> None:
        assert peek_token(token, "iss") is None

    def test_each_reason_has_its_object(self, keyring: Keyring) -> None:
        for reason, invalid in INVALID_TOKENS.items():
            assert invalid.reason == reason
        assert keyring.verify("a") is INVALID_TOKENS["not_three_segments"]


class TestRejection:
    def test_each_reason_has_one_object(self, keyring: Keyring) -> None:
        assert keyring.verify("a") is keyring.verify("b")
        assert keyring.verify("a") is Keyring([Key.secret("HS512", SECRET)]).decode(b"a")

    def test_it_shows_nothing_of_the_token(self, keyring: Keyring) -> None:
        rejection = keyring.verify("eyJSECRET.SECRET.SECRET")
        assert isinstance(rejection, InvalidToken)
        assert "SECRET" not in f"{rejection!r}{rejection.reason}{rejection.detail}"
        assert not rejection.expired

    def test_it_cannot_be_made_or_changed(self, keyring: Keyring) -> None:
        with pytest.raises(TypeError):
            InvalidToken()
        with pytest.raises(AttributeError):
            keyring.verify("a").reason = "x"  # type: ignore[union-attr, misc]


class TestArguments:
    """Wrong types and counts of arguments, for every callable."""

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: Key(), "cannot create"),
            (lambda: Key.secret(), "algorithm"),
            (lambda: Key.secret("HS256"), "secret"),
            (lambda: Key.secret("HS256", "text"), "bytes"),
            (lambda: Key.secret(b"HS256", SECRET), "algorithm must be str"),
            (lambda: Key.secret("HS256", SECRET, "kid"), "positional"),
            (lambda: Key.secret("HS256", SECRET, kid=1), "kid must be str"),
            (lambda: Key.secret("HS256", SECRET, nonsense=1), "nonsense"),
            (lambda: Key.pem("RS256", "text"), "bytes"),
            (lambda: Key.pem(None, b""), "algorithm must be str"),
            (lambda: Key.pem("RS256", b"", kid=b"x"), "kid must be str"),
            (lambda: Key.pem("RS256", b"", passphrase="x"), "passphrase must be bytes or None"),
            (lambda: Key.jwk(), "argument"),
            (lambda: Key.jwk([]), "jwk must be a mapping"),
            (lambda: Key.jwk("{}"), "jwk must be a mapping"),
            (lambda: Key.jwk(None), "jwk must be a mapping"),
            (lambda: Key.secret("HS256", SECRET).public_jwk(1), "argument"),
            (lambda: Keyring(), "keys"),
            (lambda: Keyring(None), "keys must be a sequence"),
            (lambda: Keyring("abc"), "keys must be a sequence"),
            (lambda: Keyring([1]), "keys must be a sequence of Key"),
            (lambda: Keyring([Key.secret("HS256", SECRET)], "us"), "positional"),
            (lambda: Keyring([Key.secret("HS256", SECRET)], issuer=b"x"), "issuer must be str"),
            (lambda: Keyring([Key.secret("HS256", SECRET)], audiences="api"), "audiences must be"),
            (
                lambda: Keyring([Key.secret("HS256", SECRET)], audiences=[1]),
                "audiences must be str",
            ),
            (lambda: Keyring([Key.secret("HS256", SECRET)], leeway="1"), "real number"),
            (lambda: Keyring([Key.secret("HS256", SECRET)], max_token_bytes=1.5), "integer"),
            (lambda: Identity(), "tenant_id"),
            (lambda: Identity(TENANT), "user_id"),
            (lambda: Identity(None, USER), "tenant_id must be str"),
            (lambda: Identity(TENANT, 5), "user_id must be str"),
            (lambda: Identity(TENANT, USER, None), "role must be str"),
            (lambda: Identity(TENANT, USER, "user", "local"), "positional"),
            (lambda: parse_bearer(None), "str"),
            (lambda: parse_bearer(b"Bearer x"), "str"),
            (lambda: peek_token(7, "iss"), "token must be"),
            (lambda: peek_token("x", b"iss"), "claim must be"),
            (lambda: peek_token("x"), "claim"),
        ],
    )
    def test_arguments_of_wrong_types_raise(self, call: Callable[[], object], message: str) -> None:
        with pytest.raises(TypeError, match=message):
            call()

    @pytest.mark.parametrize("value", [None, 1, 1.5, [], {}, object(), bytearray(b"x")])
    def test_methods_name_an_argument_of_a_wrong_type(self, value: Any, keyring: Keyring) -> None:
        for method, name in (
            (keyring.verify, "token"),
            (keyring.decode, "token"),
            (keyring.sign, "payload"),
        ):
            with pytest.raises(TypeError, match=f"{name} must be"):
                method(value)
        if value is not None:
            with pytest.raises(TypeError, match="authorization must be"):
                keyring.authenticate(value)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: Key.secret("hs256", SECRET), "algorithm must be one of"),
            (lambda: Key.secret("none", SECRET), "algorithm must be one of"),
            (lambda: Key.secret("\ud800", SECRET), "algorithm has lone surrogates"),
            (lambda: Key.secret("RS256", SECRET), "algorithm is not for a secret"),
            (lambda: Key.secret("HS256", b""), "secret is empty"),
            (lambda: Key.secret("HS256", b"x" * 65537), "secret is longer"),
            (lambda: Key.secret("HS256", SECRET, kid=""), "kid must be"),
            (lambda: Key.secret("HS256", SECRET, kid="a\n"), "kid must be"),
            (lambda: Key.secret("HS256", SECRET, kid="k" * 256), "kid must be"),
            (lambda: Keyring([]), "needs at least one key"),
            (lambda: Keyring([Key.secret("HS256", SECRET)], leeway=-1), "leeway must be"),
            (lambda: Keyring([Key.secret("HS256", SECRET)], leeway=float("nan")), "leeway must be"),
            (lambda: Keyring([Key.secret("HS256", SECRET)], leeway=float("inf")), "leeway must be"),
            (lambda: Keyring([Key.secret("HS256", SECRET)], max_token_bytes=0), "max_token_bytes"),
            (lambda: Keyring([Key.secret("HS256", SECRET)], max_token_bytes=2**40), "max_token_b"),
        ],
    )
    def test_values_that_are_not_valid_raise(
        self, call: Callable[[], object], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            call()

    def test_an_exception_of_a_mapping_is_raised(self) -> None:
        class Broken(dict[str, str]):
            def __getitem__(self, name: str) -> str:
                raise RuntimeError(name)

        with pytest.raises(RuntimeError, match="key_ops"):
            Key.jwk(Broken())

    def test_a_key_cannot_be_pickled_or_copied(self) -> None:
        for value in (Key.secret("HS256", SECRET), Keyring([Key.secret("HS256", SECRET)])):
            with pytest.raises(TypeError):
                pickle.dumps(value)
            with pytest.raises(TypeError):
                copy.copy(value)


class TestLife:
    def test_the_keyring_keeps_its_keys(self) -> None:
        keyring = Keyring([Key.secret("HS256", SECRET)])
        gc.collect()
        assert reason(keyring.verify(signed())) == ""
        assert isinstance(keyring.keys, tuple)

    def test_many_threads_can_use_one_keyring(
        self, keyring: Keyring, pairs: dict[str, KeyPair]
    ) -> None:
        both = Keyring([*keyring.keys, Key.pem("ES256", pairs["ES256"].private.encode())])
        tokens = [signed(), pairs["ES256"].token(claims())]
        wrong: list[object] = []

        def work() -> None:
            for number in range(300):
                token = tokens[number % 2]
                if reason(both.verify(token)) or not reason(both.verify(token[:-9] + "A" * 9)):
                    wrong.append(token)
                both.sign(b'{"a":1}')

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_a_forked_child_can_use_the_keyring(self, keyring: Keyring) -> None:
        token = signed()
        assert reason(keyring.verify(token)) == ""
        child = os.fork()
        if child == 0:
            os._exit(0 if reason(keyring.verify(token)) == "" and keyring.sign(b"{}") else 1)
        assert os.waitpid(child, 0)[1] == 0

    def test_references_are_flat(self, keyring: Keyring) -> None:
        """Every way out of every function leaves as many blocks as it found."""
        good, bad, late = signed(), signed()[:-2], signed(exp=1)
        wide = good + "\u1234"
        deep = sign(HEADER, ('{"x":' + "[" * 80).encode(), SECRET)
        aud = sign(HEADER, filled('{GOOD,"x":[1,{"y":2.5}],"aud":"x"}'), SECRET)
        key = keyring.keys[0]
        jwk = {"kty": "oct", "alg": "HS256", "k": "A" * 43}

        def once() -> None:
            for token in (good, bad, late, wide, deep, aud, "", good.encode()):
                keyring.verify(token)
                keyring.decode(token)
                if isinstance(token, str):
                    keyring.authenticate("Bearer " + token)
            keyring.sign(b'{"a":[1,2]}')
            str((key, Keyring([key], issuer="x", audiences=["a"]), Identity(TENANT, USER)))
            Key.jwk(jwk)
            for call in (
                lambda: keyring.sign(b"["),
                lambda: keyring.verify(None),  # type: ignore[arg-type]
                lambda: Key.secret("HS256", b""),
                lambda: Key.jwk({"kty": 1}),
                lambda: Key.jwk(jwk | {"k": "!"}),
                lambda: Keyring([key, None]),  # type: ignore[list-item]
                lambda: Keyring([key], audiences=["a", 1]),  # type: ignore[list-item]
                lambda: Identity(TENANT, "x"),
            ):
                with pytest.raises((TypeError, ValueError)):
                    call()

        def blocks_after(rounds: int) -> int:
            for _ in range(rounds):
                once()
            gc.collect()
            return sys.getallocatedblocks()

        blocks_after(50)
        counts = [blocks_after(100) for _ in range(4)]
        assert min(counts[1:]) - counts[0] < 100


def run(script: str, *arguments: str) -> str:
    """The output of a script in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_million_verifications_take_no_memory() -> None:
    """Half of them refused; the resident memory grows by less than 64 KiB."""
    script = """
import resource, sys
from flask_tenant_auth._core import Key, Keyring, InvalidToken

keyring = Keyring([Key.secret("HS256", sys.argv[1].encode())])
good = sys.argv[2]
bad = good[:-9] + "A" * 9

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def verify(rounds):
    for _ in range(rounds):
        assert type(keyring.verify(good)) is not InvalidToken
        assert type(keyring.verify(bad)) is InvalidToken

verify(50_000)
before = resident()
verify(500_000)
print(resident() - before)
"""
    assert int(run(script, SECRET.decode(), signed())) < 64 * 1024


def test_huge_tokens_need_no_large_stack() -> None:
    """In threads of 256 KiB, with the cap at 16 MB."""
    script = """
import sys, threading
from flask_tenant_auth._core import Key, Keyring, InvalidToken
import token_oracle

secret = sys.argv[1].encode()
keyring = Keyring([Key.secret("HS256", secret)], max_token_bytes=16_000_000)
good = sys.argv[2]
filler = ",".join(f'"{i}":{{"{i}":"{i}"}}' for i in range(100_000))
tokens = [
    "A" * 15_000_000,
    "A" * 5_000_000 + "." + "A" * 5_000_000 + "." + "A" * 5_000_000,
    "." * 1_000_000,
    token_oracle.sign({"alg": "HS256"}, f"{{{good},{filler}}}".encode(), secret),
    token_oracle.sign(f'{{"alg":"HS256",{filler}}}'.encode(), f"{{{good}}}".encode(), secret),
    token_oracle.sign({"alg": "none"}, b"[" * 5_000_000, secret),
    token_oracle.sign({"alg": "HS256"}, b"[" * 5_000_000, secret),
    token_oracle.sign({"alg": "HS256"}, b'{"x":"' + b"y" * 5_000_000 + b'"}', secret),
]
results = []

def work():
    for token in tokens:
        results.append(type(keyring.verify(token)).__name__)
        results.append(type(keyring.decode(token)).__name__)
    keyring.sign(b'{"x":"' + b"y" * 5_000_000 + b'"}')

threading.stack_size(256 * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
right = ["Identity", "dict"]
wrong = ["InvalidToken", "InvalidToken"]
assert results == 3 * wrong + right + right + 3 * wrong, results
"""
    path = f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n"
    run(path + script, SECRET.decode(), GOOD)
