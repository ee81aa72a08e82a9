"""Whether what a schedule allowed can be: told by its requests and the clocks alone.

The judge knows when each request began and ended, by the clock of the hosts, and each step of the
clock of Redis. Somewhere between was the moment that counts, so whatever some choice of these
moments explains is right. It knows nothing of how a limiter works: only what the limit promises.

Time is in microseconds, by the clock of Redis without its steps backwards: a step backwards may
make a window longer, and must not make a new one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .schedule import Schedule

US = 1_000_000
FOREVER = 1 << 62


@dataclass
class Request:
    """One request. Times are by the clock of its host, in nanoseconds; end is None: killed."""

    host: int
    costs: tuple[int, ...]
    start: int
    end: int | None
    allowed: bool
    uncounted: bool  # no store has answered
    given_back: bool


@dataclass(frozen=True)
class Step:
    """A step of the clock of Redis, between two moments."""

    before: int
    after: int
    ns: int


@dataclass
class Story:
    """What came of a schedule."""

    schedule: Schedule
    requests: list[Request]
    steps: list[Step]
    quiet: list[int]  # moments at which nothing was under way
    day: int  # from the clock of a host to that of Redis, before its steps
    acts: Counter[str]
    facts: Counter[str]  # what limiters say of their leases


@dataclass(frozen=True)
class Event:
    """A request, as it concerns one limit: not before and not after, and what it was allowed."""

    first: int
    last: int
    cost: int  # 0 where it was not allowed
    opens: bool  # whether it may have begun a window


@dataclass(frozen=True)
class Terms:
    """A limit, and how far it is held."""

    limit: int
    period: int
    leased: bool  # whether a host may have a lease
    stepped_back: bool  # whether windows may be longer
    stepped_on: int  # how often the clock of Redis was stepped forwards
    day: int  # from the time of the events to that of Redis

    @property
    def outlives(self) -> bool:
        """Whether a window that is over for Redis may still be spent by hosts, that is leased."""
        return self.leased and self.stepped_on > 0


def faults(story: Story) -> list[str]:
    """What cannot be, a sentence for each limit."""
    schedule = story.schedule
    judge = _JUDGES[schedule.strategy]
    found = []
    for place, (limit, seconds) in enumerate(schedule.rates):
        terms = Terms(
            limit,
            seconds * US,
            any(host.lease for host in schedule.hosts),
            any(step.ns < 0 for step in story.steps),
            sum(step.ns > 0 for step in story.steps),
            story.day // 1000,
        )
        events = events_of(story, place, terms)
        try:
            fault = judge(events, terms)
        except UndecidedError:
            fault = of_any_windows(events, terms)
            story.facts["limits judged roughly"] += 1
        if fault:
            found.append(f"{limit} per {seconds} s, {schedule.strategy}: {fault}")
    return found


def events_of(story: Story, place: int, terms: Terms) -> list[Event]:
    """The requests that one limit was asked about, by their first moments."""
    events = []
    for request in story.requests:
        cost = request.costs[place]
        if not cost:
            continue
        end = request.end
        if end is None or request.uncounted:
            # It may be counted after its host has left it, until nothing is under way.
            end = next((at for at in story.quiet if at >= (end or request.start)), None)
        counted = request.allowed and not request.given_back
        events.append(
            Event(
                first=_redis_time(story.steps, request.start, late=False),
                last=FOREVER if end is None else _redis_time(story.steps, end, late=True) + 1,
                cost=cost if counted else 0,
                opens=request.allowed or request.uncounted or terms.leased,
            )
        )
    return sorted(events, key=lambda event: (event.first, event.last))


def _redis_time(steps: Iterable[Step], at: int, *, late: bool) -> int:
    """The time of Redis without its steps backwards; a step of that moment counts where late."""
    forwards = sum(
        step.ns for step in steps if step.ns > 0 and (step.before if late else step.after) <= at
    )
    return (at + forwards) // 1000


# --- Windows ---


@dataclass(frozen=True)
class Window:
    """A window that began between two moments, and what it was spent at least."""

    earliest: int
    latest: int
    spent: int

    @property
    def moments(self) -> tuple[int, int]:
        return self.earliest, self.latest


@dataclass(frozen=True)
class Choice:
    """The last two windows, if all until now was as some choice has it.

    Where windows outlive their end, `before` is the room of all but the last one.
    """

    last: Window
    before: Window


NO_WINDOW = Window(-FOREVER, -FOREVER, FOREVER)
MOST_CHOICES = 20_000
LONG = 20  # a request that took longer than this part of a period is only known to have been


class UndecidedError(Exception):
    """There were more choices than the judge looks at."""


def of_fixed_windows(events: list[Event], terms: Terms) -> str:
    """Whether there are windows, each begun by a request, that explain what was allowed."""
    # What may have been at any moment of a long time says little, and may have begun a window.
    long = [event for event in events if event.last - event.first > terms.period // LONG]
    choices = {Choice(NO_WINDOW, NO_WINDOW)}
    looked = 0
    for event in events:
        if event.last - event.first > terms.period // LONG:
            continue
        following: set[Choice] = set()
        for choice in choices:
            following |= set(_following(choice, event, terms, long))
        if not following:
            return f"at {event.first} us, cost {event.cost}: none of {sorted(choices, key=str)[:3]}"
        looked += len(following)
        if looked > MOST_CHOICES:
            raise UndecidedError
        choices = _without_worse({_aged(choice, event.first, terms) for choice in following}, terms)
    return ""


def _following(choice: Choice, event: Event, terms: Terms, long: list[Event]) -> Iterable[Choice]:
    if not event.cost:
        yield choice
    else:
        last = _spend(choice.last, event, terms, lasts=terms.stepped_back)
        if last is not None:
            yield Choice(last, choice.before)
        if terms.outlives:
            # That room stays for whatever comes, so it is not spent where the window has some.
            if last is None or last.moments != choice.last.moments:
                yield from _from_rooms(choice, event, terms)
        else:
            yield from _from_before(choice, event, terms)
    earliest = choice.last.earliest + terms.period
    spans = [(event.first, event.last)] if event.opens else []
    if event.cost:
        spans += [(each.first, min(each.last, event.last)) for each in long if each.opens]
    for first, latest in spans:
        if max(first, earliest) <= latest and event.cost <= terms.limit:
            new = Window(max(first, earliest), latest, event.cost)
            yield Choice(new, _all_rooms(choice, terms) if terms.outlives else choice.last)


def _from_rooms(choice: Choice, event: Event, terms: Terms) -> Iterable[Choice]:
    spent = choice.before.spent + event.cost
    if spent <= terms.limit:
        yield Choice(choice.last, Window(-FOREVER, FOREVER, spent))


def _from_before(choice: Choice, event: Event, terms: Terms) -> Iterable[Choice]:
    before = _spend(choice.before, event, terms, lasts=False)
    if before is not None:
        earliest = max(choice.last.earliest, before.earliest + terms.period)
        if earliest <= choice.last.latest:
            last = Window(earliest, choice.last.latest, choice.last.spent)
            yield Choice(last, before)


def _all_rooms(choice: Choice, terms: Terms) -> Window:
    room = sum(max(terms.limit - each.spent, 0) for each in (choice.last, choice.before))
    return Window(-FOREVER, FOREVER, terms.limit - room)


def _spend(window: Window, event: Event, terms: Terms, *, lasts: bool) -> Window | None:
    """The window, if the event was in it."""
    if window.spent + event.cost > terms.limit:
        return None
    earliest = window.earliest
    if not lasts:
        earliest = max(earliest, event.first - terms.period + 1)
    latest = min(window.latest, event.last)
    if earliest > latest:
        return None
    return Window(earliest, latest, window.spent + event.cost)


def _aged(choice: Choice, now: int, terms: Terms) -> Choice:
    """The choice, without differences that make none for what is not before now."""
    last, before = choice.last, choice.before
    old = now - 2 * terms.period  # no window that may hold something from now on began before
    if last.earliest < old:
        last = Window(old, max(last.latest, old), last.spent)
    if last.latest + terms.period <= now and not terms.stepped_back:
        last = Window(last.earliest, last.earliest, terms.limit)  # it is over
    if before.latest + terms.period <= now and not terms.outlives:
        before = NO_WINDOW
    if terms.stepped_back and last.latest < now and (terms.outlives or before == NO_WINDOW):
        last = Window(last.earliest, now, last.spent)  # nothing says any more that it began before
    return Choice(last, before)


def _without_worse(choices: set[Choice], terms: Terms) -> set[Choice]:
    """The choices but those that another one allows all that they allow, and maybe more."""
    kept: list[Choice] = []
    for choice in sorted(choices, key=_room, reverse=True):
        if not any(_is_worse(choice, other, terms) for other in kept):
            kept.append(choice)
    return set(kept)


def _is_worse(choice: Choice, other: Choice, terms: Terms) -> bool:
    if not (
        _begins_within(choice.last, other.last) and _begins_within(choice.before, other.before)
    ):
        return False
    # Where the room of earlier windows stays, what is spent in the last one may move there.
    moves = max(choice.before.spent - other.before.spent, 0) if terms.outlives else 0
    return (
        other.before.spent <= choice.before.spent and other.last.spent <= choice.last.spent + moves
    )


def _room(choice: Choice) -> tuple[int, int, int]:
    """None that allows more comes after one that allows less."""
    spent = choice.last.spent + choice.before.spent
    width = sum(each.latest - each.earliest for each in (choice.last, choice.before))
    return -spent, width, -choice.before.spent


def _begins_within(window: Window, other: Window) -> bool:
    return other.earliest <= window.earliest and window.latest <= other.latest


def of_any_windows(events: list[Event], terms: Terms) -> str:
    """Whether every span of time has no more than the windows that it can have a part of."""
    counted = [event for event in events if event.cost]
    later = terms.stepped_on if terms.outlives else 0
    for begin in sorted({event.first for event in counted}):
        spent = 0
        for event in sorted(counted, key=lambda event: event.last):
            if event.first >= begin:
                spent += event.cost
                windows = (event.last - begin) // terms.period + 2 + later
                if spent > terms.limit * windows:
                    return f"{spent} in the {event.last - begin} us from {begin} us"
    return ""


# --- Sliding windows ---


def of_sliding_windows(events: list[Event], terms: Terms) -> str:
    """Whether each request had room beside its window of the grid and the one before."""
    if terms.stepped_back or terms.outlives:
        # The grid is not known any more. On whatever grid, a span of time has no more than GCRA
        # allows: of two windows, the first counts as far as the span has not left it behind.
        return of_gcra(events, terms)
    counted = [event for event in events if event.cost]
    sure: Counter[int] = Counter()  # what was certainly in a window of the grid
    within: list[tuple[Event, int]] = []
    for event in counted:
        first, last = (
            (at + terms.day) // terms.period if at < FOREVER else -1
            for at in (event.first, event.last)
        )
        if first == last:
            within.append((event, first))
            sure[first] += event.cost
    for window, spent in sure.items():
        if spent > terms.limit:
            return f"window {window} of the grid: {spent}"
    for event, window in within:
        left = (window + 1) * terms.period - (event.last + terms.day)
        carried = -(-sure[window - 1] * max(left, 0) // terms.period)
        earlier = sum(
            other.cost for other, its in within if its == window and other.last < event.first
        )
        if carried + earlier + event.cost > terms.limit:
            return (
                f"at {event.first} us: {carried} of the window before, {earlier} of this one, "
                f"and {event.cost}"
            )
    return ""


# --- GCRA ---


def of_gcra(events: list[Event], terms: Terms) -> str:
    """Whether every span of time has the limit and what it pays for at most."""
    counted = [event for event in events if event.cost]
    interval = terms.period / terms.limit
    most = terms.limit * (1 + (terms.stepped_on if terms.leased else 0))
    ends = sorted({event.last for event in counted if event.last < FOREVER})
    for begin in sorted({event.first for event in counted}):
        inside = sorted((event.last, event.cost) for event in counted if event.first >= begin)
        spent, place = 0, 0
        for end in ends:
            if end < begin:
                continue
            while place < len(inside) and inside[place][0] <= end:
                spent += inside[place][1]
                place += 1
            if spent > most + (end - begin) / interval:
                return f"{spent} in the {end - begin} us from {begin} us"
    return ""


_JUDGES: dict[str, Callable[[list[Event], Terms], str]] = {
    "fixed-window": of_fixed_windows,
    "sliding-window-counter": of_sliding_windows,
    "gcra": of_gcra,
}
