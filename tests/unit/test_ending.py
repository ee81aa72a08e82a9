"""What ends with its owner ends once, also where threads make finalizers as the process ends."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from flask_tenant_auth.ending import Ending
from paths import ROOT


class Owner:
    """What an ending belongs to."""


def test_it_ends_with_its_owner_and_once() -> None:
    ended: list[str] = []
    owner = Owner()
    ending = Ending(owner, lambda: ended.append("freed"))
    assert ended == []
    del owner
    gc.collect()
    assert ended == ["freed"]
    ending()
    assert ended == ["freed"]


def test_it_ends_when_told_to_and_once() -> None:
    ended: list[str] = []
    owner = Owner()
    ending = Ending(owner, lambda: ended.append("told"))
    ending()
    del owner
    gc.collect()
    assert ended == ["told"]


def test_it_does_not_end_where_it_was_detached() -> None:
    ended: list[str] = []
    owner = Owner()
    ending = Ending(owner, lambda: ended.append("never"))
    ending.detach()
    ending()
    del owner
    gc.collect()
    assert ended == []


# At the end of the process another thread makes a finalizer, always at the worst moment: Python
# looks at the attribute `atexit` of each one then.
MEANWHILE = """
import weakref
from flask_tenant_auth.ending import Ending

class Owner: pass

class Meanwhile:
    @property
    def atexit(self):
        weakref.finalize(owner, print, "of another thread").atexit = False
        return True

owner = Owner()
"""
ENDS = """
def fails():
    raise LookupError("the second")

Ending(owner, lambda: print("the first"))
Ending(owner, fails)
Ending(owner, lambda: print("the third"))
Ending(owner, lambda: print("not at the exit"), at_exit=False)
"""
DISTURBED = "weakref.finalize._registry[object()] = Meanwhile()\n"
CONTROL = "weakref.finalize(owner, print, 'a finalizer')\n"


def ended(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MEANWHILE + script], capture_output=True, text=True, check=False
    )


def test_nothing_in_the_package_has_a_finalizer_of_its_own() -> None:
    for path in (ROOT / "flask_tenant_auth").rglob("*.py"):
        assert "finalize(" not in path.read_text("utf-8"), path


@pytest.mark.parametrize("disturbed", ["", DISTURBED], ids=["alone", "threads make finalizers"])
def test_all_end_with_the_process_the_newest_first(disturbed: str) -> None:
    ran = ended(ENDS + disturbed)
    assert ran.stdout.split("\n") == ["the third", "the first", ""]
    assert "LookupError: the second" in ran.stderr
    assert ran.returncode == 0


def test_a_finalizer_alone_would_not_end() -> None:
    assert ended(CONTROL).stdout == "a finalizer\n"
    ran = ended(CONTROL + DISTURBED)
    assert ran.stdout == ""
    assert "changed size during iteration" in ran.stderr
