"""Key pairs that the command `openssl` makes and signs with.

They need no package, so tests with them run on each CPython, and they share no code with the core.
`test_a_pair_of_openssl_agrees_with_pyjwt` compares them with a library.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from typing import Any

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def openssl(*arguments: str, given: bytes = b"", key: str = "") -> bytes:
    """What a command of OpenSSL prints. KEY among the arguments is a file with the key."""
    readable, writable = os.pipe()
    try:
        os.write(writable, key.encode())  # a pipe holds more than any key
        os.close(writable)
        command = [each.replace("KEY", f"/dev/fd/{readable}") for each in ("openssl", *arguments)]
        ran = subprocess.run(
            command, input=given, capture_output=True, check=True, pass_fds=[readable]
        )
    finally:
        os.close(readable)
    return ran.stdout


def encoded(octets: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


class KeyPair:
    """A new key pair for an algorithm; `private` and `public` are PEM text."""

    def __init__(self, algorithm: str = "RS256", *, bits: int = 2048) -> None:
        self.algorithm = algorithm
        if algorithm == "EdDSA":
            kind = ["-algorithm", "ED25519"]
        elif algorithm in _CURVES:
            kind = ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{_CURVES[algorithm]}"]
        else:
            kind = ["-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}"]
        self.private = openssl("genpkey", *kind).decode()
        self.public = openssl("pkey", "-pubout", given=self.private.encode()).decode()

    def public_der(self) -> bytes:
        """The public key in DER."""
        return openssl("pkey", "-pubin", "-outform", "DER", given=self.public.encode())

    def jwk(self, **more: Any) -> dict[str, Any]:
        """The public key as a JSON Web Key (RFC 7517)."""
        return self._members() | {"alg": self.algorithm} | more

    def _members(self) -> dict[str, str]:
        der = self.public_der()
        if self.algorithm == "EdDSA":
            return {"kty": "OKP", "crv": "Ed25519", "x": encoded(der[-32:])}
        if self.algorithm in _CURVES:
            size = _octets_of(self.algorithm)
            x, y = der[-2 * size : -size], der[-size:]
            curve = _CURVES[self.algorithm]
            return {"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)}
        shown = openssl("rsa", "-pubin", "-noout", "-modulus", given=self.public.encode())
        modulus = bytes.fromhex(shown.decode().strip().removeprefix("Modulus="))
        return {"kty": "RSA", "n": encoded(modulus), "e": "AQAB"}

    def signature(self, data: bytes, algorithm: str | None = None) -> bytes:
        """The signature of a JSON Web Signature (RFC 7518, section 3; RFC 8037)."""
        algorithm = algorithm or self.algorithm
        if algorithm == "EdDSA":
            with tempfile.NamedTemporaryFile() as file:  # it has to know how long it is
                file.write(data)
                file.flush()
                given = ("-rawin", "-in", file.name)
                return openssl("pkeyutl", "-sign", "-inkey", "KEY", *given, key=self.private)
        options = [f"-sha{algorithm[2:]}", "-sign", "KEY"]
        if algorithm.startswith("PS"):
            options += ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
        signed = openssl("dgst", *options, given=data, key=self.private)
        return _both_numbers(signed, _octets_of(algorithm)) if algorithm in _CURVES else signed

    def token(self, payload: dict[str, Any], algorithm: str | None = None, **header: Any) -> str:
        """A signed token. A member of the header that is None is left out."""
        return self.signed(json.dumps(payload).encode(), algorithm, **header)

    def signed(self, payload: bytes, algorithm: str | None = None, **header: Any) -> str:
        """The same of any octets."""
        algorithm = algorithm or self.algorithm
        whole = {"alg": algorithm, "typ": "JWT"} | header
        members = {name: value for name, value in whole.items() if value is not None}
        head = f"{encoded(json.dumps(members).encode())}.{encoded(payload)}"
        return f"{head}.{encoded(self.signature(head.encode(), algorithm))}"


def _octets_of(algorithm: str) -> int:
    """The size of a coordinate, which is that of a number of the signature."""
    return (int(_CURVES[algorithm][2:]) + 7) // 8


def _both_numbers(der: bytes, size: int) -> bytes:
    """The two numbers of a signature in DER, one after the other (RFC 7518, section 3.4)."""
    rest = der[3:] if der[1] & 0x80 else der[2:]
    numbers = []
    for _ in range(2):
        length = rest[1]
        numbers.append(int.from_bytes(rest[2 : 2 + length], "big").to_bytes(size, "big"))
        rest = rest[2 + length :]
    return b"".join(numbers)
