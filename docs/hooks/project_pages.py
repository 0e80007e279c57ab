"""Pages that are files at the root of the repository, and the list of decisions."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#\s:]+)(?=[)#])")


def as_page(source: str, uri: str) -> str:
    """Return a file at the root with its links as those of the page `docs/uri`."""
    start = posixpath.dirname(f"docs/{uri}")
    return LINK.sub(lambda found: f"]({posixpath.relpath(found[1], start)}", (ROOT / source).read_text("utf-8"))


def decisions() -> str:
    """Return the page that lists the decisions."""
    lines = ["# Decisions", "", "Why it is built as it is: half a page for each decision worth remembering.", ""]
    for path in sorted((ROOT / "docs/project/decisions").glob("*.md")):
        title = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"* [{title}]({path.name})")
    return "\n".join(lines)


@event_priority(100)  # before the hook that looks at the links of all pages
def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages."""
    pages = {
        "project/contributing.md": as_page("CONTRIBUTING.md", "project/contributing.md"),
        "project/changelog.md": as_page("CHANGELOG.md", "project/changelog.md"),
        "project/decisions/index.md": decisions(),
    }
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files
