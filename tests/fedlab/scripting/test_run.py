"""A run from Python is that of the command line, and its tables are what it has written."""

import json

import pandas as pd
import pytest

from fedlab.api import Experiment, Run
from fedlab.errors import UserError
from fedlab.results.folder import create
from fedlab.results.recorder import Recorder
from fedlab.results.records import CandidateRecord, ClientRecord, RoundRecord, TrialRecord, group_records
from fedlab.scripting import run as module
from fedlab.scripting.run import run

FILE = """
rounds = 2
[task]
data = "docstrings"
[client]
depth = 1
[strategy]
name = "fedavg"
"""


def client(server_round, partition_id, joules=2.0):
    return ClientRecord(
        server_round=server_round, group="all", partition_id=partition_id, device="rpi-4b",
        configuration={"set": "bottleneck", "depth": 1, "width": 8}, num_examples=4, batches=1, train_loss=0.5,
        compute_seconds=1.0, download_seconds=0.5, upload_seconds=0.25, joules=joules, bytes_down=100, bytes_up=10,
        peak_memory_bytes=1000,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a run of two rounds, with a trial, that has not ended."""
    made = create(tmp_path / "run")
    made.write_experiment(Experiment.model_validate({"name": "x", "rounds": 2}))
    configuration = {"set": "bottleneck", "depth": 1, "width": 8}
    recorder = Recorder(made)
    for server_round in (1, 2):
        clients = [client(server_round, partition_id) for partition_id in range(3)]
        recorder.on_clients(clients)
        record = RoundRecord(
            server_round=server_round, trial=1, simulated_seconds=2.0 * server_round, configuration=configuration,
            groups=group_records(clients), validation_accuracy=0.25 * server_round, test_accuracy=None,
            wall_seconds=1.0, measures={"validation": {"macro-f1": 0.125}},
        )  # fmt: skip
        recorder.on_round(record)
    candidate = CandidateRecord(
        group="all", configuration=configuration, rounds=2, seconds=4.0, joules=12.0, bytes_down=600, bytes_up=60,
        validation_accuracy=0.5,
    )  # fmt: skip
    trial = TrialRecord(
        trial=1, server_round=2, started_seconds=0.0, ended_seconds=4.0, budget_seconds=4.0, candidates=[candidate],
        winner="all", configuration=configuration,
    )  # fmt: skip
    recorder.on_trial(trial)
    recorder.close()
    return made.path


def test_rounds_are_a_table_with_costs_summed_up_and_tables_as_columns(folder):
    rounds = Run.open(folder).rounds
    assert isinstance(rounds, pd.DataFrame)
    assert rounds.index.tolist() == [1, 2]
    assert rounds["joules"].tolist() == [6.0, 6.0]
    assert rounds["clients"].tolist() == [3, 3]
    assert rounds["configuration.depth"].tolist() == [1, 1]
    assert rounds["measures.validation.macro-f1"].tolist() == [0.125, 0.125]
    assert rounds["validation_accuracy"].tolist() == [0.25, 0.5]


def test_clients_and_candidates_of_trials_are_rows(folder):
    found = Run.open(str(folder))
    assert found.clients.groupby("partition_id")["joules"].sum().tolist() == [4.0, 4.0, 4.0]
    assert found.trials[["trial", "winner", "group", "configuration.width"]].to_numpy().tolist() == [
        [1, "all", "all", 8]
    ]


def test_a_run_that_has_not_ended_has_a_summary_so_far(folder):
    found = Run.open(folder)
    assert (found.summary["status"], found.summary["rounds"], found.accuracy) == ("unfinished", 2, None)
    assert found.experiment.rounds == 2


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such run folder"):
        Run.open(tmp_path / "absent")


def test_an_experiment_is_changed_by_dotted_keys_and_the_first_stays_as_it_is(tmp_path):
    (tmp_path / "x.toml").write_text(FILE)
    first = Experiment.load(tmp_path / "x.toml")

    changed = first.with_({"client.depth": 2, "strategy.options.clients_per_round": 3}, rounds=5)

    assert (changed.client.depth, changed.strategy.options, changed.rounds) == (2, {"clients_per_round": 3}, 5)
    assert (first.client.depth, first.strategy.options, first.rounds) == (1, {}, 2)
    assert changed.base_folder == str(tmp_path)


def test_the_measure_can_be_changed_again():
    first = Experiment.model_validate({"name": "x", "rounds": 1}).with_({"evaluation.measure": "macro-f1"})
    assert first.with_({"evaluation.measure": "balanced-accuracy"}).task.scored_by == "balanced-accuracy"
    assert first.with_(evaluation={}).task.scored_by == "accuracy"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"client.dept": 1}, "client.dept"), ({"rounds": 0}, "rounds"), ({"rounds.more": 1}, "'rounds' is a value")],
)
def test_a_wrong_change_is_one_clear_line(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        Experiment.model_validate({"name": "x", "rounds": 1}).with_(changes)
    assert "\n" not in str(caught.value)


def test_a_run_takes_a_file_and_observers_and_returns_its_folder(tmp_path, monkeypatch):
    (tmp_path / "x.toml").write_text(FILE)
    seen = []

    def simulate(experiment, *, claim, observers, **_):
        folder = claim()
        seen.extend(observers)
        folder.write_summary({"name": experiment.name})
        return {"run_dir": str(folder.path)}

    monkeypatch.setattr("fedlab.simulation.simulate.simulate", simulate)
    observer = object()

    found = run(tmp_path / "x.toml", out=tmp_path / "out", quiet=True, observers=[observer])

    assert found == Run(tmp_path / "out")
    assert json.loads((found.folder / "summary.json").read_text()) == {"name": "x"}
    assert seen[1:] == [observer]
    with pytest.raises(UserError, match="not a new or empty folder"):
        run(tmp_path / "x.toml", out=tmp_path / "out", quiet=True)


def test_a_wrong_experiment_leaves_no_folder(tmp_path, monkeypatch):
    def simulate(experiment, *, claim, **_):
        claim()
        raise UserError("wrong")

    monkeypatch.setattr("fedlab.simulation.simulate.simulate", simulate)
    with pytest.raises(UserError, match="wrong"):
        module.run(Experiment.model_validate({"name": "x", "rounds": 1}), out=tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()
