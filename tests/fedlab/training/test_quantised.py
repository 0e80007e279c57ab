"""Training above quantised blocks: clients learn, one among others as one alone, and states are the same everywhere."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from fedlab.models.base import TokenIds
from fedlab.models.load import encoder_from_tensors, encoder_of, encoder_sizes, encoder_tensors
from fedlab.models.peft.bitfit import Biases
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.head import HeadOnly
from fedlab.models.peft.lora import Lora
from fedlab.models.precision import widened
from fedlab.models.quantised.base import QuantisedMatrix
from fedlab.models.split import Network
from fedlab.training.activation_store import ActivationStore
from fedlab.training.local import LocalTraining, TrainingExamples
from fedlab.training.sgd_stacked import Trainee, train_together

BLOCKS, LABELS = 3, 3
PRECISIONS = pytest.mark.parametrize("precision", ["int8", "int4"])
FAMILIES = pytest.mark.parametrize("family", ["bert", "llama"])
SETS = pytest.mark.parametrize(
    "trained",
    [
        Bottleneck(depth=2, width=4),
        Bottleneck(depth=1, width=4),  # above it only a text's row is read
        Lora(depth=2, rank=3, targets="q,v"),
        Lora(depth=1, rank=2, targets="k,o,up,down"),
        Biases(depth=2),
        HeadOnly(),
    ],
    ids=lambda trained: "-".join(map(str, trained.configuration.values())),
)


def draws(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def model_of(tiny):
    torch.manual_seed(0)
    sizes = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 41, "num_hidden_layers": BLOCKS}
    config = LlamaConfig(vocab_size=50, hidden_size=32, max_position_embeddings=24, **sizes, attention_bias=True)
    llama = LlamaForCausalLM(config).eval()
    for name, parameter in llama.named_parameters():
        with torch.no_grad():
            parameter.copy_(float("norm" in name) + 0.1 * torch.randn(parameter.shape))
    return {**tiny.models, "llama": llama}


@pytest.fixture(scope="module")
def network_of(model_of):
    made = {}

    def network(family, precision, kind="classification"):
        if (family, precision) not in made:
            made[family, precision] = encoder_of(model_of[family], precision)
        return Network(encoder=made[family, precision], kind=kind, pooling="cls")

    return network


def texts_of(tiny, count, seed):
    longest = 3 + seed % 6
    ids, lengths = tiny.texts([longest, *draws(seed).integers(1, longest + 1, count - 1).tolist()], seed)
    return TokenIds(ids=F.pad(ids, (0, 9 - longest)), lengths=lengths)


def examples_of(tiny, network, at, count, seed):
    texts = texts_of(tiny, count, seed)
    labels = torch.from_numpy(draws(seed).integers(0, LABELS, count))
    frozen = network.frozen(texts, [at])[at].clone()
    return TrainingExamples(at=at, frozen=frozen, lengths=texts.lengths, labels=labels)


def arrays_of(network, trained):
    shapes = trained.shapes(network.sizes(LABELS))
    return {name: draws(4).normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}


@PRECISIONS
@FAMILIES
@SETS
def test_a_client_learns_above_quantised_blocks_as_above_float32(tiny, network_of, family, precision, trained):
    at = trained.split_point(BLOCKS)
    settings = LocalTraining(optimizer="adamw", learning_rate=0.02, batch_size=8, epochs=20, schedule="constant")

    def train(precision):
        network = network_of(family, precision)
        client, arrays = examples_of(tiny, network, at, 8, 5), arrays_of(network, trained)
        parameters = {name: torch.from_numpy(array) for name, array in arrays.items()}
        before = network.loss(client.frozen, client.lengths, client.labels, parameters, at, 1)
        after = train_together(network, [Trainee(examples=client, generator=draws())], arrays, settings)[0]
        return float(before), after, arrays

    (before, after, arrays), (_, exact, _) = train(precision), train("fp32")

    assert after.loss < before - 0.03  # the mean of all steps
    assert after.loss == pytest.approx(exact.loss, abs=0.15)
    assert all(array.dtype == np.float32 for array in after.arrays.values())
    assert all(np.abs(array - arrays[name]).max() > 1e-6 for name, array in after.arrays.items())


@PRECISIONS
@FAMILIES
@SETS
def test_a_client_gets_beside_others_what_it_gets_alone(tiny, network_of, family, precision, trained):
    network, at = network_of(family, precision), trained.split_point(BLOCKS)
    clients = [examples_of(tiny, network, at, count, place) for place, count in enumerate((7, 3, 5))]
    arrays, settings = arrays_of(network, trained), LocalTraining(learning_rate=0.01, batch_size=3)

    def results(of):
        return train_together(
            network, [Trainee(examples=clients[it], generator=draws(it)) for it in of], arrays, settings
        )

    for place, result in enumerate(results([0, 1, 2])):
        (alone,) = results([place])
        assert result.batches == alone.batches
        # A difference in the last digit of a state can move a number to the next whole one.
        near = 2e-3 if precision == "int8" else 2e-2 if network.encoder.computes_in == torch.bfloat16 else 1e-5
        assert result.loss == pytest.approx(alone.loss, abs=near)
        for name, array in result.arrays.items():
            assert np.abs(array - alone.arrays[name]).max() < near, name


@PRECISIONS
@FAMILIES
def test_states_and_gradients_are_those_of_the_dequantised_matrices(tiny, network_of, family, precision):
    """But for bits of the last digit in int4; in int8 the inputs of each product are rounded, too."""
    trained = Lora(depth=2, rank=3, targets="q,v,down")
    at, rough = trained.split_point(BLOCKS), network_of(family, precision)
    kept = rough.encoder.tensors()
    floats = {name: it.dequantised() if isinstance(it, QuantisedMatrix) else it.float() for name, it in kept.items()}
    for name, matrix in kept.items():
        if isinstance(matrix, QuantisedMatrix):
            floats[name] = floats[name][:, : 41 if name.endswith("down_weight") and family == "llama" else None]
    wide = Network(
        encoder=type(rough.encoder).from_tensors(floats, rough.encoder.facts()), kind=rough.kind, pooling="cls"
    )
    if precision == "int4":  # as where the processor is no faster at bfloat16
        plain = encoder_tensors(rough.encoder)
        encoder = encoder_from_tensors({**plain, **widened(plain)}, encoder_sizes(rough.encoder))
        rough = Network(encoder=encoder, kind=rough.kind, pooling="cls")
    near_state, near_gradient = {"int8": (0.05, 0.15), "int4": (1e-5, 1e-4)}[precision]

    def found(network):
        client = examples_of(tiny, network, at, 8, 5)
        arrays = arrays_of(network, trained)
        parameters = {name: torch.from_numpy(array).requires_grad_() for name, array in arrays.items()}
        loss = network.loss(client.frozen, client.lengths, client.labels, parameters, at, 1).sum()
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        return client.frozen, torch.cat([each.flatten() for each in gradients])

    (state, gradient), (exact_state, exact_gradient) = found(rough), found(wide)

    assert (state - exact_state).norm() / exact_state.norm() < near_state
    assert (gradient - exact_gradient).norm() / exact_gradient.norm() < near_gradient
    assert exact_gradient.norm() > 0.1


@PRECISIONS
@FAMILIES
def test_stored_states_are_the_same_bits_in_one_process_and_in_two(tmp_path, tiny, network_of, family, precision):
    network, texts = network_of(family, precision), texts_of(tiny, 40, 5)
    tokens = SimpleNamespace(input_ids=texts.ids.numpy(), lengths=texts.lengths.numpy())
    clients = np.array_split(draws(1).permutation(40), 4)
    points = [Bottleneck(depth=1, width=2).split_point(BLOCKS), Lora(depth=2, rank=1).split_point(BLOCKS)]

    def states(stores, at):
        of = [stores[place % len(stores)] for place in range(len(clients))]
        return [
            store.states(network, tokens, rows, split="train", at=at) for store, rows in zip(of, clients, strict=True)
        ]

    def stores(*names):
        for name in names:
            (tmp_path / name).mkdir()
        return [ActivationStore(folder=tmp_path / name, budget_bytes=2**24) for name in names]

    alone, shared = stores("alone"), stores("first", "second")
    for at in points:
        assert all(torch.equal(one, two) for one, two in zip(states(alone, at), states(shared, at), strict=True))
