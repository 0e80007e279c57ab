import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLD_RUN = Path(__file__).parents[1] / "results" / "old_runs" / "adafl"


def test_a_run_in_a_read_only_folder_is_shown(fedlab, tmp_path, monkeypatch):
    run = shutil.copytree(OLD_RUN, tmp_path / "run")

    def refuse(rounds, trials, path, *, score):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("fedlab.results.plots.plot_accuracy", refuse)

    said = fedlab("show", run, "--json")

    assert said.code == 0
    assert said.err == f"{run}/accuracy.png: not redrawn: Read-only file system\n"
    assert json.loads(said.out.splitlines()[-1])["status"] == "finished"


def test_a_run_that_cannot_be_shown_stays_as_it_is(fedlab, tmp_path):
    run = shutil.copytree(OLD_RUN, tmp_path / "run")
    (run / "environment.json").write_text("")
    before = sorted(path.name for path in run.iterdir())

    said = fedlab("show", run)

    assert said.code == 1
    assert said.err.startswith(f"fedlab: {run}/environment.json: not valid JSON: ")
    assert sorted(path.name for path in run.iterdir()) == before


def test_a_home_that_cannot_be_written_to_is_no_trouble(tmp_path):
    run = shutil.copytree(OLD_RUN, tmp_path / "run")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "MPL"))}
    environment |= {"HOME": "/proc/self/no-such-home"}  # not even root can make it

    command = [sys.executable, "-m", "fedlab", "show", str(run)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (said.returncode, said.stderr) == (0, "")
    assert (run / "accuracy.png").exists()
