"""Each thing that can be wrong with a reply is refused by name, before NumPy or a strategy sees it."""

from io import BytesIO

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict

from fedlab.messages.npy import CheckedArray
from fedlab.messages.orders import order_content
from fedlab.messages.pack import from_record, to_record
from fedlab.messages.replies import workload_record
from fedlab.messages.updates import KINDS
from fedlab.server.reply_checks import (
    RefusedError,
    UpdateTerms,
    check_metrics,
    check_no_arrays,
    checked_training,
    checked_weight,
    common_form,
    form_of,
    layouts_of,
)
from fedlab.workload.passes import bottleneck
from fedlab.workload.workload import Workload, training_passes

SENT = {"x": np.array([1.0, 2.0], np.float32), "y": np.zeros((2, 3), np.float32)}
ALL = UpdateTerms(takes=frozenset(KINDS), max_scalars=4)
WORKLOAD = Workload(
    passes=training_passes(batches=1, batch_size=4, input_shape=(8,), model_blocks=2, depth=0, trained=bottleneck(8)),
    num_examples=12,
)


def trained(**arrays):
    return {name: array + np.float32(0.5) for name, array in SENT.items()} | arrays


def refusal(call, *arguments):
    with pytest.raises(RefusedError) as refused:
        call(*arguments)
    return str(refused.value)


def checked(arrays, *, kind=None, terms=ALL, sent=SENT):
    record = arrays if isinstance(arrays, ArrayRecord) else to_record(arrays)
    content = RecordDict({"arrays": record} | ({"config": ConfigRecord({"kind": kind})} if kind else {}))
    return checked_training(content, layouts_of(RecordDict({"arrays": to_record(sent)})), terms)["arrays"]


def with_x(array):
    record = to_record(trained())
    record["x"] = array
    return record


@pytest.mark.parametrize("kind", [None, "model", "delta", "gradient"])
def test_arrays_like_those_sent_are_taken_as_views_in_the_order_they_were_sent(kind):
    found = checked(dict(reversed(trained().items())), kind=kind)
    assert list(found) == ["x", "y"]
    assert all(isinstance(array, CheckedArray) for array in found.values())
    np.testing.assert_array_equal(from_record(found)["x"], [1.5, 2.5])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    values = np.array([1.0, bad], np.float32)
    assert refusal(checked, trained(x=values)) == "x has values that are not finite"


def test_finite_values_whose_squares_are_not_are_taken():
    assert list(checked(trained(x=np.array([3e38, -3e38], np.float32)))) == ["x", "y"]


def test_other_names_are_refused():
    arrays = trained(z=SENT["x"])
    del arrays["y"]
    assert refusal(checked, arrays) == "has other arrays than were sent: lacks ['y'], has ['z'] besides"


def test_another_shape_is_refused():
    said = refusal(checked, trained(x=np.zeros(1, np.float32)))
    assert said == "x has the shape (1,), expected (2,)"


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (Array(np.zeros(2)), "x has the type 'float64', expected 'float32'"),
        (Array(np.zeros(2, np.int8)), "x has the type 'int8', expected 'float32'"),
        (Array(np.array(0.0, np.float32)), "x has the shape (), expected (2,)"),
        (Array("float32", (2,), "numpy.ndarray", b"nonsense"), "x is no .npy file of version 1, 2 or 3"),
        (Array("float32", (2,), "torch", b""), "x is serialized as 'torch', expected 'numpy.ndarray'"),
        (Array("float32", (2,), "numpy.ndarray", Array(SENT["x"]).data[:-4]), "x has 132 bytes, expected 136"),
    ],
)  # fmt: skip
def test_an_array_that_is_not_like_the_one_sent_is_refused(array, reason):
    assert refusal(checked, with_x(array)) == reason


def test_pickled_objects_are_refused():
    pickled = BytesIO()
    np.save(pickled, np.array([{"a": 1}], object), allow_pickle=True)
    said = refusal(checked, with_x(Array("object", (1,), "numpy.ndarray", pickled.getvalue())))
    assert said == "x has the type 'object', expected 'float32'"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_orders_in_double_precision_are_answered_in_either(dtype):
    found = checked({"x": np.ones(2, dtype)}, sent={"x": np.zeros(2)})
    assert found["x"].dtype == np.dtype(dtype).name


def test_integers_are_taken_where_integers_were_sent():
    sent = {"x": np.arange(3, dtype=np.int8)}
    assert checked(sent, sent=sent)["x"].values.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "terms", "reason"),
    [
        ("delta", UpdateTerms(), "is of the kind 'delta', but the strategy takes model"),
        ("scalars", UpdateTerms(), "is of the kind 'scalars', but the strategy takes model"),
        ("magic", ALL, "is of the kind 'magic', but the strategy takes delta, gradient, model, scalars"),
    ],
)
def test_a_kind_that_the_strategy_does_not_take_is_refused(kind, terms, reason):
    assert refusal(lambda: checked({"x": SENT["x"]}, kind=kind, terms=terms)) == reason


