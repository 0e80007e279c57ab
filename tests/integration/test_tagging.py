"""Sequence tagging, on real text."""

from pathlib import Path

import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "wnut17"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"W-NUT 2017 is not at {DATA}")

EXPERIMENT = f"""
rounds = 2

[task]
data = "{DATA}"
kind = "tagging"
text = "tokens"
label = "tags"
max_length = 32
limit = 120
partition = {{ clients = 4 }}

[backbone]
name = "bert-tiny"

[client]
depth = 1

[strategy]
name = "fedavg"
options = {{ clients_per_round = 4 }}

[evaluation]
test_every = 0
"""


@pytest.mark.slow
@needs_data
def test_entities_of_w_nut_are_learnt_by_the_same_clients_and_judged_by_f1(fedlab):
    (fedlab.folder / "wnut.toml").write_text(EXPERIMENT)
    ended = fedlab("run", "wnut.toml", "--out", "wnut", *fedlab.on_cluster(), "--json")
    assert ended.code == 0, ended.err
    # Most tokens are no entity: guessing so is right for nine in ten of them, and finds nothing.
    assert 0.0 <= ended.summary["accuracy"] < 0.3
    assert [record["validation_accuracy"] is not None for record in ended.records("rounds.jsonl")] == [True, True]
    losses = [record["groups"][0]["train_loss"] for record in ended.records("rounds.jsonl")]
    assert losses[1] < losses[0]
    assert (ended.run / "adapter" / "head_config.json").exists()
