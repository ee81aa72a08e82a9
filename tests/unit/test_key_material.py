"""No setting that stands for a key pair ever makes a secret, and no secret is a key: generated.

The seed of a failure is in its message; KEY_SEED=<seed> makes the same run again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from apps import OTHER_TENANT, SECRET, TENANT, USER, bare_app, make_app, production_app
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    Identity,
    Key,
    NoSigningKeyError,
    create_jwt_token,
    decode_jwt_token,
)
from flask_tenant_auth._core import DEFAULT_ROLES, Keyring
from flask_tenant_auth.config.key_sources import names_file
from flask_tenant_auth.config.settings import Settings, option_lines
from flask_tenant_auth.config.token_rules import TokenRules
from flask_tenant_auth.keys.providers import own_provider
from flask_tenant_auth.keys.tenants import TenantKeyrings
from key_materials import (
    DER_DRESSES,
    ENCODINGS,
    EXACT,
    NO_KEYS,
    PAIRS,
    PASSPHRASE,
    PEM_DRESSES,
    Pair,
    derived,
    encoded,
    mutated,
)

SEED = int(os.environ.get("KEY_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
CLAIMS = {"tenant_id": TENANT, "user_id": USER, "role": "user", "exp": 2**33}
RSA_PAIR, EC_PAIR, ED_PAIR = PAIRS[0], PAIRS[1], PAIRS[-1]
HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def segment(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def forged(secret: bytes, algorithm: str = "HS256", tenant_id: str = TENANT) -> str:
    """A token signed with any octets, which PyJWT would not all take."""
    header = {"alg": algorithm, "typ": "JWT"}
    text = f"{segment(header)}.{segment({**CLAIMS, 'tenant_id': tenant_id})}"
    tag = hmac.digest(secret, text.encode(), HASHES[algorithm])
    return f"{text}.{base64.urlsafe_b64encode(tag).rstrip(b'=').decode()}"


def keyring_of(**config: Any) -> Keyring | None:
    """The keys of a production app, without the rest of it."""
    app = bare_app(**{"FLASK_ENV": "production", "JWT_SECRET_KEY": None} | config)
    settings = Settings.from_app(app)
    provider = own_provider(settings, TokenRules.of(settings, DEFAULT_ROLES))
    return None if provider is None else provider.keyring


def as_text(octets: bytes) -> str | bytes:
    """As it would come from the environment, if it can."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return octets
    return octets if "\0" in text else text


def verifies(keyring: Keyring, pair: Pair) -> bool:
    token = jwt.encode(CLAIMS, pair.private, pair.algorithm)
    return isinstance(keyring.verify(token), Identity)


def check_no_secret(keyring: Keyring, tried: set[bytes]) -> None:
    """Nothing that was read serves HMAC, and no HMAC over what was read verifies."""
    assert [key.algorithm for key in keyring.keys if key.algorithm.startswith("HS")] == []
    for secret in tried:
        for algorithm in HASHES:
            assert not isinstance(keyring.verify(forged(secret, algorithm)), Identity)


# --- settings that hold a key pair --------------------------------------------


def materials(draw: random.Random) -> tuple[str, bytes, Pair]:
    """Anything that somebody may have set a key setting to, by a name, and the pair behind it."""
    pair = draw.choice(PAIRS)
    forms = {
        **pair.public_forms,
        **pair.private_forms,
        **pair.encrypted_forms,
        **pair.foreign_forms,
        **NO_KEYS,
        "octets": draw.randbytes(draw.randint(1, 300)),
        "two": pair.public_forms["SPKI PEM"] + draw.choice(PAIRS).public_forms["SPKI PEM"],
    }
    name = draw.choice(list(forms))
    content = forms[name]
    dresses = {**PEM_DRESSES, **ENCODINGS}
    for _ in range(draw.randint(0, 2)):
        dress = draw.choice(list(dresses))
        try:
            content = dresses[dress](content)
        except UnicodeDecodeError:
            continue
        name = f"{name}, {dress}"
    if draw.random() < 0.4:
        content = mutated(draw, content)
        name += ", changed"
    return name, content, pair


def pair_settings(draw: random.Random, content: bytes, path: Path) -> Iterator[tuple[str, Any]]:
    """Each setting that stands for a key pair, and a value that says so."""
    path.write_bytes(content)
    by_path = [str(path), path, os.fsencode(path), f'"{path}"', f"file://{path}", f" {path}\n"]
    for name in ("JWT_PUBLIC_KEY", "JWT_PRIVATE_KEY"):
        yield name, draw.choice(by_path)
        if content:
            yield name, as_text(content)
    fallback = draw.choice(by_path)
    yield "JWT_SECRET_KEY_FALLBACKS", draw.choice([fallback, [fallback]])


