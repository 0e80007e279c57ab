import numpy as np
import pytest

from fedlab.messages.clipping import clipped
from fedlab.messages.orders import Order
from fedlab.messages.replies import TrainReport
from fedlab.workload.workload import Workload

SENT = {"a": np.ones(2, np.float32), "b": np.zeros((1, 2), np.float32)}
# Moved by (3, 0) and (0, 4): by 5 in all.
TRAINED = {"a": np.array([4, 1], np.float32), "b": np.array([[0, 4]], np.float32)}


def clip(norm, trained=TRAINED):
    order = Order(arrays=SENT, server_round=1, configuration={}, clipping_norm=norm)
    return clipped(
        order, TrainReport(arrays=trained, num_examples=1, train_loss=0.5, workload=Workload(passes=(), num_examples=1))
    )


def test_a_longer_update_is_shortened_to_the_norm_and_says_so():
    report = clip(2.5)
    assert report.clipped
    assert report.arrays["a"].tolist() == [2.5, 1]
    assert report.arrays["b"].tolist() == [[0, 2]]
    assert {array.dtype for array in report.arrays.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("norm", [5.0, 9.0])
def test_an_update_within_the_norm_stays_and_says_so(norm):
    report = clip(norm)
    assert report.arrays is TRAINED
    assert report.clipped is False


def test_an_update_that_changes_nothing_is_within_any_norm():
    assert clip(0.1, SENT).clipped is False


def test_without_a_norm_nothing_is_said_of_it():
    report = clip(None)
    assert report.arrays is TRAINED
    assert report.clipped is None
