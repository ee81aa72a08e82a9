"""Tokens through Flask: keys and their life, claims, algorithms. The core has tests of its own."""

from __future__ import annotations

import base64
import itertools
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Flask

from apps import OTHER_TENANT, SECRET, TENANT, USER, bare_app, make_app, production_app, token
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    Key,
    NoSigningKeyError,
    create_jwt_token,
    decode_jwt_token,
    extract_bearer_token,
    verify_tenant_context,
)
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.keys.tenants import TenantKeyrings
from key_pairs import EC, EC_PRIVATE, EC_PUBLIC, ED_PRIVATE, ED_PUBLIC, RSA, RSA_PRIVATE, RSA_PUBLIC
from openssl_keys import KeyPair

NEW, OLD = "n" * 64, "o" * 64


CLAIMS = {"tenant_id": TENANT, "user_id": USER, "role": "user", "exp": 2**33}


def created(app: Flask, tenant_id: str = TENANT, **more: Any) -> str:
    with app.app_context():
        return create_jwt_token(tenant_id, USER, **more)


def accepts(app: Flask, text: str) -> bool:
    """Whether an app takes a token, asked through a request and through decode_jwt_token."""
    if "who" not in app.view_functions:
        app.get("/", endpoint="who")(verify_tenant_context(lambda: "in"))
    headers = {"Authorization": f"Bearer {text}"}
    by_request = app.test_client().get("/", headers=headers).status_code == 200
    try:
        with app.app_context():
            decode_jwt_token(text)
    except AuthError:
        assert not by_request
        return False
    assert by_request
    return True


class TestClaims:
    def test_issuer_and_audience_are_written_and_checked(self) -> None:
        app = make_app(JWT_ISSUER="https://a.example", JWT_AUDIENCE="api, mail")
        made = created(app)
        claims = jwt.decode(made, SECRET, ["HS256"], audience="mail", issuer="https://a.example")
        assert claims["aud"] == ["api", "mail"]
        assert accepts(app, made)
        assert accepts(app, token(iss="https://a.example", aud="mail"))
        assert not accepts(app, token(aud="mail"))
        assert not accepts(app, token(iss="https://b.example", aud="mail"))
        assert not accepts(app, token(iss="https://a.example", aud="other"))
        assert not accepts(make_app(), made)

    def test_one_audience_is_a_string(self) -> None:
        made = created(make_app(JWT_AUDIENCE=["api"]))
        assert jwt.decode(made, SECRET, ["HS256"], audience="api")["aud"] == "api"

    def test_leeway_accepts_a_token_that_has_just_expired(self) -> None:
        late = created(make_app(), expires_in_hours=-10 / 3600)
        assert not accepts(make_app(), late)
        assert accepts(make_app(JWT_LEEWAY=30), late)

    def test_a_token_without_a_role_is_a_user_s(self) -> None:
        app = make_app()
        assert accepts(app, token(role=None))  # type: ignore[arg-type]

    def test_a_token_that_would_never_verify_is_not_made(self) -> None:
        app = make_app(JWT_MAX_TOKEN_BYTES=512)
        with pytest.raises(ValueError, match="JWT_MAX_TOKEN_BYTES"):
            created(app, claims={"long": "x" * 400})

    @pytest.mark.parametrize(
        ("claims", "error"),
        [
            ([("a", 1)], TypeError),
            ({1: 2}, TypeError),
            ({"a": object()}, TypeError),
            ({"a": float("nan")}, ValueError),
            ({"a": "\ud800"}, ValueError),
        ],
    )
    def test_claims_that_are_no_json_raise(self, claims: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match="claims"):
            created(make_app(), claims=claims)

    @pytest.mark.parametrize("hours", [float("nan"), float("inf"), 1e9, -1e9])
    def test_hours_out_of_range_raise(self, hours: float) -> None:
        with pytest.raises(ValueError, match="expires_in_hours"):
            created(make_app(), expires_in_hours=hours)

    def test_hours_of_another_type_raise(self) -> None:
        for hours in ("1", True, [1]):
            with pytest.raises(TypeError, match="expires_in_hours"):
                created(make_app(), expires_in_hours=hours)

    def test_upper_case_ids_come_out_in_lower_case(self) -> None:
        app = make_app()
        app.get("/")(verify_tenant_context(lambda: "in"))
        with app.test_request_context(
            headers={"Authorization": f"Bearer {token(TENANT.upper(), USER.upper())}"}
        ):
            from flask_tenant_auth import extract_tenant_context

            assert extract_tenant_context() == (TENANT, USER, "user")