def check_pair_settings(draw: random.Random, path: Path) -> int:
    """One material in all settings. Returns how many of them took it."""
    name, content, pair = materials(draw)
    taken = 0
    tried = derived(content, os.fsencode(path), json.dumps(pair.jwk()).encode(), pair.raw_public)
    for setting, value in pair_settings(draw, content, path):
        config: dict[str, Any] = {"JWT_ALGORITHM": pair.algorithm, setting: value}
        if draw.random() < 0.5:
            config["JWT_PRIVATE_KEY_PASSPHRASE"] = PASSPHRASE
        if setting == "JWT_SECRET_KEY_FALLBACKS":
            config["JWT_PUBLIC_KEY"] = pair.public_forms["SPKI PEM"]
        what = f"KEY_SEED={SEED}: {setting} = {name}: {value!r}"
        try:
            keyring = keyring_of(**config)
        except ConfigurationError as error:
            assert setting in str(error), what  # noqa: PT017
            continue
        assert keyring is not None, what
        try:
            check_no_secret(keyring, tried)
            assert verifies(keyring, pair) or "changed" in name or "two" in name
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from None
        taken += 1
    return taken


def run_pair_settings(seed: int, count: int, path: Path) -> None:
    draw = random.Random(seed)
    taken = sum(check_pair_settings(draw, path) for _ in range(count))
    assert taken > count // 10, "the generator makes nothing that is right"


def test_no_text_in_place_of_a_key_pair_becomes_a_secret(tmp_path: Path) -> None:
    run_pair_settings(SEED, 150, tmp_path / "key")


@pytest.mark.soak
def test_no_text_in_place_of_a_key_pair_becomes_a_secret_in_many_runs(tmp_path: Path) -> None:
    for seed in range(SEED, SEED + 20):
        run_pair_settings(seed, 1000, tmp_path / "key")


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.algorithm)
def test_keys_in_all_usual_forms_are_read(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "key"
    for setting, forms in (
        ("JWT_PUBLIC_KEY", pair.public_forms),
        ("JWT_PRIVATE_KEY", {**pair.private_forms, **pair.encrypted_forms}),
    ):
        pkcs8 = pair.private_forms["PKCS8 PEM"]
        if setting == "JWT_PRIVATE_KEY" and not Key.pem(pair.algorithm, pkcs8).can_sign:
            assert pair.algorithm == "EdDSA", "only libjwt 3 signs with it"
            continue
        for name, content in forms.items():
            dresses = PEM_DRESSES if name.endswith("PEM") else DER_DRESSES
            # A private RSA key takes long to check; the others have been through all of them.
            slow = setting == "JWT_PRIVATE_KEY" and pair.algorithm == "RS256"
            for dress, put_on in list(dresses.items())[:: 5 if slow else 1]:
                dressed = put_on(content)
                path.write_bytes(dressed)
                for value in (as_text(dressed), str(path), path)[: 3 if dress == "as it is" else 1]:
                    keyring = keyring_of(
                        JWT_ALGORITHM=pair.algorithm,
                        JWT_PRIVATE_KEY_PASSPHRASE=PASSPHRASE,
                        **{setting: value},
                    )
                    assert keyring is not None
                    assert verifies(keyring, pair), (name, dress)
                    (key,) = keyring.keys
                    assert key.is_private is (setting == "JWT_PRIVATE_KEY")


def test_ec_parameters_before_a_key_are_skipped() -> None:
    parameters = NO_KEYS["parameters"]
    for form in ("traditional PEM", "PKCS8 PEM"):
        text = (parameters + EC_PAIR.private_forms[form]).decode()
        keyring = keyring_of(JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=text)
        assert keyring is not None
        assert verifies(keyring, EC_PAIR)


REALM = RSA_PAIR.foreign_forms


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (REALM["realm JSON"], "is JSON text"),
        (REALM["JWKS"], "JWT_JWKS takes a JWK Set"),
        (NO_KEYS["HTML"], "is an HTML page"),
        (b"\xef\xbb\xbf\n" + NO_KEYS["HTML"], "is an HTML page"),
        (REALM["PKCS12"], "is a PKCS #12 store"),
        (base64.b64encode(REALM["PKCS12"]), "is a PKCS #12 store"),
        (REALM["OpenSSH public"], "form of OpenSSH"),
        (REALM["OpenSSH private"], "form of OpenSSH"),
        (REALM["CSR PEM"], "is a certificate request"),
        (REALM["CSR DER"], "is a certificate request"),
        (NO_KEYS["Java keystore"], "is a Java keystore"),
        (NO_KEYS["PEM of a CRL"], "something else than a key"),
        (NO_KEYS["parameters"], "something else than a key"),
        (NO_KEYS["a secret"], "holds no key"),
        (NO_KEYS["gzip"], "holds no key"),
        (b"", "is empty"),
        (RSA_PAIR.public_forms["SPKI PEM"][:200], "is cut off, damaged"),
        (RSA_PAIR.public_forms["SPKI DER"][:-1], "DER that is cut off|holds no key"),
        (RSA_PAIR.public_forms["SPKI PEM"] * 2, "more than one key"),
        (
            RSA_PAIR.private_forms["PKCS8 PEM"] + RSA_PAIR.public_forms["certificate PEM"],
            "more than one key",
        ),
        (EC_PAIR.public_forms["SPKI PEM"], "another kind or curve"),
        (b"x" * 300_000, "longer than 256 KiB"),
    ],
)
def test_the_error_names_the_setting_and_what_the_file_is(
    content: bytes, says: str, tmp_path: Path
) -> None:
    says = says.replace("is cut off", "that is cut off")
    path = tmp_path / "published"
    path.write_bytes(content)
    for setting in ("JWT_PUBLIC_KEY", "JWT_PRIVATE_KEY", "JWT_SECRET_KEY_FALLBACKS"):
        more = {"JWT_PUBLIC_KEY": RSA_PAIR.public_forms["SPKI PEM"]}
        config = {**(more if "FALLBACKS" in setting else {}), setting: str(path)}
        with pytest.raises(ConfigurationError, match=f"^{setting} leads to .*{path}.*({says})"):
            production_app(JWT_ALGORITHM="RS256", JWT_SECRET_KEY=None, **config)
    with pytest.raises(ConfigurationError, match=f"^JWT_SECRET_KEY_FALLBACKS leads to .*{path}"):
        production_app(JWT_SECRET_KEY_FALLBACKS=[path])  # of HS256


