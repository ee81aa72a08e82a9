"""Servers for the tests. Each has a free port and a directory that is removed at the end."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

START_SECONDS = 120
# Below those that the system gives to connections which go out, so none of these takes the port of
# a server that starts, or that a test has stopped. Browsers refuse some below 11000.
PORTS = range(11_000, 32_000)


def free_port() -> int:
    """A port on which nothing listens at the moment."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Whether a process accepts connections on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A child process that listens on self.port; a context manager, or start() and stop()."""

    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command that runs the server in the foreground."""
        raise NotImplementedError

    def user(self) -> str | None:
        """The user that it runs as, if that is another one."""
        return None

    def ready(self) -> bool:
        """Whether it serves."""
        return listens(self.port)

    def start(self) -> None:
        """Run the server and wait until it listens."""
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.directory,
                user=self.user(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(
                    f"the server did not start:\n{(self.directory / 'log').read_text()}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server; its data stay until close()."""
        if self.process is not None:
            if self.process.poll() is None:
                # A process that a test has stopped (SIGSTOP) does not handle the other signal.
                self.process.send_signal(signal.SIGCONT)
                self.process.send_signal(self.stop_signal)
            self.process.wait(START_SECONDS)
            self.process = None

    def close(self) -> None:
        """End the server and remove its data."""
        self.stop()
        shutil.rmtree(self.directory)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Redis(Server):
    """A Redis without persistence; further options may be given."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options = options
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """As in the base class."""
        here = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        return ["redis-server", *here, *self.options]

    def scripts_run(self) -> int:
        """How many scripts it has run: one for each round trip of a limiter."""
        from flask_tenant_auth._core import RedisClient

        client = RedisClient(self.url)
        try:
            stats = bytes(client.call("INFO", "commandstats")).decode()
        finally:
            client.close()
        return sum(map(int, re.findall(r"cmdstat_eval\w*:calls=(\d+)", stats)))


class Gunicorn(Server):
    """gunicorn with one application, "module:name"; each of its workers imports it by itself."""

    def __init__(
        self, application: str, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.application = application
        self.options = options
        self.environment = dict(environment or {})

    def command(self) -> list[str]:
        """As in the base class."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        bind = ["--bind", f"127.0.0.1:{self.port}"]
        gunicorn = [sys.executable, "-m", "gunicorn", *bind, *self.options, self.application]
        return ["env", *settings, *gunicorn]


@contextlib.contextmanager
def printing(
    command: list[str], *, patience: float, until: str = "Ctrl-C", **options: Any
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a program; the process, and what it printed up to a word. Afterwards it gets Ctrl-C.

    All its processes are killed where that takes longer than `patience` seconds in all.
    """
    options = {"stderr": subprocess.DEVNULL} | options
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    ) as process:
        watchdog = threading.Timer(patience, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            assert process.stdout is not None
            printed = ""
            while until not in printed:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            yield process, printed
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            process.wait(patience)
        finally:
            watchdog.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


class PostgreSQL(Server):
    """A PostgreSQL with one empty database and no durability."""

    stop_signal = signal.SIGINT  # its "fast" shutdown, which ends open sessions

    def __init__(self) -> None:
        super().__init__()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        if self.user() is not None:
            shutil.chown(self.directory, self.user())
        options = ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [self.program("initdb"), "-D", "data", "-U", "postgres", *options],
            cwd=self.directory,
            user=self.user(),
            check=True,
            capture_output=True,
        )

    @staticmethod
    def program(name: str) -> str:
        """Find a program: Debian has a directory for each version, outside of PATH."""
        versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
        newest = max(versions, key=lambda path: int(path.parts[4]), default=None)
        found = shutil.which(name) if newest is None else str(newest)
        if found is None:
            raise FileNotFoundError(
                f"{name} is missing; scripts/install_packages.sh test brings it"
            )
        return found

    def user(self) -> str | None:
        """PostgreSQL refuses to run as root; its Debian package has made a user for it."""
        if os.geteuid() != 0:
            return None
        return (
            "postgres" if any(user.pw_name == "postgres" for user in pwd.getpwall()) else "nobody"
        )

    def command(self) -> list[str]:
        """As in the base class."""
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.directory)]
        return [self.program("postgres"), "-D", "data", *options, "-c", "fsync=off"]

    def ready(self) -> bool:
        """Whether sessions can begin: connections are accepted a moment earlier."""
        asked = [self.program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0