class TestAlgorithms:
    @pytest.mark.cryptography
    @pytest.mark.parametrize(
        ("algorithm", "private", "public"),
        [
            ("RS256", RSA_PRIVATE, RSA_PUBLIC),
            ("RS512", RSA_PRIVATE, RSA_PUBLIC),
            ("ES256", EC_PRIVATE, EC_PUBLIC),
        ],
    )
    def test_another_library_verifies_our_tokens(
        self, algorithm: str, private: str, public: str
    ) -> None:
        signer = production_app(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY=private)
        verifier = production_app(JWT_ALGORITHM=algorithm, JWT_PUBLIC_KEY=public)
        made = created(signer)
        assert jwt.decode(made, public, [algorithm])["user_id"] == USER
        assert accepts(signer, made)
        assert accepts(verifier, made)
        assert not accepts(make_app(), made)

    @pytest.mark.cryptography
    @pytest.mark.parametrize(
        ("algorithm", "private", "public"),
        [("PS256", RSA_PRIVATE, RSA_PUBLIC), ("EdDSA", ED_PRIVATE, ED_PUBLIC)],
    )
    def test_tokens_of_another_library_verify(
        self, algorithm: str, private: str, public: str
    ) -> None:
        app = make_app(JWT_ALGORITHM=algorithm, JWT_PUBLIC_KEY=public)
        assert accepts(app, jwt.encode(CLAIMS, private, algorithm))

    def test_a_verifier_does_not_sign(self) -> None:
        with pytest.raises(NoSigningKeyError, match="JWT_PRIVATE_KEY"):
            created(make_app(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=RSA_PUBLIC))

    def test_a_public_key_is_never_a_secret(self) -> None:
        app = make_app(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=RSA_PUBLIC)
        header, payload = (
            jwt.utils.base64url_encode(json.dumps(part).encode())
            for part in ({"alg": "HS256", "typ": "JWT"}, CLAIMS)
        )
        signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
            header + b"." + payload, RSA_PUBLIC.encode()
        )
        forged = b".".join([header, payload, jwt.utils.base64url_encode(signature)])
        assert not accepts(app, forged.decode())
        with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY"):
            make_app(JWT_SECRET_KEY=RSA_PUBLIC)

    @pytest.mark.parametrize("key", ["JWT_SECRET_KEY", "JWT_SECRET_KEY_FALLBACKS"])
    def test_the_base64_of_a_public_key_is_no_secret(self, key: str) -> None:
        """DER, or its base64, as some identity providers publish it."""
        der = RSA.public_der()
        config = {} if key == "JWT_SECRET_KEY" else {"JWT_ALGORITHM": "RS256"}
        keys = {"JWT_PUBLIC_KEY": RSA_PUBLIC} if config else {}
        for published in (der, base64.b64encode(der), base64.encodebytes(der)):
            with pytest.raises(ConfigurationError, match=f"{key} .*not a secret"):
                make_app(**config, **keys, **{key: published})
        make_app(**config, **keys, **{key: base64.b64encode(os.urandom(48))})

    def test_an_algorithm_that_libjwt_cannot_sign_stops_the_app(self) -> None:
        """libjwt 3 signs with PS and EdDSA, libjwt 1 and 2 do not."""
        for algorithm, pem in (("EdDSA", ED_PRIVATE), ("PS256", RSA_PRIVATE)):
            config = {"JWT_ALGORITHM": algorithm, "JWT_PRIVATE_KEY": pem}
            if Key.pem(algorithm, pem.encode()).can_sign:
                app = make_app(**config)
                assert accepts(app, created(app))
                continue
            message = f"JWT_PRIVATE_KEY cannot sign {algorithm}: .* Build .* with libjwt 3"
            with pytest.raises(ConfigurationError, match=message):
                make_app(**config)

    def test_a_public_key_in_place_of_the_private_key_stops_the_app(self) -> None:
        with pytest.raises(
            ConfigurationError, match="JWT_PRIVATE_KEY cannot sign RS256: it is a public key"
        ):
            make_app(JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=RSA_PUBLIC)

    def test_keys_are_read_from_files_and_from_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "private.pem"
        path.write_text(RSA_PRIVATE)
        made = created(make_app(JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=str(path)))
        one_line = RSA_PUBLIC.replace("\n", "\\n")
        assert accepts(make_app(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=one_line), made)

    @pytest.mark.parametrize(
        ("config", "key"),
        [
            ({"JWT_ALGORITHM": "RS256"}, "JWT_ALGORITHM"),
            ({"JWT_ALGORITHM": "HS256", "JWT_PUBLIC_KEY": RSA_PUBLIC}, "JWT_ALGORITHM"),
            ({"JWT_ALGORITHM": "ES256", "JWT_PUBLIC_KEY": RSA_PUBLIC}, "JWT_PUBLIC_KEY"),
            ({"JWT_ALGORITHM": "RS256", "JWT_PRIVATE_KEY": "/no/such.pem"}, "JWT_PRIVATE_KEY"),
            (
                {
                    "JWT_ALGORITHM": "RS256",
                    "JWT_PRIVATE_KEY": KeyPair(bits=1024).private,
                },
                "JWT_PRIVATE_KEY",
            ),
        ],
    )
    def test_keys_that_do_not_fit_stop_the_app(self, config: dict[str, str], key: str) -> None:
        with pytest.raises(ConfigurationError, match=key):
            bare_app_state(**config)


