"""Access tokens as six identity providers write them, signed by keys of the tests.

The names and forms of the claims are those of the providers' documentation; all ids are invented.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, NamedTuple

from openssl_keys import KeyPair

NAMESPACE = "0b0c6a44-5a0e-4b56-9a1d-3f1f0a6f2f11"


class Provider(NamedTuple):
    """A provider: what its access tokens say, and the settings that read them."""

    name: str
    header: dict[str, Any]
    claims: dict[str, Any]
    settings: dict[str, Any]
    # What the settings make of the claims.
    tenant: str
    user: str
    role: str
    permissions: set[str]

    @property
    def issuer(self) -> str:
        return str(self.claims["iss"])

    def identity(self) -> tuple[str, str, str, set[str]]:
        return _id(self.tenant), _id(self.user), self.role, self.permissions


def _id(text: str) -> str:
    """An id that is no UUID is a name in the namespace (RFC 9562, section 5.5)."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid5(uuid.UUID(NAMESPACE), text))


AUTH0 = Provider(
    name="Auth0",
    header={"typ": "JWT", "kid": "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg"},
    claims={
        "iss": "https://mail.eu.auth0.com/",
        "sub": "auth0|507f1f77bcf86cd799439011",
        "aud": ["https://api.mail.example", "https://mail.eu.auth0.com/userinfo"],
        "azp": "my_client_id",
        "scope": "openid profile accounts:read",
        "org_id": "org_9ybsU1dN2dKfDkBi",
        "permissions": ["accounts:read", "accounts:write"],
        "https://mail.example/roles": ["editor", "Owner"],
    },
    settings={
        "JWT_AUDIENCE": "https://api.mail.example",
        "JWT_TENANT_CLAIM": "org_id",
        "JWT_USER_CLAIM": "sub",
        "JWT_ROLE_CLAIM": "https://mail.example/roles",
        "JWT_ROLE_MAP": {"Owner": "admin"},
        "JWT_ID_NAMESPACE": NAMESPACE,
    },
    tenant="org_9ybsU1dN2dKfDkBi",
    user="auth0|507f1f77bcf86cd799439011",
    role="admin",
    permissions={"accounts:read", "accounts:write"},
)
KEYCLOAK = Provider(
    name="Keycloak",
    header={"typ": "JWT", "kid": "tXv2jyLf-1Pq0bSLrWjBvZbGkQWZxTQz3H8oSUfoG5Y"},
    claims={
        "jti": "onrtac:9d1a8ff7-a3a4-4bd4-9ef4-5c9b9c1b4a77",
        "iss": "https://sso.example/realms/mail",
        "aud": "account",
        "sub": "f3b0c442-98fc-4c14-9afb-f4c8996fb924",
        "typ": "Bearer",
        "azp": "mail-web",
        "sid": "7c6f9a0e-1c5b-4a8e-8a11-2b9d2d9b7a55",
        "acr": "1",
        "allowed-origins": ["https://mail.example"],
        "realm_access": {"roles": ["offline_access", "manager", "uma_authorization"]},
        "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
        "organization": {"acme": {"id": "4a1b0d5e-7c36-4f0e-9f7a-3c2d1e0f9a8b"}},
        "scope": "email profile accounts:read",
        "email_verified": True,
        "preferred_username": "ann",
    },
    settings={
        "JWT_AUDIENCE": "account",
        "JWT_TENANT_CLAIM": "/organization/acme/id",
        "JWT_USER_CLAIM": "sub",
        "JWT_ROLE_CLAIM": "/realm_access/roles",
        "JWT_ROLE_MAP": "manager=admin, viewer=user",
        "JWT_PERMISSIONS_CLAIM": "scope",
        "JWT_REQUIRED_CLAIMS": {"typ": "Bearer", "email_verified": True},
    },
    tenant="4a1b0d5e-7c36-4f0e-9f7a-3c2d1e0f9a8b",
    user="f3b0c442-98fc-4c14-9afb-f4c8996fb924",
    role="admin",
    permissions={"email", "profile", "accounts:read"},
)
ENTRA = Provider(
    name="Entra",
    header={"typ": "JWT", "kid": "L1KfKFI_jnXbwWc22xZxw1sUHH0"},
    claims={
        "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        "iss": "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        "aio": "AXQAi/8IAAAAtAaZLo3ChMif6KOnttRB7eBq4/DccQzjcJGxPYy/C3jDaNGxXd6wNII",
        "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        "azpacr": "0",
        "name": "Ann Example",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "preferred_username": "ann@example.com",
        "rh": "I",
        "roles": ["Mail.Admin"],
        "scp": "access_as_user accounts:read",
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        "ver": "2.0",
    },
    settings={
        "JWT_AUDIENCE": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        "JWT_TENANT_CLAIM": "tid",
        "JWT_USER_CLAIM": "oid",
        "JWT_ROLE_CLAIM": "roles",
        "JWT_ROLE_MAP": {"Mail.Admin": "admin", "Mail.User": "user"},
        "JWT_PERMISSIONS_CLAIM": ["scp", "scope"],
    },
    tenant="72f988bf-86f1-41af-91ab-2d7cd011db47",
    user="690222be-ff1a-4d56-abd1-7e4f7d38e474",
    role="admin",
    permissions={"access_as_user", "accounts:read"},
)
COGNITO = Provider(
    name="Cognito",
    header={"kid": "1234example="},
    claims={
        "sub": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        "device_key": "eu-west-1_00000000-0000-4000-8000-000000000000",
        "cognito:groups": ["staff", "admin"],
        "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example",
        "version": 2,
        "client_id": "xxxxxxxxxxxxexample",
        "origin_jti": "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        "event_id": "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        "token_use": "access",
        "scope": "phone openid accounts/read",
        "auth_time": 1700000000,
        "jti": "dddddddd-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        "username": "ann",
        "custom:tenant_id": "5b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9",
    },
    settings={
        "JWT_TENANT_CLAIM": "custom:tenant_id",
        "JWT_USER_CLAIM": "sub",
        "JWT_ROLE_CLAIM": "cognito:groups",
        "JWT_PERMISSIONS_CLAIM": "scope",
        "JWT_REQUIRED_CLAIMS": {"token_use": "access", "client_id": ["xxxxxxxxxxxxexample"]},
    },
    tenant="5b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9",
    user="aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
    role="admin",
    permissions={"phone", "openid", "accounts/read"},
)
OKTA = Provider(
    name="Okta",
    header={"kid": "lg4M4Q0dEHZzMWxl8ZPPqGvQ3vHrwK1mQZ3mXyuJ9pk"},
    claims={
        "ver": 1,
        "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": "https://mail.okta.com/oauth2/default",
        "aud": "api://default",
        "cid": "nmdP1fcyvdVO11AL7ECm",
        "uid": "00ujmkLgagxeRrAg20g3",
        "scp": ["openid", "accounts:write"],
        "sub": "ann@example.com",
        "groups": ["Everyone", "Mail Admins"],
        "org": "acme",
    },
    settings={
        "JWT_AUDIENCE": "api://default",
        "JWT_TENANT_CLAIM": "org",
        "JWT_USER_CLAIM": "uid",
        "JWT_ROLE_CLAIM": "groups",
        "JWT_ROLE_MAP": {"Mail Admins": "admin", "Everyone": "user"},
        "JWT_PERMISSIONS_CLAIM": "scp",
        "JWT_ID_NAMESPACE": NAMESPACE,
    },
    tenant="acme",
    user="00ujmkLgagxeRrAg20g3",
    role="admin",
    permissions={"openid", "accounts:write"},
)
WORKOS = Provider(
    name="WorkOS",
    header={"kid": "sso_oidc_key_pair_01HXYZ"},
    claims={
        "iss": "https://api.workos.com/user_management/client_01HXYZ",
        "sub": "user_01HBEQKA6K4QJAS93VPE39W1JT",
        "act": {"sub": "admin@example.com"},
        "org_id": "org_01HRDMC6CM357W30QMHMQ96Q0S",
        "role": "member",
        "roles": ["member"],
        "permissions": ["posts:read", "posts:write"],
        "sid": "session_01HQSXZGF8FHF7A9ZZFCW4387R",
        "jti": "01HQSXZXPPFPKMDD32RKTFR6ES",
    },
    settings={
        "JWT_TENANT_CLAIM": "org_id",
        "JWT_USER_CLAIM": "sub",
        "JWT_ROLE_MAP": {"admin": "admin", "member": "user"},
        "JWT_ID_NAMESPACE": NAMESPACE,
    },
    tenant="org_01HRDMC6CM357W30QMHMQ96Q0S",
    user="user_01HBEQKA6K4QJAS93VPE39W1JT",
    role="user",
    permissions={"posts:read", "posts:write"},
)
PROVIDERS = (AUTH0, KEYCLOAK, ENTRA, COGNITO, OKTA, WORKOS)

PAIR = KeyPair()


def jwk_of(provider: Provider) -> dict[str, Any]:
    """The provider's public key, as its JWK Set has it: Entra's names no algorithm."""
    jwk = PAIR.jwk(use="sig", kid=provider.header["kid"])
    if provider is ENTRA:
        del jwk["alg"]
    return jwk


def settings_of(provider: Provider) -> dict[str, Any]:
    """The settings of an app that takes the tokens of one provider."""
    return {
        "JWT_ALGORITHM": "RS256",
        "JWT_SECRET_KEY": None,
        "JWT_JWKS": {"keys": [jwk_of(provider)]},
        "JWT_ISSUER": provider.issuer,
        **provider.settings,
    }


def token_of(provider: Provider, **changed: Any) -> str:
    """An access token of a provider. A claim that is None is left out."""
    now = int(time.time())
    claims = {"iat": now, "nbf": now, "exp": now + 3600} | provider.claims | changed
    claims = {name: value for name, value in claims.items() if value is not None}
    return PAIR.token(claims, **provider.header)
