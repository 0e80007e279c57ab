"""The command line, run in the tests' own process."""

import sys
from typing import NamedTuple

import pytest

from fedlab.cli.main import main


class Said(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def fedlab(monkeypatch, capsys):
    """Return a function that runs `fedlab` with these words."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["fedlab", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    return run
