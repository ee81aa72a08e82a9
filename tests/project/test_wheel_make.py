"""What scripts/wheels/make.py builds wheels for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from paths import ROOT


def said_of(command: Path) -> str:
    """How it ends when it is told to build for this command."""
    made = subprocess.run(
        [sys.executable, ROOT / "scripts/wheels/make.py", command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 1
    return made.stderr


def test_a_command_that_is_another_python_than_its_name_says_is_refused(tmp_path: Path) -> None:
    """3.14t installs a `python3.14`: both commands would build the same wheel."""
    command = tmp_path / "python3.9"
    command.symlink_to(sys.executable)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert said_of(command).startswith(f"make.py: {command} is CPython {version}")


def test_a_command_that_is_no_python_is_refused(tmp_path: Path) -> None:
    command = tmp_path / "python3.9"
    assert said_of(command).startswith(f"make.py: {command} is no CPython that is found")
