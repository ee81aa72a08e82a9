"""Sources of keys: settings that cannot work, files, `flask auth check`, forks and threads."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flask_tenant_auth import ConfigurationError
from flask_tenant_auth._core import Keyring
from flask_tenant_auth.flask.extension import state_of
from paths import SUPPORT
from provider import Provider, SigningKey, body_of
from provider_apps import SECOND, Clock, after, app_of, get, held
from waiting import until


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"JWT_JWKS": "http://login.example.com/keys"}, "^JWT_JWKS must be an https URL"),
        ({"JWT_JWKS": "ftp://login.example.com/keys"}, "^JWT_JWKS must be an https URL"),
        ({"JWT_JWKS": "https://"}, "^JWT_JWKS must be a URL with a host"),
        ({"JWT_DISCOVERY": True}, "^JWT_DISCOVERY needs JWT_ISSUER"),
        (
            {"JWT_DISCOVERY": True, "JWT_ISSUER": "https://a.example", "JWT_JWKS": {"keys": []}},
            "^JWT_DISCOVERY and JWT_JWKS both",
        ),
        ({"JWT_DISCOVERY": True, "JWT_ISSUER": "accounts"}, "^JWT_ISSUER must be .* JWT_DISCOVERY"),
        ({"JWT_DISCOVERY": True, "JWT_ISSUER": "https://a/?b"}, "^JWT_ISSUER must be .*query"),
        ({"JWT_DISCOVERY": True, "JWT_ISSUER": "https://u@a/"}, "^JWT_ISSUER must be .*user"),
        (
            {"JWT_JWKS": "https://a.example", "JWT_JWKS_MAX_AGE_SECONDS": 5},
            "^JWT_JWKS_MAX_AGE_SECONDS must be a number from 10",
        ),
        (
            {"JWT_JWKS": "https://a.example", "JWT_JWKS_STALE_SECONDS": 299},
            "^JWT_JWKS_STALE_SECONDS must not be less",
        ),
    ],
)
def test_settings_that_cannot_work_stop_the_app(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        app_of(**config)


class TestFile:
    def test_it_is_read_again_when_it_changes(
        self, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        first, path = SigningKey("first"), tmp_path / "jwks.json"
        path.write_bytes(body_of(first.jwk()))
        app = app_of(JWT_JWKS=path)
        assert type(state_of(app).keyring) is Keyring
        path.write_bytes(body_of(SECOND.jwk()))
        assert (get(app, first), get(app, SECOND)) == (200, 401)  # looked at once a second
        clock.ahead += 1
        assert (get(app, first), get(app, SECOND)) == (401, 200)
        assert caplog.text.count("rotated: new keys 'second'") == 1
        replacement = tmp_path / "new"
        replacement.write_bytes(body_of(first.jwk()))
        replacement.replace(path)
        clock.ahead += 1
        assert (get(app, first), get(app, SECOND)) == (200, 401)

    @pytest.mark.parametrize("broken", [b"", b'{"keys": [', b'{"keys": []}', None])
    def test_old_keys_stay_while_it_is_broken(
        self,
        tmp_path: Path,
        clock: Clock,
        caplog: pytest.LogCaptureFixture,
        broken: bytes | None,
    ) -> None:
        key, path = SigningKey("first"), tmp_path / "jwks.json"
        path.write_bytes(body_of(key.jwk()))
        app = app_of(JWT_JWKS=path)
        path.unlink() if broken is None else path.write_bytes(broken)
        for _ in range(3):
            clock.ahead += 1
            assert get(app, key) == 200
        assert caplog.text.count("changed and is broken, its old keys stay") == 1
        path.write_bytes(body_of(SECOND.jwk()))
        clock.ahead += 1
        assert get(app, SECOND) == 200

    def test_the_published_keys_follow(self, tmp_path: Path, clock: Clock) -> None:
        path = tmp_path / "jwks.json"
        path.write_bytes(body_of(SigningKey("first").jwk()))
        app = app_of(JWT_JWKS=path, JWT_JWKS_ROUTE="/jwks")
        path.write_bytes(body_of(SECOND.jwk()))
        clock.ahead += 1
        client = app.test_client()
        client.get("/open")
        assert [each["kid"] for each in client.get("/jwks").get_json()["keys"]] == ["second"]


class TestCheck:
    def test_it_fetches_once_and_shows_the_source(self, provider: Provider) -> None:
        provider.answer_keys(after(0.3, provider.publish))
        app = app_of(provider)
        result = app.test_cli_runner().invoke(args=["auth", "check"])
        line = rf"JWT_JWKS from {re.escape(provider.url)}, fetched \d s ago: RS256 kid='first'"
        assert re.search(line, result.output)
        assert result.exit_code == 0, result.output
        assert provider.fetches == 1

    def test_it_shows_why_there_are_no_keys(self, provider: Provider) -> None:
        provider.answer_keys(lambda handler: handler.send(b"", 500))
        for strict in ([], ["--strict"]):
            app = app_of(provider)
            result = app.test_cli_runner().invoke(args=["auth", "check", *strict])
            assert f"JWT_JWKS from {provider.url}: no keys" in result.output
            assert f"last failure: {provider.url} answered with the status 500" in result.output
            assert result.exit_code == len(strict)

    def test_it_shows_each_issuer(self, provider: Provider, tmp_path: Path) -> None:
        (tmp_path / "jwks.json").write_bytes(body_of(SECOND.jwk()))
        issuers = [
            {"issuer": provider.issuer, "discovery": True, "tenants": "*"},
            {"issuer": "https://b.example", "jwks": str(tmp_path / "jwks.json"), "tenants": "*"},
        ]
        app = app_of(JWT_ALGORITHM=None, JWT_ISSUERS=issuers)
        output = app.test_cli_runner().invoke(args=["auth", "check"]).output
        url = provider.issuer + "/.well-known/openid-configuration"
        line = rf"JWT_ISSUERS entry 0: discovery from {re.escape(url)}, fetched \d s ago: RS256 "
        assert re.search(line, output)
        assert f"entry 1: jwks from {tmp_path / 'jwks.json'}: RS256 kid='second'" in output
        assert f"JWT_ISSUERS={provider.issuer}, https://b.example" in output


FORKED = """
import os, sys
from flask_tenant_auth.flask.extension import state_of
from provider_apps import app_of, get
from provider import SigningKey

app = app_of(JWT_JWKS=sys.argv[1])   # the first fetch runs
token = {"Authorization": "Bearer " + sys.argv[2]}
child = os.fork()
status = app.test_client().get("/me", headers=token).status_code
if not child:
    os._exit(0 if status == 200 else 1)
print(status, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os._exit(0)
"""


def test_a_fetch_that_ran_at_a_fork_is_begun_anew_in_the_child(provider: Provider) -> None:
    released, answer = held(provider.publish)
    provider.answer_keys(answer)

    def release() -> None:
        until(lambda: provider.fetches == 2, "a second fetch")
        released.set()

    threading.Thread(target=release).start()
    path = os.pathsep.join([str(SUPPORT), *sys.path])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, provider.url, provider.keys[0].token()],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "200 0\n", done.stderr
    assert provider.fetches == 2


def test_many_threads_share_one_fetch(provider: Provider) -> None:
    provider.answer_keys(after(0.5, provider.publish))
    app = app_of(provider)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(get(app, provider.keys[0])))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 16
    assert provider.fetches == 1
