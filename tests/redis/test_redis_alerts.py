"""One alert of all workers and hosts: exactly one takes the last permit of a window."""

from __future__ import annotations

import contextlib
import http.client
import threading
import uuid
from collections import Counter

import pytest

from served import ServedApp
from servers import Redis

RULES = "50 failures per hour per address; 120 failures per hour; 9999 failures per hour"
SECONDS = 60.0


def fail(servers: list[ServedApp], clients: int, times: int) -> Counter[int]:
    """Ask without a token from several threads, of all servers."""
    statuses: Counter[int] = Counter()
    barrier = threading.Barrier(clients)

    def client(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        barrier.wait()
        for _ in range(times):
            connection.request("GET", "/api/who")
            response = connection.getresponse()
            response.read()
            statuses[response.status] += 1
        connection.close()

    threads = [
        threading.Thread(target=client, args=(servers[number % len(servers)].port,))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


@pytest.mark.parametrize("hosts", [1, 2])
def test_each_rule_raises_one_alert_on_all_workers_of_all_hosts(hosts: int) -> None:
    with contextlib.ExitStack() as stack:
        settings = {
            "AUTH_ALERTS": RULES,
            "AUTH_FAILURE_LIMIT": "",
            "RATELIMIT_DEFAULT": "",
            "RATELIMIT_STORE_TIMEOUT_MS": "5000",
        }
        if hosts > 1:
            redis = stack.enter_context(Redis())
            settings |= {"REDIS_URL": redis.url, "RATELIMIT_KEY_PREFIX": f"alerts {uuid.uuid4()}"}
        servers = [stack.enter_context(ServedApp(3, **settings)) for _ in range(hosts)]
        statuses = fail(servers, clients=24, times=10)
        logs = "".join((server.directory / "log").read_text() for server in servers)
    assert statuses == {401: 240}
    raised = [line for line in logs.splitlines() if "Alert: " in line]
    assert len(raised) == 2, raised
    for rule in RULES.split("; ")[:2]:
        assert sum(f"Alert: {rule}:" in line for line in raised) == 1
