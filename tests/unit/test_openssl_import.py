"""The import of the core: what is loaded before it, and what is said where it cannot be loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import flask_tenant_auth
from flask_tenant_auth import _core

PACKAGE = Path(flask_tenant_auth.__file__).parent


def imported(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import flask_tenant_auth, sys\n{script}"]
    environment = {"PYTHONPATH": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_openssl_of_python_is_loaded_before_the_core() -> None:
    """The names of the modules stand in the order in which they were imported."""
    script = "print(*(m for m in sys.modules if m in ('_ssl', 'flask_tenant_auth._core')))"
    ran = imported(PACKAGE.parent, script)
    assert ran.stdout.split() == ["_ssl", "flask_tenant_auth._core"], ran.stderr


@pytest.mark.parametrize("library", ["libssl.so.3", "libcrypto.so.3", "libc.so.6"])
def test_the_import_says_what_to_install_where_openssl_is_missing(
    library: str, tmp_path: Path
) -> None:
    copy = tmp_path / "flask_tenant_auth"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    core = copy / Path(_core.__file__).name
    assert imported(tmp_path, "print(sys.modules['flask_tenant_auth'].__file__)").stdout == (
        f"{copy}/__init__.py\n"
    )
    # A name of the same length, which the dynamic linker does not find.
    absent = f"{library[:-1]}9"
    core.write_bytes(core.read_bytes().replace(library.encode(), absent.encode()))
    said = imported(tmp_path, "").stderr.splitlines()[-1]
    if library == "libc.so.6":
        assert said.startswith(f"ImportError: {absent}: "), "nothing else is called OpenSSL"
    else:
        assert said.startswith(
            f"ImportError: flask_tenant_auth needs OpenSSL 3, which this system lacks ({absent}: "
        )
        assert "apt-get install openssl;" in said
