"""The pages of the console, made of plain facts: what they hold, and how they can be read."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console_pages import Page
from flask_tenant_auth.console import rotation
from flask_tenant_auth.console.facts import (
    Facts,
    KeyFact,
    Memory,
    Minute,
    Redis,
    RedisState,
    RouteFact,
    SessionFact,
    Subject,
    UserSessions,
    problems_of,
)
from flask_tenant_auth.console.page import CONTENT_SECURITY_POLICY, STYLE, Pages
from flask_tenant_auth.console.plots import HEIGHT, WIDTH, plot_of_denials, plot_of_requests
from flask_tenant_auth.console.terminal import COLUMNS, lines_of
from flask_tenant_auth.console.words import duration, moment, visible

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
MINUTES = tuple(
    Minute(ago=59 - i, allowed=3 * i % 40, denied=i % 5, limited=i % 7, failed=i % 11 // 9)
    for i in range(60)
)
SESSION = SessionFact(
    id="session", role="user", device="Firefox", address="192.0.2.1",
    began_at=AT, used_at=AT, expires_at=AT,
)  # fmt: skip
FACTS = Facts(
    app="shop",
    at=AT,
    minutes=MINUTES,
    reasons=(("expired", 9), ("no_credentials", 3)),
    users=(Subject(tenant_id="tenant", user_id="user", limited=4),),
    tenants=(Subject(tenant_id="tenant", limited=4),),
    redis=Redis(state=RedisState.AWAY, url="redis://db", failure="gone", without_it="memory"),
    memory=Memory(slots=100, used=1, evictions=2, shared=True),
    keys=(
        KeyFact(
            kid="kid", algorithm="HS256", origin="JWT_SECRET_KEY", use="signs",
            age="not known", next_step="add the next key",
        ),
    ),
    routes=(
        RouteFact(method="GET", path="/a", protection="open", limits=("5",), unprotected=True),
    ),
    session_store="a database",
    problems=("Redis is away.",),
)  # fmt: skip
PAGES = Pages("shop", "/console")


def all_pages(pages: Pages, facts: Facts, of: UserSessions, said: str) -> dict[str, str]:
    return {
        "overview": pages.overview(facts),
        "sessions": pages.sessions(of, said=said),
        "opening": pages.opening(said=said, permission="console:open"),
        "message": pages.message("Denied", said, opened=True),
    }


USUAL = all_pages(
    PAGES, FACTS, UserSessions(tenant_id="t", user_id="u", sessions=(SESSION,)), "It has ended."
)


# --- What others have written ---------------------------------------------------------------------

HOSTILE = (
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onfocus='alert(1)"),
    *("{{ 7 * 7 }}", "{% include '/etc/passwd' %}", "</style><script>", "<!--", "]]>", "&lt;b&gt;"),
    *(
        "javascript:alert(1)",
        "//evil.example",
        "\x1b[2J\x1b]0;x\x07",
        "\u202egnp.exe",
        "\0",
        "\r\n",
    ),
)


def filled(value: Any, text: str) -> Any:
    """The same facts, every text of which is this one."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(filled(each, text) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            each.name: filled(getattr(value, each.name), text)
            for each in fields(value)
            if each.init
        }
        return replace(value, **changed)
    return value


def hold_no_markup(text: str) -> None:
    pages = Pages(text, "/console")
    of = UserSessions(tenant_id="t", user_id="u", sessions=(SESSION,))
    said = all_pages(pages, filled(FACTS, text), filled(of, text), text)
    for name, html in said.items():
        page = Page(html)
        usual = [tag for tag, _ in Page(USUAL[name]).elements if tag != "wbr"]
        # An empty text has no element of its own where there is nothing to say.
        if visible(text).strip():
            found = [tag for tag, _ in page.elements if tag != "wbr"]
            assert found == usual, name
        assert visible(text).strip() in page.text
        assert all(each.isprintable() or each == "\n" for each in page.text), name


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_others_is_markup(text: str) -> None:
    hold_no_markup(text)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(min_size=1, max_size=60).filter(lambda text: visible(text).strip() != ""))
def test_no_text_at_all_is_markup(text: str) -> None:
    hold_no_markup(text)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("unicode", [True, False])
def test_no_text_of_others_moves_the_cursor_or_is_wider_than_the_terminal(
    text: str, unicode: bool
) -> None:
    for line in lines_of(filled(FACTS, text * 20), unicode=unicode):
        assert line.isprintable()
        assert len(line) <= COLUMNS


