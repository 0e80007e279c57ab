"""What a workbench gives the server of whole blocks: their weights to begin with, and the model they end as."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from fedlab.models.load import encoder_of
from fedlab.models.peft.base import SplitPoint
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import Head
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.models.transformer.named_weights import named_weights, weights_of
from fedlab.training.activation_store import ActivationStore
from fedlab.training.bundle import bundle_for, export, open_bundle, pretrained_arrays, pretrained_of

HEAD = {"head.weight": np.ones((2, 128), np.float32), "head.bias": np.zeros(2, np.float32)}


class SetOfAUser:
    """A set that no other library has a form for."""


@pytest.fixture(scope="module")
def prepare(small_experiment, tmp_path_factory):
    """Return a function that opens a workbench of the small experiment with another backbone table."""

    def make(**backbone):
        table = small_experiment.backbone.model_copy(update=backbone)
        experiment = small_experiment.model_copy(update={"backbone": table})
        folder = tmp_path_factory.mktemp("workbench")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FEDLAB_CACHE", str(folder / "cache"))
            bundle = bundle_for(experiment, folder)
        return experiment, open_bundle(bundle, ActivationStore(folder=folder, budget_bytes=0))

    return make


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_whole_blocks_begin_with_the_weights_as_published_whatever_the_precision(prepare, precision):
    experiment, workbench = prepare(precision=precision)

    names = [*named_weights(workbench.network.encoder), "head.weight"]

    arrays = pretrained_arrays(experiment, workbench, names)

    expected = weights_of(encoder_of(pretrained_of(experiment).model), names)
    assert list(arrays) == list(expected) == names[:-1]
    assert all(np.array_equal(array, expected[name]) for name, array in arrays.items())


def test_the_pooler_is_trained_where_the_head_reads_it(prepare):
    experiment, workbench = prepare(pooling="pooler")
    weights, sizes = partial(pretrained_arrays, experiment, workbench), workbench.network.sizes(2)

    arrays = TopBlocks(depth=0).initial(sizes, np.random.default_rng(0), weights)

    assert list(arrays) == ["pooler.weight", "pooler.bias", "head.weight", "head.bias"]


def test_a_model_is_exported_by_what_was_trained(prepare, tmp_path: Path):
    experiment, workbench = prepare()
    save = partial(export, experiment, workbench)

    blocks, sizes = TopBlocks(depth=1), workbench.network.sizes(2)
    whole = blocks.initial(sizes, np.random.default_rng(0), partial(pretrained_arrays, experiment, workbench))

    save(HEAD, Bottleneck(depth=0, width=8), tmp_path / "adapter")
    save(HEAD, Head(), tmp_path / "head")
    save(whole, blocks, tmp_path / "model")
    save(HEAD, SetOfAUser(), tmp_path / "unknown")

    assert (tmp_path / "adapter" / "adapter_config.json").exists()
    assert (tmp_path / "head" / "adapter_config.json").exists()
    assert not (tmp_path / "unknown").exists()
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert set(model.config.id2label.values()) == {"day", "night"}


@pytest.mark.parametrize(("native", "computes_in"), [(True, torch.bfloat16), (False, torch.float32)])
def test_what_is_kept_in_bfloat16_is_computed_in_what_the_processor_multiplies(
    prepare, monkeypatch, native, computes_in
):
    monkeypatch.setattr("fedlab.training.bundle.bfloat16_is_faster", lambda device: native)
    _, workbench = prepare(precision="bf16")
    network, tokens = workbench.network, workbench.tokens("train")

    states, places = workbench.activations.table(
        network, tokens, np.arange(5), split="train", at=SplitPoint(kind="adapter", block=0)
    )

    assert network.encoder.computes_in == computes_in
    assert (states.dtype, len(places)) == (torch.bfloat16, 5)
