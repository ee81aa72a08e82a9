"""Compiles and runs the programs of c/, which measure the core without an interpreter.

The first argument of a program is the number of rounds. It prints lines "name<TAB>figure", one for
each name and round.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.paths import ROOT

from .harness import Plan, Samples

FLAGS = ("-std=c11", "-O2", "-D_GNU_SOURCE", f"-I{ROOT}/csrc")
LIBRARIES = ("libjwt", "openssl", "hiredis")


def pkg_config(what: str) -> list[str]:
    command = ["pkg-config", what, *LIBRARIES]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def core_sources(folder: Path) -> list[str]:
    """Return the C files of the core; the one that is generated is made in folder."""
    script = folder / "redis_script.c"
    subprocess.run([sys.executable, ROOT / "scripts/embed_lua.py", script], check=True)
    files = sorted((ROOT / "csrc").rglob("*.c"))
    return [str(path) for path in [*files, script] if path.parent.name != "binding"]


def compile_program(name: str, target: Path) -> None:
    core = core_sources(target.parent)
    source = str(ROOT / f"benchmarks/c/{name}.c")
    command = ["cc", *FLAGS, *pkg_config("--cflags"), "-o", str(target), source, *core]
    subprocess.run([*command, *pkg_config("--libs"), "-lpthread", "-lm"], check=True)


def run(name: str, plan: Plan, *arguments: str) -> dict[str, Samples]:
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / name
        compile_program(name, program)
        command = [str(program), str(plan.rounds), *arguments]
        shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in shown.splitlines():
        label, _, figure = line.partition("\t")
        figures.setdefault(label, []).append(float(figure))
    return {label: Samples(tuple(rounds)) for label, rounds in figures.items()}
