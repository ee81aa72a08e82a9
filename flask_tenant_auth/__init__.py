"""Authentication, tenancy, roles and rate limits for Flask APIs, on a C core."""

from . import core_import as _core_import  # noqa: F401 - first: it says what a failure means
from ._core import Identity, Key, is_valid_uuid
from .errors import (
    AuthError,
    ConcurrencyLimitExceeded,
    ConfigurationError,
    RateLimitExceeded,
    SessionsUnavailable,
    create_auth_response,
)
from .flask import job_headers as _job_headers  # noqa: F401 - signs identities for jobs
from .flask import password_settings as _password_settings  # noqa: F401 - reads the iterations
from .flask.api_keys import create_api_key, list_api_keys, revoke_api_key
from .flask.blueprint_limits import exempt_blueprint, limit_blueprint
from .flask.context import (
    acting_as,
    extract_tenant_context,
    get_tenant_context,
    get_user_role,
    has_permission,
    verify_resource_access,
)
from .flask.cookies import delete_session_cookies, set_session_cookies
from .flask.decorators import (
    concurrency_limit,
    login_limit,
    protected_elsewhere,
    public_route,
    rate_limit,
    rate_limit_exempt,
    verify_permission,
    verify_role,
    verify_tenant_context,
)
from .flask.extension import TenantAuth
from .flask.limit_block import rate_limit_block
from .flask.proxies import current_identity, current_user
from .flask.request_log import log_request_context
from .flask.revocations import (
    revoke_everything,
    revoke_session,
    revoke_tenant,
    revoke_token,
    revoke_user,
)
from .flask.sessions import (
    SessionInfo,
    SessionTokens,
    create_session,
    list_sessions,
    refresh_session,
)
from .flask.tenant_request import TenantRequest
from .flask.tokens import create_jwt_token, decode_jwt_token, extract_bearer_token
from .identity.job_headers import IdentityHeadersError
from .identity.roles import UserRole
from .keys.keyrings import NoSigningKeyError
from .passwords import hash_password, password_needs_rehash, verify_password

__all__ = [
    "AuthError",
    "ConcurrencyLimitExceeded",
    "ConfigurationError",
    "Identity",
    "IdentityHeadersError",
    "Key",
    "NoSigningKeyError",
    "RateLimitExceeded",
    "SessionInfo",
    "SessionTokens",
    "SessionsUnavailable",
    "TenantAuth",
    "TenantRequest",
    "UserRole",
    "acting_as",
    "concurrency_limit",
    "create_api_key",
    "create_auth_response",
    "create_jwt_token",
    "create_session",
    "current_identity",
    "current_user",
    "decode_jwt_token",
    "delete_session_cookies",
    "exempt_blueprint",
    "extract_bearer_token",
    "extract_tenant_context",
    "get_tenant_context",
    "get_user_role",
    "has_permission",
    "hash_password",
    "is_valid_uuid",
    "limit_blueprint",
    "list_api_keys",
    "list_sessions",
    "log_request_context",
    "login_limit",
    "password_needs_rehash",
    "protected_elsewhere",
    "public_route",
    "rate_limit",
    "rate_limit_block",
    "rate_limit_exempt",
    "refresh_session",
    "revoke_api_key",
    "revoke_everything",
    "revoke_session",
    "revoke_tenant",
    "revoke_token",
    "revoke_user",
    "set_session_cookies",
    "verify_password",
    "verify_permission",
    "verify_resource_access",
    "verify_role",
    "verify_tenant_context",
]
