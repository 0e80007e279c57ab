"""What of Flower is private: the size of a message on the wire, known without encoding it, and its log."""

import logging
import tomllib
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedlab.errors import UserError
from fedlab.messages.flower_private import TESTED_FLOWER, record_bytes, record_to_wire, say_plainly, untested_flower

NAMES = st.text(max_size=140)
WHOLE = st.integers(-(2**63), 2**64 - 1)
NUMBERS = st.one_of(WHOLE, st.floats(), st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.floats()))
OTHERS = st.one_of(
    st.booleans(),
    st.text(max_size=200),
    st.binary(max_size=200),
    st.lists(st.text(max_size=5)),
    st.lists(st.booleans()),
    st.lists(st.binary(max_size=5)),
)
SHAPES = st.lists(st.integers(0, 200), max_size=3).filter(lambda shape: np.prod(shape) < 40_000)
ARRAYS = st.builds(
    lambda shape, dtype: Array(np.zeros(shape, dtype)), SHAPES, st.sampled_from(["float32", "int8", "float64"])
)
RECORDS = st.one_of(
    st.dictionaries(NAMES, ARRAYS, max_size=3).map(ArrayRecord),
    st.dictionaries(NAMES, NUMBERS, max_size=3).map(MetricRecord),
    st.dictionaries(NAMES, st.one_of(NUMBERS, OTHERS), max_size=3).map(ConfigRecord),
)


@given(st.dictionaries(NAMES, RECORDS, max_size=4))
def test_the_size_of_any_content_is_that_of_its_encoding(records):
    content = RecordDict(records)
    assert record_bytes(content) == len(record_to_wire(content))


def test_the_data_of_an_array_count_with_their_header():
    content = RecordDict({"a": ArrayRecord({"x": Array("int8", (300,), "", bytes(300))})})
    # int8 6, shape 2 + 2, data 3 + 300, in a field 3; x 3, in a field 3; in a record 3; a 3, in a field 3.
    assert record_bytes(content) == 6 + 4 + 303 + 3 + 3 + 3 + 3 + 3 + 3


def test_errors_of_a_kind_are_logged_by_what_they_say_and_others_in_full(caplog):
    logger = logging.getLogger("flwr")
    before = list(logger.filters)
    say_plainly(UserError)
    with caplog.at_level("ERROR", "flwr"):
        logger.error("%s raised an exception", "ServerApp", exc_info=UserError("rounds = 100%: not a number"))
        logger.error("%s raised an exception", "ServerApp", exc_info=KeyError("a bug"))
    logger.filters = before
    plain, full = caplog.records
    assert (plain.getMessage(), plain.exc_info) == ("the run failed: rounds = 100%: not a number", None)
    assert full.exc_info is not None


@pytest.mark.parametrize(
    ("installed", "known"), [("1.41.0", True), ("1.42.3", True), ("1.43.0", False), ("2.0", False)]
)
def test_a_version_of_flower_that_is_not_tested_is_named_in_one_line(installed, known, monkeypatch):
    monkeypatch.setattr("fedlab.messages.flower_private.metadata.version", lambda name: installed)
    said = untested_flower()
    assert (said is None) == known
    assert known or (f"flwr {installed}: fedlab is tested with 1.41 and 1.42" in said and "\n" not in said)


def test_the_tested_versions_are_those_that_the_project_accepts():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    (accepted,) = (each for each in project["dependencies"] if each.startswith("flwr>"))
    last = TESTED_FLOWER[-1].split(".")
    assert accepted == f"flwr>={TESTED_FLOWER[0]},<{last[0]}.{int(last[1]) + 1}"
