"""Checks of settings that depend on each other. Each names the settings and what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import is_valid_uuid
from ..errors import ConfigurationError
from .provider_urls import check_discovery
from .readers import ANY

if TYPE_CHECKING:
    from .settings import Settings


def check_secrets(settings: Settings) -> None:
    """Raise where a secret is too weak for production."""
    weaknesses = settings.weaknesses()
    if weaknesses and not settings.development:
        raise ConfigurationError(
            f"{weaknesses[0]}. Make a key with `flask auth generate-key`, or with "
            "`python -c 'import secrets; print(secrets.token_urlsafe(64))'`, and set it; "
            "or set FLASK_ENV=development if this is a development machine (FLASK_ENV=testing is "
            "production unless TESTING is set before TenantAuth)"
        )


def check_keys(settings: Settings) -> None:
    """Raise where JWT_ALGORITHM has no key, or has keys that it cannot use."""
    others = settings.jwt_tenant_keys or settings.jwt_issuers
    if not settings.symmetric and not settings.own_keys and not others:
        raise ConfigurationError(
            f"JWT_ALGORITHM {settings.jwt_algorithm} needs a key: set JWT_PRIVATE_KEY to sign and "
            "verify, or JWT_PUBLIC_KEY, JWT_JWKS, JWT_DISCOVERY or JWT_ISSUERS to verify only"
        )
    if settings.symmetric and (settings.jwt_private_key or settings.jwt_public_key):
        raise ConfigurationError(
            f"JWT_ALGORITHM {settings.jwt_algorithm} signs with JWT_SECRET_KEY: set it to the "
            "algorithm of JWT_PRIVATE_KEY and JWT_PUBLIC_KEY (RS256, ES256, ...), or remove them"
        )


def check_fetched_keys(settings: Settings) -> None:
    """Raise where the keys of a provider cannot be fetched as it is said."""
    if settings.jwt_jwks_stale_seconds < settings.jwt_jwks_max_age_seconds:
        raise ConfigurationError(
            "JWT_JWKS_STALE_SECONDS must not be less than JWT_JWKS_MAX_AGE_SECONDS, after which "
            "the keys are fetched again"
        )
    if not settings.jwt_discovery:
        return
    if settings.jwt_jwks is not None:
        raise ConfigurationError(
            "JWT_DISCOVERY and JWT_JWKS both say where the keys are: remove one of them"
        )
    if settings.jwt_issuer is None:
        raise ConfigurationError(
            "JWT_DISCOVERY needs JWT_ISSUER, whose /.well-known/openid-configuration names the keys"
        )
    try:
        check_discovery(settings.jwt_issuer)
    except ValueError as error:
        raise ConfigurationError(f"JWT_ISSUER {error}, as JWT_DISCOVERY is on") from None


def check_issuers(settings: Settings) -> None:
    """Raise where two issuers could speak for the same tenant without being allowed to."""
    issuers = settings.jwt_issuers
    own = settings.own_keys and settings.jwt_issuer is not None
    if not issuers:
        return
    for each in issuers:
        if own and each.issuer == settings.jwt_issuer:
            raise ConfigurationError(
                f"{each.name}: issuer is JWT_ISSUER, whose keys are the app's own: remove one"
            )
        listed = each.tenants if isinstance(each.tenants, frozenset) else frozenset()
        for tenant in listed:
            if not is_valid_uuid(tenant) and settings.jwt_id_namespace is None:
                raise ConfigurationError(
                    f"{each.name}: tenants must be UUIDs, a callable of a tenant id or '*', not "
                    f"{tenant!r}; with JWT_ID_NAMESPACE another text is a name"
                )
    if (settings.jwt_jwks or settings.jwt_discovery) and settings.jwt_issuer is None:
        raise ConfigurationError(
            "JWT_JWKS holds the keys of a provider, whose issuer is not known beside JWT_ISSUERS: "
            "set JWT_ISSUER to it, or make it an entry of JWT_ISSUERS"
        )
    silent = [each.name for each in issuers if each.tenants is None]
    every = [each.name for each in issuers if each.tenants == ANY]
    if silent and every:
        silent += every
    if silent and own:
        silent.insert(0, "JWT_ISSUER")
    if len(silent) > 1:
        raise ConfigurationError(
            f"{' and '.join(silent)} are issuers for any tenant, so that each of them could make "
            "tokens for the users of the others: set `tenants` of each entry of JWT_ISSUERS to the "
            "tenants that it may speak for, or to '*' for every tenant that no entry lists"
        )


def check_audit(settings: Settings) -> None:
    """Raise where the request line would be written nowhere, or a chain is to be of nothing."""
    if settings.audit_chain and settings.audit_log is None:
        raise ConfigurationError(
            "AUDIT_CHAIN needs AUDIT_LOG, the path of the file whose lines are chained"
        )
    if settings.audit_sink == "audit_log" and settings.audit_log is None:
        raise ConfigurationError(
            "AUDIT_SINK is 'audit_log', but there is no AUDIT_LOG: set AUDIT_LOG to where the "
            "lines go, or leave AUDIT_SINK out to have them in the logger"
        )


def check_cors(settings: Settings) -> None:
    """Raise where ``*`` stands beside credentials."""
    if not settings.cors_supports_credentials:
        return
    if ANY in settings.cors_origins:
        raise ConfigurationError(
            "CORS_ORIGINS is '*' while CORS_SUPPORTS_CREDENTIALS is true, which would let every "
            "site act as the user: list the origins, or turn the credentials off"
        )
    if ANY in settings.cors_expose_headers:
        raise ConfigurationError(
            "CORS_EXPOSE_HEADERS is '*' while CORS_SUPPORTS_CREDENTIALS is true, where browsers "
            "take it for the name of a header field: list the names"
        )


def check_claims(settings: Settings) -> None:
    """Raise where the settings of claims exclude each other."""
    if settings.jwt_identity is None:
        return
    for each in settings.jwt_issuers:
        if each.places or each.role_map is not None:
            raise ConfigurationError(
                f"{each.name}: claims and role_map are not read where JWT_IDENTITY names the "
                "identity: remove one of the two"
            )
    if settings.jwt_tenant_keys is not None:
        raise ConfigurationError(
            "JWT_TENANT_KEYS finds a key by the tenant that a token claims, and JWT_IDENTITY names "
            "the tenant after the key has been found: remove one of the two"
        )
    for key in (
        *("JWT_TENANT_CLAIM", "JWT_USER_CLAIM", "JWT_ROLE_CLAIM", "JWT_PERMISSIONS_CLAIM"),
        *("JWT_ROLE_MAP", "JWT_DEFAULT_ROLE", "JWT_ID_NAMESPACE"),
    ):
        if getattr(settings, key.lower()) not in (None, ()):
            raise ConfigurationError(
                f"{key} is not read where JWT_IDENTITY names the identity: remove one of the two"
            )


def check_roles(settings: Settings) -> None:
    """Raise where a setting names a role that AUTH_ROLES does not have."""
    named = {
        "AUTH_TENANT_ROLES": settings.tenant_roles,
        "AUTH_PERMISSIONS": tuple(settings.auth_permissions or ()),
        "JWT_ROLE_MAP": tuple((settings.jwt_role_map or {}).values()),
        "JWT_DEFAULT_ROLE": (settings.jwt_default_role,) if settings.jwt_default_role else (),
    }
    for issuer in settings.jwt_issuers:
        named[f"{issuer.name}: role_map"] = tuple((issuer.role_map or {}).values())
    for key, roles in named.items():
        for role in roles:
            if role not in settings.auth_roles:
                raise ConfigurationError(
                    f"{key} names the role {role!r}, which is none of AUTH_ROLES: "
                    f"{', '.join(settings.auth_roles)}"
                )
