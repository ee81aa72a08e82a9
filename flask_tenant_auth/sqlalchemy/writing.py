"""How statements write scoped tables: the rows that they change, and the owners of new rows.

An UPDATE or DELETE gets the condition in its WHERE. A value for a column that says whose a row is
becomes a bind parameter, which is checked when the statement is executed. Where the application
wrote an expression, it becomes an expression that is NULL for any other owner than the identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    Alias,
    BindParameter,
    Column,
    ColumnClause,
    Select,
    TableClause,
    case,
    select,
    tuple_,
)
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ClauseElement, Null

from . import _compat
from .bounds import BoundedWhere, OwnValue, WrittenLink, WrittenOwner, WrittenValue
from .catalogue import Link, OwnedTable
from .errors import UnscopedStatement
from .reading import BoundedReading
from .values import foreign, form_of


class BoundedWriting(BoundedReading):
    """Writes statements so that they write rows of the current identity alone."""

    def visit_insert(self, insert_stmt: Any, *args: Any, **options: Any) -> str:
        """Write an INSERT whose rows belong to the identity."""
        if _compat.selected_names(insert_stmt):
            insert_stmt = self._with_owned_select(insert_stmt)
        bounded = _compat.with_dml_state(insert_stmt, self._bound_insert)
        return self._all_checked(super().visit_insert(bounded, *args, **options))

    def visit_update(self, update_stmt: Any, *args: Any, **options: Any) -> str:
        """Write an UPDATE of rows of the identity, which belong to it afterwards too."""
        bounded = _compat.with_dml_state(update_stmt, self._bound_change)
        return self._all_checked(super().visit_update(bounded, *args, **options))

    def visit_delete(self, delete_stmt: Any, *args: Any, **options: Any) -> str:
        """Write a DELETE of rows of the identity."""
        bounded = _compat.with_dml_state(delete_stmt, self._bound_change)
        return super().visit_delete(bounded, *args, **options)

    def _all_checked(self, written: str) -> str:
        """Return a statement. Raise unless each value to be checked is a bind parameter of it."""
        written_values: list[WrittenOwner | WrittenLink] = [*self.bounds.owners, *self.bounds.links]
        for value in written_values:
            if None in value.names:
                raise UnscopedStatement("a value that says whose a row is cannot be checked here")
        return written

    def update_tables_clause(self, update_stmt: Any, from_table: Any, *args: Any, **kw: Any) -> str:
        """Write the table of an UPDATE by its name."""
        self._target = _unaliased(from_table)
        return super().update_tables_clause(update_stmt, from_table, *args, **kw)

    def delete_table_clause(self, delete_stmt: Any, from_table: Any, *args: Any, **kw: Any) -> str:
        """Write the table of a DELETE by its name."""
        self._target = _unaliased(from_table)
        return super().delete_table_clause(delete_stmt, from_table, *args, **kw)

    def _written_table(self, statement: Any) -> OwnedTable | None:
        target = _unaliased(_compat.dml_target(statement))
        if isinstance(target, TableClause):
            return self._owned(target)
        for part in _compat.tables_in(target):
            if isinstance(part, TableClause) and self._owned(part) is not None:
                raise UnscopedStatement(
                    f"a statement that writes a join cannot be bounded: write {part.name} alone"
                )
        return None

    def _bound_change(self, state: Any) -> None:
        """Bound an UPDATE or DELETE, once its table and columns are known."""
        statement = state.statement
        owned = self._written_table(statement)
        if owned is None:
            return
        target = _compat.dml_target(statement)
        if state.isupdate:
            self._bound_values(state, owned, target)
        name = (
            self.preparer.quote(_compat.alias_name(self, target))
            if isinstance(target, Alias)
            else self.preparer.format_table(target)
        )
        where = BoundedWhere(_compat.where_of(statement), owned, f"{name}.")
        state.statement = _compat.with_where(state.statement, where)

    def _bound_insert(self, state: Any) -> None:
        """Bound an INSERT, once its table and columns are known."""
        owned = self._written_table(state.statement)
        if owned is not None and not _compat.selected_names(state.statement):
            self._bound_values(state, owned, _compat.dml_target(state.statement))

    def visit_flask_tenant_auth_where(self, element: BoundedWhere, **options: Any) -> str:
        """Write the application's conditions in parentheses, and ours behind them."""
        own = self._condition(element.owned, element.prefix, options)
        given = _compat.conjunction(self, element.criteria, **options) if element.criteria else ""
        return f"({given}) AND {own}" if given else own

    def _bound_values(self, state: Any, owned: OwnedTable, target: Any) -> None:
        """Have every value checked that is for a column that says whose a row is."""
        rows = [dict(row) for row in _compat.value_rows(state)]
        checked_columns = [column for _, column in owned.owners]
        checked_columns += [column for link in owned.links for column in link.columns]
        for row in rows:
            forbid_parts_of(checked_columns, row)
        in_values = _compat.has_value_rows(state)
        for number, row in enumerate(rows):
            bounder = _RowBounder(self, state, row, number if in_values else None)
            for owner, column in owned.owners:
                bounder.owner(owner, _own_column(target, column), column)
            for link in owned.links:
                bounder.link(link, [_own_column(target, column) for column in link.columns])
        _compat.set_value_rows(state, rows)

    def _with_owned_select(self, statement: Any) -> Any:
        """Return INSERT ... SELECT whose rows belong to the identity.

        An owner that the SELECT leaves out is filled in. Another owner than the identity becomes
        NULL, which the column does not accept.
        """
        owned = self._written_table(statement)
        if owned is None:
            return statement
        target = _compat.dml_target(statement)
        names = _compat.selected_names(statement)
        declared = {_own_column(target, column).key: column for _, column in owned.owners}
        own = {
            _own_column(target, column).key: OwnValue.make(owner, column)
            for owner, column in owned.owners
            if owner == "tenant_id"
            or not self.treatment.whole_tenant
            or _own_column(target, column).key not in names
        }
        if isinstance(statement.select, Select) and not owned.links and not own.keys() & names:
            rows = statement.select.add_columns(*own.values())
            return _compat.with_select(statement, [*names, *own], rows)
        source = statement.select.subquery()
        if len(source.c) != len(names):
            raise UnscopedStatement(
                f"INSERT into {target.name} from a SELECT needs a column for each of "
                f"{', '.join(names)}"
            )
        values: dict[str, Any] = dict(zip(names, source.c, strict=True))
        for key, value in own.items():
            given = values.get(key)
            if given is not None:
                require_not_null([declared[key]])
            values[key] = value if given is None else case((given == value, given))
        for link in owned.links:
            keys = [_own_column(target, column).key for column in link.columns]
            said = [key for key in keys if key in values]
            if said and len(said) == len(keys):
                require_not_null(link.columns)
                seen = _names_seen_row(link, [values[key] for key in keys])
                values.update({key: case((seen, values[key])) for key in keys})
            elif said:
                raise UnscopedStatement(
                    f"INSERT into {target.name} from a SELECT has to say all of {', '.join(keys)}"
                )
            else:
                require_link(link, inserts=True)
        return _compat.with_select(statement, list(values), select(*values.values()))

    # ON CONFLICT

    def visit_on_conflict_do_update(self, on_conflict: Any, **options: Any) -> str:
        """Write an upsert that changes rows of the identity, which belong to it afterwards too."""
        target = _compat.dml_target(self.current_executable)
        owned = self._owned(target)
        visit = super().visit_on_conflict_do_update  # type: ignore[misc]
        if owned is None:
            return visit(on_conflict, **options)
        clause = _compat.copy_of(on_conflict)
        columns = [column for _, column in owned.owners]
        columns += [column for link in owned.links for column in link.columns]
        forbid_parts_of(columns, dict(on_conflict.update_values_to_set))
        checked_columns = {_own_column(target, column): owner for owner, column in owned.owners}
        checked_columns |= {
            _own_column(target, each): None for one in owned.links for each in one.columns
        }
        clause.update_values_to_set = [
            (key, self._upserted(key, value, checked_columns, target))
            for key, value in dict(on_conflict.update_values_to_set).items()
        ]
        criteria = [] if clause.update_whereclause is None else [clause.update_whereclause]
        name = self.preparer.quote(target.name)
        clause.update_whereclause = BoundedWhere(criteria, owned, f"{name}.")
        return visit(clause, **options)

    def _upserted(
        self, key: Any, value: Any, checked_columns: Mapping[Any, str | None], target: Any
    ) -> Any:
        """Return the value of an upsert's SET; one for an owner is checked."""
        said = {str(getattr(key, name, key)).casefold() for name in ("key", "name")}
        for column, owner in checked_columns.items():
            if not said & {column.key.casefold(), column.name.casefold()}:
                continue
            if _is_excluded(value, column):
                return value  # of the row that was to be inserted, which is checked
            if owner is None or not isinstance(value, BindParameter):
                if isinstance(value, ClauseElement) or owner is None:
                    raise UnscopedStatement(
                        f"ON CONFLICT DO UPDATE must not set {column} to an expression"
                    )
                value = BindParameter(None, value, type_=column.type, unique=True)
            declared = next(each for named, each in self._owners_of(target) if named == owner)
            checked: WrittenValue = _compat.bind_copy(value, WrittenValue)
            checked.type = declared.type
            form = form_of(declared)
            meaning = WrittenOwner(owner, target.name, form, stamps=False)
            self.bounds.owners.append(meaning)
            return checked.also(meaning)
        return value

    def _owners_of(self, target: Any) -> list[tuple[str, Column[Any]]]:
        owned = self._owned(target)
        return [] if owned is None else owned.owners

    def visit_on_duplicate_key_update(self, on_duplicate: Any, **options: Any) -> str:
        """Raise for MySQL's upsert of a scoped table: it has no WHERE."""
        target = _compat.dml_target(self.current_executable)
        if self._owned(target) is not None:
            raise UnscopedStatement(f"ON DUPLICATE KEY UPDATE of {target.name} cannot be bounded")
        return super().visit_on_duplicate_key_update(on_duplicate, **options)  # type: ignore[misc]


