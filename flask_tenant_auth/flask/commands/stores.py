"""What the commands print about the stores of counters."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..state import AppState
from .redis_check import check_redis


def print_redis(state: AppState) -> list[str]:
    """Print what is known of Redis; return what is wrong with it."""
    found = check_redis(state)
    for line in found.lines:
        click.echo(f"  {line}")
    for problem in found.problems:
        click.secho(f"Problem: {problem}", fg="red", err=True)
    return found.problems


def store_lines(state: AppState) -> Iterator[str]:
    """Yield what is known of the counters of an app, a line each."""
    if not state.settings.ratelimit_enabled:
        yield "off (RATELIMIT_ENABLED)"
        return
    for name, value in state.limiter.status().items():
        yield f"{name}={value}"
