"""Counting in a real Redis: exactness, round trips, errors by name, and every way to get there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis as Client

from flask_tenant_auth._core import STRATEGIES, Identity, Limit, Limiter, parse_rates
from redis_server import (
    Authority,
    Cluster,
    Replica,
    Sentinel,
    TLSRedis,
    UnixRedis,
    children_exit_codes,
    open_descriptors,
)
from servers import Redis
from waiting import until

TENANT = "11111111-1111-4111-8111-111111111111"
ALICE = Identity(TENANT, "22222222-2222-4222-8222-222222222222")
BOB = Identity(TENANT, "33333333-3333-4333-8333-333333333333")


AT_ONCE = ("--repl-diskless-sync-delay", "0")


def limit(text: str, *, per: str = "address", scope: str = "test", cost: int = 1) -> Limit:
    (rate,) = parse_rates(text)
    return Limit(rate, scope=scope, per=per, cost=cost)


def limiter(url: str, **options: object) -> Limiter:
    """One that waits longer than a request would, on machines that are busy with other tests."""
    own = {"prefix": "tests", "timeout_ms": 20_000, "redis_url": url, "shared": False}
    return Limiter(**own | options)  # type: ignore[arg-type]


@pytest.fixture
def client(redis: Redis) -> Iterator[Client]:
    with Client.from_url(redis.url, decode_responses=False) as client:
        client.flushall()
        client.config_resetstat()
        yield client


def counts(counter: Limiter, *, scope: str = "proof") -> bool:
    """Whether a hit is counted in Redis now."""
    return counter.hit([limit("1000000 per hour", scope=scope)], None, "proof").store == "redis"


# --- Counting -------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_limit_lets_exactly_its_number_through(
    redis: Redis, client: Client, strategy: str
) -> None:
    counter = limiter(redis.url, strategy=strategy)
    five = limit("5 per hour")
    decisions = [counter.hit([five], None, "10.0.0.1") for _ in range(7)]
    assert [d.allowed for d in decisions] == [True] * 5 + [False] * 2
    assert [d.remaining for d in decisions] == [4, 3, 2, 1, 0, 0, 0]
    assert {d.store for d in decisions} == {"redis"}
    assert decisions[0].retry_after == 0
    assert 1 <= decisions[-1].retry_after <= 7200
    assert counter.hit([five], None, "10.0.0.2").allowed
    assert counter.status()["slots_used"] == 0


def test_several_limits_count_all_or_nothing(redis: Redis, client: Client) -> None:
    counter = limiter(redis.url)
    each, all_of_them = limit("3 per hour", per="user"), limit("5 per hour", per="tenant")
    for _ in range(3):
        assert counter.hit([each, all_of_them], ALICE, "a").index == 0
    refused = counter.hit([each, all_of_them], ALICE, "a")
    assert (refused.allowed, refused.index, refused.limit) == (False, 0, 3)
    # What one limit refused has not been counted by the other.
    assert counter.peek([all_of_them], BOB, "a").remaining == 2
    assert counter.hit([each, all_of_them], BOB, "a").index == 1
    assert counter.hit([each, all_of_them], BOB, "a").remaining == 0
    refused = counter.hit([each, all_of_them], BOB, "a")
    assert (refused.allowed, refused.index, refused.limit) == (False, 1, 5)


def test_a_hit_counts_its_cost(redis: Redis, client: Client) -> None:
    counter = limiter(redis.url)
    dear, cheap = limit("10 per hour", cost=4), limit("10 per hour", cost=1)
    assert [counter.hit([dear], None, "a").allowed for _ in range(3)] == [True, True, False]
    # A refusal of four is no refusal of one.
    assert [counter.hit([cheap], None, "a").allowed for _ in range(3)] == [True, True, False]


def test_peek_counts_nothing_and_reset_forgets(redis: Redis, client: Client) -> None:
    counter = limiter(redis.url)
    two = limit("2 per hour")
    assert [counter.peek([two], None, "a").remaining for _ in range(3)] == [2, 2, 2]
    assert [counter.hit([two], None, "a").allowed for _ in range(3)] == [True, True, False]
    assert not counter.peek([two], None, "a").allowed
    counter.reset([two], None, "a")
    [key] = client.keys()
    assert client.get(key)[:1] == b"r"  # the time of the reset, and no count
    assert 0 < client.pttl(key) <= 2 * 3600 * 1000
    counter.reset([two], None, "never counted")
    assert client.dbsize() == 1
    assert counter.hit([two], None, "a").remaining == 1


def test_apps_with_different_prefixes_count_separately(redis: Redis, client: Client) -> None:
    one, other = limiter(redis.url, prefix="one"), limiter(redis.url, prefix="{other}")
    once = limit("1 per hour")
    assert one.hit([once], None, "a").allowed
    assert other.hit([once], None, "a").allowed
    assert not limiter(redis.url, prefix="one").hit([once], None, "a").allowed
    one.hit([limit("9 per hour", scope=s) for s in "abc"], ALICE, "a")
    assert len(client.keys("{fta:one}*")) == 4  # one hash tag, one slot of a cluster
    assert len(client.keys("{fta:{other}}*")) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_key_has_a_time_to_live(redis: Redis, client: Client, strategy: str) -> None:
    counter = limiter(redis.url, strategy=strategy)
    rates = ["5 per minute", "5 per hour", "2147483647 per 5 years"]
    counter.hit([limit(text, scope=text) for text in rates], ALICE, "a")
    lives = [client.pttl(key) for key in client.keys("*")]
    assert len(lives) == 3
    assert min(lives) > 0


def test_exactly_the_limit_passes_with_many_processes_and_threads(
    redis: Redis, client: Client
) -> None:
    """Three processes with four threads each, one Redis: 300 ask at once, exactly 50 pass."""
    program = """