def bare_app_state(**config: Any) -> Any:
    from flask_tenant_auth.flask.extension import state_of

    return state_of(bare_app(**config))


class TestRotation:
    def test_every_token_is_valid_in_every_round(self) -> None:
        """Workers with the configuration before and after each step answer side by side."""
        steps = [
            make_app(JWT_SECRET_KEY=OLD),
            make_app(JWT_SECRET_KEY=OLD, JWT_SECRET_KEY_FALLBACKS=NEW),
            make_app(JWT_SECRET_KEY=NEW, JWT_SECRET_KEY_FALLBACKS=OLD),
            make_app(JWT_SECRET_KEY=NEW),
        ]
        for before, after in itertools.pairwise(steps[:-1]):
            assert accepts(after, created(before))
            assert accepts(before, created(after))
        assert accepts(steps[3], created(steps[2]))
        assert not accepts(steps[3], created(steps[0]))

    def test_fallbacks_do_not_sign(self) -> None:
        made = created(make_app(JWT_SECRET_KEY=NEW, JWT_SECRET_KEY_FALLBACKS=OLD))
        assert jwt.decode(made, NEW, ["HS256"])["user_id"] == USER

    def test_tokens_name_their_key(self) -> None:
        kids = [jwt.get_unverified_header(created(make_app(JWT_SECRET_KEY=key))) for key in "ab"]
        assert kids[0]["kid"] != kids[1]["kid"]

    def test_a_secret_is_replaced_by_a_key_pair_without_invalid_tokens(self) -> None:
        after = make_app(
            JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=RSA_PRIVATE, JWT_SECRET_KEY_FALLBACKS=OLD
        )
        assert accepts(after, created(make_app(JWT_SECRET_KEY=OLD)))
        assert accepts(after, created(after))

    def test_a_public_key_may_be_a_fallback(self) -> None:
        older = KeyPair()
        app = make_app(
            JWT_ALGORITHM="RS256",
            JWT_PRIVATE_KEY=RSA_PRIVATE,
            JWT_SECRET_KEY_FALLBACKS=[older.public],
        )
        assert accepts(app, older.token(CLAIMS))

    def test_the_same_key_twice_is_one(self) -> None:
        state = bare_app_state(
            JWT_ALGORITHM="RS256",
            JWT_PRIVATE_KEY=RSA_PRIVATE,
            JWT_PUBLIC_KEY=RSA_PUBLIC,
        )
        (key,) = state.own_keys
        assert key.can_sign


