"""A run: lanes that play schedules at once, and the sum of what came of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from own_mounts import mounted, mounting
from paths import ROOT

from .clock import built_library
from .schedule import Options

SHARED_MEMORY_SIZE = "256m"
COUNTED = ("requests", "allowed", "uncounted", "killed", "round trips", "steps of Redis")


@dataclass
class Result:
    """What came of a run."""

    seed: int
    schedules: int = 0
    faulty: dict[int, list[str]] = field(default_factory=dict)
    smallest: list[str] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)  # faults, by control
    counts: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)

    def add(self, said: dict[str, Any]) -> None:
        self.schedules += 1
        self.found[said["control"]] += bool(said["faults"])
        if said["faults"]:
            self.faulty[said["number"]] = said["faults"]
            self.smallest = self.smallest or said.get("smallest", [])
        self.counts.update({name: said[name] for name in COUNTED})
        self.counts.update(said["facts"])
        self.acts.update(said["acts"])


@dataclass(frozen=True)
class Plan:
    """Which schedules are played, by how many lanes."""

    seed: int
    schedules: int
    first: int = 0
    lanes: int = 4
    smaller: bool = False  # whether smaller schedules are looked for where there is a fault


def run(plan: Plan, options: Options, tell: Callable[[Result], None] = lambda _: None) -> Result:
    """Play the schedules of a plan; tell after each of them.

    :raises RuntimeError: when a lane ends early.
    """
    result, lock = Result(plan.seed), threading.Lock()
    end = plan.first + plan.schedules
    numbers = [range(plan.first + lane, end, plan.lanes) for lane in range(plan.lanes)]

    def read(lane: subprocess.Popen[str]) -> None:
        assert lane.stdout is not None
        for line in lane.stdout:
            with lock:
                result.add(json.loads(line))
                tell(result)

    with tempfile.TemporaryDirectory() as directory, ExitStack() as lanes:
        library = built_library(Path(directory))
        readers = []
        for each in filter(None, numbers):
            lane = lanes.enter_context(_lane(library, plan, each, options))
            lanes.callback(lane.terminate)
            readers.append(threading.Thread(target=read, args=(lane,)))
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    if result.schedules != plan.schedules:
        raise RuntimeError(f"{plan.schedules - result.schedules} schedules were not played")
    return result


def _lane(library: Path, plan: Plan, numbers: range, options: Options) -> subprocess.Popen[str]:
    """Start a lane, with a /dev/shm of its own: its clocks are not those of the machine."""
    words = [library, plan.seed, numbers.start, numbers.stop, numbers.step, int(plan.smaller)]
    program = [sys.executable, "-m", "tests.lease_faults.lane", *map(str, words)]
    script = f'{mounted(SHARED_MEMORY_SIZE)} && exec "$@"'
    paths = os.pathsep.join([str(ROOT), str(Path(ROOT, "tests", "support"))])
    return subprocess.Popen(
        [*mounting(), "sh", "-c", script, "sh", *program, json.dumps(asdict(options))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
