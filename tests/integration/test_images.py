"""A network for images from the command line: with codecs, in fewer rounds and more, and its saved model."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

EXPERIMENT = """
name = "stripes"
rounds = 3
seed = 2

[task]
kind = "image"
data = "stripes.npz"
augment = ["crop", "flip"]
crop_padding = 1
partition = { scheme = "natural", column = "writer" }

[backbone]
name = "lenet"

[client]
name = "full"
options = { learning_rate = 0.05, momentum = 0.5, schedule = "constant", batch_size = 8 }

[strategy]
name = "fedavg"
options = { clients_per_round = 4 }

[codec]
up = "int8"

[fleet]
devices = { snapdragon-888 = 1, snapdragon-750g = 1 }
"""
WEIGHTS = 20 * 25 + 50 * 20 * 25 + 500 * 50 + 2 * 500


@pytest.mark.slow
def test_a_run_on_images_is_the_same_for_any_number_of_actors_and_in_two_parts(fedlab, stripes, same_numbers):
    (fedlab.folder / "stripes.npz").write_bytes(stripes.read_bytes())
    (fedlab.folder / "stripes.toml").write_text(EXPERIMENT)
    whole = fedlab("run", "stripes.toml", "--out", "stripes", *fedlab.on_cluster(2), "--json")
    assert whole.code == 0, whole.out + whole.err
    short = fedlab("run", "stripes.toml", "--out", "short-stripes", "--set", "rounds=2", *fedlab.on_cluster(1))
    assert short.code == 0, short.out + short.err
    longer = fedlab("run", "--resume", short.run, "--set", "rounds=3", *fedlab.on_cluster(1), "--json")
    assert longer.code == 0, longer.out + longer.err
    same_numbers(whole.run, short.run)

    assert whole.summary["accuracy"] > 0.7
    for client in whole.records("clients.jsonl"):
        assert 4 * WEIGHTS < client["bytes_down"] < 4 * WEIGHTS + 3000
        assert WEIGHTS < client["bytes_up"] < WEIGHTS + 3000
        assert client["compute_seconds"] > 0
    assert json.loads((whole.run / "data.json").read_text())["images"]["shape"] == [1, 16, 16]
    final, saved = load_file(whole.run / "final.safetensors"), load_file(whole.run / "model" / "model.safetensors")
    assert all(np.array_equal(final[name], saved[name]) for name in saved)
    assert json.loads((whole.run / "model" / "config.json").read_text())["labels"] == ["0", "1"]
