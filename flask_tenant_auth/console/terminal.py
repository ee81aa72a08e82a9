"""The facts of the console as lines of a terminal of 80 columns: ``flask auth top``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .facts import OUTCOMES, Facts
from .words import moment, visible

COLUMNS = 80
_BLOCKS = " ▁▂▃▄▅▆▇█"
_SIGNS = " .:-=+*#@"
_MOST_ROWS = 5
_MOST_ROUTES = 12


def lines_of(facts: Facts, *, unicode: bool) -> list[str]:
    """Return the lines of an app, none of which is wider than COLUMNS or moves a cursor.

    :param unicode: whether the terminal can show block characters.
    """
    return [_fitted(line) for line in _lines(facts, _BLOCKS if unicode else _SIGNS)]


def _fitted(line: str) -> str:
    shown = visible(line)
    return shown if len(shown) <= COLUMNS else f"{shown[: COLUMNS - 3]}..."


def _lines(facts: Facts, signs: str) -> Iterator[str]:
    yield f"{facts.app}  {moment(facts.at)}"
    for problem in facts.problems:
        yield from _wrapped(f"! {problem}", "")
    yield ""
    yield from _of_requests(facts, signs)
    yield ""
    yield from _of_limited(facts)
    yield ""
    yield from _of_stores(facts)
    yield ""
    yield "Keys"
    for key in facts.keys or ():
        yield f"  {key.kid}  {key.algorithm}  {key.origin}  {key.use}"
        yield from _wrapped(f"age: {key.age}", "    ")
        yield from _wrapped(f"next: {key.next_step}", "    ")
    if not facts.keys:
        yield "  none"
    yield f"Sessions: {facts.session_store or 'off'}"
    yield ""
    yield from _of_routes(facts)


def _of_requests(facts: Facts, signs: str) -> Iterator[str]:
    yield f"Requests of the last hour: {facts.requests}"
    yield "  " + "  ".join(f"{outcome} {facts.total(outcome)}" for outcome in OUTCOMES)
    series = {
        "requests": [minute.requests for minute in facts.minutes],
        "denied": [minute.denied for minute in facts.minutes],
        "limited": [minute.limited for minute in facts.minutes],
        "failed": [minute.failed for minute in facts.minutes],
    }
    for name, counts in series.items():
        most = max(counts, default=0)
        yield f"  {name:<9}{_drawn(counts, most, signs)} {most}"
    yield f"  {'':<9}{'an hour ago':<57}now at most"
    for reason, count in facts.reasons[:_MOST_ROWS]:
        yield f"  {count:>9}  {reason}"


def _drawn(counts: Sequence[int], most: int, signs: str) -> str:
    """Return a sign for each count: the first one for none, another one for any."""
    top = len(signs) - 1
    return "".join(signs[-(-top * count // most) if most else 0] for count in counts)


def _of_limited(facts: Facts) -> Iterator[str]:
    yield "Most limited users"
    for each in facts.users[:_MOST_ROWS]:
        yield f"  {each.limited:>6}  {each.user_id}"
        yield f"          of tenant {each.tenant_id}"
    if not facts.users:
        yield "  none"
    yield "Most limited tenants"
    for each in facts.tenants[:_MOST_ROWS]:
        yield f"  {each.limited:>6}  {each.tenant_id}"
    if not facts.tenants:
        yield "  none"


def _of_stores(facts: Facts) -> Iterator[str]:
    redis, memory = facts.redis, facts.memory
    yield f"Redis: {redis.state.value}" + (f"  {redis.url}" if redis.url else "")
    if redis.url:
        yield f"  {redis.processes_away} of {redis.processes} processes leave it alone"
    if redis.failure:
        yield f"  last failure: {redis.failure}"
    if memory is None:
        yield "Memory of limits: not used"
    else:
        yield (
            f"Memory of limits: {memory.percent} % full, {memory.used} of {memory.slots} counters, "
            f"{memory.evictions} given up"
        )


def _of_routes(facts: Facts) -> Iterator[str]:
    yield "Routes"
    # Those that say nothing are first: they are what somebody has to look at.
    routes = sorted(facts.routes, key=lambda each: not each.unprotected)
    for route in routes[:_MOST_ROUTES]:
        yield f"  {route.method:<7} {route.path}  [{route.protection}]"
    if len(routes) > _MOST_ROUTES:
        yield f"  and {len(routes) - _MOST_ROUTES} more: see flask auth check"


def _wrapped(text: str, indent: str) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(indent) + len(line) + 1 + len(word) > COLUMNS:
            yield indent + line
            line = ""
        line = f"{line} {word}" if line else word
    if line:
        yield indent + line
