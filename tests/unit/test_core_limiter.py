"""Counting in the table that the processes of a host share."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flask_tenant_auth import _core
from flask_tenant_auth._core import (
    STRATEGIES,
    Decision,
    Identity,
    Limit,
    Limiter,
    Rate,
    plain_address,
)

SOMEBODY = Identity(str(uuid.UUID(int=1)), str(uuid.UUID(int=2)))


def alone(strategy: str = "fixed-window", shm_bytes: int = 2**16) -> Limiter:
    """A limiter that shares nothing with other tests."""
    return Limiter(prefix="tests", strategy=strategy, shared=False, shm_bytes=shm_bytes)


def rule(limit: int, period: int, scope: str = "tests", per: str = "user", cost: int = 1) -> Limit:
    return Limit(Rate(limit, period), scope=scope, per=per, cost=cost)


class Clock:
    """Whole seconds since a moment at which windows of up to a day begin."""

    def __init__(self) -> None:
        start = -(-time.monotonic() // 86400) * 86400
        _core.shift_clock(0, start - time.monotonic())
        self._started = time.monotonic()
        self.now = 0

    def move(self, seconds: int) -> None:
        _core.shift_clock(0, seconds)
        self.now += seconds

    @property
    def drift(self) -> float:
        """The seconds that passed by themselves."""
        return time.monotonic() - self._started


# --- The arithmetic, against one that was written from its definition ---------------------------


class FixedWindow:
    def __init__(self, limit: int, period: int) -> None:
        self.limit, self.period = limit, period
        self.end, self.count = 0, 0

    def used(self, now: int) -> int:
        return self.count if now < self.end else 0

    def take(self, now: int, cost: int) -> None:
        if now >= self.end:
            self.end, self.count = now + self.period, 0
        self.count += cost

    def clear(self) -> None:
        self.count = 0
        self.end = 0


class SlidingWindowCounter:
    def __init__(self, limit: int, period: int) -> None:
        self.limit, self.period = limit, period
        self.counts: dict[int, int] = {}

    def used(self, now: int) -> int:
        window, elapsed = divmod(now, self.period)
        before = self.counts.get(window - 1, 0) * (self.period - elapsed)
        return -(-before // self.period) + self.counts.get(window, 0)

    def take(self, now: int, cost: int) -> None:
        window = now // self.period
        self.counts[window] = self.counts.get(window, 0) + cost

    def clear(self) -> None:
        self.counts.clear()


class Gcra:
    def __init__(self, limit: int, period: int) -> None:
        self.limit = limit
        self.interval = -(-period * 1_000_000 // limit)
        self.tat = 0

    def used(self, now: int) -> int:
        return -(-max(self.tat - now * 1_000_000, 0) // self.interval)

    def take(self, now: int, cost: int) -> None:
        self.tat = max(self.tat, now * 1_000_000) + cost * self.interval

    def clear(self) -> None:
        self.tat = 0


Model = FixedWindow | SlidingWindowCounter | Gcra
MODELS: dict[str, Callable[[int, int], Model]] = {
    "fixed-window": FixedWindow,
    "sliding-window-counter": SlidingWindowCounter,
    "gcra": Gcra,
}
# With these, the interval of gcra is a whole number of microseconds. Where it has to be rounded,
# the core and a model of whole seconds differ for some microseconds; tests/c/test_rate.c has that.
RATES = [(1, 1), (2, 10), (3, 60), (5, 60), (9, 3600), (8, 90)]
STEPS = st.one_of(
    st.tuples(st.just("move"), st.sampled_from([0, 1, 2, 9, 10, 30, 59, 60, 61, 3600, 7300])),
    st.tuples(
        st.sampled_from(["hit", "hit", "hit", "hit", "peek", "reset"]),
        st.lists(st.tuples(st.sampled_from(RATES), st.integers(1, 3)), min_size=1, max_size=3),
    ),
)


@pytest.mark.parametrize("strategy", MODELS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=1, max_size=40))
def test_every_decision_is_the_one_of_the_model(
    strategy: str, steps: list[tuple[str, int | list[tuple[tuple[int, int], int]]]]
) -> None:
    _core.reset_clock()
    limiter, clock = alone(strategy), Clock()
    models = {rate: MODELS[strategy](*rate) for rate in RATES}
    for action, value in steps:
        if isinstance(value, int):
            clock.move(value)
            continue
        wanted = {rate: min(cost, rate[0]) for rate, cost in value}  # each limit once
        limits = [rule(*rate, cost=cost) for rate, cost in wanted.items()]
        decision = getattr(limiter, action)(limits, SOMEBODY, "")
        # A third of a second is where the shortest of these rates would notice.
        assume(clock.drift < 0.1)
        if action == "reset":
            for rate in wanted:
                models[rate].clear()
            continue
        used = {rate: models[rate].used(clock.now) for rate in wanted}
        fits = all(used[rate] + cost <= rate[0] for rate, cost in wanted.items())
        assert decision.allowed == fits
        if fits and action == "hit":
            for rate, cost in wanted.items():
                models[rate].take(clock.now, cost)
        left = {rate: max(rate[0] - models[rate].used(clock.now), 0) for rate in wanted}
        told = (decision.limit, decision.rate.period)
        assert decision.remaining == left[told]
        assert decision.rate == limits[decision.index].rate
        if fits:
            assert all(left[told] * r[0] <= left[r] * told[0] for r in wanted)
            assert decision.retry_after == 0
        else:
            assert used[told] + wanted[told] > told[0]
            assert 1 <= decision.retry_after <= 2 * told[1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_client_that_waits_for_retry_after_passes(strategy: str) -> None:
    limiter = alone(strategy)
    chance = random.Random(5)
    for scope in range(30):
        limits = [rule(chance.randint(1, 9), chance.choice([2, 60, 3600]), scope=str(scope))]
        for _ in range(40):
            decision = limiter.hit(limits, SOMEBODY, "")
            if not decision.allowed:
                _core.shift_clock(0, decision.retry_after)
                assert limiter.hit(limits, SOMEBODY, "").allowed
            if chance.random() < 0.3:
                _core.shift_clock(0, chance.random() * limits[0].rate.period)


# --- What a decision says -----------------------------------------------------------------------


def test_a_decision_is_about_the_closest_limit() -> None:
    limiter = alone()
    limits = [rule(10, 60), rule(100, 3600), rule(4, 600)]
    before = _core.now()
    for left in (3, 2, 1, 0):
        decision = limiter.hit(limits, SOMEBODY, "")
        after = _core.now()
        assert decision.allowed
        assert (decision.limit, decision.remaining, decision.index) == (4, left, 2)
        assert decision.rate == limits[2].rate
        assert decision.retry_after == 0
        assert before + 599 <= decision.reset <= after + 601
        assert decision.store == "memory"
    limited = limiter.hit(limits, SOMEBODY, "")
    assert not limited.allowed
    assert 0 < limited.retry_after <= 600
    assert limiter.peek([limits[0]], SOMEBODY, "").remaining == 6
    assert repr(limited) == "<Decision limited: 0 of 4 remaining, rate Rate(4, 600)>"


def test_the_longer_wait_of_two_denials_is_returned() -> None:
    limiter = alone()
    limits = [rule(1, 60), rule(1, 3600), rule(1, 600)]
    assert limiter.hit(limits, SOMEBODY, "").allowed
    limited = limiter.hit(limits, SOMEBODY, "")
    assert limited.index == 1
    assert limited.retry_after > 3590


def test_a_hit_without_limits_is_allowed() -> None:
    decision = alone().hit([], None, "")
    assert decision.allowed
    assert (decision.limit, decision.remaining, decision.store) == (0, 0, "none")
    assert decision.rate is None


def test_the_wall_clock_does_not_change_a_decision() -> None:
    limiter, limits = alone(), [rule(1, 60)]
    began = _core.now()
    assert limiter.hit(limits, SOMEBODY, "").allowed
    counted, shift = _core.now(), 0
    for step in (86400 * 365, -2 * 86400 * 365):
        _core.shift_clock(step, 0)
        shift += step
        limited = limiter.hit(limits, SOMEBODY, "")
        assert not limited.allowed
        assert 0 < limited.retry_after <= 60
        # In the time that others see.
        assert began + 59 <= limited.reset - shift <= counted + 61


def test_decisions_cannot_be_made_or_changed() -> None:
    with pytest.raises(TypeError):
        Decision()
    decision = alone().hit([], None, "")
    for name in ("allowed", "limit", "remaining", "reset", "retry_after", "rate", "index", "store"):
        with pytest.raises(AttributeError):
            setattr(decision, name, 1)


def test_custom_limits_take_their_texts_in_order() -> None:
    limiter = alone()
    a, user, b = rule(5, 60, "a", "custom"), rule(5, 60, "u"), rule(5, 60, "b", "custom")
    assert limiter.hit([a, user, b], SOMEBODY, "192.0.2.1", ["x", "y"]).allowed
    assert limiter.peek([a], None, "", ["x"]).remaining == 4
    assert limiter.peek([a], None, "", ["y"]).remaining == 5
    assert limiter.peek([b], None, "", ("y",)).remaining == 4
    assert limiter.peek([user], SOMEBODY, "").remaining == 4
    # Nothing to count by is never "unlimited".
    for nothing in ([], [""]):
        assert limiter.hit([b], SOMEBODY, "192.0.2.1", nothing).allowed
    assert limiter.peek([b], None, "192.0.2.1").remaining == 3


def test_one_user_cannot_use_the_whole_limit_of_the_tenant() -> None:
    limiter = alone()
    tenant = rule(10, 60, per="tenant")
    limits = [tenant, tenant.share(0.5)]
    colleague = Identity(SOMEBODY.tenant_id, str(uuid.UUID(int=3)))
    assert sum(limiter.hit(limits, SOMEBODY, "").allowed for _ in range(100)) == 5
    assert sum(limiter.hit(limits, colleague, "").allowed for _ in range(100)) == 5
    assert not limiter.hit([tenant], colleague, "").allowed  # now the tenant's limit is used up


# --- Many at once -------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_exactly_the_limit_passes_with_many_threads(strategy: str) -> None:
    limiter = alone(strategy)
    limits = [rule(50, 3600), rule(70, 7200)]
    passed: list[bool] = []
    barrier = threading.Barrier(16)

    def client() -> None:
        barrier.wait()
        passed.extend(limiter.hit(limits, SOMEBODY, "").allowed for _ in range(20))

    threads = [threading.Thread(target=client) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passed.count(True) == 50
    assert len(passed) == 320


WORKER = textwrap.dedent("""
    import sys
    from flask_tenant_auth._core import Limit, Limiter, Rate
    limiter = Limiter(prefix=sys.argv[1], app="tests", shm_bytes=2**20)
    print("ready", flush=True)
    for line in sys.stdin:
        limits = [Limit(Rate(50, 3600), scope=line.strip())]
        print(sum(limiter.hit(limits, None, "192.0.2.1").allowed for _ in range(75)), flush=True)
    limiter.close()
