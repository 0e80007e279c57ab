import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from fedlab.errors import UserError
from fedlab.models.load import encoder_of
from fedlab.models.peft.base import SplitPoint
from fedlab.models.peft.bitfit import Biases
from fedlab.models.peft.lora import Lora
from fedlab.models.split import Network
from fedlab.training.finetune import finetune
from fedlab.training.local import LocalTraining, TrainingExamples, batch_rows
from fedlab.training.sgd_stacked import Trainee, train_together

# Two texts whose frozen states are (3, 4), of label 0, before a head of zeros: the gradient of a step, by hand, is
# (-1/2, 1/2) on the biases and (-1/2, 1/2) x (3, 4) on the weights, and its norm is sqrt(1/2 x (1 + 25)) = sqrt(13).
HEAD_OF_3 = SplitPoint(kind="features", block=3)
STATES = TrainingExamples(
    at=HEAD_OF_3,
    frozen=torch.tensor([[3.0, 4.0], [3.0, 4.0]]),
    lengths=torch.tensor([1, 1]),
    labels=torch.tensor([0, 0]),
)
HEAD = {"head.weight": np.zeros((2, 2), np.float32), "head.bias": np.zeros(2, np.float32)}
GRADIENT = {"head.weight": np.array([[-1.5, -2], [1.5, 2]]), "head.bias": np.array([-0.5, 0.5])}


def draws(seed=0):
    return np.random.default_rng(seed)


def train(network, examples, arrays, settings, generator, **options):
    """Train one client alone."""
    alone = Trainee(examples=examples, generator=generator)
    return train_together(network, [alone], arrays, settings, **options)[0]


def moved(tiny, *, proximal_mu=0.0, **options):
    """Train the head of zeros and return how far each array went."""
    result = train(tiny.network(), STATES, HEAD, LocalTraining(**options), draws(), proximal_mu=proximal_mu)
    return {name: array - HEAD[name] for name, array in result.arrays.items()}


def distance(arrays):
    return math.sqrt(sum(float((array.astype(np.float64) ** 2).sum()) for array in arrays.values()))


# The same as without us


def library_trained(model, ids, lengths, labels, settings, batches):
    """Train with nothing of ours: the adapters library's model, autograd and an optimiser of torch."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    trained = protocol_parameters(model)
    parameters = [parameter.requires_grad_() for parameter in trained.values()]
    optimizer = torch.optim.SGD(parameters, lr=settings.learning_rate, momentum=settings.momentum)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    for rows in batches:
        logits = model(ids[rows], attention_mask=mask[rows]).logits
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, -2), labels[rows].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        optimizer.step()
        schedule.step()
    return {name: parameter.detach().numpy() for name, parameter in trained.items()}


def protocol_parameters(model):
    """Return the trained parameters of a library's model by the names they travel under."""
    found = {}
    for name, parameter in model.named_parameters():
        if match := re.search(r"layer\.(\d+)\..*\.adapter_(down|up)[.0]*\.(weight|bias)$", name):
            found["block.{}.{}.{}".format(*match.groups())] = parameter
        elif match := re.search(r"^heads\..*\.(weight|bias)$", name):
            found[f"head.{match[1]}"] = parameter
    return found


def labels_for(kind, lengths, labels, seed):
    if kind == "classification":
        return torch.from_numpy(draws(seed).integers(0, labels, len(lengths)))
    drawn = torch.from_numpy(draws(seed).integers(0, labels, (len(lengths), int(lengths.max()))))
    return drawn.masked_fill(torch.arange(drawn.shape[1]) >= lengths[:, None], -100)


