"""AUDIT_LOG: a JSON line a request, written by the core."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_tenant_auth._core import AuditLog, Identity, now, return_to_present, travel

TENANT = "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4"
USER = "550e8400-e29b-41d4-a716-446655440000"
SOMEBODY = Identity(TENANT, USER, "admin")
LINE = ("GET", "/api/accounts", 200, SOMEBODY, "192.0.2.7", "curl/8.5", None)


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
    def test_a_line_says_who_did_what_when(self, path: Path) -> None:
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

    def test_what_is_not_known_is_null(self, path: Path) -> None:
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

    def test_a_file_moved_away_is_made_anew_within_a_second(self, path: Path) -> None:
        log = AuditLog(str(path))
        log.write(*LINE)
        moved = path.rename(path.with_suffix(".1"))
        log.write(*LINE)
        assert not path.exists()
        try:
            travel(0, 1.1)
            log.write(*LINE)
        finally:
            return_to_present()
        assert (len(lines(moved)), len(lines(path))) == (2, 1)

    def test_reopen_makes_it_anew_at_once(self, path: Path) -> None:
        log = AuditLog(str(path))
        path.unlink()
        log.reopen()
        log.write(*LINE)
        assert len(lines(path)) == 1

    @pytest.mark.parametrize("status", [-1, 0, 99, 1000, 2**31, -(2**62)])
    def test_a_status_that_http_does_not_know_is_null(self, path: Path, status: int) -> None:
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

    def test_the_file_is_not_for_everybody(self, path: Path) -> None:
        AuditLog(str(path))
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0

    def test_its_descriptor_is_one_is_not_inherited_and_is_closed(self, path: Path) -> None:
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

    if sys.platform == "linux":

        def test_a_full_disk_is_told_once_and_its_end_too(self, path: Path) -> None:
            path.symlink_to("/dev/full")
            log = AuditLog(str(path))
            first = log.write(*LINE)
            assert first is not None
            assert "No space left" in first
            assert [log.write(*LINE) for _ in range(9)] == [None] * 9
            path.unlink()
            log.reopen()
            assert log.write(*LINE) == "is written again; 10 lines were lost"
            assert log.write(*LINE) is None
            assert len(lines(path)) == 2


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
    def test_a_path_that_will_not_do(self, given_path: Any, error: type[Exception]) -> None:
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
    def test_a_wrong_number_of_them(self, path: Path, arguments: tuple[Any, ...]) -> None:
        with pytest.raises(TypeError, match="7 arguments"):
            AuditLog(str(path)).write(*arguments)