import sys, threading
from flask_tenant_auth._core import Limit, Limiter, parse_rates
counter = Limiter(prefix="tests", redis_url=sys.argv[1], timeout_ms=5000)
limit = Limit(parse_rates("50 per hour")[0], scope=sys.argv[2], per="address")
passed = []
def ask():
    for _ in range(25):
        decision = counter.hit([limit], None, "10.0.0.1")
        assert decision.store == "redis", counter.status()
        passed.append(decision.allowed)
threads = [threading.Thread(target=ask) for _ in range(4)]
sys.stdin.readline()
[t.start() for t in threads]
[t.join() for t in threads]
assert len(passed) == 100
print(sum(passed))
"""
    for scope in ("first", "second", "third"):
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", program, redis.url, scope],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        outputs = [worker.communicate(timeout=300)[0] for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0, 0]
        assert sum(int(output) for output in outputs) == 50


# --- Round trips ----------------------------------------------------------------


def reads(client: Client) -> int:
    """What Redis has read, from everybody but this very question."""
    return int(client.info("stats")["total_reads_processed"])


def test_a_hit_is_one_round_trip_and_a_repeated_denial_is_none(
    redis: Redis, client: Client
) -> None:
    counter = limiter(redis.url)
    limits = [limit("10 per hour"), limit("1000000 per hour", scope="other"), limit("9000 per day")]
    assert counter.hit(limits, None, "warm").allowed
    before = reads(client)
    for number in range(1000):
        assert counter.hit(limits, None, f"10.0.{number}").store == "redis"
    assert reads(client) - before - 1 == 1000
    while counter.hit(limits, None, "10.0.0.1").allowed:
        pass
    before = reads(client)
    for _ in range(1000):
        decision = counter.hit(limits, None, "10.0.0.1")
        assert (decision.allowed, decision.index, decision.store) == (False, 0, "redis")
    assert reads(client) - before - 1 == 0


def test_a_limited_client_passes_when_its_wait_is_over(redis: Redis, client: Client) -> None:
    for strategy in STRATEGIES:
        counter = limiter(redis.url, strategy=strategy)
        one = limit("2 per second", scope=strategy)
        while (decision := counter.hit([one], None, "a")).allowed:
            pass
        assert decision.retry_after >= 1
        until(lambda: counter.hit([one], None, "a").allowed, "admission")  # noqa: B023


def test_a_reset_by_another_host_ends_a_cached_denial_within_a_minute(
    redis: Redis, client: Client
) -> None:
    from flask_tenant_auth._core import reset_clock, shift_clock

    counter, operator = limiter(redis.url), limiter(redis.url)
    one = limit("1 per day")
    assert [counter.hit([one], None, "a").allowed for _ in range(2)] == [True, False]
    operator.reset([one], None, "a")
    assert not counter.hit([one], None, "a").allowed
    try:
        shift_clock(0, 61)
        assert counter.hit([one], None, "a").allowed
    finally:
        reset_clock()


# --- What Redis may answer ------------------------------------------------------


def test_a_flushed_script_is_sent_again(redis: Redis, client: Client) -> None:
    counter = limiter(redis.url)
    five = limit("5 per hour")
    assert counter.hit([five], None, "a").remaining == 4
    client.script_flush()
    assert counter.hit([five], None, "a").remaining == 3
    before = reads(client)
    assert counter.hit([five], None, "a").remaining == 2
    assert reads(client) - before - 1 == 1
    assert counter.changes == 0


def test_a_redis_without_memory_opens_the_breaker_until_it_has_room(client: Client) -> None:
    with Redis("--maxmemory-policy", "noeviction") as server, Client.from_url(server.url) as own:
        counter = limiter(server.url)
        assert counts(counter)
        own.config_set("maxmemory", 1)
        assert not counts(counter)
        status = counter.status()
        assert (status["store"], status["breaker"]) == ("memory", "open")
        assert status["failure"] == "Redis takes no writes"
        assert status["failure_detail"].startswith("OOM ")
        own.config_set("maxmemory", 0)
        until(lambda: counts(counter), "counting again")
        assert counter.changes == 2


def test_a_replica_is_not_used_until_it_is_a_primary() -> None:
    with (
        Redis(*AT_ONCE) as primary,
        Replica(primary) as replica,
        Client.from_url(replica.url) as own,
    ):
        counter = limiter(replica.url)
        assert not counts(counter)
        assert counter.status()["failure"] == "this Redis is a replica"
        own.replicaof("NO", "ONE")
        until(lambda: counts(counter), "counting again")


def test_a_loading_redis_is_not_used_until_it_has_loaded() -> None:
    with Redis() as server:
        with Client.from_url(server.url) as own:
            with own.pipeline(transaction=False) as pipeline:
                for number in range(5_000):
                    pipeline.set(f"k{number}", "v" * 50)
                pipeline.execute()
            own.save()
        server.stop()
        server.options = (
            "--key-load-delay",
            "20000",
            "--loading-process-events-interval-bytes",
            "1024",
        )
        server.start()
        counter = limiter(server.url)
        assert not counts(counter)
        assert counter.status()["failure"] == "Redis is loading its data"
        with Client.from_url(server.url) as own:
            own.config_set("key-load-delay", 0)  # this would have taken 100 seconds
        until(lambda: counts(counter), "counting again")


def test_a_key_of_another_type_is_no_outage(redis: Redis, client: Client) -> None:
    counter = limiter(redis.url)
    five = limit("5 per hour")
    counter.hit([five], None, "a")
    (key,) = client.keys()
    client.delete(key)
    client.lpush(key, "what")
    assert counter.hit([five], None, "a").store == "memory"
    status = counter.status()
    assert (status["breaker"], counter.changes) == ("closed", 0)
    assert status["failure_detail"].startswith("WRONGTYPE ")
    assert counter.hit([five], None, "b").store == "redis"


def test_a_user_with_a_password_can_count() -> None:
    with Redis() as server, Client.from_url(server.url) as own:
        own.acl_setuser(
            "app",
            enabled=True,
            passwords=["+s3cret/@"],
            keys=["{fta:*"],
            commands=["+evalsha", "+eval", "+get", "+set", "+del", "+time", "+select"],
        )
        own.acl_setuser("reader", enabled=True, passwords=["+r"], keys=["*"], categories=["+@read"])
        place = f"127.0.0.1:{server.port}"
        assert counts(limiter(f"redis://app:s3cret%2F%40@{place}/3"))
        with Client(port=server.port, db=3) as third:
            assert third.dbsize() == 1
        for user, detail in (("app:wrong", "WRONGPASS "), ("reader:r", "NOPERM ")):
            counter = limiter(f"redis://{user}@{place}")
            assert not counts(counter)
            assert counter.status()["failure"] == "Redis refused the user, password or command"
            assert counter.status()["failure_detail"].startswith(detail)
            assert "wrong" not in str(counter.status())
        own.config_set("requirepass", "sesame")
        own.auth("sesame")
        counter = limiter(f"redis://{place}")
        assert not counts(counter)
        assert counter.status()["failure_detail"].startswith("NOAUTH ")
        assert counts(limiter(f"redis://:sesame@{place}"))


# --- Ways to get there ----------------------------------------------------------


def test_a_unix_socket_can_be_used() -> None:
    with UnixRedis() as server:
        counter = limiter(server.url)
        assert counts(counter)
        assert counter.status()["redis_url"] == server.url


def test_host_names_and_ipv6_addresses_can_be_used(redis: Redis) -> None:
    assert counts(limiter(f"redis://localhost:{redis.port}"))
    mapped = f"redis://[::ffff:127.0.0.1]:{redis.port}"
    counter = limiter(mapped)
    assert counts(counter)
    assert counter.status()["redis_url"] == mapped
    counter = limiter("redis://no-such-host.invalid", timeout_ms=300)
    assert not counts(counter)
    counter.close()


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


def tls_url(server: TLSRedis, host: str, **parameters: Path | str) -> str:
    return f"rediss://{host}:{server.port}?" + "&".join(f"{k}={v}" for k, v in parameters.items())


def test_tls_verifies_chain_and_name(authority: Authority) -> None:
    with (
        Authority() as stranger,
        TLSRedis(authority, *authority.issue("by-name", "DNS:localhost")) as by_name,
        TLSRedis(authority, *authority.issue("by-ip", "IP:127.0.0.1")) as by_address,
    ):
        ca = authority.certificate
        good = [
            tls_url(by_name, "localhost", ssl_ca_certs=ca),
            tls_url(by_name, "127.0.0.1", ssl_ca_certs=ca, ssl_server_name="localhost"),
            tls_url(by_address, "127.0.0.1", ssl_ca_certs=ca, ssl_cert_reqs="required"),
        ]
        for url in good:
            counter = limiter(url)
            assert counts(counter), counter.status()
            assert all(counts(counter) for _ in range(20))
            assert counter.changes == 0
        unknown = "self-signed certificate|unable to get local issuer certificate"
        bad = [
            (tls_url(by_name, "127.0.0.1", ssl_ca_certs=ca), "IP address mismatch$"),
            (tls_url(by_address, "localhost", ssl_ca_certs=ca), "hostname mismatch$"),
            (tls_url(by_name, "localhost", ssl_ca_certs=stranger.certificate), unknown),
            (tls_url(by_name, "localhost", db="0"), unknown),
        ]
        for url, detail in bad:
            counter = limiter(url)
            assert not counts(counter)
            status = counter.status()
            assert status["failure"] == "TLS with Redis failed"
            assert re.match(detail, status["failure_detail"])
            counter.close()


def test_a_client_certificate_is_sent(authority: Authority) -> None:
    certificate, key = authority.issue("server", "DNS:localhost")
    with TLSRedis(authority, certificate, key, clients="yes") as server:
        ca = authority.certificate
        mine, my_key = authority.issue("client", "DNS:client")
        url = tls_url(server, "localhost", ssl_ca_certs=ca, ssl_certfile=mine, ssl_keyfile=my_key)
        assert counts(limiter(url))
        without = limiter(tls_url(server, "localhost", ssl_ca_certs=ca))
        assert not counts(without)
        without.close()


def test_a_plain_and_a_tls_peer_do_not_connect(authority: Authority, redis: Redis) -> None:
    with TLSRedis(authority, *authority.issue("some", "DNS:localhost")) as server:
        assert not counts(limiter(f"redis://localhost:{server.port}", timeout_ms=300))
    counter = limiter(f"rediss://127.0.0.1:{redis.port}", timeout_ms=300)
    assert not counts(counter)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost", "it does not begin with a scheme and ://"),
        ("redis://:sesame@h:x", "the port must be a number from 1 to 65535"),
        ("rediss://h?ssl_cert_reqs=none", "verification of certificates cannot be turned off"),
        (
            "rediss://h?ssl_ca_certs=/no/such/file",
            "ssl_ca_certs cannot be read as PEM certificates",
        ),
    ],
)
def test_an_invalid_url_raises_at_once_without_its_secrets(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match="redis_url cannot be used: ") as raised:
        limiter(url)
    assert str(raised.value) == f"redis_url cannot be used: {problem}"


# --- Cluster ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def slot_and_keys(cluster: Cluster, prefix: str) -> tuple[int, list[bytes]]:
    with Client(port=cluster.nodes[0].port) as client:
        slot = int(client.execute_command("CLUSTER", "KEYSLOT", f"{{fta:{prefix}}}"))
    with Client(port=cluster.owner(slot).port) as client:
        return slot, client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)


def test_every_node_of_a_cluster_is_found(cluster: Cluster) -> None:
    owners = set()
    for number in range(12):
        counter = limiter(cluster.url, prefix=f"app{number}")
        assert counts(counter)
        slot, keys = slot_and_keys(cluster, f"app{number}")
        assert len(keys) == 1
        owners.add(cluster.owner(slot).port)
        assert counter.changes == 0
    assert len(owners) == 3


def test_a_slot_that_moves_is_followed(cluster: Cluster) -> None:
    """MOVED and ASK, with all of a request's keys, some of them, and none of them moved."""
    counter = limiter(cluster.url, prefix="moving", timeout_ms=60_000)
    limits = [limit("100 per hour", scope=scope) for scope in "abc"]
    assert counter.hit(limits, None, "a").remaining == 99
    slot, keys = slot_and_keys(cluster, "moving")
    assert len(keys) == 3
    source = cluster.owner(slot)
    target = next(node for node in cluster.nodes if node is not source)
    with Client(port=source.port) as old, Client(port=target.port) as new:
        new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.identity(source))
        old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.identity(target))
        # All keys are still in the old place.
        assert counter.hit(limits, None, "a").remaining == 98
        # Some are here and some there: TRYAGAIN. That is no outage, and soon over.
        move = ["MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS"]
        old.execute_command(*move, *keys[1:])
        started = time.monotonic()
        assert counter.hit(limits, None, "a").store == "memory"
        assert time.monotonic() - started < 30
        assert counter.status()["failure"] == "the slot's keys are on two nodes"
        # None is here: ASK. The script is unknown there, too.
        old.execute_command(*move, keys[0])
        assert counter.hit(limits, None, "a").remaining == 97
        assert counter.hit(limits[:1], None, "fresh").store == "redis"
        assert counter.hit(limits, None, "fresh").store == "memory"
        assert counter.changes == 0
        for node in (target, source, *cluster.nodes):
            with Client(port=node.port) as any_node:
                identity = cluster.identity(target)
                any_node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", identity)
        # The old place answers MOVED, once.
        assert counter.hit(limits, None, "a").remaining == 96
        before = reads(old)
        assert counter.hit(limits, None, "a").remaining == 95
        assert reads(old) - before - 1 == 0
    assert counter.changes == 0


