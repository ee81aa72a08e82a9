"""The judge of schedules finds one permit too many, and lets pass what some moment explains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from .judge import Request, Step, Story, faults
from .schedule import HostPlan, Schedule

MS = 1_000_000
SECOND = 1000 * MS
DAY = 100 * 10 * SECOND  # the grid of 10 s and the clock of the hosts begin together

Span = tuple[float, float]  # of a request, in seconds


def story(
    strategy: str,
    admitted: Sequence[Span],
    *,
    limit: int = 3,
    lease: float = 0.0,
    lost: Sequence[Span] = (),
    steps: Sequence[tuple[float, float]] = (),
) -> Story:
    """A story of one limit per 10 s; a lost request may be counted until nothing is under way."""
    schedule = Schedule(
        number=0,
        strategy=strategy,
        rates=((limit, 10),),
        most_cost=1,
        hosts=(HostPlan(1, each_opens=False, lease=lease),),
        control="",
        phases=(),
    )
    requests = [_request(span, allowed=True) for span in admitted]
    requests += [_request(span, allowed=False) for span in lost]
    told = [Step(int(at * SECOND), int(at * SECOND), int(by * SECOND)) for at, by in steps]
    quiet = [int(last * SECOND) for _, last in lost]
    return Story(schedule, requests, told, quiet, DAY, Counter(), Counter())


def _request(span: Span, *, allowed: bool) -> Request:
    start, end = (int(at * SECOND) for at in span)
    return Request(
        host=0,
        costs=(1,),
        start=start,
        end=end if allowed else None,
        allowed=allowed,
        uncounted=not allowed,
        given_back=False,
    )


def at(*moments: float) -> list[Span]:
    """Requests that took a millisecond each."""
    return [(moment, moment + 0.001) for moment in moments]


FIXED, SLIDING, GCRA = "fixed-window", "sliding-window-counter", "gcra"
RIGHT = {
    "a window and the next one": story(FIXED, at(1, 2, 10.9, 11.1, 11.2, 11.3)),
    "before or after the border": story(FIXED, [*at(1, 2, 3), (10.9, 11.1), *at(11.2, 11.3)]),
    "a window that a lost request began": story(
        FIXED, at(1, 2, 3, 10.5, 10.6, 10.7), lost=[(0.2, 0.4)]
    ),
    "a window that is longer because Redis was set back": story(
        FIXED, at(1, 2, 12, 12.5, 12.6, 12.7), steps=[(5, -2)]
    ),
    "a lease of a window that Redis has left early": story(
        FIXED, at(1, 6.1, 6.2, 6.3, 6.4, 6.5), lease=0.5, steps=[(6, 9)]
    ),
    "a grid": story(SLIDING, at(9.5, 12, 15, 22)),
    "a grid whose border a request may be behind": story(SLIDING, [*at(1, 2, 3), (9.99, 10.01)]),
    "a burst, and what time pays for": story(GCRA, at(1, 1, 1, 4.4, 7.8)),
    "more time because Redis was set forwards": story(GCRA, at(1, 1, 1, 2, 2), steps=[(1.5, 7)]),
}
WRONG = {
    "one more in a window": story(FIXED, at(1, 2, 3, 10.9)),
    "one more in the next window": story(FIXED, at(1, 11.1, 11.2, 11.3, 20.9)),
    "a new window because Redis was set back": story(FIXED, at(1, 2, 3, 6), steps=[(5, -20)]),
    "a lease that is spent after its window": story(
        FIXED, at(1, 11.1, 11.2, 11.3, 11.4), lease=0.5
    ),
    "a lost request is one request": story(FIXED, at(1, 2, 3, 3.5), lost=[(0.2, 0.4)]),
    "one more in a window of the grid": story(SLIDING, at(1, 2, 3, 4)),
    "one more beside the window before": story(SLIDING, at(8, 9, 9.5, 11)),
    "one more than time pays for": story(GCRA, at(1, 1, 1, 4.2)),
    "a new burst because Redis was set back": story(GCRA, at(1, 1, 1, 2), steps=[(1.5, -30)]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_some_moment_of_each_request_explains_is_right(name: str) -> None:
    assert faults(RIGHT[name]) == []


@pytest.mark.parametrize("name", WRONG)
def test_one_permit_too_many_is_found(name: str) -> None:
    assert faults(WRONG[name]) != []
