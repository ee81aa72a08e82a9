"""Verifies a chain with hashlib, json and cryptography: shares nothing with the core.

It reads JSON, where the core compares octets, and knows the format from the documentation alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class BrokenChainError(Exception):
    """The lines are no chain."""


@dataclass
class Chain:
    """What a chain has said so far."""

    key: bytes  # the public key
    digest: str = "0" * 64
    first: int = 0
    n: int = 0
    pruned: int = 0
    erased: int = 0
    users: list[str | None] = field(default_factory=list)  # of the lines about requests

    def read(self, content: bytes) -> None:
        """Read a whole file."""
        if not content.endswith(b"\n"):
            raise BrokenChainError("the last line is cut off")
        for line in content[:-1].split(b"\n"):
            self._checked_line(line)

    def _checked_line(self, line: bytes) -> None:
        try:
            self._line(line)
        except (ValueError, KeyError, TypeError, InvalidSignature) as error:
            raise BrokenChainError(f"after line {self.n}: {error!r}") from None

    def _line(self, line: bytes) -> None:
        members = json.loads(line)
        n, digest = members["n"], members["digest"]
        control = "event" in members
        if self.first == 0:
            if not control:
                raise ValueError("the first line is not one of the chain itself")
            self.first, self.n, self.digest = n, n - 1, members["previous"]
        if n != self.n + 1:
            raise ValueError(f"its number is {n}")
        if control and members["previous"] != self.digest:
            raise ValueError("it follows another line")
        end = f',"digest":"{digest}"}}'.encode()
        if not line.endswith(end):
            raise ValueError("the digest is not at the end")
        covered = line[: -len(end)]
        if control:
            text, _, _ = covered.partition(b',"signature":"')
            self._signed(b"flask_tenant_auth audit line 1\n" + text, members["signature"])
        else:
            covered, personal = self._request(members, covered)
        if hashlib.sha256(bytes.fromhex(self.digest) + covered).hexdigest() != digest:
            raise ValueError("its digest is another one")
        if not control:
            self._personal(members, personal)
        self.n, self.digest = n, digest
        if members.get("event") == "pruned":
            self.pruned = max(self.pruned, members["count"])

    def _request(self, members: dict[str, object], covered: bytes) -> tuple[bytes, bytes]:
        place = f',"personal":"{members["personal"]}"'.encode()
        before, found, personal = covered.partition(place)
        if not found:
            raise ValueError("it has no personal digest")
        return before + found, personal

    def _personal(self, members: dict[str, object], personal: bytes) -> None:
        if "erased" in members:
            signed = b"flask_tenant_auth audit erasure 1\n" + bytes.fromhex(str(members["digest"]))
            self._signed(signed, str(members["erased"]))
            if set(members) & {"user_id", "ip", "user_agent", "endpoint", "salt", "actor"}:
                raise ValueError("it is erased and has personal values")
            self.erased += 1
            self.users.append(None)
        else:
            if hashlib.sha256(personal).hexdigest() != members["personal"]:
                raise ValueError("its personal digest is another one")
            self.users.append(str(members["user_id"]))

    def _signed(self, message: bytes, signature: str) -> None:
        octets = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        Ed25519PublicKey.from_public_bytes(self.key).verify(octets, message)
