"""Probes of several clients, measured side by side, are derivatives of the loss each client has."""

from functools import partial

import numpy as np
import pytest
import torch

from fedlab.gradients.directions import direction
from fedlab.gradients.estimators import Differences
from fedlab.gradients.vectors import flat, layout_of
from fedlab.models.base import weights_of
from fedlab.models.load import encoder_of
from fedlab.models.peft.bitfit import Biases
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.lora import Lora
from fedlab.models.peft.whole_blocks import Everything, TopBlocks
from fedlab.models.split import Network
from fedlab.training.local import TrainingExamples
from fedlab.training.probes import Batches, Probe, Probing

SETS = {
    "head": HeadOnly(),
    "adapters": Bottleneck(depth=2, width=4),
    "lora": Lora(depth=2, rank=2, alpha=4, targets="q,v,up"),
    "biases": Biases(depth=2),
    "blocks": TopBlocks(depth=1),
    "everything": Everything(),
}
LENGTHS = ((5, 9, 3), (7, 2, 8))  # of the texts of two clients


class World:
    """A model of which a set is trained, two clients with a batch each, and how they are probed."""

    def __init__(self, tiny, trained, kind="classification", family="bert"):
        self.network, self.at = tiny.network(family, kind), trained.split_point(tiny.blocks)
        weights = partial(weights_of, self.network.encoder)
        arrays = trained.initial(self.network.sizes(tiny.labels), np.random.default_rng(0), weights)
        draws = np.random.default_rng(1)
        self.layout = layout_of(arrays)
        self.centre = flat(arrays) + draws.normal(0, 0.05, flat(arrays).shape).astype(np.float32)
        self.examples = [self._examples(tiny, lengths, kind, seed) for seed, lengths in enumerate(LENGTHS)]
        rows = [np.arange(len(lengths)) for lengths in LENGTHS]
        self.batches = Batches.of(self.network, self.examples, rows)

    def _examples(self, tiny, lengths, kind, seed):
        ids, sizes = tiny.texts(lengths, seed)
        width = max(map(max, LENGTHS))
        ids = torch.nn.functional.pad(ids, (0, width - ids.shape[1]))
        labels = torch.from_numpy(np.random.default_rng(seed).integers(0, tiny.labels, ids.shape))
        if kind == "classification":
            labels = labels[:, 0]
        else:
            labels[torch.arange(width) >= sizes[:, None]] = -100
        frozen = ids if self.at.kind == "inputs" else tiny.states(self.network, ids, sizes, self.at)
        return TrainingExamples(at=self.at, frozen=frozen, lengths=sizes, labels=labels)

    def probing(self, distribution="gaussian", **differences):
        return Probing(
            network=self.network, at=self.at, layout=self.layout,
            differences=Differences(**differences), distribution=distribution,
        )  # fmt: skip

    def derivatives(self, probes, **options):
        return self.probing(**options).derivatives([self.centre] * 2, self.batches, probes)[0]


PROBES = [Probe(client=client, seed=seed) for client in (0, 1) for seed in (11, 12, 13)]


def along(gradients, probes=PROBES):
    """Return what the derivatives are by the gradients of each client."""
    size = gradients.shape[1]
    return np.array([gradients[each.client] @ direction(each.seed, size, "gaussian") for each in probes])


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_the_exact_derivative_is_backpropagations(tiny, name, kind):
    world = World(tiny, SETS[name], kind)
    gradients, _ = world.probing().gradients([world.centre] * 2, world.batches)
    expected = along(gradients)
    found = world.derivatives(PROBES, estimator="exact")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", SETS)
def test_the_two_sided_difference_is_near_it(tiny, name):
    world = World(tiny, SETS[name])
    expected = along(world.probing().gradients([world.centre] * 2, world.batches)[0])
    found = world.derivatives(PROBES, h=1e-2, scale="relative" if name in ("blocks", "everything") else "absolute")
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_the_two_sided_error_falls_with_h_squared_and_the_one_sided_with_h(tiny):
    world = World(tiny, SETS["head"])
    exact = world.derivatives(PROBES, estimator="exact")
    errors = {
        estimator: [np.abs(world.derivatives(PROBES, estimator=estimator, h=h) - exact).mean() for h in (0.04, 0.02)]
        for estimator in ("two-sided", "one-sided")
    }
    assert errors["two-sided"][0] / errors["two-sided"][1] == pytest.approx(4, rel=0.1)
    assert errors["one-sided"][0] / errors["one-sided"][1] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("name", ["head", "adapters", "biases", "lora"])
