"""What a subject hands to the report: tables, and figures that have a goal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from .harness import Samples


@dataclass(frozen=True)
class Row:
    """A name and a figure with its spread: the quartiles of the rounds."""

    name: str
    median: float
    low: float
    high: float
    note: str = ""

    @classmethod
    def of(cls, name: str, samples: Samples, note: str = "") -> Row:
        return cls(name, samples.median, samples.low, samples.high, note)

    @classmethod
    def exact(cls, name: str, figure: float, note: str = "") -> Row:
        return cls(name, figure, figure, figure, note)


@dataclass(frozen=True)
class Table:
    """Rows of one unit."""

    title: str
    unit: str
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, title: str, unit: str, samples: dict[str, Samples]) -> Table:
        return cls(title, unit, tuple(Row.of(name, each) for name, each in samples.items()))


@dataclass(frozen=True)
class Figure:
    """One number that the project promises something about."""

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
    """Everything one file of this folder found out."""

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


def by_name(subjects: Iterable[Subject]) -> dict[str, Subject]:
    return {subject.name: subject for subject in subjects}
