"""One lane of a run: `... lane LIBRARY SEED FIRST END STRIDE SMALLER OPTIONS`.

It plays every so-manyth schedule, and prints a line of JSON for each. Its /dev/shm is its own. Of
the first schedule with a fault it looks for the smallest one that still has it, where it shall.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

if TYPE_CHECKING:
    from .judge import Story
    from .play import Lane
    from .schedule import Schedule

ATTEMPTS = 5  # to see a fault again
MOST_SMALLER = 200  # schedules that are tried for a smaller one


async def judged(lane: Lane, schedule: Schedule) -> tuple[Story, list[str]]:
    """Play a schedule; the faults that it had."""
    from .judge import faults

    story, hanging = await lane.play(schedule)
    return story, [hanging] if hanging else faults(story)


async def smallest(lane: Lane, schedule: Schedule) -> Schedule:
    """A part of the schedule that has a fault, no smaller part of which was seen to have one."""
    left, found = MOST_SMALLER, True
    while found and left > 0:
        found = False
        for smaller in schedule.smaller():
            left -= 1
            if left > 0 and await has_fault(lane, smaller):
                schedule, found = smaller, True
                break
    return schedule


async def has_fault(lane: Lane, schedule: Schedule) -> bool:
    for _ in range(ATTEMPTS):
        if (await judged(lane, schedule))[1]:
            return True
    return False


def told_by(schedule: Schedule) -> list[str]:
    """A schedule as lines."""
    lines = [f"{schedule.rates} {schedule.hosts}"]
    for phase in schedule.phases:
        lines.append("phase:" + (" faults of earlier phases end" if phase.rights else ""))
        lines += [
            f"  host {burst.host} worker {burst.worker}: "
            + " ".join(f"{hit.costs}{'back' if hit.gives_back else ''}" for hit in burst.hits)
            for burst in phase.bursts
        ]
        lines += [f"  {astuple(act)}" for act in phase.acts]
        recovers = "recovers" if phase.recovers else ""
        lines.append(f"  {phase.passes} {recovers} {phase.rests}")
    return lines


async def play(
    library: Path, seed: int, numbers: range, smaller: bool, options: dict[str, Any]
) -> None:
    from .play import Lane
    from .schedule import Options, made

    options = options | {key: tuple(options[key]) for key in ("leases", "strategies", "controls")}
    task = asyncio.current_task()
    assert task is not None
    # So that Redis and the hosts end with the lane.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory() as directory:
        lane = Lane(Path(directory), library)
        try:
            await lane.open()
            for number in numbers:
                schedule = made(seed, number, Options(**options))
                carried = lane.carried()
                story, found = await judged(lane, schedule)
                said = {
                    "number": number,
                    "faults": found,
                    "control": schedule.control,
                    "round trips": lane.carried() - carried,
                    "requests": len(story.requests),
                    "allowed": sum(request.allowed for request in story.requests),
                    "uncounted": sum(request.uncounted for request in story.requests),
                    "killed": sum(request.end is None for request in story.requests),
                    "acts": story.acts,
                    "facts": story.facts,
                    "steps of Redis": len(story.steps),
                }
                if found and smaller:
                    smaller = False
                    said["smallest"] = told_by(await smallest(lane, schedule))
                print(json.dumps(said), flush=True)
        finally:
            await lane.close()


def main() -> None:
    library, *words, options = sys.argv[1:]
    seed, first, end, stride, smaller = map(int, words)
    numbers = range(first, end, stride)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(play(Path(library), seed, numbers, bool(smaller), json.loads(options)))


if __name__ == "__main__":
    main()
