"""The rights that docs/redis.md gives a user of Redis: enough to count, and none too much."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from click.testing import Result
from flask import Flask
from redis import Redis as Client

from apps import make_app
from flask_tenant_auth._core import STRATEGIES, Limit, Limiter, Rate
from flask_tenant_auth.flask.state import state_of
from pages import blocks_of
from paths import ROOT
from redis_server import Cluster, Sentinel, false_redis
from servers import Redis, free_port

LIMITS = [Limit(Rate(2, 3600), scope="rights")]
LINES = [
    line
    for block in blocks_of(ROOT / "docs" / "redis.md")
    if block.language == "redis"
    for line in block.text.splitlines()
]
SINGLE, DATABASE, CLUSTER, BEHIND_SENTINELS, SENTINELS = LINES


def give_rights(client: Client, line: str) -> None:
    """Run a line of the page; the user has nothing else."""
    words = line.split()
    assert words[:3] == ["ACL", "SETUSER", "app"]
    client.execute_command("ACL", "SETUSER", "app", "reset")
    assert client.execute_command(*words) in (True, "OK", b"OK")
    # What is known of the script would hide that it may not be sent.
    client.execute_command("SCRIPT", "FLUSH") if "eval" in line else None


@contextmanager
def limiter_at(url: str, strategy: str = "fixed-window", prefix: str = "p") -> Iterator[Limiter]:
    limiter = Limiter(
        prefix=prefix, shared=False, redis_url=url, strategy=strategy, timeout_ms=20_000
    )
    yield limiter
    limiter.close()


def counts(url: str, strategy: str = "fixed-window") -> bool:
    """Whether Redis counts and forgets with the rights of this URL's user."""
    with limiter_at(url, strategy) as limiter:
        try:
            limiter.reset(LIMITS, None, "192.0.2.1")
            decisions = [limiter.hit(LIMITS, None, "192.0.2.1") for _ in range(3)]
        except ConnectionError:
            return False
        assert [each.allowed for each in decisions] == [True, True, False]
        return all(each.store == "redis" for each in decisions)


def test_the_page_has_a_line_for_each_kind_of_redis() -> None:
    assert len(LINES) == 5
    assert all(line.startswith("ACL SETUSER app on >password ") for line in LINES)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("line", "database"), [(SINGLE, 0), (DATABASE, 3)])
def test_the_documented_rights_let_redis_count(
    redis: Redis, line: str, database: int, strategy: str
) -> None:
    with Client(port=redis.port) as client:
        give_rights(client, line)
    assert counts(f"redis://app:password@127.0.0.1:{redis.port}/{database}", strategy)


@pytest.mark.parametrize(("line", "database"), [(SINGLE, 0), (DATABASE, 3)])
def test_each_of_the_documented_rights_is_needed(redis: Redis, line: str, database: int) -> None:
    url = f"redis://app:password@127.0.0.1:{redis.port}/{database}"
    rights = [word for word in line.split()[3:] if word.startswith(("+", "~", ">"))]
    assert len(rights) >= 8
    with Client(port=redis.port) as client:
        for right in rights:
            give_rights(client, line.replace(f" {right}", "", 1))
            assert not counts(url), right


