"""Folders named `strategies` and `clients` in the working folder never take the place of the project's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedlab.common.own_packages import pin_packages

ROOT = Path(__file__).parents[3]
RAISES = "raise RuntimeError('the wrong module was imported')\n"

EXPERIMENT = """
rounds = 1

[task]
data = "texts.csv"
max_length = 16
partition = { clients = 3 }

[backbone]
name = "bert-tiny"

[strategy]
name = "fedavg"
options = { clients_per_round = 2 }

[engine]
workers = 1
"""


@pytest.fixture
def shadowed(tmp_path):
    """Return a working folder whose `strategies.py` and `clients` raise when they are imported."""
    (tmp_path / "strategies.py").write_text(RAISES)
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "__init__.py").write_text(RAISES)
    return tmp_path


@pytest.fixture
def python(shadowed):
    """Return a function that runs Python in that folder, which is the first place it looks for modules."""

    def run(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "FEDLAB_CACHE": str(shadowed / "cache")}
        return subprocess.run(
            [sys.executable, *words], cwd=shadowed, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_the_folder_of_these_tests_does_shadow(python):
    assert "the wrong module was imported" in python("-c", "import strategies").stderr
    assert "the wrong module was imported" in python("-c", "import clients").stderr


@pytest.mark.parametrize("what", ["strategies", "clients"])
def test_the_command_line_lists_our_own(python, what):
    ended = python("-m", "fedlab", "list", what)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "adafl" in ended.stdout or "adapter" in ended.stdout


@pytest.mark.parametrize("name", ["strategies", "clients"])
def test_the_modules_are_those_beside_fedlab(python, name):
    ended = python("-c", f"import fedlab, {name}; print({name}.__file__)")
    assert ended.stdout.strip() == str(ROOT / name / "__init__.py")


@pytest.mark.slow
def test_a_run_uses_our_own_in_the_driver_and_in_its_actors(python, shadowed, day_and_night):
    (shadowed / "texts.csv").write_bytes(day_and_night.read_bytes())
    (shadowed / "small.toml").write_text(EXPERIMENT)
    ended = python("-m", "fedlab", "run", "small.toml", "--out", "out", "--quiet")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (shadowed / "out" / "summary.json").exists()


@pytest.mark.parametrize("app", ["strategies.app:app", "clients.app:app"])
def test_flower_loads_our_own_apps(python, tmp_path, app):
    bundle = tmp_path / "installed app"  # as Flower unpacks it: a folder that is not on the path yet
    bundle.mkdir()
    for package in ("fedlab", "strategies", "clients"):
        (bundle / package).symlink_to(ROOT / package)
    program = f"""
import sys
from flwr.supercore.object_ref import load_app
sys.path.remove({str(ROOT)!r})
found = load_app({app!r}, RuntimeError, {str(bundle)!r})
print(type(found).__name__, *(sys.modules[name].__file__ for name in ("strategies", "clients")), sep="\\n")
"""
    kind, *files = python("-c", program).stdout.splitlines()
    assert kind == ("ServerApp" if app.startswith("strategies") else "ClientApp")
    assert [Path(file).resolve() for file in files] == [ROOT / n / "__init__.py" for n in ("strategies", "clients")]


def test_a_module_that_was_imported_under_our_name_is_refused_in_one_line(python, shadowed):
    (shadowed / "strategies.py").write_text("")
    ended = python("-c", "import strategies, fedlab")
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: fedlab needs its own package 'strategies'")
    assert str(shadowed / "strategies.py") in last


def test_a_folder_without_an_init_that_was_imported_under_our_name_is_refused_too(python, shadowed):
    (shadowed / "clients" / "__init__.py").unlink()
    program = (
        "import sys; sys.path[1:] = [p for p in sys.path[1:] if p != {!r}]; import clients; sys.path.append({!r}); "
    )
    ended = python("-S", "-c", program.format(str(ROOT), str(ROOT)) + "import fedlab")
    assert f"but {shadowed / 'clients'} was imported under that name" in ended.stderr.strip().splitlines()[-1]


def test_packages_that_are_not_there_are_left_alone(tmp_path):
    pin_packages(tmp_path, ["a_package_of_no_one"])
    assert "a_package_of_no_one" not in sys.modules


def test_importing_fedlab_costs_nothing_heavy(python):
    ended = python(
        "-c", "import sys, fedlab; print([n for n in ('torch', 'flwr', 'ray', 'numpy') if n in sys.modules])"
    )
    assert ended.stdout.strip() == "[]"
