"""JWT_ISSUERS: each issuer with its keys, and the tenants that it may speak for."""

from __future__ import annotations

import json
import logging
from typing import Any

import jwt
import pytest
from flask import Flask

from apps import OTHER_TENANT, SECRET, TENANT, USER, make_app, token
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    create_jwt_token,
    decode_jwt_token,
    get_tenant_context,
    get_user_role,
    rate_limit,
    verify_tenant_context,
)
from provider import Provider, SigningKey, secret_jwk

BANK, SHOP = "https://bank.example.com/", "https://shop.example.com"
BANK_KEY, SHOP_KEY = SigningKey("1"), SigningKey("1", "ES256")  # one kid
THIRD_TENANT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


def set_of(*keys: SigningKey, **more: Any) -> dict[str, Any]:
    return {"keys": [key.jwk(**more) for key in keys]}


def bank(**more: Any) -> dict[str, Any]:
    return {"issuer": BANK, "jwks": set_of(BANK_KEY), "tenants": [TENANT]} | more


def shop(**more: Any) -> dict[str, Any]:
    return {"issuer": SHOP, "jwks": set_of(SHOP_KEY), "tenants": [OTHER_TENANT]} | more


def app_of(*issuers: dict[str, Any], **config: Any) -> Flask:
    app = make_app(**{"JWT_SECRET_KEY": None, "JWT_ISSUERS": list(issuers)} | config)
    me = verify_tenant_context(lambda: get_tenant_context()[0])
    app.get("/me", endpoint="me")(rate_limit("1000000 per second")(me))
    return app


def reason_of(app: Flask, text: str) -> str | None:
    """None for a valid token, else the reason; a view and `decode_jwt_token` have to agree."""
    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(getattr(record, "reason", ""))

    logger, handler = logging.getLogger("flask_tenant_auth"), Keep()
    logger.addHandler(handler)
    try:
        answer = app.test_client().get("/me", headers={"Authorization": f"Bearer {text}"})
        assert status_of_decoding(app, text) == answer.status_code
    finally:
        logger.removeHandler(handler)
    if answer.status_code == 200:
        return None
    reasons = {each for each in seen if each}
    assert len(reasons) == 1, reasons
    return reasons.pop()


def status_of_decoding(app: Flask, text: str) -> int:
    with app.app_context():
        try:
            decode_jwt_token(text)
        except AuthError as error:
            return error.code
    return 200


