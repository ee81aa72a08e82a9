"""Bare roots of Debian and Ubuntu, as scripts/make_root.sh makes them, and commands run in them.

FTA_SUITES="bookworm trixie" chooses suites; FTA_CACHE keeps downloads elsewhere than below build/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from pages import blocks_of
from paths import ROOT

SUITES = os.environ.get("FTA_SUITES", "bookworm trixie noble jammy").split()
CACHE = Path(os.environ.get("FTA_CACHE", ROOT / "build")) / "roots"
CHECKOUT = "/checkout"
USER = "dev"
PATIENCE = 1800


def commands_of(page: Path, heading: str) -> list[str]:
    """The commands of the console blocks below a heading, in their order."""
    text = page.read_text("utf-8")
    before, found, rest = text.partition(f"\n## {heading}\n")
    assert found, heading
    first = before.count("\n")
    last = first + 1 + rest.partition("\n## ")[0].count("\n")
    return [
        line.removeprefix("$ ")
        for block in blocks_of(page)
        if block.language == "console" and first < block.line <= last
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]


class Root:
    """A root directory, and the user in it who types the commands."""

    def __init__(self, suite: str, directory: Path, user: str) -> None:
        self.suite, self.directory, self.user = suite, directory, user

    def command(self, *arguments: str, **environment: str) -> list[str]:
        pip = CACHE / f"pip-{self.user}"
        options = [
            *("--bind", f"{pip}:/var/cache/pip", "--set", "PIP_CACHE_DIR=/var/cache/pip"),
            *("--user", self.user, "--in", CHECKOUT),
        ]
        for name, value in environment.items():
            options += ["--set", f"{name}={value}"]
        return [str(ROOT / "scripts/run_in_root.sh"), *options, str(self.directory), *arguments]

    def remove(self) -> None:
        """Remove the directory. What apt has downloaded is kept for the next root."""
        archives = self.directory / "var/cache/apt/archives"
        keep = [ROOT / "scripts/keep_packages.sh", archives, CACHE / f"{self.suite}-debs"]
        subprocess.run(keep, check=True)
        shutil.rmtree(self.directory)

    def run(self, script: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        root = self if user is None else Root(self.suite, self.directory, user)
        return subprocess.run(
            root.command("bash", "-c", script),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def succeeds(self, script: str, user: str | None = None) -> str:
        ran = self.run(f"set -e\n{script}", user)
        assert ran.returncode == 0, f"{script}\n{ran.stdout}"
        return ran.stdout


def made_root(suite: str, directory: Path, user: str, *packages: str) -> Root:
    subprocess.run([ROOT / "scripts/make_root.sh", suite, directory, *packages], check=True)
    root = Root(suite, directory, user)
    for name in ("root", USER):
        (CACHE / f"pip-{name}").mkdir(parents=True, exist_ok=True)
    # Its own question is all that apt may ask.
    configuration = directory / "etc/apt/apt.conf.d/99tests"
    configuration.write_text(
        'APT::Get::Assume-Yes "true";\nAPT::Keep-Downloaded-Packages "true";\n'
    )
    (directory / CHECKOUT[1:]).mkdir()
    root.succeeds("apt-get -qq update", "root")
    if user != "root":
        root.succeeds(f"useradd --create-home --shell /bin/bash {user}", "root")
        if "sudo" in packages:
            allowed = f"{user} ALL=(ALL) NOPASSWD: ALL"
            root.succeeds(f"echo '{allowed}' > /etc/sudoers.d/{user}", "root")
        uid = int(root.succeeds(f"id -u {user}", "root"))
        os.chown(CACHE / f"pip-{user}", uid, uid)  # pip uses no cache of another user
    copied = [ROOT / "scripts/run_in_root.sh", "--checkout", CHECKOUT, "--user", user]
    subprocess.run([*copied, directory, "true"], check=True)
    return root


def directory_of(name: str) -> Path:
    directory = ROOT / "build" / f"bare-{name}"
    shutil.rmtree(directory, ignore_errors=True)
    return directory
