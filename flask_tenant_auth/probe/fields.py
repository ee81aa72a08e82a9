"""Checks of the header fields that protect a browser, and of those that tell strangers too much."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .exchange import Answer, shown
from .outcome import Check, NotAsked, Problem
from .session import Session

_VERSION = re.compile(r"/v?\d")
# What the debugger of Werkzeug serves to everybody, where it is on.
_DEBUGGER = "/?__debugger__=yes&cmd=resource&f=style.css"
# Sources of frame-ancestors that list no site.
_EVERY_SITE = ("*", "http:", "https:")
_PAGES = ("text/html", "application/xhtml+xml")


def look_for_sniffing(session: Session) -> Iterator[Problem]:
    """Yield a problem where a browser may take an answer for a page (Fetch standard, nosniff)."""
    for path, answer in session.strangers_answers.items():
        value = answer.get("X-Content-Type-Options")
        if (value or "").partition(",")[0].strip().lower() != "nosniff":  # the first counts
            yield Problem(
                f"GET {path}",
                f"X-Content-Type-Options: {shown(value)}" if value else "no X-Content-Type-Options",
                "send X-Content-Type-Options: nosniff with every answer, at the proxy or in "
                "app.after_request",
            )
            return


def look_for_frames(session: Session) -> Iterator[Problem]:
    """Yield a problem for each page that any site may show in a frame (CSP 3, frame-ancestors)."""
    pages = [each for each in session.strangers_answers.items() if each[1].media_type in _PAGES]
    if not pages:
        raise NotAsked("no answer is a page")
    for path, answer in pages:
        if not _is_kept_from_frames(answer):
            yield Problem(
                f"GET {path}",
                "a page that every site may show in a frame",
                "send Content-Security-Policy: frame-ancestors 'none' (or 'self') with every page",
            )
            return


def _is_kept_from_frames(answer: Answer) -> bool:
    """Whether a page says which sites may show it. With frame-ancestors only that counts."""
    policies = (answer.get("Content-Security-Policy") or "").lower().split(",")
    ancestors = [words for each in policies if (words := _frame_ancestors(each)) is not None]
    if ancestors:  # each policy has to allow it
        return any(not set(words) & set(_EVERY_SITE) for words in ancestors)
    options = (answer.get("X-Frame-Options") or "").lower().split(",")
    return {each.strip() for each in options} in ({"deny"}, {"sameorigin"})


def _frame_ancestors(policy: str) -> list[str] | None:
    """Return the sources of the first frame-ancestors of a policy; None where it has none."""
    directives = (each.split() for each in policy.split(";"))
    return next((words[1:] for words in directives if words[:1] == ["frame-ancestors"]), None)


def look_for_versions(session: Session) -> Iterator[Problem]:
    """Yield a problem where answers name the version of a program."""
    for path, answer in session.strangers_answers.items():
        for name in ("Server", "X-Powered-By"):
            value = answer.get(name)
            if value is not None and _VERSION.search(value):
                development = value.startswith("Werkzeug/")
                yield Problem(
                    f"GET {path}",
                    f"{name}: {shown(value)}",
                    "serve with gunicorn or uWSGI: this is the development server of Flask"
                    if development
                    else f"let the server or proxy send {name} without a version, as with "
                    "`server_tokens off` in nginx",
                )
                return


def look_for_debugger(session: Session) -> Iterator[Problem]:
    """Yield a problem where the debugger of Werkzeug, which runs any code, answers."""
    answer = session.get(_DEBUGGER)
    if answer.status == 200 and b".traceback" in answer.body and b"console" in answer.body:
        yield Problem(
            f"GET {_DEBUGGER}",
            "a file of the debugger of Werkzeug, with which strangers can run code",
            "turn debug mode off: no `flask run --debug`, no FLASK_DEBUG, no DebuggedApplication",
        )


CHECKS = (
    Check("nosniff", "browsers take answers for what they say they are", look_for_sniffing),
    Check("frames", "no other site shows pages in a frame", look_for_frames),
    Check("versions", "answers name no version of a program", look_for_versions),
    Check("debugger", "the debugger of Werkzeug does not answer", look_for_debugger),
)
