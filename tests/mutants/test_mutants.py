"""Mutants of valid tokens, under the configurations of six providers and random ones.

`make mutants` runs two million. A failure says the number of its payload:
`python -m tests.mutants --of random --seed SEED --first NUMBER --mutants 20` repeats it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from token_oracle import Configuration

from .compare import run
from .issuing import issue
from .mutations import BREAKS, KEEPS, OPEN

SEED = int(os.environ.get("SEED") or 9)
MUTANTS = 2000


@pytest.mark.parametrize("of", ["random", "providers"])
def test_the_core_says_of_each_mutant_what_the_oracle_says(of: str) -> None:
    report = run(of, SEED, MUTANTS)
    if report.failures:
        pytest.fail(f"seed {SEED}: {len(report.failures)} fail; {report.failures[0][1]}", False)
    assert report.valid_payloads > report.payloads / 2
    assert report.accepted.total() > MUTANTS / 4
    assert report.refused.total() > MUTANTS / 4
    for change in (*OPEN, *KEEPS):
        assert report.accepted[change.__name__], change
    for change in (*OPEN, *BREAKS):
        assert report.refused[change.__name__], change
    assert not any(report.accepted[change.__name__] for change in BREAKS)


def test_a_run_is_repeated_by_its_seed() -> None:
    one, again, other = (run("random", seed, 200) for seed in (3, 3, 4))
    assert (one.accepted, one.refused) == (again.accepted, again.refused)
    assert (one.accepted, one.refused) != (other.accepted, other.refused)


SABOTAGES: dict[str, tuple[str, Callable[[Configuration], Configuration]]] = {
    "takes any issuer": ("over-acceptance", lambda config: replace(config, issuer=None)),
    "wants another issuer": ("over-rejection", lambda config: replace(config, issuer="x")),
    "takes no audience": ("over-rejection", lambda config: replace(config, audiences=())),
    "requires nothing": ("over-acceptance", lambda config: replace(config, required={})),
    "requires too much": ("over-rejection", lambda config: replace(config, required={"x": ("x",)})),
    "reads the usual places": ("over-rejection", lambda config: replace(config, places={})),
    "takes the last place": (
        "another identity",
        lambda config: replace(
            config, places={claim: places[::-1] for claim, places in config.places.items()}
        ),
    ),
    "has no words for roles": ("another identity", lambda config: replace(config, role_map={})),
    "needs a role": ("over-rejection", lambda config: replace(config, default_role="")),
    "has another default role": (
        "another identity",
        lambda config: replace(config, default_role=config.roles[-1]),
    ),
    "has the roles the wrong way round": (
        "another identity",
        lambda config: replace(config, roles=config.roles[::-1]),
    ),
    "grants everything": (
        "another identity",
        lambda config: replace(config, grants={config.roles[0]: ("*",)}),
    ),
    "takes no names as ids": (
        "over-rejection",
        lambda config: replace(config, id_namespace=None),
    ),
    "takes names as ids": (
        "over-acceptance",
        lambda config: replace(config, id_namespace="6ba7b811-9dad-11d1-80b4-00c04fd430c8"),
    ),
    "waits for a day": ("over-acceptance", lambda config: replace(config, leeway=86400)),
}


@pytest.mark.parametrize("what", SABOTAGES)
def test_a_core_with_another_configuration_is_found_out(what: str) -> None:
    kind, sabotage = SABOTAGES[what]
    report = run("random", SEED, 600, sabotage=sabotage)
    assert report.of_kind(kind) > 0, {found for found, _ in report.failures}


def test_what_is_issued_is_read_again_under_any_configuration() -> None:
    seen = issue(SEED, 300)
    assert seen.tokens > 100
    assert seen.errors > 20