def jwks_of(*keys: tuple[str, str]) -> dict[str, Any]:
    return {"keys": [Key.pem(algorithm, pem.encode()).public_jwk() for algorithm, pem in keys]}


class TestJwks:
    JWKS = jwks_of(("RS256", RSA_PUBLIC), ("ES256", EC_PUBLIC))

    def test_keys_of_a_dict_verify(self) -> None:
        app = production_app(JWT_SECRET_KEY=None, JWT_ALGORITHM="RS256", JWT_JWKS=self.JWKS)
        assert accepts(app, RSA.token(CLAIMS))
        assert accepts(app, EC.token(CLAIMS))
        assert not accepts(app, RSA.token(CLAIMS, "RS512"))

    def test_keys_of_a_file_verify(self, tmp_path: Path) -> None:
        path = tmp_path / "jwks.json"
        path.write_text(json.dumps(self.JWKS))
        app = make_app(JWT_ALGORITHM="RS256", JWT_JWKS=str(path))
        assert accepts(app, EC.token(CLAIMS))

    def test_keys_that_name_no_algorithm_have_the_one_of_their_type(self) -> None:
        """As large identity providers publish theirs."""
        keys = [{k: v for k, v in key.items() if k != "alg"} for key in self.JWKS["keys"]]
        for algorithm in ("RS256", "PS384"):
            app = production_app(JWT_ALGORITHM=algorithm, JWT_JWKS={"keys": keys})
            for wanted in ("RS256", "PS384"):
                made = RSA.token(CLAIMS, wanted)
                assert accepts(app, made) is (wanted == algorithm)
            assert accepts(app, EC.token(CLAIMS))
        app = make_app(JWT_JWKS={"keys": keys[:1]})  # there is no RSA key of HS256
        assert accepts(app, RSA.token(CLAIMS))
        assert not accepts(app, jwt.encode(CLAIMS, RSA_PUBLIC[27:], "HS256"))

    @pytest.mark.parametrize(
        "foreign",
        [
            {"kty": "EC", "crv": "secp256k1", "alg": "ES256K", "x": "AQ", "y": "AQ", "kid": "f"},
            {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AQ", "kid": "f"},
            {**JWKS["keys"][0], "alg": "RSA-OAEP", "kid": "f"},
            {**JWKS["keys"][0], "key_ops": ["encrypt"], "kid": "f"},
            {"kty": "oct", "k": "YQ", "alg": "HS256", "kid": "f"},
        ],
    )
    def test_keys_of_unknown_kinds_do_not_hide_the_known_ones(
        self, foreign: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """An identity provider that adds a new kind of key stopped the app."""
        jwks = {"keys": [foreign, *self.JWKS["keys"]]}
        app = production_app(JWT_ALGORITHM="RS256", JWT_JWKS=jwks)
        assert accepts(app, RSA.token(CLAIMS))
        assert "JWT_JWKS key 'f' is passed over" in caplog.text
        with pytest.raises(ConfigurationError, match="JWT_JWKS holds no key"):
            make_app(JWT_ALGORITHM="RS256", JWT_JWKS={"keys": [foreign]})

    def test_two_keys_of_one_kid_stop_the_app(self) -> None:
        """The second verified nothing, and nobody was told."""
        other = Key.pem("RS256", KeyPair().public.encode())
        key = self.JWKS["keys"][0]
        twice = {"keys": [key, {**other.public_jwk(), "kid": key["kid"]}]}
        with pytest.raises(ConfigurationError, match="JWT_JWKS has two RS256 keys with the kid"):
            make_app(JWT_ALGORITHM="RS256", JWT_JWKS=twice)
        for fine in ([key, {**key, "use": "sig"}], [key, other.public_jwk()]):
            app = make_app(JWT_ALGORITHM="RS256", JWT_JWKS={"keys": fine})
            assert accepts(app, RSA.token(CLAIMS))

    def test_keys_for_encryption_are_skipped(self) -> None:
        keys = [{**self.JWKS["keys"][0], "use": "enc"}, self.JWKS["keys"][1]]
        app = make_app(JWT_ALGORITHM="RS256", JWT_JWKS={"keys": keys})
        assert not accepts(app, RSA.token(CLAIMS))

    @pytest.mark.parametrize(
        "jwks",
        [
            {},
            {"keys": 7},
            {"keys": [7]},
            {"keys": []},
            {"keys": [{"kty": "RSA"}]},
            {"keys": [{**JWKS["keys"][0], "use": "enc"}]},
            "/no/such/file.json",
        ],
    )
    def test_a_value_that_is_no_jwks_stops_the_app(self, jwks: Any) -> None:
        with pytest.raises(ConfigurationError, match="JWT_JWKS"):
            make_app(JWT_ALGORITHM="RS256", JWT_JWKS=jwks)

    def test_the_route_is_off_by_default(self) -> None:
        app = make_app(JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=RSA_PRIVATE)
        assert app.test_client().get("/.well-known/jwks.json").status_code == 404

    def test_the_route_serves_the_public_keys(self) -> None:
        app = make_app(
            JWT_ALGORITHM="RS256",
            JWT_PRIVATE_KEY=RSA_PRIVATE,
            JWT_SECRET_KEY_FALLBACKS=[OLD],
            JWT_JWKS_ROUTE="/.well-known/jwks.json",
        )
        response = app.test_client().get("/.well-known/jwks.json")
        assert response.cache_control.public
        served = response.get_json()
        assert len(served["keys"]) == 1
        assert not {"d", "p", "q", "k"} & set(served["keys"][0])
        other = make_app(JWT_ALGORITHM="RS256", JWT_JWKS=served)
        assert accepts(other, created(app))
        assert jwt.get_unverified_header(created(app))["kid"] == served["keys"][0]["kid"]

    @pytest.mark.cryptography
    def test_another_library_reads_the_route(self) -> None:
        app = make_app(JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=RSA_PRIVATE, JWT_JWKS_ROUTE="/keys")
        made = created(app)
        served = jwt.PyJWKSet.from_dict(app.test_client().get("/keys").get_json())
        key = served[jwt.get_unverified_header(made)["kid"]]
        assert jwt.decode(made, key, ["RS256"])["user_id"] == USER

    def test_a_route_without_public_keys_stops_the_app(self) -> None:
        with pytest.raises(ConfigurationError, match="JWT_JWKS_ROUTE"):
            make_app(JWT_JWKS_ROUTE="/.well-known/jwks.json")


class TestKeyId:
    """JWT_KEY_ID: a kid that somebody has given is no hint."""

    def of_kid(self, kid: str | None, secret: str = SECRET) -> str:
        headers = {} if kid is None else {"kid": kid}
        claims = {"tenant_id": TENANT, "user_id": USER, "exp": time.time() + 60}
        return jwt.encode(claims, secret, "HS256", headers=headers)

    def test_a_token_with_a_foreign_kid_is_valid_without_it(self) -> None:
        app = make_app()
        for kid in ("of an old program", "x" * 300, None):
            assert accepts(app, self.of_kid(kid))
        assert not accepts(app, self.of_kid("of an old program", "another secret" * 4))

    def test_a_key_with_an_id_verifies_no_token_with_another_one(self) -> None:
        app = make_app(JWT_KEY_ID="2026-11")
        assert accepts(app, self.of_kid("2026-11"))
        assert accepts(app, self.of_kid(None))
        assert not accepts(app, self.of_kid("2026-12"))
        with app.app_context():
            made = create_jwt_token(TENANT, USER)
        assert jwt.get_unverified_header(made)["kid"] == "2026-11"
        assert accepts(app, made)

    def test_a_fallback_verifies_the_tokens_of_an_older_id(self) -> None:
        app = make_app(
            JWT_SECRET_KEY="n" * 64, JWT_KEY_ID="new", JWT_SECRET_KEY_FALLBACKS=["o" * 64]
        )
        assert accepts(app, self.of_kid("old", "o" * 64))
        assert not accepts(app, self.of_kid("old", "n" * 64))
        assert not accepts(app, self.of_kid("new", "o" * 64))

    def test_a_key_pair_has_it_where_tokens_are_signed_and_where_they_are_verified(self) -> None:
        both = {"JWT_ALGORITHM": "RS256", "JWT_KEY_ID": "2026/\u00e9"}
        signs = make_app(JWT_PRIVATE_KEY=RSA_PRIVATE, JWT_JWKS_ROUTE="/keys", **both)
        made = created(signs)
        assert jwt.get_unverified_header(made)["kid"] == "2026/\u00e9"
        assert accepts(signs, made)
        served = signs.test_client().get("/keys").get_json()
        assert [key["kid"] for key in served["keys"]] == ["2026/\u00e9"]
        verifies = make_app(JWT_PUBLIC_KEY=RSA_PUBLIC, **both)
        by_the_set = make_app(JWT_ALGORITHM="RS256", JWT_JWKS=served)
        foreign = RSA.token(CLAIMS, kid="2025")
        for app in (signs, verifies, by_the_set):
            assert accepts(app, made)
            assert not accepts(app, foreign)
        hint = make_app(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=RSA_PUBLIC)
        assert accepts(hint, made)
        assert accepts(hint, foreign)

    def test_every_token_is_valid_in_every_round_of_a_rotation(self) -> None:
        steps = [
            make_app(JWT_SECRET_KEY=OLD, JWT_KEY_ID="1"),
            make_app(JWT_SECRET_KEY=OLD, JWT_KEY_ID="1", JWT_SECRET_KEY_FALLBACKS=NEW),
            make_app(JWT_SECRET_KEY=NEW, JWT_KEY_ID="2", JWT_SECRET_KEY_FALLBACKS=OLD),
            make_app(JWT_SECRET_KEY=NEW, JWT_KEY_ID="2"),
        ]
        for before, after in itertools.pairwise(steps[:-1]):
            assert accepts(after, created(before))
            assert accepts(before, created(after))
        assert accepts(steps[3], created(steps[2]))
        assert not accepts(steps[3], created(steps[0]))

    def test_a_key_in_use_gets_an_id_while_it_is_its_own_fallback(self) -> None:
        before = make_app(JWT_SECRET_KEY=OLD)
        between = make_app(JWT_SECRET_KEY=OLD, JWT_KEY_ID="1", JWT_SECRET_KEY_FALLBACKS=OLD)
        after = make_app(JWT_SECRET_KEY=OLD, JWT_KEY_ID="1")
        assert accepts(before, created(between))
        assert accepts(between, created(before))
        assert accepts(after, created(between))
        assert not accepts(after, created(before))

    def test_it_names_no_key_of_a_tenant(self) -> None:
        app = make_app(JWT_KEY_ID="ours", JWT_TENANT_KEYS=lambda _tenant, _kid: "t" * 64)
        assert jwt.get_unverified_header(created(app))["kid"] != "ours"
        assert accepts(app, self.of_kid("foreign", "t" * 64))

    @pytest.mark.parametrize("kid", ["a\nb", "x" * 256, "\u00e9" * 128, 5, b"a", " \x7f", "\ud800"])
    def test_an_id_that_no_header_can_hold_stops_the_app(self, kid: object) -> None:
        with pytest.raises(ConfigurationError, match="JWT_KEY_ID"):
            make_app(JWT_KEY_ID=kid)

    def test_an_id_has_up_to_255_bytes(self) -> None:
        app = make_app(JWT_KEY_ID="\u00e9" * 127 + "k")
        assert accepts(app, created(app))


class TestTenantKeys:
    KEYS: dict[str, Any] = {TENANT: "t" * 64, OTHER_TENANT: "u" * 64}  # noqa: RUF012

    def app(self, **config: Any) -> Flask:
        self.asked: list[tuple[str, str | None]] = []

        def key(tenant_id: str, kid: str | None) -> Any:
            self.asked.append((tenant_id, kid))
            return self.KEYS.get(tenant_id)

        return make_app(**{"JWT_SECRET_KEY": None, "JWT_TENANT_KEYS": key} | config)

    def signed(self, secret: str, **claims: Any) -> str:
        return jwt.encode(CLAIMS | claims, secret, "HS256")

    def test_each_tenant_has_its_own_key(self) -> None:
        app = self.app()
        for tenant_id, secret in self.KEYS.items():
            assert accepts(app, self.signed(secret, tenant_id=tenant_id))
            made = created(app, tenant_id)
            assert jwt.decode(made, secret, ["HS256"])["tenant_id"] == tenant_id
            assert accepts(app, made)

    def test_the_key_of_another_tenant_does_not_verify(self) -> None:
        app = self.app()
        assert not accepts(app, self.signed(self.KEYS[OTHER_TENANT]))
        assert not accepts(app, self.signed(self.KEYS[TENANT], tenant_id=OTHER_TENANT))

    def test_a_repeated_tenant_claim_is_invalid(self) -> None:
        payload = json.dumps(CLAIMS)[:-1] + f', "tenant_id": "{OTHER_TENANT}"}}'
        for tenant_id in (TENANT, OTHER_TENANT):
            made = jwt.api_jws.encode(payload.encode(), self.KEYS[tenant_id], "HS256")
            assert not accepts(self.app(), made)

    def test_a_token_of_a_tenant_without_a_key_is_invalid(self) -> None:
        app = self.app()
        nobody = str(uuid.UUID(int=7))
        assert not accepts(app, self.signed("x" * 64, tenant_id=nobody))
        with pytest.raises(NoSigningKeyError):
            created(app, nobody)

    def test_a_tenant_without_a_key_has_the_key_of_the_app(self) -> None:
        app = self.app(JWT_SECRET_KEY=SECRET)
        nobody = str(uuid.UUID(int=7))
        assert accepts(app, created(app, nobody))
        assert not accepts(app, token(TENANT))

    def test_production_needs_no_secret_of_the_app(self) -> None:
        app = self.app(FLASK_ENV="production")
        assert accepts(app, self.signed(self.KEYS[TENANT]))

    def test_only_the_verified_tenant_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Should the look-up and the verification ever read a token differently, it is refused."""
        app = self.app()
        self.KEYS = dict.fromkeys(self.KEYS, "t" * 64)
        made = self.signed("t" * 64)
        assert accepts(app, made)
        keyrings = state_of(app).keyring
        assert isinstance(keyrings, TenantKeyrings)
        keyring = keyrings.keyring(OTHER_TENANT)
        monkeypatch.setattr(
            keyrings, "_keyring_claimed_by", lambda _: (OTHER_TENANT, None, keyring)
        )
        assert not accepts(app, made)

    def test_a_value_that_is_no_key_is_a_500(self) -> None:
        self.KEYS = {TENANT: 7}
        app = self.app()
        app.get("/", endpoint="who")(verify_tenant_context(lambda: "in"))
        headers = {"Authorization": f"Bearer {self.signed('t' * 64)}"}
        assert app.test_client().get("/", headers=headers).status_code == 500

    def test_with_key_pairs_text_that_is_no_pem_is_no_secret(self) -> None:
        """A published key in a form that nobody knows would be one that everybody knows."""
        self.KEYS = {TENANT: "modulus:" + "t" * 64, OTHER_TENANT: Key.secret("HS256", b"u" * 64)}
        app = self.app(JWT_ALGORITHM="RS256")
        app.get("/", endpoint="who")(verify_tenant_context(lambda: "in"))
        statuses = []
        for tenant_id, secret in ((TENANT, self.KEYS[TENANT]), (OTHER_TENANT, "u" * 64)):
            made = self.signed(secret, tenant_id=tenant_id)
            headers = {"Authorization": f"Bearer {made}"}
            statuses.append(app.test_client().get("/", headers=headers).status_code)
        assert statuses == [500, 200]

    def test_other_schemes_do_not_call_the_callable(self) -> None:
        app = self.app()
        app.get("/", endpoint="who")(verify_tenant_context(lambda: "in"))
        client = app.test_client()
        assert client.get("/", headers={"Authorization": "Basic eA=="}).status_code == 401
        assert client.get("/").status_code == 401
        assert self.asked == []

    def test_the_callable_gets_the_kid(self) -> None:
        app = self.app()
        accepts(app, jwt.encode(CLAIMS, self.KEYS[TENANT], "HS256", headers={"kid": "k7"}))
        assert self.asked[0] == (TENANT, "k7")

    def test_upper_case_tenants_are_the_same(self) -> None:
        app = self.app()
        assert accepts(app, self.signed(self.KEYS[TENANT], tenant_id=TENANT.upper()))
        assert self.asked[0] == (TENANT, None)

    @pytest.mark.parametrize(
        "bad",
        ["", "a.b", "a.b.c", "e30.e30.e30", "W10.W10.W10", "e30." + "W1tb" * 3000 + ".x", "é.é.é"],
    )
    def test_text_that_is_no_token_does_not_call_the_callable(self, bad: str) -> None:
        app = self.app()
        app.get("/", endpoint="who")(verify_tenant_context(lambda: "in"))
        headers = {"Authorization": f"Bearer {bad}"}
        assert app.test_client().get("/", headers=headers).status_code == 401
        assert self.asked == []

    def test_a_changed_key_is_used_at_once(self) -> None:
        app = self.app()
        old = created(app)
        assert accepts(app, old)
        self.KEYS = {TENANT: "v" * 64}
        assert not accepts(app, old)
        assert accepts(app, created(app))

    def test_a_tenant_key_may_be_a_key_object_or_pem(self) -> None:
        self.KEYS = {TENANT: Key.pem("ES256", EC_PUBLIC.encode()), OTHER_TENANT: RSA_PUBLIC}
        app = self.app(JWT_ALGORITHM="RS256")
        assert accepts(app, EC.token(CLAIMS))
        other = CLAIMS | {"tenant_id": OTHER_TENANT}
        assert accepts(app, RSA.token(other))
        assert not accepts(app, EC.token(other))

    def test_a_callable_that_fails_is_a_500(self) -> None:
        def fails(tenant_id: str, kid: str | None) -> str:
            raise KeyError(tenant_id)

        app = make_app(JWT_TENANT_KEYS=fails)
        app.get("/")(verify_tenant_context(lambda: "in"))
        response = app.test_client().get("/", headers={"Authorization": f"Bearer {token()}"})
        assert response.status_code == 500
        assert response.get_json()["message"] == "Authentication could not be completed"


def test_a_bearer_token_needs_a_request() -> None:
    with pytest.raises(RuntimeError, match="outside a request"):
        extract_bearer_token()
