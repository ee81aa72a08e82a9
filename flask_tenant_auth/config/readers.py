"""Readers of single settings: a raw value in, the checked value out.

The error of a reader completes "<NAME> ...".
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from .._core import describe_redis_url, is_http_token, parse_rates

T = TypeVar("T")
Reader: TypeAlias = Callable[[Any], T]

ANY = "*"
TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})
# No segment of dots, which clients take out (RFC 3986, section 5.2.4).
_PLAIN_PATH = re.compile(r"(/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")


def read_text(raw: Any) -> str:
    """Return text without the white space around it."""
    if not isinstance(raw, str):
        raise TypeError(f"must be text, not {type(raw).__name__}")
    try:
        raw.encode()
    except UnicodeEncodeError:  # the environment may hold octets that are no UTF-8
        raise ValueError("must be Unicode text, and holds octets that are no UTF-8") from None
    return raw.strip()


def text_of_bytes(low: int, high: int) -> Reader[str]:
    """Return a reader of text that has so many bytes in UTF-8."""

    def read(raw: Any) -> str:
        text = read_text(raw)
        size = len(text.encode())
        if not low <= size <= high:
            raise ValueError(f"must have from {low} to {high} bytes in UTF-8, not {size}")
        return text

    return read


def read_object(raw: Any) -> Mapping[str, Any]:
    """Return a dict whose names are text, from a dict or from the JSON text of one."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw, object_pairs_hook=_without_repeated)
        except ValueError as error:
            raise ValueError(f"must be JSON text of an object: {error}") from None
    if not isinstance(raw, Mapping):
        raise TypeError(f"must be a dict, or the JSON text of an object, not {type(raw).__name__}")
    for name in raw:
        if not isinstance(name, str) or not name:
            raise TypeError(f"must have names that are text, not {name!r}")
    return raw


def _without_repeated(items: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(items)) != len(items):
        raise ValueError("a name is there twice")
    return dict(items)


def read_path(raw: Any) -> str:
    """Return a path, whatever octets it consists of."""
    if not isinstance(raw, str | os.PathLike) or not isinstance(os.fspath(raw), str):
        raise TypeError(f"must be a path, not {type(raw).__name__}")
    return os.fspath(raw).strip()


def read_boolean(raw: Any) -> bool:
    """Return true or false, from a bool, from 0 or 1, or from one of the usual words."""
    if isinstance(raw, int) and raw in (0, 1):  # bool, and what app.config.from_prefixed_env reads
        return bool(raw)
    word = raw.strip().lower() if isinstance(raw, str) else None
    if word not in TRUE | FALSE:
        raise ValueError(f"must be true or false, not {raw!r}")
    return word in TRUE


def read_number(raw: Any, low: float, high: float) -> float:
    """Return a number of this range, from a number or from text."""
    try:
        number = math.nan if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"must be a number from {_plain(low)} to {_plain(high)}, not {raw!r}")
    return number


def _plain(number: float) -> str:
    """Write a bound of a range: 4294967296 and not 4.29497e+09."""
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def number_between(low: float, high: float) -> Reader[float]:
    """Return a reader of the numbers of this range."""
    return lambda raw: read_number(raw, low, high)


def whole_between(low: int, high: int) -> Reader[int]:
    """Return a reader of the whole numbers of this range."""

    def read(raw: Any) -> int:
        number = read_number(raw, low, high)
        if not number.is_integer():
            raise ValueError(f"must be a whole number, not {raw!r}")
        return int(number)

    return read


def one_of(*choices: str) -> Reader[str]:
    """Return a reader of these words."""

    def read(raw: Any) -> str:
        word = read_text(raw)
        if word not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {raw!r}")
        return word

    return read


def is_empty(raw: Any) -> bool:
    """Whether it is empty text."""
    return isinstance(raw, str | bytes) and not raw


