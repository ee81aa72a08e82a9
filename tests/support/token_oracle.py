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
from typing import Any

DEPTH = 64
NUMBER = 640

ALPHABET = re.compile(r"[A-Za-z0-9_-]+\Z")
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
NUMERIC = re.compile(r"-?[0-9.eE+-]+")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class RefusedError(Exception):
    """The token is invalid."""


def encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def sign(header: bytes | dict[str, Any], payload: bytes | dict[str, Any], secret: bytes) -> str:
    """A token of any header and payload, signed correctly with HMAC-SHA256."""
    parts = [
        encode(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, payload)
    ]
    tag = hmac.new(secret, ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, encode(tag)])


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
            text, object_pairs_hook=no_repeated_names, parse_constant=refuse_constant
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
    require(header.get("alg") == "HS256" and isinstance(header["alg"], str))
    require("crit" not in header and "b64" not in header and "kid" not in header)
    if "typ" in header:
        require(isinstance(header["typ"], str))
        require(header["typ"].isascii())
        name = header["typ"].lower()
        require(name.removeprefix("application/") in {"jwt", "at+jwt"})


def judge_claims(claims: dict[str, Any], now: float) -> None:
    for name in ("tenant_id", "user_id"):
        require(isinstance(claims.get(name), str) and UUID.match(claims[name]))
    require(is_date(claims.get("exp")) and now < float(claims["exp"]))
    require("nbf" not in claims or (is_date(claims["nbf"]) and now >= float(claims["nbf"])))
    require("iat" not in claims or is_date(claims["iat"]))
    for name in ("iss", "sub", "jti"):
        require(isinstance(claims.get(name, ""), str))
    require("aud" not in claims)
    require(isinstance(claims.get("role", "user"), str))
    require(claims.get("role", "user") in {"user", "admin"})


def read(token: str, secret: bytes, now: float) -> dict[str, Any]:
    """The claims of a token under one HS256 key without a kid; RefusedError otherwise."""
    require(token.isascii() and len(token) <= 8192)
    segments = token.split(".")
    require(len(segments) == 3 and all(segments))
    header, payload, signature = map(decode, segments)
    judge_header(parse(header))
    signed = token.rpartition(".")[0].encode()
    require(hmac.compare_digest(hmac.new(secret, signed, hashlib.sha256).digest(), signature))
    claims = parse(payload)
    judge_claims(claims, now)
    return claims | {name: claims[name].lower() for name in ("tenant_id", "user_id")}