# --- The policy -----------------------------------------------------------------------------------


def test_the_policy_lets_this_style_in_and_no_script() -> None:
    directives = dict(each.split(" ", 1) for each in CONTENT_SECURITY_POLICY.split("; "))
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert directives == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    for html in USUAL.values():
        assert re.findall("<style>(.*?)</style>", html, re.DOTALL) == [STYLE]
        assert "http:" not in html
        assert "https:" not in html


# --- Contrast -------------------------------------------------------------------------------------


def colours(dark: bool) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert len(blocks) == 2
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[dark]))
    assert "prefers-color-scheme: dark" in STYLE.split(blocks[1])[0]
    return found


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_of_4_5_and_graphics_of_3(dark: bool) -> None:
    found = colours(dark)
    assert set(found) == set(colours(not dark))
    for ground in ("page", "panel"):
        for text in ("text", "muted", "link"):
            assert contrast(found[text], found[ground]) >= 4.5, (text, ground)
        for graphic in ("requests", "denied", "limited", "failed", "border", "link"):
            assert contrast(found[graphic], found[ground]) >= 3, (graphic, ground)
    for button in ("link", "danger"):
        assert contrast(found[button], found[f"on-{button}"]) >= 4.5, button
        assert contrast(found[button], found["panel"]) >= 3, button
    assert (luminance(found["page"]) < 0.05) is dark


def test_every_colour_is_a_variable_that_both_schemes_set() -> None:
    rules = re.sub(r":root \{.*?\}", "", STYLE, flags=re.DOTALL)
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgb|hsl", rules.replace("url(#", ""))
    assert set(re.findall(r"var\(--([\w-]+)\)", rules)) <= set(colours(dark=False))


# --- Plots ----------------------------------------------------------------------------------------


def test_the_bars_of_a_plot_stand_on_each_other_inside_of_it() -> None:
    plot = plot_of_denials(MINUTES)
    assert plot.most == 10
    for place, minute in enumerate(MINUTES):
        bars = [bar for bar in plot.bars if bar.x == place * WIDTH / 60]
        counts = [minute.denied, minute.limited, minute.failed]
        assert len(bars) == sum(count > 0 for count in counts)
        bottom = float(HEIGHT)
        for bar in bars:
            assert bar.y + bar.height == pytest.approx(bottom)
            assert bar.height == pytest.approx(minute.of(bar.series) * HEIGHT / plot.most)
            bottom = bar.y
        assert bottom >= 0


def test_one_request_among_many_can_be_seen() -> None:
    plot = plot_of_requests((Minute(ago=1, allowed=1_000_000), Minute(ago=0, allowed=1)))
    assert [bar.height for bar in plot.bars] == [HEIGHT, 1.5]


def test_a_plot_says_in_words_what_it_shows() -> None:
    minutes = (Minute(ago=2), Minute(ago=1, denied=2, failed=1), Minute(ago=0, limited=1))
    assert plot_of_denials(minutes).description == (
        "2 denied, 1 limited, 1 failed in the last 3 minutes. The most in one minute were 3, "
        "1 minutes ago."
    )
    assert plot_of_requests(()).description == "None in the last 0 minutes."
    assert plot_of_requests((Minute(ago=0, allowed=7),)).description.endswith("the current minute.")


def test_the_table_has_all_that_the_plots_have() -> None:
    page = USUAL["overview"]
    rows = re.findall(r'<tr><th scope="row" class="number">(\d+)</th>(.*?)</tr>', page, re.DOTALL)
    assert len(rows) == 60
    for (ago, cells), minute in zip(rows, reversed(MINUTES), strict=True):
        assert int(ago) == minute.ago
        found = [int(each) for each in re.findall(r">(\d+)<", cells)]
        assert found == [minute.allowed, minute.denied, minute.limited, minute.failed]


# --- What can be read -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", USUAL)
def test_a_page_has_what_people_without_eyes_or_mouse_need(name: str) -> None:
    page = Page(USUAL[name])
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("main")) == len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-3]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        named = attributes.get("aria-labelledby", "") + " " + attributes.get("aria-describedby", "")
        assert set(named.split()) <= set(ids)
        assert attributes.get("tabindex", "0") in ("0", "-1")
    assert len(page.all("table")) == len(page.all("caption"))
    assert all("scope" in cell for cell in page.all("th"))
    labelled = {label["for"] for label in page.all("label")}
    shown = {each["id"] for each in page.all("input") if each["type"] != "hidden"}
    assert shown == labelled
    assert all(button == {**button, "type": "submit"} for button in page.all("button"))
    for anchor in page.all("a"):
        if anchor["href"].startswith("#"):
            assert anchor["href"][1:] in ids
    for picture in page.all("svg"):
        assert picture.get("role") == "img" or picture.get("aria-hidden") == "true"


