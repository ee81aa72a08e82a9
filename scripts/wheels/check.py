"""Checks that a wheel is fit to be published.

    check.py WHEEL...

Prints what is wrong with each wheel, and ends with 1 if something is. `make wheels` runs it on
each wheel that it makes. The machine code is read with readelf.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from libraries import ROOT, libraries

LARGEST = 700_000
# The oldest systems that have OpenSSL 3: RHEL 9, Ubuntu 22.04 and Debian 12; Alpine 3.17.
POLICIES = {"manylinux_2_34": "glibc", "musllinux_1_2": "musl"}
GLIBC = (2, 34)
NEEDED = re.compile(r"lib(ssl|crypto)\.so\.3|libc\.so\.6|libc\.musl-\w+\.so\.1|ld-[\w.-]+")
NAME = re.compile(r"flask_tenant_auth-[\w.]+-(cp3\d+)-(cp3\d+t?)-(\w+?)_(x86_64|aarch64)\.whl")


class Wheel(NamedTuple):
    """What the checks look at."""

    name: str
    size: int
    files: dict[str, bytes]
    read: dict[str, str]  # what readelf says of the core, by option

    @property
    def core(self) -> bytes:
        """The machine code."""
        return next((data for name, data in self.files.items() if name.endswith(".so")), b"")

    @property
    def info(self) -> dict[str, bytes]:
        """The files that describe the wheel."""
        inside = ((*name.partition(".dist-info/"), data) for name, data in self.files.items())
        return {rest: data for _, found, rest, data in inside if found}


def readelf(path: Path, option: str) -> str:
    """Return what readelf prints."""
    ran = subprocess.run(
        ["readelf", "--wide", option, path], capture_output=True, text=True, check=False
    )
    return ran.stdout


def opened(path: Path) -> Wheel:
    """Read a wheel."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    wheel = Wheel(path.name, path.stat().st_size, files, {})
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(wheel.core)
        file.flush()
        options = ("--dynamic", "--dyn-syms", "--segments", "--sections")
        read = {option: readelf(Path(file.name), option) for option in options}
    return wheel._replace(read=read)


# --- The checks: each yields what is wrong --------------------------------------------------------


def size(wheel: Wheel) -> Iterator[str]:
    """Find what should not be inside: a large wheel holds it."""
    if wheel.size > LARGEST:
        yield f"it has {wheel.size:,} octets, more than {LARGEST:,}"


def tags(wheel: Wheel) -> Iterator[str]:
    """Compare the names of the wheel and of the core with WHEEL: all are of one system."""
    named = NAME.fullmatch(wheel.name)
    if named is None or named[3] not in POLICIES:
        yield f"its name is not that of a wheel for one of {', '.join(POLICIES)}"
        return
    tag = wheel.name.removesuffix(".whl").split("-", 2)[2]
    said = re.findall(r"^Tag: (.*)$", wheel.info.get("WHEEL", b"").decode(), re.MULTILINE)
    if said != [tag]:
        yield f"its WHEEL says {said}, its name {tag}"
    # cp313t is cpython-313t in the name of an extension.
    expected = f"flask_tenant_auth/_core.{named[2].replace('cp', 'cpython-')}-{named[4]}-linux-"
    cores = [name for name in wheel.files if ".so" in name]
    if len(cores) != 1 or not cores[0].startswith(expected):
        yield f"it has {cores} instead of one {expected}*.so"


def digest(data: bytes) -> str:
    """Return the hash of a file as RECORD has it."""
    value = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return f"sha256={value.decode().rstrip('=')}"


def record(wheel: Wheel) -> Iterator[str]:
    """RECORD lists each file with its hash."""
    listed = {row[0]: row[1] for row in csv.reader(io.StringIO(wheel.info["RECORD"].decode()))}
    for name, data in wheel.files.items():
        if not name.endswith(("/RECORD", "/")) and listed.get(name) != digest(data):
            yield f"RECORD does not list {name} as it is"


def symbols(wheel: Wheel) -> Iterator[str]:
    """Nothing but the function that Python calls is to be found by another library."""
    rows = [row.split() for row in wheel.read["--dyn-syms"].splitlines()]
    shown = {row[7] for row in rows if len(row) > 7 and row[4] != "LOCAL" and row[6].isdigit()}
    if shown != {"PyInit__core"}:
        yield f"the core exports {sorted(shown)[:5]} instead of PyInit__core alone"


