"""Queries of the mail service's accounts, and the rows that an identity may read."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    MetaData,
    Table,
    case,
    column,
    exists,
    func,
    lambda_stmt,
    literal,
    or_,
    select,
    table,
    tuple_,
    union,
    union_all,
)
from sqlalchemy.orm import (
    Bundle,
    Session,
    aliased,
    contains_eager,
    defer,
    immediateload,
    joinedload,
    lazyload,
    raiseload,
    selectinload,
    subqueryload,
    with_parent,
)

from mail import (
    Account,
    Invoice,
    Provider,
    Who,
    rows,
)

EVERYTHING = [
    each
    for row in rows()
    for each in (row, *getattr(row, "messages", ()), *getattr(row, "children", ()))
]


def own(who: Who, cls: type) -> list:
    """What the identity may see of a class, by the reference filter."""
    sees = who.sees_user if hasattr(cls, "user_id") else who.sees_tenant
    return sorted(
        {row.id: row for row in EVERYTHING if isinstance(row, cls) and sees(row)}.values(),
        key=lambda row: row.id,
    )


def ids(found: object) -> list[int]:
    return sorted(found)


# Each answers with the ids of accounts.
OTHER = aliased(Account)

SUB = select(Account).subquery()

CTE = select(Account.id, Account.email).cte()

FROM_SUB = aliased(Account, SUB)

TABLE = Account.__table__

INVOICE = Invoice.__table__

ALIAS = TABLE.alias()


def lightweight() -> object:
    return table("account", column("id"))


def reflected(session: Session) -> object:
    return Table("account", MetaData(), autoload_with=session.get_bind())


ACCOUNTS: dict[str, Callable[[Session], object]] = {
    "select": lambda s: (a.id for a in s.scalars(select(Account))),
    "where": lambda s: (a.id for a in s.scalars(select(Account).where(Account.id > 0))),
    "or": lambda s: s.scalars(select(Account.id).where(or_(Account.id > 0, literal(value=True)))),
    "columns": lambda s: s.scalars(select(Account.id)),
    "expression": lambda s: (n - 1 for n in s.scalars(select(Account.id + 1))),
    "label": lambda s: s.scalars(select(Account.id.label("n"))),
    "distinct": lambda s: s.scalars(select(Account.id).distinct()),
    "bundle": lambda s: (
        row.b.id for row in s.execute(select(Bundle("b", Account.id, Account.email)))
    ),
    "case": lambda s: s.scalars(select(case((Account.size > 0, Account.id), else_=Account.id))),
    "coalesce": lambda s: s.scalars(select(func.coalesce(Account.id, 0))),
    "window": lambda s: (
        row.id for row in s.execute(select(Account.id, func.row_number().over(order_by=Account.id)))
    ),
    "group by": lambda s: s.scalars(
        select(Account.id).group_by(Account.id).having(func.count() > 0)
    ),
    "alias": lambda s: (a.id for a in s.scalars(select(OTHER))),
    "alias of alias": lambda s: (a.id for a in s.scalars(select(aliased(OTHER)))),
    "self join": lambda s: s.scalars(
        select(Account.id).distinct().join(OTHER, OTHER.id != Account.id)
    ),
    "subquery": lambda s: s.scalars(select(SUB.c.id)),
    "alias of a subquery": lambda s: (a.id for a in s.scalars(select(FROM_SUB))),
    "nested subqueries": lambda s: s.scalars(select(select(SUB).subquery().c.id)),
    "cte": lambda s: s.scalars(select(CTE.c.id)),
    "cte joined": lambda s: s.scalars(select(Account.id).join(CTE, CTE.c.id == Account.id)),
    "union": lambda s: s.scalars(union(select(Account.id), select(Account.id))),
    "union of core": lambda s: s.scalars(
        union_all(select(Account.id), select(literal(0)).where(literal(value=False)))
    ),
    "union as subquery": lambda s: s.scalars(
        select(union(select(Account.id), select(OTHER.id)).subquery().c.id)
    ),
    "union as entities": lambda s: (
        a.id
        for a in s.scalars(select(Account).from_statement(union(select(Account), select(Account))))
    ),
    "from_statement": lambda s: (
        a.id for a in s.scalars(select(Account).from_statement(select(Account)))
    ),
    "in": lambda s: s.scalars(select(Account.id).where(Account.id.in_(select(OTHER.id)))),
    "tuple in": lambda s: s.scalars(
        select(Account.id).where(
            tuple_(Account.id, Account.email).in_(select(OTHER.id, OTHER.email))
        )
    ),
    "exists": lambda s: s.scalars(select(Account.id).where(exists().where(OTHER.id == Account.id))),
    "scalar subquery": lambda s: s.scalars(
        select(Account.id).where(Account.id <= select(func.max(OTHER.id)).scalar_subquery())
    ),
    "join": lambda s: s.scalars(select(Account.id).join(Provider)),
    "join from the global side": lambda s: s.scalars(
        select(Account.id).select_from(Provider).join(Provider.accounts)
    ),
    "outer join from the global side": lambda s: (
        n
        for n in s.scalars(select(Account.id).select_from(Provider).outerjoin(Provider.accounts))
        if n
    ),
    "implicit join": lambda s: (
        row.id
        for row in s.execute(
            select(Provider.name, Account.id).where(Provider.id == Account.provider_id)
        )
    ),
    "joined load": lambda s: (
        a.id
        for p in s.scalars(select(Provider).options(joinedload(Provider.accounts))).unique()
        for a in p.accounts
    ),
    "joined load with a limit": lambda s: (
        a.id
        for p in s.scalars(
            select(Provider).options(joinedload(Provider.accounts)).limit(9)
        ).unique()
        for a in p.accounts
    ),
    "select-in load": lambda s: (
        a.id
        for p in s.scalars(select(Provider).options(selectinload(Provider.accounts)))
        for a in p.accounts
    ),
    "subquery load": lambda s: (
        a.id
        for p in s.scalars(select(Provider).options(subqueryload(Provider.accounts)))
        for a in p.accounts
    ),
    "immediate load": lambda s: (
        a.id
        for p in s.scalars(select(Provider).options(immediateload(Provider.accounts)))
        for a in p.accounts
    ),
    "lazy load": lambda s: (
        a.id
        for p in s.scalars(select(Provider).options(lazyload(Provider.accounts)))
        for a in p.accounts
    ),
    "contains_eager": lambda s: (
        a.id
        for p in s.scalars(
            select(Provider).join(Provider.accounts).options(contains_eager(Provider.accounts))
        ).unique()
        for a in p.accounts
    ),
    "raiseload": lambda s: (a.id for a in s.scalars(select(Account).options(raiseload("*")))),
    "deferred columns": lambda s: (
        int(a.email is not None) * a.id
        for a in s.scalars(select(Account).options(defer(Account.email)))
    ),
    "with_parent": lambda s: (
        a.id
        for p in s.scalars(select(Provider))
        for a in s.scalars(select(Account).where(with_parent(p, Provider.accounts)))
    ),
    "Query": lambda s: (a.id for a in s.query(Account)),
    "Query of columns": lambda s: (n for (n,) in s.query(Account.id)),
    "Query.with_entities": lambda s: (n for (n,) in s.query(Account).with_entities(Account.id)),
    "Query.from_statement": lambda s: (
        a.id for a in s.query(Account).from_statement(select(Account))
    ),
    "Query.union": lambda s: (a.id for a in s.query(Account).union(s.query(Account))),
    "Query.filter_by": lambda s: (
        a.id for a in s.query(Account).filter_by(size=1).union(s.query(Account))
    ),
    "Query.select_from": lambda s: (
        n for (n,) in s.query(Account.id).select_from(Provider).join(Account)
    ),
    "lambda statement": lambda s: s.scalars(lambda_stmt(lambda: select(Account.id))),
    "lambda criteria": lambda s: s.scalars(select(Account.id).where(lambda: Account.id > 0)),
    "yield_per": lambda s: (
        a.id for a in s.scalars(select(Account).execution_options(yield_per=2))
    ),
    "stream_results": lambda s: s.scalars(
        select(Account.id).execution_options(stream_results=True)
    ),
    "for update": lambda s: (a.id for a in s.scalars(select(Account).with_for_update())),
    "populate_existing": lambda s: (
        a.id for a in s.scalars(select(Account).execution_options(populate_existing=True))
    ),
    "core": lambda s: (row.id for row in s.execute(select(TABLE))),
    "core, columns": lambda s: s.scalars(select(TABLE.c.id)),
    "core, alias": lambda s: s.scalars(select(TABLE.alias("account_1").c.id)),
    "core, alias with the table's own name": lambda s: s.scalars(
        select(TABLE.alias("account").c.id)
    ),
    "core, two places of one name": lambda s: s.scalars(
        select(TABLE.c.id).where(
            TABLE.c.id.in_(select(TABLE.alias("account").c.id)),
            exists(select(TABLE.alias("account").c.id)),
        )
    ),
    "core in a subquery": lambda s: s.scalars(select(select(TABLE).subquery().c.id)),
    "core in a CTE": lambda s: s.scalars(select(select(TABLE).cte().c.id)),
    "core beside an entity": lambda s: (
        row.id
        for row in s.execute(
            select(Account.id, ALIAS.c.email).join(ALIAS, ALIAS.c.id == Account.id)
        )
    ),
    "core in a UNION": lambda s: s.scalars(union(select(Account.id), select(TABLE.c.id))),
    "core, lightweight table": lambda s: s.scalars(select(lightweight().c.id)),
    "core, reflected table": lambda s: s.scalars(select(reflected(s).c.id)),
    "core on the connection": lambda s: s.connection().scalars(select(TABLE.c.id)),
    "ORM statement on the connection": lambda s: s.connection().scalars(select(Account.id)),
    "window over a class that is not selected": lambda s: (
        [a.id for a in s.scalars(select(Account).order_by(Account.id))]
        if len(s.scalars(select(func.row_number().over(order_by=Account.id))).all())
        == len(s.scalars(select(Account.id)).all())
        else [0]
    ),
    "joined to an entity by table": lambda s: s.scalars(
        select(TABLE.c.id).select_from(Provider).join(TABLE)
    ),
    "full outer join from the global side": lambda s: (
        n
        for n in s.scalars(
            select(Account.id).select_from(Provider).outerjoin(Provider.accounts, full=True)
        )
        if n
    ),
    "outer join from the right": lambda s: s.scalars(
        select(Account.id).select_from(
            TABLE.outerjoin(Provider.__table__, TABLE.c.provider_id == Provider.id + 1000)
        )
    ),
    "recursive cte": lambda s: recursive(s),
    "execution with bind arguments": lambda s: s.scalars(
        select(Account.id), bind_arguments={"mapper": Account}
    ),
}


def recursive(session: Session) -> object:
    first = select(Account.id, Account.size).where(Account.size == 1).cte(recursive=True)
    following = first.union_all(
        select(OTHER.id, OTHER.size).join(first, OTHER.size == first.c.size + 1)
    )
    return session.scalars(select(following.c.id).distinct())


# Each answers with a number or a truth about accounts.
FIGURES: dict[str, tuple[Callable[[Session], object], Callable[[list[Account]], object]]] = {
    "count": (lambda s: s.scalar(select(func.count()).select_from(Account)), len),
    "count of a column": (lambda s: s.scalar(select(func.count(Account.id))), len),
    "count of a subquery": (
        lambda s: s.scalar(select(func.count()).select_from(select(Account).subquery())),
        len,
    ),
    "count of a global class joined": (
        lambda s: s.scalar(select(func.count()).select_from(Provider).join(Provider.accounts)),
        len,
    ),
    "Query.count": (lambda s: s.query(Account).count(), len),
    "core count": (lambda s: s.scalar(select(func.count()).select_from(TABLE)), len),
    "core in an IN": (
        lambda s: sorted(
            s.scalars(select(Provider.id).where(Provider.id.in_(select(TABLE.c.provider_id))))
        ),
        lambda own: sorted({a.provider_id for a in own}),
    ),
    "core in an EXISTS": (
        lambda s: s.scalar(select(func.count()).where(select(TABLE).exists())),
        lambda own: 1,
    ),
    "max": (lambda s: s.scalar(select(func.max(Account.id))), lambda own: max(a.id for a in own)),
    "sum in a CASE": (
        lambda s: s.scalar(select(func.sum(case((Account.size > 1, 1), else_=0)))),
        lambda own: sum(a.size > 1 for a in own),
    ),
    "scalar subquery of a core select": (
        lambda s: s.scalar(select(select(func.max(Account.id)).scalar_subquery())),
        lambda own: max(a.id for a in own),
    ),
    "exists of a core select": (
        lambda s: s.scalars(
            select(literal(1)).where(exists().where(Account.email == "1@bob"))
        ).all(),
        lambda own: [1] if any(a.email == "1@bob" for a in own) else [],
    ),
    "exists as a column": (
        lambda s: s.scalar(select(select(Account.id).where(Account.email == "1@bob").exists())),
        lambda own: any(a.email == "1@bob" for a in own),
    ),
    "Query.exists": (
        lambda s: s.query(s.query(Account).filter(Account.email == "1@bob").exists()).scalar(),
        lambda own: any(a.email == "1@bob" for a in own),
    ),
    "where alone": (
        lambda s: s.scalars(select(literal(1)).where(Account.email == "1@bob")).all(),
        lambda own: [1] if any(a.email == "1@bob" for a in own) else [],
    ),
    "where alone, of a global class": (
        lambda s: s.scalars(
            select(Provider.id).where(Provider.id == Account.provider_id, Account.email == "1@bob")
        ).all(),
        lambda own: [2] if any(a.email == "1@bob" for a in own) else [],
    ),
    "where alone, an alias": (
        lambda s: s.scalars(
            select(Provider.id).where(Provider.id == OTHER.provider_id, OTHER.email == "1@bob")
        ).all(),
        lambda own: [2] if any(a.email == "1@bob" for a in own) else [],
    ),
    "relationship.any": (
        lambda s: s.scalars(
            select(Provider.id).where(Provider.accounts.any(Account.email == "1@bob"))
        ).all(),
        lambda own: [2] if any(a.email == "1@bob" for a in own) else [],
    ),
    "not relationship.any": (
        lambda s: s.scalars(
            select(Provider.id).where(~Provider.accounts.any(Account.email == "1@bob"))
        ).all(),
        lambda own: [1] if any(a.email == "1@bob" for a in own) else [1, 2],
    ),
    "correlated exists": (
        lambda s: s.scalars(
            select(Provider.id).where(
                exists().where(Account.provider_id == Provider.id, Account.email == "1@bob")
            )
        ).all(),
        lambda own: [2] if any(a.email == "1@bob" for a in own) else [],
    ),
    "order by a subquery": (
        lambda s: s.scalars(
            select(Provider.id).order_by(
                select(func.coalesce(func.max(Account.size), 0))
                .where(Account.provider_id == Provider.id)
                .scalar_subquery()
                .desc()
            )
        ).first(),
        lambda own: 2,
    ),
    "having": (
        lambda s: s.scalars(
            select(Provider.id)
            .group_by(Provider.id)
            .having(Provider.id < select(func.count(Account.id)).scalar_subquery())
            .order_by(Provider.id)
        ).all(),
        lambda own: [n for n in (1, 2) if n < len(own)],
    ),
}
