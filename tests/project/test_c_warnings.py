"""clang accepts each C file, with the warnings of the Makefile as errors; gcc builds them all."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from paths import ROOT

WARNINGS = re.findall(
    r"-W[a-z]+", re.findall(r"^C_FLAGS = .*", (ROOT / "Makefile").read_text(), re.M)[0]
)
FOLDERS = ("csrc", "fuzz", "tests")


def said_by_clang(*files: Path) -> str:
    libraries = ["pkg-config", "--cflags", "libjwt", "openssl", "hiredis", "lua5.1"]
    found = subprocess.run(libraries, check=True, capture_output=True, text=True).stdout.split()
    command = [
        *("clang", "-fsyntax-only", "-std=c11", "-D_GNU_SOURCE", "-Werror", *WARNINGS),
        *(f"-I{ROOT / folder}" for folder in ("csrc", "tests/c")),
        *(re.sub("^-I", "-isystem", flag) for flag in found),
        f"-isystem{sysconfig.get_path('include')}",
        *map(str, files),
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True).stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_clang_has_no_warning(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.c"))
    assert files
    assert said_by_clang(*files) == ""


@pytest.mark.parametrize(
    "source",
    [
        'const char *const texts[] = {"a", "b" "c", "d"};\n',
        'int negated(void) { return !"text"; }\n',
        "signed char narrow(int wide) { return wide; }\n",
        "int unused(int argument) { return 0; }\n",
        "int shadow(int a) { { int a = 1; return a; } return a; }\n",
    ],
)
def test_a_warning_is_an_error(tmp_path: Path, source: str) -> None:
    file = tmp_path / "warns.c"
    file.write_text(source)
    assert "[-Werror," in said_by_clang(file)
