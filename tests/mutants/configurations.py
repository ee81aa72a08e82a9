"""Random configurations, and payloads that fit them."""

from __future__ import annotations

import time
import uuid
from random import Random
from typing import Any

from flask_tenant_auth._core import Identity, Key, Keyring, Roles, permission_number
from token_oracle import Configuration, places_of

SECRET = b"a secret of the tests, 32 bytes or more"
KEY = Key.secret("HS256", SECRET)
DAY = 86400

CLAIMS = ("tenant_id", "user_id", "role", "permissions")
# Names with the same ends are told apart by their middle alone.
PLACES = (
    *("tenant_id", "user_id", "role", "permissions", "sub", "org", "tid", "roles", "scope", "scp"),
    *("0", "é", "https://x.example/roles", "the same head 1 the same tail"),
    *("the same head 2 the same tail", "a", "a/b", "~", "/a", "/a/0", "/a/1", "/a/b", "/a/b/c"),
    *("/a/b/0", "/a/~1b", "/a/~0", "/a/", "/", "//", "/roles/0", "/roles/1/x", "/org/id"),
    *("/realm/roles", "/realm/mail/roles", "/1/2/3/4/5/6/7/8", "/a/01", "/a/-"),
    *("/act/sub", "/act/tenant_id", "act", "exp", "iss", "jti", "typ", "aud", "token_use"),
)
ROLES = ("user", "admin", "viewer", "Owner of all", "é")
WORDS = (*ROLES, "Owner", "org:member", "USER", "")
PERMISSIONS = ("mail:read", "mail:write", "mail:", "mail", "accounts:read", "a/b", "*", "mail:*")
PATTERNS = ("*", "mail:*", "mail:read", "accounts:*", "accounts:read", "a/b", "a/b:*")
NAMESPACES = ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "0b0c6a44-5a0e-4b56-9a1d-3f1f0a6f2f11")
REQUIRED_VALUES: tuple[str | int | bool, ...] = (
    *("access", "Bearer", "", "é", "1", "refresh", "id", "true"),
    *(0, 1, -7, 2**70, True, False),
)
ISSUERS = ("https://a.example/", "https://a.example", "é")
AUDIENCES = ("api", "https://api.example", "é", "")


def number_permissions() -> None:
    """Give the permissions a number. An app does so when it starts."""
    for name in PERMISSIONS:
        permission_number(name)


def known_permissions() -> tuple[str, ...]:
    """Those that have a number in this process: other tests give some too."""
    all_of_them = Roles(("any",), grants=(("*",),))
    return tuple(Identity(NAMESPACES[0], NAMESPACES[0], "any", roles=all_of_them).permissions)


def some(chance: Random, pool: tuple[Any, ...], most: int) -> tuple[Any, ...]:
    return tuple(chance.sample(pool, chance.randint(1, min(most, len(pool)))))


def random_places(chance: Random) -> dict[str, tuple[str, ...]]:
    places = {}
    for claim in CLAIMS:
        if chance.random() < 0.6:
            chosen = some(chance, PLACES, 3)
            places[claim] = chosen if chance.random() < 0.8 or claim in chosen else (*chosen, claim)
    return places


def random_configuration(chance: Random) -> Configuration:
    roles = some(chance, ROLES, 4)
    words = some(chance, WORDS, 4) if chance.random() < 0.4 else ()
    granted = some(chance, roles, 4) if chance.random() < 0.4 else ()
    required = some(chance, PLACES, 3) if chance.random() < 0.3 else ()
    return Configuration(
        issuer=chance.choice(ISSUERS) if chance.random() < 0.3 else None,
        audiences=some(chance, AUDIENCES, 2) if chance.random() < 0.3 else (),
        leeway=chance.choice((0, 5, 100.5)),
        places=random_places(chance),
        roles=roles,
        grants={role: some(chance, PATTERNS, 3) for role in granted},
        known_permissions=known_permissions(),
        role_map={word: chance.choice(roles) for word in words},
        default_role=chance.choice((None, "", chance.choice(roles))),
        id_namespace=chance.choice((None, *NAMESPACES)),
        required={place: some(chance, REQUIRED_VALUES, 3) for place in required},
        without_identity=chance.random() < 0.05,
    )


