"""Redis killed, frozen, restarted, or not Redis at all: nobody waits, and it comes back."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from redis import Redis as Client

from flask_tenant_auth._core import Decision, Limit, Limiter, parse_rates
from redis_server import Authority, TLSRedis, children_exit_codes, false_redis
from servers import Redis
from waiting import until

(MANY,) = (Limit(rate, scope="many", per="address") for rate in parse_rates("8000000 per hour"))
(TWO,) = (Limit(rate, scope="two", per="address") for rate in parse_rates("2 per hour"))


def hit(counter: Limiter, limit: Limit = MANY) -> Decision:
    return counter.hit([limit], None, "10.0.0.1")


@contextmanager
def limiter(url: str, **options: object) -> Iterator[Limiter]:
    # What is counted in shared memory while Redis is away would outlive the test.
    own = {"prefix": "faults", "shared": False, "redis_url": url}
    counter = Limiter(**own | options)  # type: ignore[arg-type]
    try:
        yield counter
    finally:
        counter.close()


def threads_of(pid: int | str = "self") -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


# --- Peers that are no Redis ----------------------------------------------------


def answer(text: bytes) -> Callable[[socket.socket], None]:
    def behaviour(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(text)

    return behaviour


def trickle(peer: socket.socket) -> None:
    """A good answer, one byte a second."""
    peer.recv(65536)
    for byte in b"*4\r\n:1\r\n:7\r\n:0\r\n:0\r\n":
        peer.sendall(bytes([byte]))
        time.sleep(1)


def disconnect(peer: socket.socket) -> None:
    peer.recv(65536)
    peer.shutdown(socket.SHUT_RDWR)


def endless(peer: socket.socket) -> None:
    peer.recv(65536)
    peer.sendall(b"$2000000000\r\n")
    for _ in range(64):
        peer.sendall(b"x" * 65536)


TIMEOUT = "Redis did not answer in time"
MALFORMED = "Redis sent a malformed or oversized reply"


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        pytest.param(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), MALFORMED, id="another protocol"),
        pytest.param(answer(b"*4\r\n:1\r\n:7\r\n"), TIMEOUT, id="half a reply"),
        pytest.param(answer(b""), TIMEOUT, id="silence"),
        pytest.param(trickle, TIMEOUT, id="one byte a second"),
        pytest.param(disconnect, "Redis closed the connection", id="disconnecting"),
        pytest.param(endless, MALFORMED, id="a huge bulk"),
        pytest.param(answer(b"*1000000000\r\n"), MALFORMED, id="a huge array"),
        pytest.param(answer(b"*4\r\n:1\r\n:7\r\n:0\r\n:0\r\n:9\r\n"), MALFORMED, id="two replies"),
        pytest.param(answer(b"+OK\r\n"), MALFORMED, id="a reply to another question"),
        pytest.param(answer(b"*4\r\n:1\r\n:-7\r\n:0\r\n:0\r\n"), MALFORMED, id="a negative rest"),
        pytest.param(answer(b"*4\r\n:1\r\n:9999999\r\n:0\r\n:0\r\n"), MALFORMED, id="too much"),
        pytest.param(
            answer(b"*4\r\n:0\r\n:0\r\n:0\r\n:99999999999999\r\n"), MALFORMED, id="for ever"
        ),
        pytest.param(
            answer(b"-ERR max number of clients reached\r\n"),
            "Redis answered with an error",
            id="no room for clients",
        ),
        pytest.param(
            answer(b"-MASTERDOWN Link with MASTER is down\r\n"),
            "Redis is loading its data",
            id="a replica alone",
        ),
        pytest.param(answer(b"-BUSY Redis is busy\r\n"), "Redis is busy with a script", id="busy"),
    ],
)
def test_a_peer_that_is_no_redis_takes_one_timeout_once(
    behaviour: Callable[[socket.socket], None], failure: str
) -> None:
    asked = []

    def counted(peer: socket.socket) -> None:
        asked.append(peer)
        behaviour(peer)

    with false_redis(counted) as url, limiter(url, timeout_ms=100) as counter:
        started = time.monotonic()
        assert hit(counter, TWO).store == "memory"
        assert time.monotonic() - started < 10  # a byte a second goes on for twice as long
        assert [hit(counter, TWO).allowed for _ in range(200)] == [True] + [False] * 199
        # Of these none has asked. The thread that asks does so about once a second.
        assert len(asked) < 100
        status = counter.status()
        assert (status["failure"], status["breaker"], status["store"]) == (
            failure,
            "open",
            "memory",
        )
        assert counter.changes == 1


def test_a_late_reply_is_not_taken_for_the_next_one(redis: Redis) -> None:
    """Each connection is asked one question; its answer comes after everybody has left."""
    questions: list[int] = []

    def late(peer: socket.socket) -> None:
        asked = peer.recv(65536)
        questions.append(asked.count(b"EVALSHA"))
        index = len(questions) - 1
        # Until the other side has left. One that keeps the connection gets the answer all the same.
        select.select([peer], [], [], 2)
        with suppress(OSError):
            peer.sendall(b"*4\r\n:1\r\n:1234\r\n:0\r\n:0\r\n")
            questions[index] += peer.recv(65536).count(b"EVALSHA")

    with false_redis(late) as url, limiter(url, timeout_ms=50) as counter:
        assert hit(counter).store == "memory"
        until(lambda: len(questions) >= 4, "four connections")
        assert hit(counter).store == "memory"
    assert set(questions) == {1}


def test_a_host_that_does_not_listen_takes_no_time() -> None:
    for url in (
        "redis://127.0.0.1:1",
        "unix:///no/such/socket",
        "redis+sentinel://127.0.0.1:1/x",
        "redis://127.0.0.1:1,127.0.0.1:2?cluster=true",
    ):
        with limiter(url, timeout_ms=60_000) as counter:
            started = time.monotonic()
            assert hit(counter).store == "memory"
            assert time.monotonic() - started < 30
            assert counter.status()["failure"] == "Redis cannot be reached"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("memory", [True, True, False]), ("allow", [True] * 3), ("deny", [False] * 3)],
)
def test_on_store_error_decides_without_redis(policy: str, expected: list[bool]) -> None:
    with limiter("redis://127.0.0.1:1", on_store_error=policy) as counter:
        decisions = [hit(counter, TWO) for _ in range(3)]
        assert [d.allowed for d in decisions] == expected
        assert {d.store for d in decisions} == {"memory" if policy == "memory" else "none"}
        assert all(d.retry_after >= 1 for d in decisions if not d.allowed)
        assert all(d.limit == 2 and str(d.rate) == "2 per 1 hour" for d in decisions)
        # An operator must not be told that something was reset when it was not.
        with pytest.raises(ConnectionError, match="Redis cannot be reached"):
            counter.reset([TWO], None, "10.0.0.1")
        if policy == "memory":
            assert hit(counter, TWO).allowed


# --- Outages ----------------------------------------------------------------------


# What Redis has to answer, and how long a request is away that waits for that in vain.
TIMEOUT_MS = 500
A_WAIT = 0.8 * TIMEOUT_MS / 1000


def slept() -> float:
    """Seconds that this thread did not want to run: neither ran nor waited for a free core.

    So a busy machine adds nothing to the difference of two calls.
    """
    ran, waited, _ = Path("/proc/thread-self/schedstat").read_text("ascii").split()
    return time.monotonic() - (int(ran) + int(waited)) / 1e9


class Load:
    """Threads that hit and note from when to when, how long they waited, and who answered."""

    threads = 4

    def __init__(self, counter: Limiter) -> None:
        self.notes: list[tuple[float, float, float, str]] = []
        self.errors: list[BaseException] = []
        self._counter = counter
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(self.threads)]

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                started, before = time.monotonic(), slept()
                store = hit(self._counter).store
                self.notes.append((started, time.monotonic(), slept() - before, store))
                time.sleep(0.0005)
        except BaseException as error:  # noqa: BLE001
            self.errors.append(error)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def stores(self, start: float, end: float) -> set[str]:
        """Who answered the requests that began and ended then."""
        return {store for at, until, _, store in self.notes if start <= at and until <= end}

    def wait_for_redis(self) -> None:
        """Wait until it answers again."""
        since = time.monotonic()
        until(lambda: "redis" in self.stores(since, time.monotonic()), "Redis counts again")


def check_outage(load: Load, calm: float, away: float, back: float) -> None:
    """Hold what was noted against the moments before, in and at the end of an outage."""
    assert load.errors == []
    waited = sorted((took for _, _, took, _ in load.notes), reverse=True)
    print(f"{len(waited)} requests, the longest {waited[:5]}")  # noqa: T201 - for pytest -rP
    # What began just before the outage may have been answered, or not.
    assert load.stores(calm, calm + 0.5) == {"redis"}
    assert load.stores(away, back) == {"memory"}
    # Those that were under way when it began have waited once, and all of them together.
    assert sum(took > A_WAIT for took in waited) <= load.threads
    assert waited[0] < 3 * TIMEOUT_MS / 1000
    assert waited[len(waited) // 2] < 0.05


def test_no_request_waits_while_redis_is_killed_and_restarted() -> None:
    with Redis() as server, limiter(server.url, timeout_ms=TIMEOUT_MS) as counter:
        hit(counter)
        with Load(counter) as load:
            calm = time.monotonic()
            time.sleep(1)
            assert server.process is not None
            server.process.kill()
            server.process.wait()
            killed = time.monotonic()
            time.sleep(1.2)
            server.stop()
            back = time.monotonic()
            server.start()
            load.wait_for_redis()
        check_outage(load, calm, killed, back)
        assert counter.changes == 2
        assert counter.status()["failure"] in (
            "Redis cannot be reached",
            "Redis closed the connection",
        )


def test_no_request_waits_while_redis_is_frozen() -> None:
    with Redis() as server, limiter(server.url, timeout_ms=TIMEOUT_MS) as counter:
        hit(counter)
        assert server.process is not None
        with Load(counter) as load:
            calm = time.monotonic()
            time.sleep(1)
            server.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
            frozen = time.monotonic()
            # Long enough for each thread to wait again and again.
            time.sleep(5 * TIMEOUT_MS / 1000)
            thawed = time.monotonic()
            server.process.send_signal(signal.SIGCONT)
            load.wait_for_redis()
        check_outage(load, calm, frozen, thawed)
        assert counter.changes == 2


def test_what_a_thread_has_slept_is_what_it_waited() -> None:
    """A control: a wait counts, and work does not."""
    before = slept()
    end = time.thread_time() + 0.3
    while time.thread_time() < end:
        pass
    assert slept() - before < 0.1
    time.sleep(0.3)
    assert slept() - before >= 0.29


def test_a_restart_between_two_requests_fails_no_request() -> None:
    with Redis() as server, limiter(server.url, timeout_ms=1000) as counter:
        assert hit(counter).store == "redis"
        server.stop()
        server.start()
        assert hit(counter).store == "redis"
        with Client.from_url(server.url) as client:
            client.client_kill_filter(_type="normal", skipme=True)
        assert hit(counter).store == "redis"
        assert counter.changes == 0


def test_a_client_limited_before_the_outage_stays_limited(redis: Redis) -> None:
    with Redis() as server, limiter(server.url, timeout_ms=1000) as counter:
        assert [hit(counter, TWO).allowed for _ in range(3)] == [True, True, False]
        server.stop()
        assert hit(counter).store == "memory"
        assert not hit(counter, TWO).allowed


# --- Threads, forks, exits ------------------------------------------------------


def test_the_probing_thread_ends_with_the_outage() -> None:
    with Redis() as server, limiter(server.url, timeout_ms=1000) as counter:
        before = threads_of()
        hit(counter)
        assert threads_of() == before
        server.stop()
        hit(counter)
        until(lambda: threads_of() == before + 1, "a thread that probes")
        server.start()
        until(lambda: threads_of() == before, "its end")
        server.stop()
        hit(counter)
        until(lambda: threads_of() == before + 1, "another one")
        counter.close()
        assert threads_of() == before
        hit(counter)
        assert threads_of() == before


def test_a_child_forked_in_an_outage_uses_redis_again() -> None:
    with Redis() as server, limiter(server.url, timeout_ms=1000) as counter:
        hit(counter)
        server.stop()
        assert hit(counter).store == "memory"
        pids = []
        hears, told = os.pipe()
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    # It begins without Redis, and asks nobody before it is told.
                    assert counter.status()["breaker"] == "open"
                    assert hit(counter).store == "memory"
                    assert counter.changes == 1
                    os.write(told, b".")
                    until(lambda: hit(counter).store == "redis", "counting again")
                    assert counter.changes == 2
                    code = 0
                finally:
                    os._exit(code)
            pids.append(pid)
        os.close(told)
        assert [os.read(hears, 1) for _ in pids] == [b"."] * 3  # each has been without Redis
        server.start()
        assert children_exit_codes(pids) == [0, 0, 0]
        os.close(hears)


def test_a_process_can_end_during_an_outage() -> None:
    """Its exit neither waits for the probing thread nor trips over it, TLS or not."""
    program = """
import sys, time
from flask_tenant_auth._core import Limit, Limiter, parse_rates
counter = Limiter(prefix="exit", redis_url=sys.argv[1], timeout_ms=200)
(limit,) = [Limit(rate, scope="x", per="address") for rate in parse_rates("5 per hour")]
assert counter.hit([limit], None, "a").store == "memory", counter.status()
time.sleep(float(sys.argv[2]))
"""
    with Authority() as authority, Authority() as stranger:
        certificate, key = authority.issue("exit", "DNS:localhost")
        with TLSRedis(authority, certificate, key) as server:
            tls = f"rediss://localhost:{server.port}?ssl_ca_certs={stranger.certificate}"
            for url in ("redis://127.0.0.1:1", tls):
                for wait in (0.0, 0.05, 0.1, 0.13):
                    started = time.monotonic()
                    done = subprocess.run(
                        [sys.executable, "-c", program, url, str(wait)], check=True
                    )
                    assert done.returncode == 0
                    assert time.monotonic() - started < 60


def test_closed_limiters_leave_no_descriptor(redis: Redis) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for url in (redis.url, "redis://127.0.0.1:1"):
        for _ in range(50):
            with limiter(url, shared=False, shm_bytes=65536) as counter:
                hit(counter)
            del counter
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
