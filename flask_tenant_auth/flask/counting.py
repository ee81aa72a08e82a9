"""Counting one request: against the limits of its route, and its failures to authenticate."""

from __future__ import annotations

from flask import Request

from .._core import Decision, Identity, RequestRecord
from ..limits import Plan, Rule
from .answers import Answer, deny_limited
from .context import current_request, identity_of, record_of
from .denials import NO_CREDENTIALS, Denial
from .plans import first_endpoint
from .state import current_app


def count_failure(record: RequestRecord, outcome: Denial, request: Request) -> Decision | None:
    """Count credentials that are none, if they cost the client a 401; see `count_unauthorized`.

    OPTIONS without credentials is what browsers send before a request, and is no failure. Nor is
    it one with bad credentials where the view asks for none: nobody calls this then.
    """
    if outcome.status != 401 or (request.method == "OPTIONS" and outcome is NO_CREDENTIALS):
        return None
    return count_unauthorized(record, request.remote_addr or "")


def count_unauthorized(record: RequestRecord, address: str) -> Decision | None:
    """Count a 401 of a request, once, against an address; return what is over the limit."""
    state = record.state
    if record.failure_counted or not state.failure_limits:
        return None
    record.failure_counted = True
    decision = state.hit(state.failure_limits, None, address)
    if decision.allowed:
        return None
    record.decision, record.limits = decision, state.failure_limits
    return decision


def count_rule(rule: Rule) -> Answer | None:
    """Count a rule that the hook has not counted: there is none, or it could not see the rule."""
    request = current_request()
    if request is None:
        return None
    record = record_of(request)
    if rule in record.counted:
        decision = record.decision
        if decision is None or decision.allowed:
            return None
        return deny_limited(decision, record.identity)
    if not record.state.settings.ratelimit_enabled:
        return None
    record.counted += (rule,)
    if not rule.applies_to(request.method):
        return None
    identity = identity_of(record, request)
    app = current_app._get_current_object()
    plan = Plan(first_endpoint(app, request.endpoint or ""), (rule,))
    return count(record, plan, identity, request.remote_addr or "")


def count(
    record: RequestRecord, plan: Plan, identity: Identity | None, address: str
) -> Answer | None:
    """Count a request against all limits of a plan in one step, and deny it beyond them."""
    counted = plan.limits
    custom: tuple[str, ...] = ()
    if counted is None:  # a rule asks something of the request
        counted, custom = plan.resolve(identity)
    if not counted:
        return None
    decision = record.state.hit(counted, identity, address, custom)
    before = record.decision
    if before is None or not decision.allowed or decision.remaining < before.remaining:
        record.decision, record.limits = decision, counted
    return None if decision.allowed else deny_limited(decision, identity)
