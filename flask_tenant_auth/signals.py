"""Signals of what was decided about a request.

The sender is the app. Receivers get no token and no secret.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

request_authenticated = _signals.signal(
    "request-authenticated", "An identity was bound to a request. Sent with identity=."
)
request_denied = _signals.signal(
    "request-denied",
    "A request was denied with 400, 401, 403 or 500. Sent with status=, message= and reason=.",
)
rate_limit_exceeded = _signals.signal(
    "rate-limit-exceeded",
    "A request was denied with 429. Sent with decision=, identity= (None: no identity), and the "
    "limit= that denied it, the key= that this limit counts, and endpoint= (None: no route).",
)
concurrency_limit_exceeded = _signals.signal(
    "concurrency-limit-exceeded",
    "A request was denied with 429, because as many of its client as the limit says run already. "
    "Sent with limit= and identity= (None: no identity).",
)
alert_raised = _signals.signal(
    "alert-raised",
    "A rule of AUTH_ALERTS was met. Sent with alert= (an `Alert`), once for each rule, subject and "
    "window.",
)
sessions_revoked = _signals.signal(
    "sessions-revoked",
    "Something was revoked. Sent with kind= (session, user, tenant, token, everything), "
    "tenant_id=, user_id= and session_id=, each None where it does not apply.",
)
session_created = _signals.signal(
    "session-created", "A session began. Sent with session= (a `SessionInfo`)."
)
session_refreshed = _signals.signal(
    "session-refreshed", "A session has new tokens. Sent with session= (a `SessionInfo`)."
)
session_reused = _signals.signal(
    "session-reused",
    "A refresh token was used again, and its session has ended. Sent with session= (a "
    "`SessionInfo`) and reason= (session_reused, or late_predecessor: mostly a lost answer).",
)
