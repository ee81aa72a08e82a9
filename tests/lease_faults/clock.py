"""The clocks of a schedule: a file that Redis and the hosts map, and the library that reads it.

`clock.c` says how the clocks hang together. All times here are in nanoseconds.
"""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

PARTICIPANTS = 16
_BYTES = 8 * (2 + 3 * PARTICIPANTS)
REDIS = 0
LIBRARY = "clock.so"


def built_library(directory: Path) -> Path:
    """Compile the library that is preloaded."""
    library = directory / LIBRARY
    source = Path(__file__).with_name("clock.c")
    options = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC"]
    subprocess.run(["cc", *options, "-o", str(library), str(source)], check=True)
    return library


class Clocks:
    """The one who moves the clocks. Its own process has those of the machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), _BYTES)).cast("q")
        self._words[1] = time.time_ns() - time.monotonic_ns()

    def environment(self, library: Path) -> dict[str, str]:
        """What a process has to be started with."""
        return {"LD_PRELOAD": str(library), "FAULT_CLOCKS": str(self.path)}

    def now(self) -> int:
        """The clock of a host, which only time that passes moves."""
        return time.monotonic_ns() + self._words[0]

    def day(self) -> int:
        """From the clock of a host to that of Redis."""
        return self._words[1] + self._words[2 + REDIS]

    def let_pass(self, ns: int) -> None:
        """Let so much time pass, for all, at this instant."""
        self._words[0] += ns

    def step_day(self, participant: int, ns: int) -> None:
        """Step the clock of the day of Redis or of a host."""
        self._words[2 + participant] += ns

    def step_host(self, participant: int, ns: int) -> None:
        """Step the clock of a host: for controls alone, because a lease relies on it."""
        self._words[2 + PARTICIPANTS + participant] += ns

    def slow_host(self, participant: int, ppm: int) -> None:
        """Let less time pass for a host, from now on and for all that has passed."""
        self._words[2 + 2 * PARTICIPANTS + participant] = ppm

    def right_hosts(self) -> None:
        """Undo all steps of hosts."""
        for participant in range(1, PARTICIPANTS):
            for kind in range(3):
                self._words[2 + kind * PARTICIPANTS + participant] = 0


def be(participant: int) -> None:
    """Take the clocks of a participant, in a process that has the library."""
    ctypes.CDLL(None).fault_clock_be(participant)


def right_clock() -> Callable[[], int]:
    """What tells the time of hosts whose clock is right, in such a process."""
    read = ctypes.CDLL(None).fault_clock_ns
    read.restype = ctypes.c_int64
    return cast(Callable[[], int], read)
