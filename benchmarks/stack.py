"""The time that each stack adds to a request of a bare Flask app, as WSGI calls.

Each contestant runs in a process of its own: the background threads of one would slow another down.
Beside them stand floors: what a request of the bare app takes more if it also writes one line with
the standard library's logging, or sends one EVALSHA to Redis through a bare socket. No stack that
does either can add less.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.servers import Redis

from . import apps
from .harness import ON_CPU, WALL, Call, Plan, Samples, in_other_process, interleave
from .report import FLOORS
from .result import Figure, Row, Subject, Table

LINE_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
LOGGING, EVALSHA = "standard logging alone", "one bare EVALSHA alone"
BOTH, SINK = f"{LOGGING}, and {EVALSHA}", "flask_tenant_auth, AUDIT_SINK=audit_log"
SCRIPT = "return redis.call('INCR', KEYS[1])"
NAMES = {each.name: each for each in (apps.BARE, *apps.STACKS)}


def log_to(name: str, path: str) -> logging.Logger:
    """Set a logger to INFO, with a file of its own."""
    logger = logging.getLogger(name)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(LINE_FORMAT))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger


def request_of(
    name: str, store: str, path: str | None, config: Mapping[str, str]
) -> dict[str, Call]:
    """Return one request of a stack, to be timed in this process.

    :param path: the file of its INFO lines; None: there are none.
    """
    stack = NAMES[name]
    logging.getLogger().addHandler(logging.NullHandler())
    if path is not None and stack.logger:
        log_to(stack.logger, path)
    return {"request": apps.wsgi_call(stack.make(store, **config), apps.headers_for(stack))}


def floor_of(store: str, path: str | None) -> dict[str, Call]:
    """Return one request of the bare app that also writes a line, or sends a command, or both."""
    request = request_of(apps.BARE.name, "", None, {})["request"]
    more: list[Callable[[], object]] = []
    if store:
        more.append(evalsha(store))
    if path is not None:
        fields = ("GET", apps.PATH, apps.USER, apps.TENANT, "user", "192.0.2.7")
        logger = log_to("bench_floor", path)
        more.append(
            functools.partial(logger.info, apps.AUDIT_LINE, *fields, apps.HEADERS["User-Agent"])
        )

    def call() -> object:
        for each in more:
            each()
        return request()

    return {"request": call}


def evalsha(store: str) -> Callable[[], bytes]:
    """Return one EVALSHA: a command that is made already, and the first octets of its reply."""
    url = urlsplit(store)
    connection = socket.create_connection((url.hostname, url.port or 6379))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def encoded(*words: str) -> bytes:
        parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        return f"*{len(words)}\r\n{parts}".encode()

    connection.sendall(encoded("SCRIPT", "LOAD", SCRIPT))
    sha = connection.recv(128).decode().split("\r\n")[1]
    command = encoded("EVALSHA", sha, "1", f"bench-floor-{apps.USER}")
    send, receive = connection.sendall, connection.recv

    def call() -> bytes:
        send(command)
        return receive(128)

    if not call().startswith(b":"):
        raise AssertionError("the script did not run")
    return call


Made = Callable[[], Mapping[str, Call]]


def added(made: Mapping[str, Made], plan: Plan, clock: Callable[[], float]) -> dict[str, Samples]:
    """Return the microseconds that each adds to the bare app. "bare" is what that takes itself."""
    makes = {"bare": functools.partial(request_of, apps.BARE.name, "", None, {}), **made}
    with contextlib.ExitStack() as stop:
        calls = {
            name: stop.enter_context(in_other_process(make))["request"]
            for name, make in makes.items()
        }
        timed = interleave(calls, plan, clock)
    bare = timed.pop("bare")
    return {"bare": bare} | {name: each.minus(bare) for name, each in timed.items()}


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def of_stacks(store: str, folder: Path | None) -> dict[str, Made]:
    """Return how each stack is made; with a folder each writes its INFO lines there."""
    return {
        stack.name: functools.partial(
            request_of,
            stack.name,
            store,
            None if folder is None else str(folder / f"{stack.name}.log"),
            {},
        )
        for stack in apps.STACKS
    }


def best_peer(timed: dict[str, Samples]) -> Samples:
    return min((timed[peer.name] for peer in apps.PEERS), key=lambda each: each.median)


def rows(timed: dict[str, Samples]) -> tuple[Row, ...]:
    return tuple(Row.of(stack.title, timed[stack.name]) for stack in apps.STACKS)


def ratio(timed: dict[str, Samples]) -> float:
    return best_peer(timed).median / timed["ours"].median


def run(plan: Plan) -> Subject:
    with Redis() as server, tempfile.TemporaryDirectory() as name:
        for number, stack in enumerate(apps.STACKS, 1):
            apps.check_that_it_works(stack)
            apps.check_that_it_works(stack, f"{server.url[:-1]}{number}")
        folder, url = Path(name), server.url
        line, audit = str(folder / "floor.log"), {"AUDIT_LOG": str(folder / "audit.jsonl")}
        with_sink = audit | {"AUDIT_SINK": "audit_log"}
        sink_log = folder / "sink.log"
        more = {
            LOGGING: functools.partial(floor_of, "", line),
            SINK: functools.partial(request_of, "ours", "", str(sink_log), with_sink),
        }
        file = functools.partial(request_of, "ours", "", None, audit)
        quiet = added(of_stacks("", None) | {"file": file}, plan, ON_CPU)
        logged = added(of_stacks("", folder) | more, plan, ON_CPU)
        floor = functools.partial(floor_of, url, None)
        redis = added(of_stacks(url, None) | {EVALSHA: floor}, plan, WALL)
        floor = functools.partial(floor_of, url, line)
        redis_logged = added(of_stacks(url, folder) | {BOTH: floor}, plan, WALL)
        for stack in apps.STACKS:
            if not lines_in(folder / f"{stack.name}.log"):
                raise AssertionError(f"{stack.title} wrote no audit line")
        if not lines_in(folder / "audit.jsonl") or lines_in(sink_log):
            raise AssertionError(
                "AUDIT_LOG has no line, or the logger has one in spite of AUDIT_SINK"
            )
        sink = quiet["file"].minus(quiet["ours"])
    floors = {
        LOGGING: logged[LOGGING],
        EVALSHA: redis[EVALSHA],
        BOTH: redis_logged[BOTH],
    }
    return Subject(
        "stack",
        "The whole request, as WSGI calls, each stack in a process of its own",
        tables=(
            Table("Flask itself", "us", (Row.of("bare Flask", quiet["bare"]),)),
            Table("Added, in memory, no log line", "us", rows(quiet)),
            Table("Added, in memory, INFO line to a file", "us", rows(logged)),
            Table("Added, Redis, no log line", "us", rows(redis)),
            Table("Added, Redis, INFO line to a file", "us", rows(redis_logged)),
            Table.of(FLOORS, "us", floors),
            Table.of("Added, in memory, the line to AUDIT_LOG alone", "us", {SINK: logged[SINK]}),
            Table("Added by one line of AUDIT_LOG", "us", (Row.of("flask_tenant_auth", sink),)),
        ),
        figures=(
            Figure.at_most("ours, no log line", quiet["ours"].median, 8, "us"),
            Figure.no_less("best peer / ours, no log line", ratio(quiet), 25, "x"),
            Figure.no_less("best peer / ours, INFO to a file", ratio(logged), 8, "x"),
            Figure.no_less("best peer / ours, Redis, no log line", ratio(redis), 7, "x"),
            Figure.no_less("best peer / ours, Redis, INFO to a file", ratio(redis_logged), 5, "x"),
            Figure.at_most("one line of AUDIT_LOG", sink.median, 3, "us"),
        ),
    )
