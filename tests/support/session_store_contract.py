"""What every store of sessions does. A test module has a subclass of `StoreContract` for its store.

It has a fixture `place`, a `Place` that is empty.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import pytest

from flask_tenant_auth._core import uuid7
from flask_tenant_auth.sessions.store import (
    ApiKey,
    Changes,
    Kind,
    Revocation,
    Session,
    SessionStore,
)

Result = TypeVar("Result")

TENANT, OTHER_TENANT = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
USER, OTHER_USER = str(uuid.UUID(int=3)), str(uuid.UUID(int=4))
HOUR = 3_600_000
DAY = 24 * HOUR


class Place(Protocol):
    """Where a store is, and what may happen to it."""

    @property
    def setting(self) -> str:
        """AUTH_SESSION_STORE, which another process can use too."""

    def open(self) -> SessionStore:
        """Return a client of the store, with connections of its own."""

    def back_up(self) -> None:
        """Keep what the store has."""

    def restore(self) -> None:
        """Bring back what it had."""


def session_in(store: SessionStore, tenant: str = TENANT, user: str = USER, **more: Any) -> Session:
    """A session that begins now; it is not stored. No other one has begun in its millisecond."""
    time.sleep(0.002)
    now = store.now()
    values = {"used_at": now, "expires_at": now + HOUR, "ends_at": now + DAY, **more}
    return Session(
        id=uuid7(now), tenant_id=tenant, user_id=user, role="user", salt=os.urandom(32), **values
    )


def begun(store: SessionStore, tenant: str = TENANT, user: str = USER, **more: Any) -> Session:
    """A session that begins now."""
    session = session_in(store, tenant, user, **more)
    assert store.create(session, None) == []
    return session


def after(session: Session) -> Session:
    """The session after a refresh, as a caller with another clock has it."""
    return replace(session, counter=session.counter + 1, rotated=(1, *session.rotated[:2]))


def revocation(store: SessionStore, kind: Kind, **values: Any) -> Revocation:
    """A revocation that matters for a day."""
    return Revocation(kind=kind, ends_at=store.now() + DAY, **values)


def of_session(store: SessionStore, session: Session) -> Revocation:
    """The revocation of a session."""
    return revocation(
        store,
        "session",
        tenant_id=session.tenant_id,
        user_id=session.user_id,
        id=session.id,
    )


def key_in(store: SessionStore, key_id: str, **values: Any) -> ApiKey:
    """An API key that is made now; it is not stored."""
    made = {"tenant_id": TENANT, "user_id": USER, "created_at": store.now(), **values}
    return ApiKey(id=key_id, role="user", digest=os.urandom(32), name="a key", **made)


def at_once(number: int, work: Callable[[int], Result]) -> list[Result]:
    """Call a function by as many threads, which begin at the same moment."""
    gate = threading.Barrier(number)

    def run(index: int) -> Result:
        gate.wait()
        return work(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def is_over(store: SessionStore, session: Session) -> bool:
    """Whether a session that was stored has ended, or was revoked."""
    read = store.read(session.id)
    assert read.session is not None
    return read.session.ended_at is not None or session.began <= read.revoked_at


def ids(changes: Changes) -> list[str | None]:
    """The ids of revocations."""
    return [each.id for each in changes.revocations]


# Prints a line before and after each step, until it is killed.
STEPS = """
import sys, os
from dataclasses import replace
sys.path[:0] = sys.argv[2].split(os.pathsep)
from flask_tenant_auth.sessions.stores import store_of
from session_store_contract import after, begun, of_session
store = store_of(sys.argv[1], ".")
def say(*words): print(*words, flush=True)
while True:
    session = begun(store)
    say("created", session.id)
    for _ in range(3):
        say("advancing", session.id, session.counter)
        store.advance(session, after(session))
        session = store.read(session.id).session
        say("advanced", session.id, session.counter)
    say("revoking", session.id)
    store.revoke(of_session(store, session), "test")
    say("revoked", session.id)
