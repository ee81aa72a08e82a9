"""Describes the machine and the versions of a run."""

from __future__ import annotations

import os
import platform
import re
import ssl
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "flask-tenant-auth",
    "Flask",
    "Werkzeug",
    "PyJWT",
    "cryptography",
    "Flask-JWT-Extended",
    "Flask-Limiter",
    "limits",
    "Flask-Cors",
    "redis",
    "hiredis",
    "gunicorn",
    "SQLAlchemy",
)
PROGRAMS = {
    "redis-server": ("redis-server", "--version"),
    "wrk": ("wrk", "-v"),
    "compiler": ("cc", "--version"),
    "libjwt": ("pkg-config", "--modversion", "libjwt"),
    "hiredis (C)": ("pkg-config", "--modversion", "hiredis"),
}


def processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if found:
            return found.group(1)
    return platform.processor() or platform.machine()


def version_of(*command: str) -> str:
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (shown.stdout or shown.stderr).splitlines() or ["?"]
    found = re.search(r"\d+(?:\.\d+)+", lines[0])
    return found.group(0) if found else lines[0].strip()


def describe() -> dict[str, dict[str, str]]:
    return {
        "machine": {
            "processor": processor(),
            "cores": str(os.cpu_count()),
            "system": f"{platform.system()} {platform.release().split('-')[0]}",
            "architecture": platform.machine(),
        },
        "versions": {
            "Python": platform.python_version(),
            "OpenSSL": ssl.OPENSSL_VERSION.split()[1],
            **{name: metadata.version(name) for name in PACKAGES},
            **{name: version_of(*command) for name, command in PROGRAMS.items()},
        },
    }
