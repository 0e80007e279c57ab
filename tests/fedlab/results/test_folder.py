import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from fedlab.config.schema import Experiment
from fedlab.errors import DamagedError, UserError
from fedlab.results.folder import RunFolder, create, open_run
from fedlab.results.records import CandidateRecord, ClientRecord, GroupRecord, RoundRecord, TrialRecord


def adapters(depth=2, width=8):
    return {"set": "bottleneck", "depth": depth, "width": width}


GROUP = GroupRecord(
    group="deep", configuration=adapters(2, 8), clients=5, failures=1, seconds=1 / 3, joules=4.0, bytes_down=10,
    bytes_up=20, train_loss=None,
)  # fmt: skip
ROUND = RoundRecord(
    server_round=1, trial=1, simulated_seconds=0.1 + 0.2, configuration=adapters(0, 8), groups=[GROUP],
    validation_accuracy=0.5, test_accuracy=None, wall_seconds=2.0,
)  # fmt: skip
CANDIDATE = CandidateRecord(
    group="deep", configuration=adapters(2, 8), rounds=3, seconds=60.0, joules=5.0, bytes_down=1, bytes_up=2,
    validation_accuracy=0.5,
)  # fmt: skip
TRIAL = TrialRecord(
    trial=1, server_round=3, started_seconds=0.0, ended_seconds=60.0, budget_seconds=60.0, candidates=[CANDIDATE],
    winner="deep", configuration=adapters(2, 8),
)  # fmt: skip
CLIENT = ClientRecord(
    server_round=1, group="deep", partition_id=7, device="jetson-tx2", configuration=adapters(2, 8), num_examples=40,
    batches=10, train_loss=1.25, compute_seconds=3.0, download_seconds=0.5, upload_seconds=0.25, joules=9.0,
    bytes_down=10, bytes_up=20, peak_memory_bytes=1000, error=None,
)  # fmt: skip


def line(record):
    return json.dumps(asdict(record)) + "\n"


def test_records_come_back_as_they_were_written(tmp_path):
    folder = create(tmp_path / "run")
    folder.rounds_file.write_text(line(ROUND) * 2)
    folder.trials_file.write_text(line(TRIAL))
    folder.clients_file.write_text(line(CLIENT))

    assert folder.rounds() == [ROUND, ROUND]
    assert folder.trials() == [TRIAL]
    assert folder.clients() == [CLIENT]


def test_records_of_the_first_version_can_be_read(tmp_path):
    (tmp_path / "clients.jsonl").write_text(
        '{"server_round": 1, "group": "deep", "partition_id": 7, "device": "jetson-tx2", "depth": 2, "width": 8, '
        '"num_examples": 40, "batches": 10, "train_loss": 1.25, "compute_seconds": 3.0, "download_seconds": 0.5, '
        '"upload_seconds": 0.25, "joules": 9.0, "bytes_down": 10, "bytes_up": 20, "peak_memory_bytes": 1000, '
        '"error": null}\n'
    )
    (tmp_path / "rounds.jsonl").write_text(
        '{"server_round": 1, "trial": 1, "simulated_seconds": 3.75, "depth": 0, "width": 8, "groups": '
        '[{"group": "deep", "depth": 2, "width": 8, "clients": 5, "failures": 1, "seconds": 3.75, "joules": 9.0, '
        '"bytes_down": 10, "bytes_up": 20, "train_loss": null}], "validation_accuracy": 0.5, '
        '"test_accuracy": null, "wall_seconds": 2.0, "budget_seconds": null}\n'
    )

    folder = RunFolder(tmp_path)

    assert folder.clients() == [CLIENT]
    (record,) = folder.rounds()
    assert (record.notes, record.groups[0].failed) == ([], False)


def test_records_not_written_yet_are_none_at_all(tmp_path):
    folder = create(tmp_path / "run")

    assert (folder.rounds(), folder.trials(), folder.clients(), folder.summary()) == ([], [], [], None)


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_last_line_cut_short_is_ignored(tmp_path, kept):
    folder = create(tmp_path / "run")
    folder.rounds_file.write_text(line(ROUND) + line(ROUND)[:kept])

    assert folder.rounds() == [ROUND]


def test_a_file_of_only_a_line_cut_short_has_no_records(tmp_path):
    folder = create(tmp_path / "run")
    folder.rounds_file.write_text(line(ROUND)[:30])

    assert folder.rounds() == []


@pytest.mark.parametrize("broken", ["{", "", "[]", "7", "{}", '{"groups": [1]}', '{"server_round": 1, "groups": []}'])
def test_a_broken_line_is_named_with_its_file_and_number(tmp_path, broken):
    folder = create(tmp_path / "run")
    folder.rounds_file.write_text(line(ROUND) + broken + "\n" + line(ROUND))

    with pytest.raises(UserError, match=r"rounds\.jsonl, line 2: "):
        folder.rounds()


def test_a_new_folder_is_made_with_its_parents(tmp_path):
    folder = create(tmp_path / "a" / "b" / "run")

    assert folder.path.is_dir()
    assert folder.rounds_file.read_bytes() == b""


def test_an_empty_folder_is_taken_over_once(tmp_path):
    (tmp_path / "run").mkdir()

    create(tmp_path / "run")

    with pytest.raises(UserError, match="--resume"):
        create(tmp_path / "run")


