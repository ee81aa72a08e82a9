"""What ``@concurrency_limit`` does with a request: it takes a permit, and gives it back.

The permit is given back when the response is closed: for a stream when its last part was sent, or
when the client has gone. It is given back at once when the view raises, because its work is over
then, and when a view returns that Flask does not dispatch, because there is no response. The core
gives it back when nobody refers to it any more, as where another response replaces this one, and
the kernel when the process ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from flask import after_this_request
from werkzeug.wsgi import ClosingIterator

from ..audit import logger
from ..errors import AuthError
from ..limit.at_once import Held
from ..limit.concurrency import ConcurrencyRule
from ..limit.plans import log_failure
from .answers import Answer, raise_or_return
from .authentication import identity_of
from .denials import report_too_many_at_once
from .records import current_request, record_of
from .routes import first_endpoint
from .state import AppState, current_app

if TYPE_CHECKING:
    from flask import Response


# The attribute of a Request object that holds the rules whose permits it has.
_BEGUN = "_tenant_auth_begun"


class Running:
    """A request that has a permit."""

    def __init__(self, held: Held, *, has_response: bool) -> None:
        self._held = held
        self._has_response = has_response

    def returned(self, _answer: Any) -> None:
        """Keep the permit until the response is closed, if there will be one."""
        if not self._has_response:
            self._held.release()

    def raised(self, _error: BaseException) -> None:
        """Give the permit back."""
        self._held.release()


def begin_running(rule: ConcurrencyRule) -> Running | Answer | None:
    """Take a permit for the current request, or deny it; None where it needs none."""
    request = current_request()
    if request is None or not rule.applies_to(request.method):
        return None
    record = record_of(request)
    state: AppState = record.state
    begun: set[ConcurrencyRule] = request.__dict__.setdefault(_BEGUN, set())
    if rule in begun or not state.settings.ratelimit_enabled or state.exemptions.exempt(request):
        return None
    identity = identity_of(record, request)
    try:
        most = rule.most_for(identity)
        per, key = rule.subject(identity)
    except Exception as error:
        if not isinstance(error, AuthError):
            log_failure(request.endpoint or "", rule, error)
        raise
    if most is None:
        return None
    scope = _scope_of(rule, state, request.endpoint or "")
    try:
        held = state.at_once.take(most, scope, per, identity, request.remote_addr or "", key)
    except OSError as error:  # it is not known how many run
        logger.error("A request is denied, because the requests at once are not known: %s", error)
        held = None
    if held is None:
        app = current_app._get_current_object()
        return raise_or_return(report_too_many_at_once(app, request, record, most, identity))
    if record.dispatched:
        begun.add(rule)
        after_this_request(_release_when_closed(held))
    return Running(held, has_response=record.dispatched)


def _scope_of(rule: ConcurrencyRule, state: AppState, endpoint: str) -> str:
    """Return the scope of a rule at an endpoint, which an app works out once."""
    scope = state.scopes_at_once.get((rule, endpoint))
    if scope is None:
        first = first_endpoint(current_app._get_current_object(), endpoint)
        scope = state.scopes_at_once[rule, endpoint] = rule.scope_in(first)
    return scope


def _release_when_closed(held: Held) -> Callable[[Response], Response]:
    """Return a function of the response that has the permit given back when that is closed."""

    def release_when_closed(response: Response) -> Response:
        if response.direct_passthrough or response.is_streamed:
            # The server, or another response that an after_request function makes around it, gets
            # this iterable alone, and does not close the response.
            parts = cast("Iterable[bytes]", response.response)
            response.response = ClosingIterator(parts, [held.release])
        response.call_on_close(held.release)
        return response

    return release_when_closed
