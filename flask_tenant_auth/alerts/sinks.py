"""The sinks of an app's alerts, from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..audit import logger
from .alert import Alert

if TYPE_CHECKING:
    from ..config.settings import Settings


class RemoteSink(Protocol):
    """What alerts are sent to over the network."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    def send(self, alert: Alert) -> None:
        """Deliver an alert, or raise `DeliveryError`."""


def log_alert(alert: Alert) -> None:
    """Write an alert to the log."""
    logger.warning("%s", alert.line(), extra={"alert": alert.data()})


def remote_sinks(settings: Settings) -> list[RemoteSink]:
    """Return the sinks that the settings name."""
    sinks: list[RemoteSink] = []
    if settings.auth_alert_webhook and settings.auth_alert_webhook_key:
        from .webhook import Webhook  # an app without one has no use for an HTTP client

        sinks.append(Webhook(settings.auth_alert_webhook, settings.auth_alert_webhook_key))
    if settings.auth_alert_smtp is not None and settings.auth_alert_email_from is not None:
        from .mail import Mail

        sinks.append(
            Mail(
                settings.auth_alert_smtp,
                settings.auth_alert_email_from,
                settings.auth_alert_email,
            )
        )
    return sinks
