"""``@concurrency_limit`` on several hosts: leases in Redis."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from redis import Redis as Client

from apps import bearer, make_app
from between import Between, Stop
from flask_tenant_auth import concurrency_limit, rate_limit_exempt, verify_tenant_context
from flask_tenant_auth.flask.extension import state_of
from flask_tenant_auth.limit import leases as module
from flask_tenant_auth.limit.leases import Lease, Leases
from paths import ROOT
from redis_server import Cluster, blocked_clients, children_exit_codes
from servers import Redis
from waiting import PATIENCE, until

PREFIX = "hosts"
NAME = b"a client"


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with Redis() as redis:
        yield redis


@pytest.fixture
def redis(server: Redis) -> Iterator[Redis]:
    Client.from_url(server.url).flushall()
    yield server
    # A host that stands in a cycle would renew what it holds in the next test.
    for leases in list(module._all):
        leases.close()
        if leases._thread is not None:
            leases._thread.join(PATIENCE)
            assert not leases._thread.is_alive()


@pytest.fixture(autouse=True)
def _no_lease_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a test: what is there again was given back."""
    monkeypatch.setattr(module, "LEASE_MS", 3_600_000)


def host(redis: Redis, timeout_ms: int = 5000) -> Leases:
    """The leases of a host of its own."""
    return Leases(redis.url, PREFIX, timeout_ms)


def take_all(leases: Leases, most: int) -> list[Lease]:
    taken = []
    while True:
        lease = leases.take(NAME, most)
        if lease is None:
            return taken
        taken.append(lease)


def test_a_lease_whose_answer_is_lost_is_taken_once(redis: Redis) -> None:
    with Between(redis.port) as way:
        leases = Leases(way.url, PREFIX, 30_000)
        first = leases.take(NAME, 2)
        way.stop(b"\r\ntake\r\n", Stop.CLOSED)
        second = leases.take(NAME, 2)  # the last one; it is asked for twice
        assert way.stopped.is_set()
        assert first is not None
        assert second is not None
        assert leases.take(NAME, 2) is None
        for lease in (first, second):
            lease.release()
        assert len(take_all(leases, 2)) == 2
        leases.close()


def app_on(redis: Redis, view: Callable[[], Any], most: int = 1, **config: Any) -> Flask:
    config = {"RATELIMIT_KEY_PREFIX": PREFIX, "RATELIMIT_STORE_TIMEOUT_MS": 5000} | config
    app = make_app(REDIS_URL=redis.url, **config)
    limit = concurrency_limit(most, scope="shared")
    app.get("/")(rate_limit_exempt(verify_tenant_context(limit(view))))
    return app


