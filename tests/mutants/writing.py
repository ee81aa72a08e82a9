"""Payloads as trees, and as the text of a token in many forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

SPACES = ("", "", "", " ", "\n", "\t ", "\r\n")


@dataclass(frozen=True)
class Number:
    """A number as it is written."""

    text: str


@dataclass(frozen=True)
class Again:
    """A name that an object has already."""

    name: str


def copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: copied(each) for name, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, list) else value


def nodes(root: Any) -> Iterator[tuple[Any, Any]]:
    """Each value of a tree: the container that it is in, and its name or index there."""
    open_ = [root]
    while open_:
        container = open_.pop()
        for key in list(container) if isinstance(container, dict) else range(len(container)):
            yield container, key
            if isinstance(container[key], dict | list):
                open_.append(container[key])


class Writer:
    """Writes JSON text. A wild one varies the order, spaces and escapes."""

    def __init__(self, chance: Random, wild: bool) -> None:
        self.chance = chance
        self.wild = wild

    def text(self, value: str) -> str:
        if not self.wild or self.chance.random() < 0.5:
            return json.dumps(value, ensure_ascii=self.chance.random() < 0.5)
        return f'"{"".join(map(self.character, value))}"'

    def character(self, character: str) -> str:
        if self.chance.random() < 0.7:
            return json.dumps(character)[1:-1]
        units = character.encode("utf-16-be", "surrogatepass")
        pairs = [units[n : n + 2].hex() for n in range(0, len(units), 2)]
        return "".join(
            rf"\u{each.upper() if self.chance.random() < 0.3 else each}" for each in pairs
        )

    def gap(self) -> str:
        return self.chance.choice(SPACES) if self.wild else ""

    def write(self, value: Any) -> str:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            items = list(value.items())
            if self.wild:
                self.chance.shuffle(items)
            return self.enclosed("{}", [self.member(name, each) for name, each in items])
        if isinstance(value, list):
            return self.enclosed("[]", [self.write(each) for each in value])
        return value.text if isinstance(value, Number) else json.dumps(value)

    def member(self, name: str | Again, value: Any) -> str:
        name = name.name if isinstance(name, Again) else name
        return f"{self.text(name)}{self.gap()}:{self.gap()}{self.write(value)}"

    def enclosed(self, ends: str, parts: list[str]) -> str:
        gap = self.gap()
        return f"{ends[0]}{gap}{f'{self.gap()},{gap}'.join(parts)}{self.gap()}{ends[1]}"
