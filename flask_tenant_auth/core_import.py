"""Imports the core before anything else does, and says what is missing where that fails."""

from __future__ import annotations

import contextlib
import re

# A Python may bring its own libcrypto.so.3, as Conda's does. What is loaded first is used by both,
# so it has to be Python's: its ssl may need a later one than the system's, the core never does.
with contextlib.suppress(ImportError):
    import ssl  # noqa: F401

try:
    from . import _core  # noqa: F401
except ImportError as error:
    if not re.search(r"lib(ssl|crypto)\.so", str(error)):
        raise
    raise ImportError(
        f"flask_tenant_auth needs OpenSSL 3, which this system lacks ({error}). "
        "Debian, Ubuntu: apt-get install openssl; Fedora, RHEL: dnf install openssl-libs; "
        "Alpine: apk add openssl"
    ) from error
