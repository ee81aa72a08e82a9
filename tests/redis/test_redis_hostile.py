"""A peer that speaks Redis' protocol and answers what no Redis would: in every state of the
connection, nothing but an error is what becomes of it, and the next good answer counts."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from flask_tenant_auth._core import Limit, Limiter, parse_rates
from redis_server import Authority, false_redis, open_descriptors
from waiting import until

(LIMIT,) = (Limit(rate, scope="h", per="address") for rate in parse_rates("100 per hour"))
MALFORMED = "Redis sent a malformed or oversized reply"
GOOD = b"*4\r\n:1\r\n:7\r\n:0\r\n:0\r\n"


def requests_in(data: bytes) -> list[list[bytes]]:
    """The requests in what a client sent."""
    found = []
    while data:
        count, data = data[1:].split(b"\r\n", 1)
        words = []
        for _ in range(int(count)):
            length, data = data[1:].split(b"\r\n", 1)
            words.append(data[: int(length)])
            data = data[int(length) + 2 :]
        found.append(words)
    return found


class Peer:
    """A Redis in order, but for the answers in `wrong`, by the first word of the request."""

    def __init__(self) -> None:
        self.wrong: dict[bytes, bytes] = {}
        self.seen: list[bytes] = []
        self.port = 0

    def __call__(self, peer: socket.socket) -> None:
        while data := peer.recv(65536):
            words = [request[0] for request in requests_in(data)]
            self.seen += words
            peer.sendall(b"".join(self.answer(word) for word in words))

    def answer(self, word: bytes) -> bytes:
        if word in self.wrong:
            return self.wrong[word]
        port = str(self.port).encode()
        if word == b"SENTINEL":
            return b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port)
        if word == b"CLUSTER":
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%s\r\n" % port
        if word == b"ROLE":
            return b"*1\r\n$6\r\nmaster\r\n"
        if word in (b"EVALSHA", b"EVAL"):
            if b"ASKING" in self.wrong and self.seen[-2:] != [b"ASKING", word]:
                return b"-ASK 1 :%s\r\n" % port
            return GOOD
        return b"+OK\r\n"


@contextmanager
def attacked(url: str) -> Iterator[tuple[Peer, Limiter]]:
    peer = Peer()
    with ExitStack() as stack:
        plain = stack.enter_context(false_redis(peer))
        peer.port = int(plain.rpartition(":")[2])
        counter = Limiter(prefix="h", redis_url=url.format(peer.port), timeout_ms=20_000)
        stack.callback(counter.close)
        yield peer, counter


def hit(counter: Limiter) -> str:
    return counter.hit([LIMIT], None, "10.0.0.1").store


STATES = [
    pytest.param("redis://:p@127.0.0.1:{}", b"AUTH", id="AUTH"),
    pytest.param("redis://u:p@127.0.0.1:{}", b"AUTH", id="AUTH with a user"),
    pytest.param("redis://127.0.0.1:{}/4", b"SELECT", id="SELECT"),
    pytest.param("redis+sentinel://127.0.0.1:{}/s", b"SENTINEL", id="SENTINEL"),
    pytest.param(
        "redis+sentinel://127.0.0.1:{}/s?sentinel_password=p", b"AUTH", id="AUTH of a sentinel"
    ),
    pytest.param("redis+sentinel://127.0.0.1:{}/s", b"ROLE", id="ROLE"),
    pytest.param("redis://127.0.0.1:{}?cluster=true", b"CLUSTER", id="CLUSTER SLOTS"),
    pytest.param("redis://:p@127.0.0.1:{}?cluster=true", b"AUTH", id="AUTH in a cluster"),
    pytest.param("redis://127.0.0.1:{}?cluster=true", b"ASKING", id="ASKING"),
]

# What none of these requests can be answered.
ANSWERS = [
    b"-MOVED 1 h:1\r\n",
    b"-ASK 1 h:1\r\n",
    b"-MOVED\r\n",
    b"-TRYAGAIN x\r\n",
    b"-NOSCRIPT x\r\n",
    b":1\r\n",
    b"*1\r\n*1\r\n*1\r\n:1\r\n",
    b"*1\r\n" * 5000 + b":1\r\n",
    b"*-2\r\n",
    b"*1000000000\r\n",
    b"%1\r\n+a\r\n+b\r\n",
    b">2\r\n+a\r\n+b\r\n",
]


@pytest.mark.parametrize(("url", "state"), STATES)
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: repr(answer[:24]))
def test_a_reply_that_the_state_does_not_expect_is_only_an_error(
    url: str, state: bytes, answer: bytes
) -> None:
    with attacked(url) as (peer, counter):
        peer.wrong[state] = answer
        assert hit(counter) == "memory"
        assert state in peer.seen
        assert counter.status()["failure"] == MALFORMED
        assert counter.status()["breaker"] == "open"


@pytest.mark.parametrize(("url", "state"), STATES)
def test_the_same_peer_counts_with_correct_replies(url: str, state: bytes) -> None:
    with attacked(url) as (peer, counter):
        if state == b"ASKING":
            peer.wrong[state] = b"+OK\r\n"
        assert hit(counter) == "redis"
        assert state in peer.seen
        assert counter.status()["failure"] == ""


def test_a_peer_is_used_again_when_its_replies_are_correct() -> None:
    with attacked("redis://:p@127.0.0.1:{}?cluster=true") as (peer, counter):
        peer.wrong[b"CLUSTER"] = b"-MOVED 1 h:1\r\n"
        assert hit(counter) == "memory"
        peer.wrong.clear()
        until(lambda: hit(counter) == "redis", "Redis counts again")


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"-MOVED 1 127.0.0.1:{port}\r\n", "the slot has moved to another node"),
        (b"-ASK 1 127.0.0.1:{port}\r\n", None),
        (b"-MOVED 1 :1\r\n", "Redis cannot be reached"),
        (b"-MOVED 1 a b:1\r\n", MALFORMED),
        (b"-MOVED 1 http://h:1\r\n", MALFORMED),
        (b"-MOVED 1 " + b"h" * 300 + b":1\r\n", MALFORMED),
        (b"-MOVED 99999 h:1\r\n", MALFORMED),
        (b"-ASK 1 h:99999\r\n", MALFORMED),
    ],
)
def test_redirects_in_circles_and_to_invalid_addresses_end(
    answer: bytes, failure: str | None
) -> None:
    with attacked("redis://127.0.0.1:{}?cluster=true") as (peer, counter):
        peer.wrong[b"EVALSHA"] = answer.replace(b"{port}", str(peer.port).encode())
        assert hit(counter) == "memory"
        assert peer.seen.count(b"EVALSHA") <= 16
        if failure is not None:
            assert counter.status()["failure"] == failure


def test_no_connection_is_inherited_by_a_program_that_is_run() -> None:
    with attacked("redis://127.0.0.1:{}") as (_, counter):
        before = set(open_descriptors())
        assert hit(counter) == "redis"
        connections = {
            number
            for number, place in open_descriptors().items()
            if number not in before and place.startswith("socket:")
        }
        assert connections
        # The peer's own end is among them: Python's are not inherited either.
        assert not any(os.get_inheritable(int(number)) for number in connections)


SHAPES: dict[str, Callable[[], Iterator[bytes]]] = {
    "bulk": lambda: iter([b"$500000000\r\n", *[b"x" * 65536] * 2000]),
    "line": lambda: iter([b"+", *[b"x" * 65536] * 2000]),
    "integers": lambda: iter([b"*100000000\r\n", *[b":1\r\n" * 16384] * 2000]),
    "arrays": lambda: iter([b"*100000\r\n", *[b"*100000\r\n" * 6000] * 2000]),
    "depth": lambda: iter([b"*1\r\n" * 16384] * 2000),
}

PROGRAM = """
import resource, sys, time
from flask_tenant_auth._core import Limit, Limiter, parse_rates
(limit,) = (Limit(rate, scope="m", per="address") for rate in parse_rates("9 per hour"))
counter = Limiter(prefix="m", redis_url=sys.argv[1], timeout_ms=400, shm_bytes=65536, shared=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.monotonic()
assert counter.hit([limit], None, "a").store == "memory"
took = time.monotonic() - started
counter.close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, took)
"""


@pytest.mark.parametrize("shape", SHAPES)
def test_a_huge_reply_takes_neither_memory_nor_time(shape: str) -> None:
    def pour(peer: socket.socket) -> None:
        peer.recv(65536)
        for piece in SHAPES[shape]():
            peer.sendall(piece)

    with false_redis(pour) as url:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, url], check=True, capture_output=True, text=True
        )
    kilobytes, seconds = map(float, re.findall(r"[\d.]+", done.stdout))
    assert kilobytes < 16 * 1024  # 125 MB were sent
    assert seconds < 60


def test_endless_bytes_do_not_exceed_the_timeout_with_or_without_tls() -> None:
    """One byte a record, as fast as it goes: there is always something to read."""
    with Authority() as authority:
        certificate, key = authority.issue("endless", "IP:127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        def trickle(peer: socket.socket) -> None:
            with context.wrap_socket(peer, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(b"$1000000\r\n")
                while True:
                    secure.sendall(b"x")

        with false_redis(trickle) as plain:
            port = plain.rpartition(":")[2]
            url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority.certificate}"
            counter = Limiter(prefix="tls", redis_url=url, timeout_ms=200)
            started = time.monotonic()
            assert hit(counter) == "memory"
            assert time.monotonic() - started < 60
            assert counter.status()["failure"] == "Redis did not answer in time"
            counter.close()
