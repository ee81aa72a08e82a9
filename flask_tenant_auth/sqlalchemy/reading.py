"""The one place where a scoped table is written into SQL.

SQLAlchemy's compiler writes every table of every statement, whichever API made it. The compiler of
this module writes a scoped table in a FROM as ``(SELECT * FROM mailbox WHERE <condition>) AS
mailbox``. The database makes the same plan for it as for the condition in the WHERE.

The values of the conditions are not in the statement: `construct_params` sets them when it is
executed, after all parameters of the application. So all identities share a compiled statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnClause, Dialect, Table, TableClause
from sqlalchemy.sql.dml import UpdateBase

from .._core import Identity
from . import _compat
from .bounds import OwnValue, WrittenValue
from .catalogue import Link, OwnedTable, Place, catalogue
from .errors import IsolationError, TenantContextMissing, UnscopedStatement
from .scope import current_scope
from .text import SAMPLES, TextCompiler, unscoped_statement
from .values import own_value, written_value


class _Around(NamedTuple):
    """Stands for an alias around a table: SQLAlchemy reads its element."""

    element: Any


class BoundedReading(TextCompiler):
    """Writes statements so that they read rows of the current identity alone."""

    def __init__(self, dialect: Dialect, *args: Any, **options: Any) -> None:
        self._own_values: dict[tuple[str, object], OwnValue] = {}
        # The table that is being written as the target of a statement, until it is written.
        self._target: Any = None
        super().__init__(dialect, *args, **options)

    def visit_table(  # type: ignore[override]
        self,
        table: Any,
        asfrom: bool = False,
        ashint: bool = False,
        enclosing_alias: Any = None,
        ambiguous_table_name_map: Mapping[str, Any] | None = None,
        within_tstring: bool = False,
        **options: Any,
    ) -> str:
        """Write a table; a scoped one as the subquery of the rows that the identity may see."""
        target, self._target = self._target, None
        written = asfrom or ashint or within_tstring
        owned = self._owned(table) if written else None
        if owned is None or ashint or table == target:
            if ashint and owned is not None and table.schema is not None and not enclosing_alias:
                return self._renamed(table)
            return super().visit_table(
                table,
                asfrom=asfrom,
                ashint=ashint,
                enclosing_alias=enclosing_alias,
                ambiguous_table_name_map=ambiguous_table_name_map,
                within_tstring=within_tstring,
                **options,
            )
        plain = super().visit_table(
            table,
            asfrom=True,
            enclosing_alias=_Around(table),  # its name is written outside
            ambiguous_table_name_map=ambiguous_table_name_map,
            **options,
        )
        rows = self._rows(table, plain, owned, options)
        if enclosing_alias is not None and enclosing_alias.element is table:
            return rows  # the alias writes its own name behind it
        name = self._renamed(table)
        if not self._schema(table) and table.name in (ambiguous_table_name_map or ()):
            generated = ambiguous_table_name_map[table.name]  # type: ignore[index]
            name = self.preparer.quote(_compat.truncated_alias(self, generated))
        return rows + self.get_render_as_alias_suffix(name)

    def _rows(self, table: Any, plain: str, owned: OwnedTable, options: Any) -> str:
        """Write the subquery of a table's rows that the identity may see."""
        star = "*"
        for column in table.c:
            if getattr(column, "system", False):  # as PostgreSQL's xmin, which a star leaves out
                star += f", {self.preparer.quote(column.name)}"
        return f"(SELECT {star} FROM {plain} WHERE {self._condition(owned, '', options)})"

    def visit_tablesample(self, tablesample: Any, asfrom: bool = False, **options: Any) -> str:
        """Write TABLESAMPLE inside the subquery, because it takes only a table."""
        table = tablesample.element
        owned = self._owned(table) if isinstance(table, TableClause) and asfrom else None
        if owned is None:
            return super().visit_tablesample(tablesample, asfrom=asfrom, **options)
        plain = super().visit_table(table, asfrom=True, enclosing_alias=_Around(table))
        plain += f" TABLESAMPLE {self.process(_compat.sampling_method(tablesample), **options)}"
        if tablesample.seed is not None:
            plain += f" REPEATABLE ({self.process(tablesample.seed, **options)})"
        name = self.preparer.quote(_compat.alias_name(self, tablesample))
        return self._rows(table, plain, owned, options) + self.get_render_as_alias_suffix(name)

    def visit_column(
        self,
        column: ColumnClause[Any],
        *args: Any,
        include_table: bool = True,
        **options: Any,
    ) -> str:
        """Write a column. If a subquery stands for its table, write the name of the subquery."""
        table: Any = column.table
        if include_table and self._is_renamed(table):
            name = super().visit_column(column, *args, include_table=False, **options)
            return f"{self._renamed(table)}.{name}"
        return super().visit_column(column, *args, include_table=include_table, **options)

    def visit_table_valued_column(self, element: Any, **options: Any) -> str:
        """Write a whole row as a value."""
        table = element.scalar_alias
        if self._is_renamed(table):
            return self._renamed(table)
        return super().visit_table_valued_column(element, **options)

    def _renamed(self, table: Any) -> str:
        """Return the name of a table's subquery, which has no schema.

        It has no dot: SQLite takes a dot in the name of a joined table for the end of a schema.
        """
        return self.preparer.quote(str(table.fullname).replace(".", ":"))

    def _is_renamed(self, table: Any) -> bool:
        """Whether a subquery stands for a column's table here, without the name of its schema."""
        if not isinstance(table, TableClause) or self.treatment.forbids:
            return False
        if not self._schema(table) or self._owned(table) is None:
            return False
        for frame in _compat.compiler_frames(self):
            statement = frame.get("selectable")
            if isinstance(statement, UpdateBase) and _compat.dml_target(statement) == table:
                return False
            if table in frame["asfrom_froms"]:
                return True
        return True

    def _schema(self, table: Any) -> Any:
        """Return the schema of a table, after a translation of schemas."""
        return self.preparer.schema_for_object(table) if isinstance(table, Table) else table.schema

    def visit_cte(self, cte: Any, *args: Any, **options: Any) -> str | None:
        """Write a CTE; raise if its name would replace a scoped table inside our subqueries."""
        if not _compat.is_generated(cte.name) and cte.name.casefold() in catalogue.names():
            raise UnscopedStatement(
                f"the CTE {cte.name} has the name of a scoped table: give it another name"
            )
        return super().visit_cte(cte, *args, **options)

    def _owned(self, table: Any) -> OwnedTable | None:
        """Return what is known about a table.

        :raises UnscopedStatement: when it cannot be bounded, or may not be used here.
        """
        if not self.treatment.allows_text and SAMPLES.fullmatch(str(table.name)):
            raise unscoped_statement(f"{table.name}, which holds values of all rows,")
        strict = not self.treatment.allows_text
        if strict and len(str(table.name).encode()) > self.dialect.max_identifier_length:
            raise unscoped_statement(f"{table.name}, which the database cuts to another name,")
        place = Place(
            self.dialect.default_schema_name,
            self.treatment.elsewhere,
            translates_schemas=bool(self.schema_translate_map),
            forbids_unknown=strict,
        )
        owned = catalogue.find(table, place)
        if owned is None:
            return None
        if owned.fault is not None:
            raise UnscopedStatement(f"{table.name} cannot be bounded: {owned.fault}")
        if self.treatment.forbids:
            raise outside_session(str(table.name))
        return owned

    # The condition

    def _condition(self, owned: OwnedTable, prefix: str, options: Mapping[str, Any]) -> str:
        """Write the condition on a table's rows; the prefix is written before its columns."""
        quote = self.preparer.quote
        parts = [
            f"{prefix}{quote(column.name)} = {self._own(owner, column, options)}"
            for owner, column in owned.owners
            if owner == "tenant_id" or not self.treatment.whole_tenant
        ]
        parts += [self._link_condition(link, prefix, options) for link in owned.links]
        optional = [link for link in owned.links if link.optional]
        if len(optional) == len(parts):  # a row that names no other row in full belongs to nobody
            named = (
                " AND ".join(f"{prefix}{quote(column.name)} IS NOT NULL" for column in link.columns)
                for link in optional
            )
            parts.append(f"({' OR '.join(named)})")
        return " AND ".join(parts)

    def _link_condition(self, link: Link, prefix: str, options: Mapping[str, Any]) -> str:
        quote = self.preparer.quote
        columns = [f"{prefix}{quote(column.name)}" for column in link.columns]
        theirs = ", ".join(quote(column.name) for column in link.target_columns)
        self._owned(link.target.table)  # raises where several tables may have this name
        table = self.preparer.format_table(link.target.table)
        rows = f"SELECT {theirs} FROM {table} WHERE {self._condition(link.target, '', options)}"
        row = columns[0] if len(columns) == 1 else f"({', '.join(columns)})"
        condition = f"{row} IN ({rows})"
        if link.optional:
            absent = " OR ".join(f"{column} IS NULL" for column in columns)
            condition = f"({absent} OR {condition})"
        return condition

    def _own(self, owner: str, column: Column[Any], options: Mapping[str, Any]) -> str:
        """Write the value that a column of the identity's rows holds, as a bind parameter."""
        key = owner, _compat.type_key(column.type)
        if key not in self._own_values:
            self._own_values[key] = OwnValue.make(owner, column)
        # Whatever counts the binds of VALUES must count these as well.
        counting = {
            name: options[name]
            for name in ("accumulate_bind_names", "visited_bindparam")
            if options.get(name) is not None
        }
        return self.process(self._own_values[key], **counting)

    def visit_bindparam(  # type: ignore[override]
        self, bindparam: Any, **options: Any
    ) -> str:
        """Write a bind parameter, and note by which name its value is set or checked."""
        ours = isinstance(bindparam, OwnValue | WrittenValue)
        if ours and options.get("literal_binds"):
            options["literal_binds"] = False
        written = super().visit_bindparam(bindparam, **options)
        if ours and not options.get("skip_bind_expression"):
            name = self.bind_names[bindparam]
            if isinstance(bindparam, OwnValue):
                self.bounds.own[name] = bindparam.owner, bindparam.form
            else:
                for meaning, position in bindparam.written:
                    meaning.names[position] = name
        return written

    def construct_params(self, *args: Any, **options: Any) -> Any:
        """Return the values of all bind parameters: the identity's own are set last."""
        values = super().construct_params(*args, **options)
        bounds = self.bounds
        if bounds.own or bounds.owners:
            scope = current_scope()
            identity = scope if isinstance(scope, Identity) else None
            for name, (owner, form) in bounds.own.items():
                # Without an identity NULL, which equals nothing. The execution raises as well.
                values[name] = identity and own_value(owner, identity, form)
            for written in bounds.owners:
                name = str(written.names[0])
                if identity is None:
                    continue
                value = values[name]
                values[name] = (
                    own_value(written.owner, identity, written.form)
                    if value is None and written.stamps
                    else written_value(written.owner, value, identity, written.form)
                )
        return values


def outside_session(names: str) -> IsolationError:
    """Return the error for a statement on scoped tables, by a connection of no isolated session."""
    if current_scope() is None:
        return TenantContextMissing(f"a statement on {names} without an identity")
    return unscoped_statement(f"a statement on {names}, by a connection of no isolated session,")
