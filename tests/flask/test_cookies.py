"""Tokens in cookies: what is set, and what a request proves with them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Blueprint, Flask, Response
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from apps import (
    OTHER_USER,
    TENANT,
    USER,
    bare_app,
    bearer,
    error_of,
    make_app,
    production_app,
    token,
)
from cookie_apps import HTTPS, cookie_app, cookies_of, https_client, value_of
from flask_tenant_auth import (
    ConfigurationError,
    TenantAuth,
    current_identity,
    delete_session_cookies,
    set_session_cookies,
    verify_tenant_context,
)
from flask_tenant_auth._core import (
    Decision,
    Limit,
    RequestRecord,
    authenticate_and_count,
    find_cookie,
    parse_rates,
)
from flask_tenant_auth.flask.sessions import SessionTokens
from flask_tenant_auth.flask.state import state_of

ACCESS, REFRESH = "__Host-fta", "__Secure-fta-refresh"
TOKENS = SessionTokens("a.b.c", "r1x.1.y", 840, "1")
COOKIES = {"AUTH_TOKEN_LOCATIONS": "cookies", "AUTH_SESSION_ROUTES": "/auth"}


def cookie(value: str, name: str = ACCESS) -> dict[str, str]:
    return {"Cookie": f"{name}={value}"}


class TestWhatIsSet:
    def test_both_cookies_have_a_prefix_and_every_attribute_that_protects_them(self) -> None:
        app, _ = cookie_app()
        response = https_client(app).post("/api/login")
        assert response.status_code == 200
        made = cookies_of(response)
        assert set(made) == {ACCESS, REFRESH}
        access, refresh = (set(made[name].split("; ")[1:]) for name in (ACCESS, REFRESH))
        protected = {"Secure", "HttpOnly", "SameSite=Lax"}
        lifetimes = {part for part in access if part.startswith("Max-Age=")}
        assert access == {"Path=/"} | protected | lifetimes
        assert 855 <= int(lifetimes.pop().removeprefix("Max-Age=")) <= 900
        assert refresh == {"Path=/auth", f"Max-Age={30 * 86400}"} | protected
        assert response.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        ("config", "scheme", "host", "plain"),
        [
            ({"FLASK_ENV": "development"}, "http", "localhost:5000", True),
            ({"FLASK_ENV": "development"}, "http", "127.0.0.1:5000", True),
            ({"FLASK_ENV": "development"}, "http", "app.localhost", True),
            ({"FLASK_ENV": "development"}, "http", "[::1]:5000", True),
            ({"FLASK_ENV": "development"}, "https", "localhost:5000", False),
            ({"FLASK_ENV": "development"}, "http", "192.0.2.1", False),
            ({"FLASK_ENV": "development"}, "http", "localhost.example.test", False),
            ({"FLASK_ENV": "development"}, "http", "[", False),
            ({"FLASK_ENV": "development"}, "http", "", False),
            ({"FLASK_ENV": "production"}, "http", "localhost:5000", False),
            ({"FLASK_ENV": "production", "TESTING": False}, "http", "127.0.0.1", False),
        ],
    )
    def test_names_are_plain_only_in_development_on_a_loopback_host(
        self, config: dict[str, Any], scheme: str, host: str, plain: bool
    ) -> None:
        app, _ = cookie_app(**config)
        environ = {"wsgi.url_scheme": scheme, "HTTP_HOST": host}
        made = cookies_of(app.test_client().post("/api/login", environ_overrides=environ))
        assert set(made) == ({"fta", "fta-refresh"} if plain else {ACCESS, REFRESH})
        for line in made.values():
            assert ("Secure" in line.split("; ")) is not plain
            assert "HttpOnly" in line.split("; ")

    def test_the_name_and_samesite_are_those_of_the_settings(self) -> None:
        app, _ = cookie_app(AUTH_COOKIE_NAME="shop", AUTH_COOKIE_SAMESITE="none")
        made = cookies_of(https_client(app).post("/api/login"))
        assert set(made) == {"__Host-shop", "__Secure-shop-refresh"}
        assert all("SameSite=None" in line.split("; ") for line in made.values())

    def test_a_plain_cookie_is_never_samesite_none_which_browsers_drop_without_secure(self) -> None:
        app, _ = cookie_app(FLASK_ENV="development", AUTH_COOKIE_SAMESITE="None")
        made = cookies_of(app.test_client().post("/api/login"))
        assert all("SameSite=Lax" in line.split("; ") for line in made.values())

    def test_the_path_of_the_refresh_token_is_below_the_path_where_the_app_is_mounted(self) -> None:
        app, _ = cookie_app()
        response = https_client(app).post("/api/login", environ_overrides={"SCRIPT_NAME": "/shop"})
        assert "Path=/shop/auth" in cookies_of(response)[REFRESH].split("; ")
        assert "Path=/" in cookies_of(response)[ACCESS].split("; ")

    def test_deleting_names_the_same_cookies_with_the_same_paths(self) -> None:
        app, _ = cookie_app()
        with app.test_request_context(base_url=HTTPS):
            response = Response()
            delete_session_cookies(response)
        made = cookies_of(response)  # type: ignore[arg-type]
        assert set(made) == {ACCESS, REFRESH}
        assert value_of(made[ACCESS]) == value_of(made[REFRESH]) == ""
        for name, path in ((ACCESS, "Path=/"), (REFRESH, "Path=/auth")):
            assert {path, "Max-Age=0", "Secure"} <= set(made[name].split("; "))

    def test_a_token_that_is_too_long_for_a_cookie_is_an_error_that_names_the_setting(self) -> None:
        app, _ = cookie_app()
        with app.test_request_context(base_url=HTTPS):
            fits = Response()
            set_session_cookies(fits, TOKENS._replace(access_token="x" * 3900))
            response = Response()
            with pytest.raises(ValueError, match="AUTH_TOKEN_LOCATIONS"):
                set_session_cookies(response, TOKENS._replace(access_token="x" * 4090))
        assert all(len(line) <= 4093 for line in fits.headers.getlist("Set-Cookie"))
        assert "Set-Cookie" not in response.headers

    def test_an_app_without_cookies_sets_none(self) -> None:
        app = make_app()
        with app.test_request_context():
            for call in (
                lambda: set_session_cookies(Response(), TOKENS),
                lambda: delete_session_cookies(Response()),
            ):
                with pytest.raises(ConfigurationError, match="AUTH_TOKEN_LOCATIONS"):
                    call()

    def test_outside_a_request_is_a_runtime_error(self) -> None:
        with pytest.raises(RuntimeError, match="set_session_cookies"):
            set_session_cookies(Response(), TOKENS)
        with pytest.raises(RuntimeError, match="delete_session_cookies"):
            delete_session_cookies(Response())


class TestSettings:
    @pytest.mark.parametrize(
        ("config", "named"),
        [
            ({"AUTH_TOKEN_LOCATIONS": "cookies"}, "AUTH_SESSION_ROUTES must be set"),
            (COOKIES | {"AUTH_SESSION_ROUTES": "/"}, "AUTH_SESSION_ROUTES"),
            (COOKIES | {"AUTH_SESSION_ROUTES": "auth"}, "AUTH_SESSION_ROUTES"),
            (COOKIES | {"AUTH_SESSION_ROUTES": "/auth;Domain=x"}, "AUTH_SESSION_ROUTES"),
            (COOKIES | {"AUTH_SESSION_ROUTES": "/<tenant>"}, "AUTH_SESSION_ROUTES"),
            (COOKIES | {"AUTH_SESSION_ROUTES": "/a//b"}, "AUTH_SESSION_ROUTES"),
            (COOKIES | {"AUTH_COOKIE_SAMESITE": "None", "CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
            (COOKIES | {"AUTH_COOKIE_SAMESITE": "None", "CORS_ORIGINS": ""}, "CORS_ORIGINS"),
            (COOKIES | {"AUTH_COOKIE_NAME": "__Host-a"}, "AUTH_COOKIE_NAME"),
            (COOKIES | {"AUTH_COOKIE_NAME": "a b"}, "AUTH_COOKIE_NAME"),
        ],
    )
    def test_settings_that_protect_nothing_stop_the_app(
        self, config: dict[str, str], named: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=named):
            production_app(**config)

    @pytest.mark.parametrize(
        "config",
        [
            COOKIES,
            COOKIES | {"AUTH_SESSION_ROUTES": "/api/v1/auth/"},
            COOKIES | {"AUTH_COOKIE_SAMESITE": "None", "CORS_ORIGINS": "https://app.example.test"},
            COOKIES | {"AUTH_COOKIE_SAMESITE": "Strict", "CORS_ORIGINS": "*"},
            COOKIES | {"AUTH_TOKEN_LOCATIONS": "headers, cookies"},
        ],
    )
    def test_the_nearest_settings_that_protect_are_accepted(self, config: dict[str, str]) -> None:
        assert state_of(production_app(**config)).cookies is not None

    def test_a_slash_at_the_end_of_the_routes_is_left_out(self) -> None:
        app = production_app(**COOKIES | {"AUTH_SESSION_ROUTES": "/auth/"})
        assert {"/auth/refresh", "/auth/logout"} <= {rule.rule for rule in app.url_map.iter_rules()}


class TestWhatARequestProves:
    """Each is asked twice: of a view that the core authenticates and counts in one step, and of one
    without a limit, whose token Python reads.
    """

    @pytest.fixture
    def app(self) -> Flask:
        return cookie_app()[0]

    @pytest.fixture(params=["/api/me", "/api/notes"])
    def path(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_the_token_in_the_cookie_is_the_credential(self, app: Flask, path: str) -> None:
        client = https_client(app, jar=False)
        assert client.get(path, headers=cookie(token())).status_code == 200
        others = f"a=1; {ACCESS}={token()}; b=2"
        assert client.get(path, headers={"Cookie": others}).status_code == 200
        assert client.get(path).status_code == 401

    @pytest.mark.parametrize(
        "name",
        ["fta", "__host-fta", "__Secure-fta", REFRESH, "\u2000__Host-fta", "__Host-fta-refresh"],
    )
    def test_a_cookie_of_another_name_proves_nothing(
        self, app: Flask, path: str, name: str
    ) -> None:
        octets = name.encode().decode("latin-1")
        environ = {"HTTP_COOKIE": f"{octets}={token()}"}
        answer = https_client(app, jar=False).get(path, environ_overrides=environ)
        assert error_of(answer)[0] == 401

    def test_the_authorization_header_comes_first(self, app: Flask, path: str) -> None:
        client = https_client(app, jar=False)
        other = cookie(token(user_id=OTHER_USER))
        assert client.get(path, headers=bearer() | other).status_code == 200
        if path == "/api/me":
            answered = client.get(path, headers=bearer() | other).get_json()
            assert answered["user_id"] == USER
        invalid = {"Authorization": "Bearer a.b.c"}
        assert error_of(client.get(path, headers=invalid | cookie(token()))) == (
            401,
            "Invalid token",
        )

    def test_credentials_of_another_scheme_leave_the_cookie_its_turn(
        self, app: Flask, path: str
    ) -> None:
        """A proxy asks for a password before a site that is not public yet."""
        client = https_client(app, jar=False)
        basic = {"Authorization": "Basic YTpi"}
        assert client.get(path, headers=basic | cookie(token())).status_code == 200
        for stray in ("Bearer", "Basic YTpi,Bearer x"):
            headers = {"Authorization": stray} | cookie(token())
            assert client.get(path, headers=headers).status_code == 401

    def test_two_cookies_of_one_name_are_denied_whatever_they_hold(
        self, app: Flask, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = https_client(app, jar=False)
        good = token()
        for pair in ((good, good), (good, "x"), ("x", good), (good, ""), ("", good)):
            header = "; ".join(f"{ACCESS}={value}" for value in pair)
            caplog.clear()
            answer = client.get(path, headers={"Cookie": header})
            assert error_of(answer) == (401, "Invalid token")
            assert "reason=cookie_repeated" in caplog.text

    def test_a_header_that_a_server_has_joined_with_a_comma_proves_nothing(
        self, app: Flask, path: str
    ) -> None:
        joined = f"{ACCESS}={token()},{ACCESS}={token()}"
        assert https_client(app, jar=False).get(path, headers={"Cookie": joined}).status_code == 401
        joined = f"a=1,{ACCESS}={token()}"
        assert https_client(app, jar=False).get(path, headers={"Cookie": joined}).status_code == 401

    @pytest.mark.parametrize("value", ["", "x", "a.b.c", '"{}"', "Bearer {}", "{} {}", "\xff"])
    def test_any_other_value_is_401(self, app: Flask, path: str, value: str) -> None:
        headers = cookie(value.replace("{}", token()))
        assert error_of(https_client(app, jar=False).get(path, headers=headers))[0] == 401

    def test_an_expired_cookie_is_denied_as_an_expired_token(self, app: Flask, path: str) -> None:
        expired = token(exp=int(time.time()) - 1)
        answer = https_client(app, jar=False).get(path, headers=cookie(expired))
        assert error_of(answer) == (401, "Token expired")

    def test_an_app_with_headers_alone_reads_no_cookie(self) -> None:
        app = make_app(FLASK_ENV="production")
        app.get("/me")(verify_tenant_context(lambda: "in"))
        client = app.test_client(use_cookies=False)
        for name in (ACCESS, "fta"):
            assert client.get("/me", headers=cookie(token(), name)).status_code == 401
        assert client.get("/me", headers=bearer()).status_code == 200
        assert state_of(app).cookies is state_of(app).origins is None

    def test_cookies_count_without_the_hooks_of_the_extension_too(self) -> None:
        app = bare_app(FLASK_ENV="production", **COOKIES)
        app.route("/me", methods=["GET", "POST"])(verify_tenant_context(lambda: "in"))
        client = app.test_client(use_cookies=False)
        assert client.get("/me", headers=cookie(token())).status_code == 200
        other = cookie(token()) | {"Sec-Fetch-Site": "cross-site"}
        assert error_of(client.post("/me", headers=other)) == (403, "Origin not allowed")

    def test_a_user_is_limited_across_cookie_and_header(self) -> None:
        app = cookie_app(RATELIMIT_DEFAULT="2 per hour")[0]
        client = https_client(app, jar=False)
        assert client.get("/api/me", headers=cookie(token())).status_code == 200
        assert client.get("/api/me", headers=bearer()).status_code == 200
        limited = client.get("/api/me", headers=cookie(token()))
        assert limited.status_code == 429
        other = cookie(token(user_id=OTHER_USER))
        assert client.get("/api/me", headers=other).status_code == 200

    def test_invalid_tokens_in_cookies_are_counted_for_options_too(self) -> None:
        app = cookie_app(AUTH_FAILURE_LIMIT="2 per hour")[0]
        client = https_client(app, jar=False)
        statuses = [
            client.options("/api/me", headers=cookie("a.b.c")).status_code for _ in range(3)
        ]
        assert statuses == [200, 200, 429]


class TestCaches:
    """A shared cache keeps what says for how long, and gives it to others unless it varies."""

    @staticmethod
    def app(**config: Any) -> Flask:
        app, _ = cookie_app(**config)

        @app.get("/api/report")
        @verify_tenant_context
        def report() -> Response:
            response = Response(current_identity.user_id)
            response.cache_control.max_age = 3600
            response.headers["Vary"] = "Accept-Encoding"
            return response

        @app.get("/api/broken")
        def broken() -> Response:
            raise OSError

        return app

    @pytest.mark.parametrize(
        ("path", "status"),
        [("/api/report", 200), ("/api/me", 200), ("/api/broken", 500), ("/api/nothing", 404)],
    )
    def test_every_answer_of_the_app_varies_by_cookie(self, path: str, status: int) -> None:
        app = self.app(TESTING=False)
        client = https_client(app)
        client.post("/api/login")
        response = client.get(path)
        assert response.status_code == status
        assert "cookie" in response.vary

    def test_a_denial_varies_too_and_the_names_of_the_view_and_of_cors_stay(self) -> None:
        app = self.app()
        assert "cookie" in https_client(app).get("/api/me").vary
        client = https_client(app)
        client.post("/api/login")
        assert client.get("/api/report").headers.getlist("Vary") == [
            "Accept-Encoding, Cookie, Origin"
        ]

    def test_static_files_are_for_everybody_and_vary_by_nothing_of_ours(self) -> None:
        app = self.app()
        app.static_folder = __file__.rpartition("/")[0]
        with https_client(app).get("/static/test_cookies.py") as response:
            assert response.status_code == 200
            assert "cookie" not in response.vary

    def test_static_files_that_a_hook_protects_vary(self) -> None:
        files = Blueprint(
            "files", __name__, url_prefix="/files", static_folder=".", static_url_path="/"
        )
        files.before_request(verify_tenant_context(lambda: None))
        app = self.app()
        app.register_blueprint(files)
        client = https_client(app)
        assert client.get("/files/test_cookies.py").status_code == 401
        client.post("/api/login")
        with client.get("/files/test_cookies.py") as response:
            assert response.status_code == 200
            assert "cookie" in response.vary

    def test_an_app_with_headers_alone_varies_by_no_cookie(self) -> None:
        app = make_app()
        response = app.test_client().get("/me", headers=bearer())
        assert "cookie" not in response.vary


class TestTheStepOfTheCore:
    def counted(self, environ: dict[str, Any], *name: str | None) -> tuple[Any, Any]:
        state = state_of(make_app())
        record = RequestRecord(state)
        limits = (Limit(parse_rates("5 per hour")[0], scope="x"),)
        decision = authenticate_and_count(
            record, environ, state.keyring, state.limiter, limits, "192.0.2.1", *name
        )
        return decision, record.invalid_token

    def test_a_cookie_is_authenticated_and_counted_in_one_step(self) -> None:
        environ = EnvironBuilder("/", headers=cookie(token(), "a")).get_environ()
        decision, invalid = self.counted(environ, "a")
        assert isinstance(decision, Decision)
        assert (decision.remaining, invalid) == (4, None)

    @pytest.mark.parametrize("name", [(), (None,), ("b",), ("",)])
    def test_without_that_name_no_cookie_is_read(self, name: tuple[str | None, ...]) -> None:
        environ = EnvironBuilder("/", headers=cookie(token(), "a")).get_environ()
        assert self.counted(environ, *name) == (None, None)

    def test_odd_values_of_environ_are_left_to_python(self) -> None:
        for value in (None, 7, b"a=1", "a=1; a=2", "a=", "a", "\u20aca=1"):
            assert self.counted({"HTTP_COOKIE": value}, "a") == (None, None)
        _, invalid = self.counted({"HTTP_COOKIE": "a=x.y.z"}, "a")
        assert invalid is not None

    @pytest.mark.parametrize("name", [7, b"a", object()])
    def test_a_name_that_is_no_str_is_a_type_error(self, name: Any) -> None:
        with pytest.raises(TypeError, match="cookie"):
            self.counted({}, name)


class TestFindCookie:
    @pytest.mark.parametrize("arguments", [(), ("a",), ("a", "b", "c"), (b"a", "b"), ("a", None)])
    def test_wrong_arguments_are_a_type_error(self, arguments: tuple[Any, ...]) -> None:
        with pytest.raises(TypeError, match="find_cookie"):
            find_cookie(*arguments)

    @hypothesis_settings(max_examples=500, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "A", "aa", " a", "a\t", "\xa0a", "", "b"]),
                st.sampled_from(["=", "", "=="]),
                st.text('xy= ,"', max_size=4),
            )
        ),
        st.sampled_from([";", "; ", " ;\t", ",", ";;"]),
    )
    def test_it_agrees_with_a_plain_model(
        self, parts: list[tuple[str, str, str]], separator: str
    ) -> None:
        header = separator.join("".join(part) for part in parts)
        values = [
            value.strip(" \t")
            for name, equals, value in (pair.partition("=") for pair in header.split(";"))
            if equals and name.strip(" \t") == "a"
        ]
        if len(values) > 1:
            with pytest.raises(ValueError, match="several"):
                find_cookie(header, "a")
        else:
            assert find_cookie(header, "a") == (values[0] if values else None)


def test_the_current_identity_has_the_session_of_its_cookie() -> None:
    app, _ = cookie_app()
    client = https_client(app)
    session_id = client.post("/api/login").get_json()["session_id"]
    with client:
        assert client.get("/api/me").get_json() == {"user_id": USER, "session_id": session_id}
        assert (current_identity.tenant_id, current_identity.user_id) == (TENANT, USER)


def test_a_second_app_of_the_process_keeps_its_own_locations() -> None:
    first, _ = cookie_app()
    second = bare_app()
    TenantAuth(second)
    assert state_of(first).cookies is not None
    assert state_of(second).cookies is None
