"""Runs many cases, and shrinks a case that fails."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from .choices import Choices, shrink
from .compare import Case, Difference, Report, acting, bind_names, check, check_switching
from .databases import World
from .generate import Generator, reflected
from .objects import (
    bulk_insert_case,
    entities_case,
    flush_case,
    get_case,
    lambda_case,
    object_attack_case,
    query_case,
)
from .reading import columns_case, reflecting_case, text_case, translating_case
from .schema import EVERYTHING, NOBODY, PEOPLE, PLAIN, Mailbox, Order, Who
from .writing import (
    bulk_update_case,
    changing_case,
    cte_case,
    from_select_case,
    inserting_case,
    linking_case,
    owner_attack_case,
    owner_upsert_case,
    relinking_case,
    upsert_case,
)

KINDS: list[tuple[int, Callable[[Generator], Case]]] = [
    (40, columns_case),
    (14, entities_case),
    (3, get_case),
    (4, query_case),
    (2, lambda_case),
    (12, changing_case),
    (5, inserting_case),
    (3, from_select_case),
    (4, linking_case),
    (2, relinking_case),
    (3, upsert_case),
    (2, owner_upsert_case),
    (4, owner_attack_case),
    (2, bulk_update_case),
    (2, bulk_insert_case),
    (2, cte_case),
    (5, flush_case),
    (5, object_attack_case),
    (5, text_case),
    (1, reflecting_case),
    (1, translating_case),
]


@dataclass
class Finding:
    """A case that failed."""

    number: int
    difference: Difference
    script: list[int]
    sql: str

    def __str__(self) -> str:
        return f"case {self.number}: {self.difference}\n{self.sql}"


@dataclass
class Runner:
    """Makes cases from a seed, and checks each for several identities."""

    world: World
    seed: int
    control: bool = False
    report: Report = field(default_factory=Report)
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reflected = reflected(self.world.connections[EVERYTHING])
        self.world.connections[EVERYTHING].rollback()
        self.our_names = names_of_isolation(self.world)

    def make(self, choices: Choices) -> tuple[Case, list[Who]]:
        generator = Generator(choices, self.world.dialect, self.reflected, self.our_names)
        whos = choices.some(PEOPLE, 1, 2)
        if choices.chance(25):
            whos.append(EVERYTHING)
        if choices.chance(10):
            whos.append(NOBODY)
        if choices.chance(8):
            whos.append(PLAIN)
        switches = choices.chance(12)
        case = choices.weighted(KINDS)(generator)
        if case.writes:
            whos = [who for who in whos if who is not PLAIN]
        if case.attack:
            whos = [who for who in whos if who.is_identity]
        if switches and case.repeats:
            generator.feature("identities change within a session")
            case.switches = True
        return case, whos

    def attempt(self, choices: Choices, report: Report) -> Difference | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                case, whos = self.make(choices)
        except Exception as error:
            report.invalid += 1
            report.invalid_reasons[f"making: {type(error).__name__}: {str(error)[:90]}"] += 1
            return None
        report.cases += 1
        report.features.update(case.features)
        try:
            if case.switches and not self.control:
                there = [who for who in whos if who is not PLAIN]
                check_switching(self.world, case, there, report)
            else:
                for who in whos:
                    check(self.world, case, who, report, self.control)
        except Difference as difference:
            return difference
        return None

    def case(self, number: int) -> None:
        cases = self.report.cases
        for again in range(10):  # until SQLAlchemy accepts the statement
            choices = Choices(f"{self.seed}:{self.world.dialect}:{number}" + again * "+")
            difference = self.attempt(choices, self.report)
            if self.report.cases > cases:
                break
        if difference is None:
            return
        self.report.differences[f"{difference.kind} by {difference.case.name}"] += 1
        self.findings.append(
            Finding(number, difference, choices.made, self.sql_of(difference.case))
        )

    def sql_of(self, case: Case) -> str:
        if case.statement is None:
            return case.detail
        try:
            compiled = case.statement.compile(self.world.reference)
        except Exception as error:
            return f"{case.detail} {error}"
        return f"{case.detail}\n{compiled}\nwith {compiled.params}"

    def smaller(self, finding: Finding, attempts: int = 300) -> Finding:
        kind = finding.difference.kind

        def fails(script: list[int]) -> bool:
            difference = self.attempt(Choices(script=script), Report())
            return difference is not None and difference.kind == kind

        script = shrink(finding.script, fails, attempts)
        difference = self.attempt(Choices(script=script), Report())
        if difference is None:
            return finding
        return Finding(finding.number, difference, script, self.sql_of(difference.case))

    def run(self, statements: int, first: int = 0) -> None:
        thresholds = gc.get_threshold()
        gc.set_threshold(100_000, 20, 50)  # saves a fifth of the time: statements are cyclic
        try:
            for number in range(first, first + statements):
                self.case(number)
        finally:
            gc.set_threshold(*thresholds)
            gc.collect()


def names_of_isolation(world: World) -> list[str]:
    """Return the names of the parameters that isolation itself adds to a statement."""
    who = PEOPLE[0]
    statement = select(Mailbox.id, Order.number).where(Mailbox.id != Order.number)
    with acting(who), world.isolated() as session:
        session.execute(statement)
        isolated = set(bind_names(world.executed))
    with world.of(who) as session:
        session.execute(statement)
        return sorted(isolated - set(bind_names(world.executed_by_reference)))


def summary(report: Report) -> str:
    """Return the report of a run as text."""
    features = [
        f"{count:8} {report.nonempty[name]:8} {name}"
        for name, count in sorted(report.features.items())
    ]
    return "\n".join(
        [
            f"{report.cases} statements, {report.executions} executions: "
            f"{report.answered} answered alike, {sum(report.refused.values())} refused, "
            f"{report.attacks} attacks without effect",
            f"{report.nonempty_cases} of {report.compared} answers hold or change rows; "
            f"{report.invalid} fail on plain SQLAlchemy too",
            f"{report.collisions} executions with colliding parameters, "
            f"{report.clean_errors} errors instead of an answer where one is allowed, "
            f"{report.loaded_otherwise} answers with other columns loaded of the same objects",
            "Features, in statements and in answers that hold or change rows:",
            *features,
            "Refused:",
            *(f"{count:8} {reason}" for reason, count in report.refused.most_common(25)),
            f"Of these, {sum(report.refused_needlessly.values())} neither attacks nor text:",
            *(f"{count:8} {name}" for name, count in report.refused_needlessly.most_common(25)),
            "Failed on plain SQLAlchemy too:",
            *(f"{count:8} {reason}" for reason, count in report.invalid_reasons.most_common(10)),
            f"{sum(report.differences.values())} failures",
            *(f"{count:8} {kind}" for kind, count in report.differences.most_common(40)),
        ]
    )


def timed(run: Callable[[], Any]) -> float:
    """Return the CPU time of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start
