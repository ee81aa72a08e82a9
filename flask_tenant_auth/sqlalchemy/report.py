"""What `flask auth check` says about isolation."""

from __future__ import annotations

import ast
import tokenize
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Directories with code of others.
FOREIGN = {"site-packages", "node_modules", "__pycache__"}


@dataclass(frozen=True)
class UnscopedUse:
    """A call of unscoped() in a source file."""

    path: Path
    line: int
    reason: str | None

    def __str__(self) -> str:
        reason = "with a reason that is computed" if self.reason is None else repr(self.reason)
        return f"{self.path}:{self.line}: unscoped: {reason}"


def unscoped_uses(root: Path) -> Iterator[UnscopedUse]:
    """Every call of unscoped() in the Python files below a directory.

    The source is read, not executed: a use that was never executed is found as well.
    """
    for path in sorted(source_files(root)):
        try:
            with tokenize.open(path) as file:
                source = file.read()
            # Python normalizes names so (PEP 3131). Most files lack the word, and parsing is slow.
            if "unscoped" not in unicodedata.normalize("NFKC", source):
                continue
            tree = ast.parse(source, str(path))
        except (SyntaxError, ValueError):  # ValueError: octets that are no text, or a NUL
            continue  # not a file that this Python could run
        yield from (UnscopedUse(path, line, reason) for line, reason in sorted(calls_in(tree)))


def source_files(root: Path) -> Iterator[Path]:
    """Return the Python files below a directory, but those of virtual environments and the like."""
    for entry in root.iterdir():
        if entry.is_dir():
            hidden = entry.name.startswith(".") or entry.name in FOREIGN
            if not hidden and not (entry / "pyvenv.cfg").exists() and not entry.is_symlink():
                yield from source_files(entry)
        elif entry.suffix == ".py" and entry.is_file():  # and no link to a file that is gone
            yield entry


def calls_in(tree: ast.AST) -> Iterator[tuple[int, str | None]]:
    """(line, reason) of every call of unscoped() in a module, under whatever name."""
    names = {"unscoped"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names.update(
                alias.asname for alias in node.names if alias.name == "unscoped" and alias.asname
            )
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
        if name in names:
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            first = given[0] if given else None
            constant = isinstance(first, ast.Constant) and isinstance(first.value, str)
            yield node.lineno, first.value if constant else None  # type: ignore[union-attr]
