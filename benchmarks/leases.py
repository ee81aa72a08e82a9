"""Requests to two servers that count one user in one Redis, without leases and with them.

Each server is gunicorn (gthread, 2 processes of 4 threads), and a host of its own: hosts are told
apart by the address of their Redis.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.request import Request, urlopen

from tests.support.servers import Gunicorn, Redis

from . import apps
from .harness import Plan, Samples
from .result import Figure, Row, Subject, Table
from .served import GTHREAD, measure_load

PARTS = ("0", "0.5")  # of RATELIMIT_LEASE
HOSTS = ("127.0.0.1", "localhost")
RATES, TRIPS = "Two servers and one Redis", "Two servers and one Redis, round trips"
SLOWEST = "Two servers and one Redis, slowest hundredth"


@dataclass(frozen=True)
class Round:
    """What both servers together have answered."""

    per_second: float
    p99_ms: float
    trips: float  # to Redis, a request


def title(part: str) -> str:
    return f"RATELIMIT_LEASE={part}"


def application(redis: Redis, part: str, host: str) -> str:
    settings = f"RATELIMIT_LEASE={part!r}, RATELIMIT_KEY_PREFIX={f'bench-{part}'!r}"
    return f"benchmarks.apps:ours('redis://{host}:{redis.port}/0', {settings})"


def await_answer(port: int) -> None:
    """Ask once: gunicorn listens before its workers have imported the app."""
    asked = Request(f"http://127.0.0.1:{port}{apps.PATH}", headers=apps.headers_for(apps.OURS))
    with urlopen(asked, timeout=60) as answer:
        answer.read()


def measure_both(redis: Redis, ports: list[int], seconds: float) -> Round:
    """Send load to the servers at the same time."""
    before = redis.scripts_run()
    with ThreadPoolExecutor(len(ports)) as pool:
        loads = list(pool.map(lambda port: measure_load(port, apps.OURS, seconds), ports))
    per_second = sum(load.per_second for load in loads)
    requests = per_second * max(1, round(seconds))
    trips = (redis.scripts_run() - before) / requests
    return Round(per_second, max(load.p99_ms for load in loads), trips)


def run(plan: Plan) -> Subject:
    rounds: dict[str, list[Round]] = {part: [] for part in PARTS}
    with contextlib.ExitStack() as stop:
        redis = stop.enter_context(Redis())
        ports: dict[str, list[int]] = {part: [] for part in PARTS}
        for part in PARTS:
            for host in HOSTS:
                server = Gunicorn(application(redis, part, host), *GTHREAD)
                ports[part].append(stop.enter_context(server).port)
                await_answer(server.port)
            measure_both(redis, ports[part], 1)  # warms every worker up
        for turn in range(plan.served_rounds):
            for part in PARTS if turn % 2 == 0 else reversed(PARTS):
                rounds[part].append(measure_both(redis, ports[part], plan.served_seconds))
    return subject(rounds)


def subject(rounds: Mapping[str, Sequence[Round]]) -> Subject:
    def table(name: str, unit: str, attribute: str) -> Table:
        return Table(
            name,
            unit,
            tuple(
                Row.of(title(part), Samples(tuple(getattr(each, attribute) for each in made)))
                for part, made in rounds.items()
            ),
        )

    trips = table(TRIPS, "a request", "trips")
    return Subject(
        "leases",
        "Two servers (gunicorn, gthread, 2 x 4) and one Redis, asked by wrk (16 connections each)",
        tables=(
            table(RATES, "requests/s", "per_second"),
            table(SLOWEST, "ms", "p99_ms"),
            trips,
        ),
        figures=(
            Figure.at_most("round trips a request, with leases", trips.rows[-1].median, 0.012),
        ),
        notes=("Both wrk, all four servers and Redis share the machine's processors.",),
    )
