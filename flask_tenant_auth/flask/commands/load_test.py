"""``flask auth check --load``: whether exactly as many requests pass as a limit says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import click
from flask.app import Flask

from ..._core import Limit, parse_rates
from ...probe.facts import Person
from ...probe.load import SHORTEST_SECONDS, LimitUnderTest, LoadError, load, verdict
from ...probe.outcome import OK, PROBLEM
from ..state import AppState, state_of
from .service_facts import closed_routes, new_person
from .service_options import ServiceOptions, client_of, read_token


def check_load(app: Flask, options: ServiceOptions, seconds: float) -> bool:
    """Test a limit of a running service, and print what is found; return whether it holds."""
    client = client_of(app, options)
    printed: dict[str, Any] = {"status": PROBLEM}
    try:
        path, limit = _limit_of(app, options)
        tally = load(client, path, limit, _persons(state_of(app), options), seconds)
    except (LoadError, ValueError) as error:
        printed["came"] = str(error)
    else:
        held, sentence = verdict(tally, limit)
        printed = {
            "status": OK if held else PROBLEM,
            "asked": f"GET {path}",
            "came": sentence,
            "limit": limit.limit,
            "period": limit.period,
            "expected": limit.most,
            "passed": tally.passed,
            "limited": tally.limited,
            "unanswered": tally.unanswered,
            "seconds": round(tally.seconds, 3),
        }
    _print(printed, client.target.url, as_json=options.as_json)
    if "passed" in printed and state_of(app).settings.ratelimit_denied:
        click.echo(
            "RATELIMIT_DENIED is set: this address may stay denied until its period ends", err=True
        )
    return bool(printed["status"] == OK)


def _print(printed: dict[str, Any], url: str, *, as_json: bool) -> None:
    sentence = ": ".join(printed[part] for part in ("asked", "came") if part in printed)
    if as_json:
        click.echo(json.dumps({"url": url, "load": printed}, indent=2))
    elif printed["status"] == OK:
        click.secho(f"Load: {sentence}", fg="green")
    else:
        click.secho(f"Problem: load: {sentence}", fg="red", err=True)


def _persons(state: AppState, options: ServiceOptions) -> Iterator[dict[str, str]]:
    """Yield the header fields of a new user each time, or those of the given token."""
    given = read_token(options.token)
    if given is not None:
        yield from itertools.repeat(Person(given).fields)
    while True:
        person = new_person(state)
        if person is None:
            raise LoadError("the app makes no token for a new user: give --token")
        yield person.fields


def _limit_of(app: Flask, options: ServiceOptions) -> tuple[str, LimitUnderTest]:
    """Return the route of a load test, and its limit.

    :raises LoadError: where there is none.
    """
    strategy = state_of(app).settings.ratelimit_strategy
    if options.load_limit is not None:
        if options.load_path is None:
            raise LoadError("--load-limit needs --load-path")
        try:
            rates = parse_rates(options.load_limit)
        except ValueError as error:
            raise LoadError(f"--load-limit cannot be read: {error}") from None
        if len(rates) != 1 or rates[0].limit < 1:
            raise LoadError("--load-limit is one limit of 1 or more")
        return options.load_path, LimitUnderTest(rates[0].limit, rates[0].period, 1, strategy)
    found = list(declared_limits(app))
    if options.load_path is not None:
        found = [each for each in found if each[0] == options.load_path]
    found = [each for each in found if each[1].period >= SHORTEST_SECONDS]
    if not found:
        raise LoadError(
            "no such GET route without parameters asks for an identity and has a limit of fixed "
            f"text over {SHORTEST_SECONDS} seconds or more: give --load-path and --load-limit"
        )
    return min(found, key=lambda each: (each[1].most, each[0]))


def declared_limits(app: Flask) -> Iterator[tuple[str, LimitUnderTest]]:
    """Yield the routes whose limit is known without a request, and that limit."""
    settings = state_of(app).settings
    if settings.ratelimit_enabled:
        for route in closed_routes(app):
            if route.limits:
                yield route.path, _tightest(route.limits, settings.ratelimit_strategy)


def _tightest(limits: Sequence[Limit], strategy: str) -> LimitUnderTest:
    """Return the limit that denies first, with the shortest of all periods.

    All windows of a new user begin with the first request. Until the first of them ends, the limit
    that lets the fewest requests pass is the one that counts.
    """
    least = min(limits, key=lambda each: each.rate.limit // each.cost)
    shortest = min(each.rate.period for each in limits)
    return LimitUnderTest(least.rate.limit, shortest, least.cost, strategy)
