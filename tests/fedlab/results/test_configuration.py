"""A configuration in words, tables and plots: its set's axes by name, numbers apart from words."""

import pytest

from fedlab.results.configuration import axes, axis_names, cell, describe, label, label_heading, numeric_axes, size

ADAPTERS = {"set": "bottleneck", "depth": 2, "width": 8}
BLOCKS = {"set": "blocks", "depth": 3}
EVERYTHING = {"set": "everything"}
LORA = {"set": "lora", "depth": 4, "rank": 8, "targets": "q,v"}


def test_the_axes_are_all_but_the_name_of_the_set():
    assert axes(LORA) == {"depth": 4, "rank": 8, "targets": "q,v"}
    assert numeric_axes(LORA) == {"depth": 4, "rank": 8}
    assert axes(EVERYTHING) == axes({}) == {}


def test_the_axes_of_several_are_named_once_in_the_order_they_first_appear():
    assert axis_names([BLOCKS, LORA, ADAPTERS]) == ["depth", "rank", "targets", "width"]
    assert axis_names([BLOCKS, LORA, ADAPTERS], numeric=True) == ["depth", "rank", "width"]
    assert axis_names([EVERYTHING, {}]) == []


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        (ADAPTERS, "depth 2, width 8"),
        (BLOCKS, "depth 3"),
        (LORA, "depth 4, rank 8, q,v"),
        (EVERYTHING, "everything"),
        ({"depth": 0, "width": 16}, "depth 0, width 16"),  # as summaries of earlier versions have it
        ({}, "unknown"),
    ],
)
def test_in_words_numbers_have_their_names(configuration, words):
    assert describe(configuration) == words


def test_a_pair_of_numbers_is_labelled_by_them_alone_and_the_heading_names_them():
    assert (label(ADAPTERS), label_heading(ADAPTERS)) == ("(2, 8)", "(depth, width)")


@pytest.mark.parametrize("configuration", [BLOCKS, LORA, EVERYTHING, {"set": "lora", "depth": 4, "targets": "q,v"}])
def test_what_is_not_a_pair_of_numbers_is_labelled_in_words(configuration):
    assert (label(configuration), label_heading(configuration)) == (describe(configuration), "")


def test_configurations_are_ordered_by_their_numbers_the_first_axis_first():
    wide, deep = ADAPTERS | {"width": 64}, ADAPTERS | {"depth": 3}
    assert sorted([deep, wide, ADAPTERS], key=size) == [ADAPTERS, wide, deep]


def test_a_cell_is_empty_where_the_axis_is_absent_or_has_no_effect():
    assert [cell(ADAPTERS, axis) for axis in ("depth", "width", "rank")] == ["2", "8", "-"]
    assert [cell(ADAPTERS | {"depth": 0}, axis) for axis in ("depth", "width")] == ["0", "-"]
    assert cell(LORA, "targets") == "q,v"
