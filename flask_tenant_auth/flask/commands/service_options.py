"""The options of `flask auth check` about a running service, and the client that they describe."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from flask.app import Flask

from ...probe.exchange import Client
from ...probe.target import Target
from ..state import state_of


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """The options of `flask auth check` that concern a running service, as click has them."""

    url: str | None
    token: str | None
    other_token: str | None
    paths: tuple[str, ...]
    own_path: str | None
    ca: str | None
    plain_tokens: bool
    as_json: bool
    load: float | None
    load_path: str | None
    load_limit: str | None
    load_remote: bool

    @property
    def asks(self) -> bool:
        """Whether a service is asked."""
        return self.url is not None or self.load is not None

    def require_fitting(self, *, strict: bool) -> None:
        """Raise for options that would have no effect.

        :raises click.UsageError: it names the option.
        """
        if self.asks and strict:
            raise click.UsageError("--strict does not go with --url and --load")
        needs = (
            ("--json", self.as_json, "--url or --load", self.asks),
            ("--path", self.paths, "--url", self.url),
            ("--own-path", self.own_path, "--url", self.url),
            ("--load-path", self.load_path, "--load", self.load),
            ("--load-limit", self.load_limit, "--load", self.load),
            ("--load-remote", self.load_remote, "--load", self.load),
        )
        for option, given, other, there in needs:
            if given and not there:
                raise click.UsageError(f"{option} needs {other}")


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `ServiceOptions` to a command."""
    path: dict[str, Any] = {"metavar": "PATH", "callback": _check_path}
    for option in (
        click.option("--load-remote", is_flag=True, help="Let --load ask another machine."),
        click.option(
            "--load-limit",
            metavar="LIMIT",
            help="The limit of that route, as '50 per minute'; else what the app declares.",
        ),
        click.option("--load-path", help="The route of --load; else the smallest limit.", **path),
        click.option(
            "--load",
            metavar="SECONDS",
            type=click.FloatRange(1, 3600),
            help="Send requests for so long, and count how many a limit lets pass.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--plain-tokens", is_flag=True, help="Send tokens to other machines without TLS, too."
        ),
        click.option("--ca", metavar="FILE", help="Trust the certificates in this file alone."),
        click.option("--own-path", help="A path that only the tenant of --token may read.", **path),
        click.option(
            "--path", "paths", multiple=True, help="Another path that asks for a token.", **path
        ),
        click.option("--other-token", help="A token of another tenant; - reads standard input."),
        click.option("--token", help="A token of a user; - reads standard input."),
        click.option("--url", help="Ask the running service at this URL."),
    ):
        command = option(command)
    return command


def _check_path(_context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
    for path in value if isinstance(value, tuple) else () if value is None else (value,):
        if not path.startswith("/") or not path.isprintable() or " " in path:
            raise click.BadParameter("begins with a slash, and has no space in it")
    return value


def client_of(app: Flask, options: ServiceOptions) -> Client:
    """Return what asks the service.

    :raises click.UsageError: for a URL, a file or an address that cannot be used.
    """
    url = options.url
    if url is None:
        url = f"http://127.0.0.1:{state_of(app).settings.flask_port}"
    try:
        target = Target.of(url)
    except ValueError as error:
        raise click.UsageError(f"--url {error}") from None
    if options.load is not None and not target.is_loopback and not options.load_remote:
        raise click.UsageError(
            f"--load sends as many requests as it can, and {target.host} is another machine: give "
            "--load-remote if that is meant"
        )
    if (options.token, options.other_token).count("-") == 2:
        raise click.UsageError("--token and --other-token cannot both read standard input")

    def wait(seconds: int) -> None:
        click.echo(f"Waiting {seconds} seconds for a limit", err=True)

    try:
        return Client(target, ca=options.ca, plain_tokens=options.plain_tokens, on_wait=wait)
    except OSError as error:
        raise click.UsageError(f"--ca cannot be read: {error.strerror or error}") from None


def read_token(given: str | None) -> str | None:
    """Return a token of the command line; it may be on standard input."""
    token = sys.stdin.read().strip() if given == "-" else given
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise click.UsageError("a token has visible ASCII characters only")
    return token
