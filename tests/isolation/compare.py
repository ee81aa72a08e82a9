"""Runs one case on both sides and compares the answers."""

from __future__ import annotations

import logging
import re
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from sqlalchemy import Row, Table, inspect
from sqlalchemy.exc import CompileError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler

from flask_tenant_auth import acting_as
from flask_tenant_auth.sqlalchemy import IsolationError, unscoped

from .databases import Dump, World
from .schema import (
    CLASSES,
    EVERYTHING,
    NOBODY,
    OWNERS,
    PEOPLE,
    PLAIN,
    TABLES,
    TENANTS,
    USERS,
    Rows,
    Who,
    visible,
)


class NothingThereError(Exception):
    """The case needs a row, and this identity has none."""


@dataclass
class Side:
    """Where a case runs: in the isolated session, or in the reference's."""

    world: World
    session: Session
    who: Who
    isolated: bool
    # Whether an answer includes which attributes of an object are loaded.
    loaded: bool = True

    def describe(self, value: Any, depth: int = 2) -> Any:
        return describe(value, depth, self.loaded)

    def keys(self, table: Table, theirs: bool = False) -> list[tuple[Any, ...]]:
        """Return the primary keys of the visible rows, or of all other rows."""
        rows = (self.world.others if theirs else self.world.own)[self.who][table]
        places = [table.columns.keys().index(column.key) for column in table.primary_key]
        return sorted(tuple(row[place] for place in places) for row in rows)

    def key(self, table: Table, number: int, theirs: bool = False) -> tuple[Any, ...]:
        """Return one of these keys, or raise NothingThereError."""
        keys = self.keys(table, theirs)
        if not keys:
            raise NothingThereError(table.name)
        return keys[number % len(keys)]

    def own(self, table: Table, explicit: bool = False) -> dict[str, Any]:
        """Return the owners of a new row by column, or nothing where isolation fills them in."""
        owners = OWNERS[table]
        found: dict[str, Any] = {}
        if self.isolated and not explicit and self.who is not EVERYTHING:
            return found
        # Inside unscoped() isolation fills in nothing.
        who = PEOPLE[0] if self.who is EVERYTHING else self.who
        for column, value in ((owners.tenant, who.tenant), (owners.user, who.user)):
            if column is not None:
                is_text = getattr(column.type, "as_uuid", None) is None
                found[column.name] = str(value) if is_text else value
        return found


@dataclass
class Case:
    """One statement, or a few in one session, and what the answer may be."""

    name: str
    run: Callable[[Side], Any]
    features: set[str] = field(default_factory=set)
    statement: Any = None
    writes: bool = False
    # Tries to read or write rows of others. It must be refused or touch none of them.
    attack: bool = False
    # Has SQL as text, which isolation cannot check. It may be refused.
    is_text: bool = False
    # May conflict with the unique key of a row that the reference lacks.
    may_conflict: bool = False
    # Uses a name that isolation uses itself. It may raise an error.
    may_fail: bool = False
    # Runs the same statement with parameters of the application.
    run_with: Callable[[Side, Mapping[str, Any]], Any] | None = None
    # Only reads, so that it may run again in the same session.
    repeats: bool = False
    switches: bool = False
    # An attack whose answer must be empty.
    shows_nothing: bool = False
    detail: str = ""


@dataclass
class Outcome:
    """The answer of a side, or its error."""

    answer: Any = None
    error: Exception | None = None
    dump: Dump | None = None

    @property
    def refused(self) -> bool:
        return isinstance(self.error, IsolationError)

    @property
    def size(self) -> int:
        """The number of rows that it returned or changed."""
        return len([each for each in self.answer or () if each != ("rows", 0)])


@dataclass
class Difference(Exception):  # noqa: N818 - a finding, not an error
    """The answer of the isolated side is not the expected one."""

    kind: str
    who: Who
    case: Case
    text: str

    def __str__(self) -> str:
        return f"{self.kind}, for {self.who.name}, by {self.case.name}: {self.text}"


# --- Answers ------------------------------------------------------------------


