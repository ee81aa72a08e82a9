"""The pages of the console: HTML without a script, and the policy that browsers hold it to.

Templates are filled in by Jinja, which escapes every value, and has what is not printable replaced.
No value is marked as safe but the stylesheet, which is a file of this package.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .facts import OUTCOMES, TURNED_AWAY, Facts, UserSessions
from .plots import plot_of_denials, plot_of_requests
from .words import moment, visible

_TEMPLATES = Path(__file__).parent / "templates"
STYLE = (_TEMPLATES / "style.css").read_text("utf-8")
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

# What browsers let a page do. No directive lets a script run.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{_STYLE_DIGEST}'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True)
class Pages:
    """The pages of one console.

    :param app: the name of the app.
    :param root: the path of the console, as browsers see it.
    """

    app: str
    root: str

    def overview(self, facts: Facts) -> str:
        """Return the page of an app."""
        return self._page(
            "overview.html",
            facts=facts,
            outcomes=OUTCOMES,
            turned_away=TURNED_AWAY,
            plots=(plot_of_requests(facts.minutes), plot_of_denials(facts.minutes)),
        )

    def sessions(self, of: UserSessions, *, said: str = "") -> str:
        """Return the page of a user's sessions.

        :param said: what has happened, in a sentence.
        """
        return self._page("sessions.html", of=of, said=said)

    def opening(self, *, said: str = "", permission: str) -> str:
        """Return the page that asks for an access token.

        :param said: why an earlier one does not open the console, in a sentence.
        """
        return self._page("opening.html", said=said, permission=permission)

    def message(self, title: str, said: str, *, opened: bool) -> str:
        """Return a page that says one thing.

        :param opened: whether it leads back to the console.
        """
        return self._page("message.html", title=title, said=said, opened=opened)

    def _page(self, template: str, **values: Any) -> str:
        return _environment().get_template(template).render(app=self.app, root=self.root, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["style"] = Markup(STYLE)  # noqa: S704 - a file of this package
    environment.filters.update(moment=moment, breakable=_breakable)
    return environment


def _printable(value: object) -> object:
    """Return a value as a template writes it. What templates have made themselves is Markup."""
    return visible(value) if type(value) is str else value


def _breakable(text: str) -> Markup:
    """Return a text, escaped, in which a browser may begin a new line after an underscore."""
    return Markup("_<wbr>").join(visible(text).split("_"))
