"""Which folder may include which: the tables of csrc/README.md hold."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

from paths import ROOT

CSRC = ROOT / "csrc"


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


def test_only_the_binding_knows_python() -> None:
    included = re.compile(r"^#\s*include\s*[<\"]Python\.h", re.MULTILINE)
    knowing = {
        str(path.parent.relative_to(CSRC))
        for path in CSRC.glob("**/*.[ch]")
        if included.search(path.read_text("utf-8"))
    }
    assert knowing == {"binding"}