def test_a_cluster_that_is_down_opens_the_breaker(cluster: Cluster) -> None:
    counter = limiter(cluster.url, prefix="down")
    assert counts(counter)
    slot, _ = slot_and_keys(cluster, "down")
    owner = cluster.owner(slot)
    with owner.client() as client:
        client.execute_command("CLUSTER", "DELSLOTS", slot)
        try:
            until(lambda: not counts(counter), "an outage")
            assert counter.status()["failure"] == "the cluster is down"
        finally:
            client.execute_command("CLUSTER", "ADDSLOTS", slot)
    until(lambda: counts(counter), "counting again")


def test_a_cluster_url_without_a_cluster_says_so(cluster: Cluster) -> None:
    stores = set()
    for number in range(6):
        counter = limiter(cluster.url.partition("?")[0], prefix=f"single{number}")
        stores.add((counts(counter), counter.status()["failure"]))
        counter.close()
    assert (False, "the slot has moved to another node") in stores


# --- Sentinel ---------------------------------------------------------------------


def test_sentinels_name_the_primary_before_and_after_a_failover() -> None:
    with (
        Redis(*AT_ONCE) as primary,
        Replica(primary) as replica,
        Sentinel(primary, "mine") as sentinel,
    ):
        with Client(port=sentinel.port, decode_responses=True) as asked:
            until(lambda: asked.sentinel_master("mine")["num-slaves"] == 1, "a known replica")
        # The first sentinel does not exist.
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/mine"
        counter = limiter(url)
        thousand = limit("1000 per hour", scope="failover")
        assert counter.hit([thousand], None, "a").store == "redis"
        wrong = limiter(f"redis+sentinel://127.0.0.1:{sentinel.port}/other")
        assert not counts(wrong)
        assert wrong.status()["failure"] == "no sentinel knows the primary"
        wrong.close()
        with Client(port=replica.port) as own:
            until(lambda: own.dbsize() >= 1, "a replicated counter")
            assert primary.process is not None
            primary.process.kill()
            assert counter.hit([thousand], None, "a").store == "memory"
            until(lambda: own.info("replication")["role"] == "master", "a failover")
        until(lambda: counts(counter), "counting again")
        # What the old primary had counted still counts.
        assert counter.hit([thousand], None, "a").remaining <= 998


