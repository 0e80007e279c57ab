"""One run from the command line, and everything it leaves behind."""

import json
import tomllib

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from fedlab.results.folder import RunFolder

KEYS = {
    "accuracy", "rounds", "simulated_seconds", "wall_seconds", "bytes_down", "bytes_up", "joules", "configuration",
    "trials", "run_dir",
}  # fmt: skip


def test_the_last_line_is_the_summary_as_one_json_object(base):
    assert base.summary.keys() >= KEYS
    assert base.summary == json.loads((base.run / "summary.json").read_text())
    assert base.summary["configuration"].keys() == {"set", "depth", "width"}
    assert base.summary["rounds"] == 7
    assert base.summary["run_dir"] == "base"


def test_nothing_is_said_on_stderr(base):
    assert base.err == ""


def test_on_a_pipe_there_is_a_plain_line_for_each_round_and_each_trial(base):
    assert "\x1b" not in base.out
    assert [line.split()[1] for line in base.out.splitlines() if line.startswith("round ")] == [
        f"{number}/7" for number in range(1, 8)
    ]
    trials = [line for line in base.out.splitlines() if line.startswith("trial ") and "wins" in line]
    assert len(trials) == base.summary["trials"] >= 2


def test_the_run_folder_is_complete(base):
    assert {path.name for path in base.run.iterdir()} >= {
        "experiment.toml", "environment.json", "rounds.jsonl", "clients.jsonl", "trials.jsonl",
        "checkpoint", "adapter", "final.safetensors", "accuracy.png", "report.html", "summary.json",
        "run.log",         "data.json", "data.png",
    }  # fmt: skip


def test_what_was_read_of_the_data_is_said_in_the_first_two_lines_and_in_the_log(base):
    said = [line for line in base.out.splitlines() if line.startswith("data: ")]
    assert said == base.out.splitlines()[:2]
    report = json.loads((base.run / "data.json").read_text())
    assert said[0].startswith(f"data: {report['splits']['train']['examples']} train, ")
    assert all(line in (base.run / "run.log").read_text() for line in said)


