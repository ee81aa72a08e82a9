"""Tokens that are issued under random configurations, and read again."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from random import Random

import token_oracle
from flask_tenant_auth._core import Identity
from token_oracle import Configuration, places_of

from .compare import judged, read_of
from .configurations import DAY, keyring_of, number_permissions, random_configuration

# What the core says there itself, or what another claim means there.
TAKEN = ("exp", "iss", "aud", "act", "/act/sub", "/act/tenant_id")


@dataclass
class Issued:
    tokens: int = 0
    errors: int = 0


def parts_of(place: str) -> list[str]:
    return place[1:].split("/") if place.startswith("/") else [place]


def are_apart(places: list[str]) -> bool:
    """Whether no place is another one, or inside another one."""
    parts = [parts_of(place) for place in places]
    return not any(
        a != b and parts[a] == parts[b][: len(parts[a])]
        for a in range(len(parts))
        for b in range(len(parts))
    )


def says_role(config: Configuration, role: str) -> bool:
    """Whether a word stands for a role, or no word does."""
    return not config.role_map or role in config.role_map.values()


def must_be_issued(config: Configuration, identity: Identity) -> bool:
    first = [places_of(config, claim)[0] for claim in ("tenant_id", "user_id", "role")]
    return (
        says_role(config, identity.role) and are_apart(first) and not set(first).intersection(TAKEN)
    )


def issue_one(seed: int, number: int, seen: Issued) -> None:
    chance = Random(f"issue {seed} {number}")
    config = replace(random_configuration(chance), required={}, without_identity=False)
    keyring = keyring_of(config)
    identity = Identity(
        str(uuid.UUID(int=chance.getrandbits(128))),
        str(uuid.UUID(int=chance.getrandbits(128))),
        chance.choice(config.roles),
        roles=keyring.roles,
        actor=chance.choice((None, 'who "acts" é')),
    )
    now = int(time.time())
    try:
        token = keyring.issue(identity, now, now + DAY, b'{"x y":1}')
    except ValueError:
        assert not must_be_issued(config, identity), (number, identity, config)
        seen.errors += 1
        return
    seen.tokens += 1
    found = keyring.verify(token)
    assert isinstance(found, Identity), (number, found, config)
    assert (found, found.actor) == (identity, identity.actor), (number, config)
    says = judged(token_oracle.decode(token.split(".")[1]), config)
    assert says == read_of(found), (number, config)


def issue(seed: int, count: int) -> Issued:
    number_permissions()
    seen = Issued()
    for number in range(count):
        issue_one(seed, number, seen)
    return seen
