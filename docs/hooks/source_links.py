"""Links from a page to files outside docs/ lead to copies of these files in the site, which needs no network."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(\[[^\]]*\])\(([^)#\s:]+)(#[^)\s]*)?\)")
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "project/contributing.md", "CHANGELOG.md": "project/changelog.md"}


def place(source: str) -> str:
    """Return where the copy of a file or folder of the repository is in the site, as text that any browser shows."""
    return f"source/{source}.txt"


def inside(uri: str, target: str) -> str:
    """Return the path in the repository that a link of the page `docs/uri` names."""
    return posixpath.normpath(posixpath.join("docs", posixpath.dirname(uri), target))


def text_of(path: Path) -> str:
    """Return a file's text, or the names in a folder."""
    if path.is_dir():
        return "".join(f"{each.name}\n" for each in sorted(path.iterdir()) if not each.name.startswith(("__", ".")))
    return path.read_text(encoding="utf-8")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files of the repository that pages link to."""
    linked = set()
    for file in files.documentation_pages():
        for found in LINK.finditer(file.content_string):
            linked.add(inside(file.src_uri, found[2]))
    for source in sorted(linked):
        if not source.startswith(("docs/", "..")) and source not in PAGES and (ROOT / source).exists():
            copy = File.generated(
                config, place(source), content=text_of(ROOT / source), inclusion=InclusionLevel.NOT_IN_NAV
            )
            files.append(copy)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave docs/ to the copies; pages made of files at the root are pages of the site."""
    uri = page.file.src_uri

    def moved(found: re.Match[str]) -> str:
        source = inside(uri, found[2])
        if source.startswith("docs/"):
            return found[0]
        target = PAGES.get(source, place(source))
        return f"{found[1]}({posixpath.relpath(target, posixpath.dirname(uri) or '.')}{found[3] or ''})"

    return LINK.sub(moved, markdown)
