"""The settings of alerts: what is read, and what the error of each wrong value says."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from apps import make_app
from flask_tenant_auth import ConfigurationError
from flask_tenant_auth.config.alert_settings import (
    EVENTS,
    AlertRule,
    read_alert_rules,
    read_mail_address,
    read_mail_server,
)
from flask_tenant_auth.config.settings import Settings, option_lines
from flask_tenant_auth.flask.state import state_of

RULE = "20 failures per 5 minutes per address"
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
MAIL = {
    "AUTH_ALERT_EMAIL": "ops@example.org",
    "AUTH_ALERT_EMAIL_FROM": "api@example.org",
    "AUTH_ALERT_SMTP": "smtps://api:the-password@mail.example.org",
}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (RULE, [AlertRule(RULE, "failures", "20 per 5 minutes", "address", "")]),
        (
            "1  forbidden on admin.*  per hour per user;\n1 redis_away per 5 minutes;",
            [
                AlertRule(
                    "1 forbidden on admin.* per hour per user",
                    "forbidden",
                    "1 per hour",
                    "user",
                    "admin.*",
                ),
                AlertRule("1 redis_away per 5 minutes", "redis_away", "1 per 5 minutes", "", ""),
            ],
        ),
        ([RULE, RULE], [AlertRule(RULE, "failures", "20 per 5 minutes", "address", "")]),
        ("500 limited per minute per tenant", None),
        ("", []),
    ],
)
def test_rules_are_read(raw: Any, expected: list[AlertRule] | None) -> None:
    rules = read_alert_rules(raw)
    if expected is not None:
        assert list(rules) == expected


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("many failures per hour", 'must be rules as "20 failures'),
        ("20 failures", 'must be rules as "20 failures'),
        ("20 failures per 5 minutes per address per user", 'must be rules as "20 failures'),
        ("20 failurs per hour", "there is no event 'failurs'"),
        (
            "20 failures per hour per user",
            'failures cannot be counted per user; write "per address"',
        ),
        ("1 redis_away per hour per tenant", "redis_away cannot be counted per tenant; leave that"),
        ("1 audit_lost on mail.* per hour", 'audit_lost has no endpoint; leave "on" out'),
        ("0 failures per hour", "holds '0 failures per hour': "),
        ("3 failures per fortnight", "holds '3 failures per fortnight': "),
        ("; ".join(f"{n + 1} failures per hour" for n in range(33)), "holds 33 rules; 32 are"),
        (7, "must be text or a list of texts, not int"),
        ([7], "must be text, not int"),
    ],
)
def test_the_error_of_a_wrong_rule_says_what_is_wrong(raw: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_app(AUTH_ALERTS=raw)
    assert str(caught.value).startswith("AUTH_ALERTS ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_can_be_counted_for_each_of_its_subjects(event: str) -> None:
    texts = [f"1 {event} per hour", *(f"1 {event} per hour per {each}" for each in EVENTS[event])]
    assert [rule.text for rule in read_alert_rules(texts)] == texts


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"AUTH_ALERT_WEBHOOK": "http://example.org/"}, "AUTH_ALERT_WEBHOOK must be an https URL"),
        ({"AUTH_ALERT_WEBHOOK": "https://example.org/"}, "and AUTH_ALERT_WEBHOOK_KEY must both be"),
        ({"AUTH_ALERT_WEBHOOK_KEY": KEY}, "and AUTH_ALERT_WEBHOOK_KEY must both be set"),
        ({"AUTH_ALERT_WEBHOOK_KEY": "secret"}, "AUTH_ALERT_WEBHOOK_KEY must be whsec_ and the"),
        ({"AUTH_ALERT_WEBHOOK_KEY": "whsec_!"}, "AUTH_ALERT_WEBHOOK_KEY must be whsec_ and the"),
        ({"AUTH_ALERT_WEBHOOK_KEY": "whsec_AAAA"}, "must hold from 24 to 64 bytes, not 3"),
        ({"AUTH_ALERT_EMAIL": "ops@example.org"}, "AUTH_ALERT_EMAIL_FROM and AUTH_ALERT_SMTP must"),
        (MAIL | {"AUTH_ALERT_EMAIL_FROM": None}, "AUTH_ALERT_EMAIL_FROM must be set too"),
        (MAIL | {"AUTH_ALERT_EMAIL": "Ops <ops@example.org>"}, "must be an e-mail address as"),
        (MAIL | {"AUTH_ALERT_EMAIL": "ops"}, "must be an e-mail address as ops@"),
        (MAIL | {"AUTH_ALERT_EMAIL": "a@b.c\r\nBcc: x@y.z"}, "must be an e-mail address as"),
        (MAIL | {"AUTH_ALERT_SMTP": "mail.example.org"}, "AUTH_ALERT_SMTP must be a URL as"),
        (MAIL | {"AUTH_ALERT_SMTP": "smtp://u@mail.example.org"}, "a user and a password, or"),
        (MAIL | {"AUTH_ALERT_SMTP": "smtp://mail.example.org/x"}, "nothing stands behind"),
    ],
)
def test_what_alerts_are_sent_to_is_checked(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_app(AUTH_ALERTS=RULE, **settings)
    assert problem in str(caught.value)
    make_app(AUTH_ALERTS=RULE, **MAIL)


@pytest.mark.parametrize("settings", [MAIL, {"AUTH_ALERT_WEBHOOK_KEY": KEY}])
def test_a_sink_without_rules_is_an_error(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="needs AUTH_ALERTS, which says what raises"):
        make_app(**settings)


def test_secrets_of_alerts_are_shown_nowhere() -> None:
    app = make_app(
        AUTH_ALERTS=RULE,
        AUTH_ALERT_WEBHOOK="https://user:unseen@example.org/?token=unseen",
        AUTH_ALERT_WEBHOOK_KEY=KEY,
        **MAIL,
    )
    state = state_of(app)
    assert state is not None
    shown = "\n".join([*option_lines(state.settings), repr(state.settings)])
    assert f"AUTH_ALERTS={RULE}" in shown
    for secret in ("unseen", "the-password", KEY.removeprefix("whsec_")):
        assert secret not in shown
    server = read_mail_server("smtp://u:the-password@mail.example.org:2525")
    assert repr(server) == "MailServer(mail.example.org:2525)"


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtps://mail.example.org", 465, True),
        ("smtp://mail.example.org", 587, True),
        ("smtp://127.0.0.1:25", 25, False),
    ],
)
def test_only_a_server_of_this_machine_may_do_without_tls(url: str, port: int, tls: bool) -> None:
    server = read_mail_server(url)
    assert (server.port, server.requires_tls or server.implicit_tls) == (port, tls)


def test_addresses_are_plain() -> None:
    assert read_mail_address(" ops+api@example.org ") == "ops+api@example.org"


def test_without_rules_nothing_is_counted() -> None:
    assert Settings().auth_alerts == ()
    assert state_of(make_app()).alerts is None
