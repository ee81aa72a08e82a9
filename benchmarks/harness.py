"""Interleaved timing.

A machine is never equally fast for two minutes. So contestants are never timed one after the
other: every round times each of them for a few milliseconds, in an order that rotates from round
to round, and what is compared are figures of the same round.

Time is the thread's own on the CPU, so that what else the machine does is not counted; where a
call waits for another process (Redis), it is the time that passes.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from multiprocessing.connection import Connection

Call = Callable[[], object]
Cases = Callable[[], Mapping[str, Call]]
Clock = Callable[[], float]
ON_CPU, PASSED = time.thread_time, time.perf_counter


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int = 61
    turn_seconds: float = 0.015
    served_rounds: int = 5
    served_seconds: float = 4.0
    processes: int = 11
    quick: bool = False

    @classmethod
    def for_checking(cls) -> Plan:
        """Enough to see that everything works; not enough to quote."""
        return cls(
            rounds=9,
            turn_seconds=0.005,
            served_rounds=1,
            served_seconds=1.0,
            processes=3,
            quick=True,
        )


@dataclass(frozen=True)
class Samples:
    """One figure a round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def low(self) -> float:
        return self._quartile(0)

    @property
    def high(self) -> float:
        return self._quartile(2)

    def _quartile(self, which: int) -> float:
        if len(self.rounds) < 2:
            return self.rounds[0]
        return statistics.quantiles(self.rounds, n=4, method="inclusive")[which]

    def minus(self, other: Samples) -> Samples:
        """What this one cost more, round by round: noise that both shared cancels out."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return Samples(tuple(mine - theirs for mine, theirs in pairs))

    def over(self, other: Samples) -> Samples:
        """How many times the other one this is, round by round."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return Samples(tuple(mine / theirs for mine, theirs in pairs))


class Elsewhere:
    """A call that is made in another process, where nothing of its competitors is loaded."""

    def __init__(self, there: Connection, name: str) -> None:
        self._there = there
        self._name = name

    def seconds_for(self, calls: int) -> float:
        self._there.send((self._name, calls))
        seconds: float = self._there.recv()
        return seconds

    def __call__(self) -> object:
        """Return what the call finds, in a form that can be compared."""
        self._there.send((self._name, 0))
        return self._there.recv()


def serve(make: Cases, here: Connection) -> None:
    """Make the calls that are asked for, until nobody asks any more."""
    cases = make()
    found = getattr(sys.modules[make.__module__], "found", lambda answer: answer)
    here.send(list(cases))
    while (asked := here.recv()) is not None:
        name, calls = asked
        here.send(seconds_for(cases[name], calls, ON_CPU) if calls else found(cases[name]()))


@contextmanager
def elsewhere(make: Cases) -> Iterator[dict[str, Elsewhere]]:
    """Give the calls that a function makes, each to be made in one process of its own."""
    there, here = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(make, here))
    process.daemon = True  # it ends with this one, whatever happens
    process.start()
    here.close()
    yield {name: Elsewhere(there, name) for name in there.recv()}
    there.send(None)
    process.join()


def seconds_for(call: Call, calls: int, clock: Clock) -> float:
    if isinstance(call, Elsewhere):
        return call.seconds_for(calls)
    start = clock()
    for _ in repeat(None, calls):
        call()
    return clock() - start


def calls_in(call: Call, seconds: float, clock: Clock) -> int:
    """How many calls fit into so much time, found by trying; this also warms the call up."""
    calls = 1
    while (taken := seconds_for(call, calls, clock)) < seconds / 4:
        calls *= 4
    return max(1, round(calls * seconds / taken))


def interleave(cases: Mapping[str, Call], plan: Plan, clock: Clock = ON_CPU) -> dict[str, Samples]:
    """Microseconds per call of each case, one figure a round."""
    counts = {name: calls_in(call, plan.turn_seconds, clock) for name, call in cases.items()}
    figures: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for turn in range(plan.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds = seconds_for(cases[name], counts[name], clock)
            figures[name].append(seconds / counts[name] * 1e6)
    return {name: Samples(tuple(rounds)) for name, rounds in figures.items()}
