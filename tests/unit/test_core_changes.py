"""What other threads change, close or replace while the core uses it.

On a CPython without the GIL all of it happens at once: `make test-freethreaded` runs it there.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import random
import socket
import time
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from apps import TENANT, USER
from at_once import all_at_once, changing, fresh
from flask_tenant_auth import _core
from flask_tenant_auth._core import (
    INVALID_TOKENS,
    AuditLog,
    Decision,
    Identity,
    InvalidToken,
    Key,
    Keyring,
    Limit,
    Limiter,
    Metrics,
    Permits,
    Rate,
    RedisClient,
    RequestRecord,
    Revocations,
    Roles,
    ServedRequest,
)
from redis_server import false_redis

SECRET = b"a secret of at least 32 octets..."
MOST = 2147483647  # the largest limit
EVENTS = "tenant_auth_session_events"


def limit() -> Limit:
    return Limit(Rate(MOST, 3600), scope="changes", per="address")


def token_of(keyring: Keyring) -> str:
    now = int(time.time())
    claims = {"tenant_id": TENANT, "user_id": USER, "role": "admin", "iat": now, "exp": now + 3600}
    return keyring.sign(json.dumps(claims).encode())


@pytest.fixture
def prefix() -> Iterator[str]:
    """One that no other process shares; the memory of the host is removed."""
    name = f"changes {uuid.uuid4()}"
    paths: list[str | None] = []
    yield name
    for made in (Limiter(prefix=name), Permits(name), Metrics(name)):
        paths.append(made.status()["path"])
        made.close() if isinstance(made, Limiter | Permits) else None
    for path in filter(None, paths):
        Path(path).unlink(missing_ok=True)


def allows(peer: socket.socket) -> None:
    """A Redis that lets everybody in."""
    while data := peer.recv(65536):
        words = data.split(b"\r\n")
        if b"EVALSHA" not in words:
            peer.sendall(b"+OK\r\n")
            continue
        hits = int(words[6])
        peer.sendall(b"*%d\r\n" % (4 * hits) + b":1\r\n:7\r\n:0\r\n:0\r\n" * hits)


# --- containers ---------------------------------------------------------------------------------


def test_dicts_and_lists_that_an_identity_is_made_of_may_change() -> None:
    claims: dict[str, Any] = {"plan": "a"}
    permissions: list[str] = ["changes:read"]

    def change(number: int) -> None:
        claims[fresh(f"claim {random.randint(0, 30)}")] = [fresh("value")]
        permissions.append(fresh("changes:read"))
        if len(claims) > 20:
            claims.clear()
            permissions[1:] = []

    def use() -> None:
        identity = Identity(TENANT, USER, claims=claims, permissions=permissions)
        assert identity.permissions == {"changes:read"}
        assert all(value in ("a", ["value"]) for value in identity.claims.values())

    changing(change, use)


def test_routes_and_state_that_change_during_counting_do_no_harm() -> None:
    """What ServedRequest.count reads: dicts of tuples, and the attributes of an object."""
    keyring = Keyring([Key.secret("HS256", SECRET)])
    counter = Limiter(prefix="changes", shared=False, shm_bytes=2**18)
    authorization = f"Bearer {token_of(keyring)}"
    routes: dict[str, Any] = {}
    state = SimpleNamespace(
        live=None, source=None, keyring=keyring, limiter=counter, store_events=0
    )
    context: ContextVar[Any] = ContextVar("context")
    served = ServedRequest(
        context=context, lent=ContextVar("lent", default=None), attribute="record"
    )

    def change(number: int) -> None:
        if random.random() < 0.05:
            gc.collect()
            routes.clear()
        routes[fresh("view")] = {fresh("GET"): ((limit(),), (limit(),))}
        state.keyring = Keyring([Key.secret("HS256", SECRET)])
        state.source = None if random.random() < 0.9 else fresh("source")
        state.__dict__.pop("store_events", None)
        state.store_events = 0

    outcomes: set[str] = set()

    def use() -> None:
        request = SimpleNamespace(
            environ={"HTTP_AUTHORIZATION": fresh(authorization)},
            url_rule=SimpleNamespace(endpoint=fresh("view")),
            method=fresh("GET"),
            remote_addr=fresh("192.0.2.1"),
        )
        context.set(SimpleNamespace(request=request))
        # Without a StartResponse in environ Flask does not dispatch it, so there is one.
        kept: list[Any] = []
        answers(kept)(request.environ, lambda *_: None)
        request.environ["start"] = kept[0]
        outcome = served.count(state, "start", routes)
        assert outcome is True or outcome is None or isinstance(outcome, Decision)
        outcomes.add(type(outcome).__name__)
        if outcome is True:
            assert request.record.outcome.tenant_id == TENANT

    changing(change, use)
    assert "bool" in outcomes  # some were counted


def answers(kept: list[Any]) -> Any:
    """A middleware that keeps its StartResponse."""

    def inner(_environ: object, start: object) -> list[bytes]:
        kept.append(start)
        return []

    return _core.Middleware(
        inner=inner,
        state=None,
        key="start",
        failure=print,
        replace=print,
        late_body=lambda body, _start: body,
        cors=_core.CorsRules(
            resources=("/",),
            origins=(),
            methods=(),
            allow_headers=(),
            expose_headers=(),
            max_age=5,
            credentials=False,
        ),
        audit_log=None,
        log=print,
        limit_fields=True,
        ietf_fields=True,
        metrics=None,
    )


def test_what_the_collector_clears_is_whole_for_others() -> None:
    """Records in cycles, which the collector breaks while threads read and set them."""
    shared: list[Any] = []

    def change(number: int) -> None:
        record = RequestRecord(None)
        record.outcome = [record]  # a cycle
        record.limits = (record,)
        shared[:] = [record]
        if number == 0:
            gc.collect()

    def use() -> None:
        for record in tuple(shared):
            assert record.reason is None or record.reason == "why"
            record.reason = fresh("why")
            record.counted = (record,)
            record.subject = Identity(TENANT, USER)
            assert record.limits is None or record.limits[0].state is None

    changing(change, use)


# --- what is closed or replaced -----------------------------------------------------------------


@pytest.mark.parametrize("where", ["memory", "redis"])
def test_a_limiter_that_is_closed_while_others_count_does_no_harm(where: str, prefix: str) -> None:
    limits, metrics = (limit(),), Metrics(prefix, shared=False)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(false_redis(allows)) if where == "redis" else ""
        used = [Limiter(prefix=prefix, redis_url=url, timeout_ms=2000, metrics=metrics)]

        def work(number: int) -> None:
            if number == 0:
                used[0].close()
                used[0] = Limiter(prefix=prefix, redis_url=url, timeout_ms=2000, metrics=metrics)
                return
            counter = used[0]
            assert isinstance(counter.hit(limits, None, f"192.0.2.{number}"), Decision)
            counter.reserve(limits, None, "192.0.2.9").give_back()
            assert counter.status()["store"] in {"memory", "redis"}

        all_at_once(work)
        used[0].close()


def test_permits_that_are_closed_while_others_take_them_do_no_harm(prefix: str) -> None:
    used = [Permits(prefix)]

    def work(number: int) -> None:
        if number == 0:
            used[0].close()
            used[0] = Permits(prefix)
            return
        with contextlib.suppress(OSError):  # it is closed
            permit = used[0].take(100, "changes", "address", None, f"192.0.2.{number}")
            if permit is not None:
                permit.release()

    all_at_once(work)
    used[0].close()


def test_a_client_that_is_closed_while_others_call_does_no_harm() -> None:
    with false_redis(allows) as url:
        client = RedisClient(url, timeout_ms=5000)

        def work(number: int) -> None:
            if number == 0:
                client.close()
                return
            with contextlib.suppress(ConnectionError):
                assert client.call("PING") == b"OK"

        all_at_once(work)
        assert client.call("PING") == b"OK"
        client.close()


def test_counters_that_stop_being_shared_while_others_count_do_no_harm(prefix: str) -> None:
    """A thread that has found the shared ones still counts in them; all others begin anew."""
    metrics = Metrics(prefix, app="changes")
    counter = Limiter(prefix="changes", shared=False, shm_bytes=2**18, metrics=metrics)
    path, limits, stops = metrics.status()["path"], (limit(),), itertools.count()

    def work(number: int) -> None:
        if number == 0 and next(stops) < 100:
            metrics.unshare()
            assert metrics.status()["path"] is None
        metrics.count(EVENTS, "created")
        counter.hit(limits, None, f"192.0.2.{number}")
        assert sum(value for _labels, value in metrics.read()[EVENTS]) >= 0

    try:
        all_at_once(work)
        metrics.unshare()
        assert sum(value for _labels, value in metrics.read()[EVENTS]) == 0
    finally:
        Path(path).unlink(missing_ok=True)


def test_revocations_that_are_closed_while_tokens_are_verified_deny(tmp_path: Path) -> None:
    """Before it is closed a table that nobody has filled denies as well: no token gets through."""
    roles = Roles(("user", "admin"))

    def made() -> tuple[Revocations, Keyring]:
        table = Revocations("changes", directory=str(tmp_path))
        return table, Keyring([Key.secret("HS256", SECRET)], roles=roles, revocations=table)

    used = [made()]
    token = token_of(used[0][1])
    reasons: set[str] = set()

    def work(number: int) -> None:
        table, keyring = used[0]
        if number == 0:
            table.close()
            used[0] = made()
            return
        judged = keyring.verify(fresh(token))
        assert isinstance(judged, InvalidToken)
        assert INVALID_TOKENS[judged.reason] is judged
        reasons.add(judged.reason)
        decoded = keyring.decode(token)
        assert isinstance(decoded, InvalidToken)

    all_at_once(work)
    assert reasons


@pytest.mark.parametrize("keys", [(), (bytes(range(64)),)], ids=["plain", "chain"])
def test_a_log_that_is_moved_while_others_write_has_only_whole_lines(
    keys: tuple[bytes, ...], tmp_path: Path
) -> None:
    path, moves = tmp_path / "log", itertools.count()
    log = AuditLog(str(path), keys)

    def work(number: int) -> None:
        if number == 0:
            with contextlib.suppress(FileNotFoundError):
                path.rename(tmp_path / f"log.{next(moves) % 50}")
            log.reopen()
        log.write("GET", fresh("/é"), 200, Identity(TENANT, USER), "::1", fresh("x"), None)
        assert log.lost >= 0

    all_at_once(work)
    lines = [
        json.loads(line)
        for file in tmp_path.iterdir()
        if file.suffix != ".head"
        for line in file.read_text("utf-8").splitlines()
    ]
    assert lines
    assert all(isinstance(line, dict) for line in lines)
