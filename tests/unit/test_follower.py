"""Who reads the store of sessions into the table of a host, and what becomes of it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from flask_tenant_auth._core import Revocations
from flask_tenant_auth.sessions.follower import Follower
from flask_tenant_auth.sessions.store import Revocation
from flask_tenant_auth.sessions.stores import store_of
from memory_session_store import MemorySessionStore

TENANT, USER = str(uuid.uuid4()), str(uuid.uuid4())
FORK = multiprocessing.get_context("fork")
LATER = 2**45


def of_user(user: str = USER) -> Revocation:
    return Revocation(kind="user", tenant_id=TENANT, user_id=user, ends_at=LATER)


def is_revoked(table: Revocations, user: str = USER) -> bool:
    return table.check(TENANT, user, None, None, 1.0) == "token_revoked"


def until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)


def private_table() -> Revocations:
    return Revocations(f"follower {uuid.uuid4()}", slots=64, shared=False)


@pytest.fixture
def store() -> MemorySessionStore:
    return MemorySessionStore()


@pytest.fixture
def follower(store: MemorySessionStore) -> Iterator[Follower]:
    follower = Follower(store, private_table(), allow=False, delay=1)
    yield follower
    follower.stop()


def test_what_is_revoked_is_in_the_table_soon(
    store: MemorySessionStore, follower: Follower
) -> None:
    store.revoke(of_user(), "before")
    assert follower.wait()
    assert is_revoked(follower.table)
    other = str(uuid.uuid4())
    assert not is_revoked(follower.table, other)
    store.revoke(of_user(other), "meanwhile")
    until(lambda: is_revoked(follower.table, other), 1)


def test_nothing_runs_before_it_is_needed_and_one_thread_after(follower: Follower) -> None:
    before = set(threading.enumerate())
    assert not follower.runs
    for _ in range(3):
        assert follower.wait()
    (thread,) = set(threading.enumerate()) - before
    follower.stop()
    thread.join(2)
    assert not thread.is_alive()


@pytest.mark.parametrize("allow", [True, False])
def test_a_store_that_is_away_is_waited_for_within_a_bound(
    store: MemorySessionStore, allow: bool
) -> None:
    table = private_table()
    follower = Follower(store, table, allow=allow, delay=1)
    store.away = OSError("nobody answers")
    began = time.monotonic()
    assert follower.wait() is allow
    assert 1.9 < time.monotonic() - began < 4
    assert (table.check(TENANT, USER, None, None, 1.0) is None) is allow
    store.away = None
    store.revoke(of_user(), "meanwhile")
    until(lambda: is_revoked(table), 2)
    follower.stop()


def test_a_store_that_comes_back_older_gets_what_the_host_has(
    store: MemorySessionStore, follower: Follower
) -> None:
    yesterday = store.snapshot()
    assert follower.wait()
    store.revoke(of_user(), "today")
    until(lambda: is_revoked(follower.table), 1)
    store.put_back(yesterday)
    until(lambda: [each.kind for each in store.revocations] == ["user"], 2)
    assert is_revoked(follower.table)


def test_whatever_a_store_raises_the_thread_goes_on(
    store: MemorySessionStore, follower: Follower
) -> None:
    assert follower.wait()
    for error in (ValueError("odd"), KeyError("odd"), MemoryError()):
        store.away = error
        time.sleep(0.3)
    store.away = None
    store.revoke(of_user(), "after it")
    until(lambda: is_revoked(follower.table), 2)


# --- Several processes of one host ---


def follow(url: str, name: str, told: Connection) -> None:
    """A worker: says whether it leads, and whether USER is revoked, each time it is asked."""
    table = Revocations(name, slots=64)
    follower = Follower(store_of(url, "."), table, allow=False, delay=1)
    assert follower.wait()
    told.send("ready")
    while True:
        user = told.recv()
        told.send((table.lead(), is_revoked(table, user)))


class Worker:
    """A process that follows a store."""

    def __init__(self, url: str, name: str) -> None:
        self.here, there = FORK.Pipe()
        self.process = FORK.Process(target=follow, args=(url, name, there), daemon=True)
        self.process.start()
        there.close()
        assert self.here.recv() == "ready"
        assert self.process.pid is not None
        self.pid = self.process.pid

    def ask(self, user: str = USER) -> tuple[bool, bool]:
        self.here.send(user)
        assert self.here.poll(10)
        leads, revoked = self.here.recv()
        return leads, revoked

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.here.close()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_leader_that_is_silent_is_replaced(tmp_path: Path, how: signal.Signals) -> None:
    url, name = f"sqlite:///{tmp_path}/s.db", f"follower {uuid.uuid4()}"
    store = store_of(url, ".")
    workers = [Worker(url, name) for _ in range(3)]
    try:
        leaders = [each for each in workers if each.ask()[0]]
        assert len(leaders) == 1
        others = [each for each in workers if each not in leaders]
        os.kill(leaders[0].pid, how)
        user = str(uuid.uuid4())
        store.revoke(of_user(user), "while nobody leads")
        for each in others:
            until(lambda each=each: each.ask(user)[1], 1)  # type: ignore[misc]
        until(lambda: sum(each.ask()[0] for each in others) == 1, 1)
    finally:
        os.kill(leaders[0].pid, signal.SIGCONT) if how == signal.SIGSTOP else None
        for each in workers:
            each.end()
        store.close()


def test_a_child_has_a_thread_of_its_own(tmp_path: Path) -> None:
    store = store_of(f"sqlite:///{tmp_path}/s.db", ".")
    follower = Follower(store, private_table(), allow=False, delay=1)
    assert follower.wait()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        runs = (follower.runs, follower.wait(), follower.runs, threading.active_count())
        os.write(writing, repr(runs).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 100) == b"(False, True, True, 2)"
    os.close(reading)
    os.close(writing)
    follower.stop()
