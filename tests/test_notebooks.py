"""The notebooks of the documentation run from the first cell to the last, and show what their text says."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PATHS = {path.stem: path for path in Path(__file__).parents[1].glob("docs/*/*.ipynb")}
NAMES = sorted(PATHS)

# What is to hold of the values that cells show, by the beginning of the cell's last line.
SHOWN = {
    "first-run": {
        "small.accuracy": lambda text: float(text) > 0.3,
        "small.rounds[": lambda text: len(text.splitlines()) > 6,
        "compare(": lambda text: "width 8" in text and "width 32" in text,
    },
    "own-strategy": {
        "found.clients.groupby": lambda text: all(
            len(ast.literal_eval(line.split(maxsplit=1)[1])) == 3 for line in text.splitlines()[1:7]
        ),
        "message": lambda text: "did you mean 'clients'" in text,
    },
}


def read(name):
    return nbformat.read(PATHS[name], 4)


def shown_by(notebook):
    """Return the value that each code cell shows, by the last line of its code."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    values = {}
    for cell in cells:
        for output in cell.outputs:
            if output.output_type == "execute_result":
                values[cell.source.splitlines()[-1]] = output.data["text/plain"]
    return values


def check(notebook, name):
    values = shown_by(notebook)
    for start, holds in SHOWN[name].items():
        (text,) = (value for line, value in values.items() if line.startswith(start))
        assert holds(text), (start, text)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_with_what_its_cells_showed(name):
    check(read(name), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_to_its_end_and_shows_what_it_says(name, tmp_path):
    notebook = read(name)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    check(notebook, name)