def test_a_console_of_an_app_without_anything_says_so() -> None:
    empty = replace(
        FACTS, minutes=(), reasons=(), users=(), tenants=(), redis=Redis(state=RedisState.UNUSED),
        memory=None, keys=(), routes=(), session_store=None, problems=(),
    )  # fmt: skip
    text = Page(PAGES.overview(empty)).text
    for sentence in (
        *("Nothing.", "No request was denied.", "No user was limited.", "No tenant was limited."),
        *("No limits are counted", "This app has no key", "Sessions are off in this app."),
    ):
        assert sentence in text
    assert lines_of(empty, unicode=False)


def test_the_terminal_has_what_the_page_has() -> None:
    printed = "\n".join(lines_of(FACTS, unicode=True))
    for part in (
        *("shop", "Redis is away.", "allowed 1110", "9  expired", "user", "tenant", "redis://db"),
        *("gone", "1 of 100 counters", "kid", "add the next key", "a database", "/a  [open]"),
    ):
        assert part in printed
    assert "█" in printed
    assert "\n".join(lines_of(FACTS, unicode=False)).isascii()


# --- Sentences ------------------------------------------------------------------------------------


def test_problems_are_whole_sentences_and_none_is_there_without_a_cause() -> None:
    redis, memory = (
        Redis(state=RedisState.ANSWERS),
        Memory(slots=9, used=9, evictions=0, shared=True),
    )
    assert problems_of(redis, memory, (), ()) == ()
    route = FACTS.routes[0]
    found = problems_of(
        FACTS.redis, replace(memory, evictions=3, shared=False), (route, route), ("JWKS fails.",)
    )
    assert len(found) == 5
    assert all(each.endswith(".") for each in found)
    assert "RATELIMIT_ON_STORE_ERROR=memory" in found[1]
    assert problems_of(redis, None, (route,), ())[0].startswith("1 method of a route says nothing")


def test_a_table_that_is_nearly_empty_or_full_is_not_called_so() -> None:
    assert Memory(slots=7000, used=1, evictions=0, shared=True).percent == 1
    assert Memory(slots=7000, used=0, evictions=0, shared=True).percent == 0
    assert Memory(slots=7000, used=6999, evictions=0, shared=True).percent == 100
    assert Memory(slots=0, used=0, evictions=0, shared=True).percent == 0


def test_durations_and_times_are_words() -> None:
    assert [duration(each) for each in (0.2, 1, 119, 3600, 200_000, -5)] == [
        *("less than a second", "1 second", "1 minute", "1 hour", "2 days", "less than a second")
    ]
    assert moment(AT) == "2026-03-04 05:06 UTC"


def test_the_next_step_of_a_rotation_depends_on_what_is_configured() -> None:
    alone = rotation.step_of_signing("JWT_SECRET_KEY", others=0, hours=24)
    assert "JWT_SECRET_KEY_FALLBACKS" in alone
    assert "round 1" in alone
    begun = rotation.step_of_signing("JWT_SECRET_KEY", others=1, hours=24)
    assert "round 2" in begun
    assert "24 hours" in begun
    assert "JWT_PRIVATE_KEY (round 2)" in rotation.step_of_fallback("JWT_PRIVATE_KEY", hours=1)
    assert "The service that signs" not in rotation.step_of_fallback("JWT_SECRET_KEY", hours=1)
    assert "service that signs" in rotation.step_of_fallback(None, hours=1)
    steps = {
        rotation.step_of_source("JWT_JWKS", given=given, file=file, failure=failure)
        for given, file, failure in (
            *((True, False, None), (False, True, None)),
            *((False, False, None), (False, False, "no TLS")),
        )
    }  # fmt: skip
    assert len(steps) == 4


def test_the_age_of_a_key_is_what_is_known_of_it() -> None:
    assert rotation.age_of_given(None, None) == "not known, as a setting has no date"
    assert rotation.age_of_given(65, "its file was written on 2026-01-02") == (
        "its file was written on 2026-01-02; this worker has had it for 1 minute"
    )
    assert rotation.age_of_fetched(None, 5) == "fetched 5 seconds ago"
    assert rotation.age_of_fetched(5, None) == "not known; this worker has had it for 5 seconds"
