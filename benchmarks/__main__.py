"""Measures, prints, and writes results.json, chart.svg and README's section on performance.

`make bench` runs it. With --quick or --only it prints the figures and writes them into build/ only,
because they are not for quoting.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import time
from datetime import datetime, timezone

from tests.support.paths import ROOT

from . import machine, report
from .harness import Plan

SUBJECTS = (
    "stack",
    "served",
    "leases",
    "tokens",
    "uuids",
    "counters",
    "redis_hits",
    "sessions",
    "metrics",
    "isolation",
    "growth",
    "memory",
    "imports",
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only check that everything works")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, metavar="SUBJECT", default=SUBJECTS)
    return parser.parse_args()


def main() -> None:
    # check_that_it_works() makes the stacks log warnings. They are not part of the figures.
    logging.getLogger().addHandler(logging.NullHandler())
    asked = arguments()
    plan = Plan.for_checking() if asked.quick else Plan()
    subjects = []
    for name in asked.only:
        start = time.monotonic()
        subject = importlib.import_module(f".{name}", __package__).run(plan)
        report.print_subject(subject)
        print(f"  ({time.monotonic() - start:.0f} s)", flush=True)
        subjects.append(subject)
    about = {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "rounds": plan.rounds,
        **machine.describe(),
    }
    text = report.to_json(about, subjects)
    if plan.quick or asked.only != SUBJECTS:
        path = ROOT / "build/bench-results.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return
    report.RESULTS.write_text(text)
    report.publish(report.Results(json.loads(text)))


if __name__ == "__main__":
    main()
