"""Pages of the notebooks in docs/: their text, code, and what the cells showed."""

import json
import posixpath
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).parents[1]
PAGES = {
    "getting-started/notebook.md": "getting-started/first-run.ipynb",
    "extend/notebook.md": "extend/own-strategy.ipynb",
}


def shown(output: dict[str, Any]) -> str:
    """Return what a cell showed, as Markdown; only values, since progress is of the moment."""
    if output["output_type"] != "execute_result":
        return ""
    data = output["data"]
    if "text/html" in data:
        html = "".join(data["text/html"]).replace(' border="1"', "")
        start, end = html.find("<style"), html.find("</style>")
        return '<div class="cell-output">' + (html if start < 0 else html[:start] + html[end + 8 :]) + "</div>"
    return "```text\n" + "".join(data["text/plain"]) + "\n```"


def page_of(notebook: dict[str, Any], download: str) -> str:
    """Return a notebook as Markdown, with a link to the file after its title."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts += [f"```python\n{source}\n```", *map(shown, cell["outputs"])]
    title, _, rest = "\n\n".join(filter(None, parts)).partition("\n")
    return f"{title}\n\nThis page is the notebook [{download}]({download}), as it ran.\n{rest}"


@event_priority(100)
def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for uri, source in PAGES.items():
        notebook = json.loads((DOCS / source).read_text("utf-8"))
        files.append(File.generated(config, uri, content=page_of(notebook, posixpath.basename(source))))
    return files
