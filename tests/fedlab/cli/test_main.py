"""Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted; anything but 0 has one line of at most 300 characters."""

import errno
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import typer

import fedlab.cli.list_names
from fedlab.cli.main import app, main
from fedlab.errors import DamagedError, InterruptedRunError, RunFailedError, UserError


@pytest.fixture
def listing(fedlab, monkeypatch):
    """Return a function that runs a command in which an exception is raised."""

    def run(error):
        def fail(what):
            raise error

        monkeypatch.setattr(fedlab_cli(), "list_names", fail)
        return fedlab("list", "links")

    return run


def fedlab_cli():
    return fedlab.cli.list_names


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (InterruptedRunError("interrupted: 1 of 2 cells are done"), 130, "interrupted: 1 of 2 cells are done"),
        (UserError("wrong\nlink"), 2, "wrong link"),
        (DamagedError("states.0: cut off"), 1, "states.0: cut off"),
        (RunFailedError("no client replied"), 1, "no client replied"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/b"), 1, "a/b: No space left on device"),
        (OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "x"), 2, "x: File name too long"),
        (MemoryError("unable to allocate 9 TB"), 1, "out of memory: MemoryError: unable to allocate 9 TB"),
        (SystemExit(0), 1, "code that is not fedlab's ended the program: SystemExit: 0"),
    ],
    ids=repr,
)
def test_a_command_ends_with_a_code_and_one_line(listing, error, code, line):
    said = listing(error)
    assert (said.code, said.out, said.err) == (code, "", f"fedlab: {line}\n")


def test_a_long_line_is_cut_in_its_middle(listing):
    said = listing(UserError(f"link.name = '{'x' * 10**6}': expected the name of a link"))
    assert len(said.err) == 301
    assert said.err.startswith("fedlab: link.name = 'xxx")
    assert said.err.endswith("xxx': expected the name of a link\n")


@pytest.mark.parametrize("body", ["raise SystemExit(0)", "import sys; sys.exit('bye')", "raise KeyboardInterrupt"])
@pytest.mark.parametrize("at", ["import", "call"])
@pytest.mark.parametrize("key", ["link", "availability", "strategy", "client"])
def test_a_users_file_that_ends_the_program_is_one_line(fedlab, tmp_path, monkeypatch, body, at, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{at}.py").write_text(body if at == "import" else f"def make():\n    {body}\n")
    (tmp_path / "e.toml").write_text(f'rounds = 1\n[{key}]\nname = "{at}.py:make"\n')
    said = fedlab("run", "e.toml")
    interrupts = body == "raise KeyboardInterrupt"
    assert said.code == (130 if interrupts else 2)
    assert said.err.count("\n") == 1
    assert said.err.startswith("fedlab: interrupted\n" if interrupts else "fedlab: ")
    assert interrupts or "SystemExit" in said.err
    assert not (tmp_path / "runs").exists()


def test_the_version_is_that_of_the_package_and_of_flower(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["fedlab", "--version"])
    main()
    assert capsys.readouterr().out == f"fedlab {metadata.version('fedlab-edge')}, flwr {metadata.version('flwr')}\n"


def commands(command, *words):
    yield words, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, *words, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "fedlab")
def test_the_help_of_a_command_shows_that_of_each_argument_and_option(fedlab, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "1000")  # each help on one line
    shown = " ".join(fedlab(*words, "--help").out.split())
    for each in COMMANDS[words].params:
        assert each.help, each.name
        assert " ".join(each.help.split()) in shown


@pytest.mark.parametrize(
    ("words", "said"), [("re", {"report", "reproduce", "reprice"}), ("list d", {"devices", "datasets"})]
)
def test_a_shell_gets_the_commands_and_names_that_begin_so(fedlab, monkeypatch, words, said):
    monkeypatch.setattr(sys.modules["__main__"], "__package__", "")  # a program of its own, however pytest was started
    monkeypatch.setenv("_FEDLAB_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"fedlab {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    completed = fedlab()
    assert (completed.code, set(completed.out.split()), completed.err) == (0, said, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_completion_is_installed_for_the_shell_that_asks(tmp_path):
    command = Path(sys.executable).with_name("fedlab")
    done = subprocess.run(
        ["bash", "-c", f"'{command}' --install-completion; echo ended $?"],
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("ended 0\n")
    assert done.stderr == ""
    installed = tmp_path / ".bash_completions" / "fedlab.sh"
    assert str(installed) in (tmp_path / ".bashrc").read_text()
    assert "complete -o default -F _fedlab_completion fedlab" in installed.read_text()


def test_a_command_that_does_not_exist_is_named_with_the_nearest_one_once(fedlab):
    done = fedlab("rum")
    assert done.code == 2
    assert done.err.count("Did you mean 'run'?") == 1
