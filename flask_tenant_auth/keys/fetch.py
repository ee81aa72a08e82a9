"""The JSON documents of identity providers."""

from __future__ import annotations

from typing import Any

from ..config.provider_urls import shown_url
from ..http_client import ExchangeError, get
from .jwks import parse_json


def fetch_json(url: str, deadline: float | None = None) -> tuple[bytes, dict[str, Any]]:
    """Fetch a JSON object; return its octets and what they say.

    :param deadline: when it has to be there, by `time.monotonic`; None: EXCHANGE_SECONDS from now.
    :raises ExchangeError: for every failure.
    """
    body = get(url, deadline)
    try:
        found = parse_json(body)
    except ValueError:
        raise ExchangeError(f"{shown_url(url)} answered with what is no JSON") from None
    if not isinstance(found, dict):
        raise ExchangeError(f"{shown_url(url)} answered with JSON that is no object")
    return body, found
