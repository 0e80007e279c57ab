"""The functions compute, block by block, what transformers' own modules compute."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.models.load import encoder_from_tensors, encoder_of, encoder_sizes, encoder_tensors
from fedlab.models.precision import widened
from fedlab.models.transformer.encoder import block_end, block_sum, block_sum_of_first, embed, pool
from fedlab.models.transformer.unpadded import UnpaddedRows

FAMILIES = ["bert", "distilbert"]
LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=4)
FEW = settings(derandomize=True, max_examples=20)


def hidden_states(model, ids, lengths):
    """Return what goes into block 0, and what comes out of every block."""
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    with torch.inference_mode():
        return model(ids, attention_mask=mask, output_hidden_states=True).hidden_states


def real(states, lengths):
    return torch.cat([row[:length] for row, length in zip(states, lengths, strict=True)])


def adapter(index, hidden, *, down, up):
    return {
        f"block.{index}.down.weight": torch.full((1, hidden), down),
        f"block.{index}.down.bias": torch.ones(1),
        f"block.{index}.up.weight": torch.full((hidden, 1), up),
        f"block.{index}.up.bias": torch.zeros(hidden),
    }


@given(lengths=LENGTHS, family=st.sampled_from(FAMILIES), seed=st.integers(0, 99))
@FEW
def test_every_block_computes_what_transformers_computes(tiny, lengths, family, seed):
    encoder, (ids, lengths) = encoder_of(tiny.models[family]), tiny.texts(lengths, seed)
    expected = hidden_states(tiny.models[family], ids, lengths)
    rows = UnpaddedRows.of(lengths, ids.shape[1])

    states = rows.taken(embed(encoder, ids))
    torch.testing.assert_close(states, real(expected[0], lengths), atol=1e-5, rtol=0)
    for index in range(tiny.blocks):
        states = block_end(encoder, index, block_sum(encoder, index, states, rows), {})
        torch.testing.assert_close(states, real(expected[index + 1], lengths), atol=1e-5, rtol=0)


@given(lengths=LENGTHS, family=st.sampled_from(FAMILIES), seed=st.integers(0, 99))
@FEW
def test_the_first_row_alone_comes_out_as_it_does_among_all(tiny, lengths, family, seed):
    encoder, (ids, lengths) = encoder_of(tiny.models[family]), tiny.texts(lengths, seed)
    rows = UnpaddedRows.of(lengths, ids.shape[1])
    states = rows.taken(embed(encoder, ids))

    every, first = rows.padded(block_sum(encoder, 1, states, rows)), block_sum_of_first(encoder, 1, states, rows)

    torch.testing.assert_close(first, every[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        block_end(encoder, 1, first, {}), block_end(encoder, 1, every, {})[:, 0], atol=1e-5, rtol=0
    )


@given(lengths=LENGTHS, family=st.sampled_from(FAMILIES), seed=st.integers(0, 99))
@FEW
def test_a_block_in_bfloat16_and_its_way_back_are_those_of_float32_but_for_rounding(tiny, lengths, family, seed):
    rough, (ids, lengths) = encoder_of(tiny.models[family], "bf16"), tiny.texts(lengths, seed)
    exact = encoder_from_tensors(widened(encoder_tensors(rough)) | {"words": rough.words}, encoder_sizes(rough))
    rows = UnpaddedRows.of(lengths, ids.shape[1])
    start = rows.taken(embed(rough, ids))

    def there_and_back(encoder):
        states = start.to(encoder.computes_in).requires_grad_()
        sums = block_sum(encoder, 1, states, rows)
        (gradient,) = torch.autograd.grad(sums.pow(2).sum(), states)
        return torch.cat([sums.detach().float(), gradient.float()])

    found, expected = there_and_back(rough), there_and_back(exact)

    assert (found - expected).norm() < 0.02 * expected.norm()


def test_an_adapter_adds_to_the_sum_before_the_last_norm(tiny):
    encoder = encoder_of(tiny.models["bert"])
    block, sums = encoder.blocks[1], torch.randn(2, 4, tiny.hidden, generator=torch.Generator().manual_seed(0))

    # Its one unit is relu(0 + bias) = 1 whatever it reads, and goes to the fourth sum alone.
    weights = adapter(1, tiny.hidden, down=0.0, up=0.0)
    weights["block.1.up.weight"][3] = 0.5
    ended = block_end(encoder, 1, sums, weights)

    moved = sums.clone()
    moved[..., 3] += 0.5
    expected = torch.nn.functional.layer_norm(
        moved, (tiny.hidden,), block.norm_weight, block.norm_bias, encoder.epsilon
    )
    torch.testing.assert_close(ended, expected, atol=1e-6, rtol=0)


def test_an_adapter_of_another_block_is_not_this_blocks(tiny):
    encoder = encoder_of(tiny.models["bert"])
    sums = torch.ones(1, 2, tiny.hidden).cumsum(-1)

    ended, plain = (block_end(encoder, 1, sums, each) for each in (adapter(2, tiny.hidden, down=1.0, up=1.0), {}))

    torch.testing.assert_close(ended, plain, atol=0, rtol=0)


def test_the_pooler_is_berts_own(tiny):
    ids, _ = tiny.texts([5, 5])
    model = tiny.models["bert"]
    with torch.inference_mode():
        output = model(ids)

    pooled = pool(encoder_of(model), output.last_hidden_state[:, 0])

    torch.testing.assert_close(pooled, output.pooler_output, atol=1e-6, rtol=0)


def test_distilbert_has_no_pooler(tiny):
    with pytest.raises(AssertionError, match="no pooler"):
        pool(encoder_of(tiny.models["distilbert"]), torch.zeros(1, tiny.hidden))
