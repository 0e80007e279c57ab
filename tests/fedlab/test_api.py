"""User files need nothing of fedlab but `fedlab.api` and `fedlab.errors`."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fedlab.api

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "docs" / "extend").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *EXAMPLES]
PUBLIC = {"fedlab.api", "fedlab.errors"}


def code_blocks(page: Path) -> list[str]:
    """Return the code of a page; of a file of code, the file."""
    text = page.read_text()
    return [text] if page.suffix == ".py" else re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def imported_modules(code: str) -> set[str]:
    """Return the modules that code imports from or imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("name", fedlab.api.__all__)
def test_a_public_name_resolves_and_is_documented(name):
    assert getattr(fedlab.api, name).__doc__


def test_the_table_has_exactly_the_public_names():
    assert sorted(fedlab.api.PLACES) == sorted(fedlab.api.__all__) == dir(fedlab.api)


def test_type_checkers_see_each_name_where_the_table_places_it():
    imports = [
        node
        for node in ast.walk(ast.parse(Path(fedlab.api.__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fedlab.")
    ]
    assert {alias.name: f"{node.module}:{alias.name}" for node in imports for alias in node.names} == fedlab.api.PLACES


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match=r"module 'fedlab\.api' has no attribute 'Nothing'"):
        _ = fedlab.api.Nothing


def test_importing_it_loads_nothing_heavy():
    program = "import fedlab.api, json, sys; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "flwr", "ray", "numpy"} & set(json.loads(done.stdout))


def test_nothing_in_fedlab_imports_it():
    users = [path for path in (ROOT / "fedlab").rglob("*.py") if "fedlab.api" in imported_modules(path.read_text())]
    assert not users


def test_there_are_examples_that_import_it():
    assert sum("fedlab.api" in imported_modules(page.read_text()) for page in EXAMPLES) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples_import_only_what_is_public(page):
    imported = set().union(*map(imported_modules, code_blocks(page)))
    assert {module for module in imported if module.split(".")[0] == "fedlab"} <= PUBLIC
