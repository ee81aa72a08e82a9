"""Which folder may include which, and which module may import which."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

from paths import ROOT

CSRC = ROOT / "csrc"
TESTS = ROOT / "tests"


def allowed_includes() -> dict[str, set[str]]:
    """The table of csrc/README.md: a folder to the folders that it may include."""
    table = (CSRC / "README.md").read_text("utf-8").partition("| folder | may include |")[2]
    folders = {str(path.parent.relative_to(CSRC)) for path in CSRC.glob("**/*.[ch]")}
    allowed = {}
    for row in table.partition("\n\n")[0].splitlines()[2:]:
        names, included = row.strip("| ").split(" | ")
        for name in re.findall("`([^`]+)`", names):
            listed = set(re.findall("`([^`]+)`", included))
            allowed[name] = folders if included == "everything" else {name} | listed
    assert allowed.keys() == folders
    return allowed


def includes_of(path: Path) -> list[str]:
    """What a C file includes of ours, as paths below csrc."""
    return re.findall(r'^#\s*include "([^"]+)"', path.read_text("utf-8"), re.MULTILINE)


def test_a_file_includes_what_its_folder_may() -> None:
    allowed = allowed_includes()
    for path in CSRC.glob("**/*.[ch]"):
        for name in includes_of(path):
            assert (CSRC / name).is_file(), f"{path} includes {name}: no path below csrc"
            folder = str(path.parent.relative_to(CSRC))
            assert str(Path(name).parent) in allowed[folder], f"{path} includes {name}"


def test_no_headers_include_each_other() -> None:
    headers = {str(path.relative_to(CSRC)): includes_of(path) for path in CSRC.glob("**/*.h")}
    TopologicalSorter(headers).prepare()  # raises CycleError


def test_only_the_binding_knows_python() -> None:
    included = re.compile(r"^#\s*include\s*[<\"]Python\.h", re.MULTILINE)
    knowing = {
        str(path.parent.relative_to(CSRC))
        for path in CSRC.glob("**/*.[ch]")
        if included.search(path.read_text("utf-8"))
    }
    assert knowing == {"binding"}


def imports_of(path: Path) -> set[str]:
    """The modules that a Python file imports, anywhere in it."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            imported |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return imported


def test_what_tests_share_is_in_support_and_no_test_module_is_imported() -> None:
    modules = {path.stem for path in TESTS.rglob("test_*.py")}
    for path in [*TESTS.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        for name in imports_of(path):
            assert not modules & set(name.split(".")), f"{path} imports {name}"


def test_pytest_finds_the_package_the_examples_and_support_and_no_folder_of_tests() -> None:
    configuration = (ROOT / "pyproject.toml").read_text("utf-8")
    [line] = re.findall(r"^pythonpath = (.*)$", configuration, re.MULTILINE)
    assert ast.literal_eval(line) == [".", "examples", "tests/support"]
