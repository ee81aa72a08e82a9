"""Kill -9 at random moments of a refresh: of the worker that refreshes, or of the store.

The client does not get the answer, and repeats its token. It has to get the successor: no session
is lost, and none has two lives. `python -m tests.session_model --kills 200` prints what came of it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from flask_tenant_auth._core import read_refresh_token
from flask_tenant_auth.sessions.sessions import Grant, SessionDenied, Sessions, Terms
from flask_tenant_auth.sessions.store import SessionStore, StoreUnavailable
from flask_tenant_auth.sessions.stores import store_of
from servers import PostgreSQL, Redis, Server

DAY = 86_400_000
TENANT = "11111111-1111-4111-8111-111111111111"
USER = "22222222-2222-4222-8222-222222222222"
GRANT = Grant(role="user", permissions=(), claims={})
FORK = multiprocessing.get_context("fork")
# More than a refresh takes: with SQLite, with a PostgreSQL that was just started, with a Redis.
LONGEST_MS = 20
LONGEST_WITH_POSTGRESQL_MS = 80
LONGEST_WITH_REDIS_MS = 4
AWAY_SECONDS = 120
STARTS = 20


def sessions_at(url: str) -> Sessions:
    store = store_of(url, ".")
    terms = Terms(idle_ms=DAY, most_ms=3 * DAY, grace_ms=DAY // 2, most_sessions=None)
    return Sessions(store, [b"k" * 32], terms, store.revoke)


def work(url: str, client: Connection) -> None:
    """Refresh what the client sends, and send the answer."""
    sessions = sessions_at(url)
    sessions.store.now()
    client.send("ready")
    while True:
        token = client.recv()
        try:
            client.send(sessions.refresh(token, lambda _: GRANT).refresh_token)
        except SessionDenied as denied:
            client.send(denied)
        except StoreUnavailable:
            client.send(None)


@dataclass
class Worker:
    """A process that refreshes."""

    process: Any
    client: Connection

    @classmethod
    def started(cls, url: str) -> Worker:
        here, there = FORK.Pipe()
        process = FORK.Process(target=work, args=(url, there), daemon=True)
        process.start()
        there.close()
        assert here.recv() == "ready"
        return cls(process, here)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.client.close()


def counter_of(token: str) -> int:
    read = read_refresh_token(token)
    assert read is not None, token
    return read[1]


@dataclass
class Told:
    """What came of the kills."""

    kills: int = 0
    unanswered: int = 0  # the answer was lost
    advanced: int = 0  # of those, the store had the refresh already


def kill_workers(url: str, kills: int, seed: int) -> Told:
    """Kill the worker at a random moment of each refresh."""
    chance, told = random.Random(seed), Told()
    sessions = sessions_at(url)
    token = sessions.create(TENANT, USER, GRANT)[0].refresh_token
    sessions.store.close()
    for _ in range(kills):
        worker = Worker.started(url)
        worker.client.send(token)
        time.sleep(chance.uniform(0, LONGEST_MS) / 1000)
        answered = None
        os.kill(worker.process.pid, 9)
        with contextlib.suppress(EOFError, OSError):
            answered = worker.client.recv() if worker.client.poll(0) else None
        worker.kill()
        told.kills += 1
        token = answered_or_repeated(url, token, answered, told)
    return told


def answered_or_repeated(url: str, token: str, answered: object, told: Told) -> str:
    """Return the successor, which was answered, or which a repeated refresh gets."""
    sessions = sessions_at(url)
    try:
        if answered is None:
            told.unanswered += 1
            row = sessions.session_of(token)
            told.advanced += row.counter == counter_of(token) + 1
            answered = refreshed_in_time(sessions, token)
        assert isinstance(answered, str), f"the session is lost: {answered!r}"
        assert counter_of(answered) == counter_of(token) + 1, "the session has two lives"
        row = sessions.session_of(answered)
        assert row.counter == counter_of(answered), "the session has two lives"
        assert row.ended_at is None
        return answered
    finally:
        sessions.store.close()


def refreshed_in_time(sessions: Sessions, token: str) -> str:
    """Refresh, once the store is back."""
    wait_for(sessions.store)
    return sessions.refresh(token, lambda _: GRANT).refresh_token


def wait_for(store: SessionStore) -> None:
    """Wait until a store that was started again answers."""
    deadline = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            store.now()
        except StoreUnavailable:
            assert time.monotonic() < deadline, "the store did not come back"
            time.sleep(0.05)
        else:
            return


def kill_store(server: Server, url: str, kills: int, seed: int, longest_ms: float) -> Told:
    """Kill the store at a random moment of each refresh, and start it again with its data."""
    chance, told = random.Random(seed), Told()
    sessions = sessions_at(url)
    token = sessions.create(TENANT, USER, GRANT)[0].refresh_token
    worker = Worker.started(url)
    for _ in range(kills):
        worker.client.send(token)
        time.sleep(chance.uniform(0, longest_ms) / 1000)
        kill(server)
        answered = worker.client.recv()
        start_again(server)
        told.kills += 1
        wait_for(sessions.store)
        token = answered_or_repeated(url, token, answered, told)
    worker.kill()
    sessions.store.close()
    return told


def kill(server: Server) -> None:
    """Kill the server with its children: one of them could still answer otherwise."""
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    server.process.wait()


def start_again(server: Server) -> None:
    for _ in range(STARTS):
        try:
            server.start()
        except RuntimeError:  # a process of the killed one still ends
            time.sleep(0.1)
        else:
            return
    server.start()


def kill_postgresql(kills: int, seed: int) -> Told:
    """Kill a PostgreSQL, whose data survive."""
    with PostgreSQL() as server:
        return kill_store(server, server.url, kills, seed, LONGEST_WITH_POSTGRESQL_MS)


def kill_redis(kills: int, seed: int, *, keeps: bool = True) -> Told:
    """Kill a Redis that keeps what it has answered, or one that keeps nothing."""
    options = ("--appendonly", "yes", "--appendfsync", "always") if keeps else ()
    with Redis(*options) as server:
        return kill_store(server, server.url, kills, seed, LONGEST_WITH_REDIS_MS)


def kill_workers_of_sqlite(kills: int, seed: int) -> Told:
    """Kill workers with a file, which is removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        return kill_workers(f"sqlite:///{folder}/s.db", kills, seed)


KILLS: dict[str, Callable[[int, int], Told]] = {
    "sqlite": kill_workers_of_sqlite,  # it has no process of its own
    "postgresql": kill_postgresql,
    "redis": kill_redis,
}
