"""API keys: made, sent with requests, limited, and ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from apps import OTHER_TENANT, OTHER_USER, TENANT, USER, bearer, error_of, make_app, token
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    Identity,
    _core,
    acting_as,
    create_api_key,
    create_jwt_token,
    current_identity,
    list_api_keys,
    rate_limit,
    revoke_api_key,
    verify_permission,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.errors import SessionsUnavailable
from flask_tenant_auth.flask.sessions import create_session
from flask_tenant_auth.flask.state import AppState
from flask_tenant_auth.sessions.api_keys import ApiKeyDenied, ApiKeys
from flask_tenant_auth.sessions.store import ApiKey, Revocation, StoreUnavailable
from flask_tenant_auth.sessions.stores import store_of

AWAY = StoreUnavailable("away")


class Store:
    """A store of sessions that can be away, and counts how often it is asked for a key."""

    def __init__(self, path: Path) -> None:
        self._store = store_of(f"sqlite:///{path}", "")
        self.away = False
        self.asked = 0
        self.while_reading: Any = lambda: None

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise AWAY
        return getattr(self._store, name)

    def describe(self) -> str:
        return self._store.describe()

    def read_key(self, key_id: str) -> tuple[int, ApiKey | None, int]:
        self.asked += 1
        if self.away:
            raise AWAY
        answer = self._store.read_key(key_id)
        self.while_reading()
        return answer


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "sessions.db")


@pytest.fixture
def app(store: Store) -> Flask:
    return app_with(store)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    yield
    _core.reset_clock()


def state_of(app: Flask) -> AppState:
    state: AppState = app.extensions["tenant_auth"]
    return state


def app_with(store: Any, **config: Any) -> Flask:
    # A cached answer is used for this long where there is no table of revocations.
    app = make_app(AUTH_REVOCATION_MAX_DELAY_SECONDS=60, **config)
    state_of(app).session_store = store

    @app.get("/who")
    @verify_tenant_context
    def who() -> dict[str, Any]:
        me = current_identity
        return {
            "tenant": me.tenant_id,
            "user": me.user_id,
            "role": me.role,
            "permissions": sorted(me.permissions),
            "claims": dict(me.claims),
            "session": me.session_id,
            "key": me.api_key_id,
            "source": me.source,
            "expires_at": me.expires_at,
        }

    @app.get("/admin")
    @verify_role("admin")
    def admin() -> str:
        return ""

    @app.get("/write")
    @verify_permission("accounts:write")
    def write() -> str:
        return ""

    @app.get("/two")
    @verify_tenant_context
    @rate_limit("2 per hour")
    def two() -> str:
        return ""

    @app.get("/tenant")
    @verify_tenant_context
    @rate_limit("3 per hour", per="tenant")
    def tenant() -> str:
        return ""

    @app.post("/session")
    def session() -> dict[str, str]:
        with acting_as(TENANT, OTHER_USER):
            return {"id": create_session(TENANT, USER).session_id}

    @app.post("/key")
    @verify_tenant_context
    def key() -> dict[str, str]:
        return {"id": create_api_key(TENANT, USER, "user", name="another").id}

    return app


def make(
    app: Flask, tenant: str = TENANT, user: str = USER, role: str = "user", **more: Any
) -> Any:
    with app.app_context():
        return create_api_key(tenant, user, role, **({"name": "robot"} | more))


def get(app: Flask, key: str, path: str = "/who", method: str = "GET") -> TestResponse:
    return app.test_client().open(path, method=method, headers={"Authorization": f"Bearer {key}"})


def revoke(app: Flask, key_id: str) -> bool:
    with app.app_context():
        return revoke_api_key(TENANT, key_id)


class TestAKey:
    def test_is_the_identity_that_it_was_made_for(self, app: Flask) -> None:
        made = make(app, role="admin", permissions=["accounts:write"])
        assert get(app, made.key).get_json() == {
            "tenant": TENANT,
            "user": USER,
            "role": "admin",
            "permissions": ["accounts:write"],
            "claims": {},
            "session": None,
            "key": made.id,
            "source": "api_key",
            "expires_at": None,
        }

    def test_reaches_what_its_role_and_its_permissions_reach(self, app: Flask) -> None:
        user = make(app, permissions=["accounts:write"]).key
        admin = make(app, role="admin").key
        assert (get(app, user, "/write").status_code, get(app, user, "/admin").status_code) == (
            200,
            403,
        )
        assert (get(app, admin, "/write").status_code, get(app, admin, "/admin").status_code) == (
            403,
            200,
        )

    def test_is_kept_as_a_hash(self, app: Flask, tmp_path: Path) -> None:
        made = make(app)
        secret = made.key.split("_")[2]
        kept = b"".join(each.read_bytes() for each in tmp_path.iterdir())
        assert made.id.encode() in kept
        assert secret[:40].encode() not in kept

    def test_is_read_whatever_the_case_of_the_scheme(self, app: Flask) -> None:
        key = make(app).key
        for header in (f"bearer {key}", f"BEARER   {key} "):
            response = app.test_client().get("/who", headers={"Authorization": header})
            assert response.status_code == 200, header
        response = app.test_client().get("/who", headers={"Authorization": f"Basic {key}"})
        assert response.status_code == 401

    def test_of_a_role_that_the_app_has_no_longer_is_denied(self, app: Flask, store: Store) -> None:
        made = make(app, role="admin")
        other = app_with(store, AUTH_ROLES="user,owner")
        assert error_of(get(other, made.key)) == (401, "Invalid token")

    def test_leaves_tokens_as_they_are(self, app: Flask, store: Store) -> None:
        assert app.test_client().get("/who", headers=bearer()).get_json()["source"] == "token"
        assert store.asked == 0


class TestDeniedKeys:
    def test_malformed_ones_ask_no_store(self, app: Flask, store: Store) -> None:
        key = make(app).key
        wrong = [
            *(key[:-1], key + "a", key.upper(), key.replace("fta_", "fta_ "), "fta_", "fta_x"),
            *(
                key[:i] + ("a" if key[i] != "a" else "b") + key[i + 1 :]
                for i in (4, 19, 21, 60, 67)
            ),
        ]
        for each in wrong:
            response = app.test_client().get(
                "/who",
                headers={"Authorization": f"Bearer {each}"},
                environ_base={"REMOTE_ADDR": f"192.0.2.{wrong.index(each)}"},
            )
            assert error_of(response) == (401, "Invalid token"), each
        assert store.asked == 0

    def test_an_unknown_one_is_invalid(self, app: Flask, store: Store) -> None:
        assert error_of(get(app, _core.make_api_key()[0])) == (401, "Invalid token")
        assert store.asked == 1

    def test_the_secret_of_another_key_is_invalid_cached_or_not(
        self, app: Flask, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = make(app)
        _, _, digest = _core.make_api_key()
        forged = "flask_tenant_auth.sessions.api_keys.read_api_key"
        monkeypatch.setattr(forged, lambda text: (made.id, digest))
        assert error_of(get(app, made.key)) == (401, "Invalid token")
        assert error_of(get(app, made.key)) == (401, "Invalid token")
        assert store.asked == 1

    def test_an_expired_one_says_so(self, app: Flask) -> None:
        key = make(app, expires=timedelta(milliseconds=1)).key
        threading.Event().wait(0.05)
        assert error_of(get(app, key)) == (401, "Token expired")

    @pytest.mark.parametrize("kind", ["user", "tenant", "everything"])
    def test_a_revocation_around_it_ends_it(self, app: Flask, store: Store, kind: Any) -> None:
        made = make(app)
        assert get(app, made.key).status_code == 200
        state_of(app).revoke(
            Revocation(
                kind=kind,
                tenant_id=None if kind == "everything" else TENANT,
                user_id=USER if kind == "user" else None,
                ends_at=2**45,
            ),
            "revoked",
        )
        assert error_of(get(app, made.key)) == (401, "Token revoked")
        # Also when the store keeps that revocation no longer.
        _, kept, _ = store.read_key(made.id)
        assert kept is not None
        assert kept.ended_at is not None
        later = make(app)
        assert get(app, later.key).status_code == 200

    def test_the_revocation_of_another_user_does_not_end_it(self, app: Flask) -> None:
        made = make(app)
        others = Revocation(kind="user", tenant_id=TENANT, user_id=OTHER_USER, ends_at=2**45)
        state_of(app).revoke(others, "revoked")
        assert get(app, made.key).status_code == 200

    def test_a_missing_store_makes_it_an_ordinary_invalid_token(self) -> None:
        app = make_app()
        app.add_url_rule("/who", "who", verify_tenant_context(lambda: ""))
        assert error_of(get(app, _core.make_api_key()[0])) == (401, "Invalid token")
        with app.app_context(), pytest.raises(ConfigurationError, match="AUTH_SESSION_STORE"):
            create_api_key(TENANT, USER, "user", name="n")


class TestTheCache:
    def test_asks_the_store_once(self, app: Flask, store: Store) -> None:
        key = make(app).key
        assert [get(app, key).status_code for _ in range(5)] == [200] * 5
        assert store.asked == 1

    def test_carries_a_known_key_while_the_store_is_away(self, app: Flask, store: Store) -> None:
        known, unknown = make(app).key, make(app).key
        assert get(app, known).status_code == 200
        store.away = True
        assert get(app, known).status_code == 200
        response = get(app, unknown)
        assert error_of(response)[0] == 503
        assert response.headers["Retry-After"] == "2"

    def test_ends_after_a_minute(self, app: Flask, store: Store) -> None:
        key = make(app).key
        get(app, key)
        _core.shift_clock(0.0, 45.0)
        assert (get(app, key).status_code, store.asked) == (200, 1)
        _core.shift_clock(0.0, 15.5)
        assert (get(app, key).status_code, store.asked) == (200, 2)

    @pytest.mark.parametrize("clock", [(30.0, 0.0), (0.0, 30.0)])
    def test_never_answers_beyond_the_end_of_the_key(
        self, app: Flask, store: Store, clock: tuple[float, float]
    ) -> None:
        """By either clock of this host: then it is for the store to say."""
        key = make(app, expires=timedelta(seconds=20)).key
        assert get(app, key).status_code == 200
        _core.shift_clock(*clock)
        get(app, key)
        assert store.asked == 2

    def test_keeps_no_good_answer_that_a_revocation_has_overtaken(
        self, app: Flask, store: Store
    ) -> None:
        made = make(app)
        store.while_reading = lambda: revoke(app, made.id)
        get(app, made.key)  # was answered before the revocation
        store.while_reading = lambda: None
        assert error_of(get(app, made.key)) == (401, "Token revoked")

    def test_follows_the_table_of_revocations_of_its_host(self, store: Store) -> None:
        """Another host has revoked a key that this one has cached."""
        said: list[str | None] = [None]
        asked: list[tuple[Any, ...]] = []

        def check(*args: Any) -> str | None:
            asked.append(args)
            return said[0]

        keys = ApiKeys(
            store,  # type: ignore[arg-type]
            _core.KeyCache("test", shared=False),
            lambda revocation, reason: None,
            check=check,
            most_delay_ms=1000,
            revocation_kept_ms=1000,
        )
        text, key = keys.create(
            TENANT, USER, "user", permissions=(), name="n", expires=lambda at: None
        )
        assert keys.verify(text).id == keys.verify(text).id == key.id
        assert asked[-1] == (TENANT, USER, None, f"key:{key.id}", key.created_at / 1000)
        assert store.asked == 1
        # The table does not know, or a wider revocation stands for others: the store decides.
        for reason in ("refresh_first", "revocations_unknown", "issued_at_unknown"):
            said[0] = reason
            before = store.asked
            assert keys.verify(text).id == key.id
            assert store.asked == before + 1
        said[0] = "token_revoked"
        with pytest.raises(ApiKeyDenied, match="api_key_ended"):
            keys.verify(text)
        # Also where the store is one of yesterday, which has no such revocation.
        keys._cache.clear()
        with pytest.raises(ApiKeyDenied, match="api_key_ended"):
            keys.verify(text)

    def test_is_short_where_no_table_tells_of_other_hosts(self, store: Store) -> None:
        app = app_with(store)
        state_of(app).settings.__dict__["auth_revocation_max_delay_seconds"] = 1
        key = make(app).key
        get(app, key)
        _core.shift_clock(0.0, 1.1)
        get(app, key)
        assert store.asked == 2


class TestRevoking:
    def test_ends_the_key_at_once(self, app: Flask) -> None:
        made = make(app)
        assert get(app, made.key).status_code == 200
        assert revoke(app, made.id)
        assert error_of(get(app, made.key)) == (401, "Token revoked")
        assert revoke(app, made.id)

    def test_tells_other_hosts(self, app: Flask, store: Store) -> None:
        made = make(app)
        revoke(app, made.id)
        (told,) = store.changes("", 0).revocations
        assert (told.kind, told.tenant_id, told.id) == ("token", TENANT, f"key:{made.id}")

    def test_reaches_the_keys_of_the_tenant_only(self, app: Flask) -> None:
        made = make(app)
        with app.app_context():
            assert not revoke_api_key(OTHER_TENANT, made.id)
            assert not revoke_api_key(TENANT, "a" * 16)
        assert get(app, made.key).status_code == 200

    def test_never_answers_success_with_nothing_revoked(self, app: Flask, store: Store) -> None:
        made = make(app)
        store.away = True
        with pytest.raises(SessionsUnavailable):
            revoke(app, made.id)


class TestWhatAKeyMayNot:
    def test_it_makes_no_session_and_no_key(self, app: Flask, caplog: Any) -> None:
        key = make(app, role="admin").key
        for path in ("/session", "/key"):
            response = get(app, key, path, "POST")
            assert error_of(response) == (403, "An API key cannot begin sessions or make API keys")
        assert "api_key_not_allowed" in caplog.text
        with app.test_request_context(headers={"Authorization": f"Bearer {key}"}):
            with pytest.raises(AuthError, match="API key") as caught:
                create_jwt_token(TENANT, USER)
            assert caught.value.code == 403
        with app.app_context():
            assert [each.name for each in list_api_keys(TENANT)] == ["robot"]

    def test_a_token_makes_both(self, app: Flask) -> None:
        for path in ("/session", "/key"):
            assert get(app, token(), path, "POST").status_code == 200

    def test_neither_does_a_job_that_it_has_sent(self, app: Flask) -> None:
        identity = Identity(TENANT, USER, api_key_id="a" * 16)
        with app.app_context():
            received = Identity.from_headers(identity.to_headers())
            assert received.api_key_id == "a" * 16
            with acting_as(received), pytest.raises(AuthError, match="API key"):
                create_session(TENANT, USER)


class TestLimits:
    def test_each_key_counts_for_itself_and_is_limited_with_429(self, app: Flask) -> None:
        first, second = make(app).key, make(app).key
        assert [get(app, first, "/two").status_code for _ in range(3)] == [200, 200, 429]
        assert [get(app, second, "/two").status_code for _ in range(3)] == [200, 200, 429]
        assert [get(app, token(), "/two").status_code for _ in range(3)] == [200, 200, 429]

    def test_the_limit_of_a_tenant_counts_its_keys_together(self, app: Flask) -> None:
        codes = [get(app, make(app).key, "/tenant").status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]

    def test_guesses_are_limited_as_failures(self, store: Store) -> None:
        app = app_with(store, AUTH_FAILURE_LIMIT="2 per minute")
        codes = [get(app, _core.make_api_key()[0]).status_code for _ in range(3)]
        assert codes == [401, 401, 429]
        assert store.asked == 3


class TestLists:
    def test_show_what_keys_are_and_never_what_makes_them(self, app: Flask) -> None:
        end = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=1)
        made = make(app, name="nightly", permissions=["b", "a", "a"], expires=end)
        other = make(app, user=OTHER_USER)
        revoke(app, other.id)
        get(app, made.key)
        with app.app_context():
            (info,) = list_api_keys(TENANT, USER)
            of_tenant = list_api_keys(TENANT)
            assert list_api_keys(OTHER_TENANT) == []
        assert (info.id, info.name, info.permissions) == (made.id, "nightly", ("a", "b"))
        assert (info.expires_at, info.ended_at) == (end, None)
        assert info.used_at is not None
        assert {each.id: each.ended_at is not None for each in of_tenant} == {
            made.id: False,
            other.id: True,
        }
        assert made.key.split("_")[2] not in json.dumps(info.__dict__, default=str)

    def test_a_store_that_is_away_is_503(self, app: Flask, store: Store) -> None:
        with app.app_context():
            state_of(app).api_keys = None
            list_api_keys(TENANT)
            store.away = True
            with pytest.raises(SessionsUnavailable):
                list_api_keys(TENANT)
            with pytest.raises(SessionsUnavailable):
                create_api_key(TENANT, USER, "user", name="n")


class TestCommands:
    def run(self, app: Flask, *arguments: str) -> Any:
        return app.test_cli_runner().invoke(args=["auth", "api-keys", *arguments])

    def test_create_list_and_revoke(self, app: Flask) -> None:
        made = self.run(
            app, "create", TENANT, USER, "--role", "user", "--name", "cron", "--days", "2"
        )
        key = made.output.strip()
        assert get(app, key).status_code == 200
        listed = self.run(app, "list", TENANT).output
        assert key[4:20] in listed
        assert "cron" in listed
        assert key not in listed
        assert self.run(app, "revoke", TENANT, key[4:20]).exit_code == 0
        assert get(app, key).status_code == 401
        assert "ended" in self.run(app, "list", TENANT, USER).output

    @pytest.mark.parametrize(
        "arguments",
        [
            ("create", TENANT, USER, "--role", "nobody", "--name", "n"),
            ("create", TENANT, USER, "--role", "user", "--name", "n", "--days", "nan"),
            ("create", TENANT, USER, "--role", "user", "--name", "n", "--days", "-1"),
            ("list", "x"),
            ("revoke", TENANT, "a" * 16),
            ("revoke", TENANT, "fta_"),
        ],
    )
    def test_wrong_arguments_exit_with_a_message(self, app: Flask, arguments: Any) -> None:
        result = self.run(app, *arguments)
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")


def test_an_end_that_is_no_date_is_refused_because_no_list_could_show_it(app: Flask) -> None:
    with app.app_context(), pytest.raises(ValueError, match="expires must be before the year 9999"):
        make(app, expires=timedelta(days=10**8))
