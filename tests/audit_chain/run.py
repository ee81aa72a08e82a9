"""Lives of chains, and attacks on each of them."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from flask_tenant_auth.trail.verify import verify

from .attacks import ATTACKS, Attack, copy_of
from .life import KEY, Life


@dataclass
class Told:
    """What a run has seen."""

    lives: int = 0
    lines: int = 0
    events: Counter[str] = field(default_factory=Counter)
    attacks: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def run(lives: int, attacks: int, seed: int, first: int = 0) -> Told:
    """Run so many lives, with so many attacks on each, from the life of a number on."""
    told = Told()
    for number in range(first, first + lives):
        folder = Path(tempfile.mkdtemp(prefix="audit_chain-"))
        try:
            _one(folder, f"{seed}.{number}", attacks, told)
        except AssertionError as error:
            told.failures.append(f"life {number}: {error}")
        finally:
            shutil.rmtree(folder)
    return told


def _one(folder: Path, name: str, attacks: int, told: Told) -> None:
    choose = random.Random(name)
    (folder / "log").mkdir()
    life = Life(folder / "log", choose)
    life.live(choose.randrange(5, 30))
    life.check()
    told.lives += 1
    told.events += life.seen
    told.lines += verify(life.path, (KEY,)).last
    for number in range(attacks):
        attack = choose.choice(list(ATTACKS))
        log = copy_of(life.path, folder / str(number))
        if Attack(log, choose).run(attack):
            told.attacks[attack] += 1
            report = verify(log, (KEY,))
            assert report.finding, f"the attack {attack} was not found"
        else:
            told.events["nothing to attack"] += 1
            assert not verify(log, (KEY,)).finding, f"{attack} changed nothing"
        shutil.rmtree(log.parent)