""")


class Workers:
    """Processes that have nothing in common but their configuration."""

    def __init__(self, count: int) -> None:
        self.prefix = f"tests {uuid.uuid4()}"
        self.processes = [self._start() for _ in range(count)]
        self._wait_until_ready()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, self.prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def _wait_until_ready(self) -> None:
        for process in self.processes:
            assert process.stdout is not None
            if process not in getattr(self, "_ready", []):
                assert process.stdout.readline() == "ready\n"
        self._ready = list(self.processes)

    def passed(self, scope: str) -> int:
        """Have all of them try at once; return how many tries were allowed."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{scope}\n")
        return sum(int(process.stdout.readline()) for process in self.processes if process.stdout)

    def replace_killed(self, index: int) -> None:
        self.processes[index].kill()
        self._end(self.processes[index])
        self.processes[index] = self._start()
        self._wait_until_ready()

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        with process, contextlib.suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.close()
        process.wait()

    def close(self) -> None:
        for process in self.processes:
            self._end(process)


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers(4)
    yield workers
    workers.close()


def test_separate_processes_count_as_one(workers: Workers) -> None:
    limiter = Limiter(prefix=workers.prefix, app="tests", shm_bytes=2**20)
    path = limiter.status()["path"]
    assert Path(path).stat().st_mode & 0o777 == 0o600
    for number in range(100):
        assert workers.passed(str(number)) == 50
    for index in range(4):
        workers.replace_killed(index)
        assert workers.passed(f"after kill {index}") == 50
        assert workers.passed(str(index)) == 0  # nobody got a new quota by that
    limits = [Limit(Rate(50, 3600), scope="7")]
    assert not limiter.hit(limits, None, "192.0.2.1").allowed
    # Counters outlive the processes that count ...
    workers.close()
    limiter.close()
    del limiter
    again = Limiter(prefix=workers.prefix, app="tests", shm_bytes=2**20)
    assert again.status()["path"] == path
    assert not again.hit(limits, None, "192.0.2.1").allowed
    # ... until they end. Then nothing is left.
    _core.shift_clock(0, 3602)
    again.close()
    assert not Path(path).exists()


