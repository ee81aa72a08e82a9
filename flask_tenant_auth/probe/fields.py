"""Checks of the header fields that protect a browser, and of those that tell strangers too much."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .exchange import shown
from .outcome import Check, NotAsked, Problem
from .session import Session

_VERSION = re.compile(r"/v?\d")
# What the debugger of Werkzeug serves to everybody, where it is on.
_DEBUGGER = "/?__debugger__=yes&cmd=resource&f=style.css"
# What a page may not be without, if no other site is to show it in a frame.
_FRAMES = re.compile(r"(?:^|;)\s*frame-ancestors\s", re.IGNORECASE)
_PAGES = ("text/html", "application/xhtml+xml")


def look_for_sniffing(session: Session) -> Iterator[Problem]:
    """Yield a problem where a browser may take an answer for a page (Fetch standard, nosniff)."""
    for path, answer in session.strangers_answers.items():
        value = answer.get("X-Content-Type-Options")
        if (value or "").strip().lower() != "nosniff":
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
        framed = (answer.get("X-Frame-Options") or "").strip().lower()
        if framed in ("deny", "sameorigin"):
            continue
        if not _FRAMES.search(answer.get("Content-Security-Policy") or ""):
            yield Problem(
                f"GET {path}",
                "a page that every site may show in a frame",
                "send Content-Security-Policy: frame-ancestors 'none' (or 'self') with every page",
            )
            return


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
