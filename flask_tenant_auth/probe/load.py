"""A load test of limits: of all requests that are sent in one window, exactly N pass."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timezone
from email.utils import parsedate_to_datetime
from time import monotonic, sleep, time

from .exchange import Answer, Client, NoAnswer, exchange, shown

THREADS = 8
# Before the end of a window, so many seconds are left without a request: the whole seconds of the
# header fields, and answers that are on their way.
MARGIN_SECONDS = 3.0
# The shortest window that is tested.
SHORTEST_SECONDS = 10
# The longest that a new window is waited for, and how often.
LONGEST_WAIT_SECONDS = 121.0
_TRIES = 3


class LoadError(Exception):
    """The load test could not be made. The message says why, and what to do."""


@dataclass(frozen=True)
class LimitUnderTest:
    """The limit that a route has.

    :param limit: as X-RateLimit-Limit says it.
    :param period: seconds.
    :param cost: what one request counts.
    :param strategy: one of RATELIMIT_STRATEGY.
    """

    limit: int
    period: int
    cost: int = 1
    strategy: str = "fixed-window"

    @property
    def most(self) -> int:
        """How many requests pass in one window."""
        return self.limit // self.cost

    def __str__(self) -> str:
        cost = "" if self.cost == 1 else f" (cost {self.cost})"
        return f"{self.limit} per {self.period} seconds{cost}"


@dataclass
class Tally:
    """What came of the requests of a load test."""

    passed: int = 0
    limited: int = 0
    unanswered: int = 0
    seconds: float = 0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        """All requests."""
        return self.passed + self.limited + self.unanswered

    def add(self, other: Tally) -> None:
        """Add what came of other requests."""
        self.passed += other.passed
        self.limited += other.limited
        self.unanswered += other.unanswered
        self.statuses += other.statuses


def load(
    client: Client,
    path: str,
    limit: LimitUnderTest,
    persons: Iterable[dict[str, str]],
    seconds: float,
) -> Tally:
    """Send requests from several threads for so many seconds, or until the window ends.

    :param persons: the header fields of users, of whom the next one is taken for each try. A user
        that nobody has seen begins with a whole limit.
    :raises LoadError: where no window can be had, or the answers do not belong to the limit.
    :raises ValueError: for a token that must not be sent.
    """
    for _, fields in zip(range(_TRIES), persons, strict=False):
        first = _opening(client, path, fields, limit)
        left = _left_of_window(first, limit)
        whole = first.number("X-RateLimit-Remaining") == limit.limit - limit.cost
        if whole and left > MARGIN_SECONDS + 1:
            tally = _storm(client, path, fields, min(seconds, left - MARGIN_SECONDS), first)
            if tally.seconds > left - 1:
                raise LoadError(
                    "some answers came after the end of the window, so it is not known in which "
                    "one they were counted: name a limit with a longer period"
                )
            return tally
        if left > LONGEST_WAIT_SECONDS:
            break
        sleep(max(0.0, left) + 1)  # until the next window has begun
    raise LoadError(
        "no window was found in which nothing had been counted: let nobody else use the limit "
        "during the test, or name a limit of a user with --load-path"
    )


def _opening(client: Client, path: str, fields: dict[str, str], limit: LimitUnderTest) -> Answer:
    """Return the answer to the first request of a window, after a look at what it says."""
    try:
        answer = exchange(client, "GET", path, fields)
    except NoAnswer as error:
        raise LoadError(f"GET {path} has no answer: {error}") from None
    if answer.status == 401:
        raise LoadError(
            f"GET {path} denies the token ({shown(answer.json().get('message', '401'))}): give "
            "this command the settings of the service, or --token"
        )
    said = answer.number("X-RateLimit-Limit")
    if said is None or answer.number("X-RateLimit-Remaining") is None:
        raise LoadError(
            f"GET {path} was answered with {answer} and without X-RateLimit-Limit and "
            "X-RateLimit-Remaining, so it is not known what was counted: set RATELIMIT_ENABLED and "
            "RATELIMIT_HEADERS_ENABLED, and keep this machine out of RATELIMIT_EXEMPT_NETWORKS"
        )
    if said != limit.limit:
        raise LoadError(
            f"GET {path} is limited to {said}, and the limit to test is {limit}: give this command "
            "the settings of the service, or say with --load-limit what is meant"
        )
    return answer


def _left_of_window(answer: Answer, limit: LimitUnderTest) -> float:
    """Return how many seconds of the window are left, at least.

    Both times are of the clock of the service, where the answer has a Date.
    """
    reset = answer.number("X-RateLimit-Reset")
    if reset is None:
        raise LoadError("the answers have no X-RateLimit-Reset: see limit-headers of --url")
    now = time()
    with suppress(TypeError, ValueError, OverflowError):  # no Date: clocks are taken to be equal
        date = parsedate_to_datetime(answer.get("Date") or "")
        now = date.replace(tzinfo=timezone.utc).timestamp()
    left = reset - now
    if limit.strategy == "sliding-window-counter":
        return left - limit.period  # it is the end of the window after this one
    return limit.period if limit.strategy == "gcra" else left


def _storm(
    client: Client, path: str, fields: dict[str, str], seconds: float, first: Answer
) -> Tally:
    total = Tally()
    _count(total, first)
    start = monotonic()
    tallies = [Tally() for _ in range(THREADS)]
    threads = [
        threading.Thread(
            target=_send, args=(client, path, fields, start + seconds, tally), daemon=True
        )
        for tally in tallies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for tally in tallies:
        total.add(tally)
    total.seconds = monotonic() - start
    return total


def _send(client: Client, path: str, fields: dict[str, str], end: float, tally: Tally) -> None:
    """Send one request after the other, each on a connection of its own: any worker may answer."""
    while monotonic() < end:
        try:
            answer = exchange(client, "GET", path, fields)
        except NoAnswer:
            tally.unanswered += 1
            sleep(0.05)  # the server may have no room for more connections
            continue
        _count(tally, answer)


def _count(tally: Tally, answer: Answer) -> None:
    tally.statuses[answer.status] += 1
    if answer.status == 429:
        tally.limited += 1
    elif answer.number("X-RateLimit-Limit") is None:
        tally.unanswered += 1  # not of the app: a proxy, or a server that is overloaded
    else:
        tally.passed += 1


def verdict(tally: Tally, limit: LimitUnderTest) -> tuple[bool, str]:
    """Return whether the limit held, and a sentence that says so."""
    most = limit.most
    if limit.strategy == "gcra":  # it gives back one request each period/limit
        most += int(tally.seconds * limit.most / limit.period) + 1
    counted = f"{tally.passed} of {tally.sent} requests passed in {tally.seconds:.1f} s"
    named = f"the limit {limit}"
    if not limit.most <= tally.passed <= most:
        if tally.passed < limit.most and not tally.limited:
            return False, (
                f"{counted}, and none was limited: {named} was not reached. Send for longer, or "
                "name a route with a smaller limit (--load-path)"
            )
        if tally.passed < limit.most <= tally.passed + tally.unanswered:
            return False, (
                f"{counted}, and {tally.unanswered} had no answer of the app, which may have been "
                "counted: give the server more workers or a longer backlog, and try again"
            )
        return False, f"{counted}, where {named} lets {limit.most} pass"
    if not tally.limited:
        return False, f"{counted}, and none was limited: send for longer"
    if most == limit.most:
        return True, f"exactly {counted}: {named} on all workers together"
    return True, f"{counted}: {named}, and what it gives back meanwhile, at most {most}"
