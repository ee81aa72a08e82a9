"""What several commands print of the stores that count."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..state import AppState
from .redis_check import check_redis


def redis_problems(state: AppState) -> list[str]:
    """Print what there is to know of Redis; return what is wrong with it."""
    found = check_redis(state)
    for line in found.lines:
        click.echo(f"  {line}")
    for problem in found.problems:
        click.secho(f"Problem: {problem}", fg="red", err=True)
    return found.problems


def store_lines(state: AppState) -> Iterator[str]:
    """Say where is counted, a line for each fact."""
    if not state.settings.ratelimit_enabled:
        yield "off (RATELIMIT_ENABLED)"
        return
    for name, value in state.limiter.status().items():
        yield f"{name}={value}"
