"""Which tenants' tables a piece of SQL names, and whether each place is bounded.

SQLAlchemy adds the conditions (see criteria.py). This is the check that it added them everywhere:
it reads the SQL that is about to leave for the database, once for each compiled statement, so that
a place which nobody thought of is refused instead of answered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnClause, TextClause, TextualSelect
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.operators import custom_op

from .criteria import bounds_of, plain_names
from .errors import UnscopedStatement
from .models import OwnedTable, catalogue
from .rows import written_table

# Words that may follow a table's name and are no alias of it.
NO_ALIAS = (
    "on|where|join|left|right|full|inner|outer|cross|natural|group|order|having|limit|offset|fetch"
    "|union|intersect|except|set|values|returning|for|using|window|default|tablesample|when"
)
HEALTH_CHECK = re.compile(r"\s*select\s+1\s*;?\s*", re.IGNORECASE)
STRING = re.compile(r"'(?:[^']|'')*'")
UNRULY = re.compile(
    r"--|/\*|[;#'\\]|\b(?:select|table|call|from|join|union|intersect|except|values)\b",
    re.IGNORECASE,
)
ALTERNATIVE = re.compile(r"\b(?:or|xor)\b", re.IGNORECASE)
DEFAULT_SCHEMAS = {"main", "public", "dbo"}
LOCKED = re.compile(r"\bfor (?:no key |key )?(?:update|share) of [\w., ]+")


@lru_cache(maxsize=8)
def pattern_for(names: frozenset[tuple[str | None, str]]) -> re.Pattern[str]:
    """Return the place of a table in SQL: after a word that introduces one, or after a comma."""
    plain = {plain_names(f'"{name}"') for _, name in names}
    schemas = {plain_names(f'"{schema}"') for schema, _ in names if schema} | DEFAULT_SCHEMAS
    table = "|".join(sorted(map(re.escape, plain)))
    # After a comma a dotted name is most often a column, unless what is before the dot is a schema.
    schema = rf"(?:(?:{'|'.join(sorted(map(re.escape, schemas)))})\s*\.\s*)?"
    return re.compile(
        rf"(?:\b(?P<word>from|join|into|update|only|lateral|table)[\s(]+(?:\w+\s*\.\s*)*"
        rf"|\busing\s+(?:\w+\s*\.\s*)*|,[\s(]*{schema})"
        rf"(?P<table>{table})(?![\w$])(?!\s*[.=]|\s+from\b)"
        rf"(?:\s+(?:as\s+)?(?!(?:{NO_ALIAS})\b)(?P<alias>\w+))?"
    )


@lru_cache(maxsize=1024)
def places_in(sql: str, names: frozenset[tuple[str | None, str]]) -> tuple[tuple[str, str], ...]:
    """(table, its name in the statement) for every place where SQL reads or writes one of them."""
    if not names:
        return ()
    text = LOCKED.sub("", plain_names(sql))
    return tuple(
        (found["table"], found["alias"] or found["table"])
        for found in pattern_for(names).finditer(text)
    )


def named_tables(sql: str) -> set[str]:
    """Return the tenants' tables that this SQL names."""
    return {table for table, _ in places_in(sql, names_of(catalogue.all().values()))}


def plain_name(table: Any) -> str:
    """Return the table's name as places_in() gives it."""
    return plain_names(f'"{table.name}"')


def names_of(tables: Iterable[OwnedTable]) -> frozenset[tuple[str | None, str]]:
    """Return the names to look for."""
    return frozenset((owned.table.schema, owned.table.name) for owned in tables)


def is_orm(statement: Any) -> bool:
    """Whether the ORM compiles this statement."""
    return bool(statement._propagate_attrs.get("compile_state_plugin") == "orm")


def parts_of(statement: Any) -> Iterator[Any]:
    """Return the elements of a statement and of the conditions in its options."""
    yield from visitors.iterate(statement)
    for option in getattr(statement, "_with_options", ()):
        criteria = [getattr(option, "where_criteria", None)]
        for load in getattr(option, "context", ()):
            criteria.extend(load._extra_criteria)
        for criterion in criteria:
            if isinstance(criterion, ClauseElement):
                yield from visitors.iterate(criterion)


