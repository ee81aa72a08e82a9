"""Counting a request against limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import Decision, Identity, RequestRecord
from ..identity.denials import NO_CREDENTIALS, Denial
from ..limit.plans import Plan
from ..limit.rules import Rule
from .answers import Answer, deny_limited
from .authentication import identity_of
from .records import current_request, record_of
from .routes import first_endpoint
from .state import current_app

if TYPE_CHECKING:
    from flask import Request


def count(
    record: RequestRecord, plan: Plan, identity: Identity | None, address: str
) -> Answer | None:
    """Count a request against all limits of a plan in one step, and deny it beyond them."""
    limits = plan.limits
    custom: tuple[str, ...] = ()
    if limits is None:  # a rule depends on the request
        limits, custom = plan.resolve(identity)
    if not limits:
        return None
    decision = record.state.hit(limits, identity, address, custom)
    before = record.decision
    if before is None or not decision.allowed or decision.remaining < before.remaining:
        record.decision, record.limits = decision, limits
    return None if decision.allowed else deny_limited(decision, identity)


def count_rule(rule: Rule) -> Answer | None:
    """Count a rule that the hook has not counted: without a hook, or where it did not see it."""
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
    endpoint = first_endpoint(current_app._get_current_object(), request.endpoint or "")
    return count(record, Plan(endpoint, (rule,)), identity, request.remote_addr or "")


def count_failure(record: RequestRecord, outcome: Denial, request: Request) -> Decision | None:
    """Count a failed authentication that costs the client a 401; see `count_unauthorized`.

    OPTIONS without credentials is what browsers send before a request, and is no failure. OPTIONS
    with invalid credentials is not one either where the view asks for none: nobody calls this then.
    """
    if outcome.status != 401 or (request.method == "OPTIONS" and outcome is NO_CREDENTIALS):
        return None
    return count_unauthorized(record, request.remote_addr or "")


def count_unauthorized(record: RequestRecord, address: str) -> Decision | None:
    """Count a 401 of a request, once, against an address; return the decision that denies it."""
    state = record.state
    if record.failure_counted or not state.failure_limits:
        return None
    record.failure_counted = True
    decision: Decision = state.hit(state.failure_limits, None, address)
    if decision.allowed:
        return None
    record.decision, record.limits = decision, state.failure_limits
    return decision
