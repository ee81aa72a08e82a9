"""Sessions in an app: begun, refreshed, listed, and what each failure is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from apps import OTHER_USER, TENANT, USER, bare_app, error_of
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    Identity,
    SessionsUnavailable,
    TenantAuth,
    create_jwt_token,
    create_session,
    decode_jwt_token,
    list_sessions,
    refresh_session,
    revoke_everything,
    revoke_session,
    revoke_tenant,
    revoke_token,
    revoke_user,
)
from flask_tenant_auth.sessions.store import StoreUnavailable
from flask_tenant_auth.signals import session_created, session_refreshed, session_reused
from session_apps import ask, begin, live_state, refresh, session_app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = session_app(tmp_path)
    with app.app_context():
        yield app


class TestBegin:
    def test_a_session_has_an_access_token_of_minutes(self, app: Flask) -> None:
        tokens = begin(app, role="admin", permissions=["a:b"], claims={"plan": "gold"})
        claims = decode_jwt_token(tokens.access_token)
        assert claims["sid"] == tokens.session_id
        assert claims["plan"] == "gold"
        assert claims["permissions"] == ["a:b"]
        assert 0.95 * 15 * 60 - 1 <= tokens.expires_in <= 15 * 60
        assert claims["exp"] - claims["iat"] == tokens.expires_in
        answer = ask(app.test_client(), tokens.access_token)
        assert answer.get_json() == {"user": USER, "role": "admin", "session": tokens.session_id}

    def test_each_token_has_an_id_of_its_own(self, app: Flask) -> None:
        one = begin(app)
        two = refresh_session(one.refresh_token)
        ids = {decode_jwt_token(each.access_token)["jti"] for each in (one, two)}
        assert len(ids) == 2

    def test_tokens_of_one_minute_end_in_different_seconds(self, app: Flask) -> None:
        assert len({begin(app).expires_in for _ in range(12)}) > 1

    def test_no_token_outlives_its_session(self, tmp_path: Path) -> None:
        app = session_app(tmp_path, AUTH_SESSION_MAX_DAYS=1, AUTH_SESSION_DAYS=0.5)
        app.config["AUTH_ACCESS_MINUTES"] = 15
        tokens = begin(app)
        store = live_state(app).session_store
        assert store is not None
        row = store.read(tokens.session_id).session
        assert row is not None
        with app.app_context():
            exp = decode_jwt_token(tokens.access_token)["exp"]
        assert exp * 1000 <= min(row.expires_at, row.ends_at) + 1000

    @pytest.mark.parametrize("claims", [{"sid": "x"}, {"jti": "x"}, {"exp": 1}, {"tenant_id": "x"}])
    def test_a_reserved_claim_is_refused(self, app: Flask, claims: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(claims))):
            begin(app, claims=claims)

    def test_the_list_shows_the_device_and_no_secret(self, app: Flask) -> None:
        begin(app, device="Ann's phone")
        tokens = begin(app, device="Ann's laptop")
        begin(app, user=OTHER_USER)
        listed = list_sessions(TENANT, USER)
        assert [each.device for each in listed] == ["Ann's laptop", "Ann's phone"]
        assert listed[0].id == tokens.session_id
        assert tokens.refresh_token not in repr(listed)
        assert "salt" not in repr(listed)

    def test_the_first_sessions_of_a_user_end_when_there_are_too_many(self, tmp_path: Path) -> None:
        app = session_app(tmp_path, AUTH_SESSIONS_PER_USER=2)
        made = [begin(app) for _ in range(3)]
        begin(app, user=OTHER_USER)
        client = app.test_client()
        assert [ask(client, each.access_token).status_code for each in made] == [401, 200, 200]
        assert refresh(client, made[0].refresh_token).status_code == 401


class TestRefresh:
    def test_a_repeated_refresh_gets_the_same_successor(self, app: Flask) -> None:
        first = begin(app)
        again = {refresh_session(first.refresh_token).refresh_token for _ in range(3)}
        assert len(again) == 1
        assert again != {first.refresh_token}

    def test_of_simultaneous_refreshes_one_moves_the_counter(self, app: Flask) -> None:
        first = begin(app)
        barrier = threading.Barrier(12)

        def at_once(_number: int) -> str:
            barrier.wait()
            with app.app_context():
                return refresh_session(first.refresh_token).refresh_token

        with ThreadPoolExecutor(12) as pool:
            assert len(set(pool.map(at_once, range(12)))) == 1
        store = live_state(app).session_store
        assert store is not None
        row = store.read(first.session_id).session
        assert row is not None
        assert row.counter == 2

    def test_an_older_token_within_its_grace_is_denied_and_ends_nothing(self, app: Flask) -> None:
        first = begin(app)
        second = refresh_session(first.refresh_token)
        third = refresh_session(second.refresh_token)
        answer = refresh(app.test_client(), first.refresh_token)
        assert error_of(answer) == (401, "The session is being refreshed, try again")
        assert answer.headers["Retry-After"] == "1"
        refresh_session(third.refresh_token)

    @pytest.mark.parametrize(
        ("refreshes", "reason"), [(1, "late_predecessor"), (3, "session_reused")]
    )
    def test_a_used_token_ends_the_session(
        self, tmp_path: Path, refreshes: int, reason: str
    ) -> None:
        app = session_app(tmp_path, AUTH_REFRESH_GRACE_SECONDS=0)
        first = begin(app)
        told = []

        def remember(_app: object, session: Any, reason: str) -> None:
            told.append((session.id, reason))

        with app.app_context(), session_reused.connected_to(remember):
            last = first
            for _ in range(refreshes):
                last = refresh_session(last.refresh_token)
            with pytest.raises(AuthError, match="Session ended") as caught:
                refresh_session(first.refresh_token)
            assert caught.value.reason == reason
            assert told == [(first.session_id, reason)]
            with pytest.raises(AuthError) as caught:
                refresh_session(last.refresh_token)
            assert caught.value.reason == "session_ended"
        assert ask(app.test_client(), last.access_token).status_code == 401

    def test_a_session_may_have_a_grace_of_its_own(self, tmp_path: Path) -> None:
        app = session_app(tmp_path, AUTH_REFRESH_GRACE_SECONDS=0)
        first = begin(app, grace=300)
        with app.app_context():
            one, two = (refresh_session(first.refresh_token) for _ in range(2))
        assert one.refresh_token == two.refresh_token

    @pytest.mark.parametrize("grace", [-1, 3601, float("nan"), "5", True])
    def test_a_grace_out_of_range_is_refused(self, app: Flask, grace: Any) -> None:
        with pytest.raises((ValueError, TypeError), match="grace"):
            begin(app, grace=grace)

    def test_odd_tokens_ask_no_store_and_end_nothing(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tokens = begin(app)
        head, counter, mac = tokens.refresh_token.split(".")
        state = live_state(app)
        asked = []

        def fail(*arguments: object) -> None:
            asked.append(arguments)
            raise AssertionError("the store was asked")

        with monkeypatch.context() as patched:
            patched.setattr(type(state.session_store), "read", fail)
            for odd in [
                *("", "x", tokens.access_token, f"{tokens.refresh_token}.", f"{head}..{mac}"),
                *(f"{head}.{odd}.{mac}" for odd in ("01", "+1", "-1", "0", str(2**64), "١")),  # noqa: RUF001
                *(f"{head}.{counter}.{mac[:-1]}", f"{head.upper()}.{counter}.{mac}"),
            ]:
                with pytest.raises(AuthError) as caught:
                    refresh_session(odd)
                assert caught.value.code == 401
        assert not asked
        # Nor is a refresh token an access token.
        assert ask(app.test_client(), tokens.refresh_token).status_code == 401
        refresh_session(tokens.refresh_token)

    def test_a_forged_token_ends_nothing(
        self, app: Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        tokens = begin(app)
        head, counter, _mac = tokens.refresh_token.split(".")
        with pytest.raises(AuthError) as caught:
            refresh_session(f"{head}.{int(counter) + 1}.{'A' * 43}")
        assert caught.value.reason == "refresh_token_mismatch"
        refresh_session(tokens.refresh_token)

    def test_a_retired_key_goes_on_and_a_refresh_signs_anew(self, tmp_path: Path) -> None:
        old, new = "o" * 32, "n" * 32
        first = begin(session_app(tmp_path, AUTH_SESSION_KEY=old))
        both = session_app(tmp_path, AUTH_SESSION_KEY=[new, old])
        with both.app_context():
            second = refresh_session(first.refresh_token)
        with session_app(tmp_path, AUTH_SESSION_KEY=new).app_context():
            third = refresh_session(second.refresh_token)
            assert third.session_id == first.session_id
            with pytest.raises(AuthError) as caught:
                refresh_session(first.refresh_token)
        assert caught.value.reason == "refresh_token_mismatch"

    def test_an_unknown_session_is_logged_with_a_hint(
        self, app: Flask, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "other").mkdir()
        stranger = begin(session_app(tmp_path / "other"))
        with caplog.at_level(logging.WARNING), pytest.raises(AuthError) as caught:
            refresh_session(stranger.refresh_token)
        assert caught.value.reason == "session_unknown"

    def test_signals_tell_of_the_session(self, app: Flask) -> None:
        told: list[tuple[str, str]] = []

        def began(_app: object, session: Any) -> None:
            told.append(("created", session.id))

        def went_on(_app: object, session: Any) -> None:
            told.append(("refreshed", session.id))

        with session_created.connected_to(began), session_refreshed.connected_to(went_on):
            tokens = begin(app)
            refresh_session(tokens.refresh_token)
        assert told == [("created", tokens.session_id), ("refreshed", tokens.session_id)]


class TestLoader:
    def made(self, folder: Path, said: Any) -> Flask:
        """An app whose loader alone turns sessions on, after the app was set up."""
        app = bare_app()
        app.instance_path = str(folder)
        TenantAuth(app).session_loader(lambda _session: said)
        return app

    @pytest.mark.parametrize(
        ("said", "role"),
        [
            ("admin", "admin"),
            ({"role": "admin"}, "admin"),
            ({}, "user"),
            (Identity(TENANT, USER, "admin"), "admin"),
        ],
    )
    def test_it_says_the_role_of_the_next_token(self, tmp_path: Path, said: Any, role: str) -> None:
        app = self.made(tmp_path, said)
        with app.app_context():
            tokens = refresh_session(create_session(TENANT, USER).refresh_token)
            assert decode_jwt_token(tokens.access_token)["role"] == role

    def test_a_user_who_is_gone_has_no_session(self, tmp_path: Path) -> None:
        app = self.made(tmp_path, None)
        with app.app_context():
            tokens = create_session(TENANT, USER)
            for reason in ("not_granted", "session_ended"):
                with pytest.raises(AuthError) as caught:
                    refresh_session(tokens.refresh_token)
                assert caught.value.reason == reason

    @pytest.mark.parametrize(
        ("said", "named"),
        [
            ("root", "session_loader"),
            (7, "session_loader"),
            ({"roles": "user"}, "session_loader"),
            (Identity(TENANT, OTHER_USER), "session_loader"),
            ({"role": None}, "session_loader"),
            ({"permissions": None}, "permissions"),
            ({"permissions": "reports:read"}, "permissions"),
            ({"permissions": [None]}, "permissions"),
            ({"claims": {"sid": "mine"}}, "sid"),
        ],
    )
    def test_what_it_must_not_return_is_a_fault_of_the_app(
        self, tmp_path: Path, said: Any, named: str
    ) -> None:
        app = self.made(tmp_path, said)
        with app.app_context():
            tokens = create_session(TENANT, USER)
            with pytest.raises((TypeError, ValueError), match=named):
                refresh_session(tokens.refresh_token)

    def test_it_may_be_registered_before_the_app(self, tmp_path: Path) -> None:
        auth = TenantAuth()
        auth.session_loader(lambda _session: "admin")
        app = bare_app()
        app.instance_path = str(tmp_path)
        auth.init_app(app)
        with app.app_context():
            tokens = refresh_session(create_session(TENANT, USER).refresh_token)
            assert decode_jwt_token(tokens.access_token)["role"] == "admin"

    @pytest.mark.parametrize("wrong", [None, 7, "f"])
    def test_it_must_be_a_function(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="session_loader"):
            TenantAuth().session_loader(wrong)

        async def loader(_session: object) -> None:
            """Would never be awaited."""

        with pytest.raises(TypeError, match="session_loader"):
            TenantAuth().session_loader(loader)


class TestOff:
    @pytest.mark.parametrize(
        "call",
        [
            lambda: create_session(TENANT, USER),
            lambda: refresh_session("x"),
            lambda: list_sessions(TENANT, USER),
            lambda: revoke_session("x"),
            lambda: revoke_user(TENANT, USER),
            lambda: revoke_tenant(TENANT),
            lambda: revoke_everything(),
            lambda: revoke_token(create_jwt_token(TENANT, USER)),
        ],
    )
    def test_without_sessions_each_function_says_how_to_turn_them_on(
        self, tmp_path: Path, call: Any
    ) -> None:
        app = bare_app()
        app.instance_path = str(tmp_path / "instance")
        TenantAuth(app)
        before = set(threading.enumerate())  # some of them may end meanwhile
        with app.app_context(), pytest.raises(ConfigurationError, match="session_loader"):
            call()
        assert set(threading.enumerate()) <= before
        assert not Path(app.instance_path).exists()


class TestStoreAway:
    @pytest.fixture
    def away(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
        self.tokens = begin(app)
        store = live_state(app).session_store

        def fail(*_arguments: object, **_named: object) -> None:
            raise StoreUnavailable("nobody answers")

        for name in ("now", "create", "read", "advance", "revoke", "sessions"):
            monkeypatch.setattr(type(store), name, fail)
        return app

    @pytest.mark.parametrize(
        "call",
        [
            lambda _tokens: create_session(TENANT, USER),
            lambda tokens: refresh_session(tokens.refresh_token),
            lambda _tokens: list_sessions(TENANT, USER),
            lambda tokens: revoke_session(tokens.session_id),
            lambda _tokens: revoke_user(TENANT, USER),
            lambda tokens: revoke_token(tokens.access_token),
        ],
    )
    def test_it_is_a_503_and_never_a_success(self, away: Flask, call: Any) -> None:
        with pytest.raises(SessionsUnavailable) as caught:
            call(self.tokens)
        assert caught.value.code == 503
        assert dict(caught.value.headers)["Retry-After"] == "2"

    def test_valid_access_tokens_go_on(self, away: Flask) -> None:
        assert ask(away.test_client(), self.tokens.access_token).status_code == 200
