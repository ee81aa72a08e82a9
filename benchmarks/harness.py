"""Interleaved timing.

The speed of a machine changes within minutes. Therefore each round times every case for a few
milliseconds, in an order that rotates from round to round. Only figures of the same round are
compared.

The time is the thread's CPU time, which leaves out what else the machine does. For calls that wait
for another process (Redis) it is the wall time.
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
ON_CPU, WALL = time.thread_time, time.perf_counter


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
        """Return a short plan. It shows that everything works; its figures are not for quoting."""
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
    """One figure for each round."""

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
        """Subtract round by round, which cancels the noise that both share."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return Samples(tuple(mine - theirs for mine, theirs in pairs))

    def over(self, other: Samples) -> Samples:
        """Divide round by round."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return Samples(tuple(mine / theirs for mine, theirs in pairs))


class RemoteCall:
    """A call in another process, which loads nothing of the other cases."""

    def __init__(self, there: Connection, name: str) -> None:
        self._there = there
        self._name = name

    def seconds_for(self, calls: int, clock: Clock) -> float:
        self._there.send((self._name, calls, clock))
        seconds: float = self._there.recv()
        return seconds

    def __call__(self) -> object:
        """Return the result of the call in a form that can be compared."""
        self._there.send((self._name, 0, ON_CPU))
        return self._there.recv()


def serve(make: Cases, here: Connection) -> None:
    """Make the calls that the other end names, until it sends None."""
    cases = make()
    module = sys.modules[getattr(make, "func", make).__module__]  # of a partial as well
    found = getattr(module, "found", lambda answer: answer)
    here.send(list(cases))
    while (asked := here.recv()) is not None:
        name, calls, clock = asked
        here.send(seconds_for(cases[name], calls, clock) if calls else found(cases[name]()))


@contextmanager
def in_other_process(make: Cases) -> Iterator[dict[str, RemoteCall]]:
    """Start a process, and yield the cases of a function as calls in that process."""
    there, here = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(make, here))
    process.daemon = True  # it ends with this process
    process.start()
    here.close()
    yield {name: RemoteCall(there, name) for name in there.recv()}
    there.send(None)
    process.join()


def seconds_for(call: Call, calls: int, clock: Clock) -> float:
    if isinstance(call, RemoteCall):
        return call.seconds_for(calls, clock)
    start = clock()
    for _ in repeat(None, calls):
        call()
    return clock() - start


def calls_in(call: Call, seconds: float, clock: Clock) -> int:
    """Measure how many calls fit into that time. This also warms the caches."""
    calls = 1
    while (taken := seconds_for(call, calls, clock)) < seconds / 4:
        calls *= 4
    return max(1, round(calls * seconds / taken))


def interleave(cases: Mapping[str, Call], plan: Plan, clock: Clock = ON_CPU) -> dict[str, Samples]:
    """Return the microseconds of a call of each case, one figure for each round."""
    counts = {name: calls_in(call, plan.turn_seconds, clock) for name, call in cases.items()}
    figures: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for turn in range(plan.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds = seconds_for(cases[name], counts[name], clock)
            figures[name].append(seconds / counts[name] * 1e6)
    return {name: Samples(tuple(rounds)) for name, rounds in figures.items()}