def fragments_of(statement: Any) -> Iterator[str]:
    """Return the SQL in a statement that somebody wrote as text."""
    for part in parts_of(statement):
        if isinstance(part, TextualSelect) or getattr(part, "_is_text_clause", False):
            yield str(part)
        elif isinstance(part, ColumnClause) and part.is_literal:
            yield part.name
        elif isinstance(getattr(part, "operator", None), custom_op):
            yield part.operator.opstring
        for affix, _ in (*getattr(part, "_prefixes", ()), *getattr(part, "_suffixes", ())):
            yield str(affix)
        for _, hint in getattr(part, "_statement_hints", ()):
            yield hint
        yield from getattr(part, "_hints", {}).values()


def is_harmless(fragment: str) -> bool:
    """Whether SQL written as text can neither read a table nor end the condition it stands in.

    A condition is joined to ours with AND, as it is: an OR outside of parentheses, or a comment,
    would take ours away.
    """
    sql = STRING.sub("", fragment)
    if UNRULY.search(sql):
        return False
    flat, depth = [], 0
    for character in sql:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
        if depth == 0:
            flat.append(character)
    return depth == 0 and not ALTERNATIVE.search("".join(flat))


def is_joined(sql: str, table: OwnedTable, alias: str, family: set[str]) -> bool:
    """Whether a subclass's table is joined by its key to the tables that say whose its rows are."""
    key = plain_names(f'"{next(iter(table.table.primary_key)).name}"')
    own = rf"(?<![\w.]){alias}\.{key}(?!\w)"
    found = re.finditer(
        rf"(\w+)\.\w+ = {own}|{own} = (\w+)\.|\(?{own}(?:, [^()]*\))? in \(select (\w+)\.", sql
    )
    return any(match[match.lastindex or 0] in family for match in found)


def refusal(what: str) -> UnscopedStatement:
    """Return the error for a statement that cannot be bounded."""
    return UnscopedStatement(
        f"{what} cannot be bounded to the current tenant: write it with the mapped class as an "
        f"entity of an ORM statement (select_from() names one that is only mentioned), or say why "
        f"every tenant's rows are needed with unscoped()"
    )


def check(compiled: Any, sql: str, admin: bool) -> UnscopedStatement | None:
    """Raise UnscopedStatement unless every tenants' table in a compiled statement is bounded.

    What is returned is to be raised too, unless it is a flush that executes the statement: the
    unit of work writes link tables by themselves.
    """
    statement = compiled.statement
    if isinstance(statement, (TextClause, TextualSelect)) and not HEALTH_CHECK.fullmatch(sql):
        raise refusal("text()")
    tables = {plain_name(owned.table): owned for owned in catalogue.by_name().values()}
    places = Counter(places_in(sql, names_of(catalogue.all().values())))
    if not places:
        return None
    refuse_unruly_text(statement)
    if compiled.isinsert:
        # Whose the new row is, was settled before the statement was compiled.
        target = plain_name(written_table(statement))
        places.subtract([(target, target)])
    link = None
    for (name, alias), times in places.items():
        table = tables.get(name)
        if table is None or times <= 0:
            continue
        if table.kind == "link" and not is_orm(statement):
            link = refusal(f"the link table {table.table.name} by itself")
        elif table.kind == "subclass":
            family = {other for each, other in places if tables[each].root is table.root}
            if not is_joined(plain_names(sql), table, alias, family - {alias}):
                raise refusal(f"the table {table.table.name} by itself")
        elif table.kind == "rows" and not is_bounded(compiled, table, alias, times, admin):
            raise refusal(f"the use of {table.table.name} in this statement")
    return link


def refuse_unruly_text(statement: Any) -> None:
    """Raise UnscopedStatement for SQL, written as text, that could undo a condition."""
    for fragment in fragments_of(statement):
        if not is_harmless(fragment):
            raise refusal(f"the SQL {fragment!r}, written as text,")


def is_bounded(compiled: Any, table: OwnedTable, alias: str, times: int, admin: bool) -> bool:
    """Return whether each of so many places of a table has its conditions."""
    owners = ["tenant"] if admin or table.user is None else ["tenant", "user"]
    return all(bounds_of(compiled).count(owner, alias) >= times for owner in owners)
