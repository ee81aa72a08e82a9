"""Runs mutants through the core and through the oracle."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import token_oracle
from flask_tenant_auth._core import Identity, InvalidToken, Keyring
from token_oracle import Configuration, Read, RefusedError

from .configurations import (
    PERMISSIONS,
    SECRET,
    fitting_payload,
    keyring_of,
    number_permissions,
    random_configuration,
)
from .mutations import BREAKS, KEEPS, OPEN, Case
from .providers import provided
from .writing import Writer, copied

# The mutants of one payload, which one random generator makes.
OF_ONE = 20
HEADERS = ({"alg": "HS256", "typ": "JWT"}, {"alg": "HS256"}, {"kid": "x", "alg": "HS256"})
OCTETS = (
    *b'{}[]",:\\ \n0123456789eE+-.u\xc3\xff\x00',
    b'"exp":9e9',
    b"\\ud800",
    b"null",
    b'"role":',
)

Make = Callable[[Random, int], tuple[Configuration, dict[str, Any]]]
Sabotage = Callable[[Configuration], Configuration]


@dataclass
class Report:
    """What was seen. Each failure says the number of its payload, which repeats it."""

    mutants: int = 0
    payloads: int = 0
    valid_payloads: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def of_kind(self, kind: str) -> int:
        return sum(found == kind for found, _ in self.failures)


def random_payload(chance: Random, _number: int) -> tuple[Configuration, dict[str, Any]]:
    config = random_configuration(chance)
    payload: dict[str, Any] = {}
    for _ in range(8):
        payload = fitting_payload(chance, config)
        if judged(written(payload, chance, wild=False), config) is not None:
            break
    return config, payload


def provider_payload(chance: Random, number: int) -> tuple[Configuration, dict[str, Any]]:
    return provided(chance, number)


MAKERS: dict[str, Make] = {"random": random_payload, "providers": provider_payload}


def written(payload: dict[str, Any], chance: Random, *, wild: bool) -> bytes:
    return Writer(chance, wild).write(payload).encode("utf-8", "surrogatepass")


def token_of(payload: bytes, chance: Random) -> str:
    return token_oracle.sign(chance.choice(HEADERS), payload, SECRET)


def judged(payload: bytes, config: Configuration) -> Read | None:
    """The verdict of the oracle on a token with this payload, which is rightly signed."""
    try:
        return token_oracle.judge_claims(token_oracle.parse(payload), time.time(), config)
    except RefusedError:
        return None


def mutant(
    chance: Random, config: Configuration, payload: dict[str, Any], now: int
) -> tuple[str, bytes, bool | None]:
    """The name of a mutant, its text, and whether it is valid if its payload is; None: unknown."""
    case = Case(config, copied(payload), chance, now)
    kind = chance.random()
    expected = None
    if kind < 0.12:
        changes, expected = [chance.choice(KEEPS)], True
    elif kind < 0.3:
        changes, expected = [chance.choice(BREAKS)], False
    else:
        changes = [chance.choice(OPEN) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    for change in changes:
        change(case)
    text = written(case.payload, chance, wild=chance.random() < 0.5)
    if expected is None and chance.random() < 0.1:
        return "octets", with_other_octets(text, chance), None
    return changes[0].__name__, text, expected


def with_other_octets(text: bytes, chance: Random) -> bytes:
    changed = bytearray(text)
    for _ in range(chance.choice((1, 1, 2))):
        place = chance.randrange(len(changed) + 1)
        piece = chance.choice(OCTETS)
        piece = bytes([piece]) if isinstance(piece, int) else piece
        changed[place : place + chance.choice((0, 1, 1, 2))] = piece
    return bytes(changed)


def read_by_core(keyring: Keyring, token: str) -> Read | None:
    identity = keyring.verify(token)
    if not isinstance(identity, Identity):
        return None
    return read_of(identity)


def read_of(identity: Identity) -> Read:
    return Read(
        identity.tenant_id,
        identity.user_id,
        identity.role,
        identity.permissions,
        identity.role_is_default,
        identity.actor,
        identity.expires_at or 0,
    )


def in_one_case(claims: Any) -> str:
    """Claims as text: `Keyring.decode` shows ids in lower case."""
    return json.dumps(claims, sort_keys=False).lower()


def fault_of(keyring: Keyring, config: Configuration, payload: bytes, token: str) -> str:
    """In what the core differs from the oracle; "" if in nothing."""
    wanted = judged(payload, config)
    decoded = keyring.decode(token)
    valid = not isinstance(decoded, InvalidToken)
    if valid != (wanted is not None):
        return "over-acceptance" if valid else "over-rejection"
    if wanted is not None and in_one_case(decoded) != in_one_case(token_oracle.parse(payload)):
        return "other claims"
    if config.without_identity:
        return ""
    found = read_by_core(keyring, token)
    if (found is None) != (wanted is None):
        return "verify and decode differ"
    if found != wanted:
        return "another identity"
    return ""


def permits_otherwise(keyring: Keyring, config: Configuration, token: str) -> bool:
    """Whether `permits` says something else than `permissions`."""
    if config.without_identity:
        return False
    identity = keyring.verify(token)
    return isinstance(identity, Identity) and any(
        identity.permits(name) != (name in identity.permissions) for name in PERMISSIONS
    )


def run_one(of: str, seed: int, number: int, report: Report, sabotage: Sabotage) -> None:
    """One payload and its mutants."""
    chance = Random(f"{of} {seed} {number}")
    config, payload = MAKERS[of](chance, number)
    keyring = keyring_of(sabotage(config))
    now = int(time.time())
    base = written(payload, chance, wild=False)
    base_is_valid = judged(base, config) is not None
    report.payloads += 1
    report.valid_payloads += base_is_valid
    for _ in range(OF_ONE):
        name, text, expected = mutant(chance, config, payload, now)
        token = token_of(text, chance)
        if len(token) > 8192:
            continue
        fault = fault_of(keyring, config, text, token)
        valid = not isinstance(keyring.decode(token), InvalidToken)
        if not fault and base_is_valid and expected is not None and valid != expected:
            fault = "the oracle and the core are both wrong"
        if not fault and valid and permits_otherwise(keyring, config, token):
            fault = "permits says something else"
        report.mutants += 1
        (report.accepted if valid else report.refused)[name] += 1
        if fault:
            told = (
                f"{of} {number}: {fault} after {name}\n{text!r}\n{config}\n{keyring.decode(token)}"
            )
            report.failures.append((fault, told))


def as_it_is(config: Configuration) -> Configuration:
    return config


def run(of: str, seed: int, mutants: int, first: int = 0, sabotage: Sabotage = as_it_is) -> Report:
    """The core gets what sabotage makes of each configuration: a control, which must fail."""
    number_permissions()
    report = Report()
    for number in range(first, first + -(-mutants // OF_ONE)):
        run_one(of, seed, number, report, sabotage)
    return report