class TestKeysOfIssuers:
    def test_each_verifies_its_own_tokens_only(self) -> None:
        app = app_of(bank(), shop())
        assert reason_of(app, BANK_KEY.token(iss=BANK)) is None
        assert reason_of(app, SHOP_KEY.token(iss=SHOP, tenant_id=OTHER_TENANT)) is None
        assert reason_of(app, BANK_KEY.token(iss=SHOP, tenant_id=OTHER_TENANT)) == (
            "algorithm_mismatch"
        )
        assert reason_of(app, SHOP_KEY.token(iss=BANK)) == "algorithm_mismatch"
        other = SigningKey("1")
        assert reason_of(app, other.token(iss=BANK)) == "signature_mismatch"
        assert reason_of(app, other.token(iss=BANK, kid="2")) == "kid_unknown"

    @pytest.mark.parametrize(
        "iss", [None, "https://bank.example.com", BANK.upper(), BANK + " ", "", "https://evil", 7]
    )
    def test_the_issuer_is_compared_to_the_letter(self, iss: object) -> None:
        assert reason_of(app_of(bank()), jwt_of(BANK_KEY, iss=iss)) == "iss_mismatch"

    def test_malformed_tokens_say_what_is_wrong(self) -> None:
        app = app_of(bank(), JWT_MAX_TOKEN_BYTES=1024)
        header, payload, signature = BANK_KEY.token(iss=BANK).split(".")
        assert reason_of(app, BANK_KEY.token(iss=BANK, x="x" * 2000)) == "too_long"
        assert reason_of(app, f"{header}.{payload}") == "not_three_segments"
        assert reason_of(app, f"{header}=.{payload}.{signature}") == "base64url_invalid"
        assert reason_of(app, BANK_KEY.token(iss=BANK, exp=1)) == "expired"

    def test_an_issuer_twice_in_a_token_is_none(self) -> None:
        header, payload, signature = BANK_KEY.token(iss=BANK).split(".")
        claims = jwt.utils.base64url_decode(payload)
        doubled = claims[:-1] + b',"iss":"https://evil"}'
        again = jwt.utils.base64url_encode(doubled).decode()
        assert reason_of(app_of(bank()), f"{header}.{again}.{signature}") is not None

    def test_the_keys_of_the_app_itself_serve_its_own_tokens(self) -> None:
        app = app_of(bank(), JWT_SECRET_KEY=SECRET)
        with app.app_context():
            own = create_jwt_token(OTHER_TENANT, USER)
        assert reason_of(app, own) is None
        assert reason_of(app, token()) is None  # the app itself may speak for every tenant
        assert reason_of(app, token(iss="https://evil")) == "iss_mismatch"
        assert reason_of(app, token(iss=BANK)) == "algorithm_mismatch"
        assert reason_of(app, BANK_KEY.token(iss=BANK)) is None

    def test_the_keys_of_the_app_itself_have_its_issuer(self) -> None:
        app = app_of(bank(), JWT_SECRET_KEY=SECRET, JWT_ISSUER="https://api.example.com")
        with app.app_context():
            assert reason_of(app, create_jwt_token(OTHER_TENANT, USER)) is None
            assert reason_of(app, create_jwt_token(TENANT, USER)) == "tenant_foreign"
        assert reason_of(app, token(tenant_id=OTHER_TENANT)) == "iss_mismatch"
        assert reason_of(app, BANK_KEY.token(iss=BANK)) is None

    def test_an_app_with_issuers_needs_no_secret_and_signs_nothing(self) -> None:
        app = app_of(bank(), FLASK_ENV="production")
        with app.app_context(), pytest.raises(RuntimeError, match="only verifies"):
            create_jwt_token(TENANT, USER)
        assert reason_of(app, jwt.encode({"tenant_id": TENANT, "user_id": USER, "exp": 9e9},
                                         "your-secret-key-change-in-production")) == (
            "iss_mismatch"
        )  # fmt: skip

    def test_audiences_are_those_of_the_issuer_or_of_the_app(self) -> None:
        app = app_of(bank(audience="api, other"), shop(), JWT_AUDIENCE="app")
        assert reason_of(app, BANK_KEY.token(iss=BANK, aud="api")) is None
        assert reason_of(app, BANK_KEY.token(iss=BANK, aud="app")) == "aud_mismatch"
        shops = {"iss": SHOP, "tenant_id": OTHER_TENANT}
        assert reason_of(app, SHOP_KEY.token(**shops, aud="app")) is None
        assert reason_of(app, SHOP_KEY.token(**shops, aud="api")) == "aud_mismatch"
        assert reason_of(app, SHOP_KEY.token(**shops)) == "aud_mismatch"

    def test_algorithms_limit_the_keys_of_the_set(self) -> None:
        mixed = set_of(BANK_KEY, SHOP_KEY)
        app = app_of(bank(jwks=mixed, algorithms=["ES256"]))
        assert reason_of(app, SHOP_KEY.token(iss=BANK)) is None
        assert reason_of(app, BANK_KEY.token(iss=BANK)) == "algorithm_mismatch"
        with pytest.raises(ConfigurationError, match=r"^JWT_ISSUERS entry 0: jwks holds no key"):
            app_of(bank(jwks=set_of(BANK_KEY), algorithms=["ES256"]))

    def test_a_key_without_alg_serves_each_algorithm_that_it_fits(self) -> None:
        """Entra ID publishes such keys."""
        jwks = {"keys": [BANK_KEY.jwk(alg=None), SHOP_KEY.jwk(alg=None)]}
        app = app_of(bank(jwks=jwks, algorithms=["RS256", "PS256", "HS256"]))
        for algorithm, expected in (("RS256", None), ("PS256", None), ("RS512", "algorithm_mis")):
            reason = reason_of(app, BANK_KEY.token(iss=BANK, algorithm=algorithm))
            assert reason is None if expected is None else (reason or "").startswith(expected)
        assert reason_of(app, SHOP_KEY.token(iss=BANK)) == "algorithm_mismatch"
        app = app_of(bank(jwks=jwks))
        assert reason_of(app, BANK_KEY.token(iss=BANK)) is None
        assert reason_of(app, SHOP_KEY.token(iss=BANK)) is None

    def test_a_shared_secret_of_an_issuer_serves_where_the_app_gives_it(self) -> None:
        app = app_of(bank(jwks={"keys": [secret_jwk(SECRET.encode())]}))
        assert reason_of(app, token(iss=BANK)) is None


