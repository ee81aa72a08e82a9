"""``flask auth generate-key`` and ``rotate-key``."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator

import click
from flask.cli import with_appcontext

from ..._core import ALGORITHMS
from ...config.settings import SYMMETRIC, Settings
from ..state import current_state

# How to make a key pair, where the algorithm wants one.
_KEY_PAIRS = {
    "RS": "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072",
    "PS": "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072",
    "ES256": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    "ES384": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
    "ES512": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
    "EdDSA": "openssl genpkey -algorithm ED25519",
}


@click.command("generate-key")
@click.option("--algorithm", type=click.Choice(ALGORITHMS), default="HS256", show_default=True)
def generate_key(algorithm: str) -> None:
    """Make a key; print the configuration lines for it.

    For an algorithm with key pairs the OpenSSL commands are printed instead: the private key then
    never passes through this terminal.
    """
    if algorithm in SYMMETRIC:
        click.echo(f"JWT_ALGORITHM={algorithm}")
        click.echo(f"JWT_SECRET_KEY={new_secret()}")
        return
    for line in _key_pair_commands(algorithm):
        click.echo(line)
    click.echo(f"JWT_ALGORITHM={algorithm}")
    click.echo("JWT_PRIVATE_KEY=private.pem   # where tokens are signed")
    click.echo("JWT_PUBLIC_KEY=public.pem     # where they are only verified")


def new_secret() -> str:
    """Return 64 random bytes as text: enough for every HMAC algorithm (RFC 7518, section 3.2)."""
    return secrets.token_urlsafe(64)


def _key_pair_commands(algorithm: str) -> Iterator[str]:
    command = _KEY_PAIRS.get(algorithm) or _KEY_PAIRS[algorithm[:2]]
    yield f"{command} -out private.pem"
    yield "openssl pkey -in private.pem -pubout -out public.pem"


@click.command("rotate-key")
@with_appcontext
def rotate_key() -> None:
    """Print how to change the key while all tokens stay valid, and the new values.

    There are three rounds. During each of them, workers with the old and with the new configuration
    answer at the same time.
    """
    settings = current_state().settings
    if settings.symmetric:
        steps = _secret_rotation(settings, new_secret())
    else:
        steps = _key_pair_rotation(settings)
    for line in steps:
        click.echo(line)


def _rotation(add: str, sign: Iterable[str], retire: str, hours: float) -> Iterator[str]:
    yield "1. Add. On every host set this, and restart its workers one after the other:"
    yield f"     {add}"
    yield "   From then on every worker verifies what the new key will sign."
    yield "2. Sign. When round 1 is through everywhere, set this and restart again:"
    yield from (f"     {line}" for line in sign)
    yield "   From then on new tokens are signed with the new key; older ones still verify."
    yield f"3. Retire. {hours:g} hours later (JWT_EXPIRATION_HOURS) no older token is left:"
    yield f"     {retire}"
    yield "   If the old key has leaked, do rounds 2 and 3 at once: its tokens end there."


def _secret_rotation(settings: Settings, secret: str) -> Iterator[str]:
    older = ",<the fallbacks of today>" if settings.jwt_secret_key_fallbacks else ""
    yield from _rotation(
        add=f"JWT_SECRET_KEY_FALLBACKS={secret}{older}",
        sign=[
            f"JWT_SECRET_KEY={secret}",
            *_next_key_id(settings),
            *_secret_of_today(settings, older),
        ],
        retire="JWT_SECRET_KEY_FALLBACKS=",
        hours=settings.jwt_expiration_hours,
    )


def _next_key_id(settings: Settings) -> Iterator[str]:
    """Yield the line for JWT_KEY_ID. Under the old id, no key but the new one would be tried."""
    if settings.jwt_key_id is not None:
        yield "JWT_KEY_ID=<another id than that of today>"


def _secret_of_today(settings: Settings, older: str) -> Iterator[str]:
    secret = settings.jwt_secret_key.decode("utf-8", "replace")
    if "," not in secret and secret == secret.strip():
        yield f"JWT_SECRET_KEY_FALLBACKS=<the JWT_SECRET_KEY of today>{older}"
        return
    yield f'app.config["JWT_SECRET_KEY_FALLBACKS"] = [<the JWT_SECRET_KEY of today>{older}]'
    yield "(in the app, because this secret has a comma or begins or ends with white space, which"
    yield "is lost in the comma list of an environment variable)"


def _key_pair_rotation(settings: Settings) -> Iterator[str]:
    yield "0. Make the new key pair:"
    yield from (f"     {line}" for line in _key_pair_commands(settings.jwt_algorithm))
    yield from _rotation(
        add="JWT_SECRET_KEY_FALLBACKS=<the text of the new public.pem>",
        sign=[
            "JWT_PRIVATE_KEY=<the new private.pem>",
            "JWT_PUBLIC_KEY=<the new public.pem>",
            *_next_key_id(settings),
            "JWT_SECRET_KEY_FALLBACKS=<the text of the old public.pem>",
        ],
        retire="JWT_SECRET_KEY_FALLBACKS=",
        hours=settings.jwt_expiration_hours,
    )