def test_limits_that_differ_count_separately() -> None:
    prefix = f"tests {uuid.uuid4()}"
    limits = [rule(1, 60)]
    a = Limiter(prefix=prefix, app="a", shm_bytes=2**16)
    others = [
        Limiter(prefix=prefix, app="b", shm_bytes=2**16),
        Limiter(prefix=prefix + "x", app="a", shm_bytes=2**16),
        Limiter(prefix=prefix, app="a", shm_bytes=2**16, shared=False),
    ]
    same = Limiter(prefix=prefix, app="a", shm_bytes=2**17)  # the size is whoever's came first
    assert a.hit(limits, SOMEBODY, "").allowed
    assert not same.hit(limits, SOMEBODY, "").allowed
    assert [other.hit(limits, SOMEBODY, "").allowed for other in others] == [True] * 3
    assert others[2].status()["path"] is None
    assert not others[2].status()["shared"]
    paths = {limiter.status()["path"] for limiter in (a, same, *others[:2])}
    assert len(paths) == 3
    for limiter in (a, same, *others):
        limiter.close()
    assert all(Path(path).exists() for path in paths)
    assert not a.hit(limits, SOMEBODY, "").allowed
    _core.shift_clock(0, 62)
    for limiter in (a, same, *others):
        limiter.close()
        limiter.close()
    assert not any(Path(path).exists() for path in paths)
    assert a.hit(limits, SOMEBODY, "").allowed  # alone from here on
    assert not a.hit(limits, SOMEBODY, "").allowed


