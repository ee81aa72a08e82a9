"""Objects whose special methods run code during a call and take away what the call uses."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Attack:
    """The code that special methods of hostile objects run, and the containers that it empties."""

    def __init__(self) -> None:
        self.runs = 0
        self.containers: list[Any] = []  # mutable arguments of the call
        self.again: Callable[[], object] = lambda: None
        self._inside = False

    def run(self) -> None:
        """Empty the containers, call the core again, and let freed memory be reused."""
        if self._inside:
            return
        self._inside = True
        self.runs += 1
        try:
            for container in self.containers:
                container.clear()
            if self.runs % 16 == 1:
                self.again()
                gc.collect(0)
            _ = [bytes([65]) * size for size in range(16, 256, 16)]
        finally:
            self._inside = False


def hostile_class(base: type, attack: Attack) -> type:
    """A subclass of a builtin whose special methods attack first, and then do as its base."""

    def hook(name: str) -> Any:
        inherited = getattr(base, name)

        def method(self: Any, *args: Any) -> Any:
            attack.run()
            return inherited(self, *args)

        return method

    names = (
        *("__hash__", "__eq__", "__ne__", "__lt__", "__str__", "__repr__", "__len__", "__iter__"),
        *("__getitem__", "__contains__", "__index__", "__int__", "__float__", "__bool__"),
        *("__bytes__", "__format__", "__reversed__", "__getattribute__", "__add__", "__mul__"),
        *("encode", "keys", "get", "items", "values", "startswith"),
    )
    hooks = {name: hook(name) for name in names if getattr(base, name, None) is not None}

    def finish(self: object) -> None:
        attack.run()

    return type(f"Hostile{base.__name__.title()}", (base,), hooks | {"__del__": finish})


class Shrinking(list[Any]):
    """A list that loses its end during iteration, and returns a wrong length."""

    def __init__(self, items: Any, attack: Attack) -> None:
        super().__init__(items)
        self._attack = attack

    def __len__(self) -> int:
        return super().__len__() * 3 + 1

    def __iter__(self) -> Iterator[Any]:
        for position in range(super().__len__() * 2):
            self._attack.run()
            if position < super().__len__():
                yield super().__getitem__(position)
            if super().__len__():
                self.pop()


class Number:
    """An object that is no number. Asked for one, it attacks and returns seven."""

    def __init__(self, attack: Attack) -> None:
        self._attack = attack

    def _seven(self) -> int:
        self._attack.run()
        return 7

    __index__ = __int__ = __len__ = _seven

    def __float__(self) -> float:
        return float(self._seven())

    def __bool__(self) -> bool:
        return bool(self._seven())

    def __hash__(self) -> int:
        return self._seven()

    def __eq__(self, other: object) -> bool:
        self._attack.run()
        return NotImplemented

    def __fspath__(self) -> str:
        self._attack.run()
        return "/dev/null"

    def __iter__(self) -> Iterator[int]:
        self._attack.run()
        return iter((1, 2, 3))

    def __getitem__(self, key: object) -> Any:
        self._attack.run()
        raise IndexError

    def __del__(self) -> None:
        self._attack.run()


class Fresh(dict[str, Any]):
    """A mapping that makes each value anew, so that only the caller holds it."""

    def __init__(self, values: Mapping[str, Any], attack: Attack) -> None:
        super().__init__(values)
        self._attack = attack

    def __getitem__(self, key: str) -> Any:
        self._attack.run()
        value = super().__getitem__(key)
        return value[:1] + value[1:] if isinstance(value, str) else list(value)

    def __missing__(self, key: str) -> Any:
        self._attack.run()
        raise KeyError(key)


def variants(value: Any, attack: Attack) -> Iterator[Any]:
    """Hostile objects in place of a value: first of its own type, then of any type."""
    plain = type(value)
    if plain in (str, bytes, int, float, list, tuple, dict):
        yield hostile_class(plain, attack)(value)
    if plain in (list, tuple):
        yield Shrinking(value, attack)
        yield hostile_class(list, attack)(value)
        yield hostile_class(tuple, attack)(value)
        yield (item for item in value)
        yield [hostile_class(type(item), attack)(item) for item in value if type(item) is str]
    if plain is dict:
        yield Fresh(value, attack)
        yield {hostile_class(str, attack)(k): v for k, v in value.items()}
    if plain is bytes:
        yield bytearray(value)
        yield memoryview(bytearray(value))
    yield Number(attack)
    yield hostile_class(str, attack)("x\u20ac")
    yield hostile_class(bytes, attack)(b"\xff")
    yield hostile_class(int, attack)(2**70)
    yield hostile_class(list, attack)([Number(attack)])
    yield hostile_class(dict, attack)({"kty": "oct"})
    yield attack.containers
