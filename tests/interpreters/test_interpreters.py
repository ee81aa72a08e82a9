"""Two apps in one process of mod_wsgi and of uWSGI, each in an interpreter of its own."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import signal
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import flask_tenant_auth
from interpreter_apps import LIMIT, USER
from paths import SUPPORT
from servers import Redis, Server
from waiting import until

APPS = ("first", "second")
PATIENCE = 60
PACKAGE = Path(flask_tenant_auth.__file__).parents[1]
# What a server writes of a process that has crashed.
CRASH = re.compile(r"exit signal|Fatal Python error|Segmentation|killed by signal")


class TwoApps(Server):
    """A server whose processes have both apps."""

    processes = 2
    threads = 4

    def __init__(self, redis_url: str) -> None:
        super().__init__()
        # Apache's workers are of another user.
        self.directory.chmod(0o755)
        self.path = f"{SUPPORT}:{PACKAGE}:{sysconfig.get_path('purelib')}"
        written = self.directory / "written"
        written.mkdir()
        if self.worker_user():
            os.chown(written, pwd.getpwnam("www-data").pw_uid, -1)
        for name in APPS:
            options = {
                "prefix": str(self.directory),
                "redis_url": redis_url,
                "audit_log": str(written / f"{name}.jsonl"),
            }
            self.script(name).write_text(
                "from interpreter_apps import interpreter_app\n"
                f"application = interpreter_app({name!r}, **{options!r})\n"
            )

    def worker_user(self) -> bool:
        """Whether the workers are run by www-data."""
        return False

    def script(self, name: str) -> Path:
        return self.directory / f"{name}.py"

    def log(self) -> str:
        return (self.directory / "log").read_text("utf-8")

    def reload(self) -> None:
        """Have new processes in the place of the old ones."""
        raise NotImplementedError

    def ask(self, path: str, token: str = "", method: str = "GET") -> tuple[int, Any]:
        """Ask on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def begin(self, name: str) -> str:
        """The token of a new session."""
        status, answer = self.ask(f"/{name}/begin", method="POST")
        assert status == 200, answer
        return str(answer["access_token"])


class ModWsgi(TwoApps):
    """Apache with mod_wsgi in daemon mode."""

    def worker_user(self) -> bool:
        return os.geteuid() == 0

    def command(self) -> list[str]:
        modules = "/usr/lib/apache2/modules"
        known = Path(modules, "mod_wsgi.so").read_bytes()
        lines = [
            f"ServerRoot {self.directory}",
            f"PidFile {self.directory}/pid",
            f"ErrorLog {self.directory}/log",
            f"Listen 127.0.0.1:{self.port}",
            "ServerName localhost",
            f"LoadModule mpm_event_module {modules}/mod_mpm_event.so",
            f"LoadModule authz_core_module {modules}/mod_authz_core.so",
            f"LoadModule wsgi_module {modules}/mod_wsgi.so",
            *(["User www-data", "Group www-data"] if self.worker_user() else []),
            f"WSGISocketPrefix {self.directory}/socket",
            f"WSGIDaemonProcess both processes={self.processes} threads={self.threads} "
            f"python-path={self.path}",
            "WSGIProcessGroup both",
            "WSGIPassAuthorization On",
            # mod_wsgi 4.9.0 has no such line.
            *(["WSGIDestroyInterpreter Off"] if b"WSGIDestroyInterpreter" in known else []),
            *(f"WSGIScriptAlias /{n} {self.script(n)} application-group={n}" for n in APPS),
            "<Directory />",
            "Require all granted",
            "</Directory>",
        ]
        configuration = self.directory / "httpd.conf"
        configuration.write_text("\n".join(lines) + "\n")
        return ["apache2", "-f", str(configuration), "-DFOREGROUND"]

    def reload(self) -> None:
        """A script that is newer than the process ends it, when it is asked for."""
        for name in APPS:
            os.utime(self.script(name))


class Uwsgi(TwoApps):
    """uWSGI with two mounts."""

    def command(self) -> list[str]:
        lines = [
            "[uwsgi]",
            "plugin = python3",
            f"http-socket = 127.0.0.1:{self.port}",
            "master = true",
            f"processes = {self.processes}",
            f"threads = {self.threads}",
            *(f"pythonpath = {folder}" for folder in self.path.split(":")),
            *(f"mount = /{name}={self.script(name)}" for name in APPS),
            "manage-script-name = true",
            "need-app = true",
            "die-on-term = true",
            "skip-atexit-teardown = true",
            # A worker that is told to end while it loads an app may wait for ever: any app.
            "worker-reload-mercy = 5",
            *self.more,
        ]
        configuration = self.directory / "uwsgi.ini"
        configuration.write_text("\n".join(lines) + "\n")
        return ["uwsgi", "--ini", str(configuration)]

    more: tuple[str, ...] = ()

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)


