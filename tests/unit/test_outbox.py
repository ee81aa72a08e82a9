"""Alerts on their way: tried again, bounded, and not lost silently."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from flask_tenant_auth.alerts import outbox as module
from flask_tenant_auth.alerts.alert import Alert, Event, alert_of
from flask_tenant_auth.alerts.outbox import MOST_WAITING, PAUSES, DeliveryError, Outbox
from flask_tenant_auth.config.alert_settings import AlertRule
from paths import ROOT

LONG = 30.0


def alert(reason: str = "token_expired") -> Alert:
    rule = AlertRule("1 failures per hour", "failures", "1 per hour", "", "")
    return alert_of(rule, Event(name="failures", reason=reason), "app", 1, 3600)


class Receiver:
    """What an outbox sends to. It fails as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[Alert] = []
        self.attempts = 0
        self._changed = threading.Condition()
        self.outbox = Outbox("The receiver", self.send)

    def send(self, alert: Alert) -> None:
        with self._changed:
            self.attempts += 1
            self._changed.notify_all()
            if self.failures:
                raise self.failures.pop(0)
            self.taken.append(alert)

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, LONG)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.0,) * len(PAUSES))


def test_an_alert_is_sent_in_a_thread_that_ends() -> None:
    receiver = Receiver()
    sent = [alert(), alert()]
    for each in sent:
        receiver.outbox.put(each)
    receiver.wait(lambda: len(receiver.taken) == 2)
    assert receiver.taken == sent
    assert receiver.outbox.flush(LONG)
    for thread in threading.enumerate():
        if thread.name == "flask_tenant_auth alerts":
            thread.join(LONG)
            assert not thread.is_alive()


def test_an_alert_is_tried_again_and_the_log_says_so(
    no_pauses: None, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(DeliveryError("it is away"), OSError("broken"), DeliveryError("away"))
    one = alert()
    receiver.outbox.put(one)
    receiver.wait(lambda: bool(receiver.taken))
    assert receiver.outbox.flush(LONG)
    assert (receiver.taken, receiver.attempts) == ([one], 4)
    assert [record.getMessage() for record in caplog.records] == [
        "The receiver did not take an alert, which is tried again: it is away",
        "The receiver takes alerts again",
    ]


@pytest.mark.parametrize(
    ("failures", "attempts"),
    [
        ([DeliveryError("no such address", final=True)], 1),
        ([DeliveryError("it is away")] * 99, len(PAUSES) + 1),
    ],
)
def test_an_alert_that_is_given_up_is_in_the_log(
    no_pauses: None,
    caplog: pytest.LogCaptureFixture,
    failures: list[Exception],
    attempts: int,
) -> None:
    receiver = Receiver(*failures)
    one = alert()
    receiver.outbox.put(one)
    receiver.wait(lambda: receiver.attempts == attempts)
    with receiver.outbox._changed:
        assert receiver.outbox._changed.wait_for(lambda: not receiver.outbox._unsent(), LONG)
    assert receiver.attempts == attempts
    last = caplog.records[-1]
    assert last.levelno == logging.ERROR
    assert one.id in last.getMessage()


def test_one_that_fails_holds_up_no_other() -> None:
    receiver = Receiver(DeliveryError("it is away", retry_after=600))
    receiver.outbox.put(alert())
    receiver.wait(lambda: receiver.attempts == 1)
    second = alert()
    receiver.outbox.put(second)
    receiver.wait(lambda: bool(receiver.taken))
    assert receiver.taken == [second]
    assert not receiver.failures
    assert receiver.outbox.flush(LONG)  # the first one too
    assert len(receiver.taken) == 2


def test_no_more_than_so_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    stopped = threading.Event()

    def send(_: Alert) -> None:
        assert stopped.wait(LONG)

    outbox = Outbox("The receiver", send)
    one = alert()
    for _ in range(MOST_WAITING + 50):
        outbox.put(one)
    assert len(outbox._waiting) <= MOST_WAITING
    assert [record.getMessage() for record in caplog.records] == [
        f"{MOST_WAITING} alerts wait for The receiver already: further ones are dropped"
    ]
    stopped.set()
    assert outbox.flush(LONG)
    assert "alerts for The receiver were dropped" in caplog.text


def test_a_forked_child_sends_none_of_its_parents_alerts() -> None:
    receiver = Receiver(DeliveryError("it is away", retry_after=600))
    receiver.outbox.put(alert())
    receiver.wait(lambda: receiver.attempts == 1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            before = len(receiver.taken)
            own = alert()
            receiver.outbox.put(own)
            code = 0 if receiver.outbox.flush(LONG) and receiver.taken[before:] == [own] else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert receiver.outbox.flush(LONG)  # else it is sent when the process of the tests ends


AT_EXIT = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
sys.path.insert(0, "tests/unit")
from flask_tenant_auth.alerts import outbox as module
from test_outbox import Receiver, alert
from flask_tenant_auth.alerts.outbox import DeliveryError
module.EXIT_SECONDS = {seconds}
receiver = Receiver({failure})
send = receiver.outbox._send
def told(one):
    {before}
    send(one)
    print("taken")
receiver.outbox._send = told
receiver.outbox.put(alert())
"""


@pytest.mark.parametrize(
    ("failure", "before", "seconds", "said"),
    [
        ("", "pass", 30, "taken"),
        ("DeliveryError('it is away')", "pass", 30, "The receiver did not take an alert"),
        ("", "import time; time.sleep(600)", 0.2, "The receiver did not get an alert: Alert: "),
    ],
)
def test_a_process_that_ends_sends_what_waits_or_logs_it(
    failure: str, before: str, seconds: float, said: str
) -> None:
    code = AT_EXIT.format(failure=failure, before=before, seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/tests/support"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert said in done.stdout
