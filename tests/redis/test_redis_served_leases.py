"""gunicorn's workers with leases: exact over servers, and what a worker that dies costs."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from redis import Redis as Client

from between import Between, Stop, owner_of_port
from served import ServedApp, new_user
from servers import Redis
from waiting import until

LIMIT = 50  # of /fifty, an hour
OFFER = b"\r\n$1\r\nb\r\n"  # the action of the script that offers permits
TAKEN = b"*1\r\n:1\r\n"  # the answer to an offer that other hosts have use for
LONG = 60  # seconds; a refusal while other hosts hold permits says less


@pytest.fixture
def settings(redis: Redis) -> dict[str, str]:
    """Of a server that leases. Two are two hosts where the URLs of Redis differ."""
    return {
        "REDIS_URL": redis.url,
        "RATELIMIT_KEY_PREFIX": f"leases-{os.urandom(4).hex()}",
        "RATELIMIT_STORE_TIMEOUT_MS": "30000",
        "RATELIMIT_ON_STORE_ERROR": "deny",
        "RATELIMIT_LEASE": "0.5",
    }


@pytest.fixture
def client(redis: Redis) -> Iterator[Client]:
    with Client.from_url(redis.url) as client:
        yield client


def two_hosts(redis: Redis, settings: dict[str, str]) -> list[ServedApp]:
    """Servers of two workers each; the second names the same Redis otherwise."""
    other = f"redis://localhost:{redis.port}/0"
    return [ServedApp(2, **settings), ServedApp(2, **settings | {"REDIS_URL": other})]


Answer = tuple[int, dict[str, str]]


def ask(server: ServedApp, header: dict[str, str], path: str = "/fifty") -> Answer:
    """Ask on a connection of its own, so that any worker answers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Connection": "close", **header})
        response = connection.getresponse()
        response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}


def ask_at_once(
    servers: list[ServedApp], header: dict[str, str], each: int, kill: int = 0
) -> tuple[list[Answer], int]:
    """The answers to ten clients that ask so often, and how many requests had none.

    :param kill: a process that is killed when some have been answered.
    """
    answers: list[Answer] = []
    lost = [0] * 10
    barrier = threading.Barrier(10)

    def client(number: int) -> None:
        barrier.wait()
        for _ in range(each):
            lost[number] += 1
            # There is no answer from a worker that is killed.
            with contextlib.suppress(OSError, http.client.HTTPException):
                answers.append(ask(servers[number % len(servers)], header))
                lost[number] -= 1

    threads = [threading.Thread(target=client, args=[number]) for number in range(10)]
    for thread in threads:
        thread.start()
    if kill:
        until(lambda: len(answers) >= 10, "some answers")
        os.kill(kill, signal.SIGKILL)
    for thread in threads:
        thread.join()
    return answers, sum(lost)


def allowed_in(answers: list[Answer]) -> int:
    statuses = Counter(status for status, _ in answers)
    assert set(statuses) <= {200, 429}, statuses
    return statuses[200]


def spend_the_rest(servers: list[ServedApp], header: dict[str, str]) -> int:
    """How many requests are allowed until all servers refuse for long."""
    allowed = 0

    def all_are_spent() -> bool:
        nonlocal allowed
        answers = [ask(server, header) for server in servers]
        allowed += allowed_in(answers)
        return all(int(fields.get("retry-after", "0")) > LONG for _, fields in answers)

    until(all_are_spent, "a refusal until the window ends")
    return allowed


def leased(server: ServedApp) -> int:
    return int(server.get("/public/counters")[1]["permits_leased"])


def all_used(client: Client, prefix: str) -> list[int]:
    """What Redis counts of each user of this prefix."""
    values = [client.get(key) for key in client.scan_iter(match=f"*{prefix}*")]
    return [int(value.split()[0]) for value in values if isinstance(value, bytes)]


def used(client: Client, prefix: str) -> int:
    """What Redis counts of the only user of this prefix."""
    (count,) = all_used(client, prefix)
    return count


def out(client: Client, prefix: str) -> int:
    """The permits of all users that no host has told Redis what became of."""
    values = [client.get(key) for key in client.scan_iter(match=f"*{prefix}*")]
    return sum(int(value.split()[-2]) for value in values if isinstance(value, bytes))


def use_up(servers: list[ServedApp], header: dict[str, str], client: Client, prefix: str) -> int:
    """How many requests are allowed until Redis and the servers have no permit left.

    A worker that is killed may not have told Redis what it has spent. Redis takes that for permits
    that are out, so the refusals may be short until the window ends.
    """
    allowed = 0

    def nothing_is_left() -> bool:
        nonlocal allowed
        answers = [ask(server, header) for server in servers]
        allowed += allowed_in(answers)
        refused = all(status == 429 for status, _ in answers)
        held = sum(leased(server) for server in servers)
        return refused and held == 0 and set(all_used(client, prefix)) == {LIMIT}

    until(nothing_is_left, "no permit left")
    return allowed


def kill_all(server: ServedApp) -> None:
    """Kill all processes of a server."""
    assert server.process is not None
    workers = server.worker_pids()
    server.process.kill()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()