class _RowBounder:
    """Replaces those values of one row that say whose the row is."""

    def __init__(
        self, compiler: BoundedWriting, state: Any, row: dict[Any, Any], number: int | None
    ) -> None:
        self.compiler = compiler
        self.inserts = state.isinsert
        self.row = row
        self.number = number

    def owner(self, owner: str, column: Any, declared: Column[Any]) -> None:
        """Check a value for an owner; in an INSERT, fill it in where there is none.

        The statement's own table object may not know the types of its columns. So the value that is
        filled in has the form of the declared column.
        """
        meaning = WrittenOwner(owner, declared.table.name, form_of(declared), stamps=self.inserts)
        key, value = self._given(column)
        if key is None and not self.inserts:
            if declared.onupdate is not None or declared.server_onupdate is not None:
                raise UnscopedStatement(f"{declared} says whose a row is: it cannot have onupdate")
            return
        if isinstance(value, Null) and self.inserts:
            value = None
        if isinstance(value, ClauseElement) and not isinstance(value, BindParameter):
            if not self.inserts:
                raise foreign(
                    f"a row of {column.table.name} with an expression for {column}", owner
                )
            self.row[key] = self._checked_owner(owner, declared, value)
        else:
            self.compiler.bounds.owners.append(meaning)
            bind = self._bind(column, value, declared.type)
            self.row[column if key is None else key] = bind.also(meaning)

    def link(self, link: Link, columns: list[Any]) -> None:
        """Check values that name a row elsewhere: it has to be one that the identity sees."""
        given = [self._given(column) for column in columns]
        if all(key is None for key, _ in given):
            require_link(link, inserts=self.inserts)
            return
        if any(key is None for key, _ in given):
            raise UnscopedStatement(
                f"{', '.join(map(str, columns))} name a row together: set all of them"
            )
        expressions = [
            value
            for _, value in given
            if isinstance(value, ClauseElement) and not isinstance(value, BindParameter | Null)
        ]
        if expressions:
            require_not_null(link.columns)
            values = [
                value if isinstance(value, ClauseElement) else self._bind(column, value, own.type)
                for column, own, (_, value) in zip(columns, link.columns, given, strict=True)
            ]
            seen = _names_seen_row(link, values)
            for (key, _), value in zip(given, values, strict=True):
                self.row[key] = case((seen, value))
            return
        written = WrittenLink(link)
        self.compiler.bounds.links.append(written)
        for position, (column, (key, value)) in enumerate(zip(columns, given, strict=True)):
            plain = None if isinstance(value, Null) else value
            bind = self._bind(column, plain, link.columns[position].type)
            self.row[key] = bind.also(written, position)

    def _given(self, column: Any) -> tuple[Any, Any]:
        """Return (the key, the value) for a column; (None, None) where there is none."""
        for key, value in self.row.items():
            if getattr(key, "key", key) == column.key:
                return key, value
        passed = self.compiler.column_keys or ()
        if self.number is None and column.key in passed:
            return column, _PASSED
        return None, None

    def _bind(self, column: Any, value: Any, type_: Any) -> WrittenValue:
        """Return the bind parameter for a value. It has the type of the column.

        Another type of the application could change the value after it is checked.
        """
        if isinstance(value, WrittenValue):
            return value
        if isinstance(value, BindParameter):
            bind: WrittenValue = _compat.bind_copy(value, WrittenValue)
            bind.type = type_
            return bind
        if value is not _PASSED:
            return WrittenValue(column.key, value, type_=type_, unique=True)
        bind = WrittenValue(column.key, None, type_=type_)
        _compat.reserve_name(bind)
        return bind

    def _checked_owner(self, owner: str, column: Any, value: Any) -> Any:
        """Return an expression that is NULL for any other owner than the identity."""
        require_not_null([column])
        if owner == "user_id" and self.compiler.treatment.whole_tenant:
            return value
        return case((value == OwnValue.make(owner, column), value))


