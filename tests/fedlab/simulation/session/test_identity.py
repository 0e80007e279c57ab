"""A run and a session have the same code and the same variables that libraries read when they are imported."""

import os

import pytest

from fedlab.simulation.session import identity as module
from fedlab.simulation.session.identity import differences, identity


@pytest.fixture
def code(monkeypatch, tmp_path):
    """Make a small package that stands for fedlab's code."""
    monkeypatch.setattr(module, "ROOT", tmp_path)
    file = tmp_path / "fedlab" / "part" / "module.py"
    file.parent.mkdir(parents=True)
    file.write_text("x = 1\n")
    return file


def test_it_stays_the_same_while_nothing_changes(code):
    assert differences(identity(), identity()) == []


def test_other_code_differs(code):
    before = identity()
    code.write_text("x = 23\n")
    assert differences(before, identity()) == ["the code of fedlab"]


def test_another_number_of_cores_differs(code, monkeypatch):
    before = identity()
    monkeypatch.setattr(module, "usable_cores", lambda: 4096)
    assert differences(before, identity()) == ["the number of cores"]


def test_packages_that_were_installed_since_differ(code, monkeypatch, tmp_path):
    monkeypatch.setattr(module.sysconfig, "get_path", lambda kind: str(tmp_path))
    before = identity()
    (tmp_path / "torch-9.9.dist-info").mkdir()
    assert differences(before, identity()) == ["the installed packages"]


def test_variables_that_are_read_at_import_differ_by_their_names_and_no_value_is_kept(code, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    before = identity()
    monkeypatch.setenv("HF_TOKEN", "other")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert differences(before, identity()) == ["HF_TOKEN", "OMP_WAIT_POLICY"]
    assert "secret" not in str(before)


@pytest.mark.parametrize(
    "name", ["COLUMNS", "SSH_TTY", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_CLIENT_MODE", "PYTHONBREAKPOINT"]
)
def test_what_a_run_brings_with_it_or_takes_from_the_session_makes_no_difference(code, monkeypatch, name):
    monkeypatch.setitem(os.environ, name, "one")
    before = identity()
    monkeypatch.setitem(os.environ, name, "two")
    assert differences(before, identity()) == []