@given(
    depth=st.integers(0, 3),
    width=st.sampled_from([1, 4, 8]),
    family=st.sampled_from(["bert", "distilbert"]),
    kind=st.sampled_from(["classification", "tagging"]),
    lengths=st.lists(st.integers(1, 9), min_size=5, max_size=8),
    momentum=st.sampled_from([0.0, 0.9]),
    seed=st.integers(0, 99),
)
@settings(derandomize=True, max_examples=30)
def test_training_gives_what_the_library_and_torch_give(
    tiny, library, depth, width, family, kind, lengths, momentum, seed
):
    network, arrays, (ids, lengths) = tiny.network(family, kind), tiny.trained(depth, width, seed), tiny.texts(lengths)
    labels = labels_for(kind, lengths, tiny.labels, seed)
    options = LocalTraining(epochs=2, batch_size=2, momentum=momentum, clip_norm=0.5)
    model = library.library_model(
        tiny.models[family], arrays, arrays.trained, kind=kind, label_names="abcde", pooling="cls"
    )  # in evaluation mode: no dropout

    frozen = tiny.states(network, ids, lengths, arrays.at)
    examples = TrainingExamples(at=arrays.at, frozen=frozen, lengths=lengths, labels=labels)
    ours = train(network, examples, arrays, options, draws(seed))
    batches = batch_rows(len(lengths), options, draws(seed))
    theirs = library_trained(model, ids, lengths, labels, options, batches)

    assert ours.batches == len(batches) >= 6
    assert ours.arrays.keys() == theirs.keys() == arrays.keys()
    for name, array in ours.arrays.items():
        np.testing.assert_allclose(array, theirs[name], atol=1e-5, rtol=0, err_msg=name)
    assert max(np.abs(array - arrays[name]).max() for name, array in ours.arrays.items()) > 1e-3


# A step, by hand


def test_a_step_goes_down_the_gradient(tiny):
    steps = moved(tiny, learning_rate=0.2, clip_norm=None)

    for name, step in steps.items():
        np.testing.assert_allclose(step, -0.2 * GRADIENT[name], rtol=1e-6)


def test_gradients_are_clipped_to_their_norm_over_all_arrays(tiny):
    steps = moved(tiny, learning_rate=0.2, clip_norm=1.0)

    for name, step in steps.items():
        np.testing.assert_allclose(step, -0.2 / math.sqrt(13) * GRADIENT[name], rtol=1e-5)


def test_gradients_within_the_norm_are_left_alone(tiny):
    assert distance(moved(tiny, learning_rate=0.2, clip_norm=4.0)) == pytest.approx(0.2 * math.sqrt(13))


@pytest.mark.parametrize(("schedule", "in_full_steps"), [("linear", 1 + 0.75 + 0.5 + 0.25), ("constant", 4)])
def test_the_learning_rate_falls_linearly_over_the_local_steps(tiny, schedule, in_full_steps):
    # Clipped so hard that the head hardly moves, every step goes the same way, 0.001 long at the full rate.
    steps = moved(tiny, learning_rate=1.0, clip_norm=0.001, schedule=schedule, epochs=4)

    assert distance(steps) == pytest.approx(0.001 * in_full_steps, rel=1e-3)


def test_the_schedule_ends_with_max_batches(tiny):
    steps = moved(tiny, learning_rate=1.0, clip_norm=0.001, epochs=100, max_batches=2)

    assert distance(steps) == pytest.approx(0.001 * (1 + 0.5), rel=1e-3)


def test_weight_decay_pulls_towards_zero(tiny):
    start = {"head.weight": np.full((2, 2), 2, np.float32), "head.bias": np.full(2, 2, np.float32)}
    plain, decayed = (
        train(tiny.network(), STATES, start, LocalTraining(weight_decay=decay, clip_norm=None), draws()).arrays
        for decay in (0.0, 0.5)
    )

    for name, array in plain.items():
        np.testing.assert_allclose(decayed[name] - array, -0.1 * 0.5 * 2, rtol=1e-5)


def test_adamws_first_step_is_the_learning_rate_whatever_the_gradient(tiny):
    steps = moved(tiny, optimizer="adamw", learning_rate=0.01, clip_norm=None)

    for name, step in steps.items():
        np.testing.assert_allclose(step, -0.01 * np.sign(GRADIENT[name]), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "torchs"),
    [
        (
            {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1},
            lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.1),
        ),
        (
            {"optimizer": "adamw", "weight_decay": 0.1},
            lambda parameters: torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.1),
        ),
    ],
)
def test_many_steps_are_those_of_torchs_optimisers(tiny, options, torchs):
    states = torch.from_numpy(draws(1).normal(size=(12, 6)).astype(np.float32))
    lengths, labels = torch.ones(12, dtype=torch.long), torch.arange(12) % 3
    examples = TrainingExamples(at=HEAD_OF_3, frozen=states, lengths=lengths, labels=labels)
    start = {"head.weight": draws(2).normal(size=(3, 6)).astype(np.float32), "head.bias": np.ones(3, np.float32)}
    weight, bias = (torch.tensor(array, requires_grad=True) for array in start.values())
    optimizer = torchs([weight, bias])
    options = LocalTraining(**options, learning_rate=0.05, schedule="constant", clip_norm=None, epochs=3)

    result = train(tiny.network(), examples, start, options, draws())
    for rows in batch_rows(12, options, draws()):
        optimizer.zero_grad()
        F.cross_entropy(F.linear(states[rows], weight, bias), examples.labels[rows]).backward()
        optimizer.step()

    np.testing.assert_allclose(result.arrays["head.weight"], weight.detach(), atol=1e-5, rtol=0)
    np.testing.assert_allclose(result.arrays["head.bias"], bias.detach(), atol=1e-5, rtol=0)