def test_a_segment_of_an_app_that_never_starts_again_is_removed_by_another() -> None:
    prefix = f"tests {uuid.uuid4()}"
    gone = Limiter(prefix=prefix, app="gone", shm_bytes=2**16)
    assert gone.hit([rule(1, 60)], SOMEBODY, "").allowed
    path = Path(gone.status()["path"])
    gone.close()
    del gone
    Limiter(prefix=prefix, app="other", shm_bytes=2**16).close()
    assert path.exists()
    _core.shift_clock(0, 62)
    # One opening looks for a tenth of a second; on a busy machine another one goes on.
    for _ in range(20):
        Limiter(prefix=prefix, app="other", shm_bytes=2**16).close()
        if not path.exists():
            break
    assert not path.exists()


def test_the_name_of_the_counters_cannot_be_guessed() -> None:
    prefix = f"tests {uuid.uuid4()}"
    names = []
    for _ in range(2):
        limiter = Limiter(prefix=prefix, shm_bytes=2**16)
        names.append(Path(limiter.status()["path"]).name)
        limiter.close()
    assert names[0] != names[1]
    assert names[0].rpartition("-")[0] == names[1].rpartition("-")[0]


def test_a_rate_of_zero_denies_everybody() -> None:
    limiter = alone()
    limits = [rule(5, 60, "some"), rule(0, 60, "none")]
    before = _core.now()
    decision = limiter.hit(limits, SOMEBODY, "")
    after = _core.now()
    assert not decision.allowed
    assert (decision.limit, decision.remaining, decision.retry_after) == (0, 0, 60)
    assert before + 59 <= decision.reset <= after + 61
    assert (decision.index, decision.rate, decision.store) == (1, Rate(0, 60), "none")
    assert limiter.peek(limits[:1], SOMEBODY, "").remaining == 5
    assert limiter.hit(limits[:1], SOMEBODY, "").allowed


def test_a_link_in_place_of_the_counters_is_an_error() -> None:
    prefix = f"tests {uuid.uuid4()}"
    limiter = Limiter(prefix=prefix, shm_bytes=2**16)
    path = Path(limiter.status()["path"])
    limiter.close()
    path.symlink_to("/etc/passwd")
    try:
        with pytest.raises(PermissionError, match="not this user's alone"):
            Limiter(prefix=prefix, shm_bytes=2**16)
    finally:
        path.unlink()


def kill_workers(count: int) -> None:
    """Kill so many processes in the middle of counting; check the table after each."""
    limiter = alone(shm_bytes=2**16)
    chance = random.Random(count)
    crowd = [rule(5, 1, scope=f"crowd {i}") for i in range(50)]
    for number in range(count):
        child = os.fork()
        if child == 0:
            try:
                while True:
                    limiter.hit(chance.sample(crowd, 2), None, str(chance.randrange(10_000)))
            finally:
                os._exit(1)
        time.sleep(chance.random() / 200)
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        limits = [rule(5, 3600, scope=f"survivor {number}")]
        assert sum(limiter.hit(limits, SOMEBODY, "").allowed for _ in range(20)) == 5
    _core.shift_clock(0, 2 * 3600)
    assert limiter.status()["slots_used"] == 0


