"""Training whole blocks comes to what transformers, autograd and torch's optimisers come to without us."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.models.base import weights_of
from fedlab.models.load import encoder_of
from fedlab.models.peft.whole_blocks import TopBlocks
from fedlab.models.split import Network
from fedlab.training.finetune import finetune
from fedlab.training.local import LocalTraining, TrainingExamples, batch_rows
from fedlab.training.sgd_stacked import Trainee, train_together

READINGS = [
    ("bert", "classification", "cls"),
    ("bert", "classification", "pooler"),
    ("bert", "tagging", "cls"),
    ("distilbert", "classification", "cls"),
    ("distilbert", "tagging", "cls"),
]
LENGTHS = [9, 4, 7, 2, 9, 5]


def draws(seed=0):
    return np.random.default_rng(seed)


def labels_for(kind, lengths, labels, seed):
    if kind == "classification":
        return torch.from_numpy(draws(seed).integers(0, labels, len(lengths)))
    drawn = torch.from_numpy(draws(seed).integers(0, labels, (len(lengths), int(lengths.max()))))
    return drawn.masked_fill(torch.arange(drawn.shape[1]) >= lengths[:, None], -100)


def examples_of(tiny, network, depth, lengths=LENGTHS, seed=0):
    """Return examples of a partition, of which the second half of the table is somebody else's."""
    ids, lengths = tiny.texts(lengths, seed)
    labels = labels_for(network.kind, lengths, tiny.labels, seed)
    at = TopBlocks(depth=depth).split_point(3)
    frozen = tiny.states(network, ids, lengths, at)
    table = torch.cat([frozen.flip(0), frozen.flip(0)])
    places = torch.arange(len(lengths) - 1, -1, -1)
    return TrainingExamples(at=at, frozen=table, lengths=lengths, labels=labels, places=places)


# The same as without us


def library_trained(tiny, family, arrays, depth, reading, texts, options, batches, mu=0.0):
    """Train with nothing of ours: a transformers model and a linear head; return the encoder and the head."""
    kind, pooling = reading
    model, (ids, lengths, labels) = copy.deepcopy(tiny.models[family]), texts
    head = torch.nn.Linear(tiny.hidden, tiny.labels)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(arrays["head.weight"]))
        head.bias.copy_(torch.from_numpy(arrays["head.bias"]))
    trained = [*trained_parts(model, depth, pooling), head]
    model.requires_grad_(False)
    parameters = [parameter.requires_grad_() for part in trained for parameter in part.parameters()]
    starts = [parameter.detach().clone() for parameter in parameters]
    kinds = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
    extra = {"momentum": options.momentum} if options.optimizer == "sgd" else {}
    rate, decay = options.learning_rate, options.weight_decay
    optimizer = kinds[options.optimizer](parameters, lr=rate, weight_decay=decay, **extra)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    for rows in batches:
        states = model(ids[rows], attention_mask=mask[rows])
        first = states.pooler_output if pooling == "pooler" else states.last_hidden_state[:, 0]
        logits = head(first if kind == "classification" else states.last_hidden_state)
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, -2), labels[rows].flatten()).backward()
        for parameter, start in zip(parameters, starts, strict=True):
            if parameter.grad is None:  # the pooler, where nothing reads it
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.add_(parameter.detach() - start, alpha=mu)
        torch.nn.utils.clip_grad_norm_(parameters, options.clip_norm)
        optimizer.step()
        schedule.step()
    return model, head


def trained_parts(model, depth, pooling):
    """Return the modules of a transformers model that training so many top blocks trains."""
    layers = model.encoder.layer if model.config.model_type == "bert" else model.transformer.layer
    parts = list(layers[len(layers) - depth :])
    if depth == len(layers):
        parts.append(model.embeddings)
    return [*parts, model.pooler] if pooling == "pooler" else parts


