"""Keys of an identity provider by URL and by discovery, from a real HTTPS server."""

from __future__ import annotations

import base64
import json
import logging
import secrets
import threading
import time
from pathlib import Path

import pytest

from apps import SECRET, TENANT, USER, error_of, token
from flask_tenant_auth import AuthError, create_jwt_token, decode_jwt_token
from flask_tenant_auth._core import Keyring
from flask_tenant_auth.flask.extension import state_of
from provider import Provider, SigningKey, body_of, secret_jwk
from provider_apps import (
    SECOND,
    Clock,
    after,
    app_of,
    away,
    get,
    held,
    running,
    settled,
)
from waiting import until


class TestFirstFetch:
    def test_tokens_of_the_provider_are_valid(self, provider: Provider) -> None:
        app = app_of(provider)
        assert get(app, provider.keys[0]) == 200
        assert get(app, SigningKey("first")) == 401  # the kid alone proves nothing
        assert provider.fetches == 1
        assert type(state_of(app).keyring) is Keyring  # which the core takes in one step

    def test_a_first_request_waits_for_the_fetch_that_runs(self, provider: Provider) -> None:
        released, answer = held(provider.publish)
        provider.answer_keys(answer)
        app = app_of(provider)
        assert app.test_client().get("/open").status_code == 200
        assert error_of(app.test_client().get("/me"))[0] == 401
        assert running(app)  # neither has waited
        threading.Timer(0.2, released.set).start()
        assert get(app, provider.keys[0]) == 200

    def test_the_answer_is_503_until_there_are_keys(
        self, provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        provider.answer_keys(away)
        app = settled(app_of(provider))
        client = app.test_client()
        for _ in range(20):
            answer = client.get("/me", headers=provider.keys[0].bearer())
            assert error_of(answer) == (
                503, "Tokens cannot be verified at the moment, try again later",
            )  # fmt: skip
            assert 1 <= int(answer.headers["Retry-After"]) <= 10
            assert "WWW-Authenticate" not in answer.headers
        assert error_of(client.get("/me"))[0] == 401
        assert error_of(client.get("/me", headers={"Authorization": "Bearer x"})) == (
            401, "Invalid token",
        )  # fmt: skip
        assert "reason=keys_unavailable" in caplog.text
        assert provider.fetches == 1
        assert caplog.text.count("the keys were not fetched") == 1
        provider.answer_keys(provider.publish)
        clock.ahead += 10
        assert get(app, provider.keys[0]) == 200
        assert provider.fetches == 2

    def test_a_provider_that_cannot_be_reached_does_not_keep_the_app_from_starting(
        self, provider: Provider
    ) -> None:
        provider.stop()
        app = app_of(provider)
        assert get(app, provider.keys[0]) == 503
        with app.app_context(), pytest.raises(AuthError) as caught:
            decode_jwt_token(provider.keys[0].token())
        assert (caught.value.code, caught.value.reason) == (503, "keys_unavailable")

    def test_own_keys_verify_meanwhile(self, provider: Provider) -> None:
        provider.answer_keys(away)
        app = settled(app_of(provider, JWT_ALGORITHM="HS256", JWT_SECRET_KEY=SECRET))
        headers = {"Authorization": f"Bearer {token()}"}
        expired = {"Authorization": f"Bearer {token(exp=1)}"}
        assert app.test_client().get("/me", headers=headers).status_code == 200
        assert error_of(app.test_client().get("/me", headers=expired)) == (401, "Token expired")
        assert get(app, provider.keys[0]) == 503
        with app.app_context():
            assert decode_jwt_token(create_jwt_token(TENANT, USER))["role"] == "user"

    @pytest.mark.parametrize(
        "body",
        [
            b"<html></html>", b"{}", b'{"keys": []}', b'{"keys": 7}', b" " * 300 * 1024,
            body_of(secret_jwk(b"s" * 64)),
            body_of(SECOND.jwk(use="enc")),
            body_of(SECOND.jwk(), SigningKey("second").jwk()),
        ],
        ids=["HTML", "{}", "no keys", "no list", "300 KiB", "a secret", "encryption", "one kid"],
    )  # fmt: skip
    def test_a_set_without_usable_keys_is_a_failed_fetch(
        self, provider: Provider, clock: Clock, body: bytes
    ) -> None:
        provider.answer_keys(lambda handler: handler.send(body))
        app = settled(app_of(provider))
        assert get(app, SECOND) == 503
        provider.answer_keys(provider.publish)
        clock.ahead += 10
        assert get(app, provider.keys[0]) == 200
        provider.answer_keys(lambda handler: handler.send(body))
        clock.ahead += 300
        assert get(app, provider.keys[0]) == 200
        settled(app)
        assert get(app, provider.keys[0]) == 200
        assert get(app, SECOND) == 401
        assert provider.fetches == 3


class TestRefresh:
    def test_keys_are_fetched_again_before_they_are_too_old(
        self, provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        first = provider.keys[0]
        app = app_of(provider)
        assert get(app, first) == 200
        provider.keys[:] = [SECOND]
        clock.ahead += 230
        assert get(app, first) == 200
        assert provider.fetches == 1
        clock.ahead += 15  # over 80 % of 300
        assert get(app, first) == 200
        settled(app)
        assert provider.fetches == 2
        assert (get(app, first), get(app, SECOND)) == (401, 200)
        assert caplog.text.count("rotated: new keys 'second', removed keys 'first'") == 1
        assert caplog.text.count("was fetched: keys 'first'") == 1

    def test_no_request_waits_for_a_fetch_while_there_are_keys(
        self, provider: Provider, clock: Clock
    ) -> None:
        app = app_of(provider)
        assert get(app, provider.keys[0]) == 200
        released, answer = held(provider.publish)
        provider.answer_keys(answer)
        clock.ahead += 300
        for _ in range(50):
            assert get(app, provider.keys[0]) == 200
        assert get(app, SECOND) == 401
        assert running(app)
        released.set()
        settled(app)
        assert provider.fetches == 2

    def test_old_keys_serve_while_the_provider_is_away_until_they_are_stale(
        self, provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of(provider, JWT_JWKS_STALE_SECONDS=1000)
        key = provider.keys[0]
        assert get(app, key) == 200
        provider.answer_keys(away)
        for _ in range(10):
            clock.ahead += 99
            assert get(app, key) == 200
            settled(app)
        assert provider.fetches == 9  # not before 240 seconds, and one each time from then on
        clock.ahead += 12
        assert get(app, key) == 503
        assert caplog.text.count("its keys verify no longer") == 1
        assert caplog.text.count("the keys were not fetched") == 1
        provider.answer_keys(provider.publish)
        clock.ahead += 12
        assert get(app, key) == 200

    @pytest.mark.parametrize("slow", [False, True], ids=["between fetches", "during a fetch"])
    def test_stale_keys_verify_nothing_from_that_second_on(
        self, provider: Provider, clock: Clock, slow: bool
    ) -> None:
        app = app_of(provider, JWT_JWKS_STALE_SECONDS=300)
        key = provider.keys[0]
        assert get(app, key) == 200
        provider.answer_keys(after(1, away) if slow else away)
        clock.ahead += 296
        assert get(app, key) == 200
        if not slow:
            settled(app)
        clock.ahead += 5
        assert get(app, key) == 503
        until(lambda: provider.fetches == 2, "a second fetch")

    def test_a_source_is_asked_once_however_often_it_is_told_to(
        self, provider: Provider, clock: Clock
    ) -> None:
        app = settled(app_of(provider))
        (source,) = state_of(app).sources
        for _ in range(2):
            clock.ahead += 300
            before = provider.fetches
            for _ in range(5):
                source.look_for("x", None)
                source.refresh()
                settled(app)
            assert provider.fetches == before + 1

    def test_keys_are_not_fetched_without_requests(self, provider: Provider, clock: Clock) -> None:
        app = settled(app_of(provider))
        clock.ahead += 3000
        time.sleep(0.2)
        assert provider.fetches == 1
        assert app.test_client().get("/open").status_code == 200
        settled(app)
        assert provider.fetches == 2

    def test_an_app_without_hooks_fetches_again_too(self, provider: Provider, clock: Clock) -> None:
        app = app_of(provider)
        with app.app_context():
            assert decode_jwt_token(provider.keys[0].token())["user_id"] == USER
            provider.keys.append(SECOND)
            clock.ahead += 300
            decode_jwt_token(provider.keys[0].token())
            settled(app)
            assert decode_jwt_token(SECOND.token())["user_id"] == USER


class TestUnknownKid:
    def test_an_unknown_kid_starts_a_fetch_and_does_not_wait(
        self, provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of(provider)
        assert get(app, provider.keys[0]) == 200
        provider.keys.append(SECOND)
        released, answer = held(provider.publish)
        provider.answer_keys(answer)
        clock.ahead += 10
        assert get(app, SECOND, iss="https://login.example.com/\n") == 401
        assert running(app)
        released.set()
        settled(app)
        assert get(app, SECOND) == 200
        line = "has no key with the kid 'second'; the token says the issuer"
        assert caplog.text.count(line + " 'https://login.example.com/\\n'") == 1

    @pytest.mark.parametrize("kind", ["limited", "not limited", "decoded"])
    def test_ten_thousand_random_kids_cause_one_fetch(
        self, provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        app = app_of(provider, RATELIMIT_ENABLED=kind == "limited", AUTH_FAILURE_LIMIT="")
        assert get(app, provider.keys[0]) == 200
        provider.answer_keys(after(0.2, provider.publish))
        clock.ahead += 11
        clock.stop()
        _, payload, signature = provider.keys[0].token().split(".")
        logging.getLogger("flask_tenant_auth").setLevel(logging.ERROR)
        try:
            client = app.test_client()
            for _ in range(10_000 if kind == "decoded" else 1000):
                forged = f"{with_kid(secrets.token_hex(8))}.{payload}.{signature}"
                if kind == "decoded":
                    with app.app_context(), pytest.raises(AuthError):
                        decode_jwt_token(forged)
                else:
                    answer = client.get("/me", headers={"Authorization": f"Bearer {forged}"})
                    assert answer.status_code == 401
        finally:
            logging.getLogger("flask_tenant_auth").setLevel(logging.NOTSET)
        settled(app)
        assert provider.fetches == 2
        assert get(app, provider.keys[0]) == 200

    def test_a_long_kid_is_shortened_and_escaped_in_the_log(
        self, provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of(provider)
        assert get(app, provider.keys[0]) == 200
        clock.ahead += 11
        assert get(app, SigningKey("x\n\u202e'" + "y" * 500)) == 401
        settled(app)
        (line,) = [each for each in caplog.messages if "has no key with the kid" in each]
        assert "x\\n\\u202e'" in line
        assert len(line) < 300
        assert line.isascii()
        assert line.isprintable()

    @pytest.mark.parametrize("path", ["app", "fixed", "file"])
    def test_the_log_names_it_for_every_source(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str
    ) -> None:
        key = SigningKey("known")
        (tmp_path / "jwks.json").write_bytes(body_of(key.jwk()))
        given = {"fixed": {"keys": [key.jwk()]}, "file": str(tmp_path / "jwks.json")}
        app = app_of(JWT_JWKS=given.get(path, json.dumps({"keys": [key.jwk()]})))
        for _ in range(5):
            assert get(app, SECOND) == 401
        assert caplog.text.count("has no key with the kid 'second'") == 1

    def test_a_token_without_kid_causes_no_fetch(self, provider: Provider, clock: Clock) -> None:
        app = app_of(provider)
        assert get(app, provider.keys[0]) == 200
        clock.ahead += 11
        assert get(app, SigningKey(None)) == 401
        assert get(app, provider.keys[0], exp=1) == 401
        assert get(app, SigningKey("first")) == 401
        settled(app)
        assert provider.fetches == 1


def with_kid(kid: str) -> str:
    header = json.dumps({"alg": "RS256", "typ": "JWT", "kid": kid}).encode()
    return base64.urlsafe_b64encode(header).rstrip(b"=").decode()


class TestDiscovery:
    def test_the_keys_are_those_that_the_issuer_names(self, provider: Provider) -> None:
        app = app_of(JWT_ISSUER=provider.issuer, JWT_DISCOVERY=True)
        key = provider.keys[0]
        assert get(app, key, iss=provider.issuer) == 200
        assert get(app, key) == 401
        assert get(app, key, iss=provider.issuer + "/") == 401
        assert provider.requests == ["/.well-known/openid-configuration", "/keys"]

    def test_discovery_and_an_issuer_are_all_that_is_needed(self, provider: Provider) -> None:
        app = app_of(
            JWT_ISSUER=provider.issuer, JWT_DISCOVERY="true", JWT_ALGORITHM=None,
            FLASK_ENV="production",
        )  # fmt: skip
        assert get(app, provider.keys[0], iss=provider.issuer) == 200
        assert get(app, SECOND, iss=provider.issuer) == 401
        with app.app_context(), pytest.raises(RuntimeError, match="only verifies"):
            create_jwt_token(TENANT, USER)

    def test_a_slash_at_the_end_of_the_issuer_counts(self, provider: Provider) -> None:
        issuer = provider.issuer + "/"
        document = {"issuer": issuer, "jwks_uri": provider.url}
        path = "/.well-known/openid-configuration"
        provider.answers[path] = lambda handler: handler.send(json.dumps(document).encode())
        app = app_of(JWT_ISSUER=issuer, JWT_DISCOVERY=True)
        assert get(app, provider.keys[0], iss=issuer) == 200
        assert provider.requests[0] == path

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (
                {"issuer": "https://other.example.com"},
                "is of another issuer: it says 'https://other",
            ),
            ({"issuer": None}, "is of another issuer: it says none"),
            ({"jwks_uri": None}, "has a jwks_uri that must be a URL"),
            ({"jwks_uri": 7}, "has a jwks_uri that must be a URL"),
            ({"jwks_uri": "http://login.example.com/keys"}, "has a jwks_uri that must be an https"),
            ({"jwks_uri": "file:///etc/passwd"}, "has a jwks_uri that must be a URL"),
        ],
    )
    def test_a_wrong_configuration_is_a_failed_fetch(
        self,
        provider: Provider,
        caplog: pytest.LogCaptureFixture,
        change: dict[str, object],
        reason: str,
    ) -> None:
        document = {"issuer": provider.issuer, "jwks_uri": provider.url} | change
        provider.answers["/.well-known/openid-configuration"] = lambda handler: handler.send(
            json.dumps(document).encode()
        )
        app = settled(app_of(JWT_ISSUER=provider.issuer, JWT_DISCOVERY=True))
        assert get(app, provider.keys[0], iss=provider.issuer) == 503
        assert reason in caplog.text
        assert provider.fetches == 0