def test_killed_workers_leave_nothing_behind() -> None:
    kill_workers(100)


@pytest.mark.soak
def test_a_thousand_killed_workers_leave_nothing_behind() -> None:
    kill_workers(1000)


# --- The table ----------------------------------------------------------------------------------


def test_a_flood_of_new_keys_does_not_reset_a_limited_client() -> None:
    limiter, limits = alone(), [rule(20, 3600, per="address")]
    while limiter.hit(limits, None, "abuser").allowed:
        pass
    slots = limiter.status()["slots"]
    for number in range(slots * 10):
        assert limiter.hit(limits, None, str(number)).allowed
    status = limiter.status()
    assert status["evictions"] > slots
    assert status["slots_used"] <= slots
    assert not limiter.hit(limits, None, "abuser").allowed
    assert limiter.evictions == status["evictions"]


def test_status_describes_the_store() -> None:
    limiter = Limiter(prefix=f"tests {uuid.uuid4()}", shm_bytes=2**20, strategy="gcra")
    limiter.hit([rule(5, 60)], SOMEBODY, "")
    status = limiter.status()
    path = status.pop("path")
    assert Path(path).stat().st_size == 2**20
    assert 2**20 - 2**13 <= status.pop("shm_bytes") <= 2**20
    assert 60_000 < status.pop("slots") < 65_536
    assert status == {
        "store": "memory",
        "strategy": "gcra",
        "shared": True,
        "not_shared_because": None,
        "foreign_file": None,
        "has_other_size": False,
        "slots_used": 1,
        "evictions": 0,
    }
    limiter.close()


def test_memory_stays_flat() -> None:
    limiter, limits = alone(), [rule(5, 60), rule(7, 60, "c", "custom")]

    def rounds(count: int) -> None:
        for _ in range(count):
            limiter.hit(limits, SOMEBODY, "192.0.2.1", ["x"])
            limiter.peek(limits, None, "192.0.2.1")
            limiter.reset([limits[0]], SOMEBODY, "192.0.2.1")
            _core.parse_rates("5 per minute; 7 per hour")
            repr(limits[0].share) if limits[0].per == "tenant" else str(limits[0])

    def pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    rounds(5_000)
    before = pages()
    rounds(100_000)
    assert (pages() - before) * os.sysconf("SC_PAGESIZE") < 512 * 1024


