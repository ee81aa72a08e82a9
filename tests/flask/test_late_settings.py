"""What is set in app.config after TenantAuth was set up: it takes effect, or it is an error."""

from __future__ import annotations

import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from apps import SECRET, TENANT, USER, bare_app, make_app, token
from flask_tenant_auth import (
    ConfigurationError,
    TenantAuth,
    create_api_key,
    create_jwt_token,
    create_session,
    decode_jwt_token,
    list_sessions,
    login_limit,
    public_route,
    rate_limit,
    rate_limit_exempt,
    revoke_user,
    verify_tenant_context,
)
from flask_tenant_auth.config.settings import KEYS
from flask_tenant_auth.flask.state import AppState, state_of

BEARER = {"Authorization": f"Bearer {token()}"}


@pytest.fixture
def name() -> Iterator[str]:
    """A name of an app. Files of its counters that are not removed are removed at the end."""
    name = f"late_{uuid.uuid4().hex}"
    yield name
    app = create_app(name)
    path = state_of(app).limiter.status()["path"]
    if path is not None:
        Path(path).unlink(missing_ok=True)


def create_app(name: str, **config: Any) -> Flask:
    """An app as its factory makes it: for production."""
    app = Flask(name)
    app.config |= {"FLASK_ENV": "production", "JWT_SECRET_KEY": SECRET, "REDIS_URL": ""}
    app.config |= {"RATELIMIT_DEFAULT": "3 per hour", "RATELIMIT_SHM_BYTES": 2**17} | config
    TenantAuth(app)
    app.get("/")(lambda: "in")
    return app


def app_with_sessions(name: str, *, testing: bool) -> Flask:
    """An app with a database in memory of its own, as tests have it."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    app = create_app(name, AUTH_SESSION_STORE=engine, RATELIMIT_ENABLED=False)
    weakref.finalize(app, engine.dispose)  # an engine of the app's own is not closed for it
    app.get("/me", endpoint="me")(verify_tenant_context(lambda: "in"))
    app.config.update(TESTING=testing)
    return app


def counted(app: Flask, requests: int = 5) -> list[int]:
    return [app.test_client().get("/").status_code for _ in range(requests)]


class TestTesting:
    def test_an_app_that_is_set_to_testing_after_init_counts_for_itself(self, name: str) -> None:
        """Flask's documented fixture: create_app(), then config.update(TESTING=True)."""
        for _ in range(2):
            app = create_app(name)
            app.config.update(TESTING=True)
            assert counted(app) == [200] * 3 + [429] * 2
            status = state_of(app).limiter.status()
            assert (status["shared"], status["path"]) == (False, None)
        # A positive control: without TESTING they count together, in a file.
        first, second = create_app(name), create_app(name)
        assert counted(first, 2) + counted(second, 2) == [200] * 3 + [429]
        assert Path(state_of(first).limiter.status()["path"]).exists()

    def test_its_shared_memory_is_removed_at_the_first_request(self, name: str) -> None:
        app = create_app(name)
        path = Path(state_of(app).limiter.status()["path"])
        assert path.exists()
        app.config.update(TESTING=True)
        counted(app)
        assert not path.exists()

    def test_testing_is_looked_at_until_the_first_request_only(self, name: str) -> None:
        app = create_app(name)
        counted(app, 1)
        assert state_of(app).settled
        app.config.update(TESTING=True)
        counted(app, 1)
        assert state_of(app).limiter.status()["shared"]
        # The counters of a test stay what they are.
        app = create_app(name)
        app.config.update(TESTING=True)
        counted(app, 1)
        app.config.update(TESTING=False)
        counted(app, 1)
        assert not state_of(app).limiter.status()["shared"]

    def test_first_requests_at_the_same_time_count_together(self, name: str) -> None:
        for _ in range(20):
            app = create_app(name)
            app.config.update(TESTING=True)
            start = threading.Barrier(8)

            def first_request(app: Flask = app, start: threading.Barrier = start) -> int:
                start.wait()
                return counted(app, 1)[0]

            with ThreadPoolExecutor(8) as pool:
                answers = [each.result() for each in [pool.submit(first_request) for _ in range(8)]]
            assert sorted(answers) == [200] * 3 + [429] * 5

    @pytest.mark.parametrize("value", ["false", "0", "", None])
    def test_a_text_that_means_false_is_not_testing(self, name: str, value: str | None) -> None:
        app = create_app(name)
        app.config.update(TESTING=value)
        counted(app, 1)
        assert state_of(app).limiter.status()["shared"]

    @pytest.mark.parametrize("before", ["a request", "a call outside a request"])
    @pytest.mark.parametrize("testing", [True, False])
    def test_what_one_test_revokes_is_not_revoked_in_another(
        self, name: str, before: str, testing: bool
    ) -> None:
        one, other = (app_with_sessions(name, testing=testing) for _ in range(2))
        with one.app_context():
            tokens = create_jwt_token(TENANT, USER)
        headers = {"Authorization": f"Bearer {tokens}"}
        if before == "a request":
            assert one.test_client().get("/me", headers=headers).status_code == 200
        with one.app_context():
            revoke_user(TENANT, USER)
        assert one.test_client().get("/me", headers=headers).status_code == 401
        # Without TESTING, one host has one table.
        expected = 200 if testing else 401
        assert other.test_client().get("/me", headers=headers).status_code == expected

    @pytest.mark.parametrize("testing", [True, False])
    def test_an_api_key_of_one_test_is_none_of_another(self, name: str, testing: bool) -> None:
        one, other = (app_with_sessions(name, testing=testing) for _ in range(2))
        with one.app_context():
            headers = {
                "Authorization": f"Bearer {create_api_key(TENANT, USER, 'user', name='a key').key}"
            }
        assert one.test_client().get("/me", headers=headers).status_code == 200
        # What a store has answered is used where it is known what was revoked.
        live = state_of(other).live
        assert live is not None
        assert live.follower.wait()
        # Without TESTING, one host remembers what its store has answered.
        expected = 401 if testing else 200
        assert other.test_client().get("/me", headers=headers).status_code == expected

    def test_the_default_redis_counts_for_no_test(self, name: str) -> None:
        """Another test may use it, or a developer."""
        app = create_app(name, REDIS_URL=None)
        app.config.update(TESTING=True)
        counted(app, 1)
        assert state_of(app).settings.redis_url == ""
        assert make_app(REDIS_URL=None).extensions["tenant_auth"].settings.redis_url == ""
        # Positive controls: one that an app names counts, and so does the default elsewhere.
        default = KEYS["REDIS_URL"].default
        named = create_app(name, REDIS_URL=default)
        named.config.update(TESTING=True)
        state = state_of(named)
        assert (
            state.settings.redis_url
            == state_of(create_app(name, REDIS_URL=None)).settings.redis_url
        )
        assert state.settings.redis_url == default


