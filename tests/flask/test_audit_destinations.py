"""AUDIT_LOG as syslog and as the journal: real sockets, and the systemd-journald of this system."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from apps import TENANT, USER, bearer, make_app
from flask_tenant_auth import ConfigurationError, verify_role
from own_mounts import MOUNTS, first_that_works

JOURNALD = next(
    (
        path
        for path in ("/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-journald")
        if Path(path).exists()
    ),
    None,
)


class Message(NamedTuple):
    """A message of RFC 5424, section 6."""

    facility: int
    severity: int
    time: datetime
    host: str
    app: str
    process: int
    id: str
    content: dict[str, Any]


_MESSAGE = re.compile(
    rb"<(?P<pri>0|[1-9]\d{0,2})>1 "
    rb"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) "
    rb"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<process>[!-~]{1,128}) "
    rb"(?P<id>[!-~]{1,32}) - (?P<content>.*)",
    re.DOTALL,
)


def parsed(octets: bytes) -> Message:
    """Read a message strictly: what the grammar does not allow is an error."""
    found = _MESSAGE.fullmatch(octets)
    assert found is not None, octets
    pri = int(found["pri"])
    assert pri <= 191
    time = datetime.fromisoformat(found["time"].decode().replace("Z", "+00:00"))
    content = found["content"].decode("utf-8")
    assert content.isprintable()
    return Message(
        pri // 8,
        pri % 8,
        time,
        found["host"].decode(),
        found["app"].decode(),
        int(found["process"]),
        found["id"].decode(),
        json.loads(content),
    )


@pytest.fixture
def unix_receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        receiver.settimeout(30)
        yield receiver


@pytest.fixture
def udp_receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("::1", 0))
        receiver.settimeout(30)
        yield receiver


def request_with(destination: str) -> None:
    app = make_app(AUDIT_LOG=destination)
    app.get("/admin")(verify_role("admin")(lambda: "in"))
    client = app.test_client()
    assert client.get("/admin", headers=bearer()).status_code == 403
    assert client.get("/admin", headers=bearer(role="admin")).status_code == 200


def check_messages(receiver: socket.socket) -> None:
    denied, allowed = parsed(receiver.recv(65536)), parsed(receiver.recv(65536))
    assert (denied.facility, denied.severity, allowed.severity) == (10, 4, 6)
    assert (denied.app, denied.id) == ("flask_tenant_auth", "audit")
    assert denied.host == socket.gethostname()
    assert denied.content["reason"] == "role_insufficient"
    assert (allowed.content["user_id"], allowed.content["status"]) == (USER, 200)
    assert denied.time == datetime.fromisoformat(denied.content["time"].replace("Z", "+00:00"))


class TestSyslog:
    def test_a_request_is_a_message_to_the_socket_of_this_host(
        self, unix_receiver: socket.socket
    ) -> None:
        request_with(f"syslog:{unix_receiver.getsockname()}")
        check_messages(unix_receiver)

    def test_a_request_is_a_message_to_a_server(self, udp_receiver: socket.socket) -> None:
        request_with(f"syslog://[::1]:{udp_receiver.getsockname()[1]}")
        check_messages(udp_receiver)

    def test_a_receiver_that_does_not_read_delays_no_request_and_is_reported_once(
        self, unix_receiver: socket.socket, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app(AUDIT_LOG=f"syslog:{unix_receiver.getsockname()}")
        client = app.test_client()
        queue = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
        for _ in range(queue + 10):
            assert client.get("/nowhere").status_code == 404
        errors = [each for each in caplog.records if each.levelname == "ERROR"]
        assert len(errors) == 1
        assert "lines are being lost" in errors[0].getMessage()
        for _ in range(queue):
            parsed(unix_receiver.recv(65536))
        client.get("/nowhere")
        errors = [each for each in caplog.records if each.levelname == "ERROR"]
        assert "lines were lost" in errors[1].getMessage()

    @pytest.mark.parametrize(
        ("destination", "message"),
        [
            ("syslog:/nowhere/at/all", "No such file"),
            ("journal:/nowhere/at/all", "No such file"),
            ("syslog:log", "the destination is none of syslog:"),
            ("sylog://logs.example", "the destination is none of syslog:"),
            ("syslog://logs.example:0", "the destination is none of syslog:"),
            ("syslog+tls://logs.example", "syslog over TCP or TLS could make a request wait"),
            ("syslog://no.such.host.invalid", "the host of the syslog server is not known"),
        ],
    )
    def test_what_cannot_be_used_stops_the_app_and_names_the_setting(
        self, destination: str, message: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=f"AUDIT_LOG cannot be opened: .*{message}"):
            make_app(AUDIT_LOG=destination)

    def test_a_chain_needs_a_file(self, unix_receiver: socket.socket) -> None:
        with pytest.raises(ConfigurationError, match="only a regular file can have a chain"):
            make_app(AUDIT_LOG=f"syslog:{unix_receiver.getsockname()}", AUDIT_CHAIN=True)
        with pytest.raises(ConfigurationError, match="AUDIT_CHAIN needs AUDIT_LOG"):
            make_app(AUDIT_CHAIN=True)


WRITER = f"""
import sys
sys.path.insert(0, "tests/support")
from flask_tenant_auth._core import AuditLog, Identity
somebody = Identity("{TENANT}", "{USER}", "user")
journal = AuditLog("journal:")
journal.write("GET", "/a", 403, somebody, "::1", "short", "role_insufficient")
journal.write("GET", "/b", 200, somebody, "::1", "x" * 400_000, None)
AuditLog("syslog:/run/systemd/journal/dev-log").write("GET", "/c", 200, None, None, None, None)
assert journal.lost == 0
"""

# A journald with a /run of its own, and no init. --sync waits until it has stored what it got.
SCRIPT = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
{journald} 2>/dev/null & journald=$!
trap 'kill $journald' EXIT
until test -S /run/systemd/journal/io.systemd.journal; do sleep 0.05; done
{python} -c "$WRITER"
journalctl --sync
journalctl --no-pager --all -o json -D /run/log/journal "$@"
"""


