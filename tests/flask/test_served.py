"""What holds over processes: real gunicorn workers, that know nothing of each other."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from served import ServedApp, new_user
from waiting import until

LIMIT = 50
SIMULTANEOUS = 300


@pytest.fixture(scope="module")
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def storm(clients: ThreadPoolExecutor, server: ServedApp, headers: dict[str, str]) -> Counter[int]:
    """So many simultaneous requests of one client; how many got which status."""
    asked = clients.map(lambda _: server.get("/api/who", headers)[0], range(SIMULTANEOUS))
    return Counter(asked)


EXACT = Counter({200: LIMIT, 429: SIMULTANEOUS - LIMIT})


def test_workers_of_a_host_count_together(clients: ThreadPoolExecutor) -> None:
    with ServedApp() as server:
        for _ in range(3):
            assert storm(clients, server, new_user()) == EXACT


def test_a_killed_worker_loses_no_count(clients: ThreadPoolExecutor) -> None:
    headers = new_user()
    with ServedApp() as server:
        assert storm(clients, server, headers) == EXACT
        before = server.worker_pids()
        os.kill(next(iter(before)), signal.SIGKILL)
        until(
            lambda: server.worker_pids() - before and len(server.worker_pids()) == server.workers,
            "gunicorn replaces a killed worker",
        )
        assert storm(clients, server, headers) == Counter({429: SIMULTANEOUS})
        assert storm(clients, server, new_user()) == EXACT


@pytest.mark.soak
def test_workers_of_a_host_count_together_a_hundred_times(clients: ThreadPoolExecutor) -> None:
    with ServedApp() as server:
        for _ in range(100):
            assert storm(clients, server, new_user()) == EXACT


def test_no_token_is_denied_while_a_key_is_rotated() -> None:
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
    with ServedApp(1, **before) as one, ServedApp(1, **before) as two:
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
    server = ServedApp(1, JWT_SECRET_KEY="")
    with pytest.raises(RuntimeError, match="JWT_SECRET_KEY is the documented default"):
        server.start()
    server.close()


def test_the_served_app_is_the_one_of_this_tree() -> None:
    """A positive control for all of the above: the app is this tree's."""
    with ServedApp(1) as server:
        assert server.get("/api/who", new_user())[0] == 200
        assert server.get("/api/who")[0] == 401
        assert server.get("/api/who", {"X-Tenant-ID": str(uuid.uuid4())})[0] == 401
    assert subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "served_app"]).returncode == 1