def keyring_of(config: Configuration) -> Keyring:
    roles = Roles(config.roles, grants=tuple(config.grants.get(role, ()) for role in config.roles))
    return Keyring(
        [KEY],
        issuer=config.issuer,
        audiences=config.audiences,
        leeway=config.leeway,
        roles=roles,
        places=config.places,
        role_map=config.role_map,
        default_role=config.default_role,
        id_namespace=config.id_namespace,
        required=config.required,
        without_identity=config.without_identity,
    )


# --- payloads ---------------------------------------------------------------


def put(payload: dict[str, Any], place: str, value: Any, chance: Random) -> bool:
    """Set the value at a place. False if another value is in the way."""
    if not place.startswith("/"):
        payload[place] = value
        return True
    parts = [part.replace("~1", "/").replace("~0", "~") for part in place[1:].split("/")]
    container: Any = payload
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        key: Any = part
        if isinstance(container, list):
            if part not in {"0", "1", "2", "3"}:
                return False
            key = int(part)
            container.extend(None for _ in range(key + 1 - len(container)))
        if last:
            container[key] = value
            return True
        there = container[key] if isinstance(container, list) else container.get(key)
        if there is None:
            is_list = parts[number + 1] in {"0", "1"} and chance.random() < 0.6
            there = container[key] = [] if is_list else {}
        if not isinstance(there, dict | list):
            return False
        container = there
    return False


def random_id(chance: Random, config: Configuration) -> Any:
    if config.id_namespace is None or chance.random() < 0.4:
        text = str(uuid.UUID(int=chance.getrandbits(128)))
        return text.upper() if chance.random() < 0.2 else text
    return chance.choice(("auth0|507f1f77bcf86cd799439011", "é 😀", "a\0b", 0, -17, 2**80, " "))


def random_role(chance: Random, config: Configuration) -> Any:
    known = (*config.role_map, *config.roles) if chance.random() < 0.8 else WORDS
    if chance.random() < 0.5:
        return chance.choice(known)
    return [chance.choice(known) for _ in range(chance.randint(0, 4))]


def random_permissions(chance: Random) -> Any:
    names = [*some(chance, PERMISSIONS, 4), "unknown", "é"]
    return names if chance.random() < 0.5 else f" {' '.join(names)}  "


def value_for(claim: str, chance: Random, config: Configuration) -> Any:
    if claim == "role":
        return random_role(chance, config)
    return random_permissions(chance) if claim == "permissions" else random_id(chance, config)


def fitting_payload(chance: Random, config: Configuration) -> dict[str, Any]:
    """Usually a valid one: places may be in each other's way."""
    now = int(time.time())
    usual = {"nbf": now - DAY, "iat": now, "jti": "j", "sub": "s", "x": [1]}
    payload: dict[str, Any] = {"exp": now + DAY * chance.choice((1, 2, 400))}
    payload |= {name: value for name, value in usual.items() if chance.random() < 0.4}
    for claim in CLAIMS:
        places = places_of(config, claim)
        optional = claim in {"role", "permissions"}
        for place in chance.sample(places, chance.randint(1 - optional, len(places))):
            put(payload, place, value_for(claim, chance, config), chance)
    if config.issuer is not None:
        payload["iss"] = config.issuer
    if config.audiences:
        ours = chance.choice(config.audiences)
        payload["aud"] = ours if chance.random() < 0.5 else ["other", ours]
    for place, values in config.required.items():
        value = chance.choice(values)
        put(payload, place, value if chance.random() < 0.8 else ["x", value], chance)
    return payload
