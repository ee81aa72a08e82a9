"""Readers and checks of the settings of alerts."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from .._core import parse_rates
from ..errors import ConfigurationError
from .provider_urls import is_loopback, split_url
from .readers import read_items, read_text

if TYPE_CHECKING:
    from .settings import Settings

# What may happen, and for whom it can be counted. One entry is one event.
EVENTS: Mapping[str, tuple[str, ...]] = {
    "failures": ("address",),  # a 401, as AUTH_FAILURE_LIMIT counts it
    "forbidden": ("address", "user", "tenant"),  # a 403
    "cross_tenant": ("address", "user", "tenant"),  # the row of another tenant
    "limited": ("address", "user", "tenant"),  # a 429
    "reused": ("address", "user", "tenant"),  # a refresh token was used again
    "redis_away": (),
    "audit_lost": (),  # lines of AUDIT_LOG
}
# Of events that no request has, so no endpoint.
_WITHOUT_REQUEST = frozenset({"redis_away", "audit_lost"})

_RULE = re.compile(
    r"(?P<count>[0-9]+)\s+(?P<event>[a-z_]+)"
    r"(?:\s+on\s+(?P<endpoints>\S+))?"
    r"\s+per\s+(?P<period>(?:[0-9]+\s+)?[a-z]+)"
    r"(?:\s+per\s+(?P<subject>[a-z]+))?",
    re.IGNORECASE,
)
_FORM = (
    'must be rules as "20 failures per 5 minutes per address", with "; " between them. The events '
    f"are {', '.join(EVENTS)}"
)
_MOST_RULES = 32
_KEY_PREFIX = "whsec_"
_LEAST_KEY_BYTES, _MOST_KEY_BYTES = 24, 64


@dataclass(frozen=True)
class AlertRule:
    """When an alert is raised: so many events in a time."""

    text: str  # as it was written, with single spaces
    event: str
    rate: str  # as "20 per 5 minutes"
    subject: str  # "address", "user" or "tenant"; empty: all events are counted together
    endpoints: str  # a pattern as "admin.*" (fnmatch); empty: all

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class MailServer:
    """A server that takes e-mail (RFC 5321), and how it is reached."""

    host: str
    port: int
    implicit_tls: bool  # RFC 8314, section 3.3; else STARTTLS (RFC 3207)
    requires_tls: bool  # not on this machine itself
    user: str
    password: str

    def __repr__(self) -> str:
        """Return it without its password: it may stand in a traceback."""
        return f"MailServer({self.host}:{self.port})"


def read_alert_rules(raw: Any) -> tuple[AlertRule, ...]:
    """Return the rules of AUTH_ALERTS, from a list of texts or from one text."""
    if isinstance(raw, str):
        raw = read_text(raw).split(";")
    elif not isinstance(raw, list | tuple):
        raise TypeError(f"must be text or a list of texts, not {type(raw).__name__}")
    texts = [text for item in raw if (text := read_text(item))]
    if len(texts) > _MOST_RULES:
        raise ValueError(f"holds {len(texts)} rules; {_MOST_RULES} are possible")
    return tuple(dict.fromkeys(_read_rule(text) for text in texts))


def _read_rule(text: str) -> AlertRule:
    text = " ".join(text.split())
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"holds {text!r}; it {_FORM}")
    event, subject = found["event"].lower(), (found["subject"] or "").lower()
    if event not in EVENTS:
        raise ValueError(f"holds {text!r}: there is no event {event!r}; it {_FORM}")
    if subject and subject not in EVENTS[event]:
        known = ", ".join(f'"per {each}"' for each in EVENTS[event])
        raise ValueError(
            f"holds {text!r}: {event} cannot be counted per {subject}; "
            + (f"write {known}, or none of them" if known else "leave that out")
        )
    if found["endpoints"] and event in _WITHOUT_REQUEST:
        raise ValueError(f'holds {text!r}: {event} has no endpoint; leave "on" out')
    rate = f"{found['count']} per {found['period']}"
    try:
        parse_rates(rate)
    except ValueError as error:
        raise ValueError(f"holds {text!r}: {error}") from None
    if int(found["count"]) == 0:
        raise ValueError(f"holds {text!r}: the number must be at least 1")
    return AlertRule(text, event, rate, subject, found["endpoints"] or "")


def read_webhook(raw: Any) -> str:
    """Return the URL to which alerts are sent: https, or http to this machine itself."""
    url = read_text(raw)
    split_url(url)
    return url


def read_webhook_key(raw: Any) -> bytes:
    """Return the key that signs what is sent to the webhook, from its text ``whsec_<base64>``."""
    text = read_text(raw)
    try:
        key = base64.b64decode(text.removeprefix(_KEY_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(_KEY_PREFIX) or not key:
        raise ValueError(
            f"must be {_KEY_PREFIX} and the base64 of the key, as `flask auth alerts key` prints it"
        )
    if not _LEAST_KEY_BYTES <= len(key) <= _MOST_KEY_BYTES:
        raise ValueError(
            f"must hold from {_LEAST_KEY_BYTES} to {_MOST_KEY_BYTES} bytes, not {len(key)}; "
            "`flask auth alerts key` prints one"
        )
    return key


def read_mail_address(raw: Any) -> str:
    """Return one e-mail address (RFC 5322, section 3.4.1), without a name."""
    text = read_text(raw)
    try:
        address = Address(addr_spec=text)
    except Exception:  # noqa: BLE001 - the parser of the standard library raises many kinds
        address = Address()
    if not text.isascii() or parseaddr(text) != ("", text) or not address.domain:
        raise ValueError(f"must be an e-mail address as ops@example.org, not {text!r}")
    return text


def read_mail_addresses(raw: Any) -> tuple[str, ...]:
    """Return the e-mail addresses of a comma list or a list."""
    addresses = tuple(dict.fromkeys(read_mail_address(item) for item in read_items(raw)))
    if not addresses:
        raise ValueError("holds no e-mail address")
    return addresses


def read_mail_server(raw: Any) -> MailServer:
    """Return the server of a URL: ``smtps://`` (TLS at once) or ``smtp://`` (STARTTLS).

    An error never quotes the URL, which may hold a password.
    """
    text = read_text(raw)
    form = (
        "must be a URL as smtps://user:password@mail.example.org, or smtp:// for STARTTLS; "
        "write %40 for an @ inside of the user or password"
    )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(form) from None
    if parts.scheme not in ("smtp", "smtps") or not host or port == 0:
        raise ValueError(form)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{form}; nothing stands behind the host and port")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError("must have a user and a password, or neither")
    implicit = parts.scheme == "smtps"
    return MailServer(
        host=host,
        port=port or (465 if implicit else 587),
        implicit_tls=implicit,
        requires_tls=not is_loopback(host),
        user=user,
        password=password,
    )


def check_alerts(settings: Settings) -> None:
    """Raise where a setting of alerts needs another one."""
    sinks = {"AUTH_ALERT_WEBHOOK": settings.auth_alert_webhook, **_of_mail(settings)}
    for name, value in {**sinks, "AUTH_ALERT_WEBHOOK_KEY": settings.auth_alert_webhook_key}.items():
        if value and not settings.auth_alerts:
            raise ConfigurationError(
                f"{name} needs AUTH_ALERTS, which says what raises an alert, as "
                '"20 failures per 5 minutes per address"'
            )
    if bool(settings.auth_alert_webhook) != bool(settings.auth_alert_webhook_key):
        raise ConfigurationError(
            "AUTH_ALERT_WEBHOOK and AUTH_ALERT_WEBHOOK_KEY must both be set: the key signs what is "
            "sent, and `flask auth alerts key` prints one"
        )
    missing = [name for name, value in _of_mail(settings).items() if not value]
    if missing and len(missing) < len(_of_mail(settings)):
        raise ConfigurationError(
            f"{' and '.join(missing)} must be set too: alerts are sent by e-mail from "
            "AUTH_ALERT_EMAIL_FROM to AUTH_ALERT_EMAIL through AUTH_ALERT_SMTP"
        )


def _of_mail(settings: Settings) -> dict[str, Any]:
    return {
        "AUTH_ALERT_EMAIL": settings.auth_alert_email,
        "AUTH_ALERT_EMAIL_FROM": settings.auth_alert_email_from,
        "AUTH_ALERT_SMTP": settings.auth_alert_smtp,
    }
