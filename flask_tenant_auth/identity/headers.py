"""An identity from the headers X-Tenant-ID, X-User-ID and X-User-Role, and who may send them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from .._core import Identity, Roles, is_valid_uuid, plain_address
from .denials import BAD_TENANT_ID, BAD_USER_ID, NO_CREDENTIALS, Denial, bad_role

_TENANT_ID, _USER_ID, _ROLE = IDENTITY_HEADERS = (
    "HTTP_X_TENANT_ID",
    "HTTP_X_USER_ID",
    "HTTP_X_USER_ROLE",
)


def is_in_networks(peer: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether the address of a peer is in one of these networks."""
    try:
        plain = plain_address(peer)
    except ValueError:  # no Unicode text
        plain = None
    if plain is None:
        return False
    address = ip_address(plain)
    return any(address in network for network in networks)


def read_identity_headers(
    environ: Mapping[str, Any],
    roles: Roles,
    parameter: Callable[[str], str | None] | None = None,
) -> Identity | Denial:
    """Return the identity that the headers of a request name, or why they name none.

    Two values of one header come as one value with a comma in it, which is not valid.

    :param environ: of the request (PEP 3333).
    :param roles: those of the app. Without a role header, the weakest one counts.
    :param parameter: returns a query parameter. In development, ``tenant_id`` and ``user_id`` stand
        for headers that are absent.
    """
    tenant_id = environ.get(_TENANT_ID)
    user_id = environ.get(_USER_ID)
    if parameter is not None:
        tenant_id = tenant_id if tenant_id is not None else parameter("tenant_id")
        user_id = user_id if user_id is not None else parameter("user_id")
    if tenant_id is None or user_id is None:
        return NO_CREDENTIALS
    if not is_valid_uuid(tenant_id):
        return BAD_TENANT_ID
    if not is_valid_uuid(user_id):
        return BAD_USER_ID
    role = _role_of(environ.get(_ROLE), roles)
    if role is None:
        return bad_role(roles.names)
    return Identity(tenant_id, user_id, role, source="headers", roles=roles)


def _role_of(value: str | None, roles: Roles) -> str | None:
    """Return the role that a header names; None where it names none of the roles.

    Each character of it stands for one octet (PEP 3333). The octets are read as UTF-8 first.
    """
    if value is None:
        return roles.names[0]
    try:
        text = value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        text = value
    return next((each for each in (text, value) if each in roles.names), None)
