"""Keys in every form, texts that are no keys, and the encodings that both come in."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import random
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from jwt.algorithms import get_default_algorithms

PASSPHRASE = b"open sesame"

Private: TypeAlias = Any  # one of cryptography's private keys


@dataclass(frozen=True, eq=False)
class Pair:
    """One key pair in all its forms."""

    algorithm: str
    private: Private

    @functools.cached_property
    def public_forms(self) -> dict[str, bytes]:
        public = self.private.public_key()
        forms = {
            "SPKI PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "SPKI DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "certificate PEM": self.certificate.public_bytes(Encoding.PEM),
            "certificate DER": self.certificate.public_bytes(Encoding.DER),
        }
        if self.algorithm == "RS256":
            forms["PKCS1 PEM"] = public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
            forms["PKCS1 DER"] = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        return forms

    @functools.cached_property
    def private_forms(self) -> dict[str, bytes]:
        forms = {
            "PKCS8 PEM": self._private(Encoding.PEM, PrivateFormat.PKCS8),
            "PKCS8 DER": self._private(Encoding.DER, PrivateFormat.PKCS8),
        }
        if self.algorithm != "EdDSA":
            old = PrivateFormat.TraditionalOpenSSL
            forms["traditional PEM"] = self._private(Encoding.PEM, old)
            forms["traditional DER"] = self._private(Encoding.DER, old)
        return forms

    @functools.cached_property
    def encrypted_forms(self) -> dict[str, bytes]:
        locked = BestAvailableEncryption(PASSPHRASE)
        forms = {
            f"encrypted {name}": self._private(encoding, PrivateFormat.PKCS8, locked)
            for name, encoding in (("PEM", Encoding.PEM), ("DER", Encoding.DER))
        }
        if self.algorithm != "EdDSA":
            old = PrivateFormat.TraditionalOpenSSL
            forms["encrypted traditional PEM"] = self._private(Encoding.PEM, old, locked)
        return forms

    @functools.cached_property
    def foreign_forms(self) -> dict[str, bytes]:
        """Forms that hold the key and that no setting accepts."""
        public = self.private.public_key()
        jwk = self.jwk()
        spki = base64.b64encode(self.public_forms["SPKI DER"]).decode()
        request = x509.CertificateSigningRequestBuilder().subject_name(NAME)
        signer = None if self.algorithm == "EdDSA" else SHA256()
        return {
            "JWK": json.dumps(jwk).encode(),
            "JWK of Python": repr(jwk).encode(),
            "JWKS": json.dumps({"keys": [jwk]}, indent=2).encode(),
            "realm JSON": json.dumps({"realm": "x", "public_key": spki}).encode(),
            "OpenSSH public": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
            "OpenSSH private": self._private(Encoding.PEM, PrivateFormat.OpenSSH),
            "CSR PEM": request.sign(self.private, signer).public_bytes(Encoding.PEM),
            "CSR DER": request.sign(self.private, signer).public_bytes(Encoding.DER),
            "PKCS12": pkcs12.serialize_key_and_certificates(
                b"x", self.private, self.certificate, None, BestAvailableEncryption(b"x")
            ),
        }

    def jwk(self) -> dict[str, Any]:
        theirs = get_default_algorithms()[self.algorithm]
        jwk: dict[str, Any] = json.loads(theirs.to_jwk(self.private.public_key()))
        return jwk

    @functools.cached_property
    def raw_public(self) -> bytes:
        """The point, or the modulus."""
        public = self.private.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            return public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        if isinstance(public, ec.EllipticCurvePublicKey):
            return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return public.public_numbers().n.to_bytes(256, "big")

    @functools.cached_property
    def certificate(self) -> x509.Certificate:
        start = datetime(2020, 1, 1, tzinfo=timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(NAME)
            .issuer_name(NAME)
            .public_key(self.private.public_key())
            .serial_number(7)
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=36500))
        )
        return builder.sign(self.private, None if self.algorithm == "EdDSA" else SHA256())

    def _private(
        self,
        encoding: Encoding,
        form: PrivateFormat,
        locked: serialization.KeySerializationEncryption | None = None,
    ) -> bytes:
        made: bytes = self.private.private_bytes(encoding, form, locked or NoEncryption())
        return made


NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
PAIRS = [
    Pair("RS256", rsa.generate_private_key(65537, 2048)),
    Pair("ES256", ec.generate_private_key(ec.SECP256R1())),
    Pair("ES384", ec.generate_private_key(ec.SECP384R1())),
    Pair("ES512", ec.generate_private_key(ec.SECP521R1())),
    Pair("EdDSA", ed25519.Ed25519PrivateKey.generate()),
]

NO_KEYS = {
    "nothing": b"",
    "a line end": b"\n",
    "HTML": b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>\n",
    "XML": b'<?xml version="1.0"?><md:EntityDescriptor xmlns:md="urn:oasis"/>',
    "JSON": b'{"error": "not found", "detail": "there is no realm of that name"}',
    "prose": b"The key of the service is kept by the operators, ask them for it.\n",
    "a secret": b"cqA0bq4PBq0QGqzJ1lR6Ck3SgQ0x8mX7Yh5vWzT2uNf9sLeKdI",
    "Java keystore": bytes.fromhex("feedfeed0000000200000001") + bytes(range(200)),
    "gzip": bytes.fromhex("1f8b0800000000000003") + bytes(range(256)),
    "PEM of nothing": b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    "PEM of a CRL": b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n",
    "parameters": b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
    "a DER sequence": bytes.fromhex("3006020101020102") * 8,
}

Dress: TypeAlias = Callable[[bytes], bytes]

# Forms of PEM text that are accepted.
PEM_DRESSES: dict[str, Dress] = {
    "as it is": lambda text: text,
    "stripped": bytes.strip,
    "CR LF": lambda text: text.replace(b"\n", b"\r\n"),
    "CR": lambda text: text.replace(b"\n", b"\r"),
    "one line": lambda text: text.replace(b"\n", b" ").strip(),
    "backslash n": lambda text: text.replace(b"\n", b"\\n"),
    "backslash r n": lambda text: text.replace(b"\n", b"\\r\\n"),
    "escaped twice": lambda text: text.replace(b"\n", b"\\\\n"),
    "in quotes": lambda text: b'"' + text + b'"',
    "in single quotes": lambda text: b"'" + text.replace(b"\n", b"\\n") + b"'",
    "indented": lambda text: b"    " + text.replace(b"\n", b"\n    "),
    "BOM": lambda text: b"\xef\xbb\xbf" + text,
    "UTF-16": lambda text: b"\xff\xfe" + text.decode().encode("utf-16-le"),
    "text before": lambda text: b"Bag Attributes\n  friendlyName: x\nKey Attributes:\n" + text,
    "text behind": lambda text: text + b"# the key of 2026\n",
    "JSON string": lambda text: json.dumps(text.decode()).encode(),
    "base64": base64.b64encode,
}
DER_DRESSES: dict[str, Dress] = {
    "as it is": lambda der: der,
    "line end": lambda der: der + b"\n",
    "base64": base64.b64encode,
    "base64 lines": base64.encodebytes,
    "base64url": lambda der: base64.urlsafe_b64encode(der).rstrip(b"="),
}

# Encodings of octets.
ENCODINGS: dict[str, Dress] = {
    "base64": base64.b64encode,
    "base64 without padding": lambda octets: base64.b64encode(octets).rstrip(b"="),
    "base64 lines": base64.encodebytes,
    "base64url": base64.urlsafe_b64encode,
    "hex": lambda octets: octets.hex().encode(),
    "HEX": lambda octets: octets.hex().upper().encode(),
    "hex with colons": lambda octets: octets.hex(":").encode(),
    "hex with spaces": lambda octets: octets.hex(" ", 2).encode(),
    "C array": lambda octets: b", ".join(b"0x%02x" % octet for octet in octets),
    "base32": base64.b32encode,
    "base32hex": base64.b32hexencode,
    "base64 with dots": lambda octets: b".".join(
        base64.b64encode(octets)[at : at + 16] for at in range(0, len(octets) * 4 // 3 + 4, 16)
    ),
    "UTF-8 of Latin-1": lambda octets: octets.decode("latin-1").encode(),
    "percent": lambda octets: urllib.parse.quote(octets).encode(),
    "Python": lambda octets: repr(octets).encode(),
    "JSON": lambda octets: json.dumps(octets.decode("latin-1")).encode(),
    "white space": lambda octets: b" \t\n" + octets + b"\n\n",
    "quotes": lambda octets: b"'" + octets + b"'",
    "a name before": lambda octets: b"KEY=" + octets,
    "a data URL": lambda octets: b"data:;base64," + base64.b64encode(octets),
    "UTF-16": lambda octets: octets.decode("latin-1").encode("utf-16-le"),
}


# Encodings from which every octet can be decoded again.
EXACT = ("base64", "base64 lines", "base64url", "hex", "hex with colons", "C array", "base32")


def encoded(
    draw: random.Random, octets: bytes, among: Sequence[str] = tuple(ENCODINGS)
) -> tuple[list[str], bytes]:
    """Octets in up to three encodings, one inside the other, no longer than a secret may be."""
    names: list[str] = []
    for _ in range(draw.randint(0, 3)):
        name = draw.choice(among)
        further = ENCODINGS[name](octets)
        if len(further) > 60_000:
            break
        names.append(name)
        octets = further
    return names, octets


def mutated(draw: random.Random, octets: bytes) -> bytes:
    """Octets of which some are changed, removed, inserted, cut off or repeated."""
    changed = bytearray(octets)
    for _ in range(draw.randint(1, 4)):
        at = draw.randint(0, len(changed))
        match draw.randrange(6):
            case 0 if changed:
                changed[min(at, len(changed) - 1)] ^= 1 << draw.randrange(8)
            case 1:
                changed[at:at] = draw.randbytes(draw.randint(1, 8))
            case 2:
                del changed[at : at + draw.randint(1, 40)]
            case 3:
                del changed[at:]
            case 4:
                changed += changed[at:]
            case _:
                changed[at:at] = draw.choice([b"\n", b"\\n", b" ", b'"', b"\0", b"-----", b"="])
    return bytes(changed)


def derived(content: bytes, *further: bytes) -> set[bytes]:
    """The HMAC secrets that a reader of a published key may try."""
    tried = set()
    for octets in (content, *further):
        bare = octets.strip()
        body = b"".join(
            line for line in bare.splitlines() if not line.strip().startswith(b"-----")
        ).replace(b" ", b"")
        tried |= {octets, bare, bare + b"\n", body, bare.replace(b"\\n", b"\n")}
        with contextlib.suppress(ValueError):
            tried.add(base64.b64decode(body, validate=True))
    for octets in list(tried):
        tried |= {base64.b64encode(octets), octets.hex().encode(), base64.b64encode(octets)[:-1]}
    return {octets for octets in tried if octets}
