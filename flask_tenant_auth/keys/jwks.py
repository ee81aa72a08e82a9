"""The keys of a JWK Set (RFC 7517)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .._core import Key

# Which algorithms a key may serve that names none, by its kty and the start of their names.
_FAMILIES = {"RSA": ("RS", "PS"), "oct": ("HS",)}
_LONGEST_SHOWN = 64
# A parser that reaches Python's limit of recursion may break a finalizer that runs just then.
_DEEPEST = 64
# Brackets, and strings, in which brackets mean nothing.
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class SetRules(NamedTuple):
    """How the keys of a set are read."""

    # The algorithm of an RSA key or a secret that names none, where it may be that.
    default_algorithm: str = "RS256"
    # The algorithms that keys may have; () for all. A key that names none serves each that it fits.
    algorithms: tuple[str, ...] = ()
    # Whether the set comes from a URL, where a secret would be known to everybody.
    public: bool = False


class UnusableSetError(ValueError):
    """A set from which no keys can be taken. The sentence completes "<the set> ..."."""

    passed_over: tuple[str, ...] = ()


class KeySet(NamedTuple):
    """The verification keys of a set."""

    keys: tuple[Key, ...]
    passed_over: tuple[str, ...]  # the entries that are no such keys, and why, for the log


def parse_json(text: bytes) -> Any:
    """Return what a JSON text says that somebody else wrote.

    :raises ValueError: for what is no JSON, or is nested too deeply.
    """
    depth = 0
    for match in _NESTING.finditer(text):
        octet = match[0][:1]
        depth += (octet in b"[{") - (octet in b"]}")
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    try:
        return json.loads(text)
    except RecursionError:  # in UTF-16 or UTF-32, whose brackets may have been taken for others
        raise ValueError("it is nested too deeply") from None


def read_set(jwks: Mapping[str, Any], rules: SetRules) -> KeySet:
    """Return the verification keys of a JWK Set.

    Keys for other uses and of unknown kinds are passed over (RFC 7517, sections 4.2 and 5).

    :raises UnusableSetError: for what is no set, holds no usable key, or two keys that a token
        could not tell apart.
    """
    entries = jwks.get("keys")
    if not isinstance(entries, list | tuple):
        raise UnusableSetError('must hold {"keys": [...]} (RFC 7517, section 5)')
    keys: list[Key] = []
    passed_over: list[str] = []
    material: dict[tuple[str, str], tuple[Any, ...]] = {}
    for place, entry in enumerate(entries):
        try:
            of_entry = list(_keys_of(entry, rules))
        except (ValueError, TypeError) as error:
            passed_over.append(f"{_name_of(entry, place)} is passed over: {error}")
            continue
        parts = tuple(entry.get(part) for part in ("n", "e", "x", "y", "k"))
        for key in of_entry:
            known = material.setdefault((key.algorithm, key.kid), parts)
            if known != parts:
                raise UnusableSetError(
                    f"has two {key.algorithm} keys with the kid {shown_kid(key.kid)}: only the "
                    "first would ever verify a token; give each a kid of its own"
                )
            keys.append(key)
    if not keys:
        why = f" ({passed_over[0]})" if passed_over else ""
        unusable = UnusableSetError(f"holds no key that verifies signatures{why}")
        unusable.passed_over = tuple(passed_over)
        raise unusable
    return KeySet(tuple(keys), tuple(passed_over))


def shown_kid(kid: str | None) -> str:
    """Return a kid or an issuer as the log may show it: somebody else wrote it."""
    if kid is None:
        return "(none)"
    return ascii(kid if len(kid) <= _LONGEST_SHOWN else kid[:_LONGEST_SHOWN] + "...")


def _name_of(entry: object, place: int) -> str:
    kid = entry.get("kid") if isinstance(entry, Mapping) else None
    return f"key {shown_kid(kid)}" if isinstance(kid, str) else f"entry {place}"


def _keys_of(entry: object, rules: SetRules) -> Iterator[Key]:
    """Make the keys of an entry: one, or one for each algorithm that an entry without alg fits.

    :raises ValueError, TypeError: with the reason why it cannot be used.
    """
    if not isinstance(entry, Mapping):
        raise TypeError(f"it must be an object, not {type(entry).__name__}")
    kty, algorithm = entry.get("kty"), entry.get("alg")
    if kty == "oct" and rules.public:
        raise ValueError("it is a secret, and whoever fetches the set could sign with it")
    if not rules.algorithms:
        yield _key_of(entry if algorithm is not None else {**entry, "alg": _default(kty, rules)})
        return
    if algorithm is not None:
        if algorithm not in rules.algorithms:
            raise ValueError(f"its algorithm is none of {', '.join(rules.algorithms)}")
        yield _key_of(entry)
        return
    if kty in ("EC", "OKP"):  # the curve says which
        key = _key_of(entry)
        fitting = [key.algorithm] if key.algorithm in rules.algorithms else []
    else:
        families = _FAMILIES.get(str(kty), ())
        fitting = [one for one in rules.algorithms if one.startswith(families)]
    if not fitting:
        raise ValueError(f"it fits none of {', '.join(rules.algorithms)}")
    for one in fitting:
        yield _key_of({**entry, "alg": one})


def _key_of(entry: Mapping[str, Any]) -> Key:
    key = Key.jwk(entry)
    if key.is_private:
        raise ValueError(
            "it is a private key, with which everybody who reads the set could sign; publish its "
            "public members alone"
        )
    return key


def _default(kty: object, rules: SetRules) -> str | None:
    """Return the algorithm of a kty that names none (RFC 7517, 4.4).

    An RSA key and a secret serve several: the default if that is one of them, else the first. The
    core knows the algorithm of an EC or OKP key by its curve.
    """
    families = _FAMILIES.get(str(kty))
    if families is None:
        return None
    default = rules.default_algorithm
    return default if default.startswith(families) else f"{families[0]}256"