class TestLeases:
    def test_hosts_share_what_is_taken(self, redis: Redis) -> None:
        one, other = host(redis), host(redis)
        taken = take_all(one, 3)
        assert len(taken) == 3
        assert other.take(NAME, 3) is None
        assert other.take(b"another client", 3) is not None
        taken[0].release()
        taken[0].release()  # once more: nothing happens
        assert len(take_all(other, 3)) == 1

    def test_a_lease_ends_by_itself(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "LEASE_MS", 300)
        dead, other = host(redis), host(redis)
        monkeypatch.setattr(dead, "renew", lambda: None)
        began = time.monotonic()
        taken = take_all(dead, 2)
        until(lambda: len(take_all(other, 2)) == 2, "the leases end")
        # Redis counts whole milliseconds, from the one that had begun.
        assert time.monotonic() - began >= 0.299
        assert len(taken) == 2

    def test_a_lease_that_is_renewed_does_not_end(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_RENEW_SECONDS", 0.1)
        one, other = host(redis), host(redis)
        taken = take_all(one, 2)
        client = Client.from_url(redis.url)

        def ends() -> set[float]:
            (key,) = client.keys()
            return {end for _, end in client.zrange(key, 0, -1, withscores=True)}

        for _ in range(3):
            before = ends()
            until(lambda: min(ends()) > max(before), "each of them is renewed")  # noqa: B023
            assert other.take(NAME, 2) is None
        assert len(taken) == 2
        one.close()

    def test_all_are_renewed_in_one_call(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leases = host(redis)
        taken = [leases.take(str(i).encode(), 1) for i in range(300)]
        client = Client.from_url(redis.url)
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        leases.renew()
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
        assert all(taken)

    def test_a_lease_that_nobody_has_is_given_back(self, redis: Redis) -> None:
        one, other = host(redis), host(redis)
        kept = one.take(NAME, 2)
        assert one.take(NAME, 2) is not None  # and dropped
        until(lambda: len(take_all(other, 2)) == 1, "it is given back")
        assert kept is not None
        assert len(one._held) == 1

    def test_what_redis_has_lost_is_there_again_after_a_renewal(self, redis: Redis) -> None:
        one, other = host(redis), host(redis)
        taken = take_all(one, 2)
        Client.from_url(redis.url).flushall()
        one.renew()
        assert other.take(NAME, 2) is None
        assert len(taken) == 2

    def test_a_child_neither_renews_nor_gives_back_what_its_parent_has(self, redis: Redis) -> None:
        leases = host(redis)
        taken = take_all(leases, 2)
        child = os.fork()
        if child == 0:
            for each in taken:
                each.release()
            own = leases.take(NAME, 3)
            os._exit(0 if own is not None and len(leases._held) == 1 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert host(redis).take(NAME, 2) is None

    def test_redis_forgets_a_client_whose_leases_have_ended(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LEASE_MS", 200)
        lease = host(redis).take(NAME, 1)
        client = Client.from_url(redis.url)
        assert client.dbsize() == 1
        until(lambda: client.dbsize() == 0, "the key ends")
        assert lease is not None

    def test_a_cluster_has_all_of_them_on_one_node(self) -> None:
        with Cluster() as cluster:
            leases = Leases(cluster.url, PREFIX, 5000)
            taken = [leases.take(str(i).encode(), 1) for i in range(20)]
            assert all(taken)
            leases.renew()
            assert leases.take(b"7", 1) is None
            leases.close()


class Calls:
    """The calls of a client: what happens before each, and how many there were."""

    def __init__(self, leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.before: Callable[[str], None] = lambda _method: None
        self._run = leases._run
        monkeypatch.setattr(leases, "_run", self.run)

    def run(self, keys: int, words: tuple[Any, ...]) -> Any:
        self.count += 1
        self.before(words[keys])
        return self._run(keys, words)


def failure(code: str) -> ConnectionError:
    error = ConnectionError(code)
    error.code = code  # type: ignore[attr-defined]
    return error


class TestTheThread:
    def test_it_goes_on_whatever_a_call_raises(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "_RENEW_SECONDS", 0.05)
        monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.05)
        leases = host(redis)
        lease = leases.take(NAME, 1)
        calls = Calls(leases, monkeypatch)
        failing = True

        def fail(_method: str) -> None:
            if failing:
                raise MemoryError("no room")

        calls.before = fail
        until(lambda: calls.count >= 3, "it tries again")
        failing = False
        Client.from_url(redis.url).flushall()
        until(lambda: host(redis).take(NAME, 1) is None, "it renews again")
        assert [each for each in caplog.messages if "MemoryError('no room')" in each] == [
            "The leases of requests cannot be renewed or given back: MemoryError('no room')"
        ]
        assert lease is not None
        leases.close()

    def test_one_that_could_not_be_started_is_started_by_the_next_request(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leases = host(redis)

        def no_thread(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                leases.take(NAME, 1)
        lease = leases.take(NAME, 1)  # nothing was left in Redis
        assert lease is not None
        assert leases._thread is not None
        assert leases._thread.is_alive()

    def test_one_that_has_ended_is_replaced(self, redis: Redis) -> None:
        leases = host(redis)
        ended = threading.Thread(target=lambda: None)
        ended.start()
        ended.join()
        leases._thread = ended
        assert leases.take(NAME, 1) is not None
        assert leases._thread is not ended
        assert leases._thread.is_alive()

    def test_a_child_of_a_thread_that_holds_the_lock_takes_leases(self, redis: Redis) -> None:
        leases = host(redis)
        with leases._lock:
            child = os.fork()
            if child == 0:
                signal.alarm(PATIENCE)
                lease = leases.take(NAME, 1)
                os._exit(0 if lease is not None and leases._thread is not None else 1)
        assert children_exit_codes([child]) == [0]

    def test_close_ends_it(self, redis: Redis) -> None:
        leases = host(redis)
        lease = leases.take(NAME, 1)
        assert leases._thread is not None
        leases.close()
        leases._thread.join(PATIENCE)
        assert not leases._thread.is_alive()
        assert lease is not None

    def test_a_renewal_brings_back_no_lease_that_has_ended(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leases = host(redis)
        taken = take_all(leases, 3)
        calls = Calls(leases, monkeypatch)

        def release_one(method: str) -> None:
            if method == "renew":
                taken.pop().release()

        calls.before = release_one
        leases.renew()
        assert len(taken) == 2
        until(lambda: len(take_all(host(redis), 3)) == 1, "it is given back again")

    def test_a_part_of_a_renewal_has_no_lease_that_was_released_before(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_RENEWED_AT_ONCE", 1)
        leases = host(redis)
        taken = take_all(leases, 3)
        calls = Calls(leases, monkeypatch)
        renewed = []

        def release_the_others(method: str) -> None:
            if method == "renew":
                renewed.append(method)
                while len(taken) > 1:
                    taken.pop().release()

        calls.before = release_the_others
        leases.renew()
        assert len(renewed) == 1


class TestFailures:
    @pytest.mark.parametrize("code", ["redis_pool_empty", "redis_try_again", "redis_ask"])
    def test_a_failure_of_one_call_is_none_of_the_next(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        leases = host(redis)
        calls = Calls(leases, monkeypatch)

        def fail(_method: str) -> None:
            if calls.count == 1:
                raise failure(code)

        calls.before = fail
        with pytest.raises(ConnectionError, match=code):
            leases.take(NAME, 1)
        assert not leases.is_away
        assert leases.take(NAME, 1) is not None

    def test_a_full_pool_fails_one_call(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leases = Leases(f"{redis.url}?max_connections=1", PREFIX, 100)
        with ThreadPoolExecutor(1) as pool:
            call = ("BLPOP", "{fta:hosts}:x", 0)
            blocked = pool.submit(leases._client.call, *call, wait_ms=1000 * PATIENCE)
            client = Client.from_url(redis.url)
            until(lambda: blocked_clients(client) == 1, "it blocks")
            with pytest.raises(ConnectionError) as caught:
                leases.take(NAME, 1)
            assert caught.value.code == "redis_pool_empty"  # type: ignore[attr-defined]
            assert not leases.is_away
            client.rpush("{fta:hosts}:x", "on")
            assert blocked.result() is not None
        assert leases.take(NAME, 1) is not None

    @pytest.mark.parametrize(("on_error", "runs"), [("memory", True), ("deny", False)])
    def test_the_setting_decides_one_request_and_the_next_is_counted(
        self,
        redis: Redis,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        on_error: str,
        runs: bool,
    ) -> None:
        app = app_on(redis, lambda: "in", RATELIMIT_ON_STORE_ERROR=on_error)
        at_once = state_of(app).at_once
        assert at_once._leases is not None
        calls = Calls(at_once._leases, monkeypatch)

        def fail(method: str) -> None:
            if method == "take" and calls.count == 1:
                raise failure("redis_pool_empty")

        calls.before = fail
        held = at_once.take(1, "x", "address", None, "192.0.2.7", "")
        assert (held is not None) is runs
        if held is not None:
            held.release()
        held = at_once.take(1, "x", "address", None, "192.0.2.7", "")
        assert held is not None
        assert Client.from_url(redis.url).dbsize() == 1
        assert "run at once" not in caplog.text

    def test_only_a_take_says_that_redis_is_away(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.05)
        leases = host(redis)
        (lease,) = take_all(leases, 1)
        calls = Calls(leases, monkeypatch)

        def fail(_method: str) -> None:
            if calls.count <= 4:  # of which the thread gets two
                raise failure("redis_timeout")

        calls.before = fail
        with pytest.raises(ConnectionError):
            leases.renew()
        lease.release()
        until(lambda: len(take_all(host(redis), 1)) == 1, "the thread gives it back")
        assert not leases.is_away

        calls.count = 0
        with pytest.raises(ConnectionError):
            leases.take(NAME, 9)
        assert leases.is_away

    def test_while_redis_is_away_a_release_waits_for_nothing(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leases = host(redis)
        taken = take_all(leases, 5)
        calls = Calls(leases, monkeypatch)
        is_back = threading.Event()
        callers = []

        def fail(_method: str) -> None:
            callers.append(threading.current_thread())
            if not is_back.is_set():
                raise failure("redis_timeout")

        calls.before = fail
        with pytest.raises(ConnectionError):
            leases.take(NAME, 9)
        assert leases.is_away
        callers.clear()
        for each in taken:
            each.release()
        is_back.set()
        until(lambda: len(take_all(host(redis), 5)) == 5, "they are given back")
        assert set(callers) == {leases._thread}

    def test_one_request_a_second_tries(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_PAUSE_SECONDS", 3600)  # as long as this test takes
        leases = host(redis)
        calls = Calls(leases, monkeypatch)
        takes = []

        def fail(method: str) -> None:
            if method == "take":
                takes.append(method)
            time.sleep(0.05)
            raise failure("redis_timeout")

        calls.before = fail
        with pytest.raises(ConnectionError):
            leases.take(NAME, 1)
        threads = 16
        begin = threading.Barrier(threads)

        def ask(_name: int) -> None:
            begin.wait(30)
            with pytest.raises(ConnectionError):
                leases.take(NAME, 1)

        with ThreadPoolExecutor(threads) as pool:
            for tries in (2, 3, 4):
                leases._away_until = 0.0
                list(pool.map(ask, range(threads)))
                assert len(takes) == tries

    def test_what_was_taken_without_an_answer_is_given_back(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leases = host(redis)
        run = leases._run

        def lose_the_answer(keys: int, words: tuple[Any, ...]) -> Any:
            answer = run(keys, words)
            if words[keys] == "take":
                raise failure("redis_timeout")
            return answer

        monkeypatch.setattr(leases, "_run", lose_the_answer)
        with pytest.raises(ConnectionError):
            leases.take(NAME, 1)
        until(lambda: len(take_all(host(redis), 1)) == 1, "it is given back")

    def test_what_cannot_be_given_back_is_forgotten_when_it_has_ended(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LEASE_MS", 1500)
        monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.05)
        leases = host(redis)
        taken = take_all(leases, 20)
        calls = Calls(leases, monkeypatch)

        def fail(_method: str) -> None:
            raise failure("redis_denied")

        calls.before = fail
        for each in taken:
            each.release()
        assert leases._ended.qsize() >= 19
        until(lambda: leases._ended.qsize() == 0, "they are forgotten")
        count = calls.count
        time.sleep(0.2)
        assert calls.count == count
        leases.close()


def rights_on_the_page() -> list[str]:
    page = (ROOT / "docs" / "reference" / "concurrency_limits.md").read_text("utf-8")
    (sentences,) = re.findall(r"needs more rights than(.*?)\n\n", page, re.DOTALL)
    return re.findall(r"`(\+[a-z]+)`", sentences)


def has_leases(redis: Redis, rights: list[str]) -> bool:
    """Whether a user with these rights can take a lease, renew it and give it back."""
    client = Client.from_url(redis.url)
    client.execute_command("ACL", "SETUSER", "app", "reset")
    client.execute_command("ACL", "SETUSER", "app", "on", ">password", "~{fta:*", *rights)
    client.execute_command("SCRIPT", "FLUSH")
    client.flushall()
    leases = Leases(f"redis://app:password@127.0.0.1:{redis.port}/0", PREFIX, 5000)
    try:
        lease = leases.take(NAME, 1)
        assert lease is not None
        leases.renew()
        lease.release()
        return client.dbsize() == 0
    except ConnectionError:
        return False
    finally:
        leases.close()


def test_each_of_the_documented_rights_is_needed(redis: Redis) -> None:
    rights = rights_on_the_page()
    assert len(rights) == 8
    assert has_leases(redis, rights)
    for right in rights:
        assert not has_leases(redis, [each for each in rights if each != right]), right


class TestApps:
    def test_apps_of_two_hosts_let_run_as_many_as_the_limit_says(self, redis: Redis) -> None:
        other = app_on(redis, lambda: "in")

        def view() -> dict[str, int]:
            with other.test_client().get("/", headers=bearer()) as response:
                return {"other": response.status_code}

        app = app_on(redis, view)
        with app.test_client().get("/", headers=bearer()) as response:
            assert response.get_json() == {"other": 429}
        with other.test_client().get("/", headers=bearer()) as response:
            assert response.status_code == 200
        assert Client.from_url(redis.url).dbsize() == 0

    def test_a_request_that_redis_denies_keeps_no_permit_of_this_host(self, redis: Redis) -> None:
        app = app_on(redis, lambda: "in")
        state = state_of(app)
        taken = host(redis)
        name = state.at_once.permits.key("x", "address", None, "192.0.2.7", "")
        assert taken.take(name, 1) is not None
        kept = taken.take(name, 2)
        assert state.at_once.take(1, "x", "address", None, "192.0.2.7", "") is None
        assert state.at_once.permits.status()["taken"] == 0
        assert kept is not None

    @pytest.mark.parametrize(
        ("on_error", "status"), [("memory", 200), ("allow", 200), ("deny", 429)]
    )
    def test_while_redis_is_away_the_setting_decides(
        self, on_error: str, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Redis() as redis:
            app = app_on(redis, lambda: "in", most=1, RATELIMIT_ON_STORE_ERROR=on_error)

            def ask() -> int:
                with app.test_client().get("/", headers=bearer()) as response:
                    return response.status_code

            assert ask() == 200
            redis.stop()
            with caplog.at_level(logging.WARNING):
                began = time.monotonic()
                assert [ask() for _ in range(20)] == [status] * 20
                assert time.monotonic() - began < 60  # 20 waits would take longer
            said = [each for each in caplog.messages if "run at once" in each]
            assert len(said) == 1
            assert f"RATELIMIT_ON_STORE_ERROR={on_error} decides" in said[0]
            redis.start()
            caplog.clear()
            until(lambda: ask() == 200 and "counts the requests" in caplog.text, "it is back")


def test_exactly_the_limit_run_on_two_hosts_together(redis: Redis) -> None:
    """Each app that is testing has a table of its own, as each host has."""
    limit, threads = 3, 8
    begin, leave = threading.Barrier(threads), threading.Barrier(threads)

    def view() -> str:
        leave.wait(30)
        return "in"

    hosts = [app_on(redis, view, most=limit) for _ in range(2)]

    def ask(name: int) -> int:
        client = hosts[name % 2].test_client()
        begin.wait(30)
        with client.get("/", headers=bearer()) as response:
            status = response.status_code
        if status == 429:
            leave.wait(30)
        return status

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            statuses = Counter(pool.map(ask, range(threads)))
            assert statuses == {200: limit, 429: threads - limit}
