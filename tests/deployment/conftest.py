"""A real SuperLink and SuperNodes on loopback, each test with its own, ended with it."""

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
    made = lab_module.Lab(folder=tmp_path, words=f"task.data={day_and_night} {lab_module.SMALL}")
    yield made
    made.stop()
