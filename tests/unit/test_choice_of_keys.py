"""Which of several keys a token is verified with, compared with the oracle."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from random import Random
from typing import Any

import pytest

import token_oracle
from flask_tenant_auth._core import Identity, InvalidToken, Key, Keyring
from token_oracle import HASHES, TRIES, RefusedError, Shared, sign

TENANT = "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4"
USER = "550e8400-e29b-41d4-a716-446655440000"
CLAIMS = {"tenant_id": TENANT, "user_id": USER, "exp": 9_000_000_000}
SECRETS = [bytes([fill]) * 64 for fill in range(1, 15)]
GIVEN = ("a", "b", "2026-11", "\u00e9", 'https://x/"1"', "k" * 255)
FOREIGN = ("of an old program", "", "A", "../../dev/null", "k" * 300, "\x00")
ORDERS = list(itertools.permutations(("alg", "kid", "typ")))


def core_key(key: Shared) -> Key:
    made = Key.secret(key.algorithm, key.secret, kid=key.given_kid)
    assert made.kid == key.kid
    return made


def random_keys(chance: Random) -> list[Shared]:
    """Keys of several algorithms, some with a given kid, in any order. No two are one."""
    found: dict[tuple[str, str], Shared] = {}
    algorithms = chance.choice((("HS256",), ("HS256", "HS512"), tuple(HASHES)))
    share_of_given = chance.choice((0, 0.3, 1))
    for _ in range(chance.choice((1, 2, 5, 12, 24))):
        given = None
        if chance.random() < share_of_given:
            # One may be called as another one is by its fingerprint.
            given = chance.choice((*GIVEN, Shared(chance.choice(SECRETS)).kid))
        key = Shared(chance.choice(SECRETS), chance.choice(algorithms), given)
        found.setdefault((key.algorithm, key.kid), key)
    return list(found.values())


def random_header(chance: Random, keys: list[Shared], signer: Shared) -> tuple[str, bytes]:
    """What its kid is, and the header of a token, as one of many writers writes it."""
    other = chance.choice(keys)
    kinds = {
        "none": None,
        "of the signer": signer.kid,
        "of another key": other.kid,
        "given to no key or one": chance.choice(GIVEN),
        "a fingerprint": Shared(chance.choice(SECRETS)).kid,
        "foreign": chance.choice(FOREIGN),
    }
    kind = chance.choice(list(kinds))
    alg = chance.choice((*[signer.algorithm] * 6, other.algorithm, "HS256", "HS384", "none"))
    members: dict[str, Any] = {"alg": alg, "kid": kinds[kind], "typ": "JWT"}
    wanted = {
        name: members[name]
        for name in chance.choice(ORDERS)
        if members[name] is not None and (name != "typ" or chance.random() < 0.8)
    }
    text = json.dumps(
        wanted,
        separators=chance.choice(((",", ":"), (", ", ": "))),
        ensure_ascii=chance.random() < 0.5,
    )
    return kind, text.encode()


def reason_of(keyring: Keyring, token: str) -> str:
    found = keyring.verify(token)
    decoded = keyring.decode(token)
    if isinstance(found, InvalidToken):
        assert decoded == found
        return found.reason
    assert isinstance(found, Identity)
    assert isinstance(decoded, dict)
    return ""


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_of_keys_is_that_of_the_oracle(seed: int) -> None:
    chance = Random(seed)
    seen: Counter[tuple[str, str]] = Counter()
    for _ in range(250):
        keys = random_keys(chance)
        keyring = Keyring([core_key(key) for key in keys])
        for _ in range(20):
            signer = chance.choice(keys)
            if chance.random() < 0.2:
                signer = Shared(chance.choice(SECRETS), signer.algorithm)
            kind, header = random_header(chance, keys, signer)
            token = sign(header, CLAIMS, signer)
            expected = token_oracle.wrong_key(
                json.loads(header),
                keys,
                token.rpartition(".")[0].encode(),
                token_oracle.decode(token.rpartition(".")[2]),
            )
            assert reason_of(keyring, token) == expected, (keys, header, signer)
            try:
                claims, _says = token_oracle.read(token, keys, time.time())
            except RefusedError:
                assert expected
            else:
                assert not expected
                assert claims == CLAIMS
            seen[kind, expected] += 1
    # Each answer was there often enough to be worth something.
    for kind, answer in (
        ("none", ""),
        ("none", "signature_mismatch"),
        ("none", "algorithm_mismatch"),
        ("of the signer", ""),
        ("of another key", "signature_mismatch"),
        ("of another key", "algorithm_mismatch"),
        ("foreign", ""),
        ("foreign", "kid_unknown"),
    ):
        assert seen[kind, answer] > 10, (kind, answer, seen)


def test_at_most_eight_keys_are_tried_in_their_order() -> None:
    """Keys of another algorithm, and given kids where the kid is a hint, do not count."""
    keys = [Shared(secret) for secret in SECRETS[:10]]
    between = [Shared(SECRETS[11], "HS512"), Shared(SECRETS[12], given_kid="given")]
    for token_of, first, reason in (
        ({"alg": "HS256", "kid": "foreign"}, [*between, *keys], "kid_unknown"),
        ({"alg": "HS256"}, [between[0], *keys], "signature_mismatch"),
    ):
        keyring = Keyring([core_key(key) for key in first])
        for place, key in enumerate(keys):
            expected = "" if place < TRIES else reason
            assert reason_of(keyring, sign(token_of, CLAIMS, key)) == expected


def test_a_key_that_is_named_is_found_behind_any_number_of_others() -> None:
    keys = [Shared(secret) for secret in SECRETS] + [Shared(SECRETS[0], given_kid="last")]
    keyring = Keyring([core_key(key) for key in keys])
    for key in keys:
        assert reason_of(keyring, sign({"alg": "HS256", "kid": key.kid}, CLAIMS, key)) == ""
