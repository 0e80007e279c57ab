import json
import os
import platform
import subprocess
import sys
from importlib import metadata

import pytest

import fedlab.results.environment
from fedlab.common.machine import usable_cores
from fedlab.results.environment import describe_environment, machine_name


def test_versions_are_those_installed():
    environment = describe_environment()

    assert environment["python"] == platform.python_version()
    assert environment["packages"]["numpy"] == metadata.version("numpy")
    assert environment["packages"]["fedlab-edge"] == metadata.version("fedlab-edge")
    assert environment["cpus"] == usable_cores()


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(fedlab.results.environment, "PACKAGES", ("no-such-package-of-ours",))

    assert describe_environment()["packages"] == {"no-such-package-of-ours": None}


def test_a_system_that_does_not_tell_its_memory_has_none(monkeypatch):
    monkeypatch.delattr(os, "sysconf")

    assert describe_environment()["memory_bytes"] is None


def test_it_can_be_written_as_json():
    environment = describe_environment()

    assert json.loads(json.dumps(environment)) == environment


def test_nothing_is_imported_to_learn_a_version():
    code = (
        "import sys; from fedlab.results.environment import describe_environment; describe_environment();"
        "print(sorted({'torch', 'ray', 'flwr', 'numpy', 'transformers'} & set(sys.modules)))"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4\0", "Raspberry Pi 4 Model B Rev 1.4"),
        ("vendor_id\t: X\nmodel name\t: Fast CPU @ 2 GHz\nmodel name\t: other\n", "Fast CPU @ 2 GHz"),
    ],
)
def test_a_machine_is_called_by_its_board_or_its_processor(monkeypatch, tmp_path, content, name):
    (board := tmp_path / "board").write_text(content)
    patterns = [pattern for _, pattern in fedlab.results.environment.NAMES_OF_MACHINE]
    places = [(str(tmp_path / "missing"), patterns[0]), (str(board), patterns["model name" in content])]
    monkeypatch.setattr(fedlab.results.environment, "NAMES_OF_MACHINE", places)

    assert machine_name() == name


def test_a_machine_that_does_not_say_its_name_is_called_by_its_architecture(monkeypatch):
    monkeypatch.setattr(fedlab.results.environment, "NAMES_OF_MACHINE", ())
    monkeypatch.setattr(platform, "processor", lambda: "")

    assert machine_name() == platform.machine()
