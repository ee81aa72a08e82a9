"""flask auth check --url: real servers that are right, and servers that are wrong in one way."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from apps import OTHER_TENANT, TENANT
from checked_services import OTHERS, WRONG, checked_app
from flask_tenant_auth import create_jwt_token
from flask_tenant_auth.flask.commands.service_facts import facts_of
from flask_tenant_auth.probe import exchange, transport
from flask_tenant_auth.probe.exchange import Client, shown
from flask_tenant_auth.probe.facts import Person
from flask_tenant_auth.probe.run import CHECKS, run
from flask_tenant_auth.probe.session import Session
from flask_tenant_auth.probe.target import Target
from paths import SUPPORT
from redis_server import Authority, false_redis
from served_here import served_here
from servers import Gunicorn, free_port

OF_TLS = {"tls-certificate", "tls-expiry", "tls-versions", "hsts"}


class Services(Gunicorn):
    """gunicorn with all services; through TLS where there is a certificate."""

    def __init__(self, *options: str) -> None:
        super().__init__(
            "checked_services_app:application",
            *("--workers", "1", "--worker-class", "gthread", "--threads", "8"),
            *("--pythonpath", str(SUPPORT), "--worker-tmp-dir", "/dev/shm"),
            *options,
        )


@pytest.fixture(scope="module")
def services() -> Iterator[str]:
    with Services() as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


@pytest.fixture(scope="module")
def tls_services(authority: Authority) -> Iterator[str]:
    certificate, key = authority.issue("good", "IP:127.0.0.1", days=90)
    with Services("--certfile", str(certificate), "--keyfile", str(key)) as server:
        yield f"https://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def app() -> Flask:
    return checked_app()


def check(app: Flask, url: str, *arguments: str, **options: Any) -> Result:
    return app.test_cli_runner().invoke(args=["auth", "check", "--url", url, *arguments], **options)


def checks_of(app: Flask, url: str, *arguments: str) -> dict[str, dict[str, str]]:
    """What each check has found; the last problem of each."""
    result = check(app, url, "--json", *arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    printed = json.loads(result.stdout)
    found = {each["check"]: each for each in printed["checks"]}
    problems = any(each["status"] == "problem" for each in printed["checks"])
    assert result.exit_code == int(problems)
    return found


def problems_in(found: dict[str, dict[str, str]]) -> set[str]:
    return {name for name, each in found.items() if each["status"] == "problem"}


def own_path(app: Flask) -> list[str]:
    """Arguments: a path of a tenant, a token of a user of it, and one of another tenant."""
    with app.app_context():
        own, other = (create_jwt_token(each, each) for each in (TENANT, OTHER_TENANT))
    path = f"/api/tenants/{TENANT}/notes"
    return ["--own-path", path, "--token", own, "--other-token", other]


class TestChecks:
    def test_a_right_service_passes_every_check(self, app: Flask, services: str) -> None:
        found = checks_of(app, f"{services}/good")
        skipped = {name for name, each in found.items() if each["status"] == "skipped"}
        assert list(found) == [check.name for check in CHECKS]
        assert problems_in(found) == set()
        assert skipped == OF_TLS | {"https", "own-path"}
        assert checks_of(app, f"{services}/good", *own_path(app))["own-path"]["status"] == "ok"

    def test_a_right_service_passes_the_checks_of_tls(
        self, app: Flask, tls_services: str, authority: Authority
    ) -> None:
        found = checks_of(app, f"{tls_services}/good", "--ca", str(authority.certificate))
        assert problems_in(found) == set()
        assert {found[name]["status"] for name in OF_TLS | {"https"}} == {"ok"}

    @pytest.mark.parametrize("name", WRONG)
    def test_each_wrong_service_is_found_by_its_check_alone(
        self, name: str, app: Flask, services: str, tls_services: str, authority: Authority
    ) -> None:
        expected, advice, _ = WRONG[name]
        url, arguments = f"{services}/{name}", []
        if expected in OF_TLS:
            url, arguments = f"{tls_services}/{name}", ["--ca", str(authority.certificate)]
        if expected == "own-path":
            arguments = own_path(app)
        found = checks_of(app, url, *arguments)
        assert problems_in(found) == {expected}, found
        assert advice in found[expected]["change"]
        assert found[expected]["asked"]
        assert found[expected]["came"]

    def test_every_check_has_a_wrong_service(self) -> None:
        elsewhere = {"answers", "https", "tls-certificate", "tls-expiry", "tls-versions"}
        assert {expected for expected, _, _ in WRONG.values()} | elsewhere == {
            check.name for check in CHECKS
        }

    def test_a_cache_that_gives_answers_of_users_to_strangers_is_found(
        self, app: Flask, services: str
    ) -> None:
        """Whatever is asked after the first user is answered by the cache."""
        found = problems_in(checks_of(app, f"{services}/cache"))
        assert {"shared-answers", "identity-headers", "token-expired"} <= found

    def test_the_development_server_is_found(self, app: Flask) -> None:
        with served_here(checked_app(), named=True) as port:
            found = checks_of(app, f"http://127.0.0.1:{port}")
        assert problems_in(found) == {"versions"}
        assert "development server of Flask" in found["versions"]["change"]

    def test_with_cookies_an_answer_says_that_it_is_private(
        self, app: Flask, services: str
    ) -> None:
        with app.app_context():
            facts = replace(facts_of(app), cookies=True)
        found = run(Session(Client(Target.of(f"{services}/good")), facts))
        problems = {each.check: each.came for each in found if each.status == "problem"}
        assert problems == {"cache-control": "no Cache-Control"}

    def test_a_proxy_that_adds_a_second_origin_is_found(self, app: Flask, services: str) -> None:
        """Browsers take two values for none."""
        found = checks_of(app, f"{services}/two-origins")
        assert problems_in(found) == {"cors-listed", "cors-preflight"}
        assert "two values are as none" in found["cors-listed"]["change"]

    def test_without_a_console_none_is_asked_for(self, services: str) -> None:
        app = checked_app(AUTH_CONSOLE_ROUTE=None, AUTH_CONSOLE_PERMISSION=None)
        found = checks_of(app, f"{services}/good")["console"]
        assert (found["status"], found["came"]) == ("skipped", "AUTH_CONSOLE_ROUTE is not set")


class TestNoFalsePass:
    """A check that has seen nothing does not pass: it is not asked, and says why."""

    def test_without_an_answer_to_a_user_nothing_is_known_of_shared_answers(
        self, app: Flask, services: str
    ) -> None:
        found = checks_of(app, f"{services}/forbidding")
        assert found["token-accepted"]["status"] == "ok"
        assert found["shared-answers"]["status"] == "skipped"
        assert "--path" in found["shared-answers"]["came"]

    def test_a_token_of_the_other_tenant_that_is_not_valid_proves_nothing(
        self, app: Flask, services: str
    ) -> None:
        arguments = own_path(app)
        assert checks_of(app, f"{services}/good", *arguments)["own-path"]["status"] == "ok"
        found = checks_of(app, f"{services}/good", *arguments[:-1], "e30.e30.c2lnbmF0dXJl")
        for name in ("own-path", "shared-answers"):
            assert found[name]["status"] == "skipped"
            assert "--other-token" in found[name]["came"]

    def test_the_ids_of_a_token_that_was_given_are_looked_for(
        self, app: Flask, services: str
    ) -> None:
        found = checks_of(app, f"{services}/good", *own_path(app))
        assert found["shared-answers"]["status"] == "ok"
        found = checks_of(app, f"{services}/remembered-too", *own_path(app))
        assert problems_in(found) == {"shared-answers"}
        assert TENANT in found["shared-answers"]["came"]

    @pytest.mark.parametrize("token", ["opaque-token-of-a-user", "a.é.c", "a.e30.c", "a..c", ""])
    def test_a_token_without_texts_has_no_ids(self, token: str) -> None:
        assert Person(token).ids == ()
        assert Person(token, "tenant", "user").ids == ("tenant", "user")


class TestTransport:
    def test_a_service_that_is_not_there_is_found(self, app: Flask) -> None:
        found = checks_of(app, f"http://127.0.0.1:{free_port()}")
        assert problems_in(found) == {"answers"}
        assert "--url" in found["answers"]["change"]
        assert "closed" not in found

    def test_a_certificate_that_is_not_trusted_is_found_and_nothing_more_is_asked(
        self, app: Flask, tls_services: str
    ) -> None:
        found = checks_of(app, f"{tls_services}/good")
        assert problems_in(found) == set(found) == {"tls-certificate"}
        assert "--ca" in found["tls-certificate"]["change"]

    def test_a_certificate_of_another_host_is_found(self, app: Flask, authority: Authority) -> None:
        with served_through_tls(authority, "DNS:other.example", 90) as url:
            found = checks_of(app, url, "--ca", str(authority.certificate))
        assert problems_in(found) == {"tls-certificate"}

    def test_a_certificate_that_ends_soon_is_found(self, app: Flask, authority: Authority) -> None:
        with served_through_tls(authority, "IP:127.0.0.1", 2) as url:
            found = checks_of(app, url, "--ca", str(authority.certificate))
        assert problems_in(found) == {"tls-expiry"}
        assert "renew" in found["tls-expiry"]["change"]

    def test_an_old_version_of_tls_is_found(self, app: Flask, authority: Authority) -> None:
        with served_through_tls(authority, "IP:127.0.0.1", 90, old=True) as url:
            found = checks_of(app, url, "--ca", str(authority.certificate))
        assert problems_in(found) == {"tls-versions"}
        assert "TLSv1.2" in found["tls-versions"]["change"]

    def test_no_token_goes_to_another_machine_without_tls_unless_that_is_said(
        self, app: Flask, services: str
    ) -> None:
        """0.0.0.0 is no loopback address, and reaches this machine."""
        url = services.replace("127.0.0.1", "0.0.0.0") + "/good"
        found = checks_of(app, url)
        assert problems_in(found) == {"https"}
        assert "--plain-tokens" in found["token-accepted"]["came"]
        assert found["token-expired"]["status"] == "skipped"
        found = checks_of(app, url, "--plain-tokens")
        assert found["token-accepted"]["status"] == found["token-expired"]["status"] == "ok"

    @pytest.mark.parametrize("name", ["Authorization", "cookie"])
    def test_the_client_itself_sends_no_token_in_the_clear(self, name: str, services: str) -> None:
        client = Client(Target.of(services.replace("127.0.0.1", "0.0.0.0")))
        with pytest.raises(ValueError, match="no token"):
            client.ask("GET", "/good/", {name: "x"})
        assert client.ask("GET", "/good/").status == 200

    def test_a_redirect_to_https_is_named_and_not_followed(self, app: Flask) -> None:
        with false_service(says(b"HTTP/1.1 301 x\r\nLocation: https://other.example/\r\n")) as url:
            found = checks_of(app, url)
        assert problems_in(found) == {"answers"}
        assert "https://other.example/" in found["answers"]["came"]


@contextmanager
def served_through_tls(
    authority: Authority, names: str, days: int, *, old: bool = False
) -> Iterator[str]:
    """The right service with another certificate, or with old versions of TLS."""
    certificate, key = authority.issue(f"server-{free_port()}", names, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if old:
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:@SECLEVEL=0")

    with served_here(OTHERS["good"].service(), context=context) as port:
        yield f"https://127.0.0.1:{port}"


class TestLimits:
    def test_an_app_that_sets_no_limit_is_checked_without_a_wait(self, services: str) -> None:
        app = checked_app(AUTH_FAILURE_LIMIT=None, RATELIMIT_DEFAULT=None)
        result = check(app, f"{services}/defaults")
        assert "Waiting" not in result.output
        assert result.exit_code == 0, result.output

    def test_a_short_limit_is_waited_for(self, app: Flask, services: str) -> None:
        result = check(app, f"{services}/limited-once")
        assert result.output.count("Waiting 1 seconds for a limit") == 1
        assert result.exit_code == 0, result.output

    def test_a_limit_that_is_too_long_to_wait_for_is_a_problem(
        self, app: Flask, services: str
    ) -> None:
        """What could not be asked is not taken for right."""
        found = checks_of(app, f"{services}/one-day")
        assert "identity-headers" in problems_in(found)
        assert "a limit denied the request" in found["identity-headers"]["came"]


class TestOutput:
    def test_a_problem_says_what_was_asked_what_came_and_what_to_change(
        self, app: Flask, services: str
    ) -> None:
        result = check(app, f"{services}/nosniff")
        assert result.exit_code == 1
        assert (
            "Problem: nosniff: GET /: no X-Content-Type-Options. "
            "To change: send X-Content-Type-Options: nosniff" in result.stderr
        )
        assert ", 1 problem, " in result.stdout
        assert "  not asked  own-path          " in result.stdout

    def test_no_token_is_printed(self, app: Flask, services: str) -> None:
        arguments = own_path(app)
        for more in ([], ["--json"]):
            output = check(app, f"{services}/good", *arguments, *more).output
            assert "eyJ" not in output

    def test_a_service_that_quotes_tokens_has_none_printed(self, app: Flask, services: str) -> None:
        for more in ([], ["--json"]):
            output = check(app, f"{services}/quoting", *own_path(app), *more).output
            assert "(a token) is not valid" in output
            assert "eyJ" not in output

    def test_a_token_is_read_from_standard_input(self, app: Flask, services: str) -> None:
        with app.app_context():
            token = create_jwt_token(TENANT, TENANT)
        result = check(app, f"{services}/good", "--token", "-", "--json", input=token + "\n")
        found = {each["check"]: each for each in json.loads(result.stdout)["checks"]}
        assert found["token-accepted"]["status"] == "ok"
        assert found["token-unsigned"]["status"] == "ok"
        assert found["token-expired"]["status"] == "skipped"

    def test_a_token_may_be_in_the_environment(self, app: Flask, services: str) -> None:
        with app.app_context():
            token = create_jwt_token(TENANT, TENANT)
        arguments = ["auth", "check", "--url", f"{services}/good", "--json"]
        result = app.test_cli_runner().invoke(
            app.cli,
            args=arguments,
            env={"FLASK_AUTH_CHECK_TOKEN": token},
            auto_envvar_prefix="FLASK",  # as Flask's own program has it
        )
        found = {each["check"]: each for each in json.loads(result.stdout)["checks"]}
        assert found["token-accepted"]["status"] == "ok"
        assert found["token-expired"]["status"] == "skipped"

    def test_an_app_without_a_signing_key_asks_for_a_token(self, services: str) -> None:
        from key_pairs import RSA_PUBLIC

        app = checked_app(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=RSA_PUBLIC, JWT_SECRET_KEY=None)
        found = checks_of(app, f"{services}/good")
        assert "--token" in found["token-accepted"]["came"]
        assert problems_in(found) == set()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--url", "ftp://x"], "--url must be a URL"),
            (["--url", "http://user@localhost"], "--url must be a URL without user"),
            (["--url", "http://localhost:0"], "--url must be a URL"),
            (["--url", "http://localhost/?a"], "--url must be a URL without user, query"),
            (["--url", "http://no-such-host.invalid"], "is not found"),
            (["--url", "http://localhost/\x1b"], "visible ASCII"),
            (["--url", "http://localhost", "--path", "api"], "begins with a slash"),
            (["--url", "http://localhost", "--path", "/a b"], "begins with a slash"),
            (["--url", "http://localhost", "--ca", "/no/such/file"], "--ca cannot be read"),
            (["--url", "http://localhost", "--token", "a b"], "visible ASCII"),
            (["--url", "http://localhost", "--token", "-", "--other-token", "-"], "both"),
            (["--load", "0"], "--load"),
            (["--json"], "--json needs --url or --load"),
            (["--own-path", "/x"], "--own-path needs --url"),
            (["--url", "http://localhost", "--load-path", "/x"], "--load-path needs --load"),
            (["--load-remote"], "--load-remote needs --load"),
            (["--url", "http://localhost", "--strict"], "--strict"),
        ],
    )
    def test_arguments_that_are_not_valid_are_named(
        self, app: Flask, arguments: list[str], message: str
    ) -> None:
        result = app.test_cli_runner().invoke(args=["auth", "check", *arguments])
        assert result.exit_code == 2
        assert message in result.output

    def test_without_url_the_app_is_checked_as_ever(self, app: Flask) -> None:
        result = app.test_cli_runner().invoke(args=["auth", "check"])
        assert result.exit_code == 0, result.output
        assert "Configuration" in result.output


# Services that are not HTTP, or do harm

# Of each seed.
MUTANTS = 50


@contextmanager
def false_service(behaviour: Callable[[socket.socket], None]) -> Iterator[str]:
    with false_redis(behaviour) as url:
        yield url.replace("redis", "http")


def says(answer: bytes) -> Callable[[socket.socket], None]:
    """Answer each request so, and close."""

    def behaviour(peer: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            part = peer.recv(4096)
            if not part:
                return
            request += part
        peer.sendall(answer + b"\r\n")
        peer.shutdown(socket.SHUT_RDWR)

    return behaviour


def without_end(start: bytes, part: bytes, pause: float = 0) -> Callable[[socket.socket], None]:
    """Begin an answer that never ends."""

    def behaviour(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(start)
        while True:
            peer.sendall(part)
            time.sleep(pause)

    return behaviour


OK = b"HTTP/1.1 200 OK\r\n"
HOSTILE: dict[str, Callable[[socket.socket], None]] = {
    "closes at once": lambda peer: peer.shutdown(socket.SHUT_RDWR),
    "says nothing": lambda peer: None,
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.2"),
    "no status": says(b"HTTP/1.1 \xff\xfe\r\n"),
    "a status of four digits": says(b"HTTP/1.1 2000 OK\r\n"),
    "a body without end": without_end(OK + b"\r\n", b"x" * 65536),
    "chunks without end": without_end(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"
    ),
    "a slow body": without_end(OK + b"\r\n", b"x", 0.05),
    "slow fields": without_end(OK + b"X: ", b"x", 0.05),
    "a field without end": without_end(OK + b"X: ", b"x" * 65536),
    "fields without end": without_end(OK, b"X: x\r\n" * 1000),
    "a status line without end": without_end(b"HTTP/1.1 200 ", b"x" * 65536),
    "interim answers without end": without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "trailers without end": without_end(
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n" * 1000
    ),
    "no size of a chunk": says(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx"),
    "a negative size of a chunk": says(OK + b"Transfer-Encoding: chunked\r\n\r\n-9\r\nx"),
    "a huge length": says(OK + b"Content-Length: 99999999999999999999\r\n\r\nx"),
    "a negative length": says(OK + b"Content-Length: -1\r\n\r\nx"),
    "a short body": says(OK + b"Content-Length: 100\r\n\r\nx"),
    "redirects to itself": says(b"HTTP/1.1 302 Found\r\nLocation: /\r\n"),
    "redirects elsewhere": says(b"HTTP/1.1 307 x\r\nLocation: //other.example/\r\n"),
    "octets that are no field": says(OK + b"\x00\x01\xff: \x80\r\n: x\r\nno colon\r\n"),
    "numbers that are none": says(
        b"HTTP/1.1 401 x\r\nX-RateLimit-Limit: 1e9\r\nX-RateLimit-Remaining: -1\r\n"
        b"X-RateLimit-Reset: " + b"9" * 5000 + b"\r\nRetry-After: \xb2\r\n"
    ),
    "deep JSON": says(b"HTTP/1.1 401 x\r\nContent-Type: application/json\r\n\r\n" + b"[" * 100_000),
    "escapes": says(b"HTTP/1.1 401 x\r\nServer: a/1 \x1b]0;title\x07\x1b[31m\r\n"),
    "a limit without end": says(b"HTTP/1.1 429 x\r\nRetry-After: 99999\r\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_service_makes_the_command_hang_or_crash(
    name: str, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "ANSWER_SECONDS", 0.2)
    start = time.monotonic()
    with false_service(HOSTILE[name]) as url:
        result = check(app, url)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert "Problem: " in result.stderr
    assert all(each.isprintable() for line in result.output.splitlines() for each in line)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("name", ["closes at once", "says nothing", "no HTTP"])
def test_a_service_without_tls_behind_an_https_url_is_found(
    name: str, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(transport, "ANSWER_SECONDS", 0.2)
    with false_service(HOSTILE[name]) as url:
        found = checks_of(app, url.replace("http", "https"))
    assert problems_in(found) == {"answers"}


def test_a_service_that_wants_waits_without_end_is_left(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "RUN_SECONDS", 2.5)
    with false_service(says(b"HTTP/1.1 429 x\r\nRetry-After: 1\r\n")) as url:
        result = check(app, url)
    assert result.exit_code == 1
    assert result.output.count("Waiting 1 seconds") <= 3


ANSWER = (
    b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nWWW-Authenticate: Bearer\r\n"
    b"X-RateLimit-Limit: 50\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"16\r\n" + b'{"error":1,"message":2}'[:22] + b"\r\n0\r\n\r\n"
)


def mutant_of(answer: bytes, random: Random) -> bytes:
    changed = bytearray(answer)
    for _ in range(random.randrange(6)):
        at = random.randrange(len(changed) + 1)
        match random.randrange(4):
            case 0:
                changed[at:at] = random.choice([b"\r\n", b":", b"\x00", b"\xff", b"-1", b"100 "])
            case 1:
                del changed[at : at + random.randrange(30)]
            case 2:
                changed[at : at + 1] = random.randbytes(random.randrange(4))
            case 3:
                changed[at:at] = changed[at : at + random.randrange(60)] * random.randrange(4)
    return bytes(changed)


def kind_of_answer(client: Client) -> str:
    try:
        answer = exchange.exchange(client, "GET", "/", {})
    except exchange.NoAnswer as error:
        return "none" if str(error).isprintable() else repr(str(error))
    read = (str(answer), answer.json(), answer.number("Retry-After"), answer.media_type)
    return "answer" if shown(read).isprintable() else repr(read)


@pytest.mark.parametrize("seed", range(4))
def test_any_octets_are_an_answer_or_none(seed: int) -> None:
    random = Random(seed)
    with false_service(lambda peer: says(mutant_of(ANSWER, random))(peer)) as url:
        client = Client(Target.of(url))
        kinds = {kind_of_answer(client) for _ in range(MUTANTS)}
    assert kinds == {"none", "answer"}
