import math

import pytest
import torch
import torch.nn.functional as F

from fedlab.models.heads import next_token
from fedlab.models.heads.next_token import NextTokenHead, scored_places

IGNORED = -100
VOCABULARY, HIDDEN = 7, 4


@pytest.fixture
def drawn():
    """Return a head, features [4, 5, H] and labels of which some do not count."""
    draws = torch.Generator().manual_seed(0)
    head = NextTokenHead(weight=torch.randn(VOCABULARY, HIDDEN, generator=draws))
    features = torch.randn(4, 5, HIDDEN, generator=draws)
    labels = torch.randint(0, VOCABULARY, (4, 5), generator=draws)
    labels[0, :3] = labels[1, 4] = labels[2, 1:] = IGNORED
    return head, features, labels


def test_logits_are_of_the_backbones_own_weight(drawn):
    head, features, _ = drawn
    torch.testing.assert_close(head.logits(features, {}), features @ head.weight.T)


@pytest.mark.parametrize("models", [1, 2])
def test_the_loss_is_the_mean_over_the_tokens_that_count_of_each_model(drawn, models):
    head, features, labels = drawn
    found = head.loss(features, labels, {}, models)
    parts = zip(features.chunk(models), labels.chunk(models), strict=True)
    expected = [F.cross_entropy(part.flatten(0, 1) @ head.weight.T, each.flatten()) for part, each in parts]
    torch.testing.assert_close(found, torch.stack(expected))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_gradients_are_those_of_autograd_however_few_rows_are_computed_at_once(drawn, monkeypatch, rows):
    monkeypatch.setattr(next_token, "_ROWS", rows)
    head, features, labels = drawn
    ours, theirs = (features.clone().requires_grad_() for _ in range(2))
    weights = torch.tensor([1.0, 3.0])
    (head.loss(ours, labels, {}, 2) * weights).sum().backward()
    parts = zip(theirs.chunk(2), labels.chunk(2), strict=True)
    losses = [F.cross_entropy(part.flatten(0, 1) @ head.weight.T, each.flatten()) for part, each in parts]
    (torch.stack(losses) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_where_nothing_counts_the_loss_is_zero_and_so_is_its_gradient(drawn):
    head, features, labels = drawn
    features.requires_grad_()
    loss = head.loss(features, torch.full_like(labels, IGNORED), {}, 2)
    loss.sum().backward()
    assert loss.tolist() == [0.0, 0.0]
    assert not features.grad.any()


def test_guesses_are_summed_for_each_text(drawn):
    head, features, labels = drawn
    logits = features @ head.weight.T
    found = head.guesses(features, labels)
    for text in range(4):
        counts = labels[text] != IGNORED
        losses = F.cross_entropy(logits[text][counts], labels[text][counts], reduction="sum")
        right = (logits[text][counts].argmax(-1) == labels[text][counts]).sum()
        assert found[text].tolist() == pytest.approx([float(losses), int(right), int(counts.sum())], rel=1e-5)


def test_likelihoods_are_those_of_tokens_behind_each_label():
    head = NextTokenHead(weight=torch.eye(3))
    features = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]]]))
    labels = torch.tensor([[IGNORED, 0, 0]])
    found = head.likelihoods(features, labels, torch.tensor([[0, 1], [2, 0]]))
    expected = [[[math.log(0.2), math.log(0.6)], [math.log(0.8), math.log(0.1)]]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_places_are_those_that_count_in_order_and_then_others():
    labels = torch.tensor([[IGNORED, 4, IGNORED, 2], [IGNORED, IGNORED, 3, IGNORED]])
    assert scored_places(labels).tolist() == [[1, 3], [2, 0]]
    assert scored_places(torch.full((2, 3), IGNORED)).tolist() == [[0], [0]]


def test_weights_in_bfloat16_give_a_loss_in_float32(drawn):
    head, features, labels = drawn
    found = NextTokenHead(weight=head.weight.bfloat16()).loss(features, labels, {}, 1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, head.loss(features, labels, {}, 1), rtol=0.05, atol=0.05)
