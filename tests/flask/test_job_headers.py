"""An identity as a signed header of a job: what it carries, and what is none."""

from __future__ import annotations

import gc
import hashlib
import hmac
import json
import pickle
import random
from base64 import urlsafe_b64encode
from typing import Any

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer, URLSafeTimedSerializer

from apps import (
    SECRET,
    TENANT,
    USER,
    make_app,
    production_app,
    token,
)
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    Identity,
    IdentityHeadersError,
    Key,
    NoSigningKeyError,
    acting_as,
    current_identity,
    decode_jwt_token,
    verify_tenant_context,
)
from flask_tenant_auth.identity.job_headers import HEADER, MAX_CHARACTERS
from flask_tenant_auth.testing import Clock
from key_pairs import EC_PRIVATE


def header_of(app: flask.Flask, identity: Identity | None = None) -> str:
    with app.app_context():
        [(name, value)] = (identity or Identity(TENANT, USER, "admin")).to_headers().items()
    assert name == HEADER
    return value


def read(app: flask.Flask, value: Any) -> Identity:
    with app.app_context():
        return Identity.from_headers({HEADER: value})


class TestContent:
    def test_headers_carry_an_identity(self) -> None:
        app = make_app(AUTH_PERMISSIONS={"user": ["mail:read"]})
        made = Identity(
            TENANT, USER, permissions=["x"], claims={"a": [1]}, actor="me", expires_at=5.0
        )
        again = read(app, header_of(app, made))
        assert again == made
        assert again.permissions == {"x", "mail:read"}
        assert (dict(again.claims), again.actor, again.expires_at) == ({"a": [1]}, "me", 5.0)

    def test_the_identity_of_a_token_keeps_what_the_token_says(self) -> None:
        app = make_app()
        made = token(permissions=["x"], act={"sub": "me"}, sid="s1", iss="https://issuer")
        with app.test_request_context(headers={"Authorization": f"Bearer {made}"}):
            verify_tenant_context(lambda: "")()
            headers = current_identity.to_headers()
        again = read(app, headers[HEADER])
        assert (again.permissions, again.actor) == ({"x"}, "me")
        assert (again.session_id, again.issuer) == ("s1", "https://issuer")

    def test_it_holds_no_token(self) -> None:
        app = make_app()
        made = token()
        with app.test_request_context(headers={"Authorization": f"Bearer {made}"}):
            verify_tenant_context(lambda: "")()
            value = current_identity.to_headers()[HEADER]
        content = URLSafeSerializer("").loads_unsafe(value)[1]
        for text in (value, str(content)):
            assert all(part not in text for part in made.split(".")[1:])

    def test_the_permissions_of_a_role_are_those_of_the_reader(self) -> None:
        sender = make_app(AUTH_PERMISSIONS={"user": ["mail:write"]})
        reader = make_app(AUTH_PERMISSIONS={"user": ["mail:read"]})
        assert read(reader, header_of(sender, Identity(TENANT, USER))).permissions == {"mail:read"}

    def test_a_role_that_is_gone_is_an_error(self) -> None:
        before = make_app(AUTH_ROLES="user, boss, admin")
        value = header_of(before, Identity(TENANT, USER, "boss"))
        assert read(before, value).role == "boss"
        with pytest.raises(IdentityHeadersError, match="role must be one of"):
            read(make_app(), value)
        with pytest.raises(ValueError, match="role must be one of"):
            header_of(make_app(), Identity(TENANT, USER, "boss"))

    def test_claims_that_are_too_long_are_an_error_that_names_the_bound(self) -> None:
        noise = random.Random(1).randbytes(MAX_CHARACTERS).hex()
        with pytest.raises(ValueError, match=f"^claims .* too long .* {MAX_CHARACTERS}$"):
            header_of(make_app(), Identity(TENANT, USER, claims={"a": noise}))

    @pytest.mark.parametrize("value", [object(), {1}, float("nan"), "\ud800"])
    def test_claims_that_are_no_json_are_an_error(self, value: object) -> None:
        with pytest.raises(ValueError, match="claims of the identity are no JSON"):
            header_of(make_app(), Identity(TENANT, USER, claims={"a": value}))

    def test_names_are_compared_without_their_case_and_others_are_ignored(self) -> None:
        app = make_app()
        value = header_of(app)
        with app.app_context():
            for name in (HEADER, HEADER.lower(), HEADER.upper()):
                others = {"lang": "py", "retries": 0, 5: None, f"{HEADER}-2": "x"}
                assert Identity.from_headers({**others, name: value}).user_id == USER
            with pytest.raises(IdentityHeadersError, match="2 times"):
                Identity.from_headers({HEADER: value, HEADER.lower(): value})


