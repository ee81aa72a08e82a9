"""A second implementation of the rules of tokens, to compare the core with.

It shares nothing with the core: json, base64, hmac and re are Python's own. It is slow and simple
on purpose.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

DEPTH = 64
NUMBER = 640

ALPHABET = re.compile(r"[A-Za-z0-9_-]+\Z")
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
NUMERIC = re.compile(r"-?[0-9.eE+-]+")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


# How many keys are tried for one token.
TRIES = 8
HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


class RefusedError(Exception):
    """The token is invalid."""


@dataclass(frozen=True)
class Shared:
    """A shared secret, for one algorithm."""

    secret: bytes
    algorithm: str = "HS256"
    given_kid: str | None = None  # None: nobody has given it one

    @property
    def kid(self) -> str:
        tag = hmac.new(self.secret, b"flask_tenant_auth kid", hashlib.sha256).digest()
        return encode(tag[:9]) if self.given_kid is None else self.given_kid

    def signature(self, text: bytes) -> bytes:
        return hmac.new(self.secret, text, HASHES[self.algorithm]).digest()


def encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def sign(
    header: bytes | dict[str, Any], payload: bytes | dict[str, Any], key: bytes | Shared
) -> str:
    """A token of any header and payload, signed correctly, by a secret with HMAC-SHA256."""
    key = key if isinstance(key, Shared) else Shared(key)
    parts = [
        encode(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, payload)
    ]
    return ".".join([*parts, encode(key.signature(".".join(parts).encode()))])


def decode(segment: str) -> bytes:
    if not ALPHABET.match(segment):
        raise RefusedError("alphabet")
    try:
        octets = base64.b64decode(segment + "=" * (-len(segment) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise RefusedError("base64") from error
    if encode(octets) != segment:
        raise RefusedError("not canonical")
    return octets


def no_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise RefusedError("repeated name")
    return members


class Whole(int):
    """A whole number that knows how it was written."""

    text: str

    def __new__(cls, text: str) -> Whole:
        made = super().__new__(cls, text)
        made.text = text
        return made


def refuse_constant(name: str) -> None:
    raise RefusedError(name)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def parse(octets: bytes) -> dict[str, Any]:
    try:
        text = octets.decode("utf-8")
        if text.startswith("\ufeff"):
            raise RefusedError("byte order mark")
        if any(len(number) > NUMBER for number in NUMERIC.findall(STRING.sub("", text))):
            raise RefusedError("number")
        value = json.loads(
            text,
            object_pairs_hook=no_repeated_names,
            parse_constant=refuse_constant,
            parse_int=Whole,
        )
    except (ValueError, RecursionError) as error:
        raise RefusedError("JSON") from error
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise RefusedError("lone surrogate") from error
    if not isinstance(value, dict) or depth_of(value) > DEPTH:
        raise RefusedError("not an object")
    return value


def require(condition: object) -> None:
    if not condition:
        raise RefusedError("rule")


def is_date(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def judge_header(header: dict[str, Any]) -> None:
    require(isinstance(header.get("alg"), str))
    require("crit" not in header and "b64" not in header)
    require(isinstance(header.get("kid", ""), str))
    if "typ" in header:
        require(isinstance(header["typ"], str))
        require(header["typ"].isascii())
        name = header["typ"].lower()
        require(name.removeprefix("application/") in {"jwt", "at+jwt"})


def wrong_key(
    header: dict[str, Any], keys: Sequence[Shared], signed: bytes, signature: bytes
) -> str:
    """Why no key verifies a signature; empty where one does."""
    of_algorithm = [key for key in keys if key.algorithm == header["alg"]]
    if "kid" not in header:
        tried, otherwise = of_algorithm, "signature_mismatch"
        if not tried:
            return "algorithm_mismatch"
    elif any(key.kid == header["kid"] for key in keys):
        tried, otherwise = [k for k in of_algorithm if k.kid == header["kid"]], "signature_mismatch"
        if not tried:
            return "algorithm_mismatch"
    else:
        tried, otherwise = [key for key in of_algorithm if key.given_kid is None], "kid_unknown"
    verified = any(hmac.compare_digest(key.signature(signed), signature) for key in tried[:TRIES])
    return "" if verified else otherwise


@dataclass(frozen=True)
class Configuration:
    """What an app reads where."""

    issuer: str | None = None
    audiences: tuple[str, ...] = ()
    leeway: float = 0
    places: dict[str, tuple[str, ...]] = field(default_factory=dict)
    roles: tuple[str, ...] = ("user", "admin")
    grants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    known_permissions: tuple[str, ...] = ()  # those that have a number
    role_map: dict[str, str] = field(default_factory=dict)
    default_role: str | None = None
    id_namespace: str | None = None
    required: dict[str, tuple[str | int | bool, ...]] = field(default_factory=dict)
    without_identity: bool = False


@dataclass(frozen=True)
class Read:
    """What a valid token says. Without an identity the texts are empty."""

    tenant_id: str
    user_id: str
    role: str
    permissions: frozenset[str]
    role_is_default: bool = True
    actor: str | None = None
    expires_at: float = 0


ABSENT = object()


def at(claims: Any, place: str) -> Any:
    """What stands at a name or a JSON Pointer (RFC 6901, section 4)."""
    if not place.startswith("/"):
        return claims.get(place, ABSENT)
    value = claims
    for part in place[1:].split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]*", part, re.ASCII):
            if int(part) >= len(value):
                return ABSENT
            value = value[int(part)]
        else:
            return ABSENT
    return value


def first_at(claims: dict[str, Any], places: tuple[str, ...]) -> Any:
    return next((found for each in places if (found := at(claims, each)) is not ABSENT), ABSENT)


def places_of(config: Configuration, claim: str) -> tuple[str, ...]:
    return config.places.get(claim) or (claim,)


def id_of(value: Any, config: Configuration) -> str:
    if isinstance(value, str) and UUID.match(value):
        return value.lower()
    require(config.id_namespace is not None)
    require(isinstance(value, str | int) and not isinstance(value, bool) and value != "")
    text = str(value) if isinstance(value, str) else value.text
    return str(uuid.uuid5(uuid.UUID(config.id_namespace), text))


def role_of(value: Any, config: Configuration) -> tuple[str, bool]:
    """The role, and whether it is the default."""
    words = [value] if isinstance(value, str) else value
    if words is ABSENT:
        words = []
    require(isinstance(words, list) and all(isinstance(word, str) for word in words))
    known = config.role_map or {role: role for role in config.roles}
    found = [config.roles.index(known[word]) for word in words if word in known]
    if found:
        return config.roles[max(found)], False
    require(config.default_role != "")
    return config.default_role or config.roles[0], True


def permissions_of(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(word for word in value.split(" ") if word)
    if isinstance(value, list):
        return frozenset(word for word in value if isinstance(word, str))
    return frozenset()


def has(value: Any, wanted: str | int | bool) -> bool:
    """Whether a required claim has a value: JSON's 1, "1", 1.0 and true are four."""
    if isinstance(value, list):
        return any(not isinstance(each, list) and has(each, wanted) for each in value)
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted
    if isinstance(wanted, int):
        return isinstance(value, Whole) and value.text == str(wanted)
    return isinstance(value, str) and value == wanted


