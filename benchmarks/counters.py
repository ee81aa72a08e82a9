"""One hit in memory, from Python: the core's shared table beside `limits`' dictionary."""

from __future__ import annotations

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from flask_tenant_auth._core import Identity, Limit, Limiter, parse_rates

from . import apps, c_programs
from .harness import Plan, interleave
from .result import Figure, Row, Subject, Table


def run(plan: Plan) -> Subject:
    identity = Identity(apps.TENANT, apps.USER)
    limiter = Limiter(prefix="bench-counters", shared=False)
    (rate,) = parse_rates(apps.NO_LIMIT)
    one = (Limit(rate, scope="one"),)
    four = tuple(Limit(rate, scope=f"four-{i}") for i in range(4))
    (small,) = parse_rates("1 per hour")
    full = (Limit(small, scope="full"),)
    limiter.hit(full, identity, "192.0.2.7")

    theirs = FixedWindowRateLimiter(MemoryStorage())
    item, small_item = parse(apps.NO_LIMIT), parse("1 per hour")
    theirs.hit(small_item, apps.USER, "full")
    if limiter.hit(full, identity, "192.0.2.7").allowed or theirs.hit(
        small_item, apps.USER, "full"
    ):
        raise AssertionError("a limit of one allowed a second hit")
    timed = interleave(
        {
            "ours, 1 limit": lambda: limiter.hit(one, identity, "192.0.2.7"),
            "limits, 1 limit": lambda: theirs.hit(item, apps.USER, "one"),
            "ours, 4 limits at once": lambda: limiter.hit(four, identity, "192.0.2.7"),
            "ours, limited": lambda: limiter.hit(full, identity, "192.0.2.7"),
            "limits, limited": lambda: theirs.hit(small_item, apps.USER, "full"),
        },
        plan,
    )
    limiter.close()
    c = c_programs.run("shm_table", plan)
    return Subject(
        "counters",
        "Counting in memory",
        tables=(
            Table.of("One hit from Python", "us", timed),
            Table(
                "One hit in C",
                "ns",
                tuple(Row.of(name, c[name]) for name in ("1 process", "2 processes")),
            ),
        ),
        figures=(
            Figure.no_less(
                "limits' memory storage / ours, one hit from Python",
                timed["limits, 1 limit"].median / timed["ours, 1 limit"].median,
                10,
                "x",
            ),
            Figure.at_most(
                "one hit in shared memory, in C", c["1 process"].median / 1e3, 0.3, "us"
            ),
            Figure.no_less(
                "hits of 2 processes / of 1",
                2 * c["1 process"].median / c["2 processes"].median,
                1.6,
                "x",
            ),
            Figure.at_most(
                "keys without a place, of 1,000,000 at 64 bytes each", c["keys lost"].median, 0
            ),
        ),
    )
