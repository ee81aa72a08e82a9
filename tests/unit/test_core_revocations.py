"""What is revoked: the table that the processes of a host share, and the keyrings that ask it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_tenant_auth import _core
from flask_tenant_auth._core import (
    INVALID_TOKENS,
    Identity,
    InvalidToken,
    Key,
    Keyring,
    Revocations,
    uuid7,
)
from flask_tenant_auth.keys.identities import CalledIdentities
from key_pairs import EC_PRIVATE

SECRET = b"a secret of the tests, 32 bytes or more"
TENANT, OTHER = str(uuid.UUID(int=1 << 80)), str(uuid.UUID(int=2 << 80))
USER, ACTOR = str(uuid.UUID(int=3 << 80)), str(uuid.UUID(int=4 << 80))
DAY = 86_400_000


def ms() -> int:
    return int(_core.now() * 1000)


def filled(**options: Any) -> Revocations:
    """A table of this process alone."""
    table = Revocations("tests", shared=False, **{"slots": 64, **options})
    table.mark_filled("1")
    return table


def keyring_of(table: Revocations | None, **rules: Any) -> Keyring:
    return Keyring([Key.secret("HS256", SECRET)], revocations=table, **rules)


def signed(keyring: Keyring, **more: Any) -> str:
    now = int(_core.now())
    claims = {"tenant_id": TENANT, "user_id": USER, "iat": now - 5, "exp": now + 600, **more}
    return keyring.sign(json.dumps({k: v for k, v in claims.items() if v is not None}).encode())


def reason(keyring: Keyring, token: str) -> str | None:
    """Why a token is denied, however it is asked."""
    ways = [keyring.verify(token), keyring.decode(token), keyring.authenticate(f"Bearer {token}")]
    reasons = {way.reason if isinstance(way, InvalidToken) else None for way in ways}
    assert len(reasons) == 1
    return reasons.pop()


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    yield
    _core.reset_clock()


def kind_of(entry: dict[str, Any]) -> str:
    return str(entry["kind"])


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.rpartition(".")[0].encode()).digest()


class TestKeyring:
    def test_each_kind_denies_what_it_names_and_nothing_else(self) -> None:
        session = uuid7(ms() - 10_000)
        plain = keyring_of(None)
        token = signed(plain, sid=session, jti="j 1")
        others = [
            signed(plain, sid=uuid7(ms() - 10_000), jti="j 2", user_id=ACTOR, tenant_id=OTHER),
            signed(plain, sid=session + "0", jti="j 10", user_id=ACTOR, tenant_id=OTHER),
        ]
        no_jti = signed(plain)
        text = urlsafe_b64encode(digest_of(no_jti)).rstrip(b"=").decode()
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("session", {"id": session}, token),
            ("session", {"id": session, "tenant_id": TENANT, "user_id": USER}, token),
            ("token", {"id": "j 1"}, token),
            ("token", {"id": "j 1", "tenant_id": TENANT}, token),
            ("token", {"id": f"sha256:{text}"}, no_jti),
            ("user", {"tenant_id": TENANT, "user_id": USER}, token),
            ("tenant", {"tenant_id": TENANT}, token),
        ]
        for kind, named, concerned in cases:
            table = filled()
            keyring = keyring_of(table)
            assert reason(keyring, concerned) is None
            table.add(kind, at=ms(), ends_at=ms() + DAY, **named)
            assert reason(keyring, concerned) == "token_revoked", (kind, named)
            assert [reason(keyring, other) for other in others] == [None, None], (kind, named)
            assert reason(plain, concerned) is None
        table.add("everything", at=ms(), ends_at=ms() + DAY)
        assert [reason(keyring, other) for other in others] == ["token_revoked"] * 2

    def test_an_id_of_a_tenant_is_not_that_of_another(self) -> None:
        table = filled()
        for kind in ("session", "token"):
            table.add(kind, at=ms(), ends_at=ms() + DAY, id="7", tenant_id=OTHER)
        keyring = keyring_of(table)
        assert reason(keyring, signed(keyring, sid="7", jti="7")) is None
        theirs = signed(keyring, jti="7", tenant_id=OTHER)
        assert reason(keyring, theirs) == "token_revoked"

    def test_the_second_form_of_an_ecdsa_signature_is_revoked_too(self) -> None:
        table = filled()
        keyring = Keyring([Key.pem("ES256", EC_PRIVATE.encode())], revocations=table)
        token = signed(keyring)
        text = urlsafe_b64encode(digest_of(token)).rstrip(b"=").decode()
        table.add("token", at=ms(), ends_at=ms() + DAY, id=f"sha256:{text}")
        head, _, signature = token.rpartition(".")
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        raw = urlsafe_b64decode(signature + "==")
        other = order - int.from_bytes(raw[32:], "big")
        raw = raw[:32] + other.to_bytes(32, "big")
        twin = f"{head}.{urlsafe_b64encode(raw).rstrip(b'=').decode()}"
        assert isinstance(Keyring([keyring.keys[0]]).verify(twin), Identity)
        assert twin != token
        assert reason(keyring, token) == reason(keyring, twin) == "token_revoked"

    def test_who_acts_is_a_user_too(self) -> None:
        table = filled()
        table.add("user", at=ms(), ends_at=ms() + DAY, tenant_id=TENANT, user_id=ACTOR)
        keyring = keyring_of(table)
        assert reason(keyring, signed(keyring, act={"sub": ACTOR.upper()})) == "token_revoked"
        assert reason(keyring, signed(keyring, act={"sub": "somebody"})) is None
        named = keyring_of(table, id_namespace=TENANT)
        table.add(
            "user",
            at=ms(),
            ends_at=ms() + DAY,
            tenant_id=TENANT,
            user_id=str(uuid.uuid5(uuid.UUID(TENANT), "somebody")),
        )
        assert reason(named, signed(named, act={"sub": "somebody"})) == "token_revoked"

    def test_a_session_is_judged_by_when_it_began_and_else_iat_counts(self) -> None:
        table = filled()
        keyring = keyring_of(table)
        at = ms()
        table.add("user", at=at, ends_at=at + DAY, tenant_id=TENANT, user_id=USER)
        now = int(_core.now())
        expected: dict[str | None, list[dict[str, Any]]] = {
            "token_revoked": [
                {"sid": uuid7(at)},
                {"sid": uuid7(at), "iat": None},
                {"sid": 7},
                {"sid": "of another system"},
                {"sid": str(uuid.uuid4())},
                {"sid": uuid7(at + 10**7)},
            ],
            "issued_at_unknown": [{"iat": None}, {"iat": now + 100}, {"sid": "x", "iat": None}],
            None: [{"sid": uuid7(at + 1)}, {"sid": uuid7(at + 1), "iat": None}],
        }
        for why, tokens in expected.items():
            for more in tokens:
                assert reason(keyring, signed(keyring, **more)) == why, more

    def test_tokens_that_live_too_long_are_denied(self) -> None:
        keyring = keyring_of(filled(token_max_ms=3_600_000), leeway=60)
        now = int(_core.now())
        assert reason(keyring, signed(keyring, iat=now, exp=now + 3540)) is None
        for more in ({"iat": now, "exp": now + 3541}, {"iat": None, "exp": now + 3600}):
            assert reason(keyring, signed(keyring, **more)) == "lives_too_long"

    def test_a_table_that_is_not_filled_or_silent_denies_until_that_is_waived(self) -> None:
        table = Revocations("tests", slots=64, shared=False, silent_max_ms=30_000)
        keyring = keyring_of(table)
        token = signed(keyring)
        assert table.silent_ms is None
        assert table.position == ""
        assert reason(keyring, token) == "revocations_unknown"
        table.mark_filled("position é")
        assert table.position == "position é"
        assert reason(keyring, token) is None
        _core.shift_clock(0, 31)
        assert table.silent_ms is not None
        assert 31_000 <= table.silent_ms < 91_000
        assert reason(keyring, token) == "revocations_unknown"
        table.waive(True)
        assert reason(keyring, token) is None
        table.waive(False)
        table.mark_filled("later")
        assert reason(keyring, token) is None
        table.close()
        assert reason(keyring, token) == "revocations_unknown"

    def test_claims_are_read_as_they_are_without_a_table(self) -> None:
        with_table, without = keyring_of(filled()), keyring_of(None)
        for more in ({"sid": 7}, {"sid": None}, {"jti": 7}, {"sid": ["x"]}, {"sid": "\\u0061"}):
            token = signed(without, **more)
            assert reason(with_table, token) == reason(without, token)

    def test_an_invalid_signature_asks_nothing(self) -> None:
        table = filled()
        table.add("everything", at=ms(), ends_at=ms() + DAY)
        keyring = keyring_of(table)
        assert reason(keyring, signed(keyring)[:-4] + "AAAA") == "signature_mismatch"


class TestTable:
    def test_check_says_what_keyrings_say(self) -> None:
        table = filled()
        session = uuid7(ms() - 1000)
        assert table.check(TENANT, USER, session, "j", 1.0) is None
        table.add("token", at=ms(), ends_at=ms() + DAY, id="j")
        assert table.check(TENANT, USER, session, "j", 1.0) == "token_revoked"
        assert table.check(TENANT, USER, session, None, 1) is None
        table.add("user", at=ms(), ends_at=ms() + DAY, tenant_id=TENANT, user_id=USER)
        assert table.check(TENANT, USER, uuid7(ms() + 1), None, None) is None
        assert table.check(TENANT, USER, None, None, None) == "issued_at_unknown"
        for found in ("token_revoked", "issued_at_unknown", "refresh_first", "lives_too_long"):
            assert INVALID_TOKENS[found].reason == found

    def test_entries_are_in_the_words_of_add(self) -> None:
        table = filled()
        end = ms() + DAY
        given: list[dict[str, Any]] = [
            {"kind": "session", "id": "é", "tenant_id": TENANT, "user_id": USER},
            {"kind": "user", "tenant_id": TENANT, "user_id": USER, "except_session": "s"},
            {"kind": "tenant", "tenant_id": OTHER},
            {"kind": "token", "id": "x" * 96},
            {"kind": "everything"},
        ]
        for each in given:
            table.add(at=5, ends_at=end, **each)
            table.add(at=7, ends_at=end - 1, **each)
        table.add("token", at=1, ends_at=ms() - 1, id="ended")
        rest = dict.fromkeys(("tenant_id", "user_id", "id", "except_session"))
        expected = [{**rest, "at": 7, "ends_at": end, **each} for each in given]
        found = table.entries()
        assert sorted(found, key=kind_of) == sorted(expected, key=kind_of)
        copy = filled()
        for each in found:
            copy.add(**each)
        assert sorted(copy.entries(), key=kind_of) == sorted(found, key=kind_of)

    def test_a_full_table_widens_and_says_refresh_first(self) -> None:
        table = filled(slots=16)
        keyring = keyring_of(table)
        sessions = [uuid7(ms() - 5000) for _ in range(200)]
        tokens = [signed(keyring, sid=each) for each in sessions]
        for each in sessions:
            table.add(
                "session", at=ms(), ends_at=ms() + DAY, id=each, tenant_id=TENANT, user_id=USER
            )
        reasons = [reason(keyring, each) for each in tokens]
        assert set(reasons) == {"refresh_first", "token_revoked"}
        assert table.status()["widened"] == 1
        assert all(each["kind"] == "session" for each in table.entries())
        assert reason(keyring, signed(keyring, user_id=ACTOR)) is None
        _core.shift_clock(2, 2)
        assert reason(keyring, signed(keyring, sid=sessions[0], iat=int(_core.now()))) is None

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ({"kind": "host"}, "kind"),
            ({"kind": 7}, "kind"),
            ({"kind": "everything", "at": -1}, "at"),
            ({"kind": "everything", "at": 1.5}, "integer"),
            ({"kind": "everything", "ends_at": 2**60}, "ends_at"),
            ({"kind": "everything", "id": "x"}, "everything"),
            ({"kind": "session"}, "session"),
            ({"kind": "session", "id": "x" * 97}, "session"),
            ({"kind": "session", "id": 7}, "id"),
            ({"kind": "user", "tenant_id": TENANT}, "user"),
            ({"kind": "user", "tenant_id": TENANT, "user_id": "x"}, "user_id"),
            ({"kind": "tenant", "tenant_id": b"x"}, "tenant_id"),
            ({"kind": "token", "id": ""}, "token"),
        ],
    )
    def test_wrong_arguments_of_add_are_named(self, arguments: dict[str, Any], named: str) -> None:
        table = filled()
        with pytest.raises((TypeError, ValueError), match=named):
            table.add(**{"at": 1, "ends_at": 2**50, **arguments})
        assert table.entries() == []

    def test_wrong_arguments_of_others_are_named(self) -> None:
        table = filled()
        calls: list[tuple[str, Any]] = [
            ("slots", lambda: Revocations("x", slots=15)),
            ("slots", lambda: Revocations("x", slots=2**21)),
            ("name", lambda: Revocations(7)),  # type: ignore[arg-type]
            ("directory", lambda: Revocations("x", directory="a\0b")),
            ("token_max_ms", lambda: Revocations("x", token_max_ms=0)),
            ("silent_max_ms", lambda: Revocations("x", silent_max_ms=-1)),
            ("tenant_id", lambda: table.check(None, USER, None, None, None)),  # type: ignore[arg-type]
            ("user_id", lambda: table.check(TENANT, "x", None, None, None)),
            ("session_id", lambda: table.check(TENANT, USER, 7, None, None)),  # type: ignore[arg-type]
            ("jti", lambda: table.check(TENANT, USER, None, 7, None)),  # type: ignore[arg-type]
            ("issued_at", lambda: table.check(TENANT, USER, None, None, "7")),  # type: ignore[arg-type]
            ("digest", lambda: table.check(TENANT, USER, None, None, None, b"x")),
            ("position", lambda: table.mark_filled("x" * 257)),
            ("position", lambda: table.mark_filled(7)),  # type: ignore[arg-type]
            ("waived", lambda: table.waive(1)),  # type: ignore[arg-type]
            ("revocations", lambda: keyring_of("x")),  # type: ignore[arg-type]
        ]
        for named, call in calls:
            with pytest.raises((TypeError, ValueError), match=named):
                call()

    def test_a_closed_table_takes_nothing(self) -> None:
        table = filled()
        table.close()
        table.close()
        for call in (
            lambda: table.add("everything", at=1, ends_at=2),
            lambda: table.mark_filled("2"),
            table.entries,
        ):
            with pytest.raises(ValueError, match=r"^it is closed$"):
                call()
        assert table.lead() is False

    def test_where_no_memory_can_be_shared_the_table_is_of_the_process(
        self, tmp_path: Path
    ) -> None:
        table = Revocations("tests", slots=16, directory=str(tmp_path / "none"))
        status = table.status()
        assert status["path"] is None
        assert status["not_shared_because"] == os.strerror(2)


class TestProcesses:
    def test_a_writer_that_is_killed_keeps_nobody_from_writing(self, tmp_path: Path) -> None:
        program = textwrap.dedent(
            """
            import sys, time
            from flask_tenant_auth._core import Revocations
            table = Revocations("killed", slots=64, directory=sys.argv[1])
            tenant = "00000000-0000-4000-8000-000000000001"
            print("on", flush=True)
            number = 0
            while True:
                number += 1
                user = f"00000000-0000-4000-8000-{number % 7:012}"
                table.add("session", at=int(time.time() * 1000), ends_at=2**50,
                          id=f"{sys.argv[2]} {number}",
                          tenant_id=tenant, user_id=user)
            """
        )
        table = Revocations("killed", slots=64, directory=str(tmp_path))
        table.mark_filled("1")
        session = uuid7(ms() - 1000)
        table.add("tenant", at=ms(), ends_at=ms() + DAY, tenant_id=TENANT)
        for round_ in range(20):
            writer = subprocess.Popen(
                [sys.executable, "-c", program, str(tmp_path), str(round_)],
                stdout=subprocess.PIPE,
            )
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"on\n"
            time.sleep(0.01 + round_ / 2000)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            writer.stdout.close()
            started = time.monotonic()
            table.add("token", at=ms(), ends_at=ms() + DAY, id=f"after {round_}")
            assert time.monotonic() - started < 20
            found = table.check(OTHER, USER, None, f"after {round_}", 1.0)
            assert found in ("token_revoked", "refresh_first")
            assert table.check(TENANT, USER, session, None, 1.0) == "token_revoked"

    def test_threads_may_add_at_the_same_time(self) -> None:
        table = filled()
        errors: list[BaseException] = []

        def add(number: int) -> None:
            try:
                for each in range(200):
                    table.add("token", at=ms(), ends_at=2**50, id=f"{number} {each}")
            except BaseException as error:  # noqa: BLE001
                errors.append(error)

        threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert table.check(TENANT, USER, None, "3 199", 1.0) is not None


class TestCalledIdentities:
    def identities(self, table: Revocations, actor: str | None = None) -> Any:
        decoder = keyring_of(table, without_identity=True)
        return CalledIdentities(
            decoder,
            lambda claims: Identity(TENANT, claims["sub"], actor=actor),
            _core.DEFAULT_ROLES,
            None,
            table,
        )

    def signed(self, **more: Any) -> str:
        return signed(keyring_of(None), tenant_id=None, user_id=None, sub=USER, **more)

    @pytest.mark.parametrize("by", ["user", "actor", "tenant", "session", "jti", "digest"])
    def test_the_identity_that_results_is_looked_up(self, by: str) -> None:
        table = filled()
        identities = self.identities(table, ACTOR if by == "actor" else None)
        token = self.signed(sid="s", jti=None if by == "digest" else "j")
        assert isinstance(identities.verify(token), Identity)
        assert isinstance(identities.decode(token), dict)
        text = urlsafe_b64encode(digest_of(token)).rstrip(b"=").decode()
        named: dict[str, dict[str, Any]] = {
            "user": {"kind": "user", "tenant_id": TENANT, "user_id": USER},
            "actor": {"kind": "user", "tenant_id": TENANT, "user_id": ACTOR},
            "tenant": {"kind": "tenant", "tenant_id": TENANT},
            "session": {"kind": "session", "id": "s"},
            "jti": {"kind": "token", "id": "j"},
            "digest": {"kind": "token", "id": f"sha256:{text}"},
        }
        table.add(at=ms(), ends_at=ms() + DAY, **named[by])
        for judged in (identities.verify(token), identities.decode(token.encode())):
            assert judged is INVALID_TOKENS["token_revoked"]

    def test_lives_that_are_too_long_are_denied(self) -> None:
        now = int(_core.now())
        judged = self.identities(filled()).verify(self.signed(iat=now, exp=now + 90_000))
        assert judged is INVALID_TOKENS["lives_too_long"]

    def test_a_table_that_is_not_filled_denies(self) -> None:
        table = Revocations("tests", slots=64, shared=False)
        judged = self.identities(table).verify(self.signed())
        assert judged is INVALID_TOKENS["revocations_unknown"]