def granted(role: str, config: Configuration) -> frozenset[str]:
    """What a role has, of the permissions that have a number: its own and those of weaker ones."""
    weaker = config.roles[: config.roles.index(role) + 1]
    patterns = [pattern for each in weaker for pattern in config.grants.get(each, ())]
    return frozenset(
        name
        for name in config.known_permissions
        if any(
            name == pattern
            or (pattern[-1] == "*" and name.startswith(pattern[:-1]) and name != pattern[:-1])
            for pattern in patterns
        )
    )


def judge_times(claims: dict[str, Any], now: float, leeway: float) -> None:
    require(is_date(claims.get("exp")) and now < float(claims["exp"]) + leeway)
    if "nbf" in claims:
        require(is_date(claims["nbf"]) and now + leeway >= float(claims["nbf"]))
    require("iat" not in claims or is_date(claims["iat"]))


def judge_names(claims: dict[str, Any], config: Configuration) -> None:
    ids = {*config.places.get("tenant_id", ()), *config.places.get("user_id", ())}
    for name in ("iss", "sub", "jti"):
        # What is an id is judged as one, whether or not another place of it counts.
        is_id = name != "iss" and name in ids and not config.without_identity
        require(is_id or isinstance(claims.get(name, ""), str))
    require(config.issuer is None or claims.get("iss") == config.issuer)
    audiences = claims.get("aud", [])
    audiences = [audiences] if isinstance(audiences, str) else audiences
    require(isinstance(audiences, list) and all(isinstance(each, str) for each in audiences))
    require(config.audiences or "aud" not in claims)
    require(not config.audiences or set(audiences) & set(config.audiences))


def judge_use(claims: dict[str, Any], config: Configuration) -> None:
    for name in ("type", "typ", "token_use"):
        kind = claims.get(name)
        # Only ASCII has two cases here: the Kelvin sign is no k.
        refused = isinstance(kind, str) and kind.isascii() and kind.lower() in {"refresh", "id"}
        require(name in config.required or f"/{name}" in config.required or not refused)
    for place, values in config.required.items():
        require(any(has(at(claims, place), value) for value in values))


def judge_claims(claims: dict[str, Any], now: float, config: Configuration) -> Read:
    judge_times(claims, now, config.leeway)
    judge_names(claims, config)
    judge_use(claims, config)
    if config.without_identity:
        return Read("", "", "", frozenset())
    tenant_id, user_id = (
        id_of(first_at(claims, places_of(config, name)), config)
        for name in ("tenant_id", "user_id")
    )
    actor = claims.get("act", {})
    require(isinstance(actor, dict) and isinstance(actor.get("sub", ""), str))
    require("tenant_id" not in actor or id_of(actor["tenant_id"], config) == tenant_id)
    role, is_default = role_of(first_at(claims, places_of(config, "role")), config)
    permissions = permissions_of(first_at(claims, places_of(config, "permissions")))
    return Read(
        tenant_id,
        user_id,
        role,
        permissions | granted(role, config),
        is_default,
        actor.get("sub"),
        float(claims["exp"]),
    )


def read(
    token: str, keys: bytes | Sequence[Shared], now: float, config: Configuration | None = None
) -> tuple[dict[str, Any], Read]:
    """The claims of a token, and what they say; RefusedError for a token that is invalid.

    A secret is a key for HS256 whose kid nobody has given.
    """
    require(token.isascii() and len(token) <= 8192)
    segments = token.split(".")
    require(len(segments) == 3 and all(segments))
    header, payload, signature = map(decode, segments)
    members = parse(header)
    judge_header(members)
    signed = token.rpartition(".")[0].encode()
    keys = [Shared(keys)] if isinstance(keys, bytes) else keys
    require(wrong_key(members, keys, signed, signature) == "")
    claims = parse(payload)
    return claims, judge_claims(claims, now, config or Configuration())