class LazyUwsgi(Uwsgi):
    """The apps are loaded after the fork."""

    more = ("lazy-apps = true",)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with Redis() as running:
        yield running


@pytest.fixture(params=[ModWsgi, Uwsgi, LazyUwsgi])
def server(request: pytest.FixtureRequest, redis: Redis) -> Iterator[TwoApps]:
    made: Callable[[str], TwoApps] = request.param
    with made(redis.url) as running:
        yield running
        assert running.process is not None
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE) == 0
        assert CRASH.findall(running.log()) == []


@pytest.fixture(scope="module")
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_each_app_takes_its_own_tokens_and_only_those(
    server: TwoApps, clients: ThreadPoolExecutor
) -> None:
    tokens = {name: server.begin(name) for name in APPS}
    asked = [(name, of) for name in APPS for of in APPS] * 50
    answers = list(clients.map(lambda one: server.ask(f"/{one[0]}/who", tokens[one[1]]), asked))
    where: dict[str, set[tuple[int, int]]] = {name: set() for name in APPS}
    for (name, of), (status, answer) in zip(asked, answers, strict=True):
        assert status == (200 if name == of else 401), (name, of, answer)
        if status == 200:
            assert (answer["app"], answer["user"]) == (name, USER)
            where[name].add((answer["process"], answer["interpreter"]))
    # In the same processes, and never in the same interpreter.
    processes = [{process for process, _ in where[name]} for name in APPS]
    assert processes[0] & processes[1]
    assert not where["first"] & where["second"]


def test_the_counts_of_each_app_are_its_own_and_exact(
    server: TwoApps, clients: ThreadPoolExecutor
) -> None:
    asked = [name for _ in range(LIMIT + 50) for name in APPS]
    answers = clients.map(lambda name: (name, server.ask(f"/{name}/limited")[0]), asked)
    expected = {(name, 200): LIMIT for name in APPS} | {(name, 429): 50 for name in APPS}
    assert Counter(answers) == expected


def test_a_session_that_ends_in_one_app_goes_on_in_the_other(server: TwoApps) -> None:
    tokens = {name: server.begin(name) for name in APPS}
    assert server.ask("/first/end", tokens["first"], method="POST")[0] == 200
    # In the other process it ends a moment later.
    in_a_row = 0
    while in_a_row < 20:
        status, _ = server.ask("/first/who", tokens["first"])
        in_a_row = in_a_row + 1 if status == 401 else 0
    assert server.ask("/second/who", tokens["second"])[0] == 200


def test_a_reload_crashes_nothing_and_forgets_nothing(
    server: TwoApps, clients: ThreadPoolExecutor
) -> None:
    tokens = {name: server.begin(name) for name in APPS}
    counted = Counter(server.ask("/first/limited")[0] for _ in range(10))
    old = {process_of(server, tokens["first"]) for _ in range(40)}
    for _ in range(3):
        server.reload()
        # Requests are served meanwhile.
        asked = [name for _ in range(20) for name in APPS]
        answers = clients.map(lambda name: server.ask(f"/{name}/who", tokens[name])[0], asked)
        assert set(answers) == {200}
        until(lambda: process_of(server, tokens["first"]) not in old, "a new process")
        old.update(process_of(server, tokens["first"]) for _ in range(40))
        counted += Counter(server.ask("/first/limited")[0] for _ in range(10))
    counted += Counter(server.ask("/first/limited")[0] for _ in range(LIMIT))
    assert counted == {200: LIMIT, 429: 40}


def process_of(server: TwoApps, token: str) -> int:
    status, answer = server.ask("/first/who", token)
    assert status == 200, answer
    return int(answer["process"])


@pytest.mark.parametrize("kind", [ModWsgi, Uwsgi])
def test_a_crash_is_found_in_the_log(kind: type[TwoApps], redis: Redis) -> None:
    """A positive control."""
    with kind(redis.url) as server:
        os.kill(process_of(server, server.begin("first")), signal.SIGSEGV)
        until(lambda: CRASH.search(server.log()), "the crash in the log")
