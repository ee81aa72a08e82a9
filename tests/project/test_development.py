"""docs/development.md and CONTRIBUTING.md name files, functions and targets that exist."""

from __future__ import annotations

import re

import pytest

from paths import ROOT

QUESTIONS = 10


def test_each_of_the_ten_answers_names_a_file_and_a_name_in_it() -> None:
    page = (ROOT / "docs/development.md").read_text("utf-8")
    section = page.partition("## Ten questions")[2].partition("\n## ")[0]
    entries = re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]
    assert len(entries) == QUESTIONS
    for entry in entries:
        answers = re.findall(r"`(\w+)`\s+in\s+`([\w/.]+)`", entry)
        assert answers, f"no file and name in: {entry}"
        for name, file in answers:
            source = (ROOT / file).read_text("utf-8")
            assert re.search(rf"\b{name}\b", source), f"{file} has no {name}"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/development.md"])
def test_every_path_that_the_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    paths = re.findall(r"`((?:csrc|docs|flask_tenant_auth|fuzz|tests)/[\w/.]+)`", text)
    assert len(paths) > 5
    for path in paths:
        named = (ROOT / path).parent if "NAME" in path else ROOT / path
        assert named.exists(), f"{page} names {path}"


def test_every_seed_of_a_fuzzer_has_a_name_and_is_no_finding() -> None:
    """A fuzzer that is run on `fuzz/corpus` itself leaves files named by their digests there."""
    seeds = [path for path in (ROOT / "fuzz" / "corpus").glob("*/*") if path.is_file()]
    assert len(seeds) > 50
    assert [path for path in seeds if re.fullmatch("[0-9a-f]{40}", path.name)] == []