@given(
    depth=st.integers(0, 3),
    reading=st.sampled_from(READINGS),
    lengths=st.lists(st.integers(1, 9), min_size=4, max_size=6),
    momentum=st.sampled_from([0.0, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    mu=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 99),
)
@settings(derandomize=True, max_examples=30)
def test_training_gives_what_transformers_and_torch_give(
    tiny, depth, reading, lengths, momentum, weight_decay, mu, seed
):
    family, *reading = reading
    network, (ids, lengths) = tiny.network(family, *reading), tiny.texts(lengths, seed)
    arrays, labels = tiny.whole(network, depth, seed), labels_for(reading[0], lengths, tiny.labels, seed)
    options = LocalTraining(
        epochs=2, batch_size=2, momentum=momentum, weight_decay=weight_decay, learning_rate=0.05, clip_norm=0.5
    )
    batches = batch_rows(len(lengths), options, draws(seed))

    frozen = tiny.states(network, ids, lengths, arrays.at)
    examples = TrainingExamples(at=arrays.at, frozen=frozen, lengths=lengths, labels=labels)
    ours = finetune(network, examples, arrays, options, draws(seed), proximal_mu=mu)
    texts = ids, lengths, labels
    model, head = library_trained(tiny, family, arrays, depth, reading, texts, options, batches, mu)

    expected = weights_of(encoder_of(model), list(arrays))
    expected |= {f"head.{name}": parameter.detach().numpy() for name, parameter in head.named_parameters()}
    assert ours.batches == len(batches) >= 4
    assert list(ours.arrays) == list(arrays) == list(expected)
    for name, array in ours.arrays.items():
        np.testing.assert_allclose(array, expected[name], atol=1e-5, rtol=0, err_msg=name)
    assert max(np.abs(array - arrays[name]).max() for name, array in ours.arrays.items()) > 1e-3


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("depth", [1, 3])
def test_adamw_gives_what_torchs_gives(tiny, depth, weight_decay):
    network, (ids, lengths) = tiny.network(), tiny.texts(LENGTHS)
    arrays, labels = tiny.whole(network, depth), labels_for("classification", lengths, tiny.labels, 0)
    options = LocalTraining(optimizer="adamw", learning_rate=1e-3, weight_decay=weight_decay, batch_size=2, epochs=2)
    batches = batch_rows(len(lengths), options, draws())

    frozen = tiny.states(network, ids, lengths, arrays.at)
    examples = TrainingExamples(at=arrays.at, frozen=frozen, lengths=lengths, labels=labels)
    ours = finetune(network, examples, arrays, options, draws())
    texts = ids, lengths, labels
    model, _ = library_trained(tiny, "bert", arrays, depth, ("classification", "cls"), texts, options, batches)

    for name, array in weights_of(encoder_of(model), list(arrays)).items():
        # AdamW divides by the size of a gradient. That of the keys' biases is nothing but rounding.
        compared = np.r_[0:32, 64:96] if name.endswith("attention.in.bias") else slice(None)
        far = np.abs(ours.arrays[name] - array)[compared]
        assert np.median(far) < 1e-6, name
        assert np.quantile(far, 0.99) < 1e-4, name


# Words


def trained_words(tiny, **options):
    """Train all of a model and return its word embeddings before and after, and the ids in the client's texts."""
    network = tiny.network()
    examples, arrays = examples_of(tiny, network, 3, lengths=[5, 3, 4]), tiny.whole(network, 3)
    after = finetune(network, examples, arrays, LocalTraining(batch_size=2, **options), draws()).arrays
    seen = np.unique(np.concatenate([ids[:length] for ids, length in zip(*tiny.texts([5, 3, 4]), strict=True)]))
    return arrays["embedding.words"], after["embedding.words"], seen


def test_words_in_no_batch_stay_as_they_are_to_the_bit(tiny):
    before, after, seen = trained_words(tiny)
    unseen = np.setdiff1d(np.arange(len(before)), seen)

    assert len(unseen) > 30
    np.testing.assert_array_equal(after[unseen], before[unseen])
    assert (np.abs(after[seen] - before[seen]).max(axis=1) > 1e-6).all()


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adamw", 0.0)])
def test_weight_decay_shrinks_words_in_no_batch_all_by_one_factor(tiny, optimizer, momentum):
    before, after, seen = trained_words(
        tiny, optimizer=optimizer, momentum=momentum, weight_decay=0.5, learning_rate=0.1, epochs=2, schedule="constant"
    )
    unseen = np.setdiff1d(np.arange(len(before)), seen)
    # Four steps of w -= 0.1 v, where v is 0.5 w, with momentum 0.9 of the last v more.
    width, velocity = 1.0, 0.0
    for _ in range(4):
        velocity = momentum * velocity + 0.5 * width
        width -= 0.1 * velocity

    np.testing.assert_allclose(after[unseen], width * before[unseen], rtol=1e-5)
    assert 0.5 < width < 0.9


def test_words_that_max_batches_leaves_out_stay_as_they_are(tiny):
    network, options = tiny.network(), LocalTraining(batch_size=1, max_batches=1)
    examples, arrays = examples_of(tiny, network, 3), tiny.whole(network, 3)

    after = finetune(network, examples, arrays, options, draws()).arrays

    moved = np.flatnonzero((after["embedding.words"] != arrays["embedding.words"]).any(axis=1))
    (row,) = batch_rows(len(LENGTHS), options, draws())[0]
    ids, lengths = tiny.texts(LENGTHS)
    assert set(moved) == set(ids[row, : lengths[row]].tolist())


# What is trained, and what is not


@pytest.mark.parametrize("depth", range(4))
def test_every_array_learns(tiny, depth):
    network = tiny.network()
    arrays = tiny.whole(network, depth)

    after = finetune(network, examples_of(tiny, network, depth), arrays, LocalTraining(), draws()).arrays

    assert not [name for name, array in after.items() if np.array_equal(array, arrays[name])]


def test_training_leaves_the_arrays_it_was_given_and_the_encoder_alone(tiny):
    network = tiny.network()
    arrays = tiny.whole(network, 3)
    before = {name: array.copy() for name, array in arrays.items()}

    finetune(network, examples_of(tiny, network, 3), arrays, LocalTraining(weight_decay=0.1), draws())

    assert all(np.array_equal(array, before[name]) for name, array in arrays.items())
    fresh = tiny.whole(network, 3)
    assert all(np.array_equal(array, before[name]) for name, array in fresh.items())


def test_arrays_that_cannot_be_written_to_can_be_trained(tiny):
    network, arrays = tiny.network(), tiny.whole(tiny.network(), 3)
    for array in arrays.values():
        array.flags.writeable = False

    after = finetune(network, examples_of(tiny, network, 3), arrays, LocalTraining(), draws()).arrays

    assert not np.array_equal(after["head.weight"], arrays["head.weight"])


def test_the_same_generator_gives_the_same_bits(tiny):
    network = tiny.network()
    examples, arrays, options = examples_of(tiny, network, 2), tiny.whole(network, 2), LocalTraining(batch_size=2)

    first, again, other = (finetune(network, examples, arrays, options, draws(seed)).arrays for seed in (1, 1, 2))

    assert all(np.array_equal(first[name], again[name]) for name in arrays)
    assert not all(np.array_equal(first[name], other[name]) for name in arrays)


def test_the_loss_is_the_mean_over_the_batches(tiny):
    network = tiny.network()
    arrays = tiny.whole(network, 1)
    for name in ("head.weight", "head.bias"):
        arrays[name][:] = 0
    barely = LocalTraining(learning_rate=1e-9, batch_size=2)

    result = finetune(network, examples_of(tiny, network, 1), arrays, barely, draws())

    assert result.loss == pytest.approx(math.log(5))
    assert result.batches == 3


def test_training_lowers_the_loss(tiny):
    network = tiny.network()
    examples, arrays, options = examples_of(tiny, network, 3), tiny.whole(network, 3), LocalTraining(epochs=5)

    losses = []
    for _ in range(3):
        result = finetune(network, examples, arrays, options, draws())
        arrays = result.arrays
        losses.append(result.loss)

    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize("depth", [1, 3])
def test_blocks_above_a_frozen_part_in_bfloat16_are_trained_in_float32(tiny, depth):
    exact = tiny.network()
    rough = Network(encoder=encoder_of(tiny.models["bert"], "bf16"), kind="classification", pooling="cls")
    arrays = tiny.whole(exact, depth)
    seen = SimpleNamespace(dtypes=set())

    results = []
    for network in (exact, rough):
        examples = examples_of(tiny, network, depth)
        seen.dtypes.add(examples.frozen.dtype)
        results.append(finetune(network, examples, arrays, LocalTraining(learning_rate=0.01), draws()).arrays)

    assert seen.dtypes == ({torch.float32, torch.bfloat16} if depth < 3 else {torch.int64})
    far = max(np.abs(results[0][name] - results[1][name]).max() for name in arrays)
    assert far < 1e-2 if depth < 3 else far == 0  # trained all of it, nothing is left in bfloat16
    assert all(array.dtype == np.float32 for array in results[1].values())


def test_the_head_alone_is_trained_as_the_adapter_client_trains_it(tiny):
    network, arrays = tiny.network(), tiny.trained(0, 1)
    ids, lengths = tiny.texts(LENGTHS)
    examples = TrainingExamples(
        at=arrays.at, frozen=tiny.states(network, ids, lengths, arrays.at), lengths=lengths, labels=torch.arange(6) % 5
    )

    ours = finetune(network, examples, arrays, LocalTraining(), draws())
    trainee = Trainee(examples=examples, generator=draws())
    (theirs,) = train_together(network, [trainee], arrays, LocalTraining())

    for name, array in ours.arrays.items():
        np.testing.assert_allclose(array, theirs.arrays[name], atol=1e-6)


def test_arrays_come_back_in_the_dtypes_they_had(tiny):
    network, arrays = tiny.network(), tiny.whole(tiny.network(), 1)
    exact = finetune(network, examples_of(tiny, network, 1), arrays, LocalTraining(), draws()).arrays
    sent = arrays | {"head.weight": arrays["head.weight"].astype(np.float64)}

    trained = finetune(network, examples_of(tiny, network, 1), sent, LocalTraining(), draws()).arrays

    assert {name: array.dtype for name, array in trained.items()} == {name: each.dtype for name, each in sent.items()}
    np.testing.assert_array_equal(trained["head.weight"], exact["head.weight"])


def test_arrays_that_are_no_floats_are_refused_by_name(tiny):
    network, arrays = tiny.network(), tiny.whole(tiny.network(), 1)
    arrays["head.bias"] = arrays["head.bias"].astype(np.int8)

    with pytest.raises(UserError, match=r"array 'head\.bias' has the dtype int8; this client trains floats"):
        finetune(network, examples_of(tiny, network, 1), arrays, LocalTraining(), draws())
