"""The instruction guard: fails if a request takes more instructions than recorded.

A busy machine does not change the number of instructions. valgrind's callgrind counts those of a
request of the bare app and of ours. The share that ours adds to the bare app's may be at most a
tenth above the share that instructions.json lists for these versions of Python, Flask and OpenSSL.
Versions that are not listed may be at most half above the largest share, because another
interpreter takes another number of instructions for the same code.

    python -m benchmarks.instructions            measure and compare
    python -m benchmarks.instructions --record   measure and list these versions
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.support.paths import ROOT

RECORD = ROOT / "benchmarks/instructions.json"
SWITCH = ROOT / "benchmarks/c/callgrind_switch.c"
TOLERANCE, TOLERANCE_OF_OTHERS = 0.10, 0.50


@dataclass(frozen=True)
class Counts:
    """Instructions of one request."""

    bare: float
    ours: float

    @property
    def share(self) -> float:
        """The instructions that ours adds, divided by those of the bare app."""
        return self.ours / self.bare - 1


def here() -> str:
    """Return the versions that change the number of instructions."""
    linked = subprocess.run(
        ["pkg-config", "--modversion", "openssl"], capture_output=True, text=True, check=True
    ).stdout
    versions = {
        "Python": platform.python_version(),
        "Flask": metadata.version("Flask"),
        "OpenSSL": linked,
    }
    return ", ".join(f"{name} {series(version)}" for name, version in versions.items())


def series(version: str) -> str:
    return ".".join(version.split(".")[:2])


def recorded() -> dict[str, float]:
    return dict(json.loads(RECORD.read_text()))


def most_allowed(where: str, known: dict[str, float]) -> float:
    if where in known:
        return known[where] * (1 + TOLERANCE)
    return max(known.values()) * (1 + TOLERANCE_OF_OTHERS)


def measure() -> dict[str, float]:
    """Return the instructions of a request for each app of counted.py, by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = folder / "switch.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SWITCH], check=True)
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        command += [f"--callgrind-out-file={folder}/counts", sys.executable]
        command += ["-m", "benchmarks.counted", str(library)]
        # A fixed hash seed gives sets the same order in every run. The limiter of counted.py is
        # private, so that other processes do not change its shared memory.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        shown = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        requests = int(shown.stdout)
        return dict(read_counts(path, requests) for path in folder.glob("counts.*"))


def read_counts(path: Path, requests: int) -> tuple[str, float]:
    """Read the label and the total of a file of callgrind."""
    text = path.read_text()
    label = re.search(r"^desc: Trigger: Client Request: (\S+)$", text, re.MULTILINE)
    total = re.search(r"^(?:totals|summary): (\d+)$", text, re.MULTILINE)
    if label is None or total is None:
        raise AssertionError(f"the file of callgrind cannot be read:\n{text[:500]}")
    return label[1], int(total[1]) / requests


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("--record", action="store_true", help="list these versions")
    asked = parser.parse_args()
    counted = measure()
    counts = Counts(counted["bare"], counted["ours"])
    print(f"bare {counts.bare:,.0f}, ours {counts.ours:,.0f}: ours adds {counts.share:.4f}")
    known = recorded() if RECORD.exists() else {}
    if asked.record:
        known[here()] = round(counts.share, 4)
        RECORD.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    elif counts.share > most_allowed(here(), known):
        sys.exit(f"{here()}: at most {most_allowed(here(), known):.4f} is allowed")


if __name__ == "__main__":
    main()
