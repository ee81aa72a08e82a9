"""Processes that end while threads use what owns a resource, in random schedules.

``python exits.py FOLDER SEED COUNT NAME...`` plays COUNT schedules of each of these objects, and
prints what became of each process. The processes are forks, which have imported everything; the
interpreter ends in each of them as in any other process. EXITS_REDIS and EXITS_POSTGRESQL are the
URLs of servers.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

from flask import Flask

from apps import TENANT, USER, bare_app, bearer
from flask_tenant_auth import (
    TenantAuth,
    concurrency_limit,
    create_session,
    public_route,
    rate_limit,
    verify_tenant_context,
)
from flask_tenant_auth._core import (
    AuditLog,
    Identity,
    KeyCache,
    Limit,
    Limiter,
    Metrics,
    Permits,
    Rate,
    RedisClient,
    Revocations,
)
from flask_tenant_auth.alerts.outbox import DeliveryError, Outbox
from flask_tenant_auth.ending import Ending
from flask_tenant_auth.sessions.store import StoreUnavailable
from flask_tenant_auth.sessions.stores import store_of

# A process that ends well does so in a second, and on a busy machine in a few.
PATIENCE_SECONDS = 60
AT_ONCE = 4
# What a process writes when all that is to end with it was told to.
ALL_ENDED = b"all has ended\n"
IDENTITY = Identity(TENANT, USER)
LIMITS = [Limit(Rate(10**6, 60), scope="exits")]


class Place(NamedTuple):
    """Where an object may keep something."""

    folder: Path
    # Which of the processes that run at once it is: later ones use its shared memory again.
    slot: int

    @property
    def redis_url(self) -> str:
        return os.environ["EXITS_REDIS"]


Use = Callable[[], object]


def closed_at_exit(owned: Any) -> Any:
    """What the package closes so: by an ending, at the latest when the process ends."""
    Ending(_owner, owned.close)
    return owned


class _Owner:
    """It lives as long as the process."""


_owner = _Owner()


def app_of(place: Place, **config: Any) -> Flask:
    """An app with all that owns something, and a view for each of it."""
    settings = {
        "TESTING": False,
        "FLASK_ENV": "development",
        "AUDIT_CHAIN": True,
        "AUDIT_LOG": str(place.folder / "audit.jsonl"),
        "AUTH_ALERTS": "1 failures per minute per address",
        "AUTH_CONSOLE_PERMISSION": "operate",
        "AUTH_CONSOLE_ROUTE": "/console",
        "AUTH_METRICS_PERMISSION": "operate",
        "AUTH_METRICS_ROUTE": "/metrics",
        "AUTH_SESSION_STORE": f"sqlite:///{place.folder}/sessions.db",
        "RATELIMIT_KEY_PREFIX": f"exits {place.slot}",
    }
    app = bare_app(**settings | config)
    TenantAuth(app)
    app.get("/me", endpoint="me")(verify_tenant_context(rate_limit("100000 per hour")(lambda: "")))
    app.get("/slow", endpoint="slow")(public_route(concurrency_limit(100)(lambda: "")))
    return app


def uses_of_app(app: Flask) -> Iterator[Use]:
    header = bearer(permissions=["operate"])
    for path, headers in (
        ("/me", header),
        ("/me", {"Authorization": "Bearer a.b.c"}),
        ("/slow", header),
        ("/metrics", header),
        ("/console", header),
    ):
        yield lambda path=path, headers=headers: app.test_client().get(path, headers=headers)

    def begin() -> None:
        with app.app_context():
            create_session(TENANT, USER)

    yield begin


def app_alone(place: Place) -> list[Use]:
    return [*uses_of_app(app_of(place))]


def app_with_redis(place: Place) -> list[Use]:
    redis = place.redis_url
    return [*uses_of_app(app_of(place, REDIS_URL=redis, RATELIMIT_LEASE=0.5))]


def app_with_sessions_in_redis(place: Place) -> list[Use]:
    return [*uses_of_app(app_of(place, AUTH_SESSION_STORE=place.redis_url))]


def app_with_silent_provider(place: Place) -> list[Use]:
    """Its keys are fetched from a server that never answers."""
    listening = socket.create_server(("127.0.0.1", 0))
    _sockets.append(listening)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/keys"
    app = app_of(place, JWT_JWKS=url)
    return [lambda: app.test_client().get("/me", headers=bearer()).close()]


_sockets: list[socket.socket] = []


def store_alone(setting: Callable[[Place], str]) -> Callable[[Place], list[Use]]:
    def uses(place: Place) -> list[Use]:
        store = store_of(setting(place), str(place.folder))
        return [store.now, lambda: store.changes("", 10), store.purge]

    return uses


def limiter(*, redis: bool = False, lease: float = 0) -> Callable[[Place], list[Use]]:
    def uses(place: Place) -> list[Use]:
        url = place.redis_url if redis else ""
        owned = closed_at_exit(Limiter(prefix=f"exits {place.slot}", redis_url=url, lease=lease))
        return [lambda: owned.hit(LIMITS, IDENTITY, "::1"), owned.status]

    return uses


def redis_client(place: Place) -> list[Use]:
    owned = closed_at_exit(RedisClient(place.redis_url))
    return [lambda: owned.call("PING"), lambda: owned.call("BLPOP", "exits none", 1, wait_ms=1000)]


def revocations(place: Place) -> list[Use]:
    owned = closed_at_exit(Revocations(f"exits {place.slot}", slots=16))
    ids = itertools.count()

    def add() -> None:
        owned.add("session", at=1, ends_at=2**50, id=str(next(ids)))

    return [add, owned.lead, owned.entries, lambda: owned.check(TENANT, USER, "s", "j", 1.5)]


def permits(place: Place) -> list[Use]:
    owned = closed_at_exit(Permits(f"exits {place.slot}"))
    return [lambda: owned.take(100, "s", "user", IDENTITY, "::1"), owned.status]


def metrics(place: Place) -> list[Use]:
    owned = Metrics(f"exits {place.slot}", console=True)
    return [owned.read, owned.last_hour, lambda: owned.count_limited(IDENTITY)]


def key_cache(place: Place) -> list[Use]:
    owned = KeyCache(f"exits {place.slot}", slots=4)
    name = "a" * 16
    return [
        lambda: owned.put(name, owned.begin(name), 1000, b"value"),
        lambda: owned.find(name),
        owned.clear,
    ]


def audit_log(*keys: bytes) -> Callable[[Place], list[Use]]:
    def uses(place: Place) -> list[Use]:
        owned = AuditLog(str(place.folder / "audit.log"), keys)
        written = ("GET", "/", 200, IDENTITY, "::1", "x", None)
        return [lambda: owned.write(*written), owned.reopen]

    return uses


def outbox(_: Place) -> list[Use]:
    """Alerts to a sink that takes each second one."""
    numbers = itertools.count()

    def send(_: Any) -> None:
        time.sleep(0.0005)
        if next(numbers) % 2:
            raise DeliveryError("it is away", final=True)

    class _Alert:
        def line(self) -> str:
            return "an alert"

    owned = Outbox("a sink", send)

    def put() -> None:
        time.sleep(0.01)
        owned.put(_Alert())  # type: ignore[arg-type]

    return [put]


OBJECTS: dict[str, Callable[[Place], list[Use]]] = {
    "app": app_alone,
    "app with Redis": app_with_redis,
    "app with sessions in Redis": app_with_sessions_in_redis,
    "app with a silent provider": app_with_silent_provider,
    "store in a file": store_alone(lambda place: f"sqlite:///{place.folder}/own.db"),
    "store in memory": store_alone(lambda _: "sqlite://"),
    "store in Redis": store_alone(lambda place: place.redis_url),
    "store in PostgreSQL": store_alone(lambda _: os.environ["EXITS_POSTGRESQL"]),
    "Limiter": limiter(),
    "Limiter with Redis": limiter(redis=True),
    "Limiter with leases": limiter(redis=True, lease=0.5),
    "RedisClient": redis_client,
    "Revocations": revocations,
    "Permits": permits,
    "Metrics": metrics,
    "KeyCache": key_cache,
    "AuditLog": audit_log(),
    "AuditLog of a chain": audit_log(bytes(range(64))),
    "Outbox": outbox,
}


def end_normally() -> int:
    return 0


def end_with_a_status() -> int:
    sys.exit(3)


def end_by_an_exception() -> int:
    raise RuntimeError("the end of this process")


ENDINGS = {end_normally: 0, end_with_a_status: 3, end_by_an_exception: 1}


def make_finalizers() -> None:
    """What the threads of any library may do, beside many finalizers that stay."""
    for _ in range(500):
        weakref.finalize(_owner, int)
    while True:
        weakref.finalize(_Owner(), int)


def live(name: str, place: Place, ending: Callable[[], int], chosen: random.Random) -> None:
    """Use an object in threads, and end."""
    sys.setswitchinterval(chosen.choice([1e-6, 1e-4, 5e-3]))
    # The oldest, so the last one: where it is called, all were.
    Ending(_owner, lambda: os.write(2, ALL_ENDED))
    uses = OBJECTS[name](place)
    threading.Thread(target=make_finalizers, daemon=True).start()
    begun = threading.Semaphore(0)
    staying = chosen.randrange(2)  # threads that the interpreter waits for

    def work(seed: int, most: int | None) -> None:
        order = random.Random(seed)
        for _ in itertools.repeat(None) if most is None else range(most):
            try:
                order.choice(uses)()
            except (ConnectionError, OSError, StoreUnavailable):
                pass
            except ValueError as error:
                # The process ends, and what this thread uses has ended before it.
                if str(error) != "it is closed":
                    raise
            begun.release()

    count = chosen.randint(1, 6) + staying
    for number in range(count):
        most = chosen.randrange(1, 20) if number < staying else None
        threading.Thread(target=work, args=[chosen.random(), most], daemon=most is None).start()
    for _ in range(chosen.randint(1, 3 * count)):
        if not begun.acquire(timeout=PATIENCE_SECONDS):
            raise AssertionError("no thread uses the object")
    time.sleep(chosen.choice([0, chosen.random() / 50]))
    ending()


class Process(NamedTuple):
    """One that was started."""

    name: str
    seed: int
    ending: Callable[[], int]
    pid: int
    error: IO[bytes]

    def outcome(self) -> dict[str, Any]:
        """Wait for its end. One that hangs is killed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        found, status = os.waitpid(self.pid, os.WNOHANG)
        while found == 0 and time.monotonic() < deadline:
            time.sleep(0.005)
            found, status = os.waitpid(self.pid, os.WNOHANG)
        hangs = found == 0
        if hangs:
            os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
        self.error.seek(0)
        return {
            "name": self.name,
            "seed": self.seed,
            "ending": self.ending.__name__,
            "hangs": hangs,
            "status": os.waitstatus_to_exitcode(status),
            "expected": ENDINGS[self.ending],
            "error": self.error.read().decode(errors="replace")[-4000:],
        }


def play(folder: Path, first: int, count: int, names: list[str]) -> None:
    """Play the schedules, some at once, and print what became of them."""
    outcomes: list[dict[str, Any]] = []
    todo = [(name, first + number) for number in range(count) for name in names]
    for start in range(0, len(todo), AT_ONCE):
        with ExitStack() as stack:
            running = []
            for slot, (name, seed) in enumerate(todo[start : start + AT_ONCE]):
                chosen = random.Random(f"{name} {seed}")
                ending = chosen.choice(list(ENDINGS))
                error = stack.enter_context(tempfile.TemporaryFile())
                place = Path(tempfile.mkdtemp(dir=folder))
                pid = os.fork()
                if pid == 0:
                    os.dup2(error.fileno(), 2)
                    live(name, Place(place, slot), ending, chosen)
                    return
                running.append(Process(name, seed, ending, pid, error))
            outcomes += [each.outcome() for each in running]
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # else each process looks at all modules again at its end
    play(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
