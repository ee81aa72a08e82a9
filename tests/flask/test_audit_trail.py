"""``flask auth audit``: what it finds, verifies, erases and removes."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from apps import TENANT, USER, bearer, make_app
from flask_tenant_auth import ConfigurationError, verify_role, verify_tenant_context
from flask_tenant_auth._core import AuditLog, Identity, find_audit_lines, reset_clock, shift_clock
from flask_tenant_auth.trail.output import as_csv, as_table
from flask_tenant_auth.trail.query import Query
from flask_tenant_auth.trail.search import Search

OTHER_USER = "0f000000-0000-4000-8000-000000000001"
OTHER_TENANT = "0f000000-0000-4000-8000-000000000002"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def app(path: Path) -> Flask:
    return app_with(path)


def app_with(path: Path, **config: Any) -> Flask:
    app = make_app(AUDIT_LOG=str(path), **config)
    app.get("/api/accounts", endpoint="accounts")(verify_tenant_context(lambda: "in"))
    app.get("/admin", endpoint="admin")(verify_role("admin")(lambda: "in"))
    return app


def run(app: Flask, *arguments: str, exit_code: int = 0) -> str:
    result: Result = app.test_cli_runner().invoke(args=["auth", "audit", *arguments])
    assert result.exit_code == exit_code, result.output
    return result.output


def found(app: Flask, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(app, "--format", "json", *arguments).splitlines()]


def write(path: Path, count: int = 1, **values: Any) -> None:
    """Write lines as the core does, about one request each."""
    log = AuditLog(str(path))
    who = Identity(values.get("tenant", TENANT), values.get("user", USER), "user")
    for _ in range(count):
        log.write(
            "GET",
            values.get("endpoint", "/api/accounts").encode().decode("latin-1"),
            values.get("status", 200),
            who,
            values.get("ip", "192.0.2.7"),
            values.get("agent", "curl"),
            values.get("reason"),
        )


class TestSearch:
    @pytest.fixture(autouse=True)
    def _lines(self, path: Path) -> None:
        write(path, user=USER, endpoint="/api/accounts")
        write(path, user=OTHER_USER, endpoint="/api/accounts/1", ip="192.0.2.200")
        write(path, tenant=OTHER_TENANT, status=403, reason="role_insufficient", ip="198.51.100.1")
        write(path, status=429, reason="rate_limit_exceeded", ip="2001:db8::1")
        write(path, endpoint='/b"\\\u00e4', status=503)

    @pytest.mark.parametrize(
        ("options", "places"),
        [
            ([], [0, 1, 2, 3, 4]),
            (["--user", USER], [0, 2, 3, 4]),
            (["--user", OTHER_USER.upper()], [1]),
            (["--tenant", OTHER_TENANT], [2]),
            (["--tenant", OTHER_TENANT, "--user", OTHER_USER], []),
            (["--reason", "role_insufficient"], [2]),
            (["--reason", "role"], []),
            (["--status", "403"], [2]),
            (["--status", "4xx"], [2, 3]),
            (["--address", "192.0.2.7"], [0, 4]),
            (["--address", "192.0.2.0/24"], [0, 1, 4]),
            (["--address", "192.0.2.128/25"], [1]),
            (["--address", "192.0.2.70"], []),
            (["--address", "0.0.0.0/0"], [0, 1, 2, 4]),
            (["--address", "2001:0DB8::/32"], [3]),
            (["--endpoint", "/api/accounts"], [0, 2, 3]),
            (["--endpoint", "/api/*"], [0, 1, 2, 3]),
            (["--endpoint", '/b"\\\u00e4'], [4]),
            (["--since", "1h"], [0, 1, 2, 3, 4]),
            (["--until", "1h"], []),
            (["--since", "2999-01-01"], []),
            (["--limit", "2"], [0, 1]),
        ],
    )
    def test_each_option_finds_its_lines_and_no_other(
        self, app: Flask, path: Path, options: list[str], places: list[int]
    ) -> None:
        all_lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert found(app, *options) == [all_lines[place] for place in places]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--user", "x"], "--user must be a UUID"),
            (["--address", "x"], "--address must be an IP address"),
            (["--status", "4x"], "--status must be a status as 403"),
            (["--since", "yesterday"], "--since must be a time"),
        ],
    )
    def test_a_wrong_option_is_named(self, app: Flask, options: list[str], message: str) -> None:
        assert message in run(app, *options, exit_code=1)

    @pytest.mark.parametrize(
        ("suffix", "pack"),
        [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), ("", bytes)],
    )
    def test_moved_and_compressed_files_are_searched_too_the_oldest_first(
        self, app: Flask, path: Path, suffix: str, pack: Callable[[bytes], bytes]
    ) -> None:
        content = path.read_bytes()
        lines = content.splitlines(keepends=True)
        path.with_name(f"{path.name}.10{suffix}").write_bytes(pack(lines[0] + lines[1]))
        path.with_name(f"{path.name}.9").write_bytes(lines[2])
        path.with_name(f"{path.name}.9.gz").write_bytes(b"being compressed")
        path.with_name(f"{path.name}.1").write_bytes(lines[3])
        path.with_name(f"{path.name}.bak").write_bytes(content)
        path.with_name(f"{path.name}.head").write_bytes(b"head")
        path.write_bytes(lines[4])
        assert found(app) == [json.loads(line) for line in lines]

    def test_files_with_dates_are_searched_too(self, app: Flask, path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        path.with_name(f"{path.name}-20261127").write_bytes(lines[1])
        path.with_name(f"{path.name}-20261103.gz").write_bytes(gzip.compress(lines[0]))
        path.write_bytes(b"".join(lines[2:]))
        assert found(app) == [json.loads(line) for line in lines]

    def test_what_is_no_line_is_left_out_and_counted(self, app: Flask, path: Path) -> None:
        with path.open("ab") as file:
            file.write(
                b'\xff\xfe\n[1]\n{"time":"2026-1\n\n{"user_id": 5, "ip": [], "time": null}\n'
            )
            file.write(b"[" * 100_000 + b'\n{"half a li')
        output = run(app, "--format", "json", "--since", "2h")
        assert "lines are no JSON and were left out" in output
        assert sum(line.startswith("{") for line in output.splitlines()) == 5
        assert found(app, "--user", OTHER_USER)[0]["user_id"] == OTHER_USER

    def test_a_line_that_another_program_has_written_is_found_too(
        self, app: Flask, path: Path
    ) -> None:
        line = {"host": "a", "user_id": OTHER_USER, "status": 200, "time": "2026-11-27T10:00:00Z"}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\r\n")
        assert found(app, "--user", OTHER_USER)[-1] == line
        day = ["--since", "2026-11-27T09:59:59.900Z", "--until", "2026-11-27T11:00:01+01:00"]
        assert line in found(app, *day)

    def test_a_damaged_file_is_named_and_the_others_are_searched(
        self, app: Flask, path: Path
    ) -> None:
        packed = gzip.compress(os.urandom(100_000))
        path.with_name(f"{path.name}.2.gz").write_bytes(packed[:50_000])
        path.with_name(f"{path.name}.1.gz").write_bytes(b"no gzip")
        output = run(app, "--format", "json", exit_code=1)
        assert output.count("Not read: ") == 2
        assert sum(line.startswith("{") for line in output.splitlines()) == 5

    def test_follow_shows_each_new_line_also_after_a_move(self, path: Path) -> None:
        lines = Search(path, Query()).follow()
        assert [next(lines)["status"] for _ in range(5)] == [200, 200, 403, 429, 503]
        write(path, status=201)
        assert next(lines)["status"] == 201
        path.rename(path.with_name(f"{path.name}.1"))
        threading.Timer(0.1, lambda: write(path, status=202)).start()
        assert next(lines)["status"] == 202

    def test_a_log_that_is_kept_elsewhere_says_where_to_look(self, tmp_path: Path) -> None:
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(tmp_path / "log"))
            app = make_app(AUDIT_LOG=f"syslog:{tmp_path}/log")
            assert "journalctl -t flask_tenant_auth" in run(app, exit_code=2)
        assert "AUDIT_LOG is not set" in run(make_app(), exit_code=2)


class TestTheMillion:
    """A search reads as JSON what may match, and skips the rest at the speed of memory."""

    def test_only_lines_that_have_each_word_are_read_as_json(self, path: Path) -> None:
        write(path, 5000)
        write(path, 3, user=OTHER_USER, reason="role_insufficient", status=403)
        write(path, 2, user=OTHER_USER)
        search = Search(path, Query.read(user=OTHER_USER, reason="role_insufficient"))
        assert len(list(search)) == 3
        assert search.read_as_json == 3
        day = Search(path, Query.read(until="1d"))
        assert list(day) == []
        assert day.read_as_json == 0

    def test_words_are_those_of_each_query(self) -> None:
        assert Query.read(address="10.1.0.0/15").words() == (b"10.",)
        assert Query.read(address="10.1.2.3").words() == (b"10.1.2.3",)
        assert Query.read(address="::/0").words() == ()
        assert Query.read(endpoint="/api/*", status="4xx").words() == (b"api", b"4")
        assert Query.read(reason='a"b').words() == ()

    def test_no_word_at_all_finds_each_line(self) -> None:
        assert find_audit_lines(b"a\n\nb", ()) == [b"a", b"", b"b"]
        assert find_audit_lines(b"", ()) == []


class TestOutput:
    def test_csv_is_that_of_rfc_4180(self, app: Flask, path: Path) -> None:
        write(path, agent='a,"b"')
        text = "".join(as_csv(Search(path, Query())))
        assert text.endswith("\r\n")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert rows[0]["user_agent"] == 'a,"b"'
        assert rows[0]["user_id"] == USER
        assert run(app, "--format", "csv").splitlines()[0].startswith("time,status,method")

    @pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x"])
    def test_no_cell_is_a_formula(self, value: str) -> None:
        (_, row) = as_csv([{"user_agent": value, "status": 200}])
        assert f"'{value}" in row

    def test_no_character_moves_the_cursor(self) -> None:
        line = {"endpoint": "/\x1b[2J\u202e\u2028\x9b\r\n", "reason": "a\u00e4"}
        for form in (as_table, as_csv):
            text = "".join(form([line]))
            assert "\\x1b[2J\\u202e\\u2028\\x9b\\r\\n" in text
            assert "a\u00e4" in text
            assert text.count("\n") == 2

    def test_a_reader_that_ends_is_no_error(self, path: Path) -> None:
        write(path, 3000)
        program = (
            f"from flask_tenant_auth import TenantAuth; import flask; app = flask.Flask('a'); \
            app.config.update(AUDIT_LOG={str(path)!r}, FLASK_ENV='development'); TenantAuth(app)"
        )
        (path.parent / "wsgi.py").write_text(program.replace("; ", "\n").replace("  ", ""))
        done = subprocess.run(
            ["sh", "-c", f"{sys.executable} -m flask auth audit | head -n 1"],
            cwd=path.parent,
            check=True,
            capture_output=True,
        )
        assert done.stdout.startswith(b"time ")
        assert b"BrokenPipe" not in done.stderr


class TestVerify:
    @pytest.fixture
    def app(self, path: Path) -> Flask:
        return app_with(path, AUDIT_CHAIN=True)

    def request(self, app: Flask, times: int = 1) -> None:
        for _ in range(times):
            assert app.test_client().get("/api/accounts", headers=bearer()).status_code == 200

    def test_the_lines_of_an_app_verify_also_over_moved_and_compressed_files(
        self, app: Flask, path: Path
    ) -> None:
        self.request(app, 3)
        path.rename(path.with_name(f"{path.name}.1"))
        self.request(app, 2)
        with gzip.open(path.with_name(f"{path.name}.2.gz"), "wb") as packed:
            packed.write(path.with_name(f"{path.name}.1").read_bytes())
        path.with_name(f"{path.name}.1").unlink()
        output = run(app, "verify")
        assert "lines 1 to 7 are a chain" in output
        assert "signed up to line 5" in output
        (note,) = [line for line in output.splitlines() if "--expect" in line]
        self.request(app)
        expectation = note.split()[-1]
        run(app, "verify", "--expect", expectation)
        wrong = expectation.replace(":", ":0", 1)[:-1]
        assert "is not there with the digest" in run(app, "verify", "--expect", wrong, exit_code=1)

    def test_a_changed_line_is_named(self, app: Flask, path: Path) -> None:
        self.request(app, 3)
        path.write_bytes(path.read_bytes().replace(b'"status":200', b'"status":404', 1))
        output = run(app, "verify", exit_code=1)
        assert "Problem: audit.jsonl:2: the line was changed" in output

    def test_an_end_that_was_cut_off_is_found(self, app: Flask, path: Path) -> None:
        self.request(app, 3)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:-1]))
        assert "lines 4 to 4 are missing at the end" in run(app, "verify", exit_code=1)

    def test_the_public_key_verifies_and_knows_no_end(self, app: Flask, path: Path) -> None:
        self.request(app, 3)
        run(app, "sign")
        public = run(app, "public-key").strip()
        stranger = make_app(AUDIT_LOG=str(path), JWT_SECRET_KEY="another secret of 32 octets......")
        output = run(stranger, "verify", "--public-key", public)
        assert "signed up to line 5" in output
        assert "cut off at the end is known with the key of the app only" in output
        assert "signed by none of the keys" in run(
            stranger, "verify", "--public-key", "ab" * 32, exit_code=1
        )
        assert "64 hexadecimal digits" in run(stranger, "verify", "--public-key", "x", exit_code=2)

    def test_the_key_is_one_of_its_own_or_derived_from_the_key_that_signs(self, path: Path) -> None:
        own = app_with(path, AUDIT_CHAIN=True, AUDIT_KEY="k" * 32)
        self.request(own)
        assert "lines 1 to 2 are a chain" in run(own, "verify")
        with pytest.raises(ConfigurationError, match=r"AUDIT_LOG cannot be opened: .*head of the"):
            app_with(path, AUDIT_CHAIN=True)
        # A new key goes on where the old one has ended.
        both = app_with(path, AUDIT_CHAIN=True, AUDIT_KEY=["n" * 32, "k" * 32])
        self.request(both)
        run(both, "sign")
        assert "lines 1 to 4 are a chain" in run(both, "verify")
        with pytest.raises(ConfigurationError, match="AUDIT_KEY holds a key of 3 bytes"):
            app_with(path, AUDIT_CHAIN=True, AUDIT_KEY="abc")

    def test_a_chain_without_a_key_says_what_to_set(self, path: Path) -> None:
        with pytest.raises(ConfigurationError, match="AUDIT_KEY must be set"):
            make_app(
                AUDIT_LOG=str(path), AUDIT_CHAIN=True, JWT_SECRET_KEY=None, JWT_TENANT_KEYS=print
            )

    def test_the_report_is_json_on_request(self, app: Flask) -> None:
        self.request(app)
        report = json.loads(run(app, "verify", "--json"))
        assert (report["finding"], report["first"], report["last"]) == ("", 1, 2)

    def test_a_log_without_a_chain_does_not_verify(self, path: Path) -> None:
        write(path)
        assert "there is no chain" in run(app_with(path), "verify", exit_code=1)
        assert "AUDIT_CHAIN is not set" in run(app_with(path), "sign", exit_code=1)


class TestErase:
    @pytest.mark.parametrize("chain", [True, False])
    def test_nothing_of_the_user_is_left_and_the_chain_verifies(
        self, path: Path, chain: bool
    ) -> None:
        app = app_with(path, AUDIT_CHAIN=chain)
        agent = {"User-Agent": "the agent of the user"}
        client = app.test_client()
        for name in ("", ".3.gz", ".2.xz", ".1"):
            client.get("/api/accounts", headers=bearer() | agent)
            client.get("/api/accounts", headers=bearer(user_id=OTHER_USER))
            client.get(f"/api/users/{USER.upper()}")
            if name:
                content = path.read_bytes()
                packed = {".gz": gzip.compress, ".xz": lzma.compress}.get(name[2:], bytes)
                path.with_name(path.name + name).write_bytes(packed(content))
                path.unlink()
                # Within a second no check is made whether the file was moved.
                shift_clock(0.0, 1.1)
        client.get("/api/accounts", headers=bearer() | agent)
        reset_clock()
        before = everything_of(path)
        assert before.lower().count(USER.encode()) == 9
        sizes = {each.name: each.stat().st_size for each in path.parent.glob("*") if each.is_file()}
        mode = path.with_name(f"{path.name}.3.gz").stat()
        assert "erased 9 lines" in run(app, "erase", "--tenant", TENANT, "--user", USER)
        after = everything_of(path)
        assert USER.encode() not in after.lower()
        assert b"the agent of the user" not in after
        assert after.count(OTHER_USER.encode()) == 4
        for each in path.parent.glob("*"):
            assert USER.encode() not in each.read_bytes().lower()
        assert path.with_name(f"{path.name}.1").stat().st_size == sizes[f"{path.name}.1"]
        assert path.with_name(f"{path.name}.3.gz").stat().st_mode == mode.st_mode
        assert "erased 0 lines" in run(app, "erase", "--tenant", TENANT, "--user", USER)
        assert len(found(app, "--user", OTHER_USER)) == 4
        if chain:
            output = run(app, "verify")
            assert "9 of them were erased by the holder of the key" in output
            client.get("/api/accounts", headers=bearer())
            run(app, "verify")

    @pytest.mark.parametrize("chain", [True, False])
    def test_a_user_of_another_tenant_stays(self, path: Path, chain: bool) -> None:
        app = app_with(path, AUDIT_CHAIN=chain)
        client = app.test_client()
        client.get("/api/accounts", headers=bearer(tenant_id=OTHER_TENANT))
        client.get("/api/accounts", headers=bearer())
        assert "erased 1 lines" in run(app, "erase", "--tenant", TENANT, "--user", USER)
        (left,) = found(app, "--user", USER)
        assert left["tenant_id"] == OTHER_TENANT

    def test_lines_are_erased_while_others_are_written(self, path: Path) -> None:
        app = app_with(path, AUDIT_CHAIN=True)
        client = app.test_client()
        client.get("/api/accounts", headers=bearer())
        stop = threading.Event()

        def go_on() -> None:
            while not stop.is_set():
                app.test_client().get("/api/accounts", headers=bearer(user_id=OTHER_USER))

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            for _ in range(5):
                client.get("/api/accounts", headers=bearer())
                run(app, "erase", "--tenant", TENANT, "--user", USER)
                run(app, "verify")
        finally:
            stop.set()
            thread.join()
        run(app, "verify")
        assert USER.encode() not in path.read_bytes()

    def test_a_name_that_is_no_personal_value_is_reported(self, path: Path) -> None:
        app = app_with(path, AUDIT_CHAIN=True)
        app.test_client().get("/api/accounts", headers=bearer())
        write_in_chain(app, reason=f"user {USER} is blocked")
        output = run(app, "erase", "--tenant", TENANT, "--user", USER, exit_code=1)
        assert "1 lines name the user in a place that is not personal" in output

    def test_a_part_of_a_line_is_erased_too(self, path: Path) -> None:
        path.write_text(f'{{"time":"2026","user_id":"{USER}\n{{"half":"{USER}')
        app = app_with(path)
        run(app, "erase", "--tenant", TENANT, "--user", USER)
        assert USER not in path.read_text()

    def test_a_wrong_id_is_named(self, app: Flask) -> None:
        output = run(app, "erase", "--tenant", "x", "--user", USER, exit_code=2)
        assert "--tenant must be a UUID" in output


def write_in_chain(app: Flask, reason: str) -> None:
    from flask_tenant_auth.flask.state import state_of
    from flask_tenant_auth.trail.keys import chain_keys

    settings = state_of(app).settings
    assert settings.audit_log is not None
    log = AuditLog(settings.audit_log, chain_keys(settings))
    log.write("GET", "/", 403, Identity(TENANT, OTHER_USER, "user"), None, None, reason)


def everything_of(path: Path) -> bytes:
    from flask_tenant_auth.trail.files import log_files

    content = b""
    for file in log_files(path):
        with file.open() as stream:
            content += stream.read()
    return content


class TestPrune:
    def make_files(self, app: Flask, path: Path) -> None:
        """Three files: of 100 days, of 50 days and of today."""
        client = app.test_client()
        for number, days in ((2, 100), (1, 50), (0, 0)):
            reset_clock()
            shift_clock(-86400.0 * days, 1.1 * (3 - number))
            client.get("/nowhere")
            if number:
                path.rename(path.with_name(f"{path.name}.{number}"))
        reset_clock()

    @pytest.mark.parametrize("chain", [True, False])
    def test_whole_files_that_are_old_enough_are_removed(self, path: Path, chain: bool) -> None:
        app = app_with(path, AUDIT_CHAIN=chain)
        self.make_files(app, path)
        assert ".2" in run(app, "prune", "--older-than", "90d", "--dry-run")
        assert path.with_name(f"{path.name}.2").exists()
        run(app, "prune", "--older-than", "90d")
        assert not path.with_name(f"{path.name}.2").exists()
        assert path.with_name(f"{path.name}.1").exists()
        run(app, "prune", "--older-than", "1s")
        assert not path.with_name(f"{path.name}.1").exists()
        assert path.exists()  # the log itself never
        if chain:
            assert "lines 5 to 8 are a chain" in run(app, "verify")

    def test_a_file_that_somebody_else_removed_is_missing(self, path: Path) -> None:
        app = app_with(path, AUDIT_CHAIN=True)
        self.make_files(app, path)
        run(app, "prune", "--older-than", "90d")
        run(app, "verify")
        path.with_name(f"{path.name}.1").unlink()
        assert "lines 3 to 4 are missing at the beginning" in run(app, "verify", exit_code=1)

    def test_an_age_that_is_none_is_named(self, app: Flask) -> None:
        assert "--older-than must be an age" in run(app, "prune", "--older-than", "x", exit_code=2)

    def test_a_file_without_a_time_is_as_old_as_its_last_change(
        self, app: Flask, path: Path
    ) -> None:
        old = path.with_name(f"{path.name}.1")
        old.write_text("no line of ours\n")
        run(app, "prune", "--older-than", "1d")
        assert old.exists()
        ago = (datetime.now(timezone.utc) - timedelta(days=2)).timestamp()
        os.utime(old, (ago, ago))
        run(app, "prune", "--older-than", "1d")
        assert not old.exists()


def test_the_head_is_readable_by_its_user_alone(path: Path) -> None:
    app_with(path, AUDIT_CHAIN=True)
    assert path.with_name(f"{path.name}.head").stat().st_mode & 0o077 == 0
    assert shutil.which("sh")  # of the tests above
