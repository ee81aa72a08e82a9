"""Key pairs for the tests, and their PEM text."""

from __future__ import annotations

from openssl_keys import KeyPair

RSA, EC, ED = KeyPair("RS256"), KeyPair("ES256"), KeyPair("EdDSA")
RSA_PRIVATE, RSA_PUBLIC = RSA.private, RSA.public
EC_PRIVATE, EC_PUBLIC = EC.private, EC.public
ED_PRIVATE, ED_PUBLIC = ED.private, ED.public
