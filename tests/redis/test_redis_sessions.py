"""Sessions in Redis: the contract of every store, and what only Redis can do to one."""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from redis import Redis as Client

from between import Between, Stop
from flask_tenant_auth._core import RedisClient, uuid7
from flask_tenant_auth.errors import ConfigurationError
from flask_tenant_auth.sessions import redis_connection
from flask_tenant_auth.sessions.redis_store import RedisStore
from flask_tenant_auth.sessions.sessions import Grant, Sessions, Terms
from flask_tenant_auth.sessions.store import Changes, Revocation, SessionStore, StoreUnavailable
from flask_tenant_auth.sessions.stores import store_of
from paths import ROOT
from redis_server import Cluster, Replica, blocked_clients, false_redis
from servers import Redis
from session_store_contract import (
    DAY,
    TENANT,
    USER,
    StoreContract,
    after,
    at_once,
    begun,
    ids,
    is_over,
    key_in,
    of_session,
    revocation,
    session_in,
)
from waiting import PATIENCE, until


class RedisPlace:
    """A Redis that other tests do not use."""

    def __init__(self, server: Redis) -> None:
        self.setting = server.url
        self.client = Client.from_url(server.url)
        self._kept: dict[bytes, tuple[bytes, int]] = {}

    def open(self) -> SessionStore:
        return store_of(self.setting, "")

    def back_up(self) -> None:
        self._kept = {
            key: (self.client.dump(key), max(self.client.pttl(key), 0))
            for key in self.client.keys("*")
        }

    def restore(self) -> None:
        self.client.flushall()
        for key, (value, ttl) in self._kept.items():
            self.client.restore(key, ttl, value)


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with Redis() as found:
        yield found


@pytest.fixture
def place(server: Redis) -> Iterator[RedisPlace]:
    found = RedisPlace(server)
    found.client.flushall()
    found.client.config_set("maxmemory", 0)
    found.client.config_set("maxmemory-policy", "noeviction")
    yield found
    found.client.close()