def jwt_of(key: SigningKey, **claims: Any) -> str:
    """A token that has these claims and no other."""
    payload = {"tenant_id": TENANT, "user_id": USER, "exp": 4102444800} | claims
    data = json.dumps({k: v for k, v in payload.items() if v is not None}).encode()
    return key.pair.signed(data, kid=key.kid)


class TestTenants:
    def test_an_issuer_speaks_for_the_tenants_of_its_list_only(self) -> None:
        app = app_of(bank(), shop())
        for tenant in (OTHER_TENANT, THIRD_TENANT):
            assert reason_of(app, BANK_KEY.token(iss=BANK, tenant_id=tenant)) == "tenant_foreign"
        app = app_of(bank(tenants=f"{TENANT.upper()}, {OTHER_TENANT}"))
        assert reason_of(app, BANK_KEY.token(iss=BANK)) is None
        assert reason_of(app, BANK_KEY.token(iss=BANK, tenant_id=TENANT.upper())) is None
        assert reason_of(app, BANK_KEY.token(iss=BANK, tenant_id=OTHER_TENANT)) is None

    @pytest.mark.parametrize("tenants", [None, "*"])
    def test_a_tenant_that_one_lists_is_not_that_of_one_which_lists_none(
        self, tenants: str | None
    ) -> None:
        app = app_of(bank(), shop(tenants=tenants))
        assert reason_of(app, SHOP_KEY.token(iss=SHOP, tenant_id=THIRD_TENANT)) is None
        assert reason_of(app, SHOP_KEY.token(iss=SHOP)) == "tenant_foreign"

    def test_a_callable_decides(self) -> None:
        asked: list[str] = []

        def speaks(tenant_id: str) -> bool:
            asked.append(tenant_id)
            return tenant_id == THIRD_TENANT

        app = app_of(bank(), shop(tenants=speaks))
        third = SHOP_KEY.token(iss=SHOP, tenant_id=THIRD_TENANT.upper())
        assert reason_of(app, third) is None
        assert set(asked) == {THIRD_TENANT}
        assert reason_of(app, SHOP_KEY.token(iss=SHOP)) == "tenant_foreign"
        before = len(asked)
        assert reason_of(app, SigningKey("1", "ES256").token(iss=SHOP)) == "signature_mismatch"
        assert len(asked) == before  # asked about verified tokens only

    def test_a_callable_that_does_not_say_yes_or_no_is_a_500(self) -> None:
        app = app_of(bank(tenants=lambda tenant_id: "yes"))
        headers = BANK_KEY.bearer(iss=BANK)
        assert app.test_client().get("/me", headers=headers).status_code == 500

    def test_two_issuers_for_any_tenant_are_not_allowed(self) -> None:
        match = r"^JWT_ISSUERS entry 0 and JWT_ISSUERS entry 1 are issuers for any tenant.*'\*'"
        with pytest.raises(ConfigurationError, match=match):
            app_of(bank(tenants=None), shop(tenants=None))
        with pytest.raises(ConfigurationError, match=r"^JWT_ISSUER and JWT_ISSUERS entry 0 are"):
            app_of(bank(tenants=None), JWT_SECRET_KEY=SECRET, JWT_ISSUER="https://api.example.com")
        app_of(bank(tenants="*"), shop(tenants="*"))
        app_of(bank(tenants=None), JWT_SECRET_KEY=SECRET)
        app_of(bank(tenants="*"), JWT_SECRET_KEY=SECRET, JWT_ISSUER="https://api.example.com")
        app_of(bank(tenants=None))

    def test_keys_of_tenants_come_first(self) -> None:
        other = "another secret that is long enough for HS256"
        app = app_of(
            bank(), shop(tenants="*"),
            JWT_TENANT_KEYS=lambda tenant, kid: other if tenant == OTHER_TENANT else None,
        )  # fmt: skip
        assert reason_of(app, BANK_KEY.token(iss=BANK)) is None
        assert reason_of(app, SHOP_KEY.token(iss=SHOP, tenant_id=THIRD_TENANT)) is None
        shops = SHOP_KEY.token(iss=SHOP, tenant_id=OTHER_TENANT)
        assert reason_of(app, shops) is not None
        payload = {"tenant_id": OTHER_TENANT, "user_id": USER, "exp": 4102444800}
        assert reason_of(app, jwt.encode(payload, other, "HS256")) is None
        with app.app_context():
            assert reason_of(app, create_jwt_token(OTHER_TENANT, USER)) is None
            with pytest.raises(RuntimeError, match="only verifies"):
                create_jwt_token(TENANT, USER)


