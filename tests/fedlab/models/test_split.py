import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.models.base import TokenIds
from fedlab.models.peft.base import SplitPoint
from fedlab.models.peft.bottleneck import Bottleneck
from fedlab.models.peft.whole_blocks import TopBlocks

FAMILIES, KINDS = st.sampled_from(["bert", "distilbert"]), st.sampled_from(["classification", "tagging"])
FEW = settings(derandomize=True, max_examples=25)
# Of models of 3 blocks, by depth: adapters in the top blocks, and top blocks that are trained whole.
ADAPTERS = [Bottleneck(depth=depth, width=4).split_point(3) for depth in range(4)]
WHOLE = [TopBlocks(depth=depth).split_point(3) for depth in range(4)]
BLOCK_INPUT_0 = SplitPoint(kind="block_input", block=0)


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [("classification", [(32,), (32,), (7, 32), (7, 32)]), ("tagging", [(7, 32)] * 4)],
)
def test_a_frozen_state_has_the_shape_it_is_stored_in(tiny, kind, shapes):
    network, (ids, lengths) = tiny.network(kind=kind), tiny.texts([7, 2])

    states = network.frozen(TokenIds(ids=ids, lengths=lengths), ADAPTERS)

    assert [network.state_shape(at, 7) for at in ADAPTERS] == shapes
    assert [tuple(states[at].shape) for at in ADAPTERS] == [(2, *shape) for shape in shapes]


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [("classification", [(32,), (7, 32), (7, 32), (7,)]), ("tagging", [(7, 32), (7, 32), (7, 32), (7,)])],
)
def test_below_whole_blocks_the_state_is_what_enters_them_or_the_token_ids(tiny, kind, shapes):
    network, (ids, lengths) = tiny.network(kind=kind), tiny.texts([7, 2])

    states = network.frozen(TokenIds(ids=ids, lengths=lengths), WHOLE)

    assert [network.state_shape(at, 7) for at in WHOLE] == shapes
    assert [tuple(states[at].shape) for at in WHOLE] == [(2, *shape) for shape in shapes]
    assert torch.equal(states[WHOLE[3]], ids)


@given(points=st.sets(st.sampled_from([*ADAPTERS, *WHOLE, BLOCK_INPUT_0]), min_size=1), family=FAMILIES, kind=KINDS)
@FEW
def test_one_pass_for_many_split_points_gives_the_bits_of_a_pass_for_each(tiny, points, family, kind):
    network, (ids, lengths) = tiny.network(family, kind), tiny.texts([6, 2, 4])

    together = network.frozen(TokenIds(ids=ids, lengths=lengths), points)

    assert set(together) == points
    for at in points:
        assert torch.equal(together[at], network.frozen(TokenIds(ids=ids, lengths=lengths), [at])[at])


def test_above_frozen_embeddings_all_blocks_start_from_what_enters_the_lowest(tiny):
    network, (ids, lengths) = tiny.network(), tiny.texts([6, 2, 4])
    arrays = tiny.whole(network, 3)
    blocks_only = {name: torch.from_numpy(array) for name, array in arrays.items() if "embedding" not in name}

    frozen = network.frozen(TokenIds(ids=ids, lengths=lengths), [BLOCK_INPUT_0])[BLOCK_INPUT_0]
    found = network.logits(frozen, lengths, blocks_only, BLOCK_INPUT_0).numpy()

    assert frozen.shape == (3, *network.state_shape(BLOCK_INPUT_0, 6)) == (3, 6, 32)
    np.testing.assert_allclose(found, tiny.logits(network, ids, lengths, arrays), atol=1e-6, rtol=0)


def test_the_sizes_are_those_the_encoder_has(tiny):
    sizes = tiny.network(pooling="pooler").sizes(5)

    assert (sizes.blocks, sizes.hidden, sizes.labels, sizes.pooler) == (3, 32, 5, True)
    assert (sizes.encoder.vocabulary, sizes.encoder.positions) == (tiny.vocabulary, 24)
    assert not tiny.network().sizes(5).pooler


@given(
    depth=st.integers(0, 3),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    family=FAMILIES,
    kind=KINDS,
    seed=st.integers(0, 99),
)
@FEW
def test_whole_blocks_with_the_pretrained_weights_change_no_answer(tiny, depth, lengths, family, kind, seed):
    network, (ids, lengths) = tiny.network(family, kind), tiny.texts(lengths, seed)
    head, whole = tiny.trained(0, 1, seed), tiny.whole(network, depth, seed)

    alone, trained = (tiny.logits(network, ids, lengths, arrays) for arrays in (head, whole))

    for row, length in enumerate(lengths.tolist() if kind == "tagging" else [5] * len(lengths)):
        np.testing.assert_allclose(trained[row, :length], alone[row, :length], atol=1e-5, rtol=0)


