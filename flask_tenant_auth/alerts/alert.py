"""An alert, and its forms: a line, JSON and text.

Every value is from a closed set: a rule of the configuration, a word, an endpoint of the app, an IP
address or a UUID. So no alert can hold a token or a password, whatever a client sends.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from .._core import is_valid_uuid, plain_address, uuid7
from ..config.alert_settings import AlertRule

_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a rule may count. What is not known is empty."""

    name: str  # one of EVENTS
    address: str = ""
    user_id: str = ""
    tenant_id: str = ""
    endpoint: str = ""  # of the app, as Flask names it
    reason: str = ""

    def subject(self, per: str) -> tuple[str, ...] | None:
        """Return whom a rule counts that is per so much; None where that is not known."""
        found: dict[str, tuple[str, ...]] = {
            "": (),
            "address": (self.address,),
            "user": (self.tenant_id, self.user_id),
            "tenant": (self.tenant_id,),
        }
        return found[per] if all(found[per]) else None


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert that was raised."""

    id: str
    time: datetime  # in UTC
    app: str
    host: str
    rule: str
    event: str
    count: int
    period_seconds: int
    # "address", or "tenant_id" and "user_id", or nothing.
    subject: Mapping[str, str]
    # Of the last event.
    endpoint: str | None
    reason: str | None

    def line(self) -> str:
        """Return it as one line of a log."""
        words = [f"{name}={value}" for name, value in self.subject.items()]
        words += [f"endpoint={self.endpoint}"] if self.endpoint else []
        words += [f"reason={self.reason}"] if self.reason else []
        return " ".join([f"Alert: {self.rule}:", *words, f"id={self.id}"])

    def data(self) -> dict[str, object]:
        """Return it as what JSON can hold."""
        return {
            "id": self.id,
            "app": self.app,
            "host": self.host,
            "rule": self.rule,
            "event": self.event,
            "count": self.count,
            "period_seconds": self.period_seconds,
            "subject": dict(self.subject),
            "endpoint": self.endpoint,
            "reason": self.reason,
        }

    def json(self) -> bytes:
        """Return it as the body of a webhook, in the form of Standard Webhooks 1.0."""
        body = {"type": "auth.alert", "timestamp": self.time.isoformat(), "data": self.data()}
        return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode()

    def text(self) -> str:
        """Return it as the text of an e-mail."""
        shown = {
            "Rule": self.rule,
            "App": self.app,
            "Host": self.host,
            "Time": self.time.isoformat(timespec="seconds"),
            **{name.replace("_", " ").capitalize(): value for name, value in self.subject.items()},
            "Last endpoint": self.endpoint or "-",
            "Last reason": self.reason or "-",
            "Alert": self.id,
        }
        return "".join(f"{name}: {value}\n" for name, value in shown.items())


def alert_of(rule: AlertRule, event: Event, app: str, count: int, period_seconds: int) -> Alert:
    """Return the alert of an event that has completed a rule."""
    subject = {}
    if rule.subject == "address":
        subject["address"] = _address(event.address)
    if rule.subject in ("user", "tenant"):
        subject["tenant_id"] = _uuid(event.tenant_id)
    if rule.subject == "user":
        subject["user_id"] = _uuid(event.user_id)
    now = datetime.now(timezone.utc)
    return Alert(
        id=uuid7(int(now.timestamp() * 1000)),
        time=now,
        app=app,
        host=socket.gethostname(),
        rule=rule.text,
        event=rule.event,
        count=count,
        period_seconds=period_seconds,
        subject=subject,
        endpoint=event.endpoint or None,
        reason=event.reason if _WORD.fullmatch(event.reason) else None,
    )


def _address(text: str) -> str:
    """Return an address alone; a proxy may hand on any text in its place, or as its zone."""
    return plain_address(text) or "not an IP address"


def _uuid(text: str) -> str:
    return text if is_valid_uuid(text) else "not a UUID"
