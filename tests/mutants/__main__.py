"""`python -m tests.mutants --of providers --mutants 1000000 --seed 1`."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))


def main() -> int:
    from .compare import MAKERS, run

    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--of", choices=list(MAKERS), default="random")
    parser.add_argument("--mutants", type=int, default=10000)
    parser.add_argument("--seed", type=int, help="the seed of a run to repeat")
    parser.add_argument("--first", type=int, default=0, help="the number of the first payload")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    start = time.monotonic()
    report = run(options.of, seed, options.mutants, options.first)
    print(
        f"{report.mutants} mutants of {report.payloads} payloads ({options.of}, "
        f"{report.valid_payloads} valid): {report.accepted.total()} are valid; "
        f"{report.of_kind('over-rejection')} over-rejections, "
        f"{report.of_kind('over-acceptance')} over-acceptances, "
        f"{len(report.failures)} failures; seed {seed}, {time.monotonic() - start:.0f} s"
    )
    for name in sorted({*report.accepted, *report.refused}):
        print(f"  {name}: {report.accepted[name]} valid, {report.refused[name]} invalid")
    for _, told in report.failures[:5]:
        print(f"\n{told}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