class _Passed:
    """The type of _PASSED."""


_PASSED = _Passed()  # a value that comes with the execution


def forbid_parts_of(columns: Iterable[Column[Any]], values: Mapping[Any, Any]) -> None:
    """Raise UnscopedStatement where a column is set as a part of a tuple or another expression."""
    names = {column.name.casefold() for column in columns}
    for key in values:
        if isinstance(key, str) or (isinstance(key, ColumnClause) and not key.is_literal):
            continue
        for part in visitors.iterate(key):
            name = getattr(part, "name", None) or getattr(part, "key", None)
            if isinstance(name, str) and name.casefold() in names:
                raise UnscopedStatement(f"{name} says whose a row is: set it by its name alone")


def require_link(link: Link, *, inserts: bool) -> None:
    """Raise UnscopedStatement where the database, or a default, chooses which row is linked to."""
    columns = link.columns
    if inserts:
        defaults = [each.default or each.server_default for each in columns]
    else:
        defaults = [each.onupdate or each.server_onupdate for each in columns]
    chosen = any(default is not None for default in defaults)
    if chosen or (inserts and not link.optional):
        raise UnscopedStatement(
            f"a row of {columns[0].table.name} has to say which row of {link.target.table.name} it "
            f"belongs to: {', '.join(map(str, columns))}"
        )