def describe(value: Any, depth: int = 2, loaded: bool = True) -> Any:
    """Return a value in a form that can be compared and sorted."""
    if isinstance(value, Row):
        return tuple(describe(each, depth, loaded) for each in value)
    if isinstance(value, list | set | frozenset):
        return sorted((describe(each, depth, loaded) for each in value), key=repr)
    if isinstance(value, tuple):
        return tuple(describe(each, depth, loaded) for each in value)
    state = inspect(value, raiseerr=False)
    if state is None or not hasattr(state, "mapper"):
        return value
    return describe_object(value, state, depth, loaded)


def describe_object(value: Any, state: Any, depth: int, loaded: bool) -> Any:
    """Return the class, the key and the loaded attributes of an object."""
    made: list[Any] = [type(value).__name__, state.identity]
    if loaded:
        for attribute in state.mapper.column_attrs:
            if attribute.key in state.dict:
                made.append((attribute.key, state.dict[attribute.key]))
        if depth > 0:
            for relationship in state.mapper.relationships:
                if relationship.key in state.dict:
                    there = state.dict[relationship.key]
                    made.append((relationship.key, describe(list_of(there), depth - 1)))
    return tuple(made)


def list_of(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return list(value)  # an association proxy, too
    return [value]


def canonical(answer: Any) -> Any:
    """Return an answer without the order of its rows."""
    return sorted(map(repr, answer)) if isinstance(answer, list) else repr(answer)


def is_object(value: Any) -> bool:
    """Whether a value is what describe_object() makes."""
    return (
        isinstance(value, tuple)
        and len(value) > 1
        and value[0] in CLASS_NAMES
        and isinstance(value[1], tuple)
    )


CLASS_NAMES = {cls.__name__ for cls in CLASSES}


Facts = dict[tuple[Any, ...], list[Any]]


def without_loaded(value: Any, facts: Facts) -> Any:
    """Return an answer with keys in place of objects. Their loaded attributes go into facts."""
    if isinstance(value, list):
        return sorted((without_loaded(each, facts) for each in value), key=repr)
    if is_object(value):
        facts.setdefault(value[:2], [])
        for name, there in value[2:]:
            seen = without_loaded(there, facts)
            some = facts.setdefault((*value[:2], name), [])
            if seen not in some:
                some.append(seen)
        return value[:2]
    if isinstance(value, tuple):
        return tuple(without_loaded(each, facts) for each in value)
    return value


def differ_in_what_is_loaded(expected: Any, got: Any) -> bool:
    """Whether two answers have the same objects, but with other attributes loaded.

    An object can be two entities of a row that have different options. The first entity decides
    what is loaded, and no ORDER BY decides which is the first. This hides no leak: both answers
    have the same objects, related ones included, and the attributes that both have loaded are
    equal.
    """
    one: Facts = {}
    other: Facts = {}
    if canonical(without_loaded(expected, one)) != canonical(without_loaded(got, other)):
        return False
    if {fact for fact in other if len(fact) == 2} - one.keys():
        return False
    return all(other.get(fact, values) == values for fact, values in one.items())


# --- Running ------------------------------------------------------------------


@contextmanager
def acting(who: Who) -> Iterator[None]:
    with ExitStack() as stack:
        if who.is_identity:
            stack.enter_context(acting_as(who.tenant, who.user, who.role))
        elif who.role == "unscoped":
            stack.enter_context(unscoped("the reference of everybody's rows"))
        yield


def attempt(run: Callable[[], Any]) -> Outcome:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Outcome(answer=run())
        except Exception as error:
            return Outcome(error=error)


OUR_NAME = "parameter with a name of isolation's"
# A CTE with the name of a table. The name alone means the CTE, with a schema the table.
CAPTURES = "cte named like a table"


def on_reference(
    world: World, case: Case, who: Who, run: Callable[[Side], Any], qualified: bool = False
) -> Outcome:
    with world.of(who, qualified) as session:
        raw = world.raw_references[who]
        if case.writes:
            world.reset_keys(raw)
        outcome = attempt(lambda: run(Side(world, session, who, isolated=False)))
        if case.writes and not isinstance(outcome.error, DBAPIError):
            outcome.dump = world.dump(raw)
        return outcome


def on_isolated(world: World, case: Case, who: Who, run: Callable[[Side], Any]) -> Outcome:
    with acting(who), world.isolated() as session:
        if case.writes:
            world.reset_keys(world.raw)
        outcome = attempt(lambda: run(Side(world, session, who, isolated=True)))
        if case.writes and not (
            isinstance(outcome.error, DBAPIError) and world.dialect == "postgresql"
        ):
            outcome.dump = world.dump(world.raw)
        return outcome


def on_everything(world: World, case: Case, run: Callable[[Side], Any]) -> Outcome:
    """Run a case without isolation on the rows of all, as if isolation had a leak."""
    with world.plain() as session:
        if case.writes:
            world.reset_keys(world.raw)
        outcome = attempt(lambda: run(Side(world, session, EVERYTHING, isolated=False)))
        if case.writes and not isinstance(outcome.error, DBAPIError):
            outcome.dump = world.dump(world.raw)
        return outcome


# --- Comparing ----------------------------------------------------------------


def short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 900 else text[:900] + " ..."


def differences(one: Any, other: Any) -> str:
    if not (isinstance(one, list) and isinstance(other, list)):
        return f"expected {short(one)}, got {short(other)}"
    left, right = Counter(map(repr, one)), Counter(map(repr, other))
    extra, missing = list((right - left).elements()), list((left - right).elements())
    return (
        f"{len(extra)} too many: {short(extra[:4])}; {len(missing)} missing: {short(missing[:4])}"
    )


def kind_of_difference(expected: Any, got: Any) -> str:
    if isinstance(expected, list) and isinstance(got, list):
        left, right = Counter(map(repr, expected)), Counter(map(repr, got))
        if right - left:
            return "leak"
        return "loss"
    return "wrong answer"


def alike(one: Counter[Any], other: Counter[Any]) -> bool:
    """Whether two tables have the same rows. Counter.__eq__ is slow, and no count is zero."""
    return dict.__eq__(one, other)


def check_dump(world: World, case: Case, who: Who, expected: Outcome, got: Outcome) -> None:
    """Check the rows after a case: others' are unchanged, own ones are as in the reference."""
    if got.dump is None:
        return
    for table in TABLES:
        if alike(got.dump[table], world.start[table]):
            continue
        gone = world.others[who][table] - got.dump[table]
        if gone:
            raise Difference("others' rows changed", who, case, f"{table}: {short(dict(gone))}")
    failed = got.error is not None or expected.error is not None
    if case.attack or failed or expected.dump is None or case.may_conflict:
        check_new_rows(world, case, who, got)
        return
    for table in TABLES:
        own = world.own[who][table]
        if not alike(got.dump[table], world.start[table]):
            own = got.dump[table] - world.others[who][table]
        if not alike(own, expected.dump[table]):
            raise Difference(
                "wrong rows written",
                who,
                case,
                f"{table}: {short(dict(own - expected.dump[table]))} instead of "
                f"{short(dict(expected.dump[table] - own))}",
            )


def check_new_rows(world: World, case: Case, who: Who, got: Outcome) -> None:
    """Check that each new row is visible to the identity that wrote it."""
    assert got.dump is not None
    if not any(got.dump[table].keys() - world.start[table].keys() for table in TABLES):
        return
    rows = {
        table: [dict(zip(table.columns.keys(), row, strict=True)) for row in counted.elements()]
        for table, counted in got.dump.items()
    }
    seen = visible(who, rows)
    for table in TABLES:
        now = Counter(tuple(row.values()) for row in rows[table])
        mine = Counter(tuple(row.values()) for row in seen[table])
        hidden = (now - mine) - world.start[table]
        if hidden and not OWNERS[table].ends:
            raise Difference("rows written for others", who, case, f"{table}: {short(hidden)}")
        if case.attack:
            check_links(table, hidden, seen, who, case)


def check_links(
    table: Table, hidden: Counter[tuple[Any, ...]], seen: Rows, who: Who, case: Case
) -> None:
    """Raise for a new row that links to a row of others."""
    for values in hidden:
        row = dict(zip(table.columns.keys(), values, strict=True))
        for own, target, keys in OWNERS[table].ends:
            named = tuple(row[key] for key in own)
            if None not in named and named not in {
                tuple(there[key] for key in keys) for there in seen[target]
            }:
                raise Difference("links to others' rows", who, case, f"{table}: {short(row)}")


@dataclass
class Report:
    """The counts of a run."""

    cases: int = 0
    executions: int = 0
    answered: int = 0
    invalid: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    refused_needlessly: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    nonempty: Counter[str] = field(default_factory=Counter)
    invalid_reasons: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    nonempty_cases: int = 0
    attacks: int = 0
    collisions: int = 0
    clean_errors: int = 0
    loaded_otherwise: int = 0
    differences: Counter[str] = field(default_factory=Counter)

    def add(self, other: Report) -> None:
        """Add the counts of another process."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            setattr(self, each.name, mine + theirs)


def check(world: World, case: Case, who: Who, report: Report, control: bool = False) -> None:
    """Compare the two sides of one case, for one identity."""
    if who is PLAIN:
        check_plain(world, case, report)
        return
    if who is NOBODY and case.writes:
        # There is no answer to compare with. Only global rows may be written.
        case = replace(case, attack=True, run_with=None)
    expected = on_reference(world, case, who, case.run)
    if expected.error is not None and not isinstance(expected.error, SQLAlchemyError):
        report.invalid += 1
        report.invalid_reasons[
            f"{type(expected.error).__name__}: {short(expected.error)[:90]}"
        ] += 1
        return
    reference_names = set(bind_names(world.executed_by_reference))
    reference_values = values_of(world.executed_by_reference)
    report.executions += 1
    if who is not NOBODY and expected.error is None:
        report.compared += 1
        if expected.size or changes(expected.dump, world.own[who]):
            report.nonempty_cases += 1
            report.nonempty.update(case.features)
    got = (
        on_everything(world, case, case.run) if control else on_isolated(world, case, who, case.run)
    )
    compare_outcomes(world, case, who, report, expected, got)
    if got.error is None and case.run_with is not None and not control:
        check_colliding_parameters(world, case, who, report, expected, reference_names)
        check_own_parameters(world, case, who, report, reference_values)


def changes(dump: Dump | None, before: Dump) -> bool:
    """Whether a case changed the rows."""
    return dump is not None and not all(alike(dump[table], before[table]) for table in TABLES)


def check_plain(world: World, case: Case, report: Report) -> None:
    """Check that a plain session sees all rows, on the same engine and its statement cache."""
    expected = on_reference(world, case, EVERYTHING, case.run)
    if expected.error is not None:
        return
    report.executions += 1
    got = on_everything(world, case, case.run)
    if got.error is not None:
        raise Difference("error in a plain session", PLAIN, case, short(got.error))
    report.answered += 1
    if canonical(expected.answer) != canonical(got.answer):
        text = differences(expected.answer, got.answer)
        raise Difference("a plain session is not plain", PLAIN, case, text)


def check_switching(world: World, case: Case, whos: list[Who], report: Report) -> None:
    """Run a case for several identities in turn, in one session."""
    expected = {
        who: on_reference(world, case, who, partial(run_unloaded, case=case)) for who in whos
    }
    with world.isolated() as session:
        for who in [*whos, *whos[:1]]:
            if expected[who].error is not None:
                return
            with acting(who):
                side = Side(world, session, who, isolated=True, loaded=False)
                got = attempt(partial(case.run, side))
            report.executions += 1
            try:
                compare_outcomes(world, case, who, report, expected[who], got)
            except Difference as difference:
                difference.kind = f"in one session: {difference.kind}"
                raise
            if got.error is not None:
                return


def run_unloaded(side: Side, case: Case) -> Any:
    side.loaded = False
    return case.run(side)


def compare_outcomes(
    world: World, case: Case, who: Who, report: Report, expected: Outcome, got: Outcome
) -> None:
    if got.refused:
        report.refused[reason_of(got.error)] += 1
        if not (case.attack or case.is_text or who is NOBODY) and expected.error is None:
            report.refused_needlessly[f"{case.name}: {reason_of(got.error)}"] += 1
        check_dump(world, case, who, expected, got)
        return
    check_dump(world, case, who, expected, got)
    if case.attack:
        if case.shows_nothing and got.answer:
            raise Difference("leak to another identity", who, case, short(got.answer))
        report.attacks += 1
        return
    if expected.error is not None:
        report.invalid += 1
        text = f"{type(expected.error).__name__}: {short(expected.error)[:90]}"
        report.invalid_reasons[text] += 1
        # Where plain SQLAlchemy loses a name or the database cannot plan, an answer has nothing to
        # be compared with. What was written was checked above.
        nothing_to_compare = (
            CAPTURES in case.features
            or is_lost_name(case, expected.error)
            or depends_on_the_plan(expected.error)
        )
        if got.error is None and not nothing_to_compare:
            raise Difference("no error", who, case, f"expected {short(expected.error)}")
        return
    if got.error is not None:
        if (
            case.may_fail
            or CAPTURES in case.features
            or is_collision(case, got.error)
            or is_lost_name(case, got.error)
            or depends_on_the_plan(got.error)
            or (case.may_conflict and isinstance(got.error, DBAPIError))
        ):
            report.clean_errors += 1
            return
        raise Difference("error", who, case, f"{type(got.error).__name__}: {short(got.error)}")
    if case.may_conflict:
        return
    report.answered += 1
    if canonical(expected.answer) != canonical(got.answer):
        if CAPTURES in case.features and canonical(got.answer) == canonical(
            on_reference(world, case, who, case.run, qualified=True).answer
        ):
            return
        if differ_in_what_is_loaded(expected.answer, got.answer):
            report.loaded_otherwise += 1
            return
        raise Difference(
            kind_of_difference(expected.answer, got.answer),
            who,
            case,
            differences(expected.answer, got.answer),
        )


def is_collision(case: Case, error: Exception) -> bool:
    """Whether an error says that a bind parameter has a name of isolation's own.

    SQLAlchemy does not compile such a statement, so the database does not get it.
    """
    return (
        OUR_NAME in case.features
        and isinstance(error, CompileError)
        and "conflicts with unique bind parameter" in str(error)
    )


# Names that tables of several schemas have. With two of them in a FROM, SQLAlchemy renames one.
SHARED_NAMES = {t.name for t in TABLES if sum(t.name == each.name for each in TABLES) > 1}
LOST_NAME = re.compile(
    r"(?:no such column|ambiguous column name): (?:\w+\.)?(\w+)\.\w+$|"  # SQLite
    r"FROM-clause entry for table \"(\w+)\"|table reference \"(\w+)\" is ambiguous",  # PostgreSQL
    re.MULTILINE,
)


def is_lost_name(case: Case, error: Exception | None) -> bool:
    """Whether a statement failed by SQLAlchemy's own confusion of tables with one name.

    For `FROM aux.tag, tag AS tag_1` SQLAlchemy writes tag.id in a subquery, and the database reads
    it as aux.tag.id: a wrong answer. Isolated, no table has that name, which is an error. An error
    shows no row of others. It is accepted for names in two schemas, and where a statement writes a
    table both with and without its schema.
    """
    found = LOST_NAME.search(str(error)) if isinstance(error, DBAPIError) else None
    if found is None:
        return False
    return "other table: schema" in case.features or set(found.groups()) & SHARED_NAMES != set()


# Errors of a database that depend on its plan, and so on the form of a statement: PostgreSQL's
# FULL JOIN on a condition other than equality, SQLite's ON that names a table to its right.
PLANNED = re.compile(r"FULL JOIN is only supported|ON clause references tables to its right")


def depends_on_the_plan(error: Exception | None) -> bool:
    """Whether the error is one that the same statement in another form may not have.

    An error shows no row of others. If the reference has it, there is no answer to compare with.
    """
    return isinstance(error, DBAPIError) and PLANNED.search(str(error)) is not None


def reason_of(error: Exception | None) -> str:
    name = type(error).__name__
    text = str(error)
    for table in sorted((table.name for table in TABLES), key=len, reverse=True):
        text = text.replace(table, "T")
    return f"{name}: {text[:60]}"


# --- Parameters that collide --------------------------------------------------

FORMER_NAMES = [
    "identity_tenant",
    "identity_user",
    "identity_text_tenant",
    "identity_text_user",
    "tenant_id",
    "user_id",
]


COLUMN_NAMES = {column.name for table in TABLES for column in table.columns}


def bind_names(executed: list[Any]) -> Iterator[str]:
    for _, _, compiled in executed:
        if compiled is not None:
            names = getattr(compiled, "bind_names", {}).values()  # DDL has none
            yield from (name for name in names if "%" not in name)


def check_colliding_parameters(
    world: World,
    case: Case,
    who: Who,
    report: Report,
    expected: Outcome,
    reference_names: set[str],
) -> None:
    """Pass owners of others by each name that isolation uses for its parameters."""
    ours = sorted(set(bind_names(world.executed)) - reference_names)
    # SQLAlchemy reads parameters with names of columns as values of SET, which changes the
    # statement. Other cases test owners that are set so ("owner by update parameter").
    former = {name for name in FORMER_NAMES if not (case.writes and name in COLUMN_NAMES)}
    names = sorted({*ours, *former} - reference_names)
    other_tenant = next(tenant for tenant in TENANTS if tenant != who.tenant)
    other_user = next(user for user in USERS if user != who.user)
    run_with = case.run_with
    assert run_with is not None

    def value(name: str, text: bool) -> uuid.UUID | str:
        found = other_user if "user" in name else other_tenant
        return str(found) if text else found

    for text in (len(case.features) % 2 == 0,):  # one form of the values for a case
        parameters = {name: value(name, text != ("text" in name)) for name in names}
        report.collisions += 1
        got = on_isolated(world, case, who, partial(run_with, parameters=parameters))
        if got.error is not None:
            report.clean_errors += 1
            check_dump(world, case, who, expected, got)
            continue
        try:
            compare_outcomes(world, case, who, Report(), expected, got)
        except Difference as difference:
            difference.kind = f"parameters: {difference.kind}"
            difference.text += f"; with {short(parameters)}"
            raise


def values_of(executed: list[Any]) -> dict[str, Any]:
    """Return the parameters of the first statement that was executed."""
    compiled = executed[0][2] if executed else None
    if not isinstance(compiled, SQLCompiler):
        return {}
    return {name: value for name, value in compiled.params.items() if "%" not in name}


def check_own_parameters(
    world: World, case: Case, who: Who, report: Report, values: Mapping[str, Any]
) -> None:
    """Pass another value for each parameter of the application, on both sides."""
    other_tenant = next(tenant for tenant in TENANTS if tenant != who.tenant)

    def other(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [other(each) for each in value]
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            return value + 1
        return other_tenant if isinstance(value, uuid.UUID) else f"{value}0"

    run_with = case.run_with
    assert run_with is not None
    parameters = {name: other(value) for name, value in values.items()}
    if not parameters:
        return
    report.collisions += 1
    run = partial(run_with, parameters=parameters)
    expected = on_reference(world, case, who, run)
    got = on_isolated(world, case, who, run)
    if expected.error is not None:
        return
    try:
        compare_outcomes(world, replace(case, may_fail=True), who, Report(), expected, got)
    except Difference as difference:
        difference.kind = f"own parameters: {difference.kind}"
        difference.text += f"; with {short(parameters)}"
        raise


logging.getLogger("flask_tenant_auth").addHandler(logging.NullHandler())
