"""Concurrency limits over processes: gunicorn workers, clients that go away, and kill -9."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from served import ServedApp, new_user
from waiting import until

AT_ONCE = 3
STAY = 60.0


@pytest.fixture
def inside() -> Iterator[Path]:
    folder = Path("/dev/shm", f"inside-{os.getpid()}-{time.monotonic_ns()}")
    folder.mkdir()
    yield folder
    for each in folder.iterdir():
        each.unlink(missing_ok=True)
    folder.rmdir()


def serve(inside: Path, *options: str, **settings: str) -> ServedApp:
    return ServedApp(
        4, *options, SERVED_AT_ONCE=str(AT_ONCE), SERVED_INSIDE=str(inside), **settings
    )


def storm(server: ServedApp, headers: dict[str, str], inside: Path) -> list[tuple[int, int]]:
    """As many simultaneous requests as there are threads of workers: status, and most inside.

    Those that are let in stay until the others have been denied.
    """

    def ask(name: int) -> tuple[int, int]:
        status, answer = server.get(f"/at-once/{name}/{STAY}", headers)
        return status, answer.get("most", 0)

    (inside / "leave").unlink(missing_ok=True)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, name) for name in range(8)]
        deadline = time.monotonic() + STAY
        while sum(each.done() for each in asked) < 8 - AT_ONCE and time.monotonic() < deadline:
            time.sleep(0.01)
        (inside / "leave").touch()
        return [each.result() for each in asked]


def status_of(server: ServedApp, path: str, headers: dict[str, str]) -> int:
    """The status of a request; 0 where its worker was killed."""
    try:
        return server.get(path, headers)[0]
    except (OSError, HTTPException):
        return 0


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["each", "preloaded"])
def test_exactly_the_limit_run_over_four_workers(inside: Path, options: tuple[str, ...]) -> None:
    with serve(inside, *options) as server:
        for _ in range(3):
            asked = storm(server, new_user(), inside)
            assert Counter(status for status, _ in asked) == {200: AT_ONCE, 429: 8 - AT_ONCE}
            assert max(most for _, most in asked) == AT_ONCE


def test_a_client_that_goes_away_ends_its_stream(inside: Path) -> None:
    headers = new_user()
    with serve(inside) as server:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        asked = "\r\n".join(["GET /stream HTTP/1.1", "Host: served", *lines, "", ""])
        with socket.create_connection(("127.0.0.1", server.port), 120) as client:
            client.sendall(asked.encode())
            assert b"200" in client.recv(1000)
            assert server.get("/short", headers)[0] == 429
            assert server.get("/short", new_user())[0] == 200
        until(lambda: status_of(server, "/short", headers) == 200, "a request that passes")


def test_a_killed_worker_gives_its_permits_back(inside: Path) -> None:
    headers = new_user()
    with serve(inside) as server:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            paths = [f"/at-once/stay-{name}/{STAY}" for name in range(AT_ONCE)]
            staying = [pool.submit(status_of, server, path, headers) for path in paths]
            until(lambda: len(list(inside.iterdir())) >= AT_ONCE, "all of them inside")
            assert server.get("/at-once/more/0.0", headers)[0] == 429
            for pid in {int(each.name.split("-")[0]) for each in inside.iterdir()}:
                os.kill(pid, signal.SIGKILL)
            until(
                lambda: status_of(server, "/at-once/again/0.0", headers) == 200,
                "a request that passes",
            )
            assert [each.result() for each in staying] == [0] * AT_ONCE
        for each in inside.iterdir():
            each.unlink()
        assert Counter(s for s, _ in storm(server, headers, inside))[200] == AT_ONCE


@pytest.mark.soak
def test_two_hundred_killed_workers_lose_and_double_no_permit(inside: Path) -> None:
    headers, chance = new_user(), random.Random(1)
    with serve(inside) as server, ThreadPoolExecutor(8) as pool:
        stopped: list[bool] = []

        def ask_on(name: int) -> None:
            while not stopped:
                status_of(server, f"/at-once/{name}/0.002", headers)

        asking = [pool.submit(ask_on, name) for name in range(8)]
        for _ in range(200):
            time.sleep(chance.random() / 5)
            workers = sorted(server.worker_pids())
            if workers:
                os.kill(chance.choice(workers), signal.SIGKILL)
        stopped.append(True)
        for each in asking:
            each.result()
        for each in inside.iterdir():
            each.unlink()
        until(
            lambda: status_of(server, "/at-once/again/0.0", headers) == 200, "a request that passes"
        )
        for _ in range(5):
            asked = storm(server, headers, inside)
            assert Counter(status for status, _ in asked) == {200: AT_ONCE, 429: 8 - AT_ONCE}
            assert max(most for _, most in asked) == AT_ONCE
