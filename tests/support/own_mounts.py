"""Commands that run with rights that an ordinary user may not have: as root, or with own mounts."""

from __future__ import annotations

import shutil
import subprocess

import pytest

SUDO = ("sudo", "-n", "--preserve-env")
# Each the first words of a command that runs the others as root: of all users, or of a range.
ROOTS = (SUDO, ("unshare", "--user", "--map-root-user", "--map-auto"))
# Each the first words of a command that runs the others where they may mount something.
MOUNTS = (("unshare", "-m"), ("unshare", "-Ur", "-m"), (*SUDO, "unshare", "-m"))


def first_that_works(prefixes: tuple[tuple[str, ...], ...], *command: str) -> tuple[str, ...]:
    """The prefix with which this system runs a command; a skip, which fails on Linux, if none."""
    for prefix in prefixes:
        if shutil.which(prefix[0]) is not None:
            done = subprocess.run([*prefix, *command], check=False, capture_output=True)
            if done.returncode == 0:
                return prefix
    tried = ", ".join(" ".join(prefix) for prefix in prefixes)
    pytest.skip(
        f"this user may not do what the test needs, with none of: {tried}. Run it as root, or set "
        "up sudo without a password, or the package uidmap with a range in /etc/subuid"
    )


def mounting() -> tuple[str, ...]:
    """The first words of a command that has a /dev/shm of its own to mount."""
    return first_that_works(MOUNTS, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/dev/shm")


def mounted(size: str) -> str:
    """A line of the shell that mounts an empty /dev/shm."""
    return f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