@pytest.mark.parametrize("depth", range(4))
def test_a_trained_pooler_is_read_in_place_of_the_encoders_own(tiny, depth):
    network, (ids, lengths) = tiny.network(pooling="pooler"), tiny.texts([5, 3])
    head, whole = tiny.trained(0, 1), tiny.whole(network, depth)

    same = tiny.logits(network, ids, lengths, whole)
    whole["pooler.weight"][:] = whole["pooler.bias"][:] = 0
    silent = tiny.logits(network, ids, lengths, whole)

    np.testing.assert_allclose(same, tiny.logits(network, ids, lengths, head), atol=1e-5)
    np.testing.assert_allclose(silent, np.tile(whole["head.bias"], (2, 1)), atol=1e-6)


@given(depth=st.integers(0, 3), extra=st.integers(1, 8), family=FAMILIES, kind=KINDS, seed=st.integers(0, 99))
@FEW
def test_padding_changes_no_answer(tiny, depth, extra, family, kind, seed):
    network, arrays = tiny.network(family, kind), tiny.trained(depth, 4, seed)
    ids, lengths = tiny.texts([6, 3], seed)
    padded = torch.nn.functional.pad(ids, (0, extra))

    short, long = (tiny.logits(network, each, lengths, arrays) for each in (ids, padded))

    for row, length in enumerate([6, 3] if kind == "tagging" else [5, 5]):
        np.testing.assert_allclose(long[row, :length], short[row, :length], atol=1e-5, rtol=0)


@given(depth=st.integers(0, 3), family=FAMILIES, kind=KINDS)
@FEW
def test_a_text_gets_the_same_answer_in_any_company(tiny, depth, family, kind):
    network, arrays = tiny.network(family, kind), tiny.trained(depth, 4)
    ids, lengths = tiny.texts([8, 5])

    among, alone = tiny.logits(network, ids, lengths, arrays), tiny.logits(network, ids[1:, :5], lengths[1:], arrays)

    rows = 5 if kind == "tagging" else None
    np.testing.assert_allclose(among[1][:rows], alone[0][:rows], atol=1e-5, rtol=0)


def test_a_classifier_answers_once_a_text_and_a_tagger_once_a_token(tiny):
    ids, lengths = tiny.texts([7, 2])

    assert tiny.logits(tiny.network(), ids, lengths, tiny.trained(2, 4)).shape == (2, 5)
    assert tiny.logits(tiny.network(kind="tagging"), ids, lengths, tiny.trained(2, 4)).shape == (2, 7, 5)


def test_the_head_reads_the_pooler_where_that_is_asked_for(tiny):
    ids, lengths = tiny.texts([5, 5])
    arrays = tiny.trained(0, 4)
    with torch.inference_mode():
        pooled = tiny.models["bert"](ids).pooler_output.numpy()

    logits = tiny.logits(tiny.network(pooling="pooler"), ids, lengths, arrays)

    np.testing.assert_allclose(logits, pooled @ arrays["head.weight"].T + arrays["head.bias"], atol=1e-5)


def test_models_side_by_side_answer_for_their_own_texts(tiny):
    ids, lengths = tiny.texts([6, 4, 5, 6])
    for kind in ("classification", "tagging"):
        network, models = tiny.network(kind=kind), [tiny.trained(2, 4, seed) for seed in (1, 2)]
        stacked = {name: torch.from_numpy(np.stack([model[name] for model in models])) for name in models[0]}

        at = ADAPTERS[2]
        together = network.logits(
            network.frozen(TokenIds(ids=ids, lengths=lengths), [at])[at], lengths, stacked, at
        ).numpy()

        for part, model in zip((slice(0, 2), slice(2, 4)), models, strict=True):
            alone = tiny.logits(network, ids, lengths, model)
            for found, expected, length in zip(together[part], alone[part], lengths[part], strict=True):
                tokens = int(length) if kind == "tagging" else None  # what it says of padding means nothing
                np.testing.assert_allclose(found[:tokens], expected[:tokens], atol=1e-5, rtol=0)


def test_the_loss_of_a_classifier_is_the_mean_over_its_texts(tiny):
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [0.0, 0.0], [0.0, 0.0]])
    labels = torch.tensor([0, 1, 1, 1])

    assert tiny.network().head.losses(logits, labels, 1).tolist() == pytest.approx(
        [(3 * math.log(2) + math.log(4)) / 4]
    )
    assert tiny.network().head.losses(logits, labels, 2).tolist() == pytest.approx(
        [(math.log(2) + math.log(4)) / 2, math.log(2)]
    )


def test_the_loss_of_a_tagger_leaves_out_what_has_no_label(tiny):
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]], [[9.0, -9.0], [0.0, 0.0]]])
    labels = torch.tensor([[0, 1], [-100, 1]])
    network = tiny.network(kind="tagging")

    assert network.head.losses(logits, labels, 1).tolist() == pytest.approx(
        [(math.log(2) + math.log(4) + math.log(2)) / 3]
    )
    assert network.head.losses(logits, labels, 2).tolist() == pytest.approx(
        [(math.log(2) + math.log(4)) / 2, math.log(2)]
    )


def test_where_nothing_has_a_label_the_loss_is_zero(tiny):
    losses = tiny.network(kind="tagging").head.losses(torch.ones(1, 2, 3), torch.full((1, 2), -100), 1)

    assert losses.tolist() == [0]