def until_replaced(server: ServedApp, killed: int) -> None:
    until(lambda: len(server.worker_pids() - {killed}) == 2, "another worker")


def test_two_servers_with_leases_let_exactly_fifty_through(
    redis: Redis, client: Client, settings: dict[str, str]
) -> None:
    servers = two_hosts(redis, settings)
    with servers[0], servers[1]:
        for _ in range(3):
            header = new_user()
            before = redis.scripts_run()
            answers, lost = ask_at_once(servers, header, each=10)
            asked = redis.scripts_run() - before
            allowed = allowed_in(answers)
            assert lost == 0
            assert LIMIT / 2 <= allowed <= LIMIT
            assert asked < 100, "leases save round trips"
            for status, fields in answers:
                assert fields["x-ratelimit-limit"] == str(LIMIT)
                assert 0 <= int(fields["x-ratelimit-remaining"]) < LIMIT
                assert ("retry-after" in fields) == (status == 429)
            assert allowed + spend_the_rest(servers, header) == LIMIT
            answers, _ = ask_at_once(servers, header, each=2)
            assert allowed_in(answers) == 0
            assert {fields["x-ratelimit-remaining"] for _, fields in answers} == {"0"}


def test_a_worker_that_is_killed_under_load_costs_what_is_out_at_most(
    redis: Redis, client: Client, settings: dict[str, str]
) -> None:
    servers = two_hosts(redis, settings)
    with servers[0], servers[1]:
        for _ in range(3):
            header, worker = new_user(), min(servers[0].worker_pids())
            answers, lost = ask_at_once(servers, header, each=10, kill=worker)
            until_replaced(servers[0], worker)
            prefix = settings["RATELIMIT_KEY_PREFIX"]
            allowed = allowed_in(answers) + use_up(servers, header, client, prefix)
            # A call may have been granting it permits, or giving them back.
            assert LIMIT - lost - out(client, prefix) <= allowed <= LIMIT


def test_the_last_worker_that_ends_returns_what_its_host_has_leased(
    client: Client, settings: dict[str, str]
) -> None:
    def used_in_the_end() -> int:
        prefix = f"leases-{os.urandom(4).hex()}"
        header = new_user()
        with ServedApp(2, **settings | {"RATELIMIT_KEY_PREFIX": prefix}) as server:
            assert isinstance(server, ServedApp)
            assert [ask(server, header)[0] for _ in range(3)] == [200, 200, 200]
            assert leased(server) > 0
            assert used(client, prefix) > 3
        return used(client, prefix)

    # It waits for Redis for a quarter of a second at most, which a busy machine may take once.
    assert 3 in (used_in_the_end() for _ in range(2))


def test_a_server_that_was_killed_uses_its_leases_on(
    redis: Redis, client: Client, settings: dict[str, str]
) -> None:
    header, first = new_user(), ServedApp(2, **settings)
    first.start()
    assert ask(first, header)[0] == 200
    held = leased(first)
    assert held > 10
    kill_all(first)
    with ServedApp(2, **settings) as server:
        assert isinstance(server, ServedApp)
        assert leased(server) == held
        before = redis.scripts_run()
        assert [ask(server, header)[0] for _ in range(5)] == [200] * 5
        assert redis.scripts_run() == before
        assert leased(server) == held - 5
        assert 6 + spend_the_rest([server], header) == LIMIT
    first.close()


@pytest.mark.parametrize(
    ("stop", "arrives"),
    [
        pytest.param(Stop.REQUEST, False, id="the offer is lost"),
        pytest.param(Stop.REQUEST, True, id="the offer arrives late"),
        pytest.param(Stop.ANSWER, False, id="the answer is lost"),
    ],
)
def test_a_worker_that_is_killed_inside_an_offer_loses_one_lease_at_most(
    redis: Redis, client: Client, settings: dict[str, str], stop: Stop, arrives: bool
) -> None:
    header, prefix = new_user(), settings["RATELIMIT_KEY_PREFIX"]
    with Between(redis.port) as way:
        holder = ServedApp(2, **settings | {"REDIS_URL": way.url})
        other = ServedApp(2, **settings)
        with holder, other:
            assert [ask(server, header)[0] for server in (holder, other)] == [200, 200]
            held = leased(holder)
            assert held > 10
            way.stop(OFFER, stop)
            allowed = 2

            def is_refused() -> bool:
                nonlocal allowed
                status, _ = ask(other, header)
                allowed += status == 200
                return status != 200

            def is_offered() -> bool:
                is_refused()
                return way.stopped.is_set()

            until(is_offered, "an offer")
            pid = owner_of_port(way.peer_port, holder.worker_pids())
            os.kill(pid, signal.SIGKILL)
            until_replaced(holder, pid)
            assert leased(holder) == 0, "what is offered was taken out first"
            if arrives:
                # Redis takes it then: it has refused another host.
                until(is_refused, "a refusal")
                before = used(client, prefix)
            way.release(deliver=arrives)
            until(lambda: not arrives or used(client, prefix) < before, "the late offer")
            allowed += spend_the_rest([holder, other], header)
        is_taken = arrives or (stop is Stop.ANSWER and TAKEN in way.held)
        assert allowed == (LIMIT if is_taken else LIMIT - held)
