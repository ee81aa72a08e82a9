"""`python -m tests.audit_chain --lives 1000 --attacks 50 --seed 1`."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))


def main() -> int:
    from .run import run

    parser = argparse.ArgumentParser(prog="python -m tests.audit_chain", description=__doc__)
    parser.add_argument("--lives", type=int, default=100)
    parser.add_argument("--attacks", type=int, default=50, help="on each life")
    parser.add_argument("--seed", type=int, help="the seed of a run to repeat")
    parser.add_argument("--first", type=int, default=0, help="the number of the first life")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    start = time.monotonic()
    told = run(options.lives, options.attacks, seed, options.first)
    print(
        f"{told.lives} lives of {told.lines} lines, {told.attacks.total()} attacks, "
        f"{len(told.failures)} failures; seed {seed}, {time.monotonic() - start:.0f} s"
    )
    for what, count in sorted([*told.events.items(), *told.attacks.items()]):
        print(f"  {what}: {count}")
    for failure in told.failures[:5]:
        print(failure)
    return 1 if told.failures else 0


if __name__ == "__main__":
    sys.exit(main())
