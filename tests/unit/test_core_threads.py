"""Four threads that call the core and mutate, meanwhile, what all of them pass in.

On an ordinary build this shows that nothing breaks outright; under AddressSanitizer, for which
`make test` runs this file too, that nothing is read after it was freed.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps import TENANT, USER, bearer, make_app, nested_payload
from flask_tenant_auth import verify_tenant_context
from flask_tenant_auth._core import (
    AuditLog,
    Decision,
    Identity,
    Key,
    Keyring,
    Limit,
    Limiter,
    Rate,
    Roles,
    hash_password,
    permission_number,
    verify_password,
)
from redis_server import false_redis

THREADS = 4
SECONDS = float(os.environ.get("FTA_THREAD_SECONDS", "1.5"))
# The example key of RFC 7515, appendix A.3.
EC_PAIR = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
}
TEXTS = ["GET", "/api/\u00e9", "192.0.2.7", "curl/8.5 (linux)", "x" * 300]


def fresh(text: str) -> str:
    """The same text in memory of its own, which is freed with the last reference."""
    return text[:1] + text[1:]


def together(*works: Callable[[random.Random], object]) -> int:
    """Run each work again and again in a thread of its own; how often all of them ran."""
    stop = threading.Event()
    counts = [0] * len(works)
    errors: list[BaseException] = []

    def run(index: int) -> None:
        numbers = random.Random(index)
        try:
            while not stop.is_set():
                works[index](numbers)
                counts[index] += 1
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    stop.wait(SECONDS)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert min(counts) > 0
    return sum(counts)


@pytest.fixture
def keyring() -> Keyring:
    return Keyring([Key.jwk(EC_PAIR)])  # slow enough to let others run


def test_tokens_that_another_thread_frees_do_no_harm(keyring: Keyring) -> None:
    payload = nested_payload()
    good = keyring.sign(payload)
    shared: dict[str, Any] = {}

    def replace(numbers: random.Random) -> None:
        shared["token"] = fresh(good)
        shared["octets"] = bytes(bytearray(good.encode()))
        shared["header"] = f"Bearer {good}"
        shared["payload"] = bytes(bytearray(payload))
        if numbers.random() < 0.1:
            shared.clear()

    def use(numbers: random.Random) -> None:
        for name, call in (
            ("token", keyring.verify),
            ("octets", keyring.verify),
            ("token", keyring.decode),
            ("header", keyring.authenticate),
        ):
            judged = call(shared.get(name, good))
            if name != "header" or "header" in shared:
                assert isinstance(judged, Identity | dict) or judged is None
        keyring.sign(shared.get("payload", payload))

    together(replace, use, use, replace)


def test_identities_that_threads_share_and_drop_do_no_harm() -> None:
    roles = Roles(("user", "admin"), grants=((), ("threads:*",)))
    numbers = [permission_number(f"threads:{n}") for n in range(40)]
    pair = Key.jwk(EC_PAIR)
    shared: dict[str, Any] = {}

    def new_keyring() -> Keyring:
        places = {"role": ("r", "role"), "user_id": ("/a/0", "user_id")}
        return Keyring([pair], roles=roles, places=places, on_default_role=hash)

    token = new_keyring().sign(nested_payload())

    def replace(numbers_used: random.Random) -> None:
        shared["identity"] = new_keyring().verify(fresh(token))
        if numbers_used.random() < 0.2:
            shared.clear()

    def use(numbers_used: random.Random) -> None:
        identity = shared.get("identity")
        if identity is None:
            return
        assert identity.claims["user_id"] == USER
        allowed = identity.permits(numbers_used.choice(numbers))
        assert allowed == (identity.role == "admin")
        assert identity.permissions >= identity.with_roles(roles).permissions
        assert pickle.loads(pickle.dumps(identity)) == identity

    together(replace, use, use, replace)


def delayed(peer: socket.socket) -> None:
    """A Redis that lets everybody in, a moment later."""
    while data := peer.recv(65536):
        time.sleep(0.0005)
        hits = int(data.split(b"\r\n")[6])
        peer.sendall(b"*%d\r\n" % (4 * hits) + b":1\r\n:7\r\n:0\r\n:0\r\n" * hits)


@pytest.mark.parametrize("with_redis", [False, True], ids=["memory", "redis"])
def test_lists_of_limits_that_change_during_counting_do_no_harm(with_redis: bool) -> None:
    limits: list[Limit] = []
    custom: list[str] = []
    box: dict[str, Any] = {}
    numbers_used = itertools.count()

    def change(numbers: random.Random) -> None:
        n = next(numbers_used)
        limit = Limit(Rate(1000000 + n % 7, 3600), scope=f"scope {n % 50}", per="custom")
        if len(limits) > 8 or numbers.random() < 0.2:
            limits.clear()
            custom.clear()
        limits.append(limit)
        custom.append(fresh(TEXTS[n % 5]))
        box["address"] = f"192.0.2.{n % 200}"
        box["identity"] = Identity(TENANT, USER)
        time.sleep(0)

    def run(url: str) -> None:
        counter = Limiter(
            prefix="threads", shared=False, shm_bytes=2**17, redis_url=url, timeout_ms=2000
        )

        def use(numbers: random.Random) -> None:
            call = (counter.hit, counter.peek, counter.hit)[numbers.randrange(3)]
            decision = call(limits, box.get("identity"), box.get("address", "192.0.2.1"), custom)
            assert isinstance(decision, Decision)

        try:
            together(change, use, use, use)
        finally:
            counter.close()

    if with_redis:
        with false_redis(delayed) as url:
            run(url)
    else:
        run("")


def test_texts_that_another_thread_frees_during_writing_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AuditLog(str(path))
    box: dict[str, Any] = {}

    def replace(numbers: random.Random) -> None:
        for name in ("method", "endpoint", "address", "agent"):
            box[name] = fresh(TEXTS[numbers.randrange(5)])
        box["identity"] = Identity(TENANT, USER)
        if numbers.random() < 0.05:
            log.reopen()
            path.unlink(missing_ok=True)

    def use(numbers: random.Random) -> None:
        log.write(
            box.get("method"),
            box.get("endpoint"),
            200,
            box.get("identity"),
            box.get("address"),
            box.get("agent"),
            None,
        )

    together(replace, use, use, replace)
    log.reopen()
    use(random.Random(0))
    for line in path.read_bytes().splitlines():
        written = json.loads(line)
        for name in ("method", "endpoint", "ip", "user_agent"):
            assert written[name] is None or written[name].replace("\ufffd", "\u00e9") in TEXTS


def test_an_environ_that_changes_during_a_request_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "log"
    app = make_app(
        AUDIT_LOG=str(path), CORS_ORIGINS="https://a.example", RATELIMIT_DEFAULT="1000000 per hour"
    )
    app.get("/api/x", endpoint="x")(verify_tenant_context(lambda: "in"))
    application = app.wsgi_app
    authorization = bearer()["Authorization"]
    environs: list[dict[str, Any]] = []

    def start(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        return lambda _: None

    def replace(numbers: random.Random) -> None:
        for environ in environs[-4:]:
            environ["HTTP_USER_AGENT"] = fresh(TEXTS[3])
            environ["REMOTE_ADDR"] = fresh("192.0.2.7")
            environ["PATH_INFO"] = fresh("/api/x")
            environ["HTTP_ORIGIN"] = fresh("https://a.example")
            environ["HTTP_AUTHORIZATION"] = fresh(authorization)
        time.sleep(0)

    def ask(numbers: random.Random) -> None:
        with app.test_request_context("/api/x") as context:
            environ = dict(context.request.environ)
        environ["HTTP_USER_AGENT"] = fresh(TEXTS[3])
        environ["HTTP_AUTHORIZATION"] = fresh(authorization)
        environs.append(environ)
        parts: Iterator[bytes] = application(environ, start)
        assert b"".join(parts) == b"in"
        parts.close()  # type: ignore[attr-defined]
        del environs[:-8]

    together(replace, ask, ask, replace)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert {line["user_agent"] for line in lines} <= {TEXTS[3], None}
    assert {line["status"] for line in lines} == {200}


def test_passwords_that_another_thread_frees_do_no_harm() -> None:
    stored = hash_password(b"password", 1000)
    box: dict[str, Any] = {}

    def replace(numbers: random.Random) -> None:
        box["password"] = bytes(bytearray(b"password"))
        box["stored"] = fresh(stored)
        time.sleep(0)

    def use(numbers: random.Random) -> None:
        assert verify_password(box.get("password", b"password"), box.get("stored", stored))
        hash_password(box.get("password", b"password"), 1000)

    together(replace, use, use, replace)
