"""The audit line of a request, for an app that writes it itself."""

from __future__ import annotations

import logging

from flask import Request

from ..audit import log_request, logger


def log_request_context(
    request: Request, user_id: str | None, tenant_id: str | None, role: str | None
) -> None:
    """Write the audit line of a request to the logger ``flask_tenant_auth``, at INFO.

    ``Request: method=GET endpoint=/api/accounts user_id=... tenant_id=... role=user
    ip=127.0.0.1 user_agent="..."``, on one line. The fields are attributes of the log record too.

    :param request: the request, or Flask's proxy of it.
    :param user_id: canonical UUID; None is written as ``-``, here and below.
    :param tenant_id: canonical UUID.
    :param role: role name.
    :raises TypeError: for anything else; the message names the argument.
    """
    if not isinstance(request, Request):
        raise TypeError(f"request must be a flask.Request, not {type(request).__name__}")
    for name, value in (("user_id", user_id), ("tenant_id", tenant_id), ("role", role)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be a str or None, not {type(value).__name__}")
    if logger.isEnabledFor(logging.INFO):
        log_request(request, user_id, tenant_id, role)