def test_the_journal_stores_lines_and_their_fields() -> None:
    assert JOURNALD is not None
    assert shutil.which("journalctl")
    mounting = first_that_works(MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/run")
    done = subprocess.run(
        [*mounting, "sh", "-c", SCRIPT.format(journald=JOURNALD, python=sys.executable)],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "WRITER": WRITER},
        check=True,
        capture_output=True,
        timeout=120,
    )
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    of_us = [each for each in entries if each.get("SYSLOG_IDENTIFIER") == "flask_tenant_auth"]
    short, long = of_us
    assert json.loads(short["MESSAGE"])["endpoint"] == "/a"
    assert short["PRIORITY"] == "4"
    assert short["TENANT_AUTH_USER_ID"] == USER
    assert short["TENANT_AUTH_TENANT_ID"] == TENANT
    assert (short["TENANT_AUTH_STATUS"], short["TENANT_AUTH_REASON"]) == (
        "403",
        "role_insufficient",
    )
    # It came as a memfd: no datagram takes so much.
    assert len(json.loads(long["MESSAGE"])["user_agent"]) == 400_000
    assert "TENANT_AUTH_REASON" not in long
    # The journal takes messages of syslog too, and stores them as they are.
    of_syslog = [each for each in entries if each["_TRANSPORT"] == "syslog"]
    assert parsed(_text_of(of_syslog[0])).content["endpoint"] == "/c"


def _text_of(entry: dict[str, Any]) -> bytes:
    raw = entry.get("SYSLOG_RAW", entry["MESSAGE"])
    text = raw.encode() if isinstance(raw, str) else bytes(raw)
    return text if text.startswith(b"<") else b"<86>" + text
