"""What holds over processes: real gunicorn workers, that know nothing of each other."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from apps import SECRET, bearer
from paths import SUPPORT
from servers import Server

LIMIT = 50
SIMULTANEOUS = 300


class Gunicorn(Server):
    """Workers that each import the app by themselves (no preload)."""

    def __init__(self, workers: int = 4, **environment: str) -> None:
        super().__init__()
        self.counters: set[str] = set()
        self.workers = workers
        self.environment = {
            "FLASK_ENV": "production",
            "JWT_SECRET_KEY": SECRET,
            "RATELIMIT_KEY_PREFIX": f"served {uuid.uuid4()}",
            "RATELIMIT_SHM_BYTES": str(2**20),
            "REDIS_URL": "",
        } | environment

    def command(self) -> list[str]:
        """As in the base class."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        bind = ["--bind", f"127.0.0.1:{self.port}", "--backlog", "1024"]
        workers = ["--workers", str(self.workers), "--worker-class", "gthread", "--threads", "4"]
        where = ["--pythonpath", str(SUPPORT), "--worker-tmp-dir", "/dev/shm"]
        gunicorn = [sys.executable, "-m", "gunicorn", *bind, *workers, *where, "served_app:app"]
        return ["env", *settings, *gunicorn]

    def ready(self) -> bool:
        """It listens before its workers have imported the app."""
        try:
            status, counters = self.get("/public/counters")
        except OSError:
            return False
        if counters.get("path"):
            self.counters.add(counters["path"])
        return status == 200

    def close(self) -> None:
        """As in the base class; counters that have not ended would stay until they have."""
        super().close()
        for path in self.counters:
            Path(path).unlink(missing_ok=True)

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Ask on a connection of its own, so that any worker may answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def worker_pids(self) -> set[int]:
        """Who serves at the moment."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in children.read_text().split()}


@pytest.fixture(scope="module")
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def storm(clients: ThreadPoolExecutor, server: Gunicorn, headers: dict[str, str]) -> Counter[int]:
    """So many simultaneous requests of one client; how many got which status."""
    asked = clients.map(lambda _: server.get("/api/who", headers)[0], range(SIMULTANEOUS))
    return Counter(asked)


def someone() -> dict[str, str]:
    return bearer(user_id=str(uuid.uuid4()))


EXACT = Counter({200: LIMIT, 429: SIMULTANEOUS - LIMIT})


def test_workers_of_a_host_count_together(clients: ThreadPoolExecutor) -> None:
    with Gunicorn() as server:
        for _ in range(3):
            assert storm(clients, server, someone()) == EXACT


def test_a_killed_worker_takes_no_count_with_it(clients: ThreadPoolExecutor) -> None:
    headers = someone()
    with Gunicorn() as server:
        assert storm(clients, server, headers) == EXACT
        before = server.worker_pids()
        os.kill(next(iter(before)), signal.SIGKILL)
        deadline = time.monotonic() + 20
        while server.worker_pids() <= before or len(server.worker_pids()) < server.workers:
            assert time.monotonic() < deadline, "gunicorn replaces a killed worker"
            time.sleep(0.05)
        assert storm(clients, server, headers) == Counter({429: SIMULTANEOUS})
        assert storm(clients, server, someone()) == EXACT


@pytest.mark.soak
def test_workers_of_a_host_count_together_a_hundred_times(clients: ThreadPoolExecutor) -> None:
    with Gunicorn() as server:
        for _ in range(100):
            assert storm(clients, server, someone()) == EXACT


def test_a_key_is_rotated_and_no_token_refused() -> None:
    """The three rounds that `flask auth rotate-key` prints, two servers restarted in turn."""
    old, new = "the-old-key-" * 4, "the-new-key-" * 4
    rounds = [
        {"JWT_SECRET_KEY": old, "JWT_SECRET_KEY_FALLBACKS": new},
        {"JWT_SECRET_KEY": new, "JWT_SECRET_KEY_FALLBACKS": old},
        {"JWT_SECRET_KEY": new},
    ]
    ids = f"{uuid.uuid4()}/{uuid.uuid4()}"
    no_limit = {"RATELIMIT_ENABLED": "false"}
    before = no_limit | {"JWT_SECRET_KEY": old}
    with Gunicorn(1, **before) as one, Gunicorn(1, **before) as two:
        servers = [one, two]
        valid: list[str] = []

        def every_token_is_good_everywhere() -> None:
            valid.extend(each.get(f"/public/token/{ids}")[1]["token"] for each in servers)
            for each in servers:
                for token in valid:
                    status, _ = each.get("/api/who", {"Authorization": f"Bearer {token}"})
                    assert status == 200

        every_token_is_good_everywhere()
        first = valid[0]
        for place, settings in enumerate(rounds):
            if place == 2:  # JWT_EXPIRATION_HOURS later: what the old key signed is gone
                valid[:] = [one.get(f"/public/token/{ids}")[1]["token"]]
            for server in servers:
                server.stop()
                server.environment.pop("JWT_SECRET_KEY_FALLBACKS", None)
                server.environment |= settings
                server.start()
                every_token_is_good_everywhere()
        for each in servers:
            assert each.get("/api/who", {"Authorization": f"Bearer {first}"})[0] == 401


def test_production_without_a_key_does_not_start() -> None:
    server = Gunicorn(1, JWT_SECRET_KEY="")
    with pytest.raises(RuntimeError, match="JWT_SECRET_KEY is the documented default"):
        server.start()
    server.close()


def test_the_interpreter_that_is_tested_is_the_one_that_serves() -> None:
    """A positive control for all of the above: the app is this tree's."""
    with Gunicorn(1) as server:
        assert server.get("/api/who", someone())[0] == 200
        assert server.get("/api/who")[0] == 401
        assert server.get("/api/who", {"X-Tenant-ID": str(uuid.uuid4())})[0] == 401
    assert subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "served_app"]).returncode == 1
