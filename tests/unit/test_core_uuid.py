"""UUIDs, through the core's Python binding."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_tenant_auth._core import is_valid_uuid

CANONICAL = "550e8400-e29b-41d4-a716-446655440000"


class Text(str):
    """A str that says it is another one."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __str__(self) -> str:
        return CANONICAL


@given(st.uuids(), st.booleans())
def test_a_uuid_is_valid_in_either_case(value: uuid.UUID, upper: bool) -> None:
    text = str(value)
    assert is_valid_uuid(text.upper() if upper else text)


@given(st.text(alphabet="0123456789abcdefABCDEF-{}gG ", max_size=40))
def test_texts_that_are_almost_a_uuid_are_invalid(text: str) -> None:
    digits = [part for part in text.split("-") if set(part) <= set("0123456789abcdefABCDEF")]
    canonical = [len(part) for part in digits] == [8, 4, 4, 4, 12] and text.count("-") == 4
    assert is_valid_uuid(text) == canonical


@pytest.mark.parametrize("place", range(36))
def test_a_uuid_with_one_wrong_character_is_invalid(place: int) -> None:
    for wrong in "gG-0 \n\0é\u0660\u1234\U0001d7d8":
        text = CANONICAL[:place] + wrong + CANONICAL[place + 1 :]
        right = wrong in "-0" and (wrong == "-") == (CANONICAL[place] == "-")
        assert is_valid_uuid(text) == right


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        b"550e8400-e29b-41d4-a716-446655440000",
        uuid.UUID(CANONICAL),
        [CANONICAL],
        CANONICAL + "\n",
        " " + CANONICAL,
        "{" + CANONICAL + "}",
        "urn:uuid:" + CANONICAL,
        CANONICAL.replace("-", ""),
        "\ud800" * 36,
        Text("not one"),
        object(),
    ],
)
def test_a_value_of_any_other_type_is_invalid(value: object) -> None:
    assert is_valid_uuid(value) is False


def test_a_subclass_of_str_has_its_own_characters() -> None:
    assert is_valid_uuid(Text(CANONICAL)) is True


def test_a_wrong_number_of_arguments_raises() -> None:
    with pytest.raises(TypeError, match="exactly one argument"):
        is_valid_uuid()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no keyword"):
        is_valid_uuid(value=CANONICAL)  # type: ignore[call-arg]
