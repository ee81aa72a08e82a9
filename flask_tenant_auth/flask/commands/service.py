"""``flask auth check --url``: what a running service answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from flask.app import Flask

from ...probe.outcome import OK, PROBLEM, Outcome
from ...probe.run import run
from ...probe.session import Session
from .service_facts import facts_of
from .service_options import ServiceOptions, client_of, read_token


def check_service(app: Flask, options: ServiceOptions) -> bool:
    """Check a running service, and print what is found; return whether nothing is wrong."""
    client = client_of(app, options)
    facts = facts_of(
        app,
        paths=options.paths,
        own_path=options.own_path,
        token=read_token(options.token),
        other_token=read_token(options.other_token),
    )
    if not options.as_json:
        click.secho(f"Service {client.target.url}", bold=True)
    outcomes = []
    for outcome in run(Session(client, facts)):
        outcomes.append(outcome)
        if not options.as_json:
            _print(outcome)
    counts = {status: _count(outcomes, status) for status in (OK, PROBLEM)}
    if options.as_json:
        found = [asdict(outcome) for outcome in outcomes]
        click.echo(json.dumps({"url": client.target.url, "checks": found}, indent=2))
    else:
        skipped = len(outcomes) - sum(counts.values())
        problems = "1 problem" if counts[PROBLEM] == 1 else f"{counts[PROBLEM]} problems"
        click.secho(
            f"{counts[OK]} checks passed, {problems}, {skipped} not asked",
            fg="red" if counts[PROBLEM] else "green",
        )
    return counts[PROBLEM] == 0


def _count(outcomes: Sequence[Outcome], status: str) -> int:
    return sum(outcome.status == status for outcome in outcomes)


def _print(outcome: Outcome) -> None:
    if outcome.status == PROBLEM:
        sentence = f"{outcome.check}: {outcome.asked}: {outcome.came}. To change: {outcome.change}"
        click.secho(f"Problem: {sentence}", fg="red", err=True)
    elif outcome.status == OK:
        click.echo(f"  ok         {outcome.check:<17} {outcome.asked}")
    else:
        click.echo(f"  not asked  {outcome.check:<17} {outcome.came}")