class TestWhatIsNoHeader:
    @pytest.mark.parametrize("headers", [{}, {"X-User-ID": USER}, {HEADER + "s": "x"}])
    def test_headers_without_it_are_an_error(self, headers: dict[str, str]) -> None:
        with make_app().app_context(), pytest.raises(IdentityHeadersError, match="absent"):
            Identity.from_headers(headers)

    @pytest.mark.parametrize("headers", [None, "x", [(HEADER, "x")], 5])
    def test_what_is_no_mapping_is_a_type_error(self, headers: Any) -> None:
        with make_app().app_context(), pytest.raises(TypeError, match="headers must be a mapping"):
            Identity.from_headers(headers)

    @pytest.mark.parametrize(
        "value", ["", ".", "..", "x.y", "\x00", "\ud800", "é.é", "x" * 2**17, None, 5, b"x"]
    )
    def test_any_other_value_is_an_error(self, value: Any) -> None:
        with pytest.raises(IdentityHeadersError, match=HEADER):
            read(make_app(), value)

    @given(st.text(max_size=200))
    def test_random_text_is_an_error(self, value: str) -> None:
        with pytest.raises(IdentityHeadersError, match=HEADER):
            read(APP, value)

    def test_a_header_that_is_changed_at_any_place_is_an_error(self) -> None:
        app = make_app()
        value = header_of(app)
        changed = [value[:i] + other + value[i + 1 :] for i in range(len(value)) for other in "A.z"]
        changed += [value[:i] for i in range(len(value))] + [f"{value}A", f".{value}", f" {value}"]
        # The last character of base64 has bits that no octet has.
        told = [each for each in changed if each != value and each[:-1] != value[:-1]]
        assert len(told) > 500
        with app.app_context():
            for each in told:
                with pytest.raises(IdentityHeadersError):
                    Identity.from_headers({HEADER: each})

    def test_a_header_of_another_app_is_an_error(self) -> None:
        value = header_of(make_app(JWT_SECRET_KEY="o" * 64))
        with pytest.raises(IdentityHeadersError, match="not signed by this app"):
            read(make_app(), value)

    def test_other_values_that_the_secret_signs_are_none(self) -> None:
        app = make_app(SECRET_KEY=SECRET)
        content = {"tenant_id": TENANT, "user_id": USER, "role": "admin"}
        content |= {"permissions": [], "claims": {}, "actor": None, "expires_at": None}
        content |= {"issued_at": 1.0}
        sessions = SecureCookieSessionInterface().get_signing_serializer(app)
        assert sessions is not None
        text = urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")
        sha256 = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        plain = hmac.new(SECRET.encode(), text, hashlib.sha256).digest()
        values: list[Any] = [
            token(**content),
            sessions.dumps(content),
            URLSafeSerializer(SECRET).dumps(content),
            URLSafeSerializer(SECRET, signer_kwargs=sha256).dumps(content),
            URLSafeTimedSerializer(SECRET, signer_kwargs=sha256).dumps(content),
            f"{text.decode()}.{urlsafe_b64encode(plain).rstrip(b'=').decode()}",
        ]
        for value in values:
            with pytest.raises(IdentityHeadersError, match="not signed by this app"):
                read(app, value)

    def test_it_authenticates_no_request(self) -> None:
        app = make_app(SECRET_KEY=SECRET)

        @app.get("/")
        @verify_tenant_context
        def view() -> str:
            return ""

        value = header_of(app)
        client = app.test_client()
        assert client.get("/", headers={HEADER: value}).status_code == 401
        assert client.get("/", headers={"Authorization": f"Bearer {value}"}).status_code == 401
        client.set_cookie("session", value)
        assert client.get("/").status_code == 401

    def test_it_is_no_other_value_that_the_secret_signs(self) -> None:
        app = make_app(SECRET_KEY=SECRET)
        value = header_of(app)
        with app.test_request_context(headers={"Cookie": f"session={value}"}):
            assert not dict(flask.session)
        with app.app_context(), pytest.raises(AuthError):
            decode_jwt_token(value)
        sha256 = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        for other in (URLSafeSerializer(SECRET), URLSafeSerializer(SECRET, signer_kwargs=sha256)):
            assert other.loads_unsafe(value)[0] is False

    def test_the_error_can_be_sent_to_another_process(self) -> None:
        with pytest.raises(IdentityHeadersError) as caught:
            read(make_app(), "x")
        again = pickle.loads(pickle.dumps(caught.value))
        assert type(again) is IdentityHeadersError
        assert str(again) == str(caught.value)


class TestAge:
    def test_a_header_does_not_expire(self) -> None:
        app = make_app()
        value = header_of(app)
        with Clock() as clock:
            clock.move(days=365)
            assert read(app, value).user_id == USER

    def test_the_setting_bounds_its_age(self) -> None:
        app = make_app(AUTH_JOB_MAX_AGE_SECONDS=60)
        value = header_of(app)
        with Clock() as clock:
            clock.move(45)
            assert read(app, value).user_id == USER
            clock.move(16)
            with pytest.raises(IdentityHeadersError, match="AUTH_JOB_MAX_AGE_SECONDS"):
                read(app, value)

    @pytest.mark.parametrize("wrong", ["0", "-1", "soon", float("nan"), float("inf"), True])
    def test_a_bound_that_is_none_stops_the_app(self, wrong: object) -> None:
        with pytest.raises(ConfigurationError, match="AUTH_JOB_MAX_AGE_SECONDS must"):
            make_app(AUTH_JOB_MAX_AGE_SECONDS=wrong)


