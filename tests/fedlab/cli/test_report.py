import shutil
from pathlib import Path

import pytest

OLD_RUN = Path(__file__).parents[1] / "results" / "old_runs" / "adafl"


@pytest.fixture(autouse=True)
def without_libraries(monkeypatch):
    monkeypatch.setattr("fedlab.results.html.render.chart_libraries", lambda: "")


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(OLD_RUN, tmp_path / "run")


def test_the_report_of_a_run_is_in_its_folder_unless_a_file_is_named(fedlab, run, tmp_path):
    assert fedlab("report", run) == (0, f"written: {run}/report.html\n", "")
    assert fedlab("report", run, "--out", tmp_path / "mine" / "page.html").code == 0

    assert (run / "report.html").read_text() == (tmp_path / "mine" / "page.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{tmp}/none"], "{tmp}/none: no such run folder"),
        (["{tmp}"], "{tmp}: not a run folder (no experiment.toml)"),
        (["{run}", "--out", "{tmp}"], "--out {tmp}: a folder; expected the path of a file, such as {tmp}/report.html"),
        (["{run}", "--out", "{run}/rounds.jsonl"], "rounds.jsonl: exists and is not a report of fedlab, so it is not"),
    ],
    ids=["no such run", "no run", "a folder", "another file"],
)
def test_bad_usage_is_one_line(fedlab, run, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    places = {"tmp": tmp_path / "empty", "run": run}

    got = fedlab("report", *(word.format(**places) for word in words))

    assert got.code == 2
    assert said.format(**places) in got.err
    assert len(got.err.splitlines()) == 1


def test_a_record_that_cannot_be_read_is_named_with_its_line(fedlab, run):
    with (run / "clients.jsonl").open("a") as file:
        file.write("{}\n")

    got = fedlab("report", run)

    assert got.code == 1
    assert f"{run}/clients.jsonl, line " in got.err
    assert not (run / "report.html").exists()
