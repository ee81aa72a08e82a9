"""``flask auth alerts``: the rules, a test of what they are sent to, and a new key."""

from __future__ import annotations

import base64
import secrets

import click
from flask.cli import AppGroup, with_appcontext

from ...alerts.alert import Alert, Event, alert_of
from ...alerts.outbox import DeliveryError
from ...alerts.sinks import RemoteSink, log_alert, remote_sinks
from ...config.alert_settings import AlertRule
from ..state import AppState, current_state

alerts_cli = AppGroup("alerts", help="Rules of alerts, and a test of where they are sent.")
_KEY_BYTES = 32


def _state() -> AppState:
    state = current_state()
    if state.alerts is None:
        raise click.ClickException(
            'AUTH_ALERTS is not set: set it to rules as "20 failures per 5 minutes per address"'
        )
    return state


@alerts_cli.command("list")
@with_appcontext
def list_alerts() -> None:
    """Show the rules, and what alerts are sent to."""
    state = _state()
    for rule in state.settings.auth_alerts:
        click.echo(rule.text)
    names = [sink.name for sink in remote_sinks(state.settings)]
    for name in ["The log", "The signal alert_raised", *names]:
        click.echo(f"  to: {name}")


@alerts_cli.command("test")
@with_appcontext
def test_alerts() -> None:
    """Send a test alert to each webhook and mail server; exit 1 where one does not take it.

    It goes to the log too, and not to receivers of the signal.
    """
    state = _state()
    rule = AlertRule("test of flask auth alerts", "test", "1 per hour", "", "")
    alert = alert_of(rule, Event(name="test"), state.app_name, 1, 3600)
    log_alert(alert)
    sinks = remote_sinks(state.settings)
    taken = [_send(sink, alert) for sink in sinks]
    if not sinks:
        click.echo(
            "Alerts go to the log and to receivers of alert_raised only: set AUTH_ALERT_WEBHOOK "
            "or AUTH_ALERT_EMAIL"
        )
    if not all(taken):
        raise click.exceptions.Exit(1)


def _send(sink: RemoteSink, alert: Alert) -> bool:
    """Send an alert, print how that went, and return whether it was taken."""
    try:
        sink.send(alert)
    except DeliveryError as error:
        click.secho(f"{sink.name} did not take the alert: {error}", fg="red", err=True)
        return False
    click.echo(f"{sink.name} has taken the alert {alert.id}")
    return True


@alerts_cli.command("key")
def new_key() -> None:
    """Print a new AUTH_ALERT_WEBHOOK_KEY."""
    click.echo("whsec_" + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())
