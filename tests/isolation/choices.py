"""Random choices that can be repeated and shrunk."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


class Choices:
    """The choices of one case. Each is a number below a bound, and 0 is the simplest choice."""

    def __init__(self, seed: str = "", script: Sequence[int] | None = None) -> None:
        self.random = random.Random(seed)
        self.script = script
        self.made: list[int] = []

    def below(self, bound: int) -> int:
        if self.script is None:
            value = self.random.randrange(bound)
        else:
            value = self.script[len(self.made)] if len(self.made) < len(self.script) else 0
            value = min(value, bound - 1)
        self.made.append(value)
        return value

    def chance(self, percent: int) -> bool:
        return self.below(100) >= 100 - percent

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[tuple[int, Item]]) -> Item:
        at = self.below(sum(weight for weight, _ in items))
        for weight, item in items:
            at -= weight
            if at < 0:
                return item
        raise AssertionError("weights add up")

    def some(self, items: Sequence[Item], least: int, most: int) -> list[Item]:
        """Different items, in any order."""
        left = list(items)
        count = min(len(left), least + self.below(most - least + 1))
        return [left.pop(self.below(len(left))) for _ in range(count)]


def shrink(script: list[int], fails: Callable[[list[int]], bool], attempts: int = 400) -> list[int]:
    """Return a smaller script that fails too. First remove choices, then simplify them."""
    budget = [attempts]

    def still(candidate: list[int]) -> bool:
        if budget[0] <= 0:
            return False
        budget[0] -= 1
        return fails(candidate)

    best = script
    progress = True
    while progress and budget[0] > 0:
        progress = False
        size = max(1, len(best) // 2)
        while size:
            start = 0
            while start < len(best):
                candidate = best[:start] + best[start + size :]
                if still(candidate):
                    best, progress = candidate, True
                else:
                    start += size
            size //= 2
        for index in range(len(best)):
            if index < len(best) and best[index]:
                for value in (0, best[index] // 2):
                    candidate = [*best[:index], value, *best[index + 1 :]]
                    if value != best[index] and still(candidate):
                        best, progress = candidate, True
                        break
    return best


__all__: list[Any] = ["Choices", "shrink"]
