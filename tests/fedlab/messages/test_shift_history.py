"""Shifts of integers as text: what is written is read again, and nonsense is nothing."""

import json

import pytest

from fedlab.messages.shift_history import TensorShifts, shifts_from_text, shifts_to_text

SHIFTS = (
    TensorShifts(tensor="0.activation", found=3, reused=9, saturated=2, changes=[[0, 7], [4, 8]]),
    TensorShifts(tensor="3.error", found=12, reused=0, saturated=0, changes=[[0, 5]]),
)


def test_what_is_written_is_read_again():
    assert shifts_from_text(shifts_to_text(SHIFTS)) == SHIFTS
    assert shifts_from_text(shifts_to_text(())) == ()


@pytest.mark.parametrize(
    "text",
    [
        None,
        3,
        "[",
        "{}",
        '["0.error"]',
        "[[1, 2, 3, 4, []]]",
        '[["0.error", 1, 2, "3", []]]',
        '[["0.error", 1, 2, 3, [[1]]]]',
        '[["0.error", 1, 2, 3, [[1, 2.5]]]]',
        '[["0.error", 1, true, 3, [[1, 2]]]]',
        json.dumps([["x" * 1000, 1, 2, 3, []]]),
        "[" * 100_000,
    ],
)
def test_of_a_client_that_errs_nothing_is_read(text):
    assert shifts_from_text(text) == ()
