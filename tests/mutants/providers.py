"""The tokens of six providers, each with the configuration that reads it."""

from __future__ import annotations

import time
from random import Random
from typing import Any

from providers import PROVIDERS, Provider
from token_oracle import Configuration

from .configurations import DAY

PLACE_SETTINGS = {
    "JWT_TENANT_CLAIM": "tenant_id",
    "JWT_USER_CLAIM": "user_id",
    "JWT_ROLE_CLAIM": "role",
    "JWT_PERMISSIONS_CLAIM": "permissions",
}


def as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def role_map_of(value: Any) -> dict[str, str]:
    """A dict, or its text: "Owner=admin, member=user"."""
    if isinstance(value, str):
        return dict(part.strip().split("=") for part in value.split(","))
    return dict(value or {})


def configuration_of(provider: Provider) -> Configuration:
    settings = provider.settings
    return Configuration(
        issuer=provider.issuer,
        audiences=as_tuple(settings["JWT_AUDIENCE"]) if "JWT_AUDIENCE" in settings else (),
        places={
            claim: as_tuple(settings[name])
            for name, claim in PLACE_SETTINGS.items()
            if name in settings
        },
        role_map=role_map_of(settings.get("JWT_ROLE_MAP")),
        id_namespace=settings.get("JWT_ID_NAMESPACE"),
        required={
            place: as_tuple(value)
            for place, value in settings.get("JWT_REQUIRED_CLAIMS", {}).items()
        },
    )


CONFIGURATIONS = [configuration_of(provider) for provider in PROVIDERS]


def provided(chance: Random, number: int) -> tuple[Configuration, dict[str, Any]]:
    """What a provider says in a token of now, with claims left out that are not needed."""
    n = number % len(PROVIDERS)
    now = int(time.time())
    payload = {"iat": now, "nbf": now - 1, "exp": now + DAY, **PROVIDERS[n].claims}
    for name in ("iat", "nbf", "jti", "sid", "azp", "ver", "auth_time"):
        if chance.random() < 0.2:
            payload.pop(name, None)
    return CONFIGURATIONS[n], payload
