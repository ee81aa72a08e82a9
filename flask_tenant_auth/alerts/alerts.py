"""The rules of AUTH_ALERTS, counted: one alert for each rule, subject and window.

The limiter counts, in fixed windows. Of all workers and hosts that share its counters, exactly one
takes the last permit of a window. That one raises the alert.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from .._core import Limit, parse_rates
from ..audit import logger
from ..config.alert_settings import AlertRule
from ..ending import Ending
from ..limit.limiters import small_limiter_of
from ..limit.rules import digest
from .alert import Alert, Event, alert_of

if TYPE_CHECKING:
    from ..config.settings import Settings

# The windows of other strategies have no one last permit.
_FIXED_WINDOW = "fixed-window"

Sink = Callable[[Alert], object]


@dataclass(frozen=True)
class _Counted:
    rule: AlertRule
    limit: Limit

    def takes(self, event: Event) -> bool:
        """Whether the rule counts an event."""
        return self.rule.event == event.name and (
            not self.rule.endpoints or fnmatchcase(event.endpoint, self.rule.endpoints)
        )


class Alerts:
    """Counts events against the rules of an app, and tells the sinks.

    Where Redis is away, each host counts by itself.

    :param app: the name of the app, as alerts have it.
    :param directory: distinguishes apps of one name on this host.
    :param shared: whether the processes of this host share the counters.
    :param sinks: what is called with each alert, at once and in the thread of the event.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        app: str,
        directory: str,
        shared: bool,
        sinks: Sequence[Sink],
    ) -> None:
        self._app = app
        self._sinks = tuple(sinks)
        self._counted = tuple(_counted(rule) for rule in settings.auth_alerts)
        self._limiter = small_limiter_of(
            replace(
                settings,
                ratelimit_strategy=_FIXED_WINDOW,
                ratelimit_lease=0,  # leases have no one last permit
                ratelimit_on_store_error="memory",
            ),
            app=f"{directory} alerts",
            shared=shared,
        )
        self.close = Ending(self, self._limiter.close)

    def note(self, event: Event) -> None:
        """Count an event. It raises nothing: a request goes on whatever happens to its alert."""
        for counted in self._counted:
            if counted.takes(event):
                try:
                    alert = self._count(counted, event)
                except Exception as error:  # noqa: BLE001 - likewise
                    logger.error("The alert %s was not counted: %r", counted.rule, error)
                    continue
                if alert is not None:
                    self.tell(alert)

    def tell(self, alert: Alert) -> None:
        """Give an alert to each sink."""
        for sink in self._sinks:
            _give(sink, alert)

    def _count(self, counted: _Counted, event: Event) -> Alert | None:
        """Count an event against one rule; return the alert where it is the last of a window."""
        subject = event.subject(counted.rule.subject)
        if subject is None:
            return None
        limit = counted.limit
        if limit.per == "address":
            decision = self._limiter.hit((limit,), None, event.address)
        else:
            decision = self._limiter.hit((limit,), None, "", (" ".join(subject) or "all",))
        if not decision.allowed or decision.remaining > 0:
            return None
        rate = limit.rate
        return alert_of(counted.rule, event, self._app, rate.limit, rate.period)


def _give(sink: Sink, alert: Alert) -> None:
    try:
        sink(alert)
    except Exception as error:  # noqa: BLE001 - the other sinks get it
        logger.error("An alert was not handed on (%s): %r", alert.line(), error)


def _counted(rule: AlertRule) -> _Counted:
    (rate,) = parse_rates(rule.rate)
    per = "address" if rule.subject == "address" else "custom"
    return _Counted(rule, Limit(rate, scope=f"alert {digest(rule.text)}", per=per))
