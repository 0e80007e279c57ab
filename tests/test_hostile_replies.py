"""What the generator of hostile replies promises to the tests that use it."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MessageType
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fedlab.messages.orders import order_content
from fedlab.messages.pack import from_record, records_of, to_record
from fedlab.messages.replies import TrainReport, train_reply
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, training_passes

ARRAYS = {"x": np.array([1.0, 2.0], np.float32), "y": np.zeros((2, 3), np.float32)}


@pytest.fixture(scope="module")
def reply(server_identity):
    """Return the reply of a client that trained for one batch."""
    passes = training_passes(batches=1, batch_size=4, input_shape=(16,), model_blocks=4, depth=1, trained=bottleneck(8))
    workload = Workload(passes=passes, num_examples=14)
    order = Message(order_content(to_record(ARRAYS), server_round=1), 100, MessageType.TRAIN)
    return train_reply(order, TrainReport(arrays=ARRAYS, num_examples=14, train_loss=0.5, workload=workload))


@given(data=st.data())
def test_a_change_makes_another_reply_to_the_same_order_and_leaves_the_first_as_it_was(
    reply, hostile_replies, unusual_replies, data
):
    before = {key: dict(record) for key, record in reply.content.items()}
    changed = data.draw(hostile_replies | unusual_replies)(reply)
    assert {key: dict(record) for key, record in reply.content.items()} == before
    assert changed.metadata is reply.metadata
    assert changed.content is not reply.content


def test_every_kind_of_hostile_reply_is_drawn(reply, hostile_replies):
    kinds = set()

    @settings(max_examples=400, phases=[Phase.generate], derandomize=True, database=None)
    @given(hostile_replies)
    def draw(change):
        kinds.add(change.kind)

    draw()
    assert kinds == {
        "huge shape",
        "nonsense header",
        "no array",
        "truncated",
        "trailing bytes",
        "foreign type",
        "pickled objects",
        "other shape",
        "shape told wrongly",
        "not finite",
        "other stype",
        "an array is missing",
        "an array is renamed",
        "an array too many",
        "no arrays",
        "empty arrays",
        "no metrics",
        "empty reply",
        "two records of arrays",
        "two records of metrics",
        "arrays of another kind",
        "no number of examples",
        "too many examples",
    }


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("fortran", [False, True])
def test_a_header_that_tells_the_truth_is_read_by_numpy(reply_changes, version, fortran):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    body = values.tobytes(order="F" if fortran else "C")
    data = reply_changes.npy("<f4", (2, 3), body, fortran=fortran, version=version)
    np.testing.assert_array_equal(Array("float32", (2, 3), "numpy.ndarray", data).numpy(), values)


def test_the_reply_they_change_is_sound(reply):
    (record,) = records_of(reply.content, ArrayRecord).values()
    np.testing.assert_array_equal(from_record(record)["x"], ARRAYS["x"])
