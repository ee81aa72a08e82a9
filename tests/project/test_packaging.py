"""What is published: the source distribution builds, and the build says what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from paths import ROOT


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, made from a copy so that nothing is left behind here."""
    tree = tmp_path_factory.mktemp("tree")
    made = shutil.ignore_patterns("*.so", "__pycache__")
    for name in ("csrc", "flask_tenant_auth", "scripts"):
        shutil.copytree(ROOT / name, tree / name, ignore=made)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    dist = tmp_path_factory.mktemp("dist")
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(dist)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    (path,) = dist.glob("*.tar.gz")
    return path


def test_the_sdist_has_every_file_of_the_build(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        str(path.relative_to(ROOT))
        for path in ROOT.glob("csrc/**/*.*")
        if path.suffix in (".c", ".h", ".lua")
    }
    assert sources
    assert sources <= names
    assert {
        "setup.py",
        "scripts/embed_lua.py",
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "csrc/README.md",
    } <= names


def test_the_sdist_builds_a_wheel_that_works_on_its_own(sdist: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", tmp_path, sdist],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    python = {str(path.relative_to(ROOT)) for path in ROOT.glob("flask_tenant_auth/**/*.py*")}
    assert {"flask_tenant_auth/__init__.py", "flask_tenant_auth/_core.pyi"} <= python
    assert {name for name in python if "__pycache__" not in name} <= set(names)
    assert "flask_tenant_auth/py.typed" in names
    # Redis runs it for sessions; the script for limits is in the core.
    session_lua = {name for name in names if name.endswith(".lua")}
    assert session_lua == {"flask_tenant_auth/sessions/lua/sessions.lua"}
    assert not [name for name in names if name.endswith((".c", ".h")) or "test" in name.split("/")]
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import flask_tenant_auth, flask_tenant_auth._core as core\n"
        "assert flask_tenant_auth.is_valid_uuid('550e8400-e29b-41d4-a716-446655440000')\n"
        "print(flask_tenant_auth.__file__, core.__file__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert all(path.startswith(str(tmp_path / "site")) for path in ran.stdout.split())


def setup_says(pkg_config: Path | str) -> str:
    """Run setup.py with another pkg-config; it must refuse, and this is how."""
    ran = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=ROOT,
        env={**os.environ, "PKG_CONFIG": str(pkg_config)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    return ran.stderr


def a_pkg_config(tmp_path: Path, script: str) -> Path:
    path = tmp_path / "pkg-config"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_setup_names_the_packages_of_every_missing_library(tmp_path: Path) -> None:
    lacks_two = a_pkg_config(tmp_path, 'case "$*" in *openssl*) exit 0;; esac; exit 1')
    assert setup_says(lacks_two) == (
        "flask_tenant_auth: pkg-config does not find libjwt 1.10 or later, "
        "hiredis 0.14 or later.\n"
        "  Debian, Ubuntu:  apt-get install libjwt-dev libhiredis-dev\n"
        "  Homebrew:        brew install libjwt hiredis\n"
    )


def test_setup_rejects_a_libjwt_with_the_other_interface(tmp_path: Path) -> None:
    has_libjwt_3 = a_pkg_config(
        tmp_path,
        'case "$*" in *modversion*) echo 3.2.1;; *atleast-version=2.0*libjwt*) exit 0;; esac',
    )
    assert setup_says(has_libjwt_3).startswith(
        "flask_tenant_auth: libjwt 3.2.1 is too new: version 2.0 changed the interface"
    )


def test_setup_names_the_package_of_pkg_config(tmp_path: Path) -> None:
    said = setup_says(tmp_path / "pkg-config")
    assert "pkg-config is missing." in said
    assert "apt-get install pkg-config" in said
