"""What scripts/wheels/make.py builds wheels for."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from flask_tenant_auth import _core
from paths import ROOT

sys.path.insert(0, str(ROOT / "scripts/wheels"))
import make

sys.path.pop(0)


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


def test_a_wheel_whose_core_cannot_be_loaded_is_not_written(tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("flask_tenant_auth/_core.so", b"no library")
    with pytest.raises(SystemExit):
        make.load_core(make.Interpreter(sys.executable, ""), wheel)
    built = Path(_core.__file__)
    with zipfile.ZipFile(wheel, "w") as archive:  # a positive control
        archive.write(built, f"flask_tenant_auth/{built.name}")
    make.load_core(make.Interpreter(sys.executable, ""), wheel)
