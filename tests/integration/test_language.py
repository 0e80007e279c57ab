"""A run of a decoder on plain text from the command line: the ready experiment, made short."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = ROOT.parent / "shared" / "models" / "stories260k"
SHORT = ("rounds=2", "task.limit=60", "task.partition.clients=4", "task.partition.min_examples=1", "task.max_length=48",
         "strategy.options.clients_per_round=2", "client.options.max_batches=4", "client.depth=2")  # fmt: skip


@pytest.mark.skipif(not MODEL.is_dir(), reason=f"needs {MODEL}")
def test_stories_are_told_on_as_docstrings(fedlab):
    settings = [word for setting in SHORT for word in ("--set", setting)]
    path = ROOT / "experiments" / "stories-lora.toml"
    ended = fedlab("run", path, "--out", "stories", *fedlab.on_cluster(), *settings, "--json",
                   "--set", "evaluation.validation_every=1")  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    perplexities = [each["measures"]["validation"]["perplexity"] for each in ended.records("rounds.jsonl")]
    assert perplexities[1] < perplexities[0]
    assert ended.summary["scored_by"] == "token-accuracy"
    assert ended.summary["measures"]["test"]["perplexity"] > 1
    assert ended.summary["start"]["validation"]["perplexity"] > perplexities[0]
    texts = json.loads((ended.run / "generations.json").read_text())["texts"]
    assert all(each.keys() == {"prompt", "response", "before", "after"} for each in texts)
    assert any(each["before"] != each["after"] for each in texts)
    assert (ended.run / "adapter" / "adapter_config.json").exists()
    assert "(perplexity " in ended.out
    shown = fedlab("show", ended.run)
    assert (shown.code, "before" in shown.out, "test measures" in shown.out) == (0, True, True)
