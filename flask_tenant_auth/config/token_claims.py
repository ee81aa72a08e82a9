"""Readers of what tokens say: the places of claims, words for roles, required claims."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from .readers import read_object, read_text, read_words

RequiredValue: TypeAlias = str | int | bool
# How deep a JSON Pointer may lead, and how many places one claim may have.
_MOST_PARTS = 8
_MOST_PLACES = 16


def read_places(raw: Any) -> tuple[str, ...]:
    """Return the places of a claim: names and JSON Pointers, of which the first present counts."""
    places = read_words(raw)
    for place in places:
        _check_place(place)
    if len(set(places)) != len(places):
        raise ValueError("names a place twice")
    if len(places) > _MOST_PLACES:
        raise ValueError(f"must name at most {_MOST_PLACES} places")
    return places


def _check_place(place: str) -> None:
    """Raise for what is neither a name nor a JSON Pointer (RFC 6901, section 3)."""
    if not place.startswith("/"):
        return
    parts = place[1:].split("/")
    if len(parts) > _MOST_PARTS:
        raise ValueError(f"holds {place!r}, which has more than {_MOST_PARTS} parts")
    for part in parts:
        if "~" in part.replace("~0", "").replace("~1", ""):
            raise ValueError(f"holds {place!r}: write '~' as '~0' in a JSON Pointer (RFC 6901)")


def read_role_map(raw: Any) -> dict[str, str]:
    """Return what a provider says, and the role that each stands for."""
    words = {
        read_text(word): read_text(role) for word, role in _pairs(raw, "Owner=admin, member=user")
    }
    if not words:
        raise ValueError("names no word: remove it, or write as 'Owner=admin, member=user'")
    return words


def read_required_claims(raw: Any) -> dict[str, tuple[RequiredValue, ...]]:
    """Return the claims that a token must have, each with the values that it may have."""
    required = {}
    for place, value in _pairs(raw, "token_use=access"):
        _check_place(place)
        values = value if isinstance(value, list | tuple | set | frozenset) else [value]
        required[read_text(place)] = tuple(_required_value(place, each) for each in values)
        if not values:
            raise ValueError(f"has no value for {place!r}")
    return required


def _required_value(place: str, value: object) -> RequiredValue:
    if not isinstance(value, str | int):
        raise TypeError(
            f"must hold text, whole numbers and booleans; {place!r} has {type(value).__name__}"
        )
    return value


def _pairs(raw: Any, example: str) -> Iterable[tuple[str, Any]]:
    """Return the items of a dict, of the JSON text of one, or of a comma list of name=value."""
    if isinstance(raw, Mapping) or (isinstance(raw, str) and raw.lstrip().startswith("{")):
        return read_object(raw).items()
    pairs = []
    for item in read_words(raw):
        name, equals, value = item.rpartition("=")
        if not equals or not name.strip() or not value.strip():
            raise ValueError(f"holds {item!r}: write it as {example!r}, or set a dict")
        pairs.append((name.strip(), value.strip()))
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("names one thing twice")
    return pairs


def read_namespace(raw: Any) -> str:
    """Return a UUID as canonical text."""
    try:
        return str(raw if isinstance(raw, uuid.UUID) else uuid.UUID(read_text(raw)))
    except ValueError:
        raise ValueError(
            "must be a UUID; `python -c 'import uuid; print(uuid.uuid4())'` makes one"
        ) from None


def read_permissions(raw: Any) -> dict[str, tuple[str, ...]]:
    """Return the permissions of each role: a dict of lists, or the JSON text of one."""
    if isinstance(raw, str):
        if not raw.lstrip().startswith("{"):
            raise ValueError("must be a dict of role to permissions, or the JSON text of one")
        raw = dict(_pairs(raw, ""))
    if not isinstance(raw, Mapping):
        raise TypeError(f"must be a dict of role to permissions, not {type(raw).__name__}")
    return {read_text(role): read_words(permissions) for role, permissions in raw.items()}


def read_identity_callable(raw: Any) -> Callable[..., Any]:
    """Return a callable of the claims of a token."""
    if not callable(raw):
        raise TypeError(f"must be a callable of the claims of a token, not {type(raw).__name__}")
    if inspect.iscoroutinefunction(raw):
        raise TypeError("must not be an async function: its answer would have to be awaited")
    function: Callable[..., Any] = raw
    return function
