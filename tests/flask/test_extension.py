"""TenantAuth: registration, hooks, several apps, and an app without it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from flask import Flask, Response, abort

from apps import SECRET, TENANT, USER, bare_app, bearer, error_of, identity_headers, make_app
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    TenantAuth,
    create_jwt_token,
    decode_jwt_token,
    get_tenant_context,
    rate_limit,
    verify_tenant_context,
)
from flask_tenant_auth.flask.extension import state_of


class TestRegistration:
    def test_an_app_is_registered_in_one_step_or_in_two(self) -> None:
        for app in (bare_app(), bare_app()):
            TenantAuth(app)
            assert app.extensions["tenant_auth"] is state_of(app)
        later = bare_app()
        TenantAuth().init_app(later)
        assert "tenant_auth" in later.extensions

    def test_the_state_has_what_others_use(self) -> None:
        state = state_of(make_app())
        assert state.settings.jwt_secret_key == SECRET.encode()
        assert state.keyring.authenticate(None) is None
        assert state.limiter.status()

    def test_an_app_is_registered_once(self) -> None:
        app = make_app()
        with pytest.raises(RuntimeError, match="already registered"):
            TenantAuth(app)

    def test_anything_but_an_app_is_a_type_error(self) -> None:
        with pytest.raises(TypeError, match="app must be a"):
            TenantAuth("app")  # type: ignore[arg-type]

    def test_an_app_can_be_registered_after_use_without_it(self) -> None:
        app = bare_app()
        with app.app_context():
            made = create_jwt_token(TENANT, USER)
        TenantAuth(app)
        with app.app_context():
            assert decode_jwt_token(made)["user_id"] == USER

    def test_an_invalid_configuration_leaves_the_app_unchanged(self) -> None:
        app = bare_app(JWT_LEEWAY="x")
        with pytest.raises(ValueError, match="JWT_LEEWAY"):
            TenantAuth(app)
        assert app.extensions == {}
        assert not app.before_request_funcs
        app.config["JWT_LEEWAY"] = 1
        TenantAuth(app)

    def test_an_app_that_is_dropped_is_collected(self) -> None:
        app = make_app()
        app.get("/")(verify_tenant_context(lambda: "in"))
        assert app.test_client().get("/", headers=bearer()).status_code == 200
        gone = weakref.ref(app)
        del app
        gc.collect()
        assert gone() is None

    def test_counters_that_cannot_be_made_name_their_setting(self) -> None:
        with pytest.raises(ConfigurationError, match="REDIS_URL"):
            make_app(REDIS_URL="redis://[localhost/0")

    def test_counters_that_cannot_be_shared_log_a_warning(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        from flask_tenant_auth.limit import limiters

        class Alone:
            evictions = store_events = 0

            def status(self) -> dict[str, str]:
                return {
                    "not_shared_because": "Permission denied",
                    "foreign_file": None,
                    "has_other_size": False,
                }

            def close(self) -> None: ...

        monkeypatch.setattr(limiters, "Limiter", lambda **_: Alone())
        make_app()
        assert "cannot be shared with other processes" in caplog.text
        assert "Permission denied" in caplog.text


class TestSeveralApps:
    def test_one_extension_serves_two_apps_with_two_keys(self) -> None:
        auth = TenantAuth()
        apps = [bare_app(JWT_SECRET_KEY=letter * 64) for letter in "ab"]
        tokens = []
        for app in apps:
            auth.init_app(app)
            app.get("/")(verify_tenant_context(lambda: "in"))
            with app.app_context():
                tokens.append(create_jwt_token(TENANT, USER))
        statuses = [
            [
                app.test_client().get("/", headers={"Authorization": f"Bearer {each}"}).status_code
                for each in tokens
            ]
            for app in apps
        ]
        assert statuses == [[200, 401], [401, 200]]
        assert list(vars(auth)) == ["_loaders"]  # of the extension, and of no app

    def test_two_apps_count_separately(self) -> None:
        apps = [make_app(RATELIMIT_DEFAULT="1 per minute") for _ in "ab"]
        for app in apps:
            app.get("/")(lambda: "in")
            statuses = [app.test_client().get("/").status_code for _ in range(2)]
            assert statuses == [200, 429]

    def test_an_app_called_inside_a_request_of_another_has_no_identity(self) -> None:
        inner, outer = make_app(JWT_SECRET_KEY="i" * 64), make_app()

        @inner.get("/")
        @verify_tenant_context
        def secret() -> str:
            return "secret"

        @outer.get("/")
        @verify_tenant_context
        def forward() -> dict[str, Any]:
            status = inner.test_client().get("/").status_code
            return {"inner": status, "outer": get_tenant_context()[1]}

        answer = outer.test_client().get("/", headers=bearer())
        assert answer.get_json() == {"inner": 401, "outer": USER}


class TestHooks:
    def test_a_public_view_stays_public(self) -> None:
        app = make_app()
        app.get("/")(lambda: "in")
        for headers in ({}, bearer(), {"Authorization": "Bearer a.b.c"}, identity_headers("x")):
            assert app.test_client().get("/", headers=headers).status_code == 200

    def test_each_response_has_the_headers_of_the_limit(self) -> None:
        app = make_app()
        app.get("/")(lambda: "in")
        app.get("/abort/<int:status>", endpoint="abort")(lambda status: abort(status))
        client = app.test_client()
        for place, path in enumerate(("/", "/abort/404", "/abort/418", "/nowhere"), start=1):
            headers = client.get(path).headers
            assert headers["X-RateLimit-Limit"] == "50"
            assert headers["X-RateLimit-Remaining"] == str(50 - place)
            assert int(headers["X-RateLimit-Reset"]) > 1_700_000_000

    def test_an_unhandled_exception_still_gets_headers(self) -> None:
        app = make_app(PROPAGATE_EXCEPTIONS=False)

        @app.get("/api/broken")
        def broken() -> str:
            raise KeyError

        headers = {"Origin": "http://localhost:3000"}
        response = app.test_client().get("/api/broken", headers=headers)
        assert response.status_code == 500
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        assert "X-RateLimit-Limit" in response.headers

    def test_a_response_of_an_earlier_hook_is_counted_too(self) -> None:
        app = bare_app(AUTH_FAILURE_LIMIT="1 per minute")
        app.before_request(lambda: ("no", 401))
        TenantAuth(app)
        app.get("/")(lambda: "in")
        client = app.test_client()
        assert [client.get("/").status_code for _ in range(2)] == [401, 429]

    def test_auth_errors_are_json_before_a_general_handler(self) -> None:
        app = make_app()
        app.register_error_handler(Exception, lambda error: ("general", 500))

        @app.get("/")
        def refuse() -> str:
            raise AuthError("No", 403)

        assert error_of(app.test_client().get("/")) == (403, "No")

    def test_an_app_may_handle_auth_errors_its_own_way(self) -> None:
        app = make_app()
        app.register_error_handler(AuthError, lambda error: (f"own: {error}", error.status_code))

        @app.get("/")
        def refuse() -> str:
            raise AuthError("No", 403)

        response = app.test_client().get("/")
        assert (response.status_code, response.text) == (403, "own: No")


class TestWithoutTenantAuth:
    def test_the_decorators_work(self) -> None:
        app = bare_app()
        app.get("/")(verify_tenant_context(lambda: {"who": get_tenant_context()}))
        client = app.test_client()
        assert client.get("/", headers=bearer()).get_json() == {"who": [TENANT, USER]}
        refused = client.get("/")
        assert error_of(refused)[0] == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer realm=")

    def test_limits_and_failures_are_counted(self) -> None:
        app = bare_app(AUTH_FAILURE_LIMIT="1 per minute")
        app.get("/")(rate_limit("2 per minute")(verify_tenant_context(lambda: "in")))
        client = app.test_client()
        statuses = [client.get("/", headers=bearer()).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = client.get("/", headers=bearer())
        assert int(refused.headers["Retry-After"]) >= 1
        assert [client.get("/").status_code for _ in range(2)] == [401, 429]

    def test_a_bad_configuration_says_so_at_the_first_use(self) -> None:
        app = Flask("production")
        app.get("/")(verify_tenant_context(lambda: "in"))
        app.testing = False
        with app.test_request_context("/"), pytest.raises(ValueError, match="JWT_SECRET_KEY"):
            app.view_functions["<lambda>"]()

    def test_outside_of_any_app_only_the_environment_is_read(self, monkeypatch: Any) -> None:
        monkeypatch.setenv("REDIS_URL", "")
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        assert decode_jwt_token(create_jwt_token(TENANT, USER))["tenant_id"] == TENANT
        monkeypatch.setenv("JWT_SECRET_KEY", "another " * 8)
        with pytest.raises(AuthError):
            decode_jwt_token(bearer()["Authorization"].removeprefix("Bearer "))


def test_flask_restful_shows_the_documented_json() -> None:
    from flask_restful import Api, Resource

    app = make_app()
    api = Api(app)

    class Raises(Resource):  # type: ignore[misc]
        def get(self) -> None:
            raise AuthError("No", 403)

    class Returns(Resource):  # type: ignore[misc]
        method_decorators = [verify_tenant_context]  # noqa: RUF012

        def get(self) -> dict[str, str]:
            return {"who": get_tenant_context()[1]}

    class Unknown(Resource):  # type: ignore[misc]
        def get(self) -> None:
            get_tenant_context()

    for resource in (Raises, Returns, Unknown):
        api.add_resource(resource, f"/{resource.__name__}")
    client = app.test_client()
    assert error_of(client.get("/Raises")) == (403, "No")
    assert error_of(client.get("/Returns"))[0] == 401
    assert client.get("/Returns", headers=bearer()).get_json() == {"who": USER}
    unknown = client.get("/Unknown")
    assert error_of(unknown)[0] == 401
    assert unknown.headers["WWW-Authenticate"].startswith("Bearer realm=")


def test_a_streamed_answer_keeps_its_identity() -> None:
    from flask import stream_with_context

    app = make_app()

    @app.get("/")
    @verify_tenant_context
    def stream() -> Response:
        return Response(stream_with_context(get_tenant_context()[1] for _ in range(2)))

    assert app.test_client().get("/", headers=bearer()).text == USER * 2
