"""Leases: a host hands out a part of a limit of Redis itself, and never more than N are handed out.

tests/lease has the model checker of their arithmetic, and a simulation.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis as Client

from between import Between, Stop
from flask_tenant_auth._core import STRATEGIES, Limit, Limiter, parse_rates
from servers import Redis
from waiting import PATIENCE, until

WINDOWED = [name for name in STRATEGIES if name != "gcra"]


def limit(text: str, *, scope: str = "leases", cost: int = 1) -> Limit:
    (rate,) = parse_rates(text)
    return Limit(rate, scope=scope, per="address", cost=cost)


def host(url: str, **options: object) -> Limiter:
    """A host of its own: its leases are no other limiter's."""
    own = {
        "prefix": "leases",
        "timeout_ms": 5000,
        "redis_url": url,
        "shared": False,
        "lease": 0.5,
        "on_store_error": "deny",
    }
    return Limiter(**own | options)  # type: ignore[arg-type]


@pytest.fixture
def client(redis: Redis) -> Iterator[Client]:
    with Client.from_url(redis.url, decode_responses=False) as client:
        client.flushall()
        client.config_resetstat()
        yield client


def calls(client: Client) -> int:
    """How often the script was called."""
    stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


def value(client: Client) -> bytes:
    (key,) = client.keys("*")
    found = client.get(key)
    assert isinstance(found, bytes)
    return found


def two_of_one_bit(client: Client, url: str) -> tuple[Limiter, Limiter]:
    """Two hosts that Redis, which counts hosts by 48 bits, counts as one."""
    known: dict[int, Limiter] = {}
    while True:
        fresh = host(url)
        assert hits(fresh, limit("100 per day"), 1) == 1
        number = int(value(client).partition(b"l")[2].split()[3])  # of the only one that asked
        client.flushall()
        other = known.setdefault(number % 48, fresh)
        if other is not fresh:
            return other, fresh


def two(client: Client, url: str) -> tuple[Limiter, Limiter]:
    """Two hosts."""
    return host(url), host(url)


PAIRS = pytest.mark.parametrize("pair", [two, two_of_one_bit])
Pair = Callable[[Client, str], tuple[Limiter, Limiter]]


