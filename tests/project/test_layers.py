"""Which folder may include or import which: the tables in the READMEs of both layers hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
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
    """What a C file includes of ours, as paths below csrc, in quotes or in angle brackets."""
    found = re.findall(r'^\s*#\s*include\s*([<"])([^">]+)', path.read_text("utf-8"), re.MULTILINE)
    return [name for mark, name in found if mark == '"' or (CSRC / name).is_file()]


def test_a_file_includes_only_what_its_folder_may() -> None:
    allowed = allowed_includes()
    for path in CSRC.glob("**/*.[ch]"):
        for name in includes_of(path):
            assert (CSRC / name).is_file(), f"{path} includes {name}: no path below csrc"
            folder = str(path.parent.relative_to(CSRC))
            assert str(Path(name).parent) in allowed[folder], f"{path} includes {name}"


def test_only_one_file_of_the_limiter_names_the_stores() -> None:
    naming = {
        path.name
        for path in (CSRC / "limit").glob("*.[ch]")
        if any(str(Path(name).parent) in ("limit/shm", "limit/redis") for name in includes_of(path))
    }
    assert naming == {"stores.c"}


def test_no_file_but_its_own_and_the_list_names_a_strategy() -> None:
    """The default is the first of the list, and so is the strategy of a probe."""
    names = [path.stem for path in (CSRC / "limit" / "strategies").glob("*.c")]
    assert names
    named = re.compile(rf"\b({'|'.join(names)})\b|fta_strategy_({'|'.join(names)})\b")
    naming = {
        str(path.relative_to(CSRC))
        for path in CSRC.glob("**/*.[ch]")
        if named.search(path.read_text("utf-8")) and path.parent.name != "strategies"
    }
    assert naming == {"limit/strategy.h"}


def test_each_strategy_has_a_lua_file() -> None:
    names = {path.stem for path in (CSRC / "limit" / "strategies").glob("*.c")}
    lua = {path.stem for path in (CSRC / "limit" / "redis" / "lua").glob("*.lua")}
    assert lua == names | {"script"}


def test_no_headers_include_each_other() -> None:
    headers = {str(path.relative_to(CSRC)): includes_of(path) for path in CSRC.glob("**/*.h")}
    TopologicalSorter(headers).prepare()  # raises CycleError


def test_an_internal_header_is_included_only_where_its_first_line_says() -> None:
    internal = {}
    for header in CSRC.glob("**/*.h"):
        first = header.read_text("utf-8").partition("\n")[0]
        found = re.match(r"/\* May be included by csrc/(\S+) alone\.", first)
        if found:
            internal[str(header.relative_to(CSRC))] = found[1]
    assert internal
    for path in CSRC.glob("**/*.[ch]"):
        relative = path.relative_to(CSRC)
        for name in includes_of(path):
            pattern = internal.get(name, "**")
            may = pattern == "**" or relative.match(pattern) or str(relative.parent) == pattern
            assert may, f"{path} includes {name}"


def test_libjwt_is_reached_through_the_signers_alone() -> None:
    """So no token from outside reaches it."""
    including = [path for path in CSRC.glob("**/*.[ch]") if "<jwt.h>" in path.read_text("utf-8")]
    assert including == [CSRC / "token/libjwt.h"]


def test_only_the_binding_includes_python_h() -> None:
    included = re.compile(r"^#\s*include\s*[<\"]Python\.h", re.MULTILINE)
    knowing = {
        str(path.parent.relative_to(CSRC))
        for path in CSRC.glob("**/*.[ch]")
        if included.search(path.read_text("utf-8"))
    }
    assert knowing == {"binding"}


PACKAGE = ROOT / "flask_tenant_auth"
FOR_APPS = ("__init__.py", "testing.py", "pytest_plugin.py")


def allowed_imports() -> dict[str, tuple[set[str], bool]]:
    """The table of flask_tenant_auth/README.md: what a folder may import, and whether Flask."""
    table = (PACKAGE / "README.md").read_text("utf-8").partition("| folder | may import |")[2]
    folders = {str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.glob("**/*.py")}
    allowed = {}
    for row in table.partition("\n\n")[0].splitlines()[2:]:
        name, imported, knows_flask = row.strip("| ").split(" | ")
        listed = set(re.findall("`([^`]+)`", imported))
        everything = imported == "everything"
        allowed[name.strip("`")] = (folders if everything else listed, knows_flask == "yes")
    assert allowed.keys() == folders
    return allowed


def imports_of(path: Path, *, everywhere: bool = False) -> Iterator[str]:
    """Yield what a module imports: dotted names, ours from the root.

    It is what runs when the module is imported or, everywhere, what its functions import as well.
    What stands under TYPE_CHECKING never runs.
    """
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for statement in statements_of(ast.parse(path.read_text("utf-8")), everywhere):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = package.rsplit(".", statement.level - 1)[0] if statement.level else ""
            module = ".".join(filter(None, (base, statement.module)))
            for alias in statement.names:
                file = ROOT / f"{module}.{alias.name}".replace(".", "/")
                files = (file.with_suffix(".py"), file.with_suffix(".pyi"), file / "__init__.py")
                is_module = any(each.is_file() for each in files)
                yield f"{module}.{alias.name}" if is_module else module


def statements_of(node: ast.AST, everywhere: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        if everywhere or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements_of(child, everywhere)


def file_of(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_a_module_imports_only_what_its_folder_may() -> None:
    allowed = allowed_imports()
    for path in PACKAGE.glob("**/*.py"):
        if path.parent == PACKAGE and path.name in FOR_APPS:
            continue
        folders, knows_flask = allowed[str(path.parent.relative_to(PACKAGE))]
        for module in imports_of(path, everywhere=True):
            top = module.partition(".")[0]
            assert knows_flask or top != "flask", f"{path} imports {module}"
            if top == "flask_tenant_auth":
                file = file_of(module)
                assert file.parent != PACKAGE or file.name not in FOR_APPS, f"{path}: {module}"
                folder = file.parent.relative_to(PACKAGE)
                assert str(folder) in folders, f"{path} imports {module}"


def test_no_modules_import_each_other() -> None:
    modules = {
        path: [
            file_of(module)
            for module in imports_of(path)
            if module.startswith("flask_tenant_auth.") and file_of(module).is_file()
        ]
        for path in PACKAGE.glob("**/*.py")
    }
    TopologicalSorter(modules).prepare()  # raises CycleError


def test_modules_that_decide_import_no_module_that_imports_flask() -> None:
    allowed = allowed_imports()
    for folder, (imported, knows_flask) in allowed.items():
        if not knows_flask:
            assert not any(allowed[each][1] for each in imported), folder


def test_modules_that_decide_can_be_imported_without_flask() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in PACKAGE.glob("**/*.py")
        if not allowed_imports()[str(path.parent.relative_to(PACKAGE))][1]
        and path.name not in FOR_APPS
    ]
    assert len(modules) > 20
    # The package's own __init__ imports all of it for apps: an empty one stands for it.
    program = (
        "import importlib, sys, types\n"
        "sys.modules['flask'] = None\n"
        "package = types.ModuleType('flask_tenant_auth')\n"
        f"package.__path__ = [{str(PACKAGE)!r}]\n"
        "sys.modules['flask_tenant_auth'] = package\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def all_imports_of(path: Path) -> set[str]:
    """Return the modules that a Python file imports, anywhere in it."""
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
        for name in all_imports_of(path):
            assert not modules & set(name.split(".")), f"{path} imports {name}"


def test_pytest_finds_the_package_the_examples_and_support_and_no_folder_of_tests() -> None:
    configuration = (ROOT / "pyproject.toml").read_text("utf-8")
    [line] = re.findall(r"^pythonpath = (.*)$", configuration, re.MULTILINE)
    assert ast.literal_eval(line) == [".", "examples", "tests/support"]
