"""Full fine-tuning and layer freezing from the command line: true bytes, a resumed run, a model that opens."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

FEDAVG = ["--set", "rounds=2", "--set", "strategy={name = 'fedavg', options = {clients_per_round = 4}}"]
BLOCK = (
    198_272  # parameters of a block of BERT-tiny, which is 128 wide and 512 inside: 4 x 128^2 + 2 x 128 x 512 + 1408
)
HEAD = 2 * 128 + 2


def settings(**client):
    return [*FEDAVG, *(word for key, value in client.items() for word in ("--set", f"client.{key}={value}"))]


@pytest.fixture(scope="module")
def full_run(fedlab):
    ended = fedlab.run("full", *settings(name="full"))
    assert ended.code == 0, ended.err
    return ended


@pytest.mark.slow
def test_full_fine_tuning_sends_every_parameter_there_and_back(full_run):
    embeddings = (30_522 + 512 + 1) * 128 + 2 * 128
    parameters = embeddings + 2 * BLOCK + HEAD
    for client in full_run.records("clients.jsonl"):
        assert client["passes"][1]["trained"] == {"kind": "whole"}
        assert (client["configuration"], client["cached_batches"]) == ({"set": "everything"}, 0)
        for moved in (client["bytes_down"], client["bytes_up"]):
            assert 4 * parameters < moved < 4 * parameters + 300 * 31  # headers of 31 arrays
    assert full_run.summary["configuration"] == {"set": "everything"}


@pytest.mark.slow
def test_the_model_opens_with_transformers_and_is_as_accurate_as_reported(full_run, fedlab, monkeypatch, tmp_path):
    import torch  # noqa: PLC0415
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415

    from fedlab.config.file import load_experiment  # noqa: PLC0415
    from fedlab.training.bundle import PreparedBundle, bundle_for  # noqa: PLC0415

    monkeypatch.setenv("FEDLAB_CACHE", fedlab.environment["FEDLAB_CACHE"])
    bundle = bundle_for(load_experiment(full_run.run / "experiment.toml"), tmp_path)
    place = PreparedBundle(folder=bundle, activations=tmp_path / "activations", room_bytes=0)
    tokens = place.open().tokens("test")
    ids, lengths = (torch.tensor(np.array(each)).long() for each in (tokens.input_ids, tokens.lengths))

    model = AutoModelForSequenceClassification.from_pretrained(full_run.run / "model").eval()
    with torch.inference_mode():
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        predicted = model(input_ids=ids, attention_mask=mask).logits.argmax(-1).numpy()

    assert float(np.mean(predicted == np.asarray(tokens.labels))) == full_run.summary["accuracy"]
    assert set(model.config.id2label.values()) == {"day", "night"}
    assert AutoTokenizer.from_pretrained(full_run.run / "model")("sun").input_ids[0] == ids[0, 0]
    assert not (full_run.run / "adapter").exists()


@pytest.mark.slow
def test_layer_freezing_sends_its_blocks_and_leaves_the_others_as_they_are(fedlab):
    ended = fedlab.run("freeze", *settings(name="freeze", depth=1))
    assert ended.code == 0, ended.err
    for client in ended.records("clients.jsonl"):
        assert (client["passes"][1]["trained"], client["passes"][1]["blocks"]) == ({"kind": "whole"}, [1, 2])
        assert client["configuration"] == {"set": "blocks", "depth": 1}
        assert 4 * (BLOCK + HEAD) < client["bytes_up"] < 4 * (BLOCK + HEAD) + 300 * 14
    assert set(load_file(ended.run / "final.safetensors")) == {
        *(f"block.1.{part}.{which}" for part in PARTS for which in ("weight", "bias")), "head.weight", "head.bias",
    }  # fmt: skip


PARTS = ("attention.in", "attention.out", "attention.norm", "feed_forward.in", "feed_forward.out", "norm")


@pytest.mark.slow
def test_the_number_of_actors_changes_no_bit(full_run, fedlab, same_numbers):
    other = fedlab.run("full-alone", *settings(name="full"), workers=1)
    assert other.code == 0, other.err
    same_numbers(full_run.run, other.run)


@pytest.mark.slow
def test_a_killed_run_of_a_users_client_that_trains_all_ends_as_one_left_alone(fedlab, full_run, same_numbers):
    run = fedlab.kill_in_round(2, "full-killed", *settings(trains="everything", **{"options.kind": "full"}))
    resumed = fedlab("run", "--resume", run, *fedlab.on_cluster(), "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads((run / "summary.json").read_text())["arrays_digest"] == full_run.summary["arrays_digest"]
    same_numbers(full_run.run, run)
