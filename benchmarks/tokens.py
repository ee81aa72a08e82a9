"""The time to verify and to make a token, beside PyJWT's; the core beside one HMAC-SHA256."""

from __future__ import annotations

import base64
import functools
import json
import math
import time
from collections.abc import Callable

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from flask_tenant_auth import create_jwt_token, decode_jwt_token
from flask_tenant_auth._core import Identity, InvalidToken, Key, Keyring, peek_token
from flask_tenant_auth.keys.jwk_sets import Source
from flask_tenant_auth.keys.jwks import SetRules
from flask_tenant_auth.keys.providers import Provider

from . import apps, c_programs
from .harness import Plan, interleave
from .result import Figure, Row, Subject, Table

LONGEST = 8192
POINTERS = "Keyring.verify, three claims at pointers three levels deep"


def asymmetric_keys() -> dict[str, object]:
    return {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "PS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


def by_algorithm() -> dict[str, Callable[[], object]]:
    """Return calls that verify with a public key, ours and PyJWT's."""
    ways: dict[str, Callable[[], object]] = {}
    for algorithm, private in asymmetric_keys().items():
        public = private.public_key()
        pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        ring = Keyring([Key.pem(algorithm, pem)])
        token = jwt.encode(apps.claims(), private, algorithm=algorithm)
        ways[f"{algorithm}, ours"] = functools.partial(ring.decode, token)
        ways[f"{algorithm}, PyJWT"] = functools.partial(
            jwt.decode, token, public, algorithms=[algorithm], options={"require": ["exp"]}
        )
    return ways


def forged(token: str) -> str:
    """Return the token with an invalid signature of the right form."""
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{'A' * 42}{signature[-1]}"


def padded(length: int, secret: str = apps.SECRET) -> str:
    """Return a valid token of at most that many bytes, nearly all of them in one claim."""
    overhead = len(jwt.encode({**apps.claims(), "filler": ""}, secret, algorithm="HS256"))
    filler = "x" * ((length - overhead - 4) * 3 // 4)
    token = jwt.encode({**apps.claims(), "filler": filler}, secret, algorithm="HS256")
    if not length - 16 <= len(token) <= length:
        raise AssertionError(f"{len(token)} bytes where {length} were wanted")
    return token


def most_claims(length: int) -> str:
    """Return the worst case: as many names as fit, because each is compared with the others."""
    count = length // 8  # more than fit: a name and its value take 8 bytes of text at least
    while True:
        more = {f"{number:x}": 0 for number in range(count)}
        token = jwt.encode({**apps.claims(), **more}, apps.SECRET, algorithm="HS256")
        if len(token) <= length:
            return token
        count -= 1 + (len(token) - length) // 16


def expired() -> str:
    return jwt.encode(
        {**apps.claims(), "exp": int(time.time()) - 60}, apps.SECRET, algorithm="HS256"
    )


def wrong_key(token: str) -> str:
    """Return the token, signed with another key."""
    payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return jwt.encode(payload, "x" * 48, algorithm="HS256")


def at_pointers() -> Callable[[], object]:
    """Return what verifies a token whose tenant, user and role are three levels deep."""
    names = {"tenant_id": "tenant", "user_id": "user", "role": "role"}
    claims = apps.claims()
    inner = {short: claims.pop(name) for name, short in names.items() if name in claims}
    token = jwt.encode(claims | {"app": {"who": inner}}, apps.SECRET, algorithm="HS256")
    ring = Keyring(
        [Key.secret("HS256", apps.SECRET.encode())],
        places={name: (f"/app/who/{short}",) for name, short in names.items()},
    )
    verified = ring.verify(token)
    if not isinstance(verified, Identity) or verified.tenant_id != apps.TENANT:
        raise AssertionError(f"an unexpected result: {verified!r}")
    return lambda: ring.verify(token)


def of_providers() -> dict[str, Callable[[], object]]:
    """Return what tokens cost whose key a set of a provider may have: 100 keys, and one that asks.

    The set was fetched less than ten seconds ago, so that no fetch begins.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    entry = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key()))
    entries = [entry | {"kid": f"key {number}"} for number in range(100)]
    ring = Keyring([Key.jwk(each | {"alg": "ES256", "key_ops": None}) for each in entries])
    source = Source("bench", "(given)", SetRules())
    source.keys = ring.keys
    source.next_report = math.inf
    provider = Provider((), source, lambda keys: ring, LONGEST)
    token = jwt.encode(apps.claims(), private, algorithm="ES256", headers={"kid": "another"})

    def unknown() -> object:
        invalid = ring.authenticate(f"Bearer {token}")
        provider.look_for_key(invalid, token)
        return invalid

    if getattr(unknown(), "reason", None) != "kid_unknown":
        raise AssertionError(f"an unexpected result: {unknown()!r}")
    return {
        "an unknown kid, 100 keys": unknown,
        "the issuer of a token": lambda: peek_token(token, "iss"),
        "whether a fetch is due": provider.refresh,
    }


def run(plan: Plan) -> Subject:
    token = apps.token_of_pyjwt("user")
    ring = Keyring([Key.secret("HS256", apps.SECRET.encode())], max_token_bytes=LONGEST)
    pyjwt = functools.partial(
        jwt.decode, key=apps.SECRET.encode(), algorithms=["HS256"], options={"require": ["exp"]}
    )
    invalid = {
        "invalid: forged signature": forged(token),
        "invalid: expired": expired(),
        "invalid: another key": wrong_key(token),
        "invalid: over the cap": "a" * (LONGEST + 1),
    }
    longest = {
        f"verify, {LONGEST} bytes, one long claim": padded(LONGEST),
        f"verify, {LONGEST} bytes, most claims": most_claims(LONGEST),
    }
    for name, each in {"the ordinary token": token, **longest, **invalid}.items():
        if isinstance(ring.verify(each), InvalidToken) is not (name in invalid):
            raise AssertionError(f"{name}: an unexpected result: {ring.verify(each)!r}")

    with apps.ours(RATELIMIT_KEY_PREFIX="bench-tokens").app_context():
        hs256 = interleave(
            {
                "decode_jwt_token": lambda: decode_jwt_token(token),
                "PyJWT decode": lambda: pyjwt(token),
                "Keyring.verify": lambda: ring.verify(token),
                POINTERS: at_pointers(),
                **{name: functools.partial(ring.verify, each) for name, each in invalid.items()},
                **{name: functools.partial(ring.verify, each) for name, each in longest.items()},
            },
            plan,
        )
        made = interleave(
            {
                "create_jwt_token": lambda: create_jwt_token(apps.TENANT, apps.USER),
                "PyJWT encode": lambda: jwt.encode(apps.claims(), apps.SECRET, algorithm="HS256"),
            },
            plan,
        )
    algorithms = interleave(by_algorithm(), plan)
    providers = interleave(of_providers(), plan)
    c = c_programs.run("token_verify", plan, apps.SECRET, token)
    median = {name: samples.median for name, samples in hs256.items()}
    slowest_invalid = max(median[name] for name in invalid)
    return Subject(
        "tokens",
        "Tokens",
        tables=(
            Table.of("HS256, the ordinary token", "us", hs256),
            Table.of("A token made, HS256", "us", made),
            Table.of("Verified with a public key", "us", algorithms),
            Table.of("Keys of a provider", "us", providers),
            Table("In C", "ns", tuple(Row.of(name, each) for name, each in c.items())),
        ),
        figures=(
            Figure.no_less(
                "PyJWT decode / decode_jwt_token",
                median["PyJWT decode"] / median["decode_jwt_token"],
                10,
                "x",
            ),
            Figure.at_most(
                "core verify / one HMAC-SHA256 of the same bytes",
                c["verify"].median / c["HMAC-SHA256"].median,
                4,
                "x",
            ),
            Figure.at_most(
                "slowest invalid token / a valid token",
                slowest_invalid / median["Keyring.verify"],
                1,
                "x",
            ),
            Figure.at_most(
                f"slowest token of {LONGEST} bytes / the ordinary one",
                max(median[name] for name in longest) / median["Keyring.verify"],
                10,
                "x",
            ),
            Figure.at_most(
                "an unknown kid, 100 keys", providers["an unknown kid, 100 keys"].median, 2, "us"
            ),
            Figure.at_most(
                "claims at pointers / claims at their usual places",
                median[POINTERS] / median["Keyring.verify"],
                1.15,
                "x",
            ),
            Figure.at_most("a token over the cap", median["invalid: over the cap"], 10, "us"),
        ),
    )
