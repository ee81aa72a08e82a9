"""Alerts as e-mail, over TLS."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from time import monotonic
from typing import Any

from ..config.alert_settings import MailServer
from ..timed_exchange import NotStartedError, TimedExchange, TooLateError
from .alert import Alert
from .outbox import DeliveryError

SEND_SECONDS = 20.0


class Mail:
    """Addresses that alerts are sent to."""

    def __init__(self, server: MailServer, sender: str, recipients: Sequence[str]) -> None:
        self._server = server
        self._sender = sender
        self._recipients = tuple(recipients)

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"The mail server {self._server.host}:{self._server.port}"

    def send(self, alert: Alert) -> None:
        """Send an alert to all addresses, within SEND_SECONDS.

        :raises DeliveryError: where one of them was not taken, or there was no answer.
        """
        _Sending(self._server, self._message(alert)).result()

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = self._sender
        message["To"] = ", ".join(self._recipients)
        message["Subject"] = f"[{_printable(alert.app)}] {alert.rule}"
        message["Date"] = format_datetime(alert.time)
        message["Message-ID"] = f"<{alert.id}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834, section 5
        message.set_content(alert.text())
        return message


class _Sending(TimedExchange[None]):
    """One attempt to send a message."""

    thread_name = "flask_tenant_auth SMTP"

    def __init__(self, server: MailServer, message: EmailMessage) -> None:
        super().__init__(monotonic() + SEND_SECONDS)
        self._server = server
        self._message = message

    def error_of(self, error: Exception) -> DeliveryError:
        """Return what went wrong, without a text of the server, which may quote what we sent."""
        return _problem(error)

    def exchange(self) -> None:
        """Send it."""
        server = self._server
        context = ssl.create_default_context()
        client: smtplib.SMTP
        if server.implicit_tls:
            client = _ClientOverTLS(self.has_connected, server.host, server.port, context)
        else:
            client = _Client(self.has_connected, server.host, server.port)
        with client:
            client.ehlo()
            if not server.implicit_tls and (server.requires_tls or client.has_extn("starttls")):
                client.starttls(context=context)  # raises where there is none
                self.has_connected(client.sock)
            if server.user:
                client.login(server.user, server.password)
            refused = client.send_message(self._message)
            if refused:
                raise DeliveryError(f"it refused {', '.join(sorted(refused))}", final=True)


class _Client(smtplib.SMTP):
    """A client whose socket is known before the server has said anything."""

    def __init__(self, has_connected: Callable[[Any], None], host: str, port: int) -> None:
        self._has_connected = has_connected
        super().__init__(host, port, timeout=SEND_SECONDS)

    # The hook that `smtplib.SMTP_SSL` overrides as well. There is no public one.
    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        connection = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self._has_connected(connection)
        return connection


class _ClientOverTLS(smtplib.SMTP_SSL):
    """The same over TLS from the first octet on."""

    def __init__(
        self, has_connected: Callable[[Any], None], host: str, port: int, context: ssl.SSLContext
    ) -> None:
        self._has_connected = has_connected
        super().__init__(host, port, timeout=SEND_SECONDS, context=context)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        connection = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self._has_connected(connection)
        return connection


def _problem(error: Exception) -> DeliveryError:
    if isinstance(error, DeliveryError):
        return error
    if isinstance(error, NotStartedError):
        return DeliveryError("no thread could be started")
    if isinstance(error, TooLateError):
        return DeliveryError(f"it did not take the e-mail within {SEND_SECONDS:g} seconds")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = {code for code, _ in error.recipients.values()}
        return DeliveryError(
            f"it refused {', '.join(sorted(error.recipients))}", final=min(codes) >= 500
        )
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return DeliveryError("it did not accept the user and password of AUTH_ALERT_SMTP")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return DeliveryError("it has no STARTTLS, or no way to log in that we know")
    if isinstance(error, smtplib.SMTPResponseException):
        return DeliveryError(f"it answered with the code {error.smtp_code}",
                             final=error.smtp_code >= 500)  # fmt: skip
    if isinstance(error, ssl.SSLError):
        why = getattr(error, "verify_message", None) or error.reason or type(error).__name__
        return DeliveryError(f"it has no TLS that can be trusted: {why}")
    if isinstance(error, OSError) and error.strerror:
        return DeliveryError(f"it cannot be reached: {error.strerror}")
    return DeliveryError(f"it cannot be reached, or speaks no SMTP: {type(error).__name__}")


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())
