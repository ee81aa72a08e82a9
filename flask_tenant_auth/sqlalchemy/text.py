"""SQL that is written as text, at each place where a compiler would write it as it is.

This module does not decide what a piece of SQL does. One constant, one operator or one plain name
is allowed, because no query can be one of these. Everything else raises `UnscopedStatement`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnClause, Dialect, quoted_name
from sqlalchemy.sql.compiler import IdentifierPreparer, SQLCompiler, TypeCompiler

from . import _compat
from .bounds import Bounds, Treatment
from .errors import UnscopedStatement

# SQLAlchemy itself writes these as text: the star and the 1 of COUNT and EXISTS, the names of
# classes in a polymorphic union. Signs that SQLAlchemy replaces in the finished SQL are left out.
STRING = r"'(?:[^'\\%\[]|''|%(?!\())*'"
CONSTANT = re.compile(rf"\*|[0-9]+|NULL|TRUE|FALSE|{STRING}", re.IGNORECASE)
# A value that a type of the application's own writes into the SQL.
LITERAL = re.compile(rf"-?[0-9]+(?:\.[0-9]+)?|NULL|TRUE|FALSE|{STRING}", re.IGNORECASE)
HEALTH_CHECK = re.compile(r"\s*select\s+1\s*;?\s*", re.IGNORECASE)
# As PostgreSQL defines operators: of these signs alone, without the beginning of a comment.
SIGNS = re.compile(r"(?!.*(?:--|/\*))[-+*/<>=~!@#%^&|`?:]+")
OPERATORS = frozenset(
    ("and", "or", "xor", "is", "is not", "is distinct from", "like", "ilike", "similar to")
) | {"glob", "match", "regexp", "rlike", "overlaps", "div", "mod", "collate", "at time zone"}
# The sign of a bind parameter, by the driver's style: no operator may hold it.
PLACEHOLDERS = {"qmark": "?", "named": ":", "numeric": ":"}
WORD = re.compile(r"\w+")
# A plain name, or the place of a schema that SQLAlchemy fills in with a quoted one.
NAME = re.compile(r"\w+|__\[SCHEMA_[^\[\]]+\]")
# The places that SQLAlchemy fills in when the SQL is finished: a name that holds one is no name.
FILLED_IN = re.compile(r"__\[(?!SCHEMA_[^\[\]]+\]\Z)|%\(")
# A type is words, numbers or texts in parentheses, words, and brackets; and no word of a query.
_WORDS = r'(?:"[^"]+"|\w+)(?:[ .](?:"[^"]+"|\w+))*'
_ARGUMENT = rf"(?:[0-9]+|max|{STRING})"
TYPE = re.compile(
    rf"{_WORDS}(?: ?\( ?{_ARGUMENT}(?:, ?{_ARGUMENT})* ?(?:char|byte)?\))?(?: {_WORDS})?"
    rf"(?:\([0-9]+\))?(?:\[[0-9]*\])*",
    re.IGNORECASE,
)
QUERY = re.compile(r"\b(?:select|table|values|from|union|intersect|except)\b", re.IGNORECASE)
QUOTED = re.compile(rf'"[^"]*"|{STRING}')
# What SQLAlchemy sends to steer a transaction. The whole text has to be one of these.
TRANSACTION_CONTROL = re.compile(
    r"BEGIN|COMMIT|ROLLBACK|(?:PREPARE TRANSACTION|(?:COMMIT|ROLLBACK) PREPARED) '\w+'"
    r"|(?:SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) \w+"
    # and to ask a sequence for its next number
    r"|select nextval\('[\w.\"]+'\)"
)
# Functions that execute the SQL in an argument, or read files and pages past the statement. This is
# a list of what is known, as is the next one: a function of the database may read what it likes.
RUNS_SQL = re.compile(
    r"(?:query|table|schema|database|cursor)_to_xml\w*|xpath_table|ts_stat|ts_rewrite|crosstab\w*"
    r"|connectby|dblink\w*|pg_logical_slot_\w+|pg_read_\w+|pg_ls_\w+|pg_stat_get_\w+|lo_\w+|lowrite"
    r"|loread|get_raw_page|heap_page_items|bt_page_items|load_extension|readfile|writefile|eval|edit"
    r"|fts3_tokenizer|load_file",
    re.IGNORECASE,
)
# Functions whose rows may stand in a FROM. Any other name there may be a table to the database, as
# in PostgreSQL's ONLY (note), or read one.
TABLE_FUNCTIONS = frozenset(
    (
        *("unnest", "generate_series", "generate_subscripts", "string_to_table"),
        *("json_each", "json_tree", "json_each_text", "jsonb_each", "jsonb_each_text"),
        *("json_array_elements", "json_array_elements_text", "json_object_keys"),
        *("jsonb_array_elements", "jsonb_array_elements_text", "jsonb_object_keys"),
        *("json_to_record", "json_to_recordset", "jsonb_to_record", "jsonb_to_recordset"),
        *("jsonb_path_query", "regexp_matches", "regexp_split_to_table"),
    )
)
# Tables of the database itself that hold values of everybody's rows, or everybody's statements.
SAMPLES = re.compile(r"pg_stat\w*|pg_largeobject|sqlite_stat\d|sqlite_dbpage|dbstat", re.IGNORECASE)


def unscoped_statement(what: str) -> UnscopedStatement:
    """Return the error for SQL that is written as text."""
    return UnscopedStatement(
        f"{what} cannot be bounded to the current tenant: write it with SQLAlchemy's constructs, "
        f"or say why every tenant's rows are needed with unscoped()"
    )


def is_operator(text: str, paramstyle: str) -> bool:
    """Whether text is one operator and nothing else."""
    words = " ".join(text.split())
    if PLACEHOLDERS.get(paramstyle, "\0") in words:
        return False
    return bool(SIGNS.fullmatch(words)) or words.lower() in OPERATORS


def is_transaction_control(sql: str) -> bool:
    """Whether SQL is exactly what SQLAlchemy sends to begin, end or nest a transaction."""
    return TRANSACTION_CONTROL.fullmatch(sql) is not None


class StrictNames(IdentifierPreparer):
    """Writes a name without quotes, where the application asks for that, only if it is plain."""

    def quote(self, ident: str, force: Any = None) -> str:
        """Return the name as it stands in SQL.

        :raises UnscopedStatement: for `quoted_name(..., quote=False)` of a name that needs
            quotes, and for a name in which SQLAlchemy would replace something.
        """
        if FILLED_IN.search(ident):
            raise unscoped_statement(f"The name {str(ident)!r}")
        if isinstance(ident, quoted_name) and ident.quote is False and not NAME.fullmatch(ident):
            raise unscoped_statement(f"The name {str(ident)!r}, written without quotes,")
        return super().quote(ident)


class StrictTypes(TypeCompiler):
    """Writes a type only if it is a type and nothing else."""

    def process(self, type_: Any, **options: Any) -> str:
        """Return the type as it stands in SQL.

        :raises UnscopedStatement: for a type whose arguments hold other SQL.
        """
        text = super().process(type_, **options)
        if not TYPE.fullmatch(text) or QUERY.search(QUOTED.sub("", text)):
            raise unscoped_statement(f"The type {text!r}")
        return text


def strict_names(base: type[Any]) -> type[Any]:
    """Return a dialect's class of names, made strict."""
    return type(f"Strict{base.__name__}", (StrictNames, base), {})


