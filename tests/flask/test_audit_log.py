"""AUDIT_LOG: a JSON line a request, written by the core."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import stat
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from apps import TENANT, USER, bearer, make_app
from flask_tenant_auth import ConfigurationError, verify_role, verify_tenant_context
from flask_tenant_auth._core import AuditLog, Identity, now, reset_clock, shift_clock

SOMEBODY = Identity(TENANT, USER, "admin")
LINE = ("GET", "/api/accounts", 200, SOMEBODY, "192.0.2.7", "curl/8.5", None)

# Letters by category; nothing is seen of them.
INVISIBLE_LETTERS = {0x22, 0x5C, 0x115F, 0x1160, 0x3164, 0xFFA0}


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes()
    assert text == b"" or text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def epoch(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def open_on(path: Path) -> list[int]:
    """The descriptors of this process that are open on the file."""
    found = []
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                found.append(descriptor)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


class TestTheCoresLog:
    def test_a_line_has_the_time_the_identity_and_the_request(self, path: Path) -> None:
        log = AuditLog(str(path))
        before = now()
        assert log.write(*LINE) is None
        (line,) = lines(path)
        assert before - 1 <= epoch(line.pop("time")) <= now() + 1
        assert line == {
            "method": "GET",
            "endpoint": "/api/accounts",
            "status": 200,
            "user_id": USER,
            "tenant_id": TENANT,
            "role": "admin",
            "ip": "192.0.2.7",
            "user_agent": "curl/8.5",
            "reason": None,
        }

    def test_an_unknown_field_is_null(self, path: Path) -> None:
        log = AuditLog(str(path))
        log.write("GET", "/", 401, None, None, None, "expired")
        (line,) = lines(path)
        assert line["reason"] == "expired"
        assert {line[name] for name in ("user_id", "tenant_id", "role", "ip", "user_agent")} == {
            None
        }

    @given(st.binary(max_size=200))
    def test_any_octets_of_a_header_make_one_line_of_valid_json(
        self, tmp_path_factory: pytest.TempPathFactory, octets: bytes
    ) -> None:
        path = tmp_path_factory.mktemp("octets") / "log"
        native = octets.decode("latin-1")  # as WSGI hands it over
        AuditLog(str(path)).write("GET", native, 200, SOMEBODY, "::1", native, None)
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") == 1
        assert text.isascii() or not octets.isascii()
        line = json.loads(text)
        assert line["user_agent"] == line["endpoint"]
        try:
            expected = octets.decode()
        except UnicodeDecodeError:
            assert "\ufffd" in line["user_agent"]
        else:
            assert line["user_agent"] == expected

    @pytest.mark.parametrize("text", ["\u20ac", "\udc80", "a\U0001f600b"])
    def test_a_character_that_no_header_has_is_replaced(self, path: Path, text: str) -> None:
        AuditLog(str(path)).write("GET", text, 200, None, None, None, None)
        assert lines(path)[0]["endpoint"] == text.encode("latin-1", "replace").decode()

    def test_a_moved_file_is_created_again_within_a_second(self, path: Path) -> None:
        began = time.monotonic()
        log = AuditLog(str(path))
        log.write(*LINE)
        moved = path.rename(path.with_suffix(".1"))
        log.write(*LINE)
        if time.monotonic() - began > 1:  # the machine was busy: it is there again already
            path.rename(path.with_suffix(".2"))
            moved.write_text(moved.read_text() + path.with_suffix(".2").read_text())
        assert not path.exists()
        try:
            shift_clock(0, 1.1)
            log.write(*LINE)
        finally:
            reset_clock()
        assert (len(lines(moved)), len(lines(path))) == (2, 1)

    def test_reopen_creates_a_moved_file_again_at_once(self, path: Path) -> None:
        log = AuditLog(str(path))
        path.unlink()
        log.reopen()
        log.write(*LINE)
        assert len(lines(path)) == 1

    @pytest.mark.parametrize("status", [-1, 0, 99, 1000, 2**31, -(2**62)])
    def test_a_status_outside_of_http_is_null(self, path: Path, status: int) -> None:
        AuditLog(str(path)).write("GET", "/", status, None, None, None, None)
        assert lines(path)[0]["status"] is None

    def test_many_threads_write_whole_lines(self, path: Path) -> None:
        log = AuditLog(str(path))

        def write() -> None:
            for _ in range(500):
                log.write(*LINE)

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(lines(path)) == 4000

    def test_other_users_cannot_read_the_file(self, path: Path) -> None:
        AuditLog(str(path))
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0

    def test_the_log_has_one_descriptor_that_is_not_inherited_and_is_closed(
        self, path: Path
    ) -> None:
        log = AuditLog(str(path))
        (descriptor,) = open_on(path)
        assert not os.get_inheritable(descriptor)
        path.unlink()
        log.reopen()
        log.write(*LINE)
        assert open_on(path) == [descriptor]
        assert not os.get_inheritable(descriptor)
        del log
        assert open_on(path) == []

    def test_a_full_disk_is_reported_once_and_so_is_its_end(self, path: Path) -> None:
        log = AuditLog(str(path))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            first = log.write(*LINE)
            others = [log.write(*LINE) for _ in range(9)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert first is not None
        assert "File too large" in first
        assert others == [None] * 9
        assert log.write(*LINE) == "the file is written again; 10 lines were lost"
        assert log.write(*LINE) is None
        assert len(lines(path)) == 2

    def test_every_character_that_deceives_a_reader_is_escaped_and_no_other(
        self, path: Path
    ) -> None:
        log = AuditLog(str(path))
        characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
        for start in range(0, len(characters), 5000):
            text = "".join(characters[start : start + 5000])
            log.write("GET", text.encode().decode("latin-1"), 200, None, None, None, None)
        raw = path.read_text(encoding="utf-8")
        assert "".join(line["endpoint"] for line in map(json.loads, raw.split("\n")[:-1])) == (
            "".join(characters)
        )
        written = set(raw)
        for character in characters:
            category = unicodedata.category(character)
            looks_blank = (category == "Zs" and character != " ") or character == "\u2800"
            if looks_blank or (category in ("Cc", "Cf", "Zl", "Zp") and character != "\n"):
                assert character not in written, f"U+{ord(character):04X}"
            elif category[0] in "LNPS" and ord(character) not in INVISIBLE_LETTERS:
                assert character in written, f"U+{ord(character):04X}"

    @pytest.mark.parametrize("name", ["\u2028", "\u202e", "\u2066", "\u061c", "\ufeff", "\x85"])
    def test_a_user_agent_cannot_end_a_line_or_reverse_text(self, path: Path, name: str) -> None:
        octets = f"a{name}b".encode().decode("latin-1")
        AuditLog(str(path)).write("GET", "/", 200, None, None, octets, None)
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) == 1
        assert name not in text
        assert lines(path)[0]["user_agent"] == f"a{name}b"


class TestWhatStandsAtThePath:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda path, victim: path.symlink_to(victim), "the file is a symbolic link"),
            (lambda path, victim: path.hardlink_to(victim), "the file has a second name"),
        ],
    )
    def test_a_link_at_the_path_is_an_error_that_says_so(
        self, path: Path, make: Callable[[Path, Path], None], message: str
    ) -> None:
        victim = path.with_name("victim")
        victim.write_text("precious")
        make(path, victim)
        with pytest.raises(PermissionError, match=f"audit.jsonl': {message}"):
            AuditLog(str(path))
        with pytest.raises(ConfigurationError, match=f"AUDIT_LOG .*{message}"):
            make_app(AUDIT_LOG=str(path))
        assert victim.read_text() == "precious"
        path.unlink()
        assert AuditLog(str(path)).write(*LINE) is None  # the path itself is a good one
        assert len(lines(path)) == 1

    def test_a_link_put_in_its_place_is_not_followed(self, path: Path) -> None:
        victim = path.with_name("victim")
        victim.write_text("precious")
        log = AuditLog(str(path))
        moved = path.rename(path.with_suffix(".1"))
        path.symlink_to(victim)
        log.reopen()
        told = log.write(*LINE)
        assert told is not None
        assert "is a symbolic link" in told
        assert log.write(*LINE) is None
        assert victim.read_text() == "precious"
        assert len(lines(moved)) == 2
        path.unlink()
        log.reopen()
        assert log.write(*LINE) is None
        assert len(lines(path)) == 1

    def test_the_output_of_the_process_is_accepted_at_the_path(self) -> None:
        program = (
            "from flask_tenant_auth._core import AuditLog\n"
            "AuditLog('/dev/stdout').write('GET', '/', 200, None, None, None, None)"
        )
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
        assert json.loads(done.stdout)["endpoint"] == "/"


class TestBadArguments:
    @pytest.mark.parametrize(
        ("given_path", "error"),
        [
            ("", ValueError),
            ("a\0b", ValueError),
            ("/nowhere/at/all", FileNotFoundError),
            ("/", IsADirectoryError),
            (1, TypeError),
            (None, TypeError),
        ],
    )
    def test_a_path_that_cannot_be_used_is_an_error(
        self, given_path: Any, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            AuditLog(given_path)

    @pytest.mark.parametrize("position", range(7))
    def test_a_wrong_type_is_named(self, path: Path, position: int) -> None:
        log = AuditLog(str(path))
        arguments: list[Any] = list(LINE)
        arguments[position] = object()
        with pytest.raises(TypeError):
            log.write(*arguments)
        assert lines(path) == []

    @pytest.mark.parametrize("arguments", [(), LINE[:-1], (*LINE, None)])
    def test_a_wrong_number_of_arguments_is_a_type_error(
        self, path: Path, arguments: tuple[Any, ...]
    ) -> None:
        with pytest.raises(TypeError, match="7 arguments"):
            AuditLog(str(path)).write(*arguments)


class TestAuditLogOfAnApp:
    @pytest.fixture
    def app(self, path: Path) -> Flask:
        app = make_app(AUDIT_LOG=str(path), AUTH_FAILURE_LIMIT="1 per minute")
        app.get("/public")(lambda: "in")
        app.get("/api/x", endpoint="x")(verify_tenant_context(lambda: "in"))
        app.get("/admin", endpoint="admin")(verify_role("admin")(lambda: "in"))
        app.get("/broken", endpoint="broken")(verify_tenant_context(lambda: 1 / 0))
        return app

    def test_every_response_has_a_line(self, app: Flask, path: Path) -> None:
        app.config["PROPAGATE_EXCEPTIONS"] = False
        client = app.test_client()
        client.get("/public")
        client.get("/api/x", headers=bearer())
        client.get("/admin", headers=bearer())
        client.get("/broken", headers=bearer())
        client.get("/nowhere")
        for _ in range(2):
            client.get("/api/x", headers={"Authorization": "Bearer a.b.c"})
        written = [(line["endpoint"], line["status"], line["reason"]) for line in lines(path)]
        assert written == [
            ("/public", 200, None),
            ("/api/x", 200, None),
            ("/admin", 403, "role_insufficient"),
            ("/broken", 500, None),
            ("/nowhere", 404, None),
            ("/api/x", 401, "base64url_invalid"),
            ("/api/x", 429, "rate_limit_exceeded"),
        ]
        assert [line["user_id"] for line in lines(path)[:2]] == [None, USER]

    def test_only_lines_of_authenticated_requests_have_an_identity(
        self, app: Flask, path: Path
    ) -> None:
        headers = bearer(role="admin") | {"User-Agent": "B\u00e4r/1".encode().decode("latin-1")}
        app.test_client().get("/admin", headers=headers)
        (line,) = lines(path)
        del line["time"]
        assert line == {
            "method": "GET",
            "endpoint": "/admin",
            "status": 200,
            "user_id": USER,
            "tenant_id": TENANT,
            "role": "admin",
            "ip": "127.0.0.1",
            "user_agent": "B\u00e4r/1",
            "reason": None,
        }

    def test_no_token_and_no_query_is_written(self, app: Flask, path: Path) -> None:
        app.test_client().get("/api/x?token=secret", headers=bearer())
        assert "secret" not in path.read_text()
        assert bearer()["Authorization"][7:20] not in path.read_text()

    def test_a_running_app_writes_to_the_new_file_after_rotation(
        self, app: Flask, path: Path
    ) -> None:
        client = app.test_client()
        client.get("/public")
        moved = path.rename(path.with_suffix(".1"))
        try:
            shift_clock(0, 1.1)
            client.get("/public")
        finally:
            reset_clock()
        assert (len(lines(moved)), len(lines(path))) == (1, 1)

    def test_a_file_that_cannot_be_opened_stops_the_app(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="AUDIT_LOG cannot be opened"):
            make_app(AUDIT_LOG=str(tmp_path / "none" / "log"))

    if sys.platform == "linux":

        def test_a_full_disk_is_no_error_for_the_client(
            self, caplog: pytest.LogCaptureFixture
        ) -> None:
            app = make_app(AUDIT_LOG="/dev/full")
            app.get("/")(lambda: "in")
            client = app.test_client()
            assert [client.get("/").status_code for _ in range(3)] == [200] * 3
            errors = [each for each in caplog.records if each.levelname == "ERROR"]
            assert len(errors) == 1
            assert "No space left on device" in errors[0].getMessage()
