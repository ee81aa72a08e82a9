"""`python -m tests.isolation --dialect sqlite --statements 100000 --seed 1`."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager

from servers import PostgreSQL as Server

from .compare import Report
from .databases import PostgreSQL, SQLite, World
from .features import FEATURES, POSTGRESQL_FEATURES
from .run import Runner, summary

PART = 1000
# From this many statements on, each feature has to occur so often, and once with rows at least.
LONG, OFTEN = 20_000, 5
WITHOUT_ROWS = ("attack: ", "text: ", "get: of others", "bulk update of others' rows")


@contextmanager
def world_of(dialect: str) -> Iterator[World]:
    if dialect == "sqlite":
        world: World = SQLite()
        yield world
        world.close()
    else:
        with Server() as server:
            world = PostgreSQL(server.url)
            yield world
            world.close()


def run_part(
    dialect: str, seed: int, parts: list[tuple[int, int]], control: bool, smaller: bool
) -> tuple[Report, dict[str, tuple[int, str]]]:
    """Run some of the statements; return what was seen, and one failure of each kind."""
    logging.getLogger("flask_tenant_auth").setLevel(logging.ERROR)
    found: dict[str, tuple[int, str]] = {}
    with world_of(dialect) as world:
        runner = Runner(world, seed, control)
        for first, count in parts:
            runner.run(count, first)
        for finding in runner.findings:
            kind = f"{finding.difference.kind} by {finding.difference.case.name}"
            if kind not in found and not control:
                text = str(finding)
                if smaller:
                    text += f"\n\nmade smaller:\n{runner.smaller(finding)}"
                found[kind] = (finding.number, text)
    return runner.report, found


def missing_features(dialect: str, report: Report) -> list[str]:
    """Return what a long run has not shown."""
    if report.cases < LONG:
        return []
    expected = FEATURES | (POSTGRESQL_FEATURES if dialect == "postgresql" else set())
    return sorted(
        name
        for name in expected
        if report.features[name] < OFTEN
        or (not report.nonempty[name] and not name.startswith(WITHOUT_ROWS))
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.isolation", description=__doc__)
    parser.add_argument("--dialect", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--statements", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="of a run to repeat")
    parser.add_argument("--first", type=int, default=0, help="number of the first statement")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--all", action="store_true", help="show a failure of each kind")
    parser.add_argument("--as-found", action="store_true", help="do not make failures smaller")
    parser.add_argument("--control", action="store_true", help="with isolation turned off")
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
        print(f"too seldom, or never with rows: {', '.join(missing)}")
    failures = sorted(found.values())
    for _, text in failures if options.all else failures[:1]:
        print(f"\n{text}")
    return 1 if found or missing else 0


if __name__ == "__main__":
    sys.exit(main())
