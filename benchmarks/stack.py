"""The time that each stack adds to a request of a bare Flask app, as WSGI calls."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.servers import Redis

from . import apps
from .harness import ON_CPU, WALL, Plan, Samples, interleave
from .result import Figure, Row, Subject, Table

REDIS = " with Redis"
LINE_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


@contextlib.contextmanager
def info_lines_to_files(folder: Path) -> Iterator[None]:
    """Set the logger of each stack to INFO, with a file of its own."""
    with contextlib.ExitStack() as undo:
        for stack in apps.STACKS:
            logger = logging.getLogger(stack.logger)
            handler = logging.FileHandler(folder / f"{stack.name}.log")
            handler.setFormatter(logging.Formatter(LINE_FORMAT))
            undo.callback(handler.close)
            undo.callback(logger.removeHandler, handler)
            undo.callback(logger.setLevel, logger.level)
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        yield


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def added(plan: Plan, redis: str) -> dict[str, Samples]:
    """Return the microseconds that each stack adds, in memory and with Redis. "bare" is Flask."""
    found = {}
    for suffix, store, clock in ((REDIS, redis, WALL), ("", "", ON_CPU)):
        calls = {"bare": apps.wsgi_call(apps.bare(), apps.headers_for(apps.BARE))}
        for stack in apps.STACKS:
            calls[stack.name + suffix] = apps.wsgi_call(stack.make(store), apps.headers_for(stack))
        timed = interleave(calls, plan, clock)
        bare = timed.pop("bare")
        found |= {"bare": bare} | {name: each.minus(bare) for name, each in timed.items()}
    return found


def added_by_sink(plan: Plan, path: Path) -> Samples:
    """Return the time that AUDIT_LOG adds to a request."""
    headers = apps.headers_for(apps.OURS)
    calls = {
        "without": apps.wsgi_call(apps.ours(), headers),
        "with": apps.wsgi_call(apps.ours(AUDIT_LOG=str(path)), headers),
    }
    timed = interleave(calls, plan)
    if not lines_in(path):
        raise AssertionError("AUDIT_LOG has no line")
    return timed["with"].minus(timed["without"])


def best_peer(timed: dict[str, Samples], suffix: str) -> Samples:
    return min((timed[peer.name + suffix] for peer in apps.PEERS), key=lambda each: each.median)


def rows(timed: dict[str, Samples], suffix: str) -> tuple[Row, ...]:
    return tuple(Row.of(stack.title, timed[stack.name + suffix]) for stack in apps.STACKS)


def ratio(timed: dict[str, Samples], suffix: str) -> float:
    return best_peer(timed, suffix).median / timed["ours" + suffix].median


def run(plan: Plan) -> Subject:
    with Redis() as server, tempfile.TemporaryDirectory() as name:
        for number, stack in enumerate(apps.STACKS, 1):
            apps.check_that_it_works(stack)
            apps.check_that_it_works(stack, f"{server.url[:-1]}{number}")
        folder = Path(name)
        quiet = added(plan, server.url)
        with info_lines_to_files(folder):
            logged = added(plan, server.url)
        for stack in apps.STACKS:
            if not lines_in(folder / f"{stack.name}.log"):
                raise AssertionError(f"{stack.title} wrote no audit line")
        sink = added_by_sink(plan, folder / "audit.jsonl")
    return Subject(
        "stack",
        "The whole request, as WSGI calls",
        tables=(
            Table("Flask itself", "us", (Row.of("bare Flask", quiet["bare"]),)),
            Table("Added, in memory, no log line", "us", rows(quiet, "")),
            Table("Added, in memory, INFO line to a file", "us", rows(logged, "")),
            Table("Added, Redis, no log line", "us", rows(quiet, REDIS)),
            Table("Added, Redis, INFO line to a file", "us", rows(logged, REDIS)),
            Table("Added by one line of AUDIT_LOG", "us", (Row.of("flask_tenant_auth", sink),)),
        ),
        figures=(
            Figure.no_less("best peer / ours, no log line", ratio(quiet, ""), 25, "x"),
            Figure.no_less("best peer / ours, INFO to a file", ratio(logged, ""), 8, "x"),
            Figure.no_less("best peer / ours, Redis, no log line", ratio(quiet, REDIS), 7, "x"),
            Figure.no_less("best peer / ours, Redis, INFO to a file", ratio(logged, REDIS), 5, "x"),
            Figure.at_most("one line of AUDIT_LOG", sink.median, 3, "us"),
        ),
    )
