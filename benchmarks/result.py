"""The results of a subject: tables, and figures with a goal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from .harness import Samples


@dataclass(frozen=True)
class Row:
    """A name, and the median and the quartiles of its rounds."""

    name: str
    median: float
    low: float
    high: float
    note: str = ""

    @classmethod
    def of(cls, name: str, samples: Samples, note: str = "") -> Row:
        return cls(name, samples.median, samples.low, samples.high, note)


@dataclass(frozen=True)
class Table:
    """Rows with the same unit."""

    title: str
    unit: str
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, title: str, unit: str, samples: dict[str, Samples]) -> Table:
        return cls(title, unit, tuple(Row.of(name, each) for name, each in samples.items()))


@dataclass(frozen=True)
class Figure:
    """A number with a goal."""

    name: str
    value: float
    unit: str
    goal: float
    at_least: bool

    @property
    def reached(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @classmethod
    def at_most(cls, name: str, value: float, goal: float, unit: str = "") -> Figure:
        return cls(name, value, unit, goal, at_least=False)

    @classmethod
    def no_less(cls, name: str, value: float, goal: float, unit: str = "") -> Figure:
        return cls(name, value, unit, goal, at_least=True)


@dataclass(frozen=True)
class Subject:
    """The results of one module of this folder."""

    name: str
    title: str
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Subject:
        return cls(
            name=data["name"],
            title=data["title"],
            tables=tuple(
                Table(each["title"], each["unit"], tuple(Row(**row) for row in each["rows"]))
                for each in data["tables"]
            ),
            figures=tuple(Figure(**each) for each in data["figures"]),
            notes=tuple(data["notes"]),
        )