def needs(wheel: Wheel) -> Iterator[str]:
    """See that it needs the C library and OpenSSL 3 alone, as the oldest system has them."""
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", wheel.read["--dynamic"]):
        if not NEEDED.fullmatch(name):
            yield f"the core needs {name}"
    versions = re.findall(r"@GLIBC_([\d.]+)", wheel.read["--dyn-syms"])
    highest = max((tuple(map(int, one.split("."))) for one in versions), default=(0,))
    if highest > GLIBC:
        yield f"the core needs glibc {'.'.join(map(str, highest))}"
    for version in set(re.findall(r"@OPENSSL_([\d.]+)", wheel.read["--dyn-syms"])) - {"3.0.0"}:
        yield f"the core needs OpenSSL {version}"


def hardening(wheel: Wheel) -> Iterator[str]:
    """See that what scripts/hardening.txt asks for is there."""
    dynamic, imported = wheel.read["--dynamic"], wheel.read["--dyn-syms"]
    segments = wheel.read["--segments"]
    stack = re.search(r"GNU_STACK(?:\s+0x[0-9a-f]+){5}\s+([RWE ]+?)\s+0x", segments)
    if stack is None or "E" in stack[1]:
        yield "the stack may be executable"
    if "GNU_RELRO" not in segments or not re.search(r"FLAGS.*(BIND_NOW|NOW)", dynamic):
        yield "the core has no full RELRO"
    if "__stack_chk_fail" not in imported:
        yield "the core has no stack protector"
    # musl has no checked functions.
    if "-manylinux" in wheel.name and not re.search(r"__\w+_chk@", imported):
        yield "the core is built without _FORTIFY_SOURCE"
    if "(TEXTREL)" in dynamic:
        yield "the core has relocations in its code"


def leftovers(wheel: Wheel) -> Iterator[str]:
    """Neither debug information nor a directory of the machine that built it is inside."""
    if re.search(r"\.(symtab|debug_\w+)\b", wheel.read["--sections"]):
        yield "the core is not stripped"
    if re.search(r"\((RPATH|RUNPATH)\)", wheel.read["--dynamic"]):
        yield "the core has a directory for libraries"
    builder = {str(ROOT), str(Path.home()), tempfile.gettempdir(), sys.base_prefix} - {"/", "/usr"}
    for name, data in wheel.files.items():
        for directory in builder:
            if f"{directory}/".encode() in data:
                yield f"{name} names {directory}, a directory of this machine"


def papers(wheel: Wheel) -> Iterator[str]:
    """Compare the licences, METADATA and the bill of materials with libraries.txt."""
    expected = {"licenses/LICENSE"}
    expected |= {f"licenses/{one.name}/{one.licence_file}" for one in libraries()}
    for name in expected:
        if not wheel.info.get(name):
            yield f"it has no {name}"
    metadata = wheel.info.get("METADATA", b"").decode().partition("\n\n")[0]
    named = re.findall(r"^License-File: (.*)$", metadata, re.MULTILINE)
    if {f"licenses/{name}" for name in named} != expected:
        yield f"its METADATA names the licence files {named}, which are not all that are inside"
    licences = re.findall(r"^License-Expression: (.*)$", metadata, re.MULTILINE)
    if {*" AND ".join(licences).split(" AND ")} != {"MIT", *(one.licence for one in libraries())}:
        yield f"its METADATA has the licence {licences}, which is not that of all that is inside"
    bill = json.loads(wheel.info.get("sboms/flask_tenant_auth.cdx.json", b"{}"))
    listed = {(one["name"], one["version"]) for one in bill.get("components", [])}
    if listed != {(one.name, one.version) for one in libraries()}:
        yield f"its bill of materials lists {sorted(listed)}, which are not those of libraries.txt"


CHECKS: tuple[Callable[[Wheel], Iterator[str]], ...] = (
    *(size, tags, record, symbols, needs, hardening, leftovers, papers),
)


def problems(path: Path) -> list[str]:
    """Return all that is wrong with a wheel."""
    wheel = opened(path)
    return [problem for check in CHECKS for problem in check(wheel)]


def main() -> None:
    """Check the wheels that are named."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = 0
    for path in map(Path, sys.argv[1:]):
        wrong = problems(path)
        found += len(wrong)
        result = "".join(f"\n  {problem}" for problem in wrong) or " is fit to be published"
        print(f"{path.name} ({path.stat().st_size:,} octets){':' if wrong else ''}{result}")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
