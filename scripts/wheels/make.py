"""Makes the source archive and a wheel for each Python, in dist.

    make.py [PYTHON...]

Without arguments: each Python that pyproject.toml declares and that is found, on PATH or with
pyenv. A build without the GIL is made when it is named. `make wheels` calls this with the tools
that it needs: pip, auditwheel, patchelf and CMake.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from check import POLICIES, problems
from libraries import ROOT, run

DIST = ROOT / "dist"
STATIC = ROOT / "build/wheels/static"
# They stay those of the system, and get its security fixes.
OF_THE_SYSTEM = ("libssl.so.3", "libcrypto.so.3")
TOOLS = Path(sys.executable).parent


def declared() -> list[str]:
    """Return the versions of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)


class Interpreter(NamedTuple):
    """A CPython that extensions can be built for."""

    path: str
    version: str  # as in 3.13, or 3.13t without the GIL


def interpreter(command: str) -> Interpreter | None:
    """Return what a command runs, if it is a CPython with its headers."""
    script = (
        "import os, platform, sys, sysconfig as s; print(sys.executable, '%d.%d' % sys.version_info"
        "[:2] + 't' * bool(s.get_config_var('Py_GIL_DISABLED')), platform.python_implementation(), "
        "os.path.isfile(s.get_path('include') + '/Python.h'))"
    )
    try:
        ran = subprocess.run([command, "-c", script], capture_output=True, text=True, check=False)
    except OSError:
        return None
    path, version, *rest = ran.stdout.split() or ["", ""]
    return Interpreter(path, version) if rest == ["CPython", "True"] else None


def found_interpreters() -> list[Interpreter]:
    """Return one of each declared version that this machine has, and say which it lacks."""
    found = []
    for version in declared():
        of_pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
        commands = [f"python{version}", *map(str, reversed(of_pyenv))]
        usable = (one for one in map(interpreter, commands) if one and one.version == version)
        python = next(usable, None)
        if python is None:
            print(f"Python {version} is not found, or has no headers: no wheel for it")
        else:
            found.append(python)
    return found


def named_interpreters(commands: list[str]) -> list[Interpreter]:
    """Return those that are named."""
    found = {command: interpreter(command) for command in commands}
    for command, python in found.items():
        if python is None:
            sys.exit(f"make.py: {command} is no CPython that is found with its headers")
        [said] = re.findall(r"^python(3\.\d+t?)$", Path(command).name) or [python.version]
        if said != python.version:
            sys.exit(f"make.py: {command} is CPython {python.version}")
    return [python for python in found.values() if python]


def policy() -> str:
    """Return the policy of this machine's C library, with the architecture."""
    try:
        libc = "glibc" if os.confstr("CS_GNU_LIBC_VERSION") else "musl"
    except ValueError:
        libc = "musl"
    [name] = [name for name, of in POLICIES.items() if of == libc]
    return f"{name}_{platform.machine()}"


def make_sdist() -> Path:
    """Make the source archive, from which the wheels are built."""
    build = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    run(sys.executable, "-c", build, cwd=ROOT)
    [path] = DIST.glob("*.tar.gz")
    return path


def make_wheel(python: Interpreter, sdist: Path) -> Path:
    """Build and repair a wheel, and check it."""
    environment = os.environ | {
        "FTA_STATIC": str(STATIC),
        # Python's own link command may name directories of the machine that built it.
        "LDSHARED": f"{os.environ.get('CC', 'cc')} -shared",
        "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
    }
    with tempfile.TemporaryDirectory() as directory:
        pip = (TOOLS / "pip", "-q", "--python", python.path, "wheel", "--no-deps")
        run(*pip, "--wheel-dir", directory, sdist, env=environment)
        [built] = Path(directory).glob("*.whl")
        excluded = (option for name in OF_THE_SYSTEM for option in ("--exclude", name))
        repair = ("repair", "--plat", policy(), "--only-plat", "--strip", *excluded)
        repaired = Path(directory, "repaired")
        run(TOOLS / "auditwheel", *repair, "--wheel-dir", repaired, built, env=environment)
        [wheel] = repaired.glob("*.whl")
        # Deflate as small as it can be, by Zopfli. The files stay the same, so RECORD is right.
        run("advzip", "--recompress", "--shrink-insane", wheel)
        wrong = problems(wheel)
        if wrong:
            sys.exit("\n  ".join([f"{wheel.name} is not fit to be published:", *wrong]))
        load_core(python, wheel)
        return Path(shutil.copy(wheel, DIST))


def load_core(python: Interpreter, wheel: Path) -> None:
    """Let the Python that a wheel is for load its core. Flask is not needed for that."""
    script = (
        "import sys; from importlib.machinery import ExtensionFileLoader as Loader; "
        "from importlib.util import module_from_spec, spec_from_loader as spec_of; "
        "loader = Loader('_core', sys.argv[1]); core = module_from_spec(spec_of('_core', loader)); "
        "loader.exec_module(core); core.Key.secret('HS256', bytes(range(64)))"
    )
    with tempfile.TemporaryDirectory() as directory, zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".so")]
        run(python.path, "-I", "-W", "error", "-c", script, archive.extract(name, directory))


def main() -> None:
    """Make all of them."""
    pythons = named_interpreters(sys.argv[1:]) or found_interpreters()
    if not pythons:
        sys.exit(f"make.py: none of Python {', '.join(declared())} is found with its headers")
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    sdist = make_sdist()
    for python in pythons:
        wheel = make_wheel(python, sdist)
        print(f"{wheel.name}  {wheel.stat().st_size:,} octets", flush=True)


if __name__ == "__main__":
    main()
