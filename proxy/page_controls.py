"""The answer controls of a page: nothing may be selected before the customer has answered."""

from collections.abc import Iterator
from typing import Final

from proxy.pages import Element, Page

_WORDS: Final = ("accepted", "declined")
_ELSEWHERE: Final = ("data-accepted", "data-declined", "data-elements", "data-purchased")


def control_findings(tag: Element, page: Page) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the controls that answer by `data-choice`."""
    said = list(page.with_attribute("data-choice"))
    for element in said:
        if element["data-choice"] not in _WORDS:
            yield (
                "choice_unknown",
                (
                    f'`data-choice="{element["data-choice"]}"` is no answer: write `accepted` or '
                    "`declined`."
                ),
            )
    words = {element["data-choice"] for element in said}
    if len(words & set(_WORDS)) == 1 and not any(name in tag for name in _ELSEWHERE):
        absent = next(word for word in _WORDS if word not in words)
        yield "choice_missing", f"No control says `{absent}`: the customer must have both answers."
    for element, choice in _beforehand(page):
        yield (
            "selected_beforehand",
            (
                f"The control for `{choice}` (`<{element.name}>`) is selected beforehand: no "
                "answer is not a decline, so let nothing be selected."
            ),
        )


def _beforehand(page: Page) -> Iterator[tuple[Element, str]]:
    """Yield each control that answers without the customer, with its answer."""
    labels = {label["for"]: label["data-choice"] for label in page.named("label")}
    for control in page.named("input"):
        if "checked" in control and control["type"].lower() in ("radio", "checkbox"):
            label = control.around("label")
            around = label["data-choice"] if label else ""
            named = labels.get(control["id"], "") if control["id"] else ""
            if choice := control["data-choice"] or around or named:
                yield control, choice
    for option in _selected(page):
        if option["data-choice"]:
            yield option, option["data-choice"]
    for element in page.with_attribute("data-choice"):
        pressed = {element["aria-checked"], element["aria-pressed"], element["aria-selected"]}
        if element.name not in ("input", "option") and "true" in pressed:
            yield element, element["data-choice"]


def _selected(page: Page) -> Iterator[Element]:
    """Yield the options that a browser shows as selected: where none is named, it takes the first.

    Not in a list that shows several lines or takes several answers.
    """
    options: dict[Element | None, list[Element]] = {}
    for option in page.named("option"):
        options.setdefault(option.around("select"), []).append(option)
    for select, offered in options.items():
        named = [each for each in offered if "selected" in each]
        if select is None or named or "multiple" in select or select["size"] not in ("", "0", "1"):
            yield from named
        else:
            yield from [each for each in offered if "disabled" not in each][:1]