def test_the_loss_is_the_mean_over_the_batches(tiny):
    result = train(
        tiny.network(), STATES, HEAD, LocalTraining(learning_rate=0.1, clip_norm=None, batch_size=1), draws()
    )

    # The first step, at the full rate, lifts the logit of label 0 over the other's by 0.1 x 2 x (1/2 + 25/2) = 2.6.
    assert result.loss == pytest.approx((math.log(2) + math.log(1 + math.exp(-2.6))) / 2)
    assert result.batches == 2


def test_training_leaves_the_arrays_it_was_given_alone(tiny):
    moved(tiny)

    assert not HEAD["head.weight"].any()
    assert not HEAD["head.bias"].any()


def test_the_same_generator_gives_the_same_bits(tiny):
    network, arrays, (ids, lengths) = tiny.network(), tiny.trained(2, 4), tiny.texts([5, 7, 3, 6, 2])
    frozen, labels = tiny.states(network, ids, lengths, arrays.at), torch.tensor([0, 1, 2, 3, 4])
    examples = TrainingExamples(at=arrays.at, frozen=frozen, lengths=lengths, labels=labels)
    first, again, other = (
        train(network, examples, arrays, LocalTraining(batch_size=2), draws(seed)).arrays for seed in (1, 1, 2)
    )

    assert all(np.array_equal(first[name], again[name]) for name in arrays)
    assert not all(np.array_equal(first[name], other[name]) for name in arrays)


def test_arrays_come_back_in_the_dtypes_they_had(tiny):
    sent = HEAD | {"head.weight": HEAD["head.weight"].astype(np.float64)}

    exact, trained = (train(tiny.network(), STATES, each, LocalTraining(), draws()).arrays for each in (HEAD, sent))

    assert {name: array.dtype for name, array in trained.items()} == {
        "head.weight": np.float64,
        "head.bias": np.float32,
    }
    np.testing.assert_array_equal(trained["head.weight"], exact["head.weight"])


def test_arrays_that_are_no_floats_are_refused_by_name(tiny):
    sent = HEAD | {"head.bias": np.zeros(2, np.int8)}

    with pytest.raises(UserError, match=r"array 'head\.bias' has the dtype int8; this client trains floats"):
        train(tiny.network(), STATES, sent, LocalTraining(), draws())


# FedProx


def test_the_proximal_term_adds_mu_times_the_way_gone_to_the_gradient(tiny):
    options = {"learning_rate": 0.1, "clip_norm": None, "schedule": "constant", "epochs": 2}
    gone = moved(tiny, **options | {"epochs": 1})

    plain, pulled = moved(tiny, **options), moved(tiny, **options, proximal_mu=0.5)

    for name, way in gone.items():
        np.testing.assert_allclose(pulled[name] - plain[name], -0.1 * 0.5 * way, atol=1e-6)


def test_the_harder_the_pull_the_shorter_the_way(tiny):
    options = {"learning_rate": 0.1, "clip_norm": None, "epochs": 20}

    ways = [distance(moved(tiny, **options, proximal_mu=mu)) for mu in (0.0, 0.1, 1.0, 5.0)]

    assert ways == sorted(ways, reverse=True)
    assert ways[-1] < ways[0] / 2


# Several clients together


@given(
    depth=st.integers(0, 3),
    kind=st.sampled_from(["classification", "tagging"]),
    counts=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    optimizer=st.sampled_from([("sgd", 0.9), ("adamw", 0.0)]),
    proximal_mu=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 99),
)
@settings(derandomize=True, max_examples=30)
def test_each_of_several_clients_gets_what_it_gets_alone(tiny, depth, kind, counts, optimizer, proximal_mu, seed):
    network, arrays = tiny.network(kind=kind), tiny.trained(depth, 4, seed)
    name, momentum = optimizer
    options = LocalTraining(optimizer=name, momentum=momentum, learning_rate=0.01, batch_size=3, weight_decay=0.1)
    clients = [examples_of(tiny, network, arrays.at, count, seed + place) for place, count in enumerate(counts)]

    together = train_together(
        network,
        [Trainee(examples=client, generator=draws(place)) for place, client in enumerate(clients)],
        arrays,
        options,
        proximal_mu=proximal_mu,
    )

    for place, (client, result) in enumerate(zip(clients, together, strict=True)):
        alone = train(network, client, arrays, options, draws(place), proximal_mu=proximal_mu)
        assert result.batches == alone.batches == math.ceil(counts[place] / 3)
        assert result.loss == pytest.approx(alone.loss, abs=1e-5)
        # AdamW divides by the size of a gradient: where that is next to nothing, rounding decides on the step.
        farthest = np.max if name == "sgd" else np.median
        for key, array in result.arrays.items():
            assert farthest(np.abs(array - alone.arrays[key])) < 1e-5, key


