"""A real SuperLink and SuperNodes on loopback, ended with the tests they are started for."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("lab", Path(__file__).with_name("lab.py"))
lab_module = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = lab_module  # where its data class is looked up
SPEC.loader.exec_module(lab_module)


@pytest.fixture
def wait_for():
    return lab_module.await_


@pytest.fixture
def free_port():
    return lab_module.free_port


@pytest.fixture
def lab(tmp_path, day_and_night) -> Iterator[lab_module.Lab]:
    """Return a lab in which nothing runs yet; all that is started in it ends with the test."""
    yield from opened(tmp_path, day_and_night)


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory, day_and_night) -> Iterator[lab_module.Lab]:
    """Return a lab as `lab` that the tests of a module share."""
    yield from opened(tmp_path_factory.mktemp("lab"), day_and_night)


def opened(folder: Path, texts: Path) -> Iterator[lab_module.Lab]:
    made = lab_module.Lab(folder=folder, words=f"task.data={texts} {lab_module.SMALL}")
    yield made
    made.stop()
