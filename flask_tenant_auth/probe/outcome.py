"""What a check has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .session import Session

OK, PROBLEM, SKIPPED = "ok", "problem", "skipped"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what was asked, what came, and what to change."""

    asked: str
    came: str
    change: str


class NotAsked(Exception):  # noqa: N818 - it says what happened
    """A check does not apply, or could not be made. The message says why."""


class Limited(NotAsked):
    """A check could not be made because a limit denied its requests."""


@dataclass(frozen=True)
class Check:
    """One check.

    :param name: stable, for programs.
    :param holds: the sentence that is true where the check passes.
    :param look: yields what is wrong.
    :param stops: whether nothing more is asked after a problem.
    """

    name: str
    holds: str
    look: Callable[[Session], Iterator[Problem]]
    stops: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of one check: OK, SKIPPED with the reason, or PROBLEM.

    A check with several problems has an outcome for each.
    """

    check: str
    status: str
    asked: str = ""
    came: str = ""
    change: str = ""
