"""Runs commands of `flask auth` with outputs that nobody reads, each in a process of its own.

``python piped_commands.py FOLDER``; reads {name: arguments} as JSON, and prints for each name and
way what became of the process. The processes are forks, which have imported everything.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click import Context
from flask import Flask
from flask.cli import ScriptInfo
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_tenant_auth import TenantAuth
from flask_tenant_auth.flask.commands import auth_cli
from flask_tenant_auth.sqlalchemy import TenantScoped


class Base(DeclarativeBase):
    pass


class Note(TenantScoped, Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)


def make_app(folder: Path) -> Flask:
    """An app in which each command finds something to print."""
    app = Flask("piped")
    app.config.update(
        FLASK_ENV="development",
        AUDIT_CHAIN=True,
        AUDIT_LOG=str(folder / "audit.jsonl"),
        AUTH_ALERTS="20 failures per 5 minutes per address",
        AUTH_CONSOLE_PERMISSION="console:open",
        AUTH_CONSOLE_ROUTE="/console",
        AUTH_SESSION_STORE=f"sqlite:///{folder}/sessions.db",
        JWT_SECRET_KEY="a secret of the tests that is long enough for HS512, being over 64 bytes",
        RATELIMIT_DEFAULT="5 per minute",
        RATELIMIT_SHM_BYTES=2**17,
        REDIS_URL="",
    )
    TenantAuth(app)
    return app


def without_reader() -> int:
    """The end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def run(app: Flask, arguments: list[str]) -> None:
    """Run a command as `flask` does, in this process."""
    app.cli.main(["auth", *arguments], prog_name="flask", obj=ScriptInfo(create_app=lambda: app))


def read_to_end(_: Callable[[], int]) -> None:
    """Both outputs are read."""


def closed(_: Callable[[], int]) -> None:
    """As `>&-`: Python has no sys.stdout then."""
    os.close(1)
    sys.stdout = None  # type: ignore[assignment]


def both_closed(pipe: Callable[[], int]) -> None:
    closed(pipe)
    os.close(2)
    sys.stderr = None  # type: ignore[assignment]


def piped(pipe: Callable[[], int]) -> None:
    """As `| head -n 1`, when head has ended."""
    os.dup2(pipe(), 1)


def both_piped(pipe: Callable[[], int]) -> None:
    """As `2>&1 | head -n 1`."""
    os.dup2(pipe(), 1)
    os.dup2(pipe(), 2)


WAYS = (read_to_end, closed, both_closed, piped, both_piped)


def outcome_of(app: Flask, arguments: list[str], way: Callable[..., None]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            way(without_reader)
            run(app, arguments)
            raise AssertionError("click ends the process")
        _, status = os.waitpid(child, 0)
        for file in (out, err):
            file.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(status),
            "out": out.read().decode(),
            "err": err.read().decode(),
        }


if __name__ == "__main__":
    the_app = make_app(Path(sys.argv[1]))
    for each in auth_cli.list_commands(Context(auth_cli)):
        auth_cli.get_command(Context(auth_cli), each)  # it is imported
    gc.collect()
    gc.freeze()  # else each process looks at all modules again at its end
    found = {}
    for name, arguments in json.load(sys.stdin).items():
        found[name] = {way.__name__: outcome_of(the_app, arguments, way) for way in WAYS}
    json.dump(found, sys.stdout)
    sys.stdout.flush()
