"""Keys that may change while the app runs: those of one issuer, and its keyring of the moment."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

from .._core import Identity, InvalidToken, Key, Keyring, parse_bearer, peek_token
from ..config.settings import Settings
from ..config.token_rules import TokenRules
from ..errors import KeysUnavailable
from .jwk_sets import Age, Source, source_of
from .jwks import SetRules
from .keyrings import fixed_keys

Found = TypeVar("Found", Identity, "dict[str, Any]")

# What is wrong with a token that another key may verify.
_OF_OTHER_KEYS = frozenset({"kid_unknown", "algorithm_mismatch", "signature_mismatch"})


class Provider:
    """The keys of one issuer: those that never change, and those of a source.

    It verifies tokens as a `Keyring` does, and does what is due before. While its source has no
    keys, a token that none of the others verifies waits for a fetch that runs, and is answered with
    `KeysUnavailable`, which is a 503.
    """

    def __init__(
        self,
        fixed: Sequence[Key],
        source: Source | None,
        make_keyring: Callable[[list[Key]], Keyring],
        max_token_bytes: int,
    ) -> None:
        self.source = source
        # All keys of the moment; None: there are none. Replaced as a whole.
        self.keyring: Keyring | None = None
        # Called after each change, in any thread, one call at a time.
        self.changed: Callable[[], None] = _nothing
        self._fixed = tuple(fixed)
        self._make_keyring = make_keyring
        self._no_key = no_key_keyring(max_token_bytes)
        self._rebuild()
        if source is not None:
            source.changed = self._rebuild
            source.start()

    @property
    def ready(self) -> bool:
        """Whether the source has keys, so that the keyring decides alone."""
        return self.source is None or self.source.keys is not None

    @property
    def keys(self) -> tuple[Key, ...]:
        """All keys of the moment, the one that signs first."""
        return () if self.keyring is None else self.keyring.keys

    def authenticate(self, authorization: str | None, /) -> Identity | InvalidToken | None:
        """Authenticate by an Authorization header; None where it has no bearer credentials.

        :raises KeysUnavailable: when the keys that may verify it are not there.
        """
        token = None if authorization is None else parse_bearer(authorization)
        return None if token is None else self.verify(token)

    def verify(self, token: str | bytes, /) -> Identity | InvalidToken:
        """Do as `authenticate`, with the token itself."""
        return self._ask(Keyring.verify, token)

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
        """Return all claims of a token, verified as strictly."""
        return self._ask(Keyring.decode, token)

    def refresh(self) -> None:
        """Do what is due for the source."""
        source = self.source
        if source is not None and monotonic() >= source.due:
            source.refresh()

    def look_for_key(self, invalid: InvalidToken, token: str | bytes) -> None:
        """Look for the key of a token that no key has verified, if it names one."""
        source = self.source
        if source is None or invalid.reason not in _OF_OTHER_KEYS or not source.wants_report():
            return
        peeked = peek_token(token, "iss")
        if peeked is None:
            return
        issuer, kid = peeked
        if kid is not None and all(key.kid != kid for key in self.keys):
            source.look_for(kid, issuer)

    def _ask(
        self, method: Callable[[Keyring, str | bytes], Found | InvalidToken], token: str | bytes
    ) -> Found | InvalidToken:
        self.refresh()
        found = method(self.keyring or self._no_key, token)
        if not isinstance(found, InvalidToken) or found.reason not in _OF_OTHER_KEYS:
            return found
        source = self.source
        if source is None or source.keys is not None:
            self.look_for_key(found, token)
            return found
        source.wait()
        if source.keys is None:
            raise KeysUnavailable(source.retry_after())
        return method(self.keyring or self._no_key, token)

    def _rebuild(self) -> None:
        """Make the keyring of all keys. Of two with one kid and algorithm the first stays."""
        distinct: dict[tuple[str, str], Key] = {}
        of_source = self.source.keys if self.source is not None else None
        for key in (*self._fixed, *(of_source or ())):
            distinct.setdefault((key.algorithm, key.kid), key)
        self.keyring = self._make_keyring(list(distinct.values())) if distinct else None
        self.changed()


def _nothing() -> None:
    pass


def no_key_keyring(max_token_bytes: int) -> Keyring:
    """Return a keyring whose one key nobody has: it says what is wrong with any token."""
    key = Key.secret("HS256", secrets.token_bytes(32))
    return Keyring([key], max_token_bytes=max_token_bytes)


def own_provider(settings: Settings, rules: TokenRules) -> Provider | None:
    """Return the app's own keys, the signing one first; None when only others have keys.

    :raises ConfigurationError: for a key that cannot serve, naming its configuration key.
    """
    if not settings.own_keys:
        return None
    source = None
    if settings.jwt_jwks is not None or settings.jwt_discovery:
        source = source_of(
            "JWT_JWKS" if settings.jwt_jwks is not None else "JWT_DISCOVERY",
            settings.jwt_jwks,
            settings.jwt_issuer,
            SetRules(settings.jwt_algorithm),
            age_of(settings),
        )
    return Provider(
        fixed_keys(settings),
        source,
        rules.keyring,
        settings.jwt_max_token_bytes,
    )


def age_of(settings: Settings) -> Age:
    """Return how old fetched keys may be."""
    return Age(settings.jwt_jwks_max_age_seconds, settings.jwt_jwks_stale_seconds)