def test_the_records_are_read_by_pandas_in_one_line(base):
    rounds = pd.read_json(base.run / "rounds.jsonl", lines=True)
    assert rounds["server_round"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert rounds["simulated_seconds"].is_monotonic_increasing
    trials = pd.read_json(base.run / "trials.jsonl", lines=True)
    assert set(trials["winner"]) <= {"shallow", "deep", "wide"}
    clients = pd.json_normalize(pd.read_json(base.run / "clients.jsonl", lines=True).to_dict("records"))
    assert clients["partition_id"].between(0, 8).all()
    assert clients["configuration.depth"].between(1, 2).all()


def test_the_totals_are_the_sums_of_the_records(base):
    clients = pd.read_json(base.run / "clients.jsonl", lines=True)
    rounds, trials = base.records("rounds.jsonl"), base.records("trials.jsonl")
    assert base.summary["bytes_down"] == clients["bytes_down"].sum()
    assert base.summary["bytes_up"] == clients["bytes_up"].sum()
    assert base.summary["joules"] == pytest.approx(clients["joules"].sum())
    assert base.summary["simulated_seconds"] == rounds[-1]["simulated_seconds"] == trials[-1]["ended_seconds"]
    assert base.summary["trials"] == len(trials)
    assert base.summary["configuration"] == rounds[-1]["configuration"]
    by_group = sum(part["bytes_down"] for record in rounds for part in record["groups"])
    by_candidate = sum(each["bytes_down"] for trial in trials for each in trial["candidates"])
    assert by_group == by_candidate == base.summary["bytes_down"]


def test_bytes_are_at_least_those_of_the_parameters_that_travelled(base):
    # An adapter of width w in an encoder 128 wide has 2 x 128 w + w + 128 parameters, the head of 2 labels 258.
    for client in base.records("clients.jsonl"):
        width = client["configuration"]["width"]
        adapter = 2 * 128 * width + width + 128
        parameters = client["configuration"]["depth"] * adapter + 258
        for moved in (client["bytes_down"], client["bytes_up"]):
            assert 4 * parameters < moved < 4 * parameters + 3000


def test_every_group_of_a_trial_is_in_its_rounds(base):
    first = base.records("rounds.jsonl")[0]
    assert {part["group"]: (part["configuration"], part["clients"]) for part in first["groups"]} == {
        "deep": ({"set": "bottleneck", "depth": 2, "width": 8}, 2),
        "shallow": ({"set": "bottleneck", "depth": 1, "width": 8}, 2),
        "wide": ({"set": "bottleneck", "depth": 1, "width": 16}, 2),
    }


def test_the_fleet_has_the_boards_asked_for(base):
    boards = {record["partition_id"]: record["device"] for record in base.records("clients.jsonl")}
    assert set(boards.values()) == {"jetson-tx2", "rpi-4b"}
    assert sum(board == "rpi-4b" for board in boards.values()) <= 3  # of nine


def test_the_environment_and_the_resolved_experiment_are_written_down(base):
    environment = json.loads((base.run / "environment.json").read_text())
    assert {"flwr", "ray", "torch", "transformers"} <= environment["packages"].keys()
    experiment = tomllib.loads((base.run / "experiment.toml").read_text())
    assert experiment["seed"] == 5
    assert experiment["client"]["width"] == 8  # a default, filled in
    assert experiment["strategy"]["options"] == {"clients_per_round": 6, "base_seconds": 0.025}


def test_the_plot_is_a_png(base):
    assert (base.run / "accuracy.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_adapter_opens_with_its_own_library_and_is_as_accurate_as_reported(base, fedlab, monkeypatch, tmp_path):
    import adapters  # noqa: PLC0415
    import torch  # noqa: PLC0415

    from fedlab.config.file import load_experiment  # noqa: PLC0415
    from fedlab.models.base import TokenIds  # noqa: PLC0415
    from fedlab.training.bundle import (  # noqa: PLC0415
        PreparedBundle,
        bundle_for,
        pretrained_of,
    )

    monkeypatch.setenv("FEDLAB_CACHE", fedlab.environment["FEDLAB_CACHE"])
    experiment = load_experiment(base.run / "experiment.toml")
    pretrained = pretrained_of(experiment).model
    model = adapters.BertAdapterModel(pretrained.config)
    model.base_model.load_state_dict(pretrained.state_dict(), strict=False)
    name = model.load_adapter(str(base.run / "adapter"))
    model.set_active_adapters(name)
    model.eval()

    bundle = bundle_for(experiment, tmp_path)
    workbench = PreparedBundle(folder=bundle, activations=tmp_path / "activations", room_bytes=0).open()
    tokens = workbench.tokens("test")
    ids, lengths = (torch.tensor(np.array(each)).long() for each in (tokens.input_ids, tokens.lengths))
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask).logits
    assert float(np.mean(logits.argmax(-1).numpy() == np.asarray(tokens.labels))) == base.summary["accuracy"]

    arrays = {key: torch.from_numpy(array) for key, array in load_file(base.run / "final.safetensors").items()}
    from fedlab.models.peft.base import from_configuration  # noqa: PLC0415

    at = from_configuration(base.summary["configuration"]).split_point(workbench.network.encoder.shape.blocks)
    frozen = workbench.network.frozen(TokenIds(ids=ids, lengths=lengths), [at])[at]
    ours = workbench.network.logits(frozen, lengths, arrays, at).numpy()
    np.testing.assert_allclose(logits.numpy(), ours, atol=1e-4)


def test_show_prints_the_same_tables_again(base, fedlab):
    shown = fedlab("show", "base", "--json")
    assert (shown.code, shown.err) == (0, "")
    assert shown.summary == base.summary
    tables = [line.rstrip() for line in base.out.splitlines() if not line.startswith(("round ", "data: "))]
    tables = [line for line in tables if not (line.startswith("trial ") and "wins" in line)]
    assert [line.rstrip() for line in shown.out.splitlines()] == tables


def test_resuming_a_run_that_has_ended_just_shows_it(base, fedlab):
    before = {path: path.stat().st_mtime_ns for path in base.run.rglob("*") if path.is_file()}
    shown = fedlab("run", "--resume", "base", "--json")
    assert (shown.code, shown.summary) == (0, base.summary)
    assert "round 1/7" not in shown.out
    assert {path: path.stat().st_mtime_ns for path in base.run.rglob("*") if path.is_file()} == before


def test_a_second_run_into_the_folder_is_refused_and_leaves_it_alone(base, fedlab):
    before = {path: path.stat().st_mtime_ns for path in base.run.rglob("*") if path.is_file()}
    refused = fedlab("run", "small.toml", "--out", "base")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "choose another --out, or use --resume" in refused.err
    assert {path: path.stat().st_mtime_ns for path in base.run.rglob("*") if path.is_file()} == before


def test_verify_finds_the_run_as_it_was_written_and_a_changed_byte_in_it(base, fedlab, tmp_path):
    import shutil  # noqa: PLC0415

    whole = fedlab("verify", "base")
    assert (whole.code, whole.out.strip()) == (0, "the run matches its summary")

    shutil.copytree(base.run, tmp_path / "changed")
    final = RunFolder(tmp_path / "changed").final
    data = bytearray(final.read_bytes())
    data[-1] ^= 1
    final.write_bytes(data)
    changed = fedlab("verify", tmp_path / "changed")
    assert changed.code == 1
    assert changed.err.count("\n") == 1
    assert "final.safetensors are not what the run wrote" in changed.err


@pytest.mark.slow
def test_states_that_have_no_room_are_computed_anew_and_it_is_said(fedlab):
    ended = fedlab.run("no-room", "--set", "rounds=1", "--set", "engine.cache_bytes=0")

    assert ended.code == 0, ended.err
    assert "the room for them is 0.0 GB (engine.cache_bytes): they are computed again" in ended.out + ended.err


@pytest.mark.slow
def test_states_kept_by_a_run_on_a_cluster_are_there_for_the_next(fedlab):
    words = ("--set", "engine.activations=kept", *fedlab.on_cluster(), "--quiet")

    ended = [fedlab("run", "small.toml", "--out", out, *words) for out in ("keeps", "finds")]

    assert [each.code for each in ended] == [0, 0], [each.err for each in ended]
    spent = [json.loads((fedlab.folder / out / "engine.json").read_text()) for out in ("keeps", "finds")]
    assert ["cache" in each["actor_seconds"] for each in spent] == [True, False]
