"""What the tokens of one issuer must say, and where they say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core import Key, Keyring, Revocations, Roles
from ..errors import ConfigurationError
from .claim_hints import ClaimHints
from .settings import Settings
from .token_claims import RequiredValue


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """The rules of a `Keyring`. `dataclasses.replace` makes those of another issuer."""

    issuer: str | None
    audiences: tuple[str, ...]
    leeway: float
    max_token_bytes: int
    roles: Roles
    # The claims "tenant_id", "user_id", "role" and "permissions", and where each is instead.
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    role_map: Mapping[str, str] = field(default_factory=dict)
    default_role: str | None = None  # None: the weakest; empty: a token must name one
    id_namespace: str | None = None
    required: Mapping[str, tuple[RequiredValue, ...]] = field(default_factory=dict)
    without_identity: bool = False  # JWT_IDENTITY reads it
    revocations: Revocations | None = field(default=None, repr=False, compare=False)
    hints: ClaimHints = field(default_factory=ClaimHints, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings, roles: Roles) -> TokenRules:
        """Return the rules of an app's own keys."""
        return cls(
            issuer=settings.jwt_issuer,
            audiences=settings.jwt_audience,
            leeway=settings.jwt_leeway,
            max_token_bytes=settings.jwt_max_token_bytes,
            roles=roles,
            places=settings.claim_places,
            role_map=settings.jwt_role_map or {},
            default_role=settings.jwt_default_role,
            id_namespace=settings.jwt_id_namespace,
            required=settings.jwt_required_claims or {},
            without_identity=settings.jwt_identity is not None,
        )

    def keyring(self, keys: Iterable[Key]) -> Keyring:
        """Return the keyring of these keys, whose tokens must keep these rules.

        :raises ConfigurationError: says what is wrong with the keys or the rules.
        """
        arguments: dict[str, Any] = {**vars(self)}
        arguments["on_default_role"] = arguments.pop("hints").about_role
        for name in ("places", "role_map", "required"):
            arguments[name] = dict(arguments[name])
        try:
            return Keyring(list(keys), **arguments)
        except ValueError as error:
            raise ConfigurationError(f"The keys and claims cannot be used: {error}") from None