class TestFetched:
    @pytest.mark.parametrize("how", ["jwks", "discovery"])
    def test_the_keys_of_an_issuer_are_fetched(self, provider: Provider, how: str) -> None:
        where = {"jwks": provider.url} if how == "jwks" else {"discovery": True}
        app = app_of({"issuer": provider.issuer, "tenants": [TENANT]} | where, shop())
        assert reason_of(app, provider.keys[0].token(iss=provider.issuer)) is None
        assert reason_of(app, provider.keys[0].token(iss=provider.issuer, kid="x")) == "kid_unknown"

    def test_one_that_is_away_does_not_touch_the_others(self, provider: Provider) -> None:
        provider.stop()
        app = app_of({"issuer": provider.issuer, "discovery": True, "tenants": "*"}, shop())
        assert reason_of(app, SHOP_KEY.token(iss=SHOP, tenant_id=OTHER_TENANT)) is None
        assert reason_of(app, provider.keys[0].token(iss=provider.issuer)) == "keys_unavailable"
        assert reason_of(app, BANK_KEY.token(iss=BANK)) == "iss_mismatch"

    def test_a_secret_that_is_fetched_is_no_key(
        self, provider: Provider, caplog: pytest.LogCaptureFixture
    ) -> None:
        provider.answer_keys(
            lambda handler: handler.send(
                json.dumps({"keys": [secret_jwk(SECRET.encode()), BANK_KEY.jwk()]}).encode()
            )
        )
        app = app_of({"issuer": BANK, "jwks": provider.url})
        assert reason_of(app, BANK_KEY.token(iss=BANK)) is None
        assert reason_of(app, token(iss=BANK)) is not None
        assert "key 's' is passed over: it is a secret" in caplog.text


