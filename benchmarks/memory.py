"""The memory of a worker process after REQUESTS requests.

python -m benchmarks.memory STACK     print the memory of a stack, in MiB
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

from . import apps
from .harness import Plan, Samples
from .result import Subject, Table

REQUESTS = 2_000


def resident_mib() -> float:
    """Return the proportional set size where the system has it: it counts a shared page once."""
    rollup = Path("/proc/self/smaps_rollup")
    if rollup.exists():
        found = re.search(r"^Pss:\s+(\d+) kB$", rollup.read_text(), re.MULTILINE)
        if found:
            return int(found.group(1)) / 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def serve(stack: apps.Stack) -> float:
    call = apps.wsgi_call(stack.make(), apps.headers_for(stack))
    for _ in range(REQUESTS):
        call()
    return resident_mib()


def in_own_process(name: str) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", name]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return float(shown.stdout)


def run(plan: Plan) -> Subject:
    stacks = (apps.BARE, *apps.STACKS)
    figures: dict[str, list[float]] = {each.name: [] for each in stacks}
    for _ in range(min(plan.processes, 5)):
        for each in stacks:
            figures[each.name].append(in_own_process(each.name))
    samples = {each.title: Samples(tuple(figures[each.name])) for each in stacks}
    return Subject("memory", "Memory of a worker", (Table.of("One worker", "MiB", samples),))


if __name__ == "__main__":
    print(serve({each.name: each for each in (apps.BARE, *apps.STACKS)}[sys.argv[1]]))
