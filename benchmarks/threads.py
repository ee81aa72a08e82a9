"""How much more two threads do than one: verifying tokens, counting, and whole requests.

    python -m benchmarks.threads

It is for a CPython without the GIL, on a machine with two cores that do nothing else; with a GIL
the ratio is 1 at most. One and two threads take turns, and the median of the rounds is printed. The
ratio of time on the processor shows what threads cost each other, also where others use the cores;
it leaves out what a thread waits.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from flask import Flask
from werkzeug.test import EnvironBuilder

from flask_tenant_auth import TenantAuth, create_jwt_token, rate_limit, verify_tenant_context
from flask_tenant_auth._core import Key, Keyring, Limit, Limiter, Rate

TENANT, USER = "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4", "550e8400-e29b-41d4-a716-446655440000"
SECRET = "a secret of at least 32 octets..."
ROUNDS = 9
_numbers = itertools.count()  # no two threads have one address

# Makes what a thread does so many times. Each thread has one of its own.
Maker = Callable[[], Callable[[int], None]]


def verify() -> Maker:
    keyring = Keyring([Key.secret("HS256", SECRET.encode())])
    now = int(time.time())
    claims = {"tenant_id": TENANT, "user_id": USER, "role": "user", "iat": now, "exp": now + 3600}
    token = keyring.sign(json.dumps(claims).encode())

    def make() -> Callable[[int], None]:
        call, own = keyring.verify, token[:1] + token[1:]

        def work(times: int) -> None:
            for _ in range(times):
                call(own)

        return work

    return make


def hit(*, shares_limits: bool = False) -> Maker:
    """With a tuple of limits of each thread's own, or one tuple that all refer to.

    A CPython 3.13 that runs a call counts a reference to each argument, so a shared one costs more.
    """
    limiter = Limiter(prefix="threads", shared=False, shm_bytes=2**20)
    limits = [Limit(Rate(8_000_000, 3600), scope="threads", per="address")]
    shared = tuple(limits)

    def make() -> Callable[[int], None]:
        own = shared if shares_limits else tuple(limits)
        call, address = limiter.hit, f"192.0.2.{next(_numbers) % 250}"

        def work(times: int) -> None:
            for _ in range(times):
                call(own, None, address)

        return work

    return make


def request() -> Maker:
    app = Flask("threads")
    app.config.update(
        JWT_SECRET_KEY=SECRET, RATELIMIT_DEFAULT="8000000 per hour", FLASK_ENV="production"
    )
    TenantAuth(app)
    app.get("/")(rate_limit("8000000 per hour")(verify_tenant_context(lambda: "in")))
    with app.app_context():
        token = create_jwt_token(TENANT, USER, "user")
    return maker_of_requests(app, {"HTTP_AUTHORIZATION": f"Bearer {token}"})


def maker_of_requests(app: Flask, more: dict[str, str]) -> Maker:
    application = app.wsgi_app

    def make() -> Callable[[int], None]:
        environ = EnvironBuilder(path="/").get_environ() | more
        environ["REMOTE_ADDR"] = f"192.0.2.{next(_numbers) % 250}"

        def start(*_: object) -> Callable[[bytes], object]:
            return lambda _body: None

        def work(times: int) -> None:
            for _ in range(times):
                for _part in application(dict(environ), start):
                    pass

        return work

    return make


def request_of_flask() -> Maker:
    """An app without us: what Flask and Werkzeug share among threads."""
    app = Flask("threads alone")
    app.get("/")(lambda: "in")
    return maker_of_requests(app, {})


SUBJECTS: dict[str, tuple[Callable[[], Maker], int]] = {
    "verify": (verify, 30_000),
    "hit": (hit, 60_000),
    "hit of a shared tuple": (lambda: hit(shares_limits=True), 60_000),
    "request": (request, 1_500),
    "request of Flask alone": (request_of_flask, 1_500),
}


class Spent(NamedTuple):
    """What threads took together: from the first start to the last end, and of the processor."""

    wall: float
    processor: float


def spend(make: Maker, threads: int, times: int) -> Spent:
    """What so many threads take, each of which does its work so many times.

    Each reads the clocks itself: the thread that made them may get no core meanwhile.
    """
    gate = threading.Barrier(threads)
    cores = sorted(os.sched_getaffinity(0))
    starts, ends, processor = [0.0] * threads, [0.0] * threads, [0.0] * threads

    def run(number: int) -> None:
        # The scheduler may leave two threads on one core for longer than this takes.
        os.sched_setaffinity(0, {cores[number % len(cores)]})
        work = make()
        work(10)
        gate.wait()
        starts[number], before = time.perf_counter(), time.thread_time()
        work(times)
        ends[number], processor[number] = time.perf_counter(), time.thread_time() - before

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return Spent(max(ends) - min(starts), sum(processor))


class Ratios(NamedTuple):
    """How many times the work of one thread two threads do in the same time."""

    wall: float
    processor: float


def ratios(make: Maker, times: int) -> Ratios:
    """Medians of rounds. The second is of time on the processor alone, whoever else is on it."""
    walls, processors = [], []
    for _ in range(ROUNDS):
        one, two = spend(make, 1, times), spend(make, 2, times)
        walls.append(2 * one.wall / two.wall)
        processors.append(4 * one.processor / two.processor)
    return Ratios(statistics.median(walls), statistics.median(processors))


def main() -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    for name in sys.argv[1:] or SUBJECTS:
        prepare, times = SUBJECTS[name]
        found = ratios(prepare(), times)
        print(
            f"{name}: two threads do {found.wall:.2f} times as much as one, by time on the "
            f"processor {found.processor:.2f} (load {os.getloadavg()[0]:.1f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