def require_not_null(columns: Iterable[Column[Any]]) -> None:
    """Raise UnscopedStatement for columns that accept NULL, which stands for another owner."""
    for column in columns:
        if column.nullable:
            raise UnscopedStatement(
                f"{column} may be NULL, so an expression for it cannot be checked: pass a value"
            )


def _unaliased(table: Any) -> Any:
    while isinstance(table, Alias):
        table = table.element
    return table


def _own_column(target: Any, column: Column[Any]) -> Any:
    """Return the column of a statement's own table object that is this one.

    :raises UnscopedStatement: when the table object does not have it, or has it twice: to SQLite,
        names that differ by case are one.
    """
    name = column.name.casefold()
    found = [each for each in target.c if each.name.casefold() == name]
    if len(found) == 1:
        return found[0]
    raise UnscopedStatement(
        f"{target.name} is written through a table object that has {column.name}, which says whose "
        f"a row is, {len(found)} times: use the mapped class, or its table"
    )


def _names_seen_row(link: Link, values: list[Any]) -> Any:
    """Return whether values name a row that the identity sees."""
    seen = select(*link.target_columns)
    return values[0].in_(seen) if len(values) == 1 else tuple_(*values).in_(seen)


def _is_excluded(value: Any, column: Any) -> bool:
    """Whether a value is `excluded.<column>`: that of the row that was to be inserted."""
    table = getattr(value, "table", None)
    return (
        isinstance(value, ColumnClause)
        and isinstance(table, Alias)
        and table.name == "excluded"
        and table.element == column.table
        and value.name == column.name
    )
