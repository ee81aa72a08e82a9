"""Every code block of README.md and of the pages below docs/ is run, every link is followed.

What a block is, its language says:

- ``python``: executed, in order, all blocks of a page in one namespace; a page's asserts are its
  tests. A block whose first line is a comment that names a file, ``# app.py``, is also written to
  that file for the console blocks below it.
- ``console``: lines that begin with ``$`` are commands, the lines below a command its output,
  ``...`` standing for anything. ``export NAME=value`` holds for the rest of the page. ``make``
  targets are only resolved (``make -n``): `make test` is what runs this file.
- ``json``: parsed.
- ``redis``: run against a server by test_redis_rights.py.
- ``text``, ``sql``, ``ini``, ``apache``, ``nginx``: not run: diagrams, code for libraries that are
  not installed here, the configuration of other programs.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from blinker import NamedSignal
from click import Context
from sqlalchemy import Engine

import flask_tenant_auth
from flask_tenant_auth import pytest_plugin, signals
from flask_tenant_auth.config.names import COUNTERPARTS
from flask_tenant_auth.config.settings import KEYS, Settings
from flask_tenant_auth.flask.commands import auth_cli
from flask_tenant_auth.probe.run import CHECKS
from pages import FENCE, Block, blocks_of
from paths import ROOT
from token_rules import RULES

DOCS = ROOT / "docs"
EXAMPLE = ROOT / "examples" / "email_service" / "README.md"
PAGES = sorted([ROOT / "README.md", EXAMPLE, *DOCS.rglob("*.md")])
OTHER_PAGES = [
    *(ROOT / name for name in ("CHANGES.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / folder / "README.md" for folder in ("csrc", "flask_tenant_auth", "benchmarks")),
]
NOT_RUN = {"text", "sql", "ini", "apache", "nginx", "redis"}
COLUMNS = 120

# They need the network or change the environment that runs the tests; `make test` itself
# installs the package from this tree, and `make test-roots` runs the lines of the installation.
ONLY_READ = ("git clone", "cd ", "pip install", "apt-get install", "python3 -m venv", ". .venv/")

# Rows of tables that name long tests, or that other tests hold to a form, may be longer.
LONG_ROWS = {
    "docs/security.md",
    "docs/data_isolation.md",
    "docs/architecture.md",
    "docs/development.md",
    "docs/recipes/deployment.md",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


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
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            environment[name] = value
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
            timeout=300,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert matches(expected or "...", printed), (
            f"$ {command}\nprinted\n{printed}\ninstead of\n{expected}"
        )


@pytest.fixture
def process_as_before(tmp_path: Path) -> Iterator[None]:
    """Undo what a page sets up in the process: logging, and modules that it has written."""
    logger = logging.getLogger("flask_tenant_auth")
    level, handlers, propagate = logger.level, list(logger.handlers), logger.propagate
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers
    logger.propagate = propagate
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.usefixtures("process_as_before")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_code_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("FLASK_ENV", "development")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
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
                f"{name_of(page)}:{block.line}: nothing runs a block of language {block.language!r}"
            )
    for value in namespace.values():
        if isinstance(value, Engine):
            value.dispose()


def test_a_wrong_code_block_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nassert 1 == 2\n```\n", "utf-8")
    [block] = blocks_of(page)
    assert block == Block("python", "assert 1 == 2\n", 4)
    with pytest.raises(AssertionError):
        run_python(block, page, {}, tmp_path)
    with pytest.raises(AssertionError, match="instead of"):
        run_console(Block("console", "$ echo one\ntwo\n", 1), tmp_path, dict(os.environ))
    run_console(Block("console", "$ echo one\no...\n", 1), tmp_path, dict(os.environ))


# --- Links and lines ------------------------------------------------------------------------------


def prose_of(page: Path) -> str:
    """Return a page without its code blocks: their lines stay, empty."""
    text = page.read_text("utf-8")
    return FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose_of(page), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower().replace(" ", "-")
        anchor = base = re.sub(r"[^\w-]", "", words)
        count = 0
        while anchor in found:
            count += 1
            anchor = f"{base}-{count}"
        found.add(anchor)
    return found


def links_of(page: Path) -> list[tuple[str, str]]:
    """Return the local links of a page, as (path, anchor)."""
    found = re.findall(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]*))?\)", prose_of(page))
    assert all(path or anchor for path, anchor in found), name_of(page)
    return found


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=name_of)
def test_every_local_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for path, anchor in links_of(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {path}"
        if anchor:
            assert anchor in anchors_of(target), f"{name_of(page)} links to {path}#{anchor}"


def test_headings_make_the_anchors_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# What `flask auth` asks, *twice*?\n\n## The file `A_LOG`\n\n## The file `A_LOG`\n",
        "utf-8",
    )
    assert anchors_of(page) == {
        "what-flask-auth-asks-twice",
        "the-file-a_log",
        "the-file-a_log-1",
    }


def test_readme_leads_to_every_page() -> None:
    linked = {ROOT / "README.md"}
    waiting = list(linked)
    while waiting:
        page = waiting.pop()
        targets = {(page.parent / path).resolve() for path, _ in links_of(page) if path}
        new = {target for target in targets if target.suffix == ".md"} - linked
        linked |= new
        waiting += new
    assert set(PAGES) <= linked, {name_of(page) for page in set(PAGES) - linked}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_line_is_longer_than_120_columns(page: Path) -> None:
    for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
        if not (line.startswith("|") and name_of(page) in LONG_ROWS):
            assert len(line) <= COLUMNS, f"{name_of(page)}:{number}: {len(line)} columns"


# --- What a page says is what there is ------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_of_tests_that_a_page_names_exists(page: Path) -> None:
    for file in re.findall(r"`((?:tests|fuzz)/[\w/]+\.(?:py|c))[`:]", page.read_text("utf-8")):
        assert (ROOT / file).exists(), f"{name_of(page)} names {file}"


def test_every_page_of_the_reference_names_its_tests() -> None:
    pages = [*(DOCS / "reference").glob("*.md"), DOCS / "testing.md"]
    for page in pages:
        section = page.read_text("utf-8").partition("## Tests\n")[2]
        assert re.search(r"`tests/[\w/]+\.py`", section), f"{name_of(page)} names no tests"


def test_every_test_that_security_md_names_exists() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.(?:py|c))::(\w+)`", text)
    assert len(named) > 30
    for file, name in named:
        source = (ROOT / file).read_text("utf-8")
        assert re.search(rf"\b{name}\(", source), f"{file} has no {name}"


@pytest.fixture(scope="module")
def names_of_tests() -> set[str]:
    files = [path for path in (ROOT / "tests").rglob("*") if path.suffix in (".py", ".c")]
    sources = [path.read_text("utf-8") for path in files]
    return {name for text in sources for name in re.findall(r"\b(test_\w+|Test\w+)[(:]", text)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_that_a_page_names_exists(page: Path, names_of_tests: set[str]) -> None:
    for name in re.findall(r"`(?:[\w/]+\.\w+::)?(test_\w+|Test\w+)`", page.read_text("utf-8")):
        if not (ROOT / "tests" / f"{name}.py").exists():
            assert name in names_of_tests, f"no test is called {name}"


def test_security_md_lists_every_rule_of_tokens() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    section = text.partition("## Tokens")[2].partition("## Keys")[0]
    rows = [row.removeprefix("| ") for row in section.splitlines() if row.startswith("| ")]
    for rule in RULES:
        assert any(row.startswith(rule.name) for row in rows), rule.name
    assert len(rows) == len(RULES) + 1  # the head of the table


def test_the_recipe_from_flask_limiter_names_each_of_its_settings() -> None:
    text = (DOCS / "recipes" / "from_flask_limiter.md").read_text("utf-8")
    settings = text.partition("## Settings")[2].partition("\n## ")[0]
    for name, counterpart in COUNTERPARTS.items():
        if counterpart.library == "Flask-Limiter":
            assert f"`{name}`" in settings, name


def test_the_reference_leads_from_every_public_name_to_the_page_that_describes_it() -> None:
    text = (DOCS / "AUTH_MIDDLEWARE.md").read_text("utf-8")
    rows = re.findall(r"^\| \[`(\w+)`\]\(([\w/]+\.md)(?:#[\w-]+)?\) \|", text, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(flask_tenant_auth.__all__)
    for name, page in rows:
        described = (DOCS / page).read_text("utf-8")
        assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", described), f"{page} has no {name}"


def test_the_reference_describes_every_signal_and_every_test_helper() -> None:
    page = (DOCS / "reference" / "signals.md").read_text("utf-8")
    names = [name for name, value in vars(signals).items() if isinstance(value, NamedSignal)]
    assert len(names) >= 3
    for name in names:
        assert f"`{name}`" in page, f"signals.md has no {name}"
    helpers = (DOCS / "testing.md").read_text("utf-8")
    plugin = Path(pytest_plugin.__file__).read_text("utf-8")
    fixtures = re.findall(r"^@pytest\.fixture\ndef (\w+)", plugin, re.MULTILINE)
    assert fixtures
    names = ["AuthClient", "as_user", "Clock", "move", "foreign_answers", "auth.reset_limits"]
    for name in [*names, *fixtures]:
        assert re.search(rf"`{name}\b", helpers), f"docs/testing.md has no {name}"


def test_the_reference_has_every_command() -> None:
    text = (DOCS / "reference" / "command_line.md").read_text("utf-8")
    table = text.partition("| command | does |")[2].partition("\n\n")[0]
    context = Context(auth_cli)
    names = auth_cli.list_commands(context)
    assert len(names) > 10
    for name in names:
        command = auth_cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        for word in getattr(command, "commands", None) or [name]:
            assert re.search(rf"[ `]{word}\b", table), f"flask auth {name} {word}"


def test_the_reference_has_every_check_of_a_service() -> None:
    text = (DOCS / "reference" / "service_check.md").read_text("utf-8")
    table = text.partition("| check | is a problem if |\n|---|---|\n")[2].partition("\n\n")[0]
    named = [
        name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[1])
    ]
    assert named == [check.name for check in CHECKS]


def test_the_reference_has_every_setting_with_its_default() -> None:
    text = (DOCS / "reference" / "settings.md").read_text("utf-8")
    tables = re.findall(r"\| setting \| default \| meaning \|\n\|[-|]+\|\n((?:\|.*\n)+)", text)
    rows = "".join(tables).splitlines()
    in_words = {
        "AUDIT_KEY",
        "AUTH_SESSION_KEY",
        "AUTH_SESSION_STORE",
        "AUTH_TOKEN_MAX_HOURS",
        "CORS_EXPOSE_HEADERS",
        "FLASK_ENV",
        "RATELIMIT_KEY_PREFIX",
    }
    documented: list[str] = []
    for row in rows:
        keys, written = (cell.strip() for cell in row.split("|")[1:3])
        names = [name.strip(" `") for name in keys.split(",")]
        documented += names
        defaults = (
            written.split(",") if len(names) > 1 and "," in written else [written] * len(names)
        )
        for name, default in zip(names, defaults, strict=True):
            if name in in_words:
                continue
            if default == "none":
                assert KEYS[name].default in (None, (), ""), name
            else:
                assert KEYS[name].metadata["read"](default.strip(" `")) == KEYS[name].default, name
    assert sorted(documented) == sorted(KEYS)
    assert set(documented) == {field.name.upper() for field in fields(Settings)}


def test_architecture_md_names_every_module_once() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("csrc/**/*.[ch]")}
    folders |= {
        str(path.parent.relative_to(ROOT)) for path in ROOT.glob("flask_tenant_auth/**/*.py")
    }
    for folder in sorted(folders):
        pattern = "*.[ch]" if folder.startswith("csrc") else "*.py"
        table = text.partition(f"| `{folder}` | is |")[2].partition("\n\n")[0]
        named = [
            name
            for row in table.splitlines()
            for name in re.findall(r"`(\w+\*?|\*)`", row.partition(" | ")[0])
        ]
        files = {path.stem for path in (ROOT / folder).glob(pattern)} - {"__init__", "_compat"}
        if folder == "csrc/binding":
            files = {"type_*" if name.startswith("type_") else name for name in files}
        if folder == "csrc/limit/strategies":
            files = {"*"}
        assert sorted(named) == sorted(files), folder
