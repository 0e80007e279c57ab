import errno
import json
import shutil
from pathlib import Path

OLD_RUN = Path(__file__).parents[1] / "results" / "old_runs" / "adafl"


def test_a_run_in_a_read_only_folder_is_shown(fedlab, tmp_path, monkeypatch):
    run = shutil.copytree(OLD_RUN, tmp_path / "run")

    def refuse(rounds, trials, path):
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