class TestRatelimitEnabled:
    def test_it_may_be_set_until_the_first_request(self, name: str) -> None:
        for before, after in ((True, False), (False, True)):
            app = create_app(name, RATELIMIT_ENABLED=before, AUTH_FAILURE_LIMIT="1 per hour")
            app.get("/me", endpoint="me")(verify_tenant_context(lambda: "in"))
            app.config.update(TESTING=True, RATELIMIT_ENABLED=after)
            assert counted(app) == ([200] * 3 + [429] * 2 if after else [200] * 5)
            failures = [app.test_client().get("/me").status_code for _ in range(2)]
            assert failures == ([429, 429] if after else [401, 401])

    def test_each_request_of_a_test_looks_at_it(self, name: str) -> None:
        app = create_app(name)
        app.config.update(TESTING=True)
        login = login_limit("1 per hour", key=lambda request: "ann")(lambda: ("", 401))
        app.post("/login", endpoint="login")(rate_limit_exempt(public_route(login)))
        assert counted(app) == [200] * 3 + [429] * 2
        app.config["RATELIMIT_ENABLED"] = False
        assert counted(app) == [200] * 5
        assert [app.test_client().post("/login").status_code for _ in range(3)] == [401] * 3
        app.config["RATELIMIT_ENABLED"] = True
        assert counted(app, 1) == [429]

    def test_in_production_the_first_request_is_the_last_that_looks(self, name: str) -> None:
        app = create_app(name)
        counted(app)
        app.config["RATELIMIT_ENABLED"] = False
        assert counted(app, 1) == [429]

    def test_a_value_that_is_not_valid_is_an_error(self, name: str) -> None:
        app = create_app(name)
        app.config.update(TESTING=True, RATELIMIT_ENABLED="maybe")
        with pytest.raises(ConfigurationError, match=r"^RATELIMIT_ENABLED must be"):
            counted(app, 1)


