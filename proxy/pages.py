"""What the markup of a page says about choices. Runs nothing that is in it, and judges nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin

# What a browser that runs scripts takes for text, or keeps aside.
_INERT: Final = frozenset(
    {"iframe", "noembed", "noframes", "noscript", "template", "textarea", "title", "xmp"}
)
_OF_THE_HEAD: Final = frozenset(
    {"base", "head", "html", "link", "meta", "noscript", "script", "style", "template", "title"}
)
# Elements that load or send, with the attribute that says where.
_LOADS: Final = {
    "embed": "src",
    "form": "action",
    "iframe": "src",
    "link": "href",
    "object": "data",
    "script": "src",
}
_DEEPEST: Final = 512  # where browsers stop nesting too
_LOADING_LINKS: Final = frozenset({"stylesheet", "preload", "modulepreload", "manifest"})


@dataclass(eq=False, slots=True)
class Element:
    """One element, and what stands around it."""

    name: str
    attributes: dict[str, str]
    parent: "Element | None" = None

    def __getitem__(self, name: str) -> str:
        """Return the attribute *name*; an absent one is empty."""
        return self.attributes.get(name, "")

    def __contains__(self, name: str) -> bool:
        return name in self.attributes

    def around(self, name: str) -> "Element | None":
        """Return the nearest element called *name* around this one."""
        outer = self.parent
        while outer is not None and outer.name != name:
            outer = outer.parent
        return outer


@dataclass(slots=True)
class Page:
    """The elements of one page, in its order."""

    url: str
    elements: list[Element] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)  # of `meta` elements in the head
    base: str = ""

    def __post_init__(self) -> None:
        self.base = self.base or self.url

    def named(self, name: str) -> Iterator[Element]:
        """Yield the elements called *name*."""
        return (element for element in self.elements if element.name == name)

    def with_attribute(self, name: str) -> Iterator[Element]:
        """Yield the elements that have an attribute *name*."""
        return (element for element in self.elements if name in element)

    def address(self, relative: str) -> str:
        """Return the whole address of what the page calls *relative*; "" if it is none."""
        try:
            return urljoin(self.base, relative.strip())
        except ValueError:
            return ""

    def loads(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the address of each element that loads, frames or sends."""
        for element in self.elements:
            target = element[_LOADS.get(element.name, "")]
            kinds = set(element["rel"].lower().split())
            if target and (element.name != "link" or kinds & _LOADING_LINKS):
                yield element.name, self.address(target)


def read_page(url: str, text: str) -> Page:
    """Return what the markup *text*, found at *url*, says."""
    reader = _Reader(Page(url))
    reader.feed(text)
    reader.close()
    return reader.page


class _Reader(HTMLParser):
    """Keeps every element that a browser would make at once, with those around it."""

    _EMPTY = frozenset(
        {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}
        | {"track", "wbr"}
    )

    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.page = page
        self._open: list[Element] = []
        self._inert = 0  # how many of these keep what is in them aside
        self._in_head = True
        self._based = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element; of an attribute given twice the first one holds, as in browsers."""
        attributes = {name: value or "" for name, value in reversed(attrs)}
        if tag == "option":  # its end may be left out
            self._close("option")
        element = Element(tag, attributes, self._open[-1] if self._open else None)
        if not self._inert:
            self._in_head = self._in_head and tag in _OF_THE_HEAD
            self.page.elements.append(element)
            self._rule(element)
        if tag not in self._EMPTY and len(self._open) < _DEEPEST:
            self._open.append(element)
            self._inert += tag in _INERT

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take `<div/>` as `<div>`, as browsers do."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Close the nearest element of that name, and what was left open in it."""
        if tag == "head":
            self._in_head = False
        self._close(tag)

    def _close(self, tag: str) -> None:
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index].name == tag:
                self._inert -= sum(each.name in _INERT for each in self._open[index:])
                del self._open[index:]
                return

    def _rule(self, element: Element) -> None:
        """Take in what an element says about the page as a whole."""
        if element.name == "base" and "href" in element and not self._based:
            self._based = True
            self.page.base = self.page.address(element["href"])
        kind = element["http-equiv"].lower()
        # Browsers take no notice of a policy outside the head.
        if element.name == "meta" and kind == "content-security-policy" and self._in_head:
            self.page.policies.append(element["content"])
