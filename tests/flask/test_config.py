"""Settings: where values come from, what is refused, and what the refusal says."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Flask

from apps import SECRET, TENANT, USER, bare_app, identity_headers, make_app, production_app
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    TenantAuth,
    create_jwt_token,
    decode_jwt_token,
    verify_tenant_context,
)
from flask_tenant_auth.config.key_sources import PairText
from flask_tenant_auth.config.settings import DEFAULT_SECRET_KEY, Settings
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.limit.limiters import limiter_of
from key_pairs import RSA_PRIVATE, RSA_PUBLIC
from paths import SUPPORT

KEYS = [each.name.upper() for each in dataclasses.fields(Settings)]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)


def settings(**config: Any) -> Settings:
    return Settings.from_app(bare_app(**config))


class TestSources:
    def test_the_defaults_are_the_documented_ones(self) -> None:
        app = Flask("plain")
        app.testing = True
        found = Settings.from_app(app)
        assert found.jwt_secret_key == b"your-secret-key-change-in-production"
        assert (found.jwt_algorithm, found.jwt_expiration_hours) == ("HS256", 24)
        assert (found.jwt_leeway, found.jwt_issuer, found.jwt_audience) == (0, None, ())
        assert found.jwt_max_token_bytes == 8192
        assert found.redis_url == "redis://localhost:6379/0"
        assert found.ratelimit_default == "50 per minute"
        assert found.ratelimit_enabled
        assert found.ratelimit_headers_enabled
        assert not found.ratelimit_ietf_headers_enabled
        assert found.ratelimit_strategy == "fixed-window"
        assert found.ratelimit_key_prefix == "plain"
        assert found.ratelimit_store_timeout_ms == 50
        assert found.ratelimit_on_store_error == "memory"
        assert found.ratelimit_shm_bytes is None
        assert found.auth_failure_limit == "30 per minute"
        assert found.auth_trusted_gateways == ()
        assert set(found.cors_origins) == {"http://localhost:3000", "https://localhost:3000"}
        assert not found.cors_supports_credentials
        assert found.cors_max_age == 600
        assert found.auth_ignore_config == ()
        assert found.cors_methods == ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        assert found.cors_allow_headers == ("Content-Type", "Authorization")
        assert found.cors_resources == ("/api/",)
        assert (found.flask_host, found.flask_port) == ("0.0.0.0", 5000)

    def test_app_config_comes_before_the_environment_and_that_before_the_default(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert settings().jwt_leeway == 0
        monkeypatch.setenv("JWT_LEEWAY", "7")
        assert settings().jwt_leeway == 7
        assert settings(JWT_LEEWAY=9).jwt_leeway == 9
        assert settings(JWT_LEEWAY=None).jwt_leeway == 7

    def test_an_empty_value_is_unset_where_it_has_no_meaning(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for key in KEYS:
            monkeypatch.setenv(key, "")
        app = Flask("plain")
        app.testing = True
        found = Settings.from_app(app)
        assert found.jwt_secret_key == DEFAULT_SECRET_KEY
        assert found.jwt_issuer is None
        assert found.development
        assert (found.redis_url, found.ratelimit_default, found.auth_failure_limit) == ("", "", "")
        assert found.cors_origins == ()

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings().jwt_leeway = 1  # type: ignore[misc]

    def test_settings_do_not_show_secrets(self) -> None:
        found = settings(
            JWT_SECRET_KEY_FALLBACKS=["f" * 40], REDIS_URL="redis://:hunter2@example.com/0"
        )
        for secret in (SECRET, "f" * 40, "hunter2"):
            assert secret not in repr(found)

    def test_without_an_app_only_the_environment_is_read(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY"):
            Settings.from_app(None)
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        assert Settings.from_app(None).jwt_secret_key == SECRET.encode()


class TestEnvironmentOfTheApp:
    @pytest.mark.parametrize(
        ("explicit", "debug", "testing", "development"),
        [
            (None, False, False, False),
            (None, True, False, True),
            (None, False, True, True),
            ("production", True, True, False),
            ("development", False, False, True),
            ("testing", False, True, True),
            ("testing", False, False, False),
            ("testing", True, False, False),
            ("test", True, True, False),
            ("Development", False, False, True),
            ("staging", True, True, False),
            ("developmnt", False, False, False),
        ],
    )
    def test_flask_env_comes_before_debug_and_testing_and_the_rest_is_production(
        self, explicit: str | None, debug: bool, testing: bool, development: bool
    ) -> None:
        app = bare_app(FLASK_ENV=explicit, TESTING=testing)
        app.debug = debug
        assert Settings.from_app(app).development is development
        assert state_of(app).development is development

    def test_testing_counts_while_the_app_s_testing_is_set(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in Flask's documented fixture: create_app(), then config.update(TESTING=True).

        A shared test server with that word believed anybody's X-Tenant-ID.
        """
        monkeypatch.setenv("FLASK_ENV", "testing")
        app = make_app(TESTING=False)
        app.get("/")(verify_tenant_context(lambda: "in"))

        def status(**query: str) -> int:
            return app.test_client().get("/", headers=identity_headers()).status_code

        assert status() == 401
        app.config.update(TESTING=True)
        assert status() == 200
        app.config.update(TESTING=False)
        assert status() == 401

    def test_no_word_counts_as_testing_only_while_testing_is_set(self) -> None:
        app = make_app()
        app.get("/")(verify_tenant_context(lambda: "in"))
        client, query = app.test_client(), {"tenant_id": TENANT, "user_id": USER}
        assert client.get("/", query_string=query).status_code == 200
        app.testing = False
        assert client.get("/", query_string=query).status_code == 401
        assert client.get("/", headers=identity_headers()).status_code == 401

    def test_testing_that_is_set_after_init_does_not_make_a_development_app(self) -> None:
        for explicit in (None, "production", "staging"):
            app = make_app(TESTING=False, FLASK_ENV=explicit)
            app.get("/")(verify_tenant_context(lambda: "in"))
            app.testing = True
            assert app.test_client().get("/", headers=identity_headers()).status_code == 401

    @pytest.mark.parametrize("value", ["false", "False", "0", "no", "", "off", 0, None])
    def test_testing_with_a_text_that_means_false_is_not_set(self, value: object) -> None:
        """As `config["TESTING"] = os.environ.get("TESTING")` makes it."""
        for word in (None, "testing"):
            assert not Settings.from_app(bare_app(FLASK_ENV=word, TESTING=value)).development
            assert not state_of(bare_app(FLASK_ENV=word, TESTING=value)).development
            assert Settings.from_app(bare_app(FLASK_ENV=word, TESTING="true")).development

    def test_testing_follows_the_rules_of_production_at_init_until_it_is_set(self) -> None:
        with pytest.raises(ConfigurationError, match="TESTING is set before TenantAuth"):
            make_app(FLASK_ENV="testing", TESTING=False, JWT_SECRET_KEY=None)
        make_app(FLASK_ENV="testing", TESTING=True, JWT_SECRET_KEY=None)

    def test_without_an_app_testing_is_production(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FLASK_ENV", "testing")
        with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY"):
            Settings.from_app(None)
        monkeypatch.setenv("FLASK_ENV", "development")
        assert Settings.from_app(None).development


class TestBooleans:
    @pytest.mark.parametrize("word", ["true", "1", "yes", "on", "TRUE", " On "])
    def test_words_for_true_are_true(self, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
        monkeypatch.setenv("CORS_SUPPORTS_CREDENTIALS", word)
        assert settings().cors_supports_credentials is True

    @pytest.mark.parametrize("word", ["false", "0", "no", "off", "False"])
    def test_words_for_false_are_false(self, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
        monkeypatch.setenv("RATELIMIT_ENABLED", word)
        assert settings().ratelimit_enabled is False

    @pytest.mark.parametrize("word", ["0", "1", "true", "false"])
    def test_values_of_from_prefixed_env_are_booleans(
        self, monkeypatch: pytest.MonkeyPatch, word: str
    ) -> None:
        """It takes values for JSON, so 0 and 1 come as int."""
        monkeypatch.setenv("FLASK_RATELIMIT_ENABLED", word)
        app = bare_app()
        app.config.from_prefixed_env()
        assert Settings.from_app(app).ratelimit_enabled is (word in ("1", "true"))


class TestRefused:
    @pytest.mark.parametrize(
        ("key", "value", "says"),
        [
            ("JWT_ALGORITHM", "none", "one of HS256"),
            ("JWT_ALGORITHM", "hs256", "one of HS256"),
            ("JWT_SECRET_KEY", 7, "str or bytes"),
            ("JWT_EXPIRATION_HOURS", 0, "number from"),
            ("JWT_EXPIRATION_HOURS", "a day", "number from"),
            ("JWT_EXPIRATION_HOURS", True, "number from"),
            ("JWT_LEEWAY", -1, "number from 0"),
            ("JWT_LEEWAY", "nan", "number from 0"),
            ("JWT_MAX_TOKEN_BYTES", 1.5, "number from"),
            ("JWT_MAX_TOKEN_BYTES", 200.5, "whole number"),
            ("JWT_JWKS_ROUTE", "jwks.json", "begin with a slash"),
            ("JWT_TENANT_KEYS", {}, "callable"),
            ("REDIS_URL", "http://localhost", "the scheme must be redis, rediss"),
            ("RATELIMIT_ENABLED", "maybe", "true or false"),
            ("RATELIMIT_ENABLED", 2, "true or false"),
            ("RATELIMIT_ENABLED", [], "true or false"),
            ("RATELIMIT_DEFAULT", "often", "often"),
            ("RATELIMIT_DEFAULT", 50, "must be text"),
            ("RATELIMIT_TENANT_DEFAULT", "0 minutes", ""),
            ("RATELIMIT_FAIR_SHARE", 0, "number from"),
            ("RATELIMIT_STRATEGY", "leaky", "one of fixed-window"),
            ("RATELIMIT_ON_STORE_ERROR", "panic", "one of memory"),
            ("AUTH_FAILURE_LIMIT", "few", "few"),
            ("AUTH_TRUSTED_GATEWAYS", "10.0.0.1/8", "host bits"),
            ("AUTH_TRUSTED_GATEWAYS", "gateway", "gateway"),
            ("CORS_ORIGINS", "https://a.example/", "no path"),
            ("CORS_ORIGINS", "https://*.example", "no pattern"),
            ("CORS_ORIGINS", "https://*.com:8443", "no pattern"),
            ("CORS_ORIGINS", "https://*", "no pattern"),
            ("CORS_ORIGINS", "https://*.", "an origin is"),
            ("CORS_ORIGINS", "https://*example.com", "no pattern"),
            ("CORS_ORIGINS", "https://*.*.example.com", "no pattern"),
            ("CORS_ORIGINS", "https://a.*.example.com", "no pattern"),
            ("CORS_ORIGINS", "https://a*.example.com", "no pattern"),
            ("CORS_ORIGINS", "https://*.example.com:*", "no pattern"),
            ("CORS_ORIGINS", "https://*.example.com/", "no path"),
            ("CORS_ORIGINS", "https://*.example.com.", "without the dot"),
            ("CORS_ORIGINS", "https://*.a..example.com", "no host"),
            ("CORS_ORIGINS", "https://user@*.example.com", "an origin is"),
            ("CORS_ORIGINS", "https://*.192.0.2.1", "IP address"),
            ("CORS_ORIGINS", "https://*.[::1]", "IP address"),
            ("CORS_ORIGINS", "*://example.com", "an origin is"),
            ("CORS_ORIGINS", "*, https://*.example", "no pattern"),
            ("CORS_ORIGINS", ["https://a.example,https://b.example"], "an origin is"),
            ("CORS_ORIGINS", "https://stra\u00dfe.example", "xn--"),
            ("CORS_ORIGINS", "https://.example.com", "no host"),
            ("CORS_ORIGINS", "https://user@a.example", "an origin is"),
            ("CORS_ORIGINS", "https://a.example:x", "an origin is"),
            ("CORS_ORIGINS", "a.example b.example", "an origin is"),
            ("CORS_ORIGINS", "https://a.exam\nple", "an origin is"),
            ("CORS_ORIGINS", "https://", "an origin is"),
            ("CORS_ORIGINS", "null", "sandboxed"),
            ("CORS_ORIGINS", 7, "comma list"),
            ("CORS_METHODS", "GET POST", "HTTP token"),
            ("CORS_METHODS", "P*", "whole names"),
            ("CORS_ALLOW_HEADERS", "X-A\r\nX-B", "HTTP token"),
            ("CORS_ALLOW_HEADERS", "X-*", "whole names"),
            ("CORS_EXPOSE_HEADERS", "*, X-*", "whole names"),
            ("AUTH_IGNORE_CONFIG", "JWT_*", "whole names"),
            ("AUTH_IGNORE_CONFIG", ["JWT_OTHER JWT_MORE"], "whole names"),
            ("AUTH_IGNORE_CONFIG", "JWT_ISSUER", "setting of this library"),
            ("AUTH_IGNORE_CONFIG", 7, "comma list"),
            ("RATELIMIT_SHM_BYTES", 2**14 - 1, "from 16384 to 4294967296"),
            ("RATELIMIT_SHM_BYTES", 2**32 + 1, "from 16384 to 4294967296"),
            ("RATELIMIT_KEY_PREFIX", "\udcff", "no UTF-8"),
            ("RATELIMIT_KEY_PREFIX", "ä" * 128, "from 0 to 255 bytes in UTF-8, not 256"),
            ("RATELIMIT_STORE_TIMEOUT_MS", 60_001, "from 1 to 60000"),
            ("RATELIMIT_LEASE", 0.51, "from 0 to 0.5"),
            ("RATELIMIT_LEASE", "half", "from 0 to 0.5"),
            ("JWT_ISSUER", "\udcff", "no UTF-8"),
            ("CORS_RESOURCES", "/\udcff", "no UTF-8"),
            ("REDIS_URL", "redis://\udcff", "no UTF-8"),
            ("REDIS_URL", "redis://localhost:99999", "port must be"),
            ("AUDIT_LOG", 7, "path"),
            ("CORS_RESOURCES", "api", "path prefix"),
            ("CORS_RESOURCES", r"^/api/.*$", "path prefix"),
            ("FLASK_PORT", "http", "number from"),
        ],
    )
    def test_an_invalid_setting_raises_with_its_name_and_the_fix(
        self, key: str, value: object, says: str
    ) -> None:
        with pytest.raises(ConfigurationError) as caught:
            TenantAuth(bare_app(**{key: value}))
        assert str(caught.value).startswith(f"{key} ")
        assert says in str(caught.value)

    def test_credentials_for_any_origin_are_an_error(self) -> None:
        with pytest.raises(ConfigurationError, match=r"CORS_ORIGINS.*CORS_SUPPORTS_CREDENTIALS"):
            settings(CORS_ORIGINS="*", CORS_SUPPORTS_CREDENTIALS=True)

    def test_exposing_all_headers_with_credentials_is_an_error(self) -> None:
        with pytest.raises(ConfigurationError, match=r"CORS_EXPOSE_HEADERS is '\*'"):
            settings(CORS_EXPOSE_HEADERS="*", CORS_SUPPORTS_CREDENTIALS=True)
        assert settings(CORS_EXPOSE_HEADERS="*").cors_expose_headers == ("*",)

    def test_the_error_does_not_repeat_a_secret(self) -> None:
        for key, value in (
            ("REDIS_URL", "redys://:hunter2@localhost"),
            ("JWT_SECRET_KEY_FALLBACKS", ["hunter2"]),
            ("JWT_PRIVATE_KEY", "hunter2"),
        ):
            with pytest.raises(ConfigurationError, match=key) as caught:
                settings(FLASK_ENV="production", **{key: value})
            assert "hunter2" not in str(caught.value)


class TestBlank:
    """What a template leaves of variables that are not set is no setting: not even "off"."""

    @pytest.mark.parametrize("blank", [" ", " , ", ",", "\t\n", "\u00a0", " ,,  ,"])
    @pytest.mark.parametrize("key", KEYS)
    def test_text_of_white_space_and_commas_is_an_error_that_names_the_setting(
        self, key: str, blank: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(ConfigurationError, match=f"^{key} is set to white space"):
            settings(**{key: blank})
        monkeypatch.setenv(key, blank)
        with pytest.raises(ConfigurationError, match=f"^{key} is set to white space"):
            Settings.from_app(None)

    @pytest.mark.parametrize("blank", [[""], [" ", ""], (",",), {""}, [b""], [[""]]])
    @pytest.mark.parametrize(
        "key", ["JWT_AUDIENCE", "CORS_ORIGINS", "AUTH_TRUSTED_GATEWAYS", "JWT_SECRET_KEY_FALLBACKS"]
    )
    def test_a_list_of_empty_items_is_an_error_too(self, key: str, blank: Any) -> None:
        with pytest.raises(ConfigurationError, match=f"^{key} is set to white space"):
            settings(**{key: blank})

    def test_a_secret_of_white_space_is_an_error_as_bytes_too(self) -> None:
        with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY is set to white space"):
            settings(JWT_SECRET_KEY=b" " * 64)

    def test_an_empty_string_keeps_its_meaning_and_so_does_an_empty_list(self) -> None:
        empty = settings(
            RATELIMIT_DEFAULT="",
            AUTH_FAILURE_LIMIT="",
            REDIS_URL="",
            JWT_AUDIENCE="",
            JWT_ISSUER="",
        )
        assert (empty.ratelimit_default, empty.auth_failure_limit, empty.redis_url) == ("", "", "")
        assert (empty.jwt_audience, empty.jwt_issuer) == ((), None)
        assert settings(CORS_ORIGINS=[]).cors_origins == ()

    def test_one_item_among_empty_ones_is_a_setting(self) -> None:
        assert settings(JWT_AUDIENCE=" , web,").jwt_audience == ("web",)
        assert settings(JWT_AUDIENCE=["", "web"]).jwt_audience == ("web",)


class TestSecrets:
    @pytest.mark.parametrize("secret", [None, "", DEFAULT_SECRET_KEY, "short", b"s" * 31])
    def test_production_does_not_start_without_a_good_secret(self, secret: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            production_app(JWT_SECRET_KEY=secret)
        assert str(caught.value).startswith("JWT_SECRET_KEY ")
        assert "flask auth generate-key" in str(caught.value)

    @pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
    def test_a_secret_shorter_than_the_hash_stops_production(
        self, algorithm: str, least: int
    ) -> None:
        production_app(JWT_SECRET_KEY="s" * least, JWT_ALGORITHM=algorithm)
        with pytest.raises(ConfigurationError, match=f"{least} or more"):
            production_app(JWT_SECRET_KEY="s" * (least - 1), JWT_ALGORITHM=algorithm)

    def test_a_weak_fallback_stops_production(self) -> None:
        with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY_FALLBACKS"):
            production_app(JWT_SECRET_KEY_FALLBACKS=["short"])
        with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY_FALLBACKS"):
            production_app(JWT_SECRET_KEY_FALLBACKS=[DEFAULT_SECRET_KEY])

    def test_development_warns_once_per_app(self, caplog: pytest.LogCaptureFixture) -> None:
        app = make_app(JWT_SECRET_KEY=None)
        app.get("/")(lambda: "in")
        app.test_client().get("/")
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("flask_tenant_auth", logging.WARNING)
        assert "JWT_SECRET_KEY is the documented default" in record.getMessage()

    def test_a_good_secret_logs_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        make_app()
        production_app()
        assert caplog.records == []

    def test_bytes_are_one_fallback(self) -> None:
        assert settings(JWT_SECRET_KEY_FALLBACKS=b"f" * 40).jwt_secret_key_fallbacks == (b"f" * 40,)

    @pytest.mark.parametrize("around", ["{}\n", " {}", "\t{}\r\n"])
    def test_white_space_around_the_documented_key_does_not_make_it_a_secret(
        self, around: str
    ) -> None:
        """As a file of one line, or an env file, gives it."""
        documented = around.format("your-secret-key-change-in-production")
        with pytest.raises(ConfigurationError, match="documented default"):
            production_app(JWT_SECRET_KEY=documented)
        production_app(JWT_SECRET_KEY=around.format("n" * 32))

    def test_a_list_of_fallbacks_is_not_split(self) -> None:
        """A comma list cannot hold them; and JWT_SECRET_KEY, which they were, is not cut."""
        secrets = [f"{'a' * 20},{'b' * 20}", f" {'c' * 40}\n"]
        app = make_app(JWT_SECRET_KEY_FALLBACKS=["", *secrets])
        for secret in secrets:
            with make_app(JWT_SECRET_KEY=secret).app_context():
                older = create_jwt_token(TENANT, USER)
            with app.app_context():
                assert decode_jwt_token(older)["user_id"] == USER

    def test_the_path_of_a_key_never_becomes_a_secret(self, tmp_path: Path) -> None:
        """JWT_PUBLIC_KEY takes a path: whoever guessed the one of a fallback could sign with it."""
        folder = tmp_path / ("keys of the service" * 2)
        folder.mkdir()
        keys = {"JWT_ALGORITHM": "RS256", "JWT_PRIVATE_KEY": RSA_PRIVATE}
        for name in ("old.pem", "old-public-key"):
            path = folder / name
            path.write_text(RSA_PUBLIC)
            found = settings(JWT_SECRET_KEY_FALLBACKS=str(path), **keys)
            assert found.jwt_secret_key_fallbacks == (PairText(RSA_PUBLIC.encode(), str(path)),)
            claims = {"tenant_id": TENANT, "user_id": USER, "exp": 2**33}
            forged = jwt.encode(claims, str(path), "HS256")
            app = production_app(JWT_SECRET_KEY_FALLBACKS=[str(path)], **keys)
            with app.app_context(), pytest.raises(AuthError, match="Invalid token"):
                decode_jwt_token(forged)
        with pytest.raises(ConfigurationError, match=r"JWT_SECRET_KEY_FALLBACKS .* neither PEM"):
            make_app(JWT_SECRET_KEY_FALLBACKS=[str(folder / "gone.pem")], **keys)

    def test_a_comma_list_of_fallbacks_is_split(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_SECRET_KEY_FALLBACKS", f"{'a' * 40}, {'b' * 40},")
        assert settings().jwt_secret_key_fallbacks == (b"a" * 40, b"b" * 40)


class TestOrigins:
    @pytest.mark.parametrize(
        ("given", "origins"),
        [
            ("localhost:3000", {"http://localhost:3000", "https://localhost:3000"}),
            ("127.0.0.1", {"http://127.0.0.1", "https://127.0.0.1"}),
            ("[::1]:80", {"http://[::1]", "https://[::1]:80"}),
            ("app.localhost", {"http://app.localhost", "https://app.localhost"}),
            ("app.example.com", {"https://app.example.com"}),
            ("localhost.example.com", {"https://localhost.example.com"}),
            ("app.example.com:8443", {"https://app.example.com:8443"}),
            ("https://app.example.com:443", {"https://app.example.com"}),
            ("http://App.Example.com:80", {"http://app.example.com"}),
            ("https://bücher.example", {"https://xn--bcher-kva.example"}),
            ("capacitor://localhost", {"capacitor://localhost"}),
            ("a.example, https://b.example", {"https://a.example", "https://b.example"}),
            (["a.example"], {"https://a.example"}),
            ("a.example, *", {"*"}),
            ("https://*.example.com", {"https://*.example.com"}),
            ("*.example.com", {"https://*.example.com"}),
            ("http://*.Example.com:80", {"http://*.example.com"}),
            ("https://*.example.com:8443", {"https://*.example.com:8443"}),
            ("https://*.bücher.example", {"https://*.xn--bcher-kva.example"}),
            ("*.localhost:3000", {"http://*.localhost:3000", "https://*.localhost:3000"}),
            (["a.example", " ", ""], {"https://a.example"}),
            ("", set()),
        ],
    )
    def test_origins_are_written_as_a_browser_writes_them(
        self, given: Any, origins: set[str]
    ) -> None:
        assert set(settings(CORS_ORIGINS=given).cors_origins) == origins


class TestEveryValueThatIsTakenWorks:
    """What is admitted here and refused later would be refused without the name of the key."""

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("RATELIMIT_KEY_PREFIX", "p" * 255),
            ("RATELIMIT_SHM_BYTES", 2**14),
            ("RATELIMIT_SHM_BYTES", 2**32),
            ("RATELIMIT_STORE_TIMEOUT_MS", 1),
            ("RATELIMIT_STORE_TIMEOUT_MS", 60_000),
            ("RATELIMIT_FAIR_SHARE", 0.01),
            ("RATELIMIT_LEASE", 0),
            ("RATELIMIT_LEASE", 0.5),
            ("JWT_EXPIRATION_HOURS", 1 / 3600),
            ("JWT_EXPIRATION_HOURS", 24 * 366 * 100),
            ("JWT_LEEWAY", 86400),
            ("JWT_MAX_TOKEN_BYTES", 128),
            ("JWT_MAX_TOKEN_BYTES", 2**20),
            ("CORS_MAX_AGE", 0),
            ("CORS_MAX_AGE", 86400),
        ],
    )
    def test_an_app_starts_at_both_ends_of_the_range(self, key: str, value: Any) -> None:
        of_redis = ("RATELIMIT_STORE_TIMEOUT_MS", "RATELIMIT_KEY_PREFIX")
        more = {"REDIS_URL": "redis://127.0.0.1:1/0"} if key in of_redis else {}
        app = make_app(RATELIMIT_TENANT_DEFAULT="5 per minute", **{key: value}, **more)
        app.get("/")(verify_tenant_context(lambda: "in"))
        assert app.test_client().get("/", headers=identity_headers()).status_code == 200
        with app.app_context():
            if key != "JWT_MAX_TOKEN_BYTES" or value > 128:
                assert decode_jwt_token(create_jwt_token(TENANT, USER))["user_id"] == USER


class TestAnErrorOfTheLimiter:
    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("ratelimit_shm_bytes", 5, r"^RATELIMIT_SHM_BYTES must be from 16384"),
            ("ratelimit_store_timeout_ms", 0, r"^RATELIMIT_STORE_TIMEOUT_MS must be from 1"),
            ("ratelimit_key_prefix", "p" * 256, r"^RATELIMIT_KEY_PREFIX must be from 0 to 255"),
            ("ratelimit_strategy", "leaky", r"^RATELIMIT_STRATEGY must be one of"),
            ("ratelimit_on_store_error", "x", r"^RATELIMIT_ON_STORE_ERROR must be one of"),
            ("ratelimit_lease", 0.6, r"^RATELIMIT_LEASE must be a number from 0 to 0.5"),
            ("redis_url", "redis://h:x", r"^REDIS_URL cannot be used: the port"),
        ],
    )
    def test_names_the_setting_of_the_argument(
        self, field: str, value: object, message: str
    ) -> None:
        found = dataclasses.replace(settings(), **{field: value})
        with pytest.raises(ConfigurationError, match=message):
            limiter_of(found, app="", shared=False)

    def test_about_the_path_of_the_app_names_the_setting_that_helps(self) -> None:
        with pytest.raises(ConfigurationError, match=r"^RATELIMIT_KEY_PREFIX must be set"):
            limiter_of(settings(), app="\udcff", shared=False)


class TestLists:
    def test_networks_are_read_from_a_comma_list(self) -> None:
        found = settings(AUTH_TRUSTED_GATEWAYS="10.0.0.0/8, 192.0.2.7, fd00::/8")
        assert found.auth_trusted_gateways == (
            ip_network("10.0.0.0/8"),
            ip_network("192.0.2.7/32"),
            ip_network("fd00::/8"),
        )

    def test_ipv4_networks_written_as_ipv6_are_ipv4_networks(self) -> None:
        """A peer is compared as the IPv4 address that it is, so these never matched any."""
        found = settings(AUTH_TRUSTED_GATEWAYS="::ffff:10.0.0.0/104, ::ffff:192.0.2.7, ::/0")
        assert found.auth_trusted_gateways == (
            ip_network("10.0.0.0/8"),
            ip_network("192.0.2.7/32"),
            ip_network("::/0"),
        )

    def test_resources_are_path_prefixes(self) -> None:
        found = settings(CORS_RESOURCES="/api/*, /v1, *")
        assert found.cors_resources == ("/api/", "/v1", "/")

    def test_a_path_is_read_from_text_and_path_objects(self, tmp_path: Path) -> None:
        assert settings(AUDIT_LOG=tmp_path / "log").audit_log == str(tmp_path / "log")
        assert settings(AUDIT_LOG="/tmp/\udcff").audit_log == "/tmp/\udcff"

    def test_names_that_others_read_are_ignored(self) -> None:
        found = settings(AUTH_IGNORE_CONFIG="AUTH_PROXY, JWT_COOKIE_SECURE")
        assert found.auth_ignore_config == ("AUTH_PROXY", "JWT_COOKIE_SECURE")

    def test_audiences_are_read_from_a_comma_list(self) -> None:
        assert settings(JWT_AUDIENCE="a, b").jwt_audience == ("a", "b")


def test_bytes_and_text_are_never_compared() -> None:
    """Under ``python -bb``, which some run their tests with, that is an error."""
    script = (
        "from apps import make_app\n"
        "make_app(JWT_SECRET_KEY=b'k' * 64, JWT_SECRET_KEY_FALLBACKS=[b'', '', b'f' * 64])\n"
    )
    for strict in ("-b", "-bb"):
        subprocess.run(
            [sys.executable, strict, "-W", "error", "-c", script],
            check=True,
            cwd=SUPPORT,
        )
