"""`fedlab reprice` on a run of planned clients."""

import json
from functools import partial

import pytest

from fedlab.config.file import experiment_from
from fedlab.results.folder import RunFolder

EXPERIMENT = {
    "rounds": 2,
    "task": {"max_length": 16, "partition": {"clients": 8}},
    "backbone": {"name": "bert-tiny"},
    "strategy": {"name": "fedavg", "options": {"clients_per_round": 4}},
}


@pytest.fixture
def command(fedlab, monkeypatch, tmp_path, planned_run):
    """Return a function that runs `fedlab reprice` in a folder with a finished run."""
    planned_run(experiment_from(EXPERIMENT, "test"), tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return partial(fedlab, "reprice")


def test_a_run_is_repriced_into_a_new_folder(command, tmp_path):
    code, out, err = command("run", "--set", "link.options.bandwidth=0.1MB/s", "--json")

    summary = json.loads(out.splitlines()[-1])
    assert (code, err) == (0, "")
    assert (summary["run_dir"], summary["repriced_from"]) == ("run-repriced", "run")
    assert RunFolder(tmp_path / "run-repriced").summary() == summary
    assert summary["simulated_seconds"] > RunFolder(tmp_path / "run").rounds()[-1].simulated_seconds


def test_another_one_finds_another_name_and_a_folder_of_ones_choice_is_taken(command, tmp_path):
    for words in ([], [], ["--out", "there/it/is"]):
        assert command("run", "--set", "fleet.devices={rpi-4b = 1}", *words)[0] == 0

    assert {path.name for path in tmp_path.iterdir()} == {"run", "run-repriced", "run-repriced-2", "there"}
    assert RunFolder(tmp_path / "there" / "it" / "is").summary() is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "give --set KEY=VALUE"),
        (["run", "--set", "rounds=9"], "only keys of fleet and link"),
        (["run", "--set", "fleet.devices={jetson-tx3 = 1}"], "unknown device 'jetson-tx3'"),
        (["nowhere", "--set", "link.name=constant"], "no such run folder"),
    ],
)
def test_what_is_wrong_costs_one_line_and_leaves_nothing_behind(command, tmp_path, words, message):
    code, out, err = command(*words)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