def test_a_folder_that_holds_anything_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(UserError, match="choose another --out, or use --resume"):
        create(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")

    with pytest.raises(UserError, match="file: not a new or empty folder"):
        create(tmp_path / "file")
    with pytest.raises(UserError, match="file: cannot make this folder"):
        create(tmp_path / "file" / "run")


def test_a_folder_that_cannot_be_made_is_a_users_error(tmp_path, monkeypatch):
    def refuse(path, mode=0o777):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "mkdir", refuse)

    with pytest.raises(UserError, match="run: cannot make the run folder: Permission denied"):
        create(tmp_path / "run")


@pytest.mark.parametrize("empty_before", [False, True])
def test_of_processes_that_race_for_a_folder_one_wins(tmp_path, empty_before):
    path = tmp_path / "run"
    if empty_before:
        path.mkdir()
    code = (
        "import sys, pathlib\nfrom fedlab.results.folder import create\nfrom fedlab.errors import UserError\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "try:\n    create(pathlib.Path(sys.argv[1]))\nexcept UserError:\n    print('lost')\nelse:\n    print('won')"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()

    outcomes = [racer.communicate()[0].strip() for racer in racers]

    assert sorted(outcomes) == ["lost", "lost", "lost", "won"]


def test_a_claim_made_between_the_look_and_ours_is_respected(tmp_path, monkeypatch):
    path = tmp_path / "run"
    really_mkdir = os.mkdir

    def mkdir_then_be_overtaken(target, mode=0o777):
        really_mkdir(target, mode)
        (path / "rounds.jsonl").touch()

    monkeypatch.setattr(os, "mkdir", mkdir_then_be_overtaken)

    with pytest.raises(UserError, match="choose another --out"):
        create(path)


def test_only_a_run_folder_can_be_opened(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()

    with pytest.raises(UserError, match="no such run folder"):
        open_run(tmp_path / "missing")
    with pytest.raises(UserError, match="a file; expected a run folder"):
        open_run(tmp_path / "file")
    with pytest.raises(UserError, match=r"not a run folder \(no experiment\.toml\)"):
        open_run(tmp_path / "other")


def test_a_folder_that_cannot_be_read_is_a_users_error(tmp_path, monkeypatch):
    create(tmp_path / "run").write_experiment(Experiment(rounds=1))
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may read anything

    with pytest.raises(UserError, match="permission denied"):
        open_run(tmp_path / "run")


def test_an_experiment_comes_back_equal(tmp_path):
    experiment = Experiment.model_validate(
        {"name": 'a "name"', "rounds": 3, "task": {"options": {"x": [1, 2.5, "é"]}, "labels": ["a", "b"]}}
    )
    create(tmp_path / "run").write_experiment(experiment)

    table = open_run(tmp_path / "run").experiment_table()

    assert Experiment.model_validate(table) == experiment
    assert "simulated_hours" not in table


def test_an_experiment_file_that_is_not_toml_is_named(tmp_path):
    folder = create(tmp_path / "run")
    folder.experiment.write_text("rounds = ")

    with pytest.raises(UserError, match=r"experiment\.toml: not valid TOML"):
        folder.experiment_table()


def test_a_summary_comes_back_equal(tmp_path):
    folder = create(tmp_path / "run")
    folder.write_summary({"accuracy": 1 / 3, "configuration": {"depth": 2, "width": 8}})

    assert folder.summary() == {"accuracy": 1 / 3, "configuration": {"depth": 2, "width": 8}}
    assert not list(folder.path.glob("*.partial"))


def test_the_measures_of_the_first_model_come_back_equal(tmp_path):
    folder = create(tmp_path / "run")
    assert folder.start() is None
    folder.write_start({"test": {"accuracy": 1 / 3}})

    assert folder.start() == {"test": {"accuracy": 1 / 3}}


@pytest.mark.parametrize("text", ["{", "[1]", '{"test": {"accuracy": "high"}}', '{"test": 1}'])
def test_measures_of_the_first_model_that_cannot_be_read_are_named(tmp_path, text):
    folder = create(tmp_path / "run")
    folder.start_file.write_text(text)

    with pytest.raises(DamagedError, match=r"start\.json"):
        folder.start()


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_summary_that_is_not_an_object_is_named(tmp_path, text):
    folder = create(tmp_path / "run")
    folder.summary_file.write_text(text)

    with pytest.raises(UserError, match=r"summary\.json"):
        folder.summary()


def test_the_environment_is_written_as_json(tmp_path):
    folder = create(tmp_path / "run")
    folder.write_environment({"python": "3.11.1"})

    assert json.loads(folder.environment.read_text()) == {"python": "3.11.1"}


def test_the_layout_is_the_documented_one(tmp_path):
    folder = RunFolder(tmp_path)
    names = [
        path.relative_to(tmp_path).name
        for path in (folder.experiment, folder.environment, folder.rounds_file, folder.clients_file,
                     folder.trials_file, folder.checkpoint, folder.adapter, folder.final, folder.plot,
                     folder.report, folder.summary_file, folder.log)
    ]  # fmt: skip

    assert names == [
        "experiment.toml", "environment.json", "rounds.jsonl", "clients.jsonl", "trials.jsonl", "checkpoint",
        "adapter", "final.safetensors", "accuracy.png", "report.html", "summary.json", "run.log",
    ]  # fmt: skip
