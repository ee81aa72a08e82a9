"""``flask auth top``: the console in a terminal."""

from __future__ import annotations

import shutil
import sys
import time

import click
from flask import current_app
from flask.cli import with_appcontext

from ...console.terminal import lines_of
from ...errors import ConfigurationError
from ..console_facts import Reporter
from ..state import state_of

_SECONDS = 2.0
# ECMA-48: the cursor to the first column of the first line; erase to the end of the line, and to
# the end of the screen. So nothing flickers, and nothing of before stays.
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[2J"


@click.command("top")
@click.option("--once", is_flag=True, help="Print once and end, as where there is no terminal.")
@with_appcontext
def top(once: bool) -> None:
    """Show the last hour, and the state of Redis, keys and routes, every two seconds until Ctrl-C.

    It reads the memory that the workers of this host share, as the user of the service. It is what
    the page at AUTH_CONSOLE_ROUTE shows, without the sessions of users.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        reporter = Reporter(app, state_of(app), lasting=False)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    unicode = _shows_blocks()
    if once or not sys.stdout.isatty():
        click.echo("\n".join(map(_writable, lines_of(reporter.facts(), unicode=unicode))))
        return
    sys.stdout.write(_CLEAR)
    try:
        while True:
            _draw(lines_of(reporter.facts(), unicode=unicode))
            time.sleep(_SECONDS)
    except KeyboardInterrupt:
        sys.stdout.write("\n")


def _draw(lines: list[str]) -> None:
    """Write lines over those of before. What a terminal has no room for is left out."""
    size = shutil.get_terminal_size()
    room = max(size.lines - 1, 2)
    shown = lines if len(lines) <= room else [*lines[: room - 1], "... see more in a higher window"]
    sys.stdout.write(
        _HOME + "".join(f"{_writable(line)[: size.columns]}{_REST_OF_LINE}\n" for line in shown)
    )
    sys.stdout.write(_REST_OF_SCREEN)
    sys.stdout.flush()


def _writable(line: str) -> str:
    """Return a line with a question mark for each character that the output cannot have."""
    encoding = sys.stdout.encoding or "ascii"
    return line.encode(encoding, "replace").decode(encoding)


def _shows_blocks() -> bool:
    """Whether what is written can have block characters."""
    return "?" not in _writable("▁█")
