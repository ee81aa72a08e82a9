"""`flask auth top`: what the console shows, in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask

from apps import OTHER_TENANT, TENANT, USER, bearer, make_app
from console_apps import app_of_views, ask
from flask_tenant_auth.console.terminal import COLUMNS

PATIENCE = 60
ROWS = 70
PROGRAM = """
from console_apps import shared_app
app = shared_app({prefix!r})
"""


class Service:
    """An app of this process, and commands of other processes of this host for it."""

    def __init__(self, folder: Path) -> None:
        prefix = f"top {uuid4()}"
        self.app: Flask = app_of_views(
            TESTING=False,
            FLASK_ENV="development",
            RATELIMIT_KEY_PREFIX=prefix,
            AUTH_CONSOLE_ROUTE="/console",
            AUTH_CONSOLE_PERMISSION="console:open",
        )
        (folder / "service.py").write_text(PROGRAM.format(prefix=prefix))
        support = Path(__file__).parents[1] / "support"
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), str(support)]),
            "PYTHONUTF8": "1",
            "TERM": "xterm",
        }
        self.environment.pop("COLUMNS", None)
        self.environment.pop("LINES", None)

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "flask", "--app", "service", "auth", "top", *options]

    def printed(self, *options: str, encoding: str = "utf-8", **environment: str) -> str:
        done = subprocess.run(
            self.command(*options),
            env=self.environment | environment,
            capture_output=True,
            text=True,
            encoding=encoding,
            timeout=PATIENCE,
            check=True,
        )
        return done.stdout


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def hold_lines(text: str) -> None:
    for line in text.splitlines():
        assert len(line) <= COLUMNS, line
        assert line.isprintable(), line


def test_it_prints_once_what_the_workers_of_this_host_have_counted(service: Service) -> None:
    assert ask(service.app, "/once", 4, headers=bearer()) == [200, 429, 429, 429]
    assert ask(service.app, "/once", 2, headers=bearer(OTHER_TENANT)) == [200, 429]
    assert ask(service.app, "/me", 2) == [401, 401]
    for options in (("--once",), ()):  # no terminal: once
        text = service.printed(*options)
        hold_lines(text)
        assert "Requests of the last hour: 8\n" in text
        assert "  allowed 2  denied 2  limited 4  failed 0\n" in text
        assert re.search(r"^ +4  rate_limit_exceeded$", text, re.MULTILINE)
        assert re.search(rf"^ +3  {USER}\n +of tenant {TENANT}$", text, re.MULTILINE)
        assert re.search(rf"^ +1  {OTHER_TENANT}$", text, re.MULTILINE)
        assert "Redis: not used" in text
        assert "HS256  JWT_SECRET_KEY  signs and verifies" in text
        assert "/me  [authenticated]" in text
        assert "█" in text


def test_a_terminal_without_unicode_gets_other_signs(service: Service) -> None:
    ask(service.app, "/me", 1)
    text = service.printed(PYTHONUTF8="0", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert text.isascii()
    assert "@" in text


def test_what_the_encoding_of_the_output_lacks_is_a_question_mark(
    service: Service, tmp_path: Path
) -> None:
    program = tmp_path / "service.py"
    program.write_text(program.read_text() + 'app.get("/\u4e2d\u6587/\xe9")(lambda: "in")\n')
    latin = service.printed(encoding="iso-8859-1", PYTHONUTF8="0", PYTHONIOENCODING="iso-8859-1")
    assert "/??/\xe9" in latin
    assert "/\u4e2d\u6587/\xe9" in service.printed()


class Terminal:
    """A command in a terminal of its own."""

    def __init__(
        self, command: list[str], environment: dict[str, str], columns: int = COLUMNS
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        # Tests that run in the background of a shell ignore this signal, and so would the command.
        command = ["env", "--default-signal=INT", *command]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment
        )
        os.close(slave)
        self.written = ""
        self._octets = b""

    def wait_for(self, holds: Callable[[str], bool]) -> None:
        """Read until this holds of all that was written."""
        deadline = time.monotonic() + PATIENCE
        while not holds(self.written):
            assert time.monotonic() < deadline, self.written
            if select.select([self._master], [], [], 1)[0]:
                self._octets += os.read(self._master, 65536)
                self.written = self._octets.decode("utf-8", "replace")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(service: Service) -> Iterator[Terminal]:
    terminal = Terminal(service.command(), service.environment)
    yield terminal
    terminal.close()


def test_a_terminal_is_drawn_anew_until_ctrl_c(service: Service, terminal: Terminal) -> None:
    terminal.wait_for(lambda text: text.count("\x1b[H") >= 2 and "last hour: 0" in text)
    ask(service.app, "/me", 3)
    terminal.wait_for(lambda text: "last hour: 3" in text and text.endswith("\x1b[J"))
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(PATIENCE) == 0
    assert "Traceback" not in terminal.written
    for screen in terminal.written.split("\x1b[H")[1:]:
        shown = re.sub(r"\x1b\[[KJ]", "", screen)
        assert "\x1b" not in shown
        assert len(shown.splitlines()) < ROWS
        hold_lines(shown)


def test_a_narrow_terminal_gets_narrow_lines(service: Service) -> None:
    terminal = Terminal(service.command(), service.environment, columns=30)
    try:
        terminal.wait_for(lambda text: text.count("\x1b[H") >= 2)
    finally:
        terminal.close()
    shown = re.sub(r"\x1b\[[KJ]", "", terminal.written.split("\x1b[H")[1])
    assert max(map(len, shown.splitlines())) == 30


def test_without_a_console_it_says_what_to_set() -> None:
    result = make_app().test_cli_runner().invoke(args=["auth", "top"])
    assert result.exit_code == 1
    assert "AUTH_CONSOLE_ROUTE is not set" in result.output
