"""`python -m tests.isolation --dialect sqlite --statements 100000 --seed 1`."""

from __future__ import annotations

import argparse
import multiprocessing
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from .compare import Report
from .long_run import missing_features, run_part
from .run import summary

PART = 1000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.isolation", description=__doc__)
    parser.add_argument("--dialect", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--statements", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="the seed of a run to repeat")
    parser.add_argument("--first", type=int, default=0, help="the number of the first statement")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--all", action="store_true", help="show a failure of each kind")
    parser.add_argument("--as-found", action="store_true", help="do not shrink failures")
    parser.add_argument("--control", action="store_true", help="turn isolation off")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    print(f"{options.dialect}: seed {seed}", flush=True)
    end = options.first + options.statements
    parts = [(n, min(PART, end - n)) for n in range(options.first, end, PART)]
    shares = [parts[n :: options.jobs] for n in range(options.jobs)]
    smaller = not options.as_found
    report, found = Report(), dict[str, tuple[int, str]]()
    start = time.monotonic()
    if options.jobs == 1:
        report, found = run_part(options.dialect, seed, parts, options.control, smaller)
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
            running = [
                pool.submit(run_part, options.dialect, seed, share, options.control, smaller)
                for share in shares
                if share
            ]
            for each in as_completed(running):
                part, failures = each.result()
                report.add(part)
                for kind, failure in failures.items():
                    found[kind] = min(failure, found.get(kind, failure))
    print(summary(report))
    print(f"{report.cases / (time.monotonic() - start):.0f} statements a second, seed {seed}")
    missing = missing_features(options.dialect, report)
    if missing:
        print(f"features too rare, or never with rows: {', '.join(missing)}")
    failures = sorted(found.values())
    for _, text in failures if options.all else failures[:1]:
        print(f"\n{text}")
    return 1 if found or missing else 0


if __name__ == "__main__":
    sys.exit(main())
