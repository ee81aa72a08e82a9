"""Counting a request against limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import after_this_request

from .._core import Decision, Identity, Limit, Rate, RequestRecord, Reservation
from ..errors import RateLimitExceeded
from ..identity.denials import NO_CREDENTIALS, Denial
from ..limit.exceeded import Exceeded, Limited
from ..limit.plans import Deduction, Plan, log_failure
from ..limit.rules import Rule, answered
from .alerting import note_failure
from .answers import Answer, deny_limited, raise_or_return
from .authentication import identity_of
from .denials import report_exceeded
from .records import current_request, record_of
from .routes import first_endpoint
from .state import current_app, current_state

if TYPE_CHECKING:
    from flask import Request, Response


def count(
    record: RequestRecord, plan: Plan, identity: Identity | None, address: str
) -> Answer | None:
    """Count a request against all limits of a plan in one step, and deny it beyond them."""
    limits = plan.limits
    custom: tuple[str, ...] = ()
    deductions: list[Deduction] = []
    if limits is None:  # a rule depends on the request
        limits, custom, deductions = plan.resolve(identity)
    if not limits:
        return None
    request = Limited(limits, identity, address, custom)
    if deductions:
        reservation = record.state.reserve(*request)
        decision = reservation.decision
        if decision.allowed:
            after_this_request(_settle(record, request, reservation, deductions))
    else:
        decision = record.state.hit(*request)
    before = record.decision
    if before is None or not decision.allowed or decision.remaining < before.remaining:
        record.decision, record.limits = decision, limits
    return None if decision.allowed else deny_counted(Exceeded(decision, request))


# The attribute of a Request object that holds the decision by which counting it has denied it.
_DENIED = "_tenant_auth_denied"


def deny_counted(exceeded: Exceeded) -> Answer:
    """Deny the current request by what counts it. `count_rule` denies its view for the same."""
    request = current_request()
    assert request is not None  # noqa: S101 - it was counted
    request.__dict__[_DENIED] = exceeded.decision
    return deny_limited(exceeded)


def _settle(
    record: RequestRecord, request: Limited, reservation: Reservation, deductions: list[Deduction]
) -> Callable[[Response], Response]:
    """Return a function of the response that gives back what it says does not count."""

    def settle(response: Response) -> Response:
        try:
            kept = [_counts(each, response) for each in deductions]
        except Exception:
            deductions.clear()  # all of it stays counted, whatever the answer to the error says
            raise
        for each, counts in zip(deductions, kept, strict=True):
            if not counts:
                reservation.give_back(each.start, each.stop)
        if not all(kept) and record.decision is reservation.decision:
            record.decision = record.state.limiter.peek(*request)
        return response

    return settle


def _counts(deduction: Deduction, response: Response) -> bool:
    """Whether a response counts against the limits of a rule. Where that fails, it counts."""
    rule = deduction.rule
    assert rule.deduct_when is not None  # noqa: S101 - it is why there is a deduction
    try:
        return bool(answered(rule.deduct_when(response), "deduct_when"))
    except Exception as error:
        log_failure(deduction.endpoint, rule, error)
        raise


_REFRESHES = (Limit(Rate(30, 60), scope="refreshes of a session", per="custom"),)


def count_refresh(session_id: str) -> None:
    """Count a refresh of a session, whose token is right, against the budget of that session.

    :raises RateLimitExceeded: beyond it.
    """
    state = current_state()
    if not state.settings.ratelimit_enabled:
        return
    refresh = Limited(_REFRESHES, None, "", (session_id,))
    decision = state.hit(*refresh)
    if not decision.allowed:
        request = current_request()
        record = None if request is None else record_of(request)
        app = current_app._get_current_object()
        raise report_exceeded(app, request, record, Exceeded(decision, refresh))


def count_rule(rule: Rule) -> Answer | None:
    """Count a rule that the hook has not counted: without a hook, or where it did not see it."""
    request = current_request()
    if request is None:
        return None
    record = record_of(request)
    if rule in record.counted:
        decision: Decision | None = request.__dict__.get(_DENIED)
        if decision is None:
            return None
        return raise_or_return(RateLimitExceeded(str(decision.rate), decision))  # as reported
    if not record.state.settings.ratelimit_enabled:
        return None
    record.counted += (rule,)
    if not rule.applies_to(request.method) or record.state.exemptions.exempt(request):
        return None
    identity = identity_of(record, request)
    endpoint = first_endpoint(current_app._get_current_object(), request.endpoint or "")
    return count(record, Plan(endpoint, (rule,)), identity, request.remote_addr or "")


def count_failure(record: RequestRecord, outcome: Denial, request: Request) -> Exceeded | None:
    """Count a failed authentication that costs the client a 401; see `count_unauthorized`.

    OPTIONS without credentials is what browsers send before a request, and is no failure. OPTIONS
    with invalid credentials is not one either where the view asks for none: nobody calls this then.
    """
    if outcome.status != 401 or (request.method == "OPTIONS" and outcome is NO_CREDENTIALS):
        return None
    return count_unauthorized(record, request.remote_addr or "", outcome.reason)


def count_unauthorized(record: RequestRecord, address: str, reason: str) -> Exceeded | None:
    """Count a 401 of a request, once, against an address; return what denies it."""
    state = record.state
    if record.failure_counted:
        return None
    record.failure_counted = True
    note_failure(state, current_request(), address, reason)
    if not state.failure_limits:
        return None
    failure = Limited(state.failure_limits, None, address)
    decision: Decision = state.hit(*failure)
    if decision.allowed:
        return None
    record.decision, record.limits = decision, failure.limits
    return Exceeded(decision, failure)
