"""gunicorn's workers on one Redis: exact over servers, and undisturbed while Redis is away."""

from __future__ import annotations

import http.client
import os
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from apps import SECRET, TENANT, USER, bearer, make_app
from servers import Redis, Server

APP = """
from flask import Flask
from flask_tenant_auth import TenantAuth, rate_limit, verify_tenant_context

app = Flask("served")
TenantAuth(app)

@app.get("/fifty")
@verify_tenant_context
@rate_limit("50 per hour")
def fifty():
    return {}

@app.get("/many")
@verify_tenant_context
@rate_limit("1000000 per hour")
def many():
    return {}
"""


class Gunicorn(Server):
    """Two workers with four threads each, not preloaded."""

    def __init__(self, redis: Redis, **config: str) -> None:
        super().__init__()
        (self.directory / "served.py").write_text(APP)
        self.config = {
            "REDIS_URL": redis.url,
            "JWT_SECRET_KEY": SECRET,
            "RATELIMIT_KEY_PREFIX": f"served-{redis.port}",
            "FLASK_ENV": "production",
        } | config

    def command(self) -> list[str]:
        root = Path(__file__).parent.parent
        settings = [f"{key}={value}" for key, value in self.config.items()]
        workers = ["--workers", "2", "--threads", "4", "--keep-alive", "60"]
        bind = ["--bind", f"127.0.0.1:{self.port}", "--pythonpath", str(root)]
        return ["env", *settings, sys.executable, "-m", "gunicorn", *workers, *bind, "served:app"]


def ask(connection: http.client.HTTPConnection, path: str, header: dict[str, str]) -> int:
    connection.request("GET", path, headers=header)
    response = connection.getresponse()
    response.read()
    return response.status


def test_two_servers_and_one_redis_let_exactly_fifty_through() -> None:
    with Redis() as redis:
        servers = [Gunicorn(redis, RATELIMIT_STORE_TIMEOUT_MS="5000") for _ in range(2)]
        with servers[0], servers[1]:
            for number in range(3):
                header = bearer(TENANT, f"550e8400-e29b-41d4-a716-44665544000{number}")
                statuses: Counter[int] = Counter()
                barrier = threading.Barrier(30)

                def client(port: int, header: dict[str, str] = header) -> None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
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


def test_requests_do_not_feel_an_outage() -> None:
    """Killed, back, frozen, thawed, under load: 200 alone, nobody waits, and it says so once."""
    notes: list[tuple[float, float, int]] = []
    stop = threading.Event()

    def client(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        header = bearer()
        while not stop.is_set():
            started = time.monotonic()
            status = ask(connection, "/many", header)
            notes.append((started, time.monotonic() - started, status))
        connection.close()

    def p99(start: float, end: float) -> float:
        took = [duration for at, duration, _ in notes if start <= at < end]
        return statistics.quantiles(took, n=100)[98]

    with Redis() as redis, Gunicorn(redis) as server:
        threads = [threading.Thread(target=client, args=(server.port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        calm = time.monotonic()
        time.sleep(1.5)
        assert redis.process is not None
        killed = time.monotonic()
        redis.process.kill()
        time.sleep(2)
        redis.stop()
        redis.start()
        back = time.monotonic()
        time.sleep(2)
        frozen = time.monotonic()
        os.kill(redis.process.pid, signal.SIGSTOP)
        time.sleep(2)
        os.kill(redis.process.pid, signal.SIGCONT)
        thawed = time.monotonic()
        time.sleep(2)
        stop.set()
        for thread in threads:
            thread.join()
        log = (server.directory / "log").read_text()
    assert {status for _, _, status in notes} == {200}
    # The first second is that of workers which are still importing.
    longest = max(duration for at, duration, _ in notes if at >= calm)
    outages = [p99(killed, back), p99(frozen, thawed)]
    print(  # noqa: T201 - shown by pytest -rP
        f"{len(notes)} requests; p99 calm {p99(calm, killed) * 1e3:.2f} ms, killed "
        f"{outages[0] * 1e3:.2f} ms, frozen {outages[1] * 1e3:.2f} ms, "
        f"longest {longest * 1e3:.0f} ms"
    )
    assert longest < 0.4
    assert max(outages) <= 3 * p99(calm, killed)
    # Each of the two outages told once by each worker that served anybody.
    assert log.count("is away") in (2, 4)
    assert log.count("answers again and counts") == log.count("is away")


def test_an_operator_is_told_that_nothing_was_reset() -> None:
    app = make_app(REDIS_URL="redis://127.0.0.1:1")
    arguments = ["auth", "limits", "reset", "--tenant", TENANT, "--user", USER]
    result = app.test_cli_runner().invoke(args=arguments)
    assert result.exit_code == 1
    assert "not everything was reset" in result.output
    assert "Redis cannot be reached" in result.output