def test_the_log_names_an_issuer_that_is_not_known(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(bank())
    for _ in range(5):
        assert reason_of(app, BANK_KEY.token(iss="https://evil.example\n" + "x" * 500)) is not None
    (line,) = [each for each in caplog.messages if "none of JWT_ISSUER" in each]
    assert "'https://evil.example\\nxxx" in line
    assert len(line) < 200


def test_they_are_read_from_json_text() -> None:
    app = app_of(JWT_ISSUERS=json.dumps([bank(), shop()]))
    assert reason_of(app, BANK_KEY.token(iss=BANK)) is None


@pytest.mark.parametrize(
    ("issuers", "message"),
    [
        (7, "must be a list of dicts, not int"),
        ("{", "must be a list of dicts, or the JSON text"),
        ("{}", "must be a list of dicts, not dict"),
        (["x"], "entry 0: must be a dict, not str"),
        ([bank(), bank()], "entry 1: issuer is that of entry 0 too"),
        ([bank(audiences="x")], "entry 0: 'audiences' is no key of an issuer: those are issuer, "),
        ([bank(), shop() | {7: 8}], "entry 1: 7 is no key of an issuer"),
        ([bank(issuer=None)], "entry 0: issuer must be set"),
        ([bank(issuer="")], "entry 0: issuer must be set"),
        ([bank(issuer=7)], "entry 0: issuer must be text, not int"),
        ([bank(jwks=None)], "entry 0: jwks and discovery say not where the keys are"),
        ([bank(discovery=True)], "entry 0: jwks and discovery both say where"),
        ([bank(discovery="maybe")], "entry 0: discovery must be true or false"),
        ([bank(jwks="http://x.example")], "entry 0: jwks must be an https URL"),
        ([bank(jwks=7)], "entry 0: jwks must be a dict"),
        ([bank(jwks={})], "entry 0: jwks must hold"),
        ([bank(jwks="/no/such/file.json")], "entry 0: jwks must be a dict, JSON text, an https"),
        ([bank(jwks=None, discovery=True, issuer="bank")], "entry 0: issuer must be .*discovery"),
        ([bank(audience=[])], "entry 0: audience must not be empty"),
        ([bank(audience=7)], "entry 0: audience must be a comma list"),
        ([bank(algorithms="RS257")], "entry 0: algorithms must be among .*'RS257' is not"),
        ([bank(algorithms=[])], "entry 0: algorithms must not be empty"),
        ([bank(tenant_claim=7)], "entry 0: tenant_claim must be a comma list"),
        ([bank(user_claim=[])], "entry 0: user_claim must not be empty"),
        ([bank(role_claim="/a/~")], "entry 0: role_claim holds .*'~0'"),
        ([bank(role_map=[])], "entry 0: role_map names no word"),
        ([bank(role_map={"a": 7})], "entry 0: role_map must be text, not int"),
        ([bank(tenants=[])], "entry 0: tenants must not be empty"),
        ([bank(tenants=["x"])], "entry 0: tenants must be UUIDs, a callable .* not 'x'"),
        ([bank(tenants=["*", TENANT])], r"entry 0: tenants must be '\*' alone"),
        ([bank(tenants=7)], "entry 0: tenants must be a comma list or a list"),
    ],
)
def test_an_entry_that_is_not_valid_is_named(issuers: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^JWT_ISSUERS {message}"):
        app_of(JWT_ISSUERS=issuers)


def test_an_async_callable_is_not_valid() -> None:
    async def speaks(tenant_id: str) -> bool:
        return True

    with pytest.raises(ConfigurationError, match=r"^JWT_ISSUERS entry 0: tenants must not be an"):
        app_of(bank(tenants=speaks))


def test_the_issuer_of_the_app_is_no_entry() -> None:
    with pytest.raises(ConfigurationError, match=r"^JWT_ISSUERS entry 0: issuer is JWT_ISSUER"):
        app_of(bank(), JWT_SECRET_KEY=SECRET, JWT_ISSUER=BANK)


def me_of(app: Flask, text: str) -> Any:
    """What the view says of the identity; the status of an invalid token."""
    answer = app.test_client().get("/who", headers={"Authorization": f"Bearer {text}"})
    return answer.get_json() if answer.status_code == 200 else answer.status_code


def who_app(*issuers: dict[str, Any], **config: Any) -> Flask:
    app = app_of(*issuers, **config)

    def who() -> list[str]:
        return [*get_tenant_context(), get_user_role()]

    app.get("/who", endpoint="who")(verify_tenant_context(who))
    return app


class TestClaimsOfIssuers:
    def test_each_issuer_has_its_own_places_and_words(self) -> None:
        app = make_app(
            JWT_ISSUERS=[
                bank(tenant_claim="org", user_claim="sub", role_claim="/r", role_map="Boss=admin"),
                shop(),
            ]
        )
        view = verify_tenant_context(lambda: [*get_tenant_context(), get_user_role()])
        app.get("/who", endpoint="who")(view)

        def ask(text: str) -> Any:
            answer = app.test_client().get("/who", headers={"Authorization": f"Bearer {text}"})
            return answer.get_json() if answer.status_code == 200 else answer.status_code

        def claims(**changed: Any) -> dict[str, Any]:
            return {"tenant_id": None, "user_id": None, "org": TENANT, "sub": USER} | changed

        def of_bank(**changed: Any) -> str:
            said = {k: v for k, v in claims(**changed).items() if v is not None}
            return BANK_KEY.pair.token({"iss": BANK, "exp": 4102444800} | said, kid=BANK_KEY.kid)

        assert ask(of_bank(r="Boss")) == [TENANT, USER, "admin"]
        assert ask(of_bank(r="admin")) == [TENANT, USER, "user"]
        assert ask(of_bank(org=OTHER_TENANT)) == 401
        # The other issuer has what the app itself has.
        admin = SHOP_KEY.token(iss=SHOP, tenant_id=OTHER_TENANT, role="admin")
        assert ask(admin) == [OTHER_TENANT, USER, "admin"]

    def test_a_tenant_that_is_no_uuid_is_a_name(self) -> None:
        namespace = "0b0c6a44-5a0e-4b56-9a1d-3f1f0a6f2f11"
        app = app_of(bank(tenants=["acme"]), JWT_ID_NAMESPACE=namespace)
        assert reason_of(app, BANK_KEY.token(iss=BANK, tenant_id="acme")) is None
        assert reason_of(app, BANK_KEY.token(iss=BANK, tenant_id="other")) == "tenant_foreign"
        with pytest.raises(ConfigurationError, match="entry 0: tenants must be UUIDs"):
            app_of(bank(tenants=["acme"]))

    def test_the_identity_that_a_callable_names_is_of_a_tenant_of_the_issuer(self) -> None:
        app = app_of(bank(), shop(), JWT_IDENTITY=lambda claims: (claims["t"], USER, "user"))
        view = verify_tenant_context(lambda: get_tenant_context()[0])
        app.get("/called", endpoint="called")(view)

        def status(text: str) -> int:
            headers = {"Authorization": f"Bearer {text}"}
            return app.test_client().get("/called", headers=headers).status_code

        assert status(BANK_KEY.token(iss=BANK, t=TENANT)) == 200
        assert status(BANK_KEY.token(iss=BANK, t=OTHER_TENANT)) == 401
        assert status(SHOP_KEY.token(iss=SHOP, t=OTHER_TENANT)) == 200

    def test_a_role_that_the_app_does_not_have_stops_it(self) -> None:
        with pytest.raises(ConfigurationError, match="entry 0: role_map names the role 'boss'"):
            app_of(bank(role_map="a=boss"))

    def test_what_it_leaves_out_is_as_the_app_says(self) -> None:
        app = who_app(
            bank(role_claim="roles"), shop(role_map={"Chef": "admin"}),
            JWT_USER_CLAIM="sub", JWT_ROLE_MAP={"Owner": "admin"},
        )  # fmt: skip
        banks = {"iss": BANK, "user_id": None, "sub": USER}
        assert me_of(app, BANK_KEY.token(**banks, roles="Owner")) == [TENANT, USER, "admin"]
        shops = {"iss": SHOP, "tenant_id": OTHER_TENANT, "user_id": None, "sub": USER}
        assert me_of(app, SHOP_KEY.token(**shops, role="Chef")) == [OTHER_TENANT, USER, "admin"]
        assert me_of(app, SHOP_KEY.token(**shops, role="Owner")) == [OTHER_TENANT, USER, "user"]

    def test_jwt_identity_names_no_tenant_of_another_issuer(self) -> None:
        app = who_app(
            bank(), shop(tenants=lambda tenant: tenant == THIRD_TENANT), JWT_SECRET_KEY=SECRET,
            JWT_IDENTITY=lambda claims: (claims["t"], USER, "user") if claims["t"] else None,
        )  # fmt: skip
        assert me_of(app, BANK_KEY.token(iss=BANK, t=TENANT)) == [TENANT, USER, "user"]
        assert reason_of(app, BANK_KEY.token(iss=BANK, t=OTHER_TENANT)) == "tenant_foreign"
        assert reason_of(app, BANK_KEY.token(iss=BANK, t="")) == "identity_refused"
        assert me_of(app, SHOP_KEY.token(iss=SHOP, t=THIRD_TENANT)) == [THIRD_TENANT, USER, "user"]
        assert reason_of(app, SHOP_KEY.token(iss=SHOP, t=TENANT)) == "tenant_foreign"
        assert me_of(app, token(t=OTHER_TENANT)) == [OTHER_TENANT, USER, "user"]
        assert reason_of(app, BANK_KEY.token(iss="https://evil", t=TENANT)) == "iss_mismatch"

    def test_claims_are_not_read_beside_jwt_identity(self) -> None:
        with pytest.raises(ConfigurationError, match=r"^JWT_ISSUERS entry 0: claims and role_map"):
            app_of(bank(user_claim="sub"), JWT_IDENTITY=lambda claims: None)

    def test_the_key_of_a_tenant_comes_before_an_issuer_with_other_claims(self) -> None:
        other = "another secret that is long enough for HS256"
        app = who_app(
            bank(tenant_claim="org"), shop(tenant_claim="org", tenants="*"), JWT_ISSUER="https://a",
            JWT_TENANT_KEYS=lambda tenant, kid: other if tenant == OTHER_TENANT else None,
        )  # fmt: skip
        shops = {"iss": SHOP, "tenant_id": None}
        assert me_of(app, SHOP_KEY.token(**shops, org=THIRD_TENANT))[0] == THIRD_TENANT
        assert reason_of(app, SHOP_KEY.token(**shops, org=OTHER_TENANT)) == "signature_mismatch"
        assert me_of(app, BANK_KEY.token(iss=BANK, org=TENANT))[0] == TENANT

    def test_issuers_for_every_tenant_all_have_to_say_so(self) -> None:
        assert app_of(bank(tenants="*"), shop(tenants="*"))
        with pytest.raises(ConfigurationError, match="set `tenants` of each entry"):
            app_of(bank(tenants=None), shop(tenants="*"))

    def test_the_set_of_a_provider_without_its_issuer_stops_the_app(self) -> None:
        keys = set_of(SHOP_KEY)
        with pytest.raises(ConfigurationError, match="set JWT_ISSUER"):
            app_of(bank(), JWT_JWKS=keys, JWT_ALGORITHM="ES256")
        assert app_of(bank(), JWT_JWKS=keys, JWT_ALGORITHM="ES256", JWT_ISSUER=SHOP)
