"""Training on a GPU gives the results of training on the cores, up to the rounding of float32 sums."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from fedlab.training.evaluate import predict_frozen
from fedlab.training.finetune import finetune
from fedlab.training.local import LocalTraining, TrainingExamples
from fedlab.training.sgd_stacked import Trainee, train_together

DEVICE = "cuda"
SETTINGS = LocalTraining(optimizer="adamw", learning_rate=1e-3)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")


def on_gpu(network):
    """Return a network with its weights on the GPU."""

    def moved(thing):
        held = {field.name: getattr(thing, field.name) for field in fields(thing)}
        return replace(thing, **{name: it.to(DEVICE) for name, it in held.items() if isinstance(it, torch.Tensor)})

    encoder = replace(moved(network.encoder), blocks=tuple(moved(block) for block in network.encoder.blocks))
    return replace(network, encoder=encoder)


def examples(tiny, network, arrays, seed=0):
    ids, lengths = tiny.texts([12, 3, 7, 12, 5, 9, 4, 8, 2], seed)
    frozen = tiny.states(network, ids, lengths, arrays.at)
    return TrainingExamples(at=arrays.at, frozen=frozen, lengths=lengths, labels=torch.arange(9) % tiny.labels)


def assert_alike(ours, theirs):
    for name, array in ours.items():
        np.testing.assert_allclose(array, theirs[name], atol=1e-4, err_msg=name)


@needs_gpu
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_adapters_trained_on_a_gpu_are_those_trained_on_the_cores(tiny, depth):
    network, arrays = tiny.network(), tiny.trained(depth, 4)
    ours, theirs = (
        train_together(
            each,
            [
                Trainee(examples=examples(tiny, network, arrays, seed), generator=np.random.default_rng(seed))
                for seed in (0, 1)
            ],
            arrays,
            SETTINGS,
        )
        for each in (network, on_gpu(network))
    )
    for one, other in zip(ours, theirs, strict=True):
        assert_alike(one.arrays, other.arrays)


@needs_gpu
@pytest.mark.parametrize("depth", [1, 3])
def test_whole_blocks_trained_on_a_gpu_are_those_trained_on_the_cores(tiny, depth):
    network = tiny.network()
    arrays = tiny.whole(network, depth)
    ours, theirs = (
        finetune(each, examples(tiny, network, arrays), arrays, SETTINGS, np.random.default_rng(0))
        for each in (network, on_gpu(network))
    )
    assert_alike(ours.arrays, theirs.arrays)


@needs_gpu
def test_predictions_of_a_gpu_are_those_of_the_cores(tiny):
    network, arrays = tiny.network(), tiny.trained(2, 4)
    texts = examples(tiny, network, arrays)
    parameters = {name: torch.from_numpy(array) for name, array in arrays.items()}
    ours, theirs = (
        predict_frozen(each, texts.frozen, texts.lengths, parameters, texts.at) for each in (network, on_gpu(network))
    )
    np.testing.assert_array_equal(ours, theirs)
