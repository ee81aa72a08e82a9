"""Alerts as signed POSTs, in the form of Standard Webhooks 1.0."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timezone
from http import HTTPStatus

from ..config.provider_urls import shown_url
from ..http_client import ExchangeError, post
from .alert import Alert
from .outbox import DeliveryError

# Beside 5xx, these say that a later attempt may succeed.
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class Webhook:
    """A URL that alerts are sent to.

    :param key: signs each alert (HMAC with SHA-256, RFC 2104).
    """

    def __init__(self, url: str, key: bytes) -> None:
        self._url = url
        self._key = key

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"The webhook {shown_url(self._url)}"

    def send(self, alert: Alert) -> None:
        """Send an alert. A receiver knows one that comes twice by its ``webhook-id``.

        :raises DeliveryError: where it was not taken.
        """
        body = alert.json()
        timestamp = str(int(datetime.now(timezone.utc).timestamp()))
        signed = b".".join((alert.id.encode(), timestamp.encode(), body))
        signature = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "flask_tenant_auth",
            "webhook-id": alert.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        }
        try:
            posted = post(self._url, body, headers)
        except ExchangeError as error:
            raise DeliveryError(str(error)) from None
        status = posted.status
        if not 200 <= status <= 299:
            raise DeliveryError(
                f"it answered with the status {status}",
                final=not (500 <= status <= 599 or status in _LATER),
                retry_after=_seconds(posted.retry_after),
            )


def _seconds(text: str) -> float:
    """Return the seconds of a Retry-After; a date counts as none."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0.0
