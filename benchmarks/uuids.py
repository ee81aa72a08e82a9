"""The time to check whether a text is a UUID."""

from __future__ import annotations

import re
import uuid

from flask_tenant_auth import is_valid_uuid

from .harness import Plan, interleave
from .result import Figure, Subject, Table

TEXT = "550e8400-e29b-41d4-a716-446655440000"
by_pattern = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


def by_uuid_module(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def run(plan: Plan) -> Subject:
    ways = {
        "is_valid_uuid": is_valid_uuid,
        "a compiled regular expression": by_pattern,
        "uuid.UUID in a try": by_uuid_module,
    }
    wrong = TEXT[:-1] + "g"
    for text, expected in ((TEXT, True), (wrong, False)):
        for name, check in ways.items():
            if bool(check(text)) is not expected:
                raise AssertionError(f"{name} is wrong about {text}")
    right = interleave({name: lambda f=f: f(TEXT) for name, f in ways.items()}, plan)
    refused = interleave({name: lambda f=f: f(wrong) for name, f in ways.items()}, plan)
    return Subject(
        "uuids",
        "UUIDs",
        tables=(Table.of("A UUID", "us", right), Table.of("Not a UUID", "us", refused)),
        figures=(
            Figure.no_less(
                "uuid.UUID / is_valid_uuid",
                right["uuid.UUID in a try"].median / right["is_valid_uuid"].median,
                1,
                "x",
            ),
        ),
    )
