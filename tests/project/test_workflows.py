"""The workflows, the hooks and the pages call what the Makefile has, on the versions supported."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from paths import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "csrc").glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))


def targets_called_in(path: Path) -> set[str]:
    """The targets of `make` commands: in a workflow those that are run, on a page those in code."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        text = "\n".join(re.findall(r"`+[^`]+`+", text))
    commands = re.findall(r"(?:^|[`$:&] ?|\w=\S+ )make((?: +[\w=.-]+)+)", text, re.MULTILINE)
    words = {word for command in commands for word in command.split()}
    return {word for word in words if re.fullmatch(r"[a-z-]+", word) and word[0] != "-"}


def left_out_of(variable: str) -> list[str]:
    """The words of a variable of the Makefile that lists what a target leaves out."""
    [value] = re.findall(rf"^{variable} := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    return [word for word in re.split(r"[\s\\]+", value) if word != "or"]


@pytest.mark.parametrize("path", [*WORKFLOWS, *PAGES], ids=lambda path: path.name)
def test_every_target_that_is_called_is_a_target_of_the_makefile(path: Path) -> None:
    called = targets_called_in(path)
    assert called <= TARGETS, called - TARGETS
    assert called or path not in WORKFLOWS


def test_a_target_that_does_not_exist_would_be_found(tmp_path: Path) -> None:
    workflow = tmp_path / "test.yml"
    workflow.write_text("steps:\n  - run: make chekc CC=gcc\n", "utf-8")
    assert targets_called_in(workflow) == {"chekc"}
    page = tmp_path / "page.md"
    page.write_text("Run `make tset`, and make do. `FTA_WERROR=1 make build`\n", "utf-8")
    assert targets_called_in(page) == {"tset", "build"}


def test_workflows_run_on_the_versions_of_python_that_the_package_declares() -> None:
    declared = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    [oldest] = re.findall(r'^requires-python = ">=(3\.\d+)"$', PYPROJECT, re.MULTILINE)
    assert declared[0] == oldest
    assert [int(version.partition(".")[2]) for version in declared] == list(
        range(int(oldest.partition(".")[2]), int(declared[-1].partition(".")[2]) + 1)
    )
    text = (ROOT / ".github/workflows/test.yml").read_text("utf-8")
    [matrix] = re.findall(r"^ +python: \[(.*)\]$", text, re.MULTILINE)
    assert re.findall(r'"([\d.]+)"', matrix) == declared
    assert set(re.findall(r'python-version: "([\d.]+)"', text)) <= set(declared)


def test_workflows_run_on_both_compilers_and_fuzz_on_a_schedule() -> None:
    text = (ROOT / ".github/workflows/test.yml").read_text("utf-8")
    assert "compiler: [gcc, clang]" in text
    assert re.search(r"^  schedule:\n    - cron: ", text, re.MULTILINE)
    called = targets_called_in(ROOT / ".github/workflows/test.yml")
    assert {"check", "test", "fuzz"} <= called


def jobs_of(path: Path) -> dict[str, str]:
    """The jobs of a workflow by their names."""
    _, _, jobs = path.read_text("utf-8").partition("\njobs:\n")
    _, *parts = re.split(r"^  ([a-z]+):\n", jobs, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


WHEELS = ROOT / ".github/workflows/wheels.yml"


def test_there_is_a_wheel_for_each_version_of_python_that_the_package_declares() -> None:
    declared = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    jobs = jobs_of(WHEELS)
    # The free-threaded build of the newest has one too. It must not come first on PATH: so it is
    # not the last of those that are installed.
    free = f"{declared[-1]}t"
    assert re.findall(r"python(3\.\d+t?)", jobs["manylinux"]) == [*declared, free]
    installed = re.findall(r"^ +(3\.\d+t?)$", jobs["manylinux"], re.MULTILINE)
    assert installed == [free, *declared]
    [matrix] = re.findall(r"^ +python: \[(.*)\]$", jobs["musllinux"], re.MULTILINE)
    assert re.findall(r'"([\d.]+)"', matrix) == declared


def test_only_the_job_that_publishes_may_identify_itself_and_no_secret_is_kept() -> None:
    jobs = jobs_of(WHEELS)
    assert [name for name, job in jobs.items() if "id-token" in job] == ["publish"]
    publish = jobs["publish"]
    assert "if: startsWith(github.ref, 'refs/tags/v')\n" in publish
    assert "environment: pypi\n" in publish
    assert "attestations: true\n" in publish
    # It runs nothing of ours beside the permission, and waits for everything that it publishes.
    assert "run:" not in publish
    [needed] = re.findall(r"needs: \[(.*)\]", publish)
    assert set(needed.split(", ")) == jobs.keys() - {"libraries", "publish"}
    for path in WORKFLOWS:
        text = path.read_text("utf-8")
        assert "secrets." not in text
        assert "\npermissions:\n  contents: read\n" in text, "what every other job may do"


def test_the_tests_beside_other_libraries_are_run_by_make_test() -> None:
    """Nothing else runs them: the environment of the other tests has none of these libraries."""
    [recipe] = re.findall(r"^test: .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert "test-beside" in recipe.split()
    [recipe] = re.findall(r"^test-beside: .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert "$(BESIDE)/bin/python -m pytest -q tests/beside" in recipe
    assert "$(BESIDE)/bin/pip install -q --group beside" in MAKEFILE


def test_hooks_before_a_commit_run_the_tools_of_the_lint_group_or_a_target() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert re.findall(r"repo: (\S+)", text) == ["local"]
    [group] = re.findall(r"^lint = \[(.*)\]$", PYPROJECT, re.MULTILINE)
    pinned = re.findall(r'"([\w-]+)==[\d.]+"', group)
    for entry in re.findall(r"entry: (.*)", text):
        program, *arguments = entry.split()
        if program == "make":
            assert set(arguments) <= TARGETS
        else:
            assert program.removeprefix(".venv/bin/") in pinned


def test_help_lists_what_a_newcomer_runs_first() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True)
    for target in ("check", "test", "format", "build"):
        assert re.search(rf"^  make {target} ", shown.stdout, re.MULTILINE)


def test_all_that_the_makefile_leaves_out_of_a_run_exists() -> None:
    """A name that was changed would be run again, or would leave out nothing that is meant."""
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for word in [*left_out_of("SANITIZED_WITHOUT"), *left_out_of("CHECK_WITHOUT")]:
        assert re.search(rf"\b(?:test_\w*|Test\w*|){word}", tests), (
            f"no test has {word} in its name"
        )
    for word in left_out_of("CHECK_WITHOUT_C"):
        assert (ROOT / f"tests/c/{word}.c").exists(), word
    files = re.findall(r"\w+\.py", " ".join(left_out_of("CHECK_WITHOUT_FILES")))
    assert len(files) > 5
    for file in files:
        assert list((ROOT / "tests").rglob(file)), file