def test_a_pattern_with_two_braces_matches_no_key_and_the_log_says_so(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The page once had `~{fta:*}`."""
    with Client(port=redis.port) as client:
        give_rights(client, SINGLE.replace("~{fta:*", "~{fta:*}"))
    url = f"redis://app:password@127.0.0.1:{redis.port}/0"
    app = make_app(REDIS_URL=url, RATELIMIT_STORE_TIMEOUT_MS=10_000)
    app.get("/")(lambda: "in")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert app.test_client().get("/").status_code == 200
    told = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert len(told) == 1
    assert "has never counted since this process started" in told[0]
    assert "NOPERM" in told[0]


def give_rights_to_all(cluster: Cluster, line: str) -> None:
    for node in cluster.nodes:
        with Client(port=node.port) as client:
            give_rights(client, line)


def test_the_documented_rights_of_a_cluster_are_enough_and_needed() -> None:
    with Cluster() as cluster:
        url = cluster.url.replace("redis://", "redis://app:password@")
        give_rights_to_all(cluster, CLUSTER)
        assert counts(url)
        give_rights_to_all(cluster, CLUSTER.replace(" +cluster|slots", ""))
        assert not counts(url)


def test_the_documented_rights_behind_sentinels_are_enough_and_needed() -> None:
    with ExitStack() as stack:
        primary = stack.enter_context(Redis())
        sentinel = stack.enter_context(Sentinel(primary, "counters"))
        client = stack.enter_context(Client(port=primary.port))
        watcher = stack.enter_context(Client(port=sentinel.port))
        give_rights(client, BEHIND_SENTINELS)
        give_rights(watcher, SENTINELS)
        url = (
            f"redis+sentinel://app:password@127.0.0.1:{sentinel.port}/counters"
            "?sentinel_username=app&sentinel_password=password"
        )
        assert counts(url)
        give_rights(client, BEHIND_SENTINELS.replace(" +role", ""))
        assert not counts(url)
        give_rights(client, BEHIND_SENTINELS)
        give_rights(watcher, SENTINELS.replace(" +sentinel|get-master-addr-by-name", ""))
        assert not counts(url)


# --- Redis that has never counted ---------------------------------------------------------------


def told_of_redis(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "flask_tenant_auth" and "Redis" in record.getMessage()
    ]


def ask(app: Flask, times: int) -> None:
    for _ in range(times):
        state_of(app).hit(LIMITS, None, "192.0.2.1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((">password", ">other"), "WRONGPASS"),
        (("~{fta:*", "~other:*"), "NOPERM"),
        # Redis 8 has another text than Redis 7.
        ((" +time", ""), "executing the script|ACL failure in script"),
        ((" +get", ""), "executing the script|ACL failure in script"),
        ((" +evalsha", ""), "evalsha"),
    ],
)
def test_what_keeps_redis_from_ever_counting_is_logged_once(
    redis: Redis, caplog: pytest.LogCaptureFixture, change: tuple[str, str], reason: str
) -> None:
    with Client(port=redis.port) as client:
        give_rights(client, SINGLE.replace(*change))
    app = make_app(
        REDIS_URL=f"redis://app:password@127.0.0.1:{redis.port}/0", RATELIMIT_STORE_TIMEOUT_MS=2000
    )
    ask(app, 5)
    told = told_of_redis(caplog)
    assert len(told) == 1
    assert "has never counted since this process started" in told[0]
    assert re.search(reason, told[0])
    assert not state_of(app).limiter.status()["redis_has_counted"]


def test_a_redis_that_counts_is_not_reported_as_never_counting(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(REDIS_URL=redis.url, RATELIMIT_STORE_TIMEOUT_MS=10_000)
    ask(app, 5)
    assert told_of_redis(caplog) == []
    assert state_of(app).limiter.status()["redis_has_counted"]


# --- flask auth check and limits status ---------------------------------------------------------


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["auth", *words])


def app_at(url: str, **config: object) -> Flask:
    return make_app(
        FLASK_ENV="production", REDIS_URL=url, **{"RATELIMIT_STORE_TIMEOUT_MS": 10_000} | config
    )


def test_check_says_what_redis_is(redis: Redis) -> None:
    result = run(app_at(redis.url), "check", "--strict")
    assert result.exit_code == 0, result.output
    assert "counts=yes" in result.output
    assert re.search(r"version=\d+\.\d+", result.output)
    assert re.search(r"latency=\d+\.\d ms", result.output)
    assert "mode=standalone" in result.output
    assert "eviction=noeviction maxmemory=0" in result.output
    assert ":password" not in result.output
    assert "password@" not in result.output


def test_check_says_why_redis_does_not_count(redis: Redis) -> None:
    with Client(port=redis.port) as client:
        give_rights(client, SINGLE.replace(" +eval ", " "))
    app = app_at(f"redis://app:password@127.0.0.1:{redis.port}/0")
    for words in (("check", "--strict"), ("limits", "status")):
        result = run(app, *words)
        assert result.exit_code == 1
        assert "counts=no" in result.output
        assert "NOPERM" in result.output
        assert "docs/redis.md" in result.output
        assert re.search(r"version=\d+\.\d+", result.output)  # everybody may ask for it
    assert run(app, "check").exit_code == 0  # the app runs without Redis


def test_check_works_with_no_more_than_the_documented_rights(redis: Redis) -> None:
    with Client(port=redis.port) as client:
        give_rights(client, SINGLE)
    result = run(app_at(f"redis://app:password@127.0.0.1:{redis.port}/0"), "check", "--strict")
    assert result.exit_code == 0, result.output
    assert re.search(r"eviction=not known \(.*NOPERM", result.output)


@pytest.mark.parametrize("words", [("check", "--strict"), ("limits", "status")])
def test_check_reports_an_unreachable_redis(words: tuple[str, ...]) -> None:
    result = run(app_at(f"redis://127.0.0.1:{free_port()}/0"), *words)
    assert result.exit_code == 1
    assert "cannot be reached" in result.output


def test_check_does_not_wait_for_a_redis_that_hangs() -> None:
    with false_redis(lambda peer: None) as url:
        app = app_at(url, RATELIMIT_STORE_TIMEOUT_MS=50)
        result = run(app, "check", "--strict")
    assert result.exit_code == 1
    assert "did not answer in time" in result.output


@contextmanager
def redis_that_swallows(redis: Redis, word: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a peer that hands all to a Redis, but what holds this word; and what it got."""
    got: list[bytes] = []

    def hand_over(peer: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", redis.port)) as server:
            while asked := peer.recv(65536):
                got.append(asked)
                if word not in asked:
                    server.sendall(asked)
                    peer.sendall(server.recv(65536))

    with false_redis(hand_over) as url:
        yield url, got


@pytest.mark.parametrize(("word", "asked"), [(b"HELLO", 1), (b"memory", 2), (b"no such word", 2)])
def test_a_question_that_is_not_answered_in_time_ends_the_questions(
    redis: Redis, word: bytes, asked: int
) -> None:
    with redis_that_swallows(redis, word) as (url, got):
        result = run(app_at(url, RATELIMIT_STORE_TIMEOUT_MS=2000), "check")
    assert "counts=yes" in result.output
    assert sum(b"HELLO" in each or b"INFO" in each for each in got) == asked
    answered = word == b"no such word"
    assert ("eviction=noeviction" in result.output) == answered
    assert ("eviction=not known (Redis did not answer in time" in result.output) != answered
    assert ("version=not known (Redis did not answer in time" in result.output) == (
        word == b"HELLO"
    )
    assert "NOPERM" not in result.output  # the user may call what it likes


def test_the_error_of_a_question_says_its_reason_in_one_word(redis: Redis) -> None:
    with Client(port=redis.port) as client:
        give_rights(client, SINGLE)
    url = f"127.0.0.1:{redis.port}/0"
    for user, words, code, detail in (
        ("app:password", ("CONFIG", "GET", "*"), "redis_denied", "NOPERM"),
        ("app:wrong", ("PING",), "redis_denied", "WRONGPASS"),
        ("default:", ("NONSENSE",), "redis_failed", "unknown command"),
    ):
        with limiter_at(f"redis://{user}@{url}" if user[-1] != ":" else redis.url) as limiter:
            with pytest.raises(ConnectionError) as raised:
                limiter.ask_redis(words, 1000)
            assert raised.value.code == code  # type: ignore[attr-defined]
            assert detail in raised.value.detail  # type: ignore[attr-defined]
            assert str(raised.value).endswith(raised.value.detail)  # type: ignore[attr-defined]
    with limiter_at(f"redis://127.0.0.1:{free_port()}/0") as limiter:
        with pytest.raises(ConnectionError) as raised:
            limiter.check_redis(1000)
        assert raised.value.code == "redis_unreachable"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("query", "cluster"), [("", False), ("?cluster=true", True), ("?cluster=YES", True)]
)
def test_status_says_whether_the_url_is_of_a_cluster(query: str, cluster: bool) -> None:
    with limiter_at(f"redis://127.0.0.1:1/0{query}") as limiter:
        assert limiter.status()["cluster"] is cluster


def test_check_warns_of_eviction_and_of_a_cluster() -> None:
    with Redis("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as evicting:
        result = run(app_at(evicting.url), "check", "--strict")
        assert result.exit_code == 1
        assert "evicts keys when maxmemory (52428800 bytes) is used up" in result.output
    with Cluster() as cluster:
        outputs = []
        for node in cluster.nodes:
            # The prefix decides which node has the slot; each app's default is another one.
            app = app_at(f"redis://127.0.0.1:{node.port}", RATELIMIT_KEY_PREFIX="check")
            result = run(app, "check", "--strict")
            assert result.exit_code == 1
            outputs.append(result.output)
        # Only the node with the slot counts, and only as long as it has it.
        kinds = sorted(("add cluster=true" in text, "MOVED" in text) for text in outputs)
        assert kinds == [(False, True), (False, True), (True, False)], "\n".join(outputs)
        assert run(app_at(cluster.url), "check", "--strict").exit_code == 0


def test_check_without_redis_says_that_none_is_used() -> None:
    for app in (app_at(""), app_at("redis://127.0.0.1:1/0", RATELIMIT_ENABLED=False)):
        result = run(app, "check", "--strict")
        assert result.exit_code == 0
        assert "not used" in result.output


def test_limits_show_says_that_redis_does_not_count() -> None:
    app = app_at(f"redis://127.0.0.1:{free_port()}/0")
    result = run(app, "limits", "show", "--address", "192.0.2.1")
    assert result.exit_code == 0
    assert "this is what this host has counted" in result.output


def test_a_question_needs_a_redis_and_words() -> None:
    without = Limiter(prefix="p", shared=False)
    with pytest.raises(ValueError, match="no redis_url"):
        without.check_redis(100)
    with pytest.raises(ValueError, match="no redis_url"):
        without.ask_redis(["PING"], 100)
    with limiter_at("redis://127.0.0.1:1/0") as limiter:
        for timeout in (0, -1):
            with pytest.raises(ValueError, match="timeout_ms"):
                limiter.check_redis(timeout)
        with pytest.raises(TypeError):
            limiter.check_redis("1")  # type: ignore[arg-type]
        for words in ([], ["x"] * 9):
            with pytest.raises(ValueError, match="words must be 1 to 8"):
                limiter.ask_redis(words, 100)
        with pytest.raises(TypeError, match="an item of words must be str"):
            limiter.ask_redis([b"PING"], 100)  # type: ignore[list-item]
        with pytest.raises(TypeError, match="words must be a list or a tuple"):
            limiter.ask_redis("PING", 100)
        with pytest.raises(ConnectionError, match="cannot be reached"):
            limiter.ask_redis(["PING"], 100)


def test_the_answer_to_a_question_is_what_redis_says(redis: Redis) -> None:
    with limiter_at(redis.url) as limiter:
        assert limiter.ask_redis(["PING"], 1000) == "PONG"
        assert limiter.ask_redis(("ECHO", "é"), 1000) == "é"
        assert limiter.ask_redis(["GET", "nothing of this name"], 1000) is None
        assert isinstance(limiter.ask_redis(["DBSIZE"], 1000), int)
        assert limiter.ask_redis(["COMMAND", "GETKEYS", "GET", "x"], 1000) == ["x"]
        with pytest.raises(ConnectionError, match="unknown command"):
            limiter.ask_redis(["NONSENSE"], 1000)