def test_above_int8_weights_derivatives_are_near_those_above_float32(tiny, name):
    world, rounded = World(tiny, SETS[name]), World(tiny, SETS[name])
    encoder = encoder_of(tiny.models["bert"], "int8")
    rounded.network = Network(encoder=encoder, kind="classification", pooling="cls")
    probes = [Probe(client=client, seed=seed) for client in (0, 1) for seed in range(20)]
    exact = world.derivatives(probes, estimator="exact")
    found = rounded.derivatives(probes, h=0.05)
    assert encoder.precision == "int8"
    assert np.corrcoef(found, exact)[0, 1] > 0.95


def test_copies_of_which_a_row_a_text_is_read_go_in_larger_chunks(tiny):
    of_tokens, of_texts = World(tiny, SETS["adapters"]), World(tiny, Bottleneck(depth=1, width=4))
    assert of_tokens.batches.rows == 3 * 9
    assert of_texts.batches.rows == 3


def test_gradients_are_those_of_the_loss_that_is_reported(tiny):
    world = World(tiny, SETS["adapters"])
    probing = world.probing()
    gradients, losses = probing.gradients([world.centre] * 2, world.batches)
    step = 1e-2 * gradients[0] / np.linalg.norm(gradients[0])
    moved = probing.losses([(0, world.centre + step), (0, world.centre - step), (0, world.centre)], world.batches)
    assert moved[2] == pytest.approx(losses[0], rel=1e-6)
    assert (moved[0] - moved[1]) / 2e-2 == pytest.approx(np.linalg.norm(gradients[0]), rel=1e-3)


@pytest.mark.parametrize("name", ["adapters", "biases", "lora", "blocks"])
def test_a_probe_is_the_same_alone_as_beside_others(tiny, name):
    world = World(tiny, SETS[name])
    together = world.derivatives(PROBES)
    alone = [world.derivatives([probe])[0] for probe in PROBES]
    np.testing.assert_allclose(together, alone, atol=2e-4 * np.abs(together).max())


@pytest.mark.parametrize("estimator", ["two-sided", "exact"])
@pytest.mark.parametrize("name", ["adapters", "everything"])
def test_padding_is_never_attended_to(tiny, name, estimator):
    world = World(tiny, SETS[name])
    found = world.derivatives(PROBES, estimator=estimator)
    frozen = world.batches.frozen
    for client, lengths in enumerate(LENGTHS):
        for text, length in enumerate(lengths):
            frozen[client, text, length:] = 1 if world.at.kind == "inputs" else 1e3
    np.testing.assert_array_equal(world.derivatives(PROBES, estimator=estimator), found)


def test_a_loss_has_no_noise_of_dropout(tiny):
    world = World(tiny, SETS["adapters"])
    points = [(0, world.centre)] * 3
    losses = world.probing().losses(points, world.batches)
    assert len(set(losses.tolist())) == 1


def test_only_the_values_within_the_spans_move(tiny):
    world = World(tiny, SETS["head"])
    size = len(world.centre)
    gradients, _ = world.probing().gradients([world.centre] * 2, world.batches)
    (found,) = world.derivatives([Probe(client=1, seed=5, spans=((0, 5),))], estimator="exact")
    assert found == pytest.approx(gradients[1][:5] @ direction(5, size, "gaussian")[:5], rel=1e-4)


def test_what_the_head_over_the_vocabulary_says_can_be_differentiated_forward(tiny):
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=tiny.vocabulary, max_position_embeddings=24, **sizes)).eval()

    class Decoders:
        blocks, labels, vocabulary = 3, tiny.labels, tiny.vocabulary
        texts, states = staticmethod(tiny.texts), staticmethod(tiny.states)

        @staticmethod
        def network(family, kind):
            return Network(encoder=encoder_of(model), kind=kind, pooling="cls")

    world = World(Decoders, Lora(depth=2, rank=2, alpha=4, targets="q,v"), "next-token")
    expected = along(world.probing().gradients([world.centre] * 2, world.batches)[0])
    exact = world.derivatives(PROBES, estimator="exact")
    np.testing.assert_allclose(exact, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(world.derivatives(PROBES), expected, atol=0.05 * np.abs(expected).max())
