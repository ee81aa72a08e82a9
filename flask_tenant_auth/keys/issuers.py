"""Several issuers: JWT_ISSUERS beside the app's own keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from .._core import (
    INVALID_TOKENS,
    Identity,
    InvalidToken,
    is_valid_uuid,
    parse_bearer,
    peek_token,
)
from ..audit import logger
from ..config.issuers import Issuer, Tenants
from ..config.settings import Settings
from ..config.token_rules import TokenRules
from .jwk_sets import FETCH_INTERVAL, Source, source_of
from .jwks import SetRules, shown_kid
from .providers import Provider, age_of, no_key_keyring


class _Entry(NamedTuple):
    """The keys of one issuer, and whom it may speak for."""

    provider: Provider
    tenants: Tenants


class Issuers:
    """The keys of several issuers, each of which verifies its own tokens only.

    The unverified `iss` of a token chooses the keys. They verify that claim too, so a token never
    verifies with keys of another issuer. Then the tenant of the identity has to be one that the
    issuer may speak for.
    """

    def __init__(self, settings: Settings, rules: TokenRules, own: Provider | None) -> None:
        self._without_identity = rules.without_identity
        self._most_bytes = settings.jwt_max_token_bytes
        self._entries: dict[str | None, _Entry] = {}
        if own is not None:
            self._entries[None] = self._entries[settings.jwt_issuer] = _Entry(own, None)
        # Without JWT_ISSUER the app's own keys verify what the app itself signs, and nothing else.
        self._own_speaks_for_all = settings.jwt_issuer is None
        for issuer in settings.jwt_issuers:
            self._entries[issuer.issuer] = _Entry(
                _provider_of(issuer, settings, rules), _ids_of(issuer.tenants, rules.id_namespace)
            )
        self._listed = frozenset[str]().union(
            *(
                each.tenants
                for each in self._entries.values()
                if isinstance(each.tenants, frozenset)
            )
        )
        self._own = own
        self._no_key = no_key_keyring(self._most_bytes)
        self._next_report = 0.0

    @property
    def sources(self) -> list[Source]:
        """Where the keys of the issuers come from, without those of the app itself."""
        providers = (each.provider for each in self._entries.values())
        return [
            each.source for each in providers if each is not self._own and each.source is not None
        ]

    def authenticate(self, authorization: str | None, /) -> Identity | InvalidToken | None:
        """Authenticate by an Authorization header; None where it has no bearer credentials.

        :raises KeysUnavailable: when the keys of its issuer are not there.
        """
        token = None if authorization is None else parse_bearer(authorization)
        return None if token is None else self.verify(token)

    def verify(self, token: str | bytes, /) -> Identity | InvalidToken:
        """Do as `authenticate`, with the token itself."""
        entry = self._entry_of(token)
        if isinstance(entry, InvalidToken):
            return entry
        return self._verify(entry, token)

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
        """Return all claims of a token, verified as strictly."""
        entry = self._entry_of(token)
        if isinstance(entry, InvalidToken):
            return entry
        if self._without_identity:
            return entry.provider.decode(token)
        verified = self._verify(entry, token)
        return verified if isinstance(verified, InvalidToken) else entry.provider.decode(token)

    def speaks_for(self, claims: Mapping[str, Any], tenant_id: str) -> bool:
        """Whether the issuer of verified claims may speak for a tenant."""
        return self._may_speak(self._entries[claims.get("iss")], tenant_id)

    def is_limited(self, token: str | bytes) -> bool:
        """Whether the issuer of a verified token may speak for the tenants alone that it lists."""
        entry = self._entry_of(token)
        if isinstance(entry, InvalidToken):
            return True
        return isinstance(entry.tenants, frozenset) or callable(entry.tenants)

    def _verify(self, entry: _Entry, token: str | bytes) -> Identity | InvalidToken:
        verified = entry.provider.verify(token)
        if isinstance(verified, Identity) and not self._may_speak(entry, verified.tenant_id):
            return INVALID_TOKENS["tenant_foreign"]
        return verified

    def _entry_of(self, token: str | bytes) -> _Entry | InvalidToken:
        """Return the issuer that an unverified token names."""
        peeked = None if len(token) > self._most_bytes else peek_token(token, "iss")
        if peeked is None:
            return self._malformed(token)
        issuer, _ = peeked
        entry = self._entries.get(issuer)
        if entry is not None:
            return entry
        self._report(issuer)
        return INVALID_TOKENS["iss_mismatch"]

    def _malformed(self, token: str | bytes) -> InvalidToken:
        found = self._no_key.verify(token)
        assert isinstance(found, InvalidToken)  # noqa: S101 - nobody has the key
        return found

    def _may_speak(self, entry: _Entry, tenant_id: str) -> bool:
        """Whether an issuer may speak for a tenant.

        A tenant that an issuer lists belongs to those that list it, and to those whose callable
        says so.

        :raises TypeError: for a callable that returns no bool.
        """
        tenants = entry.tenants
        if isinstance(tenants, frozenset):
            return tenant_id in tenants
        if callable(tenants):
            said = tenants(tenant_id)
            if not isinstance(said, bool):
                raise TypeError(
                    f"tenants of JWT_ISSUERS must return a bool, not {type(said).__name__}"
                )
            return said
        if entry.provider is self._own and self._own_speaks_for_all:
            return True
        return tenant_id not in self._listed

    def _report(self, issuer: str | None) -> None:
        """Log an issuer that is none of ours, at most once in FETCH_INTERVAL."""
        now = monotonic()
        if now >= self._next_report:
            self._next_report = now + FETCH_INTERVAL
            logger.warning(
                "A token says the issuer %s, which is none of JWT_ISSUER and JWT_ISSUERS",
                shown_kid(issuer),
            )


def _ids_of(tenants: Tenants, namespace: str | None) -> Tenants:
    """Return tenants as their ids are: one that is no UUID is a name (RFC 9562, section 5.5)."""
    if namespace is None or not isinstance(tenants, frozenset):
        return tenants
    space = UUID(namespace)
    return frozenset(each if is_valid_uuid(each) else str(uuid5(space, each)) for each in tenants)


def _provider_of(issuer: Issuer, settings: Settings, rules: TokenRules) -> Provider:
    """Return the keys of an issuer, whose tokens keep its rules, and else those of the app."""
    role_map = rules.role_map if issuer.role_map is None else issuer.role_map
    of_issuer = replace(
        rules,
        issuer=issuer.issuer,
        audiences=rules.audiences if issuer.audience is None else issuer.audience,
        places={**rules.places, **issuer.places},
        role_map=role_map,
    )
    source = source_of(
        f"{issuer.name}: jwks" if issuer.jwks is not None else f"{issuer.name}: discovery",
        issuer.jwks,
        issuer.issuer,
        SetRules(settings.jwt_algorithm, issuer.algorithms),
        age_of(settings),
    )
    return Provider((), source, of_issuer.keyring, settings.jwt_max_token_bytes)
