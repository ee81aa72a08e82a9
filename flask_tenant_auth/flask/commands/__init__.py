"""``flask auth``: keys, tokens, what protects each route, and what is counted."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from importlib import import_module
from typing import Any

from click import Command, Context
from flask.cli import AppGroup

__all__ = ["auth_cli"]

# The module of each command, and its name there.
_COMMANDS = {
    "alerts": ("alerts", "alerts_cli"),
    "api-keys": ("api_keys", "api_keys_cli"),
    "audit": ("audit", "audit_cli"),
    "check": ("check", "check"),
    "create-token": ("tokens", "create_token"),
    "decode-token": ("tokens", "decode_token"),
    "generate-key": ("keys", "generate_key"),
    "limits": ("limits", "limits_cli"),
    "revoke": ("sessions", "revoke_cli"),
    "rls-check": ("isolation", "rls_check"),
    "rls-sql": ("isolation", "rls_sql"),
    "rotate-key": ("keys", "rotate_key"),
    "sessions": ("sessions", "sessions"),
    "top": ("top", "top"),
}


class _Commands(AppGroup):
    """Imports a command when somebody asks for it: a worker that serves needs none of them.

    A command prints and handles no error of that. Where the reader of its output has gone, the
    `BrokenPipeError` reaches click, which ends the process with status 1 and without a word.
    """

    def invoke(self, ctx: Context) -> Any:
        """Run a command, also where the caller has closed its output: Python has None there."""
        with ExitStack() as stack:
            if sys.stdout is None or sys.stderr is None:
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
                if sys.stdout is None:
                    stack.enter_context(redirect_stdout(nowhere))
                if sys.stderr is None:
                    stack.enter_context(redirect_stderr(nowhere))
            return super().invoke(ctx)

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *_COMMANDS})

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return a command; None where there is none of that name."""
        found = super().get_command(ctx, cmd_name)
        if found is None and cmd_name in _COMMANDS:
            module, name = _COMMANDS[cmd_name]
            command: Command = getattr(import_module(f".{module}", __package__), name)
            self.add_command(command, cmd_name)
            return command
        return found


auth_cli = _Commands("auth", help="Keys, tokens, protection and limits of this app.")
