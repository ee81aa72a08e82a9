"""The time of one hit in Redis, from Python and in C."""

from __future__ import annotations

import redis as redis_py
from limits import parse
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from flask_tenant_auth._core import Identity, Limit, Limiter, parse_rates
from tests.support.servers import Redis

from . import apps, c_programs
from .harness import WALL, Plan, interleave
from .result import Figure, Row, Subject, Table


def reads(client: redis_py.Redis) -> int:
    return int(client.info("stats")["total_reads_processed"])


def run(plan: Plan) -> Subject:
    identity = Identity(apps.TENANT, apps.USER)
    with Redis() as server, redis_py.Redis.from_url(server.url) as client:
        limiter = Limiter(prefix="bench-redis", redis_url=server.url)
        (rate,) = parse_rates(apps.NO_LIMIT)
        one = (Limit(rate, scope="one"),)
        four = tuple(Limit(rate, scope=f"four-{i}") for i in range(4))
        theirs = FixedWindowRateLimiter(RedisStorage(server.url))
        item = parse(apps.NO_LIMIT)
        if limiter.hit(one, identity, "192.0.2.7").store != "redis":
            raise AssertionError("the limiter did not reach its Redis")
        timed = interleave(
            {
                "ours, 1 limit": lambda: limiter.hit(one, identity, "192.0.2.7"),
                "ours, 4 limits at once": lambda: limiter.hit(four, identity, "192.0.2.7"),
                "limits, 1 limit": lambda: theirs.hit(item, apps.USER, "one"),
                "redis-py, PING": client.ping,
            },
            plan,
            WALL,
        )
        hits = 1_000
        before = reads(client)
        for _ in range(hits):
            limiter.hit(four, identity, "192.0.2.7")
        per_hit = (reads(client) - before - 1) / hits
        limiter.close()
        c = c_programs.run("redis_counter", plan, "127.0.0.1", str(server.port))
    return Subject(
        "redis",
        "Counting in Redis",
        tables=(
            Table.of("One hit from Python", "us", timed),
            Table("One hit in C", "us", tuple(Row.of(name, each) for name, each in c.items())),
        ),
        figures=(
            Figure.at_most(
                "our hit / a bare hiredis EVALSHA",
                c["redis_counter"].median / c["bare hiredis EVALSHA"].median,
                1.25,
                "x",
            ),
            Figure.at_most("reads that Redis sees per hit of 4 limits", per_hit, 1, ""),
        ),
    )