"""


class StoreContract:
    """The tests of every store."""

    @pytest.fixture
    def store(self, place: Place) -> Iterator[SessionStore]:
        store = place.open()
        yield store
        store.close()

    # Sessions

    def test_a_session_is_read_as_it_was_created(self, store: SessionStore) -> None:
        session = begun(
            store,
            permissions=("mail:read", "ä\u2028"),
            claims={"plan": {"name": "größer", "seats": [1, 2.5, None, True]}, "nul": "\0"},
            device='Mozilla/5.0 "X"; \U0001f600',
            address="2001:db8::1",
            grace_ms=60_000,
        )
        read = store.read(session.id)
        assert read.session == session
        assert read.revoked_at == 0
        assert 0 <= store.now() - read.now < 60_000

    def test_a_device_that_no_database_takes_is_stored_without_what_it_refuses(
        self, store: SessionStore
    ) -> None:
        session = begun(store, device="a\0b\ud800c")
        found = store.read(session.id).session
        assert found is not None
        assert found.device in ("ab?c", "a\0b\ud800c")

    def test_an_unknown_session_is_none(self, store: SessionStore) -> None:
        read = store.read(uuid7(store.now()))
        assert read.session is None
        assert read.revoked_at == 0
        assert read.now > 0

    def test_the_time_is_milliseconds_and_goes_on_within_a_process(
        self, store: SessionStore
    ) -> None:
        times = [store.now() for _ in range(20)]
        assert times == sorted(times)
        assert abs(times[-1] - time.time() * 1000) < 60_000
        time.sleep(0.02)
        assert 15 <= store.now() - times[-1] < 60_000

    def test_describe_names_the_place(self, store: SessionStore) -> None:
        assert len(store.describe()) > 3

    def test_the_sessions_of_a_user_are_listed_the_newest_first(self, store: SessionStore) -> None:
        first, second, third = (begun(store) for _ in range(3))
        begun(store, user=OTHER_USER)
        begun(store, tenant=OTHER_TENANT)
        now = store.now()
        begun(store, expires_at=now)
        begun(store, expires_at=now, ends_at=now)
        store.revoke(of_session(store, second), "test")
        assert [each.id for each in store.sessions(TENANT, USER)] == [third.id, first.id]

    def test_sessions_beyond_the_most_end_those_that_began_first(self, store: SessionStore) -> None:
        others = [begun(store, user=OTHER_USER), begun(store, tenant=OTHER_TENANT)]
        first, second, third = (begun(store) for _ in range(3))
        position = store.changes("", 0).position
        fourth = session_in(store)
        ended = store.create(fourth, 2)
        assert {each.id for each in ended} == {first.id, second.id}
        assert all(each.ended_at is not None for each in ended)
        assert all(each.end_reason == "too_many" for each in ended)
        assert set(ids(store.changes(position, 0))) == {first.id, second.id}
        assert [each.id for each in store.sessions(TENANT, USER)] == [fourth.id, third.id]
        assert not any(is_over(store, each) for each in others)
        assert store.create(session_in(store), 3) == []

    def test_sessions_that_begin_at_once_leave_no_more_than_the_most(self, place: Place) -> None:
        stores = [place.open() for _ in range(3)]
        sessions = [session_in(stores[0]) for _ in range(12)]
        ended = at_once(12, lambda index: stores[index % 3].create(sessions[index], 4))
        left = {each.id for each in stores[0].sessions(TENANT, USER)}
        assert left == {each.id for each in sessions[-4:]}
        gone = [each.id for some in ended for each in some]
        assert sorted(gone) == sorted(each.id for each in sessions[:-4])
        for store in stores:
            store.close()

    # Compare and swap

    def test_advance_writes_the_session_with_the_time_of_the_store(
        self, store: SessionStore
    ) -> None:
        session = begun(store)
        time.sleep(0.005)
        changed = replace(
            after(session),
            role="admin",
            permissions=("p",),
            claims={"a": 1},
            address="192.0.2.1",
            expires_at=session.ends_at + 5,
        )
        before = store.now()
        at = store.advance(session, changed)
        assert at is not None
        assert before <= at <= store.now()
        found = store.read(session.id).session
        assert found is not None
        assert before <= found.used_at == found.rotated[0] <= store.now()
        assert found == replace(
            changed,
            used_at=found.used_at,
            rotated=(found.used_at, 0, 0),
            expires_at=session.ends_at,
        )
        second = store.advance(found, after(found))
        assert second is not None
        again = store.read(session.id).session
        assert again is not None
        assert again.counter == 3
        assert again.rotated[1:] == (found.used_at, 0)

    def test_advance_without_a_refresh_moves_no_time(self, store: SessionStore) -> None:
        session = begun(store)
        assert store.advance(session, replace(session, device="renamed")) is not None
        assert store.read(session.id).session == replace(session, device="renamed")

    def test_advance_needs_the_session_as_it_is(self, store: SessionStore) -> None:
        session = begun(store)
        assert store.advance(replace(session, counter=2), after(session)) is None
        assert store.advance(replace(session, ended_at=1), after(session)) is None
        assert store.advance(session_in(store), after(session)) is None
        assert store.read(session.id).session == session
        assert store.advance(session, after(session)) is not None
        assert store.advance(session, after(session)) is None
        store.revoke(of_session(store, session), "test")
        found = store.read(session.id).session
        assert found is not None
        assert store.advance(replace(found, ended_at=None), after(found)) is None

    def test_of_fifty_that_advance_at_once_exactly_one_does(self, place: Place) -> None:
        stores = [place.open() for _ in range(5)]
        session = begun(stores[0])
        for _ in range(4):
            counter = session.counter

            def advance(index: int, session: Session = session) -> int | None:
                return stores[index % 5].advance(session, replace(after(session), role=f"r{index}"))

            done = at_once(50, advance)
            [winner] = [index for index, at in enumerate(done) if at is not None]
            found = stores[1].read(session.id).session
            assert found is not None
            assert (found.counter, found.role) == (counter + 1, f"r{winner}")
            session = found
        for store in stores:
            store.close()

    # Revocations

    def test_a_revoked_session_ends_and_the_others_go_on(self, store: SessionStore) -> None:
        session, other = begun(store), begun(store)
        asked = of_session(store, session)
        before = store.now()
        added = store.revoke(asked, "logged_out")
        assert added.number > 0
        assert before <= added.at <= store.now()
        assert added == replace(asked, number=added.number, at=added.at)
        found = store.read(session.id).session
        assert found is not None
        assert found.end_reason == "logged_out"
        assert found.ended_at is not None
        assert before <= found.ended_at <= store.now()
        assert not is_over(store, other)
        assert store.advance(other, after(other)) is not None

    def test_what_is_revoked_already_is_revoked_again(self, store: SessionStore) -> None:
        session = begun(store)
        first = store.revoke(of_session(store, session), "logged_out")
        second = store.revoke(of_session(store, session), "revoked")
        assert second.number > first.number
        assert second.at >= first.at
        found = store.read(session.id).session
        assert found is not None
        assert found.end_reason == "logged_out"

    @pytest.mark.parametrize(
        ("kind", "values", "spares"),
        [
            ("user", {"tenant_id": TENANT, "user_id": USER}, {"other_user", "other_tenant"}),
            ("tenant", {"tenant_id": TENANT}, {"other_tenant"}),
            ("everything", {}, set()),
            (
                "token",
                {"tenant_id": TENANT, "user_id": USER, "id": "sha256:abc"},
                {"own", "other_user", "other_tenant"},
            ),
        ],
    )
    def test_a_revocation_ends_what_began_until_then(
        self, store: SessionStore, kind: Kind, values: dict[str, str], spares: set[str]
    ) -> None:
        sessions = {
            "own": begun(store),
            "other_user": begun(store, user=OTHER_USER),
            "other_tenant": begun(store, tenant=OTHER_TENANT),
        }
        added = store.revoke(revocation(store, kind, **values), "test")
        for name, session in sessions.items():
            assert is_over(store, session) == (name not in spares), name
            listed = store.sessions(session.tenant_id, session.user_id)
            assert bool(listed) == (name in spares), name
            read = store.read(session.id)
            assert read.revoked_at == (0 if name in spares else added.at), name
            advanced = store.advance(session, after(session))
            assert (advanced is not None) == (name in spares), name
        later = begun(store)
        assert not is_over(store, later)
        assert store.advance(later, after(later)) is not None

    def test_a_revocation_of_a_user_spares_the_session_that_it_excepts(
        self, store: SessionStore
    ) -> None:
        kept, other = begun(store), begun(store)
        asked = revocation(store, "user", tenant_id=TENANT, user_id=USER, except_session=kept.id)
        store.revoke(asked, "test")
        assert (is_over(store, kept), is_over(store, other)) == (False, True)
        assert [each.id for each in store.sessions(TENANT, USER)] == [kept.id]
        assert store.advance(kept, after(kept)) is not None
        assert store.advance(other, after(other)) is None

    def test_a_revocation_may_say_its_own_time(self, store: SessionStore) -> None:
        first, second = begun(store), begun(store)
        asked = revocation(store, "everything", at=first.began)
        assert store.revoke(asked, "test").at == first.began
        assert (is_over(store, first), is_over(store, second)) == (True, False)

    # Changes

    def test_changes_are_what_was_added_after_a_position(self, place: Place) -> None:
        store, follower = place.open(), place.open()
        nothing = follower.changes("", 0)
        assert (list(nothing.revocations), nothing.is_older) == ([], False)
        position = nothing.position
        for number in range(3):
            added = [
                store.revoke(revocation(store, "token", id=f"{number}.{each}"), "test")
                for each in range(4)
            ]
            found = follower.changes(position, 0)
            assert not found.is_older
            assert list(found.revocations)[-4:] == added
            position = found.position
        # Another process of the host goes on from there, or begins anew.
        third = place.open()
        assert not third.changes(position, 0).is_older
        everything = third.changes("", 0)
        assert len(everything.revocations) == 12
        assert not everything.is_older
        for each in (store, follower, third):
            each.close()

    def test_a_follower_that_repeats_an_earlier_position_gets_what_came_since(
        self, store: SessionStore
    ) -> None:
        before = store.changes("", 0).position
        store.revoke(revocation(store, "token", id="one"), "test")
        assert "one" in ids(store.changes(before, 0))
        store.revoke(revocation(store, "token", id="two"), "test")
        assert {"one", "two"} <= set(ids(store.changes(before, 0)))

    def test_what_does_not_matter_any_more_is_not_among_all(self, store: SessionStore) -> None:
        past = Revocation(kind="token", id="past", ends_at=store.now() - 1)
        store.revoke(past, "test")
        store.revoke(revocation(store, "token", id="live"), "test")
        assert ids(store.changes("", 0)) == ["live"]

    def test_changes_wait_for_a_revocation_and_no_longer_than_they_may(self, place: Place) -> None:
        store, other = place.open(), place.open()
        position = store.changes("", 0).position
        start = time.monotonic()
        assert store.changes(position, 300).revocations == []
        assert time.monotonic() - start > 0.25
        timer = threading.Timer(
            0.2, lambda: other.revoke(revocation(other, "token", id="new"), "test")
        )
        start = time.monotonic()
        timer.start()
        assert ids(store.changes(position, 120_000)) == ["new"]
        assert time.monotonic() - start < 60
        timer.join()
        for each in (store, other):
            each.close()

    def test_the_position_of_another_store_is_older(self, store: SessionStore) -> None:
        store.revoke(revocation(store, "token", id="live"), "test")
        foreign = store.changes("", 0).position
        for position in ("nonsense", "0" * 16 + foreign[16:], "1-0", "a.b.c.d"):
            found = store.changes(position, 0)
            assert found.is_older, position
            assert ids(found) == ["live"]

    def test_a_store_that_was_restored_is_older_and_gets_the_revocations_of_a_host(
        self, place: Place
    ) -> None:
        store = place.open()
        session, other = begun(store), begun(store)
        store.revoke(revocation(store, "token", id="kept"), "test")
        place.back_up()
        lost = [
            store.revoke(of_session(store, session), "test"),
            store.revoke(revocation(store, "token", id="lost"), "test"),
            store.revoke(
                revocation(store, "user", tenant_id=TENANT, user_id=USER, except_session=other.id),
                "test",
            ),
        ]
        position = store.changes("", 0).position
        place.restore()
        # As many are added as were lost.
        for number in range(3):
            store.revoke(revocation(store, "token", id=f"new {number}"), "test")
        assert not is_over(store, session)
        found = store.changes(position, 0)
        assert found.is_older
        assert {"kept", "new 2"} <= set(ids(found))
        assert "lost" not in ids(found)
        store.restore(lost)
        store.restore(lost)
        assert is_over(store, session)
        assert not is_over(store, other)
        ended = store.read(session.id).session
        assert ended is not None
        assert ended.ended_at is not None
        # Other hosts get them as changes, once, as they were.
        restored = store.changes(found.position, 0)
        assert not restored.is_older
        added = [replace(each, number=0) for each in restored.revocations]
        for each in lost:
            assert added.count(replace(each, number=0)) == 1
        store.close()

    def test_a_position_stays_known_when_all_revocations_are_purged(
        self, store: SessionStore
    ) -> None:
        for number in range(3):
            past = Revocation(kind="token", id=str(number), ends_at=store.now() - 1)
            store.revoke(past, "test")
        position = store.changes("", 0).position
        store.purge()
        assert not store.changes(position, 0).is_older

    # API keys

    def test_a_key_is_read_as_it_was_added(self, store: SessionStore) -> None:
        key = key_in(store, "a" * 16, permissions=("p",), expires_at=store.now() + DAY)
        store.add_key(key)
        now, found, revoked_at = store.read_key(key.id)
        assert (found, revoked_at) == (key, 0)
        assert 0 <= store.now() - now < 60_000
        assert store.read_key("b" * 16)[1:] == (None, 0)

    def test_a_key_sees_the_revocations_around_it(self, store: SessionStore) -> None:
        store.add_key(key_in(store, "a" * 16))
        store.revoke(revocation(store, "user", tenant_id=TENANT, user_id=OTHER_USER), "test")
        assert store.read_key("a" * 16)[2] == 0
        of_user = revocation(
            store, "user", tenant_id=TENANT, user_id=USER, except_session=uuid7(store.now())
        )
        added = store.revoke(of_user, "test")
        assert store.read_key("a" * 16)[2] == added.at
        time.sleep(0.003)
        last = store.revoke(revocation(store, "tenant", tenant_id=TENANT), "test")
        assert store.read_key("a" * 16)[2] == last.at

    @pytest.mark.parametrize("kind", ["user", "tenant", "everything", "token"])
    def test_a_revocation_ends_the_keys_that_it_concerns(
        self, store: SessionStore, kind: Kind
    ) -> None:
        """Keys may outlive revocations, so they are ended by themselves."""
        whose = [(TENANT, USER), (TENANT, OTHER_USER), (OTHER_TENANT, USER)]
        ids = [letter * 16 for letter in "abc"]
        for key_id, (tenant, user) in zip(ids, whose, strict=True):
            store.add_key(key_in(store, key_id, tenant_id=tenant, user_id=user))
        named = {"user": {"tenant_id": TENANT, "user_id": USER}, "tenant": {"tenant_id": TENANT}}
        values = {"id": f"key:{ids[0]}"} if kind == "token" else named.get(kind, {})
        time.sleep(0.002)
        store.revoke(revocation(store, kind, **values), "test")
        time.sleep(0.002)
        store.add_key(key_in(store, "d" * 16))
        read = [store.read_key(key_id)[1] for key_id in [*ids, "d" * 16]]
        ended = [key is not None and key.ended_at is not None for key in read]
        count = {"user": 1, "token": 1, "tenant": 2, "everything": 3}[kind]
        assert ended == [True] * count + [False] * (4 - count)

    def test_keys_are_listed_used_and_ended(self, store: SessionStore) -> None:
        now = store.now()
        first = key_in(store, "a" * 16, created_at=now - 2)
        second = key_in(store, "b" * 16, user_id=OTHER_USER, created_at=now - 1)
        third = key_in(store, "c" * 16, created_at=now)
        for key in (first, second, third, key_in(store, "d" * 16, tenant_id=OTHER_TENANT)):
            store.add_key(key)
        assert store.keys(TENANT, None) == [third, second, first]
        assert store.keys(TENANT, USER) == [third, first]
        store.note_key_use(first.id)
        used = store.read_key(first.id)[1]
        assert used is not None
        assert used.used_at is not None
        assert now <= used.used_at <= store.now()
        assert store.end_key(OTHER_TENANT, first.id) is False
        assert store.end_key(TENANT, "z" * 16) is False
        assert store.read_key(first.id)[1] == used
        assert store.end_key(TENANT, first.id) is True
        ended = store.read_key(first.id)[1]
        assert ended is not None
        assert ended.ended_at is not None
        assert now <= ended.ended_at <= store.now()

    # Purging

    def test_purge_removes_what_does_not_matter_and_nothing_else(self, store: SessionStore) -> None:
        now = store.now()
        live, ended = begun(store), begun(store)
        gone = session_in(store, used_at=1, expires_at=now - 2 * DAY, ends_at=now - 2 * DAY)
        store.create(gone, None)
        store.revoke(of_session(store, ended), "test")
        for number in range(3):
            store.revoke(Revocation(kind="token", id=str(number), ends_at=now - 1), "test")
        store.revoke(revocation(store, "token", id="live"), "test")
        store.add_key(key_in(store, "a" * 16))
        store.add_key(key_in(store, "b" * 16, expires_at=now - 99 * DAY))
        for _ in range(3):
            store.purge()
        assert store.read(gone.id).session is None
        assert store.read(live.id).session == live
        assert store.read(ended.id).session is not None
        assert {"live", ended.id} == set(ids(store.changes("", 0)))
        assert [each.id for each in store.keys(TENANT, None)] == ["a" * 16]
        assert store.purge() == 0

    # Processes

    def test_a_child_after_a_fork_uses_no_connection_of_its_parent(
        self, store: SessionStore
    ) -> None:
        session = begun(store)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for _ in range(20):
                    assert store.read(session.id).session == session
                    begun(store, user=OTHER_USER)
                status = 0
            finally:
                os._exit(status)
        for _ in range(20):
            assert store.read(session.id).session == session
            begun(store)
        assert os.waitpid(child, 0)[1] == 0
        assert len(store.sessions(TENANT, USER)) == 21
        assert len(store.sessions(TENANT, OTHER_USER)) == 20

    def test_a_killed_process_leaves_each_row_before_or_after(self, place: Place) -> None:
        store = place.open()
        path = os.pathsep.join(sys.path)
        for _ in range(4):
            position = store.changes("", 0).position
            with subprocess.Popen(
                [sys.executable, "-c", STEPS, place.setting, path],
                stdout=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdout is not None
                lines = [process.stdout.readline()]
                time.sleep(random.uniform(0.05, 0.3))
                process.send_signal(signal.SIGKILL)
                lines += process.stdout.readlines()
            said = [line.split() for line in lines if line.endswith("\n")]
            assert said, "the process did not start"
            revoked = set(ids(store.changes(position, 0)))
            last = {words[1]: words for words in said}
            for session_id, words in last.items():
                found = store.read(session_id).session
                assert found is not None
                assert (found.ended_at is not None) == (session_id in revoked)
                if words[0] == "advancing":
                    assert found.counter in (int(words[2]), int(words[2]) + 1)
                    assert (found.rotated[0] > 0) == (found.counter > 1)
                if words[0] == "revoked":
                    assert found.ended_at is not None
        store.close()
