"""The issuers of JWT_ISSUERS: whose tokens are accepted beside the app's own, and what they say."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .._core import ALGORITHMS, is_valid_uuid
from .key_sources import read_jwks
from .provider_urls import check_discovery
from .readers import ANY, read_boolean, read_items, read_text, read_words
from .token_claims import read_places, read_role_map

# Which tenants an issuer may speak for: those of a list, those for which a callable returns True,
# "*" for every tenant that no issuer lists, and None for an issuer that does not say it.
Tenants: TypeAlias = "frozenset[str] | Callable[[str], bool] | str | None"


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """One issuer, checked. What is None is as the app's own keys say."""

    place: int
    issuer: str
    jwks: Mapping[str, Any] | str | None = field(repr=False)  # None: discovery
    audience: tuple[str, ...] | None = None
    algorithms: tuple[str, ...] = ()
    tenant_claim: tuple[str, ...] = ()
    user_claim: tuple[str, ...] = ()
    role_claim: tuple[str, ...] = ()
    permissions_claim: tuple[str, ...] = ()
    role_map: Mapping[str, str] | None = None
    tenants: Tenants = None

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        """Where its claims are, of those that it places."""
        places = {
            "tenant_id": self.tenant_claim,
            "user_id": self.user_claim,
            "role": self.role_claim,
            "permissions": self.permissions_claim,
        }
        return {claim: place for claim, place in places.items() if place}

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"JWT_ISSUERS entry {self.place}"

    def __str__(self) -> str:
        return self.issuer


def read_issuers(raw: Any) -> tuple[Issuer, ...]:
    """Return the issuers of a list of dicts, or of the JSON text of one.

    :raises ValueError, TypeError: it names the place, counted from 0, and the key.
    """
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            raise ValueError("must be a list of dicts, or the JSON text of one") from None
    if not isinstance(raw, list | tuple):
        raise TypeError(f"must be a list of dicts, not {type(raw).__name__}")
    issuers: dict[str, Issuer] = {}
    for place, entry in enumerate(raw):
        one = _read_issuer(place, entry)
        first = issuers.setdefault(one.issuer, one)
        if first is not one:
            raise ValueError(
                f"entry {place}: issuer is that of entry {first.place} too: one entry has all that "
                "belongs to an issuer"
            )
    return tuple(issuers.values())


def _read_issuer(place: int, entry: object) -> Issuer:
    if not isinstance(entry, Mapping):
        raise TypeError(f"entry {place}: must be a dict, not {type(entry).__name__}")
    values: dict[str, Any] = {}
    for key, raw in entry.items():
        reader = _READERS.get(key) if isinstance(key, str) else None
        if reader is None:
            raise ValueError(
                f"entry {place}: {key!r} is no key of an issuer: those are {', '.join(_READERS)}"
            )
        if raw is None:
            continue
        try:
            values[key] = reader(raw)
        except (TypeError, ValueError) as error:
            raise ValueError(f"entry {place}: {key} {error}") from None
    discovery = values.pop("discovery", False)
    if not values.get("issuer"):
        raise ValueError(f"entry {place}: issuer must be set to the `iss` of its tokens")
    if discovery == ("jwks" in values):
        said = "both say" if discovery else "say not"
        raise ValueError(
            f"entry {place}: jwks and discovery {said} where the keys are: set jwks to a set, a "
            "file or an https URL, or discovery to true"
        )
    if discovery:
        try:
            check_discovery(values["issuer"])
        except ValueError as error:
            raise ValueError(f"entry {place}: issuer {error}, as discovery is on") from None
    return Issuer(place=place, jwks=values.pop("jwks", None), **values)


def _read_algorithms(raw: Any) -> tuple[str, ...]:
    words = read_words(raw)
    for word in words:
        if word not in ALGORITHMS:
            raise ValueError(f"must be among {', '.join(ALGORITHMS)}, and {word!r} is not")
    return _some(words)


def _read_audience(raw: Any) -> tuple[str, ...]:
    return _some(read_words(raw))


def _some(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words:
        raise ValueError("must not be empty: leave it out where the app's own is meant")
    return words


def _read_claim(raw: Any) -> tuple[str, ...]:
    return _some(read_places(raw))


def _read_tenants(raw: Any) -> Tenants:
    if raw == ANY:
        return ANY
    if callable(raw):
        if inspect.iscoroutinefunction(raw):
            raise TypeError("must not be an async function: its answer would have to be awaited")
        function: Callable[[str], bool] = raw
        return function
    tenants = read_items(raw)
    for tenant in tenants:
        if tenant == ANY:
            raise ValueError("must be '*' alone, or a list of tenants")
        if not isinstance(tenant, str):
            raise TypeError(f"must be texts, a callable of a tenant id or '*', not {tenant!r}")
    if not tenants:
        raise ValueError("must not be empty: '*' stands for every tenant")
    return frozenset(tenant.lower() if is_valid_uuid(tenant) else tenant for tenant in tenants)


_READERS: dict[str, Callable[[Any], Any]] = {
    "issuer": read_text,
    "jwks": read_jwks,
    "discovery": read_boolean,
    "audience": _read_audience,
    "algorithms": _read_algorithms,
    "tenant_claim": _read_claim,
    "user_claim": _read_claim,
    "role_claim": _read_claim,
    "permissions_claim": _read_claim,
    "role_map": read_role_map,
    "tenants": _read_tenants,
}