class TestChanges:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("RATELIMIT_DEFAULT", "9 per hour"),
            ("JWT_SECRET_KEY", "another secret of the tests that is long enough"),
            ("REDIS_URL", "redis://127.0.0.1:1/0"),
            ("AUTH_ROLES", "user, manager, admin"),
            ("AUTH_TRUSTED_GATEWAYS", ["10.0.0.0/8"]),
            ("FLASK_ENV", "development"),
            ("RATELIMIT_KEY_PREFIX", "another"),
            ("JWT_TENANT_KEYS", lambda tenant: None),
            ("CORS_ORIGINS", "https://app.example.com"),
            ("AUTH_FAILURE_LIMIT", ""),
        ],
    )
    @pytest.mark.parametrize("testing", [True, False])
    def test_a_setting_that_has_no_effect_any_more_is_an_error_that_names_it(
        self, name: str, key: str, value: object, testing: bool
    ) -> None:
        app = create_app(name)
        app.config.update({"TESTING": testing, key: value})
        app.config["PROPAGATE_EXCEPTIONS"] = True
        with pytest.raises(ConfigurationError, match=f"^{key} changed in app.config after Tenant"):
            counted(app, 1)

    def test_in_production_no_request_is_served(self, name: str) -> None:
        app = create_app(name)
        app.config["AUTH_TRUSTED_GATEWAYS"] = "10.0.0.0/8"
        client = app.test_client()
        assert [client.get(path).status_code for path in ("/", "/", "/nowhere")] == [500] * 3
        del app.config["AUTH_TRUSTED_GATEWAYS"]
        assert client.get("/").status_code == 200

    def test_each_request_of_a_test_looks_for_changes(self, name: str) -> None:
        app = create_app(name)
        app.config.update(TESTING=True)
        assert counted(app, 1) == [200]
        app.config.update(RATELIMIT_DEFAULT="9 per hour", JWT_LEEWAY=5)
        with pytest.raises(ConfigurationError, match=r"^JWT_LEEWAY and RATELIMIT_DEFAULT changed"):
            counted(app, 1)

    def test_every_setting_is_looked_at(self, name: str) -> None:
        for key in KEYS:
            app = create_app(name)
            app.config.update({"TESTING": True, key: object()})
            with pytest.raises(ConfigurationError, match=key):
                counted(app, 1)

    @pytest.mark.parametrize("testing", [True, False])
    @pytest.mark.parametrize(
        "call",
        [
            lambda: create_jwt_token(TENANT, USER),
            lambda: decode_jwt_token(token()),
            lambda: create_session(TENANT, USER),
            lambda: list_sessions(TENANT, USER),
            lambda: revoke_user(TENANT, USER),
            lambda: create_api_key(TENANT, USER, "user", name="a key"),
        ],
        ids=["create_jwt_token", "decode", "create_session", "list", "revoke_user", "create_key"],
    )
    def test_a_call_outside_a_request_is_an_error_too(
        self, name: str, call: Callable[[], object], testing: bool, tmp_path: Path
    ) -> None:
        """The tests of an app would write to its store."""
        store = f"sqlite:///{tmp_path}/sessions.db"
        app = create_app(name, AUTH_SESSION_STORE=store)
        with app.app_context():
            call()  # a positive control
            app.config.update(TESTING=testing, AUTH_SESSION_STORE="sqlite://")
            with pytest.raises(ConfigurationError, match=r"^AUTH_SESSION_STORE changed"):
                call()

    @pytest.mark.parametrize("value", ["5 per minute", "no rate"])
    def test_the_check_of_an_app_says_so(self, name: str, value: str) -> None:
        app = create_app(name)
        runner = app.test_cli_runner()
        assert "changed in app.config" not in runner.invoke(args=["auth", "check"]).output
        app.config["RATELIMIT_DEFAULT"] = value
        result = runner.invoke(args=["auth", "check"])
        assert result.exit_code == 1
        assert "Problem: RATELIMIT_DEFAULT" in result.output

    @pytest.mark.parametrize("kind", [dict, OrderedDict])
    def test_what_is_changed_in_place_is_found(self, name: str, kind: type[dict[str, Any]]) -> None:
        app = create_app(name, AUTH_PERMISSIONS=kind({"user": ["accounts:read"]}))
        app.config.update(TESTING=True)
        assert counted(app, 1) == [200]
        app.config["AUTH_PERMISSIONS"]["user"].append("accounts:write")
        with pytest.raises(ConfigurationError, match=r"^AUTH_PERMISSIONS changed"):
            counted(app, 1)

    def test_the_same_value_in_another_form_is_no_change(self, name: str) -> None:
        app = create_app(name, CORS_ORIGINS=["https://a.example.com", "https://b.example.com"])
        app.config.update(TESTING=True, JWT_LEEWAY="0", JWT_EXPIRATION_HOURS=24, JWT_ISSUER=None)
        app.config.update(CORS_ORIGINS="https://a.example.com, https://b.example.com")
        app.config.update(RATELIMIT_KEY_PREFIX=name, SOMETHING_ELSE=1)
        assert counted(app, 1) == [200]

    def test_the_environment_may_change(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is another app's."""
        app = create_app(name)
        monkeypatch.setenv("JWT_LEEWAY", "7")
        monkeypatch.setenv("RATELIMIT_ENABLED", "false")
        app.config.update(TESTING=True)
        assert counted(app)[-1] == 429

    def test_the_first_request_is_the_last_that_looks_in_production(self, name: str) -> None:
        """No request pays for it."""
        app = create_app(name)
        state = state_of(app)
        assert not state.settled
        counted(app, 1)
        assert state.settled
        app.config["JWT_LEEWAY"] = 5
        assert counted(app, 1) == [200]


class TestResetLimits:
    def test_all_that_an_app_has_counted_is_forgotten(self, name: str) -> None:
        app = bare_app(RATELIMIT_DEFAULT="2 per hour", AUTH_FAILURE_LIMIT="2 per hour")
        auth = TenantAuth(app)
        app.get("/")(public_route(lambda: "in"))
        app.get("/one", endpoint="one")(
            public_route(rate_limit("1 per day", per="address")(lambda: "in"))
        )
        app.get("/me", endpoint="me")(rate_limit_exempt(verify_tenant_context(lambda: "in")))
        login = login_limit("1 per hour", key=lambda request: "ann")(lambda: ("", 401))
        app.post("/login", endpoint="login")(rate_limit_exempt(public_route(login)))

        def statuses() -> list[list[int]]:
            client = app.test_client()
            return [
                [client.open(path, method=method).status_code for _ in range(3)]
                for path, method in (
                    ("/", "GET"),
                    ("/one", "GET"),
                    ("/login", "POST"),
                    ("/me", "GET"),
                )
            ]

        auth.reset_limits()  # nothing was counted yet
        fresh = statuses()
        assert fresh == [[200, 200, 429], [200, 429, 429], [401, 429, 429], [401, 429, 429]]
        assert statuses() == [[429] * 3] * 4
        auth.reset_limits()
        assert statuses() == fresh

    def test_denied_requests_are_forgotten_too(self) -> None:
        app = bare_app(RATELIMIT_DEFAULT="1 per hour", RATELIMIT_DENIED="1 per hour")
        auth = TenantAuth(app)
        app.get("/")(public_route(lambda: "in"))
        app.get("/free", endpoint="free")(public_route(rate_limit("9 per hour")(lambda: "in")))

        def statuses() -> list[int]:
            client = app.test_client()
            return [client.get(path).status_code for path in ("/", "/", "/", "/free")]

        assert statuses() == [200, 429, 429, 429]
        auth.reset_limits()
        assert statuses() == [200, 429, 429, 429]

    def test_it_resets_each_app_of_a_tenant_auth_and_no_other(self) -> None:
        auth, apps = TenantAuth(), [bare_app(RATELIMIT_DEFAULT="1 per hour") for _ in range(2)]
        other = make_app(RATELIMIT_DEFAULT="1 per hour")
        for app in apps:
            auth.init_app(app)
        for app in (*apps, other):
            app.get("/")(lambda: "in")
            assert counted(app, 2) == [200, 429]
        auth.reset_limits()
        assert [counted(app, 1) for app in (*apps, other)] == [[200], [200], [429]]

    def test_an_app_that_is_set_to_testing_after_init_is_reset(self, name: str) -> None:
        app = create_app(name)
        app.config.update(TESTING=True)
        state: AppState = state_of(app)
        counted(app)
        state.reset_limits()
        assert counted(app, 1) == [200]

    def test_an_app_that_is_not_testing_is_not_reset(self, name: str) -> None:
        app = Flask(name)
        app.config |= bare_app(TESTING=False, RATELIMIT_DEFAULT="1 per hour").config
        auth = TenantAuth(app)
        app.get("/")(lambda: "in")
        assert counted(app, 2) == [200, 429]
        with pytest.raises(RuntimeError, match=f"app '{name}' is not testing: set TESTING before"):
            auth.reset_limits()
        assert counted(app, 1) == [429]

    def test_what_is_counted_in_redis_is_not_reset(self) -> None:
        app = bare_app(REDIS_URL="redis://127.0.0.1:1/0")
        auth = TenantAuth(app)
        with pytest.raises(RuntimeError, match=r"does not reach Redis.*REDIS_URL empty"):
            auth.reset_limits()