# --- Wrong arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, "prefix"),
        ({"prefix": b"x"}, TypeError, "prefix must be str"),
        ({"prefix": "\ud800"}, ValueError, "prefix has lone surrogates"),
        ({"prefix": "x", "app": 5}, TypeError, "app must be str"),
        ({"prefix": "x", "strategy": "leaky"}, ValueError, "strategy must be one of"),
        ({"prefix": "x", "strategy": None}, TypeError, "strategy must be str"),
        ({"prefix": "x", "shm_bytes": 1}, ValueError, "shm_bytes must be from 16384"),
        ({"prefix": "x", "shm_bytes": 100}, ValueError, "shm_bytes must be from 16384"),
        ({"prefix": "x", "shm_bytes": -1}, ValueError, "shm_bytes must be"),
        ({"prefix": "x", "shm_bytes": 2**33}, ValueError, "shm_bytes must be"),
        ({"prefix": "x", "shm_bytes": "16"}, TypeError, "str"),
        ({"prefix": "x", "timeout_ms": 0}, ValueError, "timeout_ms must be from 1 to 60000"),
        ({"prefix": "x", "timeout_ms": 60_001}, ValueError, "timeout_ms must be from 1 to 60000"),
        ({"prefix": "x" * 256}, ValueError, "prefix must be from 0 to 255 bytes of UTF-8"),
        ({"prefix": "x", "on_store_error": "panic"}, ValueError, "on_store_error must be one of"),
        ({"prefix": "x", "lease": -0.1}, ValueError, "lease must be a number from 0 to 0.5"),
        ({"prefix": "x", "lease": 0.51}, ValueError, "lease must be a number from 0 to 0.5"),
        ({"prefix": "x", "lease": float("nan")}, ValueError, "lease must be a number from 0"),
        ({"prefix": "x", "lease": "0.5"}, TypeError, "str"),
        ({"prefix": "x", "colour": 1}, TypeError, "colour"),
    ],
)
def test_arguments_of_a_limiter_that_are_not_valid_raise(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Limiter(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["hit", "peek", "reset"])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((), TypeError, "limits, identity, address"),
        (([], None), TypeError, "limits, identity, address"),
        (([], None, "", (), 5), TypeError, "limits, identity, address"),
        ((5, None, ""), TypeError, "limits must be a list or a tuple"),
        (("5 per minute", None, ""), TypeError, "limits must be a list or a tuple"),
        ((["5 per minute"], None, ""), TypeError, "limits must hold Limit, not str"),
        (([rule(5, 60)] * 17, None, ""), ValueError, "at most 16 limits"),
        (([], "somebody", ""), TypeError, "identity must be Identity or None, not str"),
        (([], None, None), TypeError, "address must be str"),
        (([], None, "\udc80"), ValueError, "address has lone surrogates"),
        (([], None, "", "x"), TypeError, "custom must be a list or a tuple"),
        (([], None, "", [5]), TypeError, "an item of custom must be str"),
        (([], None, "", [""] * 17), ValueError, "custom must be at most 16"),
    ],
)
def test_arguments_of_a_hit_that_are_not_valid_raise(
    method: str, arguments: tuple[object, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        getattr(alone(), method)(*arguments)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("[2001:DB8::1%eth0]:443", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", None),
        ("localhost", None),
        ("192.0.2.1\0", None),
        ("١٩٢.0.2.1", None),
    ],
)
def test_a_plain_address_has_no_port_brackets_and_zone(text: str, plain: str | None) -> None:
    assert plain_address(text) == plain


def test_a_plain_address_is_made_of_text() -> None:
    with pytest.raises(TypeError, match="text must be str"):
        plain_address(b"192.0.2.1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="text has lone surrogates"):
        plain_address("\udc80")


@settings(deadline=None)
@given(st.ip_addresses())
def test_a_plain_address_is_what_python_reads(address: IPv4Address | IPv6Address) -> None:
    expected = getattr(address, "ipv4_mapped", None) or address
    assert ip_address(plain_address(str(address)) or "") == expected


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_reservation_counts_until_it_is_given_back(strategy: str) -> None:
    limiter = Limiter(prefix="p", shared=False, strategy=strategy)
    limits = [Limit(Rate(3, 600), scope="s", per="address"), Limit(Rate(2, 600), scope="t")]
    first = limiter.reserve(limits, None, "192.0.2.1")
    second = limiter.reserve(limits, None, "192.0.2.1")
    denied = limiter.reserve(limits, None, "192.0.2.1")
    assert first.decision.allowed
    assert second.decision.remaining == 0
    assert not denied.decision.allowed
    assert not denied.give_back()
    assert not limiter.hit(limits, None, "192.0.2.1").allowed
    assert first.give_back(1, 2)
    assert limiter.hit(limits[1:], None, "192.0.2.1").allowed
    assert not limiter.hit(limits[1:], None, "192.0.2.1").allowed
    assert limiter.hit(limits[:1], None, "192.0.2.1").allowed
    assert not limiter.hit(limits[:1], None, "192.0.2.1").allowed


def test_of_many_threads_each_gives_back_what_it_has_taken_and_no_more() -> None:
    limiter = Limiter(prefix="p", shared=False)
    limit = [Limit(Rate(10, 600), scope="s", per="address")]
    kept = []

    def attempt(number: int) -> None:
        for each in range(200):
            reservation = limiter.reserve(limit, None, "192.0.2.1")
            if reservation.decision.allowed and each == 100 + number:
                kept.append(reservation)
                continue
            reservation.give_back()
            assert reservation.give_back() == reservation.decision.allowed

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limiter.peek(limit, None, "192.0.2.1").remaining == 10 - len(kept)


@pytest.mark.parametrize("arguments", [(-1,), (2, 1), (0, -1)])
def test_a_range_that_is_none_is_a_value_error(arguments: tuple[int, ...]) -> None:
    limiter = Limiter(prefix="p", shared=False)
    reservation = limiter.reserve([Limit(Rate(1, 60), scope="s")], None, "192.0.2.1")
    with pytest.raises(ValueError, match="start and stop"):
        reservation.give_back(*arguments)
    with pytest.raises(TypeError):
        reservation.give_back("0")  # type: ignore[arg-type]
