"""What runs beside a measurement."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.servers import Server

ROOT = Path(__file__).parent.parent


class Gunicorn(Server):
    """Serves an application of `benchmarks.apps` on the loopback interface."""

    def __init__(self, application: str, *options: str) -> None:
        super().__init__()
        self.application = application
        self.options = options

    def command(self) -> list[str]:
        """As in the base class."""
        return [
            *(sys.executable, "-m", "gunicorn", "--chdir", str(ROOT)),
            *("--bind", f"127.0.0.1:{self.port}", "--log-level", "error"),
            *(*self.options, f"benchmarks.apps:{self.application}"),
        ]