# --- Forks ------------------------------------------------------------------------


def test_a_child_leaves_its_parents_connections_alone(
    redis: Redis, client: Client, authority: Authority
) -> None:
    certificate, key = authority.issue("fork", "DNS:localhost")
    with TLSRedis(authority, certificate, key) as server:
        for url in (redis.url, tls_url(server, "localhost", ssl_ca_certs=authority.certificate)):
            counter = limiter(url)
            five = limit("5 per hour", scope="fork")
            assert counter.hit([five], None, "a").remaining == 4
            held = open_descriptors()
            parents = {name: link for name, link in held.items() if link.startswith("socket:")}
            pids = []
            for _ in range(3):
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        decision = counter.hit([five], None, "a")
                        left = open_descriptors()
                        inherited = [n for n, link in parents.items() if left.get(n) == link]
                        # pytest's, redis-py's and the like stay; the counter's own has gone.
                        ok = decision.store == "redis" and len(inherited) == len(parents) - 1
                        del counter
                        code = 0 if ok else 2
                    finally:
                        os._exit(code)
                pids.append(pid)
            assert children_exit_codes(pids) == [0, 0, 0]
            assert counter.hit([five], None, "a").remaining == 0
            assert counter.changes == 0


def test_a_child_that_never_counts_leaves_its_parent_undisturbed(
    redis: Redis, client: Client
) -> None:
    counter = limiter(redis.url)
    assert counts(counter)
    pid = os.fork()
    if pid == 0:
        del counter
        os._exit(0)
    assert children_exit_codes([pid]) == [0]
    assert counts(counter)
    assert counter.changes == 0


def test_threads_share_the_pool_and_wait_for_a_connection(redis: Redis, client: Client) -> None:
    counter = limiter(f"{redis.url}?max_connections=2")
    stores: list[str] = []
    many = limit("100000 per hour", scope="pool")

    def ask() -> None:
        stores.extend(counter.hit([many], None, "a").store for _ in range(100))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores == ["redis"] * 800
    assert counter.peek([many], None, "a").remaining == 100_000 - 800
    assert client.info("clients")["connected_clients"] <= 3 + len(client.client_list())
