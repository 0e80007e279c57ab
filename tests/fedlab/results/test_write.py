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


def test_a_run_that_ended_has_its_picture_its_clients_totals_and_its_summary(planned_run, tmp_path):
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
