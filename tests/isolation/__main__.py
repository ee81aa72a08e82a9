"""`python -m tests.isolation --dialect sqlite --statements 100000 --seed 1`."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from servers import PostgreSQL as Server

from .databases import PostgreSQL, SQLite, World
from .run import Runner


@contextmanager
def world_of(dialect: str, url: str | None) -> Iterator[World]:
    if dialect == "sqlite":
        world: World = SQLite()
        yield world
        world.close()
    elif url is not None:
        world = PostgreSQL(url)
        yield world
        world.close()
    else:
        with Server() as server:
            world = PostgreSQL(server.url)
            yield world
            world.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.isolation", description=__doc__)
    parser.add_argument("--dialect", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--statements", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--first", type=int, default=0, help="number of the first statement")
    parser.add_argument("--url", help="of a PostgreSQL server that runs already")
    parser.add_argument("--all", action="store_true", help="go on after the first failure")
    parser.add_argument("--control", action="store_true", help="with isolation turned off")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    logging.getLogger("flask_tenant_auth").setLevel(logging.ERROR)
    print(f"{options.dialect}: seed {seed}", flush=True)
    with world_of(options.dialect, options.url) as world:
        runner = Runner(world, seed, options.control)
        start = time.monotonic()
        runner.run(options.statements, options.first, None if options.all else 1)
        seconds = time.monotonic() - start
        print(runner.summary())
        print(f"{runner.report.cases / seconds:.0f} statements a second")
        if options.control:
            return 0
        shown: set[str] = set()
        for finding in runner.findings:
            kind = f"{finding.difference.kind} by {finding.difference.case.name}"
            if kind not in shown:
                shown.add(kind)
                print(f"\n{finding}\n\nmade smaller:\n{runner.smaller(finding)}")
    return 1 if runner.findings else 0


if __name__ == "__main__":
    sys.exit(main())