def tenant_keys(_: str) -> None:
    """Return no key for any tenant."""


WITH_PAIRS = {"JWT_ALGORITHM": "ES256", "JWT_PRIVATE_KEY": EC_PRIVATE, "JWT_SECRET_KEY": None}
WITH_TENANTS = {"JWT_TENANT_KEYS": tenant_keys, "JWT_SECRET_KEY": None}
# JWT_ALGORITHM is HS256 there, and JWT_SECRET_KEY the documented default, which is no key.
WITH_A_SET = {
    "JWT_JWKS": {"keys": [Key.pem("ES256", EC_PRIVATE.encode()).public_jwk()]},
    "JWT_SECRET_KEY": None,
}
WITHOUT_SECRET = pytest.mark.parametrize("config", [WITH_PAIRS, WITH_TENANTS, WITH_A_SET])


class TestKeys:
    def test_a_fallback_reads_older_headers_and_signs_none(self) -> None:
        old, new = "o" * 64, "n" * 64
        before, after = make_app(JWT_SECRET_KEY=old), make_app(JWT_SECRET_KEY=new)
        between = make_app(JWT_SECRET_KEY=new, JWT_SECRET_KEY_FALLBACKS=[old, "x" * 64])
        assert read(between, header_of(before)).user_id == USER
        assert read(after, header_of(between)).user_id == USER
        with pytest.raises(IdentityHeadersError):
            read(after, header_of(before))
        with pytest.raises(IdentityHeadersError):
            read(before, header_of(between))

    @WITHOUT_SECRET
    def test_without_a_secret_of_tokens_the_one_of_flask_signs(
        self, config: dict[str, Any]
    ) -> None:
        old, new = "o" * 32, "n" * 32
        before = production_app(SECRET_KEY=old, **config)
        between = production_app(SECRET_KEY=new, SECRET_KEY_FALLBACKS=[old], **config)
        after = production_app(SECRET_KEY=new, **config)
        assert read(between, header_of(before)).user_id == USER
        assert read(after, header_of(between)).user_id == USER
        with pytest.raises(IdentityHeadersError):
            read(after, header_of(before))

    @WITHOUT_SECRET
    def test_without_any_secret_nothing_is_signed_or_read(self, config: dict[str, Any]) -> None:
        app = make_app(**config)
        with pytest.raises(NoSigningKeyError, match="set SECRET_KEY"):
            header_of(app)
        with pytest.raises(NoSigningKeyError, match="set SECRET_KEY"):
            read(app, header_of(make_app()))

    @pytest.mark.parametrize("short", [{"SECRET_KEY": "dev"}, {"SECRET_KEY_FALLBACKS": ["x" * 15]}])
    def test_a_short_secret_key_signs_in_development_only(self, short: dict[str, Any]) -> None:
        config = WITH_PAIRS | {"SECRET_KEY": "n" * 16} | short
        app = make_app(**config)
        assert read(app, header_of(app)).user_id == USER
        with pytest.raises(ConfigurationError, match="fewer than 16"):
            header_of(production_app(**config))

    def test_outside_of_an_app_the_environment_signs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        value = Identity(TENANT, USER, "admin").to_headers()[HEADER]
        assert Identity.from_headers({HEADER: value}).role == "admin"
        assert read(make_app(), value).role == "admin"
        monkeypatch.setenv("JWT_ALGORITHM", "ES256")
        monkeypatch.setenv("JWT_PRIVATE_KEY", EC_PRIVATE)
        monkeypatch.delenv("JWT_SECRET_KEY")
        with pytest.raises((NoSigningKeyError, ConfigurationError)):
            Identity(TENANT, USER).to_headers()

    def test_outside_of_an_app_whose_settings_differ_nothing_is_signed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = make_app(JWT_SECRET_KEY="o" * 64)
        gc.collect()
        monkeypatch.setenv("JWT_SECRET_KEY", "e" * 64)
        with pytest.raises(ConfigurationError, match="outside an app context"):
            Identity(TENANT, USER).to_headers()
        with pytest.raises(ConfigurationError, match="outside an app context"):
            Identity.from_headers({HEADER: header_of(app)})

    def test_a_job_acts_as_its_sender(self) -> None:
        app = make_app()
        with app.app_context(), acting_as(TENANT, USER, "admin"):
            headers = current_identity.to_headers()
        with app.app_context(), acting_as(Identity.from_headers(headers)):
            assert (current_identity.user_id, current_identity.reaches_tenant) == (USER, True)
            assert current_identity.to_headers().keys() == headers.keys()


APP = make_app()
