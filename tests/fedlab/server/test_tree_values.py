import json
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path
from random import Random

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.server.tree_values import UnkeptError, packed, unpacked

KEYS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=4)
HASHABLE = st.recursive(KEYS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.dictionaries(st.sampled_from(["__set__", "__dict__", "a"]), inner)
        | st.tuples(inner)
        | st.lists(inner, max_size=3).map(deque)
    ),
    max_leaves=8,
)


def kept(value):
    """Return what comes back of a value through JSON and a file of arrays."""
    arrays = {}
    return unpacked(json.loads(json.dumps(packed(value, "", arrays))), arrays)


def typed(value):
    """Return a value with the types of all its parts, which comparing leaves out: 1 == True == 1.0."""
    if isinstance(value, dict):
        return type(value), [(typed(key), typed(each)) for key, each in value.items()]
    if isinstance(value, list | tuple | deque):
        return type(value), [typed(each) for each in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(typed(each)) for each in value)
    return type(value), value


@given(VALUES)
@settings(derandomize=True, max_examples=100)
def test_what_is_kept_comes_back_with_its_types_and_order(value):
    assert repr(typed(kept(value))) == repr(typed(value))


@pytest.mark.parametrize(
    "value",
    [
        {7: 2, 12: 3},
        {(1, 2): {3}},
        Counter({5: 108}),
        OrderedDict([("b", 1), ("a", 2)]),
        deque([1, 2], maxlen=2),
        Path("a/b"),
        np.float32(0.5),
        np.int64(7),
        True,
    ],
    ids=repr,
)
def test_every_kind_comes_back_as_it_was(value):
    found = kept(value)
    assert (type(found), found) == (type(value), value)
    assert getattr(found, "maxlen", None) == getattr(value, "maxlen", None)


def test_a_dictionary_with_defaults_still_has_them():
    found = kept(defaultdict(list, {4: [1]}))
    found[9].append(2)
    assert found == {4: [1], 9: [2]}


def test_random_generators_go_on_where_they_were():
    numpy, python = np.random.default_rng(3), Random(3)
    numpy.normal(size=5), python.gauss(0, 1)
    numpy_again, python_again = kept([numpy, python])
    assert numpy_again.normal(size=9).tolist() == numpy.normal(size=9).tolist()
    assert [python_again.gauss(0, 1) for _ in range(9)] == [python.gauss(0, 1) for _ in range(9)]


def test_flowers_records_come_back_whole():
    arrays = kept(ArrayRecord([np.arange(3.0), np.ones((2, 0), np.float32)]))
    assert [each.tolist() for each in arrays.to_numpy_ndarrays()] == [[0, 1, 2], [[], []]]
    assert kept(MetricRecord({"loss": 0.5})) == MetricRecord({"loss": 0.5})
    assert kept(ConfigRecord({"text": "x", "list": [1, 2]})) == ConfigRecord({"text": "x", "list": [1, 2]})


class Own:
    pass


def itself():
    found = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({3: [Own()]}, r"seen/3/0 is a .*\.Own"),
        (lambda: 0, "seen is of the type function"),
        (defaultdict(lambda: 0), r"seen is a collections\.defaultdict"),
        (np.array([Own()]), r"seen is a numpy\.ndarray"),
        (type("Table", (dict,), {})(), "seen is a .*Table"),
        (itself(), "seen/0 contains itself"),
    ],
    ids=["an object", "a function", "a default of one's own", "an array of objects", "a subclass", "a cycle"],
)
def test_what_cannot_be_kept_is_named_with_its_place(value, message):
    with pytest.raises(UnkeptError, match=message):
        packed(value, "seen", {})
