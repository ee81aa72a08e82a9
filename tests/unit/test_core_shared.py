"""Eight threads inside one object of each type of the core, and counts that stay exact.

On a CPython without the GIL all of them run at once: `make test-freethreaded` runs this file there.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps import TENANT, USER
from at_once import THREADS, all_at_once, changing, fresh
from flask_tenant_auth import _core
from flask_tenant_auth._core import (
    INVALID_TOKENS,
    AuditLog,
    CorsRules,
    Identity,
    Key,
    KeyCache,
    Keyring,
    Limit,
    Limiter,
    Metrics,
    Middleware,
    Permits,
    Rate,
    RedisClient,
    RequestRecord,
    Revocations,
    Roles,
    ServedRequest,
    StartResponse,
    open_record,
    permission_number,
)

MOST = 2147483647  # the largest limit
SECRET = b"a secret of at least 32 octets..."


def test_what_a_thread_raises_is_raised() -> None:
    """A positive control."""
    with pytest.raises(ZeroDivisionError):
        all_at_once(lambda number: 1 // (number - 3))


# --- one object of each type ----------------------------------------------------------------------


@functools.cache
def keyring() -> Keyring:
    return Keyring([Key.secret("HS256", SECRET)], roles=Roles(("user", "admin")))


@functools.cache
def token() -> str:
    now = int(time.time())
    claims = {
        "tenant_id": TENANT,
        "user_id": USER,
        "role": "admin",
        "permissions": ["shared:read"],
        "iat": now,
        "exp": now + 3600,
        "sub": USER,
    }
    return keyring().sign(json.dumps(claims).encode())


def limiter(**options: Any) -> Limiter:
    return Limiter(prefix="shared", shared=False, shm_bytes=2**18, **options)


def limit(rate: int = MOST) -> Limit:
    return Limit(Rate(rate, 3600), scope="shared", per="address")


def cors() -> CorsRules:
    return CorsRules(
        resources=("/",),
        origins=("https://a.example",),
        methods=("GET",),
        allow_headers=(),
        expose_headers=(),
        max_age=5,
        credentials=True,
    )


def middleware(inner: Callable[..., Any], state: object = None) -> Middleware:
    return Middleware(
        inner=inner,
        state=state,
        key="start",
        failure=lambda start, *answer: start.send(*answer),
        replace=lambda body, _start: body,
        late_body=lambda body, _start: body,
        cors=cors(),
        audit_log=None,
        log=print,
        limit_fields=True,
        ietf_fields=True,
        metrics=None,
    )


def environ_of_request() -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_ORIGIN": "https://a.example"}


def start_response() -> StartResponse:
    """One that its application has not called yet."""
    kept: list[StartResponse] = []

    def inner(_environ: object, start: StartResponse) -> list[bytes]:
        kept.append(start)
        return []

    middleware(inner)(environ_of_request(), lambda *_: None)
    return kept[0]


def served_request() -> ServedRequest:
    """Of a context that has one request, in every thread: its record has proved an identity."""
    record = RequestRecord(None)
    record.outcome, record.dispatched = Identity(TENANT, USER), True
    request = SimpleNamespace(record=record, environ={}, url_rule=None)
    one = SimpleNamespace(request=request)
    context: ContextVar[Any] = ContextVar("context", default=one)  # the same in every thread
    return ServedRequest(context=context, lent=ContextVar("lent", default=None), attribute="record")


def use_served(served: ServedRequest) -> None:
    assert served.count(None, "key", {}) is None


def use_record(record: RequestRecord, number: int) -> None:
    record.outcome = Identity(TENANT, USER) if number % 2 else None
    record.identity = record.subject = Identity(TENANT, USER)
    record.counted = (number,)
    record.reason = f"reason {number}"
    record.dispatched = bool(number % 2)
    record.decision = None
    assert record.counted[0] in range(THREADS)
    assert record.reason.startswith("reason")


def use_start(start: StartResponse, number: int) -> None:
    headers = [("Vary", "Accept"), ("Allow", "GET")]
    start.replacement = object()
    start("200 OK", headers)
    start.send("204 No Content", headers)
    assert start.environ["PATH_INFO"] == "/"
    use_record(start.record, number)
    start.leave()


def use_revocations(table: Revocations, number: int) -> None:
    table.add("token", at=int(time.time() * 1000), ends_at=2**52, id=f"{number}")
    table.mark_filled(f"{number}-0")
    assert table.check(TENANT, USER, None, f"{number}", 1.0) == "token_revoked"
    assert 0 < len(table.entries()) <= THREADS
    table.lead()


def use_cache(cache: KeyCache, number: int) -> None:
    key_id = "abcdefghijklmno" + "abcdefgh"[number]
    cache.put(key_id, cache.begin(key_id), 60000, b"%d" % number)
    assert cache.find(key_id) in {b"%d" % number, None}
    cache.drop(key_id)


def use_metrics(metrics: Metrics, number: int) -> None:
    metrics.count("tenant_auth_session_events", "created")
    metrics.count("tenant_auth_jwks_fetches", "failed", f"https://{number}")
    metrics.touch("tenant_auth_jwks_age_seconds", "https://0")
    metrics.observe("tenant_auth_verification_seconds", number)
    assert metrics.read()["tenant_auth_session_events"][0][1] > 0


def use_permits(permits: Permits, number: int) -> None:
    address = f"192.0.2.{number % 2}"
    permit = permits.take(3, "shared", "address", None, address)
    permits.key("shared", "address", None, address)
    assert permits.status()["taken"] <= 6
    if permit is not None:
        permit.release()


def use_limiter(counter: Limiter, number: int) -> None:
    limits = [limit()]
    assert counter.hit(limits, None, f"192.0.2.{number}").allowed
    counter.peek(limits, None, "192.0.2.1")
    counter.reset(limits, None, "192.0.2.1")
    counter.reserve(limits, None, "192.0.2.9").give_back()


# How an object of each type is made, and what each thread does to it beside looking at it.
MADE: dict[str, tuple[Callable[[Path], Any], Callable[[Any, int], object]]] = {
    "AuditLog": (
        lambda path: AuditLog(str(path / "log")),
        lambda log, _: (log.write("GET", "/", 200, None, "::1", "x", None), log.reopen()),
    ),
    "CorsRules": (lambda _: cors(), lambda rules, _: rules.allows("https://a.example")),
    "Decision": (lambda _: limiter().hit([limit()], None, "::1"), lambda d, _: repr(d.rate)),
    "Identity": (
        lambda _: keyring().verify(token()),
        lambda who, n: (
            permission_number(f"shared:{n}"),
            who.permits("shared:read") or pytest.fail("it has that permission"),
            who.with_roles(Roles(("user", "admin"))),
        ),
    ),
    "InvalidToken": (lambda _: INVALID_TOKENS["expired"], lambda invalid, _: repr(invalid)),
    "Key": (lambda _: Key.secret("HS256", SECRET), lambda key, _: Keyring([key])),
    "KeyCache": (lambda _: KeyCache("shared", shared=False), use_cache),
    "Keyring": (
        lambda _: keyring(),
        lambda ring, _: (ring.verify(token()), ring.decode(token()), ring.sign(b'{"exp": 1}')),
    ),
    "Limit": (lambda _: limit(), lambda one, _: (repr(one), one.rate == Rate(MOST, 3600))),
    "Limiter": (lambda _: limiter(), use_limiter),
    "Metrics": (lambda _: Metrics("shared", shared=False), use_metrics),
    "Middleware": (
        lambda _: middleware(lambda _environ, start: (start("200 OK", []), [])[1]),
        lambda app, _: app(environ_of_request(), lambda *_: None),
    ),
    "Permit": (
        lambda _: Permits("shared", shared=False).take(1, "shared", "address", None, "::1"),
        lambda permit, _: permit.release(),
    ),
    "Permits": (lambda _: Permits("shared", shared=False), use_permits),
    "Rate": (lambda _: Rate(5, 60), lambda rate, _: (str(rate), hash(rate), rate == Rate(5, 60))),
    "RedisClient": (
        lambda _: RedisClient("redis://127.0.0.1:1/0", timeout_ms=50),
        lambda client, _: pytest.raises(ConnectionError, client.call, "PING"),
    ),
    "RequestRecord": (lambda _: RequestRecord(None), use_record),
    "Reservation": (
        lambda _: limiter().reserve([limit()], None, "::1"),
        lambda reservation, _: reservation.give_back(),
    ),
    "Revocations": (lambda _: Revocations("shared", shared=False), use_revocations),
    "Roles": (
        lambda _: Roles(("user", "admin"), grants=((), ("shared:*",))),
        lambda roles, n: (permission_number(f"shared:{n}"), roles.grants("admin", "shared:x")),
    ),
    "ServedRequest": (lambda _: served_request(), lambda one, _: (one.bind(), use_served(one))),
    "StartResponse": (lambda _: start_response(), use_start),
}


def look_at(one: Any) -> None:
    repr(one)
    for name in dir(type(one)):
        if not name.startswith("_"):
            getattr(one, name)


def test_every_type_of_the_core_is_tried() -> None:
    types = {name for name, value in vars(_core).items() if isinstance(value, type)}
    assert set(MADE) == types


@pytest.mark.parametrize("name", MADE)
def test_eight_threads_inside_one_object_do_no_harm(name: str, tmp_path: Path) -> None:
    make, use = MADE[name]
    one = make(tmp_path)

    def work(number: int) -> None:
        look_at(one)
        use(one, number)

    results = all_at_once(work)
    assert all(results)  # each thread has done something


# --- what all threads agree on ------------------------------------------------------------------


def test_counts_are_exact() -> None:
    counter, most = limiter(), 1000
    limits = (limit(most), Limit(Rate(most * 2, 60), scope="other", per="address"))
    results = all_at_once(lambda _: counter.hit(limits, None, "192.0.2.1").allowed, times=300)
    assert sum(map(sum, results)) == most
    assert counter.peek(limits, None, "192.0.2.1").remaining == 0


def test_never_more_permits_are_taken_than_there_are() -> None:
    permits, most = Permits("shared", shared=False), 3
    results = all_at_once(lambda _: permits.take(most, "s", "address", None, "::1"), times=50)
    taken = [permit for each in results for permit in each if permit is not None]
    assert len(taken) == most
    all_at_once(lambda _: [permit.release() for permit in taken], times=5)
    assert permits.status()["taken"] == 0


def test_a_reservation_is_given_back_once() -> None:
    counter, limits = limiter(), (limit(100),)
    for taken in range(50):
        reservation = counter.reserve(limits, None, "192.0.2.1")
        if taken % 2:
            all_at_once(lambda _, one=reservation: one.give_back(), times=2)
    assert counter.peek(limits, None, "192.0.2.1").remaining == 100 - 25


def test_a_permission_has_one_number() -> None:
    names = [f"numbers:{n}" for n in range(60)]
    mixed = [random.Random(n).sample(names, len(names)) for n in range(THREADS)]

    def work(thread: int) -> dict[str, int]:
        roles = Roles(("user",), grants=(tuple(mixed[thread][:20]),))
        found = {name: permission_number(name) for name in mixed[thread]}
        assert all(roles.grants("user", name) for name in mixed[thread][:20])
        return found

    numbers = [found for results in all_at_once(work, times=3) for found in results]
    assert all(found == numbers[0] for found in numbers)
    assert len(set(numbers[0].values())) == len(names)


def test_what_is_made_when_first_asked_for_is_made_once() -> None:
    for _ in range(100):
        identity, start = keyring().verify(token()), start_response()
        results = all_at_once(
            lambda _, who=identity, one=start: (  # type: ignore[misc]
                id(who.claims),
                id(who.tenant_id),
                id(who.user_id),
                id(one.record),
            ),
            times=1,
        )
        assert len({made for (made,) in results}) == 1


def test_one_request_takes_a_start_response() -> None:
    for _ in range(100):
        start = start_response()
        environ = start.environ | {"start": start}
        results = all_at_once(
            lambda _, given=environ: open_record(None, given, "start"),  # type: ignore[misc]
            times=1,
        )
        records = [record for (record,) in results]
        assert sum(record is start.record for record in records) == 1
        assert "start" not in environ


# --- what others change meanwhile ---------------------------------------------------------------


def refill(items: list[Any], *values: Any) -> None:
    items[:] = [(fresh(name), fresh(value)) for name, value in values] * random.randint(0, 5)


def test_header_lists_that_change_do_no_harm() -> None:
    headers: list[tuple[str, str]] = []
    start = start_response()
    changing(
        lambda _: refill(headers, ("Vary", "Accept"), ("Allow", "GET"), ("X-Other", "value")),
        lambda: start.send("200 OK", headers),
    )


def test_lists_and_dicts_of_arguments_that_change_do_no_harm() -> None:
    operations: list[str] = ["verify"]
    jwk = {"kty": "oct", "k": "A" * 43, "alg": "HS256", "key_ops": operations}
    places: dict[str, Any] = {"role": ("r", "role")}
    words: dict[str, str] = {"boss": "admin"}
    audiences: list[str] = ["a"]

    def change(number: int) -> None:
        operations[:] = [fresh("verify"), fresh("sign")] * random.randint(1, 5)
        audiences[:] = [fresh("audience")] if number else []
        words[fresh(f"word {random.randint(0, 9)}")] = fresh("user")
        if len(words) > 8:
            words.clear()
        places["role"] = (fresh("r"), fresh("role"))

    def use() -> None:
        key = Key.secret("HS256", SECRET)
        Keyring([key], places=places, role_map=words, audiences=audiences)
        assert Key.jwk(jwk).algorithm == "HS256"

    changing(change, use)


def test_keywords_that_change_do_no_harm() -> None:
    made = functools.partial(Identity, TENANT, USER, source="local", permissions=("shared:read",))
    rules = functools.partial(cors_rules, origins=("https://a.example",))
    keywords: list[dict[str, Any]] = [made.keywords, rules.keywords]

    def change(_number: int) -> None:
        keywords[0]["permissions"] = (fresh("shared:read"),)
        keywords[0]["source"] = fresh("local")
        keywords[1]["origins"] = (fresh("https://a.example"),)
        if random.random() < 0.5:
            keywords[0]["actor"] = fresh("somebody")
        else:
            keywords[0].pop("actor", None)

    def use() -> None:
        identity = made()
        assert identity.permissions == {"shared:read"}
        assert identity.actor in {"somebody", None}
        rules()

    changing(change, use)


def cors_rules(**given: Any) -> CorsRules:
    settings: Mapping[str, Any] = {
        "resources": ("/",),
        "methods": ("GET",),
        "allow_headers": (),
        "expose_headers": (),
        "max_age": 5,
        "credentials": False,
    }
    return functools.partial(CorsRules, **settings)(**given)


def test_a_table_that_is_closed_while_others_write_does_no_harm(tmp_path: Path) -> None:
    table: list[Revocations] = [Revocations("closed", directory=str(tmp_path))]

    def work(number: int) -> None:
        if number == 0:
            table[0].close()
            table[0] = Revocations("closed", directory=str(tmp_path))
            return
        with contextlib.suppress(ValueError):  # it is closed
            table[0].add("token", at=1, ends_at=2, id=f"{number}")
        table[0].check(TENANT, USER, None, f"{number}", 1.0)

    all_at_once(work)
