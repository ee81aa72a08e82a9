"""``with rate_limit_block(...):`` counts a block of code, in a request or in a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import after_this_request

from .._core import Decision
from ..limit.blocks import limited_block
from ..limit.exceeded import Exceeded, Limited
from .denials import report_exceeded
from .records import current_request, record_of
from .state import current_app, current_state

if TYPE_CHECKING:
    from flask import Request, Response


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
        exceeded = Exceeded(decision, block)
        error = report_exceeded(app, request, None, exceeded)
        if request is not None:
            _complete_answer(request, exceeded, error.reason)
        raise error
    yield decision


# The attribute of a Request object that holds which block was denied last.
_LAST = "_tenant_auth_denied_block"


def _complete_answer(request: Request, exceeded: Exceeded, reason: str) -> None:
    """Give the answer the header fields of this limit, if it is the 429 of the block.

    A caller may catch the error. So the record of the request does not have it before there is an
    answer, which an error handler of the app may have written.
    """
    request.__dict__[_LAST] = exceeded

    def complete(response: Response) -> Response:
        if response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
            return response
        record, is_last = record_of(request), request.__dict__[_LAST] is exceeded
        within_limits = record.decision is None or record.decision.allowed
        if is_last and within_limits and record.reason in (None, reason):
            record.decision, record.limits = exceeded.decision, exceeded.request.limits
        return response

    after_this_request(complete)
