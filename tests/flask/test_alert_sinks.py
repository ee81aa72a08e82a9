"""Where alerts go: a real HTTPS server and a real mail server, with certificates of their own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from apps import TENANT, USER, add_denying_views, make_app
from flask_tenant_auth.alerts import mail as mail_module
from flask_tenant_auth.alerts.alert import Alert, Event, alert_of
from flask_tenant_auth.alerts.mail import Mail
from flask_tenant_auth.alerts.outbox import DeliveryError, Outbox
from flask_tenant_auth.alerts.webhook import Webhook
from flask_tenant_auth.config.alert_settings import AlertRule, read_mail_server
from flask_tenant_auth.flask.state import state_of
from mail_server import PASSWORD, MailServer
from mail_server import USER as MAIL_USER
from provider import Handler, Provider
from redis_server import Authority

KEY = bytes(range(32))
KEY_TEXT = "whsec_" + base64.b64encode(KEY).decode()
SECONDS = 30.0


def alert(subject: str = "address", address: str = "192.0.2.1") -> Alert:
    rule = AlertRule("2 failures per hour", "failures", "2 per hour", subject, "")
    event = Event(name="failures", address=address, user_id=USER, tenant_id=TENANT, endpoint="me")
    return alert_of(rule, event, "shop", 2, 3600)


def answer(status: int, **headers: str) -> Any:
    return lambda handler: handler.send(b"", status, **headers)


@pytest.fixture
def hook(provider: Provider) -> Provider:
    """A server that takes alerts at /alerts; the provider of `conftest.py` is trusted."""
    provider.answers["/alerts"] = answer(204)
    return provider


def webhook(hook: Provider) -> Webhook:
    return Webhook(hook.issuer + "/alerts?to=ops", KEY)


def is_signed(headers: Any, body: bytes, key: bytes) -> bool:
    """As the documentation of Standard Webhooks says it to receivers."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(
        hmac.compare_digest(each, f"v1,{expected}")
        for each in headers["webhook-signature"].split(" ")
    )


