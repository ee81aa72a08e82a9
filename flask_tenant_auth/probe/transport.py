"""Checks of the connection: that there is one, and of TLS (RFC 9325)."""

from __future__ import annotations

import ssl
import time
import warnings
from collections.abc import Iterator

from .exchange import ANSWER_SECONDS, NoAnswer, shown
from .outcome import Check, NotAsked, Problem
from .session import Session

# Of the time of a certificate, so much is left at least.
LEFT_DAYS = 14
# For how long browsers are to ask through TLS only, at least: half a year.
HSTS_SECONDS = 182 * 86400

_OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
_PLAIN = "the URL is one of this machine itself, without TLS"


def _require_tls(session: Session) -> None:
    if not session.client.target.secure:
        raise NotAsked(
            _PLAIN if session.client.target.is_loopback else "there is no TLS: see https"
        )


def look_for_https(session: Session) -> Iterator[Problem]:
    """Yield a problem where another machine is asked without TLS."""
    target = session.client.target
    if target.secure:
        return
    if target.is_loopback:
        raise NotAsked(_PLAIN)
    yield Problem(
        f"the URL {target.url}",
        "http",
        "serve through TLS, and give the https URL: without it whoever is on the way reads tokens",
    )


def look_at_certificate(session: Session) -> Iterator[Problem]:
    """Yield a problem where the certificate is not trusted for the host of the URL."""
    _require_tls(session)
    try:
        session.client.connect(time.monotonic() + ANSWER_SECONDS).close()
    except NoAnswer as error:
        if not error.untrusted:
            raise NotAsked("there is no TLS connection: see answers") from None
        yield Problem(
            "a TLS connection",
            str(error),
            "install a certificate of a public authority for this host, with its chain; of an "
            "authority of your own, give its certificate with --ca",
        )


def look_for_answer(session: Session) -> Iterator[Problem]:
    """Yield a problem where no answer comes."""
    try:
        session.strangers_answers  # noqa: B018 - it asks
    except NoAnswer as error:
        yield Problem("GET /", str(error), "start the service, or correct --url")
        return
    root = session.strangers_answers.get("/")
    location = (root.get("Location") or "") if root is not None else ""
    if location.lower().startswith("https://") and not session.client.target.secure:
        yield Problem("GET /", f"{root}", "give --url as the https URL that the service names")


def look_at_expiry(session: Session) -> Iterator[Problem]:
    """Yield a problem where the certificate ends soon."""
    _require_tls(session)
    connection = session.client.connect(time.monotonic() + ANSWER_SECONDS)
    with connection:
        certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    ends = str((certificate or {}).get("notAfter", ""))
    left = (ssl.cert_time_to_seconds(ends) - time.time()) / 86400
    if left < LEFT_DAYS:
        yield Problem(
            "a TLS connection",
            f"a certificate that ends in {left:.1f} days, {shown(ends)}",
            f"renew it at least {LEFT_DAYS} days before its end: look whether its renewal runs",
        )


def look_for_old_versions(session: Session) -> Iterator[Problem]:
    """Yield a problem where TLS 1.0 or 1.1 is accepted (RFC 8996)."""
    _require_tls(session)
    context = _context_of_old_versions()
    if context is None:
        raise NotAsked("the OpenSSL of this machine cannot offer TLS 1.0 and 1.1")
    try:
        connection = session.client.connect(time.monotonic() + ANSWER_SECONDS, context)
    except NoAnswer:
        return
    with connection:
        version = connection.version() if isinstance(connection, ssl.SSLSocket) else None
    yield Problem(
        "a TLS connection that offers TLS 1.0 and 1.1 only",
        f"a connection of {shown(version)}",
        "let the server or proxy accept TLS 1.2 and 1.3 only, as with `ssl_protocols TLSv1.2 "
        "TLSv1.3` in nginx (RFC 8996)",
    )


def _context_of_old_versions() -> ssl.SSLContext | None:
    """Return a context that offers old versions only; None where OpenSSL has none of them.

    Nothing is sent on its connections, so it asks for no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = _OLD
            context.set_ciphers("ALL:@SECLEVEL=0")
        hello = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())
        hello.do_handshake()
    except ssl.SSLWantReadError:
        return context  # it has written what it offers
    except (ssl.SSLError, ValueError):
        return None
    return None


def look_for_hsts(session: Session) -> Iterator[Problem]:
    """Yield a problem where an answer lets browsers ask without TLS (RFC 6797)."""
    _require_tls(session)
    for path, answer in session.strangers_answers.items():
        value = answer.get("Strict-Transport-Security")
        if value is None or _max_age(value) < HSTS_SECONDS:
            yield Problem(
                f"GET {path}",
                "no Strict-Transport-Security"
                if value is None
                else f"Strict-Transport-Security: {shown(value)}",
                "send Strict-Transport-Security: max-age=31536000 with every answer, at the proxy "
                "or in app.after_request",
            )
            return


def _max_age(value: str) -> int:
    for part in value.lower().split(";"):
        name, _, number = part.strip().partition("=")
        number = number.strip().strip('"')
        if name.strip() == "max-age" and number.isascii() and number.isdigit():
            return int(number[:12])
    return 0


CHECKS = (
    Check(
        "tls-certificate",
        "the certificate is trusted for the host",
        look_at_certificate,
        stops=True,
    ),
    Check("answers", "the service answers", look_for_answer, stops=True),
    Check("https", "the service is asked through TLS", look_for_https),
    Check("tls-expiry", f"the certificate lasts {LEFT_DAYS} days or more", look_at_expiry),
    Check("tls-versions", "TLS 1.0 and 1.1 are not accepted", look_for_old_versions),
    Check("hsts", "browsers are told to use TLS for half a year or more", look_for_hsts),
)
