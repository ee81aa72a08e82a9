"""A name that begins as ours do is one of ours, or a production app does not start."""

from __future__ import annotations

import logging
import string
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from apps import bare_app, make_app, production_app
from flask_tenant_auth import ConfigurationError, TenantAuth, create_jwt_token
from flask_tenant_auth.config.names import (
    COUNTERPARTS,
    NEIGHBOURS,
    PREFIXES,
    nearest,
    unknown_names,
)
from flask_tenant_auth.config.settings import KEYS
from flask_tenant_auth.flask.state import state_of

# What the libraries read whose place this one takes: Flask-JWT-Extended 4.7.4 (the defaults that it
# writes into app.config), Flask-Limiter 4.1.1 (constants.py) and Flask-Cors 6.0.5 (CONFIG_OPTIONS).
FLASK_JWT_EXTENDED = """
JWT_ACCESS_COOKIE_NAME JWT_ACCESS_COOKIE_PATH JWT_ACCESS_CSRF_COOKIE_NAME
JWT_ACCESS_CSRF_COOKIE_PATH JWT_ACCESS_CSRF_FIELD_NAME JWT_ACCESS_CSRF_HEADER_NAME
JWT_ACCESS_TOKEN_EXPIRES JWT_ALGORITHM JWT_COOKIE_CSRF_PROTECT JWT_COOKIE_DOMAIN
JWT_COOKIE_SAMESITE JWT_COOKIE_SECURE JWT_CSRF_CHECK_FORM JWT_CSRF_IN_COOKIES JWT_CSRF_METHODS
JWT_DECODE_ALGORITHMS JWT_DECODE_AUDIENCE JWT_DECODE_ISSUER JWT_DECODE_LEEWAY JWT_ENCODE_AUDIENCE
JWT_ENCODE_ISSUER JWT_ENCODE_NBF JWT_ERROR_MESSAGE_KEY JWT_HEADER_NAME JWT_HEADER_TYPE
JWT_IDENTITY_CLAIM JWT_JSON_KEY JWT_PRIVATE_KEY JWT_PUBLIC_KEY JWT_QUERY_STRING_NAME
JWT_QUERY_STRING_VALUE_PREFIX JWT_REFRESH_COOKIE_NAME JWT_REFRESH_COOKIE_PATH
JWT_REFRESH_CSRF_COOKIE_NAME JWT_REFRESH_CSRF_COOKIE_PATH JWT_REFRESH_CSRF_FIELD_NAME
JWT_REFRESH_CSRF_HEADER_NAME JWT_REFRESH_JSON_KEY JWT_REFRESH_TOKEN_EXPIRES JWT_SECRET_KEY
JWT_SESSION_COOKIE JWT_TOKEN_LOCATION JWT_VERIFY_SUB
"""
FLASK_LIMITER = """
RATELIMIT_APPLICATION RATELIMIT_APPLICATION_COST RATELIMIT_APPLICATION_DEDUCT_WHEN
RATELIMIT_APPLICATION_EXEMPT_WHEN RATELIMIT_APPLICATION_PER_METHOD RATELIMIT_DEFAULT
RATELIMIT_DEFAULTS_COST RATELIMIT_DEFAULTS_DEDUCT_WHEN RATELIMIT_DEFAULTS_EXEMPT_WHEN
RATELIMIT_DEFAULTS_PER_METHOD RATELIMIT_ENABLED RATELIMIT_FAIL_ON_FIRST_BREACH
RATELIMIT_HEADERS_ENABLED RATELIMIT_HEADER_LIMIT RATELIMIT_HEADER_REMAINING RATELIMIT_HEADER_RESET
RATELIMIT_HEADER_RETRY_AFTER RATELIMIT_HEADER_RETRY_AFTER_VALUE RATELIMIT_IN_MEMORY_FALLBACK
RATELIMIT_IN_MEMORY_FALLBACK_ENABLED RATELIMIT_KEY_FUNC RATELIMIT_KEY_PREFIX RATELIMIT_META
RATELIMIT_ON_BREACH_CALLBACK RATELIMIT_ON_META_BREACH_CALLBACK RATELIMIT_REQUEST_IDENTIFIER
RATELIMIT_STORAGE_OPTIONS RATELIMIT_STORAGE_URI RATELIMIT_STRATEGY RATELIMIT_SWALLOW_ERRORS
"""
FLASK_CORS = """
CORS_ALLOW_HEADERS CORS_ALLOW_PRIVATE_NETWORK CORS_ALWAYS_SEND CORS_AUTOMATIC_OPTIONS
CORS_EXPOSE_HEADERS CORS_INTERCEPT_EXCEPTIONS CORS_MAX_AGE CORS_METHODS CORS_ORIGINS
CORS_RESOURCES CORS_SEND_WILDCARD CORS_SUPPORTS_CREDENTIALS CORS_VARY_HEADER
"""


