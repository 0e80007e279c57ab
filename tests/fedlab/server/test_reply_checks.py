"""A reply that does not fit the model, or would spoil it, is turned away with the reason."""

from io import BytesIO

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MessageType, RecordDict

from fedlab.messages.orders import order_content
from fedlab.messages.pack import to_record
from strategies.validate import num_examples_of, objection

SENT = {"x": np.array([1.0, 2.0], np.float32), "y": np.zeros((2, 3), np.float32)}


def trained(**arrays):
    return {name: array + np.float32(0.5) for name, array in SENT.items()} | arrays


def reason(reply, max_update_norm=None):
    return objection(reply, SENT, max_update_norm=max_update_norm)


def test_a_reply_that_fits_is_taken(reply_with):
    assert reason(reply_with(trained())) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_turned_away(reply_with, floats, bad):
    assert reason(reply_with(trained(x=floats(1.0, bad)))) == "x has values that are not finite"


def test_numbers_too_large_for_single_precision_are_turned_away(reply_with):
    record = to_record(trained())
    record["x"] = Array(np.array([1e300, 0.0]))
    assert reason(reply_with(record)) == "x has values that are not finite"


def test_another_shape_is_turned_away(reply_with, floats):
    assert reason(reply_with(trained(x=floats(1.0)))) == "x has the shape (1,), but (2,) was sent"


def test_other_names_are_turned_away(reply_with, floats):
    arrays = trained(z=floats(1.0))
    del arrays["y"]
    assert reason(reply_with(arrays)) == "has other arrays than were sent: lacks ['y'], has ['z'] besides"


def test_a_long_way_from_what_was_sent_is_turned_away_where_there_is_a_limit(reply_with, floats):
    arrays = dict(SENT, x=SENT["x"] + floats(3.0, 0.0), y=SENT["y"] + np.float32(4 / np.sqrt(6)))  # 3 and 4: 5 in all
    assert reason(reply_with(arrays)) is None
    assert reason(reply_with(arrays), 5.01) is None
    assert reason(reply_with(arrays), 4.99) == "is 5 from what was sent, 4.99 is the most"


@pytest.mark.filterwarnings("error")
def test_further_than_single_precision_can_say_is_turned_away_too(reply_with, floats):
    assert reason(reply_with(trained(x=floats(1e20, 0.0))), 1e6) == "is inf from what was sent, 1e+06 is the most"


@pytest.mark.parametrize("examples", [0, -1, float("nan"), float("inf"), None])
def test_what_weighs_nothing_is_turned_away(reply_with, examples):
    assert "num-examples is" in reason(reply_with(trained(), num_examples=examples))


def test_bytes_that_are_no_array_are_turned_away(reply_with):
    record = to_record(trained())
    record["x"] = Array("float32", (2,), "numpy.ndarray", b"nonsense")
    assert reason(reply_with(record)).startswith("cannot be read: ")


def test_pickled_objects_are_turned_away(reply_with):
    record, pickled = to_record(trained()), BytesIO()
    np.save(pickled, np.array([{"a": 1}], object), allow_pickle=True)
    record["x"] = Array("object", (1,), "numpy.ndarray", pickled.getvalue())
    assert reason(reply_with(record)).startswith("cannot be read: ")


def test_a_reply_without_arrays_or_with_several_records_is_turned_away(server_identity):
    order = Message(order_content(to_record({}), server_round=1), 100, MessageType.TRAIN)
    assert reason(Message(RecordDict(), reply_to=order)) == "has 0 records of arrays, expected one"
    two = RecordDict({"a": ArrayRecord(), "b": ArrayRecord()})
    assert reason(Message(two, reply_to=order)) == "has 2 records of arrays, expected one"


def test_a_reply_weighs_its_examples(reply_with):
    assert num_examples_of(reply_with({}, num_examples=12)) == 12
