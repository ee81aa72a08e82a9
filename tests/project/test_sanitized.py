"""`make test` runs the tests of the core against a build with sanitizers: here is the control."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT

BUILD = os.environ.get("FTA_SANITIZED")  # set in that run alone

PREPARED = """
import threading, fta_faults as f
def shared():
    box = {"text": "".join(["ab"] * 200)}  # not a constant of this code
    threading.Timer(0.05, lambda: box.update(text="new")).start()
    return box
"""


def test_make_test_runs_the_core_under_sanitizers_before_the_tests_of_the_folders() -> None:
    done = subprocess.run(
        ["make", "-n", "test"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    runs = re.findall(r"run_sanitized|run_tests", done.stdout)
    assert runs == ["run_sanitized", "run_tests"]


if BUILD is not None:

    def run(program: str) -> subprocess.CompletedProcess[str]:
        """In a process of its own, which writes what the sanitizer says to its stderr."""
        environment = os.environ | {
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "halt_on_error=1",
        }
        return subprocess.run(
            [sys.executable, "-c", PREPARED + program],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )

    def test_the_package_under_test_is_the_build_with_sanitizers() -> None:
        import flask_tenant_auth
        from flask_tenant_auth import _core

        assert Path(_core.__file__).is_relative_to(BUILD)
        assert Path(flask_tenant_auth.__file__).is_relative_to(BUILD)
        symbols = subprocess.run(["nm", "-D", _core.__file__], check=True, capture_output=True)
        assert b"__asan_report_load" in symbols.stdout
        assert b"__ubsan_handle" in symbols.stdout

    @pytest.mark.parametrize(
        ("fault", "report"),
        [
            ("f.read_unheld(shared(), 'text')", "heap-use-after-free"),
            ("x = [bytes(999)]; f.use_item_after_call(x, x.clear)", "heap-use-after-free"),
            ("f.write_beyond(16)", "heap-buffer-overflow|insufficient space for an object"),
            ("f.overflow(2)", "signed integer overflow"),
        ],
    )
    def test_a_fault_is_found(fault: str, report: str) -> None:
        done = run(fault)
        assert done.returncode != 0
        assert re.search(report, done.stderr)

    @pytest.mark.parametrize(
        "right",
        [
            "assert f.read_held(shared(), 'text') == 39000",
            "y = bytes(999); x = [y]; assert f.use_item_after_call(x, x.clear) == 999",
            "f.write_beyond(15)",
            "f.overflow(1)",
        ],
    )
    def test_what_is_right_is_not(right: str) -> None:
        done = run(right)
        assert (done.returncode, done.stderr) == (0, "")
