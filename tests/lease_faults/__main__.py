"""`python -m tests.lease_faults --schedules 10000 --seed 1`.

A schedule that has a fault is played again, alone, with `--first NUMBER --schedules 1`.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))


def main() -> int:
    from .run import Plan, Result, run
    from .schedule import CONTROLS, REDIS_STEPS, Options

    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m tests.lease_faults", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--seed", type=int, help="the seed of a run to repeat")
    parser.add_argument("--first", type=int, default=0, help="the number of the first schedule")
    parser.add_argument("--lanes", type=int, default=8, help="how many schedules at once")
    parser.add_argument("--leases", type=float, nargs="+", default=list(defaults.leases))
    parser.add_argument("--strategies", nargs="+", default=list(defaults.strategies))
    parser.add_argument("--redis-steps", choices=list(REDIS_STEPS), default=defaults.redis_steps)
    parser.add_argument("--controls", choices=list(CONTROLS), nargs="+", default=[])
    given = parser.parse_args()
    seed = secrets.randbelow(10**9) if given.seed is None else given.seed
    options = Options(
        leases=tuple(given.leases),
        strategies=tuple(given.strategies),
        redis_steps=given.redis_steps,
        controls=tuple(given.controls),
    )
    start = time.monotonic()

    told: set[int] = set()

    def tell(result: Result) -> None:
        for number in sorted(result.faulty.keys() - told):
            told.add(number)
            print(f"schedule {number} (--seed {seed} --first {number} --schedules 1):")
            print(*(f"  {fault}" for fault in result.faulty[number]), sep="\n", flush=True)
        if result.schedules % max(given.schedules // 20, 1) == 0:
            print(f"{result.schedules} schedules, {len(result.faulty)} with a fault", flush=True)

    plan = Plan(seed, given.schedules, given.first, given.lanes, smaller=True)
    result = run(plan, options, tell)
    if result.smallest:
        print("the smallest part of the first that still has a fault:")
        print(*(f"  {line}" for line in result.smallest), sep="\n")
    print(", ".join(f"{what} {count}" for what, count in result.counts.items()))
    print(", ".join(f"{what} {count}" for what, count in sorted(result.acts.items())))
    if given.controls:
        print(", ".join(f"{control}: {result.found[control]} found" for control in given.controls))
    found = "no fault" if not result.faulty else f"FAILED: {len(result.faulty)} with a fault"
    seconds = time.monotonic() - start
    print(f"{result.schedules} schedules, {found}; seed {seed}, {seconds:.0f} s", flush=True)
    return 1 if result.faulty else 0


if __name__ == "__main__":
    sys.exit(main())
