"""Which rows of padded texts are computed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedlab.models.transformer.unpadded import UnpaddedRows

WIDTH, HIDDEN = 6, 3


@st.composite
def lengths_of_models(draw):
    """Return the lengths of the texts of some models, as many each, and how many models there are."""
    models, texts = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    lengths = st.lists(st.integers(1, WIDTH), min_size=models * texts, max_size=models * texts)
    return torch.tensor(draw(lengths)), models


def numbered(texts):
    return torch.arange(texts * WIDTH * HIDDEN, dtype=torch.float32).view(texts, WIDTH, HIDDEN)


@given(lengths_of_models())
def test_every_real_token_is_a_row_of_its_own_and_of_its_own_model(case):
    lengths, models = case
    rows = UnpaddedRows.of(lengths, WIDTH, models=models)
    number = torch.arange(len(lengths) * WIDTH).view(len(lengths), WIDTH, 1)

    by_model = rows.taken(number).view(models, -1)

    assert len(set(by_model.flatten().tolist())) == by_model.numel()
    for model, texts in enumerate(torch.arange(len(lengths)).view(models, -1)):
        real = {int(text) * WIDTH + token for text in texts for token in range(int(lengths[text]))}
        assert real <= set(by_model[model].tolist()) <= set(number[texts].flatten().tolist())


@given(lengths_of_models())
def test_there_are_no_more_rows_than_the_model_with_most_to_read_has(case):
    lengths, models = case

    rows = UnpaddedRows.of(lengths, WIDTH, models=models).taken(numbered(len(lengths)))

    assert len(rows) == models * int(lengths.view(models, -1).sum(1).max())


@given(lengths_of_models())
def test_rows_laid_out_again_are_the_texts_with_zeros_or_padding_behind(case):
    lengths, models = case
    texts, rows = numbered(len(lengths)) + 1, UnpaddedRows.of(lengths, WIDTH, models=models)

    padded = rows.padded(rows.taken(texts))

    for text, again, length in zip(texts, padded, lengths, strict=True):
        assert torch.equal(again[:length], text[:length])
        assert all(torch.equal(row, own) or not row.any() for row, own in zip(again, text, strict=True))


@given(lengths_of_models())
def test_gradients_come_back_to_the_rows_they_left_from(case):
    lengths, models = case
    rows = UnpaddedRows.of(lengths, WIDTH, models=models)
    texts = numbered(len(lengths)).requires_grad_()
    weights = numbered(len(lengths)).flip(0)

    (gradient,) = torch.autograd.grad((rows.padded(rows.taken(texts)) * weights).sum(), texts)

    assert torch.equal(gradient, rows.padded(rows.taken(weights)))


def test_only_keys_that_are_padding_are_masked():
    mask = UnpaddedRows.of(torch.tensor([3, 1]), 3).mask

    assert mask[:, 0, 0].tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize("models", [1, 2])
def test_where_nothing_is_padded_all_rows_are_computed_as_they_lie(models):
    rows = UnpaddedRows.of(torch.tensor([3, 3]), 3, models=models)

    assert rows.mask is None
    assert rows.places is None


def test_where_one_model_has_no_padding_all_rows_of_the_others_are_computed_too():
    rows = UnpaddedRows.of(torch.tensor([3, 1]), 3, models=2)

    assert rows.mask is not None
    assert rows.places is None
