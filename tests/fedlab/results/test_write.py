"""What is written of a run that has ended."""

import json

import numpy as np

from fedlab.config.file import experiment_from
from fedlab.results.digests import digest_arrays, digest_records
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
    assert "fedlab run there/experiment.toml --out there-again" in folder.report.read_text()


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
