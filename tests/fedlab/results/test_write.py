"""What is written of a run that has ended."""

import io
import json

import numpy as np
from rich.console import Console

from fedlab.config.file import experiment_from
from fedlab.results.digests import digest_arrays, digest_records
from fedlab.results.report import render_summary
from fedlab.results.write import write_results

EXPERIMENT = {
    "name": "mine",
    "seed": 4,
    "rounds": 2,
    "task": {"max_length": 16, "partition": {"clients": 8}},
    "backbone": {"name": "bert-tiny"},
    "strategy": {"name": "fedavg", "options": {"clients_per_round": 4}},
}


def test_a_run_that_ended_has_its_picture_its_clients_totals_its_summary_and_its_report(
    planned_run, tmp_path, monkeypatch
):
    monkeypatch.setattr("fedlab.results.html.render.chart_libraries", lambda: "")
    experiment = experiment_from(EXPERIMENT, "test")
    folder = planned_run(experiment, tmp_path / "run", finished=False)
    digest = digest_arrays({"x": np.zeros(2, np.float32)})

    said = write_results(folder, experiment, status="finished", arrays_digest=digest, more={"run_dir": "there"})

    assert json.loads(folder.summary_file.read_text()) == said
    assert (said["name"], said["seed"], said["status"], said["run_dir"]) == ("mine", 4, "finished", "there")
    assert (said["arrays_digest"], said["records_digest"]) == (digest, digest_records(folder))
    asked = {record.partition_id for record in folder.clients()}
    assert len(folder.client_totals.read_text().splitlines()) == 1 + len(asked)
    assert folder.plot.exists()
    assert not folder.shifts_plot.exists()
    assert "shifts" not in said
    assert "fedlab run there/experiment.toml --out there-again" in folder.report.read_text()


def test_where_clients_recorded_their_shifts_there_is_a_picture_of_them_and_the_share_of_skipped_passes(
    planned_run, tmp_path
):
    experiment = experiment_from(EXPERIMENT, "test")
    folder = planned_run(experiment, tmp_path / "run", finished=False)
    shifts = {"server_round": 1, "partition_id": 0, "tensor": "0.error", "found": 2, "reused": 6, "saturated": 5}
    lines = [shifts | {"changes": [[0, 7], [1, 8]]}, shifts | {"tensor": "0.activation", "changes": [[0, 7]]}]
    (folder.path / "shifts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    said = write_results(folder, experiment, status="finished", arrays_digest=None, more={})

    assert said["shifts"] == {"passes": 16, "skipped_share": 0.75, "changes": 1, "saturated": 10}
    assert folder.shifts_plot.exists()
    assert "75.0% of 16 passes over sums skipped, 1 changes" in shown(said, folder.path)


def shown(summary, path):
    console = Console(width=120, color_system=None, file=io.StringIO())
    console.print(render_summary(summary, path))
    return console.file.getvalue()


def test_a_report_that_cannot_be_written_is_told_in_one_line_and_the_run_has_ended(planned_run, tmp_path, monkeypatch):
    def refuse():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedlab.results.html.render.chart_libraries", refuse)
    experiment, told = experiment_from(EXPERIMENT, "test"), []
    folder = planned_run(experiment, tmp_path / "run", finished=False)

    write_results(folder, experiment, status="finished", arrays_digest="x", more={}, tell=told.append)
    write_results(folder, experiment, status="finished", arrays_digest="x", more={})

    (line,) = told
    assert line.startswith("report.html was not written (OSError: [Errno 28] No space left on device)")
    assert folder.log.read_text() == f"{line}\n"
    assert folder.summary()["status"] == "finished"


def test_a_run_that_was_hardly_measured_ends_with_a_line_that_says_why(planned_run, tmp_path):
    table = EXPERIMENT | {"rounds": 12, "evaluation": {"validation_every": 12}}
    experiment, told = experiment_from(table, "test"), []
    folder = planned_run(experiment, tmp_path / "run", finished=False)

    write_results(folder, experiment, status="finished", arrays_digest=None, more={}, tell=told.append)

    assert told == ["accuracy was measured after 1 of 12 rounds: lower evaluation.validation_every for more"]
