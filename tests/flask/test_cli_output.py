"""Each command of `flask auth`, with an output that nobody reads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from apps import TENANT, USER, token
from flask_tenant_auth.flask.commands import auth_cli
from paths import SUPPORT

# Each command with arguments with which it prints; None for one that asks a server.
COMMANDS: dict[str, list[str] | None] = {
    "alerts key": [],
    "alerts list": [],
    "alerts test": None,
    "api-keys create": [TENANT, USER, "--role", "user", "--name", "x"],
    "api-keys list": [TENANT],
    "api-keys revoke": [TENANT, "x"],
    "audit": [],
    "audit erase": ["--tenant", TENANT, "--user", USER],
    "audit prune": ["--older-than", "90d"],
    "audit public-key": [],
    "audit sign": [],
    "audit verify": [],
    "check": [],
    "create-token": [TENANT, USER],
    "decode-token": [token()],
    "generate-key": [],
    "limits reset": ["--tenant", TENANT, "--user", USER],
    "limits show": ["--tenant", TENANT, "--user", USER],
    "limits status": [],
    "revoke everything": ["--yes"],
    "revoke session": [USER],
    "revoke tenant": [TENANT],
    "revoke token": [token()],
    "revoke user": [TENANT, USER],
    "rls-check": None,
    "rls-sql": [],
    "rotate-key": [],
    "sessions": [TENANT, USER],
    "top": [],
}
# These have nothing to print in an app that is new.
SILENT = {"api-keys revoke", "audit prune", "audit sign", "sessions"}


def names_of(command: click.Command, *above: str) -> Iterator[str]:
    """Yield the full name of each command below a group."""
    if not isinstance(command, click.Group):
        yield " ".join(above)
        return
    if command.invoke_without_command:
        yield " ".join(above)
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from names_of(below, *above, name)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of each command, by the way in which its output was given."""
    asked = {
        name: [*name.split(), *arguments]
        for name, arguments in COMMANDS.items()
        if arguments is not None
    }
    folder: Path = tmp_path_factory.mktemp("piped")
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "piped_commands.py"), str(folder)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    assert found.keys() == asked.keys()
    return found


def test_the_list_has_every_command() -> None:
    assert sorted(names_of(auth_cli)) == sorted(COMMANDS)


def test_each_command_prints_or_is_known_to_be_silent(outcomes: dict[str, Any]) -> None:
    silent = {name for name, of in outcomes.items() if not of["read_to_end"]["out"]}
    assert silent == SILENT
    failed = {name: of["read_to_end"] for name, of in outcomes.items() if name not in SILENT}
    assert {name: of for name, of in failed.items() if of["status"] != 0} == {}


@pytest.mark.parametrize("name", sorted(name for name in COMMANDS if COMMANDS[name] is not None))
def test_a_command_whose_output_nobody_reads_ends_without_a_traceback(
    outcomes: dict[str, Any], name: str
) -> None:
    read = outcomes[name]["read_to_end"]
    for way, done in outcomes[name].items():
        err = done["err"].lower()
        assert [word for word in ("traceback", "exception", "broken pipe") if word in err] == [], (
            way
        )
        printed = read["out"] if way == "piped" else read["out"] + read["err"]
        expected = {1} if way.endswith("piped") and printed else {read["status"]}
        if way == "both_piped" and not read["out"] and sys.version_info >= (3, 14):
            expected.add(120)  # where click could not print an error
        assert done["status"] in expected, way
