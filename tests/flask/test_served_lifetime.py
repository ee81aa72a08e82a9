"""Counters outlive the processes that count: recycled, reloaded, restarted and killed workers."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from paths import ROOT
from served import ServedApp, new_user
from waiting import until

LIMIT = 50
TRIES = 150


class Recycling(ServedApp):
    """gunicorn, not preloaded, that replaces each worker after a few requests."""

    def __init__(self, workers: int, max_requests: int, **environment: str) -> None:
        limit = f"{LIMIT} per hour"
        recycled = ("--max-requests", str(max_requests))
        super().__init__(workers, *recycled, RATELIMIT_DEFAULT=limit, **environment)
        self.pids_seen: set[int] = set()

    def ask(self, headers: dict[str, str]) -> int:
        status, answer = self.get("/api/who", headers)
        if status == 200:
            self.pids_seen.add(answer["pid"])
        return status

    def reload(self) -> None:
        """What a deploy does: HUP; until every worker is another one."""
        assert self.process is not None
        before = self.worker_pids()
        self.process.send_signal(signal.SIGHUP)
        until(lambda: not before & self.worker_pids() and self.ready(), "a reload")

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill_worker(self) -> None:
        until(self._kills_worker, "the end of a worker")
        until(self.ready, "a new worker")

    def _kills_worker(self) -> bool:
        """Kill a worker; return whether there was one, because they end by themselves as well."""
        for pid in self.worker_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def kill_all(self) -> None:
        """The power goes off, as far as this server is concerned."""
        assert self.process is not None
        workers = self.worker_pids()
        self.process.kill()
        self.process.wait()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not any(_runs(pid) for pid in workers), "the end of the workers")
        self.start()


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_recycled_worker_keeps_all_counts() -> None:
    """`gunicorn -w 1 --max-requests 20` once let 150 of 150 pass."""
    headers = new_user()
    with Recycling(1, 20) as server:
        statuses = Counter(server.ask(headers) for _ in range(TRIES))
        assert statuses == Counter({200: LIMIT, 429: TRIES - LIMIT})
        assert len(server.pids_seen) > 1  # a positive control: workers were replaced
        assert server.ask(new_user()) == 200  # and others are let in


@pytest.mark.parametrize("workers", [1, 4])
def test_reloads_restarts_and_kills_give_no_new_quota(workers: int) -> None:
    headers = new_user()
    with Recycling(workers, 9) as server:
        statuses: Counter[int] = Counter()
        for event in (
            server.reload,
            server.restart,
            server.kill_worker,
            server.kill_all,
            lambda: None,
        ):
            with ThreadPoolExecutor(workers) as clients:
                statuses += Counter(clients.map(lambda _: server.ask(headers), range(TRIES // 5)))
            event()
        assert statuses == Counter({200: LIMIT, 429: TRIES - LIMIT})
        assert len(server.pids_seen) > workers
        assert server.ask(new_user()) == 200


@pytest.mark.soak
def test_all_processes_use_one_segment_in_sixty_thousand_histories() -> None:
    program = "build/plain/test_segment_protocol"
    subprocess.run(["make", "-s", program], cwd=ROOT, check=True)
    subprocess.run([ROOT / program, "20"], check=True)


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 4])
def test_reloads_restarts_and_kills_give_no_new_quota_for_minutes(workers: int) -> None:
    seed = int(os.environ.get("SOAK_SEED", time.time_ns()))
    sys.stdout.write(f"SOAK_SEED={seed}\n")
    chance = random.Random(seed)
    with Recycling(workers, 7) as server, ThreadPoolExecutor(8) as clients:
        events: list[Callable[[], None]] = [
            server.reload,
            server.restart,
            server.kill_worker,
            server.kill_all,
        ]
        for _ in range(25):
            headers = new_user()
            statuses: Counter[int] = Counter()
            for _ in range(3):
                statuses += Counter(clients.map(lambda _, h=headers: server.ask(h), range(40)))
                chance.choice(events)()
            assert statuses == Counter({200: LIMIT, 429: 120 - LIMIT})
