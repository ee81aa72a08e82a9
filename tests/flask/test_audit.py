"""The log: what it says, and that nobody outside can make it say something else."""

from __future__ import annotations

import logging
import re

import jwt
import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st

from apps import SECRET, TENANT, USER, bearer, make_app, token
from flask_tenant_auth import (
    AuthError,
    Key,
    acting_as,
    create_jwt_token,
    decode_jwt_token,
    log_request_context,
    rate_limit,
    verify_resource_access,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.audit import plain, quoted
from key_pairs import RSA_PUBLIC

JWKS = {"keys": [Key.pem("RS256", RSA_PUBLIC.encode(), kid="k").public_jwk()]}


@pytest.fixture
def app() -> Flask:
    app = make_app()
    app.get("/api/accounts", endpoint="accounts")(verify_tenant_context(lambda: "in"))
    app.get("/api/admin", endpoint="admin")(verify_role("admin")(lambda: "in"))
    app.get("/api/slow", endpoint="slow")(rate_limit("1 per minute")(lambda: "in"))
    return app


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "flask_tenant_auth")
    return caplog


class TestRequestLine:
    def test_a_request_is_logged_in_the_documented_form(
        self, app: Flask, log: pytest.LogCaptureFixture
    ) -> None:
        headers = bearer() | {"User-Agent": "Mozilla/5.0 (X11; Linux)"}
        app.test_client().get("/api/accounts?page=2", headers=headers)
        (record,) = log.records
        assert (record.name, record.levelname) == ("flask_tenant_auth", "INFO")
        assert record.getMessage() == (
            f"Request: method=GET endpoint=/api/accounts user_id={USER} tenant_id={TENANT} "
            'role=user ip=127.0.0.1 user_agent="Mozilla/5.0 (X11; Linux)"'
        )

    def test_the_fields_are_attributes_of_the_record(
        self, app: Flask, log: pytest.LogCaptureFixture
    ) -> None:
        app.test_client().get("/api/accounts", headers=bearer(role="admin"))
        (record,) = log.records
        fields = {
            "method": "GET",
            "endpoint": "/api/accounts",
            "user_id": USER,
            "tenant_id": TENANT,
            "role": "admin",
            "ip": "127.0.0.1",
        }
        assert {name: getattr(record, name) for name in fields} == fields

    def test_nothing_is_computed_when_the_logger_is_off(
        self, app: Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "flask_tenant_auth")
        assert app.test_client().get("/api/accounts", headers=bearer()).status_code == 200
        assert caplog.records == []

    def test_a_missing_value_is_written_as_a_dash(
        self, app: Flask, log: pytest.LogCaptureFixture
    ) -> None:
        with app.test_request_context("/", headers={"User-Agent": ""}):
            log_request_context(request, None, None, None)
        assert log.messages == [
            'Request: method=GET endpoint=/ user_id=- tenant_id=- role=- ip=- user_agent=""'
        ]


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "headers", "status", "reason"),
        [
            ("/api/accounts", {}, 401, "no_credentials"),
            ("/api/accounts", {"Authorization": "Bearer x"}, 401, "not_three_segments"),
            ("/api/accounts", bearer(exp=1), 401, "expired"),
            ("/api/accounts", {"X-Tenant-ID": "x", "X-User-ID": USER}, 400, "tenant_id_invalid"),
            ("/api/admin", bearer(), 403, "role_insufficient"),
        ],
    )
    def test_denied_requests_log_a_warning_with_the_reason(
        self,
        app: Flask,
        log: pytest.LogCaptureFixture,
        path: str,
        headers: dict[str, str],
        status: int,
        reason: str,
    ) -> None:
        app.test_client().get(path, headers=headers)
        record = log.records[-1]
        assert record.levelname == "WARNING"
        assert record.getMessage().startswith(
            f"Denied: status={status} reason={reason} method=GET endpoint={path} "
        )
        assert (record.status, record.reason) == (status, reason)

    def test_a_limited_request_and_a_denied_resource_log_their_reasons(
        self, app: Flask, log: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            app.test_client().get("/api/slow", headers=bearer())
        assert log.records[-1].reason == "rate_limit_exceeded"
        assert log.records[-1].user_id == USER
        with acting_as(TENANT, USER), pytest.raises(AuthError):
            verify_resource_access(USER, USER)
        assert log.records[-1].reason == "other_tenant"
        assert log.records[-1].endpoint == "-"


UNKNOWN = "the key id is none of this application's keys"
DETAIL = re.compile(r'.* detail="(.*): its kid is (.*), its iss (.*)"')


def foreign_token(kid: str | None, iss: str | None) -> str:
    claims = {"tenant_id": TENANT, "user_id": USER, "exp": 2**33}
    return jwt.encode(
        claims if iss is None else claims | {"iss": iss},
        SECRET,
        "HS256",
        headers={} if kid is None else {"kid": kid},
    )


class TestWhatWasLookedFor:
    """The denial of a token that other keys or another issuer may have made names these."""

    def denied(
        self, log: pytest.LogCaptureFixture, text: str, **config: object
    ) -> tuple[str, str, str, str]:
        """The reason and what the detail says, by a request and by decode_jwt_token alike."""
        app = make_app(**config)
        app.get("/me")(verify_tenant_context(lambda: "in"))
        log.clear()
        app.test_client().get("/me", headers={"Authorization": f"Bearer {text}"})
        with app.app_context(), pytest.raises(AuthError, match="Invalid token"):
            decode_jwt_token(text)
        (by_request, by_decode) = [each for each in log.records if hasattr(each, "detail")]
        assert by_request.detail == by_decode.detail
        found = DETAIL.fullmatch(by_request.getMessage())
        assert found, by_request.getMessage()
        return by_request.reason, *found.groups()

    def test_an_unknown_kid_is_named(self, log: pytest.LogCaptureFixture) -> None:
        said = self.denied(log, foreign_token("2025", None), JWT_KEY_ID="2026")
        assert said == ("kid_unknown", UNKNOWN, "'2025'", "(none)")
        said = self.denied(log, foreign_token("", "https://a.example/"), JWT_KEY_ID="2026")
        assert said == ("kid_unknown", UNKNOWN, "''", "'https://a.example/'")

    def test_another_issuer_is_named(self, log: pytest.LogCaptureFixture) -> None:
        ours = {"JWT_ISSUER": "https://b.example/"}
        reason, _, kid, issuer = self.denied(log, foreign_token("k", "https://a.example/"), **ours)
        assert (reason, kid, issuer) == ("iss_mismatch", "'k'", "'https://a.example/'")
        reason, _, kid, issuer = self.denied(log, foreign_token(None, None), **ours)
        assert (reason, kid, issuer) == ("iss_mismatch", "(none)", "(none)")
        several = {"JWT_ISSUERS": [{"issuer": "https://c.example/", "jwks": JWKS}]}
        reason, _, kid, issuer = self.denied(
            log, foreign_token("k", "https://a.example/"), **several
        )
        assert (reason, kid, issuer) == ("iss_mismatch", "'k'", "'https://a.example/'")

    def test_they_are_shortened_and_escaped(self, log: pytest.LogCaptureFixture) -> None:
        kid, issuer = 'x"\r\n' + "y" * 200, "\u202e" * 200
        _, _, shown_kid, shown_issuer = self.denied(
            log, foreign_token(kid, issuer), JWT_KEY_ID="2026"
        )
        assert shown_kid == "'x\\\"\\\\r\\\\n" + "y" * 60 + "...'"
        assert shown_issuer == "'" + "\\\\u202e" * 64 + "...'"

    def test_other_denials_quote_nothing(self, log: pytest.LogCaptureFixture) -> None:
        app = make_app()
        app.get("/me")(verify_tenant_context(lambda: "in"))
        for text in (
            foreign_token("known to nobody", None)[:-4] + "AAAA",  # tried, and found unknown
            foreign_token(None, "https://secret.example/")[:-4] + "AAAA",
            foreign_token("known to nobody", None).rpartition(".")[0] + ".!",
        ):
            app.test_client().get("/me", headers={"Authorization": f"Bearer {text}"})
        named, *others = [each.detail for each in log.records if hasattr(each, "detail")]
        assert "known to nobody" in named
        assert len(others) == 2
        assert not any("nobody" in each or "example" in each for each in others)

    @given(kid=st.text(max_size=100), issuer=st.text(max_size=100))
    def test_whatever_they_are_the_denial_is_one_line_of_known_fields(
        self, kid: str, issuer: str
    ) -> None:
        handler = _Keep()
        logger = logging.getLogger("flask_tenant_auth")
        logger.addHandler(handler)
        try:
            with KEYED.app_context(), pytest.raises(AuthError):
                decode_jwt_token(foreign_token(kid, issuer))
        finally:
            logger.removeHandler(handler)
        (line,) = handler.lines
        assert line.isascii()
        assert line.isprintable()
        assert len(line) < 2500
        assert re.fullmatch(
            r'Denied: status=401 reason=kid_unknown [^"]* user_agent="" answer="Invalid token" '
            r'detail="((?:[^"\\]|\\.)*)"',
            line,
        )


class TestSecrets:
    def test_no_token_is_written_to_the_log(
        self, app: Flask, log: pytest.LogCaptureFixture
    ) -> None:
        client = app.test_client()
        good = token()
        tampered = good[:-4] + "AAAA"
        for each in (good, tampered, good + "x", good.upper()):
            client.get(f"/api/accounts?token={each}", headers={"Authorization": f"Bearer {each}"})
            with (
                app.app_context(),
                pytest.raises(AuthError) if each != good else acting_as(TENANT, USER),
            ):
                decode_jwt_token(each)
        assert len(log.records) >= 4
        for part in (SECRET, *good.split("."), *tampered.split(".")):
            assert part not in log.text
            assert part.upper() not in log.text

    def test_no_token_is_in_the_text_of_an_exception(self, app: Flask) -> None:
        good = token()
        with app.app_context(), pytest.raises(AuthError) as caught:
            decode_jwt_token(good[:-4] + "AAAA")
        assert good[:20] not in repr(caught.value) + str(caught.value)
        with app.app_context(), pytest.raises(ValueError, match="claims") as refused:
            create_jwt_token(TENANT, USER, claims={"a": "\ud800", "password": "hunter2"})
        assert "hunter2" not in str(refused.value)


LINE = re.compile(
    r"Request: method=(\S+) endpoint=(\S+) user_id=\S+ tenant_id=\S+ role=user ip=(\S+) "
    r'user_agent="((?:[^"\\]|\\.)*)"'
)


class TestInjection:
    @given(path=st.text(max_size=40), agent=st.text(max_size=40), address=st.text(max_size=20))
    def test_one_request_is_one_line_of_known_fields(
        self, path: str, agent: str, address: str
    ) -> None:
        handler = _Keep()
        logger = logging.getLogger("flask_tenant_auth")
        logger.addHandler(handler)
        level = logger.level
        logger.setLevel(logging.INFO)
        try:
            environ = {
                "REMOTE_ADDR": address,
                "PATH_INFO": "/" + path.encode("utf-8", "surrogatepass").decode("latin-1"),
                "HTTP_USER_AGENT": agent,
            }
            with APP.test_request_context(environ_overrides=environ):
                log_request_context(request, USER, TENANT, "user")
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
        (line,) = handler.lines
        assert line.isascii()
        assert line.isprintable()
        assert LINE.fullmatch(line)

    @given(st.text())
    def test_a_plain_value_is_one_word(self, value: str) -> None:
        assert re.fullmatch(r"[!-~]+", plain(value))

    @given(st.text())
    def test_a_quoted_value_ends_at_its_last_quote(self, value: str) -> None:
        assert re.fullmatch(r"(?:[ !#-\[\]-~]|\\[ -~])*", quoted(value))

    @given(st.text(max_size=100), st.text(max_size=100))
    def test_different_values_are_quoted_differently(self, one: str, other: str) -> None:
        assert (quoted(one) == quoted(other)) is (one == other)

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            ("curl/8.0", "curl/8.0"),
            ('a"b', 'a\\"b'),
            ("a\\b", "a\\\\b"),
            ("a\r\nb", "a\\r\\nb"),
            ("\x1b[31m", "\\x1b[31m"),
            ("é\u2028\U0001f600", "\\xe9\\u2028\\U0001f600"),
            ("\x7f\x85", "\\x7f\\x85"),
        ],
    )
    def test_special_characters_are_escaped(self, value: str, written: str) -> None:
        assert quoted(value) == written

    def test_a_value_that_is_too_long_is_cut(self) -> None:
        assert quoted("x" * 5000) == "x" * 1024 + "..."


class _Keep(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


APP = make_app()
KEYED = make_app(JWT_KEY_ID="2026")