def test_scalars_are_one_finite_vector_of_floats_no_longer_than_declared():
    for values in (np.ones(4, np.float32), np.ones(1, np.float64)):
        np.testing.assert_array_equal(checked({"s": values}, kind="scalars")["s"].values, values)
    for values, reason in [
        ({"s": np.ones(5, np.float32)}, "has scalars of the shape (5,), expected one vector of 1 to 4"),
        ({"s": np.ones((2, 2), np.float32)}, "has scalars of the shape (2, 2), expected one vector of 1 to 4"),
        ({"s": np.ones(0, np.float32)}, "has scalars of the shape (0,), expected one vector of 1 to 4"),
        ({"s": np.ones(4, np.int64)}, "'s' has the type 'int64', expected 'float32'"),
        ({"s": np.full(1, np.nan, np.float32)}, "'s' has values that are not finite"),
        ({"s": np.ones(1), "t": np.ones(1)}, "has 2 arrays of scalars, expected one"),
    ]:
        assert refusal(lambda arrays=values: checked(arrays, kind="scalars")) == reason


def test_a_reply_has_one_record_of_arrays_and_one_to_an_evaluation_has_none():
    for records in ({}, {"a": ArrayRecord(), "b": ArrayRecord()}):
        said = refusal(checked_training, RecordDict(records), {}, ALL)
        assert said == f"has {len(records)} records of arrays, expected one"
    assert refusal(check_no_arrays, RecordDict({"a": ArrayRecord()})) == "has 1 records of arrays, expected none"
    check_no_arrays(RecordDict())


def test_of_several_records_sent_one_of_the_same_key_is_answered():
    sent = layouts_of(RecordDict({"a": to_record({"x": SENT["x"]}), "b": to_record({"y": SENT["y"]})}))
    assert list(checked_training(RecordDict({"b": to_record({"y": SENT["y"]})}), sent, ALL)["b"]) == ["y"]
    said = refusal(checked_training, RecordDict({"c": to_record({"y": SENT["y"]})}), sent, ALL)
    assert said == "its arrays are in the record 'c', but ['a', 'b'] were sent"


@pytest.mark.parametrize("records", [{}, {"a": MetricRecord(), "b": MetricRecord()}])
def test_a_reply_has_one_record_of_metrics(records):
    assert refusal(check_metrics, RecordDict(records)) == f"has {len(records)} records of metrics, expected one"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("nan")]])
def test_metrics_are_finite(value):
    said = refusal(check_metrics, RecordDict({"metrics": MetricRecord({"train-loss": value})}))
    assert said == f"the metric 'train-loss' is {value!r}, expected finite numbers"
    check_metrics(RecordDict({"metrics": MetricRecord({"train-loss": 1.5, "losses": [1, 2], "none": []})}))


@pytest.fixture
def reply_saying(server_identity):
    """Return a function that makes a reply with these metrics, and a workload if one is given."""

    def make(metrics, workload=None):
        content = RecordDict({"metrics": MetricRecord(metrics)})
        if workload is not None:
            content["workload"] = workload_record(workload)
        order = Message(order_content(to_record({}), server_round=1), 100, MessageType.TRAIN)
        return Message(content, reply_to=order)

    return make


@pytest.mark.parametrize("value", [1, 12, 12.0])
def test_what_a_client_says_of_its_examples_is_its_weight_up_to_what_it_has(reply_saying, value):
    assert checked_weight(reply_saying({"num-examples": value}), "num-examples", 12) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "num-examples is missing, expected a number above 0"),
        (0, "num-examples is 0, expected a number above 0"),
        (-3, "num-examples is -3, expected a number above 0"),
        ([3], "num-examples is [3], expected a number above 0"),
        (2.5, "num-examples is 2.5, expected a whole number"),
        (13, "num-examples is 13, but the client has 12"),
        (10**15, "num-examples is 1000000000000000, but the client has 12"),
        (10**400, "num-examples is an endless number, but the client has 12"),
    ],
)
def test_a_weight_that_cannot_be_is_refused(reply_saying, value, reason):
    metrics = {} if value is None else {"num-examples": value}
    assert refusal(checked_weight, reply_saying(metrics), "num-examples", 12) == reason


def test_a_weight_is_what_the_workload_says(reply_saying):
    assert checked_weight(reply_saying({"num-examples": 12}, WORKLOAD), "num-examples", None) == 12
    said = refusal(checked_weight, reply_saying({"num-examples": 11}, WORKLOAD), "num-examples", None)
    assert said == "num-examples is 11, but the workload says 12"


def test_a_weight_of_another_name_is_any_number_above_0(reply_saying):
    assert checked_weight(reply_saying({"tokens": 1234.5}), "tokens", 12) == 1234.5
    assert refusal(checked_weight, reply_saying({"num-examples": 3}), "tokens", 12).startswith("tokens is missing")


def test_the_form_that_most_have_is_the_common_one_and_else_the_one_from_before():
    def form(key="metrics", **metrics):
        return form_of(RecordDict({key: MetricRecord(metrics)}))

    plain, longer, renamed, listed = form(a=1), form(a=1, b=2), form("m", a=1), form(a=[1])
    assert len({plain, longer, renamed, listed}) == 4
    assert form(b=2, a=1) == longer
    assert common_form([longer, plain, plain], longer) == plain
    assert common_form([longer, plain], plain) == plain
    assert common_form([longer, plain], None) == longer
