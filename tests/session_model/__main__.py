"""`python -m tests.session_model --store sqlite --steps 100000 --seed 1`.

With --kills it kills instead: the workers of SQLite, a PostgreSQL, a Redis.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))


def main() -> int:
    from .access import STORES, opened
    from .run import Run

    parser = argparse.ArgumentParser(prog="python -m tests.session_model", description=__doc__)
    parser.add_argument("--store", choices=list(STORES), nargs="+", default=list(STORES))
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, help="the seed of a run to repeat")
    parser.add_argument("--kills", type=int, help="kill so often, and take no steps")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    if options.kills is not None:
        return kill(options.store, options.kills, seed)
    failures = 0
    for name in options.store:
        start = time.monotonic()
        with opened(name) as access:
            run = Run(access, random.Random(seed))
            told = "no difference"
            try:
                run.steps(options.steps)
            except AssertionError as error:
                failures += 1
                told = f"FAILED: {error}"
        seen = ", ".join(f"{what} {count}" for what, count in sorted(run.seen.items()))
        print(f"{name}: {run.done} steps, {told}; seed {seed}, {time.monotonic() - start:.0f} s")
        print(f"  {seen}", flush=True)
    return 1 if failures else 0


def kill(stores: list[str], kills: int, seed: int) -> int:
    """Kill -9 at random moments of a refresh, and print what came of it."""
    from .kills import KILLS

    failures = 0
    for name in [each for each in stores if each in KILLS]:
        start = time.monotonic()
        try:
            told = KILLS[name](kills, seed)
        except AssertionError as error:
            failures += 1
            found = f"FAILED: {error}"
        else:
            found = (
                f"{told.kills} kills, {told.unanswered} refreshes without an answer, "
                f"{told.advanced} of them stored; no session lost or forked"
            )
        print(f"{name}: {found}; seed {seed}, {time.monotonic() - start:.0f} s", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
