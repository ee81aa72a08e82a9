"""``flask auth audit``: searches AUDIT_LOG, verifies its chain, erases a user, prunes files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from itertools import islice
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from ..._core import AuditLog, audit_public_key, is_valid_uuid
from ...config.settings import Settings
from ...errors import ConfigurationError
from ...trail.erase import erase
from ...trail.files import DamagedFileError
from ...trail.keys import chain_keys
from ...trail.lock import head_of
from ...trail.output import FORMATS
from ...trail.prune import old_files, prune
from ...trail.query import Query, read_age
from ...trail.search import Search
from ...trail.verify import Report, verify
from ..state import state_of

_ELSEWHERE = ("syslog:", "syslog+", "journal:")
_PUBLIC_KEY_DIGITS = 64


@contextmanager
def _problems() -> Iterator[None]:
    """Report what is wrong with the log or the settings; no error of printing is one of them."""
    try:
        yield
    except (ValueError, OSError, ConfigurationError, DamagedFileError) as error:
        raise click.ClickException(str(error)) from None


def _settings() -> Settings:
    return state_of(current_app).settings


def _path_of(file: str | None) -> str:
    """Return the path of the log: of --file, else of AUDIT_LOG."""
    path = file or _settings().audit_log
    if path is None:
        raise click.UsageError("AUDIT_LOG is not set: name a log with --file")
    if path.startswith(_ELSEWHERE):
        raise click.UsageError(
            f"AUDIT_LOG is {path}, whose lines others keep (journalctl -t flask_tenant_auth): "
            "name a file with --file"
        )
    return path


_file_option = click.option("--file", help="The log; AUDIT_LOG if not given.")


@click.group(
    "audit",
    cls=AppGroup,
    invoke_without_command=True,
    help="Print the lines of AUDIT_LOG that match all options, or see the commands.",
)
@click.option("--user", help="UUID of the user.")
@click.option("--tenant", help="UUID of the tenant.")
@click.option("--reason", help="Why a request was denied, as role_insufficient.")
@click.option("--address", help="IP address or network of the client.")
@click.option("--endpoint", help="Path of the request; with a * at its end, all that begin so.")
@click.option("--status", help="Status of the answer, as 403 or 4xx.")
@click.option("--since", help="Time, as 2026-11-27T15:00 in UTC, or age, as 2h.")
@click.option("--until", help="Time or age before which a line was written.")
@click.option("--format", "form", type=click.Choice(sorted(FORMATS)), default="table")
@click.option("--limit", type=click.IntRange(min=1), help="Print so many lines at most.")
@click.option("--follow", is_flag=True, help="Go on with the lines that are written.")
@_file_option
@click.pass_context
@with_appcontext
def audit_cli(
    context: click.Context,
    /,
    form: str,
    limit: int | None,
    follow: bool,
    file: str | None,
    **texts: str | None,
) -> None:
    """Print what matches, the oldest line first."""
    if context.invoked_subcommand is not None:
        return
    with _problems():
        search = Search(_path_of(file), Query.read(**texts))
    lines: Iterable[dict[str, Any]] = search.follow() if follow else search
    _print(FORMATS[form], islice(lines, limit))
    for damage in search.damaged:
        click.secho(f"Not read: {damage}", fg="red", err=True)
    if search.unreadable:
        click.echo(f"{search.unreadable} lines are no JSON and were left out", err=True)
    if search.damaged:
        raise click.exceptions.Exit(1)


def _print(
    form: Callable[[Iterable[dict[str, Any]]], Iterator[str]], lines: Iterable[dict[str, Any]]
) -> None:
    out = sys.stdout
    try:
        for row in form(lines):
            out.write(row)
            if out.isatty():
                out.flush()
        out.flush()
    except KeyboardInterrupt:
        out.flush()


@audit_cli.command("verify")
@click.option("--expect", help="N:DIGEST of a line that was noted elsewhere.")
@click.option(
    "--public-key", "public", multiple=True, help="64 hexadecimal digits; in place of the app's."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@_file_option
@with_appcontext
def verify_command(
    expect: str | None,
    public: tuple[str, ...],
    as_json: bool,
    file: str | None,
) -> None:
    """Find the first line of the chain that was changed, lost, moved, inserted or cut off."""
    with _problems():
        keys = tuple(_public_key(text) for text in public) or chain_keys(_settings())
        report = verify(_path_of(file), keys, expected=_expected(expect))
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        _print_report(report)
    if report.finding:
        raise click.exceptions.Exit(1)


def _public_key(text: str) -> bytes:
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(text) != _PUBLIC_KEY_DIGITS or not octets:
        raise click.UsageError(f"--public-key must be 64 hexadecimal digits, not {text!r}")
    return octets


def _expected(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    n, _colon, digest = text.partition(":")
    if not n.isdecimal() or len(digest) != _PUBLIC_KEY_DIGITS:
        raise click.UsageError("--expect must be N:DIGEST, as `verify` prints them")
    return int(n), digest.lower()


def _print_report(report: Report) -> None:
    if report.first:
        click.echo(f"lines {report.first} to {report.last} are a chain")
        click.echo(f"signed up to line {report.signed}")
    if report.erased:
        click.echo(f"{report.erased} of them were erased by the holder of the key")
    if report.before:
        click.echo(f"{report.before} lines before the chain began are not protected")
    if report.finding:
        where = f"{report.place}: " if report.place else ""
        click.secho(f"Problem: {where}{report.finding}", fg="red", err=True)
        return
    if not report.end_is_known:
        click.echo("whether lines were cut off at the end is known with the key of the app only")
    click.echo(f"note elsewhere: --expect {report.last}:{report.digest}")


@audit_cli.command("public-key")
@with_appcontext
def public_key() -> None:
    """Print the public keys that verify the signatures of the chain, the one that signs first."""
    with _problems():
        keys = [audit_public_key(key).hex() for key in chain_keys(_settings())]
    for key in keys:
        click.echo(key)


@audit_cli.command("sign")
@_file_option
@with_appcontext
def sign(file: str | None) -> None:
    """Sign the chain now, without waiting for the hour to end."""
    with _problems():
        note = _note_of(_path_of(file))
        if note is None:
            raise click.ClickException("there is no chain: AUDIT_CHAIN is not set")
        note("signed", 0)


def _note_of(path: str) -> Callable[[str, int], None] | None:
    """Return what writes a control line into the chain; None where the log has none."""
    settings = _settings()
    if not head_of(path).exists():
        return None
    return AuditLog(path, chain_keys(settings)).note


@audit_cli.command("erase")
@click.option("--tenant", required=True, help="UUID of the tenant.")
@click.option("--user", required=True, help="UUID of the user.")
@_file_option
@with_appcontext
def erase_command(tenant: str, user: str, file: str | None) -> None:
    """Erase the personal values of all lines that name a user of a tenant, in all files."""
    for name, value in (("--tenant", tenant), ("--user", user)):
        if not is_valid_uuid(value):
            raise click.UsageError(f"{name} must be a UUID")
    path = _path_of(file)
    with _problems():
        note = _note_of(path)
        done = erase(path, tenant, user, None if note is None else chain_keys(_settings())[0])
        if note is not None and done.lines:
            note("erased", done.lines)
    click.echo(f"erased {done.lines} lines")
    if done.left:
        raise click.ClickException(
            f"{done.left} lines name the user in a place that is not personal, as the reason, or "
            "have another form than the lines of this library: see to them by hand"
        )


@audit_cli.command("prune")
@click.option("--older-than", "age", required=True, help="Age of the last line, as 90d or 12w.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed.")
@_file_option
@with_appcontext
def prune_command(age: str, dry_run: bool, file: str | None) -> None:
    """Remove files that the log was moved to, whole ones, whose last line is older than an age."""
    path = _path_of(file)
    with _problems():
        try:
            before = datetime.now(timezone.utc) - read_age(age)
        except (ValueError, OverflowError) as error:
            raise click.UsageError(f"--older-than {error}") from None
        files = old_files(path, before)
        if not dry_run:
            prune(path, files, _note_of(path))
    for each in files:
        click.echo(f"{'would remove' if dry_run else 'removed'} {each.path}")
