"""The index of the PCI pack, as Markdown to read and as a page to print. Loads and runs nothing."""

from dataclasses import dataclass, field
from html import escape

STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}"
    "td{border:1px solid #999;padding:.3rem .5rem;vertical-align:top;overflow-wrap:anywhere}"
    "td:first-child{width:11rem}pre{white-space:pre-wrap;overflow-wrap:anywhere}"
    "h2{break-after:avoid}tr{break-inside:avoid}"
)


@dataclass(frozen=True)
class Section:
    """A chapter: a title, then a text, code and a table of two columns, as far as there are any."""

    title: str
    text: str = ""
    code: str = ""
    rows: list[tuple[str, str]] = field(default_factory=list)


def as_markdown(title: str, sections: list[Section]) -> str:
    """Return the index as Markdown."""
    parts = [f"# {title}"]
    for section in sections:
        parts.append(f"## {section.title}")
        parts += [section.text] if section.text else []
        parts += [f"```\n{section.code}\n```"] if section.code else []
        if section.rows:
            lines = [f"| {name} | {said.replace('|', '&#124;')} |" for name, said in section.rows]
            parts.append("\n".join(["| | |", "|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


def as_html(title: str, sections: list[Section]) -> str:
    """Return the index as one page without scripts."""
    body = "".join(_html(section) for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}</body>\n</html>\n"
    )


def _html(section: Section) -> str:
    lines = [f"<p>{escape(line)}</p>\n" for line in section.text.splitlines() if line]
    code = f"<pre>{escape(section.code)}</pre>\n" if section.code else ""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(said)}</td></tr>\n" for name, said in section.rows
    )
    table = f"<table>\n{rows}</table>\n" if rows else ""
    return f"<h2>{escape(section.title)}</h2>\n{''.join(lines)}{code}{table}"
