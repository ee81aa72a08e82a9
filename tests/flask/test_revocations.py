"""What is revoked is refused, on this host at once, and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from apps import OTHER_TENANT, OTHER_USER, TENANT, USER, error_of, token
from flask_tenant_auth import (
    AuthError,
    create_jwt_token,
    create_session,
    list_sessions,
    refresh_session,
    revoke_everything,
    revoke_session,
    revoke_tenant,
    revoke_token,
    revoke_user,
)
from flask_tenant_auth.sessions.store import StoreUnavailable
from flask_tenant_auth.signals import sessions_revoked
from session_apps import ask, begin, live_state, refresh, session_app
from waiting import until


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = session_app(tmp_path)
    with app.app_context():
        yield app


def test_a_revoked_session_is_refused_and_others_go_on(app: Flask) -> None:
    one, two, client = begin(app), begin(app), app.test_client()
    assert ask(client, one.access_token).status_code == 200
    revoke_session(one.session_id)
    assert error_of(ask(client, one.access_token)) == (401, "Token revoked")
    assert error_of(refresh(client, one.refresh_token)) == (401, "Session ended")
    assert ask(client, two.access_token).status_code == 200
    assert [each.id for each in list_sessions(TENANT, USER)] == [two.session_id]


def test_a_session_is_revoked_by_its_id_in_any_case(app: Flask) -> None:
    one, client = begin(app), app.test_client()
    revoke_session(one.session_id.upper())
    assert error_of(ask(client, one.access_token)) == (401, "Token revoked")
    assert error_of(refresh(client, one.refresh_token)) == (401, "Session ended")


@pytest.mark.parametrize(
    ("revoke", "refused"),
    [
        (lambda: revoke_user(TENANT, USER), [True, False, False]),
        (lambda: revoke_tenant(TENANT), [True, True, False]),
        (revoke_everything, [True, True, True]),
    ],
)
def test_all_tokens_of_now_are_refused(app: Flask, revoke: Any, refused: list[bool]) -> None:
    whose = [(TENANT, USER), (TENANT, OTHER_USER), (OTHER_TENANT, USER)]
    sessions = [create_session(*each) for each in whose]
    plain = [create_jwt_token(*each) for each in whose]
    client = app.test_client()
    assert {ask(client, each).status_code for each in plain} == {200}
    time.sleep(1.1)  # iat counts in seconds
    revoke()
    for made in (plain, [each.access_token for each in sessions]):
        assert [ask(client, each).status_code == 401 for each in made] == refused
    refreshed = [refresh(client, each.refresh_token).status_code == 401 for each in sessions]
    assert refreshed == refused


def test_a_log_in_in_the_very_millisecond_of_a_revocation_works(app: Flask) -> None:
    client = app.test_client()
    for _ in range(30):
        before = begin(app)
        revoke_user(TENANT, USER)
        after = begin(app)
        assert ask(client, before.access_token).status_code == 401
        assert ask(client, after.access_token).status_code == 200
        assert refresh(client, after.refresh_token).status_code == 200


def test_one_session_may_be_spared(app: Flask) -> None:
    one, two, client = begin(app), begin(app), app.test_client()
    revoke_user(TENANT, USER, except_session=one.session_id)
    assert ask(client, one.access_token).status_code == 200
    assert refresh(client, one.refresh_token).status_code == 200
    assert ask(client, two.access_token).status_code == 401
    assert refresh(client, two.refresh_token).status_code == 401


@pytest.mark.parametrize("jti", ["an-id", None, "x" * 200, "key:aaaaaaaaaaaaaaaa", "sha256:x"])
def test_one_token_is_refused_by_its_id_or_its_digest(app: Flask, jti: str | None) -> None:
    client = app.test_client()
    one, two = token(jti=jti, n=1), token(jti="another" if jti else None, n=2)
    revoke_token(one)
    revoke_token(one)
    assert error_of(ask(client, one)) == (401, "Token revoked")
    assert ask(client, two).status_code == 200


def test_a_token_that_the_app_does_not_accept_cannot_be_revoked(app: Flask) -> None:
    with pytest.raises(AuthError, match="Invalid token"):
        revoke_token("x.y.z")
    revoke_token(token(exp=int(time.time()) - 100))  # nothing is to be done


def test_a_token_without_a_time_is_refused_while_something_around_it_is_revoked(app: Flask) -> None:
    client = app.test_client()
    timeless, early = token(iat=None), token(iat=int(time.time()) + 30)
    assert ask(client, timeless).status_code == 200
    revoke_user(TENANT, USER)
    assert ask(client, timeless).status_code == 401
    assert ask(client, early).status_code == 401
    assert ask(client, token(user_id=OTHER_USER, iat=None)).status_code == 200


def test_a_token_that_lives_longer_than_revocations_do_is_refused(app: Flask) -> None:
    client, day = app.test_client(), 86400
    assert ask(client, token(exp=int(time.time()) + day - 60)).status_code == 200
    assert ask(client, token(exp=int(time.time()) + 2 * day)).status_code == 401


def test_a_revocation_that_the_store_does_not_take_is_no_success(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, client = begin(app), app.test_client()
    store = live_state(app).session_store

    def fail(*_arguments: object) -> None:
        raise StoreUnavailable("nobody answers")

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "revoke", fail)
        with pytest.raises(AuthError) as caught:
            revoke_session(tokens.session_id)
    assert caught.value.code == 503
    assert ask(client, tokens.access_token).status_code == 200
    revoke_session(tokens.session_id)  # the positive control
    assert ask(client, tokens.access_token).status_code == 401


def test_two_apps_of_one_store_learn_of_each_other(tmp_path: Path) -> None:
    one, two = session_app(tmp_path), session_app(tmp_path)
    tokens = begin(one)
    client = two.test_client()
    assert ask(client, tokens.access_token).status_code == 200
    with one.app_context():
        revoke_session(tokens.session_id)
    until(lambda: ask(client, tokens.access_token).status_code != 200, "the revocation")
    assert refresh(client, tokens.refresh_token).status_code == 401


def test_what_was_revoked_before_the_app_began_is_refused(tmp_path: Path) -> None:
    tokens = begin(session_app(tmp_path))
    with session_app(tmp_path).app_context():
        revoke_session(tokens.session_id)
    assert ask(session_app(tmp_path).test_client(), tokens.access_token).status_code == 401


@pytest.mark.parametrize(("policy", "status"), [("allow", 200), ("deny", 503)])
def test_a_store_that_cannot_be_read_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, status: int
) -> None:
    app = session_app(tmp_path, AUTH_ON_REVOCATION_ERROR=policy)

    def fail(*_arguments: object) -> None:
        raise StoreUnavailable("nobody answers")

    store = live_state(app).session_store
    began = time.monotonic()
    with monkeypatch.context() as patched:
        patched.setattr(type(store), "changes", fail)
        answer = ask(app.test_client(), token())
        assert answer.status_code == status
        assert time.monotonic() - began > 1.5
        if status == 503:
            assert answer.headers["Retry-After"] == "2"
    until(lambda: ask(app.test_client(), token()).status_code == 200, "a request that passes")


def test_a_signal_tells_what_was_revoked(app: Flask) -> None:
    told: list[dict[str, Any]] = []

    def remember(_app: object, **what: Any) -> None:
        told.append(what)

    tokens = begin(app)
    with sessions_revoked.connected_to(remember):
        revoke_session(tokens.session_id)
        revoke_user(TENANT, USER)
    names = {"tenant_id": TENANT, "user_id": USER}
    assert told == [
        {"kind": "session", "session_id": tokens.session_id, **names},
        {"kind": "user", "session_id": None, **names},
    ]


class TestCommands:
    def run(self, app: Flask, *words: str, **options: Any) -> Any:
        return app.test_cli_runner().invoke(args=["auth", *words], **options)

    def test_sessions_are_listed_and_revoked(self, app: Flask) -> None:
        tokens = begin(app, device="a phone")
        listed = self.run(app, "sessions", TENANT, USER).output
        assert tokens.session_id in listed
        assert "a phone" in listed
        assert self.run(app, "revoke", "session", tokens.session_id).exit_code == 0
        assert self.run(app, "sessions", TENANT, USER).output == ""
        assert ask(app.test_client(), tokens.access_token).status_code == 401

    def test_a_user_a_tenant_a_token_and_everything(self, app: Flask) -> None:
        for words, options in (
            (["user", TENANT, USER], {}),
            (["tenant", TENANT], {}),
            (["token", "-"], {"input": True}),
            (["everything"], {"input": "y\n"}),
        ):
            tokens = begin(app)
            if options.get("input") is True:
                options = {"input": tokens.access_token + "\n"}
            result = self.run(app, "revoke", *words, **options)
            assert result.exit_code == 0, result.output
            assert ask(app.test_client(), tokens.access_token).status_code == 401, words

    def test_what_is_wrong_is_told(self, app: Flask) -> None:
        result = self.run(app, "revoke", "user", "x", USER)
        assert result.exit_code == 1
        assert "tenant_id" in result.output
        assert self.run(app, "revoke", "everything", input="n\n").exit_code == 1

    def test_check_shows_the_store_and_the_table(self, app: Flask) -> None:
        revoke_user(TENANT, USER)
        output = self.run(app, "check").output
        assert "store=sqlite:///" in output
        assert "revocations=1 of " in output


def test_a_refreshed_session_after_its_user_was_revoked_is_none(app: Flask) -> None:
    tokens = begin(app)
    revoke_user(TENANT, USER)
    with pytest.raises(AuthError) as caught:
        refresh_session(tokens.refresh_token)
    assert caught.value.reason == "session_ended"