@pytest.fixture(autouse=True)
def _only_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith(PREFIXES) or name == "FLASK_ENV":
            monkeypatch.delenv(name)


def error_of_production(**config: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        production_app(**config)
    return str(caught.value)


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("JWT_SECRET", "JWT_SECRET_KEY"),
            ("JWT_EXPIRATION_HOUR", "JWT_EXPIRATION_HOURS"),
            ("JWT_LEWAY", "JWT_LEEWAY"),
            ("JWT_ISSUERR", "JWT_ISSUER"),
            ("AUTH_TRUSTED_GATEWAY", "AUTH_TRUSTED_GATEWAYS"),
            ("AUTH_IGNORE_CONFIGS", "AUTH_IGNORE_CONFIG"),
            ("RATELIMIT_DEFUALT", "RATELIMIT_DEFAULT"),
            ("CORS_ORIGIN", "CORS_ORIGINS"),
        ],
    )
    def test_a_misspelt_name_stops_production_with_the_name_that_was_meant(
        self, name: str, meant: str
    ) -> None:
        message = error_of_production(**{name: "x"})
        assert message.startswith(f"{name} (in app.config) ")
        assert f"the nearest name is {meant}." in message
        assert f"AUTH_IGNORE_CONFIG={name}" in message

    def test_unknown_names_in_the_environment_are_found_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        production_app()
        monkeypatch.setenv("AUTH_PORT_80_TCP", "tcp://10.0.0.1:80")
        assert error_of_production().startswith("AUTH_PORT_80_TCP (in the environment) ")
        monkeypatch.setenv("AUTH_IGNORE_CONFIG", "AUTH_PORT_80_TCP")
        production_app()

    def test_an_empty_variable_of_the_environment_is_found_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RATELIMIT_DEFAULT empty is no limit; so somebody may think of RATELIMIT_DEFALT."""
        monkeypatch.setenv("RATELIMIT_DEFALT", "")
        assert "RATELIMIT_DEFAULT" in error_of_production()

    def test_a_name_set_to_none_is_not_found(self) -> None:
        production_app(JWT_COOKIE_DOMAIN=None)

    def test_all_unknown_names_are_named_at_once(self) -> None:
        message = error_of_production(CORS_ORIGIN="*", AUTH_X="y")
        assert message.startswith("AUTH_X (in app.config) ")
        assert "CORS_ORIGIN (in app.config) " in message
        assert message.endswith("AUTH_IGNORE_CONFIG=AUTH_X,CORS_ORIGIN")

    def test_the_printed_list_of_names_is_accepted(self) -> None:
        config = {"JWT_OTHER": 1, "CORS_OTHER": 2}
        listed = error_of_production(**config).rpartition("AUTH_IGNORE_CONFIG=")[2]
        production_app(**config, AUTH_IGNORE_CONFIG=listed)
        with pytest.raises(ConfigurationError, match="RATELIMIT_OTHER"):
            production_app(**config, RATELIMIT_OTHER=3, AUTH_IGNORE_CONFIG=listed)

    @settings(deadline=None)
    @given(st.text("ABZ019_.-:=%\u00e9", max_size=12))
    def test_the_printed_list_is_accepted_whatever_the_name(self, rest: str) -> None:
        name = f"AUTH_{rest}"
        if name in KEYS:
            return
        listed = error_of_production(**{name: 1}).rpartition("AUTH_IGNORE_CONFIG=")[2]
        production_app(**{name: 1}, AUTH_IGNORE_CONFIG=listed)

    def test_a_missing_key_is_named_by_its_misspelt_name(self) -> None:
        """Not as a key that nobody set."""
        message = error_of_production(JWT_SECRET_KEY=None, JWT_SECRETKEY="k" * 40)
        assert message.startswith("JWT_SECRETKEY ")

    def test_no_value_is_shown(self) -> None:
        assert "hunter2" not in error_of_production(JWT_SECRETKEY="hunter2")

    def test_development_warns_and_starts(self, caplog: pytest.LogCaptureFixture) -> None:
        make_app(JWT_LEWAY=7, AUTH_IGNORE_CONFIG=["AUTH_X"], AUTH_X=1)
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("flask_tenant_auth", logging.WARNING)
        assert record.getMessage() == (
            "JWT_LEWAY (in app.config) is no setting of this library; the nearest name is "
            "JWT_LEEWAY: it is not read, and production will not start"
        )

    def test_unknown_names_are_found_without_an_app_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JWT_SECRET_KEY", "k" * 64)
        monkeypatch.setenv("JWT_ISUER", "me")
        with pytest.raises(ConfigurationError, match=r"JWT_ISUER \(in the environment\)"):
            create_jwt_token("x", "y")

    def test_names_with_other_prefixes_are_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_JWT_THING", "1")
        monkeypatch.setenv("jwt_lower", "1")
        app = bare_app(FLASK_ENV="production", SQLALCHEMY_DATABASE_URI="sqlite://", jwt_lower=1)
        app.config[7] = "a key that is no text"  # type: ignore[index]
        from flask_tenant_auth import TenantAuth

        TenantAuth(app)

    def test_every_setting_of_ours_is_known(self) -> None:
        assert unknown_names(dict.fromkeys(KEYS, 1), {}, KEYS) == []
        assert unknown_names({}, dict.fromkeys(KEYS, ""), KEYS) == []

    @settings(deadline=None)
    @given(
        st.sampled_from(PREFIXES),
        st.text(string.ascii_uppercase + string.digits + "_", max_size=30),
    )
    def test_any_other_name_with_one_of_the_prefixes_is_unknown(
        self, prefix: str, rest: str
    ) -> None:
        name = prefix + rest
        for config, environ in (({name: 1}, {}), ({}, {name: "1"})):
            found = unknown_names(config, environ, KEYS)
            assert [each.name for each in found] == ([] if name in KEYS else [name])
            assert all(nearest(each.name, KEYS) in each.sentence(KEYS) for each in found) or (
                name in COUNTERPARTS
            )

    @settings(deadline=None)
    @given(st.sampled_from(sorted(KEYS)), st.data())
    def test_a_slip_of_one_letter_names_the_setting_that_was_meant(
        self, name: str, data: st.DataObject
    ) -> None:
        at = data.draw(st.integers(len("RATELIMIT_"), max(len(name) - 1, len("RATELIMIT_"))))
        slip = name[:at] + name[at + 1 :]
        if slip != name and slip not in KEYS:
            assert nearest(slip, KEYS) == name


class TestNamesOfOtherLibraries:
    @pytest.mark.parametrize("name", (FLASK_JWT_EXTENDED + FLASK_LIMITER + FLASK_CORS).split())
    def test_each_is_a_setting_here_or_is_explained(self, name: str) -> None:
        if name in KEYS:
            assert name not in COUNTERPARTS
            return
        library = {"JWT": "Flask-JWT-Extended", "CORS": "Flask-Cors"}
        message = error_of_production(**{name: "x"})
        whose = library.get(name.partition("_")[0], "Flask-Limiter")
        assert f"{name} (in app.config) is a setting of {whose}; " in message
        assert ("does the same here" in message) != ("has no counterpart here: " in message)

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("JWT_ACCESS_TOKEN_EXPIRES", "JWT_EXPIRATION_HOURS (in hours)"),
            ("JWT_DECODE_LEEWAY", "JWT_LEEWAY"),
            ("JWT_DECODE_AUDIENCE", "JWT_AUDIENCE"),
            ("JWT_ENCODE_ISSUER", "JWT_ISSUER"),
            ("RATELIMIT_STORAGE_URI", "REDIS_URL"),
            ("RATELIMIT_STORAGE_URL", "REDIS_URL"),
            ("RATELIMIT_SWALLOW_ERRORS", "RATELIMIT_ON_STORE_ERROR=allow"),
            ("CORS_HEADERS", "CORS_ALLOW_HEADERS"),
        ],
    )
    def test_a_name_of_another_library_gets_the_name_that_does_the_same(
        self, theirs: str, ours: str
    ) -> None:
        assert f"; {ours}" in error_of_production(**{theirs: "x"})

    def test_the_advised_name_is_a_setting(self) -> None:
        for name, counterpart in COUNTERPARTS.items():
            assert name.startswith(PREFIXES)
            assert name not in KEYS
            if "does the same" in counterpart.advice:
                advised = counterpart.advice.split()[0].partition("=")[0]
                assert advised in KEYS, name


class TestLibrariesBesideThisOne:
    """What they put into app.config is no setting that somebody misspelt."""

    def test_the_table_has_all_names_of_apiflask_and_no_other(self) -> None:
        import apiflask.settings

        theirs = {name for name in vars(apiflask.settings) if name.startswith(PREFIXES)}
        assert theirs == set(NEIGHBOURS)
        assert not theirs & (set(KEYS) | set(COUNTERPARTS))

    def test_an_apiflask_app_starts_and_a_misspelt_name_stops_it(self) -> None:
        from apiflask import APIFlask

        def start(**config: Any) -> None:
            app = APIFlask("shop")
            app.config.update(FLASK_ENV="production", JWT_SECRET_KEY="k" * 64, REDIS_URL="")
            app.config.update(config)
            TenantAuth(app)

        start()
        start(AUTH_ERROR_DESCRIPTION="who are you?", AUTH_ERROR_STATUS_CODE=403)
        with pytest.raises(ConfigurationError, match="AUTH_ERROR_STATUS_CODES"):
            start(AUTH_ERROR_STATUS_CODES=403)

    def test_an_app_with_all_libraries_that_the_docs_name_starts(self) -> None:
        """Each made as its own documentation does, before and after TenantAuth."""
        import flask_restful
        import flask_restx
        import flask_smorest
        import flask_socketio
        import flask_sqlalchemy

        for early in (True, False):
            app = bare_app(
                FLASK_ENV="production",
                JWT_SECRET_KEY="k" * 64,
                REDIS_URL="",
                SQLALCHEMY_DATABASE_URI="sqlite://",
                API_TITLE="shop",
                API_VERSION="1",
                OPENAPI_VERSION="3.0.3",
            )
            if not early:
                TenantAuth(app)
            flask_sqlalchemy.SQLAlchemy(app)
            flask_smorest.Api(app)
            flask_restful.Api(app, prefix="/restful")
            flask_restx.Api(app, prefix="/restx", doc=False)
            flask_socketio.SocketIO(app, async_mode="threading")
            if early:
                TenantAuth(app)
            result = app.test_cli_runner().invoke(args=["auth", "check"])
            assert "is no setting of this library" not in result.output

    def test_a_default_of_the_class_of_the_app_is_ignored(self) -> None:
        class Shop(Flask):
            default_config = {**Flask.default_config, "AUTH_PAGES": ["a"], "JWT_ISSUER": "shop"}  # noqa: RUF012

        def start(**config: Any) -> Flask:
            app = Shop("shop")
            app.config.update(FLASK_ENV="production", JWT_SECRET_KEY="k" * 64, REDIS_URL="")
            app.config.update(config)
            TenantAuth(app)
            return app

        app = start()
        start(AUTH_PAGES=["a"])
        assert state_of(app).settings.jwt_issuer == "shop"  # what is ours is read all the same
        for value in (["b"], 1, "a"):
            with pytest.raises(ConfigurationError, match=r"AUTH_PAGES \(in app.config\)"):
                start(AUTH_PAGES=value)