def test_files_that_cannot_be_read_stop_the_app_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, says in ((pipe, "regular file"), (tmp_path, "directory|regular"), ("/gone", "path")):
        with pytest.raises(ConfigurationError, match=f"JWT_PUBLIC_KEY .*({says})"):
            make_app(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=Path(path) if path is tmp_path else path)
    with pytest.raises(ConfigurationError, match="JWT_PUBLIC_KEY must be str or bytes, not int"):
        make_app(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=7)


def test_a_public_key_of_another_private_key_stops_the_app() -> None:
    other = Pair("RS256", rsa.generate_private_key(65537, 2048))
    private = RSA_PAIR.private_forms["PKCS8 PEM"]
    with pytest.raises(ConfigurationError, match="JWT_PUBLIC_KEY is not the public key of"):
        keyring_of(
            JWT_ALGORITHM="RS256",
            JWT_PRIVATE_KEY=private,
            JWT_PUBLIC_KEY=other.public_forms["certificate PEM"],
        )
    for form in RSA_PAIR.public_forms.values():
        keyring = keyring_of(JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=private, JWT_PUBLIC_KEY=form)
        assert keyring is not None
        assert len(keyring.keys) == 1


def test_a_private_and_a_public_key_in_each_others_setting_raise() -> None:
    with pytest.raises(ConfigurationError, match="JWT_PUBLIC_KEY holds a private key"):
        keyring_of(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=RSA_PAIR.private_forms["PKCS8 PEM"])
    with pytest.raises(ConfigurationError, match="JWT_PRIVATE_KEY cannot sign"):
        keyring_of(JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=RSA_PAIR.public_forms["SPKI PEM"])


