import os
import signal
import sys
import threading

import pytest

from fedlab.sweep.processes import CellProcesses, reason_of

SAYS = "import sys; print('round 1/2  0.1 s'); print('round 2/2'); print('around 9'); sys.exit(int(sys.argv[1]))"
# That it heeds Ctrl-C is said: what a script starts in the background ignores it otherwise.
SLEEPS = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print('round 1', flush=True)  # from here on it may be asked to end
    time.sleep(60)
except KeyboardInterrupt:
    print('fedlab: x')
"""
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('round 1', flush=True)\ntime.sleep(60)"
)


def python(program):
    return CellProcesses([sys.executable, "-c", program])


def test_rounds_are_told_as_they_are_said_and_the_exit_code_in_the_end():
    rounds = []

    code, said = python(SAYS).run(["3"], rounds.append)

    assert (code, rounds) == (3, [1, 2])
    assert said == ["round 1/2  0.1 s", "round 2/2", "around 9"]


def test_it_is_the_command_line_that_is_run():
    code, said = CellProcesses().run(["run"], lambda number: None)

    assert code == 2
    assert reason_of(said, code) == "give either an experiment file or --resume RUN"


def test_what_is_in_the_current_folder_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "fedlab").mkdir()
    (tmp_path / "fedlab" / "__init__.py").write_text("raise RuntimeError('the wrong one')\n")
    monkeypatch.chdir(tmp_path)

    assert CellProcesses().run(["run"], lambda number: None)[0] == 2


@pytest.mark.parametrize(("program", "grace_seconds"), [(SLEEPS, 20.0), (STUBBORN, 0.2)], ids=["willing", "stubborn"])
def test_all_that_run_are_ended_when_asked(program, grace_seconds, monkeypatch):
    monkeypatch.setattr("fedlab.sweep.processes._GRACE_SECONDS", grace_seconds)
    processes, begun, ended = python(program), threading.Event(), []
    thread = threading.Thread(target=lambda: ended.append(processes.run([], lambda number: begun.set())))
    thread.start()
    assert begun.wait(60)

    processes.stop()

    thread.join(60)
    assert not thread.is_alive()
    assert ended[0][0] == (0 if program is SLEEPS else -signal.SIGKILL)
    assert processes.stopped


def test_none_is_started_once_all_were_ended():
    processes = python("raise SystemExit(7)")
    processes.stop()

    assert processes.run([], lambda number: None) == (1, ["fedlab: interrupted"])


def test_a_cell_does_not_get_the_terminals_ctrl_c():
    _, said = python("import os; print(os.getsid(0))").run([], lambda number: None)

    assert int(said[0]) != os.getsid(0)


def test_the_reason_is_the_last_word_or_the_exit_code():
    assert reason_of(["fedlab: a", "fedlab: b", "c"], 1) == "b"
    assert reason_of(["Killed"], -9) == "ended with exit code -9"