def strict_types(base: type[Any]) -> type[Any]:
    """Return a dialect's class of types, made strict."""
    return type(f"Strict{base.__name__}", (StrictTypes, base), {})


class TextCompiler(SQLCompiler):
    """Writes SQL that is written as text only where its treatment allows that."""

    def __init__(self, dialect: Dialect, *args: Any, **options: Any) -> None:
        self.treatment: Treatment = dialect.flask_tenant_auth_treatment  # type: ignore[attr-defined]
        self.bounds = Bounds()
        super().__init__(dialect, *args, **options)

    def _require(self, harmless: object, written: str) -> None:
        if not harmless and not self.treatment.allows_text:
            raise unscoped_statement(f"The SQL {written!r}, written as text,")
        self.bounds.holds_text = self.bounds.holds_text or not harmless

    def visit_textclause(self, textclause: Any, *args: Any, **options: Any) -> str:
        """Write text()."""
        alone = not self.stack and HEALTH_CHECK.fullmatch(textclause.text)
        self._require(alone, textclause.text)
        return super().visit_textclause(textclause, *args, **options)

    def visit_tstring(self, tstring: Any, *args: Any, **options: Any) -> str:
        """Write a t-string."""
        self._require(None, str(tstring))
        written: str = super().visit_tstring(tstring, *args, **options)  # type: ignore[misc, unused-ignore] # of SQLAlchemy 2.1
        return written

    def _is_operator(self, operator: Any) -> bool:
        return is_operator(operator.opstring, str(self.dialect.paramstyle))

    def visit_custom_op_binary(self, element: Any, operator: Any, **options: Any) -> str:
        """Write an operator that is given as text, between two operands."""
        self._require(self._is_operator(operator), operator.opstring)
        return super().visit_custom_op_binary(element, operator, **options)

    def visit_custom_op_unary_operator(self, element: Any, operator: Any, **options: Any) -> str:
        """Write an operator that is given as text, before its operand."""
        self._require(self._is_operator(operator), operator.opstring)
        return super().visit_custom_op_unary_operator(element, operator, **options)

    def visit_custom_op_unary_modifier(self, element: Any, operator: Any, **options: Any) -> str:
        """Write an operator that is given as text, behind its operand."""
        self._require(self._is_operator(operator), operator.opstring)
        return super().visit_custom_op_unary_modifier(element, operator, **options)

    def visit_extract(self, extract: Any, **options: Any) -> str:
        """Write EXTRACT, whose field is text."""
        self._require(WORD.fullmatch(extract.field), extract.field)
        return super().visit_extract(extract, **options)

    def visit_function(self, func: Any, *args: Any, **options: Any) -> str:
        """Write a function, unless it executes SQL that it is given."""
        rows = options.get("asfrom") and func.name.casefold() not in TABLE_FUNCTIONS
        if rows and not self.treatment.allows_text:
            raise unscoped_statement(
                f"The function {func.name} in a FROM, which may be or read any table,"
            )
        if RUNS_SQL.fullmatch(func.name) and not self.treatment.allows_text:
            raise unscoped_statement(f"The function {func.name}, which reads past the statement,")
        return super().visit_function(func, *args, **options)

    def get_statement_hint_text(self, hint_texts: Iterable[str]) -> str:
        """Write hints on a statement, which are text."""
        hints = list(hint_texts)
        self._require(None, " ".join(hints))
        return super().get_statement_hint_text(hints)

    def format_from_hint_text(self, sqltext: str, table: Any, hint: str, iscrud: bool) -> str:
        """Write a hint on a table, which is text but for PostgreSQL's ONLY."""
        self._require(hint.upper() == "ONLY", hint)
        return super().format_from_hint_text(sqltext, table, hint, iscrud)

    def get_select_hint_text(self, byfroms: Mapping[Any, str]) -> str | None:
        """Write hints at the head of a SELECT, which are text."""
        for hint in byfroms.values():
            self._require(hint.upper() == "ONLY", hint)
        return super().get_select_hint_text(byfroms)

    def visit_column(self, column: ColumnClause[Any], *args: Any, **options: Any) -> str:
        """Write a column; literal_column() is text."""
        if column.is_literal:
            self._require(CONSTANT.fullmatch(column.name), column.name)
        return super().visit_column(column, *args, **options)

    def render_literal_value(self, value: Any, type_: Any) -> str:
        """Write a value into the SQL, as a type does it."""
        written = super().render_literal_value(value, type_)
        builtin = type(type_).__module__.startswith("sqlalchemy.")
        harmless = not FILLED_IN.search(written) and (builtin or LITERAL.fullmatch(written))
        self._require(harmless, written)
        return written

    def visit_in_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        """Write IN, whose right side may be the name of a table to SQLite."""
        self._require(not isinstance(binary.right, ColumnClause), str(binary.right))
        return _compat.generic_binary(self, binary, " IN ", **options)

    def visit_not_in_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        """Write NOT IN, likewise."""
        self._require(not isinstance(binary.right, ColumnClause), str(binary.right))
        return super().visit_not_in_op_binary(binary, operator, **options)