@pytest.mark.parametrize("form", EC_PAIR.encrypted_forms)
def test_an_encrypted_key_needs_its_passphrase_and_no_prompt_appears(form: str) -> None:
    """Without a terminal, and with one on which a prompt would wait."""
    text = EC_PAIR.encrypted_forms[form]
    for passphrase, says in ((None, "set JWT_PRIVATE_KEY_PASSPHRASE"), ("no", "wrong")):
        with pytest.raises(ConfigurationError, match=f"JWT_PRIVATE_KEY .*{says}") as caught:
            keyring_of(
                JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=text, JWT_PRIVATE_KEY_PASSPHRASE=passphrase
            )
        assert "open sesame" not in str(caught.value)
    app = production_app(
        JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=text, JWT_PRIVATE_KEY_PASSPHRASE="open sesame"
    )
    with app.app_context():
        assert decode_jwt_token(create_jwt_token(TENANT, USER))["user_id"] == USER
    script = (
        "import pty, os, sys, time\n"
        "pid, terminal = pty.fork()\n"
        "if pid == 0:\n"
        "    from flask_tenant_auth import Key\n"
        "    try:\n"
        "        Key.pem('ES256', bytes.fromhex(sys.argv[1]))\n"
        "    except ValueError as error:\n"
        "        print('refused:', error, flush=True)\n"
        "    os._exit(0)\n"
        "seen = b''\n"
        "try:\n"
        "    while part := os.read(terminal, 4096):\n"
        "        seen += part\n"
        "except OSError:\n"
        "    pass\n"
        "sys.stdout.write(seen.decode())\n"
    )
    seen = subprocess.run(
        [sys.executable, "-c", script, text.hex()],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout
    assert seen.startswith("refused: the key is an encrypted private key")


def test_settings_show_the_path_of_a_key_and_not_the_key(tmp_path: Path) -> None:
    path = tmp_path / "public"
    path.write_bytes(EC_PAIR.public_forms["SPKI PEM"])
    private = EC_PAIR.encrypted_forms["encrypted PEM"].decode()
    settings = Settings.from_app(
        bare_app(
            JWT_ALGORITHM="ES256",
            JWT_PRIVATE_KEY=private,
            JWT_PRIVATE_KEY_PASSPHRASE=PASSPHRASE,
            JWT_PUBLIC_KEY=path,
        )
    )
    shown = "\n".join([repr(settings), *option_lines(settings)])
    assert f"JWT_PUBLIC_KEY={path}" in shown
    assert "JWT_PRIVATE_KEY_PASSPHRASE=(hidden)" in shown
    for secret in (PASSPHRASE.decode(), private[40:60], "-----BEGIN"):
        assert secret not in shown


# --- settings that hold a secret ----------------------------------------------


def published(draw: random.Random) -> tuple[str, bytes]:
    """A key in any form."""
    pair = draw.choice(PAIRS)
    forms = {
        **pair.public_forms,
        **pair.private_forms,
        **pair.encrypted_forms,
        **pair.foreign_forms,
    }
    if pair.algorithm.startswith("ES"):
        forms["point"] = pair.raw_public
        forms["coordinates"] = pair.raw_public[1:]
    name = draw.choice(list(forms))
    return f"{pair.algorithm} {name}", forms[name]


def refused(octets: bytes) -> bool:
    try:
        Key.secret("HS256", octets, allow_weak=True)
    except ValueError as error:
        assert "not a secret" in str(error)  # noqa: PT017
        return True
    return False


def run_secrets(seed: int, count: int) -> None:
    draw = random.Random(seed)
    for _ in range(count):
        name, content = published(draw)
        among = EXACT if name.endswith(("point", "coordinates")) else tuple(ENCODINGS)
        names, dressed = encoded(draw, content, among)
        assert refused(dressed), f"KEY_SEED={SEED}: {name}, {names}: {dressed[:80]!r}"
        # The positive control: the same encodings of what only the app knows.
        secret = draw.randbytes(draw.choice([32, 33, 48, 64, 65, 96, 97, 128, 1000]))
        names, dressed = encoded(draw, secret)
        assert not refused(dressed), f"KEY_SEED={SEED}: {secret!r}, {names}"


def test_any_encoding_of_a_key_is_no_secret_and_other_text_is_one() -> None:
    run_secrets(SEED, 300)


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_key_in_utf_16_is_no_secret_whatever_stands_before_it(order: str, times: int) -> None:
    """In DER a NUL and a backslash are octets as any other, and must not be lost on the way."""
    for pair in PAIRS:
        for name, content in {**pair.public_forms, **pair.private_forms}.items():
            for before in (b"", b"K", b"KEY=", b" \t\n"):
                dressed = content
                for _ in range(times):
                    dressed = before + dressed.decode("latin-1").encode(f"utf-16-{order}")
                assert refused(dressed), f"{pair.algorithm} {name}, {before!r}"


@pytest.mark.soak
def test_any_encoding_of_a_key_is_no_secret_and_other_text_is_one_in_many_runs() -> None:
    for seed in range(SEED, SEED + 20):
        run_secrets(seed, 2000)


def test_searching_a_secret_for_keys_takes_little_time() -> None:
    """Also where the octets are the encoding of something again and again."""
    began = time.process_time()
    for octets in (b"3" * 65536, b"V" * 65536, b"\\" * 65536, b"%25" * 21845, os.urandom(65536)):
        refused(octets)
    assert time.process_time() - began < 20
    began = time.process_time()
    for _ in range(100):
        Key.secret("HS256", os.urandom(32).hex().encode())
    assert time.process_time() - began < 1


KEY_DRESSES = [
    RSA_PAIR.public_forms["SPKI PEM"],
    RSA_PAIR.public_forms["SPKI DER"],
    base64.b64encode(RSA_PAIR.public_forms["SPKI DER"]),
    base64.b64encode(RSA_PAIR.public_forms["SPKI PEM"]),
    base64.urlsafe_b64encode(base64.b64encode(RSA_PAIR.public_forms["PKCS1 DER"])),
    RSA_PAIR.public_forms["PKCS1 DER"].hex().encode(),
    EC_PAIR.public_forms["SPKI PEM"].hex().upper().encode(),
    b"  " + ED_PAIR.public_forms["SPKI DER"].hex(":").encode() + b"\n",
    EC_PAIR.public_forms["certificate PEM"],
    base64.b64encode(ED_PAIR.private_forms["PKCS8 DER"]),
    EC_PAIR.foreign_forms["JWK"],
    RSA_PAIR.foreign_forms["JWKS"],
    base64.b64encode(ED_PAIR.foreign_forms["JWK"]),
    RSA_PAIR.foreign_forms["OpenSSH public"],
    ED_PAIR.foreign_forms["OpenSSH public"].split()[1],
    RSA_PAIR.foreign_forms["realm JSON"],
]


@pytest.mark.parametrize("octets", KEY_DRESSES, ids=range(len(KEY_DRESSES)))
def test_a_key_in_a_setting_for_secrets_stops_the_app(octets: bytes) -> None:
    public = RSA_PAIR.public_forms["SPKI PEM"]
    for value in {octets, as_text(octets)}:
        for config in (
            {"JWT_SECRET_KEY": value},
            {"JWT_SECRET_KEY": value, "JWT_ALGORITHM": "RS256", "JWT_PUBLIC_KEY": public},
        ):
            for environment in ("production", "development"):
                with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY .*not a secret"):
                    make_app(FLASK_ENV=environment, **config)
        with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY_FALLBACKS "):
            make_app(JWT_SECRET_KEY_FALLBACKS=[value])
        app = make_app(JWT_SECRET_KEY=None, JWT_TENANT_KEYS=lambda tenant_id, kid: value)  # noqa: B023
        with app.app_context(), pytest.raises(ConfigurationError, match="JWT_TENANT_KEYS"):
            decode_jwt_token(forged(octets))
    k = base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
    with pytest.raises(ValueError, match="not a secret"):
        Key.jwk({"kty": "oct", "alg": "HS256", "k": k})
    with pytest.raises(ConfigurationError, match="JWT_JWKS holds no key"):
        make_app(JWT_JWKS={"keys": [{"kty": "oct", "alg": "HS256", "k": k}]})


def test_secrets_of_the_app_are_accepted_in_each_of_these_settings() -> None:
    """The positive control of the test above."""
    secret = base64.b64encode(os.urandom(48)).decode()
    k = base64.urlsafe_b64encode(secret.encode()).rstrip(b"=").decode()
    for config in (
        {"JWT_SECRET_KEY": secret},
        {"JWT_SECRET_KEY_FALLBACKS": [secret]},
        {"JWT_SECRET_KEY_FALLBACKS": f"{'f' * 64},{secret}"},
        {"JWT_SECRET_KEY": None, "JWT_TENANT_KEYS": lambda tenant_id, kid: secret},
        {"JWT_JWKS": {"keys": [{"kty": "oct", "alg": "HS256", "k": k}]}},
    ):
        with production_app(**config).app_context():
            assert decode_jwt_token(forged(secret.encode()))["user_id"] == USER


def test_the_path_of_a_file_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a secret of the service, in a file"
    path.write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    written = (str(path), f" {path}\n", f'"{path}"', f"file://{path}", path.name, f"~/{path.name}")
    written += ("/run/secrets/of/the/application/that/is/gone.pem", f"{path} that was mounted once")
    written += ("https://idp.example/realms/x/protocol/openid-connect/certs",)
    # Of a volume that is not mounted yet:
    written += ("/run/secrets-of-the-app/jwt_signing_key_2026", "/var/run/secrets/keys/of/app")
    written += ("./volumes/secrets/production/signing-key", "C:\\ProgramData\\Service\\Keys\\own")
    written += ("\\\\server\\share\\keys\\jwt-signing-of-the-app",)
    for value in (*written, os.fsencode(path)):
        with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY is the path of a file"):
            production_app(JWT_SECRET_KEY=value)
        with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY_FALLBACKS "):
            production_app(JWT_SECRET_KEY_FALLBACKS=[value])
        app = make_app(JWT_SECRET_KEY=None, JWT_TENANT_KEYS=lambda tenant_id, kid: value)  # noqa: B023
        with app.app_context(), pytest.raises(ConfigurationError, match="path of a file or a URL"):
            decode_jwt_token(forged(b"x"))
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY must be str or bytes"):
        production_app(JWT_SECRET_KEY=path)
    for secret in (f"/{'s' * 40}", f"a/{'b' * 40}", f"//{'+' * 40}", f"{path.name}/{'s' * 40}"):
        production_app(JWT_SECRET_KEY=secret)


def test_random_text_is_no_path() -> None:
    """In whatever encoding: two thousand secrets for each, also such as begin like a path."""
    encodings: list[Callable[[bytes], bytes]] = [
        lambda octets: b"/" + base64.b64encode(octets[:15]) + b"/" + base64.b64encode(octets[15:]),
        base64.b64encode,
        base64.urlsafe_b64encode,
        base64.b32encode,
        base64.b85encode,
        lambda octets: octets.hex().encode(),
        lambda octets: b"".join(b"\\%03o" % octet for octet in octets),
        lambda octets: b"".join(b"\\x%02x" % octet for octet in octets),
        lambda octets: bytes(33 + octet % 94 for octet in octets),
    ]
    for number in range(2000):
        octets = hashlib.sha256(b"%d" % number).digest()
        for encode in encodings:
            assert not names_file(encode(octets)), encode(octets)
    assert names_file(b"/run/secrets-of-the-app/jwt")  # positive control


def test_the_parts_of_text_around_a_key_are_no_secrets() -> None:
    """A comma list cut the subject of a certificate into pieces, each of which was a secret."""
    certificate = EC_PAIR.public_forms["certificate PEM"].decode()
    keys = {"JWT_ALGORITHM": "ES256", "JWT_PUBLIC_KEY": EC_PAIR.public_forms["SPKI PEM"]}
    piece = "CN=a-long-name-of-a-host.example.com"
    for text in (
        f"subject=O=x,{piece},C=US\n{certificate}",
        f"{certificate}subject=O=x,{piece},C=US\n",
        f"{piece},O = Example Inc.,{certificate}",
        EC_PAIR.encrypted_forms["encrypted traditional PEM"].decode(),
    ):
        with pytest.raises(ConfigurationError, match=r"^JWT_SECRET_KEY_FALLBACKS "):
            production_app(JWT_SECRET_KEY_FALLBACKS=text, **keys)
    secret = "s" * 40
    app = production_app(JWT_SECRET_KEY_FALLBACKS=f"{secret},{certificate}", **keys)
    with app.app_context():
        assert decode_jwt_token(forged(secret.encode()))["user_id"] == USER
    app = production_app(JWT_SECRET_KEY_FALLBACKS=[f"subject=O=x,C=US\n{certificate}"], **keys)
    with app.app_context():
        token = jwt.encode(CLAIMS, EC_PAIR.private, "ES256")
        assert decode_jwt_token(token)["user_id"] == USER


def test_with_key_pairs_a_tenant_key_is_a_key_pair_or_an_error(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    path = tmp_path / "key"
    for _ in range(60):
        name, content, pair = materials(draw)
        value = as_text(content)
        settings = Settings.from_app(
            bare_app(
                JWT_ALGORITHM=pair.algorithm,
                JWT_SECRET_KEY=None,
                JWT_TENANT_KEYS=lambda tenant_id, kid: value,  # noqa: B023
            )
        )
        rules = TokenRules.of(settings, DEFAULT_ROLES)
        keyrings = TenantKeyrings(settings.jwt_tenant_keys, settings, rules, None)  # type: ignore[arg-type]
        for secret in derived(content, os.fsencode(path), pair.raw_public):
            try:
                judged = keyrings.authenticate(f"Bearer {forged(secret)}")
            except ConfigurationError as error:
                assert "JWT_TENANT_KEYS" in str(error)  # noqa: PT017
                break
            assert not isinstance(judged, Identity), f"KEY_SEED={SEED}: {name}"


# --- keys that are unsound, wherever they come from ---------------------------

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
L = 2**252 + 27742317777372353535851937790883648493
Point = tuple[int, int]


def add(one: Point, other: Point) -> Point:
    """On the curve of Ed25519 (RFC 8032, section 5.1.4), in affine coordinates."""
    (x1, y1), (x2, y2) = one, other
    both = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + both, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - both, -1, P) % P
    return x, y


def times(number: int, point: Point) -> Point:
    product = (0, 1)
    while number:
        if number & 1:
            product = add(product, point)
        point = add(point, point)
        number >>= 1
    return product


def root_of(y: int) -> int | None:
    """An x of the curve, if there is one."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return None if (x * x - square) % P else x


def torsion() -> set[Point]:
    """All points whose order divides 8, from points of the whole group."""
    found = {(0, 1)}
    y = 2
    while len(found) < 8:
        x = root_of(y)
        if x is not None:
            point = times(L, (x, y))
            found |= {times(n, point) for n in range(8)}
        y += 1
    return found


def encode(y: int, sign: int) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


TORSION = torsion()
BAD_POINTS = {
    *(encode(y, sign) for _, y in TORSION for sign in (0, 1)),
    *(encode(y, sign) for y in range(P, 2**255) for sign in (0, 1)),
    *(encode(y, sign) for y in range(2, 40) if root_of(y) is None for sign in (0, 1)),
}


def ed25519_settings(point: bytes) -> Iterator[dict[str, Any]]:
    """A public key of Ed25519 in every setting and form that takes one."""
    der = bytes.fromhex("302a300506032b6570032100") + point
    yield {"JWT_PUBLIC_KEY": der}
    pem = base64.encodebytes(der).decode()
    yield {"JWT_PUBLIC_KEY": f"-----BEGIN PUBLIC KEY-----\n{pem}-----END PUBLIC KEY-----\n"}
    genuine = ED_PAIR.raw_public
    yield {"JWT_PUBLIC_KEY": ED_PAIR.public_forms["certificate DER"].replace(genuine, point)}
    x = base64.urlsafe_b64encode(point).rstrip(b"=").decode()
    yield {"JWT_JWKS": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}}


def test_there_are_eight_points_of_small_order() -> None:
    assert len(TORSION) == 8
    assert all(times(8, point) == (0, 1) for point in TORSION)


def test_ed25519_keys_of_small_order_or_not_canonical_are_rejected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for point in BAD_POINTS:
        for config in ed25519_settings(point):
            caplog.clear()
            with pytest.raises(ConfigurationError) as caught:
                keyring_of(JWT_ALGORITHM="EdDSA", **config)
            assert "is no Ed25519 key" in str(caught.value) + caplog.text, (point.hex(), config)


def test_other_ed25519_keys_are_accepted() -> None:
    draw = random.Random(SEED)
    for _ in range(30):
        public = ed25519.Ed25519PrivateKey.from_private_bytes(draw.randbytes(32)).public_key()
        for config in ed25519_settings(public.public_bytes_raw()):
            assert keyring_of(JWT_ALGORITHM="EdDSA", **config) is not None
    for config in ed25519_settings(ED_PAIR.raw_public):
        keyring = keyring_of(JWT_ALGORITHM="EdDSA", **config)
        assert keyring is not None
        assert verifies(keyring, ED_PAIR)


def with_exponent(e: int, bits: int = 2048) -> dict[str, Any]:
    n = RSA_PAIR.private.public_key().public_numbers().n
    n = n | 1 << (bits - 1) if bits > 2048 else n
    return {
        "kty": "RSA",
        "n": base64.urlsafe_b64encode(n.to_bytes(bits // 8, "big")).rstrip(b"=").decode(),
        "e": base64.urlsafe_b64encode(e.to_bytes(e.bit_length() // 8 + 1, "big").lstrip(b"\0"))
        .rstrip(b"=")
        .decode(),
    }


@pytest.mark.parametrize("e", [1, 2, 3, 17, 65535, 65536, 65538, 2**64 + 1, 2**256 + 1])
def test_rsa_exponents_that_are_even_small_or_huge_are_rejected(
    e: int, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError, match="JWT_JWKS holds no key"):
        keyring_of(JWT_ALGORITHM="RS256", JWT_JWKS={"keys": [with_exponent(e)]})
    assert "has a public exponent" in caplog.text


def test_rsa_keys_are_accepted_up_to_the_largest_size(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for size in (8200, 16384):
        with pytest.raises(ConfigurationError, match="JWT_JWKS holds no key"):
            keyring_of(JWT_ALGORITHM="RS256", JWT_JWKS={"keys": [with_exponent(65537, size)]})
    assert "is passed over: the JWK " in caplog.text
    for e, size in ((65537, 2048), (2**32 + 15, 2048), (65537, 8192)):
        assert keyring_of(JWT_ALGORITHM="RS256", JWT_JWKS={"keys": [with_exponent(e, size)]})


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_ec_points_off_the_curve_or_at_infinity_are_rejected(curve: type) -> None:
    private = ec.generate_private_key(curve())
    algorithm = {256: "ES256", 384: "ES384", 521: "ES512"}[private.key_size]
    pair = Pair(algorithm, private)
    der, point = pair.public_forms["SPKI DER"], pair.raw_public
    assert keyring_of(JWT_ALGORITHM=algorithm, JWT_PUBLIC_KEY=der)
    for bad in (
        point[:-1] + bytes([point[-1] ^ 1]),
        b"\4" + bytes(len(point) - 1),
        b"\4" + b"\xff" * (len(point) - 1),
        bytes(len(point)),
    ):
        with pytest.raises(ConfigurationError, match="JWT_PUBLIC_KEY "):
            keyring_of(JWT_ALGORITHM=algorithm, JWT_PUBLIC_KEY=der.replace(point, bad))


# --- JWT_JWKS -----------------------------------------------------------------


def test_each_entry_that_is_skipped_is_logged_with_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    private = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC_PAIR.private))
    rsa_key, ed_key = RSA_PAIR.jwk(), ED_PAIR.jwk()
    passed_over = [
        (None, "entry 0 is passed over: it must be an object, not NoneType"),
        (7, "entry 1 is passed over: it must be an object, not int"),
        ([], "entry 2 is passed over: it must be an object, not list"),
        (
            {**rsa_key, "use": "enc", "kid": "a"},
            "key 'a' is passed over: the JWK is not for signatures",
        ),
        ({**rsa_key, "key_ops": ["encrypt"]}, "entry 4 is passed over: the JWK is not for sig"),
        ({**private, "kid": "d"}, "key 'd' is passed over: it is a private key"),
        ({"kty": "RSA", "n": None, "e": "AQAB"}, "entry 6 is passed over: the JWK lacks a member"),
        ({"kty": "AKP", "pub": "AQ"}, "entry 7 is passed over: the JWK has no alg"),
        ({**ed_key, "crv": 7}, "entry 8 is passed over: the JWK's crv must be a string"),
        ({**ed_key, "x": "AA"}, "entry 9 is passed over: the JWK lacks a member"),
        ({"kty": "oct", "k": "AAAA"}, "entry 10 is passed over: the secret is shorter"),
        ({**rsa_key, "alg": "ES256"}, "entry 11 is passed over: the key is of another kind"),
        ({}, "entry 12 is passed over: the JWK lacks a member"),
    ]
    entries = [*(entry for entry, _ in passed_over), {**EC_PAIR.jwk(), "key_ops": None}]
    keyring = keyring_of(JWT_ALGORITHM="RS256", JWT_JWKS={"keys": entries})
    assert keyring is not None
    assert len(keyring.keys) == 1
    assert verifies(keyring, EC_PAIR)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(passed_over)
    for line, (_, text) in zip(told, passed_over, strict=True):
        assert text in line


def test_null_members_of_an_entry_are_absent() -> None:
    nothing = dict.fromkeys(("alg", "use", "key_ops", "kid", "x5c", "d", "p", "k", "crv"))
    for pair in PAIRS:
        entry = {
            **nothing,
            **{name: each for name, each in pair.jwk().items() if name != "key_ops"},
        }
        keyring = keyring_of(JWT_ALGORITHM="RS256", JWT_JWKS={"keys": [entry]})
        assert keyring is not None
        assert verifies(keyring, pair)


@pytest.mark.parametrize(
    ("configured", "of_rsa", "of_oct"),
    [
        ("HS256", "RS256", "HS256"),
        ("HS512", "RS256", "HS512"),
        ("RS256", "RS256", "HS256"),
        ("RS512", "RS512", "HS256"),
        ("PS384", "PS384", "HS256"),
        ("ES256", "RS256", "HS256"),
    ],
)
def test_an_entry_without_alg_has_the_algorithm_of_its_type(
    configured: str, of_rsa: str, of_oct: str
) -> None:
    oct_key = {"kty": "oct", "k": base64.urlsafe_b64encode(bytes(range(66))).decode()}
    entries = [*(pair.jwk() for pair in PAIRS), oct_key]
    for entry in entries:
        entry.pop("key_ops", None)
    keyring = keyring_of(
        JWT_ALGORITHM=configured, JWT_SECRET_KEY=SECRET, JWT_JWKS={"keys": entries}
    )
    assert keyring is not None
    own = 1 if configured.startswith("HS") else 0
    assert [key.algorithm for key in keyring.keys[own:]] == [
        of_rsa, "ES256", "ES384", "ES512", "EdDSA", of_oct,
    ]  # fmt: skip


def test_a_jwk_set_is_read_from_a_dict_text_or_a_file(tmp_path: Path) -> None:
    jwks = {"keys": [EC_PAIR.jwk()]}
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(jwks))
    for value in (jwks, json.dumps(jwks), str(path), path):
        keyring = keyring_of(JWT_ALGORITHM="ES256", JWT_JWKS=value)
        assert keyring is not None
        assert verifies(keyring, EC_PAIR)
    path.write_text("[" * 100_000)
    for value in (path, "{" * 100_000, str(tmp_path), 7, b"{}"):
        with pytest.raises(ConfigurationError, match=r"^JWT_JWKS must be"):
            keyring_of(JWT_ALGORITHM="ES256", JWT_JWKS=value)


@pytest.mark.parametrize(
    "config",
    [
        {"JWT_JWKS": {"keys": [{"kty": "oct", "k": base64.urlsafe_b64encode(b"k" * 33).decode()}]}},
        {"JWT_JWKS": {"keys": [EC_PAIR.jwk()]}, "JWT_SECRET_KEY_FALLBACKS": ["f" * 64]},
        {
            "JWT_PUBLIC_KEY": EC_PAIR.public_forms["SPKI PEM"],
            "JWT_SECRET_KEY_FALLBACKS": [EC_PAIR.private_forms["PKCS8 PEM"]],
        },
    ],
)
def test_keys_that_verify_never_sign(config: dict[str, Any]) -> None:
    """A fallback, or a secret of a JWK Set, signed where there was no other key."""
    app = production_app(JWT_ALGORITHM="ES256", JWT_SECRET_KEY=None, **config)
    with app.app_context(), pytest.raises(NoSigningKeyError):
        create_jwt_token(TENANT, USER)
    signer = production_app(
        JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=EC_PAIR.private_forms["PKCS8 PEM"]
    )
    with signer.app_context():
        assert decode_jwt_token(create_jwt_token(TENANT, USER))["user_id"] == USER


def test_a_published_key_of_a_tenant_cannot_sign() -> None:
    """The whole way once more, through an app: the public file of the issue."""
    realm = RSA_PAIR.foreign_forms["realm JSON"]
    app = make_app(
        JWT_ALGORITHM="RS256",
        JWT_PUBLIC_KEY=RSA_PAIR.public_forms["certificate PEM"],
        JWT_TENANT_KEYS=lambda tenant_id, kid: realm if tenant_id == OTHER_TENANT else None,
    )
    with app.app_context():
        with pytest.raises(ConfigurationError, match=r"JWT_TENANT_KEYS .* this is JSON text"):
            decode_jwt_token(forged(realm, tenant_id=OTHER_TENANT))
        with pytest.raises(AuthError):
            decode_jwt_token(forged(realm))
        token = jwt.encode(CLAIMS, RSA_PAIR.private, "RS256")
        assert decode_jwt_token(token)["user_id"] == USER
