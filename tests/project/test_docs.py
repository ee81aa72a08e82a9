"""Every code block of README.md and docs/*.md is run.

What a block is, its language says:

- ``python``: executed, in order, all blocks of a page in one namespace; a page's asserts are its
  tests. A block whose first line is a comment that names a file, ``# app.py``, is also written to
  that file for the console blocks below it.
- ``console``: lines that begin with ``$`` are commands, the lines below a command its output,
  ``...`` standing for anything. ``make`` targets are only resolved (``make -n``): the run you are
  reading this in is one of them.
- ``json``: parsed.
- ``redis``: run against a server by test_redis_rights.py.
- ``text``, ``sql``, ``ini``: not run: diagrams, tables, the output of other programs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from sqlalchemy import Engine
from test_token_rules import RULES

import flask_tenant_auth
from flask_tenant_auth.config.settings import KEYS, Settings
from paths import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
NOT_RUN = {"text", "sql", "ini", "redis"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# They need the network or change the environment that runs the tests; `make test` itself
# installs the package from this tree.
ONLY_READ = ("git clone", "cd ", "pip install")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    source = page.read_text("utf-8")
    return [
        Block(match[1], match[2], source.count("\n", 0, match.start(2)) + 1)
        for match in FENCE.finditer(source)
    ]


def run_python(block: Block, page: Path, namespace: dict[str, object], folder: Path) -> None:
    # Blank lines in front make a traceback show the page's own line numbers.
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec", dont_inherit=True)
    exec(code, namespace)
    named = re.match(r"# (\w+\.py)\n", block.text)
    if named:
        (folder / named[1]).write_text(block.text, "utf-8")


def matches(expected: str, printed: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def run_console(block: Block, folder: Path, environment: dict[str, str]) -> None:
    before, *entries = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert before == "", f"line {block.line}: a console block begins with '$ '"
    for entry in entries:
        command, _, expected = entry.partition("\n")
        if command.startswith(ONLY_READ):
            continue
        cwd = folder
        if command.startswith("make "):
            command, expected, cwd = command.replace("make ", "make -n ", 1), "", ROOT
        done = subprocess.run(
            command,
            shell=True,
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert matches(expected or "...", printed), (
            f"$ {command}\nprinted\n{printed}\ninstead of\n{expected}"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("FLASK_ENV", "development")
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    namespace: dict[str, object] = {"__name__": f"docs_{page.stem}"}
    for block in blocks_of(page):
        if block.language == "python":
            run_python(block, page, namespace, tmp_path)
        elif block.language == "console":
            run_console(block, tmp_path, environment)
        elif block.language == "json":
            json.loads(block.text)
        else:
            assert block.language in NOT_RUN, (
                f"{page.name}:{block.line}: nothing runs a block of language {block.language!r}"
            )
    for value in namespace.values():
        if isinstance(value, Engine):
            value.dispose()


def test_a_wrong_block_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nassert 1 == 2\n```\n", "utf-8")
    [block] = blocks_of(page)
    assert block == Block("python", "assert 1 == 2\n", 4)
    with pytest.raises(AssertionError):
        run_python(block, page, {}, tmp_path)
    with pytest.raises(AssertionError, match="instead of"):
        run_console(Block("console", "$ echo one\ntwo\n", 1), tmp_path, dict(os.environ))
    run_console(Block("console", "$ echo one\no...\n", 1), tmp_path, dict(os.environ))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_local_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_test_that_security_md_names_exists() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.(?:py|c))::(\w+)`", text)
    assert len(named) > 30
    for file, name in named:
        source = (ROOT / file).read_text("utf-8")
        assert re.search(rf"\b{name}\(", source), f"{file} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    files = [path for path in (ROOT / "tests").rglob("*") if path.suffix in (".py", ".c")]
    sources = "\n".join(path.read_text("utf-8") for path in files)
    for name in re.findall(r"`(?:[\w/]+\.\w+::)?(test_\w+|Test\w+)`", page.read_text("utf-8")):
        if not (ROOT / "tests" / f"{name}.py").exists():
            assert re.search(rf"\b{name}\b[(:]", sources), f"no test is called {name}"


def test_security_md_lists_every_rule_of_tokens() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    section = text.partition("## Tokens")[2].partition("## Keys")[0]
    rows = [row.removeprefix("| ") for row in section.splitlines() if row.startswith("| ")]
    for rule in RULES:
        assert any(row.startswith(rule.name) for row in rows), rule.name
    assert len(rows) == len(RULES) + 1  # the head of the table


def test_the_reference_lists_every_public_name_and_every_setting() -> None:
    text = (ROOT / "docs" / "AUTH_MIDDLEWARE.md").read_text("utf-8")
    for name in flask_tenant_auth.__all__:
        assert re.search(rf"\b{name}\b", text), f"{name} is not in the reference"
    table = text.partition("## Configuration")[2].partition("## Command line")[0]
    documented = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", table))
    assert {field.name.upper() for field in fields(Settings)} <= documented


def test_the_reference_has_the_defaults_of_the_settings() -> None:
    text = (ROOT / "docs" / "AUTH_MIDDLEWARE.md").read_text("utf-8")
    table = text.partition("| key | default | meaning |")[2].partition("\n\n")[0]
    in_words = {"CORS_EXPOSE_HEADERS", "RATELIMIT_KEY_PREFIX", "FLASK_ENV"}
    compared = 0
    for row in table.strip().splitlines()[1:]:
        keys, written = (cell.strip() for cell in row.split("|")[1:3])
        names = [name.strip(" `") for name in keys.split(",")]
        defaults = (
            written.split(",") if len(names) > 1 and "," in written else [written] * len(names)
        )
        for name, default in zip(names, defaults, strict=True):
            if name in in_words:
                continue
            compared += 1
            if default == "none":
                assert KEYS[name].default in (None, (), ""), name
            else:
                assert KEYS[name].metadata["read"](default.strip(" `")) == KEYS[name].default, name
    assert compared + len(in_words) == len(KEYS)


def test_architecture_md_names_every_module_once() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    sources = [*ROOT.glob("csrc/**/*.[ch]"), *ROOT.glob("flask_tenant_auth/**/*.py")]
    for folder in sorted({str(path.parent.relative_to(ROOT)) for path in sources}):
        pattern = "*.[ch]" if folder.startswith("csrc") else "*.py"
        table = text.partition(f"| `{folder}` | is |")[2].partition("\n\n")[0]
        named = [
            name
            for row in table.splitlines()
            for name in re.findall(r"`(\w+\*?)`", row.partition(" | ")[0])
        ]
        files = {path.stem for path in (ROOT / folder).glob(pattern)} - {"__init__"}
        if folder == "csrc/binding":
            files = {"type_*" if name.startswith("type_") else name for name in files}
        assert sorted(named) == sorted(files), folder
