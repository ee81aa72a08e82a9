"""Runs the tests in several processes of pytest: one for each folder below tests.

    run_tests.py JOBS

At most JOBS of them run at once. Each has a Redis and a PostgreSQL of its own. What a process says
is printed whole when it has ended. The last line is the sum of the lines that all of them end with.
A process that fails, or that has no such line, fails the run. So does a folder without a test.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
# These take longest, so they begin first.
FIRST = ("flask", "unit", "project", "sqlalchemy", "redis")
# `make test-beside` and `make test-interpreters` run them, in environments of their own.
WITHOUT = {"beside", "interpreters"}
# The line that pytest ends with, with -q.
CLOSING = re.compile(r"\d+ [a-z]+(?:, \d+ [a-z]+)* in [\d.]+s(?: \([\d:]+\))?")
FAILED = {"failed", "error", "errors", "skipped"}


def folders() -> list[str]:
    """All folders with tests, those that take longest first."""
    names = {path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")} - WITHOUT
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else 99, name))


def run(folder: str) -> tuple[str, int, str]:
    """Run the tests of one folder; return its name, the exit code and all that was printed."""
    # A cache of its own: two processes would write into one file.
    options = ["-q", "-o", f"cache_dir=build/pytest/{folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"tests/{folder}"],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return folder, done.returncode, done.stdout.rstrip()


def counts_of(output: str) -> Counter[str] | None:
    """Return what the closing line counts; None where there is none."""
    # What is logged while the process ends stands behind it.
    lines = (line for line in reversed(output.splitlines()) if CLOSING.fullmatch(line.strip("= ")))
    last = next(lines, None)
    if last is None:
        return None
    return Counter({word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", last)})


def total(counts: Counter[str]) -> str:
    """One line that says what all processes have counted. A test that was skipped has failed."""
    failed = sum(counts[word] for word in FAILED)
    others = (f", {counts[word]} {word}" for word in sorted(counts.keys() - FAILED - {"passed"}))
    return f"{counts['passed']} passed, {failed} failed{''.join(others)}"


def main() -> int:
    """Run all folders."""
    began, counts, wrong = time.monotonic(), Counter[str](), []
    with ThreadPoolExecutor(int(sys.argv[1])) as pool:
        for future in as_completed([pool.submit(run, folder) for folder in folders()]):
            folder, code, output = future.result()
            print(f"--- tests/{folder}\n{output}", flush=True)
            counted = counts_of(output)
            if code != 0 or not counted or counted["passed"] == 0:
                wrong.append(f"tests/{folder} (exit code {code})")
            counts.update(counted or {})
    if wrong:
        print(f"--- failed: {', '.join(wrong)}")
    print(f"=== {total(counts)} in {time.monotonic() - began:.2f}s ===")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
