"""What `fedlab run` refuses before anything is started."""

import os
from contextlib import closing

import pytest

from fedlab.config.file import experiment_from
from fedlab.errors import RunFailedError
from fedlab.results.folder import create
from fedlab.results.recorder import Recorder


def begun(path, **keys):
    folder = create(path)
    folder.write_experiment(experiment_from({"rounds": 2} | keys, "test"))
    return folder


def test_a_run_that_another_process_writes_is_not_resumed(fedlab, tmp_path):
    run = begun(tmp_path / "run")
    with closing(Recorder(run)):
        code, out, err = fedlab("run", "--resume", run.path)
    assert (code, out) == (2, "")
    assert err == f"fedlab: {run.path}: process {os.getpid()} is writing this run; wait until it has ended, or end it\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "seed=3"], "--set seed=3: --resume goes on with the same experiment; accepted: rounds, simulated_"),
        (["--set", "rounds=1"], "has done 2 rounds, more than rounds = 1"),
        (["--set", "rounds=x"], "rounds = 'x': "),
        (["--seed", "3"], "--resume continues a run in its own folder: --seed and --out are not accepted"),
    ],
)
def test_a_resumed_run_keeps_its_experiment_but_for_its_end(fedlab, recorded, words, said):
    run = recorded("run", [(1.0, 0.1), (2.0, 0.2)])
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    code, _, err = fedlab("run", "--resume", run, *words)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


def test_a_finished_run_that_is_to_end_where_it_did_is_shown(fedlab, recorded):
    run = recorded("run", [(1.0, 0.1), (2.0, 0.2), (3.0, 0.3)])
    code, out, _ = fedlab("run", "--resume", run, "--set", "rounds=3", "--json")
    assert code == 0
    assert '"rounds": 3' in out


def test_a_run_on_real_machines_is_not_resumed_as_a_simulated_one(fedlab, recorded):
    run = recorded("run", [(1.0, 0.1)])
    (run / "environment.json").write_text('{"deployed": true}')
    code, _, err = fedlab("run", "--resume", run, "--set", "rounds=5")
    assert code == 2
    assert "a run on real machines; resume it there: `flwr run` with run='run'" in err
    assert fedlab("run", "--resume", run)[0] == 0  # it has ended: its results are shown


def test_a_repriced_run_is_not_resumed(fedlab, recorded):
    run = recorded("run", [(1.0, 0.1)])
    summary = run / "summary.json"
    summary.write_text(summary.read_text().replace('"status"', '"repriced_from": "runs/mine", "status"', 1))
    code, _, err = fedlab("run", "--resume", run, "--set", "rounds=5")
    assert code == 2
    assert "was repriced from runs/mine, without training; resume that run" in err


def test_a_run_that_was_begun_on_a_ray_that_has_ended_is_resumed_on_its_own(fedlab, tmp_path, monkeypatch):
    import fedlab.simulation.simulate as simulation  # noqa: PLC0415  (imports Ray, which takes seconds)

    run, taken = begun(tmp_path / "run", engine={"ray_address": "127.0.0.1:1"}), []

    def simulate(experiment, **_):
        taken.append(experiment)
        raise RunFailedError("far enough")

    monkeypatch.setattr(simulation, "simulate", simulate)
    for words in ([], ["--ray-address", "local"]):
        assert fedlab("run", "--resume", run.path, *words)[2].endswith("far enough\n")
    assert [each.engine.cluster_address for each in taken] == ["127.0.0.1:1", None]
