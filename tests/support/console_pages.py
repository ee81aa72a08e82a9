"""A page of the console as a browser reads it: its elements, its texts, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_EMPTY = {"wbr", "meta", "input", "rect", "line", "circle"}
_ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "nav", "section"),
    *("h1", "h2", "h3", "p", "a", "ul", "li", "div", "span", "strong", "code", "time", "dl"),
    *("dt", "dd", "figure", "figcaption", "details", "summary", "table", "caption", "thead"),
    *("tbody", "tr", "th", "td", "form", "label", "input", "button", "svg", "desc", "rect"),
    *("defs", "pattern", "line", "circle", "wbr"),
}
_WITH_ADDRESS = {"href", "action"}


@dataclass
class Page(HTMLParser):
    """What stands in a page."""

    html: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.html)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ELEMENTS, tag
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs), attrs
        for name in found:
            assert not name.startswith("on"), (tag, name)
            assert name not in ("style", "src", "srcdoc", "formaction", "data"), (tag, name)
            if name in _WITH_ADDRESS:
                assert found[name].startswith(("/", "#")), found[name]
                assert not found[name].startswith("//"), found[name]
        self.elements.append((tag, found))
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of a name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        """All texts of the page."""
        return "".join(self.texts)
