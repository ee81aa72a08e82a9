"""Checks of what is for the operators of a service alone: its metrics and its console."""

from __future__ import annotations

from collections.abc import Iterator

from .outcome import Check, NotAsked, Problem
from .session import Session

_USUAL_METRICS = "/metrics"


def _look(session: Session, path: str, change: str) -> Iterator[Problem]:
    """Yield a problem where a stranger, or a user of the weakest role, is shown a path."""
    askers: list[tuple[str, dict[str, str]]] = [("a stranger", {})]
    if session.facts.person is not None and session.client.sends_tokens:
        askers.append(("a user of the weakest role", session.facts.person.fields))
    for who, fields in askers:
        answer = session.get(path, fields)
        if answer.status < 300:
            yield Problem(f"GET {path} as {who}", f"{answer}", change)
            return


def look_at_metrics(session: Session) -> Iterator[Problem]:
    """Yield a problem where the metrics are open. Without a setting, the usual path is asked."""
    yield from _look(
        session,
        session.facts.metrics_path or _USUAL_METRICS,
        "keep this machine out of AUTH_TRUSTED_GATEWAYS, let the proxy not pass "
        "AUTH_METRICS_ROUTE, or give the metrics of another library a decorator "
        "(docs/recipes/deployment.md)",
    )


def look_at_console(session: Session) -> Iterator[Problem]:
    """Yield a problem where the console is open."""
    path = session.facts.console_path
    if path is None:
        raise NotAsked("AUTH_CONSOLE_ROUTE is not set")
    yield from _look(
        session,
        path,
        "grant AUTH_CONSOLE_PERMISSION in AUTH_PERMISSIONS to roles of operators only",
    )


CHECKS = (
    Check("metrics", "the metrics are closed", look_at_metrics),
    Check("console", "the console is closed", look_at_console),
)
