"""How the cost of a request grows with routes, limits, keys, claims and tenants."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from itertools import cycle

import jwt

from flask_tenant_auth._core import Identity, Key, Keyring, Limit, Limiter, parse_rates

from . import apps, c_programs
from .harness import Plan, interleave
from .result import Figure, Row, Subject, Table

ROUTES = (10, 100, 1_000)
LIMITS = (1, 2, 4, 8)
KEYS = (1, 2, 8, 32)
CLAIMS = (5, 10, 20, 50)
PEOPLE = (1, 1_000, 100_000)


def with_routes(make: Callable[..., apps.Flask], routes: int, **config: object) -> apps.Flask:
    """Return the app with that many routes, each protected like the first."""
    app = make(**config)
    view = app.view_functions[f"accounts{apps.PATH}"]
    for number in range(routes - 1):
        app.add_url_rule(f"/api/other{number}/<name>", f"other{number}", view)
    return app


def by_routes(plan: Plan) -> dict[str, object]:
    """Return what each stack adds to a bare app with as many routes."""
    calls = {}
    for routes in ROUTES:
        for each in (apps.BARE, *apps.STACKS):
            app = with_routes(each.make, routes)
            calls[f"{each.name} {routes}"] = apps.wsgi_call(app, apps.headers_for(each))
    timed = interleave(calls, plan)
    return {
        f"{each.title}, {routes} routes": timed[f"{each.name} {routes}"].minus(
            timed[f"bare {routes}"]
        )
        for each in apps.STACKS
        for routes in ROUTES
    }


def by_limits(plan: Plan) -> dict[str, object]:
    limiter = Limiter(prefix="bench-growth", shared=False)
    identity = Identity(apps.TENANT, apps.USER)
    (rate,) = parse_rates(apps.NO_LIMIT)
    calls = {}
    for count in LIMITS:
        limits = tuple(Limit(rate, scope=f"{count}-{i}") for i in range(count))
        calls[f"{count} limits"] = functools.partial(limiter.hit, limits, identity, "192.0.2.7")
    timed = interleave(calls, plan)
    limiter.close()
    return timed


def by_keys(plan: Plan) -> dict[str, object]:
    """Verify a token of the last key. Its kid selects the key."""
    calls = {}
    for count in KEYS:
        keys = [Key.secret("HS256", f"{apps.SECRET} {number}".encode()) for number in range(count)]
        last = jwt.encode(
            apps.claims(),
            f"{apps.SECRET} {count - 1}",
            algorithm="HS256",
            headers={"kid": keys[-1].kid},
        )
        calls[f"{count} keys"] = functools.partial(Keyring(keys).verify, last)
    return interleave(calls, plan)


def by_claims(plan: Plan) -> dict[str, object]:
    ring = Keyring([Key.secret("HS256", apps.SECRET.encode())])
    calls = {}
    for count in CLAIMS:
        more = {f"claim_{number}": "a value" for number in range(count - len(apps.claims()))}
        token = jwt.encode({**apps.claims(), **more}, apps.SECRET, algorithm="HS256")
        calls[f"{count} claims"] = functools.partial(ring.verify, token)
    return interleave(calls, plan)


def by_people(plan: Plan) -> dict[str, object]:
    """Count hits of users in turn. Each user has a tenant and a counter of its own."""
    (rate,) = parse_rates(apps.NO_LIMIT)
    calls = {}
    for count in PEOPLE:
        limiter = Limiter(prefix=f"bench-growth-{count}", shared=False)
        limits = (Limit(rate, scope="people"),)
        people = cycle([Identity(str(uuid.UUID(int=i << 64 | i)), apps.USER) for i in range(count)])

        def hit(
            limiter: Limiter = limiter,
            limits: tuple[Limit, ...] = limits,
            people: cycle[Identity] = people,
        ) -> object:
            return limiter.hit(limits, next(people), "192.0.2.7")

        for _ in range(count):
            hit()
        calls[f"{count:,} tenants"] = hit
    return interleave(calls, plan)


def slope(samples: dict[str, object]) -> float:
    """Return the last median divided by the first."""
    medians = [each.median for each in samples.values()]
    return medians[-1] / medians[0]


def run(plan: Plan) -> Subject:
    routes = by_routes(plan)
    limits, keys, claims, people = (
        by_limits(plan),
        by_keys(plan),
        by_claims(plan),
        by_people(plan),
    )
    c = c_programs.run("shm_growth", plan)
    ours = {name: each for name, each in routes.items() if name.startswith(apps.OURS.title)}
    return Subject(
        "growth",
        "How the cost grows",
        tables=(
            Table.of("Routes: added to a bare app with as many", "us", routes),
            Table.of("Limits of one route: one hit of all", "us", limits),
            Table.of("Keys: a token verified", "us", keys),
            Table.of("Claims: a token verified", "us", claims),
            Table.of("Tenants: one hit", "us", people),
            Table(
                "One hit in C, users in a random order",
                "ns",
                tuple(Row.of(name, each) for name, each in c.items()),
            ),
        ),
        figures=(
            Figure.at_most("1,000 routes / 10", slope(ours), 1.2, "x"),
            Figure.at_most("32 keys / 1", slope(keys), 1.2, "x"),
            Figure.at_most("100,000 tenants / 1", slope(people), 2, "x"),
            Figure.at_most(
                "100,000 users / 1, 4 limits, in C",
                c["4 limits, 100,000 users"].median / c["4 limits, 1 user"].median,
                2,
                "x",
            ),
        ),
    )
