"""A real SMTP server on the loopback interface: aiosmtpd, with TLS, STARTTLS or neither."""

from __future__ import annotations

import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from servers import free_port

USER, PASSWORD = "api", "a password"


class MailServer(Controller):
    """Keeps what it takes; a context manager.

    :param certificate: certificate and key as PEM files.
    :param tls: "implicit", "starttls" or "none".
    :param answers: what it says to RCPT, by address; all others are taken.
    """

    def __init__(
        self,
        certificate: tuple[Path, Path],
        *,
        tls: str = "implicit",
        answers: dict[str, str] | None = None,
        login: bool = False,
    ) -> None:
        self.taken: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self._answers = answers or {}
        self._tls = tls
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*certificate)
        self._login = login
        super().__init__(
            self,
            hostname="127.0.0.1",
            port=free_port(),
            ssl_context=self._context if tls == "implicit" else None,
        )

    def factory(self) -> SMTP:
        return SMTP(
            self,
            tls_context=self._context if self._tls == "starttls" else None,
            require_starttls=self._tls == "starttls",
            auth_required=self._login,
            auth_require_tls=self._tls == "starttls",
            authenticator=self._check if self._login else None,
        )

    def _check(self, *arguments: Any) -> AuthResult:
        data = arguments[-1]
        expected = LoginPassword(USER.encode(), PASSWORD.encode())
        # Not handled: aiosmtpd writes the response.
        return AuthResult(success=data == expected, handled=False)

    async def handle_RCPT(  # noqa: N802 - the name of aiosmtpd
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address not in self._answers:
            envelope.rcpt_tos.append(address)
        return self._answers.get(address, "250 OK")

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def __enter__(self) -> MailServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
