"""Key pairs for the tests, as PEM text."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


def pems(private: Any) -> tuple[str, str]:
    """PEM text of a private key and of its public half."""
    return (
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


RSA = rsa.generate_private_key(65537, 2048)
RSA_PRIVATE, RSA_PUBLIC = pems(RSA)
EC = ec.generate_private_key(ec.SECP256R1())
EC_PRIVATE, EC_PUBLIC = pems(EC)
ED_PRIVATE, ED_PUBLIC = pems(ed25519.Ed25519PrivateKey.generate())
