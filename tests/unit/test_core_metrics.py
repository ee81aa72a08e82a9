"""Metrics, the counters of the core, from Python. tests/c/test_metrics.c tests the memory."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from apps import OTHER_TENANT, TENANT, USER
from flask_tenant_auth import _core
from flask_tenant_auth._core import METRIC_BOUNDS, METRICS, Limit, Limiter, Metrics, parse_rates

KINDS = {name: kind for name, kind, *_ in METRICS}
EVENTS = "tenant_auth_session_events"
FETCHES = "tenant_auth_jwks_fetches"
AGE = "tenant_auth_jwks_age_seconds"
VERIFICATION = "tenant_auth_verification_seconds"
DECISIONS = "tenant_auth_limit_decisions"


def alone() -> Metrics:
    return Metrics("test", shared=False)


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], Any]:
    return dict(metrics.read()[name])


def test_each_metric_has_a_name_of_its_own_a_sentence_and_labels() -> None:
    names = [name for name, *_ in METRICS]
    assert len(set(names)) == len(names) > 15
    for name, kind, text, labels, words in METRICS:
        assert name.startswith("tenant_auth_")
        assert not name.endswith("_total")  # the exposition adds it
        assert kind in ("counter", "histogram", "age", "processes", "gauge", "total")
        assert text[0].isupper()
        assert not text.endswith(".")
        assert len(set(words)) == len(words)
        assert (kind in ("histogram", "age")) <= name.endswith("_seconds")
        assert not words or labels


def test_no_label_is_of_a_user() -> None:
    labels = {label for _, _, _, labels, _ in METRICS for label in labels}
    assert labels.isdisjoint({"user", "user_id", "address", "ip", "token", "session", "tenant_id"})
    assert [name for name, _, _, labels, _ in METRICS if "tenant" in labels] == [
        "tenant_auth_tenant_requests"
    ]


def test_a_new_app_has_every_counter_at_zero() -> None:
    read = alone().read()
    assert read.keys() == KINDS.keys()
    for name, kind, _, labels, words in METRICS:
        if kind == "counter" and len(labels) == bool(words):
            assert [value for _, value in read[name]] == [0] * max(1, len(words)), name
        elif kind in ("gauge", "total") or (kind != "processes" and labels):
            assert read[name] == [], name


def test_what_was_counted_is_read() -> None:
    metrics = alone()
    for _ in range(3):
        metrics.count(EVENTS, "reused")
    metrics.count(FETCHES, "failed", "https://a.example")
    assert values(metrics, EVENTS)["reused",] == 3
    assert values(metrics, EVENTS)["created",] == 0
    assert values(metrics, FETCHES) == {
        ("https://a.example", "fetched"): 0,
        ("https://a.example", "failed"): 1,
    }


def test_a_bucket_has_all_durations_up_to_its_bound() -> None:
    metrics = alone()
    for nanoseconds in (1, 1000, 1001, 10**12):
        metrics.observe(VERIFICATION, nanoseconds)
    buckets, seconds = values(metrics, VERIFICATION)[()]
    assert buckets[:2] == (2, 3)
    assert (buckets[-2], buckets[-1]) == (3, 4)
    assert len(buckets) == len(METRIC_BOUNDS) + 1
    assert list(METRIC_BOUNDS) == sorted(METRIC_BOUNDS)
    assert seconds == pytest.approx(1000 + 2002e-9)


def test_an_age_begins_when_it_is_touched() -> None:
    metrics = alone()
    assert values(metrics, AGE) == {}
    metrics.touch(AGE, "https://a.example")
    _core.shift_clock(0, 60)
    try:
        assert 60 <= values(metrics, AGE)["https://a.example",] < 3600
    finally:
        _core.reset_clock()


def test_processes_that_find_each_other_share_their_counters() -> None:
    prefix = f"test {uuid.uuid4()}"
    one, other = Metrics(prefix, app="a"), Metrics(prefix, app="a")
    path = one.status()["path"]
    try:
        one.count(EVENTS, "created")
        assert values(other, EVENTS)["created",] == 1
        assert values(Metrics(prefix, app="b", shared=False), EVENTS)["created",] == 0
        one.unshare()
        one.count(EVENTS, "created")
        assert values(one, EVENTS)["created",] == values(other, EVENTS)["created",] == 1
        assert one.status() == {"shared": False, "path": None, "not_shared_because": None}
    finally:
        Path(path).unlink()


def test_a_limiter_counts_what_it_decides() -> None:
    metrics = alone()
    limiter = Limiter(prefix="test", shared=False, metrics=metrics)
    limits = [Limit(rate, scope="view") for rate in parse_rates("2 per minute; 9 per hour")]
    decisions = [limiter.hit(limits, None, "192.0.2.1") for _ in range(5)]
    limiter.peek(limits, None, "192.0.2.1")
    assert [each.allowed for each in decisions] == [True, True, False, False, False]
    assert values(metrics, DECISIONS) == {
        ("2 per 1 minute", "user", "view", "allowed"): 2,
        ("2 per 1 minute", "user", "view", "limited"): 3,
        ("9 per 1 hour", "user", "view", "allowed"): 2,
        ("9 per 1 hour", "user", "view", "limited"): 0,
    }
    assert values(metrics, "tenant_auth_limit_checks")["memory",] == 5


def test_limits_beyond_the_room_are_counted_as_other() -> None:
    metrics = alone()
    limiter = Limiter(prefix="test", shared=False, metrics=metrics)
    (rate,) = parse_rates("2 per minute")
    for number in range(300):
        limiter.hit([Limit(rate, scope=f"view {number}")], None, "192.0.2.1")
    read = values(metrics, DECISIONS)
    assert len(read) == 2 * 257
    assert read["other", "other", "other", "allowed"] == 300 - 256
    assert sum(read.values()) == 300


def test_minutes_are_counted_and_end_after_an_hour() -> None:
    identity = _core.Identity(TENANT, USER, "user")
    metrics = Metrics("test", shared=False, console=True)
    for _ in range(3):
        metrics.count_limited(identity)
    assert metrics.most_limited() == {"users": [(TENANT, USER, 3)], "tenants": [(TENANT, 3)]}
    _core.shift_clock(0, 40 * 60)
    try:
        metrics.count_limited(identity)
        metrics.count_limited(_core.Identity(OTHER_TENANT, USER, "user"))
        assert metrics.most_limited()["tenants"] == [(TENANT, 4), (OTHER_TENANT, 1)]
        _core.shift_clock(0, 40 * 60)
        assert dict(metrics.most_limited()["tenants"]) == {TENANT: 1, OTHER_TENANT: 1}
        _core.shift_clock(0, 60 * 60)
        assert metrics.most_limited() == {"users": [], "tenants": []}
    finally:
        _core.reset_clock()


def test_a_new_app_has_an_hour_of_zeros() -> None:
    hour = Metrics("test", shared=False, console=True).last_hour()
    nothing = {"allowed": 0, "denied": 0, "limited": 0, "failed": 0}
    assert hour == {
        "minutes": [{"ago": 59 - i, "requests": nothing} for i in range(60)],
        "reasons": {},
    }


def test_the_most_limited_are_twenty_in_their_order() -> None:
    metrics = Metrics("test", shared=False, console=True)
    users = [f"00000000-0000-4000-8000-{number:012}" for number in range(30)]
    for times, user in enumerate(users, 1):
        for _ in range(times):
            metrics.count_limited(_core.Identity(TENANT, user, "user"))
    expected = [(TENANT, user, times) for times, user in enumerate(users, 1)]
    assert metrics.most_limited()["users"] == expected[::-1][:20]
    assert metrics.most_limited()["tenants"] == [(TENANT, 30 * 31 // 2)]


def test_limited_subjects_are_not_counted_without_the_console() -> None:
    metrics = alone()
    metrics.count_limited(_core.Identity(TENANT, USER, "user"))
    assert metrics.most_limited() == {"users": [], "tenants": []}


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda m: m.count("tenant_auth_none", "created"), ValueError, "name"),
        (lambda m: m.count(VERIFICATION, "created"), ValueError, "name"),
        (lambda m: m.count(EVENTS, "Created"), ValueError, "word"),
        (lambda m: m.count(EVENTS, ""), ValueError, "word"),
        (lambda m: m.count(EVENTS, "created", "x"), ValueError, "of"),
        (lambda m: m.count(FETCHES, "failed"), ValueError, "of"),
        (lambda m: m.count(FETCHES, "failed", 7), TypeError, "of"),
        (lambda m: m.count(7, "failed"), TypeError, "name"),
        (lambda m: m.count(EVENTS), TypeError, "count"),
        (lambda m: m.observe(EVENTS, 1), ValueError, "name"),
        (lambda m: m.observe(VERIFICATION, -1), ValueError, "nanoseconds"),
        (lambda m: m.observe(VERIFICATION, 2**64), ValueError, "nanoseconds"),
        (lambda m: m.observe(VERIFICATION, 1.5), TypeError, "nanoseconds"),
        (lambda m: m.touch(EVENTS, "x"), ValueError, "name"),
        (lambda m: m.touch(AGE), TypeError, "touch"),
        (lambda m: m.count_limited(None), TypeError, "identity"),
        (lambda m: m.count_limited(TENANT), TypeError, "identity"),
        (lambda m: m.count_limited(), TypeError, "argument"),
        (lambda m: m.last_hour(60), TypeError, "argument"),
        (lambda m: m.most_limited(20), TypeError, "argument"),
        (lambda _: Metrics(7), TypeError, "prefix"),
        (lambda _: Metrics("x", app=7), TypeError, "app"),
        (lambda _: Metrics("x", tenants=["x"]), ValueError, "tenants"),
        (lambda _: Metrics("x", tenants=[7]), TypeError, "tenant"),
        (lambda _: Metrics("x", tenants=TENANT), TypeError, "tenants"),
        (lambda _: Metrics("x", tenants=[TENANT] * 101), ValueError, "100"),
        (lambda _: Limiter(prefix="x", shared=False, metrics=7), TypeError, "metrics"),
    ],
)
def test_wrong_arguments_are_named(call: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call(alone())


def test_a_tenant_that_is_not_listed_is_other() -> None:
    metrics = Metrics("test", shared=False, tenants=[TENANT, OTHER_TENANT])
    read = values(metrics, "tenant_auth_tenant_requests")
    assert {tenant for tenant, _ in read} == {TENANT, OTHER_TENANT}