def is_blank(raw: Any) -> bool:
    """Whether text, or each item of a list, holds white space and commas and nothing else.

    A template leaves such text where its variable is not set.
    """
    if isinstance(raw, list | tuple | set | frozenset):
        return bool(raw) and all(is_empty(item) or is_blank(item) for item in raw)
    if isinstance(raw, bytes):
        return bool(raw) and not raw.replace(b",", b" ").strip()
    return isinstance(raw, str) and bool(raw) and not raw.replace(",", " ").strip()


def read_items(raw: Any) -> list[Any]:
    """Return the items of a comma list, or of a list, tuple or set; no empty ones."""
    if isinstance(raw, str):
        raw = [item.strip() for item in raw.split(",")]
    elif not isinstance(raw, list | tuple | set | frozenset):
        raise TypeError(f"must be a comma list or a list, not {type(raw).__name__}")
    return [item for item in raw if not is_empty(item)]


def read_words(raw: Any) -> tuple[str, ...]:
    """Return the texts of a comma list or a list; no empty ones."""
    return tuple(word for item in read_items(raw) if (word := read_text(item)))


def read_http_tokens(raw: Any) -> tuple[str, ...]:
    """Return HTTP tokens, or ``("*",)`` for all.

    RFC 9110 allows an asterisk inside a token. It is not allowed here.
    """
    words = read_words(raw)
    for word in words:
        if not is_http_token(word):
            raise ValueError(f"holds {word!r}, which is no HTTP token (RFC 9110, section 5.6.2)")
        if ANY in word and word != ANY:
            raise ValueError(f"holds {word!r}: write whole names, or '*' alone for all")
    return (ANY,) if ANY in words else words


def read_methods(raw: Any) -> tuple[str, ...]:
    """Return HTTP methods, in upper case."""
    return tuple(word.upper() for word in read_http_tokens(raw))


def read_route(raw: Any) -> str:
    """Return the path of a route."""
    route = read_text(raw)
    if not route.startswith("/"):
        raise ValueError(f"must begin with a slash, as '/.well-known/jwks.json', not {raw!r}")
    return route


def read_plain_path(example: str) -> Reader[str]:
    """Return a reader of a path without variables, which can be the path of a cookie."""

    def read(raw: Any) -> str:
        path = read_text(raw).rstrip("/")
        if not _PLAIN_PATH.fullmatch(path):
            raise ValueError(
                f"must be a path without variables, as {example!r}, below which the routes are, "
                f"not {raw!r}"
            )
        return path

    return read


def read_callable(raw: Any) -> Callable[..., Any]:
    """Return a callable."""
    if not callable(raw):
        raise TypeError(f"must be a callable of tenant_id and kid, not {type(raw).__name__}")
    function: Callable[..., Any] = raw
    return function


def read_rates(raw: Any) -> str:
    """Return rate limits, such as "5 per second; 50 per minute", or empty text."""
    text = read_text(raw)
    if text:
        parse_rates(text)
    return text


def read_redis_url(raw: Any) -> str:
    """Return a URL that the core can read. An error never quotes it, or its password."""
    url = read_text(raw)
    if url:
        try:
            describe_redis_url(url)
        except ValueError as error:
            raise ValueError(f"cannot be used: {error} (empty is for no Redis)") from None
    return url


def read_environment(raw: Any) -> str:
    """Return "development", "testing" or, for every other word, "production".

    So a misspelt word never turns the conveniences of development on.
    """
    word = read_text(raw).lower()
    return word if word in ("development", "testing") else "production"


def read_prefixes(raw: Any) -> tuple[str, ...]:
    """Return path prefixes. ``*`` is allowed at the end of one and nowhere else."""
    prefixes = []
    for item in read_words(raw):
        prefix = item[:-1] if item.endswith("/*") else item
        prefix = "/" if prefix == "*" else prefix
        is_path = prefix.startswith("/") and not prefix.startswith("//")
        if not is_path or set(prefix) & set("*^$()[]?\\"):
            raise ValueError(f"holds {item!r}: write a plain path prefix as '/api/'")
        prefixes.append(prefix)
    return tuple(prefixes)