class TestRedis(StoreContract):
    """The contract."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as found:
        yield found


class TestCluster(StoreContract):
    """The contract, on three nodes."""

    @pytest.fixture
    def place(self, cluster: Cluster) -> Iterator[RedisPlace]:
        found = RedisPlace(cluster.nodes[0])
        found.setting = cluster.url
        for node in cluster.nodes:
            with node.client() as client:
                client.flushall()
        slot = found.client.execute_command("CLUSTER KEYSLOT", "{fta:sessions}:x")
        found.client.close()
        found.client = Client.from_url(cluster.owner(slot).url)
        yield found
        found.client.close()


@contextmanager
def frozen(server: Redis) -> Iterator[None]:
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_redis_knows_a_flushed_script_again(place: RedisPlace) -> None:
    store = place.open()
    session = begun(store)
    place.client.script_flush()
    assert store.advance(session, after(session)) is not None
    place.client.script_flush()
    assert store.read(session.id).session is not None


@contextmanager
def changes_that_wait(
    place: RedisPlace, store: RedisStore, position: str, wait_ms: int = 1000 * PATIENCE
) -> Iterator[Future[Changes]]:
    """A call of `changes` in another thread, which waits in Redis."""
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(store.changes, position, wait_ms)
        until(lambda: blocked_clients(place.client) == 1, "it waits")
        yield found


def test_a_revocation_is_pushed(place: RedisPlace) -> None:
    """Who waits for one asks once: Redis answers in the moment of the revocation."""
    store, other = place.open(), place.open()
    position = store.changes("", 0).position
    for number in range(20):
        with changes_that_wait(place, store, position) as found:
            other.revoke(revocation(other, "token", id=str(number)), "test")
            assert ids(found.result()) == [str(number)]
        position = found.result().position


def test_requests_are_served_while_changes_wait(place: RedisPlace) -> None:
    store = place.open()
    session = begun(store)
    with changes_that_wait(place, store, store.changes("", 0).position) as found:
        for _ in range(50):
            assert store.read(session.id).session == session
        assert not found.done()
        store.revoke(revocation(store, "token", id="on"), "test")
        assert ids(found.result()) == ["on"]


@pytest.mark.parametrize("grace_ms", [0, 10_000])
def test_a_refresh_whose_answer_is_lost_is_carried_out_once(
    place: RedisPlace, server: Redis, grace_ms: int
) -> None:
    terms = Terms(idle_ms=DAY, most_ms=DAY, grace_ms=grace_ms, most_sessions=None)
    grant = Grant(role="user", permissions=(), claims={})
    with Between(server.port) as way:
        store = RedisStore(way.url, 30_000)
        sessions = Sessions(store, [b"k" * 32], terms, store.revoke)
        begun = sessions.create(TENANT, USER, grant)[0]
        way.stop(b"\r\nadvance\r\n", Stop.CLOSED)
        with pytest.raises(StoreUnavailable):
            sessions.refresh(begun.refresh_token, lambda _: grant)
        assert way.stopped.is_set()
        stored = store.read(begun.session.id).session
        assert stored is not None
        assert stored.counter == begun.session.counter + 1
        assert stored.ended_at is None, "nobody has used the token twice"
        if grace_ms:  # the client asks again, and is given the same successor
            again = sessions.refresh(begun.refresh_token, lambda _: grant)
            assert again.session.counter == stored.counter
        store.close()


def test_many_sessions_keys_and_revocations_take_several_replies(place: RedisPlace) -> None:
    store = place.open()
    claims = {"text": "x" * 30_000}
    sessions = [begun(store, claims=claims) for _ in range(40)]
    assert store.sessions(TENANT, USER) == sessions[::-1]
    for number in range(450):
        store.revoke(revocation(store, "token", id=str(number)), "test")
    found = store.changes("", 0)
    assert ids(found) == [str(number) for number in range(450)]
    assert store.changes(found.position, 0).revocations == []
    permissions = tuple("p" * 1000 for _ in range(30))
    now = store.now()
    keys = [
        key_in(store, f"{number:016d}", permissions=permissions, created_at=now + number)
        for number in range(40)
    ]
    for key in keys:
        store.add_key(key)
    assert store.keys(TENANT, USER) == keys[::-1]


def test_all_keys_have_one_hash_tag_and_sessions_expire(place: RedisPlace) -> None:
    store = place.open()
    before = store.now()
    session = begun(store)
    store.revoke(revocation(store, "user", tenant_id=TENANT, user_id=USER), "test")
    names = place.client.keys("*")
    assert names
    assert all(name.startswith(b"{fta:sessions}:") for name in names)
    left = place.client.pttl(f"{{fta:sessions}}:s:{session.id}")
    assert 0 < left <= session.expires_at - before + DAY
    assert place.client.pttl(f"{{fta:sessions}}:u:{TENANT}:{USER}") > 0
    assert place.client.pttl(f"{{fta:sessions}}:r:{TENANT}:{USER}") > 0


# --- A Redis that is away -------------------------------------------------------------------------


def test_a_killed_redis_is_unavailable_and_comes_back_empty() -> None:
    with Redis() as server:
        store = RedisStore(server.url, 1000)
        session = begun(store)
        added = [
            store.revoke(of_session(store, session), "test"),
            store.revoke(revocation(store, "user", tenant_id=TENANT, user_id=USER), "test"),
        ]
        position = store.changes("", 0).position
        assert server.process is not None
        server.process.kill()
        server.stop()
        for call in (
            store.now,
            lambda: store.read(session.id),
            lambda: store.create(session, None),
            lambda: store.advance(session, after(session)),
            lambda: store.revoke(added[0], "test"),
            lambda: store.sessions(TENANT, USER),
            lambda: store.changes(position, 0),
            lambda: store.changes(position, 200),
            lambda: store.restore(added),
            store.purge,
        ):
            with pytest.raises(StoreUnavailable):
                call()
        server.start()
        assert store.read(session.id).session is None
        found = store.changes(position, 5000)
        assert found.is_older
        assert found.revocations == []
        store.restore(added)
        again = store.changes(found.position, 0)
        assert not again.is_older
        assert [each.at for each in again.revocations] == [each.at for each in added]
        # A session that began before has ended, although this Redis never heard of it.
        store.create(session, None)
        assert is_over(store, session)


def test_a_redis_that_is_emptied_while_changes_wait_is_older() -> None:
    with Redis() as server:
        store = RedisStore(server.url, 1000)
        store.revoke(revocation(store, "token", id="one"), "test")
        position = store.changes("", 0).position
        with Client.from_url(server.url) as client, ThreadPoolExecutor(1) as pool:
            found = pool.submit(store.changes, position, 2000)
            until(lambda: blocked_clients(client) == 1, "it waits")
            client.flushall()
            assert found.result().is_older


def test_a_frozen_redis_is_unavailable_after_the_time_limit_and_no_later() -> None:
    with Redis() as server:
        store = RedisStore(server.url, 300)
        session = begun(store)
        position = store.changes("", 0).position
        with frozen(server):
            start = time.monotonic()
            with pytest.raises(StoreUnavailable):
                store.read(session.id)
            assert time.monotonic() - start < 30
            start = time.monotonic()
            with pytest.raises(StoreUnavailable):
                store.changes(position, 300)
            assert time.monotonic() - start < 30
        until(lambda: _answers(store), "an answer")
        assert store.read(session.id).session == session


def _answers(store: SessionStore) -> bool:
    try:
        return store.now() > 0
    except StoreUnavailable:
        return False


def test_a_call_without_an_answer_may_be_repeated() -> None:
    """The first one was carried out when Redis went on: the second one finds that."""
    with Redis() as server:
        store = RedisStore(server.url, 300)
        session = begun(store)
        with frozen(server), pytest.raises(StoreUnavailable):
            store.advance(session, after(session))
        until(lambda: _answers(store), "an answer")
        found = store.read(session.id).session
        assert found is not None
        assert found.counter in (1, 2)
        done = store.advance(session, after(session))
        assert (done is None) == (found.counter == 2)


# --- A Redis that must not be used ----------------------------------------------------------------


def test_a_replica_is_never_read(server: Redis, place: RedisPlace) -> None:
    store = place.open()
    session = begun(store)
    store.add_key(key_in(store, "a" * 16))
    with Redis() as other:
        late = RedisStore(other.url, 1000)
        assert late.now() > 0
        with Client.from_url(other.url) as client:
            client.replicaof("127.0.0.1", server.port)
            key = f"{{fta:sessions}}:s:{session.id}"
            until(lambda: bool(client.exists(key)), "the replica has the session")
        # It has become one meanwhile: Redis itself refuses.
        for call in (
            late.now,
            lambda: late.read(session.id),
            lambda: late.read_key("a" * 16),
            lambda: late.sessions(TENANT, USER),
            lambda: late.keys(TENANT, None),
            lambda: late.advance(session, after(session)),
            lambda: late.advance(after(session), session),
            lambda: late.end_key(TENANT, "z" * 16),
            lambda: late.revoke(revocation(store, "everything"), "test"),
            lambda: late.changes("", 0),
        ):
            with pytest.raises(StoreUnavailable, match="replica"):
                call()
        with pytest.raises(StoreUnavailable, match="replica"):
            RedisStore(other.url, 1000).read(session.id)
    assert store.read(session.id).session == session


def test_a_writable_replica_is_not_used_either(server: Redis, place: RedisPlace) -> None:
    store = place.open()
    session = begun(store)
    with Replica(server) as other:
        with Client.from_url(other.url) as client:
            client.config_set("replica-read-only", "no")
        with pytest.raises(StoreUnavailable, match="replica"):
            RedisStore(other.url, 1000).read(session.id)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_redis_that_evicts_keys_is_not_used_and_the_log_says_why(
    place: RedisPlace, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    place.client.config_set("maxmemory-policy", policy)
    unbounded = place.open()
    assert unbounded.now() > 0  # without maxmemory nothing is evicted
    place.client.config_set("maxmemory", "100mb")
    store = place.open()
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=f"{policy}.*noeviction"):
                store.now()
    assert len([each for each in caplog.records if "noeviction" in each.getMessage()]) == 1
    place.client.config_set("maxmemory-policy", "noeviction")
    assert store.now() > 0


def test_a_process_that_follows_nothing_notices_that_redis_evicts_by_now(
    place: RedisPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "_CHECK_SECONDS", 0)
    store = place.open()
    assert store.now() > 0
    place.client.config_set("maxmemory-policy", "allkeys-lru")
    place.client.config_set("maxmemory", "100mb")
    with pytest.raises(StoreUnavailable, match="noeviction"):
        store.now()


def test_a_full_redis_revokes_nothing_by_half(place: RedisPlace) -> None:
    store = place.open()
    session = begun(store)
    position = store.changes("", 0).position
    place.client.config_set("maxmemory", 1)
    new = session_in(store)
    for call in (
        lambda: store.create(new, 1),
        lambda: store.advance(session, after(session)),
        lambda: store.revoke(of_session(store, session), "test"),
        lambda: store.add_key(key_in(store, "a" * 16)),
    ):
        with pytest.raises(StoreUnavailable, match="takes no writes"):
            call()
    place.client.config_set("maxmemory", 0)
    assert store.read(session.id).session == session
    assert store.read(new.id).session is None
    assert [each.id for each in store.sessions(TENANT, USER)] == [session.id]
    assert store.changes(position, 0).revocations == []
    assert store.keys(TENANT, None) == []


@pytest.mark.parametrize("url", ["redis://", "redis://x:y", "redis://h/0?tls=maybe", "redis://h/x"])
def test_a_url_that_cannot_be_used_names_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="AUTH_SESSION_STORE") as raised:
        store_of(url + ("" if "?" in url else "?nothing=1"), "")
    assert "secret" not in str(raised.value)


def test_describe_has_no_password() -> None:
    store = store_of("redis://someone:secret@127.0.0.1:1/3", "")
    assert "secret" not in store.describe()
    assert "127.0.0.1" in store.describe()


RIGHTS = [
    "+evalsha",
    "+eval",
    "+xread",
    "+info",
    "+time",
    "+persist",
    "+pttl",
    "+pexpire",
    "+pexpireat",
    "+hset",
    "+hsetnx",
    "+hget",
    "+hmget",
    "+hgetall",
    "+hdel",
    "+exists",
    "+set",
    "+get",
    "+zadd",
    "+zrem",
    "+zrevrange",
    "+zrangebyscore",
    "+xadd",
    "+xrange",
    "+xrevrange",
    "+xdel",
]


def test_the_rights_that_the_docs_name_are_enough(server: Redis, place: RedisPlace) -> None:
    docs = " ".join((ROOT / "docs" / "redis.md").read_text("utf-8").replace("`", "").split())
    rights = docs.partition("needs these rights: ")[2].partition(". ")[0]
    assert set(RIGHTS) == {word.strip(",") for word in rights.split() if word.startswith("+")}
    place.client.acl_setuser("app", enabled=True, nopass=True, reset=True)
    place.client.execute_command("ACL", "SETUSER", "app", "~{fta:sessions}:*", *RIGHTS)
    store = RedisStore(f"redis://app:any@127.0.0.1:{server.port}", 1000)
    first = begun(store)
    second = session_in(store)
    assert [each.id for each in store.create(second, 1)] == [first.id]
    assert store.advance(second, after(second)) is not None
    assert len(store.sessions(TENANT, USER)) == 1
    position = store.changes("", 0).position
    added = store.revoke(revocation(store, "user", tenant_id=TENANT, user_id=USER), "test")
    assert store.changes(position, 10).revocations == [added]
    assert store.changes(store.changes("", 0).position, 20).revocations == []
    store.restore([added, revocation(store, "token", id="x", at=store.now())])
    store.add_key(key_in(store, "a" * 16, expires_at=store.now() + DAY))
    store.note_key_use("a" * 16)
    assert store.read_key("a" * 16)[1] is not None
    assert store.end_key(TENANT, "a" * 16)
    assert len(store.keys(TENANT, USER)) == 1
    past = Revocation(kind="token", id="past", ends_at=1)
    for _ in range(2):
        store.revoke(past, "test")
    assert store.purge() == 1
    place.client.acl_deluser("app")


# --- Hostile answers ------------------------------------------------------------------------------

INFO = b"$12\r\nrole:master\r\n\r\n"
ANSWERS = {
    "a text": b"+OK\r\n",
    "nil": b"$-1\r\n",
    "an empty array": b"*0\r\n",
    "an array of nils": b"*3\r\n*-1\r\n*-1\r\n*-1\r\n",
    "texts in place of numbers": b"*3\r\n$1\r\n1\r\n*0\r\n$1\r\n1\r\n",
    "a row of odd length": b"*3\r\n:1\r\n*1\r\n$2\r\nid\r\n:0\r\n",
    "a row without fields": b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n:0\r\n",
    "numbers": b"*3\r\n:1\r\n:2\r\n:3\r\n",
    "an error inside": b"*3\r\n:1\r\n-ERR x\r\n:0\r\n",
    "what is no UTF-8": b"*3\r\n:1\r\n*2\r\n$1\r\n\xff\r\n$1\r\n\xff\r\n:0\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "busy": b"-BUSY Redis is busy running a script.\r\n",
    "no rights": b"-NOPERM this user has no permissions\r\n",
    "no script, twice": b"-NOSCRIPT No matching script.\r\n",
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a reply without an end": b"$99999999\r\n",
}


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    def behave(peer: socket.socket) -> None:
        while asked := peer.recv(65536):
            peer.sendall(INFO if b"INFO" in asked else answer)

    return behave


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_the_script_does_not_give_makes_the_store_unavailable(name: str) -> None:
    with false_redis(answering(ANSWERS[name])) as url:
        store = RedisStore(url, 300)
        session_id = uuid7(1_700_000_000_000)
        for call in (
            lambda: store.read(session_id),
            lambda: store.read_key("a" * 16),
            lambda: store.changes("", 0),
            lambda: store.changes("0" * 16 + ".1-0", 50),
            store.now,
            store.purge,
        ):
            with pytest.raises(StoreUnavailable):
                call()
        if name != "an empty array":
            with pytest.raises(StoreUnavailable):
                store.sessions(TENANT, USER)


def test_a_page_that_comes_again_and_again_ends() -> None:
    again = answering(b"*2\r\n:0\r\n*0\r\n")
    with false_redis(again) as url, pytest.raises(StoreUnavailable):
        RedisStore(url, 300).sessions(TENANT, USER)


# --- The client -----------------------------------------------------------------------------------


def test_the_client_returns_what_redis_answers(server: Redis) -> None:
    client = RedisClient(server.url)
    assert client.call("PING") == b"PONG"
    assert client.call("SET", "client", b"\0\xff") == b"OK"
    assert client.call("GET", b"client") == b"\0\xff"
    assert client.call("GET", "nothing") is None
    assert client.call("INCRBY", "count", -(2**62)) == -(2**62)
    assert client.call("EVAL", "return {1, {'a', false}, 'b'}", 0) == [1, [b"a", None], b"b"]
    client.close()
    assert client.call("DEL", "client", "count") == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("EVALSHA", "0" * 40, 0), "redis_no_script"),
        (("EVAL", "return {1, redis.error_reply('OOM x')}", 0), "redis_full"),
        (("EVAL", "return redis.error_reply('LOADING x')", 0), "redis_loading"),
        (("EVAL", "return redis.error_reply('READONLY x')", 0), "redis_read_only"),
        (("NONSENSE",), "redis_failed"),
    ],
)
def test_an_error_says_which_it_is(server: Redis, words: tuple[str | int, ...], code: str) -> None:
    with pytest.raises(ConnectionError) as raised:
        RedisClient(server.url).call(*words)
    assert raised.value.code == code  # type: ignore[attr-defined]
    assert raised.value.detail  # type: ignore[attr-defined]


def test_the_time_limit_of_a_call_is_longer_by_what_it_may_wait(server: Redis) -> None:
    client = RedisClient(server.url, timeout_ms=200)
    assert client.call("BLPOP", "nothing", "0.5", wait_ms=1000 * PATIENCE) is None
    with pytest.raises(ConnectionError) as raised:
        client.call("BLPOP", "nothing", PATIENCE)
    assert raised.value.code == "redis_timeout"  # type: ignore[attr-defined]


def test_threads_call_one_client_at_once(server: Redis) -> None:
    client = RedisClient(server.url)

    def work(index: int) -> bool:
        return all(
            client.call("ECHO", f"{index}.{turn}") == f"{index}.{turn}".encode()
            for turn in range(100)
        )

    assert all(at_once(16, work))


@pytest.mark.parametrize("word", [None, 1.5, [], object(), 2**64, "\ud800"])
def test_what_is_no_word_is_never_sent(word: object) -> None:
    client = RedisClient("redis://127.0.0.1:1")
    with pytest.raises((TypeError, ValueError, OverflowError)):
        client.call("ECHO", word)  # type: ignore[arg-type]


def test_arguments_of_the_client_are_checked() -> None:
    for wrong in (None, 7, b"redis://h", "", "http://h", "redis://h?x=1"):
        with pytest.raises((TypeError, ValueError), match="url"):
            RedisClient(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tag"):
        RedisClient("redis://h", tag=7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout_ms"):
        RedisClient("redis://h", timeout_ms=0)
    client = RedisClient("redis://127.0.0.1:1")
    with pytest.raises(ValueError, match="words"):
        client.call()
    with pytest.raises(ValueError, match="words"):
        client.call(*["x"] * 3000)
    with pytest.raises(ValueError, match="wait_ms"):
        client.call("PING", wait_ms=-1)
    with pytest.raises(TypeError):
        client.call("PING", other=1)  # type: ignore[call-arg]