def hits(counter: Limiter, of: Limit, count: int) -> int:
    """How many of so many hits are allowed."""
    return sum(counter.hit([of], None, "a").allowed for _ in range(count))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_hosts_together_never_allow_more_than_the_limit(
    redis: Redis, client: Client, strategy: str
) -> None:
    hosts = [host(redis.url, strategy=strategy) for _ in range(3)]
    of = limit("200 per day")
    allowed = [0] * 12

    def use(number: int) -> None:
        allowed[number] = hits(hosts[number % 3], of, 60)

    threads = [threading.Thread(target=use, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls(client) < 720

    least = 200 if strategy in WINDOWED else 150  # what gcra has leased melts

    def it_is_used() -> bool:
        """A host that was refused asks again soon, and has what others have left."""
        allowed.extend(hits(each, of, 1) for each in hosts)
        return sum(allowed) >= least

    until(it_is_used, "the limit")
    assert sum(allowed) + sum(hits(each, of, 10) for each in hosts) <= 200


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_host_allows_the_whole_limit(redis: Redis, client: Client, strategy: str) -> None:
    counter = host(redis.url, strategy=strategy)
    assert hits(counter, limit("50 per day"), 60) == 50
    assert calls(client) < 20


def test_a_request_from_a_lease_is_no_round_trip(redis: Redis, client: Client) -> None:
    counter, of = host(redis.url), limit("1000 per day")
    first = counter.hit([of], None, "a")
    assert first.remaining == 999
    before = calls(client)
    assert [counter.hit([of], None, "a").remaining for _ in range(3)] == [998, 997, 996]
    assert counter.peek([of], None, "a").remaining == 996
    assert calls(client) == before
    assert counter.status()["requests_from_leases"] == 3
    assert counter.status()["lease"] == "0.5"


def test_without_leases_the_value_of_a_key_is_as_before(redis: Redis, client: Client) -> None:
    counter = host(redis.url, lease=0)
    assert hits(counter, limit("50 per day"), 2) == 2
    assert len(value(client).split()) == 2
    assert b"l" not in value(client)
    assert "lease" not in counter.status()
    # A host without leases counts on in a window that has some.
    leased = host(redis.url)
    assert hits(leased, limit("50 per day"), 1) == 1
    assert hits(counter, limit("50 per day"), 1) == 1
    assert b"l" in value(client)


def test_redis_alone_refuses_and_for_the_whole_cost(redis: Redis, client: Client) -> None:
    counter = host(redis.url)
    assert hits(counter, limit("100 per day"), 1) == 1  # and a lease of 49
    before = calls(client)
    assert hits(counter, limit("100 per day", cost=50), 1) == 1
    assert calls(client) == before + 1
    assert int(value(client).split()[0]) == 100


def test_a_request_that_one_limit_refuses_takes_from_no_other(redis: Redis, client: Client) -> None:
    counter = host(redis.url)
    large, small = limit("1000 per day"), limit("1 per day", scope="small")
    assert hits(counter, large, 1) == 1
    assert hits(counter, small, 1) == 1
    held = counter.status()["permits_leased"]
    assert not counter.hit([large, small], None, "a").allowed
    assert counter.status()["permits_leased"] == held


@PAIRS
def test_permits_that_rest_go_to_a_host_that_was_refused(
    redis: Redis, client: Client, pair: Pair
) -> None:
    (holder, other), of = pair(client, redis.url), limit("20 per day")
    before = holder.status()
    assert hits(holder, limit("20 per day", cost=2), 2) == 2
    assert holder.status()["permits_leased"] > before["permits_leased"]
    allowed = 0

    def has_all() -> bool:
        nonlocal allowed
        allowed += hits(other, of, 1)
        return allowed == 16

    until(has_all, "the rest of the limit")
    assert holder.status()["permits_sent_back"] > before["permits_sent_back"]
    assert other.hit([of], None, "b").allowed  # Another address.
    assert hits(other, of, 3) == hits(holder, of, 3) == 0


@PAIRS
def test_a_refusal_while_others_hold_permits_is_short(
    redis: Redis, client: Client, pair: Pair
) -> None:
    holder, other = pair(client, redis.url)
    assert hits(holder, limit("20 per day"), 1) == 1
    refused = other.hit([limit("20 per day", cost=12)], None, "a")
    assert not refused.allowed
    assert refused.retry_after == 1
    assert refused.reset > 80000


def test_a_refusal_is_final_once_all_hosts_have_said_what_they_spent(
    redis: Redis, client: Client
) -> None:
    hosts, of = [host(redis.url) for _ in range(2)], limit("50 per day")
    allowed = [0] * 8

    def use(number: int) -> None:
        allowed[number] = hits(hosts[number % 2], of, 40)

    threads = [threading.Thread(target=use, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rest = 0

    def all_refuse_until_the_reset() -> bool:
        nonlocal rest
        decisions = [counter.hit([of], None, "a") for counter in hosts]
        rest += sum(decision.allowed for decision in decisions)
        return all(decision.retry_after > 80000 for decision in decisions)

    until(all_refuse_until_the_reset, "refusals until the reset")
    assert sum(allowed) + rest == 50
    assert value(client).split()[-2] == b"0", "nothing is out"


@pytest.mark.parametrize("strategy", WINDOWED)
def test_the_last_process_of_a_host_sends_back_what_is_left(
    redis: Redis, client: Client, strategy: str
) -> None:
    counter, of = host(redis.url, strategy=strategy), limit("100 per day")
    assert hits(counter, of, 5) == 5
    counter.close()
    left = host(redis.url, lease=0, strategy=strategy).peek([of], None, "a").remaining
    assert left == 95


def test_what_was_leased_before_connections_were_lost_is_not_sent_back(
    redis: Redis, client: Client
) -> None:
    counter, of = host(redis.url), limit("100 per day")
    assert hits(counter, of, 5) == 5
    client.client_kill_filter(_type="normal", skipme=True)
    assert hits(counter, limit("100 per day", scope="other"), 1) == 1
    counter.close()
    assert host(redis.url, lease=0).peek([of], None, "a").remaining == 50


def test_a_reset_drops_leases_and_what_is_sent_back_of_them(redis: Redis, client: Client) -> None:
    one, two, of = host(redis.url), host(redis.url), limit("100 per day")
    assert hits(one, of, 1) == hits(two, of, 1) == 1
    one.reset([of], None, "a")
    assert one.status()["permits_leased"] == 0
    assert hits(one, of, 1) == 1  # A new window, of another name.
    count = int(value(client).split()[0])
    two.close()
    assert two.status()["permits_sent_back"] == 0
    assert int(value(client).split()[0]) == count


def test_reservations_stay_exact(redis: Redis, client: Client) -> None:
    counter, of = host(redis.url), limit("10 per day")
    taken = [counter.reserve([of], None, "a") for _ in range(10)]
    assert all(each.decision.allowed for each in taken)
    assert not counter.reserve([of], None, "a").decision.allowed
    assert counter.status()["permits_leased"] == 0
    taken[0].give_back()
    assert counter.reserve([of], None, "a").decision.allowed


WORKER = """
import sys
from flask_tenant_auth._core import Limit, Limiter, parse_rates
url, prefix = sys.argv[1:]
counter = Limiter(prefix=prefix, app="leases", redis_url=url, lease=0.5, timeout_ms=5000,
                  on_store_error="deny", shm_bytes=2**20)
of = Limit(parse_rates("1000 per day")[0], scope="leases", per="address")
for line in sys.stdin:
    word, count = line.strip(), 0
    if word == "close":
        counter.close()
    elif word == "reset":
        counter.reset([of], None, "a")
    else:
        count = int(word)
    allowed = sum(counter.hit([of], None, "a").allowed for _ in range(count))
    print(allowed, counter.status()["requests_from_leases"], flush=True)
"""


class Worker:
    """A process that shares its leases with the others of its host."""

    def __init__(self, url: str, prefix: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, url, prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, word: object) -> tuple[int, int]:
        """So many hits, or a word: how many are allowed; how many came from leases, ever."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        allowed, from_leases = self.process.stdout.readline().split()
        return int(allowed), int(from_leases)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_workers_share_leases_which_outlive_a_killed_one(redis: Redis, client: Client) -> None:
    prefix = f"leases {uuid.uuid4()}"
    workers = [Worker(redis.url, prefix) for _ in range(2)]
    try:
        assert workers[0].say(1) == (1, 0)
        assert workers[1].say(9) == (9, 9)
        os.kill(workers[0].process.pid, signal.SIGKILL)
        workers[0].process.wait()
        assert workers[1].say(10) == (10, 19)
        workers.append(Worker(redis.url, prefix))
        assert workers[2].say(10) == (10, 10)
        assert workers[1].say(100)[0] == 100
        # Not the last one: another uses the leases on.
        workers[2].say("close")
        assert int(value(client).split()[0]) > 130
        workers[1].say("close")
        assert int(value(client).split()[0]) == 130
    finally:
        for worker in workers:
            worker.end()


@pytest.fixture
def workers(redis: Redis) -> Iterator[tuple[Worker, Worker, Between]]:
    """Two of one host, and its way to Redis."""
    prefix = f"leases {uuid.uuid4()}"
    with Between(redis.port) as way:
        pair = Worker(way.url, prefix), Worker(way.url, prefix)
        try:
            yield *pair, way
        finally:
            for worker in pair:
                worker.end()


def test_a_worker_repeats_no_refusal_where_another_has_got_permits(
    client: Client, workers: tuple[Worker, Worker, Between]
) -> None:
    one, other, _ = workers
    assert one.say(1000)[0] == 1000
    assert other.say(2)[0] == 0
    one.say("reset")
    assert other.say(1)[0] == 0, "it repeats what it knows"
    assert one.say(1)[0] == 1  # and a lease
    assert other.say(1)[0] == 1


def test_a_worker_passes_on_no_refusal_where_another_has_got_permits_meanwhile(
    client: Client, workers: tuple[Worker, Worker, Between]
) -> None:
    one, other, way = workers
    assert one.say(1000)[0] == 1000
    way.stop(b"\r\nl\r\n", Stop.ANSWER)
    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(other.say, 1)
        assert way.stopped.wait(PATIENCE)
        one.say("reset")
        assert one.say(1)[0] == 1  # and a lease
        way.release(deliver=True)
        assert refused.result()[0] == 1


def test_deny_spends_what_is_leased_and_then_refuses() -> None:
    prefix = f"leases {uuid.uuid4()}"
    with Redis() as server:
        workers = [Worker(server.url, prefix) for _ in range(2)]
        try:
            assert workers[0].say(1) == (1, 0)
            workers[0].end()
            server.stop()
            assert workers[1].say(150) == (99, 99)
        finally:
            for worker in workers:
                worker.end()


def test_a_child_uses_the_leases_of_its_parent(redis: Redis, client: Client) -> None:
    counter, of = host(redis.url), limit("1000 per day")
    assert hits(counter, of, 1) == 1
    before = calls(client)
    child = os.fork()
    if child == 0:
        os._exit(0 if hits(counter, of, 10) == 10 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert hits(counter, of, 10) == 10
    assert calls(client) == before
    assert counter.status()["permits_leased"] == 79
