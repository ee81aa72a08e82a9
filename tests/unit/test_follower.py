"""The follower: what the store has is in the table of the host, whichever process leads."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps import OTHER_USER, TENANT, USER
from flask_tenant_auth._core import Revocations, uuid7
from flask_tenant_auth.sessions import follower as module
from flask_tenant_auth.sessions.follower import Follower
from flask_tenant_auth.sessions.store import Revocation, SessionStore, StoreUnavailable
from flask_tenant_auth.sessions.stores import store_of
from memory_session_store import MemorySessionStore
from paths import SUPPORT
from waiting import until

DAY_MS = 86_400_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def reason(table: Revocations, user_id: str = USER, began: int | None = None) -> str | None:
    """Why the table denies a session of a user that began an hour ago."""
    session = uuid7(now_ms() - 3_600_000 if began is None else began)
    return table.check(TENANT, user_id, session, None, None)


def of_user(user_id: str) -> Revocation:
    return Revocation(
        kind="user", tenant_id=TENANT, user_id=user_id, ends_at=now_ms() + 90 * DAY_MS
    )


@pytest.fixture
def store() -> MemorySessionStore:
    return MemorySessionStore()


@pytest.fixture
def table() -> Iterator[Revocations]:
    made = Revocations(f"follower {uuid.uuid4()}", shared=False)
    yield made
    made.close()


@pytest.fixture
def make(table: Revocations) -> Iterator[Callable[..., Follower]]:
    made: list[Follower] = []

    def make_follower(store: SessionStore, *, allow: bool = False) -> Follower:
        made.append(Follower(store, table, allow=allow, delay=1))
        return made[-1]

    yield make_follower
    for each in made:
        thread = each._thread
        each.stop()
        if thread is not None:
            thread.join(60)
            assert not thread.is_alive()


def test_what_is_revoked_in_the_store_is_denied_by_the_table(
    store: MemorySessionStore, table: Revocations, make: Callable[..., Follower]
) -> None:
    make(store).start()
    until(lambda: table.silent_ms is not None, "the first read")
    assert reason(table) is None
    store.revoke(of_user(USER), "revoked")
    until(lambda: reason(table) == "token_revoked", "the revocation")
    assert reason(table, OTHER_USER) is None
    assert reason(table, began=now_ms() + 1) is None  # a log in after the revocation


def test_a_table_is_not_marked_while_the_store_is_away(
    store: MemorySessionStore, table: Revocations, make: Callable[..., Follower]
) -> None:
    store.away = StoreUnavailable("gone")
    make(store).start()
    time.sleep(0.5)
    assert table.silent_ms is None
    assert reason(table) == "revocations_unknown"


def test_a_failure_and_the_recovery_are_logged_once(
    store: MemorySessionStore,
    table: Revocations,
    make: Callable[..., Follower],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.away = StoreUnavailable("gone")
    make(store).start()
    until(lambda: "cannot be read" in caplog.text, "a line of the log")
    time.sleep(0.3)  # it tries again, and is silent
    store.away = None
    until(lambda: table.silent_ms is not None, "the first read")
    until(lambda: "can be read again" in caplog.text, "a line of the log")
    failures = [each for each in caplog.messages if "cannot be read" in each]
    assert len(failures) == 1
    assert "gone" in failures[0]


def test_a_thread_goes_on_after_an_error_that_no_store_should_raise(
    store: MemorySessionStore, table: Revocations, make: Callable[..., Follower]
) -> None:
    store.away = KeyError("a fault")
    make(store).start()
    time.sleep(0.3)
    store.away = None
    until(lambda: table.silent_ms is not None, "the first read")


class TestWaiting:
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "FIRST_FILL_SECONDS", 0.4)

    def test_a_request_waits_for_the_first_reading(
        self, store: MemorySessionStore, table: Revocations, make: Callable[..., Follower]
    ) -> None:
        store.revoke(of_user(USER), "revoked")
        assert make(store).wait()
        assert reason(table) == "token_revoked"

    def test_it_waits_no_longer_than_the_bound_and_is_denied(
        self, store: MemorySessionStore, table: Revocations, make: Callable[..., Follower]
    ) -> None:
        store.away = StoreUnavailable("gone")
        follower = make(store)
        began = time.monotonic()
        assert not follower.wait()
        assert time.monotonic() - began > 0.3
        began = time.monotonic()
        for _ in range(50):  # the bound is of the process, and not of each request
            assert not follower.wait()
        assert time.monotonic() - began < 10
        assert reason(table) == "revocations_unknown"

    def test_allow_accepts_tokens_and_says_so_until_the_store_is_read(
        self,
        store: MemorySessionStore,
        table: Revocations,
        make: Callable[..., Follower],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        store.revoke(of_user(USER), "revoked")
        store.away = StoreUnavailable("gone")
        follower = make(store, allow=True)
        assert follower.wait()
        assert reason(table) is None
        assert follower.wait()
        accepted = [each for each in caplog.records if "AUTH_ON_REVOCATION_ERROR" in each.message]
        assert [each.levelno for each in accepted] == [logging.ERROR]
        store.away = None
        until(lambda: reason(table) == "token_revoked", "the revocation")
        until(lambda: "known again" in caplog.text, "a line of the log")

    def test_a_child_withdraws_what_its_parent_has_waived(
        self,
        store: MemorySessionStore,
        table: Revocations,
        make: Callable[..., Follower],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        follower = make(store, allow=True)
        assert follower._waive()
        follower.after_fork()
        assert not follower.runs
        follower.start()
        until(lambda: "known again" in caplog.text, "a line of the log")


def test_a_store_that_was_emptied_gets_the_revocations_of_the_host(
    tmp_path: Path, table: Revocations, make: Callable[..., Follower]
) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"
    store = store_of(url, "")
    follower = make(store)
    store.revoke(of_user(USER), "revoked")
    store.revoke(Revocation(kind="token", id="a jti", ends_at=now_ms() + DAY_MS), "revoked")
    follower.read_store(0)
    for file in tmp_path.iterdir():
        file.unlink()
    follower.read_store(0)
    assert reason(table) == "token_revoked"
    restored = store_of(url, "")
    found = restored.changes("", 0).revocations
    restored.close()
    assert {(each.kind, each.user_id, each.id) for each in found} == {
        ("user", USER, None),
        ("token", None, "a jti"),
    }


def test_an_emptied_store_that_takes_nothing_back_is_not_relied_on(
    tmp_path: Path,
    table: Revocations,
    make: Callable[..., Follower],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = store_of(f"sqlite:///{tmp_path}/sessions.db", "")
    follower = make(store)
    store.revoke(of_user(USER), "revoked")
    follower.read_store(0)
    before = table.position
    for file in tmp_path.iterdir():
        file.unlink()

    def fail(_revocations: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(store, "restore", fail)
        with pytest.raises(StoreUnavailable):
            follower.read_store(0)
    assert table.position == before  # so the next reading tries it again
    follower.read_store(0)
    assert [each.user_id for each in store.changes("", 0).revocations] == [USER]


def test_a_thread_goes_on_when_its_store_cannot_say_what_it_is(
    store: MemorySessionStore, table: Revocations, make: Callable[..., Follower]
) -> None:
    def fail() -> str:
        raise StoreUnavailable("no engine yet")

    described, store.describe = store.describe, fail  # type: ignore[method-assign]
    store.away = StoreUnavailable("no engine yet")
    follower = make(store)
    follower.start()
    time.sleep(0.3)
    store.describe, store.away = described, None  # type: ignore[method-assign]
    until(lambda: follower.is_known, "the first read")


def test_a_thread_that_could_not_be_started_is_started_by_the_next_request(
    store: MemorySessionStore, make: Callable[..., Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    follower = make(store)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            follower.start()
    assert not follower.runs
    follower.start()
    until(lambda: follower.is_known, "the first read")


def test_stop_ends_the_thread_and_closes_the_table(
    store: MemorySessionStore, table: Revocations
) -> None:
    follower = Follower(store, table, allow=False, delay=1)
    follower.start()
    until(lambda: table.silent_ms is not None, "the first read")
    thread = follower._thread
    assert thread is not None
    follower.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert reason(table) == "revocations_unknown"
    follower.start()
    assert follower._thread is thread  # a stopped one does not begin again


class Process:
    """A process that follows a store, and can be stopped as by a debugger."""

    def __init__(self, name: str, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SUPPORT / "following.py"), name, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "started\n"

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        self.send(signal.SIGCONT)
        self.process.kill()
        self.process.communicate()


def test_a_leader_that_is_stopped_or_killed_is_replaced(tmp_path: Path) -> None:
    name, url = f"follower {uuid.uuid4()}", f"sqlite:///{tmp_path}/sessions.db"
    table, store = Revocations(name), store_of(url, "")
    users = [str(uuid.uuid4()) for _ in range(4)]

    def revoke(user: str) -> None:
        assert reason(table, user) is None
        store.revoke(of_user(user), "revoked")
        until(lambda: reason(table, user) == "token_revoked", "the revocation")

    store.now()  # makes the file
    first = Process(name, url)
    second = None
    try:
        until(lambda: table.silent_ms is not None, "the first read")
        revoke(users[0])
        second = Process(name, url)
        first.send(signal.SIGSTOP)
        revoke(users[1])
        first.send(signal.SIGCONT)
        time.sleep(0.5)
        second.send(signal.SIGSTOP)
        revoke(users[2])
        second.send(signal.SIGCONT)
        time.sleep(0.5)
        first.send(signal.SIGKILL)
        revoke(users[3])
    finally:
        first.close()
        if second is not None:
            second.close()
        path = table.status()["path"]
        table.close()
        store.close()
        if path is not None:
            Path(path).unlink(missing_ok=True)
