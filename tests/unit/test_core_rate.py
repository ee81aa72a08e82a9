"""Rates and limits as the core reads them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_tenant_auth._core import Limit, Rate, parse_rates

SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 7 * 86400,
    "month": 30 * 86400,
    "year": 365 * 86400,
}
WORDS = SECONDS | {f"{name}s": seconds for name, seconds in SECONDS.items()}
WORDS |= dict.fromkeys(["s", "sec", "secs"], 1)
WORDS |= dict.fromkeys(["min", "mins"], 60)
WORDS |= dict.fromkeys(["h", "hr", "hrs"], 3600)
WORDS |= {"d": 86400, "w": 7 * 86400}
WORDS |= dict.fromkeys(["y", "yr", "yrs"], 365 * 86400)
FORMS = (
    "write a rate as '50 per minute', '100/hour', '5/s' or '10 per 2 hours', and several with "
    "';', ',' or '|'; the units are second (s, sec), minute (min), hour (h, hr), day (d), "
    "week (w), month and year (y, yr)"
)
LIMIT_MAX = 2_147_483_647
PERIOD_MAX = 5 * 365 * 86400


def reference(text: str) -> list[tuple[int, int]] | None:
    """Read rates in the simplest way there is; None where they make no sense."""
    rates = []
    parts = re.split("[;,|]", text)
    if len(parts) > 1 and not parts[-1].strip(" \t\n\r\f\v"):
        parts.pop()
    for part in parts:
        match = re.fullmatch(
            r"[ \t-\r]*([0-9]+)[ \t-\r]*(?:per|/)[ \t-\r]*([0-9]*)[ \t-\r]*([a-z]+)[ \t-\r]*",
            part,
            re.IGNORECASE | re.ASCII,
        )
        if match is None or match[3].lower() not in WORDS:
            return None
        limit, period = int(match[1]), int(match[2] or "1") * WORDS[match[3].lower()]
        if not (0 <= limit <= LIMIT_MAX and 1 <= period <= PERIOD_MAX):
            return None
        rates.append((limit, period))
    return rates if len(rates) <= 16 else None


PIECES = [
    "per",
    "/",
    ";",
    ",",
    "|",
    "m",
    "mo",
    "ss",
    " ",
    "\t",
    "s",
    "S",
    "PER",
    "1",
    "0",
    "60",
    "007",
    "2147483647",
]
PIECES += ["2147483648", "99999999999999999999", "é", "\0", "-", "."]
PIECES += [
    *WORDS,
    *WORDS,
    "5/s",
    "100/min",
    "Minutes",
    "HOURS",
    "157680000",
    "157680001",
    "5 per second",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_is_read_as_the_reference_reads_it(text: str) -> None:
    expected = reference(text)
    if expected is None:
        with pytest.raises(ValueError, match="rate limit"):
            parse_rates(text)
    else:
        assert [(rate.limit, rate.period) for rate in parse_rates(text)] == expected


@given(st.integers(0, LIMIT_MAX), st.integers(1, PERIOD_MAX))
def test_the_text_of_a_rate_reads_as_the_same_rate(limit: int, period: int) -> None:
    rate = Rate(limit, period)
    assert parse_rates(str(rate)) == (rate,)


def test_the_documented_texts_are_read() -> None:
    assert str(parse_rates("50 per minute")[0]) == "50 per 1 minute"
    assert parse_rates("50 per minute; 5 per second") == (Rate(50, 60), Rate(5, 1))
    assert parse_rates("100/hour") == (Rate(100, 3600),)
    assert parse_rates("10 per 2 minutes") == (Rate(10, 120),)
    assert str(parse_rates("10 per 120 seconds")[0]) == "10 per 2 minutes"


@pytest.mark.parametrize(
    ("text", "limit", "period"),
    [
        ("100/min", 100, 60),
        ("100 PER MIN", 100, 60),
        ("5/s", 5, 1),
        ("5 / sec", 5, 1),
        ("10 per week", 10, 604_800),
        ("10/2 weeks", 10, 1_209_600),
        ("10/2 hours", 10, 7200),
        ("1 per 5 minutes", 1, 300),
        ("20/h", 20, 3600),
        ("20/hr", 20, 3600),
        ("20/d", 20, 86400),
        ("0 per minute", 0, 60),
    ],
)
def test_usual_spellings_of_rates_are_read(text: str, limit: int, period: int) -> None:
    assert parse_rates(text) == (Rate(limit, period),)


@pytest.mark.parametrize("separator", [";", ",", "|", " ; ", "\t|\n"])
def test_each_separator_separates_two_rates(separator: str) -> None:
    assert parse_rates(f"5/s{separator}9/h") == (Rate(5, 1), Rate(9, 3600))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rate limit '', at character 1: a number is expected"),
        ("fifty per minute", "rate limit 'fifty per minute', at character 1: a number is expected"),
        ("50 minutes", 'rate limit \'50 minutes\', at character 4: "per" or "/" is expected'),
        (
            "50 per fortnight",
            "rate limit '50 per fortnight', at character 8: a unit of time is expected",
        ),
        (
            "5/m",
            "rate limit '5/m', at character 3: m could be a minute or a month: min or month is "
            "expected",
        ),
        (
            "50 per minute 5 per second",
            "rate limit '50 per minute 5 per second', at character 15: "
            '";", "," or "|" is expected',
        ),
        ("1/hour;" * 17, f"rate limit '{'1/hour;' * 17}', at character 113: too many rates"),
    ],
)
def test_an_error_shows_the_text_and_the_place(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_rates(text)
    assert str(caught.value) == f"{message}; {FORMS}"


def test_rates_are_values() -> None:
    assert Rate(5, 60) == Rate(5, 60)
    assert Rate(5, 60) != Rate(5, 61)
    assert Rate(5, 60) != (5, 60)
    assert len({Rate(5, 60), Rate(5, 60), Rate(6, 60)}) == 2
    assert repr(Rate(5, 60)) == "Rate(5, 60)"
    with pytest.raises(AttributeError):
        Rate(5, 60).limit = 6  # type: ignore[misc]
    with pytest.raises(TypeError):
        Rate.limit = 5  # type: ignore[misc, assignment]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((-1, 60), ValueError),
        ((LIMIT_MAX + 1, 60), ValueError),
        ((5, 0), ValueError),
        ((5, PERIOD_MAX + 1), ValueError),
        ((2**80, 60), OverflowError),
        ((5.0, 60), TypeError),
        (("5", 60), TypeError),
        ((5,), TypeError),
        ((5, 60, 1), TypeError),
    ],
)
def test_arguments_of_a_rate_that_are_not_valid_raise(
    arguments: tuple[object, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Rate(*arguments)  # type: ignore[arg-type]


def test_the_repr_of_a_limit_has_its_parts() -> None:
    limit = Limit(Rate(5, 60), scope="mail", per="tenant", cost=2)
    assert (limit.rate, limit.scope, limit.per, limit.cost) == (Rate(5, 60), "mail", "tenant", 2)
    assert repr(limit) == "Limit(Rate(5, 60), scope='mail', per='tenant', cost=2)"
    assert Limit(Rate(5, 60), scope="").per == "user"
    assert Limit(Rate(0, 60), scope="", cost=9).cost == 9
    assert Limit(Rate(0, 60), scope="", per="tenant").share(0.5).rate == Rate(0, 60)


def test_a_share_is_the_rounded_fraction_of_a_limit() -> None:
    share = Limit(Rate(1000, 3600), scope="mail", per="tenant", cost=3).share(0.25)
    assert repr(share) == "Limit(Rate(250, 3600), scope='mail', per='member', cost=3)"
    assert Limit(Rate(10, 60), scope="", per="tenant").share(0.19).rate == Rate(1, 60)
    assert Limit(Rate(10, 60), scope="", per="tenant", cost=5).share(0.1).rate == Rate(5, 60)
    assert Limit(Rate(10, 60), scope="", per="tenant").share(1).rate == Rate(10, 60)
    for fraction in (0, -0.5, 1.01, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="fraction must be above 0 and at most 1"):
            Limit(Rate(10, 60), scope="", per="tenant").share(fraction)
    for per in ("user", "member", "address", "custom"):
        with pytest.raises(ValueError, match="only a limit per tenant can be shared"):
            Limit(Rate(10, 60), scope="", per=per).share(0.5)
    with pytest.raises(TypeError):
        Limit(Rate(10, 60), scope="", per="tenant").share("half")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, "scope"),
        ({"scope": 5}, TypeError, "scope must be str"),
        ({"scope": "x" * 256}, ValueError, "scope must be at most 255 bytes"),
        ({"scope": "\udc80"}, ValueError, "scope has lone surrogates"),
        ({"scope": "", "per": "planet"}, ValueError, "per must be one of"),
        ({"scope": "", "per": None}, TypeError, "per must be str"),
        ({"scope": "", "cost": 0}, ValueError, "cost must be from 1"),
        ({"scope": "", "cost": 11}, ValueError, "cost must be from 1 to the limit"),
        ({"scope": "", "cost": 1.5}, TypeError, "float"),
        ({"scope": "", "size": 1}, TypeError, "size"),
    ],
)
def test_arguments_of_a_limit_that_are_not_valid_raise(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Limit(Rate(10, 60), **arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Limit("10 per minute", scope="")  # type: ignore[arg-type]
