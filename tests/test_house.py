"""The rules of the house (CONTRIBUTING.md) that can be checked."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for package in ("fedlab", "strategies", "clients") for path in (ROOT / package).rglob("*.py"))
HEAVY = ("torch", "ray", "transformers", "flwr", "datasets", "adapters", "matplotlib")


def imports(path: Path) -> Iterator[str]:
    """Yield the modules a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def calls(path: Path) -> Iterator[str]:
    """Yield the names of what a file calls, as written."""
    tree = ast.walk(ast.parse(path.read_text()))
    yield from (ast.unparse(node.func) for node in tree if isinstance(node, ast.Call))


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_there_are_modules_to_look_at():
    assert {"fedlab/common/clock.py", "strategies/adafl.py", "clients/adapter.py"} <= set(names(MODULES))


def test_the_import_contracts_are_kept():
    lint = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_module_has_at_most_400_lines():
    assert not names([path for path in MODULES if len(path.read_text().splitlines()) > 400])


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["show", "--help"], ["compare", "--help"], ["sweep", "--help"]],
    ids=" ".join,
)
def test_asking_the_command_line_for_help_loads_nothing_heavy(arguments):
    program = f"""
import atexit, json, sys
sys.argv = ["fedlab", *{arguments}]
atexit.register(lambda: sys.stderr.write(json.dumps([name for name in {HEAVY} if name in sys.modules])))
from fedlab.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert json.loads(done.stderr) == []


def test_only_the_clock_reads_the_time():
    users = [path for path in MODULES if {"time", "datetime"} & set(imports(path))]
    assert names(users) == ["fedlab/billing/timed_grid.py", "fedlab/common/clock.py"]
    assert {call for call in calls(ROOT / "fedlab/billing/timed_grid.py") if call.startswith("time.")} == {"time.sleep"}


def test_nothing_is_printed():
    assert not names([path for path in MODULES if "print" in set(calls(path))])


def test_global_generators_are_touched_only_to_seed_flowers_own_strategies():
    keyed = {"np.random.default_rng", "np.random.Generator"}
    drawing = {path: [call for call in calls(path) if call.startswith(("random.", "np.random."))] for path in MODULES}
    users = [path for path, found in drawing.items() if not keyed.issuperset(found)]
    assert names(users) == ["fedlab/messages/flower_private.py"]
