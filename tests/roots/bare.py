"""README's and the quickstart's lines in bare Debian and Ubuntu roots; `make test-roots` runs them.

No name of a file here begins with test_, so `make test` does not collect them: they take minutes,
need root, and download a few hundred packages. Each line is read from its page and run as it is
printed. apt answers its own question with yes, which is all that is added.

FTA_SUITES="bookworm trixie" chooses suites; FTA_CACHE keeps downloads elsewhere than below build/.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bare_roots import PATIENCE, SUITES, USER, Root, commands_of, directory_of, made_root
from pages import blocks_of
from paths import ROOT
from servers import free_port, listens, printing

README = ROOT / "README.md"
QUICKSTART = ROOT / "docs/quickstart.md"


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bare(suite: str) -> Iterator[Root]:
    """Nothing but apt and what it needs; the user is root and there is no sudo."""
    root = made_root(suite, directory_of(suite), "root")
    yield root
    root.remove()


@pytest.fixture(scope="module")
def with_sudo(suite: str) -> Iterator[Root]:
    """The same with a user who may use sudo."""
    root = made_root(suite, directory_of(f"{suite}-sudo"), USER, "sudo")
    yield root
    root.remove()


def test_the_build_says_all_that_is_missing_and_its_line_installs_it(
    suite: str, tmp_path: Path
) -> None:
    """With python3, pip and venv alone: no compiler, no headers, no pkg-config, no library."""
    root = made_root(suite, tmp_path / "root", "root", "python3", "python3-venv")
    build = "python3 -m venv /venv && /venv/bin/pip install ."
    refused = root.run(build)
    assert refused.returncode != 0
    said = refused.stdout
    assert "flask_tenant_auth cannot be built, this is missing:" in said
    for need in ("a C compiler", "Python.h", "pkg-config", "libjwt", "openssl", "hiredis"):
        assert re.search(rf"^\s+{re.escape(need)}\b", said, re.MULTILINE), said
    [line] = set(re.findall(r"apt-get install .*", said))
    # As few packages as apt installs for it.
    root.succeeds(line.replace("install", "install --no-install-recommends"))
    root.succeeds(build)
    root.succeeds("cd / && /venv/bin/python -c 'import flask_tenant_auth._core'")
    root.remove()


def test_the_quickstarts_lines_install_the_package_and_its_app_answers(
    suite: str, tmp_path: Path
) -> None:
    root = made_root(suite, tmp_path / "root", "root")
    lines = commands_of(QUICKSTART, "1. Install")
    assert any(line.startswith("apt-get install ") for line in lines)
    assert lines[-1] == "pip install ."
    app = next(block for block in blocks_of(README) if block.text.startswith("# app.py\n"))
    root.succeeds(f"mkdir /app && cat > /app/app.py <<'END'\n{app.text}\nEND")
    shown = commands_of(README, "The smallest app")
    assert any("create-token" in line for line in shown)
    # The last one, `flask auth check`, ends with 1: it has found the development key.
    app_lines = ["cd /app", "export REDIS_URL=", "set +e", *shown, "true"]
    printed = root.succeeds("\n".join([*lines, *app_lines]))
    assert re.search(r"^eyJ[\w.-]+$", printed, re.MULTILINE)
    assert "/api/accounts  [authenticated]  50 per minute per user" in printed
    root.remove()


def assert_make_run_serves(root: Root) -> None:
    """`make run` installs what is missing and serves; each curl line it prints is run in there."""
    port = free_port()
    command = root.command("make", "run", FLASK_PORT=str(port), PYTHONUNBUFFERED="1")
    with printing(command, patience=PATIENCE, stderr=subprocess.STDOUT) as (_, printed):
        assert "RuntimeWarning" not in printed
        assert listens(port)
        lines = re.findall(r"^# (\d{3}), .*\n(.+)$", printed, re.MULTILINE)
        assert {status for status, _ in lines} == {"200", "201", "400", "401", "403", "429"}
        for status, line in lines[:-1]:
            assert re.match(rf"HTTP/1\.1 {status} ", root.succeeds(line)), line
        assert root.succeeds(lines[-1][1]).split() == ["200"] * 50 + ["429"]
    assert not listens(port)


def readme_lines(root: Root) -> list[str]:
    """README's lines of the start: the installation of make, then the two commands."""
    *two, install = commands_of(README, "Start")
    assert two == ["make run", "make test"]
    assert shlex.split(install) == ["apt-get", "install", "make"]
    return [install if root.user == "root" else f"sudo {install}", *two]


def test_make_run_does_everything_for_root_without_sudo(bare: Root) -> None:
    root = bare
    assert root.run("command -v sudo || command -v python3 || command -v make").stdout == ""
    root.succeeds(readme_lines(root)[0])
    assert_make_run_serves(root)


def test_make_run_does_everything_for_a_user_with_sudo(with_sudo: Root) -> None:
    root = with_sudo
    root.succeeds(readme_lines(root)[0])
    assert_make_run_serves(root)
    assert root.succeeds("stat -c %U .venv") == f"{USER}\n"


def test_a_user_without_sudo_is_told_what_root_has_to_install(suite: str, tmp_path: Path) -> None:
    root = made_root(suite, tmp_path / "root", USER, "make")
    said = root.run("make run")
    assert said.returncode != 0
    assert "only root can install them:" in said.stdout
    [line] = re.findall(r"^ +(apt-get update && apt-get install .*)$", said.stdout, re.MULTILINE)
    root.succeeds(line, "root")
    assert "Making .venv" in root.succeeds("make build")
    root.remove()


def test_the_set_up_of_make_test_installs_all_that_the_tests_need(bare: Root) -> None:
    root = bare
    root.succeeds(readme_lines(root)[0])
    if root.suite in ("noble", "jammy"):
        # Ubuntu's Chromium is a snap, which a root without systemd cannot have. The set-up says it
        # after all else is installed; a command of that name stands for the snap from here on.
        said = root.run("make packages-test")
        assert said.returncode != 0
        assert "\n  snap install chromium\n" in said.stdout
        root.succeeds("ln -s /bin/false /usr/local/bin/chromium")
    root.succeeds("make packages-test build .venv/.group-test .venv/.group-lint")
    # All that was missing is there now: a second run has nothing to install.
    assert root.succeeds("scripts/install_packages.sh test") == ""
    if root.suite != "jammy":
        # Python 3.10 has SQLAlchemy 2.0, and mypy accepts the types of 2.1 alone.
        root.succeeds("make lint")
    few = "tests/unit/test_core_limiter.py tests/redis/test_redis_script.py"
    assert " passed" in root.succeeds(f".venv/bin/python -m pytest -q {few}")