@pytest.fixture(scope="module")
def llama():
    """A decoder of 3 blocks with the tiny encoders' vocabulary, its weights drawn."""
    torch.manual_seed(0)
    sizes = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 40, "num_hidden_layers": 3}
    config = LlamaConfig(vocab_size=50, hidden_size=32, max_position_embeddings=24, **sizes, attention_bias=True)
    model = LlamaForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            parameter.copy_(float("norm" in name) + 0.2 * torch.randn(parameter.shape))
    return encoder_of(model)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("kind", ["classification", "tagging"])
@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize(
    "trained",
    [
        Lora(depth=1, rank=3, targets="q,v"),
        Lora(depth=3, rank=2, targets="q,k,v,o,up,down"),
        Biases(depth=1),
        Biases(depth=3),
    ],
    ids=lambda trained: "-".join(map(str, trained.configuration.values())),
)
def test_clients_with_pairs_or_biases_get_what_they_get_alone(tiny, llama, trained, family, kind, optimizer):
    encoder = llama if family == "llama" else tiny.network(family).encoder
    network, at = Network(encoder=encoder, kind=kind, pooling="cls"), trained.split_point(3)
    shapes = trained.shapes(network.sizes(tiny.labels))
    arrays = {name: draws(4).normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    # AdamW divides by the size of a gradient: where that is next to nothing, rounding decides on the step, and on all
    # that follow. So it takes a single step, and is compared where a gradient is more than rounding.
    steps, least = (None, 0.0) if optimizer == "sgd" else (1, 1e-4)
    options = LocalTraining(optimizer=optimizer, learning_rate=0.01, batch_size=3, weight_decay=0.1, max_batches=steps)
    downhill = LocalTraining(learning_rate=1.0, batch_size=3, max_batches=1, clip_norm=None)
    clients = [examples_of(tiny, network, at, count, place) for place, count in enumerate((7, 3, 5))]

    together = train_together(
        network, [Trainee(examples=each, generator=draws(place)) for place, each in enumerate(clients)], arrays, options
    )

    for place, (client, result) in enumerate(zip(clients, together, strict=True)):
        slopes = train(network, client, arrays, downhill, draws(place)).arrays
        for other in (train, finetune):
            alone = other(network, client, arrays, options, draws(place))
            assert result.loss == pytest.approx(alone.loss, abs=1e-5)
            for key, array in result.arrays.items():
                compared = np.abs(slopes[key] - arrays[key]) >= least
                assert np.abs(array - alone.arrays[key])[compared].max(initial=0) < 1e-5, key
                assert np.abs(array - arrays[key]).max() > 1e-6, key


def examples_of(tiny, network, at, count, seed):
    """Return the examples of a client whose longest text has 3 to 8 tokens, padded to 9."""
    longest = 3 + seed % 6
    ids, lengths = tiny.texts([longest, *draws(seed).integers(1, longest + 1, count - 1).tolist()], seed)
    ids = F.pad(ids, (0, 9 - longest))
    labels = labels_for(network.kind, lengths, tiny.labels, seed)
    if labels.dim() == 2:
        labels = F.pad(labels, (0, 9 - longest), value=-100)
    frozen = tiny.states(network, ids, lengths, at)
    return TrainingExamples(at=at, frozen=frozen, lengths=lengths, labels=labels)


def test_clients_trained_together_do_not_share_their_arrays(tiny):
    first, second = train_together(
        tiny.network(), [Trainee(examples=STATES, generator=draws()) for _ in range(2)], HEAD, LocalTraining()
    )
    assert np.array_equal(first.arrays["head.bias"], second.arrays["head.bias"])

    first.arrays["head.bias"][:] = 9

    assert not (second.arrays["head.bias"] == 9).any()
