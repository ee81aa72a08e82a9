"""All checks in their order, and one run of them."""

from __future__ import annotations

from collections.abc import Iterator

from . import cross_origin, denials, fields, operators, tenants, tokens, transport
from .exchange import NoAnswer
from .outcome import OK, PROBLEM, SKIPPED, Check, Limited, NotAsked, Outcome
from .session import Session

CHECKS: tuple[Check, ...] = (
    *transport.CHECKS,
    *fields.CHECKS,
    *denials.CHECKS,
    *tenants.CHECKS,
    *tokens.CHECKS,
    *cross_origin.CHECKS,
    *operators.CHECKS,
)


def run(session: Session) -> Iterator[Outcome]:
    """Yield what each check finds, as it is found. Nothing that the service sends raises."""
    for check in CHECKS:
        outcomes = outcomes_of(check, session)
        yield from outcomes
        failed = any(each.status == PROBLEM for each in outcomes)
        if failed and (check.stops or session.client.gone):
            return


def outcomes_of(check: Check, session: Session) -> list[Outcome]:
    """Return what one check finds."""
    found: list[Outcome] = []
    try:
        for problem in check.look(session):
            # One by one: what was found before an error stays.
            outcome = Outcome(check.name, PROBLEM, problem.asked, problem.came, problem.change)
            found.append(outcome)
    except Limited as error:
        change = "run the command again when the limit has ended"
        return [*found, Outcome(check.name, PROBLEM, check.holds, str(error), change)]
    except NotAsked as error:
        return found or [Outcome(check.name, SKIPPED, check.holds, str(error))]
    except NoAnswer as error:
        change = "look at the log of the service and of the proxy: each request has to be answered"
        return [*found, Outcome(check.name, PROBLEM, check.holds, str(error), change)]
    return found or [Outcome(check.name, OK, check.holds)]
