"""Malformed inputs of every family end with one line and an exit code: no traceback, no hang, nothing left behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlab.cli.main import main

LIMIT_SECONDS = 60


class HangError(BaseException):
    """A command took longer than it may."""


@pytest.fixture
def outcome(tmp_path, monkeypatch, capfd):
    """Return a function that runs a case in this process: its exit code, its lines on stderr, and what it left."""
    import fedlab.simulation.simulate as simulation  # noqa: PLC0415
    from fedlab.server.assemble import assemble  # noqa: PLC0415

    def assembled(experiment, **_):
        """Assemble a run's experiment, as a run does first, and go no further."""
        assemble(experiment)
        raise SystemExit(0)

    def hang(*_):
        raise HangError

    monkeypatch.setattr(simulation, "simulate", assembled)
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    signal.signal(signal.SIGALRM, hang)

    def run(case, number):
        folder = tmp_path / str(number)
        folder.mkdir()
        case.prepare(folder)
        before = set(folder.rglob("*"))
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["fedlab", *case.words])
        capfd.readouterr()
        signal.alarm(LIMIT_SECONDS)
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            signal.alarm(0)
        lines = capfd.readouterr().err
        for name in [name for name in sys.modules if name.startswith("fedlab_user_")]:
            del sys.modules[name]
        return code, lines, sorted(str(path.relative_to(folder)) for path in set(folder.rglob("*")) - before)

    return run


def faults(case, code, err, left):
    """Return what is wrong with an outcome."""
    found = []
    if "Traceback" in err or "internal error" in err:
        found.append(f"traceback: {err[-600:]}")
    if case.wrong and code == 0:
        found.append("accepted")
    if code and "Traceback" not in err:
        if err.count("\n") != 1 or not err.startswith("fedlab: "):
            found.append(f"not one line: {err[:300]!r}")
        if len(err) > 301:
            found.append(f"{len(err)} characters: {err[:100]!r}")
        if case.names and not any(name in err for name in case.names):
            found.append(f"names none of {case.names}: {err!r}")
        if code not in (1, 2):
            found.append(f"exit code {code}")
        if left:
            found.append(f"left {left[:5]}")
    return found


def check(outcome, cases):
    found = []
    for number, case in enumerate(cases):
        try:
            wrong = faults(case, *outcome(case, number))
        except HangError:
            wrong = ["hangs"]
        found += [f"{number} {case}: {each}" for each in wrong]
    assert not found, f"{len(found)} faults\n" + "\n".join(found)


def test_200_malformed_inputs_end_with_one_line_each(outcome, malformed_inputs):
    check(outcome, malformed_inputs.cases(seed=0, count=200))


@pytest.mark.slow
def test_2000_malformed_inputs_end_with_one_line_each(outcome, malformed_inputs):
    check(outcome, malformed_inputs.cases(seed=1, count=2000))


def test_the_same_seed_makes_the_same_cases(malformed_inputs):
    first, second = (malformed_inputs.cases(seed=3, count=50) for _ in range(2))
    assert [(case.words, case.files) for case in first] == [(case.words, case.files) for case in second]
    assert len({case.family for case in first}) >= 7


@pytest.mark.parametrize(
    "family",
    ["files", "command lines", *(pytest.param(each, marks=pytest.mark.slow) for each in ("traces", "plugins"))],
)
def test_a_real_process_ends_so_too(tmp_path, malformed_inputs, family):
    case = next(each for each in malformed_inputs.cases(seed=11, count=23) if each.wrong and each.family == family)
    case.prepare(tmp_path)
    command = [str(Path(sys.executable).with_name("fedlab")), *case.words]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    assert not faults(case, ended.returncode, ended.stderr, [])


def test_ctrl_c_ends_a_real_process_with_130_and_one_line(tmp_path):
    (tmp_path / "slow.py").write_text("import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(60)\n")
    (tmp_path / "e.toml").write_text('rounds = 1\n[strategy]\nname = "slow.py:Mine"\n')
    command = [str(Path(sys.executable).with_name("fedlab")), "run", "e.toml"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, said) == (130, "fedlab: interrupted\n")
    assert not (tmp_path / "runs").exists()
