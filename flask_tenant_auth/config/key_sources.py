"""What the key settings hold: a shared secret (bytes) or the text of a key pair (`PairText`).

The setting decides which of the two it is, never its content: a file, a path and PEM text are
always the text of a key pair, and never become a secret. The core decides what they really hold,
when the keys are made.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core import Key
from .provider_urls import is_url, split_url

# One octet more than the core takes, so that it can report a file that is too long.
_FILE_BYTES = 256 * 1024 + 1
_JWKS_BYTES = 4 * 2**20
_PASSPHRASE_BYTES = 1023

_PEM_BEGINS = b"-----BEGIN "
_URL = re.compile(rb"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# A path that begins at a root or a known directory, with a directory in it.
_PART = rb"[A-Za-z0-9._~@%+=, -]+"
_ROOTED_PATH = re.compile(
    rb"(\.{1,2}|~[a-z0-9_-]*)?(/" + _PART + rb"){2,}/?"
    rb"|([A-Za-z]:|\\)([/\\]" + _PART + rb"){2,}[/\\]?"  # of Windows
)
# A name that ends so is the name of a file, even if the file does not exist.
_NAMES_OF_KEYS = (b".pem", b".der", b".crt", b".cer", b".p8", b".p12", b".pfx")


@dataclass(frozen=True)
class PairText:
    """What has to be a key pair or a certificate: text or DER, or the content of a file.

    It has a type of its own, so that no code takes it for a secret.
    """

    content: bytes = field(repr=False)
    path: str | None = None

    def __str__(self) -> str:
        return "(PEM)" if self.path is None else self.path


# Readers, as those of `config`: an error completes "<KEY> ...".


def read_secret(raw: Any) -> bytes:
    """Return a shared secret.

    :raises ValueError: for a path, and for a key pair, in an encoding or not.
    """
    secret = _octets(raw)
    if names_file(secret):
        raise ValueError(
            "is the path of a file or a URL, which everybody can guess: give the secret itself. A "
            "key pair in a file belongs into JWT_PRIVATE_KEY or JWT_PUBLIC_KEY"
        )
    try:
        Key.secret("HS256", secret, allow_weak=True)
    except ValueError as error:
        raise ValueError(
            f"cannot be used: {error}. `flask auth generate-key` makes a secret"
        ) from None
    return secret


def read_fallbacks(raw: Any) -> tuple[bytes | PairText, ...]:
    """Return the secrets and key pairs of a comma list or a list; a pair as PEM text or by path."""
    if isinstance(raw, bytes | os.PathLike):
        raw = [raw]
    elif isinstance(raw, str):
        raw = _split(raw)
    elif not isinstance(raw, list | tuple | set | frozenset):
        raise TypeError(f"must be a comma list or a list, not {type(raw).__name__}")
    return tuple(
        _fallback(item) for item in raw if not (isinstance(item, str | bytes) and not item)
    )


def _split(raw: str) -> list[str]:
    """Split a comma list. The parts of text around PEM that has commas too are not secrets."""
    items = [item.strip() for item in raw.split(",")]
    items = [item for item in items if item]
    if len(items) > 1 and _PEM_BEGINS.decode() in raw:
        for item in items:
            whole = item.startswith(_PEM_BEGINS.decode()) and item.endswith("-----")
            if not whole and ("-----" in item or re.search(r"\s", item)):
                raise ValueError(
                    "is a comma list in which text stands around a key: leave nothing but the "
                    "lines from BEGIN to END, or set a list in app.config"
                )
    return items


def _fallback(raw: Any) -> bytes | PairText:
    if isinstance(raw, os.PathLike):
        return read_pair(raw)
    text = _octets(raw)
    return read_pair(text) if _PEM_BEGINS in text or names_file(text) else read_secret(text)


def read_pair(raw: Any) -> PairText:
    """Return a key pair or certificate: PEM text, DER, their base64, or the path of a file."""
    if isinstance(raw, os.PathLike):
        path = os.fspath(raw)
        return _read_file(path if isinstance(path, bytes) else os.fsencode(path))
    content = _octets(raw)
    if _PEM_BEGINS not in content:
        for path in _paths(content):
            if _exists(path):
                return _read_file(path)
    return PairText(content)


def read_passphrase(raw: Any) -> bytes:
    """Return the passphrase of an encrypted private key, with its white space."""
    passphrase = _octets(raw)
    if len(passphrase) > _PASSPHRASE_BYTES:
        raise ValueError(f"must have at most {_PASSPHRASE_BYTES} bytes")
    return passphrase


def read_key_id(raw: Any) -> str:
    """Return a kid, which a header and a line of the log can hold."""
    if not isinstance(raw, str):
        raise TypeError(f"must be text, not {type(raw).__name__}")
    try:
        Key.secret("HS256", b"any", kid=raw, allow_weak=True)
    except ValueError as error:
        raise ValueError(f"cannot be used: {error}") from None
    return raw


def read_jwks(raw: Any) -> Mapping[str, Any] | str:
    """Return a JWK Set (RFC 7517, section 5): a dict, JSON text, the path of a JSON file, or a URL.

    :raises ValueError: for a URL from which keys may not be fetched.
    """
    if isinstance(raw, Mapping):
        return dict(raw)
    if isinstance(raw, os.PathLike):
        raw = os.fsdecode(raw)
    if not isinstance(raw, str):
        raise TypeError(f"must be a dict, JSON text, a path or a URL, not {type(raw).__name__}")
    text = raw.strip()
    if is_url(text):
        split_url(text)
    return text


def read_jwks_text(source: str) -> bytes:
    """Return the JSON text of a JWK Set, of whose file `source` is the path.

    :raises OSError: when the file cannot be read.
    """
    return _read(os.fsencode(source), _JWKS_BYTES)


def names_file(text: bytes) -> bool:
    """Whether text is a URL or the path of a file, even of a file that does not exist.

    A path may be in quotes, begin with ~ or be a URL. Without the file, it is a path if its
    directory exists, if its suffix is one of keys, or if it has a root and is not random base64.
    """
    return any(
        path.lower().endswith(_NAMES_OF_KEYS)
        or _URL.match(path) is not None
        or _exists(path)
        or _stands_in_directory(path)
        or _is_rooted_path(path)
        for path in _paths(text)
    )


def _octets(raw: Any) -> bytes:
    if isinstance(raw, str):
        return raw.encode("utf-8", "surrogatepass")
    if isinstance(raw, bytes):
        return raw
    raise TypeError(f"must be str or bytes, not {type(raw).__name__}")


def _paths(text: bytes) -> tuple[bytes, ...]:
    """Return text as a path: as it is, and without quotes and ``file:`` around it."""
    bare = text.strip().strip(b"\"'").strip()
    if bare.lower().startswith(b"file:"):
        bare = b"/" + bare[len(b"file:") :].removeprefix(b"//localhost").lstrip(b"/")
    return text, os.path.expanduser(bare)  # noqa: PTH111 - Path takes no bytes


def _exists(path: bytes) -> bool:
    """Whether there is such a file, or may be one, in a directory that cannot be read."""
    try:
        return not stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - Path takes no bytes
    except ValueError:  # a NUL
        return False
    except OSError as error:
        return error.errno == errno.EACCES


def _stands_in_directory(path: bytes) -> bool:
    """Whether the directory of a path exists and is not the root, as that of some base64."""
    directory = os.path.dirname(path)  # noqa: PTH120 - Path takes no bytes
    try:
        return directory.strip(b"/") != b"" and os.path.isdir(directory)  # noqa: PTH112
    except ValueError:
        return False


def _is_rooted_path(path: bytes) -> bool:
    """Whether it is a path with a root. Random base64 has no punctuation and many capitals."""
    capitals = sum(65 <= octet <= 90 for octet in path)
    if re.fullmatch(rb"[A-Za-z0-9+/=]*", path) and capitals * 8 >= len(path):
        return False
    return _ROOTED_PATH.fullmatch(path) is not None


def _read_file(path: bytes) -> PairText:
    name = os.fsdecode(path)
    try:
        return PairText(_read(path, _FILE_BYTES), name)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"leads to {name!r}, which cannot be read: {reason}") from None


def _read(path: bytes, most: int) -> bytes:
    """Read a regular file. A pipe might never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read(most)
