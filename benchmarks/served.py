"""Requests to gunicorn (2 processes of 4 threads), which wrk sends on loopback."""

from __future__ import annotations

import contextlib
import re
import subprocess
from dataclasses import dataclass

from tests.support.paths import ROOT
from tests.support.servers import Gunicorn, Redis

from . import apps
from .harness import Plan, Samples
from .result import Figure, Row, Subject, Table

GTHREAD = (
    *("--chdir", str(ROOT), "--log-level", "error"),
    *("--worker-class", "gthread", "--workers", "2", "--threads", "4"),
)
WRK = ("wrk", "--threads", "1", "--connections", "16", "--latency")
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Load:
    """The figures of wrk."""

    per_second: float
    p99_ms: float


def measure_load(port: int, stack: apps.Stack, seconds: float) -> Load:
    command = [*WRK, "--duration", f"{max(1, round(seconds))}s"]
    for name, value in apps.headers_for(stack).items():
        command += ["--header", f"{name}: {value}"]
    command.append(f"http://127.0.0.1:{port}{apps.PATH}")
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in shown or "Socket errors" in shown:
        raise AssertionError(f"{stack.title}: a request failed:\n{shown}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", shown)
    slowest = re.search(r"99%\s+([\d.]+)(us|ms|s)", shown)
    if rate is None or slowest is None:
        raise AssertionError(f"the output of wrk cannot be read:\n{shown}")
    return Load(float(rate[1]), float(slowest[1]) * MILLISECONDS[slowest[2]])


def run(plan: Plan) -> Subject:
    loads: dict[tuple[apps.Stack, bool], list[Load]] = {}
    with contextlib.ExitStack() as stop:
        redis = stop.enter_context(Redis())
        ports = {}
        for with_redis, stacks in ((False, (apps.BARE, *apps.STACKS)), (True, apps.STACKS)):
            for each in stacks:
                application = f"benchmarks.apps:{each.name}({redis.url if with_redis else ''!r})"
                server = stop.enter_context(Gunicorn(application, *GTHREAD))
                ports[each, with_redis] = server.port
                measure_load(server.port, each, 1)  # warms every worker up
        for _ in range(plan.served_rounds):
            for (each, with_redis), port in ports.items():
                load = measure_load(port, each, plan.served_seconds)
                loads.setdefault((each, with_redis), []).append(load)

    def table(title: str, unit: str, with_redis: bool) -> Table:
        attribute = "per_second" if unit == "requests/s" else "p99_ms"
        return Table(
            title,
            unit,
            tuple(
                Row.of(each.title, Samples(tuple(getattr(load, attribute) for load in rounds)))
                for (each, redis_used), rounds in loads.items()
                if redis_used is with_redis
            ),
        )

    rates = table("In memory", "requests/s", False)
    shares = {row.name: row.median for row in rates.rows}
    return Subject(
        "served",
        "Served by gunicorn (gthread, 2 x 4), asked by wrk (16 connections)",
        tables=(
            rates,
            table("In memory, slowest hundredth", "ms", False),
            table("With Redis", "requests/s", True),
            table("With Redis, slowest hundredth", "ms", True),
        ),
        figures=(
            Figure.no_less(
                "ours / bare Flask, requests per second",
                shares[apps.OURS.title] / shares[apps.BARE.title],
                0.8,
                "x",
            ),
        ),
        notes=("wrk, gunicorn and Redis share the machine's processors.",),
    )
