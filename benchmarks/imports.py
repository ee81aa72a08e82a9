"""The time to import each stack after Flask."""

from __future__ import annotations

import subprocess
import sys

from .harness import Plan, Samples
from .result import Subject, Table

SETS = {
    "flask_tenant_auth": "flask_tenant_auth",
    "PyJWT + Flask-Limiter + Flask-Cors": "jwt, flask_limiter, flask_cors",
    "Flask-JWT-Extended + Flask-Limiter + Flask-Cors": (
        "flask_jwt_extended, flask_limiter, flask_cors"
    ),
}
TIMED = """
import time, flask
start = time.perf_counter()
import {modules}
print((time.perf_counter() - start) * 1e3)
"""


def milliseconds(modules: str) -> float:
    command = [sys.executable, "-c", TIMED.format(modules=modules)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def run(plan: Plan) -> Subject:
    figures: dict[str, list[float]] = {name: [] for name in SETS}
    for modules in SETS.values():
        milliseconds(modules)  # fills the caches of the file system and of bytecode
    for _ in range(plan.processes):
        for name, modules in SETS.items():
            figures[name].append(milliseconds(modules))
    samples = {name: Samples(tuple(rounds)) for name, rounds in figures.items()}
    return Subject("imports", "Import time", (Table.of("Import, after Flask's", "ms", samples),))