class TestWebhook:
    def test_an_alert_is_posted_as_signed_json(self, hook: Provider) -> None:
        sent = alert()
        before = int(time.time())
        webhook(hook).send(sent)
        ((headers, body),) = hook.posted
        assert headers["Content-Type"] == "application/json"
        assert headers["webhook-id"] == sent.id
        assert before <= int(headers["webhook-timestamp"]) <= int(time.time())
        assert is_signed(headers, body, KEY)
        assert not is_signed(headers, body + b" ", KEY)
        assert not is_signed(headers, body, KEY[::-1])
        said = json.loads(body)
        assert (said["type"], said["timestamp"]) == ("auth.alert", sent.time.isoformat())
        assert said["data"]["subject"] == {"address": "192.0.2.1"}
        assert said["data"] == sent.data()

    @pytest.mark.parametrize(
        ("status", "final"),
        [(103, True), (200, None), (302, True), (400, True), (404, True), (408, False), (410, True),
         (425, False), (429, False), (500, False), (503, False),
         (600, True)],
    )  # fmt: skip
    def test_an_answer_decides_whether_it_is_tried_again(
        self, hook: Provider, status: int, final: bool | None
    ) -> None:
        hook.answers["/alerts"] = answer(status, Location="/elsewhere", Retry_After="120")
        if final is None:
            webhook(hook).send(alert())
        else:
            with pytest.raises(DeliveryError, match=f"the status {status}") as caught:
                webhook(hook).send(alert())
            assert caught.value.final is final
            assert caught.value.retry_after == 120
        assert len(hook.posted) == 1  # no redirect is followed

    def test_a_certificate_that_is_not_trusted_gets_nothing(
        self, hook: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(DeliveryError, match="no TLS that can be trusted") as caught:
            webhook(hook).send(alert())
        assert not caught.value.final
        assert hook.posted == []

    def test_an_answer_that_never_ends_is_not_waited_for(
        self, hook: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("flask_tenant_auth.http_client.EXCHANGE_SECONDS", 0.5)
        ended = threading.Event()

        def drip(handler: Handler) -> None:
            try:
                while not ended.wait(0.05):
                    handler.wfile.write(b"H")
            except OSError:
                pass

        hook.answers["/alerts"] = drip
        try:
            with pytest.raises(DeliveryError, match="did not answer in time"):
                webhook(hook).send(alert())
        finally:
            ended.set()

    def test_a_url_is_named_without_its_secrets(self) -> None:
        hidden = Webhook("https://user:pass@example.org/hook?token=t", KEY)
        assert hidden.name == "The webhook https://example.org/hook"


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


@pytest.fixture
def certificate(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    return authority.issue("mail", "DNS:localhost")


def mail(url: str, *recipients: str) -> Mail:
    return Mail(read_mail_server(url), "api@example.org", recipients or ("ops@example.org",))


LOGIN = f"{MAIL_USER}:{PASSWORD.replace(' ', '%20')}@"


class TestMail:
    @pytest.mark.parametrize(("tls", "scheme"), [("implicit", "smtps"), ("starttls", "smtp")])
    def test_an_alert_is_sent_over_tls(
        self, certificate: tuple[Path, Path], tls: str, scheme: str
    ) -> None:
        sent = alert("user")
        with MailServer(certificate, tls=tls, login=tls == "starttls") as server:
            login = LOGIN if tls == "starttls" else ""
            mail(f"{scheme}://{login}{server.address}", "ops@example.org", "sec@example.org").send(
                sent
            )
        (message,) = server.taken
        assert server.recipients == [["ops@example.org", "sec@example.org"]]
        assert message["Subject"] == "[shop] 2 failures per hour"
        assert message["From"] == "api@example.org"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Message-ID"] == f"<{sent.id}@example.org>"
        text = message.get_content()
        for said in (TENANT, USER, "Last endpoint: me", sent.id):
            assert said in text

    def test_a_name_of_an_app_adds_no_header(self, certificate: tuple[Path, Path]) -> None:
        rule = AlertRule("2 failures per hour", "failures", "2 per hour", "", "")
        sent = alert_of(rule, Event(name="failures"), "shop\r\nBcc: x@example.org\x00", 2, 3600)
        with MailServer(certificate) as server:
            mail(f"smtps://{server.address}").send(sent)
        (message,) = server.taken
        assert message["Bcc"] is None
        assert server.recipients == [["ops@example.org"]]

    def test_a_server_elsewhere_that_has_no_tls_gets_nothing(
        self, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = read_mail_server("smtp://localhost")
        assert not found.requires_tls
        with MailServer(certificate, tls="none") as server:
            mail(f"smtp://{server.address}").send(alert())  # of this machine: a control
            url = f"smtp://{server.address}"
            monkeypatch.setattr("flask_tenant_auth.config.alert_settings.is_loopback",
                                lambda _: False)  # fmt: skip
            with pytest.raises(DeliveryError, match="it has no STARTTLS"):
                mail(url).send(alert())
        assert len(server.taken) == 1

    def test_a_certificate_of_another_host_gets_nothing(
        self, authority: Authority, certificate: tuple[Path, Path]
    ) -> None:
        other = authority.issue("other", "DNS:mail.example.org")
        for tls, scheme in (("implicit", "smtps"), ("starttls", "smtp")):
            with (
                MailServer(other, tls=tls) as server,
                pytest.raises(DeliveryError, match="no TLS that can be trusted: Hostname"),
            ):
                mail(f"{scheme}://{server.address}").send(alert())
            assert server.taken == []

    def test_a_wrong_password_is_named_and_not_shown(self, certificate: tuple[Path, Path]) -> None:
        with (
            MailServer(certificate, tls="starttls", login=True) as server,
            pytest.raises(DeliveryError, match="user and password of AUTH_ALERT_SMTP") as caught,
        ):
            mail(f"smtp://{MAIL_USER}:wrong-password@{server.address}").send(alert())
        assert "wrong-password" not in str(caught.value)

    @pytest.mark.parametrize(
        ("answers", "final", "taken"),
        [
            ({"ops@example.org": "550 no such user"}, True, 0),
            ({"ops@example.org": "451 try later"}, False, 0),
            ({"sec@example.org": "550 no such user"}, True, 1),
        ],
    )
    def test_an_address_that_is_refused_is_named(
        self, certificate: tuple[Path, Path], answers: dict[str, str], final: bool, taken: int
    ) -> None:
        recipients = {"ops@example.org", *answers}
        with (
            MailServer(certificate, answers=answers) as server,
            pytest.raises(DeliveryError, match="it refused " + min(answers)) as caught,
        ):
            mail(f"smtps://{server.address}", *recipients).send(alert())
        assert caught.value.final is final
        assert len(server.taken) == taken

    def test_a_server_that_never_finishes_its_greeting_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mail_module, "SEND_SECONDS", 0.5)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ended = threading.Event()

            def drip() -> None:
                connection, _ = listener.accept()
                with connection:
                    try:
                        while not ended.wait(0.05):
                            connection.sendall(b"2")
                    except OSError:
                        ended.set()  # the client has ended it

            thread = threading.Thread(target=drip)
            thread.start()
            with pytest.raises(DeliveryError, match="did not take the e-mail within"):
                mail(f"smtp://localhost:{listener.getsockname()[1]}").send(alert())
            assert ended.wait(SECONDS)
            thread.join()

    def test_a_server_that_is_not_there_is_named(self) -> None:
        with pytest.raises(DeliveryError, match="cannot be reached: Connection refused"):
            mail("smtp://127.0.0.1:1").send(alert())


def alerting_app(hook: Provider, server: MailServer, **config: Any) -> Flask:
    app = make_app(
        AUTH_ALERTS="2 failures per hour per address",
        AUTH_ALERT_WEBHOOK=hook.issuer + "/alerts",
        AUTH_ALERT_WEBHOOK_KEY=KEY_TEXT,
        AUTH_ALERT_EMAIL="ops@example.org",
        AUTH_ALERT_EMAIL_FROM="api@example.org",
        AUTH_ALERT_SMTP=f"smtp://127.0.0.1:{server.port}",
        **config,
    )
    add_denying_views(app)
    return app


def outboxes(app: Flask) -> list[Outbox]:
    state = state_of(app)
    assert state is not None
    return state._outboxes


def run(app: Flask, *arguments: str) -> Any:
    return app.test_cli_runner().invoke(args=["auth", "alerts", *arguments])


class TestApp:
    def test_an_alert_reaches_each_sink_once(
        self, hook: Provider, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(hook.ca))
        with MailServer(certificate, tls="none") as server:
            app = alerting_app(hook, server)
            for _ in range(5):
                assert app.test_client().get("/me").status_code == 401
            assert all(outbox.flush(SECONDS) for outbox in outboxes(app))
        assert len(hook.posted) == len(server.taken) == 1
        id_ = json.loads(hook.posted[0][1])["data"]["id"]
        assert f"Alert: {id_}" in server.taken[0].get_content()

    def test_a_sink_that_is_away_holds_up_no_request_and_no_other_sink(
        self, hook: Provider, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(hook.ca))
        asked, go_on = threading.Event(), threading.Event()

        def wait(handler: Handler) -> None:
            asked.set()
            go_on.wait(SECONDS)
            handler.send(b"", 204)

        hook.answers["/alerts"] = wait
        with MailServer(certificate, tls="none") as server:
            app = alerting_app(hook, server)
            for _ in range(3):
                assert app.test_client().get("/me").status_code == 401
            _, mails = outboxes(app)
            assert asked.wait(SECONDS)
            assert mails.flush(SECONDS)
            assert len(server.taken) == 1
            go_on.set()
            assert all(outbox.flush(SECONDS) for outbox in outboxes(app))

    def test_the_command_tests_each_sink(
        self, hook: Provider, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(hook.ca))
        with MailServer(certificate, tls="none") as server:
            app = alerting_app(hook, server)
            result = run(app, "test")
            assert result.exit_code == 0, result.output
            assert f"The webhook {hook.issuer}/alerts has taken the alert" in result.output
            assert f"The mail server 127.0.0.1:{server.port} has taken the alert" in result.output
            assert len(hook.posted) == len(server.taken) == 1
        hook.answers["/alerts"] = answer(403)
        result = run(app, "test")
        assert result.exit_code == 1
        assert "did not take the alert: it answered with the status 403" in result.output
        assert "did not take the alert: it cannot be reached: Connection refused" in result.output
        for secret in (KEY_TEXT, base64.b64encode(KEY).decode()):
            assert secret not in result.output

    def test_the_command_lists_the_rules(
        self, hook: Provider, certificate: tuple[Path, Path]
    ) -> None:
        with MailServer(certificate, tls="none") as server:
            output = run(alerting_app(hook, server), "list").output.splitlines()
        assert output == [
            "2 failures per hour per address",
            "  to: The log",
            "  to: The signal alert_raised",
            f"  to: The webhook {hook.issuer}/alerts",
            f"  to: The mail server 127.0.0.1:{server.port}",
        ]

    @pytest.mark.parametrize("command", ["list", "test"])
    def test_the_command_says_how_to_set_rules(self, command: str) -> None:
        result = run(make_app(), command)
        assert result.exit_code == 1
        assert "AUTH_ALERTS is not set: set it to rules as" in result.output

    def test_the_command_makes_a_key_that_is_taken(self) -> None:
        made = [run(make_app(), "key").output.strip() for _ in "ab"]
        assert made[0] != made[1]
        make_app(
            AUTH_ALERTS="1 failures per hour",
            AUTH_ALERT_WEBHOOK="https://example.org/",
            AUTH_ALERT_WEBHOOK_KEY=made[0],
        )

    def test_without_sinks_the_command_says_where_alerts_go(self) -> None:
        result = run(make_app(AUTH_ALERTS="1 failures per hour"), "test")
        assert result.exit_code == 0
        assert "Alerts go to the log and to receivers of alert_raised only" in result.output
