"""Prints the lines and branches that the C tests cover and miss, by file, as gcov counts them.

Usage: coverage_summary.py DIRECTORY

DIRECTORY holds the *.gcno files. The environment variable GCOV names another gcov.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FileCoverage:
    """The coverage of one source file."""

    name: str
    lines: list[int]
    lines_missed: set[int]
    branches: int
    branches_missed: list[int]  # the line of each branch that was never taken


def read_coverage(directory: Path) -> Iterator[FileCoverage]:
    """Read the data of every .c file that was compiled into directory."""
    notes = sorted(directory.rglob("*.gcno"))
    if not notes:
        sys.exit(f"{directory} has no *.gcno file: nothing was compiled with --coverage")
    gcov = subprocess.run(
        [os.environ.get("GCOV", "gcov"), "--json-format", "--stdout", "--branch-probabilities"]
        + [str(path) for path in notes],
        capture_output=True,
        text=True,
        check=True,
    )
    for document in gcov.stdout.splitlines():
        for source in json.loads(document)["files"]:
            if source["file"].endswith(".c"):
                yield summarize(source)


def summarize(source: dict[str, Any]) -> FileCoverage:
    """Condense one file's record in gcov's JSON."""
    lines = source["lines"]
    branches = [(line["line_number"], b["count"]) for line in lines for b in line["branches"]]
    return FileCoverage(
        name=Path(source["file"]).name,
        lines=[line["line_number"] for line in lines],
        lines_missed={line["line_number"] for line in lines if line["count"] == 0},
        branches=len(branches),
        branches_missed=[number for number, count in branches if count == 0],
    )


def share(missed: int, of: int) -> str:
    """Return the covered part in per cent. A file without branches is covered completely."""
    return f"{100 * (of - missed) / of if of else 100:6.1f} %"


def row(name: str, lines: tuple[int, int], branches: tuple[int, int]) -> str:
    """Return one line of the table. lines and branches are (missed, all)."""
    return f"{name:<24}{lines[1]:>7}{share(*lines):>10}{branches[1]:>10}{share(*branches):>10}"


def ranges_missed(file: FileCoverage) -> Iterator[str]:
    """Name the missed lines. Lines with no covered line between them are "first-last"."""
    for missed, group in groupby(file.lines, key=file.lines_missed.__contains__):
        if missed:
            first, *more = group
            yield f"{first}-{more[-1]}" if more else str(first)


def main(directory: Path) -> None:
    """Print the table, then what was missed."""
    files = list(read_coverage(directory))
    print(f"{'the core':<24}{'lines':>7}{'covered':>10}{'branches':>10}{'covered':>10}")
    for file in files:
        print(
            row(
                file.name,
                (len(file.lines_missed), len(file.lines)),
                (len(file.branches_missed), file.branches),
            )
        )
    total_lines = (sum(len(f.lines_missed) for f in files), sum(len(f.lines) for f in files))
    total_branches = (sum(len(f.branches_missed) for f in files), sum(f.branches for f in files))
    print(row("all", total_lines, total_branches))
    for file in files:
        if file.lines_missed:
            print(f"{file.name}: lines never run: {', '.join(ranges_missed(file))}")
        only_branches = sorted(set(file.branches_missed) - file.lines_missed)
        if only_branches:
            print(f"{file.name}: branches never taken: {', '.join(map(str, only_branches))}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
