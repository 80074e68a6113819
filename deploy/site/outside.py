"""Pages and links of the website that MkDocs would not find: what lies outside docs/.

On the forge a document links to files as they lie in the repository. The website has the README
as its first page, shows other files as pages of their own, and lists the files of a folder.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs/"
PAGES = {  # of files outside docs/; any other is shown below files/
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "vulnerabilities.md",
    "openapi.yaml": "reference/interface.md",
}
CODE = {"conf": "nginx", "mjs": "js", "cs": "csharp", "rb": "ruby", "py": "python"}
STYLE = "assets/site.css"
LINK = re.compile(r'(\]\(|\b(?:src|href)=")(?!https?:|mailto:|#)([^)#"\s]+)')


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write out the folders of the navigation, page by page."""
    config.nav = [_written_out(entry) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file and each folder that some page links to."""
    for name, uri in PAGES.items():
        if name.endswith(".md"):
            files.append(File.generated(config, uri, content=_text(name)))
    style = Path(__file__).with_name("site.css")
    files.append(File.generated(config, STYLE, abs_src_path=str(style)))
    for target in sorted(
        {found for file in files.documentation_pages() for found in _led_to(file)}
    ):
        uri = uri_of(target)
        if files.get_file_from_path(uri) is None and (ROOT / target).exists():
            files.append(File.generated(config, uri, content=_shown(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead each link to where the website has what it names."""
    del config
    here = page.file.src_uri

    def turned(link: re.Match[str]) -> str:
        uri = uri_of(_target(here, link[2]))
        known = files.get_file_from_path(uri) is not None
        return link[1] + (posixpath.relpath(uri, posixpath.dirname(here)) if known else link[2])

    return LINK.sub(turned, markdown)


def uri_of(target: str) -> str:
    """Return where the website has *target*, a path in the repository."""
    if target in PAGES:
        return PAGES[target]
    if (ROOT / target).is_dir():
        return posixpath.join(target.removeprefix(DOCS), "index.md")
    return target.removeprefix(DOCS) if target.startswith(DOCS) else f"files/{target}.md"


def _target(uri: str, link: str) -> str:
    """Return the path in the repository that *link* of the page at *uri* names."""
    source = next((name for name, page in PAGES.items() if page == uri), DOCS + uri)
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _led_to(file: File) -> Iterator[str]:
    return (_target(file.src_uri, link[2]) for link in LINK.finditer(file.content_string))


def _shown(target: str) -> str:
    """Return the page that shows a file, or lists a folder."""
    path = ROOT / target
    if path.is_dir():
        lines = [f"* [{_title(one)}]({one.name})" for one in sorted(path.iterdir())]
        return "\n".join([f"# {path.name.capitalize()}", "", *lines, ""])
    language = path.suffix.removeprefix(".")
    head = f"---\nsearch:\n  exclude: true\n---\n# {target}\n\n"
    return f"{head}````{CODE.get(language, language)}\n{_text(target)}````\n"


def _title(path: Path) -> str:
    first = path.read_text("utf-8").partition("\n")[0]
    return first.removeprefix("# ") if path.suffix == ".md" else path.name


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _written_out(entry: object) -> object:
    """Return an entry of the navigation; for a folder its list and its pages."""
    if not isinstance(entry, dict):
        return entry
    ((name, inner),) = entry.items()
    if isinstance(inner, list):
        return {name: [_written_out(one) for one in inner]}
    if not str(inner).endswith("/"):
        return entry
    pages = sorted((ROOT / DOCS / inner).glob("*.md"))
    return {name: [f"{inner}index.md", *(f"{inner}{page.name}" for page in pages)]}
