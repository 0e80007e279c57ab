"""The rules of the house (CONTRIBUTING.md) that can be checked."""

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
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
    assert names(users) == ["fedlab/common/clock.py"]


def test_nothing_is_printed():
    assert not names([path for path in MODULES if "print" in set(calls(path))])


def test_global_generators_are_touched_only_to_seed_flowers_own_strategies():
    keyed = {"np.random.default_rng", "np.random.Generator", "np.random.Philox"}
    drawing = {path: [call for call in calls(path) if call.startswith(("random.", "np.random."))] for path in MODULES}
    users = [path for path, found in drawing.items() if not keyed.issuperset(found)]
    assert names(users) == ["fedlab/messages/flower_private.py"]


def test_the_packages_root_has_no_modules_but_what_every_room_may_use():
    at_root = {path.stem for path in (ROOT / "fedlab").glob("*.py")}
    assert at_root <= {"__init__", "__main__", "errors", "api"}


def room_of(module: str) -> str:
    """Return the room of a module: `strategies`, `clients`, or a folder or module at the root of fedlab."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "fedlab" else 1])


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path) -> Iterator[str]:
    """Yield what a file imports as full names, with the names of `from module import name` behind the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_graph(paths: list[Path] = MODULES) -> dict[str, set[str]]:
    """Return which other rooms each room imports, wherever in a file: in functions and for type checkers, too."""
    rooms = {room_of(module_of(path)) for path in paths} - {"fedlab"}  # `fedlab/__init__.py` is the house itself
    graph: dict[str, set[str]] = {room: set() for room in rooms}
    for path in paths:
        room = room_of(module_of(path))
        if room in graph:
            graph[room] |= {room_of(module) for module in imported_modules(path)} & rooms - {room}
    return graph


def floors_of(graph: dict[str, set[str]]) -> dict[str, int]:
    """Return the floor of each room: above all that it imports. Raises `graphlib.CycleError` with the cycle's rooms."""
    floors: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        floors[room] = 1 + max((floors[other] for other in graph[room]), default=0)
    return floors


def test_floors_are_counted_by_the_longest_way_down():
    graph = {"cli": {"server", "errors"}, "server": {"data"}, "data": {"errors"}, "errors": set()}
    assert floors_of(graph) == {"errors": 1, "data": 2, "server": 3, "cli": 4}


def test_a_cycle_of_rooms_is_found():
    with pytest.raises(CycleError):
        floors_of({"data": {"models"}, "models": {"data"}})


def test_the_house_has_at_most_30_rooms_on_13_floors_and_no_cycle():
    floors = floors_of(room_graph())
    assert {"strategies", "clients", "fedlab.server", "fedlab.errors"} <= floors.keys()
    assert len(floors) <= 30, sorted(floors)
    assert max(floors.values()) <= 13, sorted(floors.items(), key=lambda each: each[1])


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Function))


def commands() -> set[str]:
    """Return the names of the functions that typer makes commands of, as decorators or by `app.command()(function)`."""
    found = set()
    for path in (ROOT / "fedlab/cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function) and any(".command(" in ast.unparse(each) for each in node.decorator_list):
                found.add(node.name)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".command()"):
                found |= {ast.unparse(each) for each in node.args}
    return found


def test_the_commands_are_found():
    assert {"run", "compare", "estimate", "keys"} <= commands()


def long_functions(limit: int) -> list[str]:
    """Return functions of more lines, commands apart: these have a parameter, with its help, for every option."""
    found, of_typer = [], commands()
    for path in MODULES:
        exempt = of_typer if path.is_relative_to(ROOT / "fedlab/cli") else ()
        for function in functions(path):
            lines = function.end_lineno - function.lineno + 1
            if lines > limit and function.name not in exempt:
                found.append(f"{path.relative_to(ROOT).as_posix()}:{function.lineno} {function.name} has {lines} lines")
    return found


def test_a_function_has_at_most_40_lines_unless_it_is_a_command():
    assert not long_functions(40)


def public_types(path: Path) -> Iterator[str]:
    """Yield the public classes and type aliases that a module defines at its top."""
    for node in ast.parse(path.read_text()).body:
        found = []
        if isinstance(node, ast.ClassDef):
            found = [node.name]
        elif isinstance(node, ast.Assign):
            found = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found = [node.target.id]
        yield from (name for name in found if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name))


def test_a_public_class_or_type_alias_has_one_meaning_in_the_whole_tree():
    places = defaultdict(list)
    for path in MODULES:
        for name in public_types(path):
            places[name].append(module_of(path))
    assert {"Server", "Provenance", "Late"} <= places.keys()  # classes, and an alias
    assert not {name: modules for name, modules in places.items() if len(modules) > 1}
