"""Max pooling on mantissas: torch's, forward and back."""

import pytest
import torch
import torch.nn.functional as F

from fedlab.models.cnn.layers import MaxPool
from fedlab.models.integer.pooling import largest_of_windows, to_largest


@pytest.mark.parametrize(
    "layer",
    [
        MaxPool(kernel=(2, 2), stride=(2, 2)),
        MaxPool(kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
        MaxPool(kernel=(2, 3), stride=(1, 3)),
    ],
    ids=str,
)
def test_pooling_is_that_of_torch_with_the_first_of_equals(layer):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(-5, 6, (3, 9, 7, 4), generator=generator).to(torch.int8)  # has many equal ones
    floats = numbers.permute(0, 3, 1, 2).double().requires_grad_()
    expected = F.max_pool2d(floats, layer.kernel, layer.stride, layer.padding)
    largest, places = largest_of_windows(numbers, layer)
    assert largest.dtype == torch.int8
    assert torch.equal(largest.permute(0, 3, 1, 2).double(), expected.detach())

    errors = torch.randint(-127, 128, largest.shape, generator=generator).to(torch.int8)
    expected.backward(errors.permute(0, 3, 1, 2).double())
    assert torch.equal(to_largest(errors, places, layer, numbers.shape).permute(0, 3, 1, 2).double(), floats.grad)


def test_errors_of_windows_that_overlap_are_added_without_a_wrap():
    layer = MaxPool(kernel=(3, 1), stride=(1, 1))
    numbers = torch.tensor([0, 1, 9, 1, 0], dtype=torch.int8).view(1, 5, 1, 1)
    _, places = largest_of_windows(numbers, layer)
    errors = torch.full((1, 3, 1, 1), 127, dtype=torch.int8)
    assert to_largest(errors, places, layer, numbers.shape).flatten().tolist() == [0, 0, 381, 0, 0]
