"""gunicorn's workers on one Redis: exact over servers, and undisturbed while Redis is away."""

from __future__ import annotations

import http.client
import os
import signal
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from apps import TENANT, USER, bearer, make_app
from served import ServedApp
from servers import Redis
from waiting import until


def ask(connection: http.client.HTTPConnection, path: str, header: dict[str, str]) -> int:
    connection.request("GET", path, headers=header)
    response = connection.getresponse()
    response.read()
    return response.status


def test_two_servers_with_one_redis_let_exactly_fifty_through() -> None:
    with Redis() as redis:
        settings = {
            "REDIS_URL": redis.url,
            "RATELIMIT_KEY_PREFIX": f"served-{redis.port}",
            "RATELIMIT_STORE_TIMEOUT_MS": "5000",
        }
        servers = [ServedApp(2, **settings) for _ in range(2)]
        with servers[0], servers[1]:
            for number in range(3):
                header = bearer(TENANT, f"550e8400-e29b-41d4-a716-44665544000{number}")
                statuses: Counter[int] = Counter()
                barrier = threading.Barrier(30)

                def client(port: int, header: dict[str, str] = header) -> None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                    barrier.wait()  # noqa: B023
                    for _ in range(10):
                        statuses[ask(connection, "/fifty", header)] += 1  # noqa: B023
                    connection.close()

                threads = [
                    threading.Thread(target=client, args=(servers[i % 2].port,)) for i in range(30)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert statuses == {200: 50, 429: 250}


@dataclass
class Outage:
    """What clients noted while Redis was killed, back, frozen and thawed."""

    notes: list[tuple[float, float, int]]  # when, how long, status
    phases: dict[str, tuple[float, float]]
    log: str

    def waits(self, phase: str) -> list[float]:
        """How long the requests of one phase took."""
        start, end = self.phases[phase]
        return [took for at, took, _ in self.notes if start <= at < end]


def outage(seconds: float) -> Outage:
    notes: list[tuple[float, float, int]] = []
    phases: dict[str, tuple[float, float]] = {}
    stop = threading.Event()

    def client(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        header = bearer()
        while not stop.is_set():
            started = time.monotonic()
            status = ask(connection, "/many", header)
            notes.append((started, time.monotonic() - started, status))
        connection.close()

    def phase(name: str) -> None:
        began = time.monotonic()
        time.sleep(seconds)
        phases[name] = (began, time.monotonic())

    with Redis() as redis, ServedApp(2, REDIS_URL=redis.url) as server:
        log = server.directory / "log"
        threads = [threading.Thread(target=client, args=(server.port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: {200} == {status for _, _, status in notes[-20:]}, "the load")
        phase("calm")
        assert redis.process is not None
        redis.process.kill()
        phase("killed")
        redis.stop()
        redis.start()
        phase("back")
        os.kill(redis.process.pid, signal.SIGSTOP)
        phase("frozen")
        os.kill(redis.process.pid, signal.SIGCONT)
        phase("thawed")
        until(lambda: log.read_text().count("answers again and counts") > 0, "Redis counts again")
        stop.set()
        for thread in threads:
            thread.join()
        return Outage(notes, phases, log.read_text())


def test_no_request_fails_during_an_outage_of_redis() -> None:
    """Killed, back, frozen, thawed, under load: 200 alone, and each worker says so."""
    seen = outage(1.5)
    assert {status for _, _, status in seen.notes} == {200}
    assert all(seen.waits(phase) for phase in seen.phases), "the load went on"
    assert "is away" in seen.log
    assert "answers again and counts" in seen.log


@pytest.mark.soak
def test_no_request_is_slower_during_an_outage_of_redis() -> None:
    """Alone on a machine: what is timed here, another's load would disturb."""
    seen = outage(5)
    longest = max(max(seen.waits(phase)) for phase in seen.phases)
    p99 = {phase: statistics.quantiles(seen.waits(phase), n=100)[98] for phase in seen.phases}
    print(f"{len(seen.notes)} requests, longest {longest:.3f} s, p99 {p99}")  # noqa: T201 - for -rP
    assert longest < 0.4
    assert max(p99.values()) <= 3 * p99["calm"]
    # Each of the two outages told once by each worker that served anybody.
    assert seen.log.count("is away") in (2, 4)
    assert seen.log.count("answers again and counts") == seen.log.count("is away")


def test_a_reset_that_redis_missed_is_reported() -> None:
    app = make_app(REDIS_URL="redis://127.0.0.1:1")
    arguments = ["auth", "limits", "reset", "--tenant", TENANT, "--user", USER]
    result = app.test_cli_runner().invoke(args=arguments)
    assert result.exit_code == 1
    assert "not everything was reset" in result.output
    assert "Redis cannot be reached" in result.output
