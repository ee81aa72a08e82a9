"""``with rate_limit_block(...):`` counts a block of code, in a request or in a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from .._core import Decision
from ..limit.blocks import limited_block
from ..limit.exceeded import Exceeded, Limited
from .denials import report_exceeded
from .records import current_request, record_of
from .state import current_app, current_state


def rate_limit_block(
    limit: str, *, key: str, cost: int = 1
) -> AbstractContextManager[Decision | None]:
    """Count a block of code against a limit, and run it only within the limit.

    It works in a request and in a job outside of one, and needs no `TenantAuth`. It is a step of
    its own: one more round trip where Redis counts. What runs in the block changes nothing about
    the count. Blocks with the same limit and the same key share one count.

    :param limit: as ``"10 per minute"`` or ``"1 per second; 100 per day"``.
    :param key: what is counted, as ``f"reports of {tenant_id}"``.
    :param cost: how much the block counts, 1 or more.
    :return: a context manager, whose value is the decision; None while RATELIMIT_ENABLED is false.
    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    :raises RateLimitExceeded: in place of the block, beyond the limit.
    """
    return _counted(limited_block(limit, key, cost))


@contextmanager
def _counted(block: Limited) -> Iterator[Decision | None]:
    state = current_state()
    if not state.settings.ratelimit_enabled:
        yield None
        return
    decision = state.hit(*block)
    if not decision.allowed:
        app = current_app._get_current_object() if current_app else None
        request = current_request()
        if request is not None:
            record = record_of(request)
            record.decision, record.limits = decision, block.limits
        # A caller may catch it, so the record does not have the reason yet.
        raise report_exceeded(app, request, None, Exceeded(decision, block))
    yield decision
